package figures

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"math"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/palette"
	"gonum.org/v1/plot/palette/moreland"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// noData is the colour of what was not measured.
var noData = color.Gray{200}

// sequential runs from white to black through the colours of heat. Its lightness falls evenly, which the colour-blind see too, and
// what is printed in grey shows.
func sequential(low, high float64) palette.ColorMap {
	m := palette.Reverse(moreland.BlackBody())
	m.SetMin(low)
	m.SetMax(high)
	return m
}

// diverging runs from blue to red, equally far to both sides of a light middle.
func diverging(low, middle, high float64) palette.ColorMap {
	m := moreland.SmoothBlueRed()
	reach := max(high-middle, middle-low)
	m.SetMin(middle - reach)
	m.SetMax(middle + reach)
	return m
}

// within is the part of a colour map that a colour bar shows.
type within struct {
	palette.ColorMap
	low, high float64
}

func (m within) Min() float64 { return m.low }
func (m within) Max() float64 { return m.high }

// colourOf is noData for NaN; values beyond the map's ends have the ends' colours.
func colourOf(m palette.ColorMap, v float64) color.Color {
	rounding := 1e-9 * (m.Max() - m.Min()) // reversed maps may refuse their own ends
	c, err := m.At(min(m.Max()-rounding, max(m.Min()+rounding, v)))
	if err != nil { // NaN
		return noData
	}
	return c
}

// limits are the least and the largest of the values other than NaN, set apart when they are equal.
func limits(rows ...[]float64) (low, high float64, err error) {
	low, high = math.Inf(1), math.Inf(-1)
	for i, row := range rows {
		for j, v := range row {
			if math.IsInf(v, 0) {
				return 0, 0, fmt.Errorf("value %d of row %d is infinite", j+1, i+1)
			}
			if v == v {
				low, high = min(low, v), max(high, v)
			}
		}
	}
	if low > high {
		return 0, 0, errors.New("no values at all")
	}
	if low == high {
		reach := math.Abs(low) / 2
		if reach == 0 {
			reach = 0.5
		}
		low, high = low-reach, high+reach
	}
	return low, high, nil
}

// barWidth is what a colour bar takes on the right of a figure, with its labels.
const barWidth = 0.6 * vg.Inch

// drawWithBar draws a plot, and its colours' bar as high as the plot's data.
func drawWithBar(c draw.Canvas, p *plot.Plot, colours palette.ColorMap, label string) {
	main := draw.Crop(c, 0, -barWidth-4, 0, 0)
	p.Draw(main)
	data := p.DataCanvas(main)

	bar := newPlot("", "", label)
	const shades = 128
	y, shade := make([]float64, shades+1), make([][]float64, shades)
	for i := range y {
		y[i] = colours.Min() + (colours.Max()-colours.Min())*float64(i)/shades
	}
	for i := range shade {
		shade[i] = []float64{(y[i] + y[i+1]) / 2}
	}
	bar.Add(cells{x: []float64{0, 1}, y: y, value: shade, colours: colours})
	bar.HideX()
	bar.X.Min, bar.X.Max, bar.Y.Min, bar.Y.Max = 0, 1, colours.Min(), colours.Max()
	bar.Y.Tick.Marker = roundTicks(6)
	at := draw.Canvas{Canvas: c.Canvas, Rectangle: vg.Rectangle{
		Min: vg.Point{X: c.Max.X - barWidth, Y: data.Min.Y}, Max: vg.Point{X: c.Max.X, Y: data.Max.Y}}}
	inner := bar.DataCanvas(at) // smaller by what ticks and labels stand out
	at.Min.Y -= inner.Min.Y - data.Min.Y
	at.Max.Y += data.Max.Y - inner.Max.Y
	bar.Draw(at)
}

// cells fills the rectangles of a matrix between the edges of its columns and rows, the first row at y[0].
type cells struct {
	x, y    []float64   // edges, ascending
	value   [][]float64 // [len(y)-1][len(x)-1]; NaN: noData
	colours palette.ColorMap
	gap     vg.Length // white between cells
	raster  bool      // draw one image, for a matrix of many cells
}

// Plot implements [plot.Plotter].
func (m cells) Plot(c draw.Canvas, p *plot.Plot) {
	tx, ty := p.Transforms(&c)
	if m.raster {
		xmin, xmax, ymin, ymax := m.DataRange()
		box := vg.Rectangle{Min: vg.Point{X: tx(xmin), Y: ty(ymin)}, Max: vg.Point{X: tx(xmax), Y: ty(ymax)}}
		c.DrawImage(box, m.image(box.Size()))
		return
	}
	for i, row := range m.value {
		for j, v := range row {
			left, right, low, high := tx(m.x[j]), tx(m.x[j+1]), ty(m.y[i]), ty(m.y[i+1])
			if m.gap > 0 {
				left, right, low, high = left+m.gap/2, right-m.gap/2, low+m.gap/2, high-m.gap/2
			} else { // into the next cell, which is drawn later: canvases show seams between cells that only meet
				right, high = min(c.Max.X, right+0.5), min(c.Max.Y, high+0.5)
			}
			c.FillPolygon(colourOf(m.colours, v), []vg.Point{{X: left, Y: low}, {X: right, Y: low}, {X: right, Y: high}, {X: left, Y: high}})
		}
	}
}

// image has the form of the field that it is drawn in, since SVG does not stretch images, and so many pixels that a canvas which
// smooths them smooths the cells' edges only.
func (m cells) image(field vg.Point) image.Image {
	const perPoint = 4
	colours := make([][]color.Color, len(m.value))
	for i, row := range m.value {
		for _, v := range row {
			colours[i] = append(colours[i], colourOf(m.colours, v))
		}
	}
	columns, rows := spread(m.x, int(math.Ceil(perPoint*float64(field.X)))), spread(m.y, int(math.Ceil(perPoint*float64(field.Y))))
	img := image.NewRGBA(image.Rect(0, 0, len(columns), len(rows)))
	for y, i := range rows {
		for x, j := range columns {
			img.Set(x, len(rows)-1-y, colours[i][j])
		}
	}
	return img
}

// spread says of each of n pixels between the first and the last edge which cell it shows.
func spread(edges []float64, n int) []int {
	cells, cell, last := make([]int, n), 0, len(edges)-1
	for i := range cells {
		at := edges[0] + (float64(i)+0.5)/float64(n)*(edges[last]-edges[0])
		for cell+1 < last && at >= edges[cell+1] {
			cell++
		}
		cells[i] = cell
	}
	return cells
}

// DataRange implements [plot.DataRanger].
func (m cells) DataRange() (xmin, xmax, ymin, ymax float64) {
	return m.x[0], m.x[len(m.x)-1], m.y[0], m.y[len(m.y)-1]
}

// edges of n cells of width 1 around first, first+1, …
func edges(first float64, n int) []float64 {
	all := make([]float64, n+1)
	for i := range all {
		all[i] = first + float64(i) - 0.5
	}
	return all
}

// wholeTicks labels whole numbers, at most the given number of them, a step of the list apart or else a multiple of its last.
func wholeTicks(most int, steps ...int) plot.Ticker {
	return plot.TickerFunc(func(from, to float64) []plot.Tick {
		fits := func(step int) bool { return (to-from)/float64(step) < float64(most) }
		last := steps[len(steps)-1]
		step := last
		for _, s := range steps {
			if fits(s) {
				step = s
				break
			}
		}
		for !fits(step) {
			step += last
		}
		var ticks []plot.Tick
		for v := int(math.Ceil(from/float64(step))) * step; float64(v) <= to; v += step {
			ticks = append(ticks, plot.Tick{Value: float64(v), Label: fmt.Sprint(v)})
		}
		return ticks
	})
}

// epochTicks are few enough for the narrow column.
func epochTicks() plot.Ticker { return wholeTicks(8, 1, 2, 5, 10, 20, 50, 100) }

// roundStep is the largest of 1, 2 and 5 times a power of ten that is at most v.
func roundStep(v float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{5, 2} {
		if m*power <= v {
			return m * power
		}
	}
	return power
}

// roundTicks labels round numbers, about as many as asked for at most, with as many decimals as tell them apart.
func roundTicks(most int) plot.Ticker {
	return plot.TickerFunc(func(from, to float64) []plot.Tick {
		step := roundStep((to - from) / float64(most))
		if next := roundStep(2.5 * step); (to-from)/step > float64(most) {
			step = next // 1 → 2, 2 → 5, 5 → 10
		}
		decimals := max(0, int(math.Ceil(-math.Log10(step)-1e-9)))
		var ticks []plot.Tick
		for i := math.Ceil(from/step - 1e-9); i*step <= to+1e-9*step; i++ {
			label := strconv.FormatFloat(i*step+0, 'f', decimals, 64)
			ticks = append(ticks, plot.Tick{Value: i * step, Label: strings.Replace(label, "-", "−", 1)})
		}
		return ticks
	})
}
