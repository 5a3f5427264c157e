package diagnose

import (
	"context"
	"errors"
	"math"
	"testing"

	"github.com/stprune/workbench/stprune/run"
	"github.com/stprune/workbench/stprune/train"
)

// Gradients on the way are those at the parameters with which each epoch began.
func TestGradientPath(t *testing.T) {
	s := subject(t, "prune.method=st-prune")
	points, err := s.GradientPath(t.Context(), GradientOptions{Epochs: []int{2, 6, 10}, Draws: 3})
	if err != nil {
		t.Fatal(err)
	}
	if len(points) != 3 {
		t.Fatalf("%+v", points)
	}
	c := choice(t, s)
	for i, epoch := range []int{2, 6, 10} {
		p := points[i]
		kept := float64(len(c.Epochs[epoch-1].IDs))
		if p.Epoch != epoch || p.Kept.Count != 1 || p.Kept.Units != kept || p.Uniform.Count != 3 || p.Uniform.Units != kept || !(p.Norm > 0) || !(p.Kept.Cosine.Mean > 0) {
			t.Errorf("%+v", p)
		}
	}
	if points[0].Norm == points[1].Norm {
		t.Error("the parameters are the same in epochs 2 and 6")
	}

	// By hand: train up to epoch 6 and take the two gradients there.
	again, done, err := atEpoch6(t, s)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	full, err := again.Gradient(t.Context(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	k := c.Epochs[5]
	d, err := compare(t.Context(), again, full, "st-prune", []drawn{{k.IDs, k.Weight}})
	if err != nil {
		t.Fatal(err)
	}
	if got := points[1].Kept; math.Abs(d.Cosine.Mean-got.Cosine.Mean) > 1e-12 || math.Abs(d.Size.Mean-got.Size.Mean) > 1e-12 {
		t.Errorf("in epoch 6 %+v, by hand %+v", got, d)
	}

	if all, err := s.GradientPath(t.Context(), GradientOptions{Draws: 2}); err != nil || len(all) != 2 || all[0].Epoch != 2 || all[1].Epoch != 10 {
		t.Errorf("%+v, %v", all, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.GradientPath(ctx, GradientOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	other := *s
	r := *s.Run
	r.Spec.Prune.Seed = 77
	other.Run = &r
	_, err = other.GradientPath(t.Context(), GradientOptions{})
	refused(t, err, "keeps other units in epoch 2")
	_, err = subject(t).GradientPath(t.Context(), GradientOptions{})
	refused(t, err, "no pruned epoch")
	_, err = subject(t, "prune.method=divbs").GradientPath(t.Context(), GradientOptions{})
	refused(t, err, "chose within batches")
	_, err = subject(t, "prune.method=random", "train.patience=9").GradientPath(t.Context(), GradientOptions{})
	refused(t, err, "train.patience")
}

// atEpoch6 is the run trained again up to the start of epoch 6.
func atEpoch6(t *testing.T, s *Subject) (*train.Trainer, func(), error) {
	again, done, err := run.Again(t.Context(), s.Run, s.Sources, s.options)
	if err != nil {
		return nil, nil, err
	}
	stop := errors.New("enough")
	err = again.Run(t.Context(), train.Events{Epoch: func(r train.EpochReport) error {
		if r.Epoch == 5 {
			return stop
		}
		return nil
	}})
	if !errors.Is(err, stop) {
		t.Fatal(err)
	}
	return again, done, nil
}
