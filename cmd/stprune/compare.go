package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/stprune/workbench/figures"
	"github.com/stprune/workbench/stprune/compare"
	runs "github.com/stprune/workbench/stprune/run"
)

// compareCmd trains methods beside each other and beside their controls, and says what the results prove.
type compareCmd struct {
	Spec    string `arg:"" type:"existingfile" help:"The comparison (TOML): methods, rho, seeds, and the settings that all runs share."`
	Plan    bool   `xor:"how" help:"Only say what would be trained, what is there, and how long the rest takes."`
	Collect bool   `xor:"how" help:"Only report what is there."`
	JSON    bool   `help:"Print JSON."`
	CSV     string `type:"path" placeholder:"DIR" help:"Also write runs.csv and cells.csv into this folder."`
	Runs    string `type:"path" env:"STPRUNE_RUNS" default:"runs" help:"Folder of runs."`
	Backend string `help:"Backend: auto, xla, xla:cpu, xla:cuda, go. Default: what the comparison says."`

	spec compare.Spec
}

// Validate reads the comparison while the command line is parsed, so that a wrong one counts as wrong usage.
func (c *compareCmd) Validate() (err error) {
	if c.spec, err = compare.Load(c.Spec); err != nil {
		return err
	}
	c.spec.Base.Backend.Name = cmp.Or(c.Backend, c.spec.Base.Backend.Name)
	return c.spec.Check()
}

func (c *compareCmd) Run(ctx context.Context) error {
	o := compare.Options{
		Store: runs.NewStore(c.Runs),
		Watch: func(title string) runs.Watcher { return runs.Progress(os.Stderr, title) },
		Note:  func(text string) { fmt.Fprintln(os.Stderr, text) },
	}
	if c.Plan {
		p, err := compare.NewPlan(ctx, c.spec, o)
		if err != nil {
			return err
		}
		return c.printPlan(p)
	}
	ask := compare.Run
	if c.Collect {
		ask = compare.Collect
	}
	report, err := ask(ctx, c.spec, o)
	if err != nil {
		return err
	}
	if c.CSV != "" {
		if err := report.WriteCSV(c.CSV); err != nil {
			return err
		}
	}
	if c.JSON {
		err = printJSON(os.Stdout, report)
	} else {
		_, err = fmt.Print(report.Markdown())
	}
	failed := 0
	for _, r := range report.Runs {
		if r.Status != runs.Finished {
			failed++
		}
	}
	if err == nil && failed > 0 && !c.Collect {
		return fmt.Errorf("%d of %d runs failed; the report's list of what is missing says why", failed, len(report.Runs))
	}
	return err
}

func (c *compareCmd) printPlan(p *compare.Plan) error {
	if c.JSON {
		return printJSON(os.Stdout, p)
	}
	t := figures.Table{Columns: []string{"row", "control for", "batches", "retention", "epochs", "batch", "steps", "visits", "runs"}}
	for _, r := range p.Rows {
		row := []string{oneLine(r.Label), controlFor(r.Roles), r.BatchPolicy, fmt.Sprintf("%g %%", 100*r.Rho), "", "", "", "", r.Reason}
		if len(r.Runs) > 0 {
			copy(row[4:], []string{fmt.Sprint(r.Epochs), fmt.Sprint(r.Batch), fmt.Sprint(r.Steps), fmt.Sprintf("%.2f", r.FullEpochs), statuses(r.Runs)})
		}
		t.Rows = append(t.Rows, row)
	}
	fmt.Print(t.Text())
	left := ""
	if p.Left > 0 {
		left = fmt.Sprintf(", about %s at the pace of the finished ones", time.Duration(p.Left*float64(time.Second)))
	}
	diverged := ""
	if p.Diverged > 0 {
		diverged = fmt.Sprintf("%d diverged, ", p.Diverged)
	}
	_, err := fmt.Printf("\n%d different runs: %d finished, %s%d to train%s\n", p.Runs, p.Finished, diverged, p.Runs-p.Finished-p.Diverged, left)
	return err
}

func controlFor(roles []compare.Role) string {
	var names []string
	for _, r := range roles {
		if r != compare.Pruner {
			names = append(names, string(r))
		}
	}
	return strings.Join(names, ", ")
}

// statuses counts runs by status, such as "3 finished, 2 new".
func statuses(all []compare.PlannedRun) string {
	counts := map[runs.Status]int{}
	var order []runs.Status
	for _, r := range all {
		if counts[r.Status]++; !slices.Contains(order, r.Status) {
			order = append(order, r.Status)
		}
	}
	var parts []string
	for _, s := range order {
		parts = append(parts, fmt.Sprintf("%d %s", counts[s], s))
	}
	return strings.Join(parts, ", ")
}
