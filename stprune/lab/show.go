package lab

import (
	"bytes"
	"fmt"
	"image/png"
	"math"
	"path/filepath"
	"slices"
	"time"

	"github.com/janpfeifer/gonb/gonbui"
	"github.com/janpfeifer/gonb/gonbui/protocol"

	"github.com/stprune/workbench/figures"
	"github.com/stprune/workbench/stprune/loss"
	"github.com/stprune/workbench/stprune/run"
)

// screen is how many pixels notebooks show per inch: text is equally large in figures of a column and of a page, which is nearly as
// wide as JupyterLab's cells.
const screen = 128

// Show displays a figure in the notebook. Outside one it saves NAME.png in the folder l.Figures and prints its path.
func (l *Lab) Show(name string, f *figures.Figure) {
	if gonbui.IsNotebook {
		content, err := f.PNG()
		l.Fail(err)
		size, err := png.DecodeConfig(bytes.NewReader(content))
		l.Fail(err)
		gonbui.SendData(&protocol.DisplayData{
			Data: map[protocol.MIMEType]any{protocol.MIMEImagePNG: content},
			// PNGs have 200 pixels per inch.
			Metadata: map[string]any{string(protocol.MIMEImagePNG): map[string]int{"width": size.Width * screen / 200}},
		})
		gonbui.Sync()
		return
	}
	path := filepath.Join(l.Figures, name+".png")
	l.Fail(f.Save(path))
	fmt.Fprintln(l.Out, path)
}

// ShowTable displays a table in the notebook, or prints it.
func (l *Lab) ShowTable(t *figures.Table) {
	l.Fail(t.Check())
	if gonbui.IsNotebook {
		gonbui.DisplayMarkdown(t.Markdown())
		gonbui.Sync()
		return
	}
	fmt.Fprint(l.Out, t.Text())
}

// results reads the results of finished runs.
func (l *Lab) results(runs []*run.Run) []*run.Result {
	var all []*run.Result
	for _, r := range runs {
		result, err := r.Result()
		l.Fail(err)
		all = append(all, result)
	}
	return all
}

// horizons are the steps ahead that tables show, as far as a forecast has them.
var horizons = []int{3, 6, 12}

// Results has a row for each run: test MAE at horizons 3, 6, 12 and their average over all horizons, average RMSE and MAPE,
// visits in epochs of the full data, optimiser steps and seconds.
func (l *Lab) Results(runs ...*run.Run) *figures.Table {
	t := &figures.Table{
		Caption: "Test errors of the parameters of the best validation epoch.",
		Columns: []string{"run", "MAE @3", "@6", "@12", "average", "RMSE", "MAPE", "visits", "steps", "seconds"},
	}
	for i, r := range l.results(runs) {
		row := []string{runs[i].Spec.Name}
		for _, h := range horizons {
			row = append(row, at(r.Test, h, func(e loss.Errors) string { return fmt.Sprintf("%.3f", e.MAE) }))
		}
		mean := r.Test.Mean
		t.Rows = append(t.Rows, append(row, fmt.Sprintf("%.3f", mean.MAE), fmt.Sprintf("%.3f", mean.RMSE),
			fmt.Sprintf("%.2f %%", 100*mean.MAPE), fmt.Sprintf("%.2f", r.FullEpochs), fmt.Sprint(r.Steps), fmt.Sprintf("%.1f", r.Seconds.Total)))
	}
	return t
}

func at(m loss.Metrics, horizon int, format func(loss.Errors) string) string {
	e, err := m.At(horizon)
	if err != nil { // a shorter forecast
		return ""
	}
	return format(e)
}

// Details has a column for each run and says all: MAE, RMSE and MAPE at horizons 3, 6, 12 and averaged over all horizons,
// windows visited, optimiser steps, and seconds by what they were spent on.
func (l *Lab) Details(runs ...*run.Run) *figures.Table {
	t := &figures.Table{
		Caption: "Test errors of the parameters of the best validation epoch. Windows visited: when the unit is a pair, as many as hold that many pairs.",
		Columns: []string{""},
	}
	results := l.results(runs)
	row := func(name string, cell func(i int, r *run.Result) string) {
		cells := []string{name}
		for i, r := range results {
			cells = append(cells, cell(i, r))
		}
		t.Rows = append(t.Rows, cells)
	}
	for _, r := range runs {
		t.Columns = append(t.Columns, r.Spec.Name)
	}
	for _, m := range []struct {
		name   string
		format func(loss.Errors) string
	}{
		{"MAE", func(e loss.Errors) string { return fmt.Sprintf("%.3f", e.MAE) }},
		{"RMSE", func(e loss.Errors) string { return fmt.Sprintf("%.3f", e.RMSE) }},
		{"MAPE", func(e loss.Errors) string { return fmt.Sprintf("%.2f %%", 100*e.MAPE) }},
	} {
		for _, h := range horizons {
			row(fmt.Sprintf("%s, horizon %d", m.name, h), func(_ int, r *run.Result) string { return at(r.Test, h, m.format) })
		}
		row(m.name+", average", func(_ int, r *run.Result) string { return m.format(r.Test.Mean) })
	}
	row("windows visited", func(i int, r *run.Result) string {
		windows, _ := l.size(runs[i].Spec)
		return fmt.Sprint(int(math.Round(r.FullEpochs * float64(windows))))
	})
	row("visits, full epochs", func(_ int, r *run.Result) string { return fmt.Sprintf("%.2f", r.FullEpochs) })
	row("optimiser steps", func(_ int, r *run.Result) string { return fmt.Sprint(r.Steps) })
	for _, part := range []struct {
		name    string
		seconds func(run.Seconds) float64
	}{
		{"compile", func(s run.Seconds) float64 { return s.Compile }},
		{"steps", func(s run.Seconds) float64 { return s.Steps }},
		{"selection", func(s run.Seconds) float64 { return s.Selection }},
		{"scoring", func(s run.Seconds) float64 { return s.Scoring }},
		{"evaluation", func(s run.Seconds) float64 { return s.Evaluation }},
		{"total", func(s run.Seconds) float64 { return s.Total }},
	} {
		row("seconds, "+part.name, func(_ int, r *run.Result) string { return fmt.Sprintf("%.2f", part.seconds(r.Seconds)) })
	}
	return t
}

// classes of complexity in [Lab.LossComplexity]: fewer where an epoch visited no window of one of them.
var classes = []int{20, 10, 5}

// LossComplexity draws the training loss of windows against their complexity, one panel for each run and one line for each of
// four stages of training. Windows stand in the same classes in all panels: by their complexity at the end of the first run.
func (l *Lab) LossComplexity(runs ...*run.Run) *figures.Figure {
	panels, err := l.lossPanels(runs...)
	l.Fail(err)
	f, err := figures.LossComplexity(panels...)
	l.Fail(err)
	return f
}

func (l *Lab) lossPanels(runs ...*run.Run) (panels []figures.Panel, err error) {
	for _, n := range classes {
		if panels, err = l.lossByClass(n, runs...); err == nil {
			break
		}
	}
	return panels, err
}

func (l *Lab) lossByClass(classes int, runs ...*run.Run) ([]figures.Panel, error) {
	var order []float32
	var panels []figures.Panel
	for _, r := range runs {
		panel := figures.Panel{Title: r.Spec.Name}
		epochs, err := r.Epochs()
		l.Fail(err)
		if order == nil {
			last, err := r.Scores(len(epochs))
			l.Fail(err)
			order = last.Windows.Complexity
		}
		for _, e := range stages(len(epochs)) {
			s, err := r.Scores(e)
			l.Fail(err)
			stage, err := figures.Classes(order, s.Windows.Level, s.Windows.Weight, classes)
			if err != nil {
				return nil, fmt.Errorf("run %s (%s), epoch %d: %w", r.ID, r.Spec.Name, e, err)
			}
			stage.Label = fmt.Sprintf("epoch %d", e)
			panel.Stages = append(panel.Stages, stage)
		}
		panels = append(panels, panel)
	}
	return panels, nil
}

// stages are the first, the last and up to two epochs between, evenly spread.
func stages(epochs int) []int {
	var all []int
	for i := range 4 {
		all = append(all, 1+i*(epochs-1)/3)
	}
	return slices.Compact(all)
}

// size is the number of training windows, and of windows × nodes.
func (l *Lab) size(spec run.Spec) (windows int, visits float64) {
	for _, name := range append([]string{spec.Data.Name}, spec.Data.More...) {
		s := l.Series(name)
		w, err := spec.Protocol(s.Calendar.StepsPerDay()).Apply(s)
		l.Fail(err)
		windows += len(w.Train)
		visits += float64(len(w.Train)) * float64(s.N)
	}
	return windows, visits
}

// KeptCalendar draws, for each day and time of day, the share of the run's pruned epochs that kept the training window which
// starts there; when the unit is a pair, the share of its pairs.
func (l *Lab) KeptCalendar(r *run.Run) *figures.Figure {
	kept, series, windows := l.keptShares(r, l.prunedEpochs(r), "calendar")
	c := figures.Calendar{First: day(series.Calendar.Time(int(windows.Train[0]))), Label: "share of pruned epochs that kept the window"}
	for w, start := range windows.Train {
		t := series.Calendar.Time(int(start))
		d := int(day(t).Sub(c.First) / (24 * time.Hour))
		for len(c.Share) <= d {
			row := make([]float64, series.Calendar.StepsPerDay())
			for i := range row {
				row[i] = math.NaN()
			}
			c.Share = append(c.Share, row)
		}
		c.Share[d][series.Calendar.TimeOfDay(int(start))] = kept[w]
	}
	f, err := figures.KeptCalendar(c)
	l.Fail(err)
	return f
}

func day(t time.Time) time.Time { return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC) }
