package main

import (
	"context"
	"os"

	"github.com/stprune/workbench/stprune/loss"
	runs "github.com/stprune/workbench/stprune/run"
)

// evaluateCmd measures a finished run's best parameters, also on data it was not trained on.
type evaluateCmd struct {
	Run_    string   `arg:"" name:"run" help:"Id of a finished run, or how it begins."`
	Set     []string `sep:"none" placeholder:"KEY=VALUE" help:"Change a setting of the data, e.g. data.name=metr-la. May be repeated."`
	Part    string   `default:"test" enum:"train,validation,test" help:"Part of the data: train, validation or test."`
	Runs    string   `type:"path" env:"STPRUNE_RUNS" default:"runs" help:"Folder of runs."`
	Backend string   `default:"auto" help:"Backend: auto, xla, xla:cpu, xla:cuda, go."`
	JSON    bool     `help:"Print JSON."`
}

func (c *evaluateCmd) Help() string {
	return "With --set data.name=OTHER the model meets data that it never saw; that takes a backbone whose parameters don't depend on the nodes, such as opencity."
}

func (c *evaluateCmd) Run(ctx context.Context) error {
	r, err := runs.NewStore(c.Runs).Get(c.Run_)
	if err != nil {
		return err
	}
	best, err := r.Best()
	if err != nil {
		return err
	}
	spec := r.Spec
	if err := spec.Set(c.Set...); err != nil {
		return err
	}
	spec.Backend.Name = c.Backend
	each, err := runs.Evaluate(ctx, spec, best, c.Part, runs.Options{Watch: runs.Progress(os.Stderr, "evaluate")})
	if err != nil {
		return err
	}
	names := append([]string{spec.Data.Name}, spec.Data.More...)
	if c.JSON {
		byName := map[string]loss.Metrics{}
		for i, m := range each {
			byName[names[i]] = m
		}
		return printJSON(os.Stdout, byName)
	}
	for i, m := range each {
		if err := printMetrics(os.Stdout, names[i]+", "+c.Part, m); err != nil {
			return err
		}
	}
	return nil
}
