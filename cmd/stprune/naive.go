package main

import (
	"context"
	"fmt"
	"os"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/figures"
	"github.com/stprune/workbench/stprune/loss"
	"github.com/stprune/workbench/stprune/naive"
	runs "github.com/stprune/workbench/stprune/run"
	"github.com/stprune/workbench/stprune/train"
)

// naiveCmd measures the forecasts that need no training.
type naiveCmd struct {
	Data string   `arg:"" help:"Name of a data set, or the path of its folder."`
	Set  []string `sep:"none" placeholder:"KEY=VALUE" help:"Change a setting of the data, e.g. data.split=[7,1,2]. May be repeated."`
	JSON bool     `help:"Print JSON."`
}

func (c *naiveCmd) Run(context.Context) error {
	spec := runs.DefaultSpec()
	if err := spec.Set(c.Set...); err != nil {
		return err
	}
	dir, err := datasets.Find(c.Data, nil)
	if err != nil {
		return err
	}
	series, err := datasets.Open(dir)
	if err != nil {
		return err
	}
	windows, err := spec.Protocol(series.Calendar.StepsPerDay()).Apply(series)
	if err != nil {
		return err
	}
	all := map[string]loss.Metrics{}
	t := figures.Table{Columns: []string{"test", "MAE @3", "@6", "@12", "average", "RMSE", "MAPE"}}
	for _, method := range naive.Methods() {
		m, err := naive.Evaluate(method, series, windows, train.Test)
		if err != nil {
			return err
		}
		all[method] = m
		row := []string{method}
		for _, h := range []int{3, 6, 12} {
			cell := ""
			if e, err := m.At(h); err == nil { // shorter horizons have fewer
				cell = fmt.Sprintf("%.3f", e.MAE)
			}
			row = append(row, cell)
		}
		t.Rows = append(t.Rows, append(row, fmt.Sprintf("%.3f", m.Mean.MAE), fmt.Sprintf("%.3f", m.Mean.RMSE), fmt.Sprintf("%.2f %%", 100*m.Mean.MAPE)))
	}
	if c.JSON {
		return printJSON(os.Stdout, all)
	}
	fmt.Print(t.Text())
	return nil
}
