package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/pelletier/go-toml/v2"

	"github.com/stprune/workbench/stprune/backbone"
	runs "github.com/stprune/workbench/stprune/run"
)

// runsCmd looks into the store of runs.
type runsCmd struct {
	Runs string `type:"path" env:"STPRUNE_RUNS" default:"runs" help:"Folder of runs."`

	List    runsListCmd    `cmd:"" help:"List runs, oldest first."`
	Show    runsShowCmd    `cmd:"" help:"Show one run: its spec, its epochs, its result."`
	Weights runsWeightsCmd `cmd:"" help:"Write a finished run's best parameters as the reference's state dict (.npz), which PyTorch loads."`
	Rm      runsRemoveCmd  `cmd:"" help:"Remove runs. One that is being trained stays."`
}

type runsListCmd struct {
	Filters []string `arg:"" optional:"" placeholder:"KEY=VALUE" help:"Only runs with this setting, e.g. prune.rho=0.05 or status=finished."`
	JSON    bool     `help:"Print JSON."`
}

type runsShowCmd struct {
	ID   string `arg:"" help:"Id of the run, or how it begins."`
	JSON bool   `help:"Print JSON."`
}

type runsWeightsCmd struct {
	ID   string `arg:"" help:"Id of the run, or how it begins."`
	File string `arg:"" type:"path" help:"File to write, e.g. stid.npz."`
}

func (c *runsWeightsCmd) Run(ctx context.Context, parent *runsCmd) error {
	r, err := runs.NewStore(parent.Runs).Get(c.ID)
	if err != nil {
		return err
	}
	best, err := r.Best()
	if err != nil {
		return err
	}
	model, err := runs.BuildBackbone(ctx, r.Spec, runs.Options{})
	if err != nil {
		return err
	}
	theta, err := backbone.FromNamed(model, best)
	if err != nil {
		return err
	}
	return backbone.WriteStateDict(c.File, model, theta)
}

type runsRemoveCmd struct {
	IDs []string `arg:"" name:"id" help:"Ids of runs, or how they begin."`
}

// runJSON is a run as the commands print it.
type runJSON struct {
	ID          string            `json:"id"`
	Dir         string            `json:"dir"`
	Status      runs.Status       `json:"status"`
	Spec        map[string]any    `json:"spec"`
	Environment *runs.Environment `json:"environment,omitempty"`
	Epochs      []runs.Epoch      `json:"epochs"`
	Failure     *runs.Failure     `json:"failure,omitempty"` // of a diverged run
	Result      *runs.Result      `json:"result"`            // null when the run is not finished
}

func describe(r *runs.Run) (runJSON, error) {
	d := runJSON{ID: r.ID, Dir: r.Dir, Status: r.Status(), Epochs: []runs.Epoch{}}
	if err := toml.Unmarshal(r.Spec.TOML(), &d.Spec); err != nil {
		return d, fmt.Errorf("run %s: %w", r.ID, err)
	}
	if d.Status == runs.Diverged {
		var err error
		if d.Failure, err = r.Failure(); err != nil {
			return d, err
		}
	}
	epochs, err := r.Epochs()
	if err != nil {
		return d, err
	}
	d.Epochs = append(d.Epochs, epochs...)
	if d.Result, err = r.Result(); err != nil && !errors.Is(err, runs.ErrUnfinished) {
		return d, err
	}
	return d, nil
}

func (c *runsListCmd) Run(parent *runsCmd) error {
	found, err := runs.NewStore(parent.Runs).List(c.Filters...)
	if err != nil {
		return err
	}
	described := []runJSON{}
	for _, r := range found {
		d, err := describe(r)
		if err != nil {
			return err
		}
		described = append(described, d)
	}
	if c.JSON {
		return printJSON(os.Stdout, described)
	}
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "run\tstatus\tepochs\ttest MAE\tRMSE\tMAPE\tvisits\tsteps\tseconds\tdata\tmethod\tname")
	for i, d := range described {
		s, reached := found[i].Spec, "\t\t\t\t\t"
		if r := d.Result; r != nil {
			mean := r.Test.Mean
			reached = fmt.Sprintf("%.4f\t%.4f\t%.2f %%\t%.2f\t%d\t%.1f", mean.MAE, mean.RMSE, 100*mean.MAPE, r.FullEpochs, r.Steps, r.Seconds.Total)
		}
		fmt.Fprintf(t, "%s\t%s\t%d/%d\t%s\t%s\t%s\t%s\n", d.ID, d.Status, len(d.Epochs), s.Train.Epochs, reached,
			oneLine(s.Data.Name), s.Prune.Method, oneLine(s.Name))
	}
	return t.Flush()
}

func (c *runsShowCmd) Run(parent *runsCmd) error {
	r, err := runs.NewStore(parent.Runs).Get(c.ID)
	if err != nil {
		return err
	}
	d, err := describe(r)
	if err != nil {
		return err
	}
	environment, err := r.Environment()
	if err != nil {
		return err
	}
	if c.JSON {
		d.Environment = &environment
		return printJSON(os.Stdout, d)
	}
	fmt.Printf("%s%s, %s on %s, %s\n\n", r.Spec.TOML(), d.Status, environment.Backend, environment.CPU, environment.Go)
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "epoch\tunits\tsteps\tloss\tlearning rate\tvalidation MAE\tseconds\t")
	for _, e := range d.Epochs {
		validation := ""
		if e.Validation != nil {
			validation = fmt.Sprintf("%.4f", e.Validation.Mean.MAE)
		}
		fmt.Fprintf(t, "%d\t%d\t%d\t%.4f\t%.3g\t%s\t%.1f\t\n", e.Epoch, e.Units, e.Steps, e.Loss, e.LR, validation, e.Seconds.Total())
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if f := d.Failure; f != nil {
		fmt.Printf("\nloss was %s at step %d of the run, in epoch %d, on units %v\n", f.Loss, f.Step, f.Epoch, f.Units)
	}
	if d.Result == nil {
		return nil
	}
	fmt.Println()
	return printResult(os.Stdout, r, d.Result)
}

func (c *runsRemoveCmd) Run(parent *runsCmd) error {
	store := runs.NewStore(parent.Runs)
	for _, id := range c.IDs {
		if err := store.Remove(id); err != nil {
			return err
		}
	}
	return nil
}
