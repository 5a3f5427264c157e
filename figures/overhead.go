package figures

import (
	"errors"
	"fmt"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Overhead is where a run's seconds went.
type Overhead struct {
	Label                                                 string
	Compile, Steps, Selection, Scoring, Evaluation, Other float64 // seconds
}

// OverheadBars draws a bar per run, the first on top, made of what its seconds were spent on, with its sum at its end. It is an
// error when there is no run, and when seconds are below 0 or not finite.
func OverheadBars(runs []Overhead) (*Figure, error) {
	if len(runs) == 0 {
		return nil, errors.New("overhead: no run given")
	}
	parts := []struct {
		name    string
		colour  color.RGBA
		seconds func(Overhead) float64
	}{
		{"steps", okabeIto[0], func(o Overhead) float64 { return o.Steps }},
		{"selection", okabeIto[1], func(o Overhead) float64 { return o.Selection }},
		{"scoring", okabeIto[4], func(o Overhead) float64 { return o.Scoring }},
		{"evaluation", okabeIto[5], func(o Overhead) float64 { return o.Evaluation }},
		{"compile", okabeIto[2], func(o Overhead) float64 { return o.Compile }},
		{"rest", color.RGBA{150, 150, 150, 255}, func(o Overhead) float64 { return o.Other }},
	}
	n := len(runs)
	sums, labels, most := make([]float64, n), make([]string, n), 0.0
	for i, r := range runs {
		labels[n-1-i] = r.Label
		for _, part := range parts {
			s := part.seconds(r)
			if !(s >= 0) || math.IsInf(s, 0) {
				return nil, fmt.Errorf("overhead: run %q spent %v seconds on %s; expected a finite number not below 0", r.Label, s, part.name)
			}
			sums[i] += s
		}
		most = max(most, sums[i])
	}

	const row = vg.Length(15)
	p := newPlot("", "seconds", "")
	grid := newGrid()
	grid.Horizontal.Width = 0
	p.Add(grid)
	f := &Figure{width: page, height: row*vg.Length(n) + 50}
	var below *plotter.BarChart
	for _, part := range parts {
		var seconds plotter.Values
		for _, r := range slices.Backward(runs) {
			seconds = append(seconds, part.seconds(r))
		}
		bars, err := plotter.NewBarChart(seconds, row*0.7)
		if err != nil {
			return nil, fmt.Errorf("overhead: %w", err)
		}
		bars.Horizontal, bars.Color = true, part.colour
		bars.LineStyle = draw.LineStyle{}
		if below != nil {
			bars.StackOn(below)
		}
		below = bars
		p.Add(bars)
		f.legend = append(f.legend, key{label: part.name, line: draw.LineStyle{Color: part.colour}, band: part.colour})
	}
	ends := plotter.XYLabels{}
	for i, s := range sums {
		ends.XYs = append(ends.XYs, plotter.XY{X: s, Y: float64(n - 1 - i)})
		ends.Labels = append(ends.Labels, " "+brief(s))
	}
	text, err := plotter.NewLabels(ends)
	if err != nil {
		return nil, fmt.Errorf("overhead: %w", err)
	}
	for i := range text.TextStyle {
		text.TextStyle[i] = textStyle(color.Black)
	}
	text.Offset.Y = 1 // the middle of digits
	p.Add(text)
	p.X.Min, p.X.Max = 0, most*1.02
	if most == 0 {
		p.X.Max = 1
	}
	p.Y.Min, p.Y.Max = -0.6, float64(n)-0.4
	p.X.Tick.Marker = roundTicks(8)
	p.Y.Tick.Marker = names(labels...)
	p.Y.Tick.Length, p.Y.Padding = 0, 2
	f.draw = func(c draw.Canvas) { p.Draw(c) }
	return f, nil
}

// brief has three digits, or all before the point.
func brief(v float64) string {
	if v == 0 {
		return "0"
	}
	return fmt.Sprintf("%.*f", max(0, 2-int(math.Floor(math.Log10(v)))), v)
}
