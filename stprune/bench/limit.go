package bench

import (
	"context"
	"fmt"
	"math"
	"os"
	"strconv"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/stprune/accel"
	"github.com/stprune/workbench/stprune/run"
)

// Limit says where to look for the limit below which pruning stops paying: whole runs of STID, on all data and pruned, with everything
// counted that a run does (choosing, validation, saving) except for compiling.
type Limit struct {
	Width         int     // of each of STID's four identities; 5 makes about 5 thousand parameters, 100 a million
	Windows       int     // training windows; a fifth each are added for validation and test
	Nodes         int     // default 20
	Method        string  // default "st-prune"
	Rho           float64 // default 0.1, in every epoch
	Unit          string  // default "window"
	Epochs        int     // default 3
	ValidateEvery int     // default 0, as a run's
}

// Paid is what was measured.
type Paid struct {
	Parameters int         `json:"parameters"`
	Windows    int         `json:"windows"`
	Full       run.Seconds `json:"full"`
	Pruned     run.Seconds `json:"pruned"`
	Fewer      float64     `json:"fewer"`    // times fewer visits
	Faster     float64     `json:"faster"`   // times fewer seconds
	Overhead   float64     `json:"overhead"` // share of choosing in the seconds of the pruned run
}

// Verdict is "pays" where at least half of the visits saved are saved in seconds, "pays in part" where a tenth of the seconds are
// saved, else "does not pay".
func (p Paid) Verdict() string {
	switch {
	case p.Faster >= p.Fewer/2:
		return "pays"
	case p.Faster >= 1.1:
		return "pays in part"
	}
	return "does not pay"
}

// Run trains both runs in a folder that it removes.
func (l Limit) Run(ctx context.Context, be *accel.Backend) (p Paid, err error) {
	number := func(v *int, value int) {
		if *v == 0 {
			*v = value
		}
	}
	number(&l.Nodes, 20)
	number(&l.Epochs, 3)
	if l.Method == "" {
		l.Method = "st-prune"
	}
	if l.Unit == "" {
		l.Unit = "window"
	}
	if l.Rho == 0 {
		l.Rho = 0.1
	}
	if l.Width < 1 || l.Windows < 1 || l.Nodes < 1 {
		return Paid{}, fmt.Errorf("bench: width %d, %d windows, %d nodes; each must be at least 1", l.Width, l.Windows, l.Nodes)
	}
	dir, err := os.MkdirTemp("", "stprune-limit-")
	if err != nil {
		return Paid{}, fmt.Errorf("bench: %w", err)
	}
	defer func() {
		if e := os.RemoveAll(dir); err == nil && e != nil {
			err = fmt.Errorf("bench: %w", e)
		}
	}()
	series := madeUp(int(math.Ceil(float64(l.Windows)/0.6))+23, l.Nodes, 288) // split 6:2:2, 12 steps in and 12 out
	o := run.Options{
		Store:   run.NewStore(dir),
		Series:  func(context.Context, string) (*datasets.Series, error) { return series, nil },
		Backend: func(context.Context, string) (*accel.Backend, error) { return be, nil },
	}
	train := func(settings ...string) (*run.Result, error) {
		spec := run.DefaultSpec()
		if err := spec.Set(append([]string{
			"data.name=made-up", "train.epochs=" + strconv.Itoa(l.Epochs), "train.validate_every=" + strconv.Itoa(l.ValidateEvery),
			"train.unit=" + l.Unit, "train.eval_batch=256",
			fmt.Sprintf("model.options={embed_dim=%d,node_dim=%[1]d,tod_dim=%[1]d,dow_dim=%[1]d}", l.Width),
		}, settings...)...); err != nil {
			return nil, err
		}
		if l.Unit == "pair" { // as much work in a step as with windows
			spec.Train.Batch *= l.Nodes
		}
		r, err := run.Do(ctx, spec, o)
		if err != nil {
			return nil, err
		}
		return r.Result()
	}
	full, err := train()
	if err != nil {
		return Paid{}, err
	}
	pruned, err := train("prune.method="+l.Method, fmt.Sprint("prune.rho=", l.Rho), "prune.warm_up=0", "prune.delta=1")
	if err != nil {
		return Paid{}, err
	}
	seconds := func(r *run.Result) float64 { return r.Seconds.Total - r.Seconds.Compile }
	return Paid{
		Parameters: full.Parameters, Windows: l.Windows, Full: full.Seconds, Pruned: pruned.Seconds,
		Fewer: float64(full.Visits) / float64(pruned.Visits), Faster: seconds(full) / seconds(pruned),
		Overhead: (pruned.Seconds.Selection + pruned.Seconds.Scoring) / seconds(pruned),
	}, nil
}
