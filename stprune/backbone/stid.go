package backbone

import (
	"fmt"

	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/stprune/workbench/stprune/optim"
)

// stid is Spatial-Temporal Identity: per node, a linear embedding of the history joined with learned identities of the node,
// the time of day and the day of week, then a residual MLP.
//
//	Paper    Shao et al., CIKM 2022, arXiv 2208.05233; code zezhishao/STID 7b85381
//	Cost     36·32 + 2·L·H² + 12·H multiplications per node and window; no graph
//	Options  embed_dim 32, node_dim 32, tod_dim 32, dow_dim 32 (0 switches an identity off), layers 3, dropout 0.15
type stid struct {
	Config
	embed, node, tod, dow, layers int
	dropout                       float64
}

func newSTID(c Config, o *options) Backbone {
	return &stid{
		Config:  c,
		embed:   o.int("embed_dim", 32),
		node:    o.int("node_dim", 32),
		tod:     o.int("tod_dim", 32),
		dow:     o.int("dow_dim", 32),
		layers:  o.int("layers", 3),
		dropout: o.rate("dropout", 0.15),
	}
}

const (
	stidChannels = 3 // value, time of day, day of week
	daysPerWeek  = 7
)

func (m *stid) width() int { return m.embed + m.node + m.tod + m.dow }

func (m *stid) Traits() Traits {
	h := m.width()
	return Traits{PairWise: true, Products: float64(m.Nodes * (m.History*m.embed + 2*m.layers*h*h + h*m.Horizon))}
}

func (m *stid) Params() []Param {
	var ps []Param
	table := func(name string, rows, cols int) {
		if cols > 0 {
			ps = append(ps, Param{name, optim.Part{Shape: []int{rows, cols}}, xavier(rows, cols)})
		}
	}
	layer := func(name string, in, out int, hidden bool) {
		ps = append(ps,
			Param{name + ".weight", optim.Part{Shape: []int{out, in, 1, 1}, Hidden: hidden}, fanIn(in)},
			Param{name + ".bias", optim.Part{Shape: []int{out}}, fanIn(in)})
	}
	table("node_emb", m.Nodes, m.node)
	table("time_in_day_emb", m.StepsPerDay, m.tod)
	table("day_in_week_emb", daysPerWeek, m.dow)
	layer("time_series_emb_layer", m.History*stidChannels, m.embed, false)
	for i := range m.layers {
		layer(fmt.Sprintf("encoder.%d.fc1", i), m.width(), m.width(), true)
		layer(fmt.Sprintf("encoder.%d.fc2", i), m.width(), m.width(), true)
	}
	layer("regression_layer", m.width(), m.Horizon, false)
	return ps
}

func (m *stid) Forward(p *Pass, in Input) *graph.Node {
	batch, steps, nodes := in.Value.Shape().Dimensions[0], in.Value.Shape().Dimensions[1], in.Value.Shape().Dimensions[2]
	full := func(x *graph.Node, width int) *graph.Node { // to [B,M,width]
		return graph.BroadcastToShape(x, shapes.Make(x.DType(), batch, nodes, width))
	}

	// The reference flattens [T,C] per node into one linear layer. The calendar channels are the same for all nodes, so
	// their share is computed once per window.
	w := graph.Reshape(p.Param("time_series_emb_layer.weight"), m.embed, steps, stidChannels)
	channel := func(c int) *graph.Node {
		return graph.Reshape(graph.Slice(w, graph.AxisRange(), graph.AxisRange(), graph.AxisRange(c, c+1)), m.embed, steps)
	}
	value := graph.EinsumAxes(in.Value, channel(0), [][2]int{{1, 1}}, nil) // [B,M,embed]
	calendar := graph.Add(
		graph.EinsumAxes(in.Tod, channel(1), [][2]int{{1, 1}}, nil),
		graph.EinsumAxes(in.Dow, channel(2), [][2]int{{1, 1}}, nil)) // [B,embed]
	calendar = graph.Add(calendar, graph.Reshape(p.Param("time_series_emb_layer.bias"), 1, m.embed))
	parts := []*graph.Node{graph.Add(value, full(graph.Reshape(calendar, batch, 1, m.embed), m.embed))}

	// Identities, read at the last history step.
	last := func(index *graph.Node) *graph.Node { // [B,T] to [B,1]
		return graph.Slice(index, graph.AxisRange(), graph.AxisRange(steps-1, steps))
	}
	if m.node > 0 {
		if in.Nodes == nil {
			parts = append(parts, full(graph.Reshape(in.ofBlock(p.Param("node_emb"), 0), 1, nodes, m.node), m.node))
		} else {
			rows := graph.Gather(p.Param("node_emb"), graph.Reshape(in.Nodes, batch*nodes, 1))
			parts = append(parts, graph.Reshape(rows, batch, nodes, m.node))
		}
	}
	if m.tod > 0 {
		rows := graph.Gather(p.Param("time_in_day_emb"), last(in.TodIndex))
		parts = append(parts, full(graph.Reshape(rows, batch, 1, m.tod), m.tod))
	}
	if m.dow > 0 {
		rows := graph.Gather(p.Param("day_in_week_emb"), last(in.DowIndex))
		parts = append(parts, full(graph.Reshape(rows, batch, 1, m.dow), m.dow))
	}

	h := graph.Reshape(graph.Concatenate(parts, -1), batch*nodes, m.width())
	for i := range m.layers {
		layer := func(name string, x *graph.Node) *graph.Node {
			name = fmt.Sprintf("encoder.%d.%s", i, name)
			return linear(x, p.Param(name+".weight"), p.Param(name+".bias"))
		}
		hidden := graph.Max(layer("fc1", h), graph.ScalarZero(h.Graph(), h.DType()))
		h = graph.Add(layer("fc2", p.Dropout(hidden, m.dropout)), h)
	}
	p.SetLast(func() Last { return Last{Input: graph.Reshape(h, batch, nodes, m.width())} })
	out := linear(h, p.Param("regression_layer.weight"), p.Param("regression_layer.bias")) // [B·M,Q]
	return graph.TransposeAllAxes(graph.Reshape(out, batch, nodes, m.Horizon), 0, 2, 1)
}
