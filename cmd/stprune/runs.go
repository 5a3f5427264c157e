package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/alecthomas/kong"
	"github.com/pelletier/go-toml/v2"

	"github.com/stprune/workbench/stprune/backbone"
	runs "github.com/stprune/workbench/stprune/run"
)

// runsCmd looks into the store of runs.
type runsCmd struct {
	Runs string `type:"path" env:"STPRUNE_RUNS" default:"runs" help:"Folder of runs."`

	List    runsListCmd    `cmd:"" help:"List runs, oldest first."`
	Show    runsShowCmd    `cmd:"" help:"Show one run: its spec, its epochs, its result."`
	Diff    runsDiffCmd    `cmd:"" help:"Show the settings in which runs differ, and their results beside each other."`
	Export  runsExportCmd  `cmd:"" help:"Write runs as CSV or Parquet, as TensorBoard's event files or as MLflow's file store."`
	Weights runsWeightsCmd `cmd:"" help:"Write a finished run's best parameters as the reference's state dict (.npz), which PyTorch loads."`
	Du      runsDiskCmd    `cmd:"" help:"Show what runs take on disk."`
	Gc      runsCleanCmd   `cmd:"" help:"Remove checkpoints of finished runs, which nothing reads again."`
	Rm      runsRemoveCmd  `cmd:"" help:"Remove runs, by id or by conditions. One that is being trained stays."`
}

// filters of runs, as several commands take them.
type filters struct {
	Filters []string `arg:"" optional:"" placeholder:"FILTER" help:"Only runs that meet all these conditions, e.g. model=stid, 'prune.rho<0.1', status=finished, 'mae<3.2'."`
}

// runs opens those that fit.
func (f filters) runs(dir string) (*runs.Store, []*runs.Run, error) {
	store := runs.NewStore(dir)
	found, err := store.List(f.Filters...)
	if wrong := new(runs.FilterError); errors.As(err, &wrong) {
		err = usageError{err}
	}
	return store, found, err
}

type runsListCmd struct {
	filters
	Sort    sortKey  `placeholder:"KEY" help:"Sort by this key, upwards, or with -KEY downwards. Runs without it come last."`
	Columns []string `placeholder:"KEY" help:"Show these keys, separated by commas."`
	JSON    bool     `help:"Print JSON: everything that is known of the runs, or the columns named."`
}

func (c *runsListCmd) Help() string {
	return `A filter is KEY=VALUE, or with != < <= > >= for =; quote < and > for the shell. Keys are settings by their full names, id, status, and results: epochs, mae, rmse and mape (test, mean of the horizons), mae.3 and so on (one horizon), validation.mae, best_epoch, steps, visits, full_epochs, seconds, peak_memory, and the others of docs/runs.md. A setting that a run does not read, such as prune.rho of full data, fits != alone. data, model, optim, schedule, method and backend are short for data.name, model.backbone, optim.name, schedule.kind, prune.method and backend.name.`
}

// sortKey may begin with "-", which kong would take for a flag.
type sortKey string

// Decode takes the next word as it is.
func (k *sortKey) Decode(ctx *kong.DecodeContext) error {
	if ctx.Scan.Peek().IsEOL() {
		return errors.New("missing KEY")
	}
	*k = sortKey(ctx.Scan.Pop().String())
	return nil
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
	Which []string `arg:"" name:"id" help:"Ids of runs, or how they begin; or conditions that they all meet, as of 'stprune runs list'."`
	Yes   bool     `help:"Do remove the runs that meet the conditions, instead of listing them."`
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
	finite(d.Spec)
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

// listColumns are shown when none are asked for.
var listColumns = []string{"id", "status", "epochs", "train.epochs", "mae", "rmse", "mape", "full_epochs", "steps", "seconds", "data.name", "prune.method", "name"}

// findKeys finds keys by their names.
func findKeys(names []string, among []runs.Key) (keys []runs.Key, err error) {
	for _, name := range names {
		k, err := runs.FindKey(strings.TrimSpace(name), among)
		if err != nil {
			return nil, usageError{err}
		}
		keys = append(keys, k)
	}
	return keys, nil
}

func (c *runsListCmd) Run(parent *runsCmd) error {
	_, found, err := c.runs(parent.Runs)
	if err != nil {
		return err
	}
	all := runs.Keys(found...)
	if c.Sort != "" {
		name, downwards := strings.CutPrefix(string(c.Sort), "-")
		key, err := findKeys([]string{name}, all)
		if err != nil {
			return err
		}
		if err := runs.Sort(found, key[0], downwards); err != nil {
			return err
		}
	}
	names := c.Columns
	if len(names) == 0 {
		names = listColumns
	}
	keys, err := findKeys(names, all)
	if err != nil {
		return err
	}
	if c.JSON && len(c.Columns) == 0 {
		described := []runJSON{}
		for _, r := range found {
			d, err := describe(r)
			if err != nil {
				return err
			}
			described = append(described, d)
		}
		return printJSON(os.Stdout, described)
	}
	listed := []map[string]any{}
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	names = nil
	for _, k := range keys {
		names = append(names, k.Name)
	}
	fmt.Fprintln(t, strings.Join(names, "\t"))
	for _, r := range found {
		row, err := r.Row(keys...)
		if err != nil {
			return err
		}
		object := map[string]any{}
		var cells []string
		for i, v := range row {
			object[names[i]] = finite(v)
			cells = append(cells, cell(names[i], v))
		}
		listed = append(listed, object)
		fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	if c.JSON {
		return printJSON(os.Stdout, listed)
	}
	return t.Flush()
}

// cell is a value for people to read.
func cell(key string, v any) string {
	f, ok := v.(float64)
	measure, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(key, "validation."), "pooled."), ".")
	switch {
	case !ok:
		return oneLine(runs.Text(v))
	case measure == "mae" || measure == "rmse":
		return fmt.Sprintf("%.4f", f)
	case measure == "mape":
		return fmt.Sprintf("%.2f %%", 100*f)
	case measure == "seconds":
		return fmt.Sprintf("%.1f", f)
	case measure == "full_epochs":
		return fmt.Sprintf("%.2f", f)
	}
	return runs.Text(v)
}

// finite replaces numbers that JSON doesn't have by text, also inside of tables.
func finite(v any) any {
	switch v := v.(type) {
	case float64:
		if math.IsInf(v, 0) || math.IsNaN(v) {
			return runs.Text(v)
		}
	case map[string]any:
		for k, inner := range v {
			v[k] = finite(inner)
		}
	}
	return v
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
	fmt.Printf("%s%s, %s on %s, %s\n\n", r.Spec.TOML(), d.Status, environment.Backend, environment.Processor(), environment.Go)
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
	conditions := slices.ContainsFunc(c.Which, func(w string) bool { return strings.ContainsAny(w, "=!<>") })
	if !conditions {
		store := runs.NewStore(parent.Runs)
		for _, id := range c.Which {
			if err := store.Remove(id); err != nil {
				return err
			}
		}
		return nil
	}
	store, found, err := filters{c.Which}.runs(parent.Runs)
	if err != nil {
		return err
	}
	for _, r := range found {
		if c.Yes {
			if err := store.Remove(r.ID); err != nil {
				return err
			}
		}
		fmt.Printf("%s  %s\n", r.ID, oneLine(r.Spec.Name))
	}
	if !c.Yes {
		fmt.Printf("%d runs would be removed; add --yes\n", len(found))
	}
	return nil
}
