package train

import (
	"fmt"
	"time"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/stprune/workbench/stprune"
	"github.com/stprune/workbench/stprune/loss"
)

// checkMicroBatch refuses micro-batches where they would change what is learnt.
func (t *Trainer) checkMicroBatch() error {
	c := t.cfg
	switch {
	case c.MicroBatch == 0:
		return nil
	case c.Devices > 1:
		return fmt.Errorf("train.micro_batch = %d with %d devices, which share each step already; set it to 0, or backend.devices to 1", c.MicroBatch, c.Devices)
	case len(t.model.Traits().Buffers) > 0:
		return fmt.Errorf("train.micro_batch = %d: backbone %s normalises by its batch, and parts of it would be normalised by themselves; set it to 0 and lower train.batch",
			c.MicroBatch, c.Backbone)
	}
	return nil
}

// microGraph: inputs theta, sums, key, starts, weights, [nodes], fixed…; outputs sums, stats. Sums [P+2] collect the gradient of the
// loss's numerator, the numerator and its divisor.
func (d *domain) microGraph(in []*node) []*node {
	cfg := d.t.cfg
	theta, sums, key, starts, weights := in[0], in[1], in[2], in[3], in[4]
	o := d.open(theta, key, starts, cfg.Unit, in[5:])
	e := o.residuals(o.forecast())
	sum, divisor := cfg.Loss.Terms(e, weights)
	refuse(sum, cfg.Options["recompute"] == true, cfg.MemoryLimit)
	d.tryEvaluation()
	own := graph.Concatenate([]*node{d.t.gradient(sum, o.params), graph.Reshape(sum, 1), graph.Reshape(divisor, 1)}, 0)
	return []*node{graph.Add(sums, own), e.Stats(o.laplacian)}
}

// applyGraph: inputs theta, slots…, hyper, sums of [domain.microGraph]; outputs theta, slots…, loss.
func (d *domain) applyGraph(in []*node) []*node {
	p := d.t.state.Parameters
	theta, slots, hyper, sums := in[0], in[1:len(in)-2], in[len(in)-2], in[len(in)-1]
	at := func(i int) *node { return graph.Reshape(graph.Slice(sums, graph.AxisRange(i, i+1))) }
	divisor := graph.MaxScalar(at(p+1), loss.LeastDivisor)
	grad := graph.Div(graph.Slice(sums, graph.AxisRange(0, p)), divisor)
	theta, slots, _ = d.t.update(theta, grad, slots, hyper, func(params *node) *node { return params })
	return append(append([]*node{theta}, slots...), graph.Div(at(p), divisor))
}

// trainInParts is trainStep by micro-batches, one after the other: the gradients of the loss's numerator add up, and so do the divisors.
// Each draws dropout anew; otherwise the step is that of the whole batch, but for rounding.
func (t *Trainer) trainInParts(d *domain, f *feed, rate float64) (float64, stprune.Stats, error) {
	size := t.cfg.MicroBatch
	failed := func(err error) (float64, stprune.Stats, error) {
		return 0, nil, fmt.Errorf("training step %d: %w", t.state.Global+1, brief(err))
	}
	call := func(name string, exec *graph.Exec, in ...*tensors.Tensor) ([]*tensors.Tensor, error) {
		args := make([]any, len(in))
		for i, x := range in {
			args[i] = x
		}
		if err := d.compile(name, exec, args); err != nil {
			return nil, err
		}
		start := time.Now()
		out, err := exec.Call(args...)
		spent := time.Since(start)
		t.computing += spent
		t.seconds.Steps += spent.Seconds()
		return out, err
	}

	t.computing = 0
	hyper, r := t.cfg.Optim.Hyper(rate, t.state.Global+1), stprune.Stream(t.cfg.Seed, "dropout", t.state.Global)
	sums := tensors.FromFlatDataAndDimensions(make([]float32, t.state.Parameters+2), t.state.Parameters+2)
	defer func() { release([]*tensors.Tensor{sums}) }()
	var stats stprune.Stats
	for from := 0; from < len(f.ids); from += size {
		part := f.from(from, size)
		starts, rows := d.locate(part.unit, part.starts, part.nodes)
		own := []*tensors.Tensor{
			tensors.FromFlatDataAndDimensions([]uint32{r.Uint32(), r.Uint32()}, 2),
			tensors.FromFlatDataAndDimensions(starts, size),
			tensors.FromFlatDataAndDimensions(part.weights, size),
		}
		own = append(own, part.tensors()...)
		sent, err := rows.tensors(t.backend, 0)
		if err != nil {
			release(own)
			return failed(err)
		}
		own = append(own, sent...)
		in := append([]*tensors.Tensor{t.theta, sums}, own...)
		out, err := call(part.of("micro-batch"), d.micro, append(in, d.fixed()...)...)
		release(own)
		if err != nil {
			return failed(err)
		}
		release([]*tensors.Tensor{sums})
		sums = out[0]
		measured, err := tensors.CopyFlatData[float32](out[1])
		release(out[1:])
		if err != nil {
			return failed(fmt.Errorf("reading the stats: %w", err))
		}
		stats = append(stats, measured...)
	}
	at := tensors.FromFlatDataAndDimensions(float32s(hyper[:]), len(hyper))
	defer release([]*tensors.Tensor{at})
	in := append([]*tensors.Tensor{t.theta}, t.slots...)
	out, err := call("update", d.apply, append(in, at, sums)...)
	if err != nil {
		return failed(err)
	}
	t.releaseParameters()
	n := len(out) - 1
	t.theta, t.slots = out[0], out[1:n]
	defer release(out[n:])
	value, err := tensors.CopyFlatData[float32](out[n])
	if err != nil {
		return failed(fmt.Errorf("reading the loss: %w", err))
	}
	return float64(value[0]), stats[:len(f.ids)*stprune.NumStats], nil
}

// from is the part of size units that begins at a place; what the batch lacks of it is padding with weight 0.
func (f *feed) from(at, size int) *feed {
	part := *f
	cut := func(v []int32) []int32 {
		out := append(make([]int32, 0, size), v[at:min(at+size, len(v))]...)
		for len(out) < size {
			out = append(out, out[0])
		}
		return out
	}
	part.starts = cut(f.starts)
	if f.unit == Pair {
		part.nodes = cut(f.nodes)
	}
	part.weights = append(make([]float32, 0, size), f.weights[at:min(at+size, len(f.weights))]...)
	part.weights = append(part.weights, make([]float32, size-len(part.weights))...)
	return &part
}
