package method

import (
	"math/rand/v2"

	"github.com/stprune/workbench/stprune"
)

var ies = Method{
	Name: "ies", Kind: Dynamic,
	Paper:   "Yuan et al., ICLR 2025, arXiv 2502.07547; code tmllab/2025_ICLR_IES@fd51090",
	Rule:    "units are mastered, and not trained on, while the mean of their last three absolute second differences of the loss is below a threshold; they are passed forward in each epoch, so that they can return; weight 1",
	Cost:    "O(n) time, 24 bytes a unit; a forward pass of each unit that is left out",
	Differs: "the threshold counts in z-scored MAE; with quantile the retention of the schedule takes its place, and differences are compared in units of their data set's mean",
	Needs:   Needs{Forward: true},
	Options: []Option{
		{Key: "threshold", Default: 1e-3, Low: 0, High: 1e6, Doc: "a unit is mastered below it; not read with quantile"},
		{Key: "quantile", Default: false, Doc: "leave out the units with the smallest differences, as many as the retention asks for"},
	},
	New: newIES,
}

func newIES(s Setup) (stprune.Pruner, error) {
	l, err := newLosses("ies", s, 0)
	if err != nil {
		return nil, err
	}
	p := &mastery{losses: l, threshold: s.float("threshold"), quantile: s.bool("quantile")}
	for range needed - 2 { // the last loss is there, and the sixth is never looked at
		p.before = append(p.before, p.column(unseen))
	}
	p.visits = p.column(0)
	return p, nil
}

// needed is the number of losses before a unit can be mastered: the reference waits for four second differences.
const needed = 6

type mastery struct {
	losses
	threshold float64
	quantile  bool
	before    [][]float32 // the four losses before the last, the latest first
	visits    []float32   // [n] losses so far: one in each epoch, from training or forward
}

func (p *mastery) Observe(ids []int32, stats stprune.Stats) error {
	if err := stprune.CheckObservation(p.Units(), ids, stats); err != nil {
		return err
	}
	for j, id := range ids {
		for b := len(p.before) - 1; b > 0; b-- {
			p.before[b][id] = p.before[b-1][id]
		}
		p.before[0][id] = p.loss[id]
		p.remember(id, stats[j*stprune.NumStats+stprune.Level])
		p.visits[id]++
	}
	return nil
}

// bend is the mean of the last three absolute second differences of each unit's loss, +Inf where there are too few losses.
func (p *mastery) bend() []float32 {
	bend := make([]float32, p.Units())
	for i := range bend {
		if bend[i] = unseen; p.visits[i] < needed {
			continue
		}
		a, b, c, d, e := p.loss[i], p.before[0][i], p.before[1][i], p.before[2][i], p.before[3][i]
		bend[i] = (abs(a-2*b+c) + abs(b-2*c+d) + abs(c-2*d+e)) / 3
	}
	return bend
}

func abs(v float32) float32 { return max(v, -v) }

// Keep is the largest number of units: how many are mastered isn't known in advance. With quantile it is the scheduled number,
// as soon as every unit has losses enough.
func (p *mastery) Keep(epoch int) int {
	k := p.losses.Keep(epoch)
	if k > 0 && (!p.quantile || epoch < needed) {
		return p.Units()
	}
	return k
}

func (p *mastery) Plan(epoch int) (stprune.Selection, error) {
	return p.plan(epoch, func(r *rand.Rand, k int) stprune.Selection {
		bend, kept := p.bend(), 0
		for _, v := range bend {
			if v == unseen || !p.quantile && float64(v) >= p.threshold {
				kept++
			}
		}
		if p.quantile {
			kept, bend = max(kept, k), stprune.Standardised(bend, p.groups)
		} else {
			kept = max(kept, p.minUnits)
		}
		if kept == p.Units() {
			return stprune.Everything(kept)
		}
		ids, _ := largest(r, bend, kept)
		return selected(p.Units(), ids, nil, nil)
	})
}

// Forward may be called before or after the steps of the epoch.
func (p *mastery) Forward(epoch int) []int32 {
	trained := make([]bool, p.Units())
	begun := false
	for i, v := range p.visits {
		trained[i] = int(v) > epoch
		begun = begun || trained[i]
	}
	if !begun {
		s, err := p.Plan(epoch)
		if err != nil || s.All {
			return nil
		}
		for _, id := range s.IDs {
			trained[id] = true
		}
	}
	var ids []int32
	for i, t := range trained {
		if !t {
			ids = append(ids, int32(i))
		}
	}
	return ids
}
