package train

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/tensors"

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

	// Save is given the state, to be put together from its parts, after each epoch, when ctx is cancelled, and when a model is
	// measured; its time is no cost. May be nil.
	Save  func(state ...[]byte) error
	Saved []byte // the state to go on from, saved with the same configuration and data; nil: begin
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
// it on the training units. When a method needs only inputs, nothing is trained. Cancelled and asked again with what was saved, it
// ends with the same bits; what was being measured of a trained model is measured again.
//
// The arrays of all units must fit half of the memory limit, and what methods take at most; else Probe says so before it trains.
func Probe(ctx context.Context, be compute.Backend, c Config, s Scoring, needs method.Needs, sources ...Source) (*method.Probe, Cost, error) {
	if c.Unit == Block {
		return nil, Cost{}, fmt.Errorf("train.unit = %s: a scoring model measures no blocks; choose a method without one, or train.unit = %q", Block, Window)
	}
	learnt := needs
	if learnt.Inputs = false; !learnt.Probed() {
		s.Epochs = 0
	}
	repeats := 1
	if needs.Error || needs.Norms {
		repeats = max(1, s.Repeats)
	}
	seed := c.Seed
	c.Epochs, c.MaxSteps, c.Patience, c.GraphStats, c.Inexact, c.unvalidated = max(1, s.Epochs), 0, 0, false, false, true
	p := &probing{Scoring: s, since: time.Now()}
	if s.Saved != nil {
		err := p.state.decode(s.Saved)
		if err == nil && (p.state.Repeat < 0 || p.state.Repeat >= repeats) {
			err = fmt.Errorf("it is of model %d of %d; it belongs to another run", p.state.Repeat+1, repeats)
		}
		if err != nil {
			return nil, Cost{}, fmt.Errorf("scoring model: %w", unusable(err))
		}
	}
	for p.state.Repeat < repeats {
		if p.state.Repeat > 0 {
			needs = method.Needs{Error: needs.Error, Norms: needs.Norms}
		}
		c.Seed = stprune.Stream(seed, "scoring model", p.state.Repeat).Uint64()
		if err := p.one(ctx, be, c, needs, sources); err != nil {
			return nil, Cost{}, fmt.Errorf("scoring model: %w", err)
		}
		if p.state.Repeat < repeats {
			if err := p.save(); err != nil {
				return nil, Cost{}, fmt.Errorf("scoring model: %w", err)
			}
		}
	}
	done := p.state.Done
	for _, mean := range [][]float32{done.Error, done.Norms} {
		for i := range mean {
			mean[i] /= float32(repeats)
		}
	}
	return done, p.state.Cost, nil
}

func unusable(err error) error {
	return fmt.Errorf("its saved state cannot be used: %w; remove the run and ask for it again", err)
}

func add(to, x []float32) {
	for i, v := range x {
		to[i] += v
	}
}

// probing is one process's work on the scoring models.
type probing struct {
	Scoring
	state    scored
	trainer  *Trainer  // of the model under way; closed after it
	compiled float64   // seconds of the trainer's compiling that are counted
	since    time.Time // up to which seconds are counted
}

// scored is where the scoring models stand. It is saved as gob, followed by the trainer's state and the losses.
type scored struct {
	Repeat  int           // of the model under way
	Done    *method.Probe // of the models before it: the first one's, with the sums of errors and norms; nil: none
	Cost    Cost          // seconds up to now, all else of the models before
	Kept    []kept        // checkpoints before the last epoch
	Trainer int           // bytes; 0: the model has not begun
	Losses  int           // epochs

	trainer []byte
	losses  [][]byte // [epochs] of all units after each epoch but the last, float32
}

// kept are parameters to be measured when the model is trained: they take less to save than their gradients.
type kept struct {
	Theta []float32
	LR    float64
}

func (s *scored) encode() ([][]byte, error) {
	s.Trainer, s.Losses = len(s.trainer), len(s.losses)
	var head bytes.Buffer
	if err := gob.NewEncoder(&head).Encode(s); err != nil {
		return nil, fmt.Errorf("saving the state: %w", err)
	}
	return append([][]byte{head.Bytes(), s.trainer}, s.losses...), nil
}

func (s *scored) decode(b []byte) error {
	r := bytes.NewReader(b)
	if err := gob.NewDecoder(r).Decode(s); err != nil {
		return fmt.Errorf("its head cannot be read: %w", err)
	}
	rest := b[len(b)-r.Len():]
	if s.Trainer < 0 || s.Trainer > len(rest) || s.Losses < 0 || (len(rest)-s.Trainer)%max(1, s.Losses) != 0 {
		return fmt.Errorf("%d bytes do not fit its head; it is damaged", len(rest))
	}
	if s.Trainer > 0 {
		s.trainer, rest = rest[:s.Trainer], rest[s.Trainer:]
	}
	for range s.Losses {
		n := len(rest) / (s.Losses - len(s.losses))
		s.losses, rest = append(s.losses, rest[:n:n]), rest[n:]
	}
	return nil
}

// fits tells whether the arrays have a trainer's sizes.
func (s *scored) fits(t *Trainer) error {
	for _, b := range s.losses {
		if len(b) != 4*t.units() {
			return fmt.Errorf("%d bytes of losses of %d units; it is damaged", len(b), t.units())
		}
	}
	for _, k := range s.Kept {
		if n := t.theta.Shape().Size(); len(k.Theta) != n {
			return fmt.Errorf("%d parameters of %d; it belongs to another run", len(k.Theta), n)
		}
	}
	return nil
}

// lap counts the seconds since the last time.
func (p *probing) lap() {
	compiled := 0.0
	for _, took := range p.trainer.Compiled() {
		compiled += took.Seconds()
	}
	now := time.Now()
	p.state.Cost.Seconds.Compile += compiled - p.compiled
	p.state.Cost.Seconds.Scoring += now.Sub(p.since).Seconds() - (compiled - p.compiled)
	p.compiled, p.since = compiled, now
}

// save saves the state, with the trainer's as it was taken last.
func (p *probing) save() error {
	if p.Save == nil {
		return nil
	}
	p.lap()
	parts, err := p.state.encode()
	if err != nil {
		return err
	}
	began := time.Now()
	err = p.Save(parts...)
	p.since = p.since.Add(time.Since(began))
	return err
}

// saveTrainer takes the trainer's state and saves.
func (p *probing) saveTrainer() (err error) {
	if p.Save == nil {
		return nil
	}
	if p.state.trainer, err = p.trainer.MarshalBinary(); err != nil {
		return err
	}
	return p.save()
}

// one trains and measures one scoring model, or what is left of it.
func (p *probing) one(ctx context.Context, be compute.Backend, c Config, needs method.Needs, sources []Source) error {
	pruner, err := stprune.NewFull(c.Units(sources...))
	if err != nil {
		return err
	}
	t, err := New(be, c, pruner, sources...)
	if err != nil {
		return err
	}
	defer t.Close()
	p.trainer, p.compiled = t, 0
	st := &p.state
	if st.trainer != nil {
		if err := errors.Join(t.UnmarshalBinary(st.trainer), st.fits(t)); err != nil {
			return unusable(err)
		}
	} else if p.Begin != nil {
		if err := t.Load(p.Begin); err != nil {
			return err
		}
	}
	last := needs // after the last epoch; before it, what the trajectory needs
	last.Loss = needs.Loss || needs.Trajectory
	last.Gradients = needs.Gradients || needs.Checkpoints
	if err := t.fits(last, p.Epochs, p.checkpoints()); err != nil {
		return err
	}
	if p.Epochs > 0 {
		err := p.train(ctx, needs)
		if err != nil && errors.Is(err, ctx.Err()) {
			err = errors.Join(err, p.saveTrainer())
		}
		if err != nil {
			return err
		}
	}
	m, err := p.measure(ctx, last)
	if err == nil || errors.Is(err, ctx.Err()) { // for the seconds
		err = errors.Join(err, p.save())
	}
	if err != nil {
		return err
	}

	passes := int64(1 + len(st.losses) + len(st.Kept))
	for _, d := range t.domains {
		windows := passes * int64(len(d.windows.Train))
		if needs.Validation {
			windows += int64(len(d.windows.Val))
		}
		st.Cost.Forwards += windows * int64(d.layout.nodes)
	}
	st.Cost.Visits += t.Visits()
	if st.Done == nil {
		st.Done = m
	} else {
		add(st.Done.Error, m.Error)
		add(st.Done.Norms, m.Norms)
	}
	p.lap()
	st.Repeat++
	st.trainer, st.losses, st.Kept = nil, nil, nil
	return nil
}

// train trains the model, or the rest of it, and takes down what is needed of its epochs.
func (p *probing) train(ctx context.Context, needs method.Needs) error {
	t, st := p.trainer, &p.state
	end := func() error {
		epoch, checkpoints := t.Epoch(), p.checkpoints()
		if needs.Trajectory && epoch < p.Epochs {
			m, err := t.Measure(ctx, Train, method.Needs{Loss: true})
			if err != nil {
				return err
			}
			losses, err := binary.Append(nil, binary.LittleEndian, m.Loss)
			if err != nil {
				return fmt.Errorf("keeping losses: %w", err)
			}
			st.losses = append(st.losses, losses)
		}
		if needs.Checkpoints && epoch < p.Epochs && epoch*checkpoints/p.Epochs > (epoch-1)*checkpoints/p.Epochs {
			theta, err := tensors.CopyFlatData[float32](t.theta)
			if err != nil {
				return fmt.Errorf("keeping the parameters: %w", brief(err))
			}
			st.Kept = append(st.Kept, kept{theta, p.rate()})
		}
		return p.saveTrainer()
	}
	if needs.Trajectory && len(st.losses) < t.Epoch() { // it was interrupted there
		if err := end(); err != nil {
			return err
		}
	}
	return t.Run(ctx, Events{Step: p.Step, Epoch: func(EpochReport) error { return end() }})
}

// checkpoints is the number of epochs at which gradients are needed, where they are.
func (p *probing) checkpoints() int { return max(1, min(p.Epochs, maxCheckpoints)) }

// rate is the learning rate in the middle of the last complete epoch, which stands for the epoch.
func (p *probing) rate() float64 {
	t := p.trainer
	at := optim.Progress{Epochs: t.cfg.Epochs, Steps: t.PlannedSteps()}
	if epochs := t.Epoch(); epochs > 0 {
		steps := t.StepsDone() / epochs // all are of all units
		at.Epoch, at.Step = epochs-1, t.StepsDone()-steps+steps/2
	}
	return t.cfg.Schedule.LR(t.cfg.Optim.LR, at)
}

// measure measures the trained model.
func (p *probing) measure(ctx context.Context, needs method.Needs) (*method.Probe, error) {
	t, st := p.trainer, &p.state
	m, err := t.Measure(ctx, Train, needs)
	if err != nil {
		return nil, err
	}
	m.LR = p.rate()
	if needs.Validation {
		v, err := t.Measure(ctx, Validation, method.Needs{Gradients: true})
		if err != nil {
			return nil, err
		}
		m.Validation = v.Gradients
	}
	for _, b := range st.losses {
		losses := make([]float32, t.units())
		if _, err := binary.Decode(b, binary.LittleEndian, losses); err != nil {
			return nil, fmt.Errorf("reading losses: %w", err)
		}
		m.Trajectory = append(m.Trajectory, losses)
	}
	if needs.Trajectory && p.Epochs > 0 {
		m.Trajectory = append(m.Trajectory, m.Loss)
	}
	if needs.Checkpoints {
		for _, k := range st.Kept {
			t.setParameters(k.Theta, nil)
			at, err := t.Measure(ctx, Train, method.Needs{Gradients: true})
			if err != nil {
				return nil, err
			}
			m.Checkpoints = append(m.Checkpoints, method.Checkpoint{Gradients: at.Gradients, LR: k.LR})
		}
		m.Checkpoints = append(m.Checkpoints, method.Checkpoint{Gradients: m.Gradients, LR: m.LR})
	}
	return m, nil
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
