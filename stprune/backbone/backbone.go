// Package backbone builds spatio-temporal forecasters as GoMLX graphs, one file each. Parameter names and layouts are those of
// the reference implementations in PyTorch, so that weights can be exchanged and compared.
//
// To add a backbone: one file that implements [Backbone], one entry in the table of [New].
package backbone

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"

	"github.com/gomlx/gomlx/core/graph"

	"github.com/stprune/workbench/stprune/optim"
)

// Config is what a backbone must know about the data, and its own options.
type Config struct {
	Nodes       int // N
	History     int // T, input steps
	Horizon     int // Q, forecast steps
	StepsPerDay int // S, time-of-day slots

	Options map[string]any // the backbone's own; an unknown key is an error
}

// Backbone is a forecaster whose graph can be built for any batch size.
type Backbone interface {
	// Params lists the trainable tensors in the reference's order.
	Params() []Param
	// Forward returns the forecast [B,Q,M] in z-scored units.
	Forward(p *Pass, in Input) *graph.Node
	// PairWise tells whether every node is forecast from its own history alone, so that training on single
	// (window, node) pairs is exact.
	PairWise() bool
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

// Input is a batch as gathered on the device: B windows of M nodes each. M is N, or 1 when the unit is a pair.
type Input struct {
	Value *graph.Node // [B,T,M] z-scored
	Tod   *graph.Node // [B,T] time of day in [0,1), slot / S
	Dow   *graph.Node // [B,T] day of week 0..6, Monday 0

	TodIndex *graph.Node // [B,T] int32 slot in [0,S)
	DowIndex *graph.Node // [B,T] int32

	Nodes *graph.Node // [B,M] int32 node ids; nil: all nodes in order
}

// New makes the backbone called name.
func New(name string, c Config) (Backbone, error) {
	table := map[string]func(Config, *options) Backbone{
		"stid": newSTID,
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

// Pass is one construction of a backbone's graph: it hands out the parameters and the dropout masks.
type Pass struct {
	params  map[string]*graph.Node
	dropout *dropout // nil in evaluation
}

// NewPass splits the flat parameter vector theta [P] into the backbone's parameters. With key == nil the pass is one of
// evaluation and dropout does nothing; otherwise key is a uint32 [2] that decides the dropout masks of this step.
func NewPass(b Backbone, theta, key *graph.Node) (p *Pass, parts []*graph.Node) {
	p = &Pass{params: map[string]*graph.Node{}}
	at := 0
	for _, param := range b.Params() {
		flat := graph.Slice(theta, graph.AxisRange(at, at+param.Size()))
		node := graph.Reshape(flat, param.Shape...)
		p.params[param.Name] = node
		parts = append(parts, node)
		at += param.Size()
	}
	if key != nil {
		p.dropout = &dropout{key: key}
	}
	return p, parts
}

// Param is the parameter called name. An unknown name is a programming error of the backbone.
func (p *Pass) Param(name string) *graph.Node {
	n, ok := p.params[name]
	if !ok {
		panic(fmt.Errorf("parameter %q is not in Params()", name))
	}
	return n
}

// Dropout zeroes each value of x with probability rate and scales the rest by 1/(1−rate), in training only.
func (p *Pass) Dropout(x *graph.Node, rate float64) *graph.Node {
	if p.dropout == nil || rate == 0 {
		return x
	}
	return p.dropout.apply(x, rate)
}

// Init fills a flat parameter vector with the reference's initialisers, drawn from r.
func Init(b Backbone, r *rand.Rand) []float32 {
	theta := make([]float32, ParamCount(b))
	at := 0
	for _, p := range b.Params() {
		p.Init(r, theta[at:at+p.Size()])
		at += p.Size()
	}
	return theta
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

// linear is x [..., in] times the transposed weight [out, in, ...] plus bias [out].
func linear(x, weight, bias *graph.Node) *graph.Node {
	out := weight.Shape().Dimensions[0]
	w := graph.Reshape(weight, out, weight.Shape().Size()/out)
	lead := x.Shape().Dimensions[:x.Rank()-1]
	in := x.Shape().Dimensions[x.Rank()-1]
	y := graph.EinsumAxes(graph.Reshape(x, x.Shape().Size()/in, in), w, [][2]int{{1, 1}}, nil)
	y = graph.Add(y, graph.Reshape(bias, 1, out))
	return graph.Reshape(y, append(slices.Clone(lead), out)...)
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
