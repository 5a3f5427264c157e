package optim

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

func TestScheduleShapes(t *testing.T) {
	at := func(epoch, step int) Progress { return Progress{Epoch: epoch, Epochs: 10, Step: step, Steps: 100} }
	for _, c := range []struct {
		name string
		s    Schedule
		p    Progress
		want float64
	}{
		{"constant", Schedule{}, at(9, 99), 1},
		{"cosine begins at the rate", Schedule{Kind: "cosine", Floor: 0.1}, at(0, 0), 1},
		{"cosine is half way in the middle", Schedule{Kind: "cosine", Floor: 0.1}, at(5, 50), 0.55},
		{"cosine ends at the floor", Schedule{Kind: "cosine", Floor: 0.1}, at(9, 100), 0.1},
		{"cosine by epoch ignores steps", Schedule{Kind: "cosine", By: "epoch"}, at(5, 99), 0.5},
		{"milestone 1 keeps the first epoch", Schedule{Kind: "multistep", Gamma: 0.5, Milestones: []int{1, 5}}, at(0, 9), 1},
		{"milestone 1 changes the second", Schedule{Kind: "multistep", Gamma: 0.5, Milestones: []int{1, 5}}, at(1, 10), 0.5},
		{"milestones multiply", Schedule{Kind: "multistep", Gamma: 0.5, Milestones: []int{1, 5}}, at(5, 50), 0.25},
		{"warm-up begins above 0", Schedule{WarmUp: 0.2}, at(0, 0), 1.0 / 21},
		{"warm-up is linear in steps", Schedule{WarmUp: 0.2}, at(0, 9), 10.0 / 21},
		{"warm-up ends at the rate", Schedule{WarmUp: 0.2}, at(2, 20), 1},
		{"warm-up by epoch ignores steps", Schedule{WarmUp: 0.2, By: "epoch"}, at(1, 10), 2.0 / 3},
		{"warm-up by epoch ends at the rate", Schedule{WarmUp: 0.2, By: "epoch"}, at(2, 20), 1},
		{"cosine begins after the warm-up", Schedule{Kind: "cosine", Floor: 0.1, WarmUp: 0.2}, at(2, 20), 1},
		{"cosine takes what the warm-up leaves", Schedule{Kind: "cosine", Floor: 0.1, WarmUp: 0.2}, at(6, 60), 0.55},
		{"cosine by epoch takes what the warm-up leaves", Schedule{Kind: "cosine", By: "epoch", WarmUp: 0.2}, at(6, 60), 0.5},
		{"milestones count the warm-up's epochs", Schedule{Kind: "multistep", Gamma: 0.5, Milestones: []int{1}, WarmUp: 0.2}, at(1, 10), 0.5 * 11 / 21},
	} {
		if err := c.s.Check(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if got := c.s.LR(1, c.p); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%s: rate %v; want %v", c.name, got, c.want)
		}
	}
	rising := 0.0
	for step := range 20 { // a fifth of the run
		rate := Schedule{WarmUp: 0.2}.LR(1, at(0, step))
		if rate <= rising || rate >= 1 {
			t.Fatalf("warm-up: rate %v at step %d after %v; want a rise below 1", rate, step, rising)
		}
		rising = rate
	}
}

func TestCheckNamesTheKey(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"optim.name":         func(c *Config) { c.Name = "adagrad" },
		"optim.lr":           func(c *Config) { c.LR = 0 },
		"optim.weight_decay": func(c *Config) { c.WeightDecay = -1 },
		"optim.beta2":        func(c *Config) { c.Beta2 = 1 },
		"optim.clip":         func(c *Config) { c.Clip = math.NaN() },
		"optim.momentum":     func(c *Config) { c.Name, c.Momentum = "sgd", 1 },
		"optim.alpha":        func(c *Config) { c.Name, c.Alpha = "rmsprop", 0 },
		"optim.ns_dtype":     func(c *Config) { c.NSDType = "float16" },
		"optim.ema":          func(c *Config) { c.EMA = 1 },
	} {
		c := Default()
		change(&c)
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want one that names %s", err, want)
		}
	}
	for name := range rules() {
		c := Default()
		c.Name = name
		if err := c.Check(); err != nil {
			t.Error(err)
		}
	}
}

func ExampleSchedule_LR() {
	s := Schedule{Kind: "cosine", By: "step", Floor: 0.02}
	for _, step := range []int{0, 250, 500, 750, 999} {
		fmt.Printf("step %d: %.2g\n", step, s.LR(2e-3, Progress{Step: step, Steps: 1000}))
	}
	// Output:
	// step 0: 0.002
	// step 250: 0.0017
	// step 500: 0.001
	// step 750: 0.00033
	// step 999: 4e-05
}
