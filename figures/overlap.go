package figures

import (
	"fmt"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/palette"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Overlaps says how far the sets that methods kept agree.
type Overlaps struct {
	Names   []string
	Jaccard [][]float64 // [methods][methods] in [0,1], symmetric; NaN: the two have no epoch in common
	Chance  [][]float64 // [methods][methods] what sets of the same sizes drawn uniformly would have; nil: not shown
}

// OverlapMatrix draws the Jaccard index of every two methods as colour and number, above what chance gives, in brackets. The
// diagonal is left empty. It is an error when there are fewer than two methods, when the matrices are of other sizes or not
// symmetric, and when a number lies outside [0,1].
func OverlapMatrix(o Overlaps) (*Figure, error) {
	n := len(o.Names)
	if n < 2 {
		return nil, fmt.Errorf("overlap: %d methods given; at least two are needed", n)
	}
	matrices := [][][]float64{o.Jaccard}
	if o.Chance != nil {
		matrices = append(matrices, o.Chance)
	}
	for _, m := range matrices {
		if len(m) != n {
			return nil, fmt.Errorf("overlap: %d rows for %d methods", len(m), n)
		}
		for i, row := range m {
			if len(row) != n {
				return nil, fmt.Errorf("overlap: row %d has %d numbers for %d methods", i+1, len(row), n)
			}
			for j, v := range row[:i] { // rows before this one have passed
				if v < 0 || v > 1 || v != m[j][i] && !(math.IsNaN(v) && math.IsNaN(m[j][i])) {
					return nil, fmt.Errorf("overlap: %v of %s and %s, %v the other way round; expected equal numbers in [0,1]", v, o.Names[i], o.Names[j], m[j][i])
				}
			}
		}
	}
	o.Names, o.Jaccard, o.Chance = slices.Clone(o.Names), copied(o.Jaccard), copied(o.Chance) // drawn later
	top := 0.0
	for i, row := range o.Jaccard {
		for _, v := range row[:i] {
			if v == v {
				top = max(top, v)
			}
		}
	}
	colours := sequential(0, max(0.1, math.Ceil(10*top)/10))

	p := newPlot("", "", "")
	p.Add(agreement{o, colours})
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = -0.5, float64(n)-0.5, -0.5, float64(n)-0.5
	var below, beside []string
	for i := range n {
		below, beside = append(below, o.Names[i]), append(beside, o.Names[n-1-i])
	}
	p.X.Tick.Marker, p.Y.Tick.Marker = names(below...), names(beside...)
	p.X.Tick.Label.Rotation, p.X.Tick.Label.XAlign, p.X.Tick.Label.YAlign = math.Pi/4, draw.XRight, draw.YCenter
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.Tick.Length, a.LineStyle.Width = 0, 0
	}

	longest := vg.Length(0)
	for _, name := range o.Names {
		longest = max(longest, textStyle(color.Black).Width(name))
	}
	f := &Figure{width: column}
	cell := func() vg.Length { return (f.width - longest - barWidth - 16) / vg.Length(n) }
	if cell() < 27 { // for two numbers
		f.width = page
	}
	f.height = vg.Length(n)*max(22, min(25, 0.75*cell())) + 0.65*longest + 12
	f.draw = func(c draw.Canvas) { drawWithBar(c, p, colours, "Jaccard index") }
	return f, nil
}

func copied(m [][]float64) [][]float64 {
	out := slices.Clone(m)
	for i, row := range out {
		out[i] = slices.Clone(row)
	}
	return out
}

// agreement draws the cells of an overlap matrix, the first method on top, and their numbers.
type agreement struct {
	Overlaps
	colours palette.ColorMap
}

// Plot implements [plot.Plotter].
func (a agreement) Plot(c draw.Canvas, p *plot.Plot) {
	n := len(a.Names)
	tx, ty := p.Transforms(&c)
	for i, row := range a.Jaccard {
		for j, v := range row {
			if i == j {
				continue
			}
			x, y := tx(float64(j)), ty(float64(n-1-i))
			half := vg.Point{X: (tx(1)-tx(0))/2 - 0.5, Y: (ty(1)-ty(0))/2 - 0.5}
			frame := []vg.Point{{X: x - half.X, Y: y - half.Y}, {X: x + half.X, Y: y - half.Y}, {X: x + half.X, Y: y + half.Y}, {X: x - half.X, Y: y + half.Y}}
			c.FillPolygon(colourOf(a.colours, v), frame)
			c.StrokeLines(draw.LineStyle{Color: noData, Width: 0.3}, append(frame, frame[0])) // around white too
			style := textStyle(contrast(colourOf(a.colours, v)))
			style.XAlign = draw.XCenter
			if math.IsNaN(v) {
				c.FillText(style, vg.Point{X: x, Y: y}, "–")
				continue
			}
			if a.Chance == nil || math.IsNaN(a.Chance[i][j]) {
				c.FillText(style, vg.Point{X: x, Y: y}, fmt.Sprintf("%.2f", v))
				continue
			}
			c.FillText(style, vg.Point{X: x, Y: y + 4}, fmt.Sprintf("%.2f", v))
			style.Font.Size = fontSize - 2
			c.FillText(style, vg.Point{X: x, Y: y - 5}, fmt.Sprintf("(%.2f)", a.Chance[i][j]))
		}
	}
}

// contrast is black on light colours and white on dark ones.
func contrast(c color.Color) color.Color {
	if color.GrayModel.Convert(c).(color.Gray).Y > 120 {
		return color.Black
	}
	return color.White
}
