package backbone

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/stprune/accel"
)

// ring joins each of n nodes to the next, both ways.
func ring(n int) *datasets.Graph {
	g := &datasets.Graph{N: n}
	for i := range n {
		j := (i + 1) % n
		g.Edges = append(g.Edges,
			datasets.Edge{From: int32(i), To: int32(j), Weight: 1 + float32(i)/10}, datasets.Edge{From: int32(j), To: int32(i), Weight: 1 + float32(i)/10})
	}
	return g
}

// Counts of the reference code, which do not depend on the number of nodes.
func TestOpenCityParameters(t *testing.T) {
	for _, c := range []struct {
		size              string
		history, day      int
		nodes, parameters int
	}{
		{"mini", 288, 288, 12, 1672800},
		{"base", 288, 288, 12, 4721568},
		{"plus", 288, 288, 12, 25974816},
		{"mini", 48, 48, 30, 1672800}, // weights fit all resolutions
		{"mini", 144, 144, 30, 1672800},
		{"mini", 12, 288, 30, 789324},
		{"base", 12, 288, 12, 2954892},
		{"plus", 12, 288, 12, 22441740},
	} {
		b, err := New("opencity", Config{Nodes: c.nodes, History: c.history, Horizon: c.history, StepsPerDay: c.day, Graph: ring(c.nodes),
			Options: map[string]any{"size": c.size}})
		if err != nil {
			t.Fatal(err)
		}
		if got := ParamCount(b); got != c.parameters {
			t.Errorf("%s, %d of %d steps a day: %d parameters; the reference has %d", c.size, c.history, c.day, got, c.parameters)
		}
	}
}

func TestOpenCityInitialValues(t *testing.T) {
	b, err := New("opencity", Config{Nodes: 12, History: 24, Horizon: 24, StepsPerDay: 288, Graph: ring(12), Options: map[string]any{"dim": 64}})
	if err != nil {
		t.Fatal(err)
	}
	theta := Named(b, Init(b, rand.New(rand.NewPCG(1, 2))))
	for _, p := range b.Params() {
		least, largest, squares := math.Inf(1), math.Inf(-1), 0.0
		for _, v := range theta[p.Name] {
			x := float64(v)
			least, largest, squares = min(least, x), max(largest, x), squares+x*x/float64(p.Size())
		}
		switch {
		case strings.Contains(p.Name, "norm"):
			if least != 1 || largest != 1 {
				t.Errorf("%s: gains from %v to %v; want 1", p.Name, least, largest)
			}
		case strings.Contains(p.Name, "daytime"):
			if math.Abs(squares-1) > 0.05 {
				t.Errorf("%s: variance %v; want 1", p.Name, squares)
			}
		case p.Size() >= 400 && !strings.Contains(p.Name, "weekday"):
			bound := 1 / math.Sqrt(float64(p.Shape[1]))
			if largest > bound*1.000001 || largest < 0.95*bound || least < -bound*1.000001 || least > -0.95*bound {
				t.Errorf("%s: values from %v to %v; want ±%v", p.Name, least, largest, bound)
			}
		}
		inBlock := strings.Contains(p.Name, "encoder_blocks.") && len(p.Shape) == 2
		if p.Hidden != inBlock {
			t.Errorf("%s: hidden %v; Muon takes the matrices of the blocks", p.Name, p.Hidden)
		}
	}
}

func TestOpenCityErrors(t *testing.T) {
	for want, change := range map[string]func(*Config){
		`set option graph = "none"`:                func(c *Config) { c.Graph = nil },
		"its graph has 11 nodes, the data set 12":  func(c *Config) { c.Graph = ring(11) },
		"have 1 to 11 to give; lower it":           func(c *Config) { c.Options["lap_dim"] = 12 },
		"heads = 7 does not divide the width":      func(c *Config) { c.Options["heads"] = 7 },
		"dim = 33; want an even number":            func(c *Config) { c.Options["dim"] = 33 },
		"choose one of mini, base, plus":           func(c *Config) { c.Options["size"] = "huge" },
		"ff_ratio = 0":                             func(c *Config) { c.Options["ff_ratio"] = 0 },
		"attention_dropout = 1":                    func(c *Config) { c.Options["attention_dropout"] = 1.0 },
		"patch = 13; a token has at most 12":       func(c *Config) { c.Options["patch"] = 13 },
		"no whole number of tokens of 12 steps":    func(c *Config) { c.History = 30 },
		"8 steps a day make 0.333 steps an hour":   func(c *Config) { c.StepsPerDay = 8 },
		"1440 steps a day make 60 steps an hour":   func(c *Config) { c.StepsPerDay = 1440 },
		"the steps of a token (1 to 12)":           func(c *Config) { c.StepsPerDay = 100 },
		`option "layers" is unknown; it knows att`: func(c *Config) { c.Options["layers"] = 2 },
	} {
		c := Config{Nodes: 12, History: 12, Horizon: 12, StepsPerDay: 288, Graph: ring(12), Options: map[string]any{}}
		change(&c)
		if _, err := New("opencity", c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want one with %q", err, want)
		}
	}
}

// Node 0 leads to node 1, which has a self loop of weight 3; node 2 is alone.
func TestOpenCityStepOfADirectedGraph(t *testing.T) {
	g := withSelfLoops(&datasets.Graph{N: 3, Edges: []datasets.Edge{{From: 0, To: 1, Weight: 2}, {From: 1, To: 1, Weight: 3}}})
	// Degrees 3, 3, 1: I + D^(−1/2) W D^(−1/2) has the rows (1 + 1/3, 2/3, 0), (0, 1 + 1, 0), (0, 0, 1 + 1).
	want := []float64{2. / 3, 1. / 3, 0, 0, 1, 0, 0, 0, 1}
	for i, v := range openCityStep(g) {
		if math.Abs(float64(v)-want[i]) > 1e-7 {
			t.Errorf("entry %d is %v; want %v", i, v, want[i])
		}
	}
}

func TestOpenCityCalendar(t *testing.T) {
	for _, c := range []struct{ slot, perDay, minute int }{{0, 288, 5}, {287, 288, 1440}, {0, 24, 60}, {47, 48, 1440}, {0, 2880, 1}} {
		if got := OpenCityMinute(c.slot, c.perDay); got != c.minute {
			t.Errorf("slot %d of %d: minute %d; want %d", c.slot, c.perDay, got, c.minute)
		}
	}
}

func openBackend(t *testing.T, name string) compute.Backend {
	t.Helper()
	be, err := accel.Open(context.Background(), name, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { be.Close() })
	return be.Backend
}

// Tokens beyond a short horizon go on from its first step, over midnight and the week's end.
func TestOpenCityCalendarBeyondHorizon(t *testing.T) {
	const perDay, start = 24, 6*24 + 21 // Sunday, 21:00
	for _, horizon := range []int{1, 2, 3, 7, 12} {
		b, err := New("opencity", Config{Nodes: 12, History: 10, Horizon: horizon, StepsPerDay: perDay, Graph: ring(12),
			Options: map[string]any{"patch": 2, "dim": 16, "depth": 1}})
		if err != nil {
			t.Fatal(err)
		}
		m := b.(*openCity)
		var slots, days []int32
		for i := range int32(horizon) {
			slots, days = append(slots, (start+i)%perDay), append(days, (start+i)/perDay%7)
		}
		out, err := graph.CallOnceN(openBackend(t, "go"), func(slots, days *graph.Node) []*graph.Node {
			slot, day := m.future(Input{FutureTod: slots, FutureDow: days})
			return []*graph.Node{slot, day}
		}, [][]int32{slots}, [][]int32{days})
		if err != nil {
			t.Fatal(err)
		}
		slot, day := tensors.MustCopyFlatData[int32](out[0]), tensors.MustCopyFlatData[int32](out[1])
		for p, at := range []int32{21, 23, 1, 3, 5} {
			if want := []int32{6, 6, 0, 0, 0}[p]; slot[p] != at || day[p] != want {
				t.Errorf("horizon %d: token %d begins at slot %d of day %d; want %d of %d", horizon, p, slot[p], day[p], at, want)
			}
		}
	}
}

// evaluate runs b on values [B,T,M] that begin at the given slots.
func evaluate(t *testing.T, be compute.Backend, b Backbone, c Config, theta, values []float32, nodes int, starts ...int) []float32 {
	t.Helper()
	batch := len(starts)
	var tod, dow, futureTod, futureDow []int32
	for _, s := range starts {
		for i := range c.History + c.Horizon {
			slot, day := int32((s+i)%c.StepsPerDay), int32((s+i)/c.StepsPerDay%7)
			if i < c.History {
				tod, dow = append(tod, slot), append(dow, day)
			} else {
				futureTod, futureDow = append(futureTod, slot), append(futureDow, day)
			}
		}
	}
	args := []any{tensors.FromFlatDataAndDimensions(theta, len(theta)), tensors.FromFlatDataAndDimensions(values, batch, c.History, nodes),
		tensors.FromFlatDataAndDimensions(tod, batch, c.History), tensors.FromFlatDataAndDimensions(dow, batch, c.History),
		tensors.FromFlatDataAndDimensions(futureTod, batch, c.Horizon), tensors.FromFlatDataAndDimensions(futureDow, batch, c.Horizon)}
	for _, x := range b.Traits().Constants {
		args = append(args, tensors.FromFlatDataAndDimensions(x.Values, x.Shape...))
	}
	out, err := graph.CallOnceN(be, func(in []*graph.Node) []*graph.Node {
		p, _ := NewPass(b, in[0], in[6:], nil)
		return []*graph.Node{b.Forward(p, Input{Value: in[1], TodIndex: in[2], DowIndex: in[3], FutureTod: in[4], FutureDow: in[5]})}
	}, args...)
	if err != nil {
		t.Fatal(err)
	}
	return tensors.MustCopyFlatData[float32](out[0])
}

// Without a graph, a node's forecast is the same alone and among others; with one, it isn't.
func TestOpenCityWithoutGraphIsPairWise(t *testing.T) {
	be := openBackend(t, "go")
	const nodes = 4
	c := Config{Nodes: nodes, History: 6, Horizon: 4, StepsPerDay: 48, Graph: ring(nodes),
		Options: map[string]any{"graph": "none", "dim": 16, "depth": 2, "heads": 4}}
	r := rand.New(rand.NewPCG(3, 4))
	values := make([]float32, 2*c.History*nodes)
	for i := range values {
		values[i] = float32(50 + 10*r.NormFloat64())
	}
	var second []float32 // node 1 alone
	for i := range 2 * c.History {
		second = append(second, values[i*nodes+1])
	}
	b, err := New("opencity", c)
	if err != nil {
		t.Fatal(err)
	}
	if !b.Traits().PairWise || !b.Traits().Raw {
		t.Errorf("traits %+v; want pair-wise and raw", b.Traits())
	}
	theta := Init(b, r)
	all := evaluate(t, be, b, c, theta, values, nodes, 5, 40)
	alone := evaluate(t, be, b, c, theta, second, 1, 5, 40)
	for i, v := range alone {
		if d := math.Abs(float64(v - all[i*nodes+1])); d > 1e-4 {
			t.Fatalf("forecast %d of node 1 is %v alone and %v among others", i, v, all[i*nodes+1])
		}
	}

	c.Options = map[string]any{"lap_dim": 2, "dim": 16, "depth": 2, "heads": 4}
	if b, err = New("opencity", c); err != nil {
		t.Fatal(err)
	}
	if b.Traits().PairWise {
		t.Error("with a graph it is not pair-wise")
	}
	theta = Init(b, r)
	before := evaluate(t, be, b, c, theta, values, nodes, 5, 40)
	values[2] += 30 // a value of node 2
	after := evaluate(t, be, b, c, theta, values, nodes, 5, 40)
	moved := 0
	for i := range before {
		if before[i] != after[i] && i%nodes != 2 {
			moved++
		}
	}
	if moved == 0 {
		t.Error("a neighbour's value changed nothing")
	}
}

// A constant history has no deviation to divide by; the forecast must be finite and near the constant.
func TestOpenCityConstantHistory(t *testing.T) {
	c := Config{Nodes: 12, History: 12, Horizon: 12, StepsPerDay: 288, Graph: ring(12), Options: map[string]any{"dim": 16, "depth": 1}}
	b, err := New("opencity", c)
	if err != nil {
		t.Fatal(err)
	}
	values := make([]float32, c.History*c.Nodes)
	for i := range values {
		values[i] = 60
	}
	for _, v := range evaluate(t, openBackend(t, "go"), b, c, Init(b, rand.New(rand.NewPCG(5, 6))), values, c.Nodes, 0) {
		if !(math.Abs(float64(v)-60) < 1) {
			t.Fatalf("forecast %v of a constant 60", v)
		}
	}
}

// With one token, dropout of the attention's weights drops whole heads.
func TestOpenCitySingleTokenDropsHeads(t *testing.T) {
	const nodes, batch, heads, width, rate = 50, 40, 4, 3, 0.3
	m := &openCity{heads: heads, dim: heads * width, tokens: 1, attentionDropout: rate}
	out, err := graph.CallOnce(openBackend(t, "go"), func(x *graph.Node) *graph.Node {
		p := &Pass{dropout: &dropout{key: graph.Const(x.Graph(), []uint32{1, 2})}}
		return m.single(p, graph.Reshape(x, nodes, batch, 1, heads*width))
	}, ones(nodes*batch*heads*width))
	if err != nil {
		t.Fatal(err)
	}
	dropped, all := 0.0, 0.0
	values := tensors.MustCopyFlatData[float32](out)
	for ; len(values) > 0; values = values[width:] {
		all++
		if values[0] != values[1] || values[0] != values[2] || values[0] != 0 && math.Abs(float64(values[0])-1/(1-rate)) > 1e-6 {
			t.Fatalf("a head's values are %v", values[:width])
		}
		if values[0] == 0 {
			dropped++
		}
	}
	if sigma := math.Sqrt(all * rate * (1 - rate)); math.Abs(dropped-rate*all) > 4*sigma {
		t.Errorf("%v of %v heads dropped", dropped, all)
	}
}

func ExampleNew_opencity() {
	b, err := New("opencity", Config{Nodes: 12, History: 288, Horizon: 288, StepsPerDay: 288, Graph: ring(12), Options: map[string]any{"size": "plus"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(ParamCount(b), "parameters; raw units:", b.Traits().Raw)
	// Output: 25974816 parameters; raw units: true
}
