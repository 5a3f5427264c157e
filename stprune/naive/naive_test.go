package naive

import (
	"context"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/stprune"
	"github.com/stprune/workbench/stprune/accel"
	"github.com/stprune/workbench/stprune/loss"
	"github.com/stprune/workbench/stprune/train"
)

// series has one node, two steps a day from a Monday on, 0 for missing.
func series(values ...float32) *datasets.Series {
	return &datasets.Series{Name: "small", T: len(values), N: 1, Values: values, Nodes: []string{"a"},
		Calendar: datasets.Calendar{Start: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), Step: 12 * time.Hour}}
}

// forecasts of all horizons of one window, whether its targets are measured or not.
func forecasts(t *testing.T, method string, s *datasets.Series, w *datasets.Windows, start int) []float32 {
	t.Helper()
	d, err := newData(s, w)
	if err != nil {
		t.Fatal(err)
	}
	rule := methods()[method](d)
	var out []float32
	for h := range w.Horizon {
		for n := range s.N {
			origin := start + w.History
			v, ok := rule(origin+h, n, origin)
			if !ok {
				v = d.standIn(n, origin)
			}
			out = append(out, v)
		}
	}
	return out
}

func TestForecasts(t *testing.T) {
	// Rows 0 to 5 are for training: their measured values are 1, 2, 4, 5, 6 with mean 3.6.
	s := series(1, 2, 0, 4, 5, 6, 7, 0, 0, 0, 11, 12)
	w := &datasets.Windows{History: 2, Horizon: 4, Train: []int32{0, 1, 2, 3, 4}, Val: []int32{5}, Test: []int32{6}}
	for _, c := range []struct {
		method string
		start  int
		want   []float32
	}{
		{"last-value", 4, []float32{6, 6, 6, 6}},
		{"last-value", 6, []float32{7, 7, 7, 7}},         // row 7 is missing
		{"last-value", 7, []float32{3.6, 3.6, 3.6, 3.6}}, // the whole history is
		{"last-day", 4, []float32{5, 6, 5, 6}},           // two horizons per day; the second day repeats the last known one
		{"last-day", 6, []float32{7, 6, 7, 6}},           // row 7 is missing, so one day more back
		{"last-day", 0, []float32{1, 2, 1, 2}},
		{"last-week", 4, []float32{6, 6, 6, 6}}, // no week has passed
		{"time-of-week", 4, []float32{6, 6, 6, 6}},
		{"time-of-week", 0, []float32{2, 4, 5, 6}}, // row 2 was missing in training
	} {
		got := forecasts(t, c.method, s, w, c.start)
		for i := range c.want {
			if math.Abs(float64(got[i]-c.want[i])) > 1e-6 {
				t.Errorf("%s from row %d: %v; want %v", c.method, c.start, got, c.want)
				break
			}
		}
	}
}

// Over three weeks: last-week takes the week before, and the week before that where it is missing; time-of-week takes the mean.
func TestWeeks(t *testing.T) {
	var values []float32
	for i := range 42 {
		values = append(values, float32(100+i))
	}
	values[16] = 0
	s := series(values...)
	w := &datasets.Windows{History: 2, Horizon: 2, Train: []int32{0, 26}, Val: []int32{27}, Test: []int32{28}} // 28 training rows
	for method, want := range map[string][]float32{
		"last-week":    {102, 117},
		"time-of-week": {102, (103 + 117) / 2},
	} {
		if got := forecasts(t, method, s, w, 28); got[0] != want[0] || got[1] != want[1] {
			t.Errorf("%s: %v; want %v", method, got, want)
		}
	}
}

// A day without its noon must not shift the days after it.
func TestDaysAreCountedByTheCalendar(t *testing.T) {
	s := series(1, 2, 3, 5, 6, 7, 8) // noon of the second day, 4, is not there
	start := s.Calendar.Start
	for _, half := range []int{0, 1, 2, 4, 5, 6, 7} {
		s.Calendar.Times = append(s.Calendar.Times, start.Add(time.Duration(half)*12*time.Hour))
	}
	w := &datasets.Windows{History: 2, Horizon: 2, Train: []int32{0, 1}, Val: []int32{2}, Test: []int32{3}}
	for start, want := range map[int][]float32{
		2: {2, 5}, // of the third day's noon, then the fourth day's midnight
		1: {3, 2},
	} {
		if got := forecasts(t, "last-day", s, w, start); got[0] != want[0] || got[1] != want[1] {
			t.Errorf("from row %d: %v; want %v", start, got, want)
		}
	}
}

func TestEvaluateByHand(t *testing.T) {
	// One test window: history 10, 20; targets 25, missing, 15.
	s := series(1, 2, 3, 4, 5, 6, 10, 20, 25, 0, 15)
	w := &datasets.Windows{History: 2, Horizon: 3, Train: []int32{0}, Val: []int32{1}, Test: []int32{6}}
	m, err := Evaluate("last-value", s, w, train.Test)
	if err != nil {
		t.Fatal(err)
	}
	for name, d := range map[string]float64{
		"MAE 1":       m.MAE[0] - 5,
		"MAE 2":       m.MAE[1], // nothing measured counts as 0
		"MAE 3":       m.MAE[2] - 5,
		"pooled MAE":  m.Pooled.MAE - 5,
		"pooled RMSE": m.Pooled.RMSE - 5,
		"pooled MAPE": m.Pooled.MAPE - (5./25+5./15)/2,
		"mean MAE":    m.Mean.MAE - 10./3,
	} {
		if math.Abs(d) > 1e-12 {
			t.Errorf("%s is off by %v", name, d)
		}
	}
}

// The same errors through the graph that measures trained backbones, with zeros that are measured and NaN that isn't.
func TestMetricsAreThoseOfTheTrainer(t *testing.T) {
	const nodes, rows = 3, 60
	s := &datasets.Series{Name: "random", T: rows, N: nodes, Missing: datasets.NoMissing(), Nodes: []string{"a", "b", "c"},
		Calendar: datasets.Calendar{Start: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), Step: time.Hour}}
	r := stprune.Stream(1, "series", 0)
	for range rows * nodes {
		v := float32(math.Round(10 * r.NormFloat64()))
		if r.Float64() < 0.1 {
			v = float32(math.NaN())
		}
		s.Values = append(s.Values, v)
	}
	w, err := datasets.Protocol{History: 6, Horizon: 4, Ratio: [3]float64{6, 2, 2}}.Apply(s)
	if err != nil {
		t.Fatal(err)
	}
	be, err := accel.Open(context.Background(), "go", os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	defer be.Close()
	for _, method := range Methods() {
		var forecast, target, mask []float32
		for _, start := range w.Test {
			forecast = append(forecast, forecasts(t, method, s, w, int(start))...)
			for i := (int(start) + w.History) * nodes; i < (int(start)+w.History+w.Horizon)*nodes; i++ {
				if v := s.Values[i]; v == v {
					target, mask = append(target, v), append(mask, 1)
				} else {
					target, mask = append(target, 0), append(mask, 0)
				}
			}
		}
		shaped := func(v []float32) *tensors.Tensor {
			return tensors.FromFlatDataAndDimensions(v, len(w.Test), w.Horizon, nodes)
		}
		out, err := graph.CallOnce(be.Backend, func(forecast, target, mask *graph.Node) *graph.Node {
			e := loss.New(forecast, target, mask, w.Scaler, true)
			return e.Sums(graph.OnesLike(e.Sum))
		}, shaped(forecast), shaped(target), shaped(mask))
		if err != nil {
			t.Fatal(err)
		}
		var sums []float64
		for _, v := range tensors.MustCopyFlatData[float32](out) {
			sums = append(sums, float64(v))
		}
		want, err := loss.NewMetrics(sums)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Evaluate(method, s, w, train.Test)
		if err != nil {
			t.Fatal(err)
		}
		for h := range w.Horizon {
			for _, d := range []float64{got.MAE[h] - want.MAE[h], got.RMSE[h] - want.RMSE[h], got.MAPE[h] - want.MAPE[h]} {
				if math.Abs(d) > 1e-5 {
					t.Errorf("%s, horizon %d: MAE %v, RMSE %v, MAPE %v; the trainer's are %v, %v, %v", method, h+1,
						got.MAE[h], got.RMSE[h], got.MAPE[h], want.MAE[h], want.RMSE[h], want.MAPE[h])
				}
			}
		}
	}
}

func TestErrors(t *testing.T) {
	s := series(1, 2, 3, 4, 5, 6, 7, 8)
	w := &datasets.Windows{History: 2, Horizon: 2, Train: []int32{0, 1}, Val: []int32{2}, Test: []int32{3, 4}}
	for want, run := range map[string]func() error{
		"choose one of last-day, last-value, last-week, time-of-week": func() error { _, err := Evaluate("arima", s, w, train.Test); return err },
		"choose one of test, train, validation":                       func() error { _, err := Evaluate("last-value", s, w, "all"); return err },
		"use Protocol.Apply": func() error {
			_, err := Evaluate("last-value", series(1, 2, 3, 4), w, train.Test)
			return err
		},
		"no measured value": func() error {
			_, err := Evaluate("last-value", series(make([]float32, 8)...), w, train.Test)
			return err
		},
	} {
		if err := run(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want one with %q", err, want)
		}
	}
}

func ExampleEvaluate() {
	s := &datasets.Series{Name: "zigzag", T: 240, N: 1, Nodes: []string{"a"},
		Calendar: datasets.Calendar{Start: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), Step: time.Hour}}
	for t := range s.T {
		s.Values = append(s.Values, float32(10+10*(t%2)))
	}
	w, err := datasets.DefaultProtocol().Apply(s)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, method := range []string{"last-day", "last-value"} {
		m, err := Evaluate(method, s, w, train.Test)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s: MAE %.2f\n", method, m.Pooled.MAE)
	}
	// Output:
	// last-day: MAE 0.00
	// last-value: MAE 5.00
}
