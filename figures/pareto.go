package figures

import (
	"cmp"
	"errors"
	"fmt"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Cost is what one way of training costs and what it reaches.
type Cost struct {
	Label   string   // points of the same label share colour and marker
	Note    string   // beside the point, e.g. its retention; may be empty
	Seconds Estimate // above 0
	Error   Estimate // test MAE, raw units
}

// Pareto draws test error against seconds on a logarithmic axis, with intervals over seeds, and the front: the means that no
// other one beats or equals in both. A note that finds no room is left out. Unit names the error's unit. Points whose mean
// seconds are 0 or below are left out. It is an error when no point is left, and when a number is not finite.
func Pareto(points []Cost, unit string) (*Figure, error) {
	var kept []Cost
	for _, c := range points {
		if err := cmp.Or(c.Seconds.check(), c.Error.check()); err != nil {
			return nil, fmt.Errorf("pareto front, %s %s: %w", c.Label, c.Note, err)
		}
		if c.Seconds.Mean > 0 {
			kept = append(kept, c)
		}
	}
	if len(kept) == 0 {
		return nil, errors.New("pareto front: no point with seconds above 0")
	}
	p := newPlot("", "seconds", "test MAE"+inUnit(unit))
	p.Add(newGrid())
	f := &Figure{width: column, height: 2.6 * vg.Inch}
	s := scatter{points: kept, style: make([]int, len(kept)), front: front(kept)}
	first := map[string]int{}
	for i, c := range kept {
		if _, ok := first[c.Label]; !ok {
			n := len(first)
			first[c.Label] = n
			glyph := glyphStyle(n)
			f.legend = append(f.legend, key{label: c.Label, glyph: &glyph})
		}
		s.style[i] = first[c.Label]
	}
	if len(s.front) > 1 {
		f.legend = append(f.legend, key{label: "Pareto front", line: frontStyle})
	}
	p.Add(s)
	low, high := math.Inf(1), 0.0
	for _, c := range kept {
		low, high = min(low, lowest(c.Seconds)), max(high, c.Seconds.High)
	}
	logRange(&p.X, low, high)
	p.Y.Tick.Marker = roundTicks(6)
	f.draw = func(c draw.Canvas) { p.Draw(c) }
	return f, nil
}

// lowest is the lower end of an interval as far as a logarithmic axis shows it.
func lowest(seconds Estimate) float64 { return max(seconds.Low, seconds.Mean/10) }

// front is the indexes of the points that no other one beats or equals in both, fastest first.
func front(points []Cost) []int {
	order := make([]int, len(points))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(points[a].Seconds.Mean, points[b].Seconds.Mean), cmp.Compare(points[a].Error.Mean, points[b].Error.Mean))
	})
	var out []int
	for _, i := range order {
		if len(out) == 0 || points[i].Error.Mean < points[out[len(out)-1]].Error.Mean {
			out = append(out, i)
		}
	}
	return out
}

var frontStyle = draw.LineStyle{Color: color.Gray{110}, Width: 0.8, Dashes: []vg.Length{3, 2}}

// scatter draws the points, their notes, and the front.
type scatter struct {
	points []Cost
	style  []int // of each point
	front  []int
}

// Plot implements [plot.Plotter].
func (s scatter) Plot(c draw.Canvas, p *plot.Plot) {
	tx, ty := p.Transforms(&c)
	at := make([]vg.Point, len(s.points))
	var taken []vg.Rectangle
	for i, q := range s.points {
		at[i] = vg.Point{X: tx(math.Log10(q.Seconds.Mean)), Y: ty(q.Error.Mean)}
		taken = append(taken, vg.Rectangle{Min: at[i].Sub(vg.Point{X: 2.5, Y: 2.5}), Max: at[i].Add(vg.Point{X: 2.5, Y: 2.5})})
	}
	var steps []vg.Point // from a point the front goes on at its error until the next one is reached
	for k, i := range s.front {
		if k > 0 {
			steps = append(steps, vg.Point{X: at[i].X, Y: at[s.front[k-1]].Y})
		}
		steps = append(steps, at[i])
	}
	if len(s.front) > 1 {
		c.StrokeLines(frontStyle, steps)
	}
	for i, q := range s.points {
		colour := colourNo(s.style[i])
		thin := draw.LineStyle{Color: color.NRGBA{colour.R, colour.G, colour.B, 140}, Width: 0.7}
		c.StrokeLine2(thin, at[i].X, ty(q.Error.Low), at[i].X, ty(q.Error.High))
		c.StrokeLine2(thin, tx(math.Log10(lowest(q.Seconds))), at[i].Y, tx(math.Log10(q.Seconds.High)), at[i].Y)
		glyph := glyphStyle(s.style[i])
		glyph.Radius = 2.5
		c.DrawGlyph(glyph, at[i])
	}
	// Notes go where they cover no point, no other note and no front; those of the front choose first.
	order := slices.Clone(s.front)
	for i := range s.points {
		if !slices.Contains(s.front, i) {
			order = append(order, i)
		}
	}
	for k := 1; k < len(steps); k++ {
		a, b := steps[k-1], steps[k]
		taken = append(taken, vg.Rectangle{Min: vg.Point{X: min(a.X, b.X), Y: min(a.Y, b.Y)}, Max: vg.Point{X: max(a.X, b.X), Y: max(a.Y, b.Y)}})
	}
	for _, i := range order {
		s.note(c, at[i], s.points[i].Note, &taken)
	}
}

func (s scatter) note(c draw.Canvas, at vg.Point, text string, taken *[]vg.Rectangle) {
	if text == "" {
		return
	}
	style := textStyle(color.Gray{50})
	style.Font.Size = fontSize - 1
	wide, high := style.Width(text), vg.Length(fontSize-1)
	for _, to := range []vg.Point{{X: 1, Y: 1}, {X: -1, Y: 1}, {X: 1, Y: -1}, {X: -1, Y: -1}, {X: 0, Y: 1.4}, {X: 0, Y: -1.4}, {X: 1.3}, {X: -1.3}} {
		middle := vg.Point{X: at.X + to.X*(wide/2+3), Y: at.Y + to.Y*(high/2+2.5)}
		box := vg.Rectangle{Min: middle.Sub(vg.Point{X: wide / 2, Y: high / 2}), Max: middle.Add(vg.Point{X: wide / 2, Y: high / 2})}
		if box.Min.X < c.Min.X || box.Max.X > c.Max.X || box.Min.Y < c.Min.Y || box.Max.Y > c.Max.Y {
			continue
		}
		if slices.ContainsFunc(*taken, func(r vg.Rectangle) bool {
			return box.Min.X < r.Max.X && r.Min.X < box.Max.X && box.Min.Y < r.Max.Y && r.Min.Y < box.Max.Y
		}) {
			continue
		}
		style.XAlign = draw.XCenter
		c.FillText(style, middle, text)
		*taken = append(*taken, box)
		return
	}
}

// DataRange implements [plot.DataRanger], with room for notes above and below.
func (s scatter) DataRange() (xmin, xmax, ymin, ymax float64) {
	ymin, ymax = math.Inf(1), math.Inf(-1)
	for _, q := range s.points {
		ymin, ymax = min(ymin, q.Error.Low), max(ymax, q.Error.High)
	}
	room := 0.05 * (ymax - ymin)
	x := math.Log10(s.points[0].Seconds.Mean)
	return x, x, ymin - room, ymax + room
}
