package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/stprune/workbench/stprune/lab"
	runs "github.com/stprune/workbench/stprune/run"
)

// demoCmd shows the whole way once: synthetic city, four runs, a table, three figures.
type demoCmd struct {
	To  string  `type:"path" default:"demo" help:"Folder for data, runs and figures. Runs that are there already are not trained again."`
	Rho float64 `default:"0.1" help:"Retention of the pruned runs."`

	JSON bool `help:"Print the runs as JSON; everything else goes to standard error."`
}

func (c *demoCmd) Run(ctx context.Context) error {
	var done []*runs.Run
	out := os.Stdout
	if c.JSON {
		out = os.Stderr
	}
	err := lab.With(ctx, func(l *lab.Lab) {
		l.Out = out
		l.Store = runs.NewStore(filepath.Join(c.To, "runs"))
		l.Folders = []string{filepath.Join(c.To, "data")}
		l.Figures = filepath.Join(c.To, "figures")

		city := l.City()
		fmt.Fprintf(out, "synthetic city: speeds at %d sensors, %d steps of %s, %.1f %% missing\n\n", city.N, city.T, city.Calendar.Step, 100*city.MissingShare())
		done = l.Runs(l.FourWays(city.Name, c.Rho)...)
		full, pruned := done[0], done[2]
		fmt.Fprintln(out)
		l.ShowTable(l.Details(done...))
		fmt.Fprintln(out)
		l.Show("loss-complexity", l.LossComplexity(full, pruned))
		l.Show("learning-curves", l.LearningCurves(done...))
		l.Show("kept-calendar", l.KeptCalendar(pruned))
	})
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if c.JSON {
		described := []runJSON{}
		for _, r := range done {
			d, err := describe(r)
			if err != nil {
				return err
			}
			described = append(described, d)
		}
		return printJSON(os.Stdout, described)
	}
	fmt.Println("\nNext: `make notebook` to explore, `stprune train --help` to train on your own data.")
	return nil
}
