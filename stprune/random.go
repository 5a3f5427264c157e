package stprune

// NewUniform returns the method "random": in each pruned epoch of the schedule a fresh uniform sample of the n units, each
// with weight 1. It reads the schedule, Seed and InTime of the settings.
func NewUniform(n int, c Config) (Pruner, error) {
	schedule, err := c.Schedule(n)
	if err != nil {
		return nil, err
	}
	return &random{Schedule: schedule, seed: c.Seed, inTime: c.InTime}, nil
}

type random struct {
	Schedule
	seed   uint64
	inTime bool
}

func (p *random) Plan(epoch int) (Selection, error) {
	if err := p.CheckEpoch(epoch); err != nil {
		return Selection{}, err
	}
	if p.Full(epoch) {
		return Everything(p.n), nil
	}
	ids, prob := uniform(Stream(p.seed, "selection", epoch), p.n, p.Keep(epoch), p.inTime)
	return Selection{IDs: ids, Prob: prob, Diagnostics: Diagnostics{Kept: len(ids), EffectiveSize: float64(len(ids)), MaxWeight: 1}}, nil
}

func (p *random) Observe(ids []int32, stats Stats) error { return CheckObservation(p.n, ids, stats) }

func (p *random) MarshalBinary() ([]byte, error) { return EncodeState("random", p.n), nil }

func (p *random) UnmarshalBinary(data []byte) error {
	_, err := DecodeState(data, "random", p.n, 0)
	return err
}
