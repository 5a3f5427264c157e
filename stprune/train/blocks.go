package train

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"

	"github.com/stprune/workbench/stprune"
)

// How the nodes are dealt out to blocks, see [Config.BlockBy].
const (
	Random      = "random"      // anew in each epoch
	ByGraph     = "graph"       // nodes that the series' graph links are together
	Correlation = "correlation" // nodes whose values rise and fall together are together
)

// perWindow is the number of units in a window of so many nodes.
func (c Config) perWindow(nodes int) int {
	switch c.Unit {
	case Pair:
		return nodes
	case Block: // of at most c.Block nodes, their sizes equal but for one
		return (nodes + c.Block - 1) / max(1, c.Block)
	}
	return 1
}

// block is the k-th block of nodes in the epoch under way, ascending.
func (d *domain) block(k int) []int32 {
	n, order := d.layout.nodes, d.order
	if order == nil {
		order = make([]int32, n)
		for i := range order {
			order[i] = int32(i)
		}
		shuffle(order, stprune.Stream(d.t.cfg.Seed, "blocks", d.t.state.Epoch))
	}
	block := slices.Clone(order[k*n/d.parts : (k+1)*n/d.parts])
	slices.Sort(block)
	return block
}

// arrange orders the nodes so that those of a block follow each other; nil where that changes from epoch to epoch.
func (c Config) arrange(s Source) ([]int32, error) {
	if c.Unit != Block || c.BlockBy == Random {
		return nil, nil
	}
	if c.BlockBy == ByGraph {
		if s.Series.Graph == nil {
			return nil, fmt.Errorf("train.block_by = %s: series %q has no graph; import it with --graph, or choose %s or %s", ByGraph, s.Series.Name, Correlation, Random)
		}
		return clusters(s.Series.Graph.Undirected().Dense(), s.Series.N, c.perWindow(s.Series.N)), nil
	}
	return clusters(correlations(s), s.Series.N, c.perWindow(s.Series.N)), nil
}

// clusters orders n nodes so that k blocks of them, equal in size but for one, hold nodes that are near each other by the
// symmetric matrix near [n,n]: a block begins with the node that is least near to those left, and takes the one that is nearest to
// those it has until it is full.
func clusters(near []float32, n, k int) []int32 {
	rest, inside, taken := make([]float64, n), make([]float64, n), make([]bool, n) // nearness to those left, to those of the block
	for i := range n {
		for j := range n {
			rest[i] += float64(near[i*n+j])
		}
	}
	largest := func(of []float64, sign float64) int {
		at := -1
		for i, v := range of {
			if !taken[i] && (at < 0 || sign*v > sign*of[at]) {
				at = i
			}
		}
		return at
	}
	var order []int32
	for b := range k {
		clear(inside)
		for len(order) < (b+1)*n/k {
			next := largest(inside, 1)
			if inside[next] <= 0 { // begin, or begin again
				next = largest(rest, -1)
			}
			order, taken[next] = append(order, int32(next)), true
			for i := range n {
				v := float64(near[next*n+i])
				rest[i] -= v
				inside[i] += v
			}
		}
	}
	return order
}

// correlations between the nodes' values [N,N] in the training part; 0 with a node that doesn't vary.
func correlations(s Source) []float32 {
	const most = 4096 // steps, evenly spaced, which tell enough
	x, n := s.Series, s.Series.N
	steps := int(s.Windows.Train[len(s.Windows.Train)-1]) + s.Windows.History + s.Windows.Horizon
	rows := min(steps, most)
	values := mat.NewDense(rows, n, nil)
	for j := range n {
		sum, count := 0.0, 0
		for i := range rows {
			if at := i * steps / rows; x.Valid(at, j) {
				values.Set(i, j, float64(x.Values[at*n+j]))
				sum, count = sum+values.At(i, j), count+1
			}
		}
		for i := range rows {
			if !x.Valid(i*steps/rows, j) {
				values.Set(i, j, sum/float64(max(1, count)))
			}
		}
	}
	var all mat.SymDense
	stat.CorrelationMatrix(&all, values, nil)
	out := make([]float32, n*n)
	for i := range n {
		for j := range n {
			if v := all.At(i, j); !math.IsNaN(v) {
				out[i*n+j] = float32(v)
			}
		}
	}
	return out
}
