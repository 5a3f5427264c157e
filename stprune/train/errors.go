package train

import (
	"context"
	"fmt"

	"github.com/gomlx/gomlx/core/graph"

	"github.com/stprune/workbench/stprune/loss"
)

// Errors measures every window of a part of the data with the current parameters in evaluation mode. each is told, window after
// window and data set after data set, the sums over horizons of the absolute errors [N], raw units, and the numbers of measured
// targets [N]; window counts from 0 within the part of the data set, and the slices are valid during the call. Errors returns
// what the windows of each data set add up to, [Q, loss.NumSums] as [loss.NewMetrics] takes it.
func (t *Trainer) Errors(ctx context.Context, part string, each func(source, window int, sum, count []float32)) ([][]float64, error) {
	defer func(before Seconds) { t.seconds = before }(t.seconds) // of training alone
	var all [][]float64
	for source, d := range t.domains {
		starts, err := d.part(part)
		if err != nil {
			return nil, err
		}
		total := make([]float64, d.layout.horizon*loss.NumSums)
		b, nodes := min(t.cfg.EvalBatch, len(starts)), d.layout.nodes
		for from := 0; from < len(starts); from += b {
			if err := ctx.Err(); err != nil {
				return nil, fmt.Errorf("interrupted while measuring errors: %w", err)
			}
			batch, weights := make([]int32, b), make([]float32, b)
			n := copy(batch, starts[from:])
			for i := range batch { // the rest is padding
				if i < n {
					weights[i] = 1
				} else {
					batch[i] = batch[0]
				}
			}
			own, err := d.weighted(batch, weights)
			if err != nil {
				return nil, fmt.Errorf("errors: %w", err)
			}
			out, err := d.measure("errors", d.errors, own)
			if err != nil {
				return nil, err
			}
			for i, v := range out[0] {
				total[i] += float64(v)
			}
			for i := range n {
				row := func(x []float32) []float32 { return x[i*nodes : (i+1)*nodes] }
				each(source, from+i, row(out[1]), row(out[2]))
			}
		}
		all = append(all, total)
	}
	return all, nil
}

// errorGraph: inputs theta, starts, weights, fixed…; outputs sums [Q, loss.NumSums], absolute errors [B,N] summed over
// horizons, measured targets [B,N].
func (d *domain) errorGraph(in []*node) []*node {
	theta, starts, weights := in[0], in[1], in[2]
	o := d.open(theta, nil, starts, Window, in[3:])
	e := o.residuals(o.forecast())
	refusePass(theta.Graph(), starts.Shape().Size(), evalBatch, d.t.cfg.MemoryLimit)
	return []*node{e.Sums(weights), graph.ReduceSum(e.Abs, 1), graph.ReduceSum(e.Mask, 1)}
}
