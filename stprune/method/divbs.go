package method

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"

	"github.com/stprune/workbench/stprune"
)

var divBS = Method{
	Name: "divbs", Kind: Batch,
	Paper:   "Hong et al., ICML 2024, arXiv 2406.04872; code Feng-Hong/DivBS@33ae106",
	Rule:    "of each candidate batch the units whose last-layer gradients g explain its mean gradient: again and again one is drawn in proportion to |g·residual|, and its part orthogonal to the earlier ones is taken out of the residual; weight 1",
	Cost:    "a forward pass of all units; b·k·D + k²·D multiplications for k of b candidates with D numbers each",
	Differs: "a unit is chosen once only, where the code may draw it twice; gradients may be projected at random. The paper takes the largest |g·residual|, its code draws: option greedy",
	Options: []Option{
		{Key: "greedy", Default: false, Doc: "take the unit with the largest |g·residual| instead of drawing"},
	},
	New: func(s Setup) (stprune.Pruner, error) {
		schedule, err := s.Config.Schedule(s.Units)
		if err != nil {
			return nil, err
		}
		return &diverse{Schedule: schedule, seed: s.Config.Seed, greedy: s.bool("greedy")}, nil
	},
}

// diverse keeps nothing between epochs. Its Keep, the schedule's, is the number of units trained on, but for what the last
// candidate batch lacks.
type diverse struct {
	stprune.Schedule
	seed   uint64
	greedy bool
}

// Plan is all units, as candidates in pruned epochs.
func (p *diverse) Plan(epoch int) (stprune.Selection, error) {
	if err := p.CheckEpoch(epoch); err != nil {
		return stprune.Selection{}, err
	}
	return stprune.Everything(p.Units()), nil
}

func (p *diverse) Candidates(epoch, target int) int {
	n, k := p.Units(), p.Keep(epoch)
	if k == 0 || k == n {
		return 0
	}
	return min(n, int(math.Round(float64(target)*float64(n)/float64(k))))
}

func (p *diverse) Choose(epoch, step, target int, ids []int32, gradients []float32) ([]int32, error) {
	if len(ids) == 0 || len(gradients)%len(ids) != 0 {
		return nil, fmt.Errorf("prune: %d numbers for the gradients of %d units; expected as many for each", len(gradients), len(ids))
	}
	d := len(gradients) / len(ids)
	for i, v := range gradients {
		if v-v != 0 {
			return nil, fmt.Errorf("prune: gradient of unit %d is %v at place %d; expected finite numbers: the loss has diverged", ids[i/d], v, i%d)
		}
	}
	r := stprune.Stream(p.seed, fmt.Sprint("choice ", step), epoch)
	pick := floats.MaxIdx
	if !p.greedy {
		pick = func(correlation []float64) int {
			point, last := r.Float64()*floats.Sum(correlation), 0
			for i, c := range correlation {
				if c > 0 {
					if last = i; point < c {
						break
					}
					point -= c
				}
			}
			return last
		}
	}
	chosen := DivBS(gradients, len(ids), target, pick)
	if short := min(target, len(ids)) - len(chosen); short > 0 { // nothing is left to explain
		var others []int32
		for i := range int32(len(ids)) {
			if !slices.Contains(chosen, i) {
				others = append(others, i)
			}
		}
		for _, i := range stprune.Sample(r, len(others), short) {
			chosen = append(chosen, others[i])
		}
	}
	slices.Sort(chosen)
	return chosen, nil
}

// DivBS chooses at most k of n gradients [n,D], row-major, in the order of their choice. pick gets |g·residual| of all, 0 for those
// chosen already, and says which is next. When none of the mean gradient is left to explain, it ends.
func DivBS(gradients []float32, n, k int, pick func(correlation []float64) int) []int32 {
	if n < 1 {
		return nil
	}
	d := len(gradients) / n
	row := func(into []float64, i int) []float64 {
		for j, v := range gradients[i*d : (i+1)*d] {
			into[j] = float64(v)
		}
		return into
	}
	g, residual, correlation := make([]float64, d), make([]float64, d), make([]float64, n)
	for i := range n {
		floats.AddScaled(residual, 1/float64(n), row(g, i))
	}
	all := floats.Norm(residual, 2)
	var chosen []int32
	var basis [][]float64 // orthonormal, of the chosen gradients
	for len(chosen) < min(k, n) {
		for i := range n {
			correlation[i] = math.Abs(floats.Dot(row(g, i), residual))
		}
		for _, i := range chosen {
			correlation[i] = 0
		}
		if floats.Norm(residual, 2) <= 1e-9*all || floats.Max(correlation) == 0 {
			break
		}
		next := pick(correlation)
		chosen = append(chosen, int32(next))
		direction := row(make([]float64, d), next)
		length := floats.Norm(direction, 2)
		for _, b := range basis {
			floats.AddScaled(direction, -floats.Dot(b, direction), b)
		}
		left := floats.Norm(direction, 2)
		if left <= 1e-9*length { // in the span of the earlier ones
			continue
		}
		floats.Scale(1/left, direction)
		basis = append(basis, direction)
		floats.AddScaled(residual, -floats.Dot(direction, residual), direction)
	}
	return chosen
}

func (p *diverse) Observe(ids []int32, stats stprune.Stats) error {
	return stprune.CheckObservation(p.Units(), ids, stats)
}

func (p *diverse) MarshalBinary() ([]byte, error) {
	return stprune.EncodeState("divbs", p.Units()), nil
}

func (p *diverse) UnmarshalBinary(data []byte) error {
	_, err := stprune.DecodeState(data, "divbs", p.Units(), 0)
	return err
}
