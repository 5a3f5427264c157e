package figures

import (
	"errors"
	"fmt"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Scores are the scores of the units epoch by epoch.
type Scores struct {
	Score [][]float32 // [epochs][units] from epoch 1, none below 0; NaN: not known yet, left out
	Label string      // of the scores, e.g. "complexity, z-scored MAE"
	Units string      // what they are scores of, e.g. "windows"
}

// scoreBins is the number of classes of equal width on the logarithmic axis.
const scoreBins = 40

// ScoreDistribution draws how scores are spread in each epoch: a column per epoch, a logarithmic axis of scores, the share of units
// by colour, and lines for quartiles and median. Scores of 0 have a row of their own below the axis. It is an error when no epoch
// has a score, when an epoch has none although an earlier one does, and when a score is infinite or below 0.
func ScoreDistribution(s Scores) (*Figure, error) {
	low, high, zeros := math.Inf(1), 0.0, false
	scores := make([][]float64, len(s.Score)) // sorted
	first := len(s.Score)                     // epoch with scores, from 0
	for e, row := range s.Score {
		for u, v := range row {
			switch x := float64(v); {
			case math.IsNaN(x):
				continue
			case x < 0 || math.IsInf(x, 0):
				return nil, fmt.Errorf("scores: unit %d has score %v in epoch %d; scores must be finite and not below 0", u, v, e+1)
			case x == 0:
				zeros = true
			default:
				low, high = min(low, x), max(high, x)
			}
			scores[e] = append(scores[e], float64(v))
		}
		slices.Sort(scores[e])
		if len(scores[e]) > 0 {
			first = min(first, e)
		} else if e > first {
			return nil, fmt.Errorf("scores: epoch %d has none, an earlier one has", e+1)
		}
	}
	if first == len(s.Score) {
		return nil, errors.New("scores: no unit has a score in any epoch")
	}
	if high == 0 {
		low, high = 0.1, 1 // an axis, though nothing is on it
	}
	from, to := math.Log10(low), math.Log10(high)
	if to-from < 0.1 {
		from, to = from-0.05, to+0.05
	}
	width := (to - from) / scoreBins
	y := []float64{from}
	for i := range scoreBins {
		y = append(y, from+float64(i+1)*width)
	}
	bottom := from
	value := make([][]float64, scoreBins)
	for i := range value {
		value[i] = make([]float64, len(scores))
	}
	zero := [][]float64{make([]float64, len(scores))}
	top := 0.0
	for e, row := range scores {
		each := 100 / float64(len(row))
		for _, v := range row {
			if v == 0 {
				zero[0][e] += each
				continue
			}
			value[min(scoreBins-1, max(0, int((math.Log10(v)-from)/width)))][e] += each
		}
		for i := range value {
			if len(row) == 0 {
				value[i][e] = math.NaN()
			}
			top = max(top, value[i][e])
		}
		top = max(top, zero[0][e])
	}

	p := newPlot("", "epoch", s.Label)
	colours := sequential(0, top)
	p.Add(cells{x: edges(1, len(scores)), y: y, value: value, colours: colours})
	ticks := logTicks(low, high)
	p.Y.Tick.Marker = ticks
	if zeros {
		bottom = from - 4*width
		p.Add(cells{x: edges(1, len(scores)), y: []float64{bottom, from - width}, value: zero, colours: colours})
		p.Y.Tick.Marker = plot.TickerFunc(func(_, to float64) []plot.Tick {
			return append(ticks.Ticks(from, to), plot.Tick{Value: from - 2.5*width, Label: "0"})
		})
	}
	f := &Figure{width: column, height: 2.5 * vg.Inch}
	for i, q := range []struct {
		share float64
		name  string
	}{{0.25, ""}, {0.5, "median"}, {0.75, "quartiles"}} {
		style := draw.LineStyle{Color: okabeIto[0], Width: 1.2}
		if i != 1 {
			style.Width, style.Dashes = 0.9, []vg.Length{3, 1.5}
		}
		var line plotter.XYs
		for e := first; e < len(scores); e++ {
			at := bottom + 1.5*width
			if v := stat.Quantile(q.share, stat.Empirical, scores[e], nil); v > 0 {
				at = math.Log10(v)
			}
			line = append(line, plotter.XY{X: float64(e + 1), Y: at})
		}
		if len(line) == 1 { // a line across its column
			line = plotter.XYs{{X: line[0].X - 0.5, Y: line[0].Y}, {X: line[0].X + 0.5, Y: line[0].Y}}
		}
		for _, s := range []draw.LineStyle{{Color: color.White, Width: style.Width + 1.2}, style} { // seen on every colour
			l, err := plotter.NewLine(line)
			if err != nil {
				return nil, fmt.Errorf("scores: %w", err)
			}
			l.LineStyle = s
			p.Add(l)
		}
		if q.name != "" {
			f.legend = append(f.legend, key{label: q.name, line: style})
		}
	}
	p.X.Min, p.X.Max = 0.5, float64(len(scores))+0.5
	p.Y.Min, p.Y.Max = bottom, to
	p.X.Tick.Marker = epochTicks()
	label := "share, %"
	if s.Units != "" {
		label = "share of " + s.Units + ", %"
	}
	f.draw = func(c draw.Canvas) { drawWithBar(c, p, colours, label) }
	return f, nil
}
