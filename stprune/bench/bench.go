// Package bench measures how fast training steps are.
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

// Step says what to measure: whole training steps (gather, forward, backward, clipping, Adam, statistics) on made-up values.
type Step struct {
	Backbone string
	Options  map[string]any // of the backbone
	Nodes    int            // N; the graph is a ring
	Batch    int            // units
	Unit     string         // [train.Window] or [train.Pair]
	History  int            // T; default 12
	Horizon  int            // Q; default 12
	PerDay   int            // steps of a day; default 288
	Least    int            // steps measured at least; default 10
	For      time.Duration  // and as long as this; default 5 s
	Began    time.Time      // of the process, to measure from it to the end of the first step; default: when Run is called
}

// Report is what was measured.
type Report struct {
	Backend    string        `json:"backend"`
	Backbone   string        `json:"backbone"`
	Nodes      int           `json:"nodes"`
	Batch      int           `json:"batch"`
	Unit       string        `json:"unit"`
	Parameters int           `json:"parameters"`
	Compile    time.Duration `json:"compile_ns"`    // of the step's first call
	First      time.Duration `json:"first_step_ns"` // from Began to the end of the first step
	Steps      int           `json:"steps"`
	Median     time.Duration `json:"median_ns"` // from the end of a step to the end of the next, the host's work included
	Fastest    time.Duration `json:"fastest_ns"`
	Slowest    time.Duration `json:"slowest_ns"`
	Host       float64       `json:"host_share"` // of the steps' time, in which the backend did not compute
	// GFLOPs counts the forward matrix products of the backbone three times (backward takes twice as much) and nothing else,
	// at the median; 0 when the backbone doesn't say how many there are.
	GFLOPs float64 `json:"gflop_per_s"`
	// Plain is what the backend reaches in products of [16384,128] with [128,128] and nothing else (Go: of [512,128]), the best of some before and after
	// the steps: what GFLOPs can be compared with on a machine whose speed varies.
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
	def(&s.Least, 10)
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
	if s.Unit == train.Window { // whole batches only
		windows.Train = windows.Train[:len(windows.Train)/s.Batch*s.Batch]
	}
	c := train.Config{
		Backbone: s.Backbone, Options: s.Options, Optim: optim.Default(), Unit: s.Unit,
		Epochs: 1 << 20, Batch: s.Batch, EvalBatch: s.Batch, ValidateEvery: math.MaxInt32, Seed: 1,
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

	before, err := plainProduct(be)
	if err != nil {
		return Report{}, err
	}
	stop, cancel := context.WithCancel(ctx)
	defer cancel()
	var times []time.Duration
	var first, computing, all time.Duration
	var begin, last time.Time
	err = trainer.Run(stop, train.Events{Step: func(p train.Progress) {
		now := time.Now()
		if begin.IsZero() { // the first step compiled, the second warms up
			begin, first = now, now.Sub(s.Began)
		} else if !last.IsZero() {
			times = append(times, now.Sub(last))
			computing, all = computing+p.Computing, all+now.Sub(last)
		}
		if len(times) == 0 {
			begin = now
		}
		last = now
		if len(times) >= s.Least && now.Sub(begin) >= s.For {
			cancel()
		}
	}})
	if err != nil && (ctx.Err() != nil || !errors.Is(err, context.Canceled)) {
		return Report{}, err
	}
	r := Report{
		Backend: be.Kind, Backbone: s.Backbone, Nodes: s.Nodes, Batch: s.Batch, Unit: s.Unit, Parameters: trainer.Parameters(),
		First: first, Steps: len(times), Fastest: slices.Min(times), Slowest: slices.Max(times),
		Host: 1 - computing.Seconds()/all.Seconds(),
	}
	for _, d := range trainer.Compiled() {
		r.Compile += d
	}
	slices.Sort(times)
	r.Median = times[len(times)/2]
	perUnit := trainer.Products()
	r.GFLOPs = 3 * 2 * perUnit * float64(s.Batch) / r.Median.Seconds() / 1e9
	after, err := plainProduct(be)
	r.Plain, r.PeakMemory = max(before, after), run.PeakMemory()
	return r, err
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

// series has enough windows for a few batches.
func (s Step) series() *datasets.Series {
	steps := max(2*s.PerDay, 2*(s.Batch+s.History+s.Horizon))
	if s.Unit == train.Pair {
		steps = max(2*s.PerDay, 2*(s.Batch/s.Nodes+s.History+s.Horizon))
	}
	return madeUp(steps, s.Nodes, s.PerDay)
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
