package run

import (
	"math"
	"strings"
	"testing"

	"github.com/stprune/workbench/stprune/train"
)

// Devices that share the steps make another run with the same results, which any backend can evaluate.
func TestDevices(t *testing.T) {
	o := options(t.TempDir())
	one := do(t, tiny(t, "backend.name=xla:cpu", "train.epochs=3"), o)
	two := do(t, tiny(t, "backend.name=xla:cpu", "train.epochs=3", "backend.devices=2"), o)
	if one.ID == two.ID {
		t.Fatal("it is the same run")
	}
	want, _ := results(t, one)
	got, _ := results(t, two)
	if d := math.Abs(got.Test.Pooled.MAE - want.Test.Pooled.MAE); !(d <= 1e-5) || got.Visits != want.Visits {
		t.Errorf("MAE differs by %g, visits are %d and %d", d, got.Visits, want.Visits)
	}

	best, err := two.Best()
	if err != nil {
		t.Fatal(err)
	}
	spec := two.Spec
	spec.Backend.Name = "go"
	each, err := Evaluate(t.Context(), spec, best, train.Test, o)
	if err != nil {
		t.Fatal(err)
	}
	if d := math.Abs(each[0].Pooled.MAE - got.Test.Pooled.MAE); !(d <= 1e-4) {
		t.Errorf("on Go the MAE differs by %g", d)
	}
	if _, err := Do(t.Context(), spec, o); err == nil || !strings.Contains(err.Error(), "backend.devices = 2") {
		t.Errorf("training on Go: error %v", err)
	}
	if left, err := o.Store.List(); err != nil || len(left) != 2 {
		t.Errorf("the store holds %v, %v; want the two runs alone", left, err)
	}
}
