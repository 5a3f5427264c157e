package figures

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Stage is the loss of training windows at one stage of training, by class of complexity.
type Stage struct {
	Label           string    // e.g. "epoch 1"
	Mean, Low, High []float64 // per class, easiest first; Low and High are the first and third quartile
}

// Classes sorts units by complexity into classes of equal size and describes the loss in each: its mean and its first and third
// quartile. Units whose loss or complexity is NaN (never visited) are left out.
func Classes(complexity, loss []float32, classes int) (Stage, error) {
	var s Stage
	if len(complexity) != len(loss) {
		return s, fmt.Errorf("loss–complexity curve: %d complexities for %d losses", len(complexity), len(loss))
	}
	type unit struct{ complexity, loss float64 }
	var units []unit
	for i, c := range complexity {
		if c == c && loss[i] == loss[i] {
			units = append(units, unit{float64(c), float64(loss[i])})
		}
	}
	if classes < 1 || len(units) < classes {
		return s, fmt.Errorf("loss–complexity curve: %d visited units for %d classes; at least one in each is needed", len(units), classes)
	}
	slices.SortStableFunc(units, func(a, b unit) int {
		switch {
		case a.complexity < b.complexity:
			return -1
		case a.complexity > b.complexity:
			return 1
		}
		return 0
	})
	for k := range classes {
		part := units[k*len(units)/classes : (k+1)*len(units)/classes]
		var losses []float64
		sum := 0.0
		for _, u := range part {
			losses = append(losses, u.loss)
			sum += u.loss
		}
		slices.Sort(losses)
		s.Mean = append(s.Mean, sum/float64(len(losses)))
		s.Low = append(s.Low, quantile(losses, 0.25))
		s.High = append(s.High, quantile(losses, 0.75))
	}
	return s, nil
}

// quantile interpolates between the sorted values (R's type 7).
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}

// Panel is one side of [LossComplexity].
type Panel struct {
	Title  string
	Stages []Stage
}

// LossComplexity draws the mean loss per class of complexity, one line per stage of training with a band from the first to the
// third quartile, panels side by side on equal axes.
func LossComplexity(panels ...Panel) (*Figure, error) {
	if len(panels) == 0 {
		return nil, fmt.Errorf("loss–complexity curve: no panel given")
	}
	f := &Figure{width: page, height: 2.7 * vg.Inch}
	if len(panels) == 1 {
		f.width = column
	}
	var plots []*plot.Plot
	top := 0.0
	for n, panel := range panels {
		label := ""
		if n == 0 {
			label = "loss (z-scored MAE)"
		}
		p := newPlot(panel.Title, "complexity, quantile of training windows", label)
		p.Add(newGrid())
		for i, s := range panel.Stages {
			if len(s.Mean) == 0 || len(s.Low) != len(s.Mean) || len(s.High) != len(s.Mean) {
				return nil, fmt.Errorf("loss–complexity curve: stage %q has %d means, %d lower and %d upper ends of its band",
					s.Label, len(s.Mean), len(s.Low), len(s.High))
			}
			var line, low, high plotter.XYs
			for k, m := range s.Mean {
				x := (float64(k) + 0.5) / float64(len(s.Mean))
				line, low = append(line, plotter.XY{X: x, Y: m}), append(low, plotter.XY{X: x, Y: s.Low[k]})
				high = append(high, plotter.XY{X: x, Y: s.High[k]})
				top = max(top, m, s.High[k])
			}
			if math.IsNaN(top) || math.IsInf(top, 0) {
				return nil, fmt.Errorf("loss–complexity curve: stage %q has a loss that is not finite", s.Label)
			}
			slices.Reverse(high)
			band, err := plotter.NewPolygon(append(low, high...))
			if err != nil {
				return nil, fmt.Errorf("loss–complexity curve: %w", err)
			}
			band.Color, band.LineStyle.Width = light(okabeIto[i%len(okabeIto)]), 0
			curve, err := plotter.NewLine(line)
			if err != nil {
				return nil, fmt.Errorf("loss–complexity curve: %w", err)
			}
			curve.LineStyle = lineStyle(i)
			p.Add(band, curve)
			if n == 0 {
				f.legend = append(f.legend, key{label: s.Label, line: curve.LineStyle, band: band.Color})
			}
		}
		plots = append(plots, p)
	}
	for _, p := range plots {
		p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, 1, 0, top*1.05
	}
	f.draw = func(c draw.Canvas) {
		tiles := draw.Tiles{Rows: 1, Cols: len(plots), PadX: 8}
		for i, row := range plot.Align([][]*plot.Plot{plots}, tiles, c)[0] {
			plots[i].Draw(row)
		}
	}
	return f, nil
}
