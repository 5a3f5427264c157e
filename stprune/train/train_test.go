package train

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/stprune"
	"github.com/stprune/workbench/stprune/accel"
	"github.com/stprune/workbench/stprune/loss"
	"github.com/stprune/workbench/stprune/optim"
)

// backends are the two that every result must hold on.
var backends = []string{"xla", "go"}

func open(t testing.TB, name string) compute.Backend {
	t.Helper()
	be, err := accel.Open(context.Background(), name, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	return be.Backend
}

// ramp is a small series with a daily pattern, some noise and some missing values.
func ramp(t *testing.T, missing bool) (*datasets.Series, *datasets.Windows) {
	t.Helper()
	s := &datasets.Series{Name: "ramp", T: 150, N: 4,
		Calendar: datasets.Calendar{Start: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), Step: time.Hour}}
	r := stprune.Stream(7, "series", 0)
	for n := range s.N {
		s.Nodes = append(s.Nodes, fmt.Sprint("n", n))
	}
	for i := range s.T {
		for n := range s.N {
			v := 50 + 10*math.Sin(2*math.Pi*float64(i)/24+float64(n)) + r.NormFloat64()
			if missing && r.Float64() < 0.1 {
				v = 0
			}
			s.Values = append(s.Values, float32(v))
		}
	}
	w, err := datasets.Protocol{History: 6, Horizon: 3, Ratio: [3]float64{6, 2, 2}}.Apply(s)
	if err != nil {
		t.Fatal(err)
	}
	return s, w
}

func config() Config {
	return Config{
		Backbone: "stid",
		Options:  map[string]any{"embed_dim": 6, "node_dim": 5, "tod_dim": 4, "dow_dim": 3, "layers": 2},
		Optim:    optim.Default(), Schedule: optim.Schedule{Kind: "cosine", By: "step", Floor: 0.02},
		Unit: Window, Epochs: 4, Batch: 16, PrunedBatch: 8, EvalBatch: 16, ValidateEvery: 1, Seed: 1,
	}
}

func trainer(t *testing.T, be compute.Backend, c Config, missing bool, prune func(units int) stprune.Pruner) *Trainer {
	t.Helper()
	s, w := ramp(t, missing)
	tr, err := New(be, c, prune(c.Units(Source{s, w})), Source{s, w})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tr.Close)
	return tr
}

func full(n int) stprune.Pruner {
	p, err := stprune.NewFull(n)
	if err != nil {
		panic(err)
	}
	return p
}

func TestMetricsDoNotDependOnBatch(t *testing.T) {
	for _, name := range backends {
		t.Run(name, func(t *testing.T) {
			be := open(t, name)
			var first loss.Metrics
			for i, batch := range []int{1, 7, 64, 1 << 20} {
				c := config()
				c.EvalBatch = batch
				m, _, _, err := trainer(t, be, c, true, full).Evaluate(context.Background(), Test)
				if err != nil {
					t.Fatal(err)
				}
				if i == 0 {
					first = m
				}
				for _, d := range []float64{m.Mean.MAE - first.Mean.MAE, m.Pooled.RMSE - first.Pooled.RMSE, m.Pooled.MAPE - first.Pooled.MAPE} {
					if math.Abs(d) > 1e-5*first.Pooled.MAE {
						t.Errorf("batch %d: metrics %+v differ from those at batch 1 %+v", batch, m.Pooled, first.Pooled)
					}
				}
			}
		})
	}
}

// A window taken whole and the same window as N pairs must give the same update.
func TestPairsEqualWindows(t *testing.T) {
	for _, name := range backends {
		t.Run(name, func(t *testing.T) {
			be := open(t, name)
			after := map[string][]float32{}
			for _, unit := range []string{Window, Pair} {
				c := config()
				c.Unit, c.Epochs = unit, 1
				c.Options["dropout"] = 0.0
				c.Schedule = optim.Schedule{}
				s, w := ramp(t, true)
				w.Train = w.Train[:20]
				c.Batch = 20 // all of them in one step
				if unit == Pair {
					c.Batch *= s.N
				}
				tr, err := New(be, c, full(c.Units(Source{s, w})), Source{s, w})
				if err != nil {
					t.Fatal(err)
				}
				defer tr.Close()
				if err := tr.Run(context.Background(), Events{}); err != nil {
					t.Fatal(err)
				}
				if tr.StepsDone() != 1 || tr.Visits() != 20*int64(s.N) {
					t.Errorf("%s: %d steps, %d visits; want 1 and %d", unit, tr.StepsDone(), tr.Visits(), 20*s.N)
				}
				named, err := tr.Named()
				if err != nil {
					t.Fatal(err)
				}
				for p, v := range named {
					if other, ok := after[p]; ok {
						for i := range v {
							if math.Abs(float64(v[i]-other[i])) > 2e-5 {
								t.Fatalf("%s[%d]: %v by pairs, %v by windows", p, i, v[i], other[i])
							}
						}
					}
					after[p] = v
				}
			}
		})
	}
}

func TestOneCompilePerBatchSize(t *testing.T) {
	c := config()
	tr := trainer(t, open(t, "xla"), c, false, func(n int) stprune.Pruner { return pruned(t, n, c.Epochs) })
	if err := tr.Run(context.Background(), Events{}); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := tr.Evaluate(context.Background(), Test); err != nil {
		t.Fatal(err)
	}
	var keys []string
	for k := range tr.Compiled() {
		keys = append(keys, k)
	}
	if len(keys) != 3 { // training at two batch sizes, evaluation at one
		t.Errorf("compiled %v; want training at batch 16 and 8, evaluation at 16", keys)
	}
}

func pruned(t *testing.T, n, epochs int) stprune.Pruner {
	t.Helper()
	c := stprune.DefaultConfig()
	c.Epochs, c.Rho, c.Seed = epochs, 0.3, 5
	p, err := stprune.New(n, c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Training that was interrupted after any step, saved, and resumed in a new trainer must end in the same bits.
func TestResumeIsExact(t *testing.T) {
	for _, name := range backends {
		for _, unit := range []string{Window, Pair} {
			t.Run(name+"/"+unit, func(t *testing.T) {
				be := open(t, name)
				c := config()
				c.Unit, c.ValidateEvery = unit, 0
				if unit == Pair {
					c.Batch, c.PrunedBatch = 64, 32
				}
				s, w := ramp(t, true)
				fresh := func() *Trainer {
					tr, err := New(be, c, pruned(t, c.Units(Source{s, w}), c.Epochs), Source{s, w})
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(tr.Close)
					return tr
				}
				whole := fresh()
				if err := whole.Run(context.Background(), Events{}); err != nil {
					t.Fatal(err)
				}
				want, err := whole.MarshalBinary()
				if err != nil {
					t.Fatal(err)
				}

				tr, stops := fresh(), 0
				for {
					ctx, cancel := context.WithCancel(context.Background())
					left := 5
					err := tr.Run(ctx, Events{Step: func(Progress) {
						if left--; left == 0 {
							cancel()
						}
					}})
					cancel()
					if err == nil {
						break
					}
					if !errors.Is(err, context.Canceled) {
						t.Fatal(err)
					}
					stops++
					saved, err := tr.MarshalBinary()
					if err != nil {
						t.Fatal(err)
					}
					tr = fresh()
					if err := tr.UnmarshalBinary(saved); err != nil {
						t.Fatal(err)
					}
				}
				got, err := tr.MarshalBinary()
				if err != nil {
					t.Fatal(err)
				}
				if stops < 3 || !bytes.Equal(got, want) {
					t.Errorf("after %d interruptions the state differs from the undisturbed one", stops)
				}
			})
		}
	}
}

// With optim.ema what is validated and kept as the best is the average of parameters and buffers over the steps, and training goes
// as without.
func TestEMAIsValidated(t *testing.T) {
	s, w := ramp(t, true)
	const keep = 0.9
	for _, name := range backends {
		be := open(t, name)
		for _, backbone := range []string{"stid", "gwnet"} {
			run := func(ema float64) (tr *Trainer, report EpochReport, average []float64) {
				c := config()
				c.Backbone, c.Options, c.Optim.EMA = backbone, tinyBackbones()[backbone], ema
				tr, err := New(be, c, pruned(t, c.Units(Source{s, w}), c.Epochs), Source{s, w})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(tr.Close)
				average, of := make([]float64, tr.theta.Shape().Size()), 0.0
				step := func(Progress) {
					for i, v := range tensors.MustCopyFlatData[float32](tr.theta) {
						average[i] = keep*average[i] + float64(v)
					}
					of = keep*of + 1
				}
				if err := tr.Run(t.Context(), Events{Step: step, Epoch: func(r EpochReport) error { report = r; return nil }}); err != nil {
					t.Fatal(err)
				}
				for i := range average {
					average[i] /= of
				}
				return tr, report, average
			}
			plain, without, _ := run(0)
			averaged, with, want := run(keep)
			if !slices.Equal(tensors.MustCopyFlatData[float32](plain.theta), tensors.MustCopyFlatData[float32](averaged.theta)) || without.Loss != with.Loss {
				t.Errorf("%s, %s: training goes another way with the average", name, backbone)
			}
			got, err := averaged.averaged()
			if err != nil {
				t.Fatal(err)
			}
			for i := range want {
				if math.Abs(float64(got[i])-want[i]) > 1e-5*(1+math.Abs(want[i])) {
					t.Fatalf("%s, %s: the average of value %d of %d (%d parameters) is %v; want %v", name, backbone, i, len(want), averaged.state.Parameters, got[i], want[i])
				}
			}
			if !with.Best || !slices.Equal(averaged.best, got) || without.Validation.Pooled.MAE == with.Validation.Pooled.MAE {
				t.Errorf("%s, %s: what is kept or validated is not the average", name, backbone)
			}
			m, err := averaged.validate(t.Context())
			if err != nil || m.Pooled.MAE != with.Validation.Pooled.MAE {
				t.Errorf("%s, %s: validated again %v, %v; want %v", name, backbone, m.Pooled.MAE, err, with.Validation.Pooled.MAE)
			}
		}
	}
}

// A validation that was interrupted is made when training goes on.
func TestInterruptedValidation(t *testing.T) {
	be, c := open(t, "go"), config()
	c.ValidateEvery = 0
	run := func(tr *Trainer, stop int) (validated []int, err error) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		err = tr.Run(ctx, Events{
			Step: func(p Progress) {
				if p.Step == stop {
					cancel()
				}
			},
			Epoch: func(e EpochReport) error {
				if e.Validation != nil {
					validated = append(validated, e.Epoch)
				}
				return nil
			},
		})
		return validated, err
	}
	tr := trainer(t, be, c, false, full)
	if done, err := run(tr, tr.PlannedSteps()/c.Epochs); !errors.Is(err, context.Canceled) || len(done) > 0 {
		t.Fatalf("validated %v (%v); want to be interrupted in the first", done, err)
	}
	saved, err := tr.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	tr = trainer(t, be, c, false, full)
	if err := tr.UnmarshalBinary(saved); err != nil {
		t.Fatal(err)
	}
	if done, err := run(tr, -1); err != nil || !slices.Equal(done, []int{1, 2, 3, 4}) {
		t.Errorf("validated %v (%v); want all epochs", done, err)
	}
}

func TestSeedDecidesTheBits(t *testing.T) {
	be := open(t, "xla")
	states := map[string]uint64{}
	for _, seed := range []uint64{1, 1, 2} {
		c := config()
		c.Epochs, c.Seed = 1, seed
		tr := trainer(t, be, c, true, full)
		if err := tr.Run(context.Background(), Events{}); err != nil {
			t.Fatal(err)
		}
		state, err := tr.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		states[string(state)]++
	}
	if len(states) != 2 {
		t.Errorf("seeds 1, 1, 2 gave %d different states; want 2", len(states))
	}
}

func TestDivergenceNamesTheUnits(t *testing.T) {
	c := config()
	c.Optim.LR, c.Optim.Clip, c.Optim.Name, c.Schedule = 1e30, 0, "sgd", optim.Schedule{}
	tr := trainer(t, open(t, "go"), c, false, full)
	err := tr.Run(context.Background(), Events{})
	var diverged *DivergedError
	if !errors.As(err, &diverged) || len(diverged.Units) == 0 || diverged.Step < 2 {
		t.Errorf("error %v; want a DivergedError that names step and units", err)
	}
}

func TestDamagedStateIsRefused(t *testing.T) {
	c := config()
	tr := trainer(t, open(t, "go"), c, true, func(n int) stprune.Pruner { return pruned(t, n, c.Epochs) })
	state, err := tr.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	for _, cut := range []int{0, 4, 20, len(state) / 2, len(state) - 1} {
		if err := tr.UnmarshalBinary(state[:cut]); err == nil {
			t.Errorf("a state of %d of %d bytes was accepted", cut, len(state))
		}
	}
	if err := tr.UnmarshalBinary(state); err != nil {
		t.Error(err)
	}
}

func TestConfigErrorsNameTheKey(t *testing.T) {
	be := open(t, "go")
	s, w := ramp(t, false)
	for name, change := range map[string]func(*Config){
		"train.unit":     func(c *Config) { c.Unit = "node" },
		"train.block =":  func(c *Config) { c.Unit, c.BlockBy = Block, Random },
		"train.block_by": func(c *Config) { c.Unit, c.Block = Block, 2 },
		"has no graph":   func(c *Config) { c.Unit, c.Block, c.BlockBy = Block, 2, ByGraph },
		"backbone":       func(c *Config) { c.Backbone = "transformer" },
		"node_dims":      func(c *Config) { c.Options["node_dims"] = 4 },
		"optim.name":     func(c *Config) { c.Optim.Name = "lion" },
		"schedule.kind":  func(c *Config) { c.Schedule.Kind = "triangle" },
		"train.epochs":   func(c *Config) { c.Epochs = 0 },
		"max_steps":      func(c *Config) { c.MaxSteps = -1 },
		"needs a graph":  func(c *Config) { c.GraphStats = true },
		"optim.momentum": func(c *Config) { c.Optim.Name, c.Optim.Momentum = "sgd", 1.5 },
	} {
		c := config()
		change(&c)
		_, err := New(be, c, full(len(w.Train)), Source{s, w})
		if err == nil || !bytes.Contains([]byte(err.Error()), []byte(name)) {
			t.Errorf("error %v; want one that names %q", err, name)
		}
	}
}

// Without a number of epochs it is visits that call for a validation.
func TestValidationByVisits(t *testing.T) {
	s, w := ramp(t, false)
	part := int64(len(w.Val) * s.N)
	for _, unit := range []string{Window, Pair} {
		c := config()
		c.Unit, c.ValidateEvery, c.Epochs = unit, 0, 12
		tr := trainer(t, open(t, "go"), c, false, func(n int) stprune.Pruner { return pruned(t, n, c.Epochs) })
		last, short := int64(0), 0
		err := tr.Run(t.Context(), Events{Epoch: func(e EpochReport) error {
			if due := e.Visits-last >= part || e.Epoch == c.Epochs; due != (e.Validation != nil) {
				t.Errorf("%s: epoch %d, %d visits after the last validation, that part has %d: validated %v", unit, e.Epoch, e.Visits-last, part, !due)
			}
			if e.Validation == nil {
				short++
			} else {
				last = e.Visits
			}
			return nil
		}})
		if err != nil || short == 0 || short > 8 {
			t.Errorf("%s: %d of %d epochs without validation (%v); want some", unit, short, c.Epochs, err)
		}
	}
}

func TestPatienceEndsTraining(t *testing.T) {
	for _, every := range []int{1, 3} {
		c := config()
		c.Epochs, c.Patience, c.ValidateEvery = 40, 2, every
		c.Optim.LR = 1e-12 // nothing gets better after the first epoch
		tr := trainer(t, open(t, "go"), c, false, full)
		epochs := 0
		if err := tr.Run(t.Context(), Events{Epoch: func(EpochReport) error { epochs++; return nil }}); err != nil {
			t.Fatal(err)
		}
		if best := tr.BestEpoch(); epochs != best+max(2, every) || epochs == c.Epochs {
			t.Errorf("training ended after epoch %d, the best was %d; want two more, and a validation every %d", epochs, best, every)
		}
	}
}

// Training ends after the most steps, within an epoch, with the schedule at its end, and goes on there to the same bits when interrupted.
func TestMaxSteps(t *testing.T) {
	be := open(t, "go")
	for name, prune := range map[string]func(int) stprune.Pruner{
		"full": full, "st-prune": func(n int) stprune.Pruner { return pruned(t, n, config().Epochs) },
	} {
		t.Run(name, func(t *testing.T) {
			c := config()
			c.MaxSteps, c.ValidateEvery = 13, 0
			run := func(stop int) (reports []EpochReport, state []byte) {
				tr := trainer(t, be, c, true, prune)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				events := Events{Epoch: func(r EpochReport) error { reports = append(reports, r); return nil }, Step: func(p Progress) {
					if p.Step == stop {
						cancel()
					}
					if p.Steps != c.MaxSteps {
						t.Fatalf("%d steps are planned, want %d", p.Steps, c.MaxSteps)
					}
				}}
				if err := tr.Run(ctx, events); stop > 0 {
					saved, err := tr.MarshalBinary()
					if err != nil {
						t.Fatal(err)
					}
					tr = trainer(t, be, c, true, prune)
					if err := tr.UnmarshalBinary(saved); err != nil {
						t.Fatal(err)
					}
					if err := tr.Run(t.Context(), events); err != nil {
						t.Fatal(err)
					}
				} else if err != nil {
					t.Fatal(err)
				}
				state, err := tr.MarshalBinary()
				if err != nil {
					t.Fatal(err)
				}
				return reports, state
			}
			reports, want := run(0)
			steps, last := 0, reports[len(reports)-1]
			for _, r := range reports {
				steps += r.Steps
			}
			if steps != c.MaxSteps || len(reports) == c.Epochs || last.Steps*c.Batch < last.Units || last.Validation == nil {
				t.Errorf("%d steps in %d epochs, the last with %+v", steps, len(reports), last)
			}
			if got := c.Schedule.LR(c.Optim.LR, optim.Progress{Step: 12, Steps: 13}); last.LR != got {
				t.Errorf("the last rate is %v, want %v", last.LR, got)
			}
			if len(last.Chosen) != last.Units || !slices.IsSorted(last.Chosen) || len(slices.Compact(slices.Clone(last.Chosen))) != last.Units {
				t.Errorf("%d units were trained on, and there are %v", last.Units, last.Chosen)
			}
			for stop := 1; stop <= c.MaxSteps; stop++ {
				if _, got := run(stop); !bytes.Equal(got, want) {
					t.Errorf("interrupted after step %d it ends elsewhere", stop)
				}
			}
		})
	}
}

func TestUnmaskedLossNeedsAValue(t *testing.T) {
	s, w := ramp(t, true)
	s.Missing = datasets.NoMissing()
	c := config()
	c.Loss.Unmasked = true
	if _, err := New(open(t, "go"), c, full(c.Units(Source{s, w})), Source{s, w}); err == nil {
		t.Error("missing targets without a value were accepted")
	}
}
