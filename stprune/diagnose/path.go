package diagnose

import (
	"context"
	"fmt"
	"slices"

	"gonum.org/v1/gonum/floats"

	"github.com/stprune/workbench/stprune"
	"github.com/stprune/workbench/stprune/run"
	"github.com/stprune/workbench/stprune/train"
)

// PathPoint is what the gradient of an epoch's selection was worth when the epoch began.
type PathPoint struct {
	Epoch   int     `json:"epoch"` // from 1
	Norm    float64 `json:"norm"`  // of the full gradient at the parameters of that time
	Kept    Draws   `json:"kept"`  // a single draw
	Uniform Draws   `json:"uniform"`
}

// GradientPath compares, as [Subject.Gradients] does, the weighted gradients of the subject's own selections with the full one, but
// each at the parameters with which its epoch began. Those are not stored: the run is trained again from its start up to the last of
// these epochs, on the backend of its spec, and a selection that is then another than the stored one is an error. GradientOptions.Draws
// is the number of epochs, and of uniform samples beside each.
func (s *Subject) GradientPath(ctx context.Context, o GradientOptions) ([]PathPoint, error) {
	if s.Spec.Train.Unit == train.Block {
		return nil, s.ofBlocks()
	}
	o = o.complete()
	choice, err := s.Choice()
	if err != nil {
		return nil, err
	}
	epochs, err := choice.chosen(o)
	if err != nil {
		return nil, err
	}
	if p, err := s.Spec.Pruner(s.Sources); err == nil {
		if _, chooses := p.(stprune.Chooser); chooses {
			return nil, fmt.Errorf("gradients: run %s chose within batches, at parameters that changed from one to the next; ask for them at its best parameters", s.ID)
		}
	}
	t, done, err := run.Again(ctx, s.Run, s.Sources, s.options)
	if err != nil {
		return nil, err
	}
	defer done()

	units := train.Config{Unit: s.Spec.Train.Unit}.Units(s.Sources...)
	sample := o.reference(units)
	var points []PathPoint
	measure := func(epoch int, selection stprune.Selection) error {
		ids, err := choice.ids(epoch)
		if err != nil {
			return err
		}
		if !slices.Equal(selection.IDs, ids) {
			return fmt.Errorf("trained again here, run %s keeps other units in epoch %d than when it was trained; ask on the machine of the run, with its backend", s.ID, epoch)
		}
		m := PathPoint{Epoch: epoch}
		full, err := t.Gradient(ctx, sample, nil)
		if err != nil {
			return err
		}
		if m.Norm = floats.Norm(full, 2); m.Norm == 0 {
			return fmt.Errorf("run %s: the full gradient is 0 in epoch %d; nothing can be compared with it", s.ID, epoch)
		}
		if m.Kept, err = compare(ctx, t, full, choice.Name, []drawn{{ids, selection.Weight}}); err != nil {
			return err
		}
		var plain []drawn
		for i := range o.Draws {
			plain = append(plain, drawn{ids: uniform(stprune.Stream(o.Seed, fmt.Sprint("diagnose epoch ", epoch), i), units, len(ids))})
		}
		if m.Uniform, err = compare(ctx, t, full, "uniform", plain); err != nil {
			return err
		}
		m.Kept.Epochs = []int{epoch}
		points = append(points, m)
		return nil
	}
	training, enough := context.WithCancel(ctx)
	defer enough()
	var fault error
	err = t.Run(training, train.Events{
		Step: s.options.Watch.Step,
		Plan: func(epoch int, selection stprune.Selection) {
			if fault == nil && slices.Contains(epochs, epoch) {
				fault = measure(epoch, selection)
			}
			if fault != nil || len(points) == len(epochs) {
				enough()
			}
		},
	})
	switch {
	case fault != nil:
		return nil, fault
	case len(points) < len(epochs):
		return nil, fmt.Errorf("training run %s again: %w", s.ID, err)
	}
	return points, nil
}
