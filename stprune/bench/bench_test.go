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
		if r.Steps != 5 || r.Fastest > r.Median || r.Median > r.Slowest || r.Fastest <= 0 || r.Compile <= 0 || r.First <= 0 || !(r.GFLOPs > 0) || !(r.Plain > 0) {
			t.Errorf("%+v", r)
		}
	}
	if _, err := (bench.Step{Backbone: "stid", Unit: train.Window}).Run(t.Context(), be); err == nil {
		t.Error("0 nodes were measured")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (bench.Step{Backbone: "stid", Nodes: 3, Batch: 4, Unit: train.Window}).Run(ctx, be); err == nil {
		t.Error("a cancelled measurement has a result")
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
