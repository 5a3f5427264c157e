package train

import (
	"bytes"
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/stprune"
)

// five is a series of five nodes, which blocks of at most two share as 1, 2 and 2.
func five(t *testing.T) Source {
	s, _ := ramp(t, true)
	s.T, s.N, s.Nodes = 120, 5, append(s.Nodes, "n4")
	s.Graph = &datasets.Graph{N: s.N}
	for n := range int32(s.N) {
		s.Graph.Edges = append(s.Graph.Edges, datasets.Edge{From: n, To: (n + 1) % int32(s.N), Weight: 1})
	}
	w, err := datasets.Protocol{History: 6, Horizon: 3, Ratio: [3]float64{6, 2, 2}}.Apply(s)
	if err != nil {
		t.Fatal(err)
	}
	return Source{s, w}
}

func inBlocks(size int, by string) Config {
	c := config()
	c.Unit, c.Block, c.BlockBy = Block, size, by
	c.Options["dropout"] = 0.0
	return c
}

// Every epoch visits each node of each window once, and the windows of a step share a block.
func TestBlocksCoverAllNodes(t *testing.T) {
	source := five(t)
	for _, by := range []string{Random, ByGraph, Correlation} {
		tr := newTrainer(t, open(t, "go"), inBlocks(2, by), source)
		d := tr.domains[0]
		dealt := func() (all [][]int32) {
			for k := range d.parts {
				all = append(all, d.block(k))
			}
			return all
		}
		first, steps := dealt(), 0
		err := tr.Run(t.Context(), Events{
			Observe: func(ids []int32, _ []float32, _ stprune.Stats) {
				steps++
				for _, id := range ids {
					if id%3 != ids[0]%3 {
						t.Errorf("by %s: units %v of several blocks in one step", by, ids)
						return
					}
				}
			},
			Epoch: func(r EpochReport) error {
				if want := int64(r.Epoch * len(d.windows.Train) * d.layout.nodes); r.Visits != want {
					t.Errorf("by %s: %d visits after epoch %d, want %d", by, r.Visits, r.Epoch, want)
				}
				return nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		if planned := tr.PlannedSteps(); steps != planned {
			t.Errorf("by %s: %d steps, %d planned", by, steps, planned)
		}
		if sorted := slices.Sorted(slices.Values(slices.Concat(first...))); !slices.Equal(sorted, []int32{0, 1, 2, 3, 4}) || len(first) != 3 {
			t.Errorf("by %s: blocks %v", by, first)
		}
		if again := dealt(); slices.EqualFunc(first, again, slices.Equal[[]int32]) == (by == Random) {
			t.Errorf("by %s: blocks %v, later %v", by, first, again)
		}
	}
}

func TestClustersAreNear(t *testing.T) {
	kind := []int{0, 1, 2, 1, 0, 2, 0, 1, 2, 0} // of ten nodes
	near := make([]float32, 100)
	for i := range kind {
		for j := range kind {
			if kind[i] == kind[j] {
				near[10*i+j] = 1
			}
		}
	}
	order := clusters(near, 10, 3)
	for b, bounds := range [][2]int{{0, 3}, {3, 6}, {6, 10}} {
		for _, n := range order[bounds[0]:bounds[1]] {
			if kind[n] != kind[order[bounds[0]]] {
				t.Errorf("block %d of %v mixes nodes that are not near", b, order)
			}
		}
	}
}

// Nodes whose values go together share a block, whatever their level and scale.
func TestCorrelatedNodesShareABlock(t *testing.T) {
	source := five(t)
	s := source.Series
	for i := range s.T {
		for n := range s.N {
			s.Values[i*s.N+n] = float32(float64(n) + float64(1+n)*math.Sin(float64(i)*float64(1+n%2)))
		}
	}
	tr := newTrainer(t, open(t, "go"), inBlocks(3, Correlation), source)
	for k := range 2 {
		b := tr.domains[0].block(k)
		if !slices.Equal(b, []int32{1, 3}) && !slices.Equal(b, []int32{0, 2, 4}) {
			t.Errorf("block %d is %v", k, b)
		}
	}
}

// STID forecasts each node by itself: blocks must give the plain model's errors and, taken together, its gradient.
func TestBlocksOfSTIDAreExact(t *testing.T) {
	source := five(t)
	for _, name := range backends {
		be := open(t, name)
		whole := inBlocks(2, Random)
		whole.Unit = Window
		plain := newTrainer(t, be, whole, source)
		want, err := plain.Gradient(t.Context(), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		n := source.Series.N
		sums, counts := map[int][]float32{}, map[int][]float32{}
		if _, err := plain.Errors(t.Context(), Train, func(_, window int, sum, count []float32) {
			sums[window], counts[window] = slices.Clone(sum), slices.Clone(count)
		}); err != nil {
			t.Fatal(err)
		}

		tr := newTrainer(t, be, inBlocks(2, Random), source)
		got, err := tr.Gradient(t.Context(), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range want {
			if math.Abs(got[i]-want[i]) > 1e-6 {
				t.Fatalf("%s: gradient %d is %v in blocks, %v in windows", name, i, got[i], want[i])
			}
		}
		d, f := tr.domains[0], tr.newFeed(4)
		for k := range d.parts {
			ids := []int32{int32(k), int32(3 + k), int32(30 + k), int32(60 + k)} // windows 0, 1, 10, 20
			f.fill(d, &stprune.Selection{All: true}, ids)
			loss, stats, err := tr.trainStep(d, f, 0)
			if err != nil {
				t.Fatal(err)
			}
			all, measured := 0.0, 0.0
			for i, window := range []int{0, 1, 10, 20} {
				sum, count := 0.0, 0.0
				for _, node := range d.block(k) {
					sum, count = sum+float64(sums[window][node]), count+float64(counts[window][node])
				}
				all, measured = all+sum, measured+count
				if own := float64(stats[i*stprune.NumStats+stprune.Level]) * d.layout.scaler.Std; math.Abs(own-sum/count) > 1e-5*own {
					t.Errorf("%s: error %v of window %d in nodes %v, %v among all nodes", name, own, window, d.block(k), sum/count)
				}
			}
			if math.Abs(loss-all/measured) > 1e-5*loss {
				t.Errorf("%s: loss %v of nodes %v, %v among all %d nodes", name, loss, d.block(k), all/measured, n)
			}
		}
	}
}

// finalState trains to the end and gives the saved state; with stop > 0 it is interrupted after so many steps, and another trainer goes on.
func finalState(t *testing.T, make func() *Trainer, stop int) []byte {
	t.Helper()
	tr := make()
	state := func() []byte {
		b, err := tr.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if stop > 0 {
		ctx, cancel := context.WithCancel(t.Context())
		if err := tr.Run(ctx, Events{Step: func(p Progress) {
			if p.Step == stop {
				cancel()
			}
		}}); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		half := state()
		tr = make()
		if err := tr.UnmarshalBinary(half); err != nil {
			t.Fatal(err)
		}
	}
	if err := tr.Run(t.Context(), Events{}); err != nil {
		t.Fatal(err)
	}
	return state()
}

func TestBlocksResumeExactly(t *testing.T) {
	source := five(t)
	for backbone, by := range map[string]string{"stid": Random, "gwnet": ByGraph, "staeformer": Correlation, "opencity": Random} {
		be := open(t, "go")
		make := func() *Trainer {
			c := inBlocks(2, by)
			c.Backbone, c.Options = backbone, tinyBackbones()[backbone]
			tr, err := New(be, c, pruned(t, c.Units(source), c.Epochs), source)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(tr.Close)
			return tr
		}
		whole := finalState(t, make, 0)
		for _, stop := range []int{1, 20} {
			if !bytes.Equal(finalState(t, make, stop), whole) {
				t.Errorf("%s by %s: interrupted after step %d it ends elsewhere", backbone, by, stop)
			}
		}
	}
}

func TestBlockOfAllNodesIsAWindow(t *testing.T) {
	source := five(t)
	for _, name := range backends {
		be := open(t, name)
		var states [][]byte
		for _, unit := range []string{Window, Block} {
			states = append(states, finalState(t, func() *Trainer {
				c := inBlocks(source.Series.N, Random)
				c.Unit, c.Epochs = unit, 2
				c.Backbone, c.Options = "staeformer", tinyBackbones()["staeformer"]
				return newTrainer(t, be, c, source)
			}, 0))
		}
		if !bytes.Equal(states[0], states[1]) {
			t.Errorf("%s: a block of all nodes is not trained as a window", name)
		}
	}
}

// A step on blocks must be estimated, and allowed, by what it takes itself.
func TestBlocksTakeLessMemory(t *testing.T) {
	source := five(t)
	least := func(unit string) int64 { // power of two that is not refused
		for limit := int64(1 << 10); ; limit *= 2 {
			c := inBlocks(1, Random)
			c.Unit, c.MemoryLimit = unit, limit
			c.Batch = 32
			ctx, cancel := context.WithCancel(t.Context())
			err := newTrainer(t, open(t, "go"), c, source).Run(ctx, Events{Step: func(Progress) { cancel() }})
			cancel()
			if errors.Is(err, context.Canceled) {
				return limit
			}
		}
	}
	if blocks, windows := least(Block), least(Window); blocks >= windows {
		t.Errorf("a step on blocks of one node takes up to %d bytes, one on windows up to %d", blocks, windows)
	}
}
