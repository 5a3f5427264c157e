package compare

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/stprune/workbench/figures"
	"github.com/stprune/workbench/stprune/stats"
)

// Markdown is the report for people to read.
func (r *Report) Markdown() string {
	var out strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&out, format+"\n\n", args...) }
	table := func(t *figures.Table) {
		if t.Runs = nil; len(t.Rows) > 0 { // ids are in the list of runs
			say("%s", strings.TrimSpace(t.Markdown()))
		}
	}
	title := r.Name
	if title == "" {
		title = "Comparison"
	}
	say("# %s", title)
	for _, text := range r.Intro() {
		say("%s", text)
	}

	say("## Verdicts")
	say("What is proven of each method against each control, and the mean difference of their test MAE; below 0 the method errs less.")
	table(r.VerdictTable())
	heading := ""
	for _, g := range r.Groups {
		if g.Heading != heading {
			heading = g.Heading
			say("## %s", heading)
		}
		say("### Retention %s", percent(g.Rho))
		table(g.ErrorTable())
		table(g.CostTable())
		table(g.SecondsTable())
		say("Each pruner against each other one (p adjusted over a row):")
		table(g.PrunerTable())
		for _, role := range []Role{Full, Random, EqualSteps} {
			if t := g.AgainstTable(role); len(t.Rows) > 0 {
				say("Against %s:", role.InWords())
				table(t)
			}
		}
	}
	say("## Against full data tuned alike")
	say("Full data in fewer epochs, in batches of the size that the pruned epochs have, on the same learning-rate schedule over its own steps. " +
		"Equal seconds: as many epochs as fit the median seconds of the pruned runs at that retention, those of the primary methods where there are any, without compiling; " +
		"trained after them.")
	for _, g := range r.Groups {
		for _, role := range []Role{EqualVisits, EqualSeconds} {
			if t := g.AgainstTable(role); len(t.Rows) > 0 {
				say("Retention %s, %s, %s:", percent(g.Rho), g.BatchPolicy, role.InWords())
				table(t)
			}
		}
	}

	say("## Missing")
	if len(r.Missing) == 0 {
		say("Nothing: all %d runs are finished.", len(r.Runs))
	}
	for _, m := range r.Missing {
		which := ""
		if m.ID != "" {
			which = fmt.Sprintf(", seed %d, run %s", m.Seed, m.ID)
		}
		fmt.Fprintf(&out, "- %s, %s, retention %s%s: %s\n", oneLine(m.Label), m.BatchPolicy, percent(m.Rho), which, oneLine(m.Reason))
	}
	if len(r.Missing) > 0 {
		fmt.Fprintln(&out)
	}

	say("## How to read it")
	before, terms, after := r.Reading()
	for _, text := range before {
		say("%s", text)
	}
	for _, term := range terms {
		fmt.Fprintf(&out, "- %s\n", term)
	}
	fmt.Fprintf(&out, "\n%s\n", after)
	return out.String()
}

// Intro says what was compared, and what must be known beside the numbers.
func (r *Report) Intro() []string {
	all := []string{fmt.Sprintf("%s. Seeds %s. Test errors are those of the parameters of the best validation epoch: mean of all horizons, mean ± standard "+
		"deviation over seeds.", r.Setting, strings.Trim(fmt.Sprint(r.Seeds), "[]"))}
	if r.reconstructed() {
		all = append(all, fmt.Sprintf("† ST-Prune is %s (arXiv 2602.19113): its equations are not available to us, and these are not the paper's numbers.", reconstruction))
	}
	if r.has(func(c Cell) bool { return slices.ContainsFunc(c.Against, func(a *Against) bool { return a.Ratio > 0 }) }) {
		all = append(all, fmt.Sprintf("Controls with equal steps, visits or seconds have whole epochs where those miss by at most %s what a method's schedule plans, else they end "+
			"within an epoch. Where one took over %s more or less than the method, how much stands in place of the verdict, such as \"5.0× the visits\": "+
			"the difference beside it is not one at equal cost.", percent(whole), percent(equal)))
	}
	all = append(all, r.smallest())
	if r.has(func(c Cell) bool { return c.Others != nil && c.Others.Of > 1 }) {
		all = append(all, fmt.Sprintf("Whether a primary method (%s) is better than all other methods is one test: its p is the largest of those against each of them, "+
			"and needs no adjustment (intersection-union, Berger 1982). Ablations of its own, and methods with another optimiser, model or schedule, are left out. "+
			"Counts short of all are of tests each by itself and prove nothing together.", oneLine(strings.Join(r.Primary, "; "))))
	}
	return append(all, r.Notes...)
}

// Reading says how differences are measured, what each verdict means, and what the columns of costs are.
func (r *Report) Reading() (before, terms []string, after string) {
	before = []string{fmt.Sprintf("Differences are of test MAE, paired by seed, with the %g %% BCa bootstrap interval of their mean (%d resamples) and the two-sided p of "+
		"the sign-flip test (exact up to 20 seeds), adjusted by Holm over the methods of a table.", 100*stats.Level, stats.Resamples)}
	if len(r.Primary) > 0 {
		before = append(before, fmt.Sprintf("Tests of %s against controls are adjusted apart from those of the other methods: the comparison names what it is about.",
			oneLine(strings.Join(r.Primary, ", "))))
	}
	terms = []string{
		fmt.Sprintf("better, worse: adjusted p at most %g, interval without 0, and a difference of at least %s of the error", r.Alpha, percent(r.Floor)),
		fmt.Sprintf("no difference: below %s of the error; the interval says how sure that is", percent(r.Floor)),
		"undecided: larger, and not proven",
		"not enough seeds: with so few no difference can be proven",
	}
	return before, terms, "Kept is the share of units in pruned epochs, visits are epochs of all data, forwarded and back-propagated are windows × nodes, with those of scoring models."
}

var roleNames = map[Role]string{
	Full: "full data", Random: "random units at equal retention and schedule", EqualSteps: "full data with equal optimiser steps",
	EqualVisits: "full data with equal visits", EqualSeconds: "full data with equal seconds", Pruner: "method",
}

// InWords says what a control is.
func (r Role) InWords() string { return roleNames[r] }

func (r *Report) reconstructed() bool {
	for _, g := range r.Groups {
		for _, c := range g.Cells {
			if c.Note == reconstruction {
				return true
			}
		}
	}
	return false
}

// smallest says what so many seeds can prove.
func (r *Report) smallest() string {
	family := 0 // the largest number of tests that are adjusted together
	for _, g := range r.Groups {
		tests := map[string]int{}
		for _, v := range g.Pruners {
			tests["against others: "+v.Label]++
		}
		for _, c := range g.Cells {
			for _, a := range c.Against {
				tests[fmt.Sprint("against control: ", a.Role, slices.Contains(r.Primary, c.Label))]++
			}
		}
		for _, n := range tests {
			family = max(family, n)
		}
	}
	text := fmt.Sprintf("With %s p cannot fall below %.2g", counted(float64(len(r.Seeds)), "seed"), r.SmallestP)
	if family > 1 {
		text += fmt.Sprintf(", and adjusted by Holm over %d tests not below %.2g", family, min(1, float64(family)*r.SmallestP))
	}
	if need := stats.Seeds(max(1, family)); need > len(r.Seeds) {
		text += fmt.Sprintf("; it takes %d seeds to reach %g", need, r.Alpha)
	}
	return text + "."
}

// has tells whether any cell is such.
func (r *Report) has(such func(Cell) bool) bool {
	return slices.ContainsFunc(r.Groups, func(g Group) bool { return slices.ContainsFunc(g.Cells, such) })
}

// ahead says which of the other methods a primary one is better than.
func ahead(a stats.All) string {
	switch {
	case a.Of == 0:
		return ""
	case a.Verdict == stats.NotEnoughSeeds:
		return string(a.Verdict)
	case a.Verdict == stats.Better && a.Of == 1:
		return fmt.Sprintf("better than the other, p = %.2g", a.P)
	case a.Verdict == stats.Better:
		return fmt.Sprintf("better than all %d others, p = %.2g", a.Of, a.P)
	case a.Worse > 0:
		return fmt.Sprintf("better than %d, worse than %d of %d", a.Better, a.Worse, a.Of)
	}
	return fmt.Sprintf("better than %d of %d", a.Better, a.Of)
}

// VerdictTable has a row for each pruner: what is proven of it, of primary ones also against all others at once, and the mean relative
// difference.
func (r *Report) VerdictTable() *figures.Table {
	t := &figures.Table{Columns: []string{"method", "batches", "retention", "other pruners", "full data", "random", "equal steps", "equal visits", "equal seconds"}}
	for _, g := range r.Groups {
		for _, c := range g.Cells {
			better, worse, of := 0, 0, 0
			for _, v := range g.Pruners {
				if v.Label == c.Label {
					of++
					switch v.Verdict {
					case stats.Better:
						better++
					case stats.Worse:
						worse++
					}
				}
			}
			if of == 0 && len(c.Against) == 0 {
				continue
			}
			others := fmt.Sprintf("better than %d, worse than %d of %d", better, worse, of)
			if c.Others != nil {
				others = ahead(*c.Others)
			}
			row := []string{c.name(), g.BatchPolicy, percent(g.Rho), others}
			for _, role := range []Role{Full, Random, EqualSteps, EqualVisits, EqualSeconds} {
				verdict := ""
				for _, a := range c.Against {
					if a.Role == role {
						verdict = fmt.Sprintf("%s, %+.2f %%", a.Finding(), 100*a.Relative)
					}
				}
				row = append(row, verdict)
			}
			t.Rows, t.Runs = append(t.Rows, row), append(t.Runs, c.Runs)
		}
	}
	return t
}

// name is the cell's label as tables show it.
func (c Cell) name() string {
	if c.Note == reconstruction {
		return oneLine(c.Label) + " †"
	}
	return oneLine(c.Label)
}

// nameOf is the name of the cell with that label.
func (g Group) nameOf(label string) string {
	for _, c := range g.Cells {
		if c.Label == label {
			return c.name()
		}
	}
	return label
}

// ErrorTable has the test errors of each cell, mean ± standard deviation over seeds.
func (g Group) ErrorTable() *figures.Table {
	t := &figures.Table{Columns: []string{"test errors", "control for", "runs", "MAE", "@3", "@6", "@12", "RMSE", "MAPE"}}
	digits := g.decimals()
	for _, c := range g.Cells {
		row := []string{c.name(), c.controls(), fmt.Sprint(len(c.Runs)), "", "", "", "", "", ""}
		if len(c.Runs) > 0 {
			text := func(s Spread, digits int) string {
				if len(c.Runs) == 1 {
					return fmt.Sprintf("%.*f", digits, s.Mean)
				}
				return fmt.Sprintf("%.*f ± %.*f", digits, s.Mean, digits, s.SD)
			}
			row[3] = text(c.MAE, digits)
			for _, h := range c.Horizon {
				row[4+slices.Index(horizons, h.Steps)] = text(h.MAE, digits)
			}
			row[7], row[8] = text(c.RMSE, digits), text(Spread{100 * c.MAPE.Mean, 100 * c.MAPE.SD}, 2)+" %"
		}
		t.Rows, t.Runs = append(t.Rows, row), append(t.Runs, c.Runs)
	}
	return t
}

// decimals show four digits of the group's errors.
func (g Group) decimals() int {
	largest := 0.0
	for _, c := range g.Cells {
		largest = max(largest, c.MAE.Mean)
	}
	if largest == 0 {
		return 3
	}
	return max(0, 3-int(math.Floor(math.Log10(largest))))
}

// controls says what the cell is a control for.
func (c Cell) controls() string {
	var roles []string
	for _, r := range c.Roles {
		if r != Pruner {
			roles = append(roles, string(r))
		}
	}
	return strings.Join(roles, ", ")
}

// CostTable has what a run of each cell with results took.
func (g Group) CostTable() *figures.Table {
	t := &figures.Table{Columns: []string{"cost of a run", "kept", "visits", "forwarded", "back-propagated", "optimiser steps", "effective size"}}
	for _, c := range g.Cells {
		if len(c.Runs) > 0 {
			t.Rows = append(t.Rows, []string{c.name(), fmt.Sprintf("%.3f %%", 100*c.Kept), fmt.Sprintf("%.2f", c.FullEpochs), fmt.Sprintf("%.0f", c.Forwarded),
				fmt.Sprintf("%.0f", c.BackPropagated), fmt.Sprintf("%.0f", c.OptimiserSteps), fmt.Sprintf("%.1f", c.EffectiveSize)})
			t.Runs = append(t.Runs, c.Runs)
		}
	}
	return t
}

// SecondsTable has what the seconds of a run were spent on.
func (g Group) SecondsTable() *figures.Table {
	t := &figures.Table{Columns: []string{"seconds of a run", "compile", "steps", "selection", "scoring", "evaluation", "saving", "total", "without scoring"}}
	for _, c := range g.Cells {
		if len(c.Runs) == 0 {
			continue
		}
		s, row := c.Seconds, []string{c.name()}
		for _, v := range []float64{s.Compile, s.Steps, s.Selection, s.Scoring, s.Evaluation, s.Saving, s.Total, s.WithoutScoring} {
			row = append(row, fmt.Sprintf("%.2f", v))
		}
		t.Rows, t.Runs = append(t.Rows, row), append(t.Runs, c.Runs)
	}
	return t
}

// PrunerTable says of each pruner which others it is better and worse than.
func (g Group) PrunerTable() *figures.Table {
	verdicts := []stats.Verdict{stats.Better, stats.Worse, stats.NoDifference, stats.Undecided, stats.NotEnoughSeeds}
	t := &figures.Table{Columns: []string{"method", "better than", "worse than", "no difference", "undecided", "not enough seeds"}}
	for _, c := range g.Cells {
		row, found := make([]string, 1+len(verdicts)), false
		row[0] = c.name()
		for _, v := range g.Pruners {
			if v.Label == c.Label {
				found = true
				column := &row[1+slices.Index(verdicts, v.Verdict)]
				if *column != "" {
					*column += ", "
				}
				*column += g.nameOf(v.Other)
			}
		}
		if found {
			t.Rows, t.Runs = append(t.Rows, row), append(t.Runs, c.Runs)
		}
	}
	return t
}

// AgainstTable compares each pruner with its control of that role.
func (g Group) AgainstTable(role Role) *figures.Table {
	t := &figures.Table{Columns: []string{"method", "control", "seeds", "difference", "relative", "95 % interval", "p", "Holm p", "verdict"}}
	d := g.decimals() + 1
	for _, c := range g.Cells {
		for _, a := range c.Against {
			if a.Role != role {
				continue
			}
			interval := ""
			if a.Interval != nil {
				interval = fmt.Sprintf("%+.*f to %+.*f", d, a.Interval.Low, d, a.Interval.High)
			}
			t.Rows = append(t.Rows, []string{c.name(), oneLine(a.Label), fmt.Sprint(a.Pairs), fmt.Sprintf("%+.*f", d, a.Difference),
				fmt.Sprintf("%+.2f %%", 100*a.Relative), interval, fmt.Sprintf("%.3g", a.P), fmt.Sprintf("%.3g", a.Holm), a.Finding()})
			t.Runs = append(t.Runs, c.Runs)
		}
	}
	return t
}

func percent(share float64) string { return fmt.Sprintf("%g %%", 100*share) }

// exactly shows a number to its last digit, but for rounding.
func exactly(x float64) string { return strconv.FormatFloat(x, 'g', 12, 64) }

// oneLine keeps free text from breaking a line.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// RunsCSV has a row for each run.
func (r *Report) RunsCSV() string {
	t := figures.Table{Columns: slices.Concat([]string{"run", "label", "method", "batch_policy", "rho", "seed", "status", "epochs", "best_epoch",
		"validation_mae", "mae", "rmse", "mape", "mae_3", "mae_6", "mae_12"}, costColumns, []string{"backend", "cpu", "revision", "reason"})}
	for _, run := range r.Runs {
		row := []string{run.ID, run.Label, run.Method, run.BatchPolicy, exactly(run.Rho), fmt.Sprint(run.Seed), string(run.Status)}
		numbers := []float64{float64(run.Epochs), float64(run.BestEpoch), run.Validation, run.MAE, run.RMSE, run.MAPE, run.MAE3, run.MAE6, run.MAE12}
		for _, f := range run.fields() {
			numbers = append(numbers, *f)
		}
		row = append(row, cells(run.Epochs > 0, numbers)...)
		t.Rows = append(t.Rows, append(row, run.Backend, run.CPU, run.Revision, run.Reason))
	}
	return t.CSV()
}

// CellsCSV has a row for each cell, with the ids of its runs.
func (r *Report) CellsCSV() string {
	columns := slices.Concat([]string{"batch_policy", "rho", "label", "method", "roles", "note", "runs", "seeds_finished",
		"mae", "mae_sd", "rmse", "rmse_sd", "mape", "mape_sd", "mae_iqm", "mae_3", "mae_6", "mae_12"}, costColumns)
	for _, role := range controls {
		for _, name := range []string{"difference", "relative", "low", "high", "p", "holm", "improvement", "ratio", "verdict"} {
			columns = append(columns, strings.ReplaceAll(string(role), "-", "_")+"_"+name)
		}
	}
	t := figures.Table{Columns: append(columns, "reason")}
	for _, g := range r.Groups {
		for _, c := range g.Cells {
			row := []string{g.BatchPolicy, exactly(g.Rho), c.Label, c.Method, strings.ReplaceAll(join(c.Roles), ",", ""), c.Note,
				strings.Join(c.Runs, " "), fmt.Sprint(len(c.Runs))}
			var at [3]float64
			for _, h := range c.Horizon {
				at[slices.Index(horizons, h.Steps)] = h.MAE.Mean
			}
			numbers := []float64{c.MAE.Mean, c.MAE.SD, c.RMSE.Mean, c.RMSE.SD, c.MAPE.Mean, c.MAPE.SD, c.IQM, at[0], at[1], at[2]}
			for _, f := range c.fields() {
				numbers = append(numbers, *f)
			}
			row = append(row, cells(len(c.Runs) > 0, numbers)...)
			for _, role := range controls {
				part := make([]string, 9)
				for _, a := range c.Against {
					if a.Role == role {
						interval := []string{"", ""}
						if a.Interval != nil {
							interval = cells(true, []float64{a.Interval.Low, a.Interval.High})
						}
						part = slices.Concat(cells(true, []float64{a.Difference, a.Relative}), interval, cells(true, []float64{a.P, a.Holm, a.Improvement}), cells(a.Ratio > 0, []float64{a.Ratio}), []string{string(a.Verdict)})
					}
				}
				row = append(row, part...)
			}
			t.Rows = append(t.Rows, append(row, c.Reason))
		}
	}
	return t.CSV()
}

// cells are the numbers of a row, or empty ones.
func cells(known bool, numbers []float64) []string {
	row := make([]string, len(numbers))
	for i, x := range numbers {
		if known {
			row[i] = exactly(x)
		}
	}
	return row
}

// WriteCSV puts runs.csv and cells.csv into the folder dir. Each is replaced as a whole.
func (r *Report) WriteCSV(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	for name, text := range map[string]string{"runs.csv": r.RunsCSV(), "cells.csv": r.CellsCSV()} {
		path := filepath.Join(dir, name)
		err := os.WriteFile(path+".partial", []byte(text), 0o644)
		if err == nil {
			err = os.Rename(path+".partial", path)
		}
		if err != nil {
			return fmt.Errorf("report: %w; check the space and the rights there", err)
		}
	}
	return nil
}
