package bench_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stprune/workbench/stprune/accel"
	"github.com/stprune/workbench/stprune/bench"
	"github.com/stprune/workbench/stprune/train"
)

func TestStepCountsWhatItTimes(t *testing.T) {
	be, err := accel.Open(t.Context(), "go", os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	defer be.Close()
	for _, unit := range []string{train.Window, train.Pair} {
		r, err := bench.Step{Backbone: "stid", Nodes: 3, Batch: 4, Unit: unit, PerDay: 24, Least: 5, For: time.Nanosecond}.Run(t.Context(), be)
		if err != nil {
			t.Fatal(err)
		}
		if r.What != bench.TrainingStep || r.Steps != 5 || r.Fastest > r.Median || r.Median > r.Slowest || r.Fastest <= 0 || r.Compile <= 0 || r.Ready < r.Compile || r.First <= r.Ready || !(r.GFLOPs > 0) || !(r.Plain > 0) {
			t.Errorf("%+v", r)
		}
	}
	for name, s := range map[string]bench.Step{
		"0 nodes":             {Unit: train.Window},
		"a nonesuch":          {Nodes: 3, Batch: 4, Unit: train.Window, What: "nonesuch"},
		"evaluation of pairs": {Nodes: 3, Batch: 4, Unit: train.Pair, What: bench.Evaluation},
	} {
		s.Backbone = "stid"
		if _, err := s.Run(t.Context(), be); err == nil {
			t.Errorf("%s: measured", name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, what := range []string{bench.TrainingStep, bench.Evaluation, bench.Epoch} {
		if _, err := (bench.Step{What: what, Backbone: "stid", Nodes: 3, Batch: 4, Unit: train.Window}).Run(ctx, be); err == nil {
			t.Errorf("a cancelled measurement of %s has a result", what)
		}
	}
}

// An epoch is longer than its training steps, an evaluation shorter than one of them; each is compiled within its first.
func TestStepMeasuresEvaluationsAndEpochs(t *testing.T) {
	be, err := accel.Open(t.Context(), "go", os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	defer be.Close()
	fastest := map[string]time.Duration{}
	for _, what := range []string{bench.TrainingStep, bench.Evaluation, bench.Epoch} {
		r, err := bench.Step{What: what, Backbone: "stid", Nodes: 40, Batch: 16, Unit: train.Window, PerDay: 24, For: time.Nanosecond}.Run(t.Context(), be)
		if err != nil {
			t.Fatal(err)
		}
		least := 10
		if what == bench.Epoch {
			least = 2
		}
		if r.What != what || r.Steps != least || r.First < r.Compile || r.Host < 0 || r.Host > 1 || !(r.GFLOPs > 0) {
			t.Errorf("%+v", r)
		}
		fastest[what] = r.Fastest
	}
	if e, s := fastest[bench.Evaluation], fastest[bench.TrainingStep]; e >= s || fastest[bench.Epoch] <= s {
		t.Errorf("fastest: %v; an evaluation is a part of a step, an epoch three steps and an evaluation", fastest)
	}
}

func ExampleStep() {
	ctx := context.Background()
	be, err := accel.Open(ctx, "go", os.Stderr)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer be.Close()
	r, err := bench.Step{Backbone: "stid", Nodes: 5, Batch: 8, Unit: train.Window, For: time.Millisecond}.Run(ctx, be)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.Parameters, "parameters, at least 10 steps timed:", r.Steps >= 10)
	// Output: 111404 parameters, at least 10 steps timed: true
}
