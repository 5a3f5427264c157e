package figures

import (
	"errors"
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Ratios are one method's errors by retention. Its slices are equally long.
type Ratios struct {
	Label string
	Rho   []float64  // retention ratio, ascending in (0,1]
	Error []Estimate // test MAE, raw units
}

// RatioCurve draws test error against the retention ratio on a logarithmic axis: a line per method with its band over seeds, and
// full data, unless nil, as a dashed line with its own band. Unit names the error's unit. It is an error when there is no
// method, and when one has no ratio above 0 or an error that is not finite.
func RatioCurve(methods []Ratios, full *Estimate, unit string) (*Figure, error) {
	if len(methods) == 0 {
		return nil, errors.New("ratio curve: no method given")
	}
	p := newPlot("", "retention ρ, % of training units", "test MAE"+inUnit(unit))
	p.Add(newGrid())
	f := &Figure{width: column, height: 2.4 * vg.Inch}
	low, high := math.Inf(1), math.Inf(-1)
	for i, m := range methods {
		if len(m.Rho) != len(m.Error) {
			return nil, fmt.Errorf("ratio curve %q: %d ratios for %d errors", m.Label, len(m.Rho), len(m.Error))
		}
		var at []float64
		var errs []Estimate
		for j, rho := range m.Rho {
			if err := m.Error[j].check(); err != nil {
				return nil, fmt.Errorf("ratio curve %q at %v: %w", m.Label, rho, err)
			}
			if !(rho > 0) || rho > 1 {
				continue
			}
			low, high = min(low, 100*rho), max(high, 100*rho)
			at, errs = append(at, math.Log10(100*rho)), append(errs, m.Error[j])
		}
		if len(at) == 0 {
			return nil, fmt.Errorf("ratio curve %q: no ratio in (0,1]", m.Label)
		}
		if err := curve(p, i, at, errs); err != nil {
			return nil, fmt.Errorf("ratio curve %q: %w", m.Label, err)
		}
		f.legend = append(f.legend, curveKey(i, m.Label, errs))
	}
	logRange(&p.X, low, high)
	p.Y.Tick.Marker = roundTicks(6)
	if full != nil {
		if err := full.check(); err != nil {
			return nil, fmt.Errorf("ratio curve, full data: %w", err)
		}
		style := draw.LineStyle{Color: color.Black, Width: 1, Dashes: []vg.Length{5, 3}}
		k := key{label: "full data", line: style}
		if full.Low < full.High {
			k.band = color.NRGBA{A: 32}
		}
		p.Add(level{*full, style, k.band})
		f.legend = append(f.legend, k)
	}
	f.draw = func(c draw.Canvas) { p.Draw(c) }
	return f, nil
}

// level is a line across the plot, with its interval as a band.
type level struct {
	Estimate
	style draw.LineStyle
	band  color.Color // nil: none
}

// Plot implements [plot.Plotter].
func (l level) Plot(c draw.Canvas, p *plot.Plot) {
	_, y := p.Transforms(&c)
	if l.band != nil {
		c.FillPolygon(l.band, []vg.Point{{X: c.Min.X, Y: y(l.Low)}, {X: c.Max.X, Y: y(l.Low)}, {X: c.Max.X, Y: y(l.High)}, {X: c.Min.X, Y: y(l.High)}})
	}
	c.StrokeLine2(l.style, c.Min.X, y(l.Mean), c.Max.X, y(l.Mean))
}

// DataRange implements [plot.DataRanger]. A level has no place on the x axis.
func (l level) DataRange() (xmin, xmax, ymin, ymax float64) {
	return math.Inf(1), math.Inf(-1), l.Low, l.High
}
