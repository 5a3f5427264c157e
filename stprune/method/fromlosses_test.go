package method_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stprune/workbench/stprune"
	"github.com/stprune/workbench/stprune/method"
)

// easiest keeps the units of the smallest losses.
func easiest(_ *rand.Rand, loss []float32, k int) (ids []int32, weight []float32) {
	for range k {
		least := int32(0)
		for i, v := range loss {
			if v < loss[least] {
				least = int32(i)
			}
		}
		ids, loss[least] = append(ids, least), 1e9
	}
	return ids, nil
}

func ExampleFromLosses() {
	m := method.FromLosses("easiest", easiest)
	c := stprune.DefaultConfig()
	c.Epochs, c.Rho = 4, 0.5
	p, err := m.Make(method.Setup{Units: 4, Config: c})
	if err != nil {
		fmt.Println(err)
		return
	}
	stats := make(stprune.Stats, 4*stprune.NumStats)
	for i, loss := range []float32{0.9, 0.1, 0.5, 0.2} {
		stats[i*stprune.NumStats+stprune.Level] = loss
	}
	_ = p.Observe([]int32{0, 1, 2, 3}, stats) // of the full first epoch
	s, _ := p.Plan(1)
	fmt.Println(s.IDs)
	// Output: [1 3]
}

func TestFromLossesRefusesWrongChoices(t *testing.T) {
	for name, tc := range map[string]struct {
		choose method.LossRule
		want   string
	}{
		"too few":  {func(*rand.Rand, []float32, int) ([]int32, []float32) { return []int32{1}, nil }, "chose 1 units; want 2"},
		"twice":    {func(*rand.Rand, []float32, int) ([]int32, []float32) { return []int32{1, 1}, nil }, "chose unit 1 twice"},
		"unknown":  {func(*rand.Rand, []float32, int) ([]int32, []float32) { return []int32{1, 4}, nil }, "chose unit 4; want 0 to 3"},
		"weights":  {func(*rand.Rand, []float32, int) ([]int32, []float32) { return []int32{1, 2}, []float32{1} }, "1 weights for 2 units"},
		"negative": {func(*rand.Rand, []float32, int) ([]int32, []float32) { return []int32{1, 2}, []float32{1, -1} }, "unit 2 weight -1"},
	} {
		c := stprune.DefaultConfig()
		c.Epochs, c.Rho = 4, 0.5
		p, err := method.FromLosses("mine", tc.choose).Make(method.Setup{Units: 4, Config: c})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Plan(1); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v; want one with %q", name, err, tc.want)
		}
	}
}

func TestFromLossesSortsAndWeighs(t *testing.T) {
	c := stprune.DefaultConfig()
	c.Epochs, c.Rho = 4, 0.5
	p, err := method.FromLosses("mine", func(*rand.Rand, []float32, int) ([]int32, []float32) {
		return []int32{3, 1}, []float32{2, 0.5}
	}).Make(method.Setup{Units: 4, Config: c})
	if err != nil {
		t.Fatal(err)
	}
	s, err := p.Plan(1)
	if err != nil || fmt.Sprint(s.IDs, s.Weight) != "[1 3] [0.5 2]" {
		t.Errorf("chose %v with weights %v (%v); want [1 3] with [0.5 2]", s.IDs, s.Weight, err)
	}
}
