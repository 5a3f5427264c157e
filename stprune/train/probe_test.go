package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/stprune"
	"github.com/stprune/workbench/stprune/backbone"
	"github.com/stprune/workbench/stprune/method"
)

// ring is the ramp with a graph.
func ring(t *testing.T, missing bool) Source {
	s, w := ramp(t, missing)
	s.Graph = &datasets.Graph{N: s.N}
	for n := range int32(s.N) {
		s.Graph.Edges = append(s.Graph.Edges, datasets.Edge{From: n, To: (n + 1) % int32(s.N), Weight: 1})
	}
	return Source{s, w}
}

func newTrainer(t *testing.T, be compute.Backend, c Config, source Source) *Trainer {
	t.Helper()
	tr, err := New(be, c, full(c.Units(source)), source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tr.Close)
	return tr
}

// autodiff is the gradient of each unit's level in the last layer's weight and bias, in the layout of lastGradient, by a backward
// pass.
func autodiff(t *testing.T, tr *Trainer, layer string, f *feed) [][]float32 {
	t.Helper()
	d := tr.domains[0]
	exec, err := graph.NewExec(tr.backend, func(in []*node) []*node {
		o := d.open(in[0], nil, in[1], f.unit, in[2:])
		e := o.residuals(o.forecast())
		at := func(name string) *node {
			return o.params[slices.IndexFunc(d.model.Params(), func(p backbone.Param) bool { return p.Name == layer+name })]
		}
		level := graph.DivScalar(e.Level(), d.layout.scaler.Std)
		var out []*node
		for i := range f.starts {
			g := graph.Gradient(graph.ReduceAllSum(graph.Slice(level, graph.AxisRange(i, i+1))), at(".weight"), at(".bias"))
			q := d.layout.horizon
			out = append(out, graph.Concatenate([]*node{graph.Reshape(g[0], q, g[0].Shape().Size()/q), graph.Reshape(g[1], q, 1)}, 1))
		}
		return out
	})
	if err != nil {
		t.Fatal(err)
	}
	defer exec.Finalize()
	own := []*tensors.Tensor{tensors.FromFlatDataAndDimensions(f.starts, len(f.starts))}
	if f.unit != Window {
		own = append(own, tensors.FromFlatDataAndDimensions(f.nodes, len(f.nodes)))
	}
	out, err := d.measure("backward pass", exec, own)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// lastLayers are the names of the last layers.
var lastLayers = map[string]string{"stid": "regression_layer", "gwnet": "end_conv_2", "staeformer": "output_proj", "opencity": "linear"}

func TestLastLayerGradientIsTheBackwardPass(t *testing.T) {
	for _, name := range backends {
		be := open(t, name)
		for model, options := range tinyBackbones() {
			for _, unit := range []string{Window, Pair} {
				if unit == Pair && model != "stid" && model != "opencity" {
					continue
				}
				t.Run(name+"/"+model+"/"+unit, func(t *testing.T) {
					c := config()
					c.Backbone, c.Options, c.Unit = model, options, unit
					if unit == Pair && model == "opencity" {
						c.Options = map[string]any{"dim": 4, "depth": 1, "heads": 2, "graph": "none"}
					}
					tr := newTrainer(t, be, c, ring(t, true))
					f := tr.newFeed(5)
					f.fill(tr.domains[0], &stprune.Selection{All: true}, []int32{3, 8, 0, 21, 40})
					out, err := tr.domains[0].pass(method.Needs{Norms: true, Gradients: true}, f)
					if err != nil {
						t.Fatal(err)
					}
					norms, gradients := out[1], out[2]
					for i, want := range autodiff(t, tr, lastLayers[model], f) {
						got := gradients[i*len(want) : (i+1)*len(want)]
						square := 0.0
						for j := range want {
							square += float64(want[j]) * float64(want[j])
							if math.Abs(float64(got[j]-want[j])) > 2e-6 {
								t.Fatalf("unit %d, column %d: %v, the backward pass has %v", i, j, got[j], want[j])
							}
						}
						if norm := math.Sqrt(square); norm < 1e-3 || math.Abs(float64(norms[i])-norm) > 1e-5*norm {
							t.Errorf("unit %d: norm %v, the backward pass has %v", i, norms[i], norm)
						}
					}
				})
			}
		}
	}
}

// A projection keeps inner products on average; its error is about 1/√R of the norms.
func TestWideGradientsAreProjected(t *testing.T) {
	c := config()
	c.Options["embed_dim"] = 900
	var first []float32
	for _, seed := range []uint64{1, 1, 2} {
		c.Seed = seed
		tr := newTrainer(t, open(t, "go"), c, ring(t, true))
		f := tr.newFeed(4)
		f.fill(tr.domains[0], &stprune.Selection{All: true}, []int32{3, 8, 0, 21})
		out, err := tr.domains[0].pass(method.Needs{Gradients: true}, f)
		if err != nil {
			t.Fatal(err)
		}
		g := out[1]
		width := len(g) / 4
		if width > maxColumns || width < maxColumns-3 {
			t.Fatalf("%d columns, want at most %d in 3 equal parts", width, maxColumns)
		}
		exact := autodiff(t, tr, "regression_layer", f)
		dot := func(a, b []float32) float64 {
			sum := 0.0
			for i := range a {
				sum += float64(a[i]) * float64(b[i])
			}
			return sum
		}
		for i := range 4 {
			for j := range 4 {
				got, want := dot(g[i*width:(i+1)*width], g[j*width:(j+1)*width]), dot(exact[i], exact[j])
				scale := math.Sqrt(dot(exact[i], exact[i]) * dot(exact[j], exact[j]))
				if math.Abs(got-want) > 5*scale/math.Sqrt(float64(width)/3) {
					t.Errorf("seed %d, units %d and %d: inner product %v, want about %v", seed, i, j, got, want)
				}
			}
		}
		switch {
		case first == nil:
			first = g
		case slices.Equal(first, g) != (seed == 1):
			t.Errorf("seed %d: gradients equal those of seed 1: %v", seed, slices.Equal(first, g))
		}
	}
}

// everything that a pass can measure.
var everything = method.Needs{Loss: true, Error: true, Norms: true, Features: true, Forecasts: true, Inputs: true, Gradients: true}

func matrices(p *method.Probe) []method.Matrix {
	column := func(x []float32) method.Matrix { return method.Matrix{Rows: len(x), Cols: 1, Data: x} }
	return []method.Matrix{column(p.Loss), column(p.Error), column(p.Norms), p.Features, p.Forecasts, p.Inputs, p.Gradients}
}

func TestMeasureDoesNotDependOnBatch(t *testing.T) {
	for _, name := range backends {
		be := open(t, name)
		for _, unit := range []string{Window, Pair} {
			var first []method.Matrix
			for _, batch := range []int{7, 1000, 16} {
				c := config()
				c.Unit, c.Batch, c.EvalBatch = unit, batch, batch
				source := ring(t, true)
				p, err := newTrainer(t, be, c, source).Measure(t.Context(), Train, everything)
				if err != nil {
					t.Fatal(err)
				}
				all := matrices(p)
				if first == nil {
					first = all
				}
				for i, m := range all {
					if m.Rows != c.Units(source) || m.Cols < 1 || len(m.Data) != m.Rows*m.Cols || m.Cols != first[i].Cols {
						t.Fatalf("%s/%s: array %d is [%d,%d] of %d numbers", name, unit, i, m.Rows, m.Cols, len(m.Data))
					}
					for j, v := range m.Data {
						if !(math.Abs(float64(v-first[i].Data[j])) < 1e-4) {
							t.Fatalf("%s/%s: array %d, number %d is %v at batch %d, %v at another", name, unit, i, j, v, batch, first[i].Data[j])
						}
					}
				}
			}
		}
	}
}

// A window's arrays are means over its pairs' where nothing is missing, and agree with the evaluation.
func TestMeasureOfWindowsAndPairs(t *testing.T) {
	be := open(t, "go")
	source := ring(t, false)
	c := config()
	tr := newTrainer(t, be, c, source)
	windows, err := tr.Measure(t.Context(), Train, everything)
	if err != nil {
		t.Fatal(err)
	}
	c.Unit = Pair
	ptr := newTrainer(t, be, c, source)
	pairs, err := ptr.Measure(t.Context(), Train, everything)
	if err != nil {
		t.Fatal(err)
	}
	w, p := matrices(windows), matrices(pairs)
	n := source.Series.N
	for _, k := range []int{0, 3, 4, 5, 6} { // error and norms are no means
		for i := range w[k].Rows {
			for j, v := range w[k].Row(i) {
				mean := float32(0)
				for node := range n {
					mean += p[k].Row(i*n + node)[j] / float32(n)
				}
				if math.Abs(float64(v-mean)) > 1e-5 {
					t.Fatalf("array %d, window %d, column %d: %v, the mean over pairs is %v", k, i, j, v, mean)
				}
			}
		}
	}
	for i := range n { // a pair's gradient is ±h for each horizon
		want := 0.0
		for _, h := range p[3].Row(i) {
			want += float64(h) * float64(h)
		}
		if want = math.Sqrt((want + 1) / 3); math.Abs(float64(pairs.Norms[i])-want) > 1e-5 {
			t.Errorf("pair %d: norm %v, want %v", i, pairs.Norms[i], want)
		}
	}

	m, _, _, err := tr.Evaluate(t.Context(), Train)
	if err != nil {
		t.Fatal(err)
	}
	level, square := 0.0, 0.0
	for i, v := range windows.Loss {
		level += float64(v) / float64(len(windows.Loss))
		square += float64(windows.Error[i]) * float64(windows.Error[i]) / float64(len(windows.Loss))
	}
	std := source.Windows.Scaler.Std
	if mae, rmse := level*std, math.Sqrt(square)*std; math.Abs(mae-m.Pooled.MAE) > 1e-4 || math.Abs(rmse-m.Pooled.RMSE) > 1e-4 {
		t.Errorf("MAE %v, RMSE %v; the evaluation has %v and %v", mae, rmse, m.Pooled.MAE, m.Pooled.RMSE)
	}
	if v, err := ptr.Measure(t.Context(), Validation, method.Needs{Gradients: true}); err != nil || v.Gradients.Rows != len(source.Windows.Val) {
		t.Errorf("validation of pairs: %d rows, %v; want one for each of %d windows", v.Gradients.Rows, err, len(source.Windows.Val))
	}
}

func TestMeasuredInputsLeaveOutMissing(t *testing.T) {
	source := ring(t, true)
	p, err := newTrainer(t, open(t, "go"), config(), source).Measure(t.Context(), Train, method.Needs{Inputs: true})
	if err != nil {
		t.Fatal(err)
	}
	s, w := source.Series, source.Windows
	for i, start := range w.Train {
		for step := range w.History {
			sum, count := 0.0, 0.0
			for _, v := range s.Values[(int(start)+step)*s.N : (int(start)+step+1)*s.N] {
				if v != 0 {
					sum, count = sum+(float64(v)-w.Scaler.Mean)/w.Scaler.Std, count+1
				}
			}
			if want := sum / max(1, count); math.Abs(float64(p.Inputs.Row(i)[step])-want) > 1e-5 {
				t.Fatalf("window %d, step %d: %v, want %v", i, step, p.Inputs.Row(i)[step], want)
			}
		}
	}
}

func TestProbe(t *testing.T) {
	source := ring(t, true)
	c := config()
	n, nodes := c.Units(source), int64(source.Series.N)
	needs := everything
	needs.Trajectory, needs.Checkpoints, needs.Validation = true, true, true
	for _, name := range backends {
		be := open(t, name)
		probe := func(s Scoring, needs method.Needs) (*method.Probe, Cost) {
			t.Helper()
			p, cost, err := Probe(t.Context(), be, c, s, needs, source)
			if err != nil {
				t.Fatal(err)
			}
			return p, cost
		}
		p, cost := probe(Scoring{Epochs: 3, Repeats: 2}, needs)
		passes := int64(3 + 2 + 1) // after each epoch, of two checkpoints before the last, and once in the second repeat
		if cost.Visits != 2*3*int64(n)*nodes || cost.Forwards != (passes*int64(n)+int64(len(source.Windows.Val)))*nodes {
			t.Errorf("%s: %d visits, %d forward only", name, cost.Visits, cost.Forwards)
		}
		if cost.Seconds.Scoring <= 0 || cost.Seconds.Total() != cost.Seconds.Scoring+cost.Seconds.Compile {
			t.Errorf("%s: seconds %+v", name, cost.Seconds)
		}
		for i, m := range append(matrices(p), p.Gradients, p.Validation) {
			rows := n
			if i == 8 {
				rows = len(source.Windows.Val)
			}
			if m.Rows != rows || len(m.Data) != rows*m.Cols {
				t.Errorf("%s: array %d is [%d,%d] of %d numbers", name, i, m.Rows, m.Cols, len(m.Data))
			}
		}
		if len(p.Trajectory) != 3 || !slices.Equal(p.Trajectory[2], p.Loss) || slices.Equal(p.Trajectory[1], p.Loss) {
			t.Errorf("%s: a trajectory of %d epochs doesn't end in the loss", name, len(p.Trajectory))
		}
		if mean(p.Trajectory[2]) >= mean(p.Trajectory[0]) {
			t.Errorf("%s: the scoring model's loss goes from %v to %v", name, mean(p.Trajectory[0]), mean(p.Trajectory[2]))
		}
		if len(p.Checkpoints) != 3 || !slices.Equal(p.Checkpoints[2].Gradients.Data, p.Gradients.Data) || p.Checkpoints[2].LR != p.LR ||
			!(p.Checkpoints[0].LR > p.LR && p.LR > 0) || slices.Equal(p.Checkpoints[0].Gradients.Data, p.Gradients.Data) {
			t.Errorf("%s: %d checkpoints, learning rate %v", name, len(p.Checkpoints), p.LR)
		}

		again, _ := probe(Scoring{Epochs: 3, Repeats: 1}, method.Needs{Loss: true, Error: true})
		if !slices.Equal(again.Loss, p.Loss) {
			t.Errorf("%s: two probes of one seed differ", name)
		}
		if slices.Equal(again.Error, p.Error) {
			t.Errorf("%s: errors of two repeats equal those of one", name)
		}
		start, cost := probe(Scoring{}, method.Needs{Loss: true, Trajectory: true, Checkpoints: true})
		if cost.Visits != 0 || len(start.Trajectory) != 0 || len(start.Checkpoints) != 1 || mean(start.Loss) <= mean(p.Trajectory[0]) {
			t.Errorf("%s: without training %d visits, loss %v", name, cost.Visits, mean(start.Loss))
		}
		if inputs, cost := probe(Scoring{Epochs: 5}, method.Needs{Inputs: true}); cost.Visits != 0 || !slices.Equal(inputs.Inputs.Data, p.Inputs.Data) {
			t.Errorf("%s: a model was trained for inputs: %d visits", name, cost.Visits)
		}
	}
}

func mean(x []float32) float64 {
	sum := 0.0
	for _, v := range x {
		sum += float64(v)
	}
	return sum / float64(len(x))
}

func TestProbeBeginsAsTold(t *testing.T) {
	source, be := ring(t, false), open(t, "go")
	c := config()
	other := c
	other.Seed = 99
	tr := newTrainer(t, be, other, source)
	begin, err := tr.Named()
	if err != nil {
		t.Fatal(err)
	}
	want, err := tr.Measure(t.Context(), Train, method.Needs{Loss: true})
	if err != nil {
		t.Fatal(err)
	}
	p, _, err := Probe(t.Context(), be, c, Scoring{Begin: begin}, method.Needs{Loss: true}, source)
	if err != nil || !slices.Equal(p.Loss, want.Loss) {
		t.Errorf("the scoring model doesn't begin with the given parameters (%v)", err)
	}
}

// Interrupted again and again, wherever it asks, a scoring model is measured as in one go.
func TestProbeResumes(t *testing.T) {
	source, be := ring(t, true), open(t, "go")
	all := everything
	all.Trajectory, all.Checkpoints, all.Validation = true, true, true
	for _, c := range []struct {
		name  string
		s     Scoring
		needs method.Needs
	}{
		{"all", Scoring{Epochs: 3, Repeats: 2}, all},
		{"errors", Scoring{Epochs: 2, Repeats: 3}, method.Needs{Error: true, Norms: true}},
		{"trajectory", Scoring{Epochs: 3}, method.Needs{Trajectory: true}},
		{"checkpoints", Scoring{Epochs: 12}, method.Needs{Checkpoints: true}},
		{"untrained", Scoring{Repeats: 6}, method.Needs{Error: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := config()
			config.Batch = 40
			steps := 0
			c.s.Step = func(Progress) { steps++ }
			want, cost, err := Probe(t.Context(), be, config, c.s, c.needs, source)
			if err != nil {
				t.Fatal(err)
			}
			whole := steps
			measuring := len(source.Windows.Train) / config.EvalBatch * (2 + len(want.Checkpoints)) // begins anew with each stop
			for more := range 5 {
				steps = 0
				var spent Seconds
				s, stops := c.s, 0
				s.Save = func(state ...[]byte) error { s.Saved = slices.Concat(state...); return nil }
				for ; ; stops++ {
					got, took, err := Probe(&stopper{t.Context(), measuring + more}, be, config, s, c.needs, source)
					if err == nil {
						if steps != whole || stops == 0 || took.Visits != cost.Visits || took.Forwards != cost.Forwards {
							t.Errorf("%d stops, %d of %d steps, %d visits, %d forward only; want %d and %d", stops, steps, whole, took.Visits, took.Forwards, cost.Visits, cost.Forwards)
						}
						if !reflect.DeepEqual(got, want) {
							t.Error("it measures something else than without interruptions")
						}
						if took.Seconds.Scoring < spent.Scoring || took.Seconds.Compile < spent.Compile || spent.Scoring <= 0 {
							t.Errorf("it took %+v, of which %+v were before the last stop", took.Seconds, spent)
						}
						break
					}
					if !errors.Is(err, context.Canceled) || stops > 1000 {
						t.Fatal(stops, err)
					}
					var state scored
					if err := state.decode(s.Saved); err != nil {
						t.Fatal(err)
					}
					spent = state.Cost.Seconds
				}
			}
		})
	}
}

// What cannot be gone on from is said, whatever of it is missing.
func TestProbeRefusesOtherStates(t *testing.T) {
	source, be := ring(t, false), open(t, "go")
	needs := method.Needs{Trajectory: true}
	var saved []byte
	s := Scoring{Epochs: 2, Save: func(state ...[]byte) error { saved = slices.Concat(state...); return nil }}
	if _, _, err := Probe(t.Context(), be, config(), s, needs, source); err != nil {
		t.Fatal(err)
	}
	larger := config()
	larger.Optim.Name = "sgd"
	for name, c := range map[string]struct {
		config Config
		saved  []byte
	}{
		"empty":       {config(), []byte{}},
		"cut head":    {config(), saved[:20]},
		"cut trainer": {config(), saved[:len(saved)/3]},
		"cut losses":  {config(), saved[:len(saved)-1]},
		"another":     {larger, saved},
	} {
		s := Scoring{Epochs: 2, Saved: c.saved}
		if _, _, err := Probe(t.Context(), be, c.config, s, needs, source); err == nil || !strings.Contains(err.Error(), "its saved state cannot be used") {
			t.Errorf("%s: error %v; want one of its saved state", name, err)
		}
	}
	full := errors.New("no space")
	s.Save = func(...[]byte) error { return full }
	if _, _, err := Probe(t.Context(), be, config(), s, needs, source); !errors.Is(err, full) {
		t.Errorf("error %v; want that of saving", err)
	}
	if _, _, err := Probe(&stopper{t.Context(), 3}, be, config(), s, needs, source); !errors.Is(err, full) || !errors.Is(err, context.Canceled) {
		t.Errorf("error %v; want those of saving and of the interruption", err)
	}
}

func TestProbeErrors(t *testing.T) {
	source, be := ring(t, false), open(t, "go")
	c := config()
	c.MemoryLimit = 1 << 13 // 4 kB for 45 numbers of 85 windows
	if _, _, err := Probe(t.Context(), be, c, Scoring{}, method.Needs{Gradients: true}, source); err == nil || !strings.Contains(err.Error(), "GB") {
		t.Errorf("arrays beyond the memory were accepted: %v", err)
	}
	c = config()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := Probe(ctx, be, c, Scoring{Epochs: 1}, method.Needs{Loss: true}, source); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v; want one of cancelling", err)
	}
	c.Optim.LR, c.Optim.Clip, c.Optim.Name = 1e30, 0, "sgd"
	diverged := new(DivergedError)
	if _, _, err := Probe(t.Context(), be, c, Scoring{Epochs: 3}, method.Needs{Loss: true}, source); !errors.As(err, &diverged) || !strings.Contains(err.Error(), "scoring model") {
		t.Errorf("error %v; want one of divergence that names the scoring model", err)
	}

	// A day of hours and a day of half hours: one model, but no common columns.
	var sources []Source
	for perDay, step := range map[int]time.Duration{24: time.Hour, 48: 30 * time.Minute} {
		s := &datasets.Series{Name: fmt.Sprint(perDay), T: 5 * perDay, N: 1, Nodes: []string{"x"},
			Calendar: datasets.Calendar{Start: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), Step: step}}
		for i := range s.T {
			s.Values = append(s.Values, float32(i%perDay))
		}
		w, err := datasets.Protocol{History: perDay, Horizon: perDay, Ratio: [3]float64{6, 2, 2}}.Apply(s)
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, Source{s, w})
	}
	c = config()
	c.Backbone, c.Options = "opencity", map[string]any{"dim": 4, "depth": 1, "heads": 2, "graph": "none"}
	if _, _, err := Probe(t.Context(), be, c, Scoring{}, method.Needs{Loss: true}, sources...); err != nil {
		t.Error(err)
	}
	if _, _, err := Probe(t.Context(), be, c, Scoring{}, method.Needs{Inputs: true}, sources...); err == nil || !strings.Contains(err.Error(), "columns") {
		t.Errorf("inputs of different lengths were joined: %v", err)
	}
}

// With several data sets the arrays go through them in order.
func TestProbeJointly(t *testing.T) {
	sources, be := twoSources(t), open(t, "go")
	p, _, err := Probe(t.Context(), be, joint(), Scoring{}, everything, sources...)
	if err != nil {
		t.Fatal(err)
	}
	at := len(sources[0].Windows.Train)
	second, _, err := Probe(t.Context(), be, joint(), Scoring{}, everything, sources[1])
	if err != nil {
		t.Fatal(err)
	}
	for k, m := range matrices(p) {
		other := matrices(second)[k]
		if m.Rows != at+other.Rows || !slices.Equal(m.Row(at), other.Row(0)) {
			t.Errorf("array %d: %d rows; the second data set's do not follow the first's", k, m.Rows)
		}
	}
}
