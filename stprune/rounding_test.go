package stprune

import (
	"math"
	"math/rand/v2"
	"testing"
)

// highest is a source whose Float64 is the largest number below 1.
type highest struct{}

func (highest) Uint64() uint64 { return math.MaxUint64 }

// Ten times 0.1 adds up to just below 1 in floating point: the line of probabilities ends before the highest possible point,
// and the size must be exact nevertheless.
func TestSystematicSurvivesRounding(t *testing.T) {
	ids, prob := pps(1, true)(rand.New(highest{}), filled(10, 1), 1)
	if len(ids) != 1 || ids[0] != 9 || prob[0] != 0.1 {
		t.Errorf("units %v with π %v; want the last unit, with 0.1", ids, prob)
	}
}

func TestRanked(t *testing.T) {
	values := []float32{3, float32(math.Inf(1)), -2, 0, 3, float32(math.Copysign(0, -1)), -2.5, 1e-40, 3, math.MaxFloat32}
	sorted := []float32{-2.5, -2, float32(math.Copysign(0, -1)), 0, 1e-40, 3, 3, 3, math.MaxFloat32, float32(math.Inf(1))}
	for rank, want := range sorted {
		key, below, equal := ranked(values, rank)
		first, same := rank, 1
		if want == 3 {
			first, same = 5, 3
		}
		if got := unsortable(key); math.Float32bits(got) != math.Float32bits(want) || below != first || equal != same {
			t.Errorf("rank %d: %v with %d below and %d equal; want %v, %d, %d", rank, got, below, equal, want, first, same)
		}
	}
}
