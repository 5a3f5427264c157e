package figures

import (
	"fmt"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Week holds one number per day of the week and hour of the day.
type Week struct {
	Share [7][24]float64 // Monday first, e.g. mean share of pruned epochs that kept the windows starting there; NaN: no window
	// Middle is what Share would be everywhere if hour and day did not matter. With it colours tell more from less; NaN: they run
	// from the least to the largest.
	Middle float64
	Label  string // of the colour bar
}

// KeptWeek draws a row per day of the week, a column per hour, and a colour bar. It is an error when no hour has a number, or one
// is infinite.
func KeptWeek(w Week) (*Figure, error) {
	var rows [][]float64
	for day := 6; day >= 0; day-- { // Monday on top
		rows = append(rows, w.Share[day][:])
	}
	low, high, err := limits(rows...)
	if err != nil {
		return nil, fmt.Errorf("week: %w", err)
	}
	colours := sequential(low, high)
	if !math.IsNaN(w.Middle) {
		if math.IsInf(w.Middle, 0) {
			return nil, fmt.Errorf("week: its middle is infinite; give a number, or NaN for none")
		}
		colours = within{diverging(low, w.Middle, high), low, high}
	}

	p := newPlot("", "hour of day at the window's start", "")
	x := make([]float64, 25)
	for h := range x {
		x[h] = float64(h)
	}
	p.Add(cells{x: x, y: edges(0, 7), value: rows, colours: colours, gap: 0.7})
	p.X.Tick.Marker = wholeTicks(9, 3)
	p.Y.Tick.Marker = names("Sun", "Sat", "Fri", "Thu", "Wed", "Tue", "Mon")
	p.Y.Tick.Length, p.Y.LineStyle.Width = 0, 0

	f := &Figure{width: column, height: 1.75 * vg.Inch}
	f.draw = func(c draw.Canvas) { drawWithBar(c, p, colours, w.Label) }
	return f, nil
}

// names label 0, 1, 2, …
func names(labels ...string) plot.Ticker {
	var ticks []plot.Tick
	for i, label := range labels {
		ticks = append(ticks, plot.Tick{Value: float64(i), Label: label})
	}
	return plot.ConstantTicks(ticks)
}
