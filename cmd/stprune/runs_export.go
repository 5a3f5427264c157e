package main

import (
	"context"
	"fmt"
	"os"

	"github.com/stprune/workbench/stprune/export"
)

type runsExportCmd struct {
	To string `arg:"" type:"path" help:"File to write, or folder for tensorboard and mlflow."`
	filters
	Format string `enum:"auto,csv,parquet,tensorboard,mlflow" default:"auto" help:"csv, parquet, tensorboard or mlflow. auto: what the file's name ends in."`
	Epochs bool   `help:"A row an epoch instead of a row a run, in CSV and Parquet."`
	Force  bool   `help:"Replace the file, or a folder that an earlier export wrote."`
}

func (c *runsExportCmd) Help() string {
	return `The export is there as a whole or not at all. docs/runs.md says what the columns are.

MLflow 3 reads a folder of files with MLFLOW_ALLOW_FILE_STORE=true, or after 'mlflow migrate-filestore'.`
}

func (c *runsExportCmd) Run(ctx context.Context, parent *runsCmd) error {
	_, found, err := c.runs(parent.Runs)
	if err != nil {
		return err
	}
	format := c.Format
	if format == "auto" {
		format = ""
	}
	o := export.Options{Format: format, Epochs: c.Epochs, Force: c.Force}
	if err := o.Check(c.To); err != nil {
		return usageError{err}
	}
	if err := export.Write(ctx, c.To, found, o); err != nil {
		return err
	}
	_, err = fmt.Fprintf(os.Stderr, "runs written to %s: %d\n", c.To, len(found))
	return err
}
