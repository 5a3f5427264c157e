package diagnose

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stprune/workbench/stprune"
	"github.com/stprune/workbench/stprune/method"
	"github.com/stprune/workbench/stprune/run"
	"github.com/stprune/workbench/stprune/train"
)

// Notes of a [Replay].
const (
	Exact       = "exact: the method uses no scores"
	Approximate = "approximate: scores come from a model trained on all data, not from one trained on the selections"
)

// Replay is what a method would select, drawn without training.
type Replay struct {
	Choice  Choice        `json:"-"`
	Scores  string        `json:"scores"` // run that the scores come from
	Note    string        `json:"note"`   // [Exact] or [Approximate], and more for pairs
	Epochs  []ReplayEpoch `json:"epochs"`
	Seconds float64       `json:"seconds"` // that the method took to plan and to observe
}

// ReplayEpoch is one epoch of a replay.
type ReplayEpoch struct {
	Epoch     int                 `json:"epoch"` // from 1
	Selection stprune.Diagnostics `json:"selection"`
	Kept      float64             `json:"kept"`      // share of all units
	Score     float64             `json:"score"`     // mean recorded complexity of the kept units in this epoch
	ScoreAll  float64             `json:"score_all"` // of all units
	Repeated  *Overlap            `json:"repeated"`  // with what the pruned epoch before kept; nil in full epochs and the first pruned one
}

// Replay runs the method of spec over the subject's training units without training: in each epoch the units that it keeps are
// given the statistics that the subject, a run on all data, recorded in the same epoch. Of the spec its prune, train.unit,
// train.epochs, train.batch and train.seed are read; data and scores are the subject's.
//
// This is approximate: scores come from a model trained on all data. A method that uses no statistics, such as "random", selects
// exactly what it does in training. Recorded are level, spatial, temporal and coherence of windows, so that any λs and λt can be replayed
// (from runs that were begun before spatial was recorded, only the defaults); for pairs, which are recorded by window and by node, those
// of a pair are taken to be the product of its window's and its node's over the mean. Methods that need anything else are refused.
func (s *Subject) Replay(ctx context.Context, spec run.Spec) (Replay, error) {
	fail := func(format string, args ...any) (Replay, error) {
		return Replay{}, fmt.Errorf("replay: "+format, args...)
	}
	if err := spec.Check(); err != nil {
		return fail("%w", err)
	}
	m, err := method.ByName(spec.Prune.Method)
	if err != nil {
		return fail("%w", err)
	}
	recorded, err := s.Run.Epochs()
	if err != nil {
		return Replay{}, err
	}
	switch {
	case s.Spec.Prune.Method != "full":
		return fail("run %s is of method %s and has no score of the units that it did not visit; take the scores from a run of method full", s.ID, s.Spec.Prune.Method)
	case spec.Train.Unit != s.Spec.Train.Unit:
		return fail("the method selects units of train.unit = %s, run %s recorded %ss; take the scores from a run on the same unit", spec.Train.Unit, s.ID, s.Spec.Train.Unit)
	case spec.Train.Unit == train.Block:
		return fail("run %s recorded scores of windows, not of blocks", s.ID)
	case spec.Train.Epochs > len(recorded):
		return fail("train.epochs = %d, but run %s has recorded %d; lower it, or take the scores from a longer run", spec.Train.Epochs, s.ID, len(recorded))
	case spec.Train.MaxSteps > 0:
		return fail("train.max_steps = %d, and epochs are replayed whole; leave it out", spec.Train.MaxSteps)
	case m.Needs.Probed():
		return fail("method %s needs a scoring model, which is trained with the run", m.Name)
	}
	p, err := spec.Pruner(s.Sources)
	if err != nil {
		return fail("%w", err)
	}
	if _, ok := p.(stprune.Chooser); ok {
		return fail("method %s chooses by the gradients of candidate batches, which runs do not record", m.Name)
	}
	n := train.Config{Unit: spec.Train.Unit}.Units(s.Sources...)
	first, err := s.scores(1, n)
	if err != nil {
		return fail("%w", err)
	}
	scored, err := usesScores(spec, p, n, first.Windows)
	if err != nil {
		return fail("%w", err)
	}

	out := Replay{Scores: s.ID, Note: Exact}
	if scored {
		out.Note = Approximate
		if spec.Train.Unit == train.Pair {
			out.Note += "; a pair's are those of its window times those of its node, over the mean"
		}
	}
	out.Choice.Name = m.Name + ", replayed"
	all := everyID(n)
	last := 0 // pruned epoch before
	for epoch := 1; epoch <= spec.Train.Epochs; epoch++ {
		if err := ctx.Err(); err != nil {
			return fail("interrupted: %w", err)
		}
		scores, err := s.scores(epoch, n)
		if err != nil {
			return fail("%w", err)
		}
		start := time.Now()
		selection, err := p.Plan(epoch - 1)
		if err != nil {
			return fail("planning epoch %d: %w", epoch, err)
		}
		out.Seconds += time.Since(start).Seconds()
		ids := selection.IDs
		if selection.All {
			ids = all
		}
		order := slices.Clone(ids)
		stprune.Stream(spec.Train.Seed, "order", epoch-1).Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		seconds, err := scores.observe(p, order, spec.Train.Batch)
		if err == nil {
			if f, ok := p.(stprune.Forwarder); ok {
				var more float64
				more, err = scores.observe(p, f.Forward(epoch-1), spec.Train.Batch)
				seconds += more
			}
		}
		if err != nil {
			return fail("epoch %d: %w", epoch, err)
		}
		out.Seconds += seconds

		e := ReplayEpoch{Epoch: epoch, Selection: selection.Diagnostics, Kept: float64(len(ids)) / float64(n), Score: scores.complexity(ids), ScoreAll: scores.complexity(all)}
		if !selection.All {
			if last > 0 {
				o := overlap(n, out.Choice.Epochs[last-1].IDs, ids)
				o.Epoch = epoch
				e.Repeated = &o
			}
			last = epoch
		}
		out.Epochs = append(out.Epochs, e)
		out.Choice.Epochs = append(out.Choice.Epochs, run.Kept{Units: n, PerWindow: scores.perWindow, Selection: selection})
	}
	return out, nil
}

func everyID(n int) []int32 {
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32(i)
	}
	return ids
}

// usesScores tells whether a method reads statistics, and refuses one that reads what runs do not record. What it reads shows in
// its state: two units are observed with each column altered in turn. The pruner is left as it was.
func usesScores(spec run.Spec, p stprune.Pruner, n int, recorded run.Difficulty) (bool, error) {
	fresh, err := p.MarshalBinary()
	if err != nil {
		return false, err
	}
	after := func(column int) ([]byte, error) {
		var ids []int32
		var stats stprune.Stats
		for id := range min(2, n) {
			ids = append(ids, int32(id))
			for c := range stprune.NumStats {
				v := float32(id+1) / 4
				if c == column {
					v = 0.9 - v
				}
				stats = append(stats, v)
			}
		}
		if err := p.Observe(ids, stats); err != nil {
			return nil, err
		}
		state, err := p.MarshalBinary()
		if err != nil {
			return nil, err
		}
		return state, p.UnmarshalBinary(fresh)
	}
	plain, err := after(-1)
	if err != nil {
		return false, err
	}
	uses := false
	var unrecorded []string
	for column := range stprune.NumStats {
		state, err := after(column)
		if err != nil {
			return false, err
		}
		if bytes.Equal(plain, state) {
			continue
		}
		uses = true
		older := false
		switch column {
		case stprune.Level:
		case stprune.Coherence:
			older = recorded.Coherence == nil
		case stprune.Spatial, stprune.Temporal:
			older = recorded.Spatial == nil && !defaultComplexity(spec)
		default:
			unrecorded = append(unrecorded, stprune.StatName(column))
		}
		if older {
			return false, fmt.Errorf("method %s with these settings needs the units' %s, which the run does not have, as older ones; train it again",
				spec.Prune.Method, stprune.StatName(column))
		}
	}
	if len(unrecorded) > 0 {
		return false, fmt.Errorf("method %s with these settings needs the units' %s, which runs on all data do not measure; leave it out",
			spec.Prune.Method, strings.Join(unrecorded, ", "))
	}
	return uses, nil
}

// defaultComplexity tells whether a method takes no more of spatial and temporal than the complexity with the default λ, which older
// runs have too.
func defaultComplexity(spec run.Spec) bool {
	c, d := spec.Prune.Config, stprune.DefaultConfig()
	return spec.Prune.Method == "st-prune" && c.Score == "complexity" && c.LambdaS == d.LambdaS && c.LambdaT == d.LambdaT
}

// scoring gives units the statistics that a run recorded in one epoch.
type scoring struct {
	run.Scores
	perWindow int
	mean      values // over windows, when the unit is a pair
}

// values of a unit.
type values struct{ level, spatial, temporal, coherence float32 }

// complexity with the default λ.
func (v values) complexity() float32 { return v.level + v.spatial + v.temporal }

// at are the values of a window or of a node.
func at(d *run.Difficulty, i int) values {
	v := values{level: d.Level[i], spatial: d.Complexity[i] - d.Level[i]}
	if d.Coherence != nil {
		v.coherence = d.Coherence[i]
	}
	if d.Spatial != nil { // else spatial stands for both; see usesScores for who may read it
		v.spatial, v.temporal = d.Spatial[i], v.spatial-d.Spatial[i]
	}
	return v
}

// scores of the units in an epoch (from 1), all of which it visited.
func (s *Subject) scores(epoch, units int) (scoring, error) {
	recorded, err := s.Run.Scores(epoch)
	if err != nil {
		return scoring{}, err
	}
	out := scoring{Scores: recorded, perWindow: 1}
	if recorded.Nodes != nil {
		out.perWindow = len(recorded.Nodes.Level)
	}
	windows := len(recorded.Windows.Level)
	if windows*out.perWindow != units {
		return scoring{}, fmt.Errorf("run %s recorded %d units; its data have %d", s.ID, windows*out.perWindow, units)
	}
	for i, w := range recorded.Windows.Weight {
		if w <= 0 {
			return scoring{}, fmt.Errorf("run %s did not visit window %d in epoch %d; take the scores from a run of method full", s.ID, i, epoch)
		}
		v := at(&recorded.Windows, i)
		out.mean.level += v.level / float32(windows)
		out.mean.spatial += v.spatial / float32(windows)
		out.mean.temporal += v.temporal / float32(windows)
		out.mean.coherence += v.coherence / float32(windows)
	}
	return out, nil
}

// of a unit: its values.
func (s scoring) of(id int32) values {
	v := at(&s.Windows, int(id)/s.perWindow)
	if s.Nodes == nil {
		return v
	}
	node := at(s.Nodes, int(id)%s.perWindow)
	times := func(window *float32, node, mean float32) {
		if mean > 0 {
			*window *= node / mean
		}
	}
	times(&v.level, node.level, s.mean.level)
	times(&v.spatial, node.spatial, s.mean.spatial)
	times(&v.temporal, node.temporal, s.mean.temporal)
	times(&v.coherence, node.coherence, s.mean.coherence)
	return v
}

// complexity is the mean over units.
func (s scoring) complexity(ids []int32) float64 {
	sum := 0.0
	for _, id := range ids {
		sum += float64(s.of(id).complexity()) / float64(len(ids))
	}
	return sum
}

// observe tells a pruner about units, batch by batch, and returns the seconds that it took.
func (s scoring) observe(p stprune.Pruner, ids []int32, batch int) (float64, error) {
	stats := make(stprune.Stats, 0, batch*stprune.NumStats)
	seconds := 0.0
	for part := range slices.Chunk(ids, batch) {
		stats = stats[:len(part)*stprune.NumStats]
		clear(stats)
		for i, id := range part {
			row := stats[i*stprune.NumStats:]
			v := s.of(id)
			row[stprune.Level], row[stprune.Spatial], row[stprune.Temporal], row[stprune.Coherence] = v.level, v.spatial, v.temporal, v.coherence
		}
		start := time.Now()
		if err := p.Observe(part, stats); err != nil {
			return 0, err
		}
		seconds += time.Since(start).Seconds()
	}
	return seconds, nil
}
