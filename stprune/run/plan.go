package run

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/stprune/workbench/stprune"
	"github.com/stprune/workbench/stprune/train"
)

// Planner knows what runs will be before they train. It is for specs with equal data and backend.
type Planner struct {
	sources []train.Source
	hash    string
	backend string
}

// NewPlanner opens the data sets of a spec, and its backend where the name alone doesn't say which one it is.
func NewPlanner(ctx context.Context, spec Spec, o Options) (*Planner, error) {
	sources, hash, err := o.sources(ctx, spec)
	if err != nil {
		return nil, err
	}
	p := &Planner{sources: sources, hash: hash, backend: spec.Backend.Name}
	head, _, _ := strings.Cut(p.backend, ",")
	if slices.Contains([]string{"go", "xla:cpu", "xla:cuda"}, head) {
		return p, nil
	}
	backend, done, err := o.open(ctx, p.backend)
	if err != nil {
		return nil, err
	}
	defer done()
	p.backend, err = resolved(p.backend, backend.Kind)
	return p, err
}

// ID is the id of the run that [Do] returns for the spec.
func (p *Planner) ID(spec Spec) string {
	spec.Backend.Name = p.backend
	return spec.ID(p.hash)
}

// Visits is the number of windows × nodes that an epoch of all data visits.
func (p *Planner) Visits() int64 {
	all := int64(0)
	for _, s := range p.sources {
		all += int64(len(s.Windows.Train)) * int64(s.Series.N)
	}
	return all
}

// Schedule lays the epochs of a run out over its training units. Methods that are not exact visit about as many.
func (p *Planner) Schedule(spec Spec) (stprune.Schedule, error) {
	c := spec.pruning()
	if spec.Prune.Method == "full" {
		c = stprune.Config{Epochs: c.Epochs, Rho: 1, Delta: 1, Anneal: "none", MinUnits: 1, BatchPolicy: "fixed"}
	}
	s, err := c.Schedule(spec.training(0).Units(p.sources...))
	if err != nil {
		return s, fmt.Errorf("spec: %w", err)
	}
	return s, nil
}

// Planned is the number of optimiser steps that a run of the spec takes on its schedule, and of the windows × nodes that it visits.
func (p *Planner) Planned(spec Spec, s stprune.Schedule) (steps int, visits int64) {
	units, left := 0, spec.Train.MaxSteps
	if left == 0 {
		left = math.MaxInt
	}
	for epoch := range s.Epochs() {
		n := min(left, s.Steps(epoch, spec.Train.Batch))
		steps, left = steps+n, left-n
		units += min(s.Keep(epoch), n*s.Batch(epoch, spec.Train.Batch))
	}
	return steps, int64(math.Round(float64(p.Visits()) / float64(s.Units()) * float64(units)))
}

// Backend is what the name of the specs' backend stands for.
func (p *Planner) Backend() string { return p.backend }

// StepMemory estimates, from below, the bytes that a training step of the spec takes. Nothing is compiled or trained.
func StepMemory(ctx context.Context, spec Spec, o Options) (int64, error) {
	spec = spec.clone()
	spec.Prune.Method, spec.Prune.Options = "full", map[string]any{} // whose batches are the largest
	spec.Train.Batch = max(spec.Train.Batch, spec.Prune.PrunedBatch)
	if err := spec.Check(); err != nil {
		return 0, fmt.Errorf("spec: %w", err)
	}
	sources, _, err := o.sources(ctx, spec)
	if err != nil {
		return 0, err
	}
	backend, done, err := o.open(ctx, spec.Backend.Name)
	if err != nil {
		return 0, err
	}
	defer done()
	c := spec.training(0)
	c.Stream = spec.Backend.streamed(backend.Kind, sources)
	c.MemoryLimit = 1 // which every step is refused under, with the reason
	pruner, err := stprune.NewFull(c.Units(sources...))
	if err != nil {
		return 0, err
	}
	t, err := train.New(backend.Backend, c, pruner, sources...)
	if err != nil {
		return 0, err
	}
	defer t.Close()
	err = t.Run(ctx, train.Events{})
	if refused := new(train.MemoryError); errors.As(err, &refused) {
		return refused.Need, nil
	}
	return 0, err
}
