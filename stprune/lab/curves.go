package lab

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"gonum.org/v1/gonum/stat"

	"github.com/stprune/workbench/figures"
	"github.com/stprune/workbench/stprune/run"
	"github.com/stprune/workbench/stprune/stats"
)

// The calls of this file and [Lab.Summary] join runs that differ in nothing but their seeds: they are one line, point, bar or row,
// under the name of the first, with the mean and Student's 95 % interval of it over the seeds.

// group is runs that differ in nothing but their seeds.
type group struct {
	name    string
	runs    []*run.Run
	results []*run.Result // of the runs
}

// groups joins runs that have the same key once their seeds are forgotten, in the order of their first ones. A run that is given
// twice counts once.
func (l *Lab) groups(runs []*run.Run, forget func(s *run.Spec)) []*group {
	results := l.results(runs)
	var all []*group
	byKey, seen := map[string]*group{}, map[string]bool{}
	for i, r := range runs {
		if seen[r.ID] {
			continue
		}
		seen[r.ID] = true
		s := r.Spec
		s.Train.Seed, s.Prune.Seed = 0, 0
		forget(&s)
		key := s.ID(dataOf(s)) // says what the spec means, whatever it is called
		g := byKey[key]
		if g == nil {
			g = &group{name: r.Spec.Name}
			byKey[key] = g
			all = append(all, g)
		}
		g.runs, g.results = append(g.runs, r), append(g.results, results[i])
	}
	if len(all) == 0 {
		l.Fail(fmt.Errorf("no run given; ask for some with Runs"))
	}
	return all
}

func seedsOnly(*run.Spec)     {}
func seedsAndRho(s *run.Spec) { s.Prune.Rho = 1 }

// dataOf names what a spec is trained on.
func dataOf(s run.Spec) string {
	return strings.Join(append([]string{s.Data.Name}, s.Data.More...), ", ")
}

// estimate is the mean of a number over the group's runs, with its interval when there are several.
func (l *Lab) estimate(g *group, of func(i int) float64) figures.Estimate {
	values := make([]float64, len(g.runs))
	for i := range values {
		values[i] = of(i)
	}
	e, err := Estimate(values)
	if err != nil {
		l.Fail(fmt.Errorf("%s: %w", g.name, err))
	}
	return e
}

// Estimate is the mean of a number over seeds, with Student's 95 % interval of it when there are several.
func Estimate(values []float64) (figures.Estimate, error) {
	mean := stat.Mean(values, nil)
	if len(values) == 1 {
		return figures.Single(mean)[0], nil
	}
	interval, err := stats.Student(values, stats.Level)
	return figures.Estimate{Mean: mean, Low: interval.Low, High: interval.High}, err
}

// mae is the group's test MAE, averaged over all horizons.
func (l *Lab) mae(g *group) figures.Estimate {
	return l.estimate(g, func(i int) float64 { return g.results[i].Test.Mean.MAE })
}

// unit is the unit of the runs' errors, which must be one for a common axis.
func (l *Lab) unit(groups []*group) string {
	unit, of := "", ""
	for _, g := range groups {
		for _, r := range g.runs {
			u := l.Series(r.Spec.Data.Name).Unit
			if len(r.Spec.Data.More) > 0 {
				u = "standard deviations"
			}
			if of != "" && u != unit {
				l.Fail(fmt.Errorf("errors in %q (%s) and in %q (%s) have no common axis; draw each data set by itself", unit, of, u, r.Spec.Name))
			}
			unit, of = u, r.Spec.Name
		}
	}
	return unit
}

// paired compares the errors of two groups under the seeds that both have.
func (l *Lab) paired(g, reference *group, of func(*run.Result) float64) *stats.Paired {
	var a, b []float64
	for i, r := range g.runs {
		for j, s := range reference.runs {
			if r.Spec.Train.Seed == s.Spec.Train.Seed {
				a, b = append(a, of(g.results[i])), append(b, of(reference.results[j]))
			}
		}
	}
	if len(a) == 0 {
		l.Fail(fmt.Errorf("%s and %s have no seed in common; train both under the same seeds", g.name, reference.name))
	}
	p, err := stats.Compare(a, b)
	if err != nil {
		l.Fail(fmt.Errorf("%s against %s: %w", g.name, reference.name, err))
	}
	return &p
}

func testMAE(r *run.Result) float64 { return r.Test.Mean.MAE }

// change is a paired difference in percent of the reference.
func change(p *stats.Paired) figures.Estimate {
	e := figures.Single(100 * p.Relative)[0]
	if p.Interval != nil && p.Difference != 0 {
		scale := 100 * math.Abs(p.Relative/p.Difference)
		e.Low, e.High = min(e.Mean, scale*p.Interval.Low), max(e.Mean, scale*p.Interval.High)
	}
	return e
}

func proven(v stats.Verdict) bool { return v == stats.Better || v == stats.Worse }

// LearningCurves draws validation MAE against what training has visited, in epochs of the full data.
func (l *Lab) LearningCurves(runs ...*run.Run) *figures.Figure {
	return l.LearningCurvesBy(figures.Visits, runs...)
}

// LearningCurvesBy draws validation MAE against epochs, visits, optimiser steps, or seconds spent so far, with compiling and
// evaluation. Runs that differ only in their seeds are one line, over the epochs that all of them validated.
func (l *Lab) LearningCurvesBy(axis figures.Axis, runs ...*run.Run) *figures.Figure {
	groups := l.groups(runs, seedsOnly)
	unit := l.unit(groups)
	var curves []figures.Learning
	for _, g := range groups {
		_, full := l.size(g.runs[0].Spec)
		at, mae := map[int][]float64{}, map[int][]float64{} // by epoch
		last := 0
		for _, r := range g.runs {
			epochs, err := r.Epochs()
			l.Fail(err)
			steps, seconds := 0, 0.0
			for _, e := range epochs {
				steps, seconds = steps+e.Steps, seconds+e.Seconds.Total()
				x := map[figures.Axis]float64{
					figures.Epochs: float64(e.Epoch), figures.Visits: float64(e.Visits) / full, figures.Steps: float64(steps), figures.Seconds: seconds,
				}[axis]
				if e.Validation != nil {
					at[e.Epoch], mae[e.Epoch] = append(at[e.Epoch], x), append(mae[e.Epoch], e.Validation.Mean.MAE)
					last = max(last, e.Epoch)
				}
			}
		}
		c := figures.Learning{Label: g.name}
		for epoch := 1; epoch <= last; epoch++ {
			if len(mae[epoch]) == len(g.runs) {
				c.At = append(c.At, l.estimate(g, func(i int) float64 { return at[epoch][i] }).Mean)
				c.Error = append(c.Error, l.estimate(g, func(i int) float64 { return mae[epoch][i] }))
			}
		}
		curves = append(curves, c)
	}
	f, err := figures.LearningCurves(axis, curves, unit)
	l.Fail(err)
	return f
}

// lines joins groups that differ in nothing but their retention ratio, lowest first. A line of several ratios is called like its
// first group without the ratio: "ST-Prune 10 %, pairs" becomes "ST-Prune, pairs".
func (l *Lab) lines(groups []*group) (names []string, members [][]*group) {
	var first []*run.Run
	for _, g := range groups {
		first = append(first, g.runs[0])
	}
	for _, line := range l.groups(first, seedsAndRho) {
		var of []*group
		for _, g := range groups {
			if slices.Contains(line.runs, g.runs[0]) {
				of = append(of, g)
			}
		}
		slices.SortStableFunc(of, func(a, b *group) int { return cmp.Compare(a.rho(), b.rho()) })
		if len(of) > 1 {
			rho := line.runs[0].Spec.Prune.Rho
			line.name = strings.Replace(line.name, percent(rho), "", 1)
		}
		names, members = append(names, line.name), append(members, of)
	}
	return names, members
}

func (g *group) rho() float64 { return g.runs[0].Spec.Prune.Rho }

func (g *group) full() bool { return g.runs[0].Spec.Prune.Method == "full" }

// RatioCurve draws test MAE against the retention ratio: a line for runs that differ in nothing but ratio and seed, and full data
// as the reference when there is such a run.
func (l *Lab) RatioCurve(runs ...*run.Run) *figures.Figure {
	var pruned []*group
	var full *figures.Estimate
	reference := ""
	groups := l.groups(runs, seedsOnly)
	unit := l.unit(groups)
	for _, g := range groups {
		if !g.full() {
			pruned = append(pruned, g)
			continue
		}
		if full != nil {
			l.Fail(fmt.Errorf("ratio curve: %q and %q both train on full data; give one of them", reference, g.name))
		}
		e := l.mae(g)
		full, reference = &e, g.name
	}
	if len(pruned) == 0 {
		l.Fail(fmt.Errorf("ratio curve: no pruned run given"))
	}
	var curves []figures.Ratios
	names, members := l.lines(pruned)
	for i, of := range members {
		c := figures.Ratios{Label: names[i]}
		for _, g := range of {
			c.Rho, c.Error = append(c.Rho, g.rho()), append(c.Error, l.mae(g))
		}
		curves = append(curves, c)
	}
	f, err := figures.RatioCurve(curves, full, unit)
	l.Fail(err)
	return f
}

// Pareto draws test MAE against a run's seconds in all, with compiling and evaluation, and the front. Runs that differ in nothing
// but ratio and seed have one colour, with the ratio beside each point.
func (l *Lab) Pareto(runs ...*run.Run) *figures.Figure {
	groups := l.groups(runs, seedsOnly)
	unit := l.unit(groups)
	var points []figures.Cost
	names, members := l.lines(groups)
	for i, of := range members {
		for _, g := range of {
			c := figures.Cost{Label: names[i], Error: l.mae(g), Seconds: l.estimate(g, func(i int) float64 { return g.results[i].Seconds.Total })}
			if len(of) > 1 {
				c.Note = strings.TrimSpace(percent(g.rho()))
			}
			points = append(points, c)
		}
	}
	f, err := figures.Pareto(points, unit)
	l.Fail(err)
	return f
}

// HorizonErrors draws test MAE by forecast horizon.
func (l *Lab) HorizonErrors(runs ...*run.Run) *figures.Figure {
	groups := l.groups(runs, seedsOnly)
	unit := l.unit(groups)
	var all []figures.Horizons
	var step time.Duration
	for i, g := range groups {
		s := l.Series(g.runs[0].Spec.Data.Name).Calendar.Step
		switch {
		case i == 0:
			step = s
		case s != step:
			step = 0
		}
		h := figures.Horizons{Label: g.name}
		for q := range g.results[0].Test.MAE {
			h.Error = append(h.Error, l.estimate(g, func(i int) float64 { return g.results[i].Test.MAE[q] }))
		}
		all = append(all, h)
	}
	f, err := figures.HorizonErrors(all, step, unit)
	l.Fail(err)
	return f
}

// Ablation draws how far each other way of training changes the test MAE of the first one, under equal seeds: the mean change with
// its bootstrap interval, coloured where [stats.Judge] finds it proven. The errors themselves stand at the right.
func (l *Lab) Ablation(runs ...*run.Run) *figures.Figure {
	groups := l.groups(runs, seedsOnly)
	l.unit(groups)
	first := groups[0]
	note := func(g *group) string { return fmt.Sprintf("%.3f", l.mae(g).Mean) }
	var family []*stats.Paired
	for _, g := range groups[1:] {
		family = append(family, l.paired(g, first, testMAE))
	}
	stats.Judge(family, stats.Floor)
	var effects []figures.Effect
	for i, p := range family {
		g := groups[i+1]
		label, _, _ := strings.Cut(g.name, ": ") // as Ablations names them, with an explanation
		effects = append(effects, figures.Effect{Label: label, Change: change(p), Proven: proven(p.Verdict), Note: note(g)})
	}
	f, err := figures.AblationBars(figures.Effect{Label: first.name, Note: "MAE " + note(first)}, effects)
	l.Fail(err)
	return f
}

// Grid shows test MAE by backbone, a row each, and optimiser. Where full data and one pruned way of training are given of every
// pair, it shows how far the pruned one changes the error, in percent.
func (l *Lab) Grid(runs ...*run.Run) *figures.Figure {
	groups := l.groups(runs, seedsOnly)
	unit := l.unit(groups)
	m := figures.Matrix{Around0: true}
	place := func(names *[]string, name string) int {
		if i := slices.Index(*names, name); i >= 0 {
			return i
		}
		*names = append(*names, name)
		return len(*names) - 1
	}
	cells := map[[2]int][]*group{}
	for _, g := range groups {
		s := g.runs[0].Spec
		at := [2]int{place(&m.Rows, s.Model.Backbone), place(&m.Columns, s.Optim.Name)}
		cells[at] = append(cells[at], g)
	}
	for at, of := range cells {
		if len(of) > 2 || len(of) == 2 && of[0].full() == of[1].full() {
			l.Fail(fmt.Errorf("grid: %q and %q are both %s with %s; give one of them", of[len(of)-2].name, of[len(of)-1].name, m.Rows[at[0]], m.Columns[at[1]]))
		}
		m.Around0 = m.Around0 && len(of) == 2
	}
	m.Title = "change of test MAE against full data, %"
	if !m.Around0 {
		m.Title = "test MAE"
		if unit != "" {
			m.Title += ", " + unit
		}
	}
	for i := range m.Rows {
		var values []float64
		var texts []string
		for j := range m.Columns {
			of := cells[[2]int{i, j}]
			var e figures.Estimate
			format := "%.3f"
			switch {
			case len(of) == 0:
				values, texts = append(values, math.NaN()), append(texts, "")
				continue
			case m.Around0 && of[0].full():
				e, format = change(l.paired(of[1], of[0], testMAE)), "%+.2f"
			case m.Around0:
				e, format = change(l.paired(of[0], of[1], testMAE)), "%+.2f"
			case len(of) == 2:
				l.Fail(fmt.Errorf("grid: %s with %s has full data beside a pruned run, not all have; give one kind or both of each", m.Rows[i], m.Columns[j]))
			default:
				e = l.mae(of[0])
			}
			text := strings.Replace(fmt.Sprintf(format, e.Mean), "-", "−", 1)
			if e.Low < e.High {
				text += fmt.Sprintf("\n± %s", strings.TrimPrefix(fmt.Sprintf(format, (e.High-e.Low)/2), "+"))
			}
			values, texts = append(values, e.Mean), append(texts, text)
		}
		m.Value, m.Text = append(m.Value, values), append(m.Text, texts)
	}
	f, err := figures.Grid(m)
	l.Fail(err)
	return f
}

// Improvement draws the probability that the first way of training has a smaller test MAE than each other one, over blocks of a
// data set and a seed, see [stats.Wins]. Runs of the same name are one way of training, on whichever data. It is proven when the
// sign test's p, adjusted by [stats.Holm], is at most [stats.Alpha].
func (l *Lab) Improvement(runs ...*run.Run) *figures.Figure {
	results := l.results(runs)
	type block struct {
		data string
		seed uint64
	}
	var names []string
	errors, ids := map[string]map[block]float64{}, map[string]map[block]string{}
	for i, r := range runs {
		name, b := r.Spec.Name, block{dataOf(r.Spec), r.Spec.Train.Seed}
		if errors[name] == nil {
			names = append(names, name)
			errors[name], ids[name] = map[block]float64{}, map[block]string{}
		}
		if id, ok := ids[name][b]; ok && id != r.ID {
			l.Fail(fmt.Errorf("probability of improvement: runs %s and %s are both called %q, on %s under seed %d; give them names that tell them apart", id, r.ID, name, b.data, b.seed))
		}
		errors[name][b], ids[name][b] = testMAE(results[i]), r.ID
	}
	if len(names) < 2 {
		l.Fail(fmt.Errorf("probability of improvement: runs of %d names given; at least two are needed", len(names)))
	}
	var chances []figures.Chance
	var p []float64
	for _, other := range names[1:] {
		var a, b []float64
		for at, e := range errors[names[0]] {
			if o, ok := errors[other][at]; ok {
				a, b = append(a, e), append(b, o)
			}
		}
		if len(a) == 0 {
			l.Fail(fmt.Errorf("probability of improvement: %q and %q share no data set and seed; train both under the same seeds", names[0], other))
		}
		w, err := stats.Wins(a, b, stats.Level)
		l.Fail(err)
		p = append(p, w.P)
		chances = append(chances, figures.Chance{
			Label: other, Note: fmt.Sprintf("%d of %d", w.Wins, w.Blocks),
			Probability: figures.Estimate{Mean: w.Probability, Low: w.Interval.Low, High: w.Interval.High},
		})
	}
	for i, adjusted := range stats.Holm(p) {
		chances[i].Proven = adjusted <= stats.Alpha
	}
	f, err := figures.Improvement(names[0], chances)
	l.Fail(err)
	return f
}
