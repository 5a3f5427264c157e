package backbone

import (
	"context"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/stprune/accel"
)

const blockNodes, blockBatch, blockHistory, blockHorizon = 6, 2, 4, 2

// blockModel is a tiny backbone on a ring of nodes, where node 4 is linked to none.
func blockModel(t *testing.T, name string, nodes int) Backbone {
	return ringModel(t, name, nodes, false)
}

// ringModel keeps the graph's matrices whole if it is to take blocks.
func ringModel(t *testing.T, name string, nodes int, blocks bool) Backbone {
	t.Helper()
	g := &datasets.Graph{N: nodes}
	for i := range int32(nodes) {
		if to := (i + 1) % int32(nodes); i != 4 && to != 4 {
			g.Edges = append(g.Edges, datasets.Edge{From: i, To: to, Weight: 1 + float32(i)/2})
		}
	}
	b, err := New(name, Config{Nodes: nodes, History: blockHistory, Horizon: blockHorizon, StepsPerDay: 24, Graph: g, Blocks: blocks, Options: map[string]map[string]any{
		"stid":       {"embed_dim": 4, "node_dim": 3, "tod_dim": 2, "dow_dim": 2, "layers": 1},
		"gwnet":      {"residual": 4, "dilation": 4, "skip": 6, "end": 5, "blocks": 1, "layers": 2, "node_dim": 2},
		"staeformer": {"embed_dim": 4, "tod_dim": 2, "dow_dim": 2, "node_dim": 4, "adaptive_dim": 4, "ff_dim": 6, "heads": 2, "layers": 1},
		"opencity":   {"dim": 4, "depth": 1, "heads": 2, "lap_dim": 1},
	}[name]})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// blockPass gives forecast [B,Q,M] and the gradient of a loss of a model with these values: of the nodes in block, or of all where
// it is nil.
func blockPass(t *testing.T, be compute.Backend, b Backbone, theta []float32, constants []Tensor, value []float32, block []int32, training bool) (forecast, gradient []float32) {
	t.Helper()
	args := []any{theta, tensors.FromFlatDataAndDimensions(value, blockBatch, blockHistory, len(value)/blockBatch/blockHistory)}
	for _, x := range constants {
		args = append(args, tensors.FromFlatDataAndDimensions(x.Values, x.Shape...))
	}
	if block != nil {
		args = append(args, block)
	}
	out, err := graph.CallOnceN(be, func(in []*graph.Node) []*graph.Node {
		g := in[0].Graph()
		var key *graph.Node
		if training {
			key = graph.Const(g, []uint32{1, 2})
		}
		slots := graph.Const(g, [][]int32{{3, 4, 5, 6}, {20, 21, 22, 23}})
		days := graph.Const(g, [][]int32{{0, 0, 0, 0}, {5, 5, 5, 5}})
		input := Input{
			Value: in[1], Tod: graph.DivScalar(graph.ConvertDType(slots, in[1].DType()), 24), Dow: graph.ConvertDType(days, in[1].DType()),
			TodIndex: slots, DowIndex: days,
			FutureTod: graph.Const(g, [][]int32{{7, 8}, {0, 1}}), FutureDow: graph.Const(g, [][]int32{{0, 0}, {6, 6}}),
		}
		if block != nil {
			input.Block = in[len(in)-1]
		}
		p, parts := NewPass(b, in[0], in[2:2+len(constants)], key)
		y := b.Forward(p, input)
		gradients := graph.Gradient(graph.ReduceAllSum(graph.Square(y)), parts...)
		for i, x := range gradients {
			gradients[i] = graph.Reshape(x, x.Shape().Size())
		}
		return []*graph.Node{y, graph.Concatenate(gradients, 0)}
	}, args...)
	if err != nil {
		t.Fatal(err)
	}
	return tensors.MustCopyFlatData[float32](out[0]), tensors.MustCopyFlatData[float32](out[1])
}

// A block of all nodes must forecast as the plain model to the last bit, with dropout too. In gradients the compiler may sum in
// another order.
func TestBlockOfAllNodesIsThePlainModel(t *testing.T) {
	be, err := accel.Open(context.Background(), "xla", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer be.Close()
	for _, name := range []string{"stid", "gwnet", "staeformer", "opencity"} {
		b := blockModel(t, name, blockNodes)
		theta, value := Init(b, rand.New(rand.NewPCG(5, 6))), noise(blockBatch*blockHistory*blockNodes, 9)
		for _, training := range []bool{false, true} {
			forecast, gradient := blockPass(t, be.Backend, b, theta, b.Traits().Constants, value, nil, training)
			f, g := blockPass(t, be.Backend, b, theta, b.Traits().Constants, value, []int32{0, 1, 2, 3, 4, 5}, training)
			if !slices.Equal(forecast, f) {
				t.Errorf("%s, training %v: forecast differs by %g", name, training, farthest(forecast, f))
			}
			scale := farthest(gradient, make([]float32, len(gradient)))
			if d := farthest(gradient, g); !(d <= 1e-7*scale) {
				t.Errorf("%s, training %v: gradient differs by %g of %g", name, training, d, scale)
			}
		}
	}
}

// A block must forecast as a model that knows nothing but the block's nodes: their embeddings, and the graph among them.
func TestBlockIsTheModelOfItsNodes(t *testing.T) {
	block := []int32{1, 2, 4}
	pick := func(values []float32, shape []int, axis int) []float32 { // the block's rows along an axis
		inner := 1
		for _, n := range shape[axis+1:] {
			inner *= n
		}
		var out []float32
		for at := 0; at < len(values); at += blockNodes * inner {
			for _, n := range block {
				from := at + int(n)*inner
				out = append(out, values[from:from+inner]...)
			}
		}
		return out
	}
	// The axis of the nodes in parameters and constants; of a step along the graph both are, and its rows keep their sums.
	axes := map[string]int{"node_emb": 0, "adaptive_embedding": 1, "nodevec1": 0, "nodevec2": 1, openCityEigenvectors: 0}
	restrict := func(x Tensor) Tensor {
		if axis, has := axes[x.Name]; has {
			x.Values = pick(x.Values, x.Shape, axis)
			x.Shape = slices.Clone(x.Shape)
			x.Shape[axis] = len(block)
		} else if len(x.Shape) == 2 && x.Shape[0] == blockNodes && x.Shape[1] == blockNodes {
			var rows []float32
			for _, n := range block {
				row, own, all := x.Values[n*blockNodes:(n+1)*blockNodes], float32(0), float32(0)
				for _, v := range row {
					all += v
				}
				for _, m := range block {
					own += row[m]
				}
				for _, m := range block {
					if own > 0 {
						rows = append(rows, row[m]*all/own)
					} else {
						rows = append(rows, 0)
					}
				}
			}
			x.Shape, x.Values = []int{len(block), len(block)}, rows
		}
		return x
	}

	for _, backend := range []string{"xla", "go"} {
		be, err := accel.Open(context.Background(), backend, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		defer be.Close()
		for _, name := range []string{"stid", "gwnet", "staeformer", "opencity"} {
			b, alone := blockModel(t, name, blockNodes), blockModel(t, name, len(block))
			theta, value := Init(b, rand.New(rand.NewPCG(7, 8))), noise(blockBatch*blockHistory*blockNodes, 9)
			named, constants := Named(b, theta), []Tensor{}
			for _, p := range b.Params() {
				named[p.Name] = restrict(Tensor{p.Name, p.Shape, named[p.Name]}).Values
			}
			for _, x := range b.Traits().Constants {
				constants = append(constants, restrict(x))
			}
			own, err := FromNamed(alone, named)
			if err != nil {
				t.Fatal(err)
			}
			part := pick(value, []int{blockBatch, blockHistory, blockNodes}, 2)
			want, wantGradient := blockPass(t, be.Backend, alone, own, constants, part, nil, false)
			got, gradient := blockPass(t, be.Backend, b, theta, b.Traits().Constants, part, block, false)
			if d := farthest(want, got); !(d < 1e-5) || len(got) != len(want) {
				t.Errorf("%s on %s: forecast of a block differs by %g", name, backend, d)
			}
			gradients := Named(b, append(gradient, make([]float32, len(theta)-len(gradient))...))
			for i, p := range b.Params() {
				n := alone.Params()[i].Size()
				d := farthest(wantGradient[:n], restrict(Tensor{p.Name, p.Shape, gradients[p.Name]}).Values)
				if scale := farthest(wantGradient[:n], make([]float32, n)); !(d <= 1e-5*math.Max(1, scale)) {
					t.Errorf("%s on %s: gradient of %s differs by %g of %g", name, backend, p.Name, d, scale)
				}
				wantGradient = wantGradient[n:]
			}
			if name != "stid" { // which forecasts each node from its own history alone
				continue
			}
			whole, _ := blockPass(t, be.Backend, b, theta, nil, value, nil, false)
			if d := farthest(pick(whole, []int{blockBatch, blockHorizon, blockNodes}, 2), got); !(d < 1e-5) {
				t.Errorf("stid on %s: a block's forecast differs from that among all nodes by %g", backend, d)
			}
		}
	}
}
