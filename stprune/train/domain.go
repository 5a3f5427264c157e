package train

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/stprune"
	"github.com/stprune/workbench/stprune/accel"
	"github.com/stprune/workbench/stprune/backbone"
	"github.com/stprune/workbench/stprune/loss"
	"github.com/stprune/workbench/stprune/optim"
)

// domain is one data set and the backbone's graphs over it. The parameters are the trainer's.
type domain struct {
	t       *Trainer
	model   backbone.Backbone
	layout  layout
	windows *datasets.Windows
	name    string
	first   int32 // id of its first unit
	units   int

	parts int     // units of a window
	order []int32 // of the nodes, see Config.arrange

	host      *rows               // the series, where it is streamed; its NaN stay. Else nil
	sent      rows                // what a step was sent of it
	resident  []*tensors.Tensor   // values, tod, dow; none where the series is streamed
	constants []*tensors.Tensor   // of the backbone
	laplacian *tensors.Tensor     // [N,N] or nil
	copies    [][]*tensors.Tensor // of all of them on each device but the first; nil before the first step

	step, eval        *graph.Exec
	micro, apply      *graph.Exec              // the step in two, by micro-batches; else nil
	gradients, errors *graph.Exec              // see Trainer.Gradient and Trainer.Errors
	padded            *graph.Exec              // step for a batch that was filled up, of a backbone with batch statistics; else nil
	passes            map[passKind]*graph.Exec // made when first asked for
}

// Model builds the backbone for a data set.
func (c Config) Model(source Source) (backbone.Backbone, error) {
	s, w := source.Series, source.Windows
	return backbone.New(c.Backbone, backbone.Config{
		Nodes: s.N, History: w.History, Horizon: w.Horizon, StepsPerDay: s.Calendar.StepsPerDay(), Graph: s.Graph, Blocks: c.Unit == Block, Options: c.Options,
	})
}

func newDomain(t *Trainer, source Source) (*domain, error) {
	s, w, c := source.Series, source.Windows, t.cfg
	model, err := c.Model(source)
	if err != nil {
		return nil, err
	}
	traits := model.Traits()
	if c.Unit == Pair && !traits.PairWise {
		return nil, fmt.Errorf("train.unit = pair: backbone %s mixes nodes and needs whole windows; set train.unit = %q", c.Backbone, Window)
	}
	order, err := c.arrange(source)
	if err != nil {
		return nil, err
	}
	d := &domain{
		t: t, parts: c.perWindow(s.N), order: order, passes: map[passKind]*graph.Exec{}, model: model, windows: w, name: s.Name, units: c.Units(source),
		layout: layout{history: w.History, horizon: w.Horizon, nodes: s.N, stepsPerDay: s.Calendar.StepsPerDay(), scaler: w.Scaler, raw: traits.Raw},
	}
	for _, before := range t.domains {
		d.first += int32(before.units)
	}
	if err := d.putSeries(s); err != nil {
		d.close()
		return nil, fmt.Errorf("putting series %q on the device: %w", s.Name, brief(err))
	}
	for _, x := range traits.Constants {
		d.constants = append(d.constants, tensors.FromFlatDataAndDimensions(x.Values, x.Shape...))
	}
	return d, nil
}

// putSeries prepares what steps gather their windows from.
func (d *domain) putSeries(s *datasets.Series) error {
	d.layout.missing = s.Missing
	if s.Missing != s.Missing {
		d.layout.missing, d.layout.missingIsZ0 = -math.MaxFloat32, true
	}
	all := &rows{columns: s.N, values: s.Values, tod: make([]int32, s.T), dow: make([]int32, s.T)}
	for i := range s.T {
		all.tod[i], all.dow[i] = int32(s.Calendar.TimeOfDay(i)), int32(s.Calendar.DayOfWeek(i))
	}
	if d.t.cfg.Stream {
		d.host, d.layout.streamed = all, true
	} else {
		if d.layout.missingIsZ0 {
			all.values = slices.Clone(s.Values)
			withoutNaN(all.values, d.layout.missing)
		}
		var err error
		if d.resident, err = all.tensors(d.t.backend, 0); err != nil {
			return err
		}
	}
	if d.t.cfg.GraphStats {
		d.laplacian = tensors.FromFlatDataAndDimensions(float32s(s.Graph.Undirected().NormalisedLaplacian()), s.N, s.N)
	}
	return nil
}

// program prepares an executable under a name that errors and XLA's dumps show.
func (d *domain) program(be compute.Backend, name string, build func([]*node) []*node) (*graph.Exec, error) {
	exec, err := graph.NewExec(be, build)
	if err != nil {
		return nil, err
	}
	if d.model.Traits().PairWise { // multilayer perceptrons
		name = accel.PlainProducts + "_" + name
	}
	return exec.WithName(name), nil
}

// build prepares the executables; they are compiled when first used.
func (d *domain) build(be compute.Backend) (err error) {
	if d.step, err = d.newStep(be, false); err == nil {
		d.eval, err = d.program(be, "evaluate", d.evalGraph)
	}
	if err == nil {
		d.gradients, err = d.program(be, "gradients", d.gradientGraph)
	}
	if err == nil {
		d.errors, err = d.program(be, "errors", d.errorGraph)
	}
	if err == nil && d.t.cfg.MicroBatch > 0 {
		if d.micro, err = d.program(be, "micro_batch", d.microGraph); err == nil {
			d.apply, err = d.program(be, "update", d.applyGraph)
		}
	}
	if err == nil && len(d.model.Traits().Buffers) > 0 {
		d.padded, err = d.newStep(be, true)
	}
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	return nil
}

func (d *domain) close() {
	release(slices.Concat(append(d.copies, d.fixed())...))
	for _, e := range append(slices.Collect(maps.Values(d.passes)), d.step, d.padded, d.micro, d.apply, d.eval, d.gradients, d.errors) {
		if e != nil {
			e.Finalize()
		}
	}
}

// fixed are the inputs that stay on the device, the last of every graph: values, tod, dow, constants…, [laplacian]. Where the series is
// streamed the first three are a step's own.
func (d *domain) fixed() []*tensors.Tensor {
	all := slices.Concat(d.resident, d.constants)
	if d.laplacian != nil {
		all = append(all, d.laplacian)
	}
	return all
}

// opened is how every graph begins: a gathered batch, and a pass over it that is still to be made.
type opened struct {
	d         *domain
	batch     gathered
	pass      *backbone.Pass
	params    []*node
	laplacian *node // nil without one
}

// open gathers the batch that begins at starts; rest are a graph's last inputs: [nodes], fixed…. Without a key the pass is one in
// evaluation mode.
func (d *domain) open(theta, key, starts *node, unit string, rest []*node) opened {
	var units *node
	if unit != Window {
		units, rest = rest[0], rest[1:]
	}
	o := opened{d: d, batch: d.layout.gather(resident{rest[0], rest[1], rest[2]}, starts, units)}
	constants := 3 + len(d.constants)
	if d.laplacian != nil {
		o.laplacian = rest[constants]
	}
	o.pass, o.params = backbone.NewPass(d.model, theta, rest[3:constants], key)
	return o
}

// forecast makes the pass: [B,Q,M], z-scored unless the backbone takes raw values.
func (o opened) forecast() *node { return o.d.model.Forward(o.pass, o.batch.in) }

// residuals compares a forecast with the batch's targets.
func (o opened) residuals(forecast *node) loss.Residuals {
	return loss.New(forecast, o.batch.target, o.batch.mask, o.d.layout.scaler, o.d.layout.raw)
}

// stepGraph: inputs theta, slots…, hyper, key, starts, weights, [nodes], fixed…;
// outputs theta, slots…, loss, gradient norm, stats. padded says that the batch was filled up.
func (d *domain) stepGraph(in []*node, padded bool) []*node {
	cfg := d.t.cfg
	next := func() *node { x := in[0]; in = in[1:]; return x }
	theta := next()
	var slots []*node
	for range d.t.slots {
		slots = append(slots, next())
	}
	hyper, key, starts, weights := next(), next(), next(), next()
	o := d.open(theta, key, starts, cfg.Unit, in)
	if padded {
		o.pass.Padded(weights)
	}
	e := o.residuals(o.forecast())
	total := cfg.Loss.Loss(e, weights)
	refuse(total, cfg.Options["recompute"] == true, cfg.MemoryLimit)
	d.tryEvaluation()
	theta, slots, norm := d.t.update(theta, d.t.gradient(total, o.params), slots, hyper, o.pass.Theta)
	return append(append([]*node{theta}, slots...), total, norm, e.Stats(o.laplacian))
}

// update moves theta [P+K] and the slots by a gradient [P]; whole puts the buffers back behind parameters.
func (t *Trainer) update(theta, grad *node, slots []*node, hyper *node, whole func(params *node) *node) (*node, []*node, *node) {
	n := len(t.cfg.Optim.Slots())
	params := graph.Slice(theta, graph.AxisRange(0, t.state.Parameters))
	params, moved, norm := t.cfg.Optim.Update(params, grad, slots[:n], hyper, t.parts)
	theta = whole(params)
	for _, ema := range slots[n:] {
		moved = append(moved, t.cfg.Optim.Track(ema, theta))
	}
	return theta, moved, norm
}

// gradient [P] of the loss; 0 for frozen parameters, whose backward pass is not built.
func (t *Trainer) gradient(total *node, params []*node) *node {
	var trained []*node
	for i, p := range params {
		if !t.parts[i].Frozen {
			trained = append(trained, p)
		}
	}
	gradients := graph.Gradient(total, trained...)
	all := make([]*node, len(params))
	for i, p := range params {
		if t.parts[i].Frozen {
			all[i] = graph.ZerosLike(p)
		} else {
			all[i], gradients = gradients[0], gradients[1:]
		}
		all[i] = graph.Reshape(all[i], p.Shape().Size())
	}
	return graph.Concatenate(all, 0)
}

// tryEvaluation builds the evaluation's graph, with the first windows of the validation part, and forgets it: one that is refused is
// refused before the first epoch is trained in vain.
func (d *domain) tryEvaluation() {
	n := min(d.t.cfg.EvalBatch, len(d.windows.Val))
	if d.t.cfg.MemoryLimit == 0 || n == 0 {
		return
	}
	own, err := d.weighted(d.windows.Val[:n], make([]float32, n))
	if err != nil {
		panic(err)
	}
	defer release(own)
	g := graph.NewGraph(d.t.backend, "evaluation")
	defer g.Finalize()
	var in []*node
	for i, x := range slices.Concat([]*tensors.Tensor{d.t.theta}, own, d.fixed()) {
		in = append(in, graph.Parameter(g, fmt.Sprint("input", i), x.Shape()))
	}
	d.evalGraph(in)
}

// evalGraph: inputs theta, starts, weights, fixed…; outputs sums [Q, loss.NumSums].
func (d *domain) evalGraph(in []*node) []*node {
	theta, starts, weights := in[0], in[1], in[2]
	o := d.open(theta, nil, starts, Window, in[3:])
	e := o.residuals(o.forecast())
	refusePass(theta.Graph(), starts.Shape().Size(), evalBatch, d.t.cfg.MemoryLimit)
	return []*node{e.Sums(weights)}
}

// compile builds an executable for one batch size and notes how long it took; known sizes cost nothing.
func (d *domain) compile(name string, exec *graph.Exec, args []any) error {
	batch := 0
	var forms []shapes.Shape
	for _, a := range args {
		forms = append(forms, a.(*tensors.Tensor).Shape())
		if s := forms[len(forms)-1]; s.DType == dtypes.Int32 && s.Rank() == 1 && batch == 0 {
			batch = s.Dimensions[0]
		}
	}
	key := fmt.Sprintf("%s at batch %d", name, batch*exec.NumDevices())
	if len(d.t.domains) > 1 {
		key += " of " + d.name
	}
	if _, done := d.t.compiled[key]; done {
		return nil
	}
	start := time.Now()
	if _, err := exec.Compile(forms...); err != nil {
		return fmt.Errorf("compiling the %s: %w", key, brief(err))
	}
	d.t.compiled[key] = time.Since(start)
	d.t.seconds.Compile += d.t.compiled[key].Seconds()
	return nil
}

// trainStep runs one optimiser step and returns the loss and the stats of the batch's units.
func (t *Trainer) trainStep(d *domain, f *feed, rate float64) (float64, stprune.Stats, error) {
	if m := t.cfg.MicroBatch; m > 0 && m < len(f.starts) {
		return t.trainInParts(d, f, rate)
	}
	hyper := t.cfg.Optim.Hyper(rate, t.state.Global+1)
	r := stprune.Stream(t.cfg.Seed, "dropout", t.state.Global)
	key := []uint32{r.Uint32(), r.Uint32()}
	if err := t.replicate(d); err != nil {
		return 0, nil, fmt.Errorf("training step %d: %w", t.state.Global+1, brief(err))
	}
	starts, rows := d.locate(f.unit, f.starts, f.nodes)
	var args []any
	for device := range t.cfg.Devices {
		part := f.part(starts, device, t.cfg.Devices)
		own := []*tensors.Tensor{
			tensors.FromFlatDataAndDimensions(float32s(hyper[:]), optim.HyperSize),
			tensors.FromFlatDataAndDimensions(key, 2),
			tensors.FromFlatDataAndDimensions(part.starts, len(part.starts)),
			tensors.FromFlatDataAndDimensions(part.weights, len(part.starts)),
		}
		own = append(own, part.tensors()...)
		sent, err := rows.tensors(t.backend, device)
		if err != nil {
			release(own)
			return 0, nil, fmt.Errorf("training step %d: %w", t.state.Global+1, err)
		}
		own = append(own, sent...)
		defer release(own)
		params, fixed := append([]*tensors.Tensor{t.theta}, t.slots...), d.fixed()
		if device > 0 {
			params, fixed = t.copies[device-1], d.copies[device-1]
		}
		for _, x := range slices.Concat(params, own, fixed) {
			args = append(args, x)
		}
	}
	name, step := "training step", d.step
	if d.padded != nil && len(f.ids) < len(f.starts) {
		name, step = "training step with padding", d.padded
	}
	if err := d.compile(f.of(name), step, args); err != nil {
		return 0, nil, err
	}
	start := time.Now()
	defer func() {
		t.computing = time.Since(start)
		t.seconds.Steps += t.computing.Seconds()
	}()
	out, err := step.Call(args...)
	if err != nil {
		return 0, nil, fmt.Errorf("training step %d: %w", t.state.Global+1, brief(err))
	}
	n, each := 1+len(t.slots), len(out)/t.cfg.Devices
	t.releaseParameters()
	t.theta, t.slots = out[0], slices.Clone(out[1:n])
	defer release(out[n:each])
	for own := range slices.Chunk(out[each:], each) { // of the other devices
		release(own[n:])
		t.copies = append(t.copies, own[:n])
	}
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

func float32s(v []float64) []float32 {
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(x)
	}
	return out
}

// Parts of the data.
const (
	Train      = "train"
	Validation = "validation"
	Test       = "test"
)

// part lists the window starts of a part of the data.
func (d *domain) part(name string) ([]int32, error) {
	switch name {
	case Train:
		return d.windows.Train, nil
	case Validation:
		return d.windows.Val, nil
	case Test:
		return d.windows.Test, nil
	}
	return nil, fmt.Errorf("part %q is unknown; choose %s, %s or %s", name, Train, Validation, Test)
}

// totals evaluates the model with parameters theta on a part: sums [Q, loss.NumSums].
func (d *domain) totals(ctx context.Context, theta *tensors.Tensor, part string) ([]float64, error) {
	starts, err := d.part(part)
	if err != nil {
		return nil, err
	}
	total := make([]float64, d.layout.horizon*loss.NumSums)
	b := min(d.t.cfg.EvalBatch, len(starts))
	batch, weights := make([]int32, b), make([]float32, b)
	for from := 0; from < len(starts); from += b {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("interrupted while evaluating after epoch %d: %w", min(d.t.state.Epoch+1, d.t.cfg.Epochs), err)
		}
		n := copy(batch, starts[from:])
		for i := range batch {
			weights[i] = 1
			if i >= n {
				batch[i], weights[i] = batch[0], 0
			}
		}
		sums, err := d.evalStep(theta, batch, weights)
		if err != nil {
			return nil, err
		}
		for i, v := range sums {
			total[i] += float64(v)
		}
	}
	return total, nil
}

func (d *domain) evalStep(theta *tensors.Tensor, starts []int32, weights []float32) ([]float32, error) {
	own, err := d.weighted(starts, weights)
	if err != nil {
		return nil, fmt.Errorf("evaluation: %w", err)
	}
	defer release(own)
	args := []any{theta}
	for _, x := range slices.Concat(own, d.fixed()) {
		args = append(args, x)
	}
	if err := d.compile("evaluation", d.eval, args); err != nil {
		return nil, err
	}
	start := time.Now()
	defer func() { d.t.seconds.Evaluation += time.Since(start).Seconds() }()
	out, err := d.eval.Call(args...)
	if err != nil {
		return nil, fmt.Errorf("evaluation: %w", brief(err))
	}
	defer release(out)
	sums, err := tensors.CopyFlatData[float32](out[0])
	if err != nil {
		return nil, fmt.Errorf("evaluation: reading the results: %w", brief(err))
	}
	return sums, nil
}

// weighted are the inputs of a graph that takes windows and their weights.
func (d *domain) weighted(starts []int32, weights []float32) ([]*tensors.Tensor, error) {
	at, sent, err := d.inputs(Window, starts, nil)
	if err != nil {
		return nil, err
	}
	return append([]*tensors.Tensor{at, tensors.FromFlatDataAndDimensions(weights, len(weights))}, sent...), nil
}

// scale is the unit in which losses are averaged: raw with one data set, else the data set's standard deviation.
func (t *Trainer) scale(d *domain) float64 {
	if len(t.domains) == 1 {
		return 1
	}
	return d.layout.scaler.Std
}

// evaluate measures the model with parameters theta on a part of the data: all data sets together, and each by itself. With
// several data sets the errors of all together are in units of each set's standard deviation, over horizons only where all
// have the same.
func (t *Trainer) evaluate(ctx context.Context, theta *tensors.Tensor, part string) (all loss.Metrics, each []loss.Metrics, err error) {
	var together []float64
	for _, d := range t.domains {
		sums, err := d.totals(ctx, theta, part)
		if err != nil {
			return loss.Metrics{}, nil, err
		}
		m, err := loss.NewMetrics(sums)
		if err != nil {
			return loss.Metrics{}, nil, fmt.Errorf("%s: %w", d.name, err)
		}
		each = append(each, m)
		loss.Rescale(sums, t.scale(d))
		together = loss.Join(together, sums)
	}
	all, err = loss.NewMetrics(together)
	return all, each, err
}

// Evaluate measures the best-validation parameters (before the first validation: the current ones) on a part of the data: all
// data sets together, see [EpochReport.Validation], and each by itself.
func (t *Trainer) Evaluate(ctx context.Context, part string) (all loss.Metrics, each []loss.Metrics, seconds Seconds, err error) {
	began, before := time.Now(), t.seconds
	t.seconds = Seconds{}
	defer func() { t.seconds = before }()
	best, err := t.bestSoFar()
	if err != nil {
		return loss.Metrics{}, nil, Seconds{}, err
	}
	theta := tensors.FromFlatDataAndDimensions(best, len(best))
	defer release([]*tensors.Tensor{theta})
	all, each, err = t.evaluate(ctx, theta, part)
	t.seconds.account(began, Seconds{})
	return all, each, t.seconds, err
}
