package train

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/stprune/backbone"
)

type node = graph.Node

// layout is what the graphs must know about the data besides the resident arrays.
type layout struct {
	history, horizon, nodes, stepsPerDay int
	scaler                               datasets.Scaler
	missing                              float32 // value of missing entries in the resident series
	raw                                  bool    // the backbone takes raw values
	missingIsZ0                          bool    // feed missing inputs as the mean instead of the missing value itself
	streamed                             bool    // the series has the columns of the unit, see domain.locate
}

// resident are the arrays that stay on the device or, streamed, those of a step.
type resident struct {
	values   *node // [T,N] raw units, missing entries hold layout.missing
	tod, dow *node // [T] int32
}

// gathered is what a step gathers from the resident arrays.
type gathered struct {
	in      backbone.Input
	history *node // [B,T,M] as resident
	target  *node // [B,Q,M] raw units
	mask    *node // [B,Q,M] 1 where measured, else 0
}

// measured tells which resident values are no missing ones.
func (l layout) measured(x *node) *node {
	return graph.NotEqual(x, graph.Scalar(x.Graph(), x.DType(), float64(l.missing)))
}

// gather cuts the windows that begin at starts [B] out of the resident series: all nodes, or with units [B] the one node of
// each (window, node) pair, or with units [1,M] the block of these nodes.
func (l layout) gather(r resident, starts, units *node) gathered {
	g := starts.Graph()
	b, w := starts.Shape().Dimensions[0], l.history+l.horizon
	times := graph.Add(graph.Reshape(starts, b, 1), graph.Iota(g, shapes.Make(dtypes.Int32, 1, w), 1)) // [B,W]
	m := l.nodes
	each := 0
	if units != nil {
		each = units.Shape().Dimensions[0] // B or 1
		m = units.Shape().Size() / each
	}
	var raw *node // [B,W,M]
	if units == nil || l.streamed {
		raw = graph.Gather(r.values, graph.Reshape(times, b, w, 1))
	} else {
		full := func(x *node) *node { return graph.BroadcastToShape(x, shapes.Make(dtypes.Int32, b, w, m)) }
		index := []*node{full(graph.Reshape(times, b, w, 1)), full(graph.Reshape(units, each, 1, m))}
		raw = graph.Gather(r.values, graph.Stack(index, -1))
	}
	raw = graph.Reshape(raw, b, w, m)
	part := func(from, to int) *node {
		return graph.Slice(raw, graph.AxisRange(), graph.AxisRange(from, to), graph.AxisRange())
	}

	input := part(0, l.history)
	z := input
	if !l.raw {
		z = graph.DivScalar(graph.AddScalar(input, -l.scaler.Mean), l.scaler.Std)
	}
	if l.missingIsZ0 {
		typical := graph.ZerosLike(z)
		if l.raw {
			typical = graph.AddScalar(typical, l.scaler.Mean)
		}
		z = graph.Where(l.measured(input), z, typical)
	}
	calendar := func(from, to int) (tod, dow *node) {
		at := graph.Reshape(graph.Slice(times, graph.AxisRange(), graph.AxisRange(from, to)), b, to-from, 1)
		return graph.Gather(r.tod, at), graph.Gather(r.dow, at)
	}
	tod, dow := calendar(0, l.history)
	futureTod, futureDow := calendar(l.history, w)
	target := part(l.history, w)
	out := gathered{
		in: backbone.Input{
			Value:    z,
			Tod:      graph.DivScalar(graph.ConvertDType(tod, z.DType()), float64(l.stepsPerDay)),
			Dow:      graph.ConvertDType(dow, z.DType()),
			TodIndex: tod, DowIndex: dow,
			FutureTod: futureTod, FutureDow: futureDow,
		},
		history: input,
		target:  target,
		mask:    graph.ConvertDType(l.measured(target), z.DType()),
	}
	switch {
	case units == nil:
	case units.Rank() == 1:
		out.in.Nodes = graph.Reshape(units, b, 1)
	default:
		out.in.Block = graph.Reshape(units, m)
	}
	return out
}
