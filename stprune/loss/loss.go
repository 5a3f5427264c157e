// Package loss builds the masked forecast errors of a batch and what is made of them: the training loss, the numbers that
// pruning scores are made of, and the sums that metrics are made of.
package loss

import (
	"github.com/gomlx/gomlx/core/graph"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/stprune"
)

type node = graph.Node

// Residuals are the masked forecast errors of a batch, in raw units.
type Residuals struct {
	Signed, Abs *node // [B,Q,M], 0 where not measured
	Mask        *node // [B,Q,M]
	Sum, Count  *node // [B] over horizons and nodes

	forecast, target *node // [B,Q,M] raw units
	std              float64
}

// New compares a forecast [B,Q,M], z-scored by scaler unless it is raw, with its target in raw units where mask is 1.
func New(forecast, target, mask *node, scaler datasets.Scaler, isRaw bool) Residuals {
	raw := forecast
	if !isRaw {
		raw = graph.AddScalar(graph.MulScalar(forecast, scaler.Std), scaler.Mean)
	}
	// Select before subtracting: a missing entry must not reach the arithmetic, whatever value marks it.
	signed := graph.Sub(raw, graph.Where(graph.GreaterThan(mask, graph.ZerosLike(mask)), target, raw))
	abs := graph.Abs(signed)
	return Residuals{
		Signed: signed, Abs: abs, Mask: mask,
		Sum: graph.ReduceSum(abs, 1, 2), Count: graph.ReduceSum(mask, 1, 2),
		forecast: raw, target: target, std: scaler.Std,
	}
}

// Reduction says how a batch's errors become one number. The zero value is the default.
type Reduction struct {
	BySample bool // Σ w·(mean over the sample's entries) / Σ w instead of the pooled mean Σ w·|e| / Σ w·m
	PerBatch bool // divide as if all weights were 1 instead of by their sum

	// Huber is the error in raw units from which on the loss grows linearly, half its square below; 0 is the MAE.
	Huber float64
	// Unmasked trains on missing targets as if their marking value were measured, as STAEformer's Huber loss does.
	Unmasked bool
}

// LeastDivisor takes the place of a smaller divisor of a loss, that of a batch without any measured target.
const LeastDivisor = 1e-8

// Loss is the weighted masked MAE (or Huber loss) of a batch, in raw units. Pooled (the default), it is Σ w·|e| / Σ w·m over all entries: the
// references' masked MAE when all weights are 1, and the same number whether a window comes whole or as N pairs.
func (r Reduction) Loss(e Residuals, weights *node) *node {
	sum, divisor := r.Terms(e, weights)
	return graph.Div(sum, graph.MaxScalar(divisor, LeastDivisor))
}

// Terms are the loss's numerator and its divisor. Both add up over batches, so that a loss over more units than fit one batch
// can be taken apart.
func (r Reduction) Terms(e Residuals, weights *node) (sum, divisor *node) {
	used := graph.ConvertDType(graph.GreaterThan(weights, graph.ZerosLike(weights)), weights.DType())
	part, share := r.total(e)
	if r.BySample {
		part = graph.Div(part, graph.MaxScalar(share, 1))
		share = graph.MinScalar(share, 1) // a sample without any measured target does not count
	}
	counted := weights
	if r.PerBatch {
		counted = used
	}
	return graph.ReduceAllSum(graph.Mul(weights, part)), graph.ReduceAllSum(graph.Mul(counted, share))
}

// total is the sum of the entries' losses per sample, and their number [B].
func (r Reduction) total(e Residuals) (sum, count *node) {
	if r.Huber == 0 && !r.Unmasked {
		return e.Sum, e.Count
	}
	signed, abs, count := e.Signed, e.Abs, e.Count
	if r.Unmasked {
		signed = graph.Sub(e.forecast, e.target)
		abs = graph.Abs(signed)
		count = graph.ReduceSum(graph.OnesLike(e.Mask), 1, 2)
	}
	if r.Huber > 0 {
		linear := graph.MulScalar(graph.AddScalar(abs, -r.Huber/2), r.Huber)
		abs = graph.Where(graph.LessThan(abs, graph.Scalar(abs.Graph(), abs.DType(), r.Huber)), graph.MulScalar(graph.Square(signed), 0.5), linear)
	}
	return graph.ReduceSum(abs, 1, 2), count
}

// Level is the masked mean absolute error per sample [B], raw units; 0 for a sample without measured targets.
func (e Residuals) Level() *node { return graph.Div(e.Sum, graph.MaxScalar(e.Count, 1)) }

// Stats reduces the residuals to the numbers that the scores are made of [B, stprune.NumStats], z-scored units
// (method: complexity score). laplacian [N,N], the normalised one of the undirected graph, is optional; an isolated node has no
// neighbours to differ from and counts with its own mean error.
func (e Residuals) Stats(laplacian *node) *node {
	abs := graph.DivScalar(e.Abs, e.std)
	means := func(axis int) (mean, valid *node) { // [B,·]
		count := graph.ReduceSum(e.Mask, axis)
		return graph.Div(graph.ReduceSum(abs, axis), graph.MaxScalar(count, 1)), graph.MinScalar(count, 1)
	}
	deviation := func(mean, valid *node) *node {
		n := graph.MaxScalar(graph.ReduceSum(valid, 1), 1)
		centre := graph.Div(graph.ReduceSum(graph.Mul(mean, valid), 1), n)
		d := graph.Mul(graph.Sub(mean, graph.InsertAxes(centre, -1)), valid)
		return graph.Sqrt(graph.Div(graph.ReduceSum(graph.Square(d), 1), n))
	}
	perNode, validNode := means(1)
	perHorizon, validHorizon := means(2)

	rough := graph.ZerosLike(e.Sum)
	if laplacian != nil {
		lr := graph.EinsumAxes(perNode, laplacian, [][2]int{{1, 0}}, nil)
		quadratic := graph.DivScalar(graph.ReduceSum(graph.Mul(lr, perNode), 1), float64(perNode.Shape().Dimensions[1]))
		rough = graph.Sqrt(graph.MaxScalar(quadratic, 0))
	}

	sign := graph.Sign(e.Signed) // 0 where not measured
	meanSign := graph.Div(graph.ReduceSum(sign, 2), graph.MaxScalar(graph.ReduceSum(e.Mask, 2), 1))
	horizons := graph.MaxScalar(graph.ReduceSum(validHorizon, 1), 1)
	coherence := graph.Sqrt(graph.Div(graph.ReduceSum(graph.Square(meanSign), 1), horizons))
	if sign.Shape().Dimensions[2] == 1 { // every sign agrees with itself: the horizons' agreement says more
		coherence = graph.Abs(graph.Div(graph.ReduceSum(meanSign, 1), horizons))
	}

	columns := make([]*node, stprune.NumStats)
	columns[stprune.Level] = graph.DivScalar(e.Level(), e.std)
	columns[stprune.Spatial] = deviation(perNode, validNode)
	columns[stprune.Temporal] = deviation(perHorizon, validHorizon)
	columns[stprune.Rough] = rough
	columns[stprune.Coherence] = coherence
	return graph.StopGradient(graph.Stack(columns, -1))
}

// Columns of [Residuals.Sums], per horizon.
const (
	SumAbs     = iota // Σ|e|
	SumSquare         // Σe²
	SumPercent        // Σ|e|/|y| over targets other than 0
	Count             // measured targets
	CountShare        // those other than 0, on which MAPE is defined
	NumSums
)

// Sums are the evaluation's totals per horizon [Q, NumSums] over the samples with weight 1.
func (e Residuals) Sums(weights *node) *node {
	w := graph.Reshape(weights, weights.Shape().Size(), 1, 1)
	mask := graph.Mul(e.Mask, w)
	size := graph.Abs(e.target)
	nonzero := graph.GreaterThan(size, graph.ZerosLike(size))
	share := graph.Where(nonzero, mask, graph.ZerosLike(mask))
	percent := graph.Div(graph.Mul(e.Abs, share), graph.Where(nonzero, size, graph.OnesLike(size)))
	columns := [NumSums]*node{
		SumAbs:     graph.Mul(e.Abs, mask),
		SumSquare:  graph.Mul(graph.Square(e.Abs), mask),
		SumPercent: percent,
		Count:      mask,
		CountShare: share,
	}
	for i, x := range columns {
		columns[i] = graph.ReduceSum(x, 0, 2)
	}
	return graph.Stack(columns[:], -1)
}
