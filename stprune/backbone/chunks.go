package backbone

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
)

// selfAttention is attention of tokens [G,L,O,·] to each other along the second axis, group by group, G, in chunks of groups that
// make up to bytes of scores (at least one group), so that memory holds the scores of one chunk only; the backward pass computes
// them again. Queries, keys and values [G,L,O,3D] come as products with the weights, to which the bias [3D] is still to be added;
// queries are divided by √(D/heads) already.
//
// The keys' bias is added too, though it shifts all scores of a query alike and so changes nothing.
func selfAttention(qkv, bias *graph.Node, heads, bytes int) *graph.Node {
	d := qkv.Shape().Dimensions
	groups, length, others, width := d[0], d[1], d[2], d[3]/3
	own := groups / qkv.Graph().NumDevices()
	chunk := own
	for chunk > 1 && (own%chunk > 0 || chunk*others*heads*length*length*int(qkv.DType().Size()) > bytes) {
		chunk--
	}
	bias = graph.Reshape(bias, 1, 1, 1, 3*width)
	results := []shapes.Shape{
		shapes.Make(qkv.DType(), groups, length, others, width),
		shapes.Make(qkv.DType(), groups, others, heads, length, 1),
	}
	forward := inChunks(chunk, results, func(in []*graph.Node) []*graph.Node {
		return attendChunk(splitQKV(in[0], in[1], heads))
	}, qkv, bias)
	y, logSums := forward[0], forward[1]
	return withGradient(y, qkv, []*graph.Node{bias}, func(qkv, dy *graph.Node) []*graph.Node {
		// Σ dy·y over the columns of a head is what the softmax's gradient subtracts in each row.
		products := graph.ReduceAndKeep(byHead(graph.Mul(dy, y), heads), graph.ReduceSum, -1) // [G,L,O,heads,1]
		products = graph.TransposeAllAxes(products, 0, 2, 3, 1, 4)
		dqkv := inChunks(chunk, []shapes.Shape{qkv.Shape()}, func(in []*graph.Node) []*graph.Node {
			q, k, v := splitQKV(in[0], in[1], heads)
			return []*graph.Node{attendChunkGradient(q, k, v, in[2], byHead(in[3], heads), in[4])}
		}, qkv, bias, logSums, dy, products)[0]
		return []*graph.Node{dqkv, graph.ReduceAndKeep(dqkv, graph.ReduceSum, 0, 1, 2)}
	})
}

// splitQKV takes queries, keys and values [c,L,O,heads,D/heads] apart, and adds the bias.
func splitQKV(qkv, bias *graph.Node, heads int) (q, k, v *graph.Node) {
	width := qkv.Shape().Dimensions[3] / 3
	third := func(x *graph.Node, i int) *graph.Node {
		return graph.Slice(x, graph.AxisRange().Spacer(), graph.AxisRange(i*width, (i+1)*width))
	}
	part := func(i int) *graph.Node { return byHead(graph.Add(third(qkv, i), third(bias, i)), heads) }
	return part(0), part(1), part(2)
}

// attendChunk returns the attended tokens [c,L,O,D] and the logarithm of the sum of each row of scores [c,O,heads,L,1].
func attendChunk(q, k, v *graph.Node) []*graph.Node {
	scores := tokenScores(q, k)
	top := maxOfLast(scores)
	e := graph.Exp(graph.Sub(scores, top))
	one := graph.Const(e.Graph(), shapes.CastAsDType(1, e.DType())) // not graph.Ones, whose scalar would be kept for use outside the loop
	ones := graph.BroadcastToShape(one, shapes.Make(e.DType(), e.Shape().Dimensions[4], 1))
	sum := graph.EinsumAxes(e, ones, [][2]int{{4, 0}}, nil)
	return []*graph.Node{tokensOf(graph.Div(weightTokens(e, v, 4), sum)), graph.Add(top, graph.Log(sum))}
}

// maxOfLast is the maximum over the last axis, which it keeps, by halves: reductions within loops are beyond go-xla.
func maxOfLast(x *graph.Node) *graph.Node {
	for n := x.Shape().Dimensions[x.Rank()-1]; n > 1; {
		half := (n + 1) / 2 // where n is odd, the halves share a value
		x = graph.Max(graph.Slice(x, graph.AxisRange().Spacer(), graph.AxisRange(0, half)),
			graph.Slice(x, graph.AxisRange().Spacer(), graph.AxisRange(n-half, n)))
		n = half
	}
	return x
}

// attendChunkGradient is the gradient [c,L,O,3D] of queries, keys and values, from that of the attended tokens, dy
// [c,L,O,heads,D/heads], and for each row of scores [c,O,heads,L,1] the logarithm of its sum and the product of dy with its result.
func attendChunkGradient(q, k, v, logSums, dy, products *graph.Node) *graph.Node {
	weights := graph.Exp(graph.Sub(tokenScores(q, k), logSums))
	ds := graph.Mul(weights, graph.Sub(tokenScores(dy, v), products))
	return graph.Concatenate([]*graph.Node{
		tokensOf(weightTokens(ds, k, 4)), tokensOf(weightTokens(ds, q, 3)), tokensOf(weightTokens(weights, dy, 3)),
	}, -1)
}

// tokenScores are the products [c,O,heads,L,L] of tokens x and y [c,L,O,heads,D/heads] of the same group and head.
func tokenScores(x, y *graph.Node) *graph.Node {
	return graph.EinsumAxes(x, y, [][2]int{{4, 4}}, [][2]int{{0, 0}, {2, 2}, {3, 3}})
}

// weightTokens sums tokens [c,L,O,heads,D/heads] over an axis, 3 or 4, of weights [c,O,heads,L,L], to [c,O,heads,L,D/heads].
func weightTokens(weights, tokens *graph.Node, over int) *graph.Node {
	return graph.EinsumAxes(weights, tokens, [][2]int{{over, 1}}, [][2]int{{0, 0}, {1, 2}, {2, 3}})
}

// tokensOf puts [c,O,heads,L,D/heads] in the order of tokens [c,L,O,D].
func tokensOf(x *graph.Node) *graph.Node {
	x = graph.TransposeAllAxes(x, 0, 3, 1, 2, 4)
	d := x.Shape().Dimensions
	return graph.Reshape(x, d[0], d[1], d[2], d[3]*d[4])
}

// inChunks is f, whose results have the given shapes, applied to chunks of the first axis of its inputs, one after the other. An
// input with a first axis of 1 goes whole to all. Within f there can be no reductions, and no scalars that GoMLX keeps for later use.
func inChunks(chunk int, results []shapes.Shape, f func(in []*graph.Node) []*graph.Node, in ...*graph.Node) []*graph.Node {
	g := in[0].Graph()
	devices := g.NumDevices()
	groups := in[0].Shape().Dimensions[0] / devices
	if chunk == groups {
		return f(in)
	}
	whole := func(x *graph.Node) bool { return x.Shape().Dimensions[0] == 1 }
	if !g.Backend().Capabilities().Operations[compute.OpTypeDynamicUpdateSlice] { // the Go backend
		parts := make([][]*graph.Node, len(results))
		for i := 0; i < groups; i += chunk {
			cut := slices.Clone(in)
			for k, x := range in {
				if !whole(x) {
					cut[k] = graph.Slice(x, graph.AxisRange(i, i+chunk))
				}
			}
			for k, x := range f(cut) {
				parts[k] = append(parts[k], x)
			}
		}
		out := make([]*graph.Node, len(results))
		for k := range out {
			out[k] = graph.Concatenate(parts[k], 0)
		}
		return out
	}

	// Each of several devices goes through its own groups: they are told apart by an axis in front, over which XLA divides the work.
	along := 0
	if devices > 1 {
		along = 1
	}
	split := func(x *graph.Node) *graph.Node {
		if d := x.Shape().Dimensions; along > 0 && !whole(x) {
			x = graph.Reshape(x, append([]int{devices, d[0] / devices}, d[1:]...)...)
		}
		return x
	}
	join := func(x *graph.Node) *graph.Node {
		if d := x.Shape().Dimensions; along > 0 && !whole(x) {
			x = graph.Reshape(x, append([]int{d[0] * d[1]}, d[2:]...)...)
		}
		return x
	}

	// A loop over a state: how many groups are done; the inputs, as a loop cannot look outside; the results, which it fills. They begin
	// with a value of the inputs, no matter which: a constant would be made long before, and hold memory until then.
	last := in[len(in)-1]
	filler := graph.Reshape(graph.Slice(graph.Reshape(last, last.Shape().Size()), graph.AxisRange(0, 1)))
	state := []*graph.Node{graph.Const(g, int32(0))}
	for _, x := range in {
		state = append(state, split(x))
	}
	for _, s := range results {
		state = append(state, split(graph.BroadcastToShape(filler, s)))
	}
	parameters := func(g *graph.Graph) (all []*graph.Node) {
		for i, x := range state {
			all = append(all, graph.Parameter(g, fmt.Sprint("state", i), x.Shape()))
		}
		return all
	}
	more := graph.NewClosure(g, func(g *graph.Graph) []*graph.Node {
		return []*graph.Node{graph.LessThan(parameters(g)[0], graph.Const(g, int32(groups)))}
	})
	step := graph.NewClosure(g, func(g *graph.Graph) []*graph.Node {
		state := parameters(g)
		start := func(x *graph.Node) []*graph.Node {
			at := make([]*graph.Node, x.Rank())
			for axis := range at {
				if at[axis] = state[0]; axis != along {
					at[axis] = graph.Const(g, int32(0))
				}
			}
			return at
		}
		cut := slices.Clone(state[1 : 1+len(in)])
		for i, x := range cut {
			if !whole(x) {
				size := slices.Clone(x.Shape().Dimensions)
				size[along] = chunk
				cut[i] = join(graph.DynamicSlice(x, start(x), size))
			}
		}
		for k, x := range f(cut) {
			at := 1 + len(in) + k
			x = split(x)
			state[at] = graph.DynamicUpdateSlice(state[at], x, start(x))
		}
		state[0] = graph.Add(state[0], graph.Const(g, int32(chunk)))
		return state
	})
	out := graph.While(more, step, state...)[1+len(in):]
	for k, x := range out {
		out[k] = join(x)
	}
	return out
}
