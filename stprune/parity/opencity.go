package parity

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/stprune/backbone"
)

// openCityConfig: the file of the 30-minute series has its parameters in the file of the 5-minute one, beside it.
func openCityConfig(g *golden, c config) (backbone.Config, error) {
	steps, day := c.int("input_window"), 288
	if coarse := c.int("steps"); coarse > 0 {
		steps, day = coarse, coarse
		if err := g.borrow("opencity_288", "param.", "buffer."); err != nil {
			return backbone.Config{}, err
		}
	}
	weights, shape, err := g.get("W")
	if err != nil {
		return backbone.Config{}, err
	}
	w, err := datasets.GraphFromDense(shape[0], float32s(weights))
	return backbone.Config{
		Nodes: c.int("nodes"), History: steps, Horizon: steps, StepsPerDay: day, Graph: w,
		Options: map[string]any{
			"dim": c.int("embed_dim"), "heads": c.int("heads"), "depth": c.int("depth"), "lap_dim": c.int("lape_dim"),
			"ff_ratio": c.int("mlp_ratio"), "dropout": 0.0, "attention_dropout": 0.0,
		},
	}, err
}

// borrow takes arrays whose names begin so from the file called stem in the same folder.
func (g *golden) borrow(stem string, prefixes ...string) error {
	from, err := load(filepath.Join(filepath.Dir(g.stem), stem))
	if err != nil {
		return fmt.Errorf("%s has the parameters of this file: %w", stem, err)
	}
	for name, a := range from.arrays {
		for _, prefix := range prefixes {
			if strings.HasPrefix(name, prefix) {
				g.arrays[name] = a
			}
		}
	}
	return nil
}

// openCityConstants compares the position code, the matrix of the graph step and the space of the Laplacian's eigenvectors with
// the file's. Eigenvectors have no sign of their own, so the model is given the file's.
func openCityConstants(g *golden, own []backbone.Tensor) ([][]float64, error) {
	var all [][]float64
	for _, c := range own {
		name, ok := map[string]string{"adjacency": "adj_mx", "eigenvectors": "lap_mx"}[c.Name]
		if !ok {
			name = "buffer." + c.Name
		}
		values, shape, err := g.get(name)
		if err != nil {
			return nil, err
		}
		switch c.Name {
		case "adjacency": // the reference divides by the row sums when it uses the matrix
			values = rowShares(values, shape[0])
			g.compare("adj_mx by rows", float64s(c.Values), values, 1e-6)
		case "eigenvectors":
			g.compare("lap_mx projector", projector(float64s(c.Values), shape), projector(values, shape), 1e-5)
		default: // the reference computes the angles in float32, so that the largest is good to 99·6e-8
			g.want(name, float64s(c.Values), 1e-5)
		}
		all = append(all, values)
	}
	return all, nil
}

// rowShares divides the rows of a square matrix [n,n] by their sums.
func rowShares(m []float64, n int) []float64 {
	out := make([]float64, 0, n*n)
	for r := range n {
		row, sum := m[r*n:(r+1)*n], 0.0
		for _, v := range row {
			sum += v
		}
		for _, v := range row {
			out = append(out, v/sum)
		}
	}
	return out
}

// projector is VVᵀ [n,n] of vectors V [n,k]: the same whatever the vectors' signs.
func projector(v []float64, shape []int) []float64 {
	n, k := shape[0], shape[1]
	out := make([]float64, 0, n*n)
	for i := range n {
		for j := range n {
			sum := 0.0
			for c := range k {
				sum += v[i*k+c] * v[j*k+c]
			}
			out = append(out, sum)
		}
	}
	return out
}

// openCityInput takes apart x and cal_future, whose calendar is the minute (1 to 1440) and the weekday (1 to 7).
func openCityInput(g *golden, c backbone.Config, x *node) backbone.Input {
	values, shape, err := g.get("cal_future")
	if err != nil {
		panic(err)
	}
	future := graph.ConstTensor(x.Graph(), tensors.FromFlatDataAndDimensions(float32s(values), shape...))
	of := func(x *node, i int) *node { // [B,T] of the first node
		d := x.Shape().Dimensions
		return graph.Reshape(graph.Slice(x, graph.AxisRange(), graph.AxisRange(), graph.AxisRange(0, 1), graph.AxisRange(i, i+1)), d[0], d[1])
	}
	whole := func(x *node) *node { return graph.ConvertDType(x, dtypes.Int32) }
	slot := func(minute *node) *node { // minutes·S is exact in float32
		return whole(graph.AddScalar(graph.DivScalar(graph.MulScalar(minute, c.StepsPerDay), 1440), -1))
	}
	day := func(weekday *node) *node { return whole(graph.AddScalar(weekday, -1)) }
	d := x.Shape().Dimensions
	value := graph.Slice(x, graph.AxisRange(), graph.AxisRange(), graph.AxisRange(), graph.AxisRange(0, 1))
	return backbone.Input{
		Value:    graph.Reshape(value, d[0], d[1], d[2]),
		TodIndex: slot(of(x, 1)), DowIndex: day(of(x, 2)),
		FutureTod: slot(of(future, 0)), FutureDow: day(of(future, 1)),
	}
}
