package diagnose

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/stprune/workbench/stprune/loss"
	"github.com/stprune/workbench/stprune/train"
)

// GroupError is the masked MAE of a group of test targets under two runs, raw units.
type GroupError struct {
	Label   string  `json:"label"`
	Targets int     `json:"targets"` // measured
	MAE     float64 `json:"mae"`     // of the run
	Against float64 `json:"against"` // of the run that it is compared with
	Change  float64 `json:"change"`  // MAE / Against − 1
}

// GroupErrors says where the test errors of a run differ from those of another one, usually of full data. The hour is that of a
// window's first forecast step; nodes are grouped by decile of their MAE under the other run, and of their mean value in the
// training part. Congestion is by decile of how far the targets of a (window, node) pair lie from what is usual there, as in
// [Shares].
//
// Rare holds the windows with the highest MAE under the other run, the worst 1 % and 5 %. As these were chosen for the other
// run's errors, chance alone makes the run look better on them; Own is fair in this: it compares the worst windows of each run
// with each other, and counts the run's targets. So is Both, the windows with the highest sum of both runs' MAE.
type GroupErrors struct {
	Run        string       `json:"run"`
	Against    string       `json:"against"`
	All        GroupError   `json:"all"`
	Hour       []GroupError `json:"hour"`
	Horizon    []GroupError `json:"horizon"`
	NodeError  []GroupError `json:"node_error"`
	NodeLevel  []GroupError `json:"node_level"`
	Congestion []GroupError `json:"congestion"`
	Rare       []GroupError `json:"rare"`
	Own        []GroupError `json:"own"`
	Both       []GroupError `json:"both"`
}

// rareShares are the shares of windows that count as rare.
var rareShares = []float64{0.01, 0.05}

// Errors measures the best parameters of both finished runs on the test part of their common data.
func (s *Subject) Errors(ctx context.Context, against *Subject) (GroupErrors, error) {
	if err := s.Comparable(against); err != nil {
		return GroupErrors{}, err
	}
	series, w, err := s.only()
	if err != nil {
		return GroupErrors{}, err
	}
	unusual := deciles(congestion(series, w, w.Test, true))
	a, err := s.testErrors(ctx, unusual)
	if err != nil {
		return GroupErrors{}, err
	}
	b, err := against.testErrors(ctx, unusual)
	if err != nil {
		return GroupErrors{}, err
	}

	out := GroupErrors{Run: s.ID, Against: against.ID}
	summed := func(labels []string, mine, theirs []tally) []GroupError {
		var all []GroupError
		for i, label := range labels {
			if mine[i].count > 0 {
				all = append(all, groupError(label, mine[i], theirs[i]))
			}
		}
		return all
	}
	groups := func(g grouping, a, b []tally) []GroupError { return summed(g.labels, g.sum(a), g.sum(b)) }
	out.All = groupError("all", total(a.window), total(b.window))
	out.Hour = groups(hours(series.Calendar, w.Test, w.History), a.window, b.window)
	var steps []string
	for h := range w.Horizon {
		steps = append(steps, fmt.Sprint(h+1))
	}
	out.Horizon = summed(steps, a.horizon, b.horizon)
	out.Congestion = summed(unusual.labels, a.unusual, b.unusual)
	out.NodeError = groups(deciles(maes(b.node)), a.node, b.node)
	mean, _ := nodeLevels(series, w)
	out.NodeLevel = groups(deciles(mean), a.node, b.node)
	both := make([]tally, len(a.window)) // of the same targets, so that the mean orders as the sum of both runs' MAE
	for i := range both {
		both[i] = total([]tally{a.window[i], b.window[i]})
	}
	for _, share := range rareShares {
		label := fmt.Sprintf("worst %.0f %%", 100*share)
		mine, theirs, either := worst(a.window, share), worst(b.window, share), worst(both, share)
		out.Rare = append(out.Rare, groupError(label, pick(a.window, theirs), pick(b.window, theirs)))
		out.Own = append(out.Own, groupError(label, pick(a.window, mine), pick(b.window, theirs)))
		out.Both = append(out.Both, groupError(label, pick(a.window, either), pick(b.window, either)))
	}
	return out, nil
}

func groupError(label string, mine, theirs tally) GroupError {
	e := GroupError{Label: label, Targets: int(mine.count), MAE: mine.mae(), Against: theirs.mae()}
	if e.Against > 0 {
		e.Change = e.MAE/e.Against - 1
	}
	return e
}

// tally is a sum of absolute errors over a number of measured targets.
type tally struct{ sum, count float64 }

// mae is NaN without a target.
func (t tally) mae() float64 { return t.sum / t.count }

func total(all []tally) tally {
	var t tally
	for _, x := range all {
		t.sum += x.sum
		t.count += x.count
	}
	return t
}

func maes(all []tally) []float64 {
	var out []float64
	for _, t := range all {
		out = append(out, t.mae())
	}
	return out
}

// sum adds items up, group by group.
func (g grouping) sum(items []tally) []tally {
	out := make([]tally, len(g.labels))
	for i, t := range items {
		if group := g.of[i]; group >= 0 {
			out[group].sum += t.sum
			out[group].count += t.count
		}
	}
	return out
}

// worst lists the given share, rounded up, of the windows that have targets: those with the highest MAE.
func worst(windows []tally, share float64) []int {
	var measured []int
	for i, t := range windows {
		if t.count > 0 {
			measured = append(measured, i)
		}
	}
	slices.SortStableFunc(measured, func(i, j int) int { return cmp.Compare(windows[j].mae(), windows[i].mae()) })
	return measured[:int(math.Ceil(share*float64(len(measured))))]
}

// pick adds up some items.
func pick(items []tally, places []int) tally {
	var some []tally
	for _, i := range places {
		some = append(some, items[i])
	}
	return total(some)
}

// testErrors are absolute errors on the test part, by window, node, horizon, and group of (window, node) pairs.
type testErrors struct{ window, node, horizon, unusual []tally }

func (s *Subject) testErrors(ctx context.Context, unusual grouping) (testErrors, error) {
	t, done, err := s.trainer(ctx)
	if err != nil {
		return testErrors{}, err
	}
	defer done()
	series, w := s.Sources[0].Series, s.Sources[0].Windows
	e := testErrors{window: make([]tally, len(w.Test)), node: make([]tally, series.N), horizon: make([]tally, w.Horizon),
		unusual: make([]tally, len(unusual.labels))}
	all, err := t.Errors(ctx, train.Test, func(_, window int, sum, count []float32) {
		for n, v := range sum {
			to := []*tally{&e.window[window], &e.node[n]}
			if group := unusual.of[window*series.N+n]; group >= 0 {
				to = append(to, &e.unusual[group])
			}
			for _, t := range to {
				t.sum += float64(v)
				t.count += float64(count[n])
			}
		}
	})
	if err != nil {
		return testErrors{}, fmt.Errorf("run %s: %w", s.ID, err)
	}
	for h := range e.horizon {
		row := all[0][h*loss.NumSums:]
		e.horizon[h] = tally{row[loss.SumAbs], row[loss.Count]}
	}
	return e, nil
}
