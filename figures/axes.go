package figures

import (
	"image/color"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
)

// newGrid is light and belongs below the curves: add it first.
func newGrid() *plotter.Grid {
	g := plotter.NewGrid()
	g.Vertical.Color, g.Horizontal.Color = color.Gray{225}, color.Gray{225}
	return g
}

// logTicks labels 1, 2 and 5 of each decade on an axis that holds decimal logarithms.
func logTicks(low, high float64) plot.Ticker {
	return plot.TickerFunc(func(from, to float64) []plot.Tick {
		var ticks []plot.Tick
		for decade := math.Floor(from); decade <= math.Ceil(to); decade++ {
			for m := 1; m <= 9; m++ {
				v := float64(m) * math.Pow(10, decade)
				at := math.Log10(v)
				if at < from-1e-9 || at > to+1e-9 {
					continue
				}
				label := ""
				if m == 1 || m == 2 || m == 5 || high/low < 4 {
					label = strconv.FormatFloat(v, 'g', -1, 64)
				}
				ticks = append(ticks, plot.Tick{Value: at, Label: label})
			}
		}
		return ticks
	})
}
