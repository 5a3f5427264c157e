package main

import (
	"context"
	"os"
	"strings"

	"github.com/stprune/workbench/stprune/backbone"
	"github.com/stprune/workbench/stprune/loss"
	runs "github.com/stprune/workbench/stprune/run"
)

// evaluateCmd measures a finished run's best parameters, also on data it was not trained on, or weights from elsewhere.
type evaluateCmd struct {
	What    string   `arg:"" name:"run" help:"Id of a finished run, or how it begins; with --weights also a spec (TOML file)."`
	Weights string   `type:"existingfile" placeholder:"FILE" help:"Take the parameters from this state dict (.npz) with the reference's names, e.g. of a model trained in PyTorch."`
	Set     []string `sep:"none" placeholder:"KEY=VALUE" help:"Change a setting, e.g. data.name=metr-la. May be repeated."`
	Part    string   `default:"test" enum:"train,validation,test" help:"Part of the data: train, validation or test."`
	Runs    string   `type:"path" env:"STPRUNE_RUNS" default:"runs" help:"Folder of runs."`
	Backend string   `default:"auto" help:"Backend: auto, xla, xla:cpu, xla:cuda, go."`
	JSON    bool     `help:"Print JSON."`
}

func (c *evaluateCmd) Help() string {
	return "With --set data.name=OTHER the model meets data that it never saw; that takes a backbone whose parameters don't depend on the nodes, such as opencity."
}

func (c *evaluateCmd) Run(ctx context.Context) error {
	spec, best, err := c.subject()
	if err != nil {
		return err
	}
	if err := spec.Set(c.Set...); err != nil {
		return err
	}
	spec.Backend.Name = c.Backend
	o := runs.Options{Watch: runs.Progress(os.Stderr, "evaluate")}
	if c.Weights != "" {
		model, err := runs.BuildBackbone(ctx, spec, o)
		if err != nil {
			return err
		}
		theta, err := backbone.ReadStateDict(c.Weights, model)
		if err != nil {
			return err
		}
		best = backbone.Named(model, theta)
	}
	each, err := runs.Evaluate(ctx, spec, best, c.Part, o)
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

// subject is a spec and, of a run, its best parameters.
func (c *evaluateCmd) subject() (runs.Spec, map[string][]float32, error) {
	if c.Weights != "" && strings.HasSuffix(c.What, ".toml") {
		spec, err := runs.Load(c.What)
		return spec, nil, err
	}
	r, err := runs.NewStore(c.Runs).Get(c.What)
	if err != nil || c.Weights != "" {
		if r == nil {
			return runs.Spec{}, nil, err
		}
		return r.Spec, nil, err
	}
	best, err := r.Best()
	return r.Spec, best, err
}
