package stprune_test

import (
	"fmt"
	"math"

	"github.com/stprune/workbench/stprune"
)

// A training loop written by hand, without any framework: the line y = ax + b is fitted by stochastic gradient descent. The
// pruner chooses the points of each epoch, and the loop tells it how large their errors were.
func Example() {
	const n = 2000
	x, y := make([]float64, n), make([]float64, n)
	noise := stprune.Stream(7, "noise", 0)
	for i := range x {
		x[i] = 2*float64(i)/n - 1
		y[i] = 3*x[i] - 1 + 0.1*noise.NormFloat64()
	}

	c := stprune.DefaultConfig()
	c.Rho, c.Score = 0.05, "loss"
	pruner, err := stprune.New(n, c)
	if err != nil {
		fmt.Println(err)
		return
	}

	a, b, visits := 0.0, 0.0, 0
	stats := make(stprune.Stats, stprune.NumStats)
	for epoch := range c.Epochs {
		selection, err := pruner.Plan(epoch)
		if err != nil {
			fmt.Println(err)
			return
		}
		order := stprune.Stream(c.Seed, "order", epoch).Perm(selection.Diagnostics.Kept)
		for _, j := range order {
			id, weight := int32(j), 1.0
			if !selection.All {
				id = selection.IDs[j]
				if selection.Weight != nil {
					weight = float64(selection.Weight[j])
				}
			}
			e := a*x[id] + b - y[id]
			a -= 0.02 * weight * e * x[id]
			b -= 0.02 * weight * e
			visits++

			stats[stprune.Level] = float32(math.Abs(e))
			if err := pruner.Observe([]int32{id}, stats); err != nil {
				fmt.Println(err)
				return
			}
		}
	}
	fmt.Printf("y = %.1fx %+.1f after %d of %d visits\n", a, b, visits, c.Epochs*n)
	// Output: y = 3.0x -1.0 after 9600 of 40000 visits
}

func ExampleNew() {
	c := stprune.DefaultConfig()
	c.Rho, c.WarmUp = 0.2, 0
	c.Share, c.Normalise = 1, false // a score for each unit, weights 1/π as they are

	pruner, err := stprune.New(10, c)
	if err != nil {
		fmt.Println(err)
		return
	}
	for id := range int32(10) { // unit 9 has half of all error
		stats := stprune.Stats{stprune.Level: 1, stprune.NumStats - 1: 0}
		if id == 9 {
			stats[stprune.Level] = 9
		}
		if err := pruner.Observe([]int32{id}, stats); err != nil {
			fmt.Println(err)
			return
		}
	}
	s, err := pruner.Plan(0)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(s.IDs), "units, the last is unit", s.IDs[1], "with π", s.Prob[1], "and weight", s.Weight[1])
	fmt.Printf("the other has π %.3f and weight %.0f\n", s.Prob[0], s.Weight[0])
	// Output:
	// 2 units, the last is unit 9 with π 1 and weight 1
	// the other has π 0.111 and weight 9
}

func ExampleConfig_Schedule() {
	c := stprune.DefaultConfig() // 20 epochs: the first and the last three full
	c.Rho, c.BatchPolicy = 0.05, "keep-steps"
	s, err := c.Schedule(36_465)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("units per epoch:", s.Keep(0), s.Keep(1), s.Keep(16), s.Keep(17))
	fmt.Println("batches:", s.Batch(0, 64), s.Batch(1, 64))
	fmt.Println("optimiser steps:", s.TotalSteps(64))
	fmt.Printf("%.1f times fewer visits; the ceiling is %.1f\n", s.SpeedUp(), stprune.Ceiling(c.Rho, c.Delta))

	c.Budget = 0.25 // a quarter of all visits, ρ follows
	s, err = c.Schedule(36_465)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("budget 0.25: ρ = %.4f\n", s.Retention())
	// Output:
	// units per epoch: 36465 1823 1823 36465
	// batches: 64 3
	// optimiser steps: 12008
	// 4.2 times fewer visits; the ceiling is 5.9
	// budget 0.25: ρ = 0.0625
}
