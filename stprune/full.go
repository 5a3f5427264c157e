package stprune

import "fmt"

// NewFull returns the method "full": every one of the n units in every epoch, for as many epochs as asked.
func NewFull(n int) (Pruner, error) {
	if err := checkUnits(n); err != nil {
		return nil, err
	}
	return full{n}, nil
}

type full struct{ n int }

func (f full) Plan(epoch int) (Selection, error) {
	if epoch < 0 {
		return Selection{}, fmt.Errorf("prune: epoch %d; epochs count from 0", epoch)
	}
	return Everything(f.n), nil
}

func (f full) Observe(ids []int32, stats Stats) error { return CheckObservation(f.n, ids, stats) }

func (f full) Keep(epoch int) int {
	if epoch < 0 {
		return 0
	}
	return f.n
}

func (f full) MarshalBinary() ([]byte, error) { return EncodeState("full", f.n), nil }

func (f full) UnmarshalBinary(data []byte) error {
	_, err := DecodeState(data, "full", f.n, 0)
	return err
}

// Everything is the selection of a full epoch.
func Everything(n int) Selection {
	return Selection{All: true, Diagnostics: Diagnostics{Kept: n, EffectiveSize: float64(n), MaxWeight: 1}}
}
