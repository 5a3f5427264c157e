package figures

import (
	"errors"
	"fmt"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Horizons are one run's errors by forecast horizon, or those of runs that differ in their seeds.
type Horizons struct {
	Label string
	Error []Estimate // [Q] test MAE at horizon 1, 2, …; raw units
}

// HorizonErrors draws test error by forecast horizon in steps of the given length (0: unknown), a line per run with its band
// over seeds. Unit names the error's unit. It is an error when there is no run, and when an error is missing or not finite.
func HorizonErrors(runs []Horizons, step time.Duration, unit string) (*Figure, error) {
	if len(runs) == 0 {
		return nil, errors.New("horizon errors: no run given")
	}
	label := "forecast horizon, steps"
	if step > 0 {
		label += " of " + inWords(step)
	}
	p := newPlot("", label, "test MAE"+inUnit(unit))
	p.Add(newGrid())
	f := &Figure{width: column, height: 2.3 * vg.Inch}
	longest := 0
	for i, r := range runs {
		if len(r.Error) == 0 {
			return nil, fmt.Errorf("horizon errors %q: no horizon", r.Label)
		}
		at := make([]float64, len(r.Error))
		for h, e := range r.Error {
			at[h] = float64(h + 1)
			if err := e.check(); err != nil {
				return nil, fmt.Errorf("horizon errors %q at %d: %w", r.Label, h+1, err)
			}
		}
		if err := curve(p, i, at, r.Error); err != nil {
			return nil, fmt.Errorf("horizon errors %q: %w", r.Label, err)
		}
		f.legend = append(f.legend, curveKey(i, r.Label, r.Error))
		longest = max(longest, len(r.Error))
	}
	every := max(1, (longest+3)/12*3) // all, or multiples of 3
	if longest <= 12 {
		every = 1
	}
	p.X.Tick.Marker = plot.TickerFunc(func(_, _ float64) []plot.Tick {
		var ticks []plot.Tick
		for h := 1; h <= longest; h++ {
			if h%every == 0 {
				ticks = append(ticks, plot.Tick{Value: float64(h), Label: fmt.Sprint(h)})
			}
		}
		return ticks
	})
	p.Y.Tick.Marker = roundTicks(6)
	f.draw = func(c draw.Canvas) { p.Draw(c) }
	return f, nil
}

// inWords writes a step as people say it: 5 min, 1 h, 1 d.
func inWords(d time.Duration) string {
	for _, u := range []struct {
		name string
		long time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"min", time.Minute}, {"s", time.Second}} {
		if d%u.long == 0 {
			return fmt.Sprintf("%d %s", d/u.long, u.name)
		}
	}
	return d.String()
}
