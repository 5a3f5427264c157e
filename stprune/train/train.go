// Package train holds the training loop: the series stays on the device, one compiled step gathers a batch of units, trains on
// it and reports what pruning needs to know.
package train

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
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
)

// Config is everything about training that is not data or pruning.
type Config struct {
	Backbone string
	Options  map[string]any // the backbone's own

	Optim    optim.Config
	Schedule optim.Schedule

	Unit          string // [Window] or [Pair]
	Epochs        int
	Batch         int // units per step in full epochs
	PrunedBatch   int // units per step in pruned epochs; 0: as Batch
	EvalBatch     int // windows per evaluation step
	ValidateEvery int // epochs; the last epoch is always validated
	Patience      int // epochs without a better validation after which training ends; 0: never

	Loss       loss.Reduction
	GraphStats bool // measure graph roughness; needs a graph

	Seed uint64
}

// Trainer trains one model. It is not safe for concurrent use.
type Trainer struct {
	cfg     Config
	backend compute.Backend
	model   backbone.Backbone
	layout  layout
	windows *datasets.Windows
	pruner  stprune.Pruner

	resident  []*tensors.Tensor // values, tod, dow
	constants []*tensors.Tensor // of the backbone
	laplacian *tensors.Tensor   // [N,N] or nil
	theta     *tensors.Tensor   // [P+K] parameters, then the backbone's buffers
	slots     []*tensors.Tensor // optimiser state, each [P]
	best      []float32         // [P+K] of the best validation; nil before the first

	step, eval *graph.Exec
	compiled   map[string]time.Duration // per executable and batch size

	state     state
	selection *stprune.Selection // of the epoch under way; nil between epochs
	seconds   Seconds            // of the epoch under way, as far as this process trained it
}

// state is the part of a trainer's position that is plain numbers.
type state struct {
	Epoch      int // epochs done
	Step       int // steps done in the epoch under way
	Global     int // steps done in all
	Visits     int64
	LossSum    float64 // Σ loss·units of the epoch under way
	LossUnits  int64
	BestEpoch  int // 1-based; 0: none yet
	BestMAE    float64
	Parameters int
}

// Seconds splits wall-clock time by what it was spent on.
type Seconds struct {
	Compile    float64 `json:"compile"`
	Steps      float64 `json:"steps"`
	Selection  float64 `json:"selection"` // planning and keeping scores
	Evaluation float64 `json:"evaluation"`
}

// Add sums the parts.
func (s Seconds) Add(o Seconds) Seconds {
	return Seconds{s.Compile + o.Compile, s.Steps + o.Steps, s.Selection + o.Selection, s.Evaluation + o.Evaluation}
}

// Total is the sum of the parts.
func (s Seconds) Total() float64 { return s.Compile + s.Steps + s.Selection + s.Evaluation }

// Progress is where training stands after a step.
type Progress struct {
	Epoch, Epochs int // current epoch, from 1
	Step, Steps   int // steps of the whole run, done and planned
	Loss          float64
}

// EpochReport is what an epoch measured.
type EpochReport struct {
	Epoch      int // from 1
	Units      int // visited in this epoch
	Steps      int
	Visits     int64   // windows × nodes visited so far
	Loss       float64 // mean training loss, raw units
	LR         float64 // of the last step
	Validation *loss.Metrics
	Best       bool // the validation is the best so far
	Seconds    Seconds
}

// Events are called while training runs; any may be nil.
type Events struct {
	Plan    func(epoch int, s stprune.Selection)   // before an epoch (from 1), also when a resumed one continues
	Observe func(ids []int32, stats stprune.Stats) // after each step
	Step    func(Progress)                         // after each step
	Epoch   func(EpochReport) error                // an epoch is complete: the state can be saved
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

// Units is the number of training units: windows, or windows × nodes.
func (c Config) Units(s *datasets.Series, w *datasets.Windows) int {
	if c.Unit == Pair {
		return len(w.Train) * s.N
	}
	return len(w.Train)
}

func (c Config) check(s *datasets.Series, w *datasets.Windows) error {
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
	}{{"epochs", c.Epochs, 1}, {"batch", c.Batch, 1}, {"pruned_batch", c.PrunedBatch, 0}, {"eval_batch", c.EvalBatch, 1}, {"validate_every", c.ValidateEvery, 1}, {"patience", c.Patience, 0}} {
		if v.value < v.least {
			return fmt.Errorf("train.%s = %d; want at least %d", v.key, v.value, v.least)
		}
	}
	switch c.Unit {
	case Window:
	case Pair:
		if n := len(w.Train) * s.N; n > math.MaxInt32 {
			return fmt.Errorf("train.unit = pair: %d windows × %d nodes exceed %d units; train on windows", len(w.Train), s.N, math.MaxInt32)
		}
	default:
		return fmt.Errorf("train.unit %q is unknown; choose %s or %s", c.Unit, Window, Pair)
	}
	if c.Loss.Unmasked && s.Missing != s.Missing {
		return fmt.Errorf("the unmasked loss trains on the value that marks missing targets, but series %q marks them by NaN; import it with --missing 0 or mask the loss", s.Name)
	}
	if c.GraphStats && s.Graph == nil {
		return fmt.Errorf("graph roughness needs a graph, but series %q has none; import it with --graph or set the term's factor to 0", s.Name)
	}
	return nil
}

// New puts the series on the device and initialises the model. Nothing is compiled before it is used.
func New(be compute.Backend, s *datasets.Series, w *datasets.Windows, c Config, p stprune.Pruner) (*Trainer, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	if err := c.check(s, w); err != nil {
		return nil, err
	}
	if c.PrunedBatch == 0 {
		c.PrunedBatch = c.Batch
	}
	steps := s.Calendar.StepsPerDay()
	model, err := backbone.New(c.Backbone, backbone.Config{Nodes: s.N, History: w.History, Horizon: w.Horizon, StepsPerDay: steps, Graph: s.Graph, Options: c.Options})
	if err != nil {
		return nil, err
	}
	traits := model.Traits()
	if c.Unit == Pair && !traits.PairWise {
		return nil, fmt.Errorf("train.unit = pair: backbone %s mixes nodes and needs whole windows; set train.unit = %q", c.Backbone, Window)
	}
	t := &Trainer{
		cfg: c, backend: be, model: model, windows: w, pruner: p,
		layout: layout{
			history: w.History, horizon: w.Horizon, nodes: s.N, stepsPerDay: steps, scaler: w.Scaler, raw: traits.Raw,
		},
		compiled: map[string]time.Duration{},
		state:    state{BestMAE: math.Inf(1), Parameters: backbone.ParamCount(model)},
	}
	t.putSeries(s)
	for _, x := range traits.Constants {
		t.constants = append(t.constants, tensors.FromFlatDataAndDimensions(x.Values, x.Shape...))
	}
	theta := backbone.Init(model, stprune.Stream(c.Seed, "init", 0))
	t.setParameters(theta, nil)

	if t.step, err = graph.NewExec(be, t.stepGraph); err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	if t.eval, err = graph.NewExec(be, t.evalGraph); err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	return t, nil
}

// putSeries prepares the resident arrays. NaN cannot be compared on every backend, so it becomes the missing value.
func (t *Trainer) putSeries(s *datasets.Series) {
	t.layout.missing = s.Missing
	if s.Missing != s.Missing {
		t.layout.missing, t.layout.missingIsZ0 = -math.MaxFloat32, true
	}
	values := make([]float32, len(s.Values))
	for i, v := range s.Values {
		if v != v {
			v = t.layout.missing
		}
		values[i] = v
	}
	tod, dow := make([]int32, s.T), make([]int32, s.T)
	for i := range s.T {
		tod[i], dow[i] = int32(s.Calendar.TimeOfDay(i)), int32(s.Calendar.DayOfWeek(i))
	}
	t.resident = []*tensors.Tensor{
		tensors.FromFlatDataAndDimensions(values, s.T, s.N),
		tensors.FromFlatDataAndDimensions(tod, s.T),
		tensors.FromFlatDataAndDimensions(dow, s.T),
	}
	if t.cfg.GraphStats {
		t.laplacian = tensors.FromFlatDataAndDimensions(loss.NormalisedLaplacian(s.Graph), s.N, s.N)
	}
}

// setParameters replaces theta [P+K] and the optimiser's slots (nil: zeros).
func (t *Trainer) setParameters(theta []float32, slots [][]float32) {
	release(append(t.slots, t.theta))
	t.theta = tensors.FromFlatDataAndDimensions(theta, len(theta))
	t.slots = nil
	for i := range t.cfg.Optim.Slots() {
		values := make([]float32, t.state.Parameters)
		if slots != nil {
			copy(values, slots[i])
		}
		t.slots = append(t.slots, tensors.FromFlatDataAndDimensions(values, len(theta)))
	}
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
	release(slices.Concat(t.slots, t.resident, t.constants, []*tensors.Tensor{t.theta, t.laplacian}))
	t.step.Finalize()
	t.eval.Finalize()
}

// fixed are the inputs that stay on the device, the last of every graph: values, tod, dow, constants…, [laplacian].
func (t *Trainer) fixed() []*tensors.Tensor {
	all := slices.Concat(t.resident, t.constants)
	if t.laplacian != nil {
		all = append(all, t.laplacian)
	}
	return all
}

// takeFixed takes them apart again.
func (t *Trainer) takeFixed(in []*node) (r resident, constants []*node, laplacian *node) {
	r = resident{in[0], in[1], in[2]}
	constants = in[3 : 3+len(t.constants)]
	if t.laplacian != nil {
		laplacian = in[3+len(t.constants)]
	}
	return r, constants, laplacian
}

// stepGraph: inputs theta, slots…, hyper, key, starts, weights, [nodes], fixed…;
// outputs theta, slots…, loss, gradient norm, stats.
func (t *Trainer) stepGraph(in []*node) []*node {
	next := func() *node { x := in[0]; in = in[1:]; return x }
	theta := next()
	var slots []*node
	for range t.slots {
		slots = append(slots, next())
	}
	hyper, key, starts, weights := next(), next(), next(), next()
	var units *node
	if t.cfg.Unit == Pair {
		units = next()
	}
	r, constants, laplacian := t.takeFixed(in)

	b := t.layout.gather(r, starts, units)
	pass, parts := backbone.NewPass(t.model, theta, constants, key)
	e := loss.New(t.model.Forward(pass, b.in), b.target, b.mask, t.layout.scaler, t.layout.raw)
	total := t.cfg.Loss.Loss(e, weights)
	gradients := graph.Gradient(total, parts...)
	for i, g := range gradients {
		gradients[i] = graph.Reshape(g, g.Shape().Size())
	}
	params := graph.Slice(theta, graph.AxisRange(0, t.state.Parameters))
	params, slots, norm := t.cfg.Optim.Update(params, graph.Concatenate(gradients, 0), slots, hyper, backbone.Parts(t.model))
	return append(append([]*node{pass.Theta(params)}, slots...), total, norm, e.Stats(laplacian))
}

// evalGraph: inputs theta, starts, weights, fixed…; outputs sums [Q, loss.NumSums], stats [B, NumStats].
func (t *Trainer) evalGraph(in []*node) []*node {
	theta, starts, weights := in[0], in[1], in[2]
	r, constants, laplacian := t.takeFixed(in[3:])
	b := t.layout.gather(r, starts, nil)
	pass, _ := backbone.NewPass(t.model, theta, constants, nil)
	e := loss.New(t.model.Forward(pass, b.in), b.target, b.mask, t.layout.scaler, t.layout.raw)
	return []*node{e.Sums(weights), e.Stats(laplacian)}
}

// compile builds an executable for one batch size and notes how long it took; known sizes cost nothing.
func (t *Trainer) compile(name string, exec *graph.Exec, args []any) error {
	batch := 0
	var forms []shapes.Shape
	for _, a := range args {
		forms = append(forms, a.(*tensors.Tensor).Shape())
		if s := forms[len(forms)-1]; s.DType == dtypes.Int32 && s.Rank() == 1 && batch == 0 {
			batch = s.Dimensions[0]
		}
	}
	key := fmt.Sprintf("%s at batch %d", name, batch)
	if _, done := t.compiled[key]; done {
		return nil
	}
	start := time.Now()
	if _, err := exec.Compile(forms...); err != nil {
		return fmt.Errorf("compiling the %s: %w", key, brief(err))
	}
	t.compiled[key] = time.Since(start)
	t.seconds.Compile += t.compiled[key].Seconds()
	return nil
}

// Compiled tells which executables were built, by kind and batch size, and how long each took.
func (t *Trainer) Compiled() map[string]time.Duration { return t.compiled }

// Products is the number of multiplications in the forward pass's matrix products for one unit; 0 when it is not known.
func (t *Trainer) Products() float64 {
	products := t.model.Traits().Products
	if t.cfg.Unit == Pair {
		products /= float64(t.layout.nodes)
	}
	return products
}

// Parameters is the number of trained values.
func (t *Trainer) Parameters() int { return t.state.Parameters }

// Epoch is the number of complete epochs.
func (t *Trainer) Epoch() int { return t.state.Epoch }

// BestEpoch is the epoch (from 1) of the best validation so far; 0 before the first.
func (t *Trainer) BestEpoch() int { return t.state.BestEpoch }

// Visits is the number of windows × nodes trained on so far.
func (t *Trainer) Visits() int64 { return t.state.Visits }

// StepsDone is the number of optimiser steps so far.
func (t *Trainer) StepsDone() int { return t.state.Global }

// brief drops the stack trace that GoMLX appends to its errors.
func brief(err error) error {
	first, _, _ := strings.Cut(err.Error(), "\n")
	return fmt.Errorf("%s", first)
}

// batchSize of an epoch: one for full epochs, one for pruned ones.
func (t *Trainer) batchSize(units int) int {
	if units == t.units() {
		return t.cfg.Batch
	}
	return t.cfg.PrunedBatch
}

func (t *Trainer) units() int {
	if t.cfg.Unit == Pair {
		return len(t.windows.Train) * t.layout.nodes
	}
	return len(t.windows.Train)
}

// PlannedSteps is the number of optimiser steps of the whole run.
func (t *Trainer) PlannedSteps() int {
	steps := 0
	for e := range t.cfg.Epochs {
		k := t.pruner.Keep(e)
		b := t.batchSize(k)
		steps += (k + b - 1) / b
	}
	return steps
}

// Run trains from the current state to the end. When ctx is cancelled it finishes the step and returns ctx's error with the
// state ready to be saved by [Trainer.MarshalBinary].
func (t *Trainer) Run(ctx context.Context, ev Events) error {
	planned := t.PlannedSteps()
	for t.state.Epoch < t.cfg.Epochs && !t.outOfPatience() {
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

func (t *Trainer) outOfPatience() bool {
	return t.cfg.Patience > 0 && t.state.BestEpoch > 0 && t.state.Epoch-t.state.BestEpoch >= t.cfg.Patience
}

func (t *Trainer) epoch(ctx context.Context, ev Events, planned int) (EpochReport, error) {
	start := time.Now()
	if t.selection == nil {
		s, err := t.pruner.Plan(t.state.Epoch)
		if err != nil {
			return EpochReport{}, fmt.Errorf("planning epoch %d: %w", t.state.Epoch+1, err)
		}
		if err := t.checkSelection(s); err != nil {
			return EpochReport{}, fmt.Errorf("planning epoch %d: %w", t.state.Epoch+1, err)
		}
		t.selection = &s
	}
	s := t.selection
	if ev.Plan != nil {
		ev.Plan(t.state.Epoch+1, *s)
	}
	k := len(s.IDs)
	if s.All {
		k = t.units()
	}
	order := permutation(k, t.cfg.Seed, t.state.Epoch)
	t.seconds.Selection += time.Since(start).Seconds()

	b := t.batchSize(k)
	steps := (k + b - 1) / b
	var rate float64
	feed := t.newFeed(b)
	for t.state.Step < steps {
		if err := ctx.Err(); err != nil {
			return EpochReport{}, fmt.Errorf("interrupted in epoch %d after step %d of %d: %w", t.state.Epoch+1, t.state.Step, steps, err)
		}
		rate = t.cfg.Schedule.LR(t.cfg.Optim.LR, optim.Progress{Epoch: t.state.Epoch, Epochs: t.cfg.Epochs, Step: t.state.Global, Steps: planned})
		from := t.state.Step * b
		feed.fill(t, s, order[from:min(from+b, k)])
		value, stats, err := t.trainStep(feed, rate)
		if err != nil {
			return EpochReport{}, err
		}
		if math.IsNaN(value) || math.IsInf(value, 0) {
			return EpochReport{}, &DivergedError{Epoch: t.state.Epoch + 1, Step: t.state.Global + 1, Loss: value, Units: feed.ids}
		}
		observe := time.Now()
		if err := t.pruner.Observe(feed.ids, stats); err != nil {
			return EpochReport{}, fmt.Errorf("epoch %d, step %d: %w", t.state.Epoch+1, t.state.Step+1, err)
		}
		if ev.Observe != nil {
			ev.Observe(feed.ids, stats)
		}
		t.seconds.Selection += time.Since(observe).Seconds()
		t.state.Step++
		t.state.Global++
		t.state.LossSum += value * float64(len(feed.ids))
		t.state.LossUnits += int64(len(feed.ids))
		visits := int64(len(feed.ids))
		if t.cfg.Unit == Window {
			visits *= int64(t.layout.nodes)
		}
		t.state.Visits += visits
		if ev.Step != nil {
			ev.Step(Progress{Epoch: t.state.Epoch + 1, Epochs: t.cfg.Epochs, Step: t.state.Global, Steps: planned, Loss: value})
		}
	}

	report := EpochReport{Epoch: t.state.Epoch + 1, Units: k, Steps: steps, Visits: t.state.Visits, LR: rate,
		Loss: t.state.LossSum / float64(max(1, t.state.LossUnits))}
	if report.Epoch%t.cfg.ValidateEvery == 0 || report.Epoch == t.cfg.Epochs {
		m, _, err := t.evaluate(ctx, t.theta, t.windows.Val, false)
		if err != nil {
			return EpochReport{}, err
		}
		report.Validation = &m
		if m.Pooled.MAE < t.state.BestMAE {
			report.Best = true
			t.state.BestMAE, t.state.BestEpoch = m.Pooled.MAE, report.Epoch
			if t.best, err = tensors.CopyFlatData[float32](t.theta); err != nil {
				return EpochReport{}, fmt.Errorf("keeping the best parameters: %w", err)
			}
		}
	}
	report.Seconds = t.seconds
	t.seconds, t.selection = Seconds{}, nil
	t.state.Epoch++
	t.state.Step, t.state.LossSum, t.state.LossUnits = 0, 0, 0
	return report, nil
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

// permutation is the order in which an epoch visits its k units.
func permutation(k int, seed uint64, epoch int) []int32 {
	order := make([]int32, k)
	for i := range order {
		order[i] = int32(i)
	}
	r := stprune.Stream(seed, "order", epoch)
	for i := k - 1; i > 0; i-- {
		j := r.Uint32N(uint32(i + 1))
		order[i], order[j] = order[j], order[i]
	}
	return order
}

// feed is what one step sends to the device. Its slices are reused.
type feed struct {
	ids           []int32 // units of the batch, without padding
	starts, nodes []int32 // [B]
	weights       []float32
	window        bool
}

func (t *Trainer) newFeed(b int) *feed {
	return &feed{ids: make([]int32, 0, b), starts: make([]int32, b), nodes: make([]int32, b), weights: make([]float32, b), window: t.cfg.Unit == Window}
}

// fill takes the selected units at the given positions; the rest of the batch is padding with weight 0.
func (f *feed) fill(t *Trainer, s *stprune.Selection, positions []int32) {
	f.ids = f.ids[:0]
	nodes := int32(t.layout.nodes)
	for i := range f.starts {
		if i >= len(positions) {
			f.starts[i], f.nodes[i], f.weights[i] = f.starts[0], f.nodes[0], 0
			continue
		}
		at, weight := positions[i], float32(1)
		id := at
		if !s.All {
			id = s.IDs[at]
			if s.Weight != nil {
				weight = s.Weight[at]
			}
		}
		f.ids = append(f.ids, id)
		f.weights[i] = weight
		if f.window {
			f.starts[i] = t.windows.Train[id]
		} else {
			f.starts[i], f.nodes[i] = t.windows.Train[id/nodes], id%nodes
		}
	}
}

// trainStep runs one optimiser step and returns the loss and the stats of the batch's units.
func (t *Trainer) trainStep(f *feed, rate float64) (float64, stprune.Stats, error) {
	hyper := t.cfg.Optim.Hyper(rate, t.state.Global+1)
	r := stprune.Stream(t.cfg.Seed, "dropout", t.state.Global)
	b := len(f.starts)
	own := []*tensors.Tensor{
		tensors.FromFlatDataAndDimensions(hyper32(hyper), optim.HyperSize),
		tensors.FromFlatDataAndDimensions([]uint32{r.Uint32(), r.Uint32()}, 2),
		tensors.FromFlatDataAndDimensions(f.starts, b),
		tensors.FromFlatDataAndDimensions(f.weights, b),
	}
	if !f.window {
		own = append(own, tensors.FromFlatDataAndDimensions(f.nodes, b))
	}
	defer release(own)
	args := []any{t.theta}
	for _, x := range slices.Concat(t.slots, own, t.fixed()) {
		args = append(args, x)
	}
	if err := t.compile("training step", t.step, args); err != nil {
		return 0, nil, err
	}
	start := time.Now()
	defer func() { t.seconds.Steps += time.Since(start).Seconds() }()
	out, err := t.step.Call(args...)
	if err != nil {
		return 0, nil, fmt.Errorf("training step %d: %w", t.state.Global+1, brief(err))
	}
	n := 1 + len(t.slots)
	defer release(out[n:])
	release(append(t.slots, t.theta))
	t.theta, t.slots = out[0], append([]*tensors.Tensor(nil), out[1:n]...)
	value, err := tensors.CopyFlatData[float32](out[n])
	if err != nil {
		return 0, nil, fmt.Errorf("training step %d: reading the loss: %w", t.state.Global+1, brief(err))
	}
	stats, err := tensors.CopyFlatData[float32](out[n+2])
	if err != nil {
		return 0, nil, fmt.Errorf("training step %d: reading the stats: %w", t.state.Global+1, brief(err))
	}
	return float64(value[0]), stats[:len(f.ids)*stprune.NumStats], nil
}

func hyper32(h [optim.HyperSize]float64) []float32 {
	out := make([]float32, len(h))
	for i, v := range h {
		out[i] = float32(v)
	}
	return out
}

// evaluate measures the model with parameters theta on the windows that begin at starts; with perWindow also their stats
// [len(starts), NumStats] in evaluation mode.
func (t *Trainer) evaluate(ctx context.Context, theta *tensors.Tensor, starts []int32, perWindow bool) (loss.Metrics, stprune.Stats, error) {
	total := make([]float64, t.layout.horizon*loss.NumSums)
	var all stprune.Stats
	b := min(t.cfg.EvalBatch, len(starts))
	batch, weights := make([]int32, b), make([]float32, b)
	for from := 0; from < len(starts); from += b {
		if err := ctx.Err(); err != nil {
			return loss.Metrics{}, nil, fmt.Errorf("interrupted while evaluating after epoch %d: %w", t.state.Epoch+1, err)
		}
		n := copy(batch, starts[from:])
		for i := range batch {
			weights[i] = 1
			if i >= n {
				batch[i], weights[i] = batch[0], 0
			}
		}
		sums, stats, err := t.evalStep(theta, batch, weights, perWindow)
		if err != nil {
			return loss.Metrics{}, nil, err
		}
		for i, v := range sums {
			total[i] += float64(v)
		}
		if perWindow {
			all = append(all, stats[:n*stprune.NumStats]...)
		}
	}
	m, err := loss.NewMetrics(total)
	return m, all, err
}

func (t *Trainer) evalStep(theta *tensors.Tensor, starts []int32, weights []float32, perWindow bool) (sums, stats []float32, err error) {
	own := []*tensors.Tensor{tensors.FromFlatDataAndDimensions(starts, len(starts)), tensors.FromFlatDataAndDimensions(weights, len(weights))}
	defer release(own)
	args := []any{theta}
	for _, x := range slices.Concat(own, t.fixed()) {
		args = append(args, x)
	}
	if err := t.compile("evaluation", t.eval, args); err != nil {
		return nil, nil, err
	}
	start := time.Now()
	defer func() { t.seconds.Evaluation += time.Since(start).Seconds() }()
	out, err := t.eval.Call(args...)
	if err != nil {
		return nil, nil, fmt.Errorf("evaluation: %w", brief(err))
	}
	defer release(out)
	if sums, err = tensors.CopyFlatData[float32](out[0]); err == nil && perWindow {
		stats, err = tensors.CopyFlatData[float32](out[1])
	}
	if err != nil {
		return nil, nil, fmt.Errorf("evaluation: reading the results: %w", brief(err))
	}
	return sums, stats, nil
}

// Parts of the data.
const (
	Train      = "train"
	Validation = "validation"
	Test       = "test"
)

// Evaluate measures the best-validation parameters (before the first validation: the current ones) on a part of the data.
func (t *Trainer) Evaluate(ctx context.Context, part string) (loss.Metrics, Seconds, error) {
	starts, err := t.part(part)
	if err != nil {
		return loss.Metrics{}, Seconds{}, err
	}
	before := t.seconds
	t.seconds = Seconds{}
	defer func() { t.seconds = before }()
	theta := t.theta
	if t.best != nil {
		theta = tensors.FromFlatDataAndDimensions(t.best, len(t.best))
		defer release([]*tensors.Tensor{theta})
	}
	m, _, err := t.evaluate(ctx, theta, starts, false)
	return m, t.seconds, err
}

// Probe measures every window of a part with the current parameters in evaluation mode: stats [windows, NumStats].
func (t *Trainer) Probe(ctx context.Context, part string) (stprune.Stats, error) {
	starts, err := t.part(part)
	if err != nil {
		return nil, err
	}
	_, stats, err := t.evaluate(ctx, t.theta, starts, true)
	return stats, err
}

func (t *Trainer) part(name string) ([]int32, error) {
	switch name {
	case Train:
		return t.windows.Train, nil
	case Validation:
		return t.windows.Val, nil
	case Test:
		return t.windows.Test, nil
	}
	return nil, fmt.Errorf("part %q is unknown; choose %s, %s or %s", name, Train, Validation, Test)
}
