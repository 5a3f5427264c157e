package optim

import (
	"fmt"
	"math"
)

// Schedule changes the learning rate over the run. The zero value is a constant rate.
type Schedule struct {
	Kind string `toml:"kind"` // "constant" (or empty), "multistep" or "cosine"

	// By says what cosine and warm-up count: "epoch" (torch's CosineAnnealingLR, one step of the schedule per epoch) or
	// "step" (optimiser steps of the run as planned; what pruned runs should use). Default "step".
	By string `toml:"by"`

	Milestones []int   `toml:"milestones"` // multistep: the rate is multiplied by Gamma after these many epochs
	Gamma      float64 `toml:"gamma"`
	Floor      float64 `toml:"floor"`   // cosine: last rate as a share of the first
	WarmUp     float64 `toml:"warm_up"` // share of the run over which the rate rises linearly; 0: none
}

// Check reports the first setting that makes no sense.
func (s Schedule) Check() error {
	switch s.Kind {
	case "", "constant", "cosine":
	case "multistep":
		if !(s.Gamma > 0) {
			return fmt.Errorf("schedule.gamma = %v; multistep needs a value above 0", s.Gamma)
		}
	default:
		return fmt.Errorf("schedule.kind %q is unknown; choose constant, multistep or cosine", s.Kind)
	}
	if s.By != "" && s.By != "step" && s.By != "epoch" {
		return fmt.Errorf("schedule.by %q is unknown; choose step or epoch", s.By)
	}
	if !(s.Floor >= 0 && s.Floor <= 1) {
		return fmt.Errorf("schedule.floor = %v; want a share in [0,1]", s.Floor)
	}
	if !(s.WarmUp >= 0 && s.WarmUp < 1) {
		return fmt.Errorf("schedule.warm_up = %v; want a share in [0,1)", s.WarmUp)
	}
	return nil
}

// Progress is a place in the run as planned: epoch and step count from 0.
type Progress struct {
	Epoch, Epochs int
	Step, Steps   int
	Part          float64 // of a step, where the place lies between two planned ones; else 0
}

// LR is the rate to use for the step at p, given the base rate.
func (s Schedule) LR(base float64, p Progress) float64 {
	step := float64(p.Step) + p.Part
	done := step / float64(max(1, p.Steps))
	if s.By == "epoch" {
		done = float64(p.Epoch) / float64(max(1, p.Epochs))
	}
	warm := 1.0
	if s.WarmUp > 0 {
		if done < s.WarmUp {
			if s.By == "epoch" {
				warm = float64(p.Epoch+1) / (s.WarmUp*float64(p.Epochs) + 1)
			} else {
				warm = (step + 1) / (s.WarmUp*float64(p.Steps) + 1)
			}
		}
		done = max(0, (done-s.WarmUp)/(1-s.WarmUp))
	}
	switch s.Kind {
	case "cosine":
		low := base * s.Floor
		return warm * (low + (base-low)*(1+math.Cos(math.Pi*done))/2)
	case "multistep":
		rate := base
		for _, m := range s.Milestones {
			if p.Epoch >= m {
				rate *= s.Gamma
			}
		}
		return warm * rate
	default:
		return warm * base
	}
}
