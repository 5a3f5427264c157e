package train

import (
	"context"
	"fmt"
	"slices"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/stprune/workbench/stprune"
	"github.com/stprune/workbench/stprune/loss"
)

// Gradient is the gradient [P] of the training loss over the units ids (nil: all), with these loss weights (nil: all 1), at the
// current parameters: what a training step would follow if these units were its batch, but in evaluation mode, without dropout.
// Nothing is changed. Frozen parameters have gradient 0. With several data sets numerator and divisor of the loss are summed
// over them.
//
// Units pass in batches of the full epochs' size and are summed in float64: beyond rounding the result does not depend on it.
func (t *Trainer) Gradient(ctx context.Context, ids []int32, weights []float32) ([]float64, error) {
	if weights != nil && len(weights) != len(ids) {
		return nil, fmt.Errorf("gradient: %d weights for %d units; give one each, or nil for all 1", len(weights), len(ids))
	}
	for i, id := range ids {
		if id < 0 || int(id) >= t.units() {
			return nil, fmt.Errorf("gradient: unit %d at place %d; there are units 0 to %d", id, i, t.units()-1)
		}
	}
	defer func(before Seconds) { t.seconds = before }(t.seconds) // of training alone
	s := stprune.Selection{All: ids == nil, IDs: ids, Weight: weights}
	sum, divisor := make([]float64, t.state.Parameters), 0.0
	for _, d := range t.domains {
		for _, positions := range d.groups(&s) {
			f := t.newFeed(min(t.cfg.Batch, len(positions)))
			for batch := range slices.Chunk(positions, t.cfg.Batch) {
				if err := ctx.Err(); err != nil {
					return nil, fmt.Errorf("interrupted while taking a gradient: %w", err)
				}
				f.fill(d, &s, batch)
				at, sent, err := d.inputs(f.unit, f.starts, f.nodes)
				if err != nil {
					return nil, fmt.Errorf("gradient: %w", err)
				}
				own := []*tensors.Tensor{at, tensors.FromFlatDataAndDimensions(f.weights, len(f.weights))}
				out, err := d.measure(f.of("gradient"), d.gradients, slices.Concat(own, f.tensors(), sent))
				if err != nil {
					return nil, err
				}
				for i, v := range out[0] {
					sum[i] += float64(v)
				}
				divisor += float64(out[1][0])
			}
		}
	}
	for i := range sum {
		sum[i] /= max(divisor, loss.LeastDivisor)
	}
	return sum, nil
}

// gradientGraph: inputs theta, starts, weights, [nodes], fixed…; outputs the gradient [P] of the loss's numerator, its divisor.
func (d *domain) gradientGraph(in []*node) []*node {
	theta, starts, weights := in[0], in[1], in[2]
	o := d.open(theta, nil, starts, d.t.cfg.Unit, in[3:])
	sum, divisor := d.t.cfg.Loss.Terms(o.residuals(o.forecast()), weights)
	return []*node{d.t.gradient(sum, o.params), divisor}
}

// measure calls an executable with theta, its own inputs, which it frees, and the fixed ones, and reads all outputs.
func (d *domain) measure(name string, exec *graph.Exec, own []*tensors.Tensor) ([][]float32, error) {
	defer release(own)
	args := []any{d.t.theta}
	for _, x := range slices.Concat(own, d.fixed()) {
		args = append(args, x)
	}
	if err := d.compile(name, exec, args); err != nil {
		return nil, err
	}
	out, err := exec.Call(args...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, brief(err))
	}
	defer release(out)
	values := make([][]float32, len(out))
	for i, x := range out {
		if values[i], err = tensors.CopyFlatData[float32](x); err != nil {
			return nil, fmt.Errorf("%s: reading the results: %w", name, brief(err))
		}
	}
	return values, nil
}
