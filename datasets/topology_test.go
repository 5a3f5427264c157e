package datasets

import (
	"fmt"
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

// The matrices of the small directed graph, worked out by hand. Its degrees are 1, 4, 0 and 0: node 2 has an edge that comes in,
// but none that leaves.
func TestTransitionAndLaplacian(t *testing.T) {
	g := path4()
	half := 1 / math.Sqrt(4)
	for name, c := range map[string]struct{ got, want []float64 }{
		"transition": {g.Transition(), []float64{
			0, 1, 0, 0,
			0.75, 0, 0.25, 0,
			0, 0, 0, 0,
			0, 0, 0, 0}},
		"against the edges": {g.Reverse().Transition(), []float64{ // degrees 3, 1, 1, 0
			0, 1, 0, 0,
			1, 0, 0, 0,
			0, 1, 0, 0,
			0, 0, 0, 0}},
		"normalised adjacency": {g.NormalisedAdjacency(), []float64{
			0, half, 0, 0,
			3 * half, 0, 0, 0,
			0, 0, 0, 0,
			0, 0, 0, 0}},
		"normalised Laplacian": {g.NormalisedLaplacian(), []float64{
			1, -half, 0, 0,
			-3 * half, 1, 0, 0,
			0, 0, 1, 0,
			0, 0, 0, 1}},
		"scaled Laplacian": {g.ScaledLaplacian(2), []float64{ // degrees 3, 4, 1, 0 when undirected
			0, -3 / math.Sqrt(12), 0, 0,
			-3 / math.Sqrt(12), 0, -half, 0,
			0, -half, 0, 0,
			0, 0, 0, 0}},
	} {
		for i, want := range c.want {
			if math.Abs(c.got[i]-want) > 1e-15 {
				t.Errorf("%s: entry (%d,%d) is %v; want %v", name, i/4, i%4, c.got[i], want)
			}
		}
	}
	if len(g.Edges) != 3 || g.Edges[0] != (Edge{0, 1, 1}) {
		t.Errorf("the graph was changed: %v", g.Edges)
	}
}

// Factors of full rank give the transition matrix back; of rank 1 they leave out exactly the smaller singular values.
func TestTransitionFactors(t *testing.T) {
	g := path4()
	product := func(rank int) []float64 {
		from, to, err := g.TransitionFactors(rank)
		if err != nil {
			t.Fatal(err)
		}
		m := make([]float64, g.N*g.N)
		for i := range g.N {
			for j := range g.N {
				for k := range rank {
					m[i*g.N+j] += from[i*rank+k] * to[k*g.N+j]
				}
			}
		}
		return m
	}
	want := g.Transition()
	full, one := product(g.N), product(1)
	left := 0.0
	for i := range want {
		if math.Abs(full[i]-want[i]) > 1e-14 {
			t.Errorf("full rank: entry %d is %v; want %v", i, full[i], want[i])
		}
		left += (one[i] - want[i]) * (one[i] - want[i])
	}
	// The rows (0 1 0 0) and (¾ 0 ¼ 0) are orthogonal, so their lengths are the singular values: 1 and √10/4.
	if math.Abs(left-10.0/16) > 1e-14 {
		t.Errorf("rank 1 leaves out %v (squared); want 10/16", left)
	}
	for _, rank := range []int{0, 5} {
		if _, _, err := g.TransitionFactors(rank); err == nil || !strings.Contains(err.Error(), "1 to 4") {
			t.Errorf("rank %d: error %v; want one that says 1 to 4", rank, err)
		}
	}
}

func TestDistanceKernel(t *testing.T) {
	w, sigma, err := DistanceKernel([]float64{0, 100, 300, 400}) // mean 200
	if err != nil {
		t.Fatal(err)
	}
	if want := math.Sqrt((4 + 1 + 1 + 4) * 1e4 / 4); math.Abs(sigma-want) > 1e-12 {
		t.Errorf("σ is %v; want %v", sigma, want)
	}
	for i, want := range []float64{1, math.Exp(-0.4), 0, 0} { // exp(−9/2.5) is below 0.1
		if math.Abs(float64(w[i])-want) > 1e-7 {
			t.Errorf("weight %d is %v; want %v", i, w[i], want)
		}
	}
	for want, distances := range map[string][]float64{"not negative": {1, -1}, "finite": {1, math.NaN()}, "all equal": {2, 2}} {
		if _, _, err := DistanceKernel(distances); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: error %v; want one with %q", distances, err, want)
		}
	}
}

func ExampleGraph_Transition() {
	g := &Graph{N: 3, Edges: []Edge{{0, 1, 2}, {0, 2, 2}, {1, 0, 5}}} // node 2 is a dead end
	fmt.Println("along the edges:  ", g.Transition())
	fmt.Println("against the edges:", g.Reverse().Transition())
	// Output:
	// along the edges:   [0 0.5 0.5 1 0 0 0 0 0]
	// against the edges: [0 1 0 1 0 0 1 0 0]
}
