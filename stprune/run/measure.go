package run

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/stprune/workbench/stprune"
	"github.com/stprune/workbench/stprune/train"
)

// Sources opens the spec's data sets and cuts them into windows. hash stands for what is in them, as in [Result].
func Sources(ctx context.Context, spec Spec, o Options) (sources []train.Source, hash string, err error) {
	if err := spec.Check(); err != nil {
		return nil, "", fmt.Errorf("spec: %w", err)
	}
	return o.sources(ctx, spec)
}

// Trainer makes a trainer with the spec's model, the given parameters (see [Run.Best]) and sources, to measure with, not to
// train. Call done when it is no longer needed.
func Trainer(ctx context.Context, spec Spec, params map[string][]float32, sources []train.Source, o Options) (t *train.Trainer, done func(), err error) {
	c := spec.training(0)
	c.Devices = 1
	pruner, err := stprune.NewFull(c.Units(sources...))
	if err != nil {
		return nil, nil, err
	}
	return newTrainer(ctx, spec, c, pruner, params, sources, o)
}

// Again makes a trainer that trains a run once more from its start, on the same backend to the same bits, to measure on the way.
// Nothing is saved, and nothing validated but the last epoch. Call done when it is no longer needed. A method that needs a scoring
// model is an error, and so is a run that patience may end.
func Again(ctx context.Context, r *Run, sources []train.Source, o Options) (t *train.Trainer, done func(), err error) {
	spec := r.Spec
	if spec.Train.Patience > 0 {
		return nil, nil, fmt.Errorf("run %s: train.patience = %d, and training again does not validate; choose a run without", r.ID, spec.Train.Patience)
	}
	spec.Train.ValidateEvery = spec.Train.Epochs
	var begin map[string][]float32
	if id := spec.Model.Init; id != "" {
		from, err := NewStore(filepath.Dir(r.Dir)).Get(id)
		if err == nil {
			begin, err = from.Best()
		}
		if err != nil {
			return nil, nil, fmt.Errorf("model.init: %w", err)
		}
	}
	pruner, prunedBatch, err := spec.pruner(ctx, sources, spec.training(0).Units(sources...), nil)
	if err != nil {
		return nil, nil, fmt.Errorf("run %s: %w", r.ID, err)
	}
	return newTrainer(ctx, spec, spec.training(prunedBatch), pruner, begin, sources, o)
}

// newTrainer opens the spec's backend for a trainer; params may be nil.
func newTrainer(ctx context.Context, spec Spec, c train.Config, p stprune.Pruner, params map[string][]float32, sources []train.Source, o Options) (*train.Trainer, func(), error) {
	backend, closeBackend, err := o.open(ctx, spec.Backend.Name)
	if err != nil {
		return nil, nil, err
	}
	c.Stream = spec.Backend.streamed(backend.Kind, sources)
	t, err := train.New(backend.Backend, c, p, sources...)
	if err != nil {
		closeBackend()
		return nil, nil, err
	}
	done := func() {
		t.Close()
		closeBackend()
	}
	if params != nil {
		if err := t.Load(params); err != nil {
			done()
			return nil, nil, err
		}
	}
	return t, done, nil
}

// Pruner makes the spec's method over the training units of the sources, as training does. A method that needs a scoring model is
// an error.
func (s Spec) Pruner(sources []train.Source) (stprune.Pruner, error) {
	p, _, err := s.pruner(context.Background(), sources, s.training(0).Units(sources...), nil)
	return p, err
}
