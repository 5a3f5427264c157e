package backbone

import (
	"math"
	"slices"

	"github.com/gomlx/gomlx/core/graph"
)

// attention is multi-head attention along one axis of q, k and v [..., L, ..., D], which keep all other axes apart: each of the
// heads attends with its D/heads columns, softmax(q·kᵀ/√(D/heads))·v, and the heads' results are joined to the shape of q.
// Weights are dropped at the rate. The projections before and after belong to the caller. axis must not be the last one.
func (p *Pass) attention(q, k, v *graph.Node, axis, heads int, rate float64) *graph.Node {
	dims := q.Shape().Dimensions
	last := len(dims) - 1
	width := dims[last] / heads
	split := func(x *graph.Node) *graph.Node { // [..., L, ..., heads, width]
		return graph.Reshape(x, append(slices.Clone(x.Shape().Dimensions[:last]), heads, width)...)
	}
	var batch [][2]int // all axes but the attended and the last one, the heads included
	for i := range last + 1 {
		if i != axis {
			batch = append(batch, [2]int{i, i})
		}
	}
	q, k, v = split(graph.MulScalar(q, 1/math.Sqrt(float64(width)))), split(k), split(v)
	scores := graph.EinsumAxes(q, k, [][2]int{{last + 1, last + 1}}, batch) // [batch..., L, L]

	// Softmax, divided by its sum only after the product with v: the largest arrays are then made, kept for the gradient and
	// read once less.
	e := graph.Exp(graph.Sub(scores, graph.StopGradient(graph.ReduceAndKeep(scores, graph.ReduceMax, -1))))
	sum := graph.ReduceAndKeep(e, graph.ReduceSum, -1) // [batch..., L, 1]
	toBatch := make([][2]int, len(batch))
	for i, axes := range batch {
		toBatch[i] = [2]int{i, axes[1]}
	}
	out := graph.EinsumAxes(p.Dropout(e, rate), v, [][2]int{{last + 1, axis}}, toBatch) // [batch..., L, width]
	out = graph.Div(out, sum)

	// The attended axis goes back to its place, the heads beside their columns.
	var order []int
	for i := range last {
		switch {
		case i < axis:
			order = append(order, i)
		case i == axis:
			order = append(order, last)
		default:
			order = append(order, i-1)
		}
	}
	order = append(order, last-1, last+1)
	return graph.Reshape(graph.TransposeAllAxes(out, order...), dims...)
}
