package train

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/stprune/workbench/stprune"
	"github.com/stprune/workbench/stprune/backbone"
	"github.com/stprune/workbench/stprune/loss"
	"github.com/stprune/workbench/stprune/method"
)

// passKind tells the executables of forward passes apart.
type passKind struct {
	needs method.Needs // Error, Norms, Features, Forecasts, Inputs and Gradients
	unit  string
}

func (k passKind) String() string {
	name := "forward pass"
	if k.unit == Pair {
		name += " of pairs"
	}
	if names := k.needs.Names(); len(names) > 0 {
		name += " for " + strings.Join(names, ", ")
	}
	return name
}

// passGraph: inputs theta, starts, [nodes], fixed…; outputs of each unit, in evaluation mode: statistics [B, NumStats], and what
// the kind needs of error [B], norms [B], features [B,F], forecasts [B,Q], inputs [B,T], gradients [B,G], in this order.
func (d *domain) passGraph(kind passKind) func([]*node) []*node {
	return func(in []*node) []*node {
		theta, starts := in[0], in[1]
		o := d.open(theta, nil, starts, kind.unit, in[2:])
		forecast := o.forecast()
		key := evalBatch
		if _, chooses := d.t.pruner.(stprune.Chooser); kind.unit == Pair || chooses && kind.needs.Gradients {
			key = trainBatch
		}
		refusePass(theta.Graph(), starts.Shape().Size(), key, d.t.cfg.MemoryLimit)
		e := o.residuals(forecast)
		normal := func(x *node) *node {
			return graph.DivScalar(graph.AddScalar(x, -d.layout.scaler.Mean), d.layout.scaler.Std)
		}

		out := []*node{e.Stats(o.laplacian)}
		if kind.needs.Error {
			square := graph.Div(graph.ReduceSum(graph.Square(e.Signed), 1, 2), graph.MaxScalar(e.Count, 1))
			out = append(out, graph.DivScalar(graph.Sqrt(square), d.layout.scaler.Std))
		}
		var gradient *node
		if kind.needs.Norms || kind.needs.Gradients {
			gradient = d.lastGradient(e, o.pass.Last())
		}
		if kind.needs.Norms {
			out = append(out, graph.Sqrt(graph.ReduceSum(graph.Square(gradient), 1)))
		}
		if kind.needs.Features {
			out = append(out, graph.ReduceMean(o.pass.Last().Input, 1))
		}
		if kind.needs.Forecasts {
			if d.layout.raw {
				forecast = normal(forecast)
			}
			out = append(out, graph.ReduceMean(forecast, 2))
		}
		if kind.needs.Inputs { // missing ones are left out
			measured := graph.ConvertDType(d.layout.measured(o.batch.history), o.batch.mask.DType())
			sum := graph.ReduceSum(graph.Mul(normal(o.batch.history), measured), 2)
			out = append(out, graph.Div(sum, graph.MaxScalar(graph.ReduceSum(measured, 2), 1)))
		}
		if kind.needs.Gradients {
			out = append(out, gradient)
		}
		return out
	}
}

// maxColumns is the width beyond which gradients are projected.
const maxColumns = 2048

// lastGradient is the gradient of each unit's masked MAE (z-scored) in the last layer's weight and bias, [B, Q·(F+1)], for each
// horizon the features' columns and then the bias. The MAE's derivative in a forecast is a sign, so no backward pass is made. Where
// that is wider than maxColumns, the columns of a horizon are multiplied by a random matrix of ±1/√R, [F+1,R]: inner products stay
// the same on average.
func (d *domain) lastGradient(e loss.Residuals, last backbone.Last) *node {
	g := last.Input.Graph()
	dims := slices.Clone(last.Input.Shape().Dimensions)
	columns := dims[2] + 1
	dims[2] = 1
	h := graph.Concatenate([]*node{last.Input, graph.Ones(g, shapes.Make(last.Input.DType(), dims...))}, -1) // [B,M,F+1]
	sign := graph.Sign(e.Signed)                                                                             // [B,Q,M], 0 where not measured
	if last.Scale != nil {
		sign = graph.Mul(sign, graph.InsertAxes(last.Scale, 1))
	}
	if d.layout.raw {
		sign = graph.DivScalar(sign, d.layout.scaler.Std)
	}
	if q := sign.Shape().Dimensions[1]; q*columns > maxColumns {
		width := max(1, maxColumns/q)
		r := stprune.Stream(d.t.cfg.Seed, "projection", 0)
		values := make([]float32, columns*width)
		for i := range values {
			values[i] = float32(float64(2*r.IntN(2)-1) / math.Sqrt(float64(width)))
		}
		h = graph.EinsumAxes(h, graph.Const(g, tensors.FromFlatDataAndDimensions(values, columns, width)), [][2]int{{2, 0}}, nil)
		columns = width
	}
	sum := graph.EinsumAxes(sign, h, [][2]int{{2, 1}}, [][2]int{{0, 0}}) // [B,Q,columns]
	count := graph.MaxScalar(graph.InsertAxes(e.Count, -1), 1)
	return graph.Div(graph.Reshape(sum, dims[0], sum.Shape().Size()/dims[0]), count)
}

// pass measures the units of a feed, its padding too, with the current parameters in evaluation mode.
func (d *domain) pass(needs method.Needs, f *feed) ([][]float32, error) {
	kind := passKind{needs, f.unit}
	if d.passes[kind] == nil {
		exec, err := d.program(d.t.backend, "pass", d.passGraph(kind))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", kind, brief(err))
		}
		d.passes[kind] = exec
	}
	at, sent, err := d.inputs(f.unit, f.starts, f.nodes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	own := slices.Concat([]*tensors.Tensor{at}, f.tensors(), sent)
	start, compile := time.Now(), d.t.seconds.Compile
	defer func() { d.t.seconds.Scoring += time.Since(start).Seconds() - (d.t.seconds.Compile - compile) }()
	return d.measure(f.of(kind.String()), d.passes[kind], own)
}

// passBatch is the number of units of a forward pass.
func (t *Trainer) passBatch(pairs bool) int {
	if pairs {
		return t.cfg.Batch
	}
	return t.cfg.EvalBatch
}

// choose lets a [stprune.Chooser] choose among the candidates of one step, given by their positions in the selection: size of them,
// or of a last, shorter batch the same share.
func (t *Trainer) choose(d *domain, s *stprune.Selection, candidates []int32, size, full int) ([]int32, error) {
	target := max(1, int(math.Round(float64(size)*float64(len(candidates))/float64(full))))
	fail := func(err error) error {
		return fmt.Errorf("epoch %d, step %d: choosing %d of %d candidates: %w", t.state.Epoch+1, t.state.Step+1, target, len(candidates), err)
	}
	f := t.newFeed(full)
	f.fill(d, s, candidates)
	out, err := d.pass(method.Needs{Gradients: true}, f)
	if err != nil {
		return nil, fail(err)
	}
	start := time.Now()
	defer func() { t.seconds.Selection += time.Since(start).Seconds() }()
	gradients := out[1][:len(out[1])/full*len(candidates)]
	places, err := t.pruner.(stprune.Chooser).Choose(t.state.Epoch, t.state.Step, target, f.ids, gradients)
	if err != nil {
		return nil, fail(err)
	}
	if len(places) == 0 || len(places) > size {
		return nil, fail(fmt.Errorf("the pruner chose %d; a step takes 1 to %d", len(places), size))
	}
	chosen := make([]int32, len(places))
	for i, at := range places {
		if at < 0 || int(at) >= len(candidates) || i > 0 && at <= places[i-1] {
			return nil, fail(fmt.Errorf("the pruner chose place %d after %d places; they must ascend from 0 to %d", at, i, len(candidates)-1))
		}
		chosen[i] = candidates[at]
	}
	return chosen, nil
}

// forward passes the units forward that a [stprune.Forwarder] asks for, except after the last epoch, when nothing is left to plan.
// The pruner is told nothing before all are measured, so that an interruption leaves it as it was.
func (t *Trainer) forward(ctx context.Context) error {
	p, ok := t.pruner.(stprune.Forwarder)
	if !ok || t.state.Forwarded || t.ends(t.state.Epoch+1) {
		return nil
	}
	fail := func(err error) error {
		return fmt.Errorf("epoch %d: passing units forward: %w", t.state.Epoch+1, err)
	}
	ids := p.Forward(t.state.Epoch)
	for i, id := range ids {
		if id < 0 || int(id) >= t.units() || i > 0 && id <= ids[i-1] {
			return fail(fmt.Errorf("the pruner asks for unit %d after %d others; they must ascend from 0 to %d", id, i, t.units()-1))
		}
	}
	f := t.newFeed(t.passBatch(t.cfg.Unit == Pair))
	s := stprune.Selection{IDs: ids}
	stats := make(stprune.Stats, len(ids)*stprune.NumStats)
	visits := int64(0)
	for _, d := range t.domains {
		for _, positions := range d.groups(&s) {
			for batch := range slices.Chunk(positions, len(f.starts)) {
				if err := ctx.Err(); err != nil {
					return fmt.Errorf("interrupted in epoch %d while passing units forward: %w", t.state.Epoch+1, err)
				}
				f.fill(d, &s, batch)
				out, err := d.pass(method.Needs{}, f)
				if err != nil {
					return fail(err)
				}
				for i, at := range batch {
					copy(stats[int(at)*stprune.NumStats:], out[0][i*stprune.NumStats:(i+1)*stprune.NumStats])
				}
				visits += f.visits(d, len(batch))
			}
		}
	}
	if len(ids) > 0 {
		start := time.Now()
		err := p.Observe(ids, stats)
		t.seconds.Selection += time.Since(start).Seconds()
		if err != nil {
			return fail(err)
		}
	}
	t.state.Forwards += visits
	t.state.Forwarded = true
	return nil
}
