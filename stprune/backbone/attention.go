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
	last := q.Rank() - 1
	width := q.Shape().Dimensions[last] / heads
	var batch [][2]int
	for _, i := range apart(axis, last) {
		batch = append(batch, [2]int{i, i})
	}
	q = byHead(graph.MulScalar(q, 1/math.Sqrt(float64(width))), heads)
	scores := graph.EinsumAxes(q, byHead(k, heads), [][2]int{{last + 1, last + 1}}, batch)
	return p.attend(scores, v, axis, heads, rate)
}

// attend is the second half of attention: softmax(scores)·v. Scores are [..., heads, L, L] with the axes of v before the heads,
// but for the attended and the last one.
func (p *Pass) attend(scores, v *graph.Node, axis, heads int, rate float64) *graph.Node {
	dims := v.Shape().Dimensions
	last := len(dims) - 1

	// Softmax, divided by its sum only after the product with v: the largest arrays are then made, kept for the gradient and
	// read once less.
	e := graph.Exp(graph.Sub(scores, graph.StopGradient(graph.ReduceAndKeep(scores, graph.ReduceMax, -1))))
	sum := graph.ReduceAndKeep(e, graph.ReduceSum, -1) // [..., heads, L, 1]
	var batch [][2]int
	for i, of := range apart(axis, last) {
		batch = append(batch, [2]int{i, of})
	}
	out := graph.EinsumAxes(p.Dropout(e, rate), byHead(v, heads), [][2]int{{last + 1, axis}}, batch) // [..., heads, L, D/heads]
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

// byHead splits the last axis [..., D] to [..., heads, D/heads].
func byHead(x *graph.Node, heads int) *graph.Node {
	d := x.Shape().Dimensions
	last := len(d) - 1
	return graph.Reshape(x, append(slices.Clone(d[:last]), heads, d[last]/heads)...)
}

// apart are the axes of a split x that attention keeps apart: all but the attended one and the columns, the heads (at last)
// included.
func apart(axis, last int) []int {
	var axes []int
	for i := range last + 1 {
		if i != axis {
			axes = append(axes, i)
		}
	}
	return axes
}
