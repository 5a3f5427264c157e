// Package train holds the training loop: the series stays on the device, one compiled step gathers a batch of units, trains on
// it and reports what pruning needs to know.
package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/stprune"
	"github.com/stprune/workbench/stprune/backbone"
	"github.com/stprune/workbench/stprune/loss"
	"github.com/stprune/workbench/stprune/optim"
)

// Units of training.
const (
	Window = "window" // a window with all its nodes
	Pair   = "pair"   // one node of a window; for backbones that forecast each node from its own history
	Block  = "block"  // some nodes of a window, to which the backbone is restricted; the windows of a batch share them
)

// Config is everything about training that is not data or pruning.
type Config struct {
	Backbone string
	Options  map[string]any // the backbone's own

	Optim    optim.Config
	Schedule optim.Schedule

	Unit          string // [Window], [Pair] or [Block]
	Block         int    // nodes per [Block] at most; all nodes make a [Window]
	BlockBy       string // [Random], [ByGraph] or [Correlation]
	Epochs        int
	Batch         int // units per step in full epochs
	PrunedBatch   int // units per step in pruned epochs; 0: as Batch
	EvalBatch     int // windows per evaluation step
	MicroBatch    int // units of a step that pass at once, its gradients added up, so that memory holds the arrays of these only; 0: all
	MaxSteps      int // optimiser steps after which training ends, also within an epoch; schedules by step are laid over them; 0: Epochs alone say when
	ValidateEvery int // epochs; 0: as often as the visits since the last time reach those of the validation part; the last epoch always is
	Patience      int // epochs without a better validation after which training ends, with the next validation; 0: never

	Loss       loss.Reduction
	GraphStats bool // measure graph roughness; needs a graph

	// Inexact says that the pruner doesn't know beforehand how many units its epochs visit: schedules by step then go by the plan
	// ([stprune.Pruner]'s Keep), each epoch spreading its planned steps over those it takes.
	Inexact bool

	// Devices of the backend share each training step: one takes as many units of the batch as another, and a batch that they can't
	// divide is filled up with units of weight 0. All of a batch counts together, as on one device: its loss, gradient and weights,
	// batch statistics and dropout, so that results are the same but for rounding, and the same bits whenever there are as many
	// devices. Parameters, optimiser state and series are on each of them; what is no training step takes the first. 0 is 1.
	Devices int

	// Stream keeps the series in the host's memory, where it is the only copy, and sends each step the windows that it reads. Results are
	// the same bits. For series that don't fit the device.
	Stream bool

	MemoryLimit int64 // bytes; a training step or forward pass that would take more is refused before it is compiled; 0: none

	// Only trains nothing but the parameters whose names begin with one of these; empty: all. Running statistics follow the data
	// everywhere, as in PyTorch's training mode.
	Only []string

	Seed uint64

	unvalidated bool // no epoch is validated, for scoring models
}

// Trainer trains one model, on one data set or several. It is not safe for concurrent use.
type Trainer struct {
	cfg     Config
	backend compute.Backend
	domains []*domain
	model   backbone.Backbone // of the first domain; all have the same parameters
	parts   []optim.Part
	pruner  stprune.Pruner

	theta  *tensors.Tensor     // [P+K] parameters, then the backbone's buffers
	slots  []*tensors.Tensor   // optimiser state, each [P], and where one is kept the average of theta [P+K]
	copies [][]*tensors.Tensor // theta and slots on each device but the first; nil before the first step
	best   []float32           // [P+K] of the best validation; nil before the first

	compiled map[string]time.Duration // per executable and batch size

	state     state
	selection *stprune.Selection // of the epoch under way; nil between epochs
	chosen    []int32            // units that this epoch has trained on, where its selection doesn't say
	ahead     *plan              // of the epoch to come; not part of the saved state, since it can be made again
	seconds   Seconds            // of the epoch under way, as far as this process trained it
	computing time.Duration      // of the last step
}

// state is the part of a trainer's position that is plain numbers.
type state struct {
	Epoch      int // epochs done
	Step       int // steps done in the epoch under way
	Global     int // steps done in all
	Visits     int64
	Forwards   int64   // visits without training
	Scoring    int64   // visits of a scoring model's training
	LossSum    float64 // Σ loss·units of the epoch under way
	LossUnits  int64
	Forwarded  bool  // the epoch's forward passes are done
	Validated  int64 // visits at the last validation
	BestEpoch  int   // 1-based; 0: none yet
	BestMAE    float64
	Parameters int
}

// Seconds splits wall-clock time by what it was spent on.
type Seconds struct {
	Compile    float64 `json:"compile"`
	Steps      float64 `json:"steps"`
	Selection  float64 `json:"selection"` // planning, choosing and keeping scores
	Scoring    float64 `json:"scoring"`   // training a scoring model, and passing units forward that are not trained on
	Evaluation float64 `json:"evaluation"`
	Host       float64 `json:"host"` // all else by the clock: laying out batches, handing them to the device, progress
}

// Add sums the parts.
func (s Seconds) Add(o Seconds) Seconds {
	return Seconds{s.Compile + o.Compile, s.Steps + o.Steps, s.Selection + o.Selection, s.Scoring + o.Scoring, s.Evaluation + o.Evaluation, s.Host + o.Host}
}

// Total is the sum of the parts.
func (s Seconds) Total() float64 {
	return s.Compile + s.Steps + s.Selection + s.Scoring + s.Evaluation + s.Host
}

// account makes Host what is left of the time since began, when the parts were as before.
func (s *Seconds) account(began time.Time, before Seconds) {
	s.Host += max(0, time.Since(began).Seconds()-(s.Total()-before.Total()))
}

// Progress is where training stands after a step.
type Progress struct {
	Epoch, Epochs int // current epoch, from 1
	Step, Steps   int // steps of the whole run, done and planned
	Loss          float64
	Computing     time.Duration // how long the backend took for the step; what else passes between two steps is the host's work
}

// EpochReport is what an epoch measured.
type EpochReport struct {
	Epoch      int // from 1
	Units      int // trained on in this epoch
	Steps      int
	Visits     int64         // windows × nodes trained on so far
	Forwards   int64         // windows × nodes passed forward only, so far
	Chosen     []int32       // ascending ids of the units trained on, where they were chosen within batches or the last step cut the epoch short; else nil
	Loss       float64       // mean training loss, raw units; with several data sets in units of each one's standard deviation
	LR         float64       // of the last step
	Validation *loss.Metrics // of all data sets together, in the units of Loss; nil when this epoch was not validated
	Best       bool          // the validation is the best so far
	Seconds    Seconds
}

// Events are called while training runs; any may be nil.
type Events struct {
	Plan func(epoch int, s stprune.Selection) // before an epoch (from 1), also when a resumed one continues
	// Observe is told what each step measured on its units, with their inclusion probabilities where the method has them (else
	// nil). It is called from another goroutine, while the next step computes; all calls are over before Run returns, and before
	// Epoch is called.
	Observe func(ids []int32, prob []float32, stats stprune.Stats)
	Step    func(Progress)          // after each step
	Epoch   func(EpochReport) error // an epoch is complete: the state can be saved
}

// DivergedError says that the loss became NaN or infinite. The trainer's parameters are spoilt; go back to a saved state.
type DivergedError struct {
	Epoch, Step int // from 1; the step within the run
	Loss        float64
	Units       []int32 // the batch
}

func (e *DivergedError) Error() string {
	shown := e.Units
	if len(shown) > 8 {
		shown = shown[:8]
	}
	return fmt.Sprintf("loss is %v at step %d (epoch %d), units %v of %d in the batch; lower the learning rate, clip the gradient or check these windows' values",
		e.Loss, e.Step, e.Epoch, shown, len(e.Units))
}

// Source is a data set with its windows.
type Source struct {
	Series  *datasets.Series
	Windows *datasets.Windows
}

// Units is the number of training units in all sources: windows, or windows × nodes or blocks.
func (c Config) Units(sources ...Source) int {
	units := 0
	for _, s := range sources {
		units += len(s.Windows.Train) * c.perWindow(s.Series.N)
	}
	return units
}

func (c Config) check(sources []Source) error {
	if err := c.Optim.Check(); err != nil {
		return err
	}
	if err := c.Schedule.Check(); err != nil {
		return err
	}
	for _, v := range []struct {
		key   string
		value int
		least int
	}{{"epochs", c.Epochs, 1}, {"batch", c.Batch, 1}, {"pruned_batch", c.PrunedBatch, 0}, {"eval_batch", c.EvalBatch, 1}, {"micro_batch", c.MicroBatch, 0}, {"max_steps", c.MaxSteps, 0}, {"validate_every", c.ValidateEvery, 0}, {"patience", c.Patience, 0}} {
		if v.value < v.least {
			return fmt.Errorf("train.%s = %d; want at least %d", v.key, v.value, v.least)
		}
	}
	switch {
	case c.Unit != Window && c.Unit != Pair && c.Unit != Block:
		return fmt.Errorf("train.unit %q is unknown; choose %s, %s or %s", c.Unit, Window, Pair, Block)
	case c.Unit == Block && c.Block < 1:
		return fmt.Errorf("train.block = %d; want at least 1", c.Block)
	case c.Unit == Block && c.BlockBy != Random && c.BlockBy != ByGraph && c.BlockBy != Correlation:
		return fmt.Errorf("train.block_by %q is unknown; choose %s, %s or %s", c.BlockBy, Random, ByGraph, Correlation)
	}
	switch n := c.Units(sources...); {
	case len(sources) == 0:
		return errors.New("no data set to train on")
	case n > math.MaxInt32:
		return fmt.Errorf("train.unit = %s: %d units, at most %d can be told apart; train on windows", c.Unit, n, math.MaxInt32)
	case c.Unit != Window && len(sources) > 1:
		return fmt.Errorf("train.unit = %s with %d data sets; set train.unit = %q", c.Unit, len(sources), Window)
	}
	for _, s := range sources {
		if err := s.Series.Check(); err != nil {
			return err
		}
		if c.Loss.Unmasked && s.Series.Missing != s.Series.Missing {
			return fmt.Errorf("the unmasked loss trains on the value that marks missing targets, but series %q marks them by NaN; import it with --missing 0 or mask the loss", s.Series.Name)
		}
		if c.GraphStats && c.Unit == Block {
			return fmt.Errorf("graph roughness needs whole windows; set train.unit = %q or the term's factor to 0", Window)
		}
		if c.GraphStats && s.Series.Graph == nil {
			return fmt.Errorf("graph roughness needs a graph, but series %q has none; import it with --graph or set the term's factor to 0", s.Series.Name)
		}
	}
	return nil
}

// New puts the series on the device and initialises the model. Nothing is compiled before it is used. With several sources one
// model is trained on all of them, each batch from one; units count through the sources in order.
func New(be compute.Backend, c Config, p stprune.Pruner, sources ...Source) (*Trainer, error) {
	if err := c.check(sources); err != nil {
		return nil, err
	}
	if c.PrunedBatch == 0 {
		c.PrunedBatch = c.Batch
	}
	c.Devices = max(1, c.Devices)
	if err := CheckDevices(be, c.Devices); err != nil {
		return nil, err
	}
	c.Batch, c.PrunedBatch = min(c.Batch, c.Units(sources...)), min(c.PrunedBatch, c.Units(sources...)) // the rest would be padding
	if c.Unit == Block && c.Block >= sources[0].Series.N {
		c.Unit = Window
	}
	t := &Trainer{cfg: c, backend: be, pruner: p, compiled: map[string]time.Duration{}, state: state{BestMAE: math.Inf(1)}}
	for _, s := range sources {
		d, err := newDomain(t, s)
		if err != nil {
			t.Close()
			return nil, err
		}
		t.domains = append(t.domains, d)
	}
	t.model = t.domains[0].model
	for i, d := range t.domains[1:] {
		if err := sameParams(t.model, d.model); err != nil {
			t.Close()
			return nil, fmt.Errorf("backbone %s can't be trained on %q and %q at once: %w", c.Backbone, sources[0].Series.Name, sources[i+1].Series.Name, err)
		}
	}
	t.parts = backbone.Parts(t.model)
	if err := t.checkMicroBatch(); err != nil {
		t.Close()
		return nil, err
	}
	if err := t.freeze(); err != nil {
		t.Close()
		return nil, err
	}
	t.state.Parameters = backbone.ParamCount(t.model)
	t.setParameters(backbone.Init(t.model, stprune.Stream(c.Seed, "init", 0)), nil)
	for _, d := range t.domains {
		if err := d.build(be); err != nil {
			t.Close()
			return nil, err
		}
	}
	return t, nil
}

// sameParams tells where the parameters and buffers of two backbones differ.
func sameParams(a, b backbone.Backbone) error {
	names := func(b backbone.Backbone) (all []string) {
		for _, p := range b.Params() {
			all = append(all, fmt.Sprint(p.Name, " ", p.Shape))
		}
		for _, x := range b.Traits().Buffers {
			all = append(all, fmt.Sprint(x.Name, " ", x.Shape))
		}
		return all
	}
	x, y := names(a), names(b)
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return fmt.Errorf("its parameters depend on the data set: %s and %s", x[i], y[i])
		}
	}
	if len(x) != len(y) {
		return fmt.Errorf("it has %d and %d parameters", len(x), len(y))
	}
	return nil
}

// freeze marks the parameters that Config.Only leaves out.
func (t *Trainer) freeze() error {
	if len(t.cfg.Only) == 0 {
		return nil
	}
	used := map[string]bool{}
	for i, p := range t.model.Params() {
		at := slices.IndexFunc(t.cfg.Only, func(prefix string) bool { return strings.HasPrefix(p.Name, prefix) })
		if t.parts[i].Frozen = at < 0; at >= 0 {
			used[t.cfg.Only[at]] = true
		}
	}
	for _, prefix := range t.cfg.Only {
		if !used[prefix] {
			var names []string
			for _, p := range t.model.Params() {
				names = append(names, p.Name)
			}
			return fmt.Errorf("train.only: no parameter begins with %q; there are %s", prefix, strings.Join(names, ", "))
		}
	}
	return nil
}

// Load replaces parameters and buffers by named ones, e.g. of another run, and starts the optimiser anew. All must be there, in
// the backbone's sizes.
func (t *Trainer) Load(named map[string][]float32) error {
	theta, err := backbone.FromNamed(t.model, named)
	if err != nil {
		return err
	}
	t.setParameters(theta, nil)
	return nil
}

// slotSizes are the lengths of the slots.
func (t *Trainer) slotSizes() []int {
	sizes := slices.Repeat([]int{t.state.Parameters}, len(t.cfg.Optim.Slots()))
	if t.cfg.Optim.EMA > 0 {
		sizes = append(sizes, t.theta.Shape().Size())
	}
	return sizes
}

// setParameters replaces theta [P+K] and the slots (nil: zeros).
func (t *Trainer) setParameters(theta []float32, slots [][]float32) {
	t.releaseParameters()
	t.theta = tensors.FromFlatDataAndDimensions(theta, len(theta))
	t.slots = nil
	for i, size := range t.slotSizes() {
		values := make([]float32, size)
		if slots != nil {
			copy(values, slots[i])
		}
		t.slots = append(t.slots, tensors.FromFlatDataAndDimensions(values, len(values)))
	}
}

func (t *Trainer) releaseParameters() {
	release(append(t.slots, t.theta))
	release(slices.Concat(t.copies...))
	t.copies = nil
}

// release frees device memory, which Go's collector does not see.
func release(ts []*tensors.Tensor) {
	for _, t := range ts {
		if t != nil {
			_ = t.FinalizeAll() // the tensor is gone either way
		}
	}
}

// Close frees what the trainer holds on the device.
func (t *Trainer) Close() {
	t.releaseParameters()
	for _, d := range t.domains {
		d.close()
	}
}

// Compiled tells which executables were built, by kind and batch size, and how long each took.
func (t *Trainer) Compiled() map[string]time.Duration { return t.compiled }

// Products is the number of multiplications in the forward pass's matrix products for one unit of the first data set; 0 when
// it is not known, and a block counts as its share of a window.
func (t *Trainer) Products() float64 {
	return t.model.Traits().Products / float64(t.domains[0].parts)
}

// Parameters is the number of trained values.
func (t *Trainer) Parameters() int { return t.state.Parameters }

// Epoch is the number of complete epochs.
func (t *Trainer) Epoch() int { return t.state.Epoch }

// BestEpoch is the epoch (from 1) of the best validation so far; 0 before the first.
func (t *Trainer) BestEpoch() int { return t.state.BestEpoch }

// Visits is the number of windows × nodes trained on so far.
func (t *Trainer) Visits() int64 { return t.state.Visits }

// Forwards is the number of windows × nodes that were passed forward only, so far: by a [stprune.Forwarder], as candidates of a
// [stprune.Chooser], and by what [Trainer.Charge] added.
func (t *Trainer) Forwards() int64 { return t.state.Forwards }

// ScoringVisits is the number of windows × nodes that a scoring model was trained on, see [Trainer.Charge].
func (t *Trainer) ScoringVisits() int64 { return t.state.Scoring }

// Spent is what the epoch under way took so far in this process.
func (t *Trainer) Spent() Seconds { return t.seconds }

// StepsDone is the number of optimiser steps so far.
func (t *Trainer) StepsDone() int { return t.state.Global }

// brief drops the stack trace that GoMLX appends to its errors, and the names of functions it puts before ours.
func brief(err error) error {
	if refused := new(MemoryError); errors.As(err, &refused) {
		return refused
	}
	first, _, _ := strings.Cut(err.Error(), "\n")
	if at := strings.LastIndex(first, "panicked: "); at >= 0 {
		first = first[at+len("panicked: "):]
	}
	return errors.New(first)
}

// batchSizes of an epoch (from 0) that plans so many units: how many a step trains on, and the candidates they are chosen from;
// the same number where nothing is chosen.
func (t *Trainer) batchSizes(epoch, units int) (size, candidates int) {
	if c, ok := t.pruner.(stprune.Chooser); ok {
		if n := c.Candidates(epoch, t.cfg.PrunedBatch); n > 0 {
			return t.cfg.PrunedBatch, n
		}
	}
	if units == t.units() {
		return t.cfg.Batch, t.cfg.Batch
	}
	return t.cfg.PrunedBatch, t.cfg.PrunedBatch
}

func (t *Trainer) units() int {
	last := t.domains[len(t.domains)-1]
	return int(last.first) + last.units
}

// PlannedSteps is the number of optimiser steps of the whole run. It supposes that pruned epochs keep the same share of
// each data set and of each block.
func (t *Trainer) PlannedSteps() int {
	steps := t.plannedSteps(0, t.cfg.Epochs)
	if t.cfg.MaxSteps > 0 {
		return min(steps, t.cfg.MaxSteps)
	}
	return steps
}

// plannedSteps of the epochs [from, to), counted from 0, were there no most steps.
func (t *Trainer) plannedSteps(from, to int) int {
	steps := 0
	for e := from; e < to; e++ {
		k := t.pruner.Keep(e)
		b, _ := t.batchSizes(e, k)
		for _, d := range t.domains {
			groups := d.kinds()
			share := (k*d.units + groups*t.units() - 1) / (groups * t.units())
			steps += groups * ((share + b - 1) / b)
		}
	}
	return steps
}

// rates gives the learning rate of each step (from 0) of the epoch under way, which has so many; planned is the whole run's.
func (t *Trainer) rates(steps, planned int) func(step int) float64 {
	at := optim.Progress{Epoch: t.state.Epoch, Epochs: t.cfg.Epochs, Steps: planned}
	before := t.state.Global - t.state.Step
	if !t.cfg.Inexact {
		return func(step int) float64 {
			at.Step = min(before+step, planned-1)
			return t.cfg.Schedule.LR(t.cfg.Optim.LR, at)
		}
	}
	// The pruner is asked now: later it may be busy observing.
	before = t.plannedSteps(0, at.Epoch)
	own := t.plannedSteps(at.Epoch, at.Epoch+1)
	all, real := t.plannedSteps(0, t.cfg.Epochs), t.state.Global-t.state.Step
	return func(step int) float64 {
		whole, part := math.Modf(float64(step*own) / float64(steps))
		if at.Step = before + int(whole); planned < all { // the most steps end the run, or the epochs, whichever are over first
			if whole, part = math.Modf((float64(at.Step) + part) * float64(planned) / float64(all)); whole < float64(real+step) {
				whole, part = float64(real+step), 0
			}
			at.Step = int(whole)
		}
		at.Step, at.Part = min(at.Step, planned-1), part
		return t.cfg.Schedule.LR(t.cfg.Optim.LR, at)
	}
}

// Run trains from the current state to the end. When ctx is cancelled it finishes the step and returns ctx's error with the
// state ready to be saved by [Trainer.MarshalBinary].
func (t *Trainer) Run(ctx context.Context, ev Events) error {
	planned := t.PlannedSteps()
	for t.selection != nil || !t.ends(t.state.Epoch) && !t.outOfPatience() { // an epoch that was begun is finished
		report, err := t.epoch(ctx, ev, planned)
		if err != nil {
			return err
		}
		if ev.Epoch != nil {
			if err := ev.Epoch(report); err != nil {
				return err
			}
		}
	}
	return nil
}

// ends tells whether training is over after so many epochs, as planned.
func (t *Trainer) ends(epochs int) bool {
	return epochs == t.cfg.Epochs || t.cfg.MaxSteps > 0 && t.state.Global >= t.cfg.MaxSteps
}

func (t *Trainer) outOfPatience() bool {
	return t.cfg.Patience > 0 && t.state.BestEpoch > 0 && t.state.Epoch-t.state.BestEpoch >= t.cfg.Patience && t.state.Validated == t.state.Visits
}

func (t *Trainer) epoch(ctx context.Context, ev Events, planned int) (EpochReport, error) {
	start, before := time.Now(), t.seconds
	began := start
	defer func() { // of an interrupted epoch; a complete one has been reported
		if t.selection != nil {
			t.seconds.account(began, before)
		}
	}()
	if t.selection == nil {
		ahead := t.ahead
		if t.ahead = nil; ahead == nil || ahead.epoch != t.state.Epoch {
			ahead = t.plan(t.state.Epoch)
		}
		if ahead.err != nil {
			return EpochReport{}, ahead.err
		}
		t.selection = &ahead.selection
	}
	s := t.selection
	if ev.Plan != nil {
		ev.Plan(t.state.Epoch+1, *s)
	}
	k := len(s.IDs)
	if s.All {
		k = t.units()
	}
	b, candidates := t.batchSizes(t.state.Epoch, k)
	choose := candidates != b
	batches := t.batches(s, candidates)
	steps := len(batches)
	rate := t.rates(steps, planned)
	cut := false // before the epoch's end
	if left := t.cfg.MaxSteps - (t.state.Global - t.state.Step); t.cfg.MaxSteps > 0 && left < steps {
		steps, cut = left, true
	}
	t.seconds.Selection += time.Since(start).Seconds()

	size := t.cfg.divisible(b)
	feed, other := t.newFeed(size), t.newFeed(size) // while one is observed the other is trained on
	observer := t.observe(ev, &t.seconds.Selection)
	defer observer.close()
	for t.state.Step < steps {
		if err := ctx.Err(); err != nil {
			return EpochReport{}, fmt.Errorf("interrupted in epoch %d after step %d of %d: %w", t.state.Epoch+1, t.state.Step, steps, err)
		}
		d, positions := batches[t.state.Step].domain, batches[t.state.Step].positions
		passed := 0
		if choose {
			if err := observer.settle(); err != nil {
				return EpochReport{}, err
			}
			passed = len(positions)
			var err error
			if positions, err = t.choose(d, s, positions, b, candidates); err != nil {
				return EpochReport{}, err
			}
		}
		feed.fill(d, s, positions)
		value, stats, err := t.trainStep(d, feed, rate(t.state.Step))
		if err != nil {
			return EpochReport{}, err
		}
		if math.IsNaN(value) || math.IsInf(value, 0) {
			return EpochReport{}, &DivergedError{Epoch: t.state.Epoch + 1, Step: t.state.Global + 1, Loss: value, Units: feed.ids}
		}
		m := observation{t.state.Epoch + 1, t.state.Step + 1, feed.ids, feed.prob, stats}
		if s.Prob == nil || choose {
			m.prob = nil
		}
		if err := observer.put(m); err != nil {
			return EpochReport{}, err
		}
		t.state.Step++
		t.state.Global++
		t.state.LossSum += value / t.scale(d) * float64(len(feed.ids))
		t.state.LossUnits += int64(len(feed.ids))
		t.state.Visits += feed.visits(d, len(feed.ids))
		t.state.Forwards += feed.visits(d, passed)
		if choose || cut {
			t.chosen = append(t.chosen, feed.ids...)
		}
		if ev.Step != nil {
			ev.Step(Progress{Epoch: t.state.Epoch + 1, Epochs: t.cfg.Epochs, Step: t.state.Global, Steps: max(planned, t.state.Global), Loss: value,
				Computing: t.computing})
		}
		feed, other = other, feed
	}
	if err := observer.settle(); err != nil {
		return EpochReport{}, err
	}
	if err := t.forward(ctx); err != nil {
		return EpochReport{}, err
	}
	report := EpochReport{Epoch: t.state.Epoch + 1, Units: int(t.state.LossUnits), Steps: steps, Visits: t.state.Visits,
		Forwards: t.state.Forwards, LR: rate(steps - 1), Loss: t.state.LossSum / float64(max(1, t.state.LossUnits))}
	if choose || cut {
		report.Chosen = slices.Sorted(slices.Values(t.chosen))
	}
	next := make(chan *plan, 1)
	if !t.ends(report.Epoch) { // while the device evaluates
		go func() { next <- t.plan(t.state.Epoch + 1) }()
	} else {
		next <- nil
	}
	if t.validates(report.Epoch) {
		m, err := t.validate(ctx)
		if err != nil {
			<-next
			return EpochReport{}, err
		}
		report.Validation, t.state.Validated = &m, t.state.Visits
		if m.Pooled.MAE < t.state.BestMAE {
			if t.best, err = t.averaged(); err != nil {
				<-next
				return EpochReport{}, err
			}
			report.Best = true
			t.state.BestMAE, t.state.BestEpoch = m.Pooled.MAE, report.Epoch
		}
	}
	start = time.Now()
	t.ahead = <-next
	t.seconds.Selection += time.Since(start).Seconds()
	t.seconds.account(began, before)
	report.Seconds = t.seconds
	t.seconds, t.selection, t.chosen = Seconds{}, nil, nil
	t.state.Epoch++
	t.state.Step, t.state.LossSum, t.state.LossUnits, t.state.Forwarded = 0, 0, 0, false
	return report, nil
}

// validate measures theta, or its average where one is kept, on the validation part.
func (t *Trainer) validate(ctx context.Context) (loss.Metrics, error) {
	on := t.theta
	if t.cfg.Optim.EMA > 0 {
		values, err := t.averaged()
		if err != nil {
			return loss.Metrics{}, err
		}
		on = tensors.FromFlatDataAndDimensions(values, len(values))
		defer release([]*tensors.Tensor{on})
	}
	m, _, err := t.evaluate(ctx, on, Validation)
	return m, err
}

// averaged is a copy of theta, or of its average where one is kept.
func (t *Trainer) averaged() ([]float32, error) {
	if t.cfg.Optim.EMA > 0 && t.state.Global > 0 {
		ema, err := tensors.CopyFlatData[float32](t.slots[len(t.slots)-1])
		if err != nil {
			return nil, fmt.Errorf("reading the parameters' average: %w", brief(err))
		}
		return t.cfg.Optim.Average(ema, t.state.Global), nil
	}
	theta, err := tensors.CopyFlatData[float32](t.theta)
	if err != nil {
		return nil, fmt.Errorf("reading the parameters: %w", brief(err))
	}
	return theta, nil
}

// bestSoFar are the parameters and buffers of the best validation, or the current ones before the first.
func (t *Trainer) bestSoFar() ([]float32, error) {
	if t.best != nil {
		return t.best, nil
	}
	return t.averaged()
}

// validates tells whether the model is validated after an epoch (from 1), which is over but for that.
func (t *Trainer) validates(epoch int) bool {
	switch every := t.cfg.ValidateEvery; {
	case t.cfg.unvalidated:
		return false
	case t.ends(epoch):
		return true
	case every > 0:
		return epoch%every == 0
	}
	part := 0
	for _, d := range t.domains {
		part += len(d.windows.Val) * d.layout.nodes
	}
	return t.state.Visits-t.state.Validated >= int64(part)
}

// plan is the selection of an epoch (from 0), made before the epoch begins.
type plan struct {
	epoch     int
	selection stprune.Selection
	err       error
}

func (t *Trainer) plan(epoch int) *plan {
	p := &plan{epoch: epoch}
	if p.selection, p.err = t.pruner.Plan(epoch); p.err == nil {
		p.err = t.checkSelection(p.selection)
	}
	if p.err != nil {
		p.err = fmt.Errorf("planning epoch %d: %w", epoch+1, p.err)
	}
	return p
}

func (t *Trainer) checkSelection(s stprune.Selection) error {
	n := int32(t.units())
	if !s.All && len(s.IDs) == 0 {
		return fmt.Errorf("the pruner kept no unit of %d; raise the retention", n)
	}
	if s.Weight != nil && len(s.Weight) != len(s.IDs) {
		return fmt.Errorf("the pruner gave %d weights for %d units", len(s.Weight), len(s.IDs))
	}
	for _, id := range s.IDs {
		if id < 0 || id >= n {
			return fmt.Errorf("the pruner kept unit %d; there are units 0 to %d", id, n-1)
		}
	}
	return nil
}
