package stprune_test

import (
	"math"
	"strings"
	"testing"

	"github.com/stprune/workbench/stprune"
)

const weekSlots = 28

func slotOf(t int) int { return t % weekSlots }

func everyRow(int, int) bool { return true }

func startsTo(last int) []int32 {
	var s []int32
	for i := range last + 1 {
		s = append(s, int32(i))
	}
	return s
}

// A series that repeats its week exactly has z = 1; one that has nothing to do with it has z near 0.
func TestProfileStationarityExtremes(t *testing.T) {
	const nodes, weeks, window = 3, 60, 14
	r := stprune.Stream(1, "test", 0)
	values := make([]float32, weeks*weekSlots*nodes) // node 0 repeats, node 1 is noise, node 2 is flat
	for i := range values {
		switch step := i / nodes; i % nodes {
		case 0:
			values[i] = 50 + 10*float32(math.Sin(2*math.Pi*float64(step%weekSlots)/weekSlots))
		case 1:
			values[i] = 50 + float32(r.NormFloat64())
		case 2:
			values[i] = 7
		}
	}
	starts := startsTo(weeks*weekSlots - window)
	z, err := stprune.ProfileStationarity(values, nodes, everyRow, slotOf, starts, window, true)
	if err != nil {
		t.Fatal(err)
	}
	noise := 0.0
	for i := range starts {
		if z[i*nodes] < 0.9999 || z[i*nodes+2] != 1 {
			t.Fatalf("window %d: z = %v where the week repeats, %v where nothing varies; want 1", i, z[i*nodes], z[i*nodes+2])
		}
		noise += float64(z[i*nodes+1]) / float64(len(starts))
	}
	// The correlation with an unrelated profile is as often above 0 as below, and small: the profile averages 59 weeks.
	if noise > 0.08 {
		t.Errorf("noise has a mean z of %.3f, want nearly 0", noise)
	}
}

// The running sums against the definition, with missing values, on windows in any order.
func TestProfileStationarityDefinition(t *testing.T) {
	const nodes, steps, window = 4, 3*weekSlots + 9, 10
	r := stprune.Stream(2, "test", 0)
	values, missing := make([]float32, steps*nodes), make([]bool, steps*nodes)
	for i := range values {
		values[i] = 1000 + 20*float32(math.Sin(2*math.Pi*float64(i/nodes)/weekSlots)*float64(i%nodes+1)+r.NormFloat64())
		if missing[i] = r.Float64() < 0.3; missing[i] {
			values[i] = float32(math.NaN())
		}
	}
	valid := func(t, n int) bool { return !missing[t*nodes+n] }
	starts := []int32{40, 3, 4, 5, 6, 7, 8, 30, 20, 12, 60, 58, 65}
	covered := make([]bool, steps)
	for _, s := range starts {
		for t := s; t < s+window; t++ {
			covered[t] = true
		}
	}
	// sums of squares of x − p, and of x plus that of p, for one window and node
	direct := func(start int32, n int) (residual, total float64, count int) {
		var x, p []float64
		for t := int(start); t < int(start)+window; t++ {
			sum, others := 0.0, 0
			for u := range steps {
				if u != t && covered[u] && valid(u, n) && slotOf(u) == slotOf(t) {
					sum += float64(values[u*nodes+n])
					others++
				}
			}
			if valid(t, n) && others > 0 {
				x, p = append(x, float64(values[t*nodes+n])), append(p, sum/float64(others))
			}
		}
		scatter := func(at func(i int) float64) (s float64) {
			mean := 0.0
			for i := range x {
				mean += at(i) / float64(len(x))
			}
			for i := range x {
				s += (at(i) - mean) * (at(i) - mean)
			}
			return s
		}
		return scatter(func(i int) float64 { return x[i] - p[i] }),
			scatter(func(i int) float64 { return x[i] }) + scatter(func(i int) float64 { return p[i] }), len(x)
	}
	byPair, err := stprune.ProfileStationarity(values, nodes, valid, slotOf, starts, window, true)
	if err != nil {
		t.Fatal(err)
	}
	byWindow, err := stprune.ProfileStationarity(values, nodes, valid, slotOf, starts, window, false)
	if err != nil {
		t.Fatal(err)
	}
	if len(byPair) != len(starts)*nodes || len(byWindow) != len(starts) {
		t.Fatalf("%d and %d values for %d windows of %d nodes", len(byPair), len(byWindow), len(starts), nodes)
	}
	between := 0
	for i, s := range starts {
		residuals, totals := 0.0, 0.0
		for n := range nodes {
			residual, total, count := direct(s, n)
			want := 0.0
			if count >= 2 {
				want = min(1, max(0, 1-residual/total))
				residuals += residual
				totals += total
			}
			if want > 0 && want < 1 {
				between++
			}
			if got := byPair[i*nodes+n]; math.Abs(float64(got)-want) > 1e-5 {
				t.Errorf("window at %d, node %d: z = %v, want %v", s, n, got, want)
			}
		}
		if want := min(1, max(0, 1-residuals/totals)); math.Abs(float64(byWindow[i])-want) > 1e-5 {
			t.Errorf("window at %d: z = %v, want %v", s, byWindow[i], want)
		}
	}
	if between < len(starts) {
		t.Errorf("only %d values lie inside (0,1); the test compares too little", between)
	}
}

// One week alone says nothing about repetition.
func TestProfileStationarityOneWeek(t *testing.T) {
	values := make([]float32, weekSlots)
	for i := range values {
		values[i] = float32(i)
	}
	z, err := stprune.ProfileStationarity(values, 1, everyRow, slotOf, startsTo(weekSlots-5), 5, false)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range z {
		if v != 0 {
			t.Errorf("window %d: z = %v, want 0", i, v)
		}
	}
}

func TestProfileStationarityRefuses(t *testing.T) {
	values := make([]float32, 20)
	for _, tc := range []struct {
		name   string
		values []float32
		nodes  int
		slot   func(int) int
		starts []int32
		window int
		want   string
	}{
		{"no nodes", values, 0, slotOf, nil, 2, "0 nodes"},
		{"part of a row", values, 3, slotOf, nil, 2, "whole rows"},
		{"no window", values, 2, slotOf, nil, 0, "0 steps"},
		{"window too long", values, 2, slotOf, nil, 11, "11 steps"},
		{"start before", values, 2, slotOf, []int32{-1}, 2, "row -1"},
		{"start after", values, 2, slotOf, []int32{0, 9}, 2, "row 9"},
		{"slot negative", values, 2, func(int) int { return -1 }, []int32{0}, 2, "slot -1"},
		{"slot huge", values, 2, func(int) int { return 1 << 40 }, []int32{0}, 2, "slot 1099511627776"},
	} {
		if _, err := stprune.ProfileStationarity(tc.values, tc.nodes, everyRow, tc.slot, tc.starts, tc.window, false); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want one with %q", tc.name, err, tc.want)
		}
	}
}
