package stprune_test

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stprune/workbench/stprune"
)

// core is a method that this package builds.
type core struct {
	Name string
	New  func(n int, c stprune.Config, opts ...stprune.Option) (stprune.Pruner, error)
}

func methods() []core {
	return []core{
		{"full", func(n int, _ stprune.Config, _ ...stprune.Option) (stprune.Pruner, error) { return stprune.NewFull(n) }},
		{"random", func(n int, c stprune.Config, _ ...stprune.Option) (stprune.Pruner, error) {
			return stprune.NewUniform(n, c)
		}},
		{"st-prune", stprune.New},
	}
}

func byName(name string) (core, error) {
	for _, m := range methods() {
		if m.Name == name {
			return m, nil
		}
	}
	return core{}, fmt.Errorf("no method %q", name)
}

// apart are settings under which every unit has a score of its own, and all parts of the method are in use.
func apart() stprune.Config {
	c := stprune.DefaultConfig()
	c.Score, c.Beta, c.Share, c.Unseen = "complexity", 0, 1, "top"
	c.Stationarity, c.WMax = "learning", 10
	return c
}

// row is one unit's statistics.
func row(level, spatial, temporal, rough, coherence float32) stprune.Stats {
	return stprune.Stats{stprune.Level: level, stprune.Spatial: spatial, stprune.Temporal: temporal, stprune.Rough: rough, stprune.Coherence: coherence}
}

func scores(t *testing.T, p stprune.Pruner) []float32 {
	t.Helper()
	s, ok := p.(stprune.Scored)
	if !ok {
		t.Fatalf("%T keeps no scores", p)
	}
	return s.Scores()
}

func TestScores(t *testing.T) {
	r := row(1, 0.25, 0.5, 2, 0.75)
	for _, tc := range []struct {
		name   string
		change func(c *stprune.Config)
		opts   []stprune.Option
		want   float32
	}{
		{"defaults", func(*stprune.Config) {}, nil, 1.75},
		{"all terms", func(c *stprune.Config) { c.LambdaS, c.LambdaT, c.LambdaG = 2, 3, 0.5 }, nil, 4},
		{"λ = 0 is the loss", func(c *stprune.Config) { c.LambdaS, c.LambdaT = 0, 0 }, nil, 1},
		{"loss", func(c *stprune.Config) { c.Score = "loss" }, nil, 1},
		{"coherence", func(c *stprune.Config) { c.Score, c.Epsilon = "coherence", 0.125 }, nil, 0.875},
		{"own", func(*stprune.Config) {}, []stprune.Option{stprune.WithScore(func(s stprune.Stats) float32 { return s[stprune.Rough] * 10 })}, 20},
	} {
		c := apart()
		tc.change(&c)
		p, err := stprune.New(3, c, tc.opts...)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Observe([]int32{1}, r); err != nil {
			t.Fatal(err)
		}
		if got := scores(t, p); got[1] != tc.want || !math.IsInf(float64(got[0]), 1) || !math.IsInf(float64(got[2]), 1) {
			t.Errorf("%s: scores %v, want %v for unit 1 alone", tc.name, got, tc.want)
		}
	}
}

func TestMemory(t *testing.T) {
	c := apart()
	c.Score, c.Beta = "loss", 0.75
	p, err := stprune.New(2, c)
	if err != nil {
		t.Fatal(err)
	}
	want := 0.0
	for visit, s := range []float32{4, 8, 0, 2} {
		if err := p.Observe([]int32{1}, row(s, 0, 0, 0, 0)); err != nil {
			t.Fatal(err)
		}
		if want = 0.75*want + 0.25*float64(s); visit == 0 {
			want = float64(s)
		}
		if got := scores(t, p)[1]; float64(got) != want {
			t.Errorf("visit %d: S = %v, want %v", visit, got, want)
		}
	}
}

// What is refused must leave the pruner as it was.
func TestObserveRefuses(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	fine := row(1, 1, 1, 1, 1)
	negative := stprune.WithScore(func(s stprune.Stats) float32 { return 1 - s[stprune.Level] })
	broken := stprune.WithScore(func(s stprune.Stats) float32 { return 1 / (2 - s[stprune.Level]) })
	for _, tc := range []struct {
		name   string
		opts   []stprune.Option
		ids    []int32
		stats  stprune.Stats
		naming []string
	}{
		{"NaN", nil, []int32{2, 5}, slices.Concat(fine, row(0, 0, nan, 0, 0)), []string{"unit 5", "temporal"}},
		{"infinite", nil, []int32{2, 4}, slices.Concat(fine, row(0, 0, 0, 0, inf)), []string{"unit 4", "coherence"}},
		{"minus infinite", nil, []int32{2, 4}, slices.Concat(fine, row(-inf, 0, 0, 0, 0)), []string{"unit 4", "level"}},
		{"too few statistics", nil, []int32{2, 4}, fine, []string{"5 statistics", "2 units"}},
		{"id too large", nil, []int32{2, 10}, slices.Concat(fine, fine), []string{"unit id 10"}},
		{"id negative", nil, []int32{2, -1}, slices.Concat(fine, fine), []string{"unit id -1"}},
		{"negative score", []stprune.Option{negative}, []int32{2, 3}, slices.Concat(fine, row(2, 0, 0, 0, 0)), []string{"unit 3", "-1"}},
		{"infinite score", []stprune.Option{broken}, []int32{2, 3}, slices.Concat(fine, row(2, 0, 0, 0, 0)), []string{"unit 3", "score"}},
		{"score overflow", nil, []int32{2, 3}, slices.Concat(fine, row(3e38, 3e38, 0, 0, 0)), []string{"unit 3", "score"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, err := stprune.New(10, apart(), tc.opts...)
			if err != nil {
				t.Fatal(err)
			}
			before, _ := p.MarshalBinary()
			err = p.Observe(tc.ids, tc.stats)
			if err == nil {
				t.Fatal("no error")
			}
			for _, part := range tc.naming {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not name %q", err, part)
				}
			}
			if after, _ := p.MarshalBinary(); !slices.Equal(before, after) {
				t.Error("the pruner has changed")
			}
		})
	}
	for _, name := range []string{"full", "random"} {
		m, err := byName(name)
		if err != nil {
			t.Fatal(err)
		}
		p, err := m.New(10, apart())
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Observe([]int32{7}, row(nan, 0, 0, 0, 0)); err == nil || !strings.Contains(err.Error(), "unit 7") {
			t.Errorf("%s: error %v, want one that names unit 7", name, err)
		}
		if err := p.Observe([]int32{7}, fine); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := apart()
	c.Selector = "top+rest" // ranks only, so scores may be negative
	p, err := stprune.New(10, c, negative)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Observe([]int32{3}, row(2, 0, 0, 0, 0)); err != nil {
		t.Error(err)
	}
}

func TestObserveAllocatesNothing(t *testing.T) {
	p, err := stprune.New(100, apart())
	if err != nil {
		t.Fatal(err)
	}
	ids, stats := []int32{3, 1, 4}, slices.Concat(row(1, 2, 3, 4, 5), row(2, 3, 4, 5, 6), row(3, 4, 5, 6, 7))
	if n := testing.AllocsPerRun(100, func() {
		if err := p.Observe(ids, stats); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations per call", n)
	}
}

// The weights by their formula, from the probabilities that the selection reports.
func TestWeights(t *testing.T) {
	const n = 200
	z := func(id int32) float32 { return float32(id%5) / 4 }
	for _, tc := range []struct {
		kappa, limit float64
		normalise    bool
		stationarity string
	}{
		{1, 0, false, "none"}, {1, math.Inf(1), false, "none"}, {1, 10, true, "data"}, {1, 2, false, "data"}, {0.5, 3, true, "none"}, {2, 0, true, "data"},
	} {
		t.Run(fmt.Sprintf("%+v", tc), func(t *testing.T) {
			c := sampling("pps", 0.2)
			c.Kappa, c.WMax, c.Normalise, c.Stationarity, c.Score = tc.kappa, tc.limit, tc.normalise, tc.stationarity, "loss"
			p, err := stprune.New(n, c, stprune.WithStationarity(z))
			if err != nil {
				t.Fatal(err)
			}
			for i, s := range rising(n) {
				if err := p.Observe([]int32{int32(i)}, row(float32(s), 0, 0, 0, 0)); err != nil {
					t.Fatal(err)
				}
			}
			s := plan(t, p, 0)
			limit := tc.limit
			if limit == 0 {
				limit = math.Inf(1)
			}
			want, sum, squares, clipped := make([]float64, len(s.IDs)), 0.0, 0.0, 0.0
			for j, id := range s.IDs {
				exponent := tc.kappa
				if tc.stationarity == "data" {
					exponent *= float64(z(id))
				}
				raw := math.Pow(float64(s.Prob[j]), -exponent)
				want[j] = min(limit, raw)
				if raw > limit {
					clipped++
				}
				sum += want[j]
				squares += want[j] * want[j]
			}
			scale := 1.0
			if tc.normalise {
				scale = float64(len(want)) / sum
			}
			for j := range want {
				if math.Abs(float64(s.Weight[j])/(want[j]*scale)-1) > 1e-5 {
					t.Errorf("unit %d: weight %v, want %v", s.IDs[j], s.Weight[j], want[j]*scale)
				}
			}
			d := s.Diagnostics
			// The scores are 1..n: mean (n+1)/2, variance (n²−1)/12.
			cv := math.Sqrt((n*n-1)/12.0) / ((n + 1) / 2.0)
			if math.Abs(d.EffectiveSize/(sum*sum/squares)-1) > 1e-5 || math.Abs(d.MaxWeight/(slices.Max(want)*scale)-1) > 1e-5 ||
				d.Clipped != clipped/float64(len(want)) || math.Abs(d.ScoreCV-cv) > 1e-6 || d.Unseen != 0 || d.Kept != 40 {
				t.Errorf("diagnostics %+v; want size %v, largest %v, clipped %v, CV %v", d, sum*sum/squares, slices.Max(want)*scale, clipped/float64(len(want)), cv)
			}
		})
	}
	c := sampling("pps", 0.2)
	c.Kappa = 0
	if s := plan(t, scored(t, c, rising(n)), 0); s.Weight != nil || s.Diagnostics.EffectiveSize != 40 {
		t.Errorf("κ = 0: weights %v, diagnostics %+v; want none", s.Weight, s.Diagnostics)
	}
}

// z = exp(−change/median): 1/e at the median change and for units visited once, 1 for units that do not change.
func TestLearningStationarity(t *testing.T) {
	const n = 5
	for _, tc := range []struct {
		name   string
		second []float32 // scores at the second visit; all are 1 at the first; a negative one is not visited again
		want   []float64
	}{
		{"changes", []float32{1, 2, 3, 5, -1}, []float64{1, math.Exp(-1), math.Exp(-2), math.Exp(-4), math.Exp(-1)}},
		{"none yet", []float32{-1, -1, -1, -1, -1}, constant(n, math.Exp(-1))},
		{"most unchanged", []float32{1, 1, 1, 5, -1}, []float64{1, 1, 1, 0, math.Exp(-1)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := sampling("uniform", 0.4)
			c.Score, c.Stationarity = "loss", "learning"
			p, err := stprune.New(n, c)
			if err != nil {
				t.Fatal(err)
			}
			for i, s := range tc.second {
				for _, level := range []float32{1, s} {
					if level < 0 {
						continue
					}
					if err := p.Observe([]int32{int32(i)}, row(level, 0, 0, 0, 0)); err != nil {
						t.Fatal(err)
					}
				}
			}
			// The lower median of four changes 0, 1, 2, 4 is 1; of 0, 0, 0, 4 it is 0.
			seen := map[int32]bool{}
			for e := range 100 {
				s := plan(t, p, e)
				for j, id := range s.IDs {
					seen[id] = true
					if z := math.Log(float64(s.Weight[j])) / -math.Log(0.4); math.Abs(z-tc.want[id]) > 1e-5 {
						t.Fatalf("unit %d: weight %v is that of z = %v, want %v", id, s.Weight[j], z, tc.want[id])
					}
				}
			}
			if len(seen) != n {
				t.Errorf("only %d units were drawn", len(seen))
			}
		})
	}
}

func TestDataStationarityIsChecked(t *testing.T) {
	c := sampling("uniform", 0.5)
	c.Stationarity = "data"
	if _, err := stprune.New(10, c); err == nil || !strings.Contains(err.Error(), "WithStationarity") {
		t.Errorf("error %v, want one that names WithStationarity", err)
	}
	unweighted := c
	unweighted.Kappa = 0
	if p, err := stprune.New(10, unweighted); err != nil {
		t.Errorf("without weights it needs no stationarity: %v", err)
	} else if s := plan(t, p, 0); s.Weight != nil {
		t.Errorf("weights %v without any", s.Weight)
	}
	for _, bad := range []float32{-0.1, 1.1, float32(math.NaN())} {
		p, err := stprune.New(10, c, stprune.WithStationarity(func(int32) float32 { return bad }))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Plan(0); err == nil || !strings.Contains(err.Error(), "stationarity of unit") {
			t.Errorf("z = %v: error %v, want one that names the unit", bad, err)
		}
	}
}

func TestPlanRefusesOtherEpochs(t *testing.T) {
	for _, m := range methods() {
		p, err := m.New(10, apart())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range []int{-1, 20} {
			if m.Name == "full" && e > 0 {
				continue // has no schedule that could end
			}
			if _, err := p.Plan(e); err == nil || !strings.Contains(err.Error(), fmt.Sprint("epoch ", e)) {
				t.Errorf("%s: error %v, want one about epoch %d", m.Name, err, e)
			}
		}
	}
}

func TestSeedsAndEpochs(t *testing.T) {
	for _, name := range []string{"random", "st-prune"} {
		m, err := byName(name)
		if err != nil {
			t.Fatal(err)
		}
		ids := func(seed uint64, epoch int) []int32 {
			c := apart()
			c.Seed = seed
			p, err := m.New(1000, c)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(plan(t, p, epoch), plan(t, p, epoch)) {
				t.Errorf("%s: two plans of epoch %d differ", name, epoch)
			}
			return plan(t, p, epoch).IDs
		}
		if !slices.Equal(ids(1, 2), ids(1, 2)) {
			t.Errorf("%s: equal seeds draw different units", name)
		}
		if slices.Equal(ids(1, 2), ids(2, 2)) {
			t.Errorf("%s: two seeds draw the same units", name)
		}
		if slices.Equal(ids(1, 2), ids(1, 3)) {
			t.Errorf("%s: two epochs draw the same units", name)
		}
	}
}

// train runs epochs [from, to) of a made-up training whose errors depend on unit and epoch.
func train(t *testing.T, p stprune.Pruner, n, from, to int) []stprune.Selection {
	t.Helper()
	var plans []stprune.Selection
	for e := from; e < to; e++ {
		s := plan(t, p, e)
		plans = append(plans, s)
		ids := s.IDs
		if s.All {
			ids = nil
			for i := range n {
				ids = append(ids, int32(i))
			}
		}
		for _, id := range ids {
			v := float32(1 + math.Sin(float64(id)*1.7+float64(e)*float64(id%3)))
			if err := p.Observe([]int32{id}, row(v, v/2, v/3, 0, v/4)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return plans
}

// A run resumed from the state at any epoch goes on as the undisturbed one.
func TestResume(t *testing.T) {
	const n = 300
	for _, m := range methods() {
		for _, stationarity := range []string{"none", "learning"} {
			c := apart()
			c.Stationarity, c.Beta = stationarity, 0.5
			create := func() stprune.Pruner {
				p, err := m.New(n, c)
				if err != nil {
					t.Fatal(err)
				}
				return p
			}
			undisturbed := train(t, create(), n, 0, c.Epochs)
			for at := range c.Epochs {
				p := create()
				train(t, p, n, 0, at)
				state, err := p.MarshalBinary()
				if err != nil {
					t.Fatal(err)
				}
				resumed := create()
				if err := resumed.UnmarshalBinary(state); err != nil {
					t.Fatal(err)
				}
				if again, _ := resumed.MarshalBinary(); !slices.Equal(state, again) {
					t.Errorf("%s: the state changes on its way round", m.Name)
				}
				if !reflect.DeepEqual(train(t, resumed, n, at, c.Epochs), undisturbed[at:]) {
					t.Errorf("%s, %s: resumed at epoch %d, the run goes another way", m.Name, stationarity, at)
				}
			}
		}
	}
}

func TestStateIsChecked(t *testing.T) {
	const n = 20
	create := func(name string, n int, c stprune.Config) stprune.Pruner {
		m, err := byName(name)
		if err != nil {
			t.Fatal(err)
		}
		p, err := m.New(n, c)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	none := apart()
	none.Stationarity = "none"
	for _, m := range methods() {
		p := create(m.Name, n, apart())
		train(t, p, n, 0, 3)
		state, err := p.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		refuse := func(p stprune.Pruner, state []byte, what string) {
			before, _ := p.MarshalBinary()
			if err := p.UnmarshalBinary(state); err == nil {
				t.Errorf("%s: accepts a state that is %s", m.Name, what)
			}
			if after, _ := p.MarshalBinary(); !slices.Equal(before, after) {
				t.Errorf("%s: a refused state has changed the pruner", m.Name)
			}
		}
		for i := range state {
			for bit := range 8 {
				bad := slices.Clone(state)
				bad[i] ^= 1 << bit
				refuse(p, bad, fmt.Sprintf("changed in bit %d of byte %d", bit, i))
			}
			refuse(p, state[:i], fmt.Sprintf("cut to %d bytes", i))
		}
		refuse(p, append(slices.Clone(state), 0), "a byte too long")
		refuse(create(m.Name, n+1, apart()), state, "of another size")
		for _, other := range methods() {
			if other.Name != m.Name {
				refuse(create(other.Name, n, apart()), state, "of method "+m.Name)
			}
		}
		if m.Name == "st-prune" {
			refuse(create(m.Name, n, none), state, "of another stationarity")
		}
	}
	// Scores that one selector accepts and another can't.
	signed := none
	signed.Selector = "top+rest"
	p, err := stprune.New(n, signed, stprune.WithScore(func(s stprune.Stats) float32 { return -s[stprune.Level] }))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Observe([]int32{4}, row(1, 0, 0, 0, 0)); err != nil {
		t.Fatal(err)
	}
	state, _ := p.MarshalBinary()
	if err := create("st-prune", n, none).UnmarshalBinary(state); err == nil || !strings.Contains(err.Error(), "unit 4") {
		t.Errorf("error %v, want one that names unit 4", err)
	}
}

// A group with larger scores is not preferred: in units of its mean both groups are alike.
func TestGroupsAreStandardised(t *testing.T) {
	const n = 200
	c := apart()
	c.Rho, c.Selector, c.Stationarity = 0.25, "pps", "none"
	p, err := stprune.New(2*n, c, stprune.WithGroups(n, n))
	if err != nil {
		t.Fatal(err)
	}
	stats := make(stprune.Stats, 2*n*stprune.NumStats)
	ids := make([]int32, 2*n)
	for i := range ids {
		ids[i] = int32(i)
		stats[i*stprune.NumStats+stprune.Level] = float32(1+i%n%7) * map[bool]float32{true: 1, false: 1000}[i < n]
	}
	if err := p.Observe(ids, stats); err != nil {
		t.Fatal(err)
	}
	s, err := p.Plan(1)
	if err != nil {
		t.Fatal(err)
	}
	prob := map[int32]float32{}
	for i, id := range s.IDs {
		prob[id] = s.Prob[i]
	}
	first := 0
	for id, pi := range prob {
		if id < n {
			first++
		}
		for other, po := range prob {
			if other%n == id%n && math.Abs(float64(pi-po)) > 0.02 {
				t.Errorf("units %d and %d are alike but kept with probability %v and %v", id, other, pi, po)
			}
		}
	}
	if first < n/8 || first > 3*n/8 {
		t.Errorf("%d of %d kept units are of the first group", first, len(s.IDs))
	}
	if _, err := stprune.New(2*n, c, stprune.WithGroups(n, n-1)); err == nil {
		t.Error("groups that miss a unit were accepted")
	}
}
