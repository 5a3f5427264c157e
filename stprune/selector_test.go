package stprune_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stprune/workbench/stprune"
)

// draws is the number of selections behind each frequency. Seeds are fixed, so a bound once met is met always; bounds are
// Bonferroni-corrected, so that a correct selector meets them for almost every seed.
const draws = 100_000

// sampling is a run of independent draws: every epoch is pruned, nothing is observed in between.
func sampling(selector string, rho float64) stprune.Config {
	c := apart()
	c.Epochs, c.WarmUp, c.Delta, c.Rho = draws, 0, 1, rho
	c.Selector, c.Stationarity, c.WMax, c.Normalise = selector, "none", 0, false
	return c
}

// scored makes a pruner whose unit i has score scores[i]; a negative score leaves the unit unvisited.
func scored(tb testing.TB, c stprune.Config, scores []float64) stprune.Pruner {
	tb.Helper()
	c.Score = "loss"
	p, err := stprune.New(len(scores), c)
	if err != nil {
		tb.Fatal(err)
	}
	for i, s := range scores {
		if s >= 0 {
			if err := p.Observe([]int32{int32(i)}, stprune.Stats{stprune.Level: float32(s), stprune.NumStats - 1: 0}); err != nil {
				tb.Fatal(err)
			}
		}
	}
	return p
}

func plan(tb testing.TB, p stprune.Pruner, epoch int) stprune.Selection {
	tb.Helper()
	s, err := p.Plan(epoch)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// frequencies counts how often each unit is drawn, and checks every reported probability against want where want is given.
func frequencies(t *testing.T, p stprune.Pruner, n int, want []float64) []float64 {
	t.Helper()
	f := make([]float64, n)
	for e := range draws {
		s := plan(t, p, e)
		for j, id := range s.IDs {
			f[id]++
			if want != nil && math.Abs(float64(s.Prob[j])-want[id]) > 1e-6 {
				t.Fatalf("epoch %d, unit %d: reported π %v, want %v", e, id, s.Prob[j], want[id])
			}
		}
	}
	for i := range f {
		f[i] /= draws
	}
	return f
}

// sigmas bounds the largest of m standard normal deviates: exceeded with probability below 10⁻³ for m up to 100.
const sigmas = 4.5

func compare(t *testing.T, got, pi []float64) {
	t.Helper()
	for i, f := range got {
		if bound := sigmas * math.Sqrt(pi[i]*(1-pi[i])/draws); math.Abs(f-pi[i]) > bound+1e-12 {
			t.Errorf("unit %d: drawn in %.5f of the epochs, π = %.5f ± %.5f", i, f, pi[i], bound)
		}
	}
}

// proportional solves Σ min(1, c·x) = k by bisection: another way than the package's.
func proportional(x []float64, k int) []float64 {
	at := func(c float64) (pi []float64, sum float64) {
		for _, v := range x {
			pi = append(pi, min(1, c*v))
			sum += min(1, c*v)
		}
		return pi, sum
	}
	low, high := 0.0, 1.0
	for _, sum := at(high); sum < float64(k)-1e-9 && high < 1e12; _, sum = at(high) {
		high *= 2
	}
	for range 200 {
		if _, sum := at((low + high) / 2); sum < float64(k) {
			low = (low + high) / 2
		} else {
			high = (low + high) / 2
		}
	}
	pi, _ := at(high)
	return pi
}

func constant(n int, v float64) []float64 { return slices.Repeat([]float64{v}, n) }

// rising is n scores 1, 2, … n, in a scrambled order.
func rising(n int) []float64 {
	s := make([]float64, n)
	for i := range s {
		s[i] = float64(i*7%n + 1)
	}
	return s
}

func TestInclusionFrequencies(t *testing.T) {
	const n = 20
	skewed := rising(n)
	for i := range skewed {
		skewed[i] = math.Pow(skewed[i], 3)
	}
	withUnseen := rising(n)
	withUnseen[3], withUnseen[11] = -1, -1
	unseenSizes := slices.Clone(withUnseen) // never-visited units have the size of the highest score
	unseenSizes[3], unseenSizes[11] = slices.Max(withUnseen), slices.Max(withUnseen)
	roots := rising(n)
	for i := range roots {
		roots[i] = math.Sqrt(roots[i])
	}
	fewPositive := constant(n, 0)
	fewPositive[5], fewPositive[6] = 1, 2
	tied := constant(n, 1) // two above, six at the edge of the top four, the rest below
	for i := range 8 {
		tied[2*i] = 2
	}
	tied[0], tied[2] = 3, 4

	topOf := func(scores []float64, top int, k int) []float64 {
		sorted := slices.Sorted(slices.Values(scores))
		edge := sorted[n-top]
		pi := make([]float64, n)
		for i, s := range scores {
			pi[i] = float64(k-top) / float64(n-top)
			if s >= edge {
				pi[i] = 1
			}
		}
		return pi
	}
	for _, tc := range []struct {
		name   string
		rho    float64
		change func(c *stprune.Config)
		scores []float64
		want   []float64
	}{
		{"uniform", 0.3, nil, rising(n), constant(n, 0.3)},
		{"uniform", 0.85, nil, rising(n), constant(n, 0.85)},
		{"uniform", 0.35, func(c *stprune.Config) { c.InTime = true }, rising(n), constant(n, 0.35)},
		{"top+rest", 0.4, nil, rising(n), topOf(rising(n), 4, 8)},
		{"top+rest", 0.4, func(c *stprune.Config) { c.Alpha = 1 }, rising(n), topOf(rising(n), 8, 8)},
		{"top+rest", 0.4, func(c *stprune.Config) { c.Alpha = 0 }, rising(n), constant(n, 0.4)},
		{"top+rest ties", 0.4, nil, tied, func() []float64 {
			pi := constant(n, 4.0/16)
			for i, s := range tied {
				if s > 2 {
					pi[i] = 1
				} else if s == 2 {
					pi[i] = 2.0/6 + 4.0/6*4.0/16
				}
			}
			return pi
		}()},
		{"top+rest all equal", 0.4, nil, constant(n, 1), constant(n, 0.4)},
		{"top+rest none visited", 0.4, nil, constant(n, -1), constant(n, 0.4)},
		{"top+rest unseen first", 0.2, nil, withUnseen, topOf(unseenTop(withUnseen), 2, 4)},
		{"pps", 0.3, nil, rising(n), proportional(rising(n), 6)},
		{"pps capped", 0.6, nil, skewed, proportional(skewed, 12)},
		{"pps in time", 0.3, func(c *stprune.Config) { c.InTime = true }, rising(n), proportional(rising(n), 6)},
		{"pps γ=½", 0.3, func(c *stprune.Config) { c.Gamma = 0.5 }, rising(n), proportional(roots, 6)},
		{"pps γ=3", 0.3, func(c *stprune.Config) { c.Gamma = 3 }, rising(n), proportional(skewed, 6)},
		{"pps γ=0", 0.3, func(c *stprune.Config) { c.Gamma = 0 }, fewPositive, constant(n, 0.3)},
		{"pps unseen", 0.3, nil, withUnseen, proportional(unseenSizes, 6)},
		{"pps all equal", 0.3, nil, constant(n, 2), constant(n, 0.3)},
		{"pps all zero", 0.3, nil, constant(n, 0), constant(n, 0.3)},
		{"pps none visited", 0.3, nil, constant(n, -1), constant(n, 0.3)},
		{"pps two positive", 0.3, nil, fewPositive, func() []float64 {
			pi := constant(n, 4.0/18)
			pi[5], pi[6] = 1, 1
			return pi
		}()},
	} {
		t.Run(fmt.Sprintf("%s ρ=%v", tc.name, tc.rho), func(t *testing.T) {
			t.Parallel()
			selector, _, _ := strings.Cut(tc.name, " ")
			c := sampling(selector, tc.rho)
			if tc.change != nil {
				tc.change(&c)
			}
			compare(t, frequencies(t, scored(t, c, tc.scores), n, tc.want), tc.want)
		})
	}
}

// unseenTop gives units without a visit a score above all others.
func unseenTop(scores []float64) []float64 {
	s := slices.Clone(scores)
	for i, v := range s {
		if v < 0 {
			s[i] = math.Inf(1)
		}
	}
	return s
}

// With k = 1 the first of several exponential clocks rings with probability proportional to its rate: Gumbel-top-1 is exact pps.
func TestGumbelFirstDraw(t *testing.T) {
	const n = 12
	p := scored(t, sampling("gumbel", 1.0/n), rising(n))
	compare(t, frequencies(t, p, n, nil), proportional(rising(n), 1))
}

// Plackett–Luce: P(i in the first two) = p_i + Σ_j p_j p_i/(1−p_j).
func TestGumbelFirstTwo(t *testing.T) {
	const n = 8
	x := rising(n)
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	want := make([]float64, n)
	for i := range x {
		want[i] = x[i] / sum
		for j := range x {
			if j != i {
				want[i] += x[j] / sum * x[i] / (sum - x[j])
			}
		}
	}
	compare(t, frequencies(t, scored(t, sampling("gumbel", 0.25), x), n, nil), want)
}

// Where all units are alike, all subsets are equally likely, not only all units: χ² over the 35 subsets of 3 of 7. For pps this
// needs the random order.
func TestSubsets(t *testing.T) {
	c := sampling("pps", 3.0/7)
	random, err := stprune.NewUniform(7, c)
	if err != nil {
		t.Fatal(err)
	}
	gumbel, top := sampling("gumbel", 3.0/7), sampling("top+rest", 3.0/7)
	for name, p := range map[string]stprune.Pruner{
		"random":   random,
		"pps":      scored(t, c, constant(7, 0.5)),
		"gumbel":   scored(t, gumbel, constant(7, 0.5)),
		"top+rest": scored(t, top, constant(7, 0.5)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			counts := map[[3]int32]float64{}
			for e := range draws {
				counts[[3]int32(plan(t, p, e).IDs)]++
			}
			if len(counts) != 35 {
				t.Fatalf("%d different subsets; there are 35", len(counts))
			}
			chi, want := 0.0, float64(draws)/35
			for _, c := range counts {
				chi += (c - want) * (c - want) / want
			}
			if chi > 74 { // 34 degrees of freedom: exceeded with probability 10⁻⁴
				t.Errorf("χ² = %.1f over 35 subsets", chi)
			}
		})
	}
}

// Horvitz–Thompson: with κ = 1, z = 1, no limit and no normalisation the weighted sum estimates the full sum without bias.
func TestWeightedSumUnbiased(t *testing.T) {
	const n = 20
	values, total := make([]float64, n), 0.0
	for i := range values {
		values[i] = math.Sin(float64(i)) + 2
		total += values[i]
	}
	ties := rising(n)
	for i := range ties {
		ties[i] = math.Ceil(ties[i] / 5)
	}
	for _, selector := range []string{"top+rest", "pps", "gumbel", "uniform"} {
		for name, scores := range map[string][]float64{"distinct": rising(n), "ties": ties, "unvisited": constant(n, -1)} {
			t.Run(selector+"/"+name, func(t *testing.T) {
				t.Parallel()
				p := scored(t, sampling(selector, 0.3), scores)
				var sum, squares float64
				for e := range draws {
					s, estimate := plan(t, p, e), 0.0
					for j, id := range s.IDs {
						estimate += float64(s.Weight[j]) * values[id]
					}
					sum += estimate
					squares += estimate * estimate
				}
				mean := sum / draws
				sd := math.Sqrt((squares/draws - mean*mean) / draws)
				if math.Abs(mean-total) > 4*sd+1e-4 {
					t.Errorf("mean of the weighted sums %.4f ± %.4f, full sum %.4f", mean, sd, total)
				}
			})
		}
	}
}

func TestExactSize(t *testing.T) {
	const n = 1013
	mixed := make([]float64, n)
	r := stprune.Stream(3, "test", 0)
	for i := range mixed {
		switch i % 4 {
		case 0:
			mixed[i] = float64(r.IntN(5)) // zeros and ties
		case 1:
			mixed[i] = math.Exp(20 * r.NormFloat64()) // 17 orders of magnitude and more
		case 2:
			mixed[i] = -1 // never visited
		default:
			mixed[i] = r.Float64()
		}
	}
	for _, selector := range []string{"top+rest", "pps", "gumbel", "uniform"} {
		for name, scores := range map[string][]float64{"mixed": mixed, "zero": constant(n, 0), "equal": constant(n, 0.7), "unvisited": constant(n, -1)} {
			for percent := 1; percent <= 100; percent++ {
				c := sampling(selector, float64(percent)/100)
				c.Epochs = 3
				p := scored(t, c, scores)
				want := int(math.Round(float64(percent) / 100 * n))
				for e := range 3 {
					s := plan(t, p, e)
					if percent == 100 {
						if !s.All || s.IDs != nil || s.Diagnostics.Kept != n {
							t.Fatalf("%s/%s at 100 %%: %+v, want all units", selector, name, s)
						}
						continue
					}
					if len(s.IDs) != want || len(s.Weight) != want || len(s.Prob) != want || p.Keep(e) != want {
						t.Fatalf("%s/%s at %d %%: %d units, %d weights, %d probabilities, Keep %d; want %d",
							selector, name, percent, len(s.IDs), len(s.Weight), len(s.Prob), p.Keep(e), want)
					}
					for j, id := range s.IDs {
						if id < 0 || id >= n || j > 0 && id <= s.IDs[j-1] {
							t.Fatalf("%s/%s at %d %%: ids are not ascending and unique: %d at %d", selector, name, percent, id, j)
						}
						if pi := s.Prob[j]; !(pi > 0 && pi <= 1) || !(s.Weight[j] >= 0.9999) {
							t.Fatalf("%s/%s at %d %%: unit %d has π %v and weight %v", selector, name, percent, id, pi, s.Weight[j])
						}
					}
				}
			}
		}
	}
}

// A relabelling of the units relabels the plan's distribution, and nothing else.
func TestPermutationEquivariance(t *testing.T) {
	const n = 15
	scores := rising(n)
	relabel := stprune.Stream(5, "test", 0).Perm(n)
	moved := make([]float64, n)
	for i, to := range relabel {
		moved[to] = scores[i]
	}
	for _, selector := range []string{"top+rest", "pps", "gumbel", "uniform"} {
		t.Run(selector, func(t *testing.T) {
			t.Parallel()
			c := sampling(selector, 0.4)
			before := frequencies(t, scored(t, c, scores), n, nil)
			c.Seed++
			after := frequencies(t, scored(t, c, moved), n, nil)
			for i, to := range relabel {
				p := (before[i] + after[to]) / 2
				if math.Abs(before[i]-after[to]) > sigmas*math.Sqrt(2*p*(1-p)/draws) {
					t.Errorf("unit %d: drawn in %.4f of the epochs, as unit %d in %.4f", i, before[i], to, after[to])
				}
			}
		})
	}
}

// Systematic sampling in time leaves no long gap: neighbours in a uniform draw are n/k apart, to within one unit.
func TestInTimeIsEven(t *testing.T) {
	const n = 1000
	c := sampling("uniform", 0.03)
	c.InTime = true
	p, err := stprune.NewUniform(n, c)
	if err != nil {
		t.Fatal(err)
	}
	for e := range 100 {
		ids := plan(t, p, e).IDs
		for j := 1; j < len(ids); j++ {
			if gap := ids[j] - ids[j-1]; gap != 33 && gap != 34 {
				t.Fatalf("epoch %d: gap of %d between neighbours, want 33 or 34", e, gap)
			}
		}
	}
}

func TestStreams(t *testing.T) {
	if a, b := stprune.Stream(1, "order", 2).Uint64(), stprune.Stream(1, "order", 2).Uint64(); a != b {
		t.Errorf("the same stream gives %x and %x", a, b)
	}
	seen := map[uint64]string{}
	for seed := range uint64(30) {
		for epoch := range 30 {
			for _, purpose := range []string{"selection", "order", "init", "dropout", "1"} {
				name := fmt.Sprintf("%d %q %d", seed, purpose, epoch)
				first := stprune.Stream(seed, purpose, epoch).Uint64()
				if other, ok := seen[first]; ok {
					t.Fatalf("streams %s and %s are the same", name, other)
				}
				seen[first] = name
			}
		}
	}
}
