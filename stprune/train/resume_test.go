package train

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/stprune/workbench/datasets"
)

// tinyBackbones are all backbones, small enough to compile fast.
func tinyBackbones() map[string]map[string]any {
	return map[string]map[string]any{
		"stid":       {"embed_dim": 4, "node_dim": 3, "tod_dim": 2, "dow_dim": 2, "layers": 1},
		"gwnet":      {"residual": 4, "dilation": 4, "skip": 6, "end": 5, "blocks": 1, "layers": 2, "node_dim": 2},
		"staeformer": {"embed_dim": 4, "tod_dim": 2, "dow_dim": 2, "adaptive_dim": 4, "ff_dim": 6, "heads": 2, "layers": 1},
		"opencity":   {"dim": 4, "depth": 1, "heads": 2, "lap_dim": 1},
	}
}

// Every backbone under every optimiser goes on from a saved state, in the middle of an epoch, to the same bits.
func TestEveryBackboneAndOptimiserResumes(t *testing.T) {
	s, w := ramp(t, true)
	s.Graph = &datasets.Graph{N: s.N}
	for n := range int32(s.N) {
		s.Graph.Edges = append(s.Graph.Edges, datasets.Edge{From: n, To: (n + 1) % int32(s.N), Weight: 1})
	}
	source := Source{s, w}
	for _, name := range backends {
		be := open(t, name)
		for backbone, options := range tinyBackbones() {
			for _, optimiser := range []string{"sgd", "adam", "adamw", "rmsprop", "muon"} {
				t.Run(name+"/"+backbone+"/"+optimiser, func(t *testing.T) {
					c := config()
					c.Backbone, c.Options, c.Optim.Name, c.Epochs, c.PrunedBatch = backbone, options, optimiser, 3, c.Batch
					if optimiser == "adamw" { // with gwnet there are buffers to average
						c.Optim.EMA = 0.9
					}
					tr, err := New(be, c, pruned(t, c.Units(source), c.Epochs), source)
					if err != nil {
						t.Fatal(err)
					}
					defer tr.Close()
					state := func() []byte {
						b, err := tr.MarshalBinary()
						if err != nil {
							t.Fatal(err)
						}
						return b
					}
					ctx, cancel := context.WithCancel(t.Context())
					err = tr.Run(ctx, Events{Step: func(p Progress) {
						if p.Step == p.Steps/2 {
							cancel()
						}
					}})
					if !errors.Is(err, context.Canceled) {
						t.Fatal(err)
					}
					half := state()
					if err := tr.Run(t.Context(), Events{}); err != nil {
						t.Fatal(err)
					}
					whole := state()
					if err := tr.UnmarshalBinary(half); err != nil {
						t.Fatal(err)
					}
					if again := state(); !bytes.Equal(again, half) {
						t.Fatal("a restored state is not the one saved")
					}
					if err := tr.Run(t.Context(), Events{}); err != nil {
						t.Fatal(err)
					}
					if !bytes.Equal(state(), whole) {
						t.Error("it ends elsewhere than without the interruption")
					}
				})
			}
		}
	}
}
