package train

import (
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/stprune/optim"
)

// batchNormed trains one epoch of Graph WaveNet, which normalises over the batch, on the given number of windows.
func batchNormed(t *testing.T, backend string, windows int, change func(*Config)) *Trainer {
	t.Helper()
	s, w := ramp(t, true)
	w.Train = w.Train[:windows]
	s.Graph = &datasets.Graph{N: s.N}
	for n := range int32(s.N) {
		s.Graph.Edges = append(s.Graph.Edges, datasets.Edge{From: n, To: (n + 1) % int32(s.N), Weight: 1})
	}
	c := config()
	c.Backbone, c.Options, c.Epochs, c.Schedule = "gwnet", tinyBackbones()["gwnet"], 1, optim.Schedule{}
	c.Options["dropout"] = 0.0
	c.Optim.Name, c.Optim.LR = "sgd", 0.1
	change(&c)
	source := Source{s, w}
	tr, err := New(open(t, backend), c, full(c.Units(source)), source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tr.Close)
	if err := tr.Run(t.Context(), Events{}); err != nil {
		t.Fatal(err)
	}
	return tr
}

// A batch that was filled up to its size must leave the same statistics and parameters as one of just its windows.
func TestPaddingLeavesBatchStatisticsAlone(t *testing.T) {
	for _, name := range backends {
		exact := batchNormed(t, name, 13, func(c *Config) { c.Batch = 13 })
		padded := batchNormed(t, name, 13, func(c *Config) { c.Batch = 16 })
		want, err := exact.Named()
		if err != nil {
			t.Fatal(err)
		}
		got, err := padded.Named()
		if err != nil {
			t.Fatal(err)
		}
		for p, values := range want {
			for i, v := range values {
				if math.Abs(float64(got[p][i]-v)) > 1e-5 {
					t.Errorf("%s: %s[%d] is %v after a padded batch, %v after one without padding", name, p, i, got[p][i], v)
				}
			}
		}
		if keys := slices.Sorted(maps.Keys(exact.Compiled())); strings.Contains(strings.Join(keys, " "), "padding") {
			t.Errorf("%s: %v were compiled without any padding", name, keys)
		}
	}
}

// As in PyTorch, frozen layers keep their parameters, but their running statistics follow the data.
func TestFrozenLayersKeepCounting(t *testing.T) {
	tr := batchNormed(t, "go", 16, func(c *Config) { c.Only = []string{"end_conv_2"} })
	named, err := tr.Named()
	if err != nil {
		t.Fatal(err)
	}
	if weight, mean := named["bn.0.weight"], named["bn.0.running_mean"]; weight[0] != 1 || mean[0] == 0 {
		t.Errorf("frozen weight %v, running mean %v; want 1 and not 0", weight[0], mean[0])
	}
}
