// Package backbone builds spatio-temporal forecasters as GoMLX graphs, one file each. Parameter names and layouts are those of
// the reference implementations in PyTorch, so that weights can be exchanged and compared.
//
// To add a backbone: one file that implements [Backbone], one entry in the table of [New].
package backbone

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"

	"github.com/gomlx/gomlx/core/graph"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/stprune/optim"
)

// Config is what a backbone must know about the data, and its own options.
type Config struct {
	Nodes       int // N
	History     int // T, input steps
	Horizon     int // Q, forecast steps
	StepsPerDay int // S, time-of-day slots

	Graph  *datasets.Graph // nil when the data set has none
	Blocks bool            // inputs are blocks of nodes, see Input; then fixed matrices of the graph stay matrices

	Options map[string]any // the backbone's own; an unknown key is an error
}

// Backbone is a forecaster whose graph can be built for any batch size.
type Backbone interface {
	// Params lists the trainable tensors in the reference's order.
	Params() []Param
	// Forward returns the forecast [B,Q,M], z-scored unless Traits says raw, and shows its last layer by [Pass.SetLast].
	Forward(p *Pass, in Input) *graph.Node
	// Traits says what else a trainer must know.
	Traits() Traits
}

// Traits of a backbone.
type Traits struct {
	PairWise  bool     // every node is forecast from its own history alone, so that training on single pairs is exact
	Products  float64  // multiplications in the forward pass's matrix products, for one window of all nodes; 0: not known
	Raw       bool     // values go in and come out in raw units; the backbone normalises by itself
	Buffers   []Tensor // running statistics of batches: training passes change them, the optimiser doesn't
	Constants []Tensor // arrays that stay on the device, e.g. a graph's supports
}

// Tensor is a named array that is not trained.
type Tensor struct {
	Name   string // as in the reference's state dict, where it is there; constants of our own have no dot in their names
	Shape  []int
	Values []float32 // row-major
}

// Param is one trainable tensor.
type Param struct {
	Name string // as in the reference's state dict
	optim.Part
	Init func(r *rand.Rand, values []float32) // the reference's initialiser
}

// Parts lays out the flat parameter vector.
func Parts(b Backbone) []optim.Part {
	var parts []optim.Part
	for _, p := range b.Params() {
		parts = append(parts, p.Part)
	}
	return parts
}

// Input is a batch as gathered on the device: B windows of M nodes each. M is N; the size of a block of nodes; or 1 when the unit is
// a pair.
type Input struct {
	Value *graph.Node // [B,T,M] z-scored, or raw where Traits says so
	Tod   *graph.Node // [B,T] time of day in [0,1), slot / S
	Dow   *graph.Node // [B,T] day of week 0..6, Monday 0

	TodIndex *graph.Node // [B,T] int32 slot in [0,S)
	DowIndex *graph.Node // [B,T] int32

	FutureTod *graph.Node // [B,Q] int32 slots of the forecast steps
	FutureDow *graph.Node // [B,Q] int32

	Nodes *graph.Node // [B,1] int32 the node of each pair; nil: the same nodes in all windows, all in order or those of Block
	Block *graph.Node // [M] int32 ids, the nodes of all windows: the model is restricted to them; nil: all nodes in order
}

// ofBlock keeps the block's nodes, [M,…] or [·,M,…], of an array that has all nodes on an axis, 0 or 1.
func (in Input) ofBlock(x *graph.Node, axis int) *graph.Node {
	if in.Block == nil {
		return x
	}
	axes := make([]int, x.Rank())
	for i := range axes {
		axes[i] = i
	}
	axes[0], axes[axis] = axis, 0
	x = graph.Gather(graph.TransposeAllAxes(x, axes...), graph.InsertAxes(in.Block, -1))
	return graph.TransposeAllAxes(x, axes...)
}

// stepsOfBlock restricts steps along a graph, a matrix [N,N] whose rows tell how much each node passes to (or takes from) all nodes,
// to the block [M,M]. What goes out of the block is shared by the rest of the row, so that rows keep their sums.
func (in Input) stepsOfBlock(a *graph.Node) *graph.Node {
	if in.Block == nil {
		return a
	}
	a = in.ofBlock(a, 0)
	sums := graph.ReduceAndKeep(a, graph.ReduceSum, 1)
	a = in.ofBlock(a, 1)
	own := graph.ReduceAndKeep(a, graph.ReduceSum, 1)
	isolated := graph.LessOrEqual(own, graph.ZerosLike(own))
	share := graph.Div(sums, graph.Where(isolated, graph.OnesLike(own), own))
	return graph.Mul(a, graph.Where(isolated, graph.ZerosLike(own), share))
}

// New makes the backbone called name.
func New(name string, c Config) (Backbone, error) {
	table := map[string]func(Config, *options) Backbone{
		"gwnet":      newGWNet,
		"opencity":   newOpenCity,
		"staeformer": newSTAEformer,
		"stid":       newSTID,
	}
	build, ok := table[name]
	if !ok {
		return nil, fmt.Errorf("backbone %q is unknown; choose one of %s", name, strings.Join(slices.Sorted(maps.Keys(table)), ", "))
	}
	if c.Nodes < 1 || c.History < 1 || c.Horizon < 1 || c.StepsPerDay < 1 {
		return nil, fmt.Errorf("backbone %s: %d nodes, history %d, horizon %d, %d steps a day; each must be at least 1",
			name, c.Nodes, c.History, c.Horizon, c.StepsPerDay)
	}
	o := &options{given: c.Options}
	b := build(c, o)
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("backbone %s: %w", name, err)
	}
	return b, nil
}

// ParamCount is the number of trainable values.
func ParamCount(b Backbone) int {
	n := 0
	for _, p := range b.Params() {
		n += p.Size()
	}
	return n
}

// Pass is one construction of a backbone's graph: it hands out parameters, buffers, constants and dropout masks.
type Pass struct {
	params    map[string]*graph.Node
	constants map[string]*graph.Node
	buffers   []string // in order
	buffer    map[string]*graph.Node
	dropout   *dropout    // nil in evaluation
	counted   *graph.Node // [B] 1 for the windows that batch statistics count, else 0; nil: all are counted
	last      func() Last // see SetLast
}

// NewPass splits theta [P+K], the parameters followed by the buffers, and names the constants, given in the order of Traits.
// With key == nil the pass is one of evaluation: dropout does nothing and buffers stay. Otherwise key is a uint32 [2] that
// decides the dropout masks of this step. It returns the parameters one by one too, for gradients.
func NewPass(b Backbone, theta *graph.Node, constants []*graph.Node, key *graph.Node) (p *Pass, parts []*graph.Node) {
	p = &Pass{params: map[string]*graph.Node{}, constants: map[string]*graph.Node{}, buffer: map[string]*graph.Node{}}
	at := 0
	next := func(shape []int) *graph.Node {
		size := optim.Part{Shape: shape}.Size()
		flat := graph.Slice(theta, graph.AxisRange(at, at+size))
		at += size
		return graph.Reshape(flat, shape...)
	}
	for _, param := range b.Params() {
		node := next(param.Shape)
		p.params[param.Name] = node
		parts = append(parts, node)
	}
	traits := b.Traits()
	for _, buffer := range traits.Buffers {
		p.buffers = append(p.buffers, buffer.Name)
		p.buffer[buffer.Name] = next(buffer.Shape)
	}
	for i, constant := range traits.Constants {
		p.constants[constant.Name] = graph.ConvertDType(constants[i], theta.DType())
	}
	if key != nil {
		p.dropout = &dropout{key: key}
	}
	return p, parts
}

// named finds what a backbone asks for. An unknown name is a programming error of the backbone.
func named(in map[string]*graph.Node, name, from string) *graph.Node {
	n, ok := in[name]
	if !ok {
		panic(fmt.Errorf("%q is not in the backbone's %s", name, from))
	}
	return n
}

// Param is the parameter called name.
func (p *Pass) Param(name string) *graph.Node { return named(p.params, name, "Params") }

// Const is the constant called name.
func (p *Pass) Const(name string) *graph.Node { return named(p.constants, name, "Traits().Constants") }

// Buffer is the buffer called name: its value before the step, or what SetBuffer made it.
func (p *Pass) Buffer(name string) *graph.Node { return named(p.buffer, name, "Traits().Buffers") }

// SetBuffer replaces a buffer, in training only. No gradient flows through it.
func (p *Pass) SetBuffer(name string, value *graph.Node) {
	_ = p.Buffer(name)
	if p.Training() {
		p.buffer[name] = graph.StopGradient(value)
	}
}

// Padded says that the batch was filled up: windows of weight 0 [B] are left out of its statistics.
func (p *Pass) Padded(weights *graph.Node) {
	p.counted = graph.ConvertDType(graph.GreaterThan(weights, graph.ZerosLike(weights)), weights.DType())
}

// Training tells whether this is a pass of training.
func (p *Pass) Training() bool { return p.dropout != nil }

// Theta joins updated parameters [P] with the buffers as Forward left them, to [P+K].
func (p *Pass) Theta(params *graph.Node) *graph.Node {
	all := []*graph.Node{params}
	for _, name := range p.buffers {
		all = append(all, graph.Reshape(p.buffer[name], p.buffer[name].Shape().Size()))
	}
	if len(all) == 1 {
		return params
	}
	return graph.Concatenate(all, 0)
}

// Dropout zeroes each value of x with probability rate and scales the rest by 1/(1−rate), in training only.
func (p *Pass) Dropout(x *graph.Node, rate float64) *graph.Node {
	if p.dropout == nil || rate == 0 {
		return x
	}
	return p.dropout.apply(x, rate)
}

// Last is a backbone's last linear layer as its forward pass used it: weight [Q,F] and bias [Q] turn a node's features into its
// forecast.
type Last struct {
	Input *graph.Node // [B,M,F] features, in the order of the weight's columns in the reference's layout
	Scale *graph.Node // [B,M] what the layer's output is multiplied by on its way to the forecast; nil: 1
}

// SetLast is how a backbone's Forward shows its last layer. The function is called only when somebody asks, so that other graphs
// stay as they are.
func (p *Pass) SetLast(last func() Last) { p.last = last }

// Last is the last layer of the forward pass before.
func (p *Pass) Last() Last {
	if p.last == nil { // a programming error of the backbone
		panic(errors.New("the backbone's Forward doesn't show its last layer"))
	}
	return p.last()
}

// Init makes theta [P+K]: parameters by the reference's initialisers, drawn from r, then the buffers' first values.
func Init(b Backbone, r *rand.Rand) []float32 {
	theta := make([]float32, ParamCount(b))
	at := 0
	for _, p := range b.Params() {
		p.Init(r, theta[at:at+p.Size()])
		at += p.Size()
	}
	for _, buffer := range b.Traits().Buffers {
		theta = append(theta, buffer.Values...)
	}
	return theta
}

// Named cuts theta [P+K] into parameters and buffers by their names.
func Named(b Backbone, theta []float32) map[string][]float32 {
	out := map[string][]float32{}
	for _, p := range b.Params() {
		out[p.Name], theta = theta[:p.Size()], theta[p.Size():]
	}
	for _, buffer := range b.Traits().Buffers {
		out[buffer.Name], theta = theta[:len(buffer.Values)], theta[len(buffer.Values):]
	}
	return out
}

// FromNamed joins what Named cut. The error names what is missing or has another size.
func FromNamed(b Backbone, named map[string][]float32) ([]float32, error) {
	var theta []float32
	take := func(name string, size int) error {
		values, ok := named[name]
		if !ok || len(values) != size {
			return fmt.Errorf("parameter %s has %d values; this model needs %d: they belong to another model or data set", name, len(values), size)
		}
		theta = append(theta, values...)
		return nil
	}
	for _, p := range b.Params() {
		if err := take(p.Name, p.Size()); err != nil {
			return nil, err
		}
	}
	for _, x := range b.Traits().Buffers {
		if err := take(x.Name, len(x.Values)); err != nil {
			return nil, err
		}
	}
	return theta, nil
}

// uniform draws from U(−bound, bound).
func uniform(bound float64) func(*rand.Rand, []float32) {
	return func(r *rand.Rand, v []float32) {
		for i := range v {
			v[i] = float32((2*r.Float64() - 1) * bound)
		}
	}
}

// fanIn is PyTorch's default for linear and convolution layers, weights and biases alike: U(±1/√fan_in).
func fanIn(n int) func(*rand.Rand, []float32) { return uniform(1 / math.Sqrt(float64(n))) }

// xavier is PyTorch's xavier_uniform of a matrix [rows, cols].
func xavier(rows, cols int) func(*rand.Rand, []float32) {
	return uniform(math.Sqrt(6 / float64(rows+cols)))
}

// normal is N(0,1), PyTorch's default for embeddings.
func normal(r *rand.Rand, v []float32) {
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
}

// fill sets every value, as gains (1) and their biases (0) begin.
func fill(value float32) func(*rand.Rand, []float32) {
	return func(_ *rand.Rand, v []float32) {
		for i := range v {
			v[i] = value
		}
	}
}

// linear is x [..., in] times the transposed weight [out, in, ...] plus bias [out], if there is one.
func linear(x, weight, bias *graph.Node) *graph.Node {
	out := weight.Shape().Dimensions[0]
	w := graph.Reshape(weight, out, weight.Shape().Size()/out)
	lead := x.Shape().Dimensions[:x.Rank()-1]
	x = rows(x)
	y := graph.EinsumAxes(x, w, [][2]int{{x.Rank() - 1, 1}}, nil)
	if bias != nil {
		y = graph.Add(y, overLast(bias, y))
	}
	return graph.Reshape(y, append(slices.Clone(lead), out)...)
}

// rows puts x in the form [R,C] with the same last axis. Not where devices share the batch: the rows of one would no longer be one
// part of the array, and each device would compute them all.
func rows(x *graph.Node) *graph.Node {
	if x.Graph().NumDevices() > 1 {
		return x
	}
	last := x.Shape().Dimensions[x.Rank()-1]
	return graph.Reshape(x, x.Shape().Size()/last, last)
}

// options reads a backbone's own settings and remembers what it was asked for, so that a misspelt key is found.
type options struct {
	given map[string]any
	known []string
	err   error
}

func (o *options) float(key string, fallback float64) float64 {
	o.known = append(o.known, key)
	switch v := o.given[key].(type) {
	case nil:
		return fallback
	case float64:
		return v
	case int64:
		return float64(v)
	case int:
		return float64(v)
	default:
		o.err = fmt.Errorf("option %s = %v (%T); want a number", key, v, v)
		return fallback
	}
}

// rate is a share that dropout drops.
func (o *options) rate(key string, fallback float64) float64 {
	v := o.float(key, fallback)
	if !(v >= 0 && v < 1) {
		o.err = fmt.Errorf("option %s = %v; want a share in [0,1)", key, v)
	}
	return v
}

func (o *options) bool(key string, fallback bool) bool {
	o.known = append(o.known, key)
	switch v := o.given[key].(type) {
	case nil:
		return fallback
	case bool:
		return v
	default:
		o.err = fmt.Errorf("option %s = %v (%T); want true or false", key, v, v)
		return fallback
	}
}

// text is one of the choices, the first by default.
func (o *options) text(key string, choices ...string) string {
	o.known = append(o.known, key)
	v, given := o.given[key]
	if !given {
		return choices[0]
	}
	text, ok := v.(string)
	if !ok || !slices.Contains(choices, text) {
		o.err = fmt.Errorf("option %s = %v; choose one of %s", key, v, strings.Join(choices, ", "))
	}
	return text
}

func (o *options) int(key string, fallback int) int {
	f := o.float(key, float64(fallback))
	if f != math.Trunc(f) || f < 0 {
		o.err = fmt.Errorf("option %s = %v; want a whole number of at least 0", key, f)
	}
	return int(f)
}

func (o *options) check() error {
	if o.err != nil {
		return o.err
	}
	for key := range o.given {
		if !slices.Contains(o.known, key) {
			sort.Strings(o.known)
			return fmt.Errorf("option %q is unknown; it knows %s", key, strings.Join(o.known, ", "))
		}
	}
	return nil
}
