package figures

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Axis is what [LearningCurves] are drawn against, in words. All but Epochs are logarithmic.
type Axis string

// The axes.
const (
	Epochs  Axis = "epoch"
	Visits  Axis = "visits, epochs of the full data" // samples trained on, in epochs of the full data
	Steps   Axis = "optimiser steps"
	Seconds Axis = "seconds"
)

// Learning is the learning curve of one run, or of runs that differ in their seeds. Its slices are equally long.
type Learning struct {
	Label string
	At    []float64  // by the axis, ascending
	Error []Estimate // validation MAE, raw units; NaN where not validated
}

// LearningCurves draws validation error as training went on, with a band where there are several seeds. Unit names the error's
// unit. Points at 0 and below are left out on logarithmic axes. It is an error when no run is given and when a run has no point.
func LearningCurves(axis Axis, runs []Learning, unit string) (*Figure, error) {
	if len(runs) == 0 {
		return nil, errors.New("learning curves: no run given")
	}
	p := newPlot("", string(axis), "validation MAE"+inUnit(unit))
	p.Add(newGrid())
	f := &Figure{width: page, height: 2.7 * vg.Inch}
	low, high := math.Inf(1), math.Inf(-1)
	for i, r := range runs {
		if len(r.At) != len(r.Error) {
			return nil, fmt.Errorf("learning curve %q: %d points for %d errors", r.Label, len(r.At), len(r.Error))
		}
		var at []float64
		var errs []Estimate
		for j, x := range r.At {
			if r.Error[j].check() != nil || axis != Epochs && !(x > 0) || math.IsInf(x, 0) {
				continue
			}
			low, high = min(low, x), max(high, x)
			if axis != Epochs {
				x = math.Log10(x)
			}
			at, errs = append(at, x), append(errs, r.Error[j])
		}
		if len(at) == 0 {
			return nil, fmt.Errorf("learning curve %q: no validated epoch; lower validate_every", r.Label)
		}
		if err := curve(p, i, at, errs); err != nil {
			return nil, fmt.Errorf("learning curve %q: %w", r.Label, err)
		}
		f.legend = append(f.legend, curveKey(i, r.Label, errs))
	}
	p.X.Tick.Marker, p.Y.Tick.Marker = epochTicks(), roundTicks(6)
	if axis != Epochs {
		logRange(&p.X, low, high)
	}
	f.draw = func(c draw.Canvas) { p.Draw(c) }
	return f, nil
}

func inUnit(unit string) string {
	if unit == "" {
		return ""
	}
	return ", " + unit
}
