package datasets

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// What models derive from a graph. Matrices are [N,N], row-major, in float64; entry (i,j) belongs to the edge from i to j unless
// the text says otherwise. Weights must not be negative. A degree is the sum of a row; a node with degree 0 is isolated, and
// where a degree divides, its share is 0.

// Reverse is the graph with every edge turned round.
func (g *Graph) Reverse() *Graph {
	r := &Graph{N: g.N, Edges: make([]Edge, len(g.Edges))}
	for i, e := range g.Edges {
		r.Edges[i] = Edge{From: e.To, To: e.From, Weight: e.Weight}
	}
	sortEdges(r.Edges)
	return r
}

// Undirected gives both directions of a pair the larger of their weights.
func (g *Graph) Undirected() *Graph {
	weights := make(map[[2]int32]float32, 2*len(g.Edges))
	for _, e := range g.Edges {
		w := max(e.Weight, weights[[2]int32{e.From, e.To}])
		weights[[2]int32{e.From, e.To}], weights[[2]int32{e.To, e.From}] = w, w
	}
	u := &Graph{N: g.N, Edges: make([]Edge, 0, len(weights))}
	for pair, w := range weights {
		u.Edges = append(u.Edges, Edge{From: pair[0], To: pair[1], Weight: w})
	}
	sortEdges(u.Edges)
	return u
}

// degrees are the row sums of the weights, and how many of them are 0.
func (g *Graph) degrees() (d []float64, isolated int) {
	d = make([]float64, g.N)
	for _, e := range g.Edges {
		d[e.From] += float64(e.Weight)
	}
	for _, v := range d {
		if !(v > 0) {
			isolated++
		}
	}
	return d, isolated
}

// scaled is the matrix with entries weight·scale(from)·scale(to).
func (g *Graph) scaled(from, to func(degree float64) float64) []float64 {
	d, _ := g.degrees()
	m := make([]float64, g.N*g.N)
	for _, e := range g.Edges {
		m[int(e.From)*g.N+int(e.To)] = float64(e.Weight) * from(d[e.From]) * to(d[e.To])
	}
	return m
}

// power is degree^p, 0 for an isolated node.
func power(p float64) func(degree float64) float64 {
	return func(degree float64) float64 {
		if !(degree > 0) {
			return 0
		}
		return math.Pow(degree, p)
	}
}

// Transition is D⁻¹W, the random walk along the edges: rows sum to 1, those of isolated nodes to 0. The walk against the edges
// is that of [Graph.Reverse].
func (g *Graph) Transition() []float64 {
	return g.scaled(power(-1), func(float64) float64 { return 1 })
}

// NormalisedAdjacency is D^(−1/2) W D^(−1/2). The code of Graph WaveNet transposes W here, so for a directed graph it has the
// transpose of this matrix; the code of LargeST does not.
func (g *Graph) NormalisedAdjacency() []float64 { return g.scaled(power(-0.5), power(-0.5)) }

// NormalisedLaplacian is I − D^(−1/2) W D^(−1/2). The row of an isolated node is that of I, as in the references' code. It is
// symmetric only for an undirected graph: spectra and graph roughness take that of [Graph.Undirected]. See
// [Graph.NormalisedAdjacency] for directed graphs.
func (g *Graph) NormalisedLaplacian() []float64 {
	m := g.NormalisedAdjacency()
	for i, v := range m {
		m[i] = -v
		if i%(g.N+1) == 0 {
			m[i]++
		}
	}
	return m
}

// LaplacianSpectrum are the eigenvalues of the normalised Laplacian of [Graph.Undirected] in ascending order and their
// eigenvectors, the columns of vectors [N,N]. Each has length 1, and its entry of the largest size is positive. The cost grows
// with N³.
func (g *Graph) LaplacianSpectrum() (values, vectors []float64, err error) {
	if g.N == 0 {
		return nil, nil, errors.New("graph: it has no nodes")
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(mat.NewSymDense(g.N, g.Undirected().NormalisedLaplacian()), true) {
		return nil, nil, errors.New("graph: the eigenvalues of its Laplacian were not found; are all weights finite and none negative?")
	}
	var v mat.Dense
	eigen.VectorsTo(&v)
	for j := range g.N {
		column := mat.Col(nil, j, &v)
		towardsPositive(column)
		v.SetCol(j, column)
	}
	return eigen.Values(nil), v.RawMatrix().Data, nil
}

// LaplacianEigenvectors are k position codes per node [N,k]: those eigenvectors of [Graph.LaplacianSpectrum] that follow the
// first 1 + (isolated nodes), as in the code of PDFormer and OpenCity. The cost grows with N³ up to 1,024 nodes, and with the edges above.
func (g *Graph) LaplacianEigenvectors(k int) ([]float32, error) {
	_, isolated := g.Undirected().degrees()
	skip := isolated + 1
	if k < 1 || skip+k > g.N {
		return nil, fmt.Errorf("graph: %d Laplacian eigenvectors asked for; its %d nodes, %d of them isolated, have 1 to %d to give",
			k, g.N, isolated, g.N-skip)
	}
	_, vectors, err := g.lowest(skip + k)
	if err != nil {
		return nil, err
	}
	out := make([]float32, 0, g.N*k)
	for i := range g.N {
		for j := range k {
			out = append(out, float32(vectors[i*(skip+k)+skip+j]))
		}
	}
	return out, nil
}

// ScaledLaplacian is 2/largest·L − I of the normalised Laplacian L of [Graph.Undirected], for Chebyshev polynomials. largest is L's
// largest eigenvalue, the last of [Graph.LaplacianSpectrum], or the bound 2, Graph WaveNet's default.
func (g *Graph) ScaledLaplacian(largest float64) []float64 {
	m := g.Undirected().NormalisedLaplacian()
	for i := range m {
		m[i] *= 2 / largest
		if i%(g.N+1) == 0 {
			m[i]--
		}
	}
	return m
}

// TransitionFactors are from [N,rank] and to [rank,N], whose product is the matrix of that rank nearest to [Graph.Transition]:
// U√S and √S·Vᵀ of its singular value decomposition. The cost grows with N³.
func (g *Graph) TransitionFactors(rank int) (from, to []float64, err error) {
	if rank < 1 || rank > g.N {
		return nil, nil, fmt.Errorf("graph: factors of rank %d asked for; %d nodes allow 1 to %d", rank, g.N, g.N)
	}
	var svd mat.SVD
	if !svd.Factorize(mat.NewDense(g.N, g.N, g.Transition()), mat.SVDThin) {
		return nil, nil, errors.New("graph: the singular values of its transition matrix were not found; are all weights finite and none negative?")
	}
	var u, v mat.Dense
	svd.UTo(&u)
	svd.VTo(&v)
	values := svd.Values(nil)
	from, to = make([]float64, g.N*rank), make([]float64, rank*g.N)
	for i := range g.N {
		for k := range rank {
			root := math.Sqrt(values[k])
			from[i*rank+k] = u.At(i, k) * root
			to[k*g.N+i] = v.At(i, k) * root
		}
	}
	return from, to, nil
}

// DistanceKernel turns distances into weights exp(−(d/σ)²), 0 where that is below 0.1. σ is the (population) standard deviation
// of the distances. As in DCRNN's code, the weights are computed in float32.
func DistanceKernel(distances []float64) (weights []float32, sigma float64, err error) {
	var sum, squares float64
	for _, d := range distances {
		if !(d >= 0) || math.IsInf(d, 0) {
			return nil, 0, fmt.Errorf("distance %v; distances must be finite and not negative", d)
		}
		sum += d
	}
	mean := sum / float64(len(distances))
	for _, d := range distances {
		squares += (d - mean) * (d - mean)
	}
	sigma = math.Sqrt(squares / float64(len(distances)))
	if !(sigma > 0) {
		return nil, 0, fmt.Errorf("its %d distances among the series' nodes are all equal, so they have no standard deviation to scale them; give weights instead", len(distances))
	}
	weights = make([]float32, len(distances))
	for i, d := range distances {
		x := float32(d) / float32(sigma)
		if w := float32(math.Exp(-float64(x * x))); w >= 0.1 {
			weights[i] = w
		}
	}
	return weights, sigma, nil
}
