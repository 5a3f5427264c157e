package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	studies "github.com/stprune/workbench/stprune/report"
	runs "github.com/stprune/workbench/stprune/run"
)

// reportCmd writes what a study has found into a folder.
type reportCmd struct {
	Study   string `arg:"" type:"existingfile" help:"A comparison, as stprune compare takes it, or a sweep, as stprune sweep does (TOML)."`
	Out     string `type:"path" placeholder:"DIR" help:"The folder to make. An earlier report there is replaced. Default: the study's name and -report, in this folder."`
	JSON    bool   `help:"Print the report as JSON too."`
	Runs    string `type:"path" env:"STPRUNE_RUNS" default:"runs" help:"Folder of runs."`
	Backend string `help:"Backend of the runs: auto, xla, xla:cpu, xla:cuda, go. Default: what the study says."`

	study studies.Study
}

func (c *reportCmd) Help() string {
	return "The folder has a page that opens offline (index.html), the same for a code host (README.md), figures (SVG, PDF), tables (CSV, LaTeX), " +
		"all numbers (report.json), where they were computed (environment.json), and how to repeat it (study.toml, reproduce.sh). Nothing is trained: " +
		"what the store lacks is listed, with the command that trains it."
}

// Validate reads the study while the command line is parsed, so that a wrong one counts as wrong usage.
func (c *reportCmd) Validate() (err error) {
	if c.study, err = studies.Load(c.Study); err != nil {
		return err
	}
	return c.study.UseBackend(c.Backend)
}

func (c *reportCmd) Run(ctx context.Context) error {
	dir := c.Out
	if dir == "" {
		dir = strings.TrimSuffix(filepath.Base(c.Study), filepath.Ext(c.Study)) + "-report"
	}
	r, err := studies.Collect(ctx, c.study, studies.Options{Store: runs.NewStore(c.Runs), Note: func(text string) { fmt.Fprintln(os.Stderr, text) }})
	if err != nil {
		return err
	}
	if err := r.Write(dir); err != nil {
		return err
	}
	for _, n := range r.NotDrawn {
		fmt.Fprintf(os.Stderr, "not drawn: %s: %s\n", n.Title, n.Reason)
	}
	if text := r.Incomplete(); text != "" {
		fmt.Fprintln(os.Stderr, text)
	}
	if c.JSON {
		return printJSON(os.Stdout, r)
	}
	_, err = fmt.Printf("%s: %d of %d runs, %d figures, %d tables\n", filepath.Join(dir, "index.html"), r.Finished, r.Runs, len(r.Figures), len(r.Tables))
	return err
}
