package run

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestListFindsByMeaning(t *testing.T) {
	o := options(t.TempDir())
	for _, settings := range [][]string{
		{"name=everything", "prune.method=full"},
		{"name=a tenth", "prune.method=random", "prune.rho=0.4"},
		{"name=ours", "prune.rho=0.4", "train.seed=2"},
	} {
		do(t, tiny(t, append(settings, "train.epochs=3")...), o)
	}
	interrupted, err := Do(&stopper{Context: context.Background(), at: 3}, tiny(t, "name=halted", "prune.rho=0.3"), o)
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	for filters, want := range map[string]string{
		"":                             "everything, a tenth, ours, halted",
		"status=finished":              "everything, a tenth, ours",
		"status=interrupted":           "halted",
		"prune.rho=0.4":                "a tenth, ours", // not full, which reads no ρ
		"prune.method=full":            "everything",
		"name=a tenth":                 "a tenth",
		"train.seed=2;prune.rho=0.4":   "ours",
		"train.epochs=3;train.seed=1":  "everything, a tenth",
		"data.name=ramp;prune.rho=0.9": "",
	} {
		var given []string
		if filters != "" {
			given = strings.Split(filters, ";")
		}
		runs, err := o.Store.List(given...)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, r := range runs {
			names = append(names, r.Spec.Name)
		}
		if got := strings.Join(names, ", "); got != want {
			t.Errorf("%q finds %q, want %q", filters, got, want)
		}
	}
	if _, err := o.Store.List("prune.rhoo=1"); err == nil {
		t.Error("an unknown key was taken as a filter")
	}

	if r, err := o.Store.Get(interrupted.ID[:7]); err != nil || r.ID != interrupted.ID {
		t.Errorf("got %v, %v by the first digits of its id", r, err)
	}
	if err := o.Store.Remove(interrupted.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Store.Get(interrupted.ID); !errors.Is(err, ErrNoRun) {
		t.Errorf("error %v after removing; want ErrNoRun", err)
	}
	for _, id := range []string{"", "..", "zz"} {
		if err := o.Store.Remove(id); !errors.Is(err, ErrNoRun) {
			t.Errorf("removing %q: %v; want ErrNoRun", id, err)
		}
	}
}

func TestStoreFolder(t *testing.T) {
	t.Setenv("STPRUNE_RUNS", "elsewhere")
	if got := NewStore("").Dir; got != "elsewhere" {
		t.Errorf("store in %q", got)
	}
	if got := NewStore("here").Dir; got != "here" {
		t.Errorf("store in %q", got)
	}
	t.Setenv("STPRUNE_RUNS", "")
	if got := NewStore("").Dir; got != "runs" {
		t.Errorf("store in %q", got)
	}
	runs, err := NewStore(filepath.Join(t.TempDir(), "missing")).List()
	if err != nil || len(runs) != 0 {
		t.Errorf("a store that does not exist yet: %d runs, %v", len(runs), err)
	}
}

func TestAlteredFilesAreErrors(t *testing.T) {
	r := do(t, tiny(t, "train.epochs=3"), options(t.TempDir()))
	for name, read := range map[string]func() error{
		bestFile:             func() error { _, err := r.Best(); return err },
		resultFile:           func() error { _, err := r.Result(); return err },
		epochsFile:           func() error { _, err := r.Epochs(); return err },
		"selections/00002":   func() error { _, err := r.Selection(2); return err },
		"scores/00001":       func() error { _, err := r.Scores(1); return err },
		"selections/missing": func() error { _, err := r.Selection(9); return err },
	} {
		path := filepath.Join(r.Dir, name)
		if b, err := os.ReadFile(path); err == nil {
			if err := read(); err != nil {
				t.Fatal(err)
			}
			b[len(b)/2] ^= 0x80
			if err := os.WriteFile(path, b[:len(b)-3], 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := read(); err == nil || !strings.Contains(err.Error(), r.ID) {
			t.Errorf("%s: error %v; want one that names the run", name, err)
		}
	}
}
