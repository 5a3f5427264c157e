// Package figures draws what pruning did, for notebooks and papers, and writes tables. Its input are plain numbers; package
// lab reads them from stored runs.
package figures

import (
	"bytes"
	"errors"
	"fmt"
	"image/color"
	"io"
	"os"
	"path/filepath"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgpdf"
	"gonum.org/v1/plot/vg/vgsvg"
	"gonum.org/v1/plot/vg/vgtex"
)

// Figure is a drawn figure of fixed size.
type Figure struct {
	width, height vg.Length
	legend        []key
	draw          func(c draw.Canvas) // below the legend
}

// Widths of the usual two-column page.
const (
	column = 3.25 * vg.Inch
	page   = 6.75 * vg.Inch
	dpi    = 200 // of PNG
)

const fontSize = 8

// PNG renders the figure at 200 dpi. Equal figures give equal bytes.
func (f *Figure) PNG() ([]byte, error) {
	var out bytes.Buffer
	err := f.write(&out, ".png")
	return out.Bytes(), err
}

// SVG renders the figure as a vector graphic whose text is text, in Liberation Sans. Equal figures give equal bytes.
func (f *Figure) SVG() ([]byte, error) {
	var out bytes.Buffer
	err := f.write(&out, ".svg")
	return out.Bytes(), err
}

// Column is the figure 3.25 inches wide, as a column of the usual two-column page. Its text stays 8 pt.
func (f *Figure) Column() *Figure { return f.wide(column) }

// Page is the figure 6.75 inches wide, across both columns.
func (f *Figure) Page() *Figure { return f.wide(page) }

func (f *Figure) wide(width vg.Length) *Figure {
	other := *f
	other.width = width
	return &other
}

// Save writes the figure as .png, .svg, .pdf or .tex, by the path's extension. The file is whole or absent. TeX is PGF to \input in a
// document that loads the package pgf, and shows text in the document's font; maps of pixels, as in [KeptCalendar], can't be in it.
func (f *Figure) Save(path string) error {
	var out bytes.Buffer
	if err := f.write(&out, strings.ToLower(filepath.Ext(path))); err != nil {
		return fmt.Errorf("figure %s: %w", path, err)
	}
	return writeFile(path, out.Bytes())
}

func writeFile(path string, content []byte) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("writing %s: %w", path, err)
		}
	}()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // after the rename there is nothing to remove
	_, err = tmp.Write(content)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Chmod(tmp.Name(), 0o644); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// size gives a legend of more than two rows room of its own, so that the data keep theirs.
func (f *Figure) size() (width, height vg.Length) {
	_, _, legend := placeLegend(f.legend, f.width)
	return f.width, f.height + max(0, legend-2*legendRow-4)
}

func (f *Figure) write(w io.Writer, format string) (err error) {
	defer func() { // gonum/plot panics on what it cannot draw
		if r := recover(); r != nil {
			err = fmt.Errorf("drawing: %v", r)
		}
	}()
	width, height := f.size()
	var c vg.CanvasWriterTo
	switch format {
	case ".png":
		c = vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(dpi))}
	case ".svg":
		c = vgsvg.New(width, height)
	case ".pdf":
		c = vgpdf.New(width, height)
	case ".tex":
		c = texCanvas{vgtex.New(width, height)}
	default:
		return fmt.Errorf("format %q is unknown; choose .png, .svg, .pdf or .tex", format)
	}
	canvas := draw.New(c)
	canvas.SetColor(color.White)
	canvas.Fill(canvas.Rectangle.Path())
	f.draw(draw.Crop(canvas, 2, -4, 2, -drawLegend(canvas, f.legend)))
	_, err = c.WriteTo(w)
	return err
}

// okabeIto is Okabe and Ito's, which the colour-blind can tell apart; markers and dashes tell lines apart without colour.
var okabeIto = []color.RGBA{
	{0, 114, 178, 255}, {213, 94, 0, 255}, {0, 158, 115, 255}, {204, 121, 167, 255},
	{230, 159, 0, 255}, {86, 180, 233, 255}, {0, 0, 0, 255},
}

var dashes = [][]vg.Length{nil, {4, 2}, {1.5, 1.5}, {6, 2, 1.5, 2}, {3, 1}, {8, 3}, {1, 3}}

var markers = []draw.GlyphDrawer{
	draw.CircleGlyph{}, draw.SquareGlyph{}, draw.TriangleGlyph{}, draw.CrossGlyph{}, draw.RingGlyph{}, draw.BoxGlyph{}, draw.PlusGlyph{},
}

// lineStyle differs for the first 49 numbers: beyond seven, colours come again with other dashes.
func lineStyle(i int) draw.LineStyle {
	return draw.LineStyle{Color: colourNo(i), Width: 1, Dashes: dashes[(i+i/len(okabeIto))%len(dashes)]}
}

func glyphStyle(i int) draw.GlyphStyle {
	return draw.GlyphStyle{Color: colourNo(i), Radius: 2, Shape: markers[(i+i/len(okabeIto))%len(markers)]}
}

func colourNo(i int) color.RGBA { return okabeIto[i%len(okabeIto)] }

func textStyle(c color.Color) draw.TextStyle {
	return draw.TextStyle{
		Color: c, Font: font.Font{Typeface: "Liberation", Variant: "Sans", Size: fontSize},
		XAlign: draw.XLeft, YAlign: draw.YCenter, Handler: plot.DefaultTextHandler,
	}
}

// newPlot has the look of all figures.
func newPlot(title, x, y string) *plot.Plot {
	p := plot.New()
	style := textStyle(color.Black)
	set := func(s *text.Style, align text.XAlignment) {
		s.Font, s.XAlign = style.Font, align
	}
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	set(&p.Title.TextStyle, draw.XCenter)
	p.Title.Padding = 3
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.Label.TextStyle.Font = style.Font
		a.Tick.Label.Font = style.Font
		a.Tick.Label.Font.Size = fontSize - 1
		a.LineStyle.Width, a.Tick.LineStyle.Width = 0.5, 0.5
		a.Tick.Length = 3
		a.Padding = 2
	}
	return p
}

// key is one entry of a legend.
type key struct {
	label string
	line  draw.LineStyle
	glyph *draw.GlyphStyle
	band  color.Color // nil: none
}

const legendRow = vg.Length(11)

// placeLegend is where the entries of a legend of that width begin, as far from the left and below the top, and its height. Labels
// that are too long are cut.
func placeLegend(keys []key, width vg.Length) (placed []key, at []vg.Point, height vg.Length) {
	if len(keys) == 0 {
		return nil, nil, 4
	}
	style := textStyle(color.Black)
	const left, gap = vg.Length(8), vg.Length(10)
	x, y := left, legendRow/2+2
	for i, k := range keys {
		k.label = shortened(style, k.label, width-left-k.thumb()-3-4)
		wide := k.thumb() + 3 + style.Width(k.label) + gap
		if i > 0 && x+wide > width {
			x, y = left, y+legendRow
		}
		placed, at = append(placed, k), append(at, vg.Point{X: x, Y: y})
		x += wide
	}
	return placed, at, y + legendRow/2 + 2
}

// thumb is the width of an entry's picture.
func (k key) thumb() vg.Length {
	if k.line.Width == 0 { // a marker or a patch
		return 8
	}
	return 20
}

// drawLegend draws the entries in rows across the top, and returns the height they took.
func drawLegend(c draw.Canvas, keys []key) vg.Length {
	style := textStyle(color.Black)
	keys, at, height := placeLegend(keys, c.Max.X-c.Min.X)
	for i, k := range keys {
		x, y, thumb := c.Min.X+at[i].X, c.Max.Y-at[i].Y, k.thumb()
		if k.band != nil {
			c.FillPolygon(k.band, []vg.Point{{X: x, Y: y - 3}, {X: x + thumb, Y: y - 3}, {X: x + thumb, Y: y + 3}, {X: x, Y: y + 3}})
		}
		c.StrokeLine2(k.line, x, y, x+thumb, y)
		if k.glyph != nil {
			c.DrawGlyph(*k.glyph, vg.Point{X: x + thumb/2, Y: y})
		}
		c.FillText(style, vg.Point{X: x + thumb + 3, Y: y + 1}, k.label) // its middle is that of small letters
	}
	return height
}

// shortened cuts a label that is wider than width.
func shortened(style draw.TextStyle, label string, width vg.Length) string {
	if style.Width(label) <= width {
		return label
	}
	runes := []rune(label)
	for len(runes) > 0 && style.Width(string(runes)+"…") > width {
		runes = runes[:len(runes)-1]
	}
	return string(runes) + "…"
}

func light(c color.RGBA) color.NRGBA { return color.NRGBA{c.R, c.G, c.B, 48} }
