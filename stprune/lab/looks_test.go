package lab

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/figures"
	"github.com/stprune/workbench/stprune/run"
	"github.com/stprune/workbench/stprune/train"
)

func TestLooks(t *testing.T) {
	_, err := small(t, func(l *Lab) {
		specs := tiny(l.FourWays("small", 0.2))
		windows := Spec("small") // st-prune of windows, to be compared with random windows
		windows.Name, windows.Prune.Method, windows.Prune.Rho = "ST-Prune, windows", "st-prune", 0.2
		specs = append(specs, tiny([]run.Spec{windows})...)
		runs := l.Runs(specs...)
		full, pairs, random, pruned := runs[0], runs[2], runs[3], runs[4]
		for name, f := range map[string]*figures.Figure{
			"scores":           l.Scores(pairs),
			"week":             l.KeptWeek(pairs),
			"error":            l.Map(full, "error"),
			"complexity":       l.Map(pairs, "complexity"),
			"forecasts":        l.Forecasts(pairs),
			"forecasts, full":  l.Forecasts(full),
			"weights":          l.Weights(pairs),
			"weights, windows": l.Weights(random),
			"overhead":         l.Overhead(runs...),
			"overlap":          l.Overlap(full, random, pruned),
		} {
			l.Show(name, f)
			content, err := os.ReadFile(filepath.Join(l.Figures, name+".png"))
			if err != nil || !bytes.HasPrefix(content, []byte("\x89PNG")) {
				t.Errorf("figure %s: %v", name, err)
			}
		}

		for _, r := range []*run.Run{pairs, random} { // every pruned epoch keeps the scheduled share
			kept, _, windows := l.keptShares(r, l.prunedEpochs(r), "test")
			mean, want, epochs := 0.0, 0.0, 0.0
			for _, k := range kept {
				mean += k / float64(len(windows.Train))
			}
			all, err := r.Epochs()
			l.Fail(err)
			for _, e := range all {
				if e.Share < 1 {
					want, epochs = want+e.Share, epochs+1
				}
			}
			if want /= epochs; math.Abs(mean-want) > 1e-9 {
				t.Errorf("%s: windows were kept in %v of the pruned epochs, their mean share is %v", r.Spec.Name, mean, want)
			}
		}

		for want, draw := range map[string]func(l *Lab){
			"week: run":                   func(l *Lab) { l.KeptWeek(full) },
			"set train.unit = \"pair\"":   func(l *Lab) { l.Map(full, "complexity") },
			"map of \"speed\" is unknown": func(l *Lab) { l.Map(full, "speed") },
			"1 methods given":             func(l *Lab) { l.Overlap(random) },
			"training units":              func(l *Lab) { l.Overlap(random, pairs) },
			"no run given":                func(l *Lab) { l.Overhead() },
			"several data sets": func(l *Lab) {
				r := *pairs
				r.Spec.Data.More = []string{"small"}
				l.Forecasts(&r)
			},
			"\"small\" has no coordinates": func(l *Lab) {
				l.Series("small").Coords = nil
				l.Map(full, "error")
			},
		} {
			endsCell(t, l, want, draw)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestShownSensor(t *testing.T) {
	all := func(int) bool { return true }
	for _, c := range []struct {
		sum, count []float32
		may        func(int) bool
		node       int
		mean       float32
	}{
		{[]float32{2, 8, 20}, []float32{2, 2, 2}, all, 1, 5},
		{[]float32{2, 8, 20}, []float32{2, 2, 2}, func(n int) bool { return n != 1 }, 0, 5},
		{[]float32{0, 8, 20}, []float32{0, 2, 2}, func(n int) bool { return n > 0 }, 1, 7}, // the first was not measured
		{[]float32{2, 8, 20}, []float32{2, 2, 2}, func(int) bool { return false }, -1, 5},
	} {
		if node, mean := nearest(c.sum, c.count, c.may); node != c.node || mean != c.mean {
			t.Errorf("errors %v of %v: sensor %d for mean %v, want %d and %v", c.sum, c.count, node, mean, c.node, c.mean)
		}
	}
	s := &datasets.Series{T: 5, N: 2, Values: []float32{1, 1, 1, 1, 0, 1, 1, 1, 1, 0}} // 0 is missing
	whole := measuredWhole(s, &datasets.Windows{History: 1, Horizon: 1, Train: []int32{0, 1, 2, 3}})
	for window, want := range [][2]bool{{true, true}, {false, true}, {false, true}, {true, false}} {
		if got := [2]bool{whole(window, 0), whole(window, 1)}; got != want {
			t.Errorf("window %d is whole at the two sensors: %v, want %v", window, got, want)
		}
	}
}

// What measures must hold the parameters that the result was measured with.
func TestTrainerHoldsTheBestParameters(t *testing.T) {
	_, err := small(t, func(l *Lab) {
		r := l.Run(tiny(l.FourWays("small", 0.2))[1])
		tr, done := l.trainer(r)
		defer done()
		sum, count := 0.0, 0.0
		_, err := tr.Errors(l.ctx, train.Test, func(_, _ int, s, n []float32) {
			for i := range s {
				sum, count = sum+float64(s[i]), count+float64(n[i])
			}
		})
		l.Fail(err)
		result, err := r.Result()
		l.Fail(err)
		if got, want := sum/count, result.Test.Pooled.MAE; math.Abs(got-want) > 1e-4*want {
			t.Errorf("test error %v, the result says %v", got, want)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}
