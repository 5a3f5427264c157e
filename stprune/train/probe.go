package train

import (
	"context"
	"fmt"
	"time"

	"github.com/gomlx/compute"

	"github.com/stprune/workbench/stprune"
	"github.com/stprune/workbench/stprune/method"
	"github.com/stprune/workbench/stprune/optim"
)

// Scoring says how the scoring model of a static method is trained: as the run, but on all units, for these epochs, over which
// the learning-rate schedule is laid.
type Scoring struct {
	Epochs  int                  // 0: the model is measured as it begins
	Repeats int                  // scoring models over which errors and norms are averaged; 0 is 1
	Begin   map[string][]float32 // parameters by name to begin with, see [Trainer.Load]; nil: initialised
	Step    func(Progress)       // after each step; may be nil
}

// Cost is what a scoring model took.
type Cost struct {
	Visits   int64   // windows × nodes that it was trained on
	Forwards int64   // windows × nodes that were measured
	Seconds  Seconds // Compile and Scoring
}

// Charge adds what a scoring model took to the run's visits; its seconds are the caller's.
func (t *Trainer) Charge(c Cost) {
	t.state.Scoring += c.Visits
	t.state.Forwards += c.Forwards
}

// maxCheckpoints is the largest number of epochs at which a scoring model's gradients are kept.
const maxCheckpoints = 10

// Probe trains a scoring model as c says, which has parameters and random streams of its own, and measures what a method needs of
// it on the training units. When a method needs only inputs, nothing is trained.
//
// The arrays of all units must fit half of the memory limit, and what methods take at most; else Probe says so before it trains.
func Probe(ctx context.Context, be compute.Backend, c Config, s Scoring, needs method.Needs, sources ...Source) (*method.Probe, Cost, error) {
	if c.Unit == Block {
		return nil, Cost{}, fmt.Errorf("train.unit = %s: a scoring model measures no blocks; choose a method without one, or train.unit = %q", Block, Window)
	}
	start, seed := time.Now(), c.Seed
	learnt := needs
	if learnt.Inputs = false; !learnt.Probed() {
		s.Epochs = 0
	}
	repeats := 1
	if needs.Error || needs.Norms {
		repeats = max(1, s.Repeats)
	}
	c.Epochs, c.MaxSteps, c.Patience, c.GraphStats, c.Inexact, c.unvalidated = max(1, s.Epochs), 0, 0, false, false, true
	var p *method.Probe
	var cost Cost
	for r := range repeats {
		c.Seed = stprune.Stream(seed, "scoring model", r).Uint64()
		one, err := s.probe(ctx, be, c, needs, sources, &cost)
		if err != nil {
			return nil, Cost{}, fmt.Errorf("scoring model: %w", err)
		}
		if p == nil {
			p, needs = one, method.Needs{Error: needs.Error, Norms: needs.Norms}
		} else {
			add(p.Error, one.Error)
			add(p.Norms, one.Norms)
		}
	}
	for i := range p.Error {
		p.Error[i] /= float32(repeats)
	}
	for i := range p.Norms {
		p.Norms[i] /= float32(repeats)
	}
	cost.Seconds.Scoring = time.Since(start).Seconds() - cost.Seconds.Compile
	return p, cost, nil
}

func add(to, x []float32) {
	for i, v := range x {
		to[i] += v
	}
}

// probe trains one scoring model and measures it.
func (s Scoring) probe(ctx context.Context, be compute.Backend, c Config, needs method.Needs, sources []Source, cost *Cost) (*method.Probe, error) {
	pruner, err := stprune.NewFull(c.Units(sources...))
	if err != nil {
		return nil, err
	}
	t, err := New(be, c, pruner, sources...)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	if s.Begin != nil {
		if err := t.Load(s.Begin); err != nil {
			return nil, err
		}
	}

	last := needs // after the last epoch; before it, what the trajectory and the checkpoints need
	last.Loss = needs.Loss || needs.Trajectory
	last.Gradients = needs.Gradients || needs.Checkpoints
	checkpoints := max(1, min(s.Epochs, maxCheckpoints))
	if err := t.fits(last, s.Epochs, checkpoints); err != nil {
		return nil, err
	}
	p := &method.Probe{}
	measure := func(epoch int, rate float64) error { // from 1; 0 before training
		due := needs.Checkpoints && (epoch == s.Epochs || epoch*checkpoints/s.Epochs > (epoch-1)*checkpoints/s.Epochs)
		want := method.Needs{Loss: needs.Trajectory, Gradients: due}
		if epoch == s.Epochs {
			want = last
		}
		if !want.Probed() {
			return nil
		}
		m, err := t.Measure(ctx, Train, want)
		if err != nil {
			return err
		}
		for _, d := range t.domains {
			cost.Forwards += int64(len(d.windows.Train)) * int64(d.layout.nodes)
		}
		if needs.Trajectory && epoch > 0 {
			p.Trajectory = append(p.Trajectory, m.Loss)
		}
		if due {
			p.Checkpoints = append(p.Checkpoints, method.Checkpoint{Gradients: m.Gradients, LR: rate})
		}
		if epoch == s.Epochs {
			p.Loss, p.Error, p.Norms, p.LR = m.Loss, m.Error, m.Norms, rate
			p.Features, p.Gradients, p.Forecasts, p.Inputs = m.Features, m.Gradients, m.Forecasts, m.Inputs
		}
		return nil
	}
	at := optim.Progress{Epochs: c.Epochs, Steps: t.PlannedSteps()}
	if s.Epochs == 0 {
		err = measure(0, c.Schedule.LR(c.Optim.LR, at))
	} else {
		err = t.Run(ctx, Events{Step: s.Step, Epoch: func(r EpochReport) error {
			at.Epoch, at.Step = r.Epoch-1, t.StepsDone()-r.Steps+r.Steps/2 // the middle stands for the epoch
			return measure(r.Epoch, c.Schedule.LR(c.Optim.LR, at))
		}})
	}
	if err != nil {
		return nil, err
	}
	if needs.Validation {
		m, err := t.Measure(ctx, Validation, method.Needs{Gradients: true})
		if err != nil {
			return nil, err
		}
		p.Validation = m.Gradients
		for _, d := range t.domains {
			cost.Forwards += int64(len(d.windows.Val)) * int64(d.layout.nodes)
		}
	}
	cost.Visits += t.Visits()
	for _, took := range t.Compiled() {
		cost.Seconds.Compile += took.Seconds()
	}
	return p, nil
}

// fits refuses what a probe would hold at once when that is too much for the method or the memory. It measures one batch to know
// how wide the arrays are.
func (t *Trainer) fits(needs method.Needs, epochs, checkpoints int) error {
	d := t.domains[0]
	f := t.newFeed(min(t.passBatch(t.cfg.Unit == Pair), d.units))
	f.fill(d, &stprune.Selection{All: true}, []int32{d.first})
	out, err := d.pass(passed(needs), f)
	if err != nil {
		return err
	}
	numbers := 0
	for _, x := range out {
		numbers += len(x) / len(f.starts) * t.units()
	}
	gradients := len(out[len(out)-1]) / len(f.starts) // where they are needed
	if needs.Trajectory {
		numbers += epochs * t.units()
	}
	if needs.Checkpoints {
		numbers += (checkpoints - 1) * gradients * t.units()
	}
	if err := method.CheckMemory(t.units(), 4*numbers); err != nil {
		return err
	}
	return t.refuseNumbers(numbers)
}

// refuseNumbers refuses what would take more than half of the memory limit; the other half is for the method.
func (t *Trainer) refuseNumbers(numbers int) error {
	if need, limit := 4*int64(numbers), t.cfg.MemoryLimit/2; limit > 0 && need > limit {
		return fmt.Errorf("what is to be known of %d units takes %.1f GB, half of the memory is %.1f GB; set train.unit = %q, lower probe_epochs, or choose a method that needs less",
			t.units(), float64(need)/1e9, float64(limit)/1e9, Window)
	}
	return nil
}

// passed are the needs that one forward pass meets, besides the loss.
func passed(n method.Needs) method.Needs {
	return method.Needs{Error: n.Error, Norms: n.Norms, Features: n.Features, Forecasts: n.Forecasts, Inputs: n.Inputs, Gradients: n.Gradients}
}

// Measure passes the training units (of blocks: their windows), or the windows of another part of the data, forward in evaluation
// mode with the current parameters, batch after batch, and returns what is asked for of Loss, Error, Norms, Features, Forecasts,
// Inputs and Gradients. With several data sets all must have the same history and horizon, as far as the arrays' columns follow
// from them.
func (t *Trainer) Measure(ctx context.Context, part string, needs method.Needs) (*method.Probe, error) {
	defer func(before Seconds) { t.seconds = before }(t.seconds) // of training alone
	pairs := t.cfg.Unit == Pair && part == Train
	total := 0
	for _, d := range t.domains {
		starts, err := d.part(part)
		if err != nil {
			return nil, err
		}
		total += len(starts) * d.perWindow(pairs)
	}
	p := &method.Probe{}
	var stats, errors, norms method.Matrix
	into := []*method.Matrix{&stats} // in the order of the pass's outputs
	for _, x := range []struct {
		asked bool
		into  *method.Matrix
	}{
		{needs.Error, &errors}, {needs.Norms, &norms}, {needs.Features, &p.Features},
		{needs.Forecasts, &p.Forecasts}, {needs.Inputs, &p.Inputs}, {needs.Gradients, &p.Gradients},
	} {
		if x.asked {
			into = append(into, x.into)
		}
	}
	done := 0
	for _, d := range t.domains {
		starts, _ := d.part(part) // as above
		per := d.perWindow(pairs)
		units := len(starts) * per
		f := t.newFeed(min(t.passBatch(pairs), units))
		f.unit = Window
		if pairs {
			f.unit = Pair
		}
		for from := 0; from < units; from += len(f.starts) {
			if err := ctx.Err(); err != nil {
				return nil, fmt.Errorf("interrupted while measuring the %s part: %w", part, err)
			}
			for i := range f.starts {
				at := from + i
				if at >= units { // padding
					at = from
				}
				f.starts[i], f.nodes[i] = starts[at/per], int32(at%per)
			}
			out, err := d.pass(passed(needs), f)
			if err != nil {
				return nil, err
			}
			n := min(len(f.starts), units-from)
			if done == 0 {
				numbers := 0
				for i, x := range out {
					into[i].Rows, into[i].Cols = total, len(x)/len(f.starts)
					numbers += total * into[i].Cols
				}
				if err := t.refuseNumbers(numbers); err != nil {
					return nil, err
				}
				for _, m := range into {
					m.Data = make([]float32, m.Rows*m.Cols)
				}
			}
			for i, x := range out {
				if cols := len(x) / len(f.starts); cols != into[i].Cols {
					return nil, fmt.Errorf("%q has %d columns, %q has %d: choose data sets with the same history and horizon",
						d.name, cols, t.domains[0].name, into[i].Cols)
				}
				copy(into[i].Data[done*into[i].Cols:], x[:n*into[i].Cols])
			}
			done += n
		}
	}
	p.Error, p.Norms = errors.Data, norms.Data
	if needs.Loss {
		p.Loss = make([]float32, total)
		for i := range p.Loss {
			p.Loss[i] = stats.Row(i)[stprune.Level]
		}
	}
	return p, nil
}

// perWindow is the number of units that Measure knows of each window.
func (d *domain) perWindow(pairs bool) int {
	if pairs {
		return d.layout.nodes
	}
	return 1
}
