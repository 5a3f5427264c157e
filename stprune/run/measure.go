package run

import (
	"context"
	"fmt"

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
	backend, closeBackend, err := o.open(ctx, spec.Backend.Name)
	if err != nil {
		return nil, nil, err
	}
	c := spec.training(0)
	c.Devices, c.Stream = 1, spec.Backend.streamed(backend.Kind, sources) // nothing is trained
	pruner, err := stprune.NewFull(c.Units(sources...))
	if err == nil {
		t, err = train.New(backend.Backend, c, pruner, sources...)
	}
	if err != nil {
		closeBackend()
		return nil, nil, err
	}
	done = func() {
		t.Close()
		closeBackend()
	}
	if err := t.Load(params); err != nil {
		done()
		return nil, nil, err
	}
	return t, done, nil
}

// Pruner makes the spec's method over the training units of the sources, as training does. A method that needs a scoring model is
// an error.
func (s Spec) Pruner(sources []train.Source) (stprune.Pruner, error) {
	p, _, err := s.pruner(context.Background(), sources, s.training(0).Units(sources...), nil)
	return p, err
}
