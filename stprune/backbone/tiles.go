package backbone

import (
	"cmp"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
)

// tileRows is the number of nodes of a tile.
const tileRows = 64

// gatherCost is what moving one value costs, in multiplications of a matrix product.
const gatherCost = 100

// tiles hold a matrix m [N,N] that is mostly 0, such as the steps along a road graph, so that m·x costs what its entries cost. Nodes
// are dealt out to tiles of neighbours, whose rows of m have their entries in few columns: the columns' rows of x are gathered, and
// all tiles are one batched product. The gradient goes through the tiles of the transpose, as scattering is slow.
type tiles struct {
	name          string
	place         []int32 // [N] of each node among the rows of all tiles
	forward, back tiling
}

// tiling is the matrix, or its transpose.
type tiling struct {
	reach   int       // columns of a tile, R
	columns []int32   // [G,R]; the rest of a tile's are 0, with values 0
	values  []float32 // [G,tileRows,R]
}

// newTiles divides a matrix [n,n]; nil where that would not make its product cheaper.
func newTiles(name string, m []float32, n int) *tiles {
	if n < 4*tileRows {
		return nil
	}
	rows, columns := make([][]int32, n), make([][]int32, n) // where the entries are
	for i := range n {
		for j, v := range m[i*n : (i+1)*n] {
			if v != 0 {
				rows[i], columns[j] = append(rows[i], int32(j)), append(columns[j], int32(i))
			}
		}
	}
	order := neighbourly(rows, columns)
	t := &tiles{name: name, place: make([]int32, n)}
	for at, node := range order {
		t.place[node] = int32(at)
	}
	t.forward = newTiling(order, rows, func(i, j int32) float32 { return m[int(i)*n+int(j)] })
	t.back = newTiling(order, columns, func(i, j int32) float32 { return m[int(j)*n+int(i)] })
	if max(t.forward.cost(n), t.back.cost(n)) > n*n*7/10 {
		return nil
	}
	return t
}

// neighbourly orders the nodes so that neighbours are near each other: breadth first, those with fewest neighbours first (Cuthill and
// McKee 1969).
func neighbourly(rows, columns [][]int32) []int32 {
	n := len(rows)
	degree := func(i int32) int { return len(rows[i]) + len(columns[i]) }
	byDegree := func(a, b int32) int { return cmp.Or(degree(a)-degree(b), int(a-b)) }
	starts := make([]int32, n)
	for i := range starts {
		starts[i] = int32(i)
	}
	slices.SortFunc(starts, byDegree)
	seen := make([]bool, n)
	order := make([]int32, 0, n)
	for _, start := range starts {
		if seen[start] {
			continue
		}
		seen[start] = true
		order = append(order, start)
		for at := len(order) - 1; at < len(order); at++ {
			next := slices.Concat(rows[order[at]], columns[order[at]])
			slices.SortFunc(next, byDegree)
			for _, j := range next {
				if !seen[j] {
					seen[j] = true
					order = append(order, j)
				}
			}
		}
	}
	return order
}

func newTiling(order []int32, entries [][]int32, value func(i, j int32) float32) tiling {
	var used [][]int32 // columns of each tile
	t := tiling{reach: 1}
	for tile := range slices.Chunk(order, tileRows) {
		var columns []int32
		for _, i := range tile {
			columns = append(columns, entries[i]...)
		}
		slices.Sort(columns)
		columns = slices.Compact(columns)
		used = append(used, columns)
		t.reach = max(t.reach, len(columns))
	}
	t.columns, t.values = make([]int32, len(used)*t.reach), make([]float32, len(used)*tileRows*t.reach)
	for g, columns := range used {
		copy(t.columns[g*t.reach:], columns)
		for s, i := range order[g*tileRows : min(len(order), (g+1)*tileRows)] {
			for _, j := range entries[i] {
				at, _ := slices.BinarySearch(columns, j)
				t.values[(g*tileRows+s)*t.reach+at] = value(i, j)
			}
		}
	}
	return t
}

// cost of a product with [N,1], in multiplications.
func (t tiling) cost(n int) int { return len(t.values) + gatherCost*(len(t.columns)+n) }

// The constants' names.
func (t *tiles) names(back bool) (columns, values, place string) {
	columns, values, place = t.name+"_columns", t.name+"_values", t.name+"_place"
	if back {
		columns, values = t.name+"_back_columns", t.name+"_back_values"
	}
	return columns, values, place
}

func (t *tiles) constants() []Tensor {
	whole := func(v []int32) []float32 { // exact up to 2^24
		out := make([]float32, len(v))
		for i, x := range v {
			out[i] = float32(x)
		}
		return out
	}
	_, _, place := t.names(false)
	all := []Tensor{{place, []int{len(t.place)}, whole(t.place)}}
	for back, m := range map[bool]tiling{false: t.forward, true: t.back} {
		columns, values, _ := t.names(back)
		groups := len(m.columns) / m.reach
		all = append(all, Tensor{columns, []int{groups, m.reach}, whole(m.columns)}, Tensor{values, []int{groups, tileRows, m.reach}, m.values})
	}
	slices.SortFunc(all, func(a, b Tensor) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// times is m·x for x [N,…], nodes first, or the transpose's product.
func (t *tiles) times(p *Pass, x *graph.Node, transposed bool) *graph.Node {
	product := func(x *graph.Node, back bool) *graph.Node {
		d := x.Shape().Dimensions
		columnsName, valuesName, placeName := t.names(back)
		index := func(name string) *graph.Node {
			return graph.InsertAxes(graph.ConvertDType(p.Const(name), dtypes.Int32), -1)
		}
		values := p.Const(valuesName)
		groups := values.Shape().Dimensions[0]
		width := x.Shape().Size() / d[0]
		inputs := graph.Gather(graph.Reshape(x, d[0], width), index(columnsName))    // [G,R,F]
		y := graph.EinsumAxes(values, inputs, [][2]int{{2, 1}}, [][2]int{{0, 0}})    // [G,tileRows,F]
		y = graph.Gather(graph.Reshape(y, groups*tileRows, width), index(placeName)) // [N,F]
		return graph.Reshape(y, d...)
	}
	// h is x with the transposed product as its gradient; h − stop(h) is 0 and carries it.
	h := graph.IdentityWithCustomGradient(x, func(_, v *graph.Node) *graph.Node { return product(v, !transposed) })
	return graph.Add(graph.StopGradient(product(x, transposed)), graph.Sub(h, graph.StopGradient(h)))
}
