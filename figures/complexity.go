package figures

import (
	"cmp"
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
// quartile, each unit counted by its weight (nil: all equally). Units whose loss or complexity is NaN and units of weight 0 are
// left out.
func Classes(complexity, loss, weight []float32, classes int) (Stage, error) {
	var s Stage
	if len(complexity) != len(loss) || weight != nil && len(weight) != len(loss) {
		return s, fmt.Errorf("loss–complexity curve: %d complexities and %d weights for %d losses", len(complexity), len(weight), len(loss))
	}
	var units []int
	for i, c := range complexity {
		if c == c { // never visited otherwise
			units = append(units, i)
		}
	}
	slices.SortStableFunc(units, func(a, b int) int { return cmp.Compare(complexity[a], complexity[b]) })
	for k := range classes {
		var part []weighted
		sum, total := 0.0, 0.0
		for _, i := range units[k*len(units)/classes : (k+1)*len(units)/classes] {
			u := weighted{float64(loss[i]), 1}
			if weight != nil {
				u.weight = float64(weight[i])
			}
			if u.value == u.value && u.weight > 0 {
				part = append(part, u)
				sum, total = sum+u.weight*u.value, total+u.weight
			}
		}
		if len(part) == 0 {
			return Stage{}, fmt.Errorf("loss–complexity curve: class %d of %d has no visited unit; use fewer classes", k+1, classes)
		}
		slices.SortFunc(part, func(a, b weighted) int { return cmp.Compare(a.value, b.value) })
		s.Mean = append(s.Mean, sum/total)
		s.Low = append(s.Low, quantile(part, 0.25*total))
		s.High = append(s.High, quantile(part, 0.75*total))
	}
	return s, nil
}

type weighted struct{ value, weight float64 }

// quantile is the first of the sorted values that has the given weight at or below it.
func quantile(sorted []weighted, weight float64) float64 {
	for _, u := range sorted {
		if weight -= u.weight; weight <= 0 {
			return u.value
		}
	}
	return sorted[len(sorted)-1].value
}

// Panel is one side of [LossComplexity].
type Panel struct {
	Title  string
	Stages []Stage
}

// LossComplexity draws the mean loss per class of complexity, one line per stage of training with a band from the first to the
// third quartile, panels side by side on equal axes.
func LossComplexity(panels ...Panel) (*Figure, error) {
	all, err := LossComplexities(panels)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// LossComplexities draws a [LossComplexity] of each of the given panels, all on equal axes: one can be shown in another's place.
func LossComplexities(each ...[]Panel) ([]*Figure, error) {
	top := 0.0
	for _, panels := range each {
		if len(panels) == 0 {
			return nil, fmt.Errorf("loss–complexity curve: no panel given")
		}
		for _, panel := range panels {
			for _, s := range panel.Stages {
				if len(s.Mean) == 0 || len(s.Low) != len(s.Mean) || len(s.High) != len(s.Mean) {
					return nil, fmt.Errorf("loss–complexity curve: stage %q has %d means, %d lower and %d upper ends of its band",
						s.Label, len(s.Mean), len(s.Low), len(s.High))
				}
				for k, m := range s.Mean {
					top = max(top, m, s.High[k])
				}
				if math.IsNaN(top) || math.IsInf(top, 0) {
					return nil, fmt.Errorf("loss–complexity curve: stage %q has a loss that is not finite", s.Label)
				}
			}
		}
	}
	var all []*Figure
	for _, panels := range each {
		f, err := lossComplexity(panels, top*1.05)
		if err != nil {
			return nil, fmt.Errorf("loss–complexity curve: %w", err)
		}
		all = append(all, f)
	}
	return all, nil
}

func lossComplexity(panels []Panel, top float64) (*Figure, error) {
	f := &Figure{width: page, height: 2.7 * vg.Inch}
	if len(panels) == 1 {
		f.width = column
	}
	var plots []*plot.Plot
	for n, panel := range panels {
		label := ""
		if n == 0 {
			label = "loss (z-scored MAE)"
		}
		p := newPlot(panel.Title, "complexity, quantile of training windows", label)
		p.Add(newGrid())
		for i, s := range panel.Stages {
			var line, low, high plotter.XYs
			for k, m := range s.Mean {
				x := (float64(k) + 0.5) / float64(len(s.Mean))
				line, low = append(line, plotter.XY{X: x, Y: m}), append(low, plotter.XY{X: x, Y: s.Low[k]})
				high = append(high, plotter.XY{X: x, Y: s.High[k]})
			}
			slices.Reverse(high)
			band, err := plotter.NewPolygon(append(low, high...))
			if err != nil {
				return nil, err
			}
			band.Color, band.LineStyle.Width = light(okabeIto[i%len(okabeIto)]), 0
			curve, err := plotter.NewLine(line)
			if err != nil {
				return nil, err
			}
			curve.LineStyle = lineStyle(i)
			p.Add(band, curve)
			if n == 0 {
				f.legend = append(f.legend, key{label: s.Label, line: curve.LineStyle, band: band.Color})
			}
		}
		p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, 1, 0, top
		plots = append(plots, p)
	}
	f.draw = func(c draw.Canvas) {
		tiles := draw.Tiles{Rows: 1, Cols: len(plots), PadX: 8}
		for i, row := range plot.Align([][]*plot.Plot{plots}, tiles, c)[0] {
			plots[i].Draw(row)
		}
	}
	return f, nil
}
