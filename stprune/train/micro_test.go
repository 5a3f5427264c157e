package train

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
)

// A step by micro-batches is that of the whole batch, also where they don't divide it and where the batch is filled up.
func TestMicroBatches(t *testing.T) {
	of := func(c *Config, backbone string) {
		c.Backbone, c.Options = backbone, tinyBackbones()[backbone]
		c.Optim.Name, c.Optim.LR = "sgd", 0.05 // Adam would make steps of rounding errors where the gradient is 0
	}
	for name, change := range map[string]func(*Config){
		"windows":     func(c *Config) { c.MicroBatch = 5 },
		"windows, Go": func(c *Config) { c.MicroBatch = 5 },
		"pairs":       func(c *Config) { c.Unit, c.Batch, c.PrunedBatch, c.MicroBatch = Pair, 64, 32, 12 },
		"blocks": func(c *Config) {
			c.Unit, c.Block, c.BlockBy, c.MicroBatch = Block, 2, Random, 4
		},
		"one window at a time": func(c *Config) { c.MicroBatch, c.Optim.EMA = 1, 0.9 },
		"more than the batch":  func(c *Config) { c.MicroBatch = 100 },
		"streamed":             func(c *Config) { c.MicroBatch, c.Stream = 4, true },
		"by sample, Huber": func(c *Config) {
			c.MicroBatch, c.Loss.BySample, c.Loss.PerBatch, c.Loss.Huber = 4, true, true, 1
		},
		"attention": func(c *Config) {
			of(c, "staeformer")
			c.MicroBatch = 3
		},
		"a graph": func(c *Config) {
			of(c, "opencity")
			c.MicroBatch, c.GraphStats, c.Options["attention_dropout"] = 4, true, 0.0
		},
	} {
		t.Run(name, func(t *testing.T) {
			be := open(t, "xla:cpu")
			if name == "windows, Go" {
				be = open(t, "go")
			}
			whole := func(c *Config) { // dropout would draw other values
				change(c)
				c.Options["dropout"] = 0.0
			}
			sameTraining(t, sharing(t, be, 1, whole), sharing(t, be, 1, func(c *Config) { whole(c); c.MicroBatch = 0 }))
		})
	}
}

// With dropout each micro-batch draws its own values, the same in every run, also in one that goes on from a saved state.
func TestMicroBatchesRepeatTheBits(t *testing.T) {
	for _, backend := range backends {
		be := open(t, backend)
		begin := func() *Trainer { return sharing(t, be, 1, func(c *Config) { c.MicroBatch = 3 }) }
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		first := begin()
		err := first.Run(ctx, Events{Step: func(p Progress) {
			if p.Step == p.Steps/2 {
				cancel()
			}
		}})
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		resumed, undisturbed := begin(), begin()
		if err := resumed.UnmarshalBinary(saved(t, first)); err != nil {
			t.Fatal(err)
		}
		for _, tr := range []*Trainer{resumed, undisturbed} {
			if err := tr.Run(t.Context(), Events{}); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(saved(t, resumed), saved(t, undisturbed)) {
			t.Errorf("%s: it ends otherwise after an interruption", backend)
		}
	}
}

func TestMicroBatchRefused(t *testing.T) {
	be := open(t, "xla:cpu")
	for want, change := range map[string]func(*Config){
		"train.micro_batch = -1; want at least 0": func(c *Config) { c.MicroBatch = -1 },
		"backbone gwnet normalises by its batch":  func(c *Config) { c.MicroBatch, c.Backbone, c.Options = 4, "gwnet", tinyBackbones()["gwnet"] },
		"set it to 0, or backend.devices to 1":    func(c *Config) { c.MicroBatch, c.Devices = 4, 2 },
	} {
		s, w := ramp(t, false)
		c := config()
		change(&c)
		tr, err := New(be, c, pruned(t, c.Units(Source{s, w}), c.Epochs), Source{s, w})
		if err == nil {
			tr.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
}

// The limit of memory counts what a micro-batch takes, not the batch.
func TestMicroBatchFits(t *testing.T) {
	be := open(t, "xla:cpu")
	begin := func(micro int, limit int64) error {
		tr := sharing(t, be, 1, func(c *Config) {
			c.Batch, c.PrunedBatch, c.EvalBatch, c.MicroBatch, c.MemoryLimit = 64, 64, 1, micro, limit
		})
		return tr.Run(t.Context(), Events{})
	}
	var whole *MemoryError
	if err := begin(0, 1); !errors.As(err, &whole) {
		t.Fatal(err)
	}
	if err := begin(0, whole.Need-1); !errors.As(err, &whole) || !strings.Contains(err.Error(), "train.micro_batch") {
		t.Errorf("%v; want a refusal that names the remedy", err)
	}
	var part *MemoryError
	if err := begin(4, 1); !errors.As(err, &part) || part.Need >= whole.Need {
		t.Errorf("in micro-batches: %v; want a refusal for less than the %d bytes of the batch", err, whole.Need)
	}
	if err := begin(4, whole.Need-1); err != nil {
		t.Errorf("in micro-batches: %v", err)
	}
}
