package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/stprune/optim"
)

// BenchmarkStep times whole training steps of the full-size STID (forward, backward, Adam, stats) at PEMS04's 307 nodes:
//
//	go test ./stprune/train -run '^$' -bench Step
func BenchmarkStep(b *testing.B) {
	const nodes, batch = 307, 64
	s := &datasets.Series{Name: "bench", T: 2000, N: nodes,
		Calendar: datasets.Calendar{Start: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), Step: 5 * time.Minute}}
	for n := range nodes {
		s.Nodes = append(s.Nodes, fmt.Sprint(n))
	}
	for i := range s.T * nodes {
		s.Values = append(s.Values, float32(50+10*math.Sin(float64(i))))
	}
	w, err := datasets.DefaultProtocol().Apply(s)
	if err != nil {
		b.Fatal(err)
	}
	for _, unit := range []string{Window, Pair} {
		for _, name := range backends {
			b.Run(unit+"/"+name, func(b *testing.B) {
				c := Config{Backbone: "stid", Optim: optim.Default(), Unit: unit, Epochs: math.MaxInt32 / 4096, Batch: batch,
					EvalBatch: batch, ValidateEvery: math.MaxInt32, Seed: 1}
				if unit == Pair {
					c.Batch *= nodes
				}
				tr, err := New(open(b, name), s, w, c, full(c.Units(s, w)))
				if err != nil {
					b.Fatal(err)
				}
				defer tr.Close()
				steps := func(n int) {
					ctx, cancel := context.WithCancel(context.Background())
					defer cancel()
					err := tr.Run(ctx, Events{Step: func(Progress) {
						if n--; n == 0 {
							cancel()
						}
					}})
					if !errors.Is(err, context.Canceled) {
						b.Fatal(err)
					}
				}
				steps(1) // compiles
				b.ResetTimer()
				steps(b.N)
				// Matrix products only: forward, and twice as much backward.
				const hidden, layers, history, horizon, embed = 128, 3, 12, 12, 32
				flop := 6.0 * batch * nodes * (2*layers*hidden*hidden + hidden*horizon + history*embed)
				b.ReportMetric(flop*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}
