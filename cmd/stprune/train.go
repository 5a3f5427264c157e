package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/stprune/workbench/stprune/loss"
	"github.com/stprune/workbench/stprune/presets"
	runs "github.com/stprune/workbench/stprune/run"
)

// trainCmd asks for a run: it is trained, resumed, or returned at once when it is finished.
type trainCmd struct {
	Spec    string   `arg:"" optional:"" type:"existingfile" help:"Spec of the run (TOML). Without one the defaults count, and data.name must be set."`
	Preset  string   `placeholder:"NAME" help:"Begin with the settings of a reference, see 'stprune presets'. The spec and --set change them."`
	Set     []string `sep:"none" placeholder:"KEY=VALUE" help:"Change a setting, e.g. prune.rho=0.05. May be repeated."`
	Runs    string   `type:"path" env:"STPRUNE_RUNS" default:"runs" help:"Folder of runs."`
	Backend string   `help:"Backend: auto, xla, xla:cpu, xla:cuda, go. Default: what the spec says."`
	NoWait  bool     `help:"Fail at once while another process trains this run, instead of waiting for it."`
	JSON    bool     `help:"Print the result as JSON."`

	spec runs.Spec
}

// Validate reads the spec while the command line is parsed, so that a wrong one counts as wrong usage.
func (c *trainCmd) Validate() (err error) {
	c.spec = runs.DefaultSpec()
	if c.Preset != "" {
		text, err := presets.TOML(c.Preset)
		if err != nil {
			return err
		}
		if err := c.spec.Merge(text); err != nil {
			return fmt.Errorf("preset %s: %w", c.Preset, err)
		}
	}
	if c.Spec != "" {
		text, err := os.ReadFile(c.Spec)
		if err != nil {
			return err
		}
		if err := c.spec.Merge(text); err != nil {
			return fmt.Errorf("%s: %w", c.Spec, err)
		}
	}
	if err := c.spec.Set(c.Set...); err != nil {
		return err
	}
	c.spec.Backend.Name = cmp.Or(c.Backend, c.spec.Backend.Name)
	return c.spec.Check()
}

func (c *trainCmd) Run(ctx context.Context) error {
	title := cmp.Or(c.spec.Name, c.spec.Data.Name+" "+c.spec.Prune.Method)
	r, err := runs.Do(ctx, c.spec, runs.Options{
		Store: runs.NewStore(c.Runs), NoWait: c.NoWait, Watch: runs.Progress(os.Stderr, title),
	})
	if err != nil {
		return err
	}
	result, err := r.Result()
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(os.Stdout, result)
	}
	return printResult(os.Stdout, r, result)
}

// printResult writes a finished run for people to read.
func printResult(w io.Writer, r *runs.Run, result *runs.Result) error {
	if len(result.Tests) == 0 {
		if err := printMetrics(w, "test", result.Test); err != nil {
			return err
		}
	}
	for i, m := range result.Tests {
		if err := printMetrics(w, append([]string{r.Spec.Data.Name}, r.Spec.Data.More...)[i], m); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	forward := ""
	if result.Forwards+result.Scoring > 0 {
		forward = fmt.Sprintf("\nto choose units   %d windows × nodes forward only, %d to train a scoring model", result.Forwards, result.Scoring)
	}
	pruning := ""
	if p, ok := result.Payoff(); ok && r.Spec.Prune.Method != "full" {
		pruning = "\npruning           " + p.String()
	}
	s := result.Seconds
	_, err := fmt.Fprintf(w, `
best validation   MAE %.4f in epoch %d of %d
visits            %d windows × nodes, %.2f epochs of all data%s
optimiser steps   %d
seconds           %.1f: loading %.1f, compile %.1f, steps %.1f, selection %.2f, scoring %.1f, evaluation %.1f, saving %.1f, host %.1f%s
peak memory       %d MB
run               %s
`, result.Validation.Mean.MAE, result.BestEpoch, result.Epochs, result.Visits, result.FullEpochs, forward, result.Steps,
		s.Total, s.Loading, s.Compile, s.Steps, s.Selection, s.Scoring, s.Evaluation, s.Saving, s.Host, pruning, result.PeakMemory>>20, r.Dir)
	return err
}

// printMetrics writes the errors on one data set.
func printMetrics(w io.Writer, title string, m loss.Metrics) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "%s\tMAE\tRMSE\tMAPE\t\n", oneLine(title))
	row := func(name string, e loss.Errors) {
		fmt.Fprintf(t, "%s\t%.4f\t%.4f\t%.2f %%\t\n", name, e.MAE, e.RMSE, 100*e.MAPE)
	}
	for _, h := range []int{3, 6, 12} {
		if e, err := m.At(h); err == nil { // shorter horizons have fewer rows
			row(fmt.Sprint("horizon ", h), e)
		}
	}
	row("mean of horizons", m.Mean)
	row("all entries", m.Pooled)
	return t.Flush()
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// oneLine keeps free text from breaking a table.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
