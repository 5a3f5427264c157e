package train

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/stprune"
)

// sharing is a trainer of pruned epochs on so many devices of XLA's CPU client, which has four.
func sharing(t *testing.T, be compute.Backend, devices int, change func(*Config)) *Trainer {
	t.Helper()
	s, w := ramp(t, true)
	s.Graph = &datasets.Graph{N: s.N}
	for n := range int32(s.N) {
		s.Graph.Edges = append(s.Graph.Edges, datasets.Edge{From: n, To: (n + 1) % int32(s.N), Weight: 1})
	}
	c := config()
	c.Epochs, c.Devices = 3, devices
	change(&c)
	tr, err := New(be, c, pruned(t, c.Units(Source{s, w}), c.Epochs), Source{s, w})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tr.Close)
	return tr
}

// finish runs the trainer, and fails where devices wait for each other for ever.
func finish(ctx context.Context, t *testing.T, tr *Trainer, ev Events) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- tr.Run(ctx, ev) }()
	select {
	case err := <-done:
		return err
	case <-time.After(5 * time.Minute):
		panic("the devices did not finish") // t.Fatal would close what they still use
	}
}

// farthest is the largest difference between values at the same place.
func farthest(a, b []float32) (most float64) {
	if len(a) != len(b) {
		return math.Inf(1)
	}
	for i := range a {
		most = max(most, math.Abs(float64(a[i])-float64(b[i])))
	}
	return most
}

// saved is the trainer's full state.
func saved(t *testing.T, tr *Trainer) []byte {
	t.Helper()
	b, err := tr.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sameTraining fails where a trainer selects other units than another, or measures, forecasts or learns anything else but for rounding.
func sameTraining(t *testing.T, one, other *Trainer) {
	t.Helper()
	type record struct {
		kept, ids              []int32
		weights, losses, stats []float32
		mae                    float64
		params                 map[string][]float32
	}
	train := func(tr *Trainer) (r record) {
		err := finish(t.Context(), t, tr, Events{
			Plan: func(_ int, s stprune.Selection) {
				r.kept, r.weights = append(r.kept, s.IDs...), append(r.weights, s.Weight...)
			},
			Observe: func(ids []int32, _ []float32, stats stprune.Stats) {
				r.ids, r.stats = append(r.ids, ids...), append(r.stats, stats...)
			},
			Step: func(p Progress) { r.losses = append(r.losses, float32(p.Loss)) },
		})
		if err != nil {
			t.Fatal(err)
		}
		m, _, _, err := tr.Evaluate(t.Context(), Test)
		if err != nil {
			t.Fatal(err)
		}
		r.mae = m.Pooled.MAE
		if r.params, err = tr.Named(); err != nil {
			t.Fatal(err)
		}
		return r
	}
	got, want := train(one), train(other)
	if !slices.Equal(got.kept, want.kept) || !slices.Equal(got.ids, want.ids) {
		t.Fatal("they train on other units")
	}
	if len(want.kept) == 0 || farthest(want.weights, make([]float32, len(want.weights))) == 0 {
		t.Fatal("nothing was pruned")
	}
	for what, d := range map[string]float64{
		"losses": farthest(got.losses, want.losses), "stats": farthest(got.stats, want.stats),
		"weights": farthest(got.weights, want.weights), "test error": math.Abs(got.mae - want.mae),
	} {
		if !(d <= 2e-5) {
			t.Errorf("%s differ by up to %g", what, d)
		}
	}
	for name, values := range want.params {
		if d := farthest(got.params[name], values); !(d <= 1e-5) {
			t.Errorf("%s differs by up to %g", name, d)
		}
	}
}

// Several devices do what one does: they select the same units, measure and forecast the same, and end at the same parameters, also
// where they can't divide the batch.
func TestDevicesEqualOne(t *testing.T) {
	of := func(backbone string, change ...func(*Config)) func(*Config) {
		return func(c *Config) {
			c.Backbone, c.Options, c.GraphStats, c.PrunedBatch = backbone, tinyBackbones()[backbone], true, c.Batch
			for _, f := range change {
				f(c)
			}
		}
	}
	be := open(t, "xla:cpu")
	for _, test := range []struct {
		name    string
		devices int
		change  func(*Config)
	}{
		{"windows", 2, func(*Config) {}},
		{"windows", 4, func(*Config) {}},
		{"pairs, not divisible", 2, func(c *Config) { c.Unit, c.Batch, c.PrunedBatch = Pair, 64, 31 }},
		{"blocks", 2, func(c *Config) { c.Unit, c.Block, c.BlockBy = Block, 2, Random }},
		{"batch statistics", 2, of("gwnet")},
		// Here dropout's masks depend on the batch's size, and Adam makes steps of rounding errors where the gradient is 0.
		{"batch statistics, not divisible", 3, of("gwnet", func(c *Config) { c.Options["dropout"], c.Optim.Name, c.Optim.LR = 0.0, "sgd", 0.1 })},
		{"attention in chunks", 2, of("staeformer", func(c *Config) { c.Options["attention"] = "single" })},
		{"nodes first", 2, of("opencity")},
	} {
		t.Run(fmt.Sprintf("%s on %d", test.name, test.devices), func(t *testing.T) {
			sameTraining(t, sharing(t, be, test.devices, test.change), sharing(t, be, 1, test.change))
		})
	}
}

// The same number of devices gives the same bits, all have the same parameters, and training goes on from a saved state as if it
// had never stopped.
func TestDevicesRepeatTheBits(t *testing.T) {
	be := open(t, "xla:cpu")
	begin := func() *Trainer {
		return sharing(t, be, 4, func(c *Config) { c.Backbone, c.Options, c.PrunedBatch = "gwnet", tinyBackbones()["gwnet"], c.Batch })
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	first := begin()
	err := finish(ctx, t, first, Events{Step: func(p Progress) {
		if p.Step == p.Steps/2 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	half := saved(t, first)
	if err := finish(t.Context(), t, first, Events{}); err != nil {
		t.Fatal(err)
	}
	whole := saved(t, first)
	for i, x := range append([]*tensors.Tensor{first.theta}, first.slots...) {
		for _, other := range first.copies {
			if !slices.Equal(tensors.MustCopyFlatData[float32](x), tensors.MustCopyFlatData[float32](other[i])) {
				t.Errorf("array %d differs between the devices", i)
			}
		}
	}
	for what, from := range map[string][]byte{"from the beginning": saved(t, begin()), "from the middle": half} {
		again := begin()
		if err := again.UnmarshalBinary(from); err != nil {
			t.Fatal(err)
		}
		if err := finish(t.Context(), t, again, Events{}); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(saved(t, again), whole) {
			t.Errorf("trained again %s it ends elsewhere", what)
		}
	}
}

// What a backend can't do is said when the trainer is made.
func TestMoreDevicesThanThereAre(t *testing.T) {
	for name, devices := range map[string]int{"go": 2, "xla:cpu": 5} {
		be := open(t, name)
		c := config()
		c.Devices = devices
		s, w := ramp(t, false)
		_, err := New(be, c, full(c.Units(Source{s, w})), Source{s, w})
		want := fmt.Sprintf("backend.devices = %d, but the backend at hand has %d", devices, be.NumDevices())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want %q", err, want)
		}
	}
}
