// Package figures draws what pruning did, for notebooks and papers, and writes tables. Its input are plain numbers; package
// lab reads them from stored runs.
//
// Text is 8 pt and a figure 3.25 or 6.75 inches wide ([Figure.Column], [Figure.Page]). Lines differ in colour, which the
// colour-blind can tell apart, in dashes and in markers. Legends stand above the data. What has no place on a logarithmic axis,
// 0 and below, is left out.
package figures

import (
	"fmt"
	"image/color"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg/draw"
)

// Estimate is a mean over seeds with the ends of its interval, which equal the mean when there is one seed.
type Estimate struct{ Mean, Low, High float64 }

// Single are the estimates of single runs.
func Single(values ...float64) []Estimate {
	out := make([]Estimate, len(values))
	for i, v := range values {
		out[i] = Estimate{v, v, v}
	}
	return out
}

// check names what is not finite or not in order.
func (e Estimate) check() error {
	for _, v := range []float64{e.Mean, e.Low, e.High} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("%v (%v to %v) is not finite; leave that run out", e.Mean, e.Low, e.High)
		}
	}
	if e.Low > e.Mean || e.High < e.Mean {
		return fmt.Errorf("%v is outside of its interval, %v to %v", e.Mean, e.Low, e.High)
	}
	return nil
}

// newGrid is light and belongs below the curves: add it first.
func newGrid() *plotter.Grid {
	g := plotter.NewGrid()
	g.Vertical.Color, g.Horizontal.Color = color.Gray{225}, color.Gray{225}
	return g
}

// logTicks labels an axis that holds decimal logarithms, between low and high: 1, 2 and 5 of each decade, over many decades 1
// alone, and over a part of one whatever is round.
func logTicks(low, high float64) plot.Ticker {
	return plot.TickerFunc(func(from, to float64) []plot.Tick {
		var ticks []plot.Tick
		labels := 0
		for decade := math.Floor(from); decade <= math.Ceil(to); decade++ {
			for m := 1; m <= 9; m++ {
				v := float64(m) * math.Pow(10, decade)
				at := math.Log10(v)
				if at < from-1e-9 || at > to+1e-9 {
					continue
				}
				label := ""
				if m == 1 || (m == 2 || m == 5) && high/low < 300 || high/low < 4 {
					label = short(v)
					labels++
				}
				ticks = append(ticks, plot.Tick{Value: at, Label: label})
			}
		}
		if labels >= 2 {
			return ticks
		}
		ticks = roundTicks(5).Ticks(math.Pow(10, from), math.Pow(10, to))
		for i := range ticks {
			ticks[i].Value = math.Log10(ticks[i].Value)
		}
		return ticks
	})
}

func short(v float64) string { return strconv.FormatFloat(v, 'g', 9, 64) }

// logRange sets a logarithmic axis that shows low to high, with a little room, also when they are equal.
func logRange(a *plot.Axis, low, high float64) {
	a.Tick.Marker = logTicks(low, high)
	room := max(0.03*math.Log10(high/low), 0.02)
	a.Min, a.Max = math.Log10(low)-room, math.Log10(high)+room
}

// curve adds points joined by a line in the style of number i, above the band between their ends where they have one. Points come
// as at and estimate; at is the axis' own measure.
func curve(p *plot.Plot, i int, at []float64, e []Estimate) error {
	var middle, low, high plotter.XYs
	wide := false
	for j, x := range at {
		middle = append(middle, plotter.XY{X: x, Y: e[j].Mean})
		low, high = append(low, plotter.XY{X: x, Y: e[j].Low}), append(high, plotter.XY{X: x, Y: e[j].High})
		wide = wide || e[j].Low < e[j].High
	}
	if wide && len(at) > 1 {
		slices.Reverse(high)
		band, err := plotter.NewPolygon(append(low, high...))
		if err != nil {
			return err
		}
		band.Color, band.LineStyle.Width = light(colourNo(i)), 0
		p.Add(band)
	} else if wide {
		p.Add(whisker{low[0].X, high[0].X, low[0].Y, high[0].Y, colourNo(i)})
	}
	line, points, err := plotter.NewLinePoints(middle)
	if err != nil {
		return err
	}
	line.LineStyle, points.GlyphStyle = lineStyle(i), glyphStyle(i)
	p.Add(line, points)
	return nil
}

// curveKey is the legend's entry of [curve] i.
func curveKey(i int, label string, e []Estimate) key {
	glyph := glyphStyle(i)
	k := key{label: label, line: lineStyle(i), glyph: &glyph}
	if slices.ContainsFunc(e, func(e Estimate) bool { return e.Low < e.High }) {
		k.band = light(colourNo(i))
	}
	return k
}

// whisker is an interval: a line from one point to another.
type whisker struct {
	x0, x1, y0, y1 float64
	colour         color.Color
}

// Plot implements [plot.Plotter].
func (w whisker) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	c.StrokeLine2(draw.LineStyle{Color: w.colour, Width: 0.7}, x(w.x0), y(w.y0), x(w.x1), y(w.y1))
}

// DataRange implements [plot.DataRanger].
func (w whisker) DataRange() (xmin, xmax, ymin, ymax float64) {
	return min(w.x0, w.x1), max(w.x0, w.x1), min(w.y0, w.y1), max(w.y0, w.y1)
}
