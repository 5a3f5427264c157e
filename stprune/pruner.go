// Package stprune decides which training units a forecaster visits in each epoch, and how much each counts.
//
// A unit is a window, or a (window, node) pair. The package is plain Go and knows no machine-learning framework: a training
// loop asks a [Pruner] for the units of an epoch, trains on them, and reports what the training step measured.
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
	// Observe takes what the training step measured on the units ids, in the same order. NaN or infinite statistics are an error.
	Observe(ids []int32, stats Stats) error
	// Keep is the number of units Plan(epoch) will visit, known in advance, so that learning-rate schedules can be laid over
	// the steps of the run as planned.
	Keep(epoch int) int
	// The full state: a pruner restored from it plans the same epochs.
	encoding.BinaryMarshaler
	encoding.BinaryUnmarshaler
}

// Selection is the part of the training units that an epoch visits.
type Selection struct {
	All    bool      // every unit, each with weight 1; the slices are nil
	IDs    []int32   // [k] unit ids, ascending and unique
	Weight []float32 // [k] loss weights; nil means all 1
	Prob   []float32 // [k] inclusion probabilities, for diagnostics; nil if the method has none
}

// Columns of [Stats].
const (
	Level     = iota // masked mean absolute error, z-scored units
	Spatial          // standard deviation over nodes of the nodes' mean errors
	Temporal         // standard deviation over horizons of the horizons' mean errors
	Rough            // graph roughness sqrt(r' L r / N) of the nodes' mean errors; 0 without a graph
	Coherence        // sign coherence sqrt(mean_h (mean_v sign e)²)
	NumStats
)

// Stats are the numbers that the training step measured, row-major [len(ids), NumStats].
type Stats []float32
