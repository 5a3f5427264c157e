package train

import (
	"bytes"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/stprune/method"
)

// A streamed series gives the bits of a resident one, in training and in everything that measures, and isn't on the device.
func TestStreamedSeriesGivesTheSameBits(t *testing.T) {
	for _, name := range backends {
		for what, change := range map[string]func(*Config){
			"windows":              func(*Config) {},
			"pairs":                func(c *Config) { c.Unit, c.Batch, c.PrunedBatch = Pair, 31, 17 },
			"blocks":               func(c *Config) { c.Unit, c.Block, c.BlockBy = Block, 2, Random },
			"windows on 2 devices": func(c *Config) { c.Devices = 2 },
			"pairs on 2 devices":   func(c *Config) { c.Unit, c.Batch, c.PrunedBatch, c.Devices = Pair, 31, 17, 2 },
		} {
			if name == "go" && strings.Contains(what, "devices") { // it has one
				continue
			}
			t.Run(name+", "+what, func(t *testing.T) {
				be := open(t, name)
				run := func(stream bool) (state []byte, measured []float32) {
					tr := sharing(t, be, 1, func(c *Config) {
						change(c)
						c.Stream = stream
					})
					if err := finish(t.Context(), t, tr, Events{}); err != nil {
						t.Fatal(err)
					}
					if d := tr.domains[0]; stream != (d.resident == nil) {
						t.Fatalf("streamed: %v, but %d arrays of the series are on the device", stream, len(d.resident))
					}
					return finalBits(t, tr)
				}
				state, measured := run(true)
				wantState, want := run(false)
				if !bytes.Equal(state, wantState) {
					t.Error("training ends elsewhere")
				}
				if !slices.EqualFunc(measured, want, func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }) {
					t.Error("it measures otherwise")
				}
			})
		}
	}
}

// What a streamed evaluation sends goes straight to the device: copies in Go's memory would be garbage, of which the collector lets pile
// up as much as the series takes.
func TestStreamedStepsLeaveNoGarbage(t *testing.T) {
	s := &datasets.Series{Name: "wide", T: 100, N: 2000, Calendar: datasets.Calendar{Start: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), Step: time.Hour}}
	for n := range s.N {
		s.Nodes = append(s.Nodes, fmt.Sprint("n", n))
	}
	for i := range s.T * s.N {
		s.Values = append(s.Values, float32(50+i%7))
	}
	w, err := datasets.Protocol{History: 6, Horizon: 3, Ratio: [3]float64{2, 6, 2}}.Apply(s)
	if err != nil {
		t.Fatal(err)
	}
	c := config()
	c.Stream = true
	tr := newTrainer(t, open(t, "xla"), c, Source{s, w})
	evaluate := func() {
		if _, _, _, err := tr.Evaluate(t.Context(), Validation); err != nil {
			t.Fatal(err)
		}
	}
	evaluate() // compiles, and makes the buffer that is kept
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	evaluate()
	runtime.ReadMemStats(&after)
	sent := uint64(len(w.Val) * (6 + 3) * s.N * 4)
	if left := after.TotalAlloc - before.TotalAlloc; left > sent/10 {
		t.Errorf("evaluating %d windows, whose values take %d bytes, allocated %d bytes", len(w.Val), sent, left)
	}
}

// finalBits are a trainer's state, and what it measures of the data in all ways.
func finalBits(t *testing.T, tr *Trainer) (state []byte, measured []float32) {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	state, err := tr.MarshalBinary()
	must(err)
	m, _, _, err := tr.Evaluate(ctx, Test)
	must(err)
	measured = append(measured, float32(m.Pooled.MAE), float32(m.Pooled.RMSE))
	g, err := tr.Gradient(ctx, []int32{3, 5, 8}, nil)
	must(err)
	measured = append(measured, float32s(g)...)
	forecasts, err := tr.Forecasts(ctx, 0, Validation, []int{1, 0, 2})
	must(err)
	measured = append(measured, slices.Concat(forecasts...)...)
	_, err = tr.Errors(ctx, Validation, func(_, _ int, sum, count []float32) { measured = append(append(measured, sum...), count...) })
	must(err)
	p, err := tr.Measure(ctx, Train, method.Needs{Loss: true, Inputs: true, Gradients: true})
	must(err)
	return state, slices.Concat(measured, p.Loss, p.Inputs.Data, p.Gradients.Data)
}
