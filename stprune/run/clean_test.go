package run

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stprune/workbench/stprune/train"
)

// Without its checkpoint a finished run is still there, evaluates to the same errors and starts other runs; what is not finished,
// or not whole, keeps all.
func TestClean(t *testing.T) {
	o := options(t.TempDir())
	spec := tiny(t, "train.epochs=3")
	r := do(t, spec, o)
	reached, err := r.Result()
	if err != nil {
		t.Fatal(err)
	}
	halted, err := Do(&stopper{Context: context.Background(), at: 3}, tiny(t, "prune.rho=0.05"), o)
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	has := func(r *Run, name string) bool {
		_, err := os.Stat(filepath.Join(r.Dir, name))
		return err == nil
	}
	before, err := r.Usage()
	if err != nil {
		t.Fatal(err)
	}
	parts := before.Checkpoints + before.Best + before.Selections + before.Scores
	if before.Needless == 0 || before.Needless != before.Checkpoints || before.Total <= parts || min(before.Best, before.Selections, before.Scores) == 0 {
		t.Errorf("usage %+v", before)
	}
	if u, err := halted.Usage(); err != nil || u.Needless != 0 || u.Checkpoints == 0 {
		t.Errorf("usage of an unfinished run %+v, %v", u, err)
	}

	// Held by somebody, with damaged parameters, or with a damaged result, it keeps its checkpoint.
	claim, err := o.Store.claim(context.Background(), r.ID, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Store.Clean(r); !errors.Is(err, ErrBusy) {
		t.Errorf("cleaning a run that is held: %v; want ErrBusy", err)
	}
	claim.release()
	for _, name := range []string{bestFile, resultFile} {
		path := filepath.Join(r.Dir, name)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, whole[:len(whole)/2], 0o644); err != nil {
			t.Fatal(err)
		}
		if freed, err := o.Store.Clean(r); freed != 0 || err != nil || !has(r, checkpointFile) {
			t.Errorf("with half of %s cleaning frees %d, %v", name, freed, err)
		}
		if err := os.WriteFile(path, whole, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if freed, err := o.Store.Clean(halted); freed != 0 || err != nil || !has(halted, checkpointFile) {
		t.Errorf("cleaning an unfinished run frees %d, %v", freed, err)
	}

	freed, err := o.Store.Clean(r)
	if err != nil || freed != before.Needless || has(r, checkpointFile) {
		t.Errorf("cleaning frees %d, want %d; %v", freed, before.Needless, err)
	}
	after, err := r.Usage()
	if err != nil || after.Total != before.Total-freed || after.Needless != 0 {
		t.Errorf("usage afterwards %+v, %v", after, err)
	}
	steps := 0
	o.Watch.Step = func(train.Progress) { steps++ }
	again := do(t, spec, o)
	if steps > 0 || again.ID != r.ID {
		t.Errorf("asking for the cleaned run trains %d steps", steps)
	}
	if _, err := r.Selection(2); err != nil {
		t.Error(err)
	}
	best, err := r.Best()
	if err != nil {
		t.Fatal(err)
	}
	errs, err := Evaluate(context.Background(), r.Spec, best, train.Test, o)
	if err != nil || errs[0].Mean != reached.Test.Mean {
		t.Errorf("evaluates to %+v, %v; before %+v", errs, err, reached.Test.Mean)
	}
	do(t, tiny(t, "train.epochs=3", "train.seed=3", "model.init="+r.ID), o)

	// The unfinished run goes on to the same bits as one that was never cleaned.
	resumed := do(t, tiny(t, "prune.rho=0.05"), o)
	want := do(t, tiny(t, "prune.rho=0.05"), options(t.TempDir()))
	a, err := os.ReadFile(filepath.Join(resumed.Dir, bestFile))
	b, err2 := os.ReadFile(filepath.Join(want.Dir, bestFile))
	if err != nil || err2 != nil || !bytes.Equal(a, b) {
		t.Errorf("resumed after cleaning the store, its parameters differ (%v, %v)", err, err2)
	}
}

func TestCleanLeftovers(t *testing.T) {
	store := NewStore(t.TempDir())
	for _, name := range []string{".removed-0123456789abcdef/scores/00001", ".removed-something/else", "notes/mine"} {
		path := filepath.Join(store.Dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("12345"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if dirs, size, err := store.Leftovers(); len(dirs) != 1 || size != 5 || err != nil {
		t.Errorf("leftovers %v, %d bytes, %v", dirs, size, err)
	}
	if freed, err := store.CleanLeftovers(); freed != 5 || err != nil {
		t.Errorf("freed %d, %v", freed, err)
	}
	if left, err := os.ReadDir(store.Dir); len(left) != 2 || err != nil {
		t.Errorf("left %v, %v", left, err)
	}
	if freed, err := NewStore(filepath.Join(store.Dir, "missing")).CleanLeftovers(); freed != 0 || err != nil {
		t.Errorf("of no store: freed %d, %v", freed, err)
	}
}
