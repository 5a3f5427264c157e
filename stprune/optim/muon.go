package optim

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
)

// muon orthogonalises the momentum of hidden weight matrices; every other parameter takes AdamW (KellerJordan/Muon 857d1ad):
// M = βM + (1−β)G; U = (1−β)G + βM if Nesterov, else M; θ −= lr·λ·θ; θ −= lr·√max(1, a/b)·NewtonSchulz(U), a and b the last
// two sizes of the parameter. Newton–Schulz runs in the parameters' own precision.
func muon(c Config, s step) (*graph.Node, []*graph.Node) {
	momentum := graph.Add(graph.MulScalar(s.slots[0], c.Momentum), graph.MulScalar(s.grad, 1-c.Momentum))
	u := momentum
	if c.Nesterov {
		u = graph.Add(graph.MulScalar(s.grad, 1-c.Momentum), graph.MulScalar(momentum, c.Momentum))
	}
	decayed := graph.Sub(s.theta, graph.Mul(s.theta, graph.MulScalar(s.lr, c.WeightDecay)))

	rest := s
	rest.lr, rest.slots = s.auxLR, s.slots[1:]
	theta, moments := adamW(c, rest)

	var parts []*graph.Node
	at := 0
	for _, p := range s.parts {
		span := graph.AxisRange(at, at+p.Size())
		at += p.Size()
		if !p.Hidden {
			parts = append(parts, graph.Slice(theta, span))
			continue
		}
		rows := p.Shape[0]
		x := graph.Reshape(graph.Slice(u, span), rows, p.Size()/rows)
		if c.NSDType == BFloat16 {
			x = graph.ConvertDType(x, dtypes.BFloat16)
		}
		x = graph.ConvertDType(NewtonSchulz(x), u.DType())
		scale := math.Sqrt(math.Max(1, float64(p.Shape[len(p.Shape)-2])/float64(p.Shape[len(p.Shape)-1])))
		move := graph.MulScalar(graph.Mul(graph.Reshape(x, p.Size()), s.lr), scale)
		parts = append(parts, graph.Sub(graph.Slice(decayed, span), move))
	}
	return graph.Concatenate(parts, 0), append([]*graph.Node{momentum}, moments...)
}

// NewtonSchulz moves the singular values of a matrix towards 1 by five steps of X = aX + (bA + cA²)X, A = XXᵀ, from the matrix
// divided by its Frobenius norm, in the matrix's precision. In half precision, sums and products with a, b and c are rounded from
// float32 as in torch. The Go backend rounds every array and so has torch's bits; XLA keeps more digits where it saves rounding.
func NewtonSchulz(m *graph.Node) *graph.Node {
	const a, b, c = 3.4445, -4.7750, 2.0315
	rows, cols := m.Shape().Dimensions[0], m.Shape().Dimensions[1]
	tall := rows > cols
	if tall {
		m = graph.TransposeAllAxes(m, 1, 0)
	}
	wide := m.DType()
	if wide.IsHalfPrecision() {
		wide = dtypes.Float32
	}
	widened := func(x *graph.Node) *graph.Node { return graph.ConvertDType(x, wide) }
	rounded := func(x *graph.Node) *graph.Node { return graph.ConvertDType(x, m.DType()) }
	scaled := func(x *graph.Node, by float64) *graph.Node { return rounded(graph.MulScalar(widened(x), by)) }

	norm := rounded(graph.Sqrt(graph.ReduceAllSum(graph.Square(widened(m)))))
	x := graph.Div(m, graph.AddScalar(norm, 1e-7))
	for range 5 {
		xx := graph.EinsumAxes(x, x, [][2]int{{1, 1}}, nil)
		poly := graph.Add(scaled(xx, b), graph.MatMul(scaled(xx, c), xx))
		x = graph.Add(scaled(x, a), graph.MatMul(poly, x))
	}
	if tall {
		x = graph.TransposeAllAxes(x, 1, 0)
	}
	return x
}
