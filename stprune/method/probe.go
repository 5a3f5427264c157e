package method

import (
	"errors"
	"fmt"
	"math"
)

// Probe is what a scoring model, trained on all units for a while, knows about them. A field is filled when the method's
// [Needs] name it. Errors are masked and z-scored.
//
// The last layer of a backbone turns features h of a unit and node into the forecast of Q horizons by a linear map. Under the
// masked MAE its gradient for one unit is closed: the mean over valid (horizon, node) of sign(e)·onehot(horizon) ⊗ h. No
// backward pass is made for it.
type Probe struct {
	Loss  []float32 // [n] masked MAE after the last scoring epoch, in evaluation mode
	Error []float32 // [n] L2 norm of the error vector over √(valid entries) after the last scoring epoch, mean over repeats
	Norms []float32 // [n] L2 norm of the last layer's gradient as in Gradients, after the last scoring epoch, mean over repeats

	Trajectory [][]float32 // [epochs][n] masked MAE of each unit, in evaluation mode after each scoring epoch

	Features  Matrix // [n,F] the last layer's input, mean over nodes
	Gradients Matrix // [n,G] the last layer's gradient; projected at random to at most 2,048 columns, which keeps inner products on average
	Forecasts Matrix // [n,Q] z-scored forecast, mean over nodes
	Inputs    Matrix // [n,T] z-scored history, mean over nodes

	// Checkpoints are the gradients [n,G] at some scoring epochs, each with its learning rate.
	Checkpoints []Checkpoint

	// Validation holds the last layer's gradients [m,G] of the validation windows, projected as Gradients.
	Validation Matrix

	LR float64 // learning rate of the last scoring epoch
}

// Checkpoint is a moment of the scoring model's training.
type Checkpoint struct {
	Gradients Matrix
	LR        float64
}

// Matrix is dense and row-major.
type Matrix struct {
	Rows, Cols int
	Data       []float32
}

// Row is a view of row i.
func (m Matrix) Row(i int) []float32 { return m.Data[i*m.Cols : (i+1)*m.Cols] }

// part is the probe of the units from ≤ id < to; what belongs to no unit is shared.
func (p *Probe) part(from, to int) *Probe {
	column := func(c []float32) []float32 {
		if c == nil {
			return nil
		}
		return c[from:to]
	}
	rows := func(m Matrix) Matrix {
		if m.Data == nil {
			return m
		}
		return Matrix{Rows: to - from, Cols: m.Cols, Data: m.Data[from*m.Cols : to*m.Cols]}
	}
	out := *p
	out.Loss, out.Error, out.Norms = column(p.Loss), column(p.Error), column(p.Norms)
	out.Features, out.Gradients, out.Forecasts, out.Inputs = rows(p.Features), rows(p.Gradients), rows(p.Forecasts), rows(p.Inputs)
	out.Trajectory, out.Checkpoints = nil, nil
	for _, t := range p.Trajectory {
		out.Trajectory = append(out.Trajectory, column(t))
	}
	for _, c := range p.Checkpoints {
		out.Checkpoints = append(out.Checkpoints, Checkpoint{Gradients: rows(c.Gradients), LR: c.LR})
	}
	return &out
}

// matrices are the named parts that need asks for, as matrices; those with perUnit have a row for each unit.
func (p *Probe) matrices(need Needs) (parts []probePart) {
	add := func(needed, perUnit bool, name string, m Matrix) {
		if needed {
			parts = append(parts, probePart{name, perUnit, m})
		}
	}
	column := func(c []float32) Matrix { return Matrix{Rows: len(c), Cols: 1, Data: c} }
	add(need.Loss, true, "loss", column(p.Loss))
	add(need.Error, true, "error norm", column(p.Error))
	add(need.Norms, true, "gradient norm", column(p.Norms))
	add(need.Features, true, "features", p.Features)
	add(need.Gradients, true, "gradient", p.Gradients)
	add(need.Forecasts, true, "forecast", p.Forecasts)
	add(need.Inputs, true, "inputs", p.Inputs)
	add(need.Validation, false, "validation gradient", p.Validation)
	for e, t := range p.Trajectory {
		add(need.Trajectory, true, fmt.Sprintf("loss after scoring epoch %d", e+1), column(t))
	}
	for i, c := range p.Checkpoints {
		add(need.Checkpoints, true, fmt.Sprintf("gradient of checkpoint %d", i+1), c.Gradients)
	}
	return parts
}

type probePart struct {
	name    string
	perUnit bool
	Matrix
}

// check refuses a probe that lacks something, has a wrong shape, or has numbers that are not finite.
func (p *Probe) check(need Needs, n int) error {
	if p == nil {
		return errors.New("the probe is nil; return what the scoring model measured, or an error")
	}
	if need.Trajectory && len(p.Trajectory) == 0 || need.Checkpoints && len(p.Checkpoints) == 0 {
		return errors.New("the probe has no trajectory or no checkpoints; train the scoring model for at least 1 epoch")
	}
	for _, m := range p.matrices(need) {
		rows := n
		if !m.perUnit {
			rows = max(1, m.Rows)
		}
		if m.Rows != rows || m.Cols < 1 || len(m.Data) != m.Rows*m.Cols {
			return fmt.Errorf("the probe's %s has %d rows of %d columns in %d numbers; expected %d rows", m.name, m.Rows, m.Cols, len(m.Data), rows)
		}
		for i, v := range m.Data {
			if v-v != 0 {
				unit := "unit"
				if !m.perUnit {
					unit = "validation window"
				}
				return fmt.Errorf("the %s of %s %d is %v; expected finite numbers: the scoring model has diverged: lower its learning rate",
					m.name, unit, i/m.Cols, v)
			}
		}
	}
	rates := []float64{p.LR}
	for _, c := range p.Checkpoints {
		rates = append(rates, c.LR)
	}
	for _, lr := range rates {
		if !(lr >= 0) || math.IsInf(lr, 1) {
			return fmt.Errorf("the probe's learning rate is %v; expected a finite number of at least 0", lr)
		}
	}
	if v, g := p.Validation, p.Gradients; need.Validation && need.Gradients && v.Cols != g.Cols {
		return fmt.Errorf("the probe's validation gradients have %d columns and the units' %d; project both alike", v.Cols, g.Cols)
	}
	return nil
}

// bytes is what the parts that need asks for take.
func (p *Probe) bytes(need Needs) int {
	total := 0
	for _, m := range p.matrices(need) {
		total += 4 * len(m.Data)
	}
	return total
}
