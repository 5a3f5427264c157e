package figures

import (
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Matrix has a number per row and column.
type Matrix struct {
	Title         string // what the numbers are, with their unit
	Rows, Columns []string
	Value         [][]float64 // [rows][columns]; NaN: none
	Text          [][]string  // [rows][columns] shown in the cells, up to two lines; nil: four digits of the value
	Around0       bool        // changes: below 0 is blue and better, above is red. Otherwise the largest is the darkest
}

// Grid draws a table whose cells are coloured by their numbers, e.g. errors by optimiser and backbone. It is an error when the
// table is empty, of uneven shape, or has an infinite number.
func Grid(m Matrix) (*Figure, error) {
	if len(m.Rows) == 0 || len(m.Columns) == 0 || len(m.Value) != len(m.Rows) || m.Text != nil && len(m.Text) != len(m.Rows) {
		return nil, fmt.Errorf("grid: %d rows and %d columns named, %d rows of numbers", len(m.Rows), len(m.Columns), len(m.Value))
	}
	low, high := math.Inf(1), math.Inf(-1)
	for i, row := range m.Value {
		if len(row) != len(m.Columns) || m.Text != nil && len(m.Text[i]) != len(m.Columns) {
			return nil, fmt.Errorf("grid: row %s has %d numbers for %d columns", m.Rows[i], len(row), len(m.Columns))
		}
		for j, v := range row {
			if math.IsInf(v, 0) {
				return nil, fmt.Errorf("grid: %s, %s is infinite", m.Rows[i], m.Columns[j])
			}
			if v == v {
				low, high = min(low, v), max(high, v)
			}
		}
	}
	if low > high {
		return nil, fmt.Errorf("grid: no number at all")
	}
	const cell, head = vg.Length(24), vg.Length(12)
	f := &Figure{width: column, height: cell*vg.Length(len(m.Rows)) + 2*head + 8}
	if len(m.Columns) > 5 {
		f.width = page
	}
	f.draw = func(c draw.Canvas) {
		style := textStyle(color.Black)
		left := vg.Length(0)
		for _, name := range m.Rows {
			left = max(left, min(rowLabel, style.Width(name)))
		}
		left += 6
		wide := (c.Max.X - c.Min.X - left) / vg.Length(len(m.Columns))
		top := c.Max.Y
		centred := style
		centred.XAlign = draw.XCenter
		if m.Title != "" {
			c.FillText(centred, vg.Point{X: c.Min.X + left + wide*vg.Length(len(m.Columns))/2, Y: top - head/2}, m.Title)
		}
		top -= head
		for j, name := range m.Columns {
			c.FillText(centred, vg.Point{X: c.Min.X + left + wide*(vg.Length(j)+0.5), Y: top - head/2}, shortened(style, name, wide-2))
		}
		top -= head
		for i, name := range m.Rows {
			y := top - cell*(vg.Length(i)+0.5)
			c.FillText(style, vg.Point{X: c.Min.X, Y: y}, shortened(style, name, left-6))
			for j, v := range m.Value[i] {
				x := c.Min.X + left + wide*vg.Length(j)
				colour := m.shade(v, low, high)
				c.FillPolygon(colour, []vg.Point{
					{X: x + 1, Y: y - cell/2 + 1}, {X: x + wide - 1, Y: y - cell/2 + 1}, {X: x + wide - 1, Y: y + cell/2 - 1}, {X: x + 1, Y: y + cell/2 - 1},
				})
				text := ""
				if v == v {
					text = fmt.Sprintf("%.4g", v)
				}
				if m.Text != nil {
					text = m.Text[i][j]
				}
				inside := centred
				inside.Color = contrast(colour)
				c.FillText(inside, vg.Point{X: x + wide/2, Y: y}, text)
			}
		}
	}
	return f, nil
}

// shade mixes white with blue, or with vermilion above 0 of changes.
func (m Matrix) shade(v, low, high float64) color.RGBA {
	if v != v {
		return color.RGBA{noData.Y, noData.Y, noData.Y, 255}
	}
	full, share := okabeIto[0], 0.5
	if m.Around0 {
		if v > 0 {
			full = okabeIto[1]
		}
		share = math.Abs(v) / max(-low, high, 1e-12)
	} else if low < high {
		share = (v - low) / (high - low)
	}
	mix := func(part uint8) uint8 { return uint8(255 - (0.08+0.8*share)*float64(255-part)) }
	return color.RGBA{mix(full.R), mix(full.G), mix(full.B), 255}
}
