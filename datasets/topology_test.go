package datasets

import (
	"math"
	"strings"
	"testing"
)

// A directed path 0 → 1 → 2 with a heavier way back from 1 to 0, and node 3 on its own.
func path4() *Graph {
	return &Graph{N: 4, Edges: []Edge{{0, 1, 1}, {1, 0, 3}, {1, 2, 1}}}
}

// Eigenvectors must be orthonormal, belong to their eigenvalues, and follow the rule of what to skip.
func TestLaplacianEigenvectors(t *testing.T) {
	g := path4()
	values, vectors, err := g.LaplacianSpectrum()
	if err != nil {
		t.Fatal(err)
	}
	l := g.Undirected().NormalisedLaplacian()
	n := g.N
	for a := range n {
		if a > 0 && values[a] < values[a-1] {
			t.Errorf("eigenvalues %v; want them ascending", values)
		}
		for b := range n {
			dot := 0.0
			for i := range n {
				dot += vectors[i*n+a] * vectors[i*n+b]
			}
			if want := map[bool]float64{true: 1}[a == b]; math.Abs(dot-want) > 1e-12 {
				t.Errorf("vectors %d and %d: product %v; want %v", a, b, dot, want)
			}
		}
		largest := 0.0
		for i := range n {
			product := 0.0
			for j := range n {
				product += l[i*n+j] * vectors[j*n+a]
			}
			if math.Abs(product-values[a]*vectors[i*n+a]) > 1e-12 {
				t.Errorf("L·v of eigenvalue %v differs from it at node %d", values[a], i)
			}
			if x := vectors[i*n+a]; math.Abs(x) > math.Abs(largest) {
				largest = x
			}
		}
		if largest <= 0 {
			t.Errorf("vector %d: entry of the largest size is %v; want it positive", a, largest)
		}
	}

	codes, err := g.LaplacianEigenvectors(2) // one node is isolated, so the first two are skipped
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		for j := range 2 {
			if want := float32(vectors[i*n+2+j]); codes[i*2+j] != want {
				t.Errorf("code %d of node %d is %v; want %v", j, i, codes[i*2+j], want)
			}
		}
	}
	for _, k := range []int{0, 3} {
		if _, err := g.LaplacianEigenvectors(k); err == nil || !strings.Contains(err.Error(), "1 to 2") {
			t.Errorf("%d eigenvectors: error %v; want one that says 1 to 2 are there", k, err)
		}
	}
}
