package backbone

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/stprune/workbench/datasets"
)

// oneWay is a graph that leads from each node to the next, and from the first to the last too.
func oneWay(n int) *datasets.Graph {
	g := &datasets.Graph{N: n, Edges: []datasets.Edge{{From: 0, To: int32(n - 1), Weight: 1}}}
	for i := range int32(n - 1) {
		g.Edges = append(g.Edges, datasets.Edge{From: i, To: i + 1, Weight: 2})
	}
	return g
}

// Parameter counts of the reference code: 296844 + 20·N with three channels, 296812 + 20·N with two, 8448 more with the unused
// convolutions of the original file.
func TestGWNetParameterCounts(t *testing.T) {
	for _, c := range []struct {
		name                 string
		nodes                int
		three, two, original int
	}{
		{"PEMS08", 170, 300244, 300212, 308660},
		{"METR-LA", 207, 300984, 300952, 309400},
		{"UrbanEV", 275, 302344, 302312, 310760},
		{"PEMS04", 307, 302984, 302952, 311400},
		{"PEMS-BAY", 325, 303344, 303312, 311760},
		{"PEMS03", 358, 304004, 303972, 312420},
		{"PEMS07", 883, 314504, 314472, 322920},
		{"SD", 716, 311164, 311132, 319580},
		{"GBA", 2352, 343884, 343852, 352300},
		{"GLA", 3834, 373524, 373492, 381940},
		{"CA", 8600, 468844, 468812, 477260},
	} {
		for want, options := range map[int]map[string]any{
			c.three:    nil,
			c.two:      {"channels": 2},
			c.original: {"channels": 2, "dead_convs": true},
		} {
			b, err := New("gwnet", Config{Nodes: c.nodes, History: 12, Horizon: 12, StepsPerDay: 288, Graph: oneWay(c.nodes), Options: options})
			if err != nil {
				t.Fatal(err)
			}
			if got := ParamCount(b); got != want {
				t.Errorf("%s %v: %d parameters; the reference has %d", c.name, options, got, want)
			}
		}
	}
}

// Initial values must have the bounds or the moments of the reference's initialisers.
func TestGWNetInitialValues(t *testing.T) {
	b, err := New("gwnet", Config{Nodes: 400, History: 12, Horizon: 12, StepsPerDay: 288, Graph: oneWay(400), Options: map[string]any{"dead_convs": true}})
	if err != nil {
		t.Fatal(err)
	}
	values := Named(b, Init(b, rand.New(rand.NewPCG(1, 2))))
	moments := func(v []float32) (mean, square, largest float64) {
		for _, x := range v {
			mean += float64(x) / float64(len(v))
			square += float64(x) * float64(x) / float64(len(v))
			largest = max(largest, math.Abs(float64(x)))
		}
		return mean, square, largest
	}
	for name, fanIn := range map[string]float64{
		"filter_convs.0.weight": 64, "filter_convs.7.bias": 64, "gate_convs.3.weight": 64, "residual_convs.2.weight": 32,
		"skip_convs.1.weight": 32, "skip_convs.1.bias": 32, "gconv.5.mlp.mlp.weight": 224, "gconv.5.mlp.mlp.bias": 224,
		"start_conv.weight": 3, "end_conv_1.weight": 256, "end_conv_1.bias": 256, "end_conv_2.weight": 512,
	} {
		bound := 1 / math.Sqrt(fanIn)
		_, square, largest := moments(values[name])
		if largest > bound*1.000001 || largest < 0.85*bound {
			t.Errorf("%s: largest of %d initial values %v; want just under %v", name, len(values[name]), largest, bound)
		}
		if n := len(values[name]); n > 1000 && math.Abs(square*3/bound/bound-1) > 0.1 {
			t.Errorf("%s: variance %v; want %v", name, square, bound*bound/3)
		}
	}
	for _, name := range []string{"nodevec1", "nodevec2"} {
		if mean, square, _ := moments(values[name]); math.Abs(mean) > 0.05 || math.Abs(square-1) > 0.07 {
			t.Errorf("%s: mean %v, variance %v; want 0 and 1", name, mean, square)
		}
	}
	for name, want := range map[string]float32{"bn.0.weight": 1, "bn.7.bias": 0, "bn.3.running_mean": 0, "bn.3.running_var": 1} {
		if len(values[name]) != 32 {
			t.Errorf("%s has %d values; want 32", name, len(values[name]))
		}
		for _, v := range values[name] {
			if v != want {
				t.Fatalf("%s begins with %v; want %v", name, v, want)
			}
		}
	}
}

// With init svd and one vector entry per node, the product of the vectors is the random walk itself.
func TestGWNetInitSVD(t *testing.T) {
	g := oneWay(6)
	b, err := New("gwnet", Config{Nodes: 6, History: 12, Horizon: 12, StepsPerDay: 288, Graph: g, Options: map[string]any{"init": "svd", "node_dim": 6}})
	if err != nil {
		t.Fatal(err)
	}
	values := Named(b, Init(b, rand.New(rand.NewPCG(1, 2))))
	for i, want := range g.Transition() {
		got := 0.0
		for k := range 6 {
			got += float64(values["nodevec1"][i/6*6+k]) * float64(values["nodevec2"][k*6+i%6])
		}
		if math.Abs(got-want) > 1e-6 {
			t.Errorf("entry (%d,%d) of the product is %v; want %v", i/6, i%6, got, want)
		}
	}
}

func TestGWNetErrors(t *testing.T) {
	g := oneWay(8)
	for _, c := range []struct {
		graph   *datasets.Graph
		options map[string]any
		want    string
	}{
		{g, map[string]any{"channels": 1}, "option channels = 1; choose 2"},
		{g, map[string]any{"layers": 0}, "layers = 0; each must be at least 1"},
		{g, map[string]any{"kernel": -2}, "option kernel = -2"},
		{g, map[string]any{"dropout": 1.0}, "option dropout = 1"},
		{g, map[string]any{"node_dim": 0}, "node_dim = 0"},
		{g, map[string]any{"supports": "laplacian"}, "choose one of auto, double-transition, none"},
		{g, map[string]any{"supports": "none", "adaptive": false}, "leave no matrix"},
		{g, map[string]any{"init": "svd"}, "node_dim = 10 exceeds the 8 nodes"},
		{g, map[string]any{"adaptive": "no"}, "want true or false"},
		{g, map[string]any{"skip_channels": 4}, `"skip_channels" is unknown`},
		{nil, map[string]any{"supports": "double-transition"}, `import it with --graph or set supports = "none"`},
		{nil, map[string]any{"adaptive": false}, "import it with --graph or set adaptive = true"},
		{nil, map[string]any{"init": "svd"}, `import it with --graph or set init = "random"`},
	} {
		_, err := New("gwnet", Config{Nodes: 8, History: 12, Horizon: 12, StepsPerDay: 288, Graph: c.graph, Options: c.options})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: error %v; want one with %q", c.options, err, c.want)
		}
	}
}

// The receptive field is 13 by default, as the length that the last of all convolutions needs.
func TestGWNetSteps(t *testing.T) {
	for _, c := range []struct{ kernel, blocks, layers, history, want int }{
		{2, 4, 2, 12, 13}, {2, 2, 3, 12, 15}, {3, 1, 2, 4, 7}, {1, 4, 2, 12, 12}, {2, 4, 2, 36, 36},
	} {
		b, err := New("gwnet", Config{Nodes: 3, History: c.history, Horizon: 12, StepsPerDay: 288,
			Options: map[string]any{"kernel": c.kernel, "blocks": c.blocks, "layers": c.layers}})
		if err != nil {
			t.Fatal(err)
		}
		if got := b.(*gwnet).steps(); got != c.want {
			t.Errorf("kernel %d, %d blocks of %d layers, history %d: %d steps; want %d", c.kernel, c.blocks, c.layers, c.history, got, c.want)
		}
	}
}

// gwnetForecast is a small model's forecast [B,Q,N] of values [B,T,N] whose windows begin at slot 0 of a Monday plus at.
func gwnetForecast(t *testing.T, be compute.Backend, b Backbone, c Config, theta, values []float32, at int) []float32 {
	t.Helper()
	batch := len(values) / c.History / c.Nodes
	tod, dow := make([]float32, batch*c.History), make([]float32, batch*c.History)
	for i := range tod {
		slot := at + i%c.History
		tod[i], dow[i] = float32(slot%c.StepsPerDay)/float32(c.StepsPerDay), float32(slot/c.StepsPerDay%7)
	}
	args := []any{theta, tensors.FromFlatDataAndDimensions(values, batch, c.History, c.Nodes),
		tensors.FromFlatDataAndDimensions(tod, batch, c.History), tensors.FromFlatDataAndDimensions(dow, batch, c.History)}
	for _, x := range b.Traits().Constants {
		args = append(args, tensors.FromFlatDataAndDimensions(x.Values, x.Shape...))
	}
	out, err := graph.CallOnceN(be, func(in []*graph.Node) []*graph.Node {
		p, _ := NewPass(b, in[0], in[4:], nil)
		return []*graph.Node{b.Forward(p, Input{Value: in[1], Tod: in[2], Dow: in[3]})}
	}, args...)
	if err != nil {
		t.Fatal(err)
	}
	return tensors.MustCopyFlatData[float32](out[0])
}

func gwnetSmall(t *testing.T, nodes, history int, g *datasets.Graph, more map[string]any) (Backbone, Config, []float32) {
	t.Helper()
	options := map[string]any{"residual": 4, "dilation": 5, "skip": 6, "end": 7, "node_dim": 3}
	for k, v := range more {
		options[k] = v
	}
	c := Config{Nodes: nodes, History: history, Horizon: 3, StepsPerDay: 24, Graph: g, Options: options}
	b, err := New("gwnet", c)
	if err != nil {
		t.Fatal(err)
	}
	return b, c, Init(b, rand.New(rand.NewPCG(5, 6)))
}

func noise(n int, seed uint64) []float32 {
	r := rand.New(rand.NewPCG(seed, 7))
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	return v
}

// A forecast from a long history is that of its last 13 steps, the receptive field.
func TestGWNetLongHistory(t *testing.T) {
	be := openBackend(t, "go")
	const nodes, long, field = 4, 20, 13
	values := noise(long*nodes, 1)
	b, c, theta := gwnetSmall(t, nodes, long, oneWay(nodes), nil)
	whole := gwnetForecast(t, be, b, c, theta, values, 0)
	b, c, _ = gwnetSmall(t, nodes, field, oneWay(nodes), nil)
	last := gwnetForecast(t, be, b, c, theta, values[(long-field)*nodes:], long-field)
	if len(whole) != c.Horizon*nodes || farthest(whole, last) > 1e-6 {
		t.Errorf("forecast %v; from the last %d steps alone it is %v", whole, field, last)
	}
}

// Values must spread along the edges with the first matrix, against them with the second, and everywhere with the adaptive one.
func TestGWNetReach(t *testing.T) {
	be := openBackend(t, "go")
	const nodes, history = 6, 3 // one layer: two steps of each walk at most
	chain := &datasets.Graph{N: nodes}
	for i := range int32(nodes - 1) {
		chain.Edges = append(chain.Edges, datasets.Edge{From: i, To: i + 1, Weight: 1})
	}
	for _, c := range []struct {
		graph    *datasets.Graph
		adaptive bool
		want     [nodes]bool // which forecasts the value of node 3 changes
	}{
		{chain, false, [nodes]bool{false, true, true, true, true, true}},
		{chain, true, [nodes]bool{true, true, true, true, true, true}},
		{nil, true, [nodes]bool{true, true, true, true, true, true}},
	} {
		// The first layer's diffusion is read by the second layer.
		b, cfg, theta := gwnetSmall(t, nodes, history, c.graph, map[string]any{"blocks": 1, "layers": 2, "adaptive": c.adaptive})
		values := noise(history*nodes, 2)
		before := gwnetForecast(t, be, b, cfg, theta, values, 0)
		for step := range history {
			values[step*nodes+3]++
		}
		after := gwnetForecast(t, be, b, cfg, theta, values, 0)
		for n, want := range c.want {
			changed := false
			for q := range cfg.Horizon {
				changed = changed || before[q*nodes+n] != after[q*nodes+n]
			}
			if changed != want {
				t.Errorf("graph %v, adaptive %v: the value of node 3 changes the forecast of node %d: %v; want %v", c.graph != nil, c.adaptive, n, changed, want)
			}
		}
	}
}

// Only the day of week tells Monday from Tuesday, and only with three channels.
func TestGWNetChannels(t *testing.T) {
	be := openBackend(t, "go")
	for channels, want := range map[int]bool{2: false, 3: true} {
		b, c, theta := gwnetSmall(t, 3, 12, nil, map[string]any{"channels": channels})
		values := noise(12*3, 3)
		monday := gwnetForecast(t, be, b, c, theta, values, 0)
		tuesday := gwnetForecast(t, be, b, c, theta, values, c.StepsPerDay)
		if changed := farthest(monday, tuesday) > 0; changed != want {
			t.Errorf("%d channels: Tuesday instead of Monday changes the forecast: %v; want %v", channels, changed, want)
		}
	}
}

// The parameters marked as unused, and no others, must have no gradient.
func TestGWNetUnusedParameters(t *testing.T) {
	b, c, theta := gwnetSmall(t, 4, 12, oneWay(4), map[string]any{"dead_convs": true})
	args := []any{theta, tensors.FromFlatDataAndDimensions(noise(2*12*4, 4), 2, 12, 4), tensors.FromFlatDataAndDimensions(noise(2*12, 5), 2, 12)}
	for _, x := range b.Traits().Constants {
		args = append(args, tensors.FromFlatDataAndDimensions(x.Values, x.Shape...))
	}
	out, err := graph.CallOnceN(openBackend(t, "go"), func(in []*graph.Node) []*graph.Node {
		p, parts := NewPass(b, in[0], in[3:], graph.Const(in[0].Graph(), []uint32{1, 2}))
		y := b.Forward(p, Input{Value: in[1], Tod: in[2], Dow: in[2]})
		return graph.Gradient(graph.ReduceAllSum(graph.Square(y)), parts...)
	}, args...)
	if err != nil {
		t.Fatal(err)
	}
	unused := 0
	for i, p := range b.Params() {
		largest := 0.0
		for _, v := range tensors.MustCopyFlatData[float32](out[i]) {
			largest = max(largest, math.Abs(float64(v)))
		}
		if p.Unused {
			unused += p.Size()
		}
		if strings.HasPrefix(p.Name, "gconv.") && strings.HasSuffix(p.Name, ".bias") && !p.Unused {
			continue // normalisation takes the bias away again: only rounding is left
		}
		if p.Unused != (largest == 0) {
			t.Errorf("%s: unused %v, largest gradient %v", p.Name, p.Unused, largest)
		}
	}
	// The last layer's diffusion (7 blocks) and normalisation, and eight dead convolutions.
	m := b.(*gwnet)
	if want := 7*m.dilation*m.residual + m.residual + 2*m.residual + 8*(m.dilation*m.residual+m.residual); unused != want || c.Nodes != 4 {
		t.Errorf("%d values are unused; want %d", unused, want)
	}
}

// Two training passes move the running statistics a tenth of the way each; evaluation uses them and leaves them.
func TestBatchNorm(t *testing.T) {
	const nodes, steps, batch, width = 3, 2, 4, 2
	x := noise(nodes*steps*batch*width, 6)
	for i := range x {
		x[i] = 3*x[i] + 5
	}
	b := normOnly{width}
	var mean, square [width]float64
	n := float64(len(x) / width)
	for i, v := range x {
		mean[i%width] += float64(v) / n
	}
	for i, v := range x {
		square[i%width] += (float64(v) - mean[i%width]) * (float64(v) - mean[i%width])
	}
	theta := []float32{2, 0.5, 1, -1, 0.1, 0.2, 1.5, 2} // weight, bias, running mean, running variance
	for _, backend := range []string{"xla", "go"} {
		out, err := graph.CallOnceN(openBackend(t, backend), func(theta, x *graph.Node) []*graph.Node {
			train, _ := NewPass(b, theta, nil, graph.Const(x.Graph(), []uint32{1, 2}))
			y := batchNorm(train, "bn", x)
			eval, _ := NewPass(b, theta, nil, nil)
			z := batchNorm(eval, "bn", x)
			params := graph.Slice(theta, graph.AxisRange(0, 2*width))
			return []*graph.Node{y, train.Theta(params), z, eval.Theta(params)}
		}, theta, tensors.FromFlatDataAndDimensions(x, nodes, steps, batch, width))
		if err != nil {
			t.Fatal(err)
		}
		y, after, z, same := tensors.MustCopyFlatData[float32](out[0]), tensors.MustCopyFlatData[float32](out[1]),
			tensors.MustCopyFlatData[float32](out[2]), tensors.MustCopyFlatData[float32](out[3])
		for i, v := range x {
			c := i % width
			gain, bias := float64(theta[c]), float64(theta[width+c])
			want := (float64(v)-mean[c])/math.Sqrt(square[c]/n+1e-5)*gain + bias
			if math.Abs(float64(y[i])-want) > 1e-5 {
				t.Fatalf("%s: training gives %v; want %v", backend, y[i], want)
			}
			want = (float64(v)-float64(theta[2*width+c]))/math.Sqrt(float64(theta[3*width+c])+1e-5)*gain + bias
			if math.Abs(float64(z[i])-want) > 1e-5 {
				t.Fatalf("%s: evaluation gives %v; want %v", backend, z[i], want)
			}
		}
		for c := range width {
			wantMean, wantVar := 0.9*float64(theta[2*width+c])+0.1*mean[c], 0.9*float64(theta[3*width+c])+0.1*square[c]/(n-1)
			if math.Abs(float64(after[2*width+c])-wantMean) > 1e-5 || math.Abs(float64(after[3*width+c])-wantVar) > 1e-5 {
				t.Errorf("%s: running statistics %v and %v; want %v and %v", backend, after[2*width+c], after[3*width+c], wantMean, wantVar)
			}
		}
		if farthest(same, theta) != 0 {
			t.Errorf("%s: evaluation changed theta to %v", backend, same)
		}
	}
}

// normOnly has the parameters of one batch normalisation.
type normOnly struct{ width int }

func (b normOnly) Params() []Param {
	part := Param{Name: "bn.weight", Init: fill(1)}
	part.Shape = []int{b.width}
	bias := part
	bias.Name, bias.Init = "bn.bias", fill(0)
	return []Param{part, bias}
}

func (b normOnly) Traits() Traits { return Traits{Buffers: batchNormBuffers("bn", b.width)} }

func (normOnly) Forward(*Pass, Input) *graph.Node { return nil }

func ExampleNew_graphWaveNet() {
	g := &datasets.Graph{N: 170}
	for i := range int32(170) {
		g.Edges = append(g.Edges, datasets.Edge{From: i, To: (i + 1) % 170, Weight: 1})
	}
	b, err := New("gwnet", Config{Nodes: 170, History: 12, Horizon: 12, StepsPerDay: 288, Graph: g})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(ParamCount(b), "parameters; matrices on the device:")
	for _, c := range b.Traits().Constants {
		fmt.Println(c.Name, c.Shape)
	}
	// Output:
	// 300244 parameters; matrices on the device:
	// P_fwd [170 170]
	// P_bwd [170 170]
}
