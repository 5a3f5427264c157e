package figures

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"io"
	"math"
	"regexp"
	"strings"

	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/vgtex"
)

// texText makes plain text what TeX shows as that text.
var texText = strings.NewReplacer(
	`\`, `\textbackslash{}`, "&", `\&`, "%", `\%`, "$", `\$`, "#", `\#`, "_", `\_`, "{", `\{`, "}", `\}`,
	"~", `\textasciitilde{}`, "^", `\textasciicircum{}`, "<", "$<$", ">", "$>$", "|", `$|$`, `"`, "''", "\n", " ",
	"α", `$\alpha$`, "β", `$\beta$`, "δ", `$\delta$`, "λ", `$\lambda$`, "ρ", `$\rho$`, "σ", `$\sigma$`,
	"±", `$\pm$`, "×", `$\times$`, "·", `$\cdot$`, "≤", `$\le$`, "≥", `$\ge$`, "≈", `$\approx$`, "−", "$-$", "²", "$^2$",
	"–", "--", "—", "---", "…", `\dots{}`, "†", `\dag{}`,
	"[", "{[}", // after \\ it would begin an argument
)

// texCanvas mends what vgtex leaves to its callers: text is not TeX, closed paths stay open, TeX reads no 1e-15pt, and colours
// that let others through get darker.
type texCanvas struct{ *vgtex.Canvas }

func (c texCanvas) FillString(f font.Face, at vg.Point, text string) {
	escaped := texText.Replace(text)
	at.X += (f.Width(text) - f.Width(escaped)) / 2 // vgtex centres text of the width that it is given
	c.Canvas.FillString(f, rounded(at), escaped)
}

func (c texCanvas) Translate(by vg.Point) { c.Canvas.Translate(rounded(by)) }
func (c texCanvas) Stroke(p vg.Path)      { c.Canvas.Stroke(closed(p)) }
func (c texCanvas) Fill(p vg.Path)        { c.Canvas.Fill(closed(p)) }

func (c texCanvas) SetColor(to color.Color) {
	if to == nil { // as other canvases take it
		to = color.Black
	}
	c.Canvas.SetColor(straight{color.NRGBAModel.Convert(to).(color.NRGBA)})
}

// straight gives a colour's own shares of red, green and blue, which vgtex takes them for, where others multiply them by alpha.
type straight struct{ c color.NRGBA }

func (s straight) RGBA() (r, g, b, a uint32) {
	return uint32(s.c.R) * 0x101, uint32(s.c.G) * 0x101, uint32(s.c.B) * 0x101, uint32(s.c.A) * 0x101
}

// WriteTo implements [io.WriterTo]. PGF has colours of its own, which LaTeX's \color reaches with some drivers only.
func (c texCanvas) WriteTo(w io.Writer) (int64, error) {
	var out bytes.Buffer
	if _, err := c.Canvas.WriteTo(&out); err != nil {
		return 0, err
	}
	n, err := w.Write(texColour.ReplaceAll(out.Bytes(), []byte(`\definecolor{figure}{rgb}{$1}\pgfsetcolor{figure}\color{figure}`)))
	return int64(n), err
}

var texColour = regexp.MustCompile(`\\color\[rgb\]\{([0-9.,]+)\}`)

func (c texCanvas) DrawImage(vg.Rectangle, image.Image) {
	panic(errors.New("TeX takes no pixels; save the figure as .pdf"))
}

// closed draws the last side of closed paths.
func closed(p vg.Path) vg.Path {
	var out vg.Path
	var start vg.Point
	for _, part := range p {
		part.Pos, part.Radius = rounded(part.Pos), thousandths(part.Radius)
		switch part.Type {
		case vg.MoveComp:
			start = part.Pos
		case vg.CloseComp:
			part = vg.PathComp{Type: vg.LineComp, Pos: start}
		case vg.CurveComp:
			control := make([]vg.Point, len(part.Control))
			for i, at := range part.Control {
				control[i] = rounded(at)
			}
			part.Control = control
		}
		out = append(out, part)
	}
	return out
}

func rounded(at vg.Point) vg.Point { return vg.Point{X: thousandths(at.X), Y: thousandths(at.Y)} }

func thousandths(l vg.Length) vg.Length { return vg.Length(math.Round(float64(l)*1000) / 1000) }
