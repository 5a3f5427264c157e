package backbone

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/stprune/optim"
)

// openCity is OpenCity: each node's history is normalised by its own mean and deviation and cut into tokens of one hour; blocks
// of attention from the calendar of the future to that of the past, attention over the tokens of each node, one step along the
// graph and a gated feed-forward layer follow; one linear layer makes the forecast of all tokens of a node.
//
//	Paper    Li et al., 2024, arXiv 2408.10269; code HKUDS/OpenCity eca64c9
//	Cost     L·P·(6 + 3·ff_ratio)·D² + L·P·D·(3·P + N) + P·D·Q multiplications per node and window (D width, P tokens, L depth;
//	         with one token attention falls away: L·(4 + 3·ff_ratio)·D² + L·D·N + D·Q); L·heads·P² values of each of two
//	         attentions are kept per node and window for the gradient. The Laplacian's eigenvectors take N³ once, before training
//	Options  size "mini" (dim 128, depth 3, heads 16), "base" (256, 3, 16) or "plus" (512, 6, 16); dim, depth and heads
//	         override it. lap_dim 8 eigenvectors as spatial code (0: none), ff_ratio 2, dropout 0.1, attention_dropout 0.3.
//	         patch: steps per token, by default those of one hour (at most 12). graph "data", or "none" to leave out the graph
//	         step's neighbours and the spatial code; each node is then forecast from its own history alone.
//	         recompute false: true computes each block twice instead of keeping its inner arrays for the gradient
//
// The reference reads and forecasts one day. So does this where history and horizon are a day of 24 tokens: the output layer
// has 288 rows for any resolution, of which the first Q are used, and weights fit all resolutions. Other histories, whole
// numbers of tokens, get an output layer with Q rows. With a single token (12 steps of 5 minutes) both attentions hand on their
// values alone, so that neither the calendar nor the spatial code reaches the forecast.
//
// The reference adds self loops to the graphs that have none (PEMS04, 07, 08); here every node without one gets one of weight 1.
type openCity struct {
	Config
	dim, depth, heads, lap, ff int
	patch, tokens              int // steps per token P', tokens P
	dropout, attentionDropout  float64
	mix                        bool // nodes see each other
	recompute                  bool
	along                      roads // the step along the graph
	constants                  []Tensor
}

const (
	openCityPatch   = 12   // the width of the value embedding; shorter patches are padded with zeros on the right
	openCityMinutes = 1440 // of a day
	openCityRows    = 288  // of the reference's output layer
	openCityTokens  = 24   // of the reference's day
	openCityEps     = 1e-6 // of its RMS norms

	openCityPositions    = "patch_embedding_flow.position_encoding.pe"
	openCityAdjacency    = "adjacency"
	openCityEigenvectors = "eigenvectors"
)

func newOpenCity(c Config, o *options) Backbone {
	size := map[string][3]int{"mini": {128, 3, 16}, "base": {256, 3, 16}, "plus": {512, 6, 16}}[o.text("size", "mini", "base", "plus")]
	m := &openCity{
		Config:           c,
		dim:              o.int("dim", size[0]),
		depth:            o.int("depth", size[1]),
		heads:            o.int("heads", size[2]),
		lap:              o.int("lap_dim", 8),
		ff:               o.int("ff_ratio", 2),
		dropout:          o.rate("dropout", 0.1),
		attentionDropout: o.rate("attention_dropout", 0.3),
		patch:            o.int("patch", 0),
		mix:              o.text("graph", "data", "none") == "data",
		recompute:        o.bool("recompute", false),
	}
	if !m.mix {
		m.lap = 0
	}
	if o.err == nil {
		o.err = m.check()
	}
	if o.err == nil {
		o.err = m.derive()
	}
	return m
}

func (m *openCity) check() error {
	switch {
	case m.dim < 2 || m.dim%2 != 0:
		return fmt.Errorf("option dim = %d; want an even number of at least 2 (half of it tells the time of day, half the weekday)", m.dim)
	case m.heads < 1 || m.dim%m.heads != 0:
		return fmt.Errorf("option heads = %d does not divide the width dim = %d; change one of them", m.heads, m.dim)
	case m.ff < 1:
		return fmt.Errorf("option ff_ratio = %d; want at least 1", m.ff)
	case m.patch > openCityPatch:
		return fmt.Errorf("option patch = %d; a token has at most %d steps", m.patch, openCityPatch)
	}
	if m.patch == 0 {
		if m.StepsPerDay%24 != 0 || m.StepsPerDay/24 > openCityPatch {
			return fmt.Errorf("a token is one hour, but %d steps a day make %.3g steps an hour; set option patch to the steps of a token (1 to %d)",
				m.StepsPerDay, float64(m.StepsPerDay)/24, openCityPatch)
		}
		m.patch = m.StepsPerDay / 24
	}
	if m.History%m.patch != 0 {
		return fmt.Errorf("a history of %d steps is no whole number of tokens of %d steps; choose a multiple, or set option patch to a divisor",
			m.History, m.patch)
	}
	m.tokens = m.History / m.patch
	return nil
}

// derive computes the arrays that stay on the device.
func (m *openCity) derive() error {
	rows := max(100, m.tokens) // the reference has 100
	positions := make([]float32, rows*m.dim)
	for r := range rows {
		for i := range m.dim {
			angle := float64(r) * math.Exp(-math.Log(10000)/float64(m.dim)*float64(i-i%2))
			positions[r*m.dim+i] = float32([]float64{math.Sin(angle), math.Cos(angle)}[i%2])
		}
	}
	m.constants = []Tensor{{openCityPositions, []int{1, rows, m.dim}, positions}}
	if !m.mix {
		return nil
	}
	if m.Graph == nil {
		return errors.New(`it needs a graph, but the data set has none; import one with --graph, or set option graph = "none" to forecast each node from its own history alone`)
	}
	if m.Graph.N != m.Nodes {
		return fmt.Errorf("its graph has %d nodes, the data set %d; they must agree", m.Graph.N, m.Nodes)
	}
	g := withSelfLoops(m.Graph)
	m.along = newRoads(m.Config, openCityAdjacency, openCityStep(g), false)
	m.constants = append(m.constants, m.along.constants...)
	if m.lap > 0 {
		vectors, err := g.LaplacianEigenvectors(m.lap)
		if err != nil {
			return fmt.Errorf("option lap_dim = %d: %w; lower it, 0 for no spatial code", m.lap, err)
		}
		m.constants = append(m.constants, Tensor{openCityEigenvectors, []int{g.N, m.lap}, vectors})
	}
	return nil
}

// withSelfLoops gives every node without a self loop one of weight 1. No node is isolated then.
func withSelfLoops(g *datasets.Graph) *datasets.Graph {
	loop := make([]bool, g.N)
	out := &datasets.Graph{N: g.N}
	for _, e := range g.Edges {
		if e.From == e.To {
			loop[e.From] = e.Weight > 0
			if e.Weight <= 0 {
				continue
			}
		}
		out.Edges = append(out.Edges, e)
	}
	for i, has := range loop {
		if !has {
			out.Edges = append(out.Edges, datasets.Edge{From: int32(i), To: int32(i), Weight: 1})
		}
	}
	return out
}

// openCityStep is I + D^(−1/2) W D^(−1/2) with rows divided by their sums [N,N].
func openCityStep(g *datasets.Graph) []float32 {
	a := g.NormalisedAdjacency()
	out := make([]float32, len(a))
	for i := range g.N {
		row := a[i*g.N : (i+1)*g.N]
		row[i]++
		sum := 0.0
		for _, v := range row {
			sum += v
		}
		for j, v := range row {
			out[i*g.N+j] = float32(v / sum)
		}
	}
	return out
}

// OpenCityMinute is the calendar token of a time-of-day slot: the minute of the day at which the slot ends, 1 to 1440.
func OpenCityMinute(slot, stepsPerDay int) int { return max(1, (slot+1)*openCityMinutes/stepsPerDay) }

// OpenCityWeekday is the calendar token of a day of the week, 1 for Monday to 7.
func OpenCityWeekday(day int) int { return day + 1 }

func (m *openCity) Traits() Traits {
	return Traits{PairWise: !m.mix, Raw: true, Constants: m.constants}
}

// rows of the output layer, Q or more.
func (m *openCity) rows() int {
	if m.tokens == openCityTokens && m.History == m.StepsPerDay && m.Horizon == m.StepsPerDay {
		return openCityRows
	}
	return m.Horizon
}

func (m *openCity) Params() []Param {
	var ps []Param
	add := func(name string, init func(*rand.Rand, []float32), hidden bool, shape ...int) {
		ps = append(ps, Param{name, optim.Part{Shape: shape, Hidden: hidden}, init})
	}
	d := m.dim
	add("patch_embedding_flow.value_embedding.weight", fanIn(openCityPatch), false, d, openCityPatch)
	add("patch_embedding_time.daytime_embedding.weight", normal, false, openCityMinutes+1, d/2)
	add("patch_embedding_time.weekday_embedding.weight", normal, false, daysPerWeek+1, d/2)
	if m.lap > 0 {
		add("spatial_embedding.embedding_lap_pos_enc.weight", fanIn(m.lap), false, d, m.lap)
		add("spatial_embedding.embedding_lap_pos_enc.bias", fanIn(m.lap), false, d)
	}
	for i := range m.depth {
		block := func(name string) string { return fmt.Sprintf("encoder_blocks.%d.%s", i, name) }
		gain := func(name string) { add(block(name), fill(1), false, d) }
		matrix := func(name string, out, in int) { add(block(name)+".weight", fanIn(in), true, out, in) }
		layer := func(name string) {
			matrix(name, d, d)
			add(block(name)+".bias", fanIn(d), false, d)
		}
		gain("norm1.weight")
		gain("norm2.weight")
		layer("st_attn.t_q_conv")
		layer("st_attn.t_k_conv")
		layer("st_attn.t_v_conv")
		gain("st_attn.norm_tatt1.weight")
		gain("st_attn.norm_tatt2.weight")
		layer("st_attn.tc_q_conv")
		layer("st_attn.tc_k_conv")
		layer("st_attn.tc_v_conv")
		matrix("st_attn.GCN.fc1", d, d)
		layer("st_attn.GCN.mlp")
		matrix("mlp.w1", m.ff*d, d)
		matrix("mlp.w2", d, m.ff*d)
		matrix("mlp.w3", m.ff*d, d)
	}
	add("linear.weight", fanIn(d*m.tokens), false, m.rows(), d*m.tokens)
	add("linear.bias", fanIn(d*m.tokens), false, m.rows())
	return ps
}

// Forward keeps tokens as [M,B,P,D], nodes first: the step along the graph is one matrix product without a transposition.
func (m *openCity) Forward(p *Pass, in Input) *graph.Node {
	batch, nodes := in.Value.Shape().Dimensions[0], in.Value.Shape().Dimensions[2]
	value := graph.TransposeAllAxes(in.Value, 2, 0, 1) // [M,B,T]
	mean := graph.ReduceAndKeep(value, graph.ReduceMean, -1)
	value = graph.Sub(value, mean)
	deviation := graph.Sqrt(graph.AddScalar(graph.ReduceAndKeep(graph.Square(value), graph.ReduceMean, -1), 1e-5))
	value = graph.Reshape(graph.Div(value, deviation), nodes, batch, m.tokens, m.patch)

	// The zeros that fill a patch up to 12 meet the last columns of the weights, so both are left out.
	embedding := graph.Slice(p.Param("patch_embedding_flow.value_embedding.weight"), graph.AxisRange(), graph.AxisRange(0, m.patch))
	position := graph.Slice(p.Const(openCityPositions), graph.AxisRange(), graph.AxisRange(0, m.tokens), graph.AxisRange())
	x := graph.Add(linear(value, embedding, nil), graph.Reshape(position, 1, 1, m.tokens, m.dim))

	c := m.context(p, in)
	for i := range m.depth {
		if m.recompute {
			x = x.Checkpoint()
		}
		x = m.block(p, fmt.Sprintf("encoder_blocks.%d.", i), x, c)
		if m.recompute {
			x = x.StopCheckpoint()
		}
	}

	// The reference lays out the columns of the head as [D,P].
	p.SetLast(func() Last {
		h := graph.Reshape(graph.TransposeAllAxes(x, 1, 0, 3, 2), batch, nodes, m.dim*m.tokens)
		return Last{Input: h, Scale: graph.TransposeAllAxes(graph.Reshape(deviation, nodes, batch), 1, 0)}
	})
	used := func(x *graph.Node) *graph.Node { return graph.Slice(x, graph.AxisRange(0, m.Horizon)) }
	head := graph.Reshape(used(p.Param("linear.weight")), m.Horizon, m.dim, m.tokens)
	head = graph.Reshape(graph.TransposeAllAxes(head, 0, 2, 1), m.Horizon, m.tokens*m.dim)
	out := linear(graph.Reshape(x, nodes, batch, m.tokens*m.dim), head, used(p.Param("linear.bias"))) // [M,B,Q]
	out = graph.Add(graph.Mul(out, deviation), mean)
	return graph.TransposeAllAxes(out, 1, 2, 0)
}

// openCityContext is what the blocks look at besides their tokens: the first attention at the calendar and the space.
type openCityContext struct {
	past, future *graph.Node                     // [B,P,D] calendar tokens
	space        *graph.Node                     // [M,D] spatial code, or nil
	step         func(x *graph.Node) *graph.Node // a step along the graph from values [M,…]; nil without a graph
}

func (m *openCity) context(p *Pass, in Input) openCityContext {
	var c openCityContext
	if m.mix {
		c.step = m.along.step(p, in)
	}
	if m.tokens == 1 { // nothing looks at the rest
		return c
	}
	var minutes, weekdays []int32
	for slot := range m.StepsPerDay {
		minutes = append(minutes, int32(OpenCityMinute(slot, m.StepsPerDay)))
	}
	for day := range daysPerWeek {
		weekdays = append(weekdays, int32(OpenCityWeekday(day)))
	}
	tokens := func(slot, day *graph.Node) *graph.Node { // [B,P] both, to [B,P,D]
		look := func(table string, tokens []int32, index *graph.Node) *graph.Node {
			token := graph.Gather(graph.Const(index.Graph(), tokens), graph.InsertAxes(index, -1))
			return graph.Gather(p.Param("patch_embedding_time."+table+"_embedding.weight"), graph.InsertAxes(token, -1))
		}
		return graph.Concatenate([]*graph.Node{look("daytime", minutes, slot), look("weekday", weekdays, day)}, -1)
	}
	c.past = tokens(m.first(in.TodIndex, m.tokens), m.first(in.DowIndex, m.tokens))
	c.future = tokens(m.future(in))
	if m.lap > 0 {
		c.space = linear(in.ofBlock(p.Const(openCityEigenvectors), 0),
			p.Param("spatial_embedding.embedding_lap_pos_enc.weight"), p.Param("spatial_embedding.embedding_lap_pos_enc.bias"))
	}
	return c
}

// first picks from steps [B,·] the first one of each token [B,tokens].
func (m *openCity) first(steps *graph.Node, tokens int) *graph.Node {
	return graph.Slice(steps, graph.AxisRange(), graph.AxisRange(0, (tokens-1)*m.patch+1).Stride(m.patch))
}

// future is the slot and the day of the week [B,P] at which the tokens after the history begin. Those beyond a horizon that is
// shorter than the history are counted on from the first forecast step.
func (m *openCity) future(in Input) (slot, day *graph.Node) {
	known := min(m.tokens, (m.Horizon-1)/m.patch+1)
	slot, day = m.first(in.FutureTod, known), m.first(in.FutureDow, known)
	if known == m.tokens {
		return slot, day
	}
	g := slot.Graph()
	number := func(v int) *graph.Node { return graph.Scalar(g, dtypes.Int32, v) }
	later := graph.Iota(g, shapes.Make(dtypes.Int32, 1, m.tokens-known), 1)
	later = graph.Mul(graph.Add(later, number(known)), number(m.patch))
	later = graph.Add(later, m.first(in.FutureTod, 1)) // in steps from midnight
	days := graph.Add(graph.Div(later, number(m.StepsPerDay)), m.first(in.FutureDow, 1))
	slot = graph.Concatenate([]*graph.Node{slot, graph.Mod(later, number(m.StepsPerDay))}, 1)
	return slot, graph.Concatenate([]*graph.Node{day, graph.Mod(days, number(daysPerWeek))}, 1)
}

// block is one encoder block on tokens [M,B,P,D].
func (m *openCity) block(p *Pass, prefix string, x *graph.Node, c openCityContext) *graph.Node {
	param := func(name string) *graph.Node { return p.Param(prefix + name) }
	norm := func(name string, x *graph.Node) *graph.Node { return rmsNorm(x, param(name+".weight"), openCityEps) }

	u := norm("norm1", x)
	u = norm("st_attn.norm_tatt1", graph.Add(m.contextAttention(p, prefix+"st_attn.tc_", u, c), u))
	u = norm("st_attn.norm_tatt2", graph.Add(m.selfAttention(p, prefix+"st_attn.t_", u), u))
	u = graph.Add(graph.MulScalar(u, 0.05), graph.MulScalar(linear(c.neighbours(u), param("st_attn.GCN.fc1.weight"), nil), 0.95))
	u = linear(u, param("st_attn.GCN.mlp.weight"), param("st_attn.GCN.mlp.bias"))
	x = graph.Add(x, p.Dropout(u, m.dropout))

	both := linear(norm("norm2", x), graph.Concatenate([]*graph.Node{param("mlp.w1.weight"), param("mlp.w3.weight")}, 0), nil)
	halves := graph.Split(both, -1, 2)
	gate := graph.Mul(halves[0], graph.Sigmoid(halves[0]))
	return graph.Add(x, linear(graph.Mul(gate, halves[1]), param("mlp.w2.weight"), nil))
}

// neighbours is the mean of tokens [M,B,P,D] over each node and its neighbours.
func (c openCityContext) neighbours(x *graph.Node) *graph.Node {
	if c.step == nil {
		return x
	}
	return c.step(x)
}

// selfAttention is attention over the tokens of each node.
func (m *openCity) selfAttention(p *Pass, prefix string, x *graph.Node) *graph.Node {
	names := []string{"q", "k", "v"}
	if m.tokens == 1 {
		names = names[2:] // its weight is 1, whatever query and key are
	}
	var weights, biases []*graph.Node
	for _, name := range names {
		weights = append(weights, p.Param(prefix+name+"_conv.weight"))
		biases = append(biases, p.Param(prefix+name+"_conv.bias"))
	}
	parts := graph.Split(linear(x, graph.Concatenate(weights, 0), graph.Concatenate(biases, 0)), -1, len(names))
	if m.tokens == 1 {
		return m.single(p, parts[0])
	}
	return p.attention(parts[0], parts[1], parts[2], 2, m.heads, m.attentionDropout)
}

// single is attention over one token: its value, dropped by heads.
func (m *openCity) single(p *Pass, v *graph.Node) *graph.Node {
	if !p.Training() || m.attentionDropout == 0 {
		return v
	}
	d := v.Shape().Dimensions
	weight := p.Dropout(graph.Ones(v.Graph(), shapes.Make(v.DType(), d[0], d[1], m.heads, 1)), m.attentionDropout)
	heads := graph.Reshape(v, d[0], d[1], m.heads, m.dim/m.heads)
	return graph.Reshape(graph.Mul(heads, weight), d...)
}

// contextAttention asks with each future token's calendar and place which past tokens matter, and takes their values.
//
// Query and key are linear in calendar + place. What the place and the bias add to a key shifts all scores of one query alike and
// so falls out of the softmax; what the place adds to the query is one vector per node. So neither needs an array over nodes
// and tokens.
func (m *openCity) contextAttention(p *Pass, prefix string, u *graph.Node, c openCityContext) *graph.Node {
	v := linear(u, p.Param(prefix+"v_conv.weight"), p.Param(prefix+"v_conv.bias"))
	if m.tokens == 1 {
		return m.single(p, v)
	}
	nodes, batch := u.Shape().Dimensions[0], u.Shape().Dimensions[1]
	width := m.dim / m.heads
	key := graph.Reshape(linear(c.past, p.Param(prefix+"k_conv.weight"), nil), batch, m.tokens, m.heads, width)
	key = graph.MulScalar(key, 1/math.Sqrt(float64(width)))
	query := linear(c.future, p.Param(prefix+"q_conv.weight"), p.Param(prefix+"q_conv.bias"))
	query = graph.Reshape(query, batch, m.tokens, m.heads, width)
	scores := graph.EinsumAxes(query, key, [][2]int{{3, 3}}, [][2]int{{0, 0}, {2, 2}}) // [B,heads,P,P]
	scores = graph.BroadcastToShape(graph.InsertAxes(scores, 0), shapes.Make(u.DType(), nodes, batch, m.heads, m.tokens, m.tokens))
	if c.space != nil {
		place := graph.Reshape(linear(c.space, p.Param(prefix+"q_conv.weight"), nil), nodes, m.heads, width)
		byNode := graph.EinsumAxes(place, key, [][2]int{{2, 3}}, [][2]int{{1, 2}}) // [heads,M,B,P]
		scores = graph.Add(scores, graph.InsertAxes(graph.TransposeAllAxes(byNode, 1, 2, 0, 3), 3))
	}
	return p.attend(scores, v, 2, m.heads, m.attentionDropout)
}
