package backbone_test

import (
	"context"
	"fmt"
	"io"
	"math"
	"testing"
	"time"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/stprune"
	"github.com/stprune/workbench/stprune/accel"
	"github.com/stprune/workbench/stprune/optim"
	"github.com/stprune/workbench/stprune/train"
)

// gwnetTrainer trains a small Graph WaveNet on waves that run along a chain of nodes.
func gwnetTrainer(t *testing.T, backend, optimiser string) *train.Trainer {
	t.Helper()
	be, err := accel.Open(context.Background(), backend, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { be.Close() })
	s := &datasets.Series{Name: "waves", T: 200, N: 5, Graph: &datasets.Graph{N: 5},
		Calendar: datasets.Calendar{Start: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), Step: time.Hour}}
	for n := range s.N {
		s.Nodes = append(s.Nodes, fmt.Sprint(n))
		s.Graph.Edges = append(s.Graph.Edges, datasets.Edge{From: int32(n), To: int32((n + 1) % s.N), Weight: 1})
	}
	r := stprune.Stream(3, "waves", 0)
	for i := range s.T {
		for n := range s.N {
			s.Values = append(s.Values, float32(50+20*math.Sin(2*math.Pi*float64(i-n)/24)+r.NormFloat64()))
		}
	}
	w, err := datasets.Protocol{History: 6, Horizon: 3, Ratio: [3]float64{6, 2, 2}}.Apply(s)
	if err != nil {
		t.Fatal(err)
	}
	c := train.Config{
		Backbone: "gwnet",
		Options:  map[string]any{"residual": 8, "dilation": 8, "skip": 8, "end": 8, "node_dim": 3, "blocks": 2},
		Optim:    optim.Default(), Schedule: optim.Schedule{Kind: "constant"},
		Unit: train.Window, Epochs: 5, Batch: 16, EvalBatch: 32, ValidateEvery: 1, Seed: 1,
	}
	c.Optim.Name, c.Optim.LR, c.Optim.AuxLR = optimiser, 1e-2, 1e-2
	source := train.Source{Series: s, Windows: w}
	pruner, err := stprune.NewFull(c.Units(source))
	if err != nil {
		t.Fatal(err)
	}
	tr, err := train.New(be.Backend, c, pruner, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tr.Close)
	return tr
}

// Every optimiser must learn, and the running statistics must leave their first values.
func TestGWNetLearns(t *testing.T) {
	for _, optimiser := range []string{"adam", "muon"} {
		tr := gwnetTrainer(t, "go", optimiser)
		var losses []float64
		if err := tr.Run(t.Context(), train.Events{Epoch: func(r train.EpochReport) error {
			losses = append(losses, r.Validation.Pooled.MAE)
			return nil
		}}); err != nil {
			t.Fatal(err)
		}
		if first, last := losses[0], losses[len(losses)-1]; !(last < 0.7*first) {
			t.Errorf("%s: validation errors %v; want them to fall", optimiser, losses)
		}
		values, err := tr.Named()
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"bn.0.running_mean", "bn.3.running_mean"} { // the last one too, though nothing reads it
			if values[name][0] == 0 {
				t.Errorf("%s: %s is still 0", optimiser, name)
			}
		}
	}
}
