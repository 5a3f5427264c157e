package stats

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-12*max(1, math.Abs(b)) }

func TestSignFlip(t *testing.T) {
	for _, c := range []struct {
		d    []float64
		want float64
	}{
		{[]float64{3}, 1},                                  // |3| and |−3| are both as large as 3
		{[]float64{1, 2}, 0.5},                             // sums ±3, ±1: two of four reach 3
		{[]float64{1, 2, 3}, 0.25},                         // of eight, 6 and −6
		{[]float64{-1, -2, -3}, 0.25},                      // the direction doesn't matter
		{[]float64{-1, 2, 3}, 0.5},                         // sum 4; of eight: 6, 4, −4, −6
		{[]float64{1, 1, 1, 1, -1}, 0.375},                 // sum 3; |sum| ≥ 3 with at most one sign apart: 2·(1+5) of 32
		{[]float64{0, 0, 0}, 1},                            // nothing differs
		{[]float64{0.1, 0.2, 0.3, -0.1}, 0.375},            // 0.7, 0.5 and −0.5 of eight; 0.5 sums up to other last bits each time
		{[]float64{1, 1, 1, 1, 1, 1}, 2.0 / 64},            // the smallest of six
		{slices.Repeat([]float64{1}, 20), 1.0 / (1 << 19)}, // the most pairs that are not drawn
	} {
		got, err := SignFlip(c.d)
		if err != nil || !near(got, c.want) {
			t.Errorf("p of %v is %v (%v), want %v", c.d, got, err, c.want)
		}
	}
	// Beyond 20 pairs it is drawn: of 25 equal signs and one apart the sum is 23, reached by 2·(1+25) of 2²⁵.
	d := slices.Repeat([]float64{1}, 25)
	d[3] = -1
	if got, err := SignFlip(d); err != nil || got > 1e-5 {
		t.Errorf("p of 25 pairs is %v (%v), want about %v", got, err, 52.0/(1<<25))
	}
	even := append(slices.Repeat([]float64{1}, 11), slices.Repeat([]float64{-1}, 10)...)
	if got, err := SignFlip(even); err != nil || got != 1 { // an odd number of ±1 never sums to 0
		t.Errorf("p of 11 against 10 is %v (%v), want 1", got, err)
	}
	for _, d := range [][]float64{nil, {1, math.NaN()}, {math.Inf(1)}} {
		if p, err := SignFlip(d); err == nil {
			t.Errorf("p of %v is %v, want an error", d, p)
		}
	}
}

func TestSmallestP(t *testing.T) {
	for pairs, want := range map[int]float64{0: 1, 1: 1, 2: 0.5, 5: 0.0625, 6: 0.03125, 10: 1.0 / 512} {
		if got := SmallestP(pairs); got != want {
			t.Errorf("%d pairs: %v, want %v", pairs, got, want)
		}
		if d := slices.Repeat([]float64{1}, pairs); pairs > 0 {
			if p, err := SignFlip(d); err != nil || p != want {
				t.Errorf("%d equal differences have p %v (%v), want the smallest, %v", pairs, p, err, want)
			}
		}
	}
}

// Under the null every reachable p is as likely as it says: with n pairs the sign-flip p is uniform on its grid.
func TestSignFlipIsUniformUnderTheNull(t *testing.T) {
	const n, draws = 8, 8000
	r := rand.New(rand.NewPCG(5, 5))
	counts := make([]int, 1<<(n-1)) // p·2ⁿ⁻¹ is 1…2ⁿ⁻¹ without ties
	for range draws {
		d := make([]float64, n)
		for i := range d {
			d[i] = r.ExpFloat64() - r.ExpFloat64()
		}
		p, err := SignFlip(d)
		if err != nil {
			t.Fatal(err)
		}
		counts[int(math.Round(p*float64(len(counts))))-1]++
	}
	expected, chi := float64(draws)/float64(len(counts)), 0.0
	for _, c := range counts {
		chi += (float64(c) - expected) * (float64(c) - expected) / expected
	}
	// χ² with 127 degrees of freedom has mean 127 and standard deviation 16.
	if chi > 127+4*16 {
		t.Errorf("χ² of p over its grid is %.0f, want about 127", chi)
	}
}

func TestBCa(t *testing.T) {
	for _, c := range []struct {
		name  string
		x     []float64
		level float64
		want  Interval
	}{
		// Means of resamples: −1 (¼), 0 (½), 1 (¼). Symmetric, so bias and acceleration are 0, and the ends are the quantiles.
		{"two values", []float64{-1, 1}, 0.95, Interval{-1, 1}},
		// The mean is k/4 with k ~ Bin(4, ¼), whose distribution function is 0.316, 0.738, 0.949, 0.996, 1. It is below its
		// expectation with probability 0.316 + 0.422/2 = 0.527: the bias is 0.0685. The acceleration is
		// (3·(−¼)³ + (¾)³)/(6·(3·(¼)² + (¾)²)^1.5) = 0.375/(6·0.6495) = 0.0962. At 85 % z = ±1.4395, so the upper end is
		// Φ(0.0685 + 1.508/(1 − 0.0962·1.508)) = Φ(1.8325) = 0.967: k = 3. A plain percentile, 0.925, would stop at k = 2.
		// The lower end is Φ(0.0685 − 1.371/(1 + 0.0962·1.371)) = Φ(−1.143) = 0.127: k = 0.
		{"skewed", []float64{0, 0, 0, 1}, 0.85, Interval{0, 0.75}},
		{"skewed to the left", []float64{0, 0, 0, -1}, 0.85, Interval{-0.75, 0}},
		{"constant", []float64{2, 2, 2}, 0.95, Interval{2, 2}},
	} {
		got, err := BCa(c.x, c.level, 1)
		if err != nil || !near(got.Low, c.want.Low) || !near(got.High, c.want.High) {
			t.Errorf("%s: %v (%v), want %v", c.name, got, err, c.want)
		}
	}
	for _, x := range [][]float64{nil, {1}, {1, math.NaN()}} {
		if got, err := BCa(x, Level, 1); err == nil {
			t.Errorf("interval of %v is %v, want an error", x, got)
		}
	}
	a, _ := BCa([]float64{1, 2, 4, 8}, Level, 1)
	b, _ := BCa([]float64{1, 2, 4, 8}, Level, 1)
	if a != b {
		t.Errorf("the same seed gives %v and %v", a, b)
	}
}

// How often intervals hold the true mean, over simulated differences: within 3 standard errors of what the documentation says.
func TestBCaCoverage(t *testing.T) {
	normal := func(r *rand.Rand) float64 { return r.NormFloat64() }
	for _, c := range []struct {
		n    int
		draw func(r *rand.Rand) float64 // of mean 0
		want float64
	}{
		{5, normal, 0.84},
		{10, normal, 0.90},
		{20, normal, 0.93},
		{20, func(r *rand.Rand) float64 { return r.ExpFloat64() - 1 }, 0.91},
	} {
		const rounds = 600
		r := rand.New(rand.NewPCG(11, uint64(c.n)))
		held := 0
		for round := range rounds {
			x := make([]float64, c.n)
			for i := range x {
				x[i] = c.draw(r)
			}
			interval, err := BCa(x, Level, uint64(round))
			if err != nil {
				t.Fatal(err)
			}
			if interval.Low <= 0 && 0 <= interval.High {
				held++
			}
		}
		got := float64(held) / rounds
		if math.Abs(got-c.want) > 3*math.Sqrt(c.want*(1-c.want)/rounds) {
			t.Errorf("n = %d: %.3f of the intervals hold the mean, want about %.2f", c.n, got, c.want)
		}
	}
}

func TestHolm(t *testing.T) {
	for _, c := range []struct{ p, want []float64 }{
		{nil, []float64{}},
		{[]float64{0.04}, []float64{0.04}},
		// Sorted 0.005, 0.01, 0.03, 0.04: times 4, 3, 2, 1 that is 0.02, 0.03, 0.06, 0.04, and none below the one before.
		{[]float64{0.01, 0.04, 0.03, 0.005}, []float64{0.03, 0.06, 0.06, 0.02}},
		{[]float64{0.6, 0.5}, []float64{1, 1}},
	} {
		got := Holm(c.p)
		if !slices.EqualFunc(got, c.want, near) {
			t.Errorf("of %v: %v, want %v", c.p, got, c.want)
		}
	}
}

func TestIQM(t *testing.T) {
	for _, c := range []struct {
		x    []float64
		want float64
	}{
		{nil, 0},
		{[]float64{1, 2, 6}, 3},        // a quarter of three is none
		{[]float64{100, 1, 2, 3}, 2.5}, // 1 and 100 are cut
		{[]float64{9, 8, 7, 6, 5, 4, 3, 2, 1, -50}, 4.5}, // two at either end: −50, 1 and 8, 9
	} {
		if got := IQM(c.x); !near(got, c.want) {
			t.Errorf("of %v: %v, want %v", c.x, got, c.want)
		}
	}
}

func TestImprovement(t *testing.T) {
	for _, c := range []struct {
		a, b []float64
		want float64
	}{
		{[]float64{1, 2}, []float64{3, 4}, 1},
		{[]float64{1, 4}, []float64{2, 4}, 0.625}, // 1<2, 1<4, 4>2, 4=4: 2.5 of 4
		{nil, []float64{1}, 0.5},
	} {
		if got := Improvement(c.a, c.b); got != c.want {
			t.Errorf("%v against %v: %v, want %v", c.a, c.b, got, c.want)
		}
	}
}
