package backbone

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
)

// dropout draws masks by hashing the position of each value with the step's key. Compared with the backends' own generators it
// costs a fraction (a few integer operations that fuse with the mask) and gives the same masks on every backend.
type dropout struct {
	key   *graph.Node // uint32 [2]
	calls int         // each call in a pass draws its own mask
}

func (d *dropout) apply(x *graph.Node, rate float64) *graph.Node {
	g := x.Graph()
	d.calls++
	part := func(i int) *graph.Node {
		return graph.Reshape(graph.Slice(d.key, graph.AxisRange(i, i+1)))
	}
	position := graph.Iota(g, shapes.Make(dtypes.Uint32, x.Shape().Size()), 0)
	// Weyl steps keep the calls of one pass apart.
	bits := hash(graph.Add(position, graph.AddScalar(part(0), uint32(d.calls)*0x9e3779b9)))
	bits = hash(graph.BitwiseXor(bits, part(1)))
	drop := graph.LessThan(bits, graph.Scalar(g, dtypes.Uint32, uint32(math.Round(rate*(1<<32)))))
	drop = graph.Reshape(drop, x.Shape().Dimensions...)
	return graph.Where(drop, graph.ZerosLike(x), graph.MulScalar(x, 1/(1-rate)))
}

// hash is a bijective 32-bit mixer (xor-shift-multiply, constants "lowbias32" by C. Wellons, hash-prospector).
func hash(x *graph.Node) *graph.Node {
	mul := func(x *graph.Node, c uint32) *graph.Node {
		return graph.Mul(x, graph.Scalar(x.Graph(), dtypes.Uint32, c))
	}
	shift := func(x *graph.Node, n uint32) *graph.Node {
		return graph.BitwiseXor(x, graph.BitwiseShiftRightLogicalScalar(x, n))
	}
	x = mul(shift(x, 16), 0x7feb352d)
	x = mul(shift(x, 15), 0x846ca68b)
	return shift(x, 16)
}
