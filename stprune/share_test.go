package stprune_test

import (
	"math"
	"slices"
	"testing"

	"github.com/stprune/workbench/stprune"
)

// 5 windows of 2 nodes, scores shared by 3 windows: cells are (windows 0–2, node 0), (0–2, 1), (3–4, 0), (3–4, 1).
func TestSharedScores(t *testing.T) {
	c := stprune.DefaultConfig()
	c.Score, c.Share, c.Beta = "loss", 3, 0.5
	p, err := stprune.New(10, c, stprune.WithPerWindow(2))
	if err != nil {
		t.Fatal(err)
	}
	observe := func(id int32, level float32) {
		t.Helper()
		if err := p.Observe([]int32{id}, row(level, 0, 0, 0, 0)); err != nil {
			t.Fatal(err)
		}
	}
	observe(2, 4) // window 1, node 0
	observe(4, 2) // window 2, node 0: 0.5·4 + 0.5·2
	observe(9, 7) // window 4, node 1
	inf := float32(math.Inf(1))
	want := []float32{3, inf, 3, inf, 3, inf, inf, 7, inf, 7}
	if got := scores(t, p); !slices.Equal(got, want) {
		t.Errorf("scores %v, want %v", got, want)
	}

	state, err := p.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	again, err := stprune.New(10, c, stprune.WithPerWindow(2))
	if err != nil {
		t.Fatal(err)
	}
	if err := again.UnmarshalBinary(state); err != nil {
		t.Fatal(err)
	}
	if got := scores(t, again); !slices.Equal(got, want) {
		t.Errorf("restored scores %v, want %v", got, want)
	}
	c.Share = 1
	if apart, err := stprune.New(10, c, stprune.WithPerWindow(2)); err != nil || apart.UnmarshalBinary(state) == nil {
		t.Error("a pruner without shared scores takes a state with them")
	}
}

// A unit without measured targets, whose level is 0, lowers the score it shares and does not take it to 0, at which its neighbours would
// never be drawn again.
func TestUnmeasuredUnitsDoNotStarveTheirNeighbours(t *testing.T) {
	const n, share = 240, 12
	for _, beta := range []float64{0, 0.5} {
		c := stprune.DefaultConfig()
		c.WarmUp, c.Delta, c.Share, c.Beta = 0, 1, share, beta
		p, err := stprune.New(n, c)
		if err != nil {
			t.Fatal(err)
		}
		if s := plan(t, p, 0); s.Diagnostics.Unseen != n {
			t.Errorf("%d units are unseen at first, want %d", s.Diagnostics.Unseen, n)
		}
		var ids []int32
		var stats stprune.Stats
		for id := int32(0); id < n; id += share {
			ids = append(ids, id)
			stats = append(stats, row(min(1, float32(id)), 0, 0, 0, 0)...)
		}
		for range 3 {
			if err := p.Observe(ids, stats); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Observe([]int32{1}, row(1, 0, 0, 0, 0)); err != nil {
			t.Fatal(err)
		}
		want := float32(1) // unmeasured ones left it alone
		if beta > 0 {
			want = 0.5*0.125 + 0.5*1
		}
		if got := scores(t, p)[2]; got != want {
			t.Errorf("β = %v: the shared score is %v, want %v", beta, got, want)
		}
	}
}

// Half of the units have scores 1 and 2 in turn; "mean" draws the unseen others like 1.5, "top" like 2.
func TestUnseen(t *testing.T) {
	const n, rounds = 100, 4000
	for _, tc := range []struct {
		unseen    string
		low, high float64 // expected draws of the unseen among 10
	}{{"mean", 4.9, 5.1}, {"top", 5.6, 5.85}} { // 10·50·1.5/150 and 10·50·2/175
		c := apart()
		c.Epochs, c.WarmUp, c.Delta, c.Rho = rounds, 0, 1, 0.1
		c.Score, c.Unseen, c.Stationarity = "loss", tc.unseen, "none"
		p, err := stprune.New(n, c)
		if err != nil {
			t.Fatal(err)
		}
		for i := range int32(n / 2) {
			if err := p.Observe([]int32{i}, row(float32(1+i%2), 0, 0, 0, 0)); err != nil {
				t.Fatal(err)
			}
		}
		drawn := 0
		for e := range rounds {
			s, err := p.Plan(e)
			if err != nil {
				t.Fatal(err)
			}
			for _, id := range s.IDs {
				if id >= n/2 {
					drawn++
				}
			}
		}
		if mean := float64(drawn) / rounds; mean < tc.low || mean > tc.high {
			t.Errorf("unseen = %s: %.3f of 10 draws were unseen units, want %v to %v", tc.unseen, mean, tc.low, tc.high)
		}
	}
}

// Units that share a score are drawn as often as each other, in proportion to it, and a cell's number of them is as near to the sum
// of their π as whole numbers allow: the draw is spread in time.
func TestCellsAreDrawnEvenly(t *testing.T) {
	const windows, nodes, share = 11, 3, 4 // the last cells have 3 units
	cell := func(id int) int { return id/nodes/share*nodes + id%nodes }
	for _, tc := range []struct {
		name   string
		inTime bool
		change func(score []float64)
		k      int
	}{
		{"few", false, func([]float64) {}, 5},
		{"many", false, func([]float64) {}, 20},
		{"some surely", false, func(s []float64) { s[4] = 60 }, 12},
		{"some never", false, func(s []float64) { s[0], s[8] = 0, 0 }, 9},
		{"in time", true, func([]float64) {}, 9},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			score := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9} // of the cells
			tc.change(score)
			c := sampling("pps", float64(tc.k)/(windows*nodes))
			c.Share, c.Score, c.Beta, c.InTime = share, "loss", 0, tc.inTime
			spatial := func(s stprune.Stats) float32 { return s[stprune.Spatial] }
			p, err := stprune.New(windows*nodes, c, stprune.WithPerWindow(nodes), stprune.WithScore(spatial))
			if err != nil {
				t.Fatal(err)
			}
			perUnit := make([]float64, windows*nodes)
			for id := range perUnit {
				perUnit[id] = score[cell(id)]
				if err := p.Observe([]int32{int32(id)}, row(1, float32(perUnit[id]), 0, 0, 0)); err != nil {
					t.Fatal(err)
				}
			}
			want := proportional(perUnit, tc.k)
			compare(t, frequencies(t, p, len(want), want), want)

			expected := make([]float64, len(score))
			for id, pi := range want {
				expected[cell(id)] += pi
			}
			for e := range 1000 {
				ids := plan(t, p, e).IDs
				if len(ids) != tc.k {
					t.Fatalf("epoch %d: %d units, want %d", e, len(ids), tc.k)
				}
				drawn := make([]float64, len(score))
				for _, id := range ids {
					drawn[cell(int(id))]++
				}
				for i, n := range drawn {
					if math.Abs(n-expected[i]) >= 1+1e-9 {
						t.Fatalf("epoch %d: %v units of cell %d; %.3f are expected", e, n, i, expected[i])
					}
				}
			}
		})
	}
}

func TestShareIsChecked(t *testing.T) {
	c := stprune.DefaultConfig()
	if _, err := stprune.New(9, c, stprune.WithPerWindow(2)); err == nil {
		t.Error("9 units make windows of 2")
	}
	c.Share = 0
	if c.Check() == nil {
		t.Error("share 0 is accepted")
	}
	c.Share, c.Unseen = 1, "first"
	if c.Check() == nil {
		t.Error("unseen first is accepted")
	}
}
