package lab

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stprune/workbench/figures"
	"github.com/stprune/workbench/stprune/run"
)

// short is a full and a pruned spec that train in a moment.
func short(l *Lab) (full, pruned run.Spec) {
	two := tiny([]run.Spec{Spec("small"), Spec("small")})
	full, pruned = two[0], two[1]
	full.Name, pruned.Name = "full data", "random"
	for _, s := range []*run.Spec{&full, &pruned} {
		l.Fail(s.Set("train.epochs=2", "data.history=3", "data.horizon=3"))
	}
	l.Fail(pruned.Set("prune.method=random", "prune.rho=0.2", "prune.warm_up=0", "prune.min_units=1"))
	return full, pruned
}

func TestCurves(t *testing.T) {
	printed, err := small(t, func(l *Lab) {
		full, pruned := short(l)
		runs := l.Runs(l.Seeds(full, 2)...)
		for _, s := range l.Ratios(pruned, 0.1, 0.3) {
			runs = append(runs, l.Runs(l.Seeds(s, 2)...)...)
		}
		muon := full
		l.Fail(muon.Set("optim.name=muon"))
		other := l.Run(muon)
		for name, f := range map[string]*figures.Figure{
			"visits": l.LearningCurves(runs...), "epochs": l.LearningCurvesBy(figures.Epochs, runs...),
			"steps": l.LearningCurvesBy(figures.Steps, runs...), "seconds": l.LearningCurvesBy(figures.Seconds, runs...),
			"ratio": l.RatioCurve(runs...), "pareto": l.Pareto(runs...), "horizon": l.HorizonErrors(runs...),
			"ablation": l.Ablation(runs...), "grid": l.Grid(append(runs[:2:2], other)...), "changes": l.Grid(runs[:4]...), "improvement": l.Improvement(runs...),
		} {
			l.Show(name, f)
			content, err := os.ReadFile(filepath.Join(l.Figures, name+".png"))
			if err != nil || !bytes.HasPrefix(content, []byte("\x89PNG")) {
				t.Errorf("figure %s: %v", name, err)
			}
		}

		groups := l.groups(append(runs, runs[0]), seedsOnly)
		if len(groups) != 3 || len(groups[0].runs) != 2 || groups[1].name != "random 10 %" {
			t.Errorf("%d groups; want three of two runs, the second called random 10 %%", len(groups))
		}
		names, members := l.lines(groups)
		if !slices.Equal(names, []string{"full data", "random"}) || len(members[1]) != 2 || members[1][0].rho() != 0.1 {
			t.Errorf("lines %v; want full data, and random with two ratios, 10 %% first", names)
		}
		l.ShowTable(l.Summary(runs...))
		table := l.Summary(runs...)
		if len(table.Rows) != 3 || !slices.Equal(table.Runs[0], []string{runs[0].ID, runs[1].ID}) {
			t.Errorf("rows %v of runs %v; want three, the first of the first two runs", table.Rows, table.Runs)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{" ± ", "Seeds: 2", "Budget: 2 epochs", "training windows of 3 nodes", "no difference can be proven"} {
		if !strings.Contains(printed, want) {
			t.Errorf("%q is not in\n%s", want, printed)
		}
	}
}

// A row is bold where all its seeds are better by far, and only then.
func TestBoldIsProven(t *testing.T) {
	rows := func(errors ...[]float64) (groups []*group, all []int) {
		for i, of := range errors {
			g := &group{name: string(rune('a' + i))}
			for seed, e := range of {
				r := &run.Run{}
				r.Spec.Train.Seed = uint64(seed)
				result := &run.Result{}
				result.Test.Mean.MAE = e
				g.runs, g.results = append(g.runs, r), append(g.results, result)
			}
			groups, all = append(groups, g), append(all, i)
		}
		return groups, all
	}
	high, low := []float64{2, 2.1, 2.2, 2, 2.1, 2.2}, []float64{1, 1.1, 1.2, 1, 1.1, 1.3}
	for name, c := range map[string]struct {
		errors   [][]float64
		best     int
		provable bool
	}{
		"better under six seeds":  {[][]float64{high, low}, 1, true},
		"better under five seeds": {[][]float64{high[:5], low[:5]}, -1, false},
		"equal":                   {[][]float64{high, high}, -1, true},
		"better than one of two":  {[][]float64{high, low, low}, -1, false}, // two comparisons need seven seeds
		"once worse":              {[][]float64{high, {2.05, 1.1, 1.2, 1, 1.1, 1.3}}, -1, true},
	} {
		err := With(t.Context(), func(l *Lab) {
			groups, all := rows(c.errors...)
			if best, provable := l.best(groups, all, testMAE); best != c.best || provable != c.provable {
				t.Errorf("%s: best row %d, provable %v; want %d, %v", name, best, provable, c.best, c.provable)
			}
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestCurvesNameBadInput(t *testing.T) {
	for want, work := range map[string]func(l *Lab, full, pruned *run.Run){
		"no run given":               func(l *Lab, _, _ *run.Run) { l.Summary() },
		"no pruned run":              func(l *Lab, full, _ *run.Run) { l.RatioCurve(full) },
		"at least two are needed":    func(l *Lab, full, _ *run.Run) { l.Improvement(full, full) },
		"no effect given":            func(l *Lab, full, _ *run.Run) { l.Ablation(full) },
		"share no data set and seed": func(l *Lab, full, pruned *run.Run) { pruned.Spec.Train.Seed = 2; l.Improvement(full, pruned) },
		"no seed in common":          func(l *Lab, full, pruned *run.Run) { pruned.Spec.Train.Seed = 2; l.Ablation(full, pruned) },
		"both train on full data": func(l *Lab, full, pruned *run.Run) {
			pruned.Spec.Prune, pruned.Spec.Train.Epochs = full.Spec.Prune, 3
			l.RatioCurve(full, pruned)
		},
		"are both called": func(l *Lab, full, pruned *run.Run) { pruned.Spec.Name = full.Spec.Name; l.Improvement(full, pruned) },
		"give one of them": func(l *Lab, full, pruned *run.Run) {
			full.Spec.Prune, full.Spec.Train.Epochs = pruned.Spec.Prune, 3
			l.Grid(full, pruned)
		},
	} {
		if _, err := small(t, func(l *Lab) {
			full, pruned := short(l)
			work(l, l.Run(full), l.Run(pruned))
			t.Errorf("%s: the cell went on", want)
		}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}
