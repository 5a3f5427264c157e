package main

import (
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"text/tabwriter"

	runs "github.com/stprune/workbench/stprune/run"
)

type runsDiffCmd struct {
	IDs  []string `arg:"" name:"id" help:"Ids of two or more runs, or how they begin."`
	JSON bool     `help:"Print JSON."`
}

// Validate asks for runs to compare.
func (c *runsDiffCmd) Validate() error {
	if len(c.IDs) < 2 {
		return fmt.Errorf("%d run; name two or more", len(c.IDs))
	}
	return nil
}

// diffResults are shown beside each other, equal or not.
var diffResults = []string{"status", "epochs", "best_epoch", "mae", "rmse", "mape", "mae.3", "mae.6", "mae.12", "validation.mae", "full_epochs", "steps",
	"parameters", "seconds", "peak_memory", "data_hash"}

// diffJSON has a value a run under each key.
type diffJSON struct {
	Runs        []string         `json:"runs"`
	Settings    map[string][]any `json:"settings"`
	Environment map[string][]any `json:"environment"` // Go, CPU and so on, where they differ
	Results     map[string][]any `json:"results"`

	settings []string // in the order of the spec
}

// diff compares runs.
func diff(compared []*runs.Run) (diffJSON, error) {
	d := diffJSON{Settings: map[string][]any{}, Environment: map[string][]any{}, Results: map[string][]any{}}
	all := runs.Keys(compared...)
	environments := map[string][]any{}
	for i, r := range compared {
		row, err := r.Row(all...)
		if err != nil {
			return d, err
		}
		for j, k := range all {
			switch {
			case k.Setting:
				d.Settings[k.Name] = append(d.Settings[k.Name], finite(row[j]))
			case slices.Contains(diffResults, k.Name):
				d.Results[k.Name] = append(d.Results[k.Name], row[j])
			}
		}
		e, err := r.Environment()
		if err != nil {
			return d, err
		}
		facts := map[string]any{"go": e.Go, "os": e.OS, "cpu": e.Processor(), "cores": e.Cores, "backend": e.Backend, "plugin": e.Plugin, "plugin_api": e.PluginAPI, "revision": e.Revision}
		for name, version := range e.Modules {
			facts[name] = version
		}
		for name, v := range facts {
			if environments[name] == nil {
				environments[name] = make([]any, len(compared)) // a run may know nothing of it
			}
			environments[name][i] = v
		}
		d.Runs = append(d.Runs, r.ID)
	}
	equal := func(_ string, values []any) bool {
		return !slices.ContainsFunc(values, func(v any) bool { return !reflect.DeepEqual(v, values[0]) })
	}
	maps.DeleteFunc(d.Settings, equal)
	maps.DeleteFunc(environments, equal)
	d.Environment = environments
	maps.DeleteFunc(d.Results, func(key string, values []any) bool {
		return equal(key, values) && (values[0] == nil || key == "data_hash")
	})
	for _, k := range all {
		if d.Settings[k.Name] != nil {
			d.settings = append(d.settings, k.Name)
		}
	}
	return d, nil
}

func (c *runsDiffCmd) Run(parent *runsCmd) error {
	store := runs.NewStore(parent.Runs)
	var compared []*runs.Run
	for _, id := range c.IDs {
		r, err := store.Get(id)
		if err != nil {
			return err
		}
		compared = append(compared, r)
	}
	d, err := diff(compared)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(os.Stdout, d)
	}
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	line := func(key string, values []any) {
		fmt.Fprint(t, key)
		for _, v := range values {
			text := "-"
			if v != nil && v != "" {
				text = cell(key, v)
			}
			if key == "data_hash" || key == "revision" {
				text = text[:min(12, len(text))]
			}
			fmt.Fprint(t, "\t", text)
		}
		fmt.Fprintln(t)
	}
	fmt.Fprint(t, "setting")
	for _, r := range compared {
		fmt.Fprint(t, "\t", r.ID)
	}
	fmt.Fprintln(t)
	for _, key := range d.settings {
		line(key, d.Settings[key])
	}
	if len(d.Environment) > 0 {
		fmt.Fprintln(t, "\nenvironment")
	}
	for _, key := range slices.Sorted(maps.Keys(d.Environment)) {
		line(key, d.Environment[key])
	}
	fmt.Fprintln(t, "\nresult")
	for _, key := range diffResults {
		if d.Results[key] != nil {
			line(key, d.Results[key])
		}
	}
	return t.Flush()
}
