// Package stats says what the errors of two ways of training prove when both were trained under the same seeds: the difference
// with its interval, the chance of seeing it when nothing differs, and a verdict. It is plain Go.
//
// Runs under few seeds can't prove everything. With n pairs the sign-flip test never goes below [SmallestP], so that 5 seeds
// never reach 0.05; and over samples this small the interval covers somewhat less than it says (see [BCa]). A [Verdict] of a
// difference therefore asks for both.
//
// Several tests are either adjusted, so that none of a family is likely to be a false finding ([Holm]), which with few seeds leaves
// nothing to find (see [Seeds]); or they are asked one question together: whether a method is better than all others ([JudgeAll]).
package stats

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

const (
	Resamples = 10_000 // bootstrap samples of [BCa]
	Level     = 0.95   // of intervals
	Alpha     = 0.05   // largest p that counts as proof
	Floor     = 0.005  // default share of the reference below which a difference is none
	exact     = 20     // pairs up to which [SignFlip] tries all signs
	draws     = 1 << 17
)

// Interval holds the true value with the probability that it was made for.
type Interval struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// BCa is the bias-corrected and accelerated bootstrap interval of the mean (Efron 1987), for at least 2 values.
//
// In simulations an interval of 95 % held the mean of a normal distribution in 84 % of samples of 5 values, 90 % of 10, 93 % of
// 20; of an exponential one in 80, 88 and 91 %.
func BCa(x []float64, level float64, seed uint64) (Interval, error) {
	if len(x) < 2 {
		return Interval{}, fmt.Errorf("bootstrap: %d values; use at least 2 seeds", len(x))
	}
	if err := finite("bootstrap", x); err != nil {
		return Interval{}, err
	}
	n := float64(len(x))
	mean := stat.Mean(x, nil)
	r := rand.New(rand.NewPCG(seed, uint64(len(x))))
	means, below := make([]float64, Resamples), 0.0
	for i := range means {
		for range x {
			means[i] += x[r.IntN(len(x))] / n
		}
		switch d := means[i] - mean; {
		case math.Abs(d) <= rounding*math.Abs(mean):
			below += 0.5
		case d < 0:
			below++
		}
	}
	slices.Sort(means)

	// The jackknife's means deviate from the mean by (mean − x)/(n−1); the factor falls out of the acceleration.
	squares, cubes := 0.0, 0.0
	for _, v := range x {
		d := v - mean
		squares, cubes = squares+d*d, cubes+d*d*d
	}
	acceleration := 0.0
	if squares > 0 {
		acceleration = cubes / (6 * math.Pow(squares, 1.5))
	}
	share := min(max(below/Resamples, 0.5/Resamples), 1-0.5/Resamples)
	bias := distuv.UnitNormal.Quantile(share)
	end := func(p float64) float64 {
		z := bias + distuv.UnitNormal.Quantile(p)
		p = distuv.UnitNormal.CDF(bias + z/(1-acceleration*z)) // |acceleration| ≤ 1/6 and |z| < 6
		return stat.Quantile(p, stat.Empirical, means, nil)
	}
	return Interval{Low: end((1 - level) / 2), High: end((1 + level) / 2)}, nil
}

// rounding is the share by which sums of the same numbers in another order may differ.
const rounding = 1e-12

func finite(what string, x []float64) error {
	for i, v := range x {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("%s: value %d is %v; leave that run out", what, i+1, v)
		}
	}
	return nil
}

// SignFlip is the two-sided p of the paired permutation test: the share of all 2ⁿ choices of signs under which the mean
// difference is at least as large as it is. With more than 20 pairs 2¹⁷ choices are drawn at random, always the same.
func SignFlip(differences []float64) (p float64, err error) {
	if len(differences) == 0 {
		return 0, fmt.Errorf("sign-flip test: no differences; use at least 1 seed")
	}
	if err := finite("sign-flip test", differences); err != nil {
		return 0, err
	}
	sum, size := 0.0, 0.0
	for _, d := range differences {
		sum, size = sum+d, size+math.Abs(d)
	}
	least := math.Abs(sum) - rounding*size
	if len(differences) > exact {
		return drawnSigns(differences, least), nil
	}
	var extreme func(rest []float64, sum float64) int
	extreme = func(rest []float64, sum float64) int {
		switch {
		case len(rest) > 0:
			return extreme(rest[1:], sum+rest[0]) + extreme(rest[1:], sum-rest[0])
		case math.Abs(sum) >= least:
			return 1
		}
		return 0
	}
	// The first sign stays: flipping all signs changes nothing of the size.
	count := extreme(differences[1:], differences[0])
	return float64(count) / float64(int(1)<<(len(differences)-1)), nil
}

func drawnSigns(differences []float64, least float64) float64 {
	r := rand.New(rand.NewPCG(0, uint64(len(differences))))
	count := 1 // the signs as they are
	for range draws {
		sum, bits := 0.0, uint64(0)
		for i, d := range differences {
			if i%64 == 0 {
				bits = r.Uint64()
			}
			if bits&1 == 0 {
				d = -d
			}
			sum, bits = sum+d, bits>>1
		}
		if math.Abs(sum) >= least {
			count++
		}
	}
	return float64(count) / (draws + 1)
}

// SmallestP is the smallest two-sided p that [SignFlip] can give with that many pairs: 0.0625 with 5, 0.03125 with 6.
func SmallestP(pairs int) float64 {
	if pairs > exact {
		return 1.0 / (draws + 1)
	}
	return math.Pow(2, 1-float64(max(1, pairs)))
}

// Seeds is the smallest number of pairs with which p can reach [Alpha] adjusted over a family of so many tests: 6 for one, 10 for 13.
// 0 when no number does.
func Seeds(family int) int {
	for pairs := 1; pairs <= exact; pairs++ {
		if float64(family)*SmallestP(pairs) <= Alpha {
			return pairs
		}
	}
	return 0
}

// Holm adjusts the p of a family of tests (Holm 1979), in the order given: among those at most 0.05 there is a false finding with
// a chance of at most 5 %.
func Holm(p []float64) []float64 {
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p[a], p[b]) })
	adjusted, largest := make([]float64, len(p)), 0.0
	for rank, i := range order {
		largest = max(largest, min(1, float64(len(p)-rank)*p[i]))
		adjusted[i] = largest
	}
	return adjusted
}

// IQM is the interquartile mean: a quarter of the values, rounded down, is left out at either end. 0 without values.
func IQM(x []float64) float64 {
	if len(x) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(x))
	cut := len(x) / 4
	return stat.Mean(sorted[cut:len(x)-cut], nil)
}

// Improvement is the probability that a run of a has a smaller error than a run of b, any seed against any; ties count half.
// 0.5 without runs.
func Improvement(a, b []float64) float64 {
	if len(a) == 0 || len(b) == 0 {
		return 0.5
	}
	sum := 0.0
	for _, x := range a {
		for _, y := range b {
			switch {
			case x < y:
				sum++
			case x == y:
				sum += 0.5
			}
		}
	}
	return sum / float64(len(a)*len(b))
}
