package stprune

import (
	"fmt"
	"math"
)

// Schedule says how many of n units each epoch of a run visits (method section 5). Epochs count from 0. Make one with
// [Config.Schedule].
type Schedule struct {
	n, epochs   int
	first, end  int // pruned epochs are [first, end)
	rho         float64
	anneal      string
	annealSteps int
	minUnits    int
	keepSteps   bool
	prunedBatch int
}

// Schedule lays the run out over n units. With a budget it solves for the largest ρ that stays within it; when even the
// smallest pruned epochs would exceed the budget, the error names the smallest budget that can be met.
func (c Config) Schedule(n int) (Schedule, error) {
	if err := c.checkSchedule(); err != nil {
		return Schedule{}, err
	}
	if err := checkUnits(n); err != nil {
		return Schedule{}, err
	}
	s := Schedule{
		n: n, epochs: c.Epochs, rho: c.Rho, anneal: c.Anneal, annealSteps: c.AnnealSteps,
		minUnits: c.MinUnits, keepSteps: c.BatchPolicy == "keep-steps", prunedBatch: c.PrunedBatch,
	}
	s.first, s.end = c.prunedEpochs()
	if c.Budget == 0 {
		return s, nil
	}
	return s.solve(c.Budget)
}

// prunedEpochs is the range [first, end) of pruned epochs, from 0; it may be empty.
func (c Config) prunedEpochs() (first, end int) {
	// Epoch e = 1..E is pruned while e ≤ δE. The small addend undoes the rounding of products such as 0.29·100.
	end = int(math.Floor(c.Delta*float64(c.Epochs) + 1e-9))
	return min(c.WarmUp, c.Epochs), min(end, c.Epochs)
}

func (s Schedule) solve(budget float64) (Schedule, error) {
	all := float64(s.epochs) * float64(s.n)
	fits := func(rho float64) bool {
		s.rho = rho
		return float64(s.TotalVisits()) <= budget*all*(1+1e-12)
	}
	low, high := 0.0, 1.0
	if !fits(low) {
		return Schedule{}, fmt.Errorf("prune: budget is %v, but warm-up, full tail and the smallest pruned epochs already take %.4g of all visits; "+
			"raise the budget, lower warm_up or min_units, raise delta, or set anneal to \"none\"", budget, float64(s.TotalVisits())/all)
	}
	if fits(high) {
		return s, nil
	}
	for range 60 { // visits rise with ρ
		if middle := (low + high) / 2; fits(middle) {
			low = middle
		} else {
			high = middle
		}
	}
	s.rho = low
	return s, nil
}

// Units is the number n of units.
func (s Schedule) Units() int { return s.n }

// Epochs is the number E of epochs.
func (s Schedule) Epochs() int { return s.epochs }

// Retention is the retention ρ of the first pruned epoch, as given or as solved from the budget.
func (s Schedule) Retention() float64 { return s.rho }

// Rho is the retention ρ(epoch) before rounding to whole units: 1 in warm-up and tail, 0 outside the run. An annealed ρ
// starts at [Schedule.Retention] and would reach 1 in the epoch after the last pruned one.
func (s Schedule) Rho(epoch int) float64 {
	switch {
	case epoch < 0 || epoch >= s.epochs:
		return 0
	case epoch < s.first || epoch >= s.end:
		return 1
	}
	u := float64(epoch-s.first) / float64(s.end-s.first)
	switch s.anneal {
	case "linear":
	case "cosine":
		u = (1 - math.Cos(math.Pi*u)) / 2
	case "step":
		u = float64((epoch-s.first)*s.annealSteps/(s.end-s.first)) / float64(s.annealSteps)
	default:
		u = 0
	}
	return s.rho + (1-s.rho)*u
}

// Keep is the exact number of units that an epoch visits: n in full epochs, min(n, max(round(ρn), MinUnits)) in pruned ones,
// 0 outside the run.
func (s Schedule) Keep(epoch int) int {
	if epoch < 0 || epoch >= s.epochs {
		return 0
	}
	return min(s.n, max(int(math.Round(s.Rho(epoch)*float64(s.n))), s.minUnits))
}

// Full reports whether an epoch visits every unit.
func (s Schedule) Full(epoch int) bool { return s.n > 0 && s.Keep(epoch) == s.n }

// TotalVisits is the number of unit visits of the whole run.
func (s Schedule) TotalVisits() int {
	total := 0
	for epoch := range s.epochs {
		total += s.Keep(epoch)
	}
	return total
}

// SpeedUp is how many times fewer units the run visits than full training with as many epochs, E·n / TotalVisits: what the
// training speed-up can be at most.
func (s Schedule) SpeedUp() float64 {
	return float64(s.epochs) * float64(s.n) / float64(max(1, s.TotalVisits()))
}

// Ceiling is the speed-up in visits that retention ρ and a full tail after δE epochs allow at most, 1/(δρ + 1 − δ): without
// warm-up, in the limit of many epochs.
func Ceiling(rho, delta float64) float64 { return 1 / (delta*rho + 1 - delta) }

// PrunedBatch is the batch size of pruned epochs when full ones use batch: Config.PrunedBatch if set; batch under "fixed";
// max(1, round(batch·ρ)) under "keep-steps", with ρ = [Schedule.Retention] in all of them, since every batch size is
// compiled for itself.
func (s Schedule) PrunedBatch(batch int) int {
	switch {
	case s.prunedBatch > 0:
		return s.prunedBatch
	case s.keepSteps:
		return max(1, int(math.Round(float64(batch)*s.rho)))
	}
	return batch
}

// Batch is the batch size of an epoch when full ones use batch.
func (s Schedule) Batch(epoch, batch int) int {
	if s.Full(epoch) {
		return batch
	}
	return s.PrunedBatch(batch)
}

// Steps is the number of optimiser steps of an epoch, the last with a batch that may be short, when full epochs use batch ≥ 1.
func (s Schedule) Steps(epoch, batch int) int {
	b := max(1, s.Batch(epoch, batch))
	return (s.Keep(epoch) + b - 1) / b
}

// TotalSteps is the number of optimiser steps of the whole run, over which learning-rate schedules are laid.
func (s Schedule) TotalSteps(batch int) int {
	total := 0
	for epoch := range s.epochs {
		total += s.Steps(epoch, batch)
	}
	return total
}

// CheckEpoch refuses epochs outside the run.
func (s Schedule) CheckEpoch(epoch int) error {
	if epoch < 0 || epoch >= s.epochs {
		return fmt.Errorf("prune: epoch %d is outside the schedule's %d epochs (0 to %d); raise epochs", epoch, s.epochs, s.epochs-1)
	}
	return nil
}

func checkUnits(n int) error {
	if n < 1 || n > math.MaxInt32 {
		return fmt.Errorf("prune: %d training units; expected 1 to %d, since ids are int32", n, math.MaxInt32)
	}
	return nil
}
