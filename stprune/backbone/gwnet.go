package backbone

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/stprune/optim"
)

// gwnet is Graph WaveNet: layers of a gated dilated convolution along time and a diffusion over fixed and learned transition
// matrices, each with a residual and batch normalisation; a head reads the last step of every layer.
//
//	Paper    Wu et al., IJCAI 2019, arXiv 1906.00121; code nnzhan/Graph-WaveNet 6b162e8, liuxu77/LargeST b7c6ff5
//	Cost     with the default options and 12 steps of history 0.8·10⁶ + 9984·N multiplications per node and window (N of them
//	         over 52 steps, 6 products with a matrix [N,N], 32 channels), plus 10·N² once a step. On large road graphs the four
//	         products with the random walks cost what their edges cost, see tiles. The matrices stay on the device
//	Options  channels 3: value, time of day, day of week / 7 as in LargeST; 2: without the last, as in the original.
//	         residual 32, dilation 32, skip 256, end 512 channels; kernel 2 steps; blocks 4 of layers 2, with dilations 1, 2, 4, …
//	         in each block; dropout 0.3.
//	         supports "auto": the random walks along and against the edges ("double-transition") where the series has a graph, else
//	         "none". adaptive true: a learned matrix too, from two vectors of node_dim 10 per node; without a graph it is the
//	         only one. init "random", or "svd": these vectors begin as factors of the random walk along the edges (N³ once).
//	         dead_convs false: true adds the original file's unused convolutions 1×1, as parameters only.
//
// A history shorter than the receptive field, 13 steps by default, gets zeros (of z-scored values) before it. A longer one gives
// the reference several forecasts, one per last step; here the one of the very last step counts, although all steps enter the
// batch statistics. Windows that only fill up a batch do not enter them; the trainer compiles a second step for such a batch.
type gwnet struct {
	Config
	channels, residual, dilation, skip, end int
	kernel, blocks, layers                  int
	dropout                                 float64
	walks, adaptive, dead                   bool
	node                                    int
	factors                                 [2][]float32   // first values of the two node vectors; nil: random
	along                                   func() []roads // the random walks along and against the edges, made once
}

func newGWNet(c Config, o *options) Backbone {
	m := &gwnet{
		Config:   c,
		channels: o.int("channels", 3),
		residual: o.int("residual", 32),
		dilation: o.int("dilation", 32),
		skip:     o.int("skip", 256),
		end:      o.int("end", 512),
		kernel:   o.int("kernel", 2),
		blocks:   o.int("blocks", 4),
		layers:   o.int("layers", 2),
		dropout:  o.rate("dropout", 0.3),
		adaptive: o.bool("adaptive", true),
		node:     o.int("node_dim", 10),
		dead:     o.bool("dead_convs", false),
	}
	supports := o.text("supports", "auto", "double-transition", "none")
	init := o.text("init", "random", "svd")
	m.walks = supports == "double-transition" || supports == "auto" && c.Graph != nil
	m.along = sync.OnceValue(m.randomWalks)
	const noGraph = "but the series has no graph; import it with --graph or set %s"
	switch {
	case o.err != nil:
	case m.channels != 2 && m.channels != 3:
		o.err = fmt.Errorf("option channels = %d; choose 2 (value, time of day) or 3 (and day of week)", m.channels)
	case min(m.residual, m.dilation, m.skip, m.end, m.kernel, m.blocks, m.layers) == 0:
		o.err = fmt.Errorf("options residual = %d, dilation = %d, skip = %d, end = %d, kernel = %d, blocks = %d, layers = %d; each must be at least 1",
			m.residual, m.dilation, m.skip, m.end, m.kernel, m.blocks, m.layers)
	case m.walks && c.Graph == nil:
		o.err = fmt.Errorf("option supports = %s needs a graph, "+noGraph, supports, `supports = "none"`)
	case !m.walks && !m.adaptive && c.Graph == nil:
		o.err = fmt.Errorf("option adaptive = false needs a graph, "+noGraph, "adaptive = true")
	case !m.walks && !m.adaptive:
		o.err = fmt.Errorf(`options supports = "none" and adaptive = false leave no matrix to diffuse over; change one of them`)
	case m.adaptive && m.node == 0:
		o.err = fmt.Errorf("option node_dim = 0 leaves the adaptive matrix no vectors; raise it or set adaptive = false")
	case m.adaptive && init == "svd" && c.Graph == nil:
		o.err = fmt.Errorf("option init = svd needs a graph, "+noGraph, `init = "random"`)
	case m.adaptive && init == "svd" && m.node > c.Nodes:
		o.err = fmt.Errorf("option node_dim = %d exceeds the %d nodes, which init = svd cannot fill; lower it or set init = \"random\"", m.node, c.Nodes)
	case m.adaptive && init == "svd":
		var from, to []float64
		if from, to, o.err = c.Graph.TransitionFactors(m.node); o.err == nil {
			m.factors = [2][]float32{float32s(from), float32s(to)}
		}
	}
	return m
}

func float32s(v []float64) []float32 {
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(x)
	}
	return out
}

// depth is the number of layers in all.
func (m *gwnet) depth() int { return m.blocks * m.layers }

// reach is the number of steps that layer i looks back.
func (m *gwnet) reach(i int) int { return (m.kernel - 1) << (i % m.layers) }

// steps is the length of the first layer's input: the history, or the receptive field if that is longer.
func (m *gwnet) steps() int {
	field := 1
	for i := range m.depth() {
		field += m.reach(i)
	}
	return max(m.History, field)
}

// supports is the number of matrices to diffuse over.
func (m *gwnet) supports() int {
	n := 0
	if m.walks {
		n += 2
	}
	if m.adaptive {
		n++
	}
	return n
}

func (m *gwnet) Traits() Traits {
	var t Traits
	for _, walk := range m.along() {
		t.Constants = append(t.Constants, walk.constants...)
	}
	for i := range m.depth() {
		t.Buffers = append(t.Buffers, batchNormBuffers(fmt.Sprintf("bn.%d", i), m.residual)...)
	}
	return t
}

func (m *gwnet) randomWalks() []roads {
	if !m.walks {
		return nil
	}
	walk := func(name string, g *datasets.Graph) roads {
		return newRoads(m.Config, name, float32s(g.Transition()), true)
	}
	return []roads{walk("P_fwd", m.Graph), walk("P_bwd", m.Graph.Reverse())}
}

func (m *gwnet) Params() []Param {
	var ps []Param
	add := func(name string, part optim.Part, init func(*rand.Rand, []float32)) {
		ps = append(ps, Param{name, part, init})
	}
	conv := func(name string, in, out, kernel int, part optim.Part) {
		part.Shape = []int{out, in, 1, kernel}
		add(name+".weight", part, fanIn(in*kernel))
		part.Shape, part.Hidden = []int{out}, false
		add(name+".bias", part, fanIn(in*kernel))
	}
	hidden := optim.Part{Hidden: true}
	// The last layer's diffusion and normalisation have no reader.
	read := func(i int) optim.Part { return optim.Part{Unused: i == m.depth()-1} }

	if m.adaptive {
		for i, shape := range [][]int{{m.Nodes, m.node}, {m.node, m.Nodes}} {
			init := normal
			if values := m.factors[i]; values != nil {
				init = func(_ *rand.Rand, v []float32) { copy(v, values) }
			}
			add(fmt.Sprintf("nodevec%d", i+1), optim.Part{Shape: shape}, init)
		}
	}
	for i := range m.depth() {
		conv(fmt.Sprintf("filter_convs.%d", i), m.residual, m.dilation, m.kernel, hidden)
	}
	for i := range m.depth() {
		conv(fmt.Sprintf("gate_convs.%d", i), m.residual, m.dilation, m.kernel, hidden)
	}
	if m.dead {
		for i := range m.depth() {
			conv(fmt.Sprintf("residual_convs.%d", i), m.dilation, m.residual, 1, optim.Part{Unused: true})
		}
	}
	for i := range m.depth() {
		conv(fmt.Sprintf("skip_convs.%d", i), m.dilation, m.skip, 1, hidden)
	}
	for i := range m.depth() {
		part := read(i)
		part.Shape = []int{m.residual}
		add(fmt.Sprintf("bn.%d.weight", i), part, fill(1))
		add(fmt.Sprintf("bn.%d.bias", i), part, fill(0))
	}
	for i := range m.depth() {
		part := read(i)
		part.Hidden = !part.Unused
		conv(fmt.Sprintf("gconv.%d.mlp.mlp", i), (1+2*m.supports())*m.dilation, m.residual, 1, part)
	}
	conv("start_conv", m.channels, m.residual, 1, optim.Part{})
	conv("end_conv_1", m.skip, m.end, 1, hidden)
	conv("end_conv_2", m.end, m.Horizon, 1, optim.Part{})
	return ps
}

// Forward keeps the nodes as the first axis, [N,T,B,C], so that a diffusion is one product with a matrix [N,T·B·C], and
// everything else one with a matrix [N·T·B,C].
func (m *gwnet) Forward(p *Pass, in Input) *graph.Node {
	x := m.start(p, in)
	var steps []func(x *graph.Node) *graph.Node // of the walks
	for _, walk := range m.along() {
		steps = append(steps, walk.step(p, in))
	}
	if m.adaptive {
		a := AdaptiveAdjacency(in.ofBlock(p.Param("nodevec1"), 0), in.ofBlock(p.Param("nodevec2"), 1))
		steps = append(steps, func(x *graph.Node) *graph.Node { return Diffuse(a, x) })
	}
	var read []*graph.Node // by the head, [N,1,B,dilation] each
	for i := range m.depth() {
		z := m.gated(p, i, x)
		length := z.Shape().Dimensions[1]
		read = append(read, cut(z, length-1, length))
		h := p.Dropout(m.diffused(p, i, z, steps), m.dropout)
		x = batchNorm(p, fmt.Sprintf("bn.%d", i), graph.Add(h, cut(x, m.reach(i), m.reach(i)+length)))
	}
	return m.head(p, read)
}

// cut keeps the steps [from,to) of x [N,T,B,C].
func cut(x *graph.Node, from, to int) *graph.Node {
	return graph.Slice(x, graph.AxisRange(), graph.AxisRange(from, to))
}

func (m *gwnet) param(p *Pass, i int, name string) *graph.Node { return p.Param(fmt.Sprintf(name, i)) }

// start takes the channels to the residual width [N,T,B,residual]. Only the value differs between nodes.
func (m *gwnet) start(p *Pass, in Input) *graph.Node {
	padded := func(x *graph.Node, time int) *graph.Node {
		axes := make([]compute.PadAxis, x.Rank())
		axes[time].Start = m.steps() - m.History
		return graph.Pad(x, graph.ScalarZero(x.Graph(), x.DType()), axes...)
	}
	weight := graph.Reshape(p.Param("start_conv.weight"), m.residual, m.channels)
	channel := func(c int) *graph.Node {
		return graph.Reshape(graph.Slice(weight, graph.AxisRange(), graph.AxisRange(c, c+1)), 1, 1, m.residual)
	}
	calendar := graph.Reshape(p.Param("start_conv.bias"), 1, 1, m.residual)
	for c, x := range []*graph.Node{in.Tod, graph.DivScalar(in.Dow, daysPerWeek)}[:m.channels-1] {
		x = graph.InsertAxes(padded(graph.TransposeAllAxes(x, 1, 0), 0), -1) // [T,B,1]
		calendar = graph.Add(calendar, graph.Mul(x, channel(1+c)))
	}
	value := graph.InsertAxes(padded(graph.TransposeAllAxes(in.Value, 2, 1, 0), 1), -1) // [N,T,B,1]
	return graph.Add(graph.Mul(value, graph.InsertAxes(channel(0), 0)), graph.InsertAxes(calendar, 0))
}

// gated is tanh(filter) · sigmoid(gate), two convolutions along time of x [N,T,B,residual], computed as one product.
func (m *gwnet) gated(p *Pass, i int, x *graph.Node) *graph.Node {
	dilation := 1 << (i % m.layers)
	steps := x.Shape().Dimensions[1] - m.reach(i)
	var taps []*graph.Node
	for k := range m.kernel {
		taps = append(taps, cut(x, k*dilation, k*dilation+steps))
	}
	both := func(what string) *graph.Node {
		return graph.Concatenate([]*graph.Node{m.param(p, i, "filter_convs.%d."+what), m.param(p, i, "gate_convs.%d."+what)}, 0)
	}
	weight := graph.TransposeAllAxes(both("weight"), 0, 2, 3, 1) // [2·dilation, 1, kernel, residual]
	y := linear(graph.Concatenate(taps, -1), weight, both("bias"))
	half := func(k int) *graph.Node {
		return graph.Slice(y, graph.AxisRange(), graph.AxisRange(), graph.AxisRange(), graph.AxisRange(k*m.dilation, (k+1)*m.dilation))
	}
	return graph.Mul(graph.Tanh(half(0)), graph.Sigmoid(half(1)))
}

// diffused mixes z [N,T,B,dilation] over the nodes to [N,T,B,residual]: W₀z + Σ (W₁Az + W₂AAz) + bias over the matrices A, where
// Az at node w is Σ A[v,w]·z at node v: a step of its walk. As channels and nodes commute, W comes first, and A is applied to
// W₁z + A(W₂z).
func (m *gwnet) diffused(p *Pass, i int, z *graph.Node, steps []func(x *graph.Node) *graph.Node) *graph.Node {
	name := "gconv.%d.mlp.mlp."
	weight := graph.Reshape(m.param(p, i, name+"weight"), m.residual, 1+2*len(steps), m.dilation)
	dims := append(slices.Clone(z.Shape().Dimensions[:3]), m.residual)
	z = rows(z)
	mixed := func(k int) *graph.Node {
		w := graph.Reshape(graph.Slice(weight, graph.AxisRange(), graph.AxisRange(k, k+1)), m.residual, m.dilation)
		y := graph.EinsumAxes(z, w, [][2]int{{z.Rank() - 1, 1}}, nil)
		if y.Rank() > 2 { // as rows left it
			return y
		}
		return graph.Reshape(y, dims[0], y.Shape().Size()/dims[0])
	}
	sum := mixed(0)
	for s, step := range steps {
		twice := step(mixed(2 + 2*s))
		sum = graph.Add(sum, step(graph.Add(mixed(1+2*s), twice)))
	}
	return graph.Add(graph.Reshape(sum, dims...), graph.Reshape(m.param(p, i, name+"bias"), 1, 1, 1, m.residual))
}

// head reads the last step of every layer, [N,1,B,dilation] each, and forecasts [B,Q,N].
func (m *gwnet) head(p *Pass, read []*graph.Node) *graph.Node {
	nodes, batch := read[0].Shape().Dimensions[0], read[0].Shape().Dimensions[2]
	var weights []*graph.Node
	bias := m.param(p, 0, "skip_convs.%d.bias")
	for i := range read {
		weights = append(weights, graph.Reshape(m.param(p, i, "skip_convs.%d.weight"), m.skip, m.dilation))
		if i > 0 {
			bias = graph.Add(bias, m.param(p, i, "skip_convs.%d.bias"))
		}
	}
	relu := func(x *graph.Node) *graph.Node { return graph.Max(x, graph.ScalarZero(x.Graph(), x.DType())) }
	layer := func(name string, x *graph.Node) *graph.Node {
		return linear(relu(x), p.Param(name+".weight"), p.Param(name+".bias"))
	}
	h := linear(graph.Concatenate(read, -1), graph.Concatenate(weights, -1), bias) // all layers' skip convolutions, summed
	h = layer("end_conv_1", h)
	p.SetLast(func() Last {
		return Last{Input: graph.TransposeAllAxes(graph.Reshape(relu(h), nodes, batch, m.end), 1, 0, 2)}
	})
	out := layer("end_conv_2", h)
	return graph.TransposeAllAxes(graph.Reshape(out, nodes, batch, m.Horizon), 1, 2, 0)
}

// AdaptiveAdjacency is Graph WaveNet's learned transition matrix [N,N] of two node vectors, e1 [N,d] and e2 [d,N]: the softmax
// over each row of ReLU(e1·e2).
func AdaptiveAdjacency(e1, e2 *graph.Node) *graph.Node {
	scores := graph.MatMul(e1, e2)
	return graph.Softmax(graph.Max(scores, graph.ScalarZero(scores.Graph(), scores.DType())), -1)
}

// Diffuse takes one step of a walk with transition matrix a [N,N] from the values x [N,…]: what arrives at node w is
// Σ a[v,w]·x[v] over the nodes v.
func Diffuse(a, x *graph.Node) *graph.Node {
	return graph.EinsumAxes(a, x, [][2]int{{0, 0}}, nil)
}

// batchNormBuffers are the running statistics of batch normalisation as PyTorch starts them.
func batchNormBuffers(name string, width int) []Tensor {
	ones := make([]float32, width)
	for i := range ones {
		ones[i] = 1
	}
	return []Tensor{
		{name + ".running_mean", []int{width}, make([]float32, width)},
		{name + ".running_var", []int{width}, ones},
	}
}

// batchNorm is torch.nn.BatchNorm2d over all but the last axis of x [N,T,B,C]: (x − mean)/√(variance + 1e-5)·weight + bias. In
// training mean and (biased) variance are those of the windows that the pass counts, and a tenth of them, the variance unbiased,
// enters the running ones.
func batchNorm(p *Pass, name string, x *graph.Node) *graph.Node {
	runningMean, runningVar := name+".running_mean", name+".running_var"
	mean, variance := p.Buffer(runningMean), p.Buffer(runningVar)
	if p.Training() {
		average, unbiased := batchAverage(p, x)
		mean = average(x)
		variance = average(graph.Square(graph.Sub(x, overLast(mean, x))))
		move := func(buffer string, to *graph.Node) {
			p.SetBuffer(buffer, graph.Add(graph.MulScalar(p.Buffer(buffer), 0.9), graph.MulScalar(to, 0.1)))
		}
		move(runningMean, mean)
		move(runningVar, graph.Mul(variance, unbiased))
	}
	scale := graph.Div(p.Param(name+".weight"), graph.Sqrt(graph.AddScalar(variance, 1e-5)))
	y := graph.Mul(graph.Sub(x, overLast(mean, x)), overLast(scale, x))
	return graph.Add(y, overLast(p.Param(name+".bias"), x))
}

// batchAverage is the mean over all but the last axis of arrays like x [N,T,B,C], and n/(n−1) of the n values that it counts. The
// mean goes in two stages, as one long float32 sum would lose digits.
func batchAverage(p *Pass, x *graph.Node) (average func(*graph.Node) *graph.Node, unbiased *graph.Node) {
	d := x.Shape().Dimensions
	if p.counted == nil {
		n := float64(d[0] * d[1] * d[2])
		average = func(x *graph.Node) *graph.Node { return graph.ReduceMean(graph.ReduceMean(x, 1, 2), 0) }
		return average, graph.Scalar(x.Graph(), x.DType(), n/max(1, n-1))
	}
	windows := graph.ReduceAllSum(p.counted)
	share := graph.Reshape(graph.Div(p.counted, graph.MulScalar(windows, float64(d[1]))), 1, 1, d[2], 1)
	average = func(x *graph.Node) *graph.Node {
		return graph.ReduceMean(graph.ReduceSum(graph.Mul(x, share), 1, 2), 0)
	}
	n := graph.MulScalar(windows, float64(d[0]*d[1]))
	return average, graph.Div(n, graph.MaxScalar(graph.AddScalar(n, -1), 1))
}
