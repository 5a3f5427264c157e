// Package diagnose asks stored runs what their selections did: which units were kept and which not, how far methods agree,
// whether a selection's gradient stands for that of all data, where the test errors of a pruned run differ from those of full
// data, and whether scores are stable and spread enough for scoring to pay. [Subject.Replay] draws a method's selections
// without training.
//
// Nothing here changes a run, and only [Subject.GradientPath] trains. Results are plain structs.
package diagnose

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/stprune/run"
	"github.com/stprune/workbench/stprune/train"
)

// Subject is a run with the data that it was trained on.
type Subject struct {
	*run.Run
	Sources []train.Source // its data sets

	hash    string
	options run.Options
}

// Open opens the data of a run. Data sets that are no longer what the run was trained on are an error.
func Open(ctx context.Context, r *run.Run, o run.Options) (*Subject, error) {
	sources, hash, err := run.Sources(ctx, r.Spec, o)
	if err != nil {
		return nil, err
	}
	result, err := r.Result()
	switch {
	case errors.Is(err, run.ErrUnfinished):
	case err != nil:
		return nil, err
	case result.Data != hash:
		return nil, fmt.Errorf("run %s was trained on other data than %q holds now; set data.name to those", r.ID, r.Spec.Data.Name)
	}
	return &Subject{Run: r, Sources: sources, hash: hash, options: o}, nil
}

// Name is what the run is called, or its method.
func (s *Subject) Name() string { return cmp.Or(s.Spec.Name, s.Spec.Prune.Method) }

// Comparable says why the windows of two runs are not the same; nil when they are.
func (s *Subject) Comparable(o *Subject) error {
	same := s.hash == o.hash && len(s.Sources) == len(o.Sources)
	for i := 0; same && i < len(s.Sources); i++ {
		a, b := s.Sources[i].Windows, o.Sources[i].Windows
		same = a.History == b.History && a.Horizon == b.Horizon && len(a.Train) == len(b.Train) && len(a.Val) == len(b.Val)
	}
	if !same {
		return fmt.Errorf("runs %s and %s differ in data, history, horizon or split; compare runs whose data settings are equal", s.ID, o.ID)
	}
	return nil
}

// only is the run's one data set: what several have in common is no calendar and no nodes.
func (s *Subject) only() (*datasets.Series, *datasets.Windows, error) {
	if len(s.Sources) != 1 {
		return nil, nil, fmt.Errorf("run %s was trained on %d data sets, which share no calendar and no nodes; diagnose a run on one", s.ID, len(s.Sources))
	}
	return s.Sources[0].Series, s.Sources[0].Windows, nil
}

// trainer holds the run's best parameters.
func (s *Subject) trainer(ctx context.Context) (t *train.Trainer, done func(), err error) {
	best, err := s.Best()
	if err != nil {
		return nil, nil, err
	}
	return run.Trainer(ctx, s.Spec, best, s.Sources, s.options)
}

// Choice is what a method kept, epoch after epoch.
type Choice struct {
	Name   string
	Epochs []run.Kept // from epoch 1
}

// Choice reads what the run kept in its epochs so far.
func (s *Subject) Choice() (Choice, error) {
	epochs, err := s.Epochs()
	if err != nil {
		return Choice{}, err
	}
	c := Choice{Name: s.Name()}
	for _, e := range epochs {
		k, err := s.Selection(e.Epoch)
		if err != nil {
			return Choice{}, err
		}
		c.Epochs = append(c.Epochs, k)
	}
	return c, nil
}

// Pruned lists the epochs (from 1) that did not visit every unit.
func (c Choice) Pruned() []int {
	var all []int
	for i, k := range c.Epochs {
		if !k.All {
			all = append(all, i+1)
		}
	}
	return all
}

// ids of the units that an epoch (from 1) kept, a pruned one.
func (c Choice) ids(epoch int) ([]int32, error) {
	k := c.Epochs[epoch-1]
	if k.Summary != nil {
		return nil, fmt.Errorf("%s: the selection of epoch %d is stored as sums over windows, since it is large; its units are not known", c.Name, epoch)
	}
	return k.IDs, nil
}
