package method

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/stprune/workbench/stprune"
)

var unseen = float32(math.Inf(1)) // the loss of a unit never visited: above all others

// losses is what most dynamic methods are made on: a schedule, and the last or a running loss of every unit.
type losses struct {
	stprune.Schedule
	name     string
	seed     uint64
	groups   []int
	minUnits int
	beta     float32     // loss ← β·loss + (1−β)·new at each visit but the first
	loss     []float32   // [n] masked z-scored MAE
	columns  [][]float32 // the state: loss and what else a method keeps, [n] each
}

func newLosses(name string, s Setup, beta float64) (losses, error) {
	schedule, err := s.Config.Schedule(s.Units)
	if err != nil {
		return losses{}, err
	}
	if err := stprune.CheckGroups(s.Units, s.Groups); err != nil {
		return losses{}, err
	}
	l := losses{Schedule: schedule, name: name, seed: s.Config.Seed, groups: s.Groups, minUnits: s.Config.MinUnits, beta: float32(beta)}
	l.loss = l.column(unseen)
	return l, nil
}

// column adds numbers [n] to the state.
func (l *losses) column(value float32) []float32 {
	c := slices.Repeat([]float32{value}, l.Units())
	l.columns = append(l.columns, c)
	return c
}

func (l *losses) Observe(ids []int32, stats stprune.Stats) error {
	if err := stprune.CheckObservation(l.Units(), ids, stats); err != nil {
		return err
	}
	for j, id := range ids {
		l.remember(id, stats[j*stprune.NumStats+stprune.Level])
	}
	return nil
}

func (l *losses) remember(id int32, loss float32) {
	if old := l.loss[id]; old != unseen {
		loss = l.beta*old + (1-l.beta)*loss
	}
	l.loss[id] = loss
}

func (l *losses) Scores() []float32 { return l.loss }

func (l *losses) MarshalBinary() ([]byte, error) {
	return stprune.EncodeState(l.name, l.Units(), l.columns...), nil
}

func (l *losses) UnmarshalBinary(data []byte) error {
	columns, err := stprune.DecodeState(data, l.name, l.Units(), len(l.columns))
	if err != nil {
		return err
	}
	for i, c := range columns {
		copy(l.columns[i], c)
	}
	return nil
}

// compared is the losses in units of their group's mean.
func (l *losses) compared() []float32 { return stprune.Standardised(l.loss, l.groups) }

// plan is everything in full epochs, and what choose makes of the epoch's random stream and the scheduled number k of units,
// 0 < k < n, in the others.
func (l *losses) plan(epoch int, choose func(r *rand.Rand, k int) stprune.Selection) (stprune.Selection, error) {
	if err := l.CheckEpoch(epoch); err != nil {
		return stprune.Selection{}, err
	}
	s := stprune.Everything(l.Units())
	if !l.Full(epoch) {
		s = choose(stprune.Stream(l.seed, "selection", epoch), l.Keep(epoch))
	}
	s.Diagnostics.ScoreCV, s.Diagnostics.Unseen = stprune.Spread(l.loss)
	return s, nil
}

// selected is the selection of units of n, with weights and inclusion probabilities where they are not nil.
func selected(n int, ids []int32, weight, prob []float32) stprune.Selection {
	if len(ids) == n && weight == nil {
		return stprune.Everything(n)
	}
	s := stprune.Selection{IDs: ids, Weight: weight, Prob: prob}
	s.Diagnostics = stprune.Diagnostics{Kept: len(ids), EffectiveSize: float64(len(ids)), MaxWeight: 1}
	if weight != nil {
		var sum, squares, top float64
		for _, w := range weight {
			sum += float64(w)
			squares += float64(w) * float64(w)
			top = max(top, float64(w))
		}
		s.Diagnostics.EffectiveSize, s.Diagnostics.MaxWeight = sum/squares*sum, top
	}
	return s
}

// largest draws the units with the k highest scores, those that tie at the edge by lot.
var largest = stprune.Config{Selector: "top+rest", Alpha: 1}.Draw()
