package figures

import (
	"errors"
	"image"
	"math"
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

// texCanvas mends what vgtex leaves to its callers: text is not TeX, closed paths stay open, and TeX reads no 1e-15pt.
type texCanvas struct{ *vgtex.Canvas }

func (c texCanvas) FillString(f font.Face, at vg.Point, text string) {
	escaped := texText.Replace(text)
	at.X += (f.Width(text) - f.Width(escaped)) / 2 // vgtex centres text of the width that it is given
	c.Canvas.FillString(f, rounded(at), escaped)
}

func (c texCanvas) Translate(by vg.Point) { c.Canvas.Translate(rounded(by)) }
func (c texCanvas) Stroke(p vg.Path)      { c.Canvas.Stroke(closed(p)) }
func (c texCanvas) Fill(p vg.Path)        { c.Canvas.Fill(closed(p)) }

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
