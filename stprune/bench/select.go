package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"github.com/stprune/workbench/stprune"
	"github.com/stprune/workbench/stprune/method"
)

// Select says which choice to measure: one of a method's, from made-up observations or a made-up probe. What a static method's
// scoring model takes to train is no part of it.
type Select struct {
	Method string
	Units  int     // n
	Rho    float64 // ρ; k = round(ρn), at least 1

	// Widths of the made-up measurements.
	Features   int // F
	Gradients  int // G
	Horizon    int // Q, and T
	Validation int // windows m

	Limit time.Duration // longer choices are given up
}

// Choice is what was measured.
type Choice struct {
	Method    string  `json:"method"`
	Kind      string  `json:"kind"`
	Units     int     `json:"units"`
	Kept      int     `json:"kept"`
	Seconds   float64 `json:"seconds"`         // of one choice; a method that chooses within batches: of all batches of an epoch
	Allocated uint64  `json:"allocated_bytes"` // during it, in all
	Probe     uint64  `json:"probe_bytes"`     // of the scoring model's measurements
	Problem   string  `json:"problem,omitempty"`
}

// Run measures. A method that refuses or takes longer than the limit is no error: the result's Problem says so.
func (s Select) Run(ctx context.Context) (Choice, error) {
	if err := ctx.Err(); err != nil {
		return Choice{}, err
	}
	m, err := method.ByName(s.Method)
	if err != nil {
		return Choice{}, err
	}
	if least := min(s.Units, s.Features, s.Gradients, s.Horizon, s.Validation); least < 1 {
		return Choice{}, fmt.Errorf("bench: units, features, gradients, horizon or validation is %d; all must be at least 1", least)
	}
	report := Choice{Method: m.Name, Kind: string(m.Kind), Units: s.Units}
	refused := func(err error) (Choice, error) {
		if ctx.Err() != nil {
			return Choice{}, err
		}
		report.Problem = err.Error()
		return report, nil
	}
	if err := method.CheckMemory(s.Units, s.probeBytes(m.Needs)); err != nil {
		return refused(err)
	}

	limited, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := stprune.Stream(1, "bench", 0)
	c := stprune.DefaultConfig()
	c.Rho = s.Rho
	setup := method.Setup{Units: s.Units, Config: c, Context: limited}
	if m.Needs.Probed() {
		probe := s.probe(m.Needs, r)
		report.Probe = uint64(s.probeBytes(m.Needs))
		setup.Probe = func() (*method.Probe, error) { return probe, nil }
	}
	pruner, err := m.Make(setup)
	if err != nil {
		return Choice{}, err
	}
	epoch := 0
	if m.Kind != method.Static {
		epoch = c.WarmUp
		if err := s.observe(pruner, r); err != nil {
			return Choice{}, err
		}
	}

	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	timer := time.AfterFunc(s.Limit, func() { cancel(errLimit) })
	defer timer.Stop()
	start := time.Now()
	kept, err := s.choose(limited, pruner, epoch, r)
	report.Seconds = time.Since(start).Seconds()
	runtime.ReadMemStats(&after)
	report.Allocated, report.Kept = after.TotalAlloc-before.TotalAlloc, kept
	if err != nil {
		if context.Cause(limited) == errLimit {
			err = fmt.Errorf("took longer than %v", s.Limit)
		}
		return refused(err)
	}
	return report, nil
}

var errLimit = errors.New("time limit")

// choose makes one choice and tells how many units are trained on.
func (s Select) choose(ctx context.Context, pruner stprune.Pruner, epoch int, r *rand.Rand) (kept int, err error) {
	selection, err := pruner.Plan(epoch)
	if err != nil {
		return 0, err
	}
	if f, ok := pruner.(stprune.Forwarder); ok {
		f.Forward(epoch)
	}
	if c, ok := pruner.(stprune.Chooser); ok {
		const target = 64
		if candidates := c.Candidates(epoch, target); candidates > 0 {
			gradients := normal(r, candidates, s.Gradients).Data
			step := 0
			for ids := range slices.Chunk(selection.IDs, candidates) {
				if err := ctx.Err(); err != nil {
					return 0, err
				}
				places, err := c.Choose(epoch, step, target, ids, gradients[:len(ids)*s.Gradients])
				if err != nil {
					return 0, err
				}
				kept += len(places)
				step++
			}
			return kept, nil
		}
	}
	return selection.Diagnostics.Kept, nil
}

// observe reports made-up statistics of every unit once, as a full first epoch does.
func (s Select) observe(pruner stprune.Pruner, r *rand.Rand) error {
	if _, err := pruner.Plan(0); err != nil {
		return err
	}
	const batch = 4096
	for from := 0; from < s.Units; from += batch {
		var ids []int32
		var stats stprune.Stats
		for id := from; id < min(s.Units, from+batch); id++ {
			ids = append(ids, int32(id))
			for range stprune.NumStats {
				stats = append(stats, float32(0.05+r.ExpFloat64()))
			}
		}
		if err := pruner.Observe(ids, stats); err != nil {
			return err
		}
	}
	return nil
}

const scoringEpochs, checkpoints = 10, 2 // of the made-up scoring model

func (s Select) probeBytes(need method.Needs) int {
	bytes := 0
	for _, part := range []struct {
		needed     bool
		rows, cols int
	}{
		{need.Loss, s.Units, 1}, {need.Error, s.Units, 1}, {need.Norms, s.Units, 1}, {need.Trajectory, s.Units, scoringEpochs},
		{need.Features, s.Units, s.Features}, {need.Gradients, s.Units, s.Gradients}, {need.Forecasts, s.Units, s.Horizon}, {need.Inputs, s.Units, s.Horizon},
		{need.Checkpoints, s.Units, checkpoints * s.Gradients}, {need.Validation, s.Validation, s.Gradients},
	} {
		if part.needed {
			bytes += 4 * part.rows * part.cols
		}
	}
	return bytes
}

func (s Select) probe(need method.Needs, r *rand.Rand) *method.Probe {
	column := func() []float32 {
		out := make([]float32, s.Units)
		for i := range out {
			out[i] = float32(0.05 + r.ExpFloat64())
		}
		return out
	}
	p := &method.Probe{LR: 0.002}
	for _, part := range []struct {
		needed bool
		out    *[]float32
	}{{need.Loss, &p.Loss}, {need.Error, &p.Error}, {need.Norms, &p.Norms}} {
		if part.needed {
			*part.out = column()
		}
	}
	if need.Trajectory {
		for range scoringEpochs {
			p.Trajectory = append(p.Trajectory, column())
		}
	}
	if need.Checkpoints {
		for range checkpoints {
			p.Checkpoints = append(p.Checkpoints, method.Checkpoint{Gradients: normal(r, s.Units, s.Gradients), LR: p.LR})
		}
	}
	for _, part := range []struct {
		needed     bool
		out        *method.Matrix
		rows, cols int
	}{
		{need.Features, &p.Features, s.Units, s.Features}, {need.Gradients, &p.Gradients, s.Units, s.Gradients},
		{need.Forecasts, &p.Forecasts, s.Units, s.Horizon}, {need.Inputs, &p.Inputs, s.Units, s.Horizon}, {need.Validation, &p.Validation, s.Validation, s.Gradients},
	} {
		if part.needed {
			*part.out = normal(r, part.rows, part.cols)
		}
	}
	return p
}

// normal is a matrix of normal numbers around 0.1.
func normal(r *rand.Rand, rows, cols int) method.Matrix {
	m := method.Matrix{Rows: rows, Cols: cols, Data: make([]float32, rows*cols)}
	for i := range m.Data {
		m.Data[i] = float32(0.1 + r.NormFloat64())
	}
	return m
}
