// Package naive holds the forecasts that need no training. A table of results is read against them: a backbone, and a way of
// pruning its data, is worth what it adds to them.
//
//	last-value    the last measured value of the history, for all horizons (LargeST's HL)
//	last-day      the value at the same time of day on the last day that is over when the forecast is made
//	last-week     the same one week back
//	time-of-week  the node's mean at this time of the week (weekday and slot) over the training rows
//
// Days and weeks are counted by the calendar, so that missing rows shift nothing. Where the measurement that a rule points at is
// missing, last-day and last-week go another day or week back. Where a rule finds none at all, the last measured value of the
// history stands in, then the node's mean over the training rows, then the mean of all nodes. Training rows are those that
// training histories cover, as for the scaler of [datasets.Windows].
package naive

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/stprune/loss"
	"github.com/stprune/workbench/stprune/train"
)

// rule forecasts node n at step t from rows before origin. It returns false where no measurement helps it.
type rule func(t, n, origin int) (value float32, ok bool)

// methods prepares each rule on a series.
func methods() map[string]func(*data) rule {
	return map[string]func(*data) rule{
		"last-value":   func(d *data) rule { return d.lastValue },
		"last-day":     func(d *data) rule { return d.earlier(24 * time.Hour) },
		"last-week":    func(d *data) rule { return d.earlier(7 * 24 * time.Hour) },
		"time-of-week": func(d *data) rule { return d.timeOfWeek() },
	}
}

// Methods lists the names.
func Methods() []string { return slices.Sorted(maps.Keys(methods())) }

// Evaluate measures a method on a part of the windows: train.Train (which time-of-week has seen), train.Validation or train.Test.
// Which targets count, and what is made of the errors, is as for a trained backbone.
func Evaluate(method string, s *datasets.Series, w *datasets.Windows, part string) (loss.Metrics, error) {
	prepare, ok := methods()[method]
	if !ok {
		return loss.Metrics{}, fmt.Errorf("naive forecast %q is unknown; choose one of %s", method, strings.Join(Methods(), ", "))
	}
	parts := map[string][]int32{train.Train: w.Train, train.Validation: w.Val, train.Test: w.Test}
	starts, ok := parts[part]
	if !ok {
		return loss.Metrics{}, fmt.Errorf("naive forecast: part %q is unknown; choose one of %s", part, strings.Join(slices.Sorted(maps.Keys(parts)), ", "))
	}
	d, err := newData(s, w)
	if err != nil {
		return loss.Metrics{}, fmt.Errorf("naive forecast %s: %w", method, err)
	}
	forecast := prepare(d)
	sums := make([]float64, w.Horizon*loss.NumSums)
	for _, start := range starts {
		origin := int(start) + w.History
		for h := range w.Horizon {
			t, row := origin+h, sums[h*loss.NumSums:(h+1)*loss.NumSums]
			for n := range s.N {
				if !s.Valid(t, n) {
					continue
				}
				value, ok := forecast(t, n, origin)
				if !ok {
					value = d.standIn(n, origin)
				}
				add(row, float64(value), float64(s.Values[t*s.N+n]))
			}
		}
	}
	return loss.NewMetrics(sums)
}

// add counts one forecast of a measured target.
func add(row []float64, forecast, target float64) {
	e := math.Abs(forecast - target)
	row[loss.SumAbs] += e
	row[loss.SumSquare] += e * e
	row[loss.Count]++
	if target != 0 {
		row[loss.SumPercent] += e / math.Abs(target)
		row[loss.CountShare]++
	}
}

// data is a series with what stands in for missing measurements.
type data struct {
	*datasets.Series
	history int
	rows    int       // training rows
	mean    []float32 // [N] over them
}

func newData(s *datasets.Series, w *datasets.Windows) (*data, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	last := int32(0)
	for _, starts := range [][]int32{w.Train, w.Val, w.Test} {
		for _, start := range starts {
			last = max(last, start)
		}
	}
	if need := int(last) + w.History + w.Horizon; len(w.Train) == 0 || w.History < 1 || need > s.T {
		return nil, fmt.Errorf("the windows (%d for training, up to step %d) are not those of series %q with %d steps; use Protocol.Apply",
			len(w.Train), need, s.Name, s.T)
	}
	d := &data{Series: s, history: w.History, rows: int(slices.Max(w.Train)) + w.History}
	var err error
	d.mean, err = d.means()
	return d, err
}

// means are those of the measured training values per node; a node without any takes that of all.
func (d *data) means() ([]float32, error) {
	sum, count := make([]float64, d.N+1), make([]float64, d.N+1) // all nodes at the end
	for t := range d.rows {
		for n := range d.N {
			if d.Valid(t, n) {
				v := float64(d.Values[t*d.N+n])
				sum[n], count[n] = sum[n]+v, count[n]+1
				sum[d.N], count[d.N] = sum[d.N]+v, count[d.N]+1
			}
		}
	}
	if count[d.N] == 0 {
		return nil, fmt.Errorf("series %q has no measured value in its training rows", d.Name)
	}
	mean := make([]float32, d.N)
	for n := range mean {
		from := n
		if count[n] == 0 {
			from = d.N
		}
		mean[n] = float32(sum[from] / count[from])
	}
	return mean, nil
}

func (d *data) standIn(n, origin int) float32 {
	if v, ok := d.lastValue(0, n, origin); ok {
		return v
	}
	return d.mean[n]
}

func (d *data) lastValue(_, n, origin int) (float32, bool) {
	for t := origin - 1; t >= origin-d.history; t-- {
		if d.Valid(t, n) {
			return d.Values[t*d.N+n], true
		}
	}
	return 0, false
}

// earlier looks whole periods back.
func (d *data) earlier(period time.Duration) rule {
	at := make(map[int64]int, d.T) // row of a time
	before := make([]int, d.T)     // the nearest row whole periods before; -1: none
	first := d.Calendar.Time(0)
	for t := range d.T {
		now := d.Calendar.Time(t)
		before[t] = -1
		for then := now.Add(-period); !then.Before(first); then = then.Add(-period) {
			if row, ok := at[then.Unix()]; ok {
				before[t] = row
				break
			}
		}
		at[now.Unix()] = t
	}
	return func(t, n, origin int) (float32, bool) {
		for row := before[t]; row >= 0; row = before[row] {
			if row < origin && d.Valid(row, n) {
				return d.Values[row*d.N+n], true
			}
		}
		return 0, false
	}
}

func (d *data) timeOfWeek() rule {
	perDay := d.Calendar.StepsPerDay()
	slot := make([]int, d.T)
	for t := range slot {
		slot[t] = d.Calendar.DayOfWeek(t)*perDay + d.Calendar.TimeOfDay(t)
	}
	sum, count := make([]float64, 7*perDay*d.N), make([]int32, 7*perDay*d.N)
	for t := range d.rows {
		for n := range d.N {
			if d.Valid(t, n) {
				sum[slot[t]*d.N+n] += float64(d.Values[t*d.N+n])
				count[slot[t]*d.N+n]++
			}
		}
	}
	return func(t, n, _ int) (float32, bool) {
		i := slot[t]*d.N + n
		return float32(sum[i] / float64(max(1, count[i]))), count[i] > 0
	}
}
