package figures

import (
	"errors"
	"fmt"
	"math"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Calendar holds one number per day and time of day.
type Calendar struct {
	First time.Time   // first day
	Share [][]float64 // [days][slots] e.g. share of pruned epochs that kept the window starting there; NaN: no window
	Label string      // of the colour bar
}

// grid makes a calendar what gonum's heat map wants: the first day on top.
type grid [][]float64

func (g grid) Dims() (c, r int)   { return len(g[0]), len(g) }
func (g grid) Z(c, r int) float64 { return g[len(g)-1-r][c] }
func (g grid) X(c int) float64    { return 24 * (float64(c) + 0.5) / float64(len(g[0])) }
func (g grid) Y(r int) float64    { return float64(r) }

// enlarged repeats cells, so that a canvas that smooths an image smooths the cells' edges only.
type enlarged struct {
	grid
	wide, high int
}

func (e enlarged) Dims() (c, r int) {
	c, r = e.grid.Dims()
	return c * e.wide, r * e.high
}
func (e enlarged) Z(c, r int) float64 { return e.grid.Z(c/e.wide, r/e.high) }
func (e enlarged) X(c int) float64 {
	return 24 * (float64(c) + 0.5) / float64(e.wide*len(e.grid[0]))
}
func (e enlarged) Y(r int) float64 { return (float64(r)+0.5)/float64(e.high) - 0.5 }

// KeptCalendar draws a calendar heat map: a row per day, a column per time of day, and a colour bar.
func KeptCalendar(c Calendar) (*Figure, error) {
	if len(c.Share) == 0 || len(c.Share[0]) < 2 {
		return nil, errors.New("calendar: at least one day with two times of day is needed")
	}
	low, high := math.Inf(1), math.Inf(-1)
	for d, row := range c.Share {
		if len(row) != len(c.Share[0]) {
			return nil, fmt.Errorf("calendar: day %d has %d times of day, the first has %d", d+1, len(row), len(c.Share[0]))
		}
		for _, v := range row {
			if math.IsInf(v, 0) {
				return nil, fmt.Errorf("calendar: day %d has an infinite value", d+1)
			}
			if v == v {
				low, high = min(low, v), max(high, v)
			}
		}
	}
	if low > high {
		return nil, errors.New("calendar: no window at all")
	}
	if low == high {
		low, high = low-0.5*math.Max(1e-6, math.Abs(low)), high+0.5*math.Max(1e-6, math.Abs(high))
	}
	share := grid(c.Share)
	if len(share) == 1 { // a heat map needs two rows to know their height
		share = append(share, make([]float64, len(share[0])))
		for i := range share[1] {
			share[1][i] = math.NaN()
		}
	}
	days := len(share)

	colours := sequential(low, high)
	heat := plotter.NewHeatMap(enlarged{share, 1 + 1200/len(share[0]), 1 + 800/len(share)}, colours.Palette(255))
	heat.Rasterized = true // cells drawn one by one show seams
	heat.Min, heat.Max, heat.NaN = low, high, noData

	p := newPlot("", "time of day at the window's start", "")
	p.Add(heat)
	p.X.Min, p.X.Max = 0, 24
	p.Y.Min, p.Y.Max = -0.5, float64(days)-0.5
	p.X.Tick.Marker = plot.TickerFunc(func(_, _ float64) []plot.Tick {
		var ticks []plot.Tick
		for h := 0; h <= 24; h += 3 {
			ticks = append(ticks, plot.Tick{Value: float64(h), Label: fmt.Sprintf("%02d:00", h%24)})
		}
		return ticks
	})
	height := min(8*vg.Inch, max(2.2*vg.Inch, vg.Length(days)*7+0.8*vg.Inch))
	every := max(1, int(math.Ceil(float64(days)*9/float64(height-0.8*vg.Inch))))
	if every > 1 {
		every = (every + 6) / 7 * 7 // whole weeks
	}
	p.Y.Tick.Marker = plot.TickerFunc(func(_, _ float64) []plot.Tick {
		var ticks []plot.Tick
		for d := 0; d < len(c.Share); d += every {
			ticks = append(ticks, plot.Tick{Value: float64(days - 1 - d), Label: c.First.AddDate(0, 0, d).Format("Mon 2006-01-02")})
		}
		return ticks
	})

	f := &Figure{width: page, height: height}
	f.draw = func(canvas draw.Canvas) { drawWithBar(canvas, p, colours, c.Label) }
	return f, nil
}
