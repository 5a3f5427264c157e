package backbone

import "github.com/gomlx/gomlx/core/graph"

// layerNorm is torch.nn.LayerNorm over the last axis of x [..., D]: (x − mean)/√(biased variance + 1e-5)·gain + bias. Its gradient
// is written out, so that of arrays like x only x − mean need be kept for it.
func layerNorm(x, gain, bias *graph.Node) *graph.Node {
	normed := func(x *graph.Node) (centred, rate *graph.Node) {
		centred = graph.Sub(x, graph.ReduceAndKeep(x, graph.ReduceMean, -1))
		variance := graph.ReduceAndKeep(graph.Square(centred), graph.ReduceMean, -1)
		return centred, graph.Rsqrt(graph.AddScalar(variance, 1e-5))
	}
	centred, rate := normed(x)
	y := graph.Add(graph.Mul(graph.Mul(centred, rate), overLast(gain, x)), overLast(bias, x))
	return withGradient(y, x, []*graph.Node{gain, bias}, func(x, dy *graph.Node) []*graph.Node {
		centred, rate := normed(x)
		// Sums over rows and columns as matrix products, as XLA would first spread gain and rate over arrays like x.
		d := x.Shape().Dimensions[x.Rank()-1]
		flat := func(x *graph.Node) *graph.Node { return graph.Reshape(x, x.Shape().Size()/d, d) }
		alongRow := func(x *graph.Node) *graph.Node {
			sum := graph.EinsumAxes(flat(x), graph.Reshape(gain, d, 1), [][2]int{{1, 0}}, nil)
			return graph.Reshape(graph.DivScalar(sum, float64(d)), rate.Shape().Dimensions...)
		}
		product := graph.Mul(dy, centred)
		dgain := graph.EinsumAxes(graph.Reshape(rate, rate.Shape().Size(), 1), flat(product), [][2]int{{0, 0}}, nil)
		along := graph.Mul(graph.Square(rate), alongRow(product))
		dx := graph.Sub(graph.Mul(dy, overLast(gain, dy)), graph.Add(alongRow(dy), graph.Mul(centred, along)))
		return []*graph.Node{graph.Mul(dx, rate), graph.Reshape(dgain, d), graph.ReduceSum(flat(dy), 0)}
	})
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
