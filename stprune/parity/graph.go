package parity

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/stprune/backbone"
)

// Tolerances of the graph file for arrays without one of their own, as its description gives them.
const (
	graphSingle = 1e-6 // float32
	graphDouble = 1e-9 // float64
	graphKernel = 2e-6 // scaled Laplacians and the distance kernel
)

// checkGraph compares what is derived from graphs.
func (g *golden) checkGraph(be compute.Backend) error {
	weights, shape, err := g.get("W")
	if err != nil {
		return err
	}
	n := shape[0]
	w, err := datasets.GraphFromDense(n, float32s(weights))
	if err != nil {
		return err
	}
	forward, backward := w.Transition(), w.Reverse().Transition()
	g.want("P_fwd", forward, 0)
	g.want("P_fwd64", forward, graphDouble)
	g.want("P_bwd", backward, 0)
	g.want("P_bwd64", backward, graphDouble)

	g.want("sym_adj", transposed(w.NormalisedAdjacency(), n), graphSingle)
	g.want("norm_laplacian", transposed(w.NormalisedLaplacian(), n), graphDouble)
	g.want("norm_laplacian_largest", w.NormalisedLaplacian(), graphDouble)
	values, _, err := w.LaplacianSpectrum()
	if err != nil {
		return err
	}
	g.want("lambda_max", values[n-1:], graphDouble)
	g.want("scaled_laplacian_lambdamax", w.ScaledLaplacian(values[n-1]), graphKernel)
	g.want("scaled_laplacian_lambda2", w.ScaledLaplacian(2), graphKernel)

	for _, check := range []func() error{
		func() error { return g.checkFactors(w) },
		func() error { return g.checkAdaptive(be) },
		func() error { return g.checkDiffusion(be, forward, n) },
		g.checkKernel,
		func() error { return g.checkPositionCode(w) },
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func transposed(m []float64, n int) []float64 {
	out := make([]float64, len(m))
	for i := range m {
		out[i] = m[i%n*n+i/n]
	}
	return out
}

// checkFactors: the factors' product does not depend on the singular vectors' signs, and the rows of the second factor have the
// roots of the singular values as lengths.
func (g *golden) checkFactors(w *datasets.Graph) error {
	const rank = 10
	from, to, err := w.TransitionFactors(rank)
	if err != nil {
		return err
	}
	product := make([]float64, w.N*w.N)
	for i := range product {
		for k := range rank {
			product[i] += from[i/w.N*rank+k] * to[k*w.N+i%w.N]
		}
	}
	g.want("svd_init_product", product, 0)
	g.want("svd_init_product64", product, graphDouble)
	if _, to, err = w.TransitionFactors(w.N); err != nil {
		return err
	}
	singular := make([]float64, w.N)
	for i, v := range to {
		singular[i/w.N] += v * v
	}
	g.want("svd_singular64", singular, graphDouble)
	return nil
}

func (g *golden) checkAdaptive(be compute.Backend) error {
	e1, shape1, err := g.get("E1")
	if err != nil {
		return err
	}
	e2, shape2, err := g.get("E2")
	if err != nil {
		return err
	}
	for name, double := range map[string]bool{"adaptive": false, "adaptive64": true} {
		out, err := graph.CallOnce(be, backbone.AdaptiveAdjacency, tensor(e1, double, shape1...), tensor(e2, double, shape2...))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		tolerance := 0.0
		if double {
			tolerance = graphDouble
		}
		g.want(name, flat(out), tolerance)
	}
	return nil
}

// checkDiffusion walks once and twice from x [B,C,N,T].
func (g *golden) checkDiffusion(be compute.Backend, forward []float64, n int) error {
	x, shape, err := g.get("x_bcnt")
	if err != nil {
		return err
	}
	out, err := graph.CallOnceN(be, func(x, a *node) []*node {
		back := func(x *node) *node { return graph.TransposeAllAxes(x, 1, 2, 0, 3) }
		once := backbone.Diffuse(a, graph.TransposeAllAxes(x, 2, 0, 1, 3))
		return []*node{back(once), back(backbone.Diffuse(a, once))}
	}, tensor(x, false, shape...), tensor(forward, false, n, n))
	if err != nil {
		return fmt.Errorf("diffusion: %w", err)
	}
	g.want("diffuse_P_fwd", flat(out[0]), graphSingle)
	g.want("diffuse_P_fwd_twice", flat(out[1]), graphSingle)
	return nil
}

// checkKernel writes the distances as a file and reads it as a graph. The standard deviation is compared on its own.
func (g *golden) checkKernel() error {
	column := func(name string) []float64 {
		values, _, _ := g.get("dcrnn_" + name) // a missing one is empty, which the comparison below reports
		return values
	}
	from, to, distance, ids := column("from"), column("to"), column("distance"), column("ids")
	var text strings.Builder
	text.WriteString("from,to,cost\n")
	known := map[float64]bool{}
	var nodes []string
	for _, id := range ids {
		known[id] = true
		nodes = append(nodes, fmt.Sprint(id))
	}
	last := map[[2]float64]float64{}
	for i, d := range distance {
		fmt.Fprintf(&text, "%v,%v,%v\n", from[i], to[i], d)
		if known[from[i]] && known[to[i]] {
			last[[2]float64{from[i], to[i]}] = d
		}
	}
	dir, err := os.MkdirTemp("", "parity")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "distances.csv")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		return err
	}
	w, err := datasets.ReadGraph(path, nodes)
	if err != nil {
		return err
	}
	g.want("dcrnn_adj", float64s(w.Dense()), graphKernel)

	var among []float64
	for _, d := range last {
		among = append(among, d)
	}
	_, sigma, err := datasets.DistanceKernel(among)
	if err != nil {
		return err
	}
	g.want("dcrnn_std", []float64{sigma}, graphDouble)
	return nil
}

// checkPositionCode checks what OpenCity makes of the undirected graph without its isolated node and with a loop at every other.
func (g *golden) checkPositionCode(w *datasets.Graph) error {
	isolated, _, err := g.get("isolated")
	if err != nil {
		return err
	}
	left := &datasets.Graph{N: w.N - 1}
	place := func(node int32) int32 {
		if node > int32(isolated[0]) {
			node--
		}
		return node
	}
	for _, e := range w.Undirected().Edges {
		left.Edges = append(left.Edges, datasets.Edge{From: place(e.From), To: place(e.To), Weight: e.Weight})
	}
	for i := range left.N {
		left.Edges = append(left.Edges, datasets.Edge{From: int32(i), To: int32(i), Weight: 1})
	}
	g.want("oc_W", float64s(left.Dense()), graphDouble)

	values, vectors, err := left.LaplacianSpectrum()
	if err != nil {
		return err
	}
	g.want("oc_laplacian_eigenvalues", values, graphDouble)
	var projectors []float64
	for k := 1; k <= 8; k++ { // no node is isolated, so one eigenvector is skipped
		for i := range left.N {
			for j := range left.N {
				projectors = append(projectors, vectors[i*left.N+k]*vectors[j*left.N+k])
			}
		}
	}
	g.want("oc_pe_projectors", projectors, graphDouble)

	adjacency := left.NormalisedAdjacency()
	for i := range left.N {
		adjacency[i*left.N+i]++
	}
	g.want("oc_adj", adjacency, graphDouble)
	g.want("oc_adj_rownorm", rowShares(adjacency, left.N), graphDouble)
	return nil
}
