package figures

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Weights are the loss weights of the units that epochs visited.
type Weights struct {
	Weight    [][]float32 // [epochs][kept] from epoch 1; empty: not known
	Largest   []float64   // [epochs] largest weight
	Effective []float64   // [epochs] effective sample size (Σw)²/Σw² over the number kept, in [0,1]
}

// WeightSpread draws two panels over the epochs: how loss weights are spread, on a logarithmic axis, and what share of the units
// visited the effective sample size is. Weights of 0 have no place on the axis; quantiles that are 0 leave a gap. It is an error
// when the slices differ in length or are empty, when a weight is below 0 or not finite, and when no weight is above 0.
func WeightSpread(w Weights) (*Figure, error) {
	n := len(w.Effective)
	switch {
	case n == 0:
		return nil, errors.New("weights: no epoch given")
	case len(w.Weight) != n || len(w.Largest) != n:
		return nil, fmt.Errorf("weights: weights of %d epochs and largest ones of %d for %d effective sizes", len(w.Weight), len(w.Largest), n)
	}
	low, high := math.Inf(1), math.Inf(-1)
	quantiles := map[float64][]float64{0.05: nil, 0.25: nil, 0.5: nil, 0.75: nil, 0.95: nil}
	for e, row := range w.Weight {
		if v := w.Effective[e]; !(v >= 0 && v <= 1) {
			return nil, fmt.Errorf("weights: epoch %d has an effective sample size of %v of its units; expected a share in [0,1]", e+1, v)
		}
		if v := w.Largest[e]; !(v >= 0) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("weights: the largest of epoch %d is %v; weights must be finite and not below 0", e+1, v)
		}
		var sorted []float64
		for _, v := range row {
			x := float64(v)
			if !(x >= 0) || math.IsInf(x, 0) {
				return nil, fmt.Errorf("weights: epoch %d has weight %v; weights must be finite and not below 0", e+1, v)
			}
			sorted = append(sorted, x)
		}
		slices.Sort(sorted)
		values := []float64{w.Largest[e]}
		for q := range quantiles {
			v := math.NaN()
			if len(sorted) > 0 {
				v = stat.Quantile(q, stat.Empirical, sorted, nil)
			}
			quantiles[q], values = append(quantiles[q], v), append(values, v)
		}
		for _, v := range values {
			if v > 0 {
				low, high = min(low, v), max(high, v)
			}
		}
	}
	if low > high {
		return nil, errors.New("weights: none is above 0")
	}
	low, high = low/1.25, high*1.25
	positive := func(v float64) bool { return v > 0 }

	top := newPlot("", "", "loss weight")
	top.Add(newGrid())
	f := &Figure{width: column, height: 3.1 * vg.Inch}
	for _, band := range []struct {
		from, to float64
		label    string
	}{{0.05, 0.95, "5–95 %"}, {0.25, 0.75, "25–75 %"}} {
		colour := light(okabeIto[0])
		colour.A = uint8(60 + 80*(1-(band.to-band.from)))
		for _, part := range stretches(quantiles[band.from], positive) {
			var outline plotter.XYs
			for _, e := range part {
				outline = append(outline, plotter.XY{X: float64(e + 1), Y: math.Log10(quantiles[band.from][e])})
			}
			for _, e := range slices.Backward(part) {
				outline = append(outline, plotter.XY{X: float64(e + 1), Y: math.Log10(quantiles[band.to][e])})
			}
			area, err := plotter.NewPolygon(outline)
			if err != nil {
				return nil, fmt.Errorf("weights: %w", err)
			}
			area.Color, area.LineStyle.Width = colour, 0
			top.Add(area)
		}
		f.legend = append(f.legend, key{label: band.label, line: draw.LineStyle{Color: colour}, band: colour})
	}
	lines := []struct {
		on     *plot.Plot
		values []float64
		style  int
		label  string
	}{{top, quantiles[0.5], 0, "median"}, {top, w.Largest, 1, "largest"}}

	bottom := newPlot("", "epoch", "effective size / kept")
	bottom.Add(newGrid())
	for _, l := range lines {
		for _, part := range stretches(l.values, positive) {
			var xy plotter.XYs
			for _, e := range part {
				xy = append(xy, plotter.XY{X: float64(e + 1), Y: math.Log10(l.values[e])})
			}
			line, points, err := plotter.NewLinePoints(xy)
			if err != nil {
				return nil, fmt.Errorf("weights: %w", err)
			}
			line.LineStyle, points.GlyphStyle = lineStyle(l.style), glyphStyle(l.style)
			points.Radius = 1.5
			l.on.Add(line, points)
		}
		glyph := glyphStyle(l.style)
		f.legend = append(f.legend, key{label: l.label, line: lineStyle(l.style), glyph: &glyph})
	}
	var share plotter.XYs
	for e, v := range w.Effective {
		share = append(share, plotter.XY{X: float64(e + 1), Y: v})
	}
	line, points, err := plotter.NewLinePoints(share)
	if err != nil {
		return nil, fmt.Errorf("weights: %w", err)
	}
	line.LineStyle, points.GlyphStyle = lineStyle(2), glyphStyle(2)
	line.Dashes, points.Radius = nil, 1.5
	bottom.Add(line, points)

	top.Y.Min, top.Y.Max = math.Log10(low), math.Log10(high)
	top.Y.Tick.Marker = logTicks(low, high)
	bottom.Y.Min, bottom.Y.Max = 0, 1.05
	for _, p := range []*plot.Plot{top, bottom} {
		p.X.Min, p.X.Max = 0.5, float64(n)+0.5
		p.X.Tick.Marker = epochTicks()
	}
	f.draw = func(c draw.Canvas) {
		tiles := draw.Tiles{Rows: 2, Cols: 1, PadY: 6}
		at := plot.Align([][]*plot.Plot{{top}, {bottom}}, tiles, c)
		top.Draw(at[0][0])
		bottom.Draw(at[1][0])
	}
	return f, nil
}

// stretches are the runs of neighbouring places whose values belong into a line.
func stretches(values []float64, belongs func(float64) bool) [][]int {
	var all [][]int
	for i, v := range values {
		if !belongs(v) {
			continue
		}
		if i == 0 || !belongs(values[i-1]) {
			all = append(all, nil)
		}
		all[len(all)-1] = append(all[len(all)-1], i)
	}
	return all
}
