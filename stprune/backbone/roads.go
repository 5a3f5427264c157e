package backbone

import "github.com/gomlx/gomlx/core/graph"

// roads are fixed steps along the graph, m·x or mᵀ·x with a matrix m [N,N]: tiles where that is cheaper, else the matrix.
type roads struct {
	name       string
	transposed bool
	tiled      *tiles   // nil: the matrix
	constants  []Tensor // that stay on the device
}

// newRoads keeps m [N,N] under a name. Blocks of nodes need the matrix.
func newRoads(c Config, name string, m []float32, transposed bool) roads {
	r := roads{name: name, transposed: transposed}
	if !c.Blocks {
		r.tiled = newTiles(name, m, c.Nodes)
	}
	if r.tiled != nil {
		r.constants = r.tiled.constants()
	} else {
		r.constants = []Tensor{{name, []int{c.Nodes, c.Nodes}, m}}
	}
	return r
}

// step gives, in a pass, the step from values x [M,…], nodes first.
func (r roads) step(p *Pass, in Input) func(x *graph.Node) *graph.Node {
	if r.tiled != nil {
		return func(x *graph.Node) *graph.Node { return r.tiled.times(p, x, r.transposed) }
	}
	m, axis := in.stepsOfBlock(p.Const(r.name)), 1
	if r.transposed {
		axis = 0
	}
	return func(x *graph.Node) *graph.Node { return graph.EinsumAxes(m, x, [][2]int{{axis, 0}}, nil) }
}
