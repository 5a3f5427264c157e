package train

import (
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/stprune/workbench/stprune/backbone"
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
		return float64(stepBytes(graph.ReduceAllSum(forecast), options["recompute"] == true))
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
