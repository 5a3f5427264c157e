// Package optim holds the optimisers and learning-rate schedules, with the semantics of PyTorch.
//
// Parameters, gradients and optimiser state are flat vectors [P]: one fused update instead of one per tensor.
package optim

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
)

// Config chooses an optimiser. The zero value of a field means "off", except where [Config.Check] asks for a value.
type Config struct {
	// Name is "sgd", "adam" (coupled L2, as the references use it), "adamw" (decoupled), "rmsprop" (coupled) or "muon".
	Name        string  `toml:"name"`
	LR          float64 `toml:"lr"`           // learning rate before the schedule
	WeightDecay float64 `toml:"weight_decay"` // λ
	Momentum    float64 `toml:"momentum"`     // sgd, rmsprop (torch: 0), muon (its reference: 0.95)
	Nesterov    bool    `toml:"nesterov"`     // sgd, muon (its reference: true)
	Beta1       float64 `toml:"beta1"`        // adam, adamw, the AdamW part of muon
	Beta2       float64 `toml:"beta2"`        // the same (muon's reference: 0.95)
	Eps         float64 `toml:"eps"`          // the same (muon's reference: 1e-10), rmsprop
	AuxLR       float64 `toml:"aux_lr"`       // muon: rate of its AdamW part; scheduled with LR
	Clip        float64 `toml:"clip"`         // largest global L2 norm of the gradient; 0: no clipping

	// Alpha is rmsprop's share of the mean square that stays at each step.
	Alpha float64 `toml:"alpha,omitempty"`
	// NSDType is the precision of muon's Newton–Schulz: [Float32] (or empty), the parameters' own, or [BFloat16] as in its reference.
	NSDType string `toml:"ns_dtype,omitempty"`
	// EMA is the share of the parameters' exponential moving average that stays at each step, e.g. 0.999; 0: none is kept. The average
	// leaves out the zeros it begins with, as Adam's moments do, and it is what is validated, tested and saved as the best, with a
	// backbone's running statistics averaged alike. The rate may then end higher: 0.999 goes well with schedule.floor = 0.3.
	EMA float64 `toml:"ema,omitempty"`
}

// Values of [Config.NSDType].
const (
	Float32  = "float32"
	BFloat16 = "bfloat16"
)

// Default is Adam as the references set it: lr 1e-3, betas 0.9 and 0.999, eps 1e-8, coupled weight decay 1e-4, clipping at 5.
func Default() Config {
	return Config{Name: "adam", LR: 1e-3, WeightDecay: 1e-4, Momentum: 0.9, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, AuxLR: 3e-4, Clip: 5,
		Alpha: 0.99, NSDType: Float32}
}

// rule is one optimiser: how many state vectors it keeps and how it moves the parameters.
type rule struct {
	slots  []string
	update func(c Config, s step) (theta *graph.Node, slots []*graph.Node)
}

// step is what a rule sees, all of them graph nodes of one dtype.
type step struct {
	theta, grad            *graph.Node   // [P]
	slots                  []*graph.Node // each [P]
	lr, correct1, correct2 *graph.Node   // scalars; bias corrections 1−β^t
	auxLR                  *graph.Node   // scalar
	parts                  []Part
}

// Part is one tensor of the flat parameter vector, in order.
type Part struct {
	Shape  []int
	Hidden bool // a hidden weight matrix, which Muon orthogonalises
	Frozen bool // not to be trained
	Unused bool // never reaches the loss: it stays as it is, weight decay included, as PyTorch leaves it (Muon's reference doesn't)
}

// Size is the number of values of the tensor.
func (p Part) Size() int {
	n := 1
	for _, d := range p.Shape {
		n *= d
	}
	return n
}

func rules() map[string]rule {
	return map[string]rule{
		"sgd":     {[]string{"momentum"}, sgd},
		"adam":    {[]string{"m", "v"}, adam},
		"adamw":   {[]string{"m", "v"}, adamW},
		"rmsprop": {[]string{"momentum", "v"}, rmsProp},
		"muon":    {[]string{"momentum", "m", "v"}, muon},
	}
}

// Check reports the first setting that makes no sense.
func (c Config) Check() error {
	if _, ok := rules()[c.Name]; !ok {
		return fmt.Errorf("optim.name %q is unknown; choose one of %s", c.Name, strings.Join(slices.Sorted(maps.Keys(rules())), ", "))
	}
	in := func(key string, v, low, high float64) error {
		if math.IsNaN(v) || v < low || v >= high {
			return fmt.Errorf("optim.%s = %v; want a value in [%v, %v)", key, v, low, high)
		}
		return nil
	}
	if !(c.LR > 0) {
		return fmt.Errorf("optim.lr = %v; want a value above 0", c.LR)
	}
	inf := math.Inf(1)
	checks := []error{in("lr", c.LR, 0, inf), in("weight_decay", c.WeightDecay, 0, inf), in("clip", c.Clip, 0, inf), in("ema", c.EMA, 0, 1)}
	switch c.Name {
	case "sgd", "muon":
		checks = append(checks, in("momentum", c.Momentum, 0, 1), in("aux_lr", c.AuxLR, 0, inf))
	case "rmsprop":
		checks = append(checks, in("momentum", c.Momentum, 0, 1), in("eps", c.Eps, 0, inf))
		if !(c.Alpha > 0 && c.Alpha < 1) { // a spec leaves out 0, and reading it would give the default
			checks = append(checks, fmt.Errorf("optim.alpha = %v; want a value between 0 and 1", c.Alpha))
		}
	}
	if c.Name != "sgd" && c.Name != "rmsprop" {
		checks = append(checks, in("beta1", c.Beta1, 0, 1), in("beta2", c.Beta2, 0, 1), in("eps", c.Eps, 0, inf))
	}
	if c.NSDType != "" && c.NSDType != Float32 && c.NSDType != BFloat16 {
		checks = append(checks, fmt.Errorf("optim.ns_dtype %q is unknown; choose %s or %s", c.NSDType, Float32, BFloat16))
	}
	for _, err := range checks {
		if err != nil {
			return err
		}
	}
	return nil
}

// Slots names the state vectors [P] that the optimiser keeps; they start at zero.
func (c Config) Slots() []string { return rules()[c.Name].slots }

// Track moves the average ema, which starts at zero, towards theta, as it is after a step.
func (c Config) Track(ema, theta *graph.Node) *graph.Node {
	return graph.Add(graph.MulScalar(ema, c.EMA), graph.MulScalar(theta, 1-c.EMA))
}

// Average is what [Config.Track] holds after t steps, free of the zeros it began with.
func (c Config) Average(ema []float32, t int) []float32 {
	of := 1 - math.Pow(c.EMA, float64(t))
	out := make([]float32, len(ema))
	for i, v := range ema {
		out[i] = float32(float64(v) / of)
	}
	return out
}

// HyperSize is the length of the vector [Config.Hyper].
const HyperSize = 4

// Hyper computes on the host, in float64, what changes from step to step: the learning rate, Adam's bias corrections
// at the 1-based step t, and the rate of Muon's AdamW part.
func (c Config) Hyper(lr float64, t int) [HyperSize]float64 {
	return [HyperSize]float64{lr, 1 - math.Pow(c.Beta1, float64(t)), 1 - math.Pow(c.Beta2, float64(t)), lr * c.AuxLR / c.LR}
}

// Update builds one optimiser step: it clips the gradient, moves theta, and returns the new theta, the new slots and the
// gradient's norm before clipping. hyper is [Config.Hyper] as a vector of theta's dtype. parts lay out
// the vector's tensors.
func (c Config) Update(theta, grad *graph.Node, slots []*graph.Node, hyper *graph.Node, parts []Part) (newTheta *graph.Node, newSlots []*graph.Node, norm *graph.Node) {
	grad, norm = Clip(grad, c.Clip)
	scalar := func(i int) *graph.Node { return graph.Reshape(graph.Slice(hyper, graph.AxisRange(i, i+1))) }
	newTheta, newSlots = rules()[c.Name].update(c, step{theta, grad, slots, scalar(0), scalar(1), scalar(2), scalar(3), parts})
	if keep := c.kept(theta, parts); keep != nil {
		newTheta = graph.Where(keep, theta, newTheta)
		for i := range newSlots {
			newSlots[i] = graph.Where(keep, slots[i], newSlots[i])
		}
	}
	return newTheta, newSlots, norm
}

// kept marks the values [P] of parts that stay as they are; nil when there are none.
func (c Config) kept(theta *graph.Node, parts []Part) *graph.Node {
	var marks []*graph.Node
	any := false
	for _, p := range parts {
		keep := p.Frozen || p.Unused && c.Name != "muon"
		marks = append(marks, graph.BroadcastToShape(graph.Const(theta.Graph(), keep), shapes.Make(dtypes.Bool, p.Size())))
		any = any || keep
	}
	if !any {
		return nil
	}
	return graph.Concatenate(marks, 0)
}

// Clip scales a gradient down to a global L2 norm of at most limit (0: no limit), by min(1, limit / (norm + 1e-6)) as
// torch.nn.utils.clip_grad_norm_ does. It also returns the norm before clipping.
func Clip(grad *graph.Node, limit float64) (clipped, norm *graph.Node) {
	norm = graph.Sqrt(sum(graph.Square(grad)))
	if limit > 0 {
		factor := graph.Div(graph.Scalar(grad.Graph(), grad.DType(), limit), graph.AddScalar(norm, 1e-6))
		grad = graph.Mul(grad, graph.MinScalar(factor, 1))
	}
	return grad, norm
}

// sum adds up x [P] in rows: one by one, as the Go backend adds, millions of squares would lose the third digit.
func sum(x *graph.Node) *graph.Node {
	const row = 1024
	size := x.Shape().Size()
	rest := size % row
	total := graph.ScalarZero(x.Graph(), x.DType())
	if rest > 0 {
		total = graph.ReduceAllSum(graph.Slice(x, graph.AxisRange(0, rest)))
	}
	if rest < size {
		rows := graph.Reshape(graph.Slice(x, graph.AxisRange(rest, size)), size/row, row)
		total = graph.Add(total, graph.ReduceAllSum(graph.ReduceSum(rows, 1)))
	}
	return total
}

// sgd: g += λθ; v = μv + g; θ −= lr·(g + μv if Nesterov, else v).
func sgd(c Config, s step) (*graph.Node, []*graph.Node) {
	g := graph.Add(s.grad, graph.MulScalar(s.theta, c.WeightDecay))
	v := graph.Add(graph.MulScalar(s.slots[0], c.Momentum), g)
	move := v
	if c.Nesterov {
		move = graph.Add(g, graph.MulScalar(v, c.Momentum))
	}
	return graph.Sub(s.theta, graph.Mul(move, s.lr)), []*graph.Node{v}
}

// adam couples the weight decay: g += λθ (torch.optim.Adam).
func adam(c Config, s step) (*graph.Node, []*graph.Node) {
	s.grad = graph.Add(s.grad, graph.MulScalar(s.theta, c.WeightDecay))
	return adamStep(c, s)
}

// adamW decouples it: θ −= lr·λ·θ first (torch.optim.AdamW).
func adamW(c Config, s step) (*graph.Node, []*graph.Node) {
	s.theta = graph.Sub(s.theta, graph.Mul(s.theta, graph.MulScalar(s.lr, c.WeightDecay)))
	return adamStep(c, s)
}

func adamStep(c Config, s step) (*graph.Node, []*graph.Node) {
	m := graph.Add(graph.MulScalar(s.slots[0], c.Beta1), graph.MulScalar(s.grad, 1-c.Beta1))
	v := graph.Add(graph.MulScalar(s.slots[1], c.Beta2), graph.MulScalar(graph.Square(s.grad), 1-c.Beta2))
	denominator := graph.AddScalar(graph.Div(graph.Sqrt(v), graph.Sqrt(s.correct2)), c.Eps)
	return graph.Sub(s.theta, graph.Mul(graph.Div(m, denominator), graph.Div(s.lr, s.correct1))), []*graph.Node{m, v}
}

// rmsProp couples the weight decay: g += λθ; v = αv + (1−α)g²; b = μb + g/(√v + eps); θ −= lr·b (torch.optim.RMSprop, not centred).
func rmsProp(c Config, s step) (*graph.Node, []*graph.Node) {
	g := graph.Add(s.grad, graph.MulScalar(s.theta, c.WeightDecay))
	v := graph.Add(graph.MulScalar(s.slots[1], c.Alpha), graph.MulScalar(graph.Square(g), 1-c.Alpha))
	move := graph.Add(graph.MulScalar(s.slots[0], c.Momentum), graph.Div(g, graph.AddScalar(graph.Sqrt(v), c.Eps)))
	return graph.Sub(s.theta, graph.Mul(move, s.lr)), []*graph.Node{move, v}
}
