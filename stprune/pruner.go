// Package stprune decides which training units a forecaster visits in each epoch, and how much each counts.
//
// A unit is a window, or a (window, node) pair. The package is plain Go and knows no machine-learning framework: a training
// loop asks a [Pruner] for the units of an epoch, trains on them, and reports what the training step measured.
//
// # Our reconstruction
//
// ST-Prune was published as "Learning from Complexity: Exploring Dynamic Sample Pruning of Spatio-Temporal Training"
// (arXiv 2602.19113). Its equations and tables are not available to us. What [New] builds is our own reconstruction, from the
// paper's public statements (a complexity-informed score taken from the live training step, a stationarity-aware rescaling of
// the gradient, an annealed schedule) and from published kin. Numbers made with it are not the paper's numbers. Every choice
// is a knob of [Config], so that the day the equations are known it is a change of settings.
//
// # Parts
//
//   - [Schedule] says how many units each epoch visits: warm-up, pruned epochs at retention ρ, full tail; or a budget of visits.
//   - The score S of a unit is a function of its [Stats], remembered between visits. Config.Unseen says how never-visited units rank.
//   - The selector draws exactly k units with known inclusion probabilities π: top+rest, pps, gumbel or uniform.
//   - The weights min(w_max, π^(−κz)) rescale each unit's loss; the stationarity z in [0,1] says how far a unit stands for others.
//   - [Stream] gives every random stream of a run. The package method has the table of all methods by name.
package stprune

import "encoding"

// A Pruner decides which of n training units an epoch visits and how much each counts. It learns only from what the training
// step reports about the units it has visited.
//
// Plan and Observe are called in turn: Plan(e), then Observe for each batch of epoch e, then Plan(e+1). Equal seeds and equal
// observations give equal plans. A Pruner is not safe for concurrent use.
type Pruner interface {
	// Plan returns the units to visit in the given epoch (from 0). It does not change the pruner's scores, and planning the
	// same epoch again before any observation returns the same selection.
	Plan(epoch int) (Selection, error)
	// Observe takes what the training step measured on the units ids, in the same order. NaN or infinite statistics are an
	// error that names unit and column; the pruner is then unchanged.
	Observe(ids []int32, stats Stats) error
	// Keep is the number of units Plan(epoch) will visit, known in advance, so that learning-rate schedules can be laid over
	// the steps of the run as planned.
	Keep(epoch int) int
	// The full state: a pruner made with the same settings and restored from it plans the same epochs.
	encoding.BinaryMarshaler
	encoding.BinaryUnmarshaler
}

// Forwarder is a [Pruner] that wants to know the errors of units it doesn't train on.
type Forwarder interface {
	Pruner
	// Forward lists the units, ascending and unique, that the trainer passes forward in evaluation mode after the steps of an
	// epoch; it gives what they measured to Observe. These visits are counted apart: they cost about a third of a training visit.
	Forward(epoch int) []int32
}

// Chooser is a [Pruner] that chooses within batches: its Plan selects candidates, and each step trains on some of them. Its Keep
// counts those that are trained on.
type Chooser interface {
	Pruner
	// Candidates is how many units of the plan make a candidate batch of an epoch when target of them are trained on; 0 means
	// that the epoch chooses nothing.
	Candidates(epoch, target int) int
	// Choose returns the places, ascending and unique, of target candidates (all, when there are fewer) by their last-layer
	// gradients [len(ids), D], row-major. Steps of an epoch count from 0.
	Choose(epoch, step, target int, ids []int32, gradients []float32) ([]int32, error)
}

// Scored is a [Pruner] that remembers a score for every unit.
type Scored interface {
	Pruner
	// Scores returns S [n], +Inf for units never visited. It is the pruner's own memory: read it, don't keep or change it.
	Scores() []float32
}

// Selection is the part of the training units that an epoch visits.
type Selection struct {
	All    bool      // every unit, each with weight 1; the slices are nil
	IDs    []int32   // [k] unit ids, ascending and unique
	Weight []float32 // [k] loss weights; nil means all 1
	Prob   []float32 // [k] inclusion probabilities, for diagnostics; nil if the method has none

	Diagnostics Diagnostics
}

// Diagnostics says how a selection is spread and weighted. All numbers are defined for full epochs too.
type Diagnostics struct {
	Kept          int     `json:"kept"`           // units visited
	EffectiveSize float64 `json:"effective_size"` // effective sample size (Σw)²/Σw², at most Kept
	MaxWeight     float64 `json:"max_weight"`     // largest weight, after normalisation
	Clipped       float64 `json:"clipped"`        // share of the kept units whose weight was cut to w_max, in [0,1]
	// ScoreCV is the coefficient of variation (standard deviation over mean) of the scores of all units visited so far; 0
	// without scores. Sampling in proportion to the score can lower the second moment of the gradient by 1/(1+CV²) at best.
	ScoreCV float64 `json:"score_cv"`
	Unseen  int     `json:"unseen"` // units without a score yet; 0 for methods without scores
}

// Columns of [Stats].
const (
	Level     = iota // masked mean absolute error, z-scored units
	Spatial          // standard deviation over nodes of the nodes' mean errors
	Temporal         // standard deviation over horizons of the horizons' mean errors
	Rough            // graph roughness sqrt(r' L r / N) of the nodes' mean errors; 0 without a graph
	Coherence        // sign coherence sqrt(mean_h (mean_v sign e)²); of a single node |mean_h sign e|
	NumStats
)

// Stats are the numbers that the training step measured, row-major [len(ids), NumStats].
type Stats []float32

// StatName is the name of a column of [Stats], in lower case.
func StatName(column int) string {
	switch column {
	case Level:
		return "level"
	case Spatial:
		return "spatial"
	case Temporal:
		return "temporal"
	case Rough:
		return "rough"
	case Coherence:
		return "coherence"
	}
	return "unknown"
}
