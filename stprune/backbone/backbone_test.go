package backbone

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/stprune/workbench/stprune/accel"
)

// Dropout must drop the given share, scale the rest, differ between calls, steps and keys, and agree on all backends.
func TestDropout(t *testing.T) {
	const n, rate = 1 << 16, 0.15
	masks := map[string][][]float32{}
	for _, name := range []string{"xla", "go"} {
		be, err := accel.Open(context.Background(), name, os.Stderr)
		if err != nil {
			t.Fatal(err)
		}
		defer be.Close()
		draw := func(key ...uint32) [][]float32 {
			out, err := graph.CallOnceN(be.Backend, func(x, key *graph.Node) []*graph.Node {
				p := &Pass{dropout: &dropout{key: key}}
				return []*graph.Node{p.Dropout(x, rate), p.Dropout(x, rate)}
			}, ones(n), key)
			if err != nil {
				t.Fatal(err)
			}
			return [][]float32{tensors.MustCopyFlatData[float32](out[0]), tensors.MustCopyFlatData[float32](out[1])}
		}
		masks[name] = append(append(draw(1, 2), draw(1, 3)...), draw(2, 2)...)
	}
	for i, m := range masks["xla"] {
		dropped := 0
		for j, v := range m {
			switch {
			case v == 0:
				dropped++
			case math.Abs(float64(v)-1/(1-rate)) > 1e-6:
				t.Fatalf("kept value %v; want %v", v, 1/(1-rate))
			}
			if v != masks["go"][i][j] {
				t.Fatalf("mask %d differs between backends at %d", i, j)
			}
		}
		if sigma := math.Sqrt(n * rate * (1 - rate)); math.Abs(float64(dropped)-n*rate) > 4*sigma {
			t.Errorf("mask %d dropped %d of %d; want %v ± %.0f", i, dropped, n, n*rate, 4*sigma)
		}
		for k := range i {
			both := 0
			for j, v := range m {
				if v == 0 && masks["xla"][k][j] == 0 {
					both++
				}
			}
			if sigma := math.Sqrt(n * rate * rate); math.Abs(float64(both)-n*rate*rate) > 4*sigma {
				t.Errorf("masks %d and %d drop %d values both; independent ones would %v ± %.0f", i, k, both, n*rate*rate, 4*sigma)
			}
		}
	}
}

func ones(n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = 1
	}
	return v
}

func TestErrorsNameWhatIsWrong(t *testing.T) {
	good := Config{Nodes: 3, History: 12, Horizon: 12, StepsPerDay: 288}
	for want, change := range map[string]func(*Config, *string){
		"choose one of":             func(_ *Config, name *string) { *name = "informer" },
		"0 nodes":                   func(c *Config, _ *string) { c.Nodes = 0 },
		`option "layer" is unknown`: func(c *Config, _ *string) { c.Options = map[string]any{"layer": 3} },
		"option layers = three":     func(c *Config, _ *string) { c.Options = map[string]any{"layers": "three"} },
		"want a whole number":       func(c *Config, _ *string) { c.Options = map[string]any{"layers": 2.5} },
		"option dropout = 2; want":  func(c *Config, _ *string) { c.Options = map[string]any{"dropout": 2} },
	} {
		c, name := good, "stid"
		change(&c, &name)
		if _, err := New(name, c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want one with %q", err, want)
		}
	}
}

// The initialisers must keep to the reference's bounds and fill them.
func TestInitialValues(t *testing.T) {
	b, err := New("stid", Config{Nodes: 50, History: 12, Horizon: 12, StepsPerDay: 288})
	if err != nil {
		t.Fatal(err)
	}
	theta := Init(b, rand.New(rand.NewPCG(1, 2)))
	bounds := map[string]float64{
		"node_emb": math.Sqrt(6.0 / (50 + 32)), "time_in_day_emb": math.Sqrt(6.0 / (288 + 32)), "day_in_week_emb": math.Sqrt(6.0 / (7 + 32)),
		"time_series_emb_layer.weight": 1.0 / 6, "encoder.0.fc1.weight": 1 / math.Sqrt(128), "regression_layer.weight": 1 / math.Sqrt(128),
	}
	for _, p := range b.Params() {
		values := theta[:p.Size()]
		theta = theta[p.Size():]
		bound, ok := bounds[p.Name]
		if !ok {
			continue
		}
		largest := 0.0
		for _, v := range values {
			largest = max(largest, math.Abs(float64(v)))
		}
		if largest > bound*1.000001 || largest < 0.9*bound {
			t.Errorf("%s: largest initial value %v; want just under %v", p.Name, largest, bound)
		}
	}
}

func ExampleNew() {
	b, err := New("stid", Config{Nodes: 207, History: 12, Horizon: 12, StepsPerDay: 288})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(ParamCount(b), "parameters; trains on single pairs:", b.Traits().PairWise)
	// Output: 117868 parameters; trains on single pairs: true
}
