package run

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stprune/workbench/stprune"
	"github.com/stprune/workbench/stprune/method"
)

func lot(r *rand.Rand, loss []float32, k int) ([]int32, []float32) {
	return stprune.Sample(r, len(loss), k), nil
}

// A method that only this program has must train, go on after an interruption to the same files, and be read without it.
func TestMethodOfOnesOwn(t *testing.T) {
	spec := tiny(t)
	if err := spec.Use(method.FromLosses("lot", lot)); err != nil {
		t.Fatal(err)
	}
	whole := do(t, spec, options(t.TempDir()))

	o := options(t.TempDir())
	if _, err := Do(&stopper{Context: context.Background(), at: 20}, spec, o); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v; want an interruption", err)
	}
	again := do(t, spec, o)
	same(t, whole.Dir, again.Dir)
	if again.ID != whole.ID {
		t.Errorf("resumed, the run is %s; want %s", again.ID, whole.ID)
	}

	r, err := Open(whole.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if r.Spec.Prune.Method != "lot" {
		t.Errorf("its method reads as %q", r.Spec.Prune.Method)
	}
	if _, err := Do(t.Context(), r.Spec, o); err == nil || !strings.Contains(err.Error(), `no method "lot"`) {
		t.Errorf("error %v; want one that says that the method is missing", err)
	}
}

func TestUseRefuses(t *testing.T) {
	static := method.FromLosses("mine", lot)
	static.Kind = method.Static
	for name, m := range map[string]method.Method{"name": method.FromLosses("random", lot), "no name": method.FromLosses("", lot), "static": static} {
		spec := tiny(t)
		if err := spec.Use(m); err == nil || spec.Prune.Method != "st-prune" {
			t.Errorf("%s: error %v, method %s; want it refused", name, err, spec.Prune.Method)
		}
	}
}
