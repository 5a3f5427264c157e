package method

import (
	"math"
	"math/bits"
	"slices"
	"testing"
)

func radius(d Matrix, chosen func(j int) bool) float64 {
	largest := 0.0
	for i := range d.Rows {
		nearest := math.Inf(1)
		for j, v := range d.Row(i) {
			if chosen(j) {
				nearest = min(nearest, float64(v))
			}
		}
		largest = max(largest, nearest)
	}
	return largest
}

func TestKCenterAgainstAllSubsets(t *testing.T) {
	const n = 12
	for seed := range uint64(10) {
		p := noise(n, seed)
		d := distances(p.Features)
		for k := 1; k <= 5; k++ {
			best := math.Inf(1)
			for set := range 1 << n {
				if bits.OnesCount(uint(set)) == k {
					best = min(best, radius(d, func(j int) bool { return set>>j&1 == 1 }))
				}
			}
			s := keeping(n, k, p)
			s.Config.Seed = seed
			ids := planned(t, "k-center", s).IDs
			if got := radius(d, func(j int) bool { return slices.Contains(ids, int32(j)) }); got > 2*best+1e-4 {
				t.Errorf("seed %d, k %d: radius %v; twice the smallest is %v", seed, k, got, 2*best)
			}
		}
	}
}

// Ten units alike and two apart: whatever the start, the two are found, and one of the ten stands for them all.
func TestFarthestFirst(t *testing.T) {
	level := []float32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 2, 0}
	probe := &Probe{
		Features:  columns(12, []float32{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10, 100}),
		Forecasts: columns(12, level, []float32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 2}), // flat ones of ten levels, one falling, one rising
	}
	for _, name := range []string{"k-center", "contextual-diversity"} {
		starts := map[int32]bool{}
		for seed := range uint64(60) {
			s := keeping(12, 3, probe)
			s.Config.Seed = seed
			ids := planned(t, name, s).IDs
			if ids[1] != 10 || ids[2] != 11 {
				t.Errorf("%s, seed %d: %v", name, seed, ids)
			}
			starts[ids[0]] = true
		}
		if len(starts) < 5 {
			t.Errorf("%s: it started at %v in 60 seeds", name, starts)
		}
	}
}

// σ(2) = 0.8808: ½·(0.5 − 0.8808)·(ln 0.5 − ln 0.8808) + ½·(0.5 − 0.1192)·(ln 0.5 − ln 0.1192) = 0.3808.
func TestSoftmax(t *testing.T) {
	share, log := make([]float64, 2), make([]float64, 2)
	softmax([]float32{1002, 1000}, share, log)
	if math.Abs(share[0]-0.880797) > 1e-6 || math.Abs(share[0]+share[1]-1) > 1e-12 || math.Abs(log[1]-math.Log(share[1])) > 1e-12 {
		t.Errorf("%v, logarithm %v", share, log)
	}
}
