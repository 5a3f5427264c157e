package figures

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Calendar holds one number per day and time of day.
type Calendar struct {
	First time.Time   // first day
	Share [][]float64 // [days][slots] e.g. share of pruned epochs that kept the window starting there; NaN: no window
	Label string      // of the colour bar
}

// KeptCalendar draws a calendar heat map: a row per day, a column per time of day, and a colour bar.
func KeptCalendar(c Calendar) (*Figure, error) {
	if len(c.Share) == 0 || len(c.Share[0]) < 2 {
		return nil, errors.New("calendar: at least one day with two times of day is needed")
	}
	for d, row := range c.Share {
		if len(row) != len(c.Share[0]) {
			return nil, fmt.Errorf("calendar: day %d has %d times of day, the first has %d", d+1, len(row), len(c.Share[0]))
		}
	}
	low, high, err := limits(c.Share...)
	if err != nil {
		return nil, fmt.Errorf("calendar: %w", err)
	}
	days, slots := len(c.Share), len(c.Share[0])
	share := slices.Clone(c.Share)
	slices.Reverse(share) // the first day on top
	hours := make([]float64, slots+1)
	for i := range hours {
		hours[i] = 24 * float64(i) / float64(slots)
	}

	colours := sequential(low, high)
	p := newPlot("", "time of day at the window's start", "")
	p.Add(cells{x: hours, y: edges(0, days), value: share, colours: colours, raster: true})
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
