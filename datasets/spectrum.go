package datasets

import (
	"errors"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// denseUpTo is the largest number of nodes whose spectrum is computed from the matrix [N,N], at a cost that grows with N³.
const denseUpTo = 1024

// lowest are the count smallest eigenvalues of the normalised Laplacian of [Graph.Undirected], ascending, and their eigenvectors, in the
// form of [Graph.LaplacianSpectrum]: columns of vectors [N,count].
func (g *Graph) lowest(count int) (values, vectors []float64, err error) {
	if g.N <= denseUpTo {
		values, all, err := g.LaplacianSpectrum()
		if err != nil {
			return nil, nil, err
		}
		for i := range g.N {
			vectors = append(vectors, all[i*g.N:i*g.N+count]...)
		}
		return values[:count], vectors, nil
	}
	return g.filtered(count)
}

// filtered finds what lowest gives in a subspace, which is filtered by Chebyshev polynomials of the sparse Laplacian until it holds it
// (Zhou, Saad, Tiago and Chelikowsky 2006). The cost grows with the edges. It begins at random vectors that are always the same.
func (g *Graph) filtered(count int) (values, vectors []float64, err error) {
	const (
		rounds   = 300
		accuracy = 1e-10 // of L·v − λ·v
		growth   = 4     // degree·√(edge/2); the filter makes an eigenvector of value 0 grow by e^(2·growth)/2
	)
	laplacian := g.sparseLaplacian()
	r := rand.New(rand.NewPCG(1, uint64(g.N)))
	block := make([][]float64, min(g.N, count+max(8, count/2)))
	for j := range block {
		block[j] = make([]float64, g.N)
		for i := range block[j] {
			block[j][i] = r.NormFloat64()
		}
	}
	edge := 1.0 // eigenvalues from here to 2 are filtered out
	for range rounds {
		degree := max(8, int(math.Ceil(growth/math.Sqrt(edge/2))))
		for _, v := range block {
			chebyshev(laplacian, v, edge, degree)
		}
		orthonormalise(block)
		if values, err = rotate(laplacian, block); err != nil {
			return nil, nil, err
		}
		worst := 0.0
		image := make([]float64, g.N)
		for j, v := range block[:count] {
			laplacian(image, v)
			floats.AddScaled(image, -values[j], v)
			worst = max(worst, floats.Norm(image, 2))
		}
		if worst < accuracy {
			vectors = make([]float64, g.N*count)
			for j, v := range block[:count] {
				towardsPositive(v)
				for i, x := range v {
					vectors[i*count+j] = x
				}
			}
			return values[:count], vectors, nil
		}
		edge = max(values[len(values)-1], 1e-12)
	}
	return nil, nil, errors.New("graph: the smallest eigenvalues of its Laplacian were not found; ask for fewer eigenvectors")
}

// sparseLaplacian multiplies by the normalised Laplacian of [Graph.Undirected].
func (g *Graph) sparseLaplacian() func(into, x []float64) {
	u := g.Undirected()
	degrees, _ := u.degrees()
	root := power(-0.5)
	weights := make([]float64, len(u.Edges))
	for i, e := range u.Edges {
		weights[i] = float64(e.Weight) * root(degrees[e.From]) * root(degrees[e.To])
	}
	return func(into, x []float64) {
		copy(into, x)
		for i, e := range u.Edges {
			into[e.From] -= weights[i] * x[e.To]
		}
	}
}

// chebyshev replaces v by T(t(L))·v, T the Chebyshev polynomial of the degree and t the line from [edge,2] to [−1,1]: what belongs to
// eigenvalues above edge stays small, the rest grows.
func chebyshev(laplacian func(into, x []float64), v []float64, edge float64, degree int) {
	centre, half := (edge+2)/2, (2-edge)/2
	before, now, next := make([]float64, len(v)), make([]float64, len(v)), make([]float64, len(v))
	shifted := func(into, x []float64) {
		laplacian(into, x)
		for i := range into {
			into[i] = (into[i] - centre*x[i]) / half
		}
	}
	copy(before, v)
	shifted(now, v)
	for range degree - 1 {
		shifted(next, now)
		for i := range next {
			next[i] = 2*next[i] - before[i]
		}
		before, now, next = now, next, before
	}
	copy(v, now)
}

// orthonormalise is Gram and Schmidt's, twice.
func orthonormalise(block [][]float64) {
	for j, v := range block {
		for range 2 {
			floats.Scale(1/floats.Norm(v, 2), v)
			for _, w := range block[:j] {
				floats.AddScaled(v, -floats.Dot(w, v), w)
			}
		}
		floats.Scale(1/floats.Norm(v, 2), v)
	}
}

// rotate replaces an orthonormal block by the eigenvectors of the matrix within its span, by ascending eigenvalue.
func rotate(laplacian func(into, x []float64), block [][]float64) (values []float64, err error) {
	m, n := len(block), len(block[0])
	inner := mat.NewSymDense(m, nil)
	image := make([]float64, n)
	for j, v := range block {
		laplacian(image, v)
		for i := range j + 1 {
			inner.SetSym(i, j, floats.Dot(block[i], image))
		}
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(inner, true) {
		return nil, errors.New("graph: the eigenvalues of its Laplacian were not found; are all weights finite and none negative?")
	}
	var turn mat.Dense
	eigen.VectorsTo(&turn)
	row := make([]float64, m)
	for i := range n {
		for j := range m {
			row[j] = block[j][i]
		}
		for j := range m {
			block[j][i] = blas64.Dot(blas64.Vector{N: m, Data: row, Inc: 1}, turn.ColView(j).(*mat.VecDense).RawVector())
		}
	}
	return eigen.Values(nil), nil
}

// towardsPositive turns a vector round if its entry of the largest size is negative.
func towardsPositive(v []float64) {
	largest := 0.0
	for _, x := range v {
		if math.Abs(x) > math.Abs(largest) {
			largest = x
		}
	}
	floats.Scale(math.Copysign(1, largest), v)
}
