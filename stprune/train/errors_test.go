package train

import (
	"math"
	"testing"

	"github.com/stprune/workbench/stprune"
	"github.com/stprune/workbench/stprune/loss"
)

func TestErrorsAddUp(t *testing.T) {
	for _, name := range backends {
		be := open(t, name)
		for _, batch := range []int{1, 7, 1000} {
			c := config()
			c.EvalBatch = batch
			tr := trainer(t, be, c, true, full)
			want, _, _, err := tr.Evaluate(t.Context(), Test)
			if err != nil {
				t.Fatal(err)
			}
			stats, err := tr.Probe(t.Context(), Test)
			if err != nil {
				t.Fatal(err)
			}
			total, targets, windows := 0.0, 0.0, 0
			all, err := tr.Errors(t.Context(), Test, func(source, window int, sum, count []float32) {
				if source != 0 || window != windows || len(sum) != 4 || len(count) != 4 {
					t.Fatalf("window %d of data set %d with %d and %d nodes after %d windows", window, source, len(sum), len(count), windows)
				}
				own, measured := 0.0, 0.0
				for n, v := range sum {
					own, measured = own+float64(v), measured+float64(count[n])
				}
				level := float64(stats[window*stprune.NumStats+stprune.Level]) * tr.domains[0].layout.scaler.Std
				if math.Abs(own/measured-level) > 1e-4*level {
					t.Errorf("%s: window %d has error %v, its level is %v", name, window, own/measured, level)
				}
				total, targets, windows = total+own, targets+measured, windows+1
			})
			if err != nil {
				t.Fatal(err)
			}
			metrics, err := loss.NewMetrics(all[0])
			if err != nil {
				t.Fatal(err)
			}
			if windows != len(tr.domains[0].windows.Test) {
				t.Errorf("%s, batch %d: %d windows, want %d", name, batch, windows, len(tr.domains[0].windows.Test))
			}
			for what, got := range map[string]float64{"windows": total / targets, "metrics": metrics.Pooled.MAE} {
				if math.Abs(got-want.Pooled.MAE) > 1e-5*want.Pooled.MAE {
					t.Errorf("%s, batch %d: the MAE by %s is %v, want %v", name, batch, what, got, want.Pooled.MAE)
				}
			}
		}
	}
	tr := trainer(t, open(t, "go"), config(), true, full)
	if _, err := tr.Errors(t.Context(), "tests", nil); err == nil {
		t.Error("an unknown part was accepted")
	}
}
