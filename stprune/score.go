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

// cells divide n units, of which perWindow make a window, into those that share a score: the same unit of share consecutive windows.
type cells struct {
	n, perWindow, share int
	whole, rest         int // the first cells have share units, the others, of the last windows, so many
}

func newCells(n, perWindow, share int) cells {
	windows := n / perWindow
	return cells{n, perWindow, share, windows / share * perWindow, windows % share}
}

// alone are n cells of one unit.
func alone(n int) cells { return newCells(n, 1, 1) }

func (c cells) count() int {
	if c.rest > 0 {
		return c.whole + c.perWindow
	}
	return c.whole
}

// of is the cell of a unit.
func (c cells) of(id int32) int {
	if c.share == 1 {
		return int(id)
	}
	return int(id)/(c.perWindow*c.share)*c.perWindow + int(id)%c.perWindow
}

// members is the number of units of a cell.
func (c cells) members(cell int) int {
	if cell < c.whole {
		return c.share
	}
	return c.rest
}

// unit is the j-th unit of a cell; they ascend.
func (c cells) unit(cell, j int) int {
	if c.share == 1 {
		return cell
	}
	return (cell/c.perWindow*c.share+j)*c.perWindow + cell%c.perWindow
}

// perUnit spreads values [cells] over the units, [n].
func (c cells) perUnit(values []float32) []float32 {
	if c.share == 1 {
		return values
	}
	out := make([]float32, c.n)
	for i := range out {
		out[i] = values[c.of(int32(i))]
	}
	return out
}

// memory keeps the score of every unit between visits.
type memory struct {
	cells
	value       func(row Stats) float32
	beta        float32
	nonNegative bool // the selector takes scores as sizes

	score  []float32 // [cells] S; never before the first visit
	change []float32 // [cells] |S(e) − S(e′)| between the last two visits, −1 before the second; nil when not wanted
	fresh  []float32 // scores of the batch at hand
}

func newMemory(c cells, value func(row Stats) float32, beta float64, nonNegative, changes bool) *memory {
	m := &memory{cells: c, value: value, beta: float32(beta), nonNegative: nonNegative, score: filled(c.count(), never)}
	if changes {
		m.change = filled(c.count(), -1)
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
	if err := CheckObservation(m.n, ids, stats); err != nil {
		return err
	}
	m.fresh = m.fresh[:0]
	for j, id := range ids {
		s := m.value(stats[j*NumStats : (j+1)*NumStats])
		if !finite(s) {
			return fmt.Errorf("prune: the score of unit %d is %v; scores must be finite: mend the score function or lower its terms", id, s)
		}
		if m.nonNegative && s < 0 {
			return fmt.Errorf("prune: the score of unit %d is %v; this selector draws in proportion to scores, which must not be negative: "+
				"shift or clip them, or set selector to \"top+rest\"", id, s)
		}
		m.fresh = append(m.fresh, s)
	}
	typical := float32(0) // of the batch
	if m.share > 1 {
		typical = m.typical()
	}
	for j, id := range ids {
		cell := m.of(id)
		s, old := m.fresh[j], m.score[cell]
		if m.share > 1 && stats[j*NumStats+Level] == 0 {
			// Nothing of this unit is measured. Its neighbours may be, and would never be drawn again at score 0: it only lowers
			// what they share.
			if m.beta == 0 || old == never && typical == 0 {
				continue
			}
			if old == never {
				old = typical
			}
			s = 0
		}
		if old != never {
			s = m.beta*old + (1-m.beta)*s
			if m.change != nil {
				m.change[cell] = min(math.MaxFloat32, max(s-old, old-s))
			}
		}
		m.score[cell] = s
	}
	return nil
}

// typical is the mean of the batch's scores above 0; 0 without any.
func (m *memory) typical() float32 {
	sum, count := 0.0, 0
	for _, s := range m.fresh {
		if s > 0 {
			sum += float64(s)
			count++
		}
	}
	return float32(sum / float64(max(1, count)))
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

// stationarity of units by the change of their scores.
func (m *memory) stationarity() func(id int32) float32 {
	z := learningStationarity(m.change)
	return func(id int32) float32 { return z(int32(m.of(id))) }
}

// Spread is the coefficient of variation of the scores of visited units, and the number of units never visited, whose score
// is +Inf.
func Spread(score []float32) (cv float64, unseen int) { return alone(len(score)).spread(score) }

// spread is [Spread] over the units of cells.
func (c cells) spread(score []float32) (cv float64, unseen int) {
	var sum, squares float64
	for cell, s := range score {
		members := c.members(cell)
		if s == never {
			unseen += members
			continue
		}
		sum += float64(members) * float64(s)
		squares += float64(members) * float64(s) * float64(s)
	}
	seen := float64(c.n - unseen)
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
