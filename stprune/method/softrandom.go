package method

import (
	"slices"

	"github.com/stprune/workbench/stprune"
)

var softRandom = Method{
	Name: "soft-random", Kind: Dynamic,
	Paper:   "none; named in comparisons without a definition",
	Rule:    "each unit is kept with probability ρ, independently of the others, in each pruned epoch; weight 1, or 1/ρ with the option weights",
	Cost:    "O(n) time, no memory",
	Differs: "our definition: InfoBatch with a threshold above all losses. An epoch visits ρn units on average, not exactly",
	Options: []Option{
		{Key: "weights", Default: false, Doc: "weight 1/ρ in pruned epochs; felt only where losses are divided by the batch (train.loss_per_batch), as a larger learning rate"},
	},
	New: newSoftRandom,
}

func newSoftRandom(s Setup) (stprune.Pruner, error) {
	schedule, err := s.Config.Schedule(s.Units)
	if err != nil {
		return nil, err
	}
	return &bernoulli{Schedule: schedule, seed: s.Config.Seed, weights: s.bool("weights")}, nil
}

// bernoulli keeps nothing between epochs. Its Keep, the schedule's, is the expected number of units.
type bernoulli struct {
	stprune.Schedule
	seed    uint64
	weights bool
}

func (p *bernoulli) Plan(epoch int) (stprune.Selection, error) {
	if err := p.CheckEpoch(epoch); err != nil {
		return stprune.Selection{}, err
	}
	n, k := p.Units(), p.Keep(epoch)
	if k == n {
		return stprune.Everything(n), nil
	}
	r := stprune.Stream(p.seed, "selection", epoch)
	pi := float64(k) / float64(n)
	var ids []int32
	for i := range n {
		if r.Float64() < pi {
			ids = append(ids, int32(i))
		}
	}
	if len(ids) == 0 { // an epoch needs a unit
		ids = stprune.Sample(r, n, 1)
	}
	var weight []float32
	if p.weights {
		weight = slices.Repeat([]float32{float32(1 / pi)}, len(ids))
	}
	return selected(n, ids, weight, slices.Repeat([]float32{float32(pi)}, len(ids))), nil
}

func (p *bernoulli) Observe(ids []int32, stats stprune.Stats) error {
	return stprune.CheckObservation(p.Units(), ids, stats)
}

func (p *bernoulli) MarshalBinary() ([]byte, error) {
	return stprune.EncodeState("soft-random", p.Units()), nil
}

func (p *bernoulli) UnmarshalBinary(data []byte) error {
	_, err := stprune.DecodeState(data, "soft-random", p.Units(), 0)
	return err
}
