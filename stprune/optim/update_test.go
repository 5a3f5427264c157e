package optim

import (
	"context"
	"io"
	"math"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/stprune/workbench/stprune/accel"
)

// backends are the two that every result must hold on.
var backends = []string{"xla", "go"}

func open(t *testing.T, name string) compute.Backend {
	t.Helper()
	be, err := accel.Open(context.Background(), name, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { be.Close() })
	return be.Backend
}

// steps takes one step for each gradient and returns theta and the slots after every one.
func steps(t *testing.T, be compute.Backend, c Config, theta []float64, parts []Part, gradients ...[]float64) (after [][]float64, slots [][][]float64) {
	t.Helper()
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	exec, err := graph.NewExec(be, func(in []*graph.Node) []*graph.Node {
		theta, slots, _ := c.Update(in[0], in[1], in[3:], in[2], parts)
		return append([]*graph.Node{theta}, slots...)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer exec.Finalize()
	state := []any{theta}
	for range c.Slots() {
		state = append(state, make([]float64, len(theta)))
	}
	for i, g := range gradients {
		hyper := c.Hyper(c.LR, i+1)
		out, err := exec.Call(append([]any{state[0], g, hyper[:]}, state[1:]...)...)
		if err != nil {
			t.Fatal(err)
		}
		var now [][]float64
		for i, x := range out {
			state[i] = x
			now = append(now, tensors.MustCopyFlatData[float64](x))
		}
		after, slots = append(after, now[0]), append(slots, now[1:])
	}
	return after, slots
}

// Two steps of torch.optim.RMSprop by hand, α = 0.75, eps = 0.5, on θ = 1 with gradients 2 and −1.
func TestRMSProp(t *testing.T) {
	for _, c := range []struct {
		name            string
		momentum, decay float64
		want            [2]float64
	}{
		// v = ¼·4 = 1, move = 2/1.5; v = ¾ + ¼ = 1, move = −1/1.5.
		{"plain", 0, 0, [2]float64{1 - 0.1*2/1.5, 1 - 0.1*2/1.5 + 0.1/1.5}},
		// The second move is ½·2/1.5 − 1/1.5 = 0.
		{"momentum", 0.5, 0, [2]float64{1 - 0.1*2/1.5, 1 - 0.1*2/1.5}},
		// g = 2 + 2·1 = 4: v = 4, move = 4/2.5, θ = 0.84; g = −1 + 2·0.84 = 0.68: v = 3 + 0.1156.
		{"weight decay", 0, 2, [2]float64{0.84, 0.84 - 0.1*0.68/(math.Sqrt(3.1156)+0.5)}},
	} {
		for _, name := range backends {
			o := Config{Name: "rmsprop", LR: 0.1, Alpha: 0.75, Eps: 0.5, Momentum: c.momentum, WeightDecay: c.decay}
			after, _ := steps(t, open(t, name), o, []float64{1}, []Part{{Shape: []int{1}}}, []float64{2}, []float64{-1})
			for i, want := range c.want {
				if got := after[i][0]; math.Abs(got-want) > 1e-14 {
					t.Errorf("%s on %s: θ = %v after step %d; want %v", c.name, name, got, i+1, want)
				}
			}
		}
	}
}

// Parameters without a gradient stay as they are under every optimiser, weight decay and momentum or not, and so does their
// state; only Muon's reference takes a missing gradient for 0. Frozen ones stay even with a gradient.
func TestWithoutGradientNothingMoves(t *testing.T) {
	parts := []Part{
		{Shape: []int{2, 2}, Hidden: true}, {Shape: []int{2, 2}, Hidden: true, Unused: true}, {Shape: []int{2}, Unused: true},
		{Shape: []int{2, 2}, Hidden: true, Frozen: true}, {Shape: []int{2}},
	}
	theta := []float64{1, -2, 3, -4, 5, -6, 7, -8, 9, -10, 11, -12, 13, -14, 15, -16}
	used := []float64{0.5, 0.25, -1, 2, 0, 0, 0, 0, 0, 0, 3, 3, 3, 3, -0.5, 1}
	later := []float64{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	for name := range rules() {
		c := Default()
		c.Name, c.WeightDecay, c.LR, c.AuxLR = name, 0.1, 0.1, 0.1
		for _, backend := range backends {
			after, slots := steps(t, open(t, backend), c, theta, parts, used, later)
			for step, values := range after {
				for i, v := range values {
					unused, frozen := i >= 4 && i < 10, i >= 10 && i < 14
					stays := frozen || unused && name != "muon"
					if stays != (v == theta[i]) {
						t.Errorf("%s on %s: value %d went from %v to %v in step %d", name, backend, i, theta[i], v, step+1)
					}
					for _, slot := range slots[step] {
						if stays && slot[i] != 0 {
							t.Errorf("%s on %s: the state of value %d is %v after step %d", name, backend, i, slot[i], step+1)
						}
					}
				}
			}
		}
	}
}

// The average is that of the values so far, each a quarter less heavy than the next.
func TestEMA(t *testing.T) {
	c := Config{EMA: 0.75}
	for _, backend := range backends {
		exec, err := graph.NewExec(open(t, backend), c.Track)
		if err != nil {
			t.Fatal(err)
		}
		defer exec.Finalize()
		ema, sum, of := []float32{0, 0}, 0.0, 0.0
		for step, value := range []float32{4, -2, 0.5, 8} {
			out, err := exec.Call(ema, []float32{value, 3})
			if err != nil {
				t.Fatal(err)
			}
			ema = tensors.MustCopyFlatData[float32](out[0])
			sum, of = 0.75*sum+float64(value), 0.75*of+1
			got := c.Average(ema, step+1)
			if math.Abs(float64(got[0])-sum/of) > 1e-6 || math.Abs(float64(got[1])-3) > 1e-6 {
				t.Errorf("%s, step %d: the averages are %v; want %v and 3", backend, step+1, got, sum/of)
			}
		}
	}
}
