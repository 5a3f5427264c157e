package bench_test

import (
	"os"
	"testing"

	"github.com/stprune/workbench/stprune/accel"
	"github.com/stprune/workbench/stprune/bench"
)

func TestLimit(t *testing.T) {
	be, err := accel.Open(t.Context(), "go", os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	defer be.Close()
	for _, unit := range []string{"window", "pair"} {
		p, err := bench.Limit{Width: 2, Windows: 640, Nodes: 3, Unit: unit, Epochs: 2}.Run(t.Context(), be)
		if err != nil {
			t.Fatal(err)
		}
		if p.Parameters < 1000 || p.Full.Steps <= 0 || p.Pruned.Evaluation <= 0 || !(p.Fewer > 9 && p.Fewer < 11) ||
			!(p.Faster > 0) || !(p.Overhead > 0 && p.Overhead < 1) {
			t.Errorf("%s: %+v", unit, p)
		}
	}
	for name, bad := range map[string]bench.Limit{
		"no width": {Windows: 100}, "a method that there isn't": {Width: 2, Windows: 100, Method: "luck"}, "retention 2": {Width: 2, Windows: 100, Rho: 2},
	} {
		if p, err := bad.Run(t.Context(), be); err == nil {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		faster float64
		want   string
	}{{9, "pays"}, {5, "pays"}, {4.9, "pays in part"}, {1.1, "pays in part"}, {1.0, "does not pay"}, {0.5, "does not pay"}} {
		if got := (bench.Paid{Fewer: 10, Faster: c.faster}).Verdict(); got != c.want {
			t.Errorf("10 times fewer visits, %v times faster: %q, want %q", c.faster, got, c.want)
		}
	}
}
