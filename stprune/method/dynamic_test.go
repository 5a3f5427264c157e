package method_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/stprune/workbench/stprune"
	"github.com/stprune/workbench/stprune/method"
)

// pruned makes a method over n units whose first 1000 epochs are all pruned at ρ.
func pruned(t *testing.T, name string, n int, rho float64, options map[string]any) stprune.Pruner {
	t.Helper()
	c := stprune.DefaultConfig()
	c.Epochs, c.WarmUp, c.Delta, c.Rho = 1000, 0, 1, rho
	c.Selector, c.Kappa = "top+rest", 0
	s := setup(n, c)
	s.Options = options
	return build(t, byName(t, name), s)
}

// report observes all units, unit i with loss values[i], as one batch.
func report(t *testing.T, p stprune.Pruner, values ...float32) {
	t.Helper()
	observe(t, p, ids(len(values), stprune.Selection{All: true}), func(id int32) float32 { return values[id] })
}

func want[T comparable](t *testing.T, what string, got []T, want ...T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v; want %v", what, got, want)
	}
}

func TestSoftRandom(t *testing.T) {
	p := pruned(t, "soft-random", 1000, 0.2, map[string]any{"weights": true})
	total, squares := 0.0, 0.0
	for e := range 1000 {
		s := plan(t, p, e)
		k := float64(len(s.IDs))
		total += k
		squares += k * k
		if s.Weight[0] != 5 || s.Prob[0] != 0.2 {
			t.Fatalf("weight %v and probability %v; want 5 and 0.2", s.Weight[0], s.Prob[0])
		}
	}
	// Binomial: mean 200 with standard error 0.4, variance 160 with standard error 7.2.
	mean := total / 1000
	if variance := squares/1000 - mean*mean; math.Abs(mean-200) > 2 || math.Abs(variance-160) > 30 {
		t.Errorf("%.2f units with variance %.1f; want 200 and 160", mean, variance)
	}
	if s := plan(t, pruned(t, "soft-random", 10, 0.2, nil), 5); s.Weight != nil {
		t.Errorf("weights %v; want none by default", s.Weight)
	}
}

// Ten units, loss i of unit i: of k = 5 and ε = 0.4 the top three are sure, and two of the other seven are drawn.
func TestEpsilonGreedy(t *testing.T) {
	p := pruned(t, "epsilon-greedy", 10, 0.5, map[string]any{"epsilon": 0.4, "every": 1})
	report(t, p, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
	others := make([]int, 10)
	for e := range 700 {
		s := plan(t, p, e)
		want(t, "top", s.IDs[2:], 7, 8, 9)
		for _, id := range s.IDs[:2] {
			others[id]++
		}
	}
	for id, count := range others[:7] { // 200 ± 12
		if count < 150 || count > 250 {
			t.Errorf("unit %d was drawn %d times of 700; want 200", id, count)
		}
	}
}

// S ← 0.2·S + 0.8·loss, and the choice of epoch 0 stands in epochs 1 and 2.
func TestEpsilonGreedyHolds(t *testing.T) {
	p := pruned(t, "epsilon-greedy", 4, 0.5, map[string]any{"epsilon": 0.0, "every": 3})
	if s := plan(t, p, 0); len(s.IDs) != 2 {
		t.Fatalf("%d units of 4 at ρ = 0.5", len(s.IDs))
	}
	first := plan(t, p, 0).IDs
	for e := range 3 {
		want(t, fmt.Sprint("epoch ", e), plan(t, p, e).IDs, first...)
		observe(t, p, first, func(id int32) float32 { return float32(10 * e) })
	}
	// 0, then 0.2·0 + 0.8·10 = 8, then 0.2·8 + 0.8·20 = 17.6.
	if got := p.(stprune.Scored).Scores()[first[0]]; math.Abs(float64(got)-17.6) > 1e-5 {
		t.Errorf("running loss %v; want 17.6", got)
	}
	for _, id := range plan(t, p, 3).IDs { // the others were never visited, and come first
		if slices.Contains(first, id) {
			t.Errorf("epoch 3 keeps unit %d again", id)
		}
	}
}

// With α = 0.5: unit 0 has losses 1, 1, so m = 1, v = 0. Unit 1 has 0, 1, so m = 0.5 and v = 0.5·0 + 0.5·(1 − 0)² = 0.5. Unit 2
// has 0.5, 0.9: m = 0.7, v = 0.08. So m + v is 1, 1, 0.78, and m + 2v is 1, 1.5, 0.86.
func TestUCB(t *testing.T) {
	for c, best := range map[float64]int32{0: 0, 2: 1} {
		p := pruned(t, "ucb", 3, 0.34, map[string]any{"alpha": 0.5, "confidence": c, "every": 1})
		report(t, p, 1, 0, 0.5)
		report(t, p, 1, 1, 0.9)
		want(t, fmt.Sprint("c = ", c), plan(t, p, 2).IDs, best)
	}
	p := pruned(t, "ucb", 3, 0.67, map[string]any{"alpha": 0.5, "confidence": 0.1, "every": 1}) // 1, 0.55, 0.708
	report(t, p, 1, 0, 0.5)
	report(t, p, 1, 1, 0.9)
	want(t, "c = 0.1", plan(t, p, 2).IDs, 0, 2)
}

// Mean 4: units 3 (exactly 4), 4 and 5 are kept, half of the three below is one, with weight 2.
func TestInfoBatch(t *testing.T) {
	for _, options := range []map[string]any{nil, {"r": 0.5}} {
		p := pruned(t, "infobatch", 6, 0.5, options)
		if s := plan(t, p, 0); !s.All {
			t.Error("the first epoch is pruned, before any loss is known")
		}
		report(t, p, 1, 2, 3, 4, 5, 9)
		seen := map[int32]bool{}
		for e := range 100 {
			s := plan(t, p, 1+e)
			want(t, "high", s.IDs[1:], 3, 4, 5)
			want(t, "weights", s.Weight, 2, 1, 1, 1)
			if s.Prob[0] != float32(1.0/3) || s.Prob[1] != 1 {
				t.Errorf("probabilities %v; want 1/3 and 1", s.Prob)
			}
			seen[s.IDs[0]] = true
		}
		if len(seen) != 3 {
			t.Errorf("of the low units only %v were drawn", seen)
		}
	}
	// The weighted sum of any number per unit is that of all of them on average: 4 of 5 low units at q = 0.8.
	p := pruned(t, "infobatch", 6, 0.8, nil)
	report(t, p, 1, 2, 3, 4, 5, 90)
	sum := 0.0
	for e := range 999 {
		s := plan(t, p, e)
		for j, id := range s.IDs {
			sum += float64(s.Weight[j]) * float64(id+1) / 999
		}
	}
	if math.Abs(sum-21) > 0.2 {
		t.Errorf("weighted sum %v; want 21", sum)
	}
	if s := plan(t, pruned(t, "infobatch", 6, 0.01, nil), 0); !s.All {
		t.Error("unvisited units were pruned")
	}
}

func TestSeTa(t *testing.T) {
	loss := []float32{9, 1, 5, 5.2, 1.1, 9.4}
	group, centre := method.SeTaGroups(loss, 3)
	want(t, "groups", group, 2, 0, 1, 1, 0, 2)
	for g, c := range []float64{1.05, 5.1, 9.2} {
		if math.Abs(centre[g]-c) > 1e-6 {
			t.Errorf("centres %v; want 1.05, 5.1, 9.2", centre)
		}
	}
	unvisited := float32(math.Inf(1))
	group, _ = method.SeTaGroups([]float32{9, unvisited, 1, 5}, 3)
	want(t, "groups with an unvisited unit", group, 2, 2, 0, 1)
	group, _ = method.SeTaGroups([]float32{2, 2, 2, 2, 2}, 3)
	want(t, "groups of equal losses", group, 0, 0, 1, 1, 2)
	group, _ = method.SeTaGroups([]float32{3, 1}, 5)
	want(t, "more groups than losses", group, 1, 0)

	p := pruned(t, "seta", 6, 0.5, map[string]any{"groups": 3, "window": 0.34, "subset": 1.0})
	report(t, p, loss...)
	if s := plan(t, p, 0); !s.All {
		t.Errorf("the first epoch keeps %v; want all groups", s.IDs)
	}
	want(t, "epoch 1, the middle", plan(t, p, 1).IDs, 2, 3)
	want(t, "epoch 2, the hardest", plan(t, p, 2).IDs, 0, 5)
	want(t, "epoch 3, the easiest again", plan(t, p, 3).IDs, 1, 4)

	// Without subset a window of two thirds of the groups of ρ/window = half the units.
	p = pruned(t, "seta", 120, 0.25, map[string]any{"window": 0.5})
	observe(t, p, ids(120, stprune.Selection{All: true}), wave(0))
	if k := p.Keep(3); k != 60 {
		t.Errorf("Keep %d; want the subset of 60", k)
	}
	if s := plan(t, p, 3); len(s.IDs) > 60 {
		t.Errorf("%d units; want at most 60", len(s.IDs))
	}
}

// A given subset is visited in the tail as well.
func TestSeTaTail(t *testing.T) {
	c := stprune.DefaultConfig() // of 20 epochs the first and the last three are full
	s := setup(100, c)
	for subset, tail := range map[float64]int{0: 100, 0.9: 90} {
		s.Options = map[string]any{"subset": subset}
		p := build(t, byName(t, "seta"), s)
		for e, k := range map[int]int{0: 100, 17: tail, 19: tail} {
			if got := plan(t, p, e).Diagnostics.Kept; got != k || p.Keep(e) != k {
				t.Errorf("subset %v, epoch %d: %d units, Keep %d; want %d", subset, e, got, p.Keep(e), k)
			}
		}
	}
}

// Unit 0 learns evenly, so that its second differences are 0; those of unit 1 are 1.
func TestIES(t *testing.T) {
	for _, options := range []map[string]any{{"threshold": 0.5}, {"quantile": true}} {
		p := pruned(t, "ies", 2, 0.5, options).(stprune.Forwarder)
		uneven := []float32{0, 0, 1, 1, 0, 0, 1, 1, 0, 0}
		for e := range 8 {
			s := plan(t, p, e)
			if e < 6 {
				if !s.All || p.Forward(e) != nil {
					t.Fatalf("epoch %d keeps %v; five losses are too few", e, s.IDs)
				}
			} else {
				want(t, fmt.Sprintf("%v, epoch %d", options, e), s.IDs, 1)
				want(t, "forward before the steps", p.Forward(e), 0)
			}
			observe(t, p, ids(2, s), func(id int32) float32 { return []float32{2 - 0.125*float32(e), uneven[e]}[id] })
			saved := state(t, p) // interrupted before the forward passes
			p = pruned(t, "ies", 2, 0.5, options).(stprune.Forwarder)
			if err := p.UnmarshalBinary(saved); err != nil {
				t.Fatal(err)
			}
			if e >= 6 {
				want(t, "forward after the steps", p.Forward(e), 0)
				observe(t, p, p.Forward(e), func(int32) float32 { return 2 - 0.125*float32(e) })
				if left := p.Forward(e); left != nil {
					t.Errorf("epoch %d: %v are left", e, left)
				}
			}
		}
		s := plan(t, p, 8)
		observe(t, p, s.IDs, func(int32) float32 { return uneven[8] })
		observe(t, p, p.Forward(8), func(int32) float32 { return 50 }) // forgotten
		if s = plan(t, p, 9); !s.All && s.IDs[0] != 0 {
			t.Errorf("%v: epoch 9 keeps %v; unit 0 must return", options, s.IDs)
		}
	}
}

func TestBLS(t *testing.T) {
	p := pruned(t, "bls", 4, 0.5, map[string]any{"alpha": 0.75})
	batch := func(losses map[int32]float32, units ...int32) {
		observe(t, p, units, func(id int32) float32 { return losses[id] })
	}
	batch(map[int32]float32{0: 1, 1: 3}, 0, 1)
	batch(map[int32]float32{2: 8, 3: 0}, 2, 3)
	batch(map[int32]float32{0: 5, 2: 7}, 0, 2)
	// Means 2, 4 and 6: units 0 and 2 go on to 0.75·2 + 0.25·6 = 3 and 0.75·4 + 0.25·6 = 4.5.
	want(t, "scores", p.(stprune.Scored).Scores(), 3, 2, 4.5, 4)
}

func TestOrderDP(t *testing.T) {
	p := pruned(t, "orderdp", 10, 0.3, map[string]any{"pool": 1.0})
	report(t, p, 3, 1, 4, 1, 5, 9, 2, 6, 5.5, 3.5)
	want(t, "pool of all", plan(t, p, 0).IDs, 5, 7, 8)

	p = pruned(t, "orderdp", 10, 0.3, map[string]any{"pool": 0.4})
	report(t, p, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)
	counts := make([]int, 10)
	for e := range 1000 {
		for _, id := range plan(t, p, e).IDs {
			counts[id]++
		}
	}
	// The hardest is kept when it is in the pool of 4, the easiest never: it is the last of every pool.
	if counts[0] < 340 || counts[0] > 460 || counts[9] != 0 {
		t.Errorf("kept %v times of 1000; want 400 for the hardest and 0 for the easiest", counts)
	}
}

// Losses 0, 1, 2 have mean 1: at T = 1 they are drawn in proportion to 1, e, e².
func TestRCAP(t *testing.T) {
	p := pruned(t, "rcap", 3, 0.34, nil)
	report(t, p, 0, 10, 20)
	counts := make([]float64, 3)
	for e := range 1000 {
		counts[plan(t, p, e).IDs[0]]++
	}
	for i, c := range counts {
		pi := math.Exp(float64(i)) / (1 + math.E + math.E*math.E)
		if bound := 4 * math.Sqrt(1000*pi*(1-pi)); math.Abs(c-1000*pi) > bound {
			t.Errorf("unit %d: %v times of 1000; want %.0f ± %.0f", i, c, 1000*pi, bound)
		}
	}
	p = pruned(t, "rcap", 3, 0.34, map[string]any{"temperature": 0.01})
	report(t, p, 0, 10, 20)
	want(t, "cold", plan(t, p, 0).IDs, 2)
}

// Mean (1.5, 1): |g·mean| is 4.5, 4.5, 1, 3. With the first its direction leaves the residual, so that the second, which is alike,
// has nothing more to give, and a unit along the other axis follows.
func TestDivBS(t *testing.T) {
	gradients := []float32{3, 0, 3, 0, 0, 1, 0, 3}
	choose := func(p stprune.Pruner, step, target int) []int32 {
		places, err := p.(stprune.Chooser).Choose(0, step, target, []int32{10, 11, 12, 13}, gradients)
		if err != nil {
			t.Fatal(err)
		}
		return places
	}
	p := pruned(t, "divbs", 40, 0.5, map[string]any{"greedy": true})
	want(t, "one", choose(p, 0, 1), 0)
	want(t, "two", choose(p, 0, 2), 0, 3)
	if got := choose(p, 0, 3); len(got) != 3 || got[0] != 0 || got[2] != 3 {
		t.Errorf("three: %v; want 0, 3 and one of the others", got)
	}
	want(t, "all", choose(p, 0, 9), 0, 1, 2, 3)

	p = pruned(t, "divbs", 40, 0.5, nil)
	counts := make([]float64, 4)
	for step := range 1300 {
		counts[choose(p, step, 1)[0]]++
	}
	for i, c := range []float64{450, 450, 100, 300} {
		if math.Abs(counts[i]-c) > 4*math.Sqrt(c) {
			t.Errorf("drawn %v times; want about 450, 450, 100, 300", counts)
		}
	}
	for step := range 20 { // one of each axis, as the rest has nothing to give
		if two := choose(p, step, 2); two[0] > 1 || two[1] < 2 {
			t.Errorf("chose %v of one axis", two)
		}
	}

	c := p.(stprune.Chooser)
	if n := c.Candidates(3, 8); n != 16 {
		t.Errorf("%d candidates for 8 at ρ = 0.5", n)
	}
	if n := c.Candidates(3, 30); n != 40 {
		t.Errorf("%d candidates of 40 units", n)
	}
	for name, bad := range map[string][]float32{"too few": {1, 2, 3}, "not finite": {1, float32(math.NaN()), 3, 4}} {
		if _, err := c.Choose(0, 0, 1, []int32{1, 2}, bad); err == nil {
			t.Errorf("gradients that are %s were accepted", name)
		}
	}
	full := setup(40, stprune.DefaultConfig())
	if n := build(t, byName(t, "divbs"), full).(stprune.Chooser).Candidates(0, 8); n != 0 {
		t.Errorf("%d candidates in a full epoch; want no choice", n)
	}
}
