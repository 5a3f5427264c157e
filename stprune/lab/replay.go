package lab

import (
	"cmp"
	"fmt"

	"github.com/stprune/workbench/figures"
	"github.com/stprune/workbench/stprune/diagnose"
	"github.com/stprune/workbench/stprune/run"
)

// Replay tells what methods would keep by the scores that full, a run on all data, recorded: nothing is trained, so that scores, λ,
// selectors and ratios can be tried in seconds. It is approximate for methods that use scores, as those of a model trained on all
// data differ from those of one trained on what the method keeps (see [diagnose.Subject.Replay]). Each spec has a row, with means
// over its pruned epochs. Of a spec its prune, train.unit, train.epochs, train.batch and train.seed count; the unit must be the
// run's, and its epochs at most the run's.
func (l *Lab) Replay(full *run.Run, specs ...run.Spec) *figures.Table {
	t := &figures.Table{
		Caption: fmt.Sprintf("What methods would keep by the scores of %s, without training.", cmp.Or(full.Spec.Name, "run "+full.ID)),
		Note: "Over pruned epochs the mean, and the largest weight of all. Effective: how many units count alike, of those kept. Score: mean complexity of the kept over that of all. " +
			"Ever kept: in any of the epochs. Repeated: Jaccard index with the pruned epoch before, and what chance gives.",
		Columns: []string{"method", "kept", "effective", "largest weight", "score", "ever kept", "repeated", "by chance"},
	}
	s := l.subject(full)
	for _, spec := range specs {
		r := l.replay(s, spec)
		var kept, effective, weight, score, repeated, chance, repeats float64
		var ever []bool
		pruned := r.Choice.Pruned()
		for _, epoch := range pruned {
			e, k := r.Epochs[epoch-1], r.Choice.Epochs[epoch-1]
			kept += e.Kept
			effective += e.Selection.EffectiveSize / float64(len(k.IDs))
			weight = max(weight, e.Selection.MaxWeight)
			score += e.Score / e.ScoreAll
			if e.Repeated != nil {
				repeated, chance, repeats = repeated+e.Repeated.Jaccard, chance+e.Repeated.Expected, repeats+1
			}
			if ever == nil {
				ever = make([]bool, k.Units)
			}
			for _, id := range k.IDs {
				ever[id] = true
			}
		}
		count := 0
		for _, is := range ever {
			if is {
				count++
			}
		}
		n := float64(len(pruned))
		row := []string{r.Choice.Name, percentOf(kept, n), percentOf(effective, n), fmt.Sprintf("%.2f", weight), fmt.Sprintf("%.2f", score/n), percentOf(float64(count), float64(len(ever)))}
		again := []string{"", ""}
		if repeats > 0 {
			again = []string{fmt.Sprintf("%.3f", repeated/repeats), fmt.Sprintf("%.3f", chance/repeats)}
		}
		t.Rows = append(t.Rows, append(row, again...))
	}
	return t
}

// ReplayWeek is [Lab.KeptWeek] of what a method would keep; see [Lab.Replay].
func (l *Lab) ReplayWeek(full *run.Run, spec run.Spec) *figures.Figure {
	r := l.replay(l.subject(full), spec)
	var pruned []run.Kept
	for _, epoch := range r.Choice.Pruned() {
		pruned = append(pruned, r.Choice.Epochs[epoch-1])
	}
	return l.week(full, pruned)
}

// replay refuses a spec that prunes no epoch, of which there is nothing to tell.
func (l *Lab) replay(s *diagnose.Subject, spec run.Spec) diagnose.Replay {
	r, err := s.Replay(l.ctx, spec)
	l.Fail(err)
	if spec.Name != "" {
		r.Choice.Name = spec.Name
	}
	if len(r.Choice.Pruned()) == 0 {
		l.Fail(fmt.Errorf("replay: %s prunes no epoch; set prune.method, and prune.rho below 1", r.Choice.Name))
	}
	return r
}

// percentOf is a sum over n, 0/0 NaN.
func percentOf(sum, n float64) string { return fmt.Sprintf("%.1f %%", 100*sum/n) }
