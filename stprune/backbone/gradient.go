package backbone

import "github.com/gomlx/gomlx/core/graph"

// withGradient is y with gradients of our own: x and params, of which y is a function, get those that gradient returns for dy, in
// this order. Where x is computed twice (see [graph.Node.Checkpoint]), gradient is given the second x; params must not be such.
//
// GoMLX has that for identities only. So y is cut off from its inputs, and hangs on x and params by a 0 that the compiler removes:
// this way they are visited after y, and what has arrived at y is known.
func withGradient(y, x *graph.Node, params []*graph.Node, gradient func(x, dy *graph.Node) []*graph.Node) *graph.Node {
	var dy *graph.Node
	var gradients []*graph.Node
	hook := func(input *graph.Node, i int) *graph.Node {
		again := graph.IdentityWithCustomGradient(input, func(again, _ *graph.Node) *graph.Node {
			if i > 0 {
				again = x
			}
			if gradients == nil {
				gradients = gradient(again, dy)
			}
			return gradients[i]
		})
		one := graph.Reshape(graph.Slice(graph.Reshape(again, again.Shape().Size()), graph.AxisRange(0, 1)))
		return graph.Where(graph.Const(x.Graph(), false), one, graph.ScalarZero(x.Graph(), x.DType()))
	}
	var zeros []*graph.Node
	for i, param := range params {
		zeros = append(zeros, hook(param, 1+i))
	}
	zeros = append(zeros, hook(x, 0)) // made last, visited first
	y = graph.StopGradient(y)
	for _, zero := range zeros {
		y = graph.Add(y, zero)
	}
	return graph.IdentityWithCustomGradient(y, func(_, v *graph.Node) *graph.Node {
		dy, gradients = v, nil // of this backward pass
		return v
	})
}
