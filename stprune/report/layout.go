package report

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/stprune/workbench/figures"
	"github.com/stprune/workbench/stprune/compare"
	"github.com/stprune/workbench/stprune/run"
)

// section is a part of the page, or below one of level 2 a part of that.
type section struct {
	Level     int // 2 or 3
	ID, Title string
	Blocks    []block
}

// block is one of its fields.
type block struct {
	Text    string
	List    []string
	Code    string
	Table   *shownTable
	Figures []*Figure
}

// shownTable is a table with the name of its files.
type shownTable struct {
	*figures.Table
	Name string
	IsID bool // the first cells are ids of runs, to which other tables lead

	Numbers []bool // [columns] which hold numbers
}

func (r *Report) section(level int, title string) *section {
	s := section{Level: level, ID: "part-" + slug(title), Title: title}
	if slices.ContainsFunc(r.sections, func(have section) bool { return have.ID == s.ID }) {
		s.ID += fmt.Sprint("-", len(r.sections)) // titles may differ in other letters
	}
	r.sections = append(r.sections, s)
	return &r.sections[len(r.sections)-1]
}

func (s *section) say(format string, args ...any) {
	s.Blocks = append(s.Blocks, block{Text: fmt.Sprintf(format, args...)})
}

// show adds a table that has rows.
func (b *builder) show(s *section, name string, t *figures.Table) {
	if len(t.Rows) == 0 {
		return
	}
	t.Caption, t.Note = tidy(t.Caption), tidy(t.Note)
	b.l.Fail(t.Check())
	b.Tables = append(b.Tables, Table{name, t.Caption})
	shown := &shownTable{Table: t, Name: name}
	for j := range t.Columns {
		shown.Numbers = append(shown.Numbers, number(t, j))
	}
	s.Blocks = append(s.Blocks, block{Table: shown})
}

// draw adds the figures that could be drawn.
func (s *section) draw(all ...*Figure) {
	all = slices.DeleteFunc(all, func(f *Figure) bool { return f == nil })
	if len(all) > 0 {
		s.Blocks = append(s.Blocks, block{Figures: all})
	}
}

// write lays out the report.
func (b *builder) write() {
	first := b.groups[slices.IndexFunc(b.groups, func(g *group) bool { return len(g.rows) > 0 })]
	b.Report.intro()
	if b.Comparison != nil {
		if main := first.main(); main != nil {
			b.verdicts(main)
		}
		b.whole(first)
	}
	for _, g := range b.groups {
		if len(g.rows) > 0 {
			b.part(g)
		}
	}
	if b.Comparison != nil {
		b.tests()
		b.costs()
	}
	b.missingRuns()
	b.provenance()
	b.reproduce()
	b.allRuns()
	if b.Comparison != nil {
		s := b.section(2, "How to read it")
		before, terms, after := b.Comparison.Reading()
		for _, text := range before {
			s.say("%s", text)
		}
		s.Blocks = append(s.Blocks, block{List: terms})
		s.say("%s", after)
	}
	// Without the parts for which these runs have nothing.
	for i, s := range slices.Backward(b.sections) {
		over := s.Level == 2 && i+1 < len(b.sections) && b.sections[i+1].Level == 3
		if len(s.Blocks) == 0 && !over {
			b.sections = slices.Delete(b.sections, i, i+1)
		}
	}
}

// intro is what stands above the first heading.
func (r *Report) intro() {
	s := r.section(1, r.Name)
	if c := r.Comparison; c != nil {
		for _, text := range c.Intro()[:len(c.Intro())-len(c.Notes)] { // notes are beside the verdicts
			s.say("%s", text)
		}
	} else {
		var sets []string
		for _, d := range r.Data {
			sets = append(sets, d.Name)
		}
		s.say("A sweep of %s on %s. Test errors are those of the parameters of the best validation epoch: mean of all horizons.", counted("run", r.Runs), strings.Join(sets, ", "))
	}
	if r.Finished == r.Runs {
		s.say("All %s are finished.", counted("run", r.Runs))
	}
}

// Incomplete says in a sentence what is missing; empty when nothing is.
func (r *Report) Incomplete() string {
	if r.Finished == r.Runs {
		return ""
	}
	return fmt.Sprintf("Incomplete: %s of %s are finished, and everything here is about these. `%s` trains the others, which are listed under Missing.",
		count(r.Finished), counted("run", r.Runs), r.Command)
}

var controls = []compare.Role{compare.Full, compare.Random, compare.EqualSteps, compare.EqualVisits, compare.EqualSeconds}

// verdicts compares the main method with its controls, at each retention.
func (b *builder) verdicts(main *row) {
	s := b.section(2, "Verdicts")
	t := &figures.Table{
		Caption: main.label + " against its controls: test MAE, paired by seed. Equal steps, visits and seconds are full data in fewer epochs, which make as many.",
		Columns: []string{"control", "retention", "batches", "MAE", "the control's", "difference", "95 % interval", "p (Holm)", "verdict"},
	}
	for _, g := range b.groups {
		errors := g.cells.ErrorTable() // a row a cell
		mae := slices.Index(errors.Columns, "MAE")
		for i, c := range g.cells.Cells {
			if tidy(c.Label) != main.label {
				continue
			}
			for _, a := range c.Against {
				at := slices.IndexFunc(g.cells.Cells, func(c compare.Cell) bool { return c.Label == a.Label && slices.Contains(c.Roles, a.Role) })
				control := g.cells.Cells[at]
				interval := ""
				if a.Interval != nil && a.Difference != 0 {
					scale := 100 * a.Relative / a.Difference
					interval = fmt.Sprintf("%+.2f to %+.2f %%", scale*a.Interval.Low, scale*a.Interval.High)
				}
				name := tidy(a.Label)
				if a.Role != compare.Full && a.Role != compare.Random {
					name = strings.ReplaceAll(string(a.Role), "-", " ") + ": " + strings.TrimPrefix(name, "full data, ")
				}
				t.Rows = append(t.Rows, []string{name, percent(g.cells.Rho), g.policy, errors.Rows[i][mae], errors.Rows[at][mae],
					fmt.Sprintf("%+.2f %%", 100*a.Relative), interval, fmt.Sprintf("%.3g", a.Holm), a.Finding()})
				t.Runs = append(t.Runs, append(slices.Clone(control.Runs), c.Runs...))
			}
		}
	}
	if len(b.study.comparison.BatchPolicy) == 1 {
		t = without(t, "batches")
	}
	b.show(s, "main", t)
	if len(b.Comparison.Notes) > 0 {
		s.Blocks = append(s.Blocks, block{List: b.Comparison.Notes})
	}
	if len(t.Rows) == 0 {
		return
	}
	s.say("Every method has its verdicts under its retention below, with the tests behind them under Tests in detail.")
}

// whole has the figures that are about all groups of a comparison.
func (b *builder) whole(first *group) {
	s := b.section(2, "The study as a whole")
	s.draw(b.lossComplexity(first))
	var across []*Figure
	for _, policy := range b.study.comparison.BatchPolicy {
		var of []*group
		for _, g := range b.groups {
			if len(g.rows) > 0 && (len(b.study.comparison.BatchPolicy) == 1 || g.policy == policy) {
				of = append(of, g)
			}
		}
		name, title := "", ""
		if len(b.study.comparison.BatchPolicy) > 1 {
			name, title = "-"+slug(policy), ", "+policyName(policy)
		}
		if len(of) > 0 {
			across = append(across, b.ratios("ratios"+name, title, of), b.pareto("pareto"+name, title, of))
		}
	}
	s.draw(across...)
	s.draw(b.kept(first)...)
}

// part is about one group.
func (b *builder) part(g *group) {
	s := b.section(2, g.title)
	if g.cells != nil {
		of := compare.Report{Groups: []compare.Group{*g.cells}}
		t := of.VerdictTable()
		t.Caption = g.title + ": what is proven of each method, and the mean difference of its test MAE; below 0 it errs less."
		b.show(s, g.suffixed("verdicts"), without(t, "batches", "retention"))
		b.show(s, g.suffixed("errors"), g.errorTable())
	} else {
		b.show(s, g.suffixed("errors"), b.l.Summary(runsOf(g.rows)...))
		s.draw(b.lossComplexity(g))
		s.draw(b.ratios(g.suffixed("ratios"), "", []*group{g}), b.pareto(g.suffixed("pareto"), "", []*group{g}))
	}
	s.draw(append(b.learning(g), b.horizons(g), b.ablation(g), b.grid(g), b.overhead(g))...)
	if g.cells == nil {
		s.draw(b.kept(g)...)
	}
}

// errorTable has errors beside what they cost.
func (g *group) errorTable() *figures.Table {
	t := g.cells.ErrorTable()
	t.Columns = append(t.Columns, "visits", "seconds")
	for i, c := range g.cells.Cells {
		visits, seconds := "", ""
		if len(c.Runs) > 0 {
			visits, seconds = fmt.Sprintf("%.2f", c.FullEpochs), fmt.Sprintf("%.1f", c.Seconds.Total)
		}
		t.Rows[i] = append(t.Rows[i], visits, seconds)
	}
	t.Columns[0] = "trained by"
	t.Caption = g.title + ": test errors, mean ± standard deviation over seeds, with the means of visits, in epochs of the full data, and seconds."
	t.Note = about(g.rows)
	return without(t)
}

// tests are all comparisons of pairs.
func (b *builder) tests() {
	if !slices.ContainsFunc(b.groups, func(g *group) bool {
		return len(g.cells.Pruners) > 0 || slices.ContainsFunc(g.cells.Cells, func(c compare.Cell) bool { return len(c.Against) > 0 })
	}) {
		return
	}
	b.section(2, "Tests in detail").say("Each method against the others (p adjusted over a row) and against its controls (p adjusted over a table). " +
		"Equal visits and equal seconds are full data in fewer epochs, in batches of the size that the pruned epochs have, on the same learning-rate schedule over its own steps.")
	for _, g := range b.groups {
		s := b.section(3, g.title+": tests")
		t := g.cells.PrunerTable()
		t.Caption = "Each method against all others."
		b.show(s, g.suffixed("methods"), without(t))
		for _, role := range controls {
			t := g.cells.AgainstTable(role)
			t.Caption = "Against " + role.InWords() + "."
			b.show(s, g.suffixed("against-"+string(role)), t)
		}
	}
}

func (b *builder) costs() {
	b.section(2, "Costs in detail")
	for _, g := range b.groups {
		s := b.section(3, g.title+": costs")
		t := g.cells.CostTable()
		t.Columns[0], t.Caption = "trained by", "What a run took, means over seeds."
		b.show(s, g.suffixed("costs"), t)
		t = g.cells.SecondsTable()
		t.Columns[0], t.Caption = "trained by", "Seconds of a run, means over seeds."
		b.show(s, g.suffixed("seconds"), t)
	}
}

func (b *builder) missingRuns() {
	s := b.section(2, "Missing")
	if b.Finished == b.Runs {
		s.say("No run is missing.")
	} else {
		s.say("%s of %s are not finished. This trains them, and goes on where it was stopped:", count(b.Runs-b.Finished), counted("run", b.Runs))
		s.Blocks = append(s.Blocks, block{Code: b.Command})
	}
	t := &figures.Table{Caption: "Without a result.", Columns: []string{"trained by", "where", "missing", "why", "runs"}}
	for _, m := range b.Missing {
		t.Rows = append(t.Rows, []string{m.Label, m.Where, numbers(m.Seeds), m.Reason, strings.Join(m.IDs, " ")})
	}
	b.show(s, "missing", without(t))
	if len(b.NotDrawn) > 0 {
		s.say("Figures that these runs don't allow:")
		var list []string
		for _, n := range b.NotDrawn {
			list = append(list, n.Title+": "+n.Reason)
		}
		s.Blocks = append(s.Blocks, block{List: list})
	}
}

func (b *builder) provenance() {
	s := b.section(2, "Data and environment")
	b.show(s, "data", b.dataTable())
	b.show(s, "environment", b.environmentTable())
	s.say("The finished runs took %s in all. This report was written by stprune, revision %s, %s; environment.json lists which run was trained where.",
		duration(b.Seconds), revision(b.Source.Revision, b.Source.Modified), b.Source.Go)
}

func (b *builder) reproduce() {
	s := b.section(2, "To repeat it")
	s.say("study.toml holds every setting, defaults included. With the data sets in the folder STPRUNE_DATA, under the names above, reproduce.sh runs:")
	var lines []string
	for _, d := range b.Data {
		lines = append(lines, "stprune data verify "+quoted(d.Name))
	}
	lines = append(lines, b.Command, b.study.command("report"))
	s.Blocks = append(s.Blocks, block{Code: strings.Join(lines, "\n")})
	s.say("Runs have the ids that this report names where data, settings and backend are the same; what is in the store of runs (STPRUNE_RUNS) is not trained again.")
	b.script = "#!/bin/sh\n# Trains the study and writes its report.\nset -eu\ncd \"$(dirname \"$0\")\"\n" + strings.Join(lines, "\n") + "\n"
}

// quoted is a word of a shell's line.
func quoted(word string) string {
	if regexp.MustCompile(`^[A-Za-z0-9._:,=+-]+$`).MatchString(word) && word[0] != '-' {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// allRuns lists each run once.
func (b *builder) allRuns() {
	t := &figures.Table{
		Caption: "All finished runs, each once, under the first retention that they were asked for.",
		Columns: []string{"run", "trained by", "where", "seed", "epochs", "best", "validation MAE", "MAE", "RMSE", "MAPE", "visits", "steps", "seconds"},
	}
	if b.Comparison == nil {
		t.Caption = "All finished runs."
	}
	seen := map[string]bool{}
	for _, g := range b.groups {
		for _, r := range g.rows {
			for i, one := range r.runs {
				if seen[one.ID] {
					continue
				}
				seen[one.ID] = true
				t.Rows = append(t.Rows, runRow(one, r.results[i], r.label, g.where))
			}
		}
	}
	s := b.section(2, "Runs")
	b.show(s, "runs", t)
	s.Blocks[len(s.Blocks)-1].Table.IsID = true
}

func runRow(one *run.Run, result *run.Result, label, where string) []string {
	mean := result.Test.Mean
	return []string{one.ID, label, where, fmt.Sprint(one.Spec.Train.Seed), fmt.Sprint(result.Epochs), fmt.Sprint(result.BestEpoch), digits(result.Validation.Mean.MAE),
		digits(mean.MAE), digits(mean.RMSE), fmt.Sprintf("%.3f %%", 100*mean.MAPE), fmt.Sprintf("%.3f", result.FullEpochs), fmt.Sprint(result.Steps), fmt.Sprintf("%.2f", result.Seconds.Total)}
}

func digits(x float64) string { return fmt.Sprintf("%#.6g", x) }
