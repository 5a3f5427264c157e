package run

import (
	"testing"
)

// What is planned is what happens.
func TestPlanner(t *testing.T) {
	for _, settings := range [][]string{
		{"prune.method=full"}, {"prune.method=full", "train.max_steps=5"}, {"prune.method=random", "train.max_steps=5"}, {"prune.method=random"}, {"prune.method=st-prune", "prune.anneal=linear"},
		{"prune.method=random", "train.unit=pair", "prune.pruned_batch=7", "backend.name=auto"},
	} {
		t.Setenv("GOMLX_BACKEND", "go")
		spec, o := tiny(t, settings...), options(t.TempDir())
		p, err := NewPlanner(t.Context(), spec, o)
		if err != nil {
			t.Fatal(err)
		}
		s, err := p.Schedule(spec)
		if err != nil {
			t.Fatal(err)
		}
		r := do(t, spec, o)
		result, err := r.Result()
		if err != nil {
			t.Fatal(err)
		}
		steps, visits := p.Planned(spec, s)
		if p.ID(spec) != r.ID || s.Units() != result.Units || steps != result.Steps || visits != result.Visits {
			t.Errorf("%v: planned %s: %d units, %d steps, %d visits; it became %+v", settings, p.ID(spec), s.Units(), steps, visits, result)
		}
	}
}
