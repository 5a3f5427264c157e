package figures

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Learning is one run's learning curve.
type Learning struct {
	Label  string
	Visits []float64 // in epochs of the full data
	Error  []float64 // validation MAE, raw units; NaN where not validated
}

// LearningCurves draws validation error against what training has visited, on a logarithmic axis. Unit names the error's unit.
func LearningCurves(runs []Learning, unit string) (*Figure, error) {
	p := newPlot("", "visits, epochs of the full data", "validation MAE"+inUnit(unit))
	p.Add(newGrid())
	f := &Figure{width: page, height: 2.7 * vg.Inch}
	low, high := math.Inf(1), math.Inf(-1)
	for i, r := range runs {
		if len(r.Visits) != len(r.Error) {
			return nil, fmt.Errorf("learning curve %q: %d visits for %d errors", r.Label, len(r.Visits), len(r.Error))
		}
		var xy plotter.XYs
		for j, x := range r.Visits {
			if x > 0 && !math.IsNaN(r.Error[j]) && !math.IsInf(r.Error[j], 0) { // a logarithmic axis has no 0
				xy = append(xy, plotter.XY{X: math.Log10(x), Y: r.Error[j]})
				low, high = min(low, x), max(high, x)
			}
		}
		if len(xy) == 0 {
			return nil, fmt.Errorf("learning curve %q: no validated epoch; lower validate_every", r.Label)
		}
		line, points, err := plotter.NewLinePoints(xy)
		if err != nil {
			return nil, fmt.Errorf("learning curve %q: %w", r.Label, err)
		}
		line.LineStyle, points.GlyphStyle = lineStyle(i), glyphStyle(i)
		p.Add(line, points)
		glyph := glyphStyle(i)
		f.legend = append(f.legend, key{label: r.Label, line: line.LineStyle, glyph: &glyph})
	}
	if len(runs) == 0 {
		return nil, errors.New("learning curves: no run given")
	}
	p.X.Tick.Marker = logTicks(low, high)
	f.draw = func(c draw.Canvas) { p.Draw(c) }
	return f, nil
}

func inUnit(unit string) string {
	if unit == "" {
		return ""
	}
	return ", " + unit
}
