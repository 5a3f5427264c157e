package backbone

import (
	"context"
	"io"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/stprune/workbench/stprune/accel"
)

// Attention along each axis must equal the formula, written out in loops.
func TestAttention(t *testing.T) {
	const a, b, c, heads, width = 2, 3, 5, 2, 4
	const d = heads * width
	dims := []int{a, b, c, d}
	r := rand.New(rand.NewPCG(1, 2))
	draw := func() []float64 {
		v := make([]float64, a*b*c*d)
		for i := range v {
			v[i] = 3 * r.NormFloat64()
		}
		return v
	}
	q, k, v := draw(), draw(), draw()
	for _, name := range []string{"xla", "go"} {
		be, err := accel.Open(context.Background(), name, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		defer be.Close()
		for axis := range 3 {
			out, err := graph.CallOnce(be.Backend, func(q, k, v *graph.Node) *graph.Node {
				return (&Pass{}).attention(q, k, v, axis, heads, 0.5)
			}, tensors.FromFlatDataAndDimensions(q, dims...), tensors.FromFlatDataAndDimensions(k, dims...), tensors.FromFlatDataAndDimensions(v, dims...))
			if err != nil {
				t.Fatal(err)
			}
			got := tensors.MustCopyFlatData[float64](out)
			at := func(i [3]int, column int) int { return ((i[0]*b+i[1])*c+i[2])*d + column }
			for i := range a * b * c {
				place := [3]int{i / (b * c), i / c % b, i % c}
				for h := range heads {
					weights, sum := make([]float64, dims[axis]), 0.0
					for l := range weights {
						other, dot := place, 0.0
						other[axis] = l
						for w := range width {
							dot += q[at(place, h*width+w)] * k[at(other, h*width+w)]
						}
						weights[l] = math.Exp(dot / math.Sqrt(width))
						sum += weights[l]
					}
					for w := range width {
						want := 0.0
						for l := range weights {
							other := place
							other[axis] = l
							want += weights[l] / sum * v[at(other, h*width+w)]
						}
						if diff := math.Abs(got[at(place, h*width+w)] - want); !(diff < 1e-12) {
							t.Fatalf("%s, axis %d: off by %g at %v, head %d", name, axis, diff, place, h)
						}
					}
				}
			}
		}
	}
}

// Both norms must equal their formulas, gains and biases included.
func TestNorms(t *testing.T) {
	be, err := accel.Open(context.Background(), "go", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer be.Close()
	x := [][]float64{{1, 2, 4, -3}, {1e-3, -1e-3, 2e-3, 0}}
	gain, bias := []float64{1, 2, -1, 0.5}, []float64{0, 1, 2, 3}
	out, err := graph.CallOnceN(be.Backend, func(x, gain, bias *graph.Node) []*graph.Node {
		return []*graph.Node{layerNorm(x, gain, bias), rmsNorm(x, gain, 1e-6)}
	}, x, gain, bias)
	if err != nil {
		t.Fatal(err)
	}
	layer, rms := tensors.MustCopyFlatData[float64](out[0]), tensors.MustCopyFlatData[float64](out[1])
	for i, row := range x {
		mean, variance, square := 0.0, 0.0, 0.0
		for _, v := range row {
			mean += v / 4
			square += v * v / 4
		}
		for _, v := range row {
			variance += (v - mean) * (v - mean) / 4
		}
		for j, v := range row {
			if want := (v-mean)/math.Sqrt(variance+1e-5)*gain[j] + bias[j]; math.Abs(layer[i*4+j]-want) > 1e-12 {
				t.Errorf("layer norm %v; want %v", layer[i*4+j], want)
			}
			if want := v / math.Sqrt(square+1e-6) * gain[j]; math.Abs(rms[i*4+j]-want) > 1e-12 {
				t.Errorf("RMS norm %v; want %v", rms[i*4+j], want)
			}
		}
	}
}
