package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	"github.com/stprune/workbench/figures"
	"github.com/stprune/workbench/stprune/compare"
	"github.com/stprune/workbench/stprune/diagnose"
	runs "github.com/stprune/workbench/stprune/run"
)

// validateComparison reads the comparison while the command line is parsed.
func (c *diagnoseCmd) validateComparison() error {
	for _, w := range c.What {
		if !slices.Contains([]string{"kept", "overlap", "errors", "gradient", "gradient-path"}, w) {
			return fmt.Errorf("--what %s asks one run: give its id in place of the comparison", w)
		}
	}
	if len(c.Set) > 0 {
		return errors.New("--set changes one run's settings: change them in the comparison")
	}
	spec, err := compare.Load(c.ID)
	if err != nil {
		return err
	}
	if c.Backend != "auto" { // as 'stprune compare' does, so that the runs are the same
		spec.Base.Backend.Name = c.Backend
	}
	if err := spec.Check(); err != nil {
		return err
	}
	c.spec = &spec
	c.Row = cmp.Or(c.Row, slices.Concat(spec.Primary, []string{spec.Methods[0].Label})[0])
	return nil
}

// overRow is what the diagnoses of a row's runs come to, over seeds.
type overRow struct {
	Row     string             `json:"row"`
	Against string             `json:"against,omitempty"`
	Batches string             `json:"batch_policy"`
	Rho     float64            `json:"rho"`
	Seeds   []uint64           `json:"seeds"`
	Numbers []diagnose.Summary `json:"numbers"`
}

// overSeeds asks a row of a comparison, at each retention.
func (c *diagnoseCmd) overSeeds(ctx context.Context) error {
	plan, err := compare.NewPlan(ctx, *c.spec, compare.Options{Store: runs.NewStore(c.Runs)})
	if err != nil {
		return err
	}
	var all []overRow
	for _, row := range plan.Rows {
		if row.Label != c.Row || len(c.Rho) > 0 && !slices.Contains(c.Rho, row.Rho) {
			continue
		}
		var other *compare.PlannedRow
		if c.Against != "" {
			if other, err = c.control(plan.Rows, row); err != nil {
				return err
			}
		}
		found, err := c.overRow(ctx, row, other)
		if err != nil {
			return fmt.Errorf("%s at %g %%: %w", row.Label, 100*row.Rho, err)
		}
		all = append(all, found)
	}
	if len(all) == 0 {
		return fmt.Errorf("the comparison has no row %q at these retentions; 'stprune compare %s --plan' lists them", c.Row, c.ID)
	}
	if c.CSV != "" {
		t := numbersTable(all)
		if err := os.WriteFile(c.CSV, []byte(t.CSV()), 0o644); err != nil {
			return err
		}
	}
	if c.JSON {
		return printJSON(os.Stdout, all)
	}
	for _, found := range all {
		found.print()
	}
	return nil
}

// control finds the row that --against means, beside the same batches and retention.
func (c *diagnoseCmd) control(rows []compare.PlannedRow, beside compare.PlannedRow) (*compare.PlannedRow, error) {
	var found []compare.PlannedRow
	for _, r := range rows {
		if r.BatchPolicy != beside.BatchPolicy || r.Rho != beside.Rho {
			continue
		}
		if r.Label == c.Against {
			return &r, nil
		}
		if slices.Contains(r.Roles, compare.Role(c.Against)) {
			found = append(found, r)
		}
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("--against %s: %d rows at %g %% are that control; give the label of one, as 'stprune compare %s --plan' lists them", c.Against, len(found), 100*beside.Rho, c.ID)
	}
	return &found[0], nil
}

func (c *diagnoseCmd) overRow(ctx context.Context, row compare.PlannedRow, other *compare.PlannedRow) (overRow, error) {
	out := overRow{Row: row.Label, Batches: row.BatchPolicy, Rho: row.Rho}
	if other != nil {
		out.Against = other.Label
	}
	var pairs [][]diagnose.Value
	for i, r := range row.Runs {
		against := ""
		if other != nil {
			if i >= len(other.Runs) || other.Runs[i].Status != runs.Finished {
				continue
			}
			against = other.Runs[i].ID
		}
		if r.Status != runs.Finished {
			continue
		}
		values, err := c.values(ctx, r.ID, against)
		if err != nil {
			return out, fmt.Errorf("seed %d: %w", r.Seed, err)
		}
		pairs, out.Seeds = append(pairs, values), append(out.Seeds, r.Seed)
	}
	if len(pairs) == 0 {
		return out, fmt.Errorf("no seed has finished runs; train them by 'stprune compare %s'", c.ID)
	}
	var err error
	out.Numbers, err = diagnose.Summarise(pairs)
	return out, err
}

// values asks the topics of one run; against may be empty.
func (c *diagnoseCmd) values(ctx context.Context, id, against string) ([]diagnose.Value, error) {
	s, _, err := c.open(ctx, id)
	if err != nil {
		return nil, err
	}
	choice, err := s.Choice()
	if err != nil {
		return nil, err
	}
	choices := []diagnose.Choice{choice}
	var other *diagnose.Subject
	if against != "" {
		if other, _, err = c.open(ctx, against); err != nil {
			return nil, err
		}
		theirs, err := other.Choice()
		if err != nil {
			return nil, err
		}
		if len(theirs.Pruned()) > 0 {
			choices = append(choices, theirs)
		}
	}
	what := c.What
	if len(what) == 0 {
		what = []string{"kept"}
	}
	var all []diagnose.Value
	for _, topic := range topics {
		if !slices.Contains(what, topic) {
			continue
		}
		var found []diagnose.Value
		switch topic {
		case "kept":
			found, err = keptValues(s, choices)
		case "overlap":
			if len(choices) > 1 { // full data overlaps with everything
				var rows []diagnose.Overlap
				rows, err = diagnose.Overlaps(choices[0], choices[1])
				found = diagnose.OverlapValues(rows)
			}
		case "errors":
			var e diagnose.GroupErrors
			e, err = s.Errors(ctx, other)
			found = e.Values()
		case "gradient":
			var g diagnose.Gradients
			g, err = s.Gradients(ctx, diagnose.GradientOptions{Epochs: c.Epochs}, choices...)
			found = g.Values()
		case "gradient-path":
			var points []diagnose.PathPoint
			points, err = s.GradientPath(ctx, diagnose.GradientOptions{Epochs: c.Epochs})
			found = diagnose.PathValues(points)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

func keptValues(s *diagnose.Subject, choices []diagnose.Choice) ([]diagnose.Value, error) {
	var shares []diagnose.Shares
	for _, c := range choices {
		x, err := s.Shares(c)
		if err != nil {
			return nil, err
		}
		shares = append(shares, x)
	}
	var against *diagnose.Shares
	if len(shares) > 1 {
		against = &shares[1]
	}
	return shares[0].Values(against), nil
}

func (o overRow) print() {
	fmt.Printf("%s, %s batches, %g %%, seeds %v", oneLine(o.Row), o.Batches, 100*o.Rho, o.Seeds)
	if o.Against != "" {
		fmt.Printf(", against %s", oneLine(o.Against))
	}
	fmt.Print("\n\n")
	for i := 0; i < len(o.Numbers); {
		first := o.Numbers[i]
		t := figures.Table{Columns: []string{"", "mean", "against", "change", "lower in", "p"}}
		for ; i < len(o.Numbers); i++ {
			n := o.Numbers[i]
			if n.Topic != first.Topic || n.By != first.By || n.Of != first.Of {
				break
			}
			row := []string{n.Group, withStd(n.Value), "", "", "", ""}
			if x := n.Comparison; x != nil {
				change := ""
				if x.Against.Mean != 0 {
					change = fmt.Sprintf("%+.2f %%", 100*x.Difference.Mean/x.Against.Mean)
				}
				copy(row[2:], []string{withStd(x.Against), change, fmt.Sprintf("%d of %d", x.Lower, n.Pairs), fmt.Sprintf("%.3f", x.P)})
			}
			t.Rows = append(t.Rows, row)
		}
		fmt.Printf("%s: %s by %s\n\n%s\n", first.Topic, first.Of, oneLine(first.By), t.Text())
	}
}

func withStd(m diagnose.Mean) string { return fmt.Sprintf("%.4f ± %.4f", m.Mean, m.Std) }

// numbersTable has a line for each number.
func numbersTable(all []overRow) figures.Table {
	t := figures.Table{Columns: []string{
		"row", "against", "batch_policy", "rho", "topic", "of", "by", "group", "seeds",
		"mean", "std", "against_mean", "against_std", "difference_mean", "difference_std", "lower", "p",
	}}
	number := func(x float64) string { return strconv.FormatFloat(x, 'g', 6, 64) }
	for _, o := range all {
		for _, n := range o.Numbers {
			row := []string{o.Row, o.Against, o.Batches, number(o.Rho), n.Topic, n.Of, n.By, n.Group, strconv.Itoa(n.Pairs), number(n.Value.Mean), number(n.Value.Std)}
			if x := n.Comparison; x != nil {
				row = append(row, number(x.Against.Mean), number(x.Against.Std), number(x.Difference.Mean), number(x.Difference.Std), strconv.Itoa(x.Lower), number(x.P))
			}
			t.Rows = append(t.Rows, append(row, make([]string, len(t.Columns)-len(row))...))
		}
	}
	return t
}
