package train

import (
	"errors"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/stprune/workbench/stprune/backbone"
	"github.com/stprune/workbench/stprune/method"
	"github.com/stprune/workbench/stprune/optim"
)

func TestStepsBeyondTheLimitAreRefused(t *testing.T) {
	be := open(t, "go")
	for limit, refused := range map[int64]bool{0: false, 1 << 40: false, 10_000: true} {
		c := config()
		c.Epochs, c.MemoryLimit = 1, limit
		err := trainer(t, be, c, false, full).Run(t.Context(), Events{})
		if (err != nil) != refused {
			t.Errorf("limit %d: %v", limit, err)
		}
		if refused && err != nil && (!strings.Contains(err.Error(), "would take at least") || !strings.Contains(err.Error(), "train.batch")) {
			t.Errorf("limit %d: the error is %v", limit, err)
		}
	}
	if MachineMemory() < 1<<28 {
		t.Errorf("this machine has %d bytes", MachineMemory())
	}
}

// A step that fits is no use where its evaluation doesn't: it is refused before the first step. Other forward passes are when asked for.
func TestForwardPassesBeyondTheLimitAreRefused(t *testing.T) {
	be := open(t, "go")
	ctx := t.Context()
	for _, stream := range []bool{false, true} {
		c := config()
		c.Epochs, c.Batch, c.EvalBatch, c.MemoryLimit, c.Stream = 1, 1, 64, 1, stream
		c.Optim = optim.Config{Name: "sgd", LR: 0.01} // which keeps little beside the parameters
		step := new(MemoryError)
		if err := trainer(t, be, c, false, full).Run(ctx, Events{}); !errors.As(err, &step) || step.Work != "a training step" {
			t.Fatalf("limit 1: %v", err)
		}
		c.MemoryLimit = step.Need
		tr := trainer(t, be, c, false, full)
		steps := 0
		for name, err := range map[string]error{
			"training": tr.Run(ctx, Events{Step: func(Progress) { steps++ }}),
			"errors": func() error {
				_, err := tr.Errors(ctx, Validation, func(int, int, []float32, []float32) {})
				return err
			}(),
			"forecasts": func() error {
				_, err := tr.Forecasts(ctx, 0, Train, make([]int, 64))
				return err
			}(),
			"measuring": func() error {
				_, err := tr.Measure(ctx, Train, method.Needs{Loss: true})
				return err
			}(),
		} {
			if refused := new(MemoryError); !errors.As(err, &refused) || refused.Need <= step.Need || !strings.Contains(err.Error(), "lower train.eval_batch") {
				t.Errorf("%s: %v", name, err)
			}
		}
		if steps > 0 {
			t.Errorf("%d steps before the evaluation was refused", steps)
		}
		c.EvalBatch = 1
		if err := trainer(t, be, c, false, full).Run(ctx, Events{}); err != nil {
			t.Errorf("evaluation of one window: %v", err)
		}
	}

	c := config()
	c.Unit, c.MemoryLimit = Pair, 1
	if _, err := trainer(t, be, c, false, full).Measure(ctx, Train, method.Needs{Loss: true}); err == nil || !strings.Contains(err.Error(), "lower train.batch") {
		t.Errorf("measuring pairs: %v", err)
	}
}

// What is kept must be linear in the nodes, unless all scores of attention are; recomputing must keep a part of it.
func TestEstimateOfAttention(t *testing.T) {
	be := open(t, "xla")
	estimate := func(nodes int, options map[string]any) float64 {
		model, err := backbone.New("staeformer", backbone.Config{Nodes: nodes, History: 12, Horizon: 12, StepsPerDay: 288, Options: options})
		if err != nil {
			t.Fatal(err)
		}
		g := graph.NewGraph(be, "estimate")
		input := func(name string, dtype dtypes.DType, dims ...int) *node {
			return graph.Parameter(g, name, shapes.Make(dtype, dims...))
		}
		const batch, steps = 4, 12
		pass, _ := backbone.NewPass(model, input("theta", dtypes.Float32, backbone.ParamCount(model)), nil, input("key", dtypes.Uint32, 2))
		forecast := model.Forward(pass, backbone.Input{
			Value: input("value", dtypes.Float32, batch, steps, nodes),
			Tod:   input("tod", dtypes.Float32, batch, steps), Dow: input("dow", dtypes.Float32, batch, steps),
			TodIndex: input("slot", dtypes.Int32, batch, steps), DowIndex: input("day", dtypes.Int32, batch, steps),
		})
		kept, held := stepBytes(graph.ReduceAllSum(forecast), options["recompute"] == true), passBytes(g)
		if held <= 0 || held > kept {
			t.Errorf("%d nodes, %v: a forward pass holds %d bytes, the step %d", nodes, options, held, kept)
		}
		return float64(kept)
	}
	const nodes = 500
	kept := estimate(nodes, nil)
	if ratio := estimate(2*nodes, nil) / kept; ratio > 2.1 {
		t.Errorf("twice the nodes take %v times the memory; want about twice", ratio)
	}
	whole := map[string]any{"attention": "whole"}
	if ratio := estimate(2*nodes, whole) / estimate(nodes, whole); ratio < 2.5 {
		t.Errorf("with all scores kept, twice the nodes take %v times the memory; want more than twice", ratio)
	}
	if share := estimate(nodes, map[string]any{"recompute": true}) / kept; share < 0.1 || share > 0.5 {
		t.Errorf("recomputing takes %v of the memory; want a part", share)
	}
}
