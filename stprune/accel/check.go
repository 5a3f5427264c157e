package accel

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// Check multiplies two float32 matrices [64,48]·[48,32] on the backend and compares with the host. An error says how far off the
// product is; TensorFloat-32 fails it.
func Check(ctx context.Context, b *Backend) (err error) {
	defer recovered("checking the backend", &err)
	if err := ctx.Err(); err != nil {
		return err
	}
	if b.IsFinalized() {
		return errors.New("the backend is closed")
	}
	const m, k, n = 64, 48, 32
	left, right := make([]float32, m*k), make([]float32, k*n)
	for i := range left {
		left[i] = float32(math.Sin(float64(i)))
	}
	for i := range right {
		right[i] = float32(math.Cos(float64(3 * i)))
	}
	product, err := graph.NewExec(b.Backend, func(x, y *graph.Node) *graph.Node { return graph.MatMul(x, y) })
	if err != nil {
		return fmt.Errorf("building a matrix product on %s: %w", b.Config, err)
	}
	defer product.Finalize()
	out, err := product.Call(tensors.FromFlatDataAndDimensions(left, m, k), tensors.FromFlatDataAndDimensions(right, k, n))
	if err != nil {
		return fmt.Errorf("multiplying matrices on %s: %w", b.Config, err)
	}
	got, err := tensors.CopyFlatData[float32](out[0])
	if err != nil {
		return fmt.Errorf("fetching a product from %s: %w", b.Config, err)
	}
	if len(got) != m*n {
		return fmt.Errorf("product on %s has %d elements, want %d", b.Config, len(got), m*n)
	}
	var worst float64
	for i := range m {
		for j := range n {
			var want float64
			for l := range k {
				want += float64(left[i*k+l]) * float64(right[l*n+j])
			}
			if difference := math.Abs(float64(got[i*n+j]) - want); !(difference <= worst) {
				worst = difference
			}
		}
	}
	const tolerance = 2e-5 // 48 terms below 1 in float32; TensorFloat-32 is off by about 1e-2
	if !(worst <= tolerance) {
		return fmt.Errorf("product on %s differs from the host's by %g, at most %g expected", b.Config, worst, tolerance)
	}
	return nil
}
