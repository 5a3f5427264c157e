package parity

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/stprune/backbone"
)

func gwnetConfig(g *golden, c config) (backbone.Config, error) {
	weights, shape, err := g.get("W")
	if err != nil {
		return backbone.Config{}, err
	}
	w, err := datasets.GraphFromDense(shape[0], float32s(weights))
	return backbone.Config{
		Nodes: c.int("nodes"), History: 12, Horizon: 12, StepsPerDay: 288, Graph: w,
		Options: map[string]any{
			"channels": max(c.int("in_dim"), c.int("input_dim")), // the original's name and LargeST's
			"residual": c.int("residual_channels"), "dilation": c.int("dilation_channels"), "skip": c.int("skip_channels"),
			"end": c.int("end_channels"), "kernel": c.int("kernel_size"), "blocks": c.int("blocks"), "layers": c.int("layers"),
			"supports": "double-transition", "dropout": 0.0,
			"dead_convs": g.has("param.residual_convs."),
		},
	}, err
}

// gwnetInput takes x apart, whose channels are value, time of day and, with three of them, day of week / 7.
func gwnetInput(_ *golden, _ backbone.Config, x *node) backbone.Input {
	d := x.Shape().Dimensions
	channel := func(c, nodes int) *node {
		return graph.Reshape(graph.Slice(x, graph.AxisRange(), graph.AxisRange(), graph.AxisRange(0, nodes), graph.AxisRange(c, c+1)), d[0], d[1], nodes)
	}
	calendar := func(c int) *node { return graph.Reshape(channel(c, 1), d[0], d[1]) }
	in := backbone.Input{Value: channel(0, d[2]), Tod: calendar(1), Dow: graph.ZerosLike(calendar(1))}
	if d[3] == 3 {
		in.Dow = graph.Round(graph.MulScalar(calendar(2), 7))
	}
	in.DowIndex = graph.ConvertDType(in.Dow, dtypes.Int32)
	return in
}

// gwnetConstants compares the transition matrices with the file's.
func gwnetConstants(g *golden, own []backbone.Tensor) ([][]float64, error) {
	var all [][]float64
	for _, c := range own {
		g.want(c.Name, float64s(c.Values), graphSingle)
		values, _, err := g.get(c.Name)
		if err != nil {
			return nil, err
		}
		all = append(all, values)
	}
	return all, nil
}
