package backbone

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/stprune/workbench/stprune/accel"
)

// Parameter counts of the reference code and its tables: 1060260 + 960·N at 288 steps a day.
func TestSTAEformerParameterCounts(t *testing.T) {
	for _, c := range []struct {
		name               string
		nodes, steps, want int
	}{
		{"METR-LA", 207, 288, 1258980},
		{"PEMS-BAY", 325, 288, 1372260},
		{"PEMS03", 358, 288, 1403940},
		{"PEMS04", 307, 288, 1354980},
		{"PEMS07", 883, 288, 1907940},
		{"PEMS08", 170, 288, 1223460},
		{"UrbanEV", 275, 24, 1317924},
		{"SD", 716, 96, 1743012},
		{"SD, 5 minutes", 716, 288, 1747620},
		{"GBA", 2352, 96, 3313572},
		{"GLA", 3834, 96, 4736292},
		{"CA", 8600, 96, 9311652},
	} {
		b, err := New("staeformer", Config{Nodes: c.nodes, History: 12, Horizon: 12, StepsPerDay: c.steps})
		if err != nil {
			t.Fatal(err)
		}
		if got := ParamCount(b); got != c.want {
			t.Errorf("%s: %d parameters; the reference has %d", c.name, got, c.want)
		}
	}
}

// Initial values must have the bounds or the variance of the reference's initialisers.
func TestSTAEformerInitialValues(t *testing.T) {
	b, err := New("staeformer", Config{Nodes: 50, History: 12, Horizon: 12, StepsPerDay: 288, Options: map[string]any{"node_dim": 40}})
	if err != nil {
		t.Fatal(err)
	}
	const width = 24 + 24 + 24 + 40 + 80
	bounds := map[string]float64{ // of U(±bound)
		"node_emb": math.Sqrt(6.0 / (50 + 40)), "adaptive_embedding": math.Sqrt(6.0 / (80 * (50 + 12))),
		"input_proj.weight": 1 / math.Sqrt(3), "output_proj.weight": 1 / math.Sqrt(12*width), "output_proj.bias": 1 / math.Sqrt(12*width),
		"attn_layers_t.0.attn.FC_Q.weight": 1 / math.Sqrt(width), "attn_layers_s.2.attn.out_proj.bias": 1 / math.Sqrt(width),
		"attn_layers_s.0.feed_forward.0.weight": 1 / math.Sqrt(width), "attn_layers_s.0.feed_forward.2.weight": 1.0 / 16,
	}
	exact := map[string]float32{"attn_layers_t.1.ln1.weight": 1, "attn_layers_s.1.ln2.bias": 0}
	values := Named(b, Init(b, rand.New(rand.NewPCG(1, 2))))
	for name, bound := range bounds {
		largest, square := 0.0, 0.0
		for _, v := range values[name] {
			largest = max(largest, math.Abs(float64(v)))
			square += float64(v) * float64(v) / float64(len(values[name]))
		}
		if len(values[name]) == 0 || largest > bound*1.000001 || largest < 0.8*bound {
			t.Errorf("%s: largest of %d initial values %v; want just under %v", name, len(values[name]), largest, bound)
		}
		if n := len(values[name]); n > 1000 && math.Abs(square*3/bound/bound-1) > 0.1 {
			t.Errorf("%s: variance %v; want %v", name, square, bound*bound/3)
		}
	}
	for name, want := range exact {
		for _, v := range values[name] {
			if v != want {
				t.Fatalf("%s begins with %v; want %v", name, v, want)
			}
		}
	}
	mean, square, tod := 0.0, 0.0, values["tod_embedding.weight"]
	for _, v := range tod {
		mean += float64(v) / float64(len(tod))
		square += float64(v) * float64(v) / float64(len(tod))
	}
	if math.Abs(mean) > 0.05 || math.Abs(square-1) > 0.07 {
		t.Errorf("tod_embedding.weight: mean %v, variance %v; want 0 and 1", mean, square)
	}
}

func TestSTAEformerOptionErrors(t *testing.T) {
	for want, options := range map[string]map[string]any{
		"heads = 5 does not divide the width 152": {"heads": 5},
		"embed_dim = 0":        {"embed_dim": 0},
		"heads = 0":            {"heads": 0},
		"choose one of":        {"dow_index": "monday"},
		"dropout = 1":          {"dropout": 1.0},
		`"num_heads"`:          {"num_heads": 4},
		"option layers = -1":   {"layers": -1},
		"recompute = yes":      {"recompute": "yes"},
		"attention = flash":    {"attention": "flash"},
		"option ff_dim = wide": {"ff_dim": "wide"},
	} {
		_, err := New("staeformer", Config{Nodes: 3, History: 12, Horizon: 12, StepsPerDay: 288, Options: options})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: error %v; want one with %q", options, err, want)
		}
	}
}

// staeformerPass is a tiny model's forecast and the gradient of a loss, both flat.
func staeformerPass(t *testing.T, backend string, options map[string]any, dow []float32, training bool) (forecast, gradient []float32) {
	t.Helper()
	be, err := accel.Open(context.Background(), backend, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer be.Close()
	all := map[string]any{"embed_dim": 4, "tod_dim": 2, "dow_dim": 2, "adaptive_dim": 4, "heads": 2, "ff_dim": 8, "layers": 1, "dropout": 0.3}
	for k, v := range options {
		all[k] = v
	}
	const batch, steps, nodes = 2, 3, 4
	b, err := New("staeformer", Config{Nodes: nodes, History: steps, Horizon: 2, StepsPerDay: 24, Options: all})
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(3, 4))
	theta := Init(b, r)
	value, tod, slot, day := make([]float32, batch*steps*nodes), make([]float32, batch*steps), make([]int32, batch*steps), make([]int32, batch*steps)
	for i := range value {
		value[i] = float32(r.NormFloat64())
	}
	for i := range slot {
		slot[i], day[i] = int32(i), int32(dow[i])
		tod[i] = float32(i) / 24
	}
	args := []any{theta, tensors.FromFlatDataAndDimensions(value, batch, steps, nodes)}
	for _, x := range [][]float32{tod, dow} {
		args = append(args, tensors.FromFlatDataAndDimensions(x, batch, steps))
	}
	for _, x := range [][]int32{slot, day} {
		args = append(args, tensors.FromFlatDataAndDimensions(x, batch, steps))
	}
	out, err := graph.CallOnceN(be.Backend, func(in []*graph.Node) []*graph.Node {
		var key *graph.Node
		if training {
			key = graph.Const(in[0].Graph(), []uint32{1, 2})
		}
		p, parts := NewPass(b, in[0], nil, key)
		y := b.Forward(p, Input{Value: in[1], Tod: in[2], Dow: in[3], TodIndex: in[4], DowIndex: in[5]})
		gradients := graph.Gradient(graph.ReduceAllSum(graph.Square(y)), parts...)
		for i, g := range gradients {
			gradients[i] = graph.Reshape(g, g.Shape().Size())
		}
		return []*graph.Node{y, graph.Concatenate(gradients, 0)}
	}, args...)
	if err != nil {
		t.Fatal(err)
	}
	return tensors.MustCopyFlatData[float32](out[0]), tensors.MustCopyFlatData[float32](out[1])
}

func farthest(a, b []float32) float64 {
	largest := 0.0
	for i := range a {
		largest = max(largest, math.Abs(float64(a[i]-b[i])))
	}
	return largest
}

// How attention is computed, and computing blocks twice, must change neither forecast nor gradient, dropout included, on any
// backend.
func TestSTAEformerVariants(t *testing.T) {
	dow := []float32{0, 1, 2, 3, 4, 6}
	forecast, gradient := staeformerPass(t, "xla", map[string]any{"attention": "whole"}, dow, true)
	for _, options := range []map[string]any{
		nil,
		{"attention": "single"},
		{"recompute": true},
		{"recompute": true, "attention": "single"},
		{"recompute": true, "attention": "whole"},
		{"embed_dim": 8, "tod_dim": 4, "dow_dim": 4, "adaptive_dim": 0}, // heads of 8 columns
	} {
		forecast, gradient := forecast, gradient
		if _, other := options["embed_dim"]; other {
			whole := maps.Clone(options) // the same model
			whole["attention"] = "whole"
			forecast, gradient = staeformerPass(t, "xla", whole, dow, true)
		}
		for _, backend := range []string{"xla", "go"} {
			f, g := staeformerPass(t, backend, options, dow, true)
			if d := farthest(forecast, f); !(d < 1e-5) {
				t.Errorf("%v on %s: forecast differs by %g", options, backend, d)
			}
			if d := farthest(gradient, g); !(d < 1e-4) {
				t.Errorf("%v on %s: gradient differs by %g", options, backend, d)
			}
		}
	}
}

// The day of week must reach the forecast through index and number, with dow_index "zero" through the number alone: only the
// embedding's first row is used, and dow/7 goes in.
func TestSTAEformerDayOfWeek(t *testing.T) {
	monday, sunday := make([]float32, 6), []float32{6, 6, 6, 6, 6, 6}
	shift := func(options map[string]any) float64 {
		a, _ := staeformerPass(t, "go", options, monday, false)
		b, _ := staeformerPass(t, "go", options, sunday, false)
		return farthest(a, b)
	}
	if calendar, zero := shift(nil), shift(map[string]any{"dow_index": "zero"}); zero == 0 || calendar <= zero {
		t.Errorf("Sunday instead of Monday changes the forecast by %v, with dow_index zero by %v; want the larger first, none 0", calendar, zero)
	}
	b, err := New("staeformer", Config{Nodes: 4, History: 3, Horizon: 2, StepsPerDay: 24,
		Options: map[string]any{"embed_dim": 4, "tod_dim": 2, "dow_dim": 2, "adaptive_dim": 4, "heads": 2, "ff_dim": 8, "layers": 1}})
	if err != nil {
		t.Fatal(err)
	}
	for index, row := range map[string]int{"calendar": 6, "zero": 0} {
		_, gradient := staeformerPass(t, "go", map[string]any{"dow_index": index}, sunday, false)
		for i, v := range Named(b, gradient)["dow_embedding.weight"] {
			if used := i/2 == row; used != (v != 0) {
				t.Errorf("dow_index %s: the gradient of row %d is %v", index, i/2, v)
			}
		}
	}
}

func ExampleNew_transformer() {
	b, err := New("staeformer", Config{Nodes: 170, History: 12, Horizon: 12, StepsPerDay: 288, Options: map[string]any{"heads": 8}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(ParamCount(b), "parameters; trains on single pairs:", b.Traits().PairWise)
	// Output: 1223460 parameters; trains on single pairs: false
}
