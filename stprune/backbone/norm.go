package backbone

import "github.com/gomlx/gomlx/core/graph"

// layerNorm is torch.nn.LayerNorm over the last axis of x [..., D]: (x − mean)/√(biased variance + 1e-5)·gain + bias.
func layerNorm(x, gain, bias *graph.Node) *graph.Node {
	d := graph.Sub(x, graph.ReduceAndKeep(x, graph.ReduceMean, -1))
	variance := graph.ReduceAndKeep(graph.Square(d), graph.ReduceMean, -1)
	y := graph.Div(d, graph.Sqrt(graph.AddScalar(variance, 1e-5)))
	return graph.Add(graph.Mul(y, overLast(gain, x)), overLast(bias, x))
}

// rmsNorm divides x [..., D] by the root of its mean square over the last axis: x/√(mean(x²) + eps)·gain.
func rmsNorm(x, gain *graph.Node, eps float64) *graph.Node {
	square := graph.ReduceAndKeep(graph.Square(x), graph.ReduceMean, -1)
	return graph.Mul(graph.Div(x, graph.Sqrt(graph.AddScalar(square, eps))), overLast(gain, x))
}

// overLast shapes a vector [D] so that it broadcasts over all but the last axis of x.
func overLast(vector, x *graph.Node) *graph.Node {
	dims := make([]int, x.Rank())
	for i := range dims {
		dims[i] = 1
	}
	dims[len(dims)-1] = vector.Shape().Size()
	return graph.Reshape(vector, dims...)
}
