package lab

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/datasets/synth"
	"github.com/stprune/workbench/stprune/method"
	"github.com/stprune/workbench/stprune/run"
)

// small gives work a lab with stores of its own and the data set "small": 3 sensors over 2 days.
func small(t *testing.T, work func(l *Lab)) (printed string, err error) {
	t.Helper()
	dir := t.TempDir()
	s, _, err := synth.City(synth.Config{Nodes: 3, Days: 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := datasets.Save(filepath.Join(dir, "data", "small"), s, datasets.Card{Name: "small"}); err != nil {
		t.Fatal(err)
	}
	notes, err := os.Create(filepath.Join(dir, "notes"))
	if err != nil {
		t.Fatal(err)
	}
	defer notes.Close()
	var out bytes.Buffer
	err = With(t.Context(), func(l *Lab) {
		l.Store, l.Folders, l.Figures = run.NewStore(filepath.Join(dir, "runs")), []string{filepath.Join(dir, "data")}, filepath.Join(dir, "figures")
		l.Out, l.Notes = &out, notes
		work(l)
	})
	return out.String(), err
}

// tiny makes specs that train within a second on the Go backend.
func tiny(specs []run.Spec) []run.Spec {
	for i := range specs {
		s := &specs[i]
		s.Backend.Name = "go"
		s.Train.Epochs = max(2, s.Train.Epochs/4)
		s.Model.Options = map[string]any{"embed_dim": 4, "node_dim": 4, "tod_dim": 4, "dow_dim": 4, "layers": 1}
	}
	return specs
}

func TestFourWays(t *testing.T) {
	printed, err := small(t, func(l *Lab) {
		runs := l.Runs(tiny(l.FourWays("small", 0.2))...)
		again := l.Runs(tiny(l.FourWays("small", 0.2))...)
		for i, r := range runs {
			if again[i].ID != r.ID {
				t.Errorf("asked again, run %d is %s, before %s", i, again[i].ID, r.ID)
			}
		}
		results := l.Results(runs...)
		if len(results.Rows) != 4 || results.Rows[0][0] != "full data" || results.Rows[0][7] != "5.00" {
			t.Errorf("results %v; want four runs, full data first with 5 epochs of visits", results.Rows)
		}
		l.ShowTable(l.Details(runs...))
		l.ShowTable(l.Describe(l.Series("small")))
		l.Show("loss-complexity", l.LossComplexity(runs[0], runs[2]))
		l.Show("learning-curves", l.LearningCurves(runs...))
		l.Show("kept-calendar", l.KeptCalendar(runs[2]))
		for _, name := range []string{"loss-complexity", "learning-curves", "kept-calendar"} {
			content, err := os.ReadFile(filepath.Join(l.Figures, name+".png"))
			if err != nil || !bytes.HasPrefix(content, []byte("\x89PNG")) {
				t.Errorf("figure %s: %v", name, err)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"MAE, horizon 12", "RMSE, average", "MAPE, horizon 3", "windows visited", "optimiser steps", "seconds, selection", "kept-calendar.png", "576 of 5m0s"} {
		if !strings.Contains(printed, want) {
			t.Errorf("%q is not in\n%s", want, printed)
		}
	}
}

// endsCell wants work on l's stores to end its cell with an error.
func endsCell(t *testing.T, l *Lab, want string, work func(l *Lab)) {
	t.Helper()
	err := With(t.Context(), func(inner *Lab) {
		inner.Store, inner.Folders, inner.Notes = l.Store, l.Folders, l.Notes
		work(inner)
		t.Errorf("%s: the cell went on", want)
	})
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want one with %q", err, want)
	}
}

func TestFailingCallEndsTheCell(t *testing.T) {
	for want, work := range map[string]func(l *Lab){
		"smal":            func(l *Lab) { l.Series("smal") },
		"no pruned epoch": func(l *Lab) { l.KeptCalendar(l.Run(tiny(l.FourWays("small", 1))[0])) },
		"prune.rho":       func(l *Lab) { s := l.FourWays("small", 1)[0]; l.Fail(s.Set("prune.rho=much")) },
		"own":             func(l *Lab) { l.Fail(errors.New("own")) },
	} {
		if _, err := small(t, func(l *Lab) {
			work(l)
			t.Errorf("%s: the cell went on", want)
		}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

func TestTry(t *testing.T) {
	_, err := small(t, func(l *Lab) {
		if err := l.Try(func() { l.Series("smal") }); err == nil || !strings.Contains(err.Error(), "smal") {
			t.Errorf("error %v, want one with the name", err)
		}
		if err := l.Try(func() { l.Series("small") }); err != nil {
			t.Errorf("then error %v", err)
		}
	})
	if err != nil {
		t.Errorf("the cell ends with %v", err)
	}
}

func TestCancelledTrainingResumes(t *testing.T) {
	_, err := small(t, func(l *Lab) {
		ctx, cancel := context.WithCancel(l.ctx)
		spec := tiny(l.FourWays("small", 0.2))[0]
		l.Fail(spec.Set("train.epochs=200"))
		said, notes, err := os.Pipe()
		l.Fail(err)
		go func() {
			_, _ = said.Read(make([]byte, 1)) // an epoch is complete
			cancel()
			_, _ = io.Copy(io.Discard, said)
		}()
		err = With(ctx, func(inner *Lab) {
			inner.Store, inner.Folders, inner.Notes = l.Store, l.Folders, notes
			inner.Run(spec)
		})
		_ = notes.Close()
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "resumes when asked for again") {
			t.Errorf("error %v, want one that says how to go on", err)
		}
		if r := l.Run(spec); r.Status() != run.Finished {
			t.Errorf("asked again it is %s", r.Status())
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestCityIsMadeOnce(t *testing.T) {
	_, err := small(t, func(l *Lab) {
		first := l.City()
		if first.N != 24 || first.T != 28*288 || first.Name != "city" {
			t.Errorf("city %q of %d × %d", first.Name, first.T, first.N)
		}
		l.series = map[string]*datasets.Series{}
		if l.City().Hash() != first.Hash() {
			t.Error("the stored city differs")
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestMethods(t *testing.T) {
	table := MethodTable()
	if err := table.Check(); err != nil || len(table.Rows) != len(method.All())+len(method.NotApplicable()) {
		t.Errorf("%d rows for %d methods and %d that are not applicable, %v", len(table.Rows), len(method.All()), len(method.NotApplicable()), err)
	}
	for _, m := range method.NotApplicable() {
		if text := table.Text(); !strings.Contains(text, m.Name) || !strings.Contains(text, m.Reason) {
			t.Errorf("%s or why it is not applicable is not in\n%s", m.Name, text)
		}
	}
}

func TestStudies(t *testing.T) {
	spec := run.DefaultSpec()
	spec.Prune.Method, spec.Prune.Rho = "st-prune", 0.1
	var names []string
	for _, s := range append(Methods(spec, "random", "el2n"), Ablations(spec)...) {
		names = append(names, s.Prune.Method+" "+s.Name)
	}
	want := []string{
		"random random", "el2n el2n", "st-prune ST-Prune 10 %", "st-prune unscored",
		"st-prune apart", "st-prune unweighted",
	}
	if !slices.Equal(names, want) {
		t.Errorf("specs %q; want %q", names, want)
	}
}
