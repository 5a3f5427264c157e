package backbone

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/stprune/workbench/stprune/optim"
)

// staeformer is the Spatio-Temporal Adaptive Embedding transformer: every step of every node becomes a token that joins its
// value, its calendar and a free vector of its own; blocks of attention over the steps of each node are followed by blocks of
// attention over the nodes of each step.
//
//	Paper    Liu et al., CIKM 2023, arXiv 2308.10425; code XDZhelheim/STAEformer 2dfb9e3
//	Cost     L·(8·D² + 4·D·F)·T + 2·L·D·T·(T + N) + T·D·Q multiplications per node and window; about
//	         34·L·D·T values are kept per node and window for the gradient, with recompute 4·L·D·T (D width, F ff_dim, L layers
//	         of each kind); no graph
//	Options  embed_dim 24 (input_embedding_dim), tod_dim 24 (tod_embedding_dim), dow_dim 24 (dow_embedding_dim),
//	         node_dim 0 (spatial_embedding_dim), adaptive_dim 80 (adaptive_embedding_dim); all but the first may be 0, off.
//	         ff_dim 256 (feed_forward_dim), heads 4 (num_heads; they divide the sum of the five), layers 3 of each kind
//	         (num_layers), dropout 0.1.
//	         dow_index "calendar", or "zero" as ST-TTC has it: it feeds day/7, which the embedding's index truncates to 0.
//	         attention "chunked": the groups of tokens that attend to each other pass in chunks with 2 MB of scores (on CUDA
//	         1 GB), or one by one where a group has more; none are kept, as the backward pass computes them again. "single":
//	         always one by one. "whole": all scores at once, and kept; slower, and takes more memory.
//	         recompute false: true computes each block but for its attention twice instead of keeping its inner arrays for the
//	         gradient
type staeformer struct {
	Config
	embed, tod, dow, node, adaptive int
	ff, heads, layers               int
	dropout                         float64
	attention                       string
	dowZero, recompute              bool
}

func newSTAEformer(c Config, o *options) Backbone {
	m := &staeformer{
		Config:    c,
		embed:     o.int("embed_dim", 24),
		tod:       o.int("tod_dim", 24),
		dow:       o.int("dow_dim", 24),
		node:      o.int("node_dim", 0),
		adaptive:  o.int("adaptive_dim", 80),
		ff:        o.int("ff_dim", 256),
		heads:     o.int("heads", 4),
		layers:    o.int("layers", 3),
		dropout:   o.rate("dropout", 0.1),
		dowZero:   o.text("dow_index", "calendar", "zero") == "zero",
		recompute: o.bool("recompute", false),
		attention: o.text("attention", "chunked", "single", "whole"),
	}
	switch {
	case o.err != nil:
	case m.embed == 0 || m.ff == 0 || m.heads == 0:
		o.err = fmt.Errorf("options embed_dim = %d, ff_dim = %d, heads = %d; each must be at least 1", m.embed, m.ff, m.heads)
	case m.width()%m.heads != 0:
		o.err = fmt.Errorf("option heads = %d does not divide the width %d (embed_dim + tod_dim + dow_dim + node_dim + adaptive_dim); "+
			"change heads or one of the dims", m.heads, m.width())
	}
	return m
}

const staeformerChannels = 3 // value, time of day, day of week

func (m *staeformer) width() int { return m.embed + m.tod + m.dow + m.node + m.adaptive }

func (m *staeformer) Traits() Traits {
	d := m.width()
	perToken := m.layers * (8*d*d + 4*d*m.ff + 2*d*(m.History+m.Nodes)) // linear layers, and attention along both axes
	return Traits{Products: float64(m.Nodes) * float64(m.History) * float64(perToken+d*m.Horizon)}
}

func (m *staeformer) Params() []Param {
	var ps []Param
	add := func(name string, hidden bool, init func(r *rand.Rand, values []float32), shape ...int) {
		ps = append(ps, Param{name, optim.Part{Shape: shape, Hidden: hidden}, init})
	}
	layer := func(name string, in, out int, hidden bool) {
		add(name+".weight", hidden, fanIn(in), out, in)
		add(name+".bias", false, fanIn(in), out)
	}
	width := m.width()
	if m.node > 0 {
		add("node_emb", false, xavier(m.Nodes, m.node), m.Nodes, m.node)
	}
	if m.adaptive > 0 {
		// Xavier of [T,N,A] as torch counts it: A(N + T) is the sum of both fans.
		add("adaptive_embedding", false, uniform(math.Sqrt(6/float64(m.adaptive*(m.Nodes+m.History)))), m.History, m.Nodes, m.adaptive)
	}
	layer("input_proj", staeformerChannels, m.embed, false)
	if m.tod > 0 {
		add("tod_embedding.weight", false, normal, m.StepsPerDay, m.tod)
	}
	if m.dow > 0 {
		add("dow_embedding.weight", false, normal, daysPerWeek, m.dow)
	}
	layer("output_proj", m.History*width, m.Horizon, false)
	for _, block := range m.blocks() {
		for _, name := range []string{"FC_Q", "FC_K", "FC_V", "out_proj"} {
			layer(block.name+".attn."+name, width, width, true)
		}
		layer(block.name+".feed_forward.0", width, m.ff, true)
		layer(block.name+".feed_forward.2", m.ff, width, true)
		for _, name := range []string{".ln1", ".ln2"} {
			add(block.name+name+".weight", false, fill(1), width)
			add(block.name+name+".bias", false, fill(0), width)
		}
	}
	return ps
}

// block is one transformer block; axis is the axis of [B,T,N,D] that it attends along.
type block struct {
	name string
	axis int
}

func (m *staeformer) blocks() []block {
	var bs []block
	for i := range m.layers {
		bs = append(bs, block{fmt.Sprintf("attn_layers_t.%d", i), 1})
	}
	for i := range m.layers {
		bs = append(bs, block{fmt.Sprintf("attn_layers_s.%d", i), 2})
	}
	return bs
}

func (m *staeformer) Forward(p *Pass, in Input) *graph.Node {
	x := m.tokens(p, in)
	dims := x.Shape().Dimensions
	x = graph.Reshape(x, x.Shape().Size()/m.width(), m.width()) // two axes: XLA makes fewer copies
	for _, b := range m.blocks() {
		if m.recompute {
			x = x.Checkpoint()
		}
		x = m.block(p, b, x, dims[:3])
		if m.recompute {
			x = x.StopCheckpoint()
		}
	}
	x = graph.Reshape(x, dims...)
	p.SetLast(func() Last {
		h := graph.TransposeAllAxes(x, 0, 2, 1, 3)
		return Last{Input: graph.Reshape(h, h.Shape().Dimensions[0], h.Shape().Dimensions[1], m.History*m.width())}
	})
	// Per node, one linear layer over all steps and columns.
	w := graph.Reshape(p.Param("output_proj.weight"), m.Horizon, m.History, m.width())
	out := graph.EinsumAxes(x, w, [][2]int{{1, 1}, {3, 2}}, nil) // [B,N,Q]
	out = graph.Add(out, graph.Reshape(p.Param("output_proj.bias"), 1, 1, m.Horizon))
	return graph.TransposeAllAxes(out, 0, 2, 1)
}

// tokens joins the embeddings to [B,T,N,D].
func (m *staeformer) tokens(p *Pass, in Input) *graph.Node {
	d := in.Value.Shape().Dimensions
	batch, steps, nodes := d[0], d[1], d[2]
	full := func(x *graph.Node, width int) *graph.Node {
		return graph.BroadcastToShape(x, shapes.Make(x.DType(), batch, steps, nodes, width))
	}
	perStep := func(x *graph.Node, width int) *graph.Node { // of [B,T] or [B,T,width]
		return graph.Reshape(x, batch, steps, 1, x.Shape().Size()/(batch*steps))
	}
	dow, dowIndex := in.Dow, in.DowIndex
	if m.dowZero {
		dow, dowIndex = graph.DivScalar(dow, daysPerWeek), graph.ZerosLike(dowIndex)
	}

	// The reference's linear layer on the three channels; the calendar's share is the same for all nodes.
	w := p.Param("input_proj.weight")
	channel := func(i int) *graph.Node {
		return graph.Reshape(graph.Slice(w, graph.AxisRange(), graph.AxisRange(i, i+1)), 1, 1, 1, m.embed)
	}
	calendar := graph.Add(graph.Mul(perStep(in.Tod, 1), channel(1)), graph.Mul(perStep(dow, 1), channel(2)))
	calendar = graph.Add(calendar, graph.Reshape(p.Param("input_proj.bias"), 1, 1, 1, m.embed)) // [B,T,1,embed]
	value := graph.Mul(graph.Reshape(in.Value, batch, steps, nodes, 1), channel(0))
	parts := []*graph.Node{graph.Add(value, calendar)}

	embed := func(name string, index *graph.Node, width int) {
		if width > 0 {
			rows := graph.Gather(p.Param(name), graph.Reshape(index, batch, steps, 1)) // [B,T,width]
			parts = append(parts, full(perStep(rows, width), width))
		}
	}
	embed("tod_embedding.weight", in.TodIndex, m.tod)
	embed("dow_embedding.weight", dowIndex, m.dow)
	if m.node > 0 {
		parts = append(parts, full(graph.Reshape(in.ofBlock(p.Param("node_emb"), 0), 1, 1, nodes, m.node), m.node))
	}
	if m.adaptive > 0 {
		free := in.ofBlock(p.Param("adaptive_embedding"), 1)
		parts = append(parts, full(graph.Reshape(free, 1, steps, nodes, m.adaptive), m.adaptive))
	}
	return graph.Concatenate(parts, -1)
}

// block is attention and a feed-forward layer, each added to its input x [B·T·N,D] and then normalised; grid is [B,T,N].
func (m *staeformer) block(p *Pass, b block, x *graph.Node, grid []int) *graph.Node {
	param := func(name string) *graph.Node { return p.Param(b.name + "." + name) }
	layer := func(name string, x *graph.Node) *graph.Node {
		return linear(x, param(name+".weight"), param(name+".bias"))
	}
	norm := func(name string, x *graph.Node) *graph.Node {
		return layerNorm(x, param(name+".weight"), param(name+".bias"))
	}

	attended := m.attend(p, param, b.axis, x, grid)
	x = norm("ln1", graph.Add(x, p.Dropout(attended, m.dropout)))

	hidden := layer("feed_forward.0", x)
	hidden = graph.Max(hidden, graph.ScalarZero(hidden.Graph(), hidden.DType()))
	return norm("ln2", graph.Add(x, p.Dropout(layer("feed_forward.2", hidden), m.dropout)))
}

// attend is attention of tokens x [B·T·N,D] to each other along an axis of the grid [B,T,N].
func (m *staeformer) attend(p *Pass, param func(string) *graph.Node, axis int, x *graph.Node, grid []int) *graph.Node {
	if m.attention == "whole" {
		part := func(name string) *graph.Node {
			y := linear(x, param("attn."+name+".weight"), param("attn."+name+".bias"))
			return graph.Reshape(y, append(slices.Clone(grid), m.width())...)
		}
		y := p.attention(part("FC_Q"), part("FC_K"), part("FC_V"), axis, m.heads, 0)
		return linear(graph.Reshape(y, x.Shape().Dimensions...), param("attn.out_proj.weight"), param("attn.out_proj.bias"))
	}

	// XLA copies rows of 8 values much faster, so each head gets zeros on the right.
	width := m.width() / m.heads
	zeros := (8 - width%8) % 8
	padded := func(x *graph.Node, axis int) *graph.Node {
		if zeros == 0 {
			return x
		}
		dims := x.Shape().Dimensions
		pads := make([]compute.PadAxis, x.Rank()+1)
		pads[axis+1].End = zeros
		x = graph.Reshape(x, slices.Concat(dims[:axis], []int{m.heads, width}, dims[axis+1:])...)
		x = graph.Pad(x, graph.ScalarZero(x.Graph(), x.DType()), pads...)
		return graph.Reshape(x, slices.Concat(dims[:axis], []int{m.heads * (width + zeros)}, dims[axis+1:])...)
	}
	// Queries, keys and values in one product.
	join := func(part string) *graph.Node {
		q := graph.MulScalar(param("attn.FC_Q."+part), 1/math.Sqrt(float64(width)))
		parts := []*graph.Node{q, param("attn.FC_K." + part), param("attn.FC_V." + part)}
		for i := range parts {
			parts[i] = padded(parts[i], 0)
		}
		return graph.Concatenate(parts, 0)
	}
	groups := []int{grid[0], grid[1], grid[2], m.width()} // windows, along their steps
	if axis == 2 {
		groups = []int{grid[0] * grid[1], grid[2], 1, m.width()} // steps of windows, along their nodes
	}
	tokens := graph.Reshape(x, groups...)
	weight, all := join("weight"), m.heads*(width+zeros)
	bytes := 2 << 20
	if be, ok := x.Graph().Backend().(interface{ IsCUDA() bool }); ok && be.IsCUDA() {
		bytes = 1 << 30
	}
	if m.attention == "single" {
		bytes = 0
	}
	y := selfAttention(linear(tokens, weight, nil), join("bias"), m.heads, bytes)
	y = graph.Reshape(y, x.Shape().Dimensions[0], all)
	if m.recompute { // the rest of the block; attention is kept, and computes its own scores again
		y = y.Checkpoint()
	}
	return linear(y, padded(param("attn.out_proj.weight"), 1), param("attn.out_proj.bias"))
}
