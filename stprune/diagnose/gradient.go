package diagnose

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/stat"

	"github.com/stprune/workbench/stprune"
	"github.com/stprune/workbench/stprune/train"
)

// GradientOptions of [Subject.Gradients]; the zero value is usable.
type GradientOptions struct {
	Draws  int    // selections to measure of each method, spread evenly over its pruned epochs, and uniform ones; default 8
	Epochs []int  // pruned epochs (from 1) whose selections to measure in their place; default none
	Most   int    // units of the full gradient at most; when there are more, a uniform sample of so many stands for all. Default 200,000
	Seed   uint64 // of uniform draws and sample; default 1
}

// Gradients compares selections' weighted gradients with the gradient of all training units, all at the same parameters, in
// evaluation mode and normalised as the training loss.
type Gradients struct {
	Run       string  `json:"run"` // whose best parameters
	Units     int     `json:"units"`
	Reference int     `json:"reference"` // units of the full gradient; fewer than Units: a uniform sample, whose own error is in all of Draws
	Norm      float64 `json:"norm"`      // of the full gradient
	Draws     []Draws `json:"draws"`     // each method, followed by uniform samples of the same sizes
}

// Draws are several selections by one rule. Error² is bias² plus variance; to tell them apart, compare MeanError, of the mean of
// the draws' gradients, in which variance cancels and bias stays, with Noise, which it would be on average without bias. Uniform
// samples have none, so that their Bias shows what chance makes of it.
type Draws struct {
	Name      string  `json:"name"`
	Epochs    []int   `json:"epochs,omitempty"` // of the selections, from 1
	Count     int     `json:"count"`
	Units     float64 `json:"units"`          // mean number of units of a draw
	Effective float64 `json:"effective_size"` // mean effective sample size (Σw)²/Σw²
	Cosine    Mean    `json:"cosine"`         // with the full gradient
	Size      Mean    `json:"size"`           // norm over that of the full gradient
	Error     Mean    `json:"error"`          // norm of the difference from the full gradient, over the norm of that
	MeanError float64 `json:"mean_error"`     // the same for the mean of the draws' gradients
	Noise     float64 `json:"noise"`          // root mean square of MeanError without bias, from the draws' spread; 0 for a single draw
	Bias      float64 `json:"bias"`           // √(MeanError² − Noise²), 0 where that is negative; for a single draw its error
}

// Mean of several draws, and their standard deviation (0 for a single one).
type Mean struct {
	Mean float64 `json:"mean"`
	Std  float64 `json:"std"`
}

func newMean(x []float64) Mean {
	if len(x) < 2 {
		return Mean{Mean: x[0]}
	}
	mean, std := stat.MeanStdDev(x, nil)
	return Mean{mean, std}
}

// Gradients measures, at the best parameters of the subject, what the choices (of the subject, of other runs on the same units,
// or replayed) kept in their pruned epochs. It takes a backward pass for every unit of the full data and of all draws.
func (s *Subject) Gradients(ctx context.Context, o GradientOptions, choices ...Choice) (Gradients, error) {
	if s.Spec.Train.Unit == train.Block {
		return Gradients{}, s.ofBlocks()
	}
	o = o.complete()
	t, done, err := s.trainer(ctx)
	if err != nil {
		return Gradients{}, err
	}
	defer done()

	g := Gradients{Run: s.ID, Units: train.Config{Unit: s.Spec.Train.Unit}.Units(s.Sources...)}
	g.Reference = min(g.Units, o.Most)
	full, err := t.Gradient(ctx, o.reference(g.Units), nil)
	if err != nil {
		return Gradients{}, err
	}
	if g.Norm = floats.Norm(full, 2); g.Norm == 0 {
		return Gradients{}, fmt.Errorf("run %s: the full gradient is 0; nothing can be compared with it", s.ID)
	}
	for _, c := range choices {
		epochs, err := c.chosen(o)
		if err != nil {
			return Gradients{}, err
		}
		var kept, plain []drawn
		for i, epoch := range epochs {
			if n := c.Epochs[epoch-1].Units; n != g.Units {
				return Gradients{}, fmt.Errorf("gradients: %s has %d training units, run %s has %d; compare runs of the same data, protocol and train.unit", c.Name, n, s.ID, g.Units)
			}
			ids, err := c.ids(epoch)
			if err != nil {
				return Gradients{}, err
			}
			kept = append(kept, drawn{ids, c.Epochs[epoch-1].Weight})
			plain = append(plain, drawn{ids: uniform(stprune.Stream(o.Seed, "diagnose uniform", i), g.Units, len(ids))})
		}
		mine, err := compare(ctx, t, full, c.Name, kept)
		if err != nil {
			return Gradients{}, err
		}
		mine.Epochs = epochs
		theirs, err := compare(ctx, t, full, "uniform", plain)
		if err != nil {
			return Gradients{}, err
		}
		g.Draws = append(g.Draws, mine, theirs)
	}
	return g, nil
}

func (s *Subject) ofBlocks() error {
	return fmt.Errorf("gradients: run %s kept blocks, whose nodes may be others in each epoch; choose one with train.unit = %s or %s", s.ID, train.Window, train.Pair)
}

// chosen are the pruned epochs whose selections are to be measured.
func (c Choice) chosen(o GradientOptions) ([]int, error) {
	pruned := c.Pruned()
	if len(pruned) == 0 {
		return nil, fmt.Errorf("gradients: %s has no pruned epoch; its gradient is the full one", c.Name)
	}
	for _, epoch := range o.Epochs {
		if !slices.Contains(pruned, epoch) {
			return nil, fmt.Errorf("gradients: epoch %d of %s is not a pruned one; choose from %v", epoch, c.Name, pruned)
		}
	}
	if len(o.Epochs) > 0 {
		return o.Epochs, nil
	}
	return evenly(pruned, o.Draws), nil
}

func (o GradientOptions) complete() GradientOptions {
	o.Draws, o.Most, o.Seed = cmp.Or(o.Draws, 8), cmp.Or(o.Most, 200_000), cmp.Or(o.Seed, 1)
	return o
}

// reference are the units of the full gradient; nil: all.
func (o GradientOptions) reference(units int) []int32 {
	if units <= o.Most {
		return nil
	}
	return uniform(stprune.Stream(o.Seed, "diagnose full", 0), units, o.Most)
}

// evenly takes up to n of the values, evenly spaced, the first and the last among them.
func evenly(values []int, n int) []int {
	if len(values) <= n {
		return values
	}
	var some []int
	for i := range n {
		some = append(some, values[i*(len(values)-1)/max(1, n-1)])
	}
	return some
}

// uniform draws k of n units without replacement, 0 < k ≤ n.
func uniform(r *rand.Rand, n, k int) []int32 {
	if k == n {
		return everyID(n)
	}
	ids, _ := stprune.Config{Selector: "uniform"}.Draw()(r, make([]float32, n), k)
	return ids
}

// drawn is one draw.
type drawn struct {
	ids    []int32
	weight []float32
}

// compare measures draws against the full gradient.
func compare(ctx context.Context, t *train.Trainer, full []float64, name string, draws []drawn) (Draws, error) {
	c := newComparison(full)
	units, effective := 0.0, 0.0
	for _, x := range draws {
		g, err := t.Gradient(ctx, x.ids, x.weight)
		if err != nil {
			return Draws{}, err
		}
		c.add(g)
		units += float64(len(x.ids))
		effective += effectiveSize(x)
	}
	d := c.draws()
	d.Name, d.Units, d.Effective = name, units/float64(d.Count), effective/float64(d.Count)
	return d, nil
}

// comparison follows the gradients of draws.
type comparison struct {
	full                []float64
	norm                float64
	cosine, size, error []float64
	sum                 []float64 // of the differences from full
	squares             float64   // of their norms
}

func newComparison(full []float64) *comparison {
	return &comparison{full: full, norm: floats.Norm(full, 2), sum: make([]float64, len(full))}
}

// add takes the gradient of a draw, and alters it.
func (c *comparison) add(g []float64) {
	own, cosine := floats.Norm(g, 2), 0.0
	if own > 0 {
		cosine = floats.Dot(g, c.full) / own / c.norm
	}
	floats.Sub(g, c.full)
	difference := floats.Norm(g, 2)
	c.cosine, c.size, c.error = append(c.cosine, cosine), append(c.size, own/c.norm), append(c.error, difference/c.norm)
	floats.Add(c.sum, g)
	c.squares += difference * difference
}

func (c *comparison) draws() Draws {
	k := float64(len(c.error))
	d := Draws{Count: len(c.error), Cosine: newMean(c.cosine), Size: newMean(c.size), Error: newMean(c.error)}
	d.MeanError = floats.Norm(c.sum, 2) / k / c.norm
	d.Bias = d.MeanError
	if k > 1 {
		// The draws' variance is (mean square − square of the mean)·k/(k−1), that of their mean a k-th of it.
		variance := max(0, c.squares/k/c.norm/c.norm-d.MeanError*d.MeanError) / (k - 1)
		d.Noise = math.Sqrt(variance)
		d.Bias = math.Sqrt(max(0, d.MeanError*d.MeanError-variance))
	}
	return d
}

// effectiveSize is (Σw)²/Σw².
func effectiveSize(d drawn) float64 {
	if d.weight == nil {
		return float64(len(d.ids))
	}
	var sum, squares float64
	for _, w := range d.weight {
		sum += float64(w)
		squares += float64(w) * float64(w)
	}
	return sum / squares * sum
}
