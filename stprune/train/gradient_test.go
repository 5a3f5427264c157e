package train

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stprune/workbench/stprune"
	"github.com/stprune/workbench/stprune/loss"
	"github.com/stprune/workbench/stprune/optim"
)

// chosen is a pruner that keeps the same units in every epoch.
type chosen struct {
	stprune.Pruner
	s stprune.Selection
}

func (c chosen) Plan(int) (stprune.Selection, error) { return c.s, nil }
func (c chosen) Keep(int) int                        { return len(c.s.IDs) }

// some is every third unit, with weights from 0.5 to 2.
func some(units int) stprune.Selection {
	var s stprune.Selection
	for id := 0; id < units; id += 3 {
		s.IDs, s.Weight = append(s.IDs, int32(id)), append(s.Weight, 0.5+float32(id%4)/2)
	}
	return s
}

func gradient(t *testing.T, tr *Trainer, ids []int32, weights []float32) []float64 {
	t.Helper()
	g, err := tr.Gradient(t.Context(), ids, weights)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// apart is the largest difference, relative to the largest value.
func apart(a, b []float64) float64 {
	difference, size := 0.0, 0.0
	for i := range a {
		difference, size = max(difference, math.Abs(a[i]-b[i])), max(size, math.Abs(a[i]))
	}
	return difference / size
}

// With plain SGD and all units in one batch, training moves the parameters by the gradient.
func TestGradientIsTheTrainers(t *testing.T) {
	for _, name := range backends {
		be := open(t, name)
		for _, unit := range []string{Window, Pair} {
			for _, reduction := range []loss.Reduction{{}, {BySample: true}, {PerBatch: true, Huber: 2}} {
				c := config()
				c.Unit, c.Epochs, c.Loss, c.Schedule = unit, 1, reduction, optim.Schedule{}
				c.Options["dropout"] = 0.0
				c.Optim = optim.Config{Name: "sgd", LR: 0.5}
				c.Batch, c.PrunedBatch = 1000, 0
				tr := trainer(t, be, c, true, func(n int) stprune.Pruner { return chosen{full(n), some(n)} })
				s := some(tr.units())
				before, err := tr.Named()
				if err != nil {
					t.Fatal(err)
				}
				g := gradient(t, tr, s.IDs, s.Weight)
				if err := tr.Run(t.Context(), Events{}); err != nil {
					t.Fatal(err)
				}
				after, err := tr.Named()
				if err != nil {
					t.Fatal(err)
				}
				var moved []float64
				for _, p := range tr.model.Params() {
					for i, v := range before[p.Name] {
						moved = append(moved, float64(v-after[p.Name][i])/c.Optim.LR)
					}
				}
				if d := apart(g, moved); tr.StepsDone() != 1 || d > 1e-5 {
					t.Errorf("%s, %s, %+v: %d steps, gradient differs from the trainer's by %v", name, unit, reduction, tr.StepsDone(), d)
				}
			}
		}
	}
}

func TestGradientOfAllIsTheMeanOfTheParts(t *testing.T) {
	for _, unit := range []string{Window, Pair} {
		c := config() // with dropout, which must not show
		c.Unit = unit
		tr := trainer(t, open(t, "go"), c, false, full)
		before, err := tr.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		n := int32(min(40, tr.units()))
		var all []int32
		mean := make([]float64, tr.Parameters())
		for id := range n {
			all = append(all, id)
			for i, v := range gradient(t, tr, []int32{id}, nil) {
				mean[i] += v / float64(n)
			}
		}
		for _, batch := range []int{1, 7, 1000} {
			tr.cfg.Batch = batch
			if d := apart(mean, gradient(t, tr, all, nil)); d > 1e-5 {
				t.Errorf("%s, batch %d: the gradient differs from the mean of its parts by %v", unit, batch, d)
			}
		}
		every := make([]int32, tr.units())
		for id := range every {
			every[id] = int32(id)
		}
		if d := apart(gradient(t, tr, nil, nil), gradient(t, tr, every, nil)); d != 0 {
			t.Errorf("%s: the gradient of nil differs from that of all units by %v", unit, d)
		}
		after, err := tr.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(before, after) {
			t.Errorf("%s: taking gradients changed the trainer", unit)
		}
	}
}

func TestGradientDoesNotDependOnBatch(t *testing.T) {
	for _, reduction := range []loss.Reduction{{}, {BySample: true}} {
		c := config()
		c.Loss = reduction
		tr := trainer(t, open(t, "xla"), c, true, full)
		s := some(tr.units())
		want := gradient(t, tr, s.IDs, s.Weight)
		for _, batch := range []int{1, 5, 1000} {
			tr.cfg.Batch = batch
			if d := apart(want, gradient(t, tr, s.IDs, s.Weight)); d > 1e-5 {
				t.Errorf("%+v: the gradient at batch %d differs from that at batch 16 by %v", reduction, batch, d)
			}
		}
	}
}

// Without missing targets each data set's windows weigh by their entries.
func TestGradientJoinsDataSets(t *testing.T) {
	sources := twoSources(t)
	for i := range sources { // nothing missing
		for j, v := range sources[i].Series.Values {
			if v == 0 {
				sources[i].Series.Values[j] = 50
			}
		}
	}
	c := joint()
	tr, err := New(open(t, "go"), c, full(c.Units(sources...)), sources...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tr.Close)
	second := tr.domains[1].first
	a := gradient(t, tr, []int32{3, 4}, nil)
	b := gradient(t, tr, []int32{second, second + 5}, nil)
	joined := gradient(t, tr, []int32{second, 3, second + 5, 4}, nil)
	for i := range a { // 4 and 2 nodes
		a[i] = (4*a[i] + 2*b[i]) / 6
	}
	if d := apart(a, joined); d > 1e-5 {
		t.Errorf("the joint gradient differs from the weighted mean by %v", d)
	}
}

func TestGradientRefuses(t *testing.T) {
	tr := trainer(t, open(t, "go"), config(), false, full)
	for want, s := range map[string]stprune.Selection{
		fmt.Sprintf("0 to %d", tr.units()-1): {IDs: []int32{0, int32(tr.units())}},
		"1 weights for 2 units":              {IDs: []int32{0, 1}, Weight: []float32{1}},
		"1 weights for 0 units":              {Weight: []float32{1}},
	} {
		if _, err := tr.Gradient(t.Context(), s.IDs, s.Weight); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
