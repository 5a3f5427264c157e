package stats

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func compared(t *testing.T, a, b []float64) *Paired {
	t.Helper()
	c, err := Compare(a, b)
	if err != nil {
		t.Fatal(err)
	}
	return &c
}

// shifted are ten errors around 2 + by, and the reference's around 2.
func shifted(by, noise float64) (errors, reference []float64) {
	r := rand.New(rand.NewPCG(3, 3))
	for range 10 {
		common := 2 + 0.01*r.NormFloat64()
		errors, reference = append(errors, common+by+noise*r.NormFloat64()), append(reference, common)
	}
	return errors, reference
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name      string
		by, noise float64
		pairs     int
		family    int
		want      Verdict
	}{
		{"better", -0.1, 0.01, 10, 1, Better},
		{"worse", 0.1, 0.01, 10, 1, Worse},
		{"proven, but below the floor", 0.005, 0.0001, 10, 1, NoDifference},
		{"equal", 0, 0, 10, 1, NoDifference},
		{"beyond the floor and not proven", -0.06, 0.1, 10, 1, Undecided},
		{"five seeds never reach 0.05", 0.5, 0, 5, 1, NotEnoughSeeds},
		{"six do", 0.5, 0, 6, 1, Worse},
		{"six in a family of two don't", 0.5, 0, 6, 2, NotEnoughSeeds},
		{"one seed", 0.5, 0, 1, 1, NotEnoughSeeds},
	} {
		a, b := shifted(c.by, c.noise)
		var family []*Paired
		for range c.family {
			family = append(family, compared(t, a[:c.pairs], b[:c.pairs]))
		}
		Judge(family, Floor)
		for _, got := range family {
			if got.Verdict != c.want {
				t.Errorf("%s: %s (%+v), want %s", c.name, got.Verdict, *got, c.want)
			}
		}
	}
}

func TestCompare(t *testing.T) {
	c := compared(t, []float64{1.9, 2, 1.8}, []float64{2, 2, 2})
	// Differences −0.1, 0, −0.2: sums of size 0.3 with both signs alike, 2 of 4, whatever the sign of 0.
	if !near(c.Difference, -0.1) || !near(c.Relative, -0.05) || c.P != 0.5 || !near(c.Improvement, (2*3+1.5)/9) || c.Pairs != 3 {
		t.Errorf("%+v", *c)
	}
	if c.Interval == nil || c.Interval.Low < -0.2 || c.Interval.High > 0 {
		t.Errorf("interval %v", c.Interval)
	}
	if c := compared(t, []float64{1}, []float64{2}); c.Interval != nil || c.P != 1 {
		t.Errorf("one pair: %+v", *c)
	}
	for want, pair := range map[string][2][]float64{
		"2 errors and 1": {{1, 2}, {1}},
		"at least 1":     {nil, nil},
		"above 0":        {{1}, {0}},
		"value 2 is NaN": {{1, math.NaN()}, {1, 1}},
	} {
		if _, err := Compare(pair[0], pair[1]); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

// Holm's later steps adjust by less than the size of the family: six pairs can prove a difference beside one that is proven by ten.
func TestJudgeFamilyOfUnequalPairs(t *testing.T) {
	a, b := shifted(-0.2, 0.01)
	family := []*Paired{compared(t, a, b), compared(t, a[:6], b[:6])}
	Judge(family, Floor)
	for i, c := range family {
		if c.Verdict != Better {
			t.Errorf("comparison %d: %s (Holm p %v), want %s", i, c.Verdict, c.Holm, Better)
		}
	}
}

func TestJudgeAll(t *testing.T) {
	type difference struct{ by, noise float64 }
	clear, ahead, even, behind, tiny := difference{-0.1, 0.01}, difference{-0.1, 0.1}, difference{}, difference{0.1, 0.01}, difference{-0.005, 0.0001}
	for _, c := range []struct {
		name          string
		pairs         int
		others        []difference
		better, worse int
		p             float64 // -1: the largest of the others'
		want          Verdict
	}{
		{"better than each, with six seeds and nine others", 6, []difference{clear, clear, clear, clear, clear, clear, clear, clear, clear}, 9, 0, 0.03125, Better},
		{"one is not proven", 10, []difference{clear, ahead, clear}, 2, 0, -1, Undecided},
		{"one is too small", 10, []difference{clear, tiny}, 1, 0, 1.0 / 512, Undecided},
		{"one is even", 10, []difference{clear, even}, 1, 0, 1, Undecided},
		{"worse than one", 10, []difference{clear, behind}, 1, 1, 1, Undecided},
		{"five seeds", 5, []difference{clear, clear}, 0, 0, 0.0625, NotEnoughSeeds},
		{"no others", 6, nil, 0, 0, 0, Undecided},
	} {
		var all []Paired
		largest := 0.0
		for _, o := range c.others {
			a, b := shifted(o.by, o.noise)
			all = append(all, *compared(t, a[:c.pairs], b[:c.pairs]))
			largest = max(largest, all[len(all)-1].P)
		}
		if c.p < 0 {
			c.p = largest
		}
		want := All{len(c.others), c.better, c.worse, c.p, c.want}
		if got := JudgeAll(all, Floor); got != want {
			t.Errorf("%s: %+v, want %+v", c.name, got, want)
		}
	}
}

// A method that is as good as one of the others, and better than the rest, is called better than all in at most 5 % of the draws.
func TestJudgeAllAgainstItself(t *testing.T) {
	const rounds = 300
	r := rand.New(rand.NewPCG(4, 1))
	claimed := 0
	for range rounds {
		var mine, same, behind []float64
		for range 8 {
			mine, same = append(mine, 1.61+0.01*r.NormFloat64()), append(same, 1.61+0.01*r.NormFloat64())
			behind = append(behind, 1.8+0.01*r.NormFloat64())
		}
		if JudgeAll([]Paired{*compared(t, mine, behind), *compared(t, mine, same)}, 0).Verdict == Better {
			claimed++
		}
	}
	if most := rounds*Alpha + 3*math.Sqrt(rounds*Alpha*(1-Alpha)); float64(claimed) > most {
		t.Errorf("claimed in %d of %d draws, want at most %.0f", claimed, rounds, most)
	}
}

func TestSeeds(t *testing.T) {
	for family, want := range map[int]int{1: 6, 2: 7, 9: 9, 13: 10, 1_000_000: 0} {
		if got := Seeds(family); got != want {
			t.Errorf("for %d tests %d seeds, want %d", family, got, want)
		}
	}
}

// A method against itself under other seeds is declared different in at most 5 % of the resamples: without any floor, and the
// more so with it.
func TestAgainstItself(t *testing.T) {
	const rounds = 1000
	r := rand.New(rand.NewPCG(21, 1))
	for floor, most := range map[float64]float64{0: 0.05 + 3*math.Sqrt(0.05*0.95/rounds), Floor: 0.05} {
		different := 0
		for range rounds {
			var a, b []float64
			for range 10 { // spread as in real runs: 0.6 % of the error
				a, b = append(a, 1.61+0.01*r.NormFloat64()), append(b, 1.61+0.01*r.NormFloat64())
			}
			c := compared(t, a, b)
			Judge([]*Paired{c}, floor)
			if slices.Contains([]Verdict{Better, Worse}, c.Verdict) {
				different++
			}
		}
		if share := float64(different) / rounds; share > most {
			t.Errorf("floor %v: different in %.3f of the resamples, want at most %.3f", floor, share, most)
		}
	}
}
