package bench_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stprune/workbench/stprune/bench"
	"github.com/stprune/workbench/stprune/method"
)

func TestSelectMeasuresEveryMethod(t *testing.T) {
	s := bench.Select{Units: 300, Rho: 0.1, Features: 4, Gradients: 6, Horizon: 3, Validation: 5, Limit: time.Minute}
	for _, m := range method.All() {
		s.Method = m.Name
		r, err := s.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if r.Problem != "" || r.Seconds <= 0 || r.Kind != string(m.Kind) || m.Needs.Probed() != (r.Probe > 0) {
			t.Errorf("%+v", r)
		}
		if m.Kind == method.Static && r.Kept != 30 {
			t.Errorf("%s kept %d units; want 30", m.Name, r.Kept)
		}
	}
	s.Method = "moso"
	if r, err := s.Run(t.Context()); err != nil || r.Probe != 300*6*2*4 {
		t.Errorf("two checkpoints of 300 gradients: %d bytes, %v", r.Probe, err)
	}
}

func TestSelectSaysWhyNot(t *testing.T) {
	s := bench.Select{Method: "cal", Units: 30_000, Rho: 0.1, Features: 64, Gradients: 6, Horizon: 3, Validation: 5, Limit: time.Millisecond}
	if r, err := s.Run(t.Context()); err != nil || r.Problem != "took longer than 1ms" {
		t.Errorf("%+v, %v", r, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	s.Limit = time.Hour
	if r, err := s.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("interrupted: %+v, %v", r, err)
	}
	s.Method, s.Units, s.Gradients = "dp", 1_000_000, 2048
	if r, err := s.Run(t.Context()); err != nil || !strings.Contains(r.Problem, "takes 8192000000 bytes") {
		t.Errorf("too large: %+v, %v", r, err)
	}
	s.Units = 0
	if _, err := s.Run(t.Context()); err == nil {
		t.Error("0 units were measured")
	}
	if _, err := (bench.Select{Method: "none"}).Run(t.Context()); err == nil {
		t.Error("a method that doesn't exist was measured")
	}
}
