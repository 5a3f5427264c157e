package optim

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

// The gradient's norm decides the clipping: it must keep six digits on all backends, however many parameters there are.
func TestNormOfManyParameters(t *testing.T) {
	for _, name := range []string{"xla", "go"} {
		be, err := accel.Open(context.Background(), name, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		defer be.Close()
		for _, size := range []int{3, 2048, 2_000_003} {
			r := rand.New(rand.NewPCG(1, 2))
			grad, want := make([]float32, size), 0.0
			for i := range grad {
				grad[i] = float32(r.NormFloat64())
				want += float64(grad[i]) * float64(grad[i])
			}
			want = math.Sqrt(want)
			out, err := graph.CallOnce(be.Backend, func(g *graph.Node) *graph.Node {
				_, norm := Clip(g, 5)
				return norm
			}, grad)
			if err != nil {
				t.Fatal(err)
			}
			if got := float64(tensors.MustCopyFlatData[float32](out)[0]); math.Abs(got/want-1) > 2e-6 {
				t.Errorf("%s: norm of %d values %v; want %v", name, size, got, want)
			}
		}
	}
}
