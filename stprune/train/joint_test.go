package train

import (
	"bytes"
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/stprune"
)

// twoSources are the ramp, and a set of another size and unit.
func twoSources(t *testing.T) []Source {
	s, w := ramp(t, true)
	other := &datasets.Series{Name: "other", T: 120, N: 2, Nodes: []string{"x", "y"}, Calendar: s.Calendar}
	for i := range other.T * other.N {
		other.Values = append(other.Values, float32(5000+1000*math.Cos(2*math.Pi*float64(i/2)/24)))
	}
	ow, err := datasets.Protocol{History: 6, Horizon: 3, Ratio: [3]float64{6, 2, 2}}.Apply(other)
	if err != nil {
		t.Fatal(err)
	}
	return []Source{{s, w}, {other, ow}}
}

// joint is a configuration whose parameters don't depend on the nodes.
func joint() Config {
	c := config()
	c.Options["node_dim"] = 0
	return c
}

func TestJointTraining(t *testing.T) {
	sources := twoSources(t)
	for _, name := range backends {
		c := joint()
		p := pruned(t, c.Units(sources...), c.Epochs)
		tr, err := New(open(t, name), c, p, sources...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(tr.Close)
		visited := map[int32]int{}
		var losses []float64
		err = tr.Run(t.Context(), Events{
			Observe: func(ids []int32, _ []float32, _ stprune.Stats) {
				first := ids[0] < tr.domains[1].first
				for _, id := range ids {
					visited[id]++
					if (id < tr.domains[1].first) != first {
						t.Error("a batch mixes data sets")
					}
				}
			},
			Epoch: func(r EpochReport) error { losses = append(losses, r.Loss); return nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(visited) != c.Units(sources...) {
			t.Errorf("%s: %d of %d units were ever visited", name, len(visited), c.Units(sources...))
		}
		if first, last := losses[0], losses[len(losses)-1]; !(last < first) || first > 3 {
			t.Errorf("%s: the loss goes from %v to %v standard deviations", name, first, last)
		}
		all, each, _, err := tr.Evaluate(t.Context(), Test)
		if err != nil || len(each) != 2 {
			t.Fatalf("%d evaluations, %v", len(each), err)
		}
		a, b := sources[0].Windows, sources[1].Windows
		na, nb := float64(len(a.Test)*4), float64(len(b.Test)*2)
		want := (each[0].Pooled.MAE/a.Scaler.Std*na + each[1].Pooled.MAE/b.Scaler.Std*nb) / (na + nb)
		if math.Abs(all.Pooled.MAE-want) > 0.05*want { // missing targets count for less
			t.Errorf("%s: together %v, want about %v", name, all.Pooled.MAE, want)
		}
		if n := len(tr.Compiled()); n != 6 { // two batch sizes and an evaluation for each data set
			t.Errorf("%s: %d executables: %v", name, n, tr.Compiled())
		}
	}
}

func TestJointResumeIsExact(t *testing.T) {
	sources := twoSources(t)
	be := open(t, "go")
	make := func() *Trainer {
		c := joint()
		tr, err := New(be, c, pruned(t, c.Units(sources...), c.Epochs), sources...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(tr.Close)
		return tr
	}
	state := func(tr *Trainer) []byte {
		b, err := tr.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	whole := make()
	if err := whole.Run(t.Context(), Events{}); err != nil {
		t.Fatal(err)
	}
	for _, stop := range []int{1, 7, 13} {
		ctx, cancel := context.WithCancel(t.Context())
		first := make()
		err := first.Run(ctx, Events{Step: func(p Progress) {
			if p.Step == stop {
				cancel()
			}
		}})
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		second := make()
		if err := second.UnmarshalBinary(state(first)); err != nil {
			t.Fatal(err)
		}
		if err := second.Run(t.Context(), Events{}); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(state(second), state(whole)) {
			t.Errorf("interrupted after step %d it ends elsewhere", stop)
		}
	}
}

func TestOnlyAndLoad(t *testing.T) {
	s, w := ramp(t, false)
	source := Source{s, w}
	be := open(t, "go")
	c := config()
	first, err := New(be, c, full(c.Units(source)), source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(first.Close)
	if err := first.Run(t.Context(), Events{}); err != nil {
		t.Fatal(err)
	}
	before, err := first.Named()
	if err != nil {
		t.Fatal(err)
	}

	for _, optimiser := range []string{"sgd", "adam", "adamw", "muon"} {
		c := config()
		c.Only, c.Seed, c.Optim.Name = []string{"regression_layer."}, 9, optimiser
		second, err := New(be, c, full(c.Units(source)), source)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(second.Close)
		if err := second.Load(before); err != nil {
			t.Fatal(err)
		}
		if err := second.Run(t.Context(), Events{}); err != nil {
			t.Fatal(err)
		}
		after, err := second.Named()
		if err != nil {
			t.Fatal(err)
		}
		for name, values := range after {
			changed := false
			for i, v := range values {
				changed = changed || v != before[name][i]
			}
			if changed != strings.HasPrefix(name, "regression_layer.") {
				t.Errorf("%s: %s changed: %v", optimiser, name, changed)
			}
		}
	}

	c.Only = []string{"head."}
	if _, err := New(be, c, full(c.Units(source)), source); err == nil || !strings.Contains(err.Error(), "regression_layer") {
		t.Errorf("an unknown parameter was accepted: %v", err)
	}
	delete(before, "node_emb")
	if err := first.Load(before); err == nil || !strings.Contains(err.Error(), "node_emb") {
		t.Errorf("parameters without node_emb were accepted: %v", err)
	}
}

func TestJointRefuses(t *testing.T) {
	sources := twoSources(t)
	be := open(t, "go")
	c := config() // with an embedding per node
	if _, err := New(be, c, full(c.Units(sources...)), sources...); err == nil || !strings.Contains(err.Error(), "node_emb") {
		t.Errorf("parameters of different sizes were shared: %v", err)
	}
	c = joint()
	c.Unit = Pair
	if _, err := New(be, c, full(c.Units(sources...)), sources...); err == nil {
		t.Error("pairs of two data sets were accepted")
	}
	if _, err := New(be, joint(), full(1)); err == nil {
		t.Error("no data set was accepted")
	}
}

// A run's id doesn't count what its data sets are called, so neither may its results.
func TestNamesOfDataSetsChangeNothing(t *testing.T) {
	var want []float64
	for _, name := range []string{"other", "renamed"} {
		sources := twoSources(t)
		sources[1].Series.Name = name
		c := joint()
		tr, err := New(open(t, "go"), c, full(c.Units(sources...)), sources...)
		if err != nil {
			t.Fatal(err)
		}
		defer tr.Close()
		var losses []float64
		if err := tr.Run(t.Context(), Events{Epoch: func(r EpochReport) error { losses = append(losses, r.Loss); return nil }}); err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = losses
		}
		if !slices.Equal(losses, want) {
			t.Errorf("losses %v with a data set called %q, else %v", losses, name, want)
		}
	}
}
