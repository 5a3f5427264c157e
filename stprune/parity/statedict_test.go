package parity

import (
	"slices"
	"strings"
	"testing"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/stprune/backbone"
)

// The references' own state dicts must load, and ours must have the same names, shapes and values. The files have them as param.*
// and buffer.*.
func TestStateDictsOfReferences(t *testing.T) {
	stems, err := pairs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, stem := range stems {
		g, err := load(stem)
		if err != nil {
			t.Fatal(err)
		}
		if g.meta.Model == "" {
			continue
		}
		g.report = func(Result) {}
		at := slices.IndexFunc(references(), func(r reference) bool { return strings.HasPrefix(g.meta.Model, r.model) })
		s := &subject{g: g, ref: references()[at]}
		if err := s.load(); err != nil {
			t.Fatal(err)
		}
		dict := map[string]datasets.Array{}
		for name, a := range g.arrays {
			for _, prefix := range []string{"param.", "buffer."} {
				if rest, ok := strings.CutPrefix(name, prefix); ok {
					dict[rest] = a
				}
			}
		}
		theta, err := backbone.FromStateDict(s.model, dict)
		if err != nil {
			t.Errorf("%s: %v", stem, err)
			continue
		}
		if !slices.Equal(float64s(theta), s.theta) {
			t.Errorf("%s: other values than the parity check uses", stem)
		}
		ours := backbone.StateDict(s.model, theta)
		for name, a := range dict {
			if tensor, ok := ours[name]; !ok || !slices.Equal(tensor.Shape, a.Shape) {
				t.Errorf("%s: %s %v of the reference is %v here", stem, name, a.Shape, tensor.Shape)
			}
		}
		if len(ours) != len(dict) {
			t.Errorf("%s: %d tensors, the reference has %d", stem, len(ours), len(dict))
		}
		checked++
	}
	if checked < 7 {
		t.Errorf("%d models were checked; want all 7 files", checked)
	}
}
