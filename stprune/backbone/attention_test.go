package backbone

import (
	"context"
	"io"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
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

// Attention in chunks of any size must equal attention over all, and so must its gradients, of each loss that asks for them.
func TestSelfAttention(t *testing.T) {
	const groups, length, others, heads, width = 6, 5, 3, 2, 4
	const d, scores = heads * width, others * heads * length * length * 8 // bytes of a group
	for _, name := range []string{"xla", "go"} {
		be, err := accel.Open(context.Background(), name, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		defer be.Close()
		run := func(attend func(qkv, bias *graph.Node) *graph.Node) [][]float64 {
			out, err := graph.CallOnceN(be.Backend, func(in []*graph.Node) []*graph.Node {
				y := attend(in[0], in[1])
				out := []*graph.Node{y}
				for _, w := range in[2:] {
					out = append(out, graph.Gradient(graph.ReduceAllSum(graph.Mul(y, w)), in[0], in[1])...)
				}
				return out
			}, normals([]int{groups, length, others, 3 * d}, []int{3 * d}, []int{groups, length, others, d}, []int{groups, length, others, d})...)
			if err != nil {
				t.Fatal(err)
			}
			var values [][]float64
			for _, x := range out {
				values = append(values, tensors.MustCopyFlatData[float64](x))
			}
			return values
		}
		third := func(x *graph.Node, i int) *graph.Node {
			return graph.Slice(x, graph.AxisRange().Spacer(), graph.AxisRange(i*d, (i+1)*d))
		}
		want := run(func(qkv, bias *graph.Node) *graph.Node {
			qkv = graph.Add(qkv, overLast(bias, qkv))
			q := graph.MulScalar(third(qkv, 0), math.Sqrt(width)) // which attention divides by
			return (&Pass{}).attention(q, third(qkv, 1), third(qkv, 2), 1, heads, 0)
		})
		for chunk, bytes := range map[int]int{1: 0, 2: 2 * scores, 3: 5 * scores, 6: 6 * scores} {
			got := run(func(qkv, bias *graph.Node) *graph.Node {
				return selfAttention(qkv, bias, heads, bytes)
			})
			for i := range want {
				for k := range want[i] {
					if diff := math.Abs(got[i][k] - want[i][k]); !(diff < 1e-11) {
						t.Fatalf("%s, chunks of %d: value %d of result %d is off by %g", name, chunk, k, i, diff)
					}
				}
			}
		}
	}
}

// Scores must not overflow, however large: neither all of them nor one far above the others.
func TestSelfAttentionOfLargeScores(t *testing.T) {
	for _, name := range []string{"xla", "go"} {
		be, err := accel.Open(context.Background(), name, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		defer be.Close()
		// Two groups, so that there is a loop; a query is 30 everywhere. Scores of the first 3000, 3030 and 3000, of the second 0, -90
		// and 900.
		qkv := [][][][]float32{{{{30, 100, 1}}, {{30, 101, 2}}, {{30, 100, 3}}}, {{{30, 0, 1}}, {{30, -3, 2}}, {{30, 30, 3}}}}
		out, err := graph.CallOnceN(be.Backend, func(qkv *graph.Node) []*graph.Node {
			y := selfAttention(qkv, graph.Const(qkv.Graph(), []float32{0, 0, 0}), 1, 0)
			return []*graph.Node{y, graph.Gradient(graph.ReduceAllSum(y), qkv)[0]}
		}, qkv)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range tensors.MustCopyFlatData[float32](out[0]) {
			if want := float32(2 + i/3); v != want { // all other tokens weigh less than e⁻²⁹
				t.Errorf("%s: token %d attends to %v; want %v", name, i, v, want)
			}
		}
		for i, d := range tensors.MustCopyFlatData[float32](out[1]) {
			// Three queries attend to the value of one token; nothing else matters.
			want := 0.0
			if i == 1*3+2 || i == 5*3+2 {
				want = 3
			}
			if !(math.Abs(float64(d)-want) < 1e-9) {
				t.Errorf("%s: gradient %d is %v; want %v", name, i, d, want)
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

// Layer norm's own gradient must be that of its formula.
func TestLayerNormGradient(t *testing.T) {
	for _, name := range []string{"xla", "go"} {
		be, err := accel.Open(context.Background(), name, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		defer be.Close()
		out, err := graph.CallOnceN(be.Backend, func(in []*graph.Node) []*graph.Node {
			x, gain, bias, weight := in[0], in[1], in[2], in[3]
			centred := graph.Sub(x, graph.ReduceAndKeep(x, graph.ReduceMean, -1))
			variance := graph.ReduceAndKeep(graph.Square(centred), graph.ReduceMean, -1)
			formula := graph.Div(centred, graph.Sqrt(graph.AddScalar(variance, 1e-5)))
			formula = graph.Add(graph.Mul(formula, overLast(gain, x)), overLast(bias, x))
			var gradients [2][]*graph.Node
			for i, y := range []*graph.Node{formula, layerNorm(x, gain, bias)} {
				gradients[i] = graph.Gradient(graph.ReduceAllSum(graph.Mul(y, weight)), x, gain, bias)
			}
			return append(gradients[0], gradients[1]...)
		}, normals([]int{3, 4, 5}, []int{5}, []int{5}, []int{3, 4, 5})...)
		if err != nil {
			t.Fatal(err)
		}
		for i, of := range []string{"x", "gain", "bias"} {
			want, got := tensors.MustCopyFlatData[float64](out[i]), tensors.MustCopyFlatData[float64](out[3+i])
			for k := range want {
				if diff := math.Abs(got[k] - want[k]); !(diff < 1e-12) {
					t.Fatalf("%s: the gradient of %s is off by %g at %d", name, of, diff, k)
				}
			}
		}
	}
}

// normals are the same arrays of random values at each call.
func normals(dims ...[]int) (all []any) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, d := range dims {
		v := make([]float64, shapes.Make(dtypes.Float64, d...).Size())
		for i := range v {
			v[i] = 2 * r.NormFloat64()
		}
		all = append(all, tensors.FromFlatDataAndDimensions(v, d...))
	}
	return all
}
