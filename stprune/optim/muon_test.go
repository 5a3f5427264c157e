package optim

import (
	"math"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/mat"

	"github.com/stprune/workbench/datasets"
)

// bfloat16 rounds to the nearest value with 8 significant bits, halves to even.
func bfloat16(x float64) float64 {
	bits := math.Float32bits(float32(x))
	bits += 0x7fff + bits>>16&1
	return float64(math.Float32frombits(bits &^ 0xffff))
}

// newtonSchulz16 is the iteration as torch computes it with bfloat16 arrays: every result is rounded.
func newtonSchulz16(m *mat.Dense) *mat.Dense {
	round := func(_, _ int, v float64) float64 { return bfloat16(v) }
	each := func(x mat.Matrix, f func(v float64) float64) *mat.Dense {
		var y mat.Dense
		y.Apply(func(_, _ int, v float64) float64 { return bfloat16(f(v)) }, x)
		return &y
	}
	scaled := func(x mat.Matrix, by float32) *mat.Dense {
		return each(x, func(v float64) float64 { return v * float64(by) })
	}
	product := func(a, b mat.Matrix) *mat.Dense {
		var y mat.Dense
		y.Mul(a, b)
		y.Apply(round, &y)
		return &y
	}
	sum := func(a, b mat.Matrix) *mat.Dense {
		var y mat.Dense
		y.Add(a, b)
		y.Apply(round, &y)
		return &y
	}
	x := each(m, func(v float64) float64 { return v })
	tall := m.RawMatrix().Rows > m.RawMatrix().Cols
	if tall {
		x = mat.DenseCopyOf(x.T())
	}
	norm := bfloat16(bfloat16(mat.Norm(x, 2)) + 1e-7)
	x = each(x, func(v float64) float64 { return v / norm })
	for range 5 {
		xx := product(x, x.T())
		poly := sum(scaled(xx, -4.7750), product(scaled(xx, 2.0315), xx))
		x = sum(scaled(x, 3.4445), product(poly, x))
	}
	if tall {
		x = mat.DenseCopyOf(x.T())
	}
	return x
}

// Newton–Schulz in bfloat16 must have the reference's bits on the Go backend. XLA may keep more digits, so there it must come as
// near to the exact result as the reference, and not as near as float32.
func TestNewtonSchulzInBFloat16(t *testing.T) {
	arrays, err := datasets.ReadNPZ("../parity/testdata/muon_ns.npz")
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"wide", "square", "tall"} {
		in := arrays["in."+id]
		rows, cols := in.Shape[0], in.Shape[1]
		values := make([]float32, rows*cols)
		for i, v := range in.Float64s() {
			values[i] = float32(v)
		}
		emulated := newtonSchulz16(mat.NewDense(rows, cols, in.Float64s())).RawMatrix().Data
		exact := arrays["out64."+id].Float64s()
		if far, _ := distance(emulated, arrays["outbf16."+id].Float64s()); far != 0 {
			t.Errorf("%s: the emulation differs from the reference by %v", id, far)
		}
		_, typical := distance(emulated, exact)
		for _, name := range backends {
			out, err := graph.CallOnce(open(t, name), func(x *graph.Node) *graph.Node {
				return graph.ConvertDType(NewtonSchulz(graph.ConvertDType(x, dtypes.BFloat16)), dtypes.Float64)
			}, tensors.FromFlatDataAndDimensions(values, rows, cols))
			if err != nil {
				t.Fatal(err)
			}
			got := tensors.MustCopyFlatData[float64](out)
			if far, _ := distance(got, emulated); name == "go" && far != 0 {
				t.Errorf("%s on %s differs from the reference by %v", id, name, far)
			}
			if _, mean := distance(got, exact); mean > 1.5*typical || mean < typical/10 {
				t.Errorf("%s on %s is %v from the exact result in the mean, the reference %v", id, name, mean, typical)
			}
			// The exact iteration takes singular values above 0.001 of the norm, which these all are, to 0.47 … 1.20.
			var svd mat.SVD
			if !svd.Factorize(mat.NewDense(rows, cols, got), mat.SVDNone) {
				t.Fatal("no singular values")
			}
			for _, s := range svd.Values(nil) {
				if s < 0.47-0.05 || s > 1.20+0.05 {
					t.Errorf("%s on %s: singular value %v", id, name, s)
				}
			}
		}
	}
}

// distance is the largest difference, and the root of the mean square.
func distance(a, b []float64) (largest, mean float64) {
	for i, v := range a {
		largest = max(largest, math.Abs(v-b[i]))
		mean += (v - b[i]) * (v - b[i])
	}
	return largest, math.Sqrt(mean / float64(len(a)))
}

// The option reaches the step, and no other optimiser's.
func TestNSDTypeIsMuonsAlone(t *testing.T) {
	part := []Part{{Shape: []int{3, 4}, Hidden: true}}
	theta, gradient := make([]float64, 12), []float64{3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8}
	for name := range rules() {
		c := Default()
		c.Name = name
		be := open(t, "go")
		whole, _ := steps(t, be, c, theta, part, gradient)
		c.NSDType = BFloat16
		half, _ := steps(t, be, c, theta, part, gradient)
		far, _ := distance(whole[0], half[0])
		if (far > 0) != (name == "muon") || far > 0.05*c.LR {
			t.Errorf("%s: bfloat16 changes a step by %v at rate %v", name, far, c.LR)
		}
	}
}
