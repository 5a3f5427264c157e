package lab

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stprune/workbench/figures"
	"github.com/stprune/workbench/stprune/run"
	"github.com/stprune/workbench/stprune/stats"
)

// Summary has a row for runs that differ in nothing but their seeds: test MAE at horizons 3, 6, 12 and the averages over all
// horizons, each as mean ± half of Student's 95 % interval, with the means of visits in epochs of the full data and of seconds. An
// error is bold when [stats.Judge] finds it smaller than every other row's on the same data. The table carries the ids of the runs.
func (l *Lab) Summary(runs ...*run.Run) *figures.Table {
	groups := l.groups(runs, seedsOnly)
	type column struct {
		name   string
		digits int
		suffix string
		of     func(*run.Result) float64 // below 0: the forecast is shorter
	}
	columns := []column{
		{"MAE @3", 3, "", maeAt(3)}, {"@6", 3, "", maeAt(6)}, {"@12", 3, "", maeAt(12)}, {"average", 3, "", testMAE},
		{"RMSE", 3, "", func(r *run.Result) float64 { return r.Test.Mean.RMSE }},
		{"MAPE", 2, " %", func(r *run.Result) float64 { return 100 * r.Test.Mean.MAPE }},
	}
	columns = slices.DeleteFunc(columns, func(c column) bool {
		return !slices.ContainsFunc(groups, func(g *group) bool { return c.of(g.results[0]) >= 0 })
	})
	sets := map[string][]int{} // rows by data set
	t := &figures.Table{Caption: "Test errors of the parameters of the best validation epoch.", Columns: []string{"run"}}
	for i, g := range groups {
		name := dataOf(g.runs[0].Spec)
		sets[name] = append(sets[name], i)
	}
	if len(sets) > 1 {
		t.Columns = append(t.Columns, "data")
	}
	lead := len(t.Columns)
	for _, c := range columns {
		t.Columns = append(t.Columns, c.name)
	}
	t.Columns = append(t.Columns, "visits", "seconds", "seeds")
	for _, g := range groups {
		row := []string{g.name, dataOf(g.runs[0].Spec)}[:lead]
		for _, c := range columns {
			cell := ""
			if c.of(g.results[0]) >= 0 {
				e := l.estimate(g, func(i int) float64 { return c.of(g.results[i]) })
				cell = fmt.Sprintf("%.*f", c.digits, e.Mean)
				if len(g.runs) > 1 {
					cell += fmt.Sprintf(" ± %.*f", c.digits, (e.High-e.Low)/2)
				}
				cell += c.suffix
			}
			row = append(row, cell)
		}
		visits := l.estimate(g, func(i int) float64 { return g.results[i].FullEpochs }).Mean
		seconds := l.estimate(g, func(i int) float64 { return g.results[i].Seconds.Total }).Mean
		t.Rows = append(t.Rows, append(row, fmt.Sprintf("%.2f", visits), fmt.Sprintf("%.1f", seconds), fmt.Sprint(len(g.runs))))
		var ids []string
		for _, r := range g.runs {
			ids = append(ids, r.ID)
		}
		t.Runs = append(t.Runs, ids)
		t.Bold = append(t.Bold, make([]bool, len(t.Columns)))
	}
	bold, provable := false, false
	for _, rows := range sets {
		for j, c := range columns {
			best, possible := l.best(groups, rows, c.of)
			provable = provable || possible
			if best >= 0 {
				t.Bold[best][lead+j], bold = true, true
			}
		}
	}
	t.Note = l.budget(groups)
	switch {
	case len(groups) == 1:
	case bold:
		t.Note += " Bold: smaller than in every other row (sign-flip test over seeds, Holm's p ≤ 0.05, interval without 0, at least 0.5 %)."
	case provable:
		t.Note += " No error is proven to be smaller than in every other row."
	default:
		t.Note += " With so few seeds no difference can be proven."
	}
	return t
}

func maeAt(horizon int) func(*run.Result) float64 {
	return func(r *run.Result) float64 {
		e, err := r.Test.At(horizon)
		if err != nil {
			return -1
		}
		return e.MAE
	}
}

// best is the row among rows whose error is proven smaller than that of every other one, -1 when there is none. provable tells
// whether the seeds could prove it.
func (l *Lab) best(groups []*group, rows []int, of func(*run.Result) float64) (row int, provable bool) {
	if len(rows) < 2 || slices.ContainsFunc(rows, func(i int) bool { return of(groups[i].results[0]) < 0 }) {
		return -1, false
	}
	mean := func(i int) float64 {
		return l.estimate(groups[i], func(k int) float64 { return of(groups[i].results[k]) }).Mean
	}
	row = slices.MinFunc(rows, func(a, b int) int {
		if mean(a) < mean(b) {
			return -1
		}
		return 1
	})
	var family []*stats.Paired
	for _, i := range rows {
		if i == row {
			continue
		}
		if !shareSeeds(groups[row], groups[i]) {
			return -1, false
		}
		family = append(family, l.paired(groups[row], groups[i], of))
	}
	stats.Judge(family, stats.Floor)
	provable = true
	won := true
	for _, p := range family {
		provable = provable && p.Verdict != stats.NotEnoughSeeds
		won = won && p.Verdict == stats.Better
	}
	if !won {
		row = -1
	}
	return row, provable
}

func shareSeeds(a, b *group) bool {
	return slices.ContainsFunc(a.runs, func(r *run.Run) bool {
		return slices.ContainsFunc(b.runs, func(o *run.Run) bool { return o.Spec.Train.Seed == r.Spec.Train.Seed })
	})
}

// budget says what the runs were trained on, under how many seeds, and for how long.
func (l *Lab) budget(groups []*group) string {
	var sets []string
	epochs, steps, seeds := span{}, span{}, span{}
	for _, g := range groups {
		s := g.runs[0].Spec
		windows, visits := l.size(s)
		set := fmt.Sprintf("%s: %d training windows of %.4g nodes.", dataOf(s), windows, visits/float64(windows))
		if !slices.Contains(sets, set) {
			sets = append(sets, set)
		}
		seeds.add(len(g.runs))
		for _, r := range g.results {
			epochs.add(r.Epochs)
			steps.add(r.Steps)
		}
	}
	note := strings.Join(sets, " ") + fmt.Sprintf(" Budget: %s epochs, %s optimiser steps. Seeds: %s", epochs, steps, seeds)
	if seeds.high > 1 {
		note += ", mean ± half of the 95 % interval (Student's t)"
	}
	return note + "."
}

// span is the least and the largest of some counts.
type span struct{ low, high int }

func (s *span) add(n int) {
	if s.high == 0 {
		s.low = n
	}
	s.low, s.high = min(s.low, n), max(s.high, n)
}

func (s span) String() string {
	if s.low == s.high {
		return fmt.Sprint(s.low)
	}
	return fmt.Sprintf("%d to %d", s.low, s.high)
}
