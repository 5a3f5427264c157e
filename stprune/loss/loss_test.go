package loss

import (
	"math"
	"os"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/stprune"
	"github.com/stprune/workbench/stprune/accel"
)

// One window of 2 horizons × 3 nodes, forecast in raw units; the target 0 is missing. Its errors are
//
//	 1  −2   4
//	−1   ·   2
var (
	forecast = [][][]float32{{{11, 8, 14}, {9, 7, 12}}, {{5, 5, 5}, {5, 5, 5}}}
	target   = [][][]float32{{{10, 10, 10}, {10, 0, 10}}, {{0, 0, 0}, {0, 0, 0}}}
)

// onBoth runs a graph over forecast and target on both backends.
func onBoth(t *testing.T, build func(forecast, target, mask *node) []*node, check func(out [][]float32)) {
	t.Helper()
	for _, name := range []string{"go", "xla"} {
		be, err := accel.Open(t.Context(), name, os.Stderr)
		if err != nil {
			t.Fatal(err)
		}
		out, err := graph.CallOnceN(be.Backend, func(f, y *node) []*node {
			return build(f, y, graph.ConvertDType(graph.NotEqual(y, graph.ZerosLike(y)), y.DType()))
		}, forecast, target)
		if err != nil {
			t.Fatal(err)
		}
		var values [][]float32
		for _, o := range out {
			values = append(values, tensors.MustCopyFlatData[float32](o))
		}
		check(values)
		if err := be.Close(); err != nil {
			t.Error(err)
		}
	}
}

func near(a float32, b float64) bool { return math.Abs(float64(a)-b) <= 1e-6*math.Max(1, math.Abs(b)) }

func TestLoss(t *testing.T) {
	for _, c := range []struct {
		name    string
		r       Reduction
		weights []float32
		want    float64
	}{
		{"pooled", Reduction{}, []float32{1, 1}, 10.0 / 5},
		{"pooled, weight without effect", Reduction{}, []float32{3, 1}, 10.0 / 5},
		{"by sample: the second has no measured target", Reduction{BySample: true}, []float32{2, 5}, 2},
		{"weights not divided out", Reduction{PerBatch: true}, []float32{3, 1}, 30.0 / 5},
		{"nothing but padding", Reduction{}, []float32{0, 0}, 0},
		// ½·1 + (2−½) + (4−½) + ½·1 + (2−½)
		{"Huber", Reduction{Huber: 1}, []float32{1, 0}, 7.5 / 5},
		{"wide Huber is half the square", Reduction{Huber: 100}, []float32{1, 0}, (1 + 4 + 16 + 1 + 4) / 2.0 / 5},
		{"unmasked", Reduction{Unmasked: true}, []float32{1, 0}, 17.0 / 6},
		{"unmasked Huber", Reduction{Huber: 1, Unmasked: true}, []float32{1, 0}, (7.5 + 6.5) / 6},
	} {
		onBoth(t, func(f, y, mask *node) []*node {
			e := New(f, y, mask, datasets.Scaler{Mean: 50, Std: 2}, true)
			return []*node{c.r.Loss(e, graph.Const(f.Graph(), c.weights))}
		}, func(out [][]float32) {
			if !near(out[0][0], c.want) {
				t.Errorf("%s: %v, want %v", c.name, out[0][0], c.want)
			}
		})
	}
}

func TestScaledForecast(t *testing.T) {
	onBoth(t, func(f, y, mask *node) []*node {
		z := graph.DivScalar(graph.AddScalar(f, -10), 2)
		return []*node{New(z, y, mask, datasets.Scaler{Mean: 10, Std: 2}, false).Level()}
	}, func(out [][]float32) {
		if !near(out[0][0], 2) || out[0][1] != 0 {
			t.Errorf("levels %v, want 2 and, without measured targets, 0", out[0])
		}
	})
}

func TestStats(t *testing.T) {
	// A path 0 – 1 – 2 of weights 1: L has ones on its diagonal and −1/√2 beside it.
	g := &datasets.Graph{N: 3, Edges: []datasets.Edge{{From: 0, To: 1, Weight: 1}, {From: 1, To: 0, Weight: 1}, {From: 1, To: 2, Weight: 1}, {From: 2, To: 1, Weight: 1}}}
	const std = 2
	nodes, horizons := []float64{1, 2, 3}, []float64{7.0 / 3, 1.5}
	deviation := func(v []float64) float64 {
		mean, square := 0.0, 0.0
		for _, x := range v {
			mean += x / float64(len(v))
		}
		for _, x := range v {
			square += (x - mean) * (x - mean) / float64(len(v))
		}
		return math.Sqrt(square)
	}
	quadratic := 1 + 4 + 9 - 2*(1*2+2*3)/math.Sqrt2
	want := []float64{
		stprune.Level: 2, stprune.Spatial: deviation(nodes), stprune.Temporal: deviation(horizons), stprune.Rough: math.Sqrt(quadratic / 3),
		// mean signs +1/3 and 0 over the nodes
		stprune.Coherence: std * math.Sqrt((1.0/9+0)/2),
	}
	onBoth(t, func(f, y, mask *node) []*node {
		e := New(f, y, mask, datasets.Scaler{Std: std}, true)
		laplacian := graph.ConvertDType(graph.Const(f.Graph(), tensors.FromFlatDataAndDimensions(g.NormalisedLaplacian(), 3, 3)), f.DType())
		return []*node{e.Stats(laplacian), e.Stats(nil)}
	}, func(out [][]float32) {
		for i, w := range want {
			if !near(out[0][i], w/std) {
				t.Errorf("statistic %d is %v, want %v", i, out[0][i], w/std)
			}
			if i != stprune.Rough && out[1][i] != out[0][i] || i == stprune.Rough && out[1][i] != 0 {
				t.Errorf("without a graph statistic %d is %v", i, out[1][i])
			}
			if second := out[0][stprune.NumStats+i]; second != 0 {
				t.Errorf("statistic %d of a window without measured targets is %v", i, second)
			}
		}
	})
}

func TestMetrics(t *testing.T) {
	onBoth(t, func(f, y, mask *node) []*node {
		return []*node{New(f, y, mask, datasets.Scaler{}, true).Sums(graph.Const(f.Graph(), []float32{1, 0}))}
	}, func(out [][]float32) {
		var sums []float64
		for _, v := range out[0] {
			sums = append(sums, float64(v))
		}
		m, err := NewMetrics(sums)
		if err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string][2]float64{
			"MAE 1": {m.MAE[0], 7.0 / 3}, "MAE 2": {m.MAE[1], 1.5}, "RMSE 1": {m.RMSE[0], math.Sqrt(7)}, "MAPE 2": {m.MAPE[1], 0.15},
			"mean MAE": {m.Mean.MAE, (7.0/3 + 1.5) / 2}, "pooled MAE": {m.Pooled.MAE, 2}, "pooled RMSE": {m.Pooled.RMSE, math.Sqrt(26.0 / 5)},
		} {
			if !near(float32(c[0]), c[1]) {
				t.Errorf("%s is %v, want %v", name, c[0], c[1])
			}
		}
		if _, err := m.At(3); err == nil || !strings.Contains(err.Error(), "1 to 2") {
			t.Errorf("horizon 3 of 2: error %v", err)
		}
	})
	if _, err := NewMetrics(make([]float64, 2*NumSums)); err == nil {
		t.Error("metrics of nothing were made")
	}
}
