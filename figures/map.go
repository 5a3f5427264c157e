package figures

import (
	"cmp"
	"errors"
	"fmt"
	"image/color"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/palette"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Map holds one number per sensor, and where the sensors are.
type Map struct {
	Coords [][2]float64 // [sensors] latitude, longitude in degrees
	Links  []Link       // of the graph
	Value  []float64    // [sensors]; NaN: none, drawn grey
	Label  string       // of the colour bar
}

// Link joins two sensors, counted from 0. Links of sensors to themselves are not drawn, of several between the same two the
// strongest.
type Link struct {
	A, B   int
	Weight float64 // the larger, the darker
}

// SensorMap draws sensors where they are, as long north–south as east–west, coloured by their values, the highest on top, the links
// between them, and a bar that says how long a kilometre is. It is an error when a sensor has no coordinates or these are beyond
// ±90° and ±180°, when values are not one each, and when a link leads elsewhere.
func SensorMap(m Map) (*Figure, error) {
	n := len(m.Value)
	switch {
	case n == 0:
		return nil, errors.New("map: no sensor given")
	case len(m.Coords) == 0:
		return nil, errors.New("map: the sensors have no coordinates; import the data set with a file of them (--coords)")
	case len(m.Coords) != n:
		return nil, fmt.Errorf("map: %d coordinates for %d sensors", len(m.Coords), n)
	}
	south, north, west, east := math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for i, at := range m.Coords {
		if !(math.Abs(at[0]) <= 90 && math.Abs(at[1]) <= 180) { // NaN too
			return nil, fmt.Errorf("map: sensor %d is at latitude %v, longitude %v; expected degrees within ±90 and ±180", i, at[0], at[1])
		}
		south, north, west, east = min(south, at[0]), max(north, at[0]), min(west, at[1]), max(east, at[1])
	}
	low, high, err := limits(m.Value)
	if err != nil {
		return nil, fmt.Errorf("map: %w", err)
	}
	m.Coords, m.Value = slices.Clone(m.Coords), slices.Clone(m.Value) // drawn later
	strongest := map[[2]int]float64{}
	most := 0.0
	for _, l := range m.Links {
		if l.A < 0 || l.B < 0 || l.A >= n || l.B >= n {
			return nil, fmt.Errorf("map: a link joins sensors %d and %d; there are sensors 0 to %d", l.A, l.B, n-1)
		}
		if l.A != l.B {
			pair := [2]int{min(l.A, l.B), max(l.A, l.B)}
			strongest[pair] = max(strongest[pair], l.Weight)
			most = max(most, l.Weight)
		}
	}
	var links []Link
	for pair, w := range strongest {
		links = append(links, Link{pair[0], pair[1], w / max(most, 1e-30)})
	}
	slices.SortFunc(links, func(a, b Link) int { // the strongest on top, and always in the same order
		return cmp.Or(cmp.Compare(a.Weight, b.Weight), cmp.Compare(a.A, b.A), cmp.Compare(a.B, b.B))
	})

	// One degree of longitude is as long as this many of latitude.
	narrow := max(0.01, math.Cos((south+north)/2*math.Pi/180))
	least := max(1e-3, 0.08*max((east-west)*narrow, north-south)) // room around the sensors, degrees of latitude
	south, north, west, east = south-least, north+least, west-least/narrow, east+least/narrow

	colours := sequential(low, high)
	p := newPlot("", "longitude, °", "latitude, °")
	p.Add(&sensors{m: m, links: links, colours: colours, narrow: narrow})
	p.X.Tick.Marker, p.Y.Tick.Marker = roundTicks(4), roundTicks(6)

	f := &Figure{width: column}
	aspect := (north - south) / ((east - west) * narrow)
	f.height = min(4.5*vg.Inch, max(1.6*vg.Inch, (f.width-barWidth-44)*vg.Length(aspect)+34+scaleRoom))
	f.draw = func(c draw.Canvas) {
		// Both axes must have the same scale: the one with room to spare shows more around the sensors. Labels take room too, and
		// may change with the range.
		p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = west, east, south, north
		for range 3 {
			data := p.DataCanvas(draw.Crop(c, 0, -barWidth-4, 0, 0)).Size()
			high := data.Y - scaleRoom
			p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = fit(west, east, south, north, narrow, float64(high/data.X))
			p.Y.Min -= (p.Y.Max - p.Y.Min) * float64(scaleRoom/high)
		}
		drawWithBar(c, p, colours, m.Label)
	}
	return f, nil
}

// fit widens the range of longitudes or that of latitudes, around its centre, to a field whose height over width is aspect.
func fit(west, east, south, north, narrow, aspect float64) (w, e, s, n float64) {
	wide, high := (east-west)*narrow, north-south
	more := max(0, high/aspect-wide) / narrow / 2
	up := max(0, wide*aspect-high) / 2
	return west - more, east + more, south - up, north + up
}

// sensors draws the inside of a map.
type sensors struct {
	m       Map
	links   []Link // each once, weights up to 1, the weakest first
	colours palette.ColorMap
	narrow  float64
}

// Plot implements [plot.Plotter].
func (s *sensors) Plot(c draw.Canvas, p *plot.Plot) {
	tx, ty := p.Transforms(&c)
	at := func(i int) vg.Point { return vg.Point{X: tx(s.m.Coords[i][1]), Y: ty(s.m.Coords[i][0])} }
	for _, l := range s.links {
		a, b := at(l.A), at(l.B)
		c.StrokeLine2(draw.LineStyle{Color: color.Gray{uint8(205 - 95*l.Weight)}, Width: 0.5}, a.X, a.Y, b.X, b.Y)
	}
	order := make([]int, len(s.m.Value))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(s.m.Value[a], s.m.Value[b]) }) // NaN first
	radius := vg.Length(max(1.8, min(3, 24/math.Sqrt(float64(len(order))))))
	for _, i := range order {
		c.DrawGlyph(draw.GlyphStyle{Color: color.Gray{60}, Radius: radius + 0.5, Shape: draw.CircleGlyph{}}, at(i))
		c.DrawGlyph(draw.GlyphStyle{Color: colourOf(s.colours, s.m.Value[i]), Radius: radius, Shape: draw.CircleGlyph{}}, at(i))
	}
	s.scaleBar(c, p)
}

// scaleRoom is what the bar takes at the bottom, below all sensors.
const scaleRoom = vg.Length(14)

// scaleBar draws a round number of kilometres, a fifth to a half of the map's width, in the lower left corner.
func (s *sensors) scaleBar(c draw.Canvas, p *plot.Plot) {
	const degree = 111.2 // kilometres of latitude
	wide := (p.X.Max - p.X.Min) * s.narrow * degree
	length := roundStep(wide / 2)
	size := c.Max.X - c.Min.X
	from := vg.Point{X: c.Min.X + 5, Y: c.Min.Y + 3}
	to := from.X + size*vg.Length(length/wide)
	label := strconv.FormatFloat(length, 'g', -1, 64) + " km"
	style := textStyle(color.Black)
	style.Font.Size = fontSize - 1
	style.XAlign, style.YAlign = draw.XCenter, draw.YBottom
	c.StrokeLine2(draw.LineStyle{Color: color.Black, Width: 1.2}, from.X, from.Y, to, from.Y)
	c.FillText(style, vg.Point{X: (from.X + to) / 2, Y: from.Y + 2}, label)
}
