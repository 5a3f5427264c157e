package stprune

import (
	"fmt"
	"math"
)

// scoreFunc returns the score of one row [NumStats].
func (c Config) scoreFunc() func(row Stats) float32 {
	switch c.Score {
	case "loss":
		return func(row Stats) float32 { return row[Level] }
	case "coherence":
		epsilon := float32(c.Epsilon)
		return func(row Stats) float32 { return row[Coherence] + epsilon }
	}
	s, t, g := float32(c.LambdaS), float32(c.LambdaT), float32(c.LambdaG)
	return func(row Stats) float32 {
		return row[Level] + s*row[Spatial] + t*row[Temporal] + g*row[Rough]
	}
}

var never = float32(math.Inf(1)) // the score of a unit never visited: above all others

// memory keeps the score of every unit between visits.
type memory struct {
	of          func(row Stats) float32
	beta        float32
	nonNegative bool // the selector takes scores as sizes

	score  []float32 // [n] S; never before the first visit
	change []float32 // [n] |S(e) − S(e′)| between the last two visits, −1 before the second; nil when not wanted
	fresh  []float32 // scores of the batch at hand
}

func newMemory(n int, of func(row Stats) float32, beta float64, nonNegative, changes bool) *memory {
	m := &memory{of: of, beta: float32(beta), nonNegative: nonNegative, score: filled(n, never)}
	if changes {
		m.change = filled(n, -1)
	}
	return m
}

func filled(n int, value float32) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = value
	}
	return s
}

// observe updates the scores of the units ids, or none of them when anything is wrong.
func (m *memory) observe(ids []int32, stats Stats) error {
	if err := CheckObservation(len(m.score), ids, stats); err != nil {
		return err
	}
	m.fresh = m.fresh[:0]
	for j, id := range ids {
		s := m.of(stats[j*NumStats : (j+1)*NumStats])
		if !finite(s) {
			return fmt.Errorf("prune: the score of unit %d is %v; scores must be finite: mend the score function or lower its terms", id, s)
		}
		if m.nonNegative && s < 0 {
			return fmt.Errorf("prune: the score of unit %d is %v; this selector draws in proportion to scores, which must not be negative: "+
				"shift or clip them, or set selector to \"top+rest\"", id, s)
		}
		m.fresh = append(m.fresh, s)
	}
	for j, id := range ids {
		s, old := m.fresh[j], m.score[id]
		if old != never {
			s = m.beta*old + (1-m.beta)*s
			if m.change != nil {
				m.change[id] = min(math.MaxFloat32, max(s-old, old-s))
			}
		}
		m.score[id] = s
	}
	return nil
}

// check refuses scores and changes that no observation can have left behind.
func (m *memory) check(score, change []float32) error {
	for id, s := range score {
		if s != never && (!finite(s) || m.nonNegative && s < 0) {
			return fmt.Errorf("prune: the state holds score %v for unit %d; restore it under the settings it was saved with, or start anew", s, id)
		}
	}
	for id, d := range change {
		if !finite(d) || d < 0 && d != -1 {
			return fmt.Errorf("prune: the state holds score change %v for unit %d; start anew", d, id)
		}
	}
	return nil
}

// Spread is the coefficient of variation of the scores of visited units, and the number of units never visited, whose score
// is +Inf.
func Spread(score []float32) (cv float64, unseen int) {
	var sum, squares float64
	for _, s := range score {
		if s == never {
			unseen++
			continue
		}
		sum += float64(s)
		squares += float64(s) * float64(s)
	}
	seen := float64(len(score) - unseen)
	if mean := sum / seen; mean != 0 && seen > 0 {
		cv = math.Sqrt(max(0, squares/seen-mean*mean)) / math.Abs(mean)
	}
	return cv, unseen
}

// CheckObservation is what every pruner expects of an observation.
func CheckObservation(n int, ids []int32, stats Stats) error {
	if len(stats) != len(ids)*NumStats {
		return fmt.Errorf("prune: %d statistics for %d units; expected %d each, row-major", len(stats), len(ids), NumStats)
	}
	for j, id := range ids {
		if id < 0 || int(id) >= n {
			return fmt.Errorf("prune: unit id %d at place %d; expected 0 to %d: leave padding out of what is observed", id, j, n-1)
		}
		for column, v := range stats[j*NumStats : (j+1)*NumStats] {
			if !finite(v) {
				return fmt.Errorf("prune: statistic %q of unit %d is %v; expected a finite number: the loss has diverged, or the unit has no valid target",
					StatName(column), id, v)
			}
		}
	}
	return nil
}

func finite(v float32) bool { return v-v == 0 }
