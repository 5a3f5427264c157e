package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/stprune/workbench/stprune/accel"
	"github.com/stprune/workbench/stprune/bench"
	runs "github.com/stprune/workbench/stprune/run"
)

// benchCmd measures speed.
type benchCmd struct {
	Step benchStepCmd `cmd:"" help:"Time whole training steps of a backbone on made-up values."`
}

type benchStepCmd struct {
	Model   string        `default:"stid" help:"Backbone."`
	Nodes   int           `default:"307" help:"Nodes N."`
	Batch   int           `default:"64" help:"Units in a batch."`
	Unit    string        `default:"window" enum:"window,pair" help:"Unit of training: window or pair."`
	History int           `default:"12" help:"Input steps."`
	Horizon int           `default:"12" help:"Forecast steps."`
	PerDay  int           `default:"288" help:"Steps of a day."`
	Option  []string      `sep:"none" placeholder:"KEY=VALUE" help:"Option of the backbone, e.g. layers=2. May be repeated."`
	For     time.Duration `default:"5s" help:"Measure at least this long."`
	Backend string        `default:"auto" help:"Backend: auto, xla, xla:cpu, xla:cuda, go."`
	JSON    bool          `help:"Print JSON."`
}

func (c *benchStepCmd) Run(ctx context.Context) error {
	spec := runs.DefaultSpec() // reads options as a run's spec does
	for _, o := range c.Option {
		if err := spec.Set("model.options." + strings.TrimSpace(o)); err != nil {
			return err
		}
	}
	be, err := accel.Open(ctx, c.Backend, os.Stderr)
	if err != nil {
		return err
	}
	defer be.Close()
	r, err := bench.Step{
		Backbone: c.Model, Options: spec.Model.Options, Nodes: c.Nodes, Batch: c.Batch, Unit: c.Unit,
		History: c.History, Horizon: c.Horizon, PerDay: c.PerDay, For: c.For,
	}.Run(ctx, be)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(os.Stdout, r)
	}
	ms := func(d time.Duration) string { return fmt.Sprintf("%.1f ms", d.Seconds()*1e3) }
	fmt.Printf("%s, N = %d, batch of %d %ss, %d parameters, on %s\n", r.Backbone, r.Nodes, r.Batch, r.Unit, r.Parameters, r.Backend)
	fmt.Printf("step     %s median of %d (%s to %s)\n", ms(r.Median), r.Steps, ms(r.Fastest), ms(r.Slowest))
	if r.GFLOPs > 0 {
		fmt.Printf("products %.1f GFLOP/s\n", r.GFLOPs)
	}
	fmt.Printf("compile  %.1f s\nmemory   %d MB at most\n", r.Compile.Seconds(), runs.PeakMemory()>>20)
	return nil
}
