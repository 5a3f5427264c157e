package train

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
)

// Forecasts must be the ones whose errors Errors measures.
func TestForecastsHaveTheMeasuredErrors(t *testing.T) {
	for _, name := range backends {
		tr := trainer(t, open(t, name), config(), true, full)
		d := tr.domains[0]
		s, _ := ramp(t, true)
		windows := make([]int, 0, len(d.windows.Test))
		for w := len(d.windows.Test) - 1; w >= 0; w-- { // any order, more than a batch
			windows = append(windows, w)
		}
		got, err := tr.Forecasts(t.Context(), 0, Test, windows)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(windows) {
			t.Fatalf("%s: %d forecasts of %d windows", name, len(got), len(windows))
		}
		_, err = tr.Errors(t.Context(), Test, func(_, window int, sum, _ []float32) {
			forecast := got[len(got)-1-window]
			for n := range s.N {
				own := 0.0
				for h := range d.windows.Horizon {
					at := int(d.windows.Test[window]) + d.windows.History + h
					if s.Valid(at, n) {
						own += math.Abs(float64(forecast[h*s.N+n]) - float64(s.Values[at*s.N+n]))
					}
				}
				if math.Abs(own-float64(sum[n])) > 1e-4*(1+own) {
					t.Errorf("%s: window %d, node %d: errors %v, measured %v", name, window, n, own, sum[n])
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestForecastsNameBadInput(t *testing.T) {
	tr := trainer(t, open(t, "go"), config(), true, full)
	for _, c := range []struct {
		source, window int
		part, want     string
	}{{1, 0, Test, "data set 1"}, {0, -1, Test, "window -1"}, {0, 1 << 20, Train, "window 1048576"}, {0, 0, "tests", "unknown"}} {
		if _, err := tr.Forecasts(t.Context(), c.source, c.part, []int{c.window}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: error %v", c, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tr.Forecasts(ctx, 0, Test, []int{0}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
