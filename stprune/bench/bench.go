// Package bench measures how fast training and choosing are.
package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/stprune"
	"github.com/stprune/workbench/stprune/accel"
	"github.com/stprune/workbench/stprune/optim"
	"github.com/stprune/workbench/stprune/run"
	"github.com/stprune/workbench/stprune/train"
)

// What [Step] measures.
const (
	TrainingStep = "step"     // gather, forward, backward, clipping, Adam, statistics
	Evaluation   = "evaluate" // gather and forward in evaluation mode, the sums of the errors
	Epoch        = "epoch"    // of few windows: [EpochBatches] training steps, then one evaluation
)

// EpochBatches is the number of training steps of an [Epoch]; with its one evaluation they are as a split of 6:2:2 makes them.
const EpochBatches = 3

// Step says what to measure on made-up values, whole batches throughout.
type Step struct {
	What       string // [TrainingStep] (default), [Evaluation] or [Epoch], these two of windows
	Backbone   string
	Options    map[string]any // of the backbone
	Nodes      int            // N; the graph is a ring
	Batch      int            // units
	MicroBatch int            // of them that pass at once, see [train.Config]; 0: all
	Unit       string         // [train.Window] or [train.Pair]
	History    int            // T; default 12
	Horizon    int            // Q; default 12
	PerDay     int            // steps of a day; default 288
	Least      int            // measurements at least; default 10, of epochs 2
	For        time.Duration  // and as long as this; default 5 s
	Began      time.Time      // of the process, to measure from it to the end of the first step; default: when Run is called
}

// Report is what was measured.
type Report struct {
	What       string        `json:"what"`
	Backend    string        `json:"backend"`
	Backbone   string        `json:"backbone"`
	Nodes      int           `json:"nodes"`
	Batch      int           `json:"batch"`
	Unit       string        `json:"unit"`
	Parameters int           `json:"parameters"`
	Compile    time.Duration `json:"compile_ns"`    // of all that was compiled
	Ready      time.Duration `json:"ready_ns"`      // from Began until all is loaded and compiled and the first step, evaluation or epoch computes
	First      time.Duration `json:"first_step_ns"` // from Began to its end; a second one warms up
	Steps      int           `json:"steps"`         // of them measured after that
	Median     time.Duration `json:"median_ns"`     // from the end of one to the end of the next, the host's work included
	Fastest    time.Duration `json:"fastest_ns"`
	Slowest    time.Duration `json:"slowest_ns"`
	Host       float64       `json:"host_share"` // of the time, in which the backend did not compute
	// GFLOPs counts the matrix products of the backbone, in training three times (backward takes twice as much), and nothing else,
	// at the median; 0 when the backbone doesn't say how many there are.
	GFLOPs float64 `json:"gflop_per_s"`
	// Plain is what the backend reaches in products of [16384,128] with [128,128] and nothing else (Go: of [512,128]), the best of some after the first
	// step and after the last: what GFLOPs can be compared with on a machine whose speed varies.
	Plain      float64 `json:"plain_gflop_per_s"`
	PeakMemory int64   `json:"peak_bytes"` // of the process
}

// Run measures.
func (s Step) Run(ctx context.Context, be *accel.Backend) (Report, error) {
	def := func(v *int, value int) {
		if *v == 0 {
			*v = value
		}
	}
	def(&s.History, 12)
	def(&s.Horizon, 12)
	def(&s.PerDay, 288)
	least := 10
	switch s.What {
	case "":
		s.What = TrainingStep
	case TrainingStep, Evaluation:
	case Epoch:
		least = 2
	default:
		return Report{}, fmt.Errorf("bench: %q can't be measured; choose %s, %s or %s", s.What, TrainingStep, Evaluation, Epoch)
	}
	def(&s.Least, least)
	if s.For == 0 {
		s.For = 5 * time.Second
	}
	if s.Began.IsZero() {
		s.Began = time.Now()
	}
	if s.Nodes < 1 || s.Batch < 1 {
		return Report{}, fmt.Errorf("bench: %d nodes, batch %d; both must be at least 1", s.Nodes, s.Batch)
	}
	series := s.series()
	windows, err := (datasets.Protocol{History: s.History, Horizon: s.Horizon, Ratio: [3]float64{8, 1, 1}}).Apply(series)
	if err != nil {
		return Report{}, err
	}
	if s.What != TrainingStep && s.Unit != train.Window {
		return Report{}, fmt.Errorf("bench: an evaluation takes whole windows; measure %s of unit %q", s.What, train.Window)
	}
	all, trained, evaluated := windows.Train, 1, 0 // batches each time
	switch {
	case s.What == Evaluation:
		windows.Test, trained, evaluated = all[:s.Batch], 0, 1
	case s.What == Epoch:
		windows.Train, windows.Val = all[:EpochBatches*s.Batch], all[EpochBatches*s.Batch:(EpochBatches+1)*s.Batch]
		trained, evaluated = EpochBatches, 1
	case s.Unit == train.Window: // whole batches only
		windows.Train = all[:len(all)/s.Batch*s.Batch]
	}
	c := train.Config{
		Backbone: s.Backbone, Options: s.Options, Optim: optim.Default(), Unit: s.Unit,
		Epochs: 1 << 20, Batch: s.Batch, MicroBatch: s.MicroBatch, EvalBatch: s.Batch, ValidateEvery: math.MaxInt32, Seed: 1,
	}
	if s.What == Epoch {
		c.ValidateEvery = 1
	}
	source := train.Source{Series: series, Windows: windows}
	pruner, err := stprune.NewFull(c.Units(source))
	if err != nil {
		return Report{}, err
	}
	trainer, err := train.New(be.Backend, c, pruner, source)
	if err != nil {
		return Report{}, err
	}
	defer trainer.Close()

	var before float64
	var failed error
	times := clock{began: s.Began, least: s.Least, length: s.For, started: func() { before, failed = plainProduct(be) }}
	if err := errors.Join(s.repeat(ctx, trainer, &times), failed); err != nil {
		return Report{}, err
	}
	r := Report{
		What: s.What, Backend: be.Kind, Backbone: s.Backbone, Nodes: s.Nodes, Batch: s.Batch, Unit: s.Unit, Parameters: trainer.Parameters(),
		Ready: times.ready, First: times.first, Steps: len(times.measured), Fastest: slices.Min(times.measured), Slowest: slices.Max(times.measured),
		Host: 1 - times.computing.Seconds()/times.all.Seconds(),
	}
	for _, d := range trainer.Compiled() {
		r.Compile += d
	}
	slices.Sort(times.measured)
	r.Median = times.measured[len(times.measured)/2]
	passes := float64(3*trained + evaluated)
	r.GFLOPs = 2 * passes * trainer.Products() * float64(s.Batch) / r.Median.Seconds() / 1e9
	after, err := plainProduct(be)
	r.Plain, r.PeakMemory = max(before, after), run.PeakMemory()
	return r, err
}

// clock takes the times of what is repeated, when each ends.
type clock struct {
	began   time.Time
	least   int           // times at least
	length  time.Duration // in all at least
	started func()        // is called after the first

	ready, first   time.Duration // since it began
	warm, last     time.Time     // the ends of the second and of the last
	measured       []time.Duration
	computing, all time.Duration // of those measured
}

// tick is told what the backend computed for the one that ends now, and tells whether enough are measured.
func (c *clock) tick(computing time.Duration) (enough bool) {
	now := time.Now()
	switch {
	case c.last.IsZero(): // it compiled
		c.first = now.Sub(c.began)
		c.ready = c.first - computing
		c.started()
	case c.warm.IsZero():
		c.warm = now
	default:
		c.measured = append(c.measured, now.Sub(c.last))
		c.computing, c.all = c.computing+computing, c.all+now.Sub(c.last)
	}
	c.last = now
	return len(c.measured) >= c.least && now.Sub(c.warm) >= c.length
}

// repeat does what is to be measured until the clock has enough of it.
func (s Step) repeat(ctx context.Context, trainer *train.Trainer, times *clock) error {
	seconds := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	if s.What == Evaluation {
		for enough := false; !enough; {
			_, _, spent, err := trainer.Evaluate(ctx, train.Test)
			if err != nil {
				return err
			}
			enough = times.tick(seconds(spent.Evaluation))
		}
		return nil
	}
	enough := errors.New("enough")
	stop, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	events := train.Events{Step: func(p train.Progress) {
		if times.tick(p.Computing) {
			cancel(enough)
		}
	}}
	if s.What == Epoch {
		events = train.Events{Epoch: func(r train.EpochReport) error {
			if times.tick(seconds(r.Seconds.Steps + r.Seconds.Evaluation)) {
				return enough
			}
			return nil
		}}
	}
	err := trainer.Run(stop, events)
	if errors.Is(err, enough) || context.Cause(stop) == enough {
		return nil
	}
	return err
}

// plainProduct is the speed in GFLOP/s of products of a tall matrix with a square one, as layers of the backbones are: the best of
// some.
func plainProduct(be *accel.Backend) (float64, error) {
	const width, layers = 128, 4
	rows := 16384
	if be.Kind == accel.Go { // which takes thirty times as long
		rows = 512
	}
	chain, err := graph.NewExec(be.Backend, func(x, w *graph.Node) *graph.Node {
		for range layers {
			x = graph.MatMul(x, w)
		}
		return graph.ReduceAllMax(x) // little to fetch
	})
	if err != nil {
		return 0, fmt.Errorf("bench: %w", err)
	}
	defer chain.Finalize()
	x := tensors.FromFlatDataAndDimensions(make([]float32, rows*width), rows, width)
	w := tensors.FromFlatDataAndDimensions(make([]float32, width*width), width, width)
	defer func() { _, _ = x.FinalizeAll(), w.FinalizeAll() }()
	fastest := math.Inf(1)
	for range 5 {
		start := time.Now()
		out, err := chain.Call1(x, w)
		if err != nil {
			return 0, fmt.Errorf("bench: %w", err)
		}
		out.MaterializeLocal() // waits for it
		fastest = min(fastest, time.Since(start).Seconds())
		_ = out.FinalizeAll() // nothing more is asked of it
	}
	return 2 * float64(rows) * width * width * layers / fastest / 1e9, nil
}

// series has training windows for an epoch's batches at least.
func (s Step) series() *datasets.Series {
	batch := s.Batch
	if s.Unit == train.Pair {
		batch = s.Batch / s.Nodes
	}
	return madeUp(max(2*s.PerDay, 2*(s.History+s.Horizon)+5*batch), s.Nodes, s.PerDay)
}

// madeUp is a wave on a ring of nodes.
func madeUp(steps, nodes, perDay int) *datasets.Series {
	out := &datasets.Series{
		Name: "made up", T: steps, N: nodes, Missing: datasets.NoMissing(), Graph: &datasets.Graph{N: nodes},
		Calendar: datasets.Calendar{Start: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), Step: 24 * time.Hour / time.Duration(perDay)},
		Values:   make([]float32, steps*nodes),
	}
	for n := range nodes {
		out.Nodes = append(out.Nodes, fmt.Sprint(n))
		for _, to := range []int{n, (n + 1) % nodes} {
			out.Graph.Edges = append(out.Graph.Edges, datasets.Edge{From: int32(n), To: int32(to), Weight: 1})
		}
	}
	for i := range out.Values {
		out.Values[i] = float32(50 + 10*math.Sin(float64(i)))
	}
	return out
}
