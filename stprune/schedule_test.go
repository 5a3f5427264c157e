package stprune_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stprune/workbench/stprune"
)

func schedule(t *testing.T, n int, change func(c *stprune.Config)) stprune.Schedule {
	t.Helper()
	c := apart()
	change(&c)
	s, err := c.Schedule(n)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestScheduleBoundaries(t *testing.T) {
	for _, tc := range []struct {
		epochs, warmUp int
		delta          float64
		first, end     int // pruned epochs, from 0
	}{
		{20, 1, 0.875, 1, 17}, // epoch 18 of 1..20 is the first after 17.5
		{40, 1, 0.875, 1, 35},
		{16, 2, 0.875, 2, 14}, // δE = 14 exactly: epoch 14 is pruned, 15 is not
		{10, 0, 1, 0, 10},
		{100, 1, 0.29, 1, 29}, // 0.29·100 is 28.999…96 in floating point
		{10, 3, 0.7, 3, 7},
		{3, 1, 0.875, 1, 2},
	} {
		t.Run(fmt.Sprintf("E=%d w=%d δ=%v", tc.epochs, tc.warmUp, tc.delta), func(t *testing.T) {
			s := schedule(t, 1000, func(c *stprune.Config) { c.Epochs, c.WarmUp, c.Delta = tc.epochs, tc.warmUp, tc.delta })
			visits := 0
			for e := range tc.epochs {
				pruned := e >= tc.first && e < tc.end
				want, rho := 1000, 1.0
				if pruned {
					want, rho = 100, 0.1
				}
				if s.Keep(e) != want || s.Full(e) == pruned || s.Rho(e) != rho {
					t.Errorf("epoch %d: Keep %d, Full %v, Rho %v; want %d, %v, %v", e, s.Keep(e), s.Full(e), s.Rho(e), want, !pruned, rho)
				}
				visits += want
			}
			if s.TotalVisits() != visits {
				t.Errorf("TotalVisits %d, want %d", s.TotalVisits(), visits)
			}
			for _, e := range []int{-1, tc.epochs} {
				if s.Keep(e) != 0 || s.Full(e) || s.Rho(e) != 0 {
					t.Errorf("epoch %d is outside the run, but Keep %d, Full %v, Rho %v", e, s.Keep(e), s.Full(e), s.Rho(e))
				}
			}
		})
	}
}

func TestMinUnits(t *testing.T) {
	for _, tc := range []struct{ n, minUnits, keep int }{{1000, 1, 10}, {1000, 64, 64}, {50, 64, 50}, {1, 1, 1}} {
		s := schedule(t, tc.n, func(c *stprune.Config) { c.Rho, c.MinUnits = 0.01, tc.minUnits })
		if got := s.Keep(1); got != tc.keep {
			t.Errorf("%d units, one batch of %d: Keep %d, want %d", tc.n, tc.minUnits, got, tc.keep)
		}
	}
}

// The speed-up of long runs without warm-up comes up to the ceiling 1/(δρ + 1 − δ); a warm-up keeps it below.
func TestCeiling(t *testing.T) {
	for _, tc := range []struct{ rho, delta, ceiling float64 }{
		{0.1, 0.875, 4.7}, {0.05, 0.875, 5.9}, {0.01, 0.875, 7.5}, {0.1, 1, 10}, {0.05, 1, 20}, {0.01, 1, 100}, {1, 0.875, 1},
	} {
		if got := stprune.Ceiling(tc.rho, tc.delta); math.Abs(got-tc.ceiling) > 0.05 {
			t.Errorf("Ceiling(%v, %v) = %.3f, want about %v", tc.rho, tc.delta, got, tc.ceiling)
		}
		for _, warmUp := range []int{0, 5} {
			s := schedule(t, 1_000_000, func(c *stprune.Config) { c.Epochs, c.WarmUp, c.Rho, c.Delta = 1000, warmUp, tc.rho, tc.delta })
			ratio := s.SpeedUp() / stprune.Ceiling(tc.rho, tc.delta)
			if warmUp == 0 && math.Abs(ratio-1) > 1e-9 || warmUp > 0 && tc.rho < 1 && ratio >= 1 {
				t.Errorf("ρ %v, δ %v, warm-up %d: speed-up is %v of the ceiling", tc.rho, tc.delta, warmUp, ratio)
			}
		}
	}
}

func TestAnneal(t *testing.T) {
	const n, first, end, rho = 10_000, 1, 17, 0.2
	mid := (first + end) / 2
	for name, want := range map[string]struct{ start, mid float64 }{
		"none":   {rho, rho},
		"linear": {rho, (rho + 1) / 2},
		"cosine": {rho, (rho + 1) / 2},
		"step":   {rho, (rho + 1) / 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := schedule(t, n, func(c *stprune.Config) { c.Rho, c.Anneal = rho, name })
			if math.Abs(s.Rho(first)-want.start) > 1e-12 || math.Abs(s.Rho(mid)-want.mid) > 1e-12 {
				t.Errorf("ρ starts at %v, is %v half-way; want %v, %v", s.Rho(first), s.Rho(mid), want.start, want.mid)
			}
			levels := map[float64]bool{}
			for e := first; e < end; e++ {
				levels[s.Rho(e)] = true
				if e > first && s.Rho(e) < s.Rho(e-1) {
					t.Errorf("ρ falls at epoch %d", e)
				}
				if s.Rho(e) >= 1 || s.Keep(e) != int(math.Round(s.Rho(e)*n)) {
					t.Errorf("epoch %d: ρ %v, Keep %d", e, s.Rho(e), s.Keep(e))
				}
				// A cosine ramp is symmetric about its middle, as a linear one is.
				if mirror := first + end - e; (name == "linear" || name == "cosine") && mirror < end && math.Abs(s.Rho(e)+s.Rho(mirror)-1-rho) > 1e-12 {
					t.Errorf("epochs %d and %d: ρ %v and %v do not mirror each other", e, mirror, s.Rho(e), s.Rho(mirror))
				}
			}
			if distinct := map[string]int{"none": 1, "linear": 16, "cosine": 16, "step": 4}[name]; len(levels) != distinct {
				t.Errorf("%d different retentions, want %d", len(levels), distinct)
			}
		})
	}
	if linear, cosine := schedule(t, n, func(c *stprune.Config) { c.Anneal = "linear" }), schedule(t, n, func(c *stprune.Config) { c.Anneal = "cosine" }); cosine.Rho(first+3) >= linear.Rho(first+3) {
		t.Errorf("a cosine ramp starts slower than a linear one, but ρ is %v against %v", cosine.Rho(first+3), linear.Rho(first+3))
	}
}

func TestBudget(t *testing.T) {
	const n = 100_000
	for _, anneal := range []string{"none", "linear", "cosine", "step"} {
		for _, budget := range []float64{0.25, 0.3, 0.5, 0.9, 1} {
			c := apart()
			c.Budget, c.Anneal, c.Rho = budget, anneal, math.NaN() // ρ is not read
			s, err := c.Schedule(n)
			if anneal != "none" && budget <= 0.5 { // an annealed ramp alone takes half of the pruned part, 0.6 in all
				if err == nil || !strings.Contains(err.Error(), "budget") {
					t.Errorf("%s, budget %v: error %v, want one about the budget", anneal, budget, err)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s, budget %v: %v", anneal, budget, err)
				continue
			}
			share := float64(s.TotalVisits()) / (n * 20)
			if share > budget || share < budget-20.0/n {
				t.Errorf("%s, budget %v: the run takes %v of all visits at ρ = %v", anneal, budget, share, s.Retention())
			}
		}
	}
	// By hand: 4 of 20 epochs are full, so budget 0.3 leaves 2 epochs' worth of visits to 16 epochs.
	s := schedule(t, n, func(c *stprune.Config) { c.Budget = 0.3 })
	if math.Abs(s.Retention()-2.0/16) > 1e-5 {
		t.Errorf("budget 0.3 solves to ρ = %v, want 0.125", s.Retention())
	}
	c := apart()
	c.Budget = 0.1 // less than the 4 full epochs
	if _, err := c.Schedule(n); err == nil || !strings.Contains(err.Error(), "0.2 of all visits") {
		t.Errorf("error %v, want one that names the smallest budget, 0.2", err)
	}
}

func TestBatchPolicy(t *testing.T) {
	for _, tc := range []struct {
		policy         string
		explicit       int
		rho            float64
		batch, pruned  int
		full, in       int // optimiser steps per full and pruned epoch over 6400 units
		warmUp, epochs int
	}{
		{"fixed", 0, 0.1, 64, 64, 100, 10, 1, 20},
		{"keep-steps", 0, 0.1, 64, 6, 100, 107, 1, 20}, // round(6.4) = 6; ⌈640/6⌉ = 107
		{"keep-steps", 0, 0.25, 64, 16, 100, 100, 1, 20},
		{"keep-steps", 0, 0.01, 32, 1, 200, 64, 1, 20}, // at least 1
		{"keep-steps", 0, 1, 64, 64, 100, 100, 1, 20},
		{"fixed", 16, 0.1, 64, 16, 100, 40, 1, 20},
		{"keep-steps", 16, 0.1, 64, 16, 100, 40, 1, 20}, // the explicit batch wins
	} {
		s := schedule(t, 6400, func(c *stprune.Config) { c.BatchPolicy, c.PrunedBatch, c.Rho = tc.policy, tc.explicit, tc.rho })
		if got := s.PrunedBatch(tc.batch); got != tc.pruned {
			t.Errorf("%s, ρ %v: pruned batch %d, want %d", tc.policy, tc.rho, got, tc.pruned)
		}
		if s.Batch(0, tc.batch) != tc.batch || tc.rho < 1 && s.Batch(1, tc.batch) != tc.pruned {
			t.Errorf("%s, ρ %v: batches %d and %d", tc.policy, tc.rho, s.Batch(0, tc.batch), s.Batch(1, tc.batch))
		}
		if full, in := s.Steps(0, tc.batch), s.Steps(1, tc.batch); full != tc.full || in != tc.in {
			t.Errorf("%s, ρ %v: %d steps in full epochs, %d in pruned ones; want %d, %d", tc.policy, tc.rho, full, in, tc.full, tc.in)
		}
		if got, want := s.TotalSteps(tc.batch), 4*tc.full+16*tc.in; got != want {
			t.Errorf("%s, ρ %v: %d steps in all, want %d", tc.policy, tc.rho, got, want)
		}
	}
}

// Every method must plan what its Keep announces.
func TestKeepIsWhatPlanVisits(t *testing.T) {
	for _, m := range methods() {
		for _, n := range []int{1, 2, 63, 64, 65, 1000} {
			c := apart()
			c.Anneal, c.MinUnits = "cosine", 4
			p, err := m.New(n, c)
			if err != nil {
				t.Fatal(err)
			}
			for e := range c.Epochs {
				s := plan(t, p, e)
				got := len(s.IDs)
				if s.All {
					got = n
				}
				if got != p.Keep(e) || s.Diagnostics.Kept != got || s.All != (got == n) {
					t.Errorf("%s, %d units, epoch %d: %d units, Keep %d, diagnostics %+v", m.Name, n, e, got, p.Keep(e), s.Diagnostics)
				}
			}
		}
	}
}

func TestCheck(t *testing.T) {
	if err := apart().Check(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	nan, inf := math.NaN(), math.Inf(1)
	for field, changes := range map[string][]func(c *stprune.Config){
		"epochs":       {func(c *stprune.Config) { c.Epochs = 0 }},
		"warm_up":      {func(c *stprune.Config) { c.WarmUp = -1 }, func(c *stprune.Config) { c.WarmUp = 17 }, func(c *stprune.Config) { c.WarmUp = 30 }},
		"delta":        {func(c *stprune.Config) { c.Delta = 1.1 }, func(c *stprune.Config) { c.Delta = nan }, func(c *stprune.Config) { c.Delta = 0 }},
		"rho":          {func(c *stprune.Config) { c.Rho = 0 }, func(c *stprune.Config) { c.Rho = 1.01 }, func(c *stprune.Config) { c.Rho = nan }},
		"anneal":       {func(c *stprune.Config) { c.Anneal = "up" }},
		"anneal_steps": {func(c *stprune.Config) { c.Anneal, c.AnnealSteps = "step", 0 }},
		"budget":       {func(c *stprune.Config) { c.Budget = 2 }, func(c *stprune.Config) { c.Budget = nan }},
		"min_units":    {func(c *stprune.Config) { c.MinUnits = 0 }},
		"batch_policy": {func(c *stprune.Config) { c.BatchPolicy = "" }},
		"pruned_batch": {func(c *stprune.Config) { c.PrunedBatch = -1 }},
		"score":        {func(c *stprune.Config) { c.Score = "entropy" }},
		"lambda_s":     {func(c *stprune.Config) { c.LambdaS = nan }},
		"lambda_t":     {func(c *stprune.Config) { c.LambdaT = inf }},
		"lambda_g":     {func(c *stprune.Config) { c.LambdaG = inf }},
		"epsilon":      {func(c *stprune.Config) { c.Epsilon = -1 }},
		"beta":         {func(c *stprune.Config) { c.Beta = 1 }},
		"selector":     {func(c *stprune.Config) { c.Selector = "best" }},
		"alpha":        {func(c *stprune.Config) { c.Alpha = 1.5 }},
		"gamma":        {func(c *stprune.Config) { c.Gamma = -1 }, func(c *stprune.Config) { c.Gamma = inf }},
		"in_time":      {func(c *stprune.Config) { c.Selector, c.InTime = "gumbel", true }},
		"stationarity": {func(c *stprune.Config) { c.Stationarity = "weekly" }},
		"kappa":        {func(c *stprune.Config) { c.Kappa = -1 }},
		"w_max":        {func(c *stprune.Config) { c.WMax = 0.5 }, func(c *stprune.Config) { c.WMax = nan }},
	} {
		for _, change := range changes {
			c := apart()
			change(&c)
			err := c.Check()
			if err == nil || !strings.Contains(err.Error(), field) {
				t.Errorf("%s: error %v, want one that names the field", field, err)
			}
			if p, err := stprune.New(10, c); err == nil || p != nil {
				t.Errorf("%s: New accepts what Check refuses", field)
			}
		}
	}
	for _, n := range []int{-1, 0, math.MaxInt32 + 1} {
		for _, m := range methods() {
			if _, err := m.New(n, apart()); err == nil {
				t.Errorf("%s accepts %d units", m.Name, n)
			}
		}
	}
}
