package figures

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Forecast is one window of one sensor, with what a model forecast for it.
type Forecast struct {
	Title    string    // one or two lines
	History  []float64 // [history] raw units; NaN: not measured
	Truth    []float64 // [horizon] likewise
	Forecast []float64 // [horizon]
}

// ForecastPanels draws small panels on equal axes, four in a row: what was measured, before the forecast's beginning (a grey line)
// and after it, and what was forecast. Step is the time between two values, unit that of the values; it may be empty. It is an
// error when there is no panel, when a window has no history or a forecast and truth of different lengths, and when a value is
// infinite.
func ForecastPanels(windows []Forecast, step time.Duration, unit string) (*Figure, error) {
	if len(windows) == 0 {
		return nil, errors.New("forecast: no window given")
	}
	if step <= 0 {
		return nil, fmt.Errorf("forecast: a step of %s; expected the time between two values, e.g. 5m", step)
	}
	var all [][]float64
	before, after := 0, 0
	for _, w := range windows {
		if len(w.History) == 0 || len(w.Truth) == 0 || len(w.Truth) != len(w.Forecast) {
			return nil, fmt.Errorf("forecast %q: %d steps of history, %d to forecast and %d forecast; expected some, and one forecast for each to forecast",
				w.Title, len(w.History), len(w.Truth), len(w.Forecast))
		}
		for _, v := range w.Forecast {
			if math.IsNaN(v) {
				return nil, fmt.Errorf("forecast %q: a forecast is not a number", w.Title)
			}
		}
		before, after = max(before, len(w.History)), max(after, len(w.Truth))
		all = append(all, w.History, w.Truth, w.Forecast)
	}
	low, high, err := limits(all...)
	if err != nil {
		return nil, fmt.Errorf("forecasts: %w", err)
	}
	room := 0.05 * (high - low)

	// Time counts from the last value of the history.
	each, timeUnit, ticks := step.Minutes(), "min", wholeTicks(5, 1, 2, 5, 10, 15, 30, 60)
	switch span := step * time.Duration(max(before, after)); {
	case span > 5*24*time.Hour:
		each, timeUnit, ticks = step.Hours()/24, "days", wholeTicks(5, 1, 2, 5, 7)
	case span > 2*time.Hour:
		each, timeUnit, ticks = step.Hours(), "h", wholeTicks(5, 1, 2, 3, 6, 12, 24)
	}
	columns := min(4, len(windows))
	rows := (len(windows) + columns - 1) / columns
	f := &Figure{width: page, height: vg.Length(rows)*1.45*vg.Inch + 0.35*vg.Inch}
	if columns <= 2 {
		f.width = column
	}
	styles := []draw.LineStyle{{Color: okabeIto[6], Width: 1}, {Color: okabeIto[1], Width: 1.2, Dashes: dashes[1]}}
	glyphs := []draw.GlyphStyle{
		{Color: okabeIto[6], Radius: 1.2, Shape: draw.CircleGlyph{}}, {Color: okabeIto[1], Radius: 1.2, Shape: draw.BoxGlyph{}},
	}
	for i, name := range []string{"measured", "forecast"} {
		f.legend = append(f.legend, key{label: name, line: styles[i], glyph: &glyphs[i]})
	}
	plots := make([][]*plot.Plot, rows)
	for i, w := range windows {
		p := newPlot(w.Title, "", "")
		p.Title.TextStyle.Font.Size = fontSize - 1
		p.Add(newGrid())
		now, err := plotter.NewLine(plotter.XYs{{X: 0, Y: low - room}, {X: 0, Y: high + room}})
		if err != nil {
			return nil, fmt.Errorf("forecast %q: %w", w.Title, err)
		}
		now.LineStyle = draw.LineStyle{Color: noData, Width: 1}
		p.Add(now)
		for k, values := range [][]float64{slices.Concat(w.History, w.Truth), w.Forecast} {
			first := float64([]int{1 - len(w.History), 1}[k])
			for _, part := range stretches(values, func(v float64) bool { return !math.IsNaN(v) }) {
				var xy plotter.XYs
				for _, j := range part {
					xy = append(xy, plotter.XY{X: (first + float64(j)) * each, Y: values[j]})
				}
				line, points, err := plotter.NewLinePoints(xy)
				if err != nil {
					return nil, fmt.Errorf("forecast %q: %w", w.Title, err)
				}
				line.LineStyle, points.GlyphStyle = styles[k], glyphs[k]
				p.Add(line, points)
			}
		}
		if i/columns == (len(windows)-1)/columns || i+columns >= len(windows) {
			p.X.Label.Text = "time, " + timeUnit
		}
		if i%columns == 0 {
			p.Y.Label.Text = "value" + inUnit(unit)
			if unit != "" {
				p.Y.Label.Text = unit
			}
		}
		p.X.Min, p.X.Max = -float64(before)*each, (float64(after)+0.5)*each
		p.Y.Min, p.Y.Max = low-room, high+room
		p.X.Tick.Marker = ticks
		plots[i/columns] = append(plots[i/columns], p)
	}
	last := rows - 1
	for len(plots[last]) < columns {
		plots[last] = append(plots[last], nil)
	}
	f.draw = func(c draw.Canvas) {
		tiles := draw.Tiles{Rows: rows, Cols: columns, PadX: 6, PadY: 6}
		for i, row := range plot.Align(plots, tiles, c) {
			for j, at := range row {
				if plots[i][j] != nil {
					plots[i][j].Draw(at)
				}
			}
		}
	}
	return f, nil
}
