package stats

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat"
)

// Verdict is what a comparison of errors proves, see [Judge].
type Verdict string

// The verdicts.
const (
	Better         Verdict = "better" // smaller errors than the reference
	Worse          Verdict = "worse"
	NoDifference   Verdict = "no difference"    // smaller than the floor; its interval says how sure that is
	Undecided      Verdict = "undecided"        // beyond the floor, and not proven
	NotEnoughSeeds Verdict = "not enough seeds" // with so few, no difference could have been proven
)

// Paired compares the errors of two ways of training, pair by pair of runs under equal seeds.
type Paired struct {
	Pairs       int       `json:"pairs"`
	Difference  float64   `json:"difference"`  // mean of error − reference's error; negative is better
	Relative    float64   `json:"relative"`    // Difference over the reference's mean
	Interval    *Interval `json:"interval"`    // BCa, of Difference; null with one pair
	P           float64   `json:"p"`           // of the sign-flip test
	Holm        float64   `json:"holm"`        // P adjusted over the family, by Judge
	Improvement float64   `json:"improvement"` // probability that any run is better than any of the reference's
	Verdict     Verdict   `json:"verdict"`     // by Judge
}

// Compare pairs errors with a reference's under the same seeds; both are above 0 and in the same order. [Judge] completes it.
func Compare(errors, reference []float64) (Paired, error) {
	if len(errors) != len(reference) || len(errors) == 0 {
		return Paired{}, fmt.Errorf("paired comparison: %d errors and %d of the reference; want as many of both, and at least 1", len(errors), len(reference))
	}
	base := stat.Mean(reference, nil)
	if !(base > 0) {
		return Paired{}, fmt.Errorf("paired comparison: the reference's mean error is %v; want a number above 0", base)
	}
	differences := make([]float64, len(errors))
	for i, e := range errors {
		differences[i] = e - reference[i]
	}
	p, err := SignFlip(differences)
	if err != nil {
		return Paired{}, err
	}
	mean := stat.Mean(differences, nil)
	c := Paired{
		Pairs: len(errors), Difference: mean, Relative: mean / base, P: p, Holm: p,
		Improvement: Improvement(errors, reference), Verdict: NotEnoughSeeds,
	}
	if len(errors) > 1 {
		interval, err := BCa(differences, Level, 1)
		if err != nil {
			return Paired{}, err
		}
		c.Interval = &interval
	}
	return c, nil
}

// Judge adjusts p over a family of comparisons and gives the verdicts. A difference is better or worse when its adjusted p is
// at most [Alpha], its interval leaves out 0, and its size is at least floor, a share of the reference. Smaller ones are no
// difference, others undecided. Where even the smallest p that the pairs can give stays above Alpha once adjusted, there are not
// enough seeds.
func Judge(family []*Paired, floor float64) {
	p := make([]float64, len(family))
	for i, c := range family {
		p[i] = c.P
	}
	for i, adjusted := range Holm(p) {
		c := family[i]
		c.Holm = adjusted
		switch {
		case c.Interval == nil || float64(len(family))*SmallestP(c.Pairs) > Alpha && adjusted > Alpha: // Holm's steps may be smaller
			c.Verdict = NotEnoughSeeds
		case math.Abs(c.Relative) < floor || c.Difference == 0:
			c.Verdict = NoDifference
		case c.Holm <= Alpha && c.Interval.High < 0:
			c.Verdict = Better
		case c.Holm <= Alpha && c.Interval.Low > 0:
			c.Verdict = Worse
		default:
			c.Verdict = Undecided
		}
	}
}

// All is what comparisons with several others prove together, see [JudgeAll].
type All struct {
	Of      int     `json:"of"`
	Better  int     `json:"better"` // than so many of them, each tested by itself
	Worse   int     `json:"worse"`
	P       float64 `json:"p"` // that it is better than all; 1 where the mean difference from any is not below 0
	Verdict Verdict `json:"verdict"`
}

// JudgeAll tests whether errors are smaller than those of every other one that they are compared with: an intersection-union test
// (Berger, "Multiparameter Hypothesis Testing and Acceptance Sampling", Technometrics 1982). It claims something only where each
// test by itself, at [Alpha], does, so that its p is the largest of theirs, and needs no adjustment however many there are; its
// chance of a false claim is at most Alpha. Counts short of all are of unadjusted tests and prove nothing together. The verdict is
// better, not enough seeds, or undecided.
func JudgeAll(comparisons []Paired, floor float64) All {
	a := All{Of: len(comparisons), Verdict: Undecided}
	for _, c := range comparisons {
		Judge([]*Paired{&c}, floor)
		switch c.Verdict {
		case Better:
			a.Better++
		case Worse:
			a.Worse++
		case NotEnoughSeeds:
			a.Verdict = NotEnoughSeeds
		}
		if c.Difference >= 0 {
			c.P = 1
		}
		a.P = max(a.P, c.P)
	}
	if a.Of > 0 && a.Better == a.Of {
		a.Verdict = Better
	}
	return a
}
