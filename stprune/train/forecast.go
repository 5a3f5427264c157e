package train

import (
	"context"
	"fmt"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// Forecasts are the forecasts [Q·N], raw units, horizon by horizon, of some windows of a part of a data set (the first is source 0)
// with the current parameters in evaluation mode. Windows count from 0 within the part.
func (t *Trainer) Forecasts(ctx context.Context, source int, part string, windows []int) ([][]float32, error) {
	if source < 0 || source >= len(t.domains) {
		return nil, fmt.Errorf("forecasts: data set %d; there are %d, from 0", source, len(t.domains))
	}
	d := t.domains[source]
	starts, err := d.part(part)
	if err != nil {
		return nil, err
	}
	for _, w := range windows {
		if w < 0 || w >= len(starts) {
			return nil, fmt.Errorf("forecasts: window %d; the %s part of %s has windows 0 to %d", w, part, d.name, len(starts)-1)
		}
	}
	defer func(before Seconds) { t.seconds = before }(t.seconds) // of training alone
	exec, err := d.program(t.backend, "forecast", d.forecastGraph)
	if err != nil {
		return nil, fmt.Errorf("forecasts: %w", brief(err))
	}
	defer exec.Finalize()
	var all [][]float32
	b, size := min(t.cfg.EvalBatch, len(windows)), d.layout.horizon*d.layout.nodes
	for len(windows) > 0 {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("interrupted while forecasting: %w", err)
		}
		n := min(b, len(windows))
		batch := make([]int32, b)
		for i := range batch { // the rest is padding
			batch[i] = starts[windows[min(i, n-1)]]
		}
		windows = windows[n:]
		at, sent, err := d.inputs(Window, batch, nil)
		if err != nil {
			return nil, fmt.Errorf("forecasts: %w", err)
		}
		out, err := d.measure("forecasts", exec, append([]*tensors.Tensor{at}, sent...))
		if err != nil {
			return nil, err
		}
		for i := range n {
			all = append(all, out[0][i*size:(i+1)*size])
		}
	}
	return all, nil
}

// forecastGraph: inputs theta, starts, fixed…; outputs forecasts [B,Q,N], raw units.
func (d *domain) forecastGraph(in []*node) []*node {
	theta, starts := in[0], in[1]
	forecast := d.open(theta, nil, starts, Window, in[2:]).forecast()
	refusePass(theta.Graph(), starts.Shape().Size(), evalBatch, d.t.cfg.MemoryLimit)
	if !d.layout.raw {
		forecast = graph.AddScalar(graph.MulScalar(forecast, d.layout.scaler.Std), d.layout.scaler.Mean)
	}
	return []*node{forecast}
}
