package report

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/stprune/workbench/figures"
	"github.com/stprune/workbench/stprune/compare"
	"github.com/stprune/workbench/stprune/lab"
	"github.com/stprune/workbench/stprune/run"
	"github.com/stprune/workbench/stprune/stats"
)

// figure draws a figure of rows, whose caption goes on with what they are. What can't be drawn of these runs is noted and left out.
func (b *builder) figure(name, title, caption string, rows []*row, draw func() *figures.Figure) *Figure {
	b.l.Fail(b.ctx.Err())
	f := &Figure{Name: name, Title: title, Caption: caption + " " + about(rows)}
	err := b.l.Try(func() {
		f.drawn = draw()
		var err error
		f.svg, err = f.drawn.SVG()
		b.l.Fail(err)
	})
	if err != nil {
		b.notDrawn(fmt.Sprintf("%s (%s)", title, name), err.Error())
		return nil
	}
	for _, r := range runsOf(rows) {
		f.Runs = append(f.Runs, r.ID)
	}
	b.Figures = append(b.Figures, f)
	return f
}

func (b *builder) notDrawn(title, reason string) {
	b.NotDrawn = append(b.NotDrawn, NotDrawn{title, tidy(reason)})
}

// about says how many runs there are, under which seeds, and how long they were trained.
func about(rows []*row) string {
	var seeds []uint64
	var each, epochs, steps []int
	for i, r := range rows {
		for k, one := range r.runs {
			seeds, epochs, steps = append(seeds, one.Spec.Train.Seed), append(epochs, r.results[k].Epochs), append(steps, r.results[k].Steps)
		}
		if !slices.ContainsFunc(rows[:i], func(o *row) bool { return slices.Equal(o.ids(), r.ids()) }) {
			each = append(each, len(r.runs))
		}
	}
	slices.Sort(seeds)
	seeds = slices.Compact(seeds)
	text := "n = " + counted("run", len(runsOf(rows)))
	if len(each) > 1 {
		text += fmt.Sprintf(": %s of training, %s each", counted("way", len(each)), counted("seed", each...))
	}
	return fmt.Sprintf("%s (%s). Budget: %s, %s.", text, numbers(seeds), counted("epoch", epochs...), counted("optimiser step", steps...))
}

// bands says what the bands of a figure are, when it has some.
func bands(rows []*row) string {
	if slices.ContainsFunc(rows, func(r *row) bool { return len(r.runs) > 1 }) {
		return " Means over seeds with their 95 % interval (Student's t)."
	}
	return ""
}

// shown says which rows of many a figure has.
func (g *group) shown(rows []*row) string {
	if len(rows) == len(g.rows) {
		return ""
	}
	if g.cells == nil {
		return fmt.Sprintf(" Of %d ways of training those with the smallest errors, beside full data and random.", len(g.rows))
	}
	name := ""
	if main := g.main(); main != nil {
		name = ", " + main.label
	}
	return fmt.Sprintf(" Of %d ways of training the controls%s, and those with the smallest errors.", len(g.rows), name)
}

// suffixed is a figure's name in a group.
func (g *group) suffixed(name string) string { return strings.TrimSuffix(name+"-"+g.slug, "-") }

// learning draws validation errors against visits and seconds.
func (b *builder) learning(g *group) (all []*Figure) {
	rows := g.few()
	validations := 0
	for _, r := range rows {
		epochs, err := r.runs[0].Epochs()
		b.l.Fail(err)
		n := 0
		for _, e := range epochs {
			if e.Validation != nil {
				n++
			}
		}
		validations = max(validations, n)
	}
	if validations < 2 {
		b.notDrawn("Learning curves, "+g.title, "the runs were validated once, at their end; lower train.validate_every")
		return nil
	}
	for _, kind := range []struct {
		axis        figures.Axis
		name, title string
		caption     string
	}{
		{figures.Visits, "learning-visits", "Learning curves against visits", "Validation MAE against what training has visited, in epochs of the full data."},
		{figures.Seconds, "learning-seconds", "Learning curves against seconds", "The same against seconds, with compiling and evaluation."},
	} {
		all = append(all, b.figure(g.suffixed(kind.name), kind.title, kind.caption+g.shown(rows)+bands(rows), rows, func() *figures.Figure {
			return b.l.LearningCurvesBy(kind.axis, runsOf(rows)...).Column()
		}))
	}
	return all
}

func (b *builder) horizons(g *group) *Figure {
	rows := g.few()
	return b.figure(g.suffixed("horizons"), "Error by horizon", "Test MAE by forecast horizon."+g.shown(rows)+bands(rows), rows, func() *figures.Figure {
		return b.l.HorizonErrors(runsOf(rows)...)
	})
}

func (b *builder) ablation(g *group) *Figure {
	rows := g.variants()
	if len(rows) < 2 {
		return nil
	}
	return b.figure(g.suffixed("ablation"), "Ablation", fmt.Sprintf("How far each change of its settings changes the test MAE of %s, paired by seed, with the 95 %% bootstrap interval. "+
		"Coloured where the change is proven (sign-flip test, Holm's p at most %g, at least %s). Right: the errors.", rows[0].label, stats.Alpha, percent(stats.Floor)), rows,
		func() *figures.Figure { return b.l.Ablation(runsOf(rows)...) })
}

func (b *builder) overhead(g *group) *Figure {
	return b.figure(g.suffixed("overhead"), "Where the seconds went", "Seconds of a run by what they were spent on, means over seeds. The rest is loading and saving.", g.rows, func() *figures.Figure {
		var bars []figures.Overhead
		for _, r := range g.rows {
			bar := figures.Overhead{Label: r.label}
			n := float64(len(r.results))
			for _, result := range r.results {
				s := result.Seconds
				for part, seconds := range map[*float64]float64{
					&bar.Compile: s.Compile, &bar.Steps: s.Steps, &bar.Selection: s.Selection, &bar.Scoring: s.Scoring, &bar.Evaluation: s.Evaluation,
					&bar.Other: max(0, s.Total-s.Seconds.Total()),
				} {
					*part += seconds / n
				}
			}
			bars = append(bars, bar)
		}
		f, err := figures.OverheadBars(bars)
		b.l.Fail(err)
		return f.Column()
	})
}

// grid compares backbones and optimisers, where a sweep has several of both.
func (b *builder) grid(g *group) *Figure {
	backbones, optimisers := map[string]bool{}, map[string]bool{}
	for _, r := range g.rows {
		s := r.runs[0].Spec
		backbones[s.Model.Backbone], optimisers[s.Optim.Name] = true, true
	}
	if g.cells != nil || len(backbones) < 2 || len(optimisers) < 2 {
		return nil
	}
	return b.figure(g.suffixed("grid"), "Backbones and optimisers", "Test MAE by backbone and optimiser; where full data and a pruned way of training are there of every pair, the change from the one to the other.",
		g.rows, func() *figures.Figure { return b.l.Grid(runsOf(g.rows)...) })
}

// lossComplexity draws how loss depends on complexity: on full data, with the main method, and at random.
func (b *builder) lossComplexity(g *group) *Figure {
	var rows []*row
	for _, r := range []*row{g.reference(), g.main(), g.random()} {
		if r != nil && len(rows) < 3 {
			rows = append(rows, r)
		}
	}
	if len(rows) < 2 && g.main() != nil { // full data in fewer epochs beside it
		if i := slices.IndexFunc(g.rows, (*row).full); i >= 0 {
			rows = append([]*row{g.rows[i]}, rows...)
		}
	}
	if len(rows) == 0 {
		rows = g.rows[:1]
	}
	one := firsts(rows)
	f := b.figure(g.suffixed("loss-complexity"), "Loss–complexity curves", "Mean training loss of windows in classes of their complexity, at stages of training; bands from the first to the third quartile. "+
		"All panels have the classes of the first one's end.", one, func() *figures.Figure {
		var panels []*run.Run
		for _, r := range one {
			panel := *r.runs[0]
			panel.Spec.Name = r.at()
			panels = append(panels, &panel)
		}
		return b.l.LossComplexity(panels...)
	})
	if f != nil {
		f.Wide = len(one) > 1
	}
	return f
}

// firsts are rows with their first run alone.
func firsts(rows []*row) (all []*row) {
	for _, r := range rows {
		one := *r
		one.runs, one.results = r.runs[:1], r.results[:1]
		all = append(all, &one)
	}
	return all
}

// kept draws when the windows began that the main method kept.
func (b *builder) kept(g *group) (all []*Figure) {
	main := g.main()
	if main == nil {
		return nil
	}
	one := firsts([]*row{main})
	who := main.at()
	week := b.figure(g.suffixed("kept-week"), "Kept hours of the week", fmt.Sprintf("Share kept of the training windows that start in an hour of the week, mean over the pruned epochs, by %s.", who), one,
		func() *figures.Figure { return b.l.KeptWeek(one[0].runs[0]) })
	calendar := b.figure(g.suffixed("kept-calendar"), "Kept calendar", fmt.Sprintf("Share of the pruned epochs that kept the training window starting at a day and time, by %s.", who), one,
		func() *figures.Figure { return b.l.KeptCalendar(one[0].runs[0]) })
	if calendar != nil {
		calendar.Wide = true
	}
	scores := b.figure(g.suffixed("scores"), "Complexity", fmt.Sprintf("How the complexity of the training windows is spread in each epoch, each as measured when it was last visited, by %s.", who), one,
		func() *figures.Figure { return b.l.Scores(one[0].runs[0]).Column() })
	return append(all, week, scores, calendar)
}

// line is rows that differ in their retention ratio, lowest first.
type line struct {
	label  string
	rows   []*row
	rank   int  // the lowest are shown when there are many
	epochs bool // rows differ in their epochs instead
}

// note tells a row from the others of its line.
func (l *line) note(r *row) string {
	switch {
	case l.epochs:
		return counted("epoch", r.results[0].Epochs)
	case len(l.rows) > 1:
		return percent(r.rho)
	}
	return ""
}

func (l *line) mae() float64 {
	sum := 0.0
	for _, r := range l.rows {
		sum += r.mae()
	}
	return sum / float64(len(l.rows))
}

// lines joins the rows of groups: methods over their ratios, and of comparisons full data in fewer epochs. visits is full data with
// equal visits, by the ratio of the group.
func lines(groups []*group) (all []*line, full, visits *line) {
	byKey := map[string]*line{}
	add := func(key, label string, r *row, rank int) *line {
		l := byKey[key]
		if l == nil {
			l = &line{label: label, rank: rank}
			byKey[key] = l
			all = append(all, l)
		}
		if !slices.ContainsFunc(l.rows, func(have *row) bool { return slices.Equal(have.ids(), r.ids()) }) {
			l.rows = append(l.rows, r)
		}
		return l
	}
	for _, g := range groups {
		main, random := g.main(), g.random()
		equal := false
		for _, r := range g.rows {
			rank := 3
			switch {
			case r.is(compare.Full):
				if l := add("full "+r.label, r.label, r, 0); r == g.reference() {
					full = l
				}
				continue
			case r.full() && g.cells != nil:
				if r.is(compare.EqualVisits) && !equal {
					equal = true
					if visits == nil {
						visits = &line{label: "full data, equal visits"}
					}
					at := *r
					at.rho = g.cells.Rho
					visits.rows = append(visits.rows, &at)
				}
				add("fewer", "full data, fewer epochs", r, 1).epochs = true
				continue
			case r == main:
				rank = 1
			case r == random:
				rank = 2
			case r == g.reference():
				rank = 0
			}
			l := add(meaning(r.runs[0].Spec, func(s *run.Spec) { s.Prune.Rho = 1 }), r.label, r, rank)
			l.rank = min(l.rank, rank)
			if r == g.reference() && g.cells == nil {
				full = l
			}
		}
	}
	for _, l := range all {
		l.label = common(l)
		slices.SortStableFunc(l.rows, func(a, b *row) int { return cmp.Compare(a.rho, b.rho) })
	}
	if visits != nil {
		slices.SortStableFunc(visits.rows, func(a, b *row) int { return cmp.Compare(a.rho, b.rho) })
	}
	return all, full, visits
}

// common is what the names of a line's rows have in common: "st-prune" of "st-prune, rho 0.1" and "st-prune, rho 0.05".
func common(l *line) string {
	if l.rows[0].roles != nil {
		return l.label
	}
	var parts []string
	for part := range strings.SplitSeq(l.rows[0].label, ", ") {
		if !slices.ContainsFunc(l.rows, func(r *row) bool { return !slices.Contains(strings.Split(r.label, ", "), part) }) {
			parts = append(parts, part)
		}
	}
	return cmp.Or(strings.Join(parts, ", "), l.rows[0].method)
}

// fewLines are at most n of lines, in their order.
func fewLines(all []*line, n int) []*line {
	if len(all) <= n {
		return all
	}
	ranked := slices.Clone(all)
	slices.SortStableFunc(ranked, func(a, b *line) int { return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.mae(), b.mae())) })
	return slices.DeleteFunc(slices.Clone(all), func(l *line) bool { return !slices.Contains(ranked[:n], l) })
}

func ofMany(shown, all []*line) string {
	if len(shown) == len(all) {
		return ""
	}
	return fmt.Sprintf(" Of %d methods those with the smallest errors, beside the controls.", len(all))
}

func (b *builder) estimate(r *row, of func(*run.Result) float64) figures.Estimate {
	var values []float64
	for _, result := range r.results {
		values = append(values, of(result))
	}
	e, err := lab.Estimate(values)
	b.l.Fail(err)
	return e
}

func testMAE(r *run.Result) float64 { return r.Test.Mean.MAE }

// ratios draws errors against the retention ratio.
func (b *builder) ratios(name, of string, groups []*group) *Figure {
	all, full, visits := lines(groups)
	all = slices.DeleteFunc(all, func(l *line) bool { return l == full || l.rows[0].full() || len(l.rows) < 2 })
	if len(all) == 0 {
		b.notDrawn("Error against retention"+of, "no method has runs at two retention ratios")
		return nil
	}
	shown := fewLines(all, most-1)
	many := ofMany(shown, all)
	caption := "Test MAE against the retention ratio."
	if full != nil {
		caption += " Dashed across: full data."
	}
	if visits != nil && len(visits.rows) > 1 {
		shown = append(shown, visits)
		caption += " Equal visits: full data in as few epochs as make the visits of that ratio."
	}
	var rows []*row
	for _, l := range shown {
		rows = append(rows, l.rows...)
	}
	if full != nil {
		rows = append(rows, full.rows[0])
	}
	return b.figure(name, "Error against retention"+of, caption+many+bands(rows), rows, func() *figures.Figure {
		var curves []figures.Ratios
		for _, l := range shown {
			c := figures.Ratios{Label: l.label}
			for _, r := range l.rows {
				c.Rho, c.Error = append(c.Rho, r.rho), append(c.Error, b.estimate(r, testMAE))
			}
			curves = append(curves, c)
		}
		var reference *figures.Estimate
		if full != nil {
			e := b.estimate(full.rows[0], testMAE)
			reference = &e
		}
		f, err := figures.RatioCurve(curves, reference, b.unit(rows))
		b.l.Fail(err)
		return f
	})
}

// pareto draws errors against seconds.
func (b *builder) pareto(name, of string, groups []*group) *Figure {
	all, _, _ := lines(groups)
	shown := fewLines(all, most)
	var rows []*row
	for _, l := range shown {
		rows = append(rows, l.rows...)
	}
	if len(rows) < 2 {
		return nil
	}
	return b.figure(name, "Seconds and error"+of, "Test MAE against the seconds of a run, with compiling and evaluation, and the Pareto front of the means."+ofMany(shown, all)+bands(rows), rows, func() *figures.Figure {
		var points []figures.Cost
		for _, l := range shown {
			for _, r := range l.rows {
				points = append(points, figures.Cost{Label: l.label, Note: l.note(r), Error: b.estimate(r, testMAE),
					Seconds: b.estimate(r, func(r *run.Result) float64 { return r.Seconds.Total })})
			}
		}
		f, err := figures.Pareto(points, b.unit(rows))
		b.l.Fail(err)
		return f
	})
}

// unit is that of the rows' errors.
func (b *builder) unit(rows []*row) string {
	s := rows[0].runs[0].Spec
	if len(s.Data.More) > 0 {
		return "standard deviations"
	}
	if slices.ContainsFunc(rows, func(r *row) bool { return r.runs[0].Spec.Data.Name != s.Data.Name }) {
		b.l.Fail(errors.New("the runs are on different data"))
	}
	return b.l.Series(s.Data.Name).Unit
}
