package figures

import (
	"errors"
	"fmt"
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Chance is the probability that a method has the smaller error than another one.
type Chance struct {
	Label       string   // of the other one
	Probability Estimate // in [0,1]
	Proven      bool     // that it is not 1/2
	Note        string   // at the right edge, e.g. wins of blocks; may be empty
}

// Improvement draws the probability that a method improves on each of others, with its interval, beside the line at 1/2 where
// neither is better (as in Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice", NeurIPS 2021). It
// is an error when there is no other method, and when a probability is outside of [0,1].
func Improvement(method string, others []Chance) (*Figure, error) {
	if len(others) == 0 {
		return nil, errors.New("probability of improvement: no other method given")
	}
	var labels, notes []string
	for _, o := range others {
		if err := o.Probability.check(); err != nil {
			return nil, fmt.Errorf("probability of improvement on %s: %w", o.Label, err)
		}
		if o.Probability.Low < 0 || o.Probability.High > 1 {
			return nil, fmt.Errorf("probability of improvement on %s: %v to %v; expected numbers in [0,1]", o.Label, o.Probability.Low, o.Probability.High)
		}
		labels, notes = append(labels, o.Label), append(notes, o.Note)
	}
	r := newRows("probability of a smaller error", labels, notes, 0.5)
	proven, open := glyphStyle(0), glyphStyle(4)
	proven.Radius, open.Radius = 2.5, 2.5
	open.Color = okabeIto[0]
	has := map[bool]bool{}
	for i, o := range others {
		y := -float64(i)
		glyph := open
		if o.Proven {
			glyph = proven
		}
		has[o.Proven] = true
		r.plot.Add(whisker{o.Probability.Low, o.Probability.High, y, y, okabeIto[0]}, spot{o.Probability.Mean, y, glyph})
	}
	r.plot.X.Min, r.plot.X.Max = 0, 1
	r.plot.X.Tick.Marker = plot.ConstantTicks{{Value: 0, Label: "0"}, {Value: 0.25}, {Value: 0.5, Label: "0.5"}, {Value: 0.75}, {Value: 1, Label: "1"}}
	f := &Figure{width: column, height: r.height + legendRoom + 12}
	if has[true] {
		f.legend = append(f.legend, key{label: "proven", glyph: &proven})
	}
	if has[false] {
		f.legend = append(f.legend, key{label: "not proven", glyph: &open})
	}
	f.draw = func(c draw.Canvas) {
		style := textStyle(color.Black)
		c.FillText(style, vg.Point{X: c.Min.X + 2, Y: c.Max.Y - 6}, shortened(style, method+" against", c.Max.X-c.Min.X-2))
		r.draw(draw.Crop(c, 0, 0, 0, -12))
	}
	return f, nil
}
