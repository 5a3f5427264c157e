package lab

import (
	"fmt"

	"github.com/stprune/workbench/figures"
	"github.com/stprune/workbench/stprune/loss"
	"github.com/stprune/workbench/stprune/naive"
	"github.com/stprune/workbench/stprune/run"
	"github.com/stprune/workbench/stprune/train"
)

// Unseen has a row for each run: test errors of its best parameters on the data set called name, which it need not have been
// trained on. That takes a backbone whose parameters don't depend on the nodes, such as opencity. The rows above are forecasts that
// need no training (see [naive.Methods]): what a model has to beat.
func (l *Lab) Unseen(name string, runs ...*run.Run) *figures.Table {
	t := &figures.Table{
		Caption: "Test errors on " + name + ".",
		Columns: []string{"forecast", "MAE @3", "@6", "@12", "average", "RMSE", "MAPE"},
	}
	row := func(label string, m loss.Metrics) {
		cells := []string{label}
		for _, h := range horizons {
			cells = append(cells, at(m, h, func(e loss.Errors) string { return fmt.Sprintf("%.3f", e.MAE) }))
		}
		t.Rows = append(t.Rows, append(cells, fmt.Sprintf("%.3f", m.Mean.MAE), fmt.Sprintf("%.3f", m.Mean.RMSE), fmt.Sprintf("%.2f %%", 100*m.Mean.MAPE)))
	}
	for i, r := range runs {
		spec := r.Spec
		spec.Data.Name, spec.Data.More = name, nil
		if i == 0 {
			series := l.Series(name)
			windows, err := spec.Protocol(series.Calendar.StepsPerDay()).Apply(series)
			l.Fail(err)
			for _, method := range naive.Methods() {
				m, err := naive.Evaluate(method, series, windows, train.Test)
				l.Fail(err)
				row(method, m)
			}
		}
		best, err := r.Best()
		l.Fail(err)
		metrics, err := run.Evaluate(l.ctx, spec, best, train.Test, run.Options{Store: l.Store, Series: l.open, Backend: l.backend})
		l.Fail(err)
		row(r.Spec.Name, metrics[0])
	}
	return t
}
