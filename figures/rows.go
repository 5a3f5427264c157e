package figures

import (
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

const (
	rowHeight = vg.Length(14)
	rowLabel  = 1.35 * vg.Inch // longer ones are cut

	legendRoom = legendRow + 4 // of one row
)

// rows are the common part of figures with a named row per number: row i from the top lies at y = -i.
type rows struct {
	plot   *plot.Plot
	notes  []string // at the right edge of each row
	height vg.Length
}

// newRows draws a line from top to bottom at zero, which bars or points are seen against.
func newRows(x string, labels, notes []string, zero float64) rows {
	p := newPlot("", x, "")
	g := newGrid()
	g.Horizontal.Width = 0
	p.Add(g, whisker{zero, zero, 0.5, 0.5 - float64(len(labels)), color.Gray{90}})
	p.Y.Tick.Marker = plot.TickerFunc(func(_, _ float64) []plot.Tick {
		var ticks []plot.Tick
		for i, label := range labels {
			ticks = append(ticks, plot.Tick{Value: -float64(i), Label: shortened(textStyle(color.Black), label, rowLabel)})
		}
		return ticks
	})
	p.X.Tick.Marker = roundTicks(6)
	p.Y.Tick.Label.Font.Size, p.Y.Tick.Label.YAlign = fontSize, draw.YCenter
	p.Y.Tick.Length, p.Y.LineStyle.Width = 0, 0
	return rows{p, notes, vg.Length(len(labels))*rowHeight + 26}
}

func (r rows) draw(c draw.Canvas) {
	style := textStyle(color.Black)
	style.XAlign = draw.XRight
	wide := vg.Length(0)
	for _, n := range r.notes {
		wide = max(wide, style.Width(n)+5)
	}
	main := draw.Crop(c, 0, -wide, 0, 0)
	r.plot.Draw(main)
	data := r.plot.DataCanvas(main)
	_, y := r.plot.Transforms(&data)
	for i, n := range r.notes {
		c.FillText(style, vg.Point{X: c.Max.X, Y: y(-float64(i)) + style.FontExtents().Descent}, n) // as gonum puts labels
	}
}

// bar is one row's filled bar from 0 to its value.
type bar struct {
	row    int
	value  float64
	colour color.Color
}

// Plot implements [plot.Plotter].
func (b bar) Plot(c draw.Canvas, p *plot.Plot) {
	tx, ty := p.Transforms(&c)
	y0, y1 := ty(-float64(b.row)-0.32), ty(-float64(b.row)+0.32)
	corners := []vg.Point{{X: tx(0), Y: y0}, {X: tx(b.value), Y: y0}, {X: tx(b.value), Y: y1}, {X: tx(0), Y: y1}}
	c.FillPolygon(b.colour, corners)
}

// DataRange implements [plot.DataRanger].
func (b bar) DataRange() (xmin, xmax, ymin, ymax float64) {
	return min(0, b.value), max(0, b.value), -float64(b.row), -float64(b.row)
}

// spot is a single point.
type spot struct {
	x, y  float64
	glyph draw.GlyphStyle
}

// Plot implements [plot.Plotter].
func (s spot) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	c.DrawGlyph(s.glyph, vg.Point{X: x(s.x), Y: y(s.y)})
}

// DataRange implements [plot.DataRanger].
func (s spot) DataRange() (xmin, xmax, ymin, ymax float64) { return s.x, s.x, s.y, s.y }
