package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"text/tabwriter"

	runs "github.com/stprune/workbench/stprune/run"
)

type runsDiskCmd struct {
	filters
	JSON bool `help:"Print JSON, in bytes."`
}

// diskJSON is what a run takes on disk.
type diskJSON struct {
	ID     string      `json:"id"`
	Status runs.Status `json:"status"`
	runs.Usage
}

func mb(bytes int64) string { return fmt.Sprintf("%.2f", float64(bytes)/1e6) }

func (c *runsDiskCmd) Run(parent *runsCmd) error {
	_, found, err := c.runs(parent.Runs)
	if err != nil {
		return err
	}
	all, sum := []diskJSON{}, runs.Usage{}
	for _, r := range found {
		u, err := r.Usage()
		if err != nil {
			return err
		}
		all, sum = append(all, diskJSON{r.ID, r.Status(), u}), sum.Add(u)
	}
	if c.JSON {
		return printJSON(os.Stdout, all)
	}
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "MB\trun\tstatus\ttotal\tcheckpoints\tbest\tselections\tscores\tneedless\t")
	line := func(id string, status runs.Status, u runs.Usage) {
		fmt.Fprintf(t, "\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", id, status, mb(u.Total), mb(u.Checkpoints), mb(u.Best), mb(u.Selections), mb(u.Scores), mb(u.Needless))
	}
	for _, d := range all {
		line(d.ID, d.Status, d.Usage)
	}
	line(fmt.Sprint(len(all), " runs"), "", sum)
	return t.Flush()
}

type runsCleanCmd struct {
	filters
	DryRun bool `help:"Only say what would be removed."`
	JSON   bool `help:"Print JSON, in bytes."`
}

func (c *runsCleanCmd) Help() string {
	return "A finished run is shown, evaluated, diagnosed and begun from without its checkpoint; unfinished runs keep theirs, and so do finished ones whose result or best parameters are damaged. A run that a process holds stays as it is. What removals that were cut short left behind goes as well."
}

// cleanedJSON is what was removed, or would be.
type cleanedJSON struct {
	DryRun    bool             `json:"dry_run"`
	Runs      map[string]int64 `json:"runs"`      // bytes by id
	Leftovers int64            `json:"leftovers"` // of removed runs
	Bytes     int64            `json:"bytes"`
	Busy      []string         `json:"busy"` // ids of runs that a process holds
}

func (c *runsCleanCmd) Run(ctx context.Context, parent *runsCmd) error {
	store, found, err := c.runs(parent.Runs)
	if err != nil {
		return err
	}
	done := cleanedJSON{DryRun: c.DryRun, Runs: map[string]int64{}, Busy: []string{}}
	for _, r := range found {
		if err := ctx.Err(); err != nil {
			return err
		}
		var freed int64
		if c.DryRun {
			var u runs.Usage
			u, err = r.Usage()
			freed = u.Needless
		} else {
			freed, err = store.Clean(r)
		}
		if errors.Is(err, runs.ErrBusy) {
			done.Busy = append(done.Busy, r.ID)
			continue
		}
		if err != nil {
			return err
		}
		if freed > 0 {
			done.Runs[r.ID] = freed
			done.Bytes += freed
		}
	}
	if len(c.Filters) == 0 { // they belong to no run that a filter could ask about
		if c.DryRun {
			_, done.Leftovers, err = store.Leftovers()
		} else {
			done.Leftovers, err = store.CleanLeftovers()
		}
		if err != nil {
			return err
		}
		done.Bytes += done.Leftovers
	}
	if c.JSON {
		return printJSON(os.Stdout, done)
	}
	verb := "freed"
	if c.DryRun {
		verb = "would be freed"
	}
	for _, r := range found {
		if freed := done.Runs[r.ID]; freed > 0 {
			fmt.Printf("%s  %s MB  %s\n", r.ID, mb(freed), oneLine(r.Spec.Name))
		}
	}
	for _, id := range done.Busy {
		fmt.Printf("%s  stays: a process holds it\n", id)
	}
	_, err = fmt.Printf("%s MB %s\n", mb(done.Bytes), verb)
	return err
}
