package datasets

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/floats"
)

// The normalised Laplacian of a path of n nodes has the eigenvalues 1 − cos(πj/(n−1)); codes of many nodes come from the sparse way.
func TestLowestEigenvaluesOfALongPath(t *testing.T) {
	const n, count = 2000, 6
	g := &Graph{N: n}
	for i := range int32(n - 1) {
		g.Edges = append(g.Edges, Edge{From: i, To: i + 1, Weight: 2})
	}
	values, vectors, err := g.lowest(count)
	if err != nil {
		t.Fatal(err)
	}
	for j, got := range values {
		if want := 1 - math.Cos(math.Pi*float64(j)/(n-1)); math.Abs(got-want) > 1e-13 {
			t.Errorf("eigenvalue %d is %g, want %g", j, got, want)
		}
	}
	checkEigenvectors(t, g, values, vectors)
	codes, err := g.LaplacianEigenvectors(count - 1) // the first is left out
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		for j := range count - 1 {
			if got, want := codes[i*(count-1)+j], float32(vectors[i*count+1+j]); math.Abs(float64(got-want)) > 1e-7 {
				t.Fatalf("code %d of node %d is %v, want %v", j, i, got, want)
			}
		}
	}
}

// Both ways agree, where eigenvalues differ from each other.
func TestLowestEigenvectorsAgreeWithTheMatrix(t *testing.T) {
	const n, count = 300, 9
	r := rand.New(rand.NewPCG(3, 4))
	g := &Graph{N: n}
	for i := range int32(n) {
		for range 2 {
			if j := i + 1 + r.Int32N(20); j < n {
				g.Edges = append(g.Edges, Edge{From: i, To: j, Weight: r.Float32() + 0.1})
			}
		}
	}
	values, vectors, err := g.filtered(count)
	if err != nil {
		t.Fatal(err)
	}
	all, matrix, err := g.LaplacianSpectrum()
	if err != nil {
		t.Fatal(err)
	}
	for j, got := range values {
		if math.Abs(got-all[j]) > 1e-12 {
			t.Errorf("eigenvalue %d is %g, by the matrix %g", j, got, all[j])
		}
		for i := range n {
			if got, want := vectors[i*count+j], matrix[i*n+j]; math.Abs(got-want) > 1e-6 {
				t.Fatalf("entry %d of eigenvector %d is %g, by the matrix %g", i, j, got, want)
			}
		}
	}
	checkEigenvectors(t, g, values, vectors)
}

func checkEigenvectors(t *testing.T, g *Graph, values, vectors []float64) {
	t.Helper()
	laplacian, image := g.sparseLaplacian(), make([]float64, g.N)
	var columns [][]float64
	for j, value := range values {
		v := make([]float64, g.N)
		for i := range v {
			v[i] = vectors[i*len(values)+j]
		}
		laplacian(image, v)
		floats.AddScaled(image, -value, v)
		if d := floats.Norm(image, 2); d > 1e-9 {
			t.Errorf("L·v − λ·v of eigenvector %d has length %g", j, d)
		}
		columns = append(columns, v)
		for i, w := range columns {
			want := 0.0
			if i == j {
				want = 1
			}
			if d := math.Abs(floats.Dot(v, w) - want); d > 1e-10 {
				t.Errorf("eigenvectors %d and %d: their product is off by %g", i, j, d)
			}
		}
	}
}
