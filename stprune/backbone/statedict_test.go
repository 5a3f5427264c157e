package backbone_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/stprune/backbone"
)

func ring(n int) *datasets.Graph {
	g := &datasets.Graph{N: n}
	for i := range n {
		g.Edges = append(g.Edges, datasets.Edge{From: int32(i), To: int32((i + 1) % n), Weight: 1})
	}
	return g
}

func arraysOf(dict map[string]backbone.Tensor) map[string]datasets.Array {
	arrays := map[string]datasets.Array{}
	for name, t := range dict {
		arrays[name] = datasets.NewArray(t.Shape, t.Values)
	}
	return arrays
}

// Weights must survive the way through a file, for every backbone.
func TestStateDictRoundTrip(t *testing.T) {
	for _, name := range []string{"stid", "staeformer", "gwnet", "opencity"} {
		b, err := backbone.New(name, backbone.Config{Nodes: 12, History: 12, Horizon: 12, StepsPerDay: 288, Graph: ring(12)})
		if err != nil {
			t.Fatal(err)
		}
		theta := backbone.Init(b, rand.New(rand.NewPCG(1, 2)))
		dict := backbone.StateDict(b, theta)
		for name, tensor := range dict {
			if tensor.Name != name {
				t.Errorf("%s is called %s", name, tensor.Name)
			}
		}
		path := filepath.Join(t.TempDir(), "weights.npz")
		if err := backbone.WriteStateDict(path, b, theta); err != nil {
			t.Fatal(err)
		}
		got, err := backbone.ReadStateDict(path, b)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !slices.Equal(got, theta) {
			t.Errorf("%s: weights changed on the way", name)
		}
	}
}

// Each kind of misfit must be named, with what there is and what there should be.
func TestStateDictMisfits(t *testing.T) {
	b, err := backbone.New("gwnet", backbone.Config{Nodes: 12, History: 12, Horizon: 12, StepsPerDay: 288})
	if err != nil {
		t.Fatal(err)
	}
	theta := backbone.Init(b, rand.New(rand.NewPCG(1, 2)))
	counted := arraysOf(backbone.StateDict(b, theta))
	counted["bn.0.num_batches_tracked"] = datasets.NewArray(nil, []float64{7})
	parallel := map[string]datasets.Array{}
	for name, a := range counted {
		parallel["module."+name] = a
	}
	for _, dict := range []map[string]datasets.Array{counted, parallel} {
		if got, err := backbone.FromStateDict(b, dict); err != nil || !slices.Equal(got, theta) {
			t.Errorf("PyTorch's counter and prefix: %v", err)
		}
	}
	for want, change := range map[string]func(map[string]datasets.Array){
		"1 missing: start_conv.bias": func(d map[string]datasets.Array) { delete(d, "start_conv.bias") },
		"1 unexpected: lstm.weight":  func(d map[string]datasets.Array) { d["lstm.weight"] = datasets.NewArray([]int{1}, []float32{1}) },
		"1 of another shape: start_conv.bias [16] instead of [32]": func(d map[string]datasets.Array) {
			d["start_conv.bias"] = datasets.NewArray([]int{16}, make([]float32, 16))
		},
		" more": func(d map[string]datasets.Array) { clear(d) },
	} {
		dict := arraysOf(backbone.StateDict(b, theta))
		change(dict)
		if _, err := backbone.FromStateDict(b, dict); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want one with %q", err, want)
		}
	}
}

func ExampleFromStateDict() {
	b, err := backbone.New("stid", backbone.Config{Nodes: 170, History: 12, Horizon: 12, StepsPerDay: 288})
	if err != nil {
		fmt.Println(err)
		return
	}
	ofMETRLA := map[string]datasets.Array{"node_emb": datasets.NewArray([]int{207, 32}, make([]float32, 207*32))}
	_, err = backbone.FromStateDict(b, ofMETRLA)
	fmt.Println(err)
	// Output:
	// the state dict is of another model or other options: 18 missing: time_in_day_emb, day_in_week_emb, time_series_emb_layer.weight, time_series_emb_layer.bias, encoder.0.fc1.weight, encoder.0.fc1.bias, encoder.0.fc2.weight, encoder.0.fc2.bias and 10 more
	// 1 of another shape: node_emb [207 32] instead of [170 32]
}
