package diagnose

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/stprune"
	"github.com/stprune/workbench/stprune/run"
	"github.com/stprune/workbench/stprune/train"
)

// ramp is a small series with a daily pattern; its noise grows with the hour, so that some windows are harder. With the name
// "gaps" values are missing.
func ramp(_ context.Context, name string) (*datasets.Series, error) {
	s := &datasets.Series{Name: name, T: 170, N: 4, Missing: datasets.NoMissing(),
		Calendar: datasets.Calendar{Start: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), Step: time.Hour}}
	r := stprune.Stream(7, "series", 0)
	for n := range s.N {
		s.Nodes = append(s.Nodes, fmt.Sprint("n", n))
	}
	for i := range s.T {
		for n := range s.N {
			v := float32(50 + float64(5*n) + 10*math.Sin(2*math.Pi*float64(i)/24+float64(n)) + float64(i%24)/4*r.NormFloat64())
			if name == "gaps" && r.Float64() < 0.1 {
				v = float32(math.NaN())
			}
			s.Values = append(s.Values, v)
		}
	}
	return s, nil
}

// store is one for all tests: its runs are trained once.
var store *run.Store

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "diagnose")
	if err != nil {
		panic(err)
	}
	store = run.NewStore(dir)
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		panic(err)
	}
	os.Exit(code)
}

func options() run.Options { return run.Options{Store: store, Series: ramp} }

// tiny is a spec that trains in a moment, on full data.
func tiny(t *testing.T, settings ...string) run.Spec {
	t.Helper()
	s := run.DefaultSpec()
	err := s.Set(append([]string{
		"data.name=ramp", "data.history=6", "data.horizon=3", "backend.name=go",
		"model.options={embed_dim=6,node_dim=5,tod_dim=4,dow_dim=3,layers=1}",
		"train.epochs=10", "train.batch=16", "train.eval_batch=16", "train.validate_every=5", "prune.rho=0.3", "prune.delta=1",
		"prune.share=1", "prune.beta=0", "prune.unseen=top", "prune.score=complexity", "prune.stationarity=learning", "prune.w_max=10",
	}, settings...)...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// subject is a finished run of that spec.
func subject(t *testing.T, settings ...string) *Subject {
	t.Helper()
	r, err := run.Do(t.Context(), tiny(t, settings...), options())
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), r, options())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func choice(t *testing.T, s *Subject) Choice {
	t.Helper()
	c, err := s.Choice()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// ofUnits is a choice of one pruned epoch after a full one.
func ofUnits(units, perWindow int, selections ...stprune.Selection) Choice {
	c := Choice{Name: "hand-made"}
	for _, s := range append([]stprune.Selection{{All: true}}, selections...) {
		c.Epochs = append(c.Epochs, run.Kept{Units: units, PerWindow: perWindow, Selection: s})
	}
	return c
}

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-6*math.Max(1, math.Abs(b)) }

// refused checks that an error mentions what it must.
func refused(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want one that mentions %q", err, want)
	}
}

func TestOverlapsByHand(t *testing.T) {
	a := ofUnits(10, 1, stprune.Selection{IDs: []int32{0, 1, 2, 3}}, stprune.Selection{IDs: []int32{0, 4}}, stprune.Selection{All: true})
	b := ofUnits(10, 1, stprune.Selection{IDs: []int32{2, 3, 9}}, stprune.Selection{IDs: []int32{0, 4, 5}}, stprune.Selection{IDs: []int32{1}})
	got, err := Overlaps(a, b)
	if err != nil {
		t.Fatal(err)
	}
	want := []Overlap{
		{Epoch: 2, A: 4, B: 3, Shared: 2, Jaccard: 2.0 / 5},
		{Epoch: 3, A: 2, B: 3, Shared: 2, Jaccard: 2.0 / 3},
		{Epoch: 0, A: 5, B: 6, Shared: 4, Jaccard: 4.0 / 7}, // {0,1,2,3,4} and {0,2,3,4,5,9}
	}
	if len(got) != len(want) {
		t.Fatalf("%+v, want %+v", got, want)
	}
	for i := range want {
		want[i].Expected = got[i].Expected // the next test's
		if got[i] != want[i] {
			t.Errorf("%+v, want %+v", got[i], want[i])
		}
	}
	if rows, err := Overlaps(a, ofUnits(10, 1)); err != nil || rows != nil {
		t.Errorf("without a common pruned epoch: %v, %v", rows, err)
	}
	_, err = Overlaps(a, ofUnits(9, 1, stprune.Selection{IDs: []int32{1}}))
	refused(t, err, "train.unit")
	summed := ofUnits(10, 1, stprune.Selection{})
	summed.Epochs[1].Summary = &run.WindowVisits{}
	_, err = Overlaps(summed, a)
	refused(t, err, "sums over windows")
}

func TestExpectedJaccard(t *testing.T) {
	// Two of 4 units each: they share 0, 1, 2 with probabilities 1/6, 4/6, 1/6.
	if got, want := expectedJaccard(4, 2, 2), 4.0/6/3+1.0/6; !near(got, want) {
		t.Errorf("2 and 2 of 4: %v, want %v", got, want)
	}
	for _, c := range []struct{ n, a, b int }{{9, 4, 7}, {30, 3, 3}, {50, 50, 10}, {50, 49, 48}, {5, 1, 1}, {5, 5, 5}} {
		r := stprune.Stream(1, "sets", c.n)
		const draws = 20000
		var sum, squares float64
		for range draws {
			x := overlap(c.n, uniform(r, c.n, c.a), uniform(r, c.n, c.b)).Jaccard
			sum, squares = sum+x, squares+x*x
		}
		mean := sum / draws
		se := math.Sqrt(max(0, squares/draws-mean*mean) / draws)
		if got := expectedJaccard(c.n, c.a, c.b); math.Abs(got-mean) > 4*se+1e-9 {
			t.Errorf("%d and %d of %d: %v, but drawn sets have %v ± %v", c.a, c.b, c.n, got, mean, se)
		}
	}
	// Of many units the index is that of the mean number of shared ones.
	const n, k = 2_000_000, 200_000
	if got, want := expectedJaccard(n, k, k), 0.1/(2-0.1); math.Abs(got-want) > 1e-6 {
		t.Errorf("a tenth of %d units: %v, want %v", n, got, want)
	}
}

func TestDeciles(t *testing.T) {
	var values []float64
	for i := range 20 {
		values = append(values, float64(i))
	}
	values = append(values, math.NaN())
	g := deciles(values)
	for i, group := range g.of {
		if want := i / 2; i < 20 && group != want || i == 20 && group != -1 {
			t.Errorf("value %v is in group %d", values[i], group)
		}
	}
	if g.labels[0] != "decile 1: 0 to 2" || g.labels[9] != "decile 10: 18 to 19" {
		t.Errorf("labels %v", g.labels)
	}
	if g := deciles([]float64{3, 3, 3, 5}); g.of[0] != 2 || g.of[2] != 2 || g.of[3] != 3 || g.labels[3] != "4 of 4: 5 to 5" {
		t.Errorf("equal values in groups %v of %v", g.of, g.labels)
	}
	if g := deciles([]float64{math.NaN()}); g.of[0] != -1 {
		t.Errorf("no value is in group %v", g.of)
	}
}

// small has 7 hourly steps of 2 nodes, and 3 training windows of 2 steps in and 1 out.
func small() *Subject {
	nan := float32(math.NaN())
	s := &datasets.Series{Name: "small", T: 7, N: 2, Nodes: []string{"a", "b"}, Missing: datasets.NoMissing(),
		Values: []float32{
			1, 10,
			3, 10,
			1, nan, // target of window 0
			3, 10, // of window 1
			2, 10, // of window 2, the last training row
			9, 9, 9, 9},
		Calendar: datasets.Calendar{Start: time.Date(2024, 1, 7, 21, 0, 0, 0, time.UTC), Step: time.Hour}} // a Sunday
	w := &datasets.Windows{History: 2, Horizon: 1, Train: []int32{0, 1, 2}, Val: []int32{3}, Test: []int32{4}}
	return &Subject{Run: &run.Run{ID: "small"}, Sources: []train.Source{{Series: s, Windows: w}}}
}

func TestCongestionByHand(t *testing.T) {
	s := small()
	series, w, err := s.only()
	if err != nil {
		t.Fatal(err)
	}
	d := math.Sqrt(4.0 / 5) // of node a: 1, 3, 1, 3, 2; node b never changes
	for perNode, want := range map[bool][]float64{
		true:  {-1 / d, math.NaN(), 1 / d, 0, 0, 0},
		false: {-1 / d, 1 / d / 2, 0},
	} {
		for i, got := range congestion(series, w, w.Train, perNode) {
			if (got != got) != (want[i] != want[i]) || got == got && !near(got, want[i]) {
				t.Errorf("per node %v, item %d: %v, want %v", perNode, i, got, want[i])
			}
		}
	}
}

func TestSharesByHand(t *testing.T) {
	s := small()
	check := func(what string, got []Share, want map[string]Share) {
		t.Helper()
		if len(got) != len(want) {
			t.Errorf("%s: %+v, want %+v", what, got, want)
		}
		for _, x := range got {
			w := want[x.Label]
			if x.Units != w.Units || !near(x.Kept, w.Kept) || !near(x.Weight, w.Weight) {
				t.Errorf("%s: %+v, want %+v", what, x, w)
			}
		}
	}
	// Windows: forecast at 23:00, 00:00 and 01:00. Two pruned epochs keep {0, 2} with weights 3 and 1, and {1}.
	got, err := s.Shares(ofUnits(3, 1, stprune.Selection{IDs: []int32{0, 2}, Weight: []float32{3, 1}}, stprune.Selection{IDs: []int32{1}}))
	if err != nil {
		t.Fatal(err)
	}
	if got.Epochs != 2 || !near(got.Kept, 0.5) || got.Node != nil {
		t.Errorf("%+v", got)
	}
	check("hour", got.Hour, map[string]Share{
		"23:00": {Units: 1, Kept: 0.5, Weight: 3 * 0.75 / 2},
		"00:00": {Units: 1, Kept: 0.5, Weight: 3 * 1.0 / 2},
		"01:00": {Units: 1, Kept: 0.5, Weight: 3 * 0.25 / 2},
	})
	check("weekday", got.Weekday, map[string]Share{
		"Sunday": {Units: 1, Kept: 0.5, Weight: 3 * 0.75 / 2},
		"Monday": {Units: 2, Kept: 0.5, Weight: 1.5 * 1.25 / 2},
	})

	// Pairs: window 0 with both nodes, window 2 with node b.
	pairs := ofUnits(6, 2, stprune.Selection{IDs: []int32{0, 1, 5}, Weight: []float32{2, 1, 1}})
	if got, err = s.Shares(pairs); err != nil {
		t.Fatal(err)
	}
	check("weekday of pairs", got.Weekday, map[string]Share{"Sunday": {Units: 2, Kept: 1, Weight: 3 * 0.75}, "Monday": {Units: 4, Kept: 0.25, Weight: 1.5 * 0.25}})
	if n := len(got.Node); n != 2 || !near(got.Node[0].Kept, 1.0/3) || !near(got.Node[1].Kept, 2.0/3) || !near(got.Node[1].Weight, 1) {
		t.Errorf("nodes %+v", got.Node)
	}
	units := 0
	for _, x := range got.Congestion {
		units += x.Units
	}
	if units != 5 { // one pair has no target
		t.Errorf("%d pairs have a congestion: %+v", units, got.Congestion)
	}
	hour := got.Hour

	// The same selection stored as sums over windows.
	visits := pairs.Epochs[1].Visits()
	pairs.Epochs[1].Selection, pairs.Epochs[1].Summary = stprune.Selection{}, &visits
	if got, err = s.Shares(pairs); err != nil {
		t.Fatal(err)
	}
	if got.Node != nil || !near(got.Kept, 0.5) {
		t.Errorf("summed: %+v", got)
	}
	want := map[string]Share{}
	for _, x := range hour {
		want[x.Label] = x
	}
	check("hour, summed", got.Hour, want)

	_, err = s.Shares(ofUnits(3, 1))
	refused(t, err, "no pruned epoch")
	_, err = s.Shares(ofUnits(4, 1, stprune.Selection{IDs: []int32{0}}))
	refused(t, err, "3 training windows")
}

func TestSpearman(t *testing.T) {
	for _, c := range []struct{ x, want []float64 }{
		{[]float64{5, 1, 3}, []float64{3, 1, 2}},
		{[]float64{2, 1, 2, 2}, []float64{3, 1, 3, 3}},
		{[]float64{7, 7, 8, 8}, []float64{1.5, 1.5, 3.5, 3.5}},
	} {
		for i, r := range ranks(c.x) {
			if r != c.want[i] {
				t.Errorf("ranks of %v: %v, want %v", c.x, ranks(c.x), c.want)
				break
			}
		}
	}
	for _, c := range []struct {
		x, y []float64
		want float64
	}{
		{[]float64{1, 2, 3, 4}, []float64{1, 10, 100, 1000}, 1},
		{[]float64{1, 2, 3, 4}, []float64{4, 3, 2, 1}, -1},
		{[]float64{1, 2, 3, 4}, []float64{2, 1, 4, 3}, 0.6}, // 1 − 6·4/(4·15)
		{[]float64{1, 1, 2, 3}, []float64{1, 2, 3, 4}, 3 / math.Sqrt(10)},
	} {
		if got := spearman(c.x, c.y); !near(got, c.want) {
			t.Errorf("%v and %v: %v, want %v", c.x, c.y, got, c.want)
		}
	}
	if v := spearman([]float64{1, 1}, []float64{1, 2}); v == v {
		t.Errorf("without spread: %v", v)
	}
}

// Windows that were not visited in both epochs keep old scores, which must not count.
func TestCorrelateTakesVisitedWindows(t *testing.T) {
	a := run.Difficulty{Level: []float32{1, 2, 3, 9, 5}, Complexity: []float32{1, 2, 3, 9, 5}, Weight: []float32{1, 1, 1, 0, 1}}
	b := run.Difficulty{Level: []float32{3, 2, 1, 9, 7}, Complexity: []float32{1, 2, 3, 9, 7}, Weight: []float32{1, 2, 1, 1, 0}}
	row, ok := correlate(a, b)
	if !ok || row.Windows != 3 || !near(row.Level, -1) || !near(row.Complexity, 1) {
		t.Errorf("%+v, %v", row, ok)
	}
	b.Weight[0] = 0
	if row, ok := correlate(a, b); ok {
		t.Errorf("two windows: %+v", row)
	}
}

func TestVariation(t *testing.T) {
	if v := variation([]float64{1, 3}, nil); !near(v.CV, 0.5) || !near(v.Bound, 0.8) {
		t.Errorf("%+v", v)
	}
	if v := variation([]float64{1, 3}, []float64{3, 1}); !near(v.CV, math.Sqrt(0.75)/1.5) {
		t.Errorf("weighted: %+v", v)
	}
	if v := variation([]float64{0, 0}, nil); v != (Variation{Bound: 1}) {
		t.Errorf("of zeros: %+v", v)
	}
	var m moments
	for _, x := range []float64{1e6 + 1, 1e6 + 3, 1e6 + 5} {
		m.add(x)
	}
	if m.n != 3 || !near(m.mean, 1e6+3) || !near(m.squares, 8) {
		t.Errorf("%+v", m)
	}
}

func TestScoresOfRuns(t *testing.T) {
	full := subject(t)
	other := subject(t, "train.seed=2")
	rows, err := Stability(full.Run)
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 10 { // 9 neighbours, and the first with the last
		t.Fatalf("%d rows: %+v", len(rows), rows)
	}
	for _, r := range rows {
		if r.Windows != len(full.Sources[0].Windows.Train) || math.Abs(r.Level) > 1 || math.Abs(r.Complexity) > 1 {
			t.Errorf("%+v", r)
		}
	}
	if last := rows[9]; last.A.Epoch != 1 || last.B.Epoch != 10 {
		t.Errorf("the last row is %+v", last)
	}
	same, err := full.Agreement(full)
	if err != nil {
		t.Fatal(err)
	}
	apart, err := full.Agreement(other)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range same {
		if !near(r.Complexity, 1) || !(apart[i].Complexity < 1) {
			t.Errorf("epoch %d: with itself %v, with another seed %v", i+1, r.Complexity, apart[i].Complexity)
		}
	}

	spreads, err := full.Spreads()
	if err != nil {
		t.Fatal(err)
	}
	last := spreads[len(spreads)-1]
	scores, err := full.Scores(10)
	if err != nil {
		t.Fatal(err)
	}
	var levels []float64
	for _, v := range scores.Windows.Level {
		levels = append(levels, float64(v))
	}
	if len(spreads) != 10 || last.Epoch != 10 || last.Of != "windows" || last.Data != "ramp" || !near(last.Level.CV, variation(levels, nil).CV) {
		t.Errorf("%d rows, the last %+v", len(spreads), last)
	}
	pairs := subject(t, "train.unit=pair", "train.epochs=2")
	if spreads, err = pairs.Spreads(); err != nil || len(spreads) != 4 || spreads[3].Of != "nodes" || spreads[3].Count != 4 {
		t.Errorf("pairs: %+v, %v", spreads, err)
	}

	// Pairs vary more than windows, which are means over them.
	errs, err := full.ErrorSpread(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	windows := len(levels)
	if len(errs) != 2 || errs[0].Count != windows || errs[1].Count != 4*windows || !(errs[1].Level.CV > errs[0].Level.CV) || !(errs[0].Level.CV > 0) {
		t.Errorf("%+v", errs)
	}
}

// What groups add up to is the test MAE of the run's result.
func TestErrorsAddUpToTheResult(t *testing.T) {
	for _, data := range []string{"ramp", "gaps"} {
		full, pruned := subject(t, "data.name="+data), subject(t, "data.name="+data, "prune.method=random")
		e, err := pruned.Errors(t.Context(), full)
		if err != nil {
			t.Fatal(err)
		}
		mine, err := pruned.Result()
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := full.Result()
		if err != nil {
			t.Fatal(err)
		}
		agree := func(a, b float64) bool { return math.Abs(a-b) < 1e-5*b }
		for name, groups := range map[string][]GroupError{
			"all": {e.All}, "hour": e.Hour, "horizon": e.Horizon, "node by error": e.NodeError, "node by level": e.NodeLevel, "congestion": e.Congestion,
		} {
			var a, b, targets float64
			for _, g := range groups {
				a += g.MAE * float64(g.Targets)
				b += g.Against * float64(g.Targets)
				targets += float64(g.Targets)
				if !agree(1+g.Change, g.MAE/g.Against) {
					t.Errorf("%s, %s: %+v", data, name, g)
				}
			}
			if int(targets) != e.All.Targets || !agree(a/targets, mine.Test.Pooled.MAE) || !agree(b/targets, theirs.Test.Pooled.MAE) {
				t.Errorf("%s, %s: %v and %v over %v targets; the results are %v and %v", data, name, a/targets, b/targets, targets, mine.Test.Pooled.MAE, theirs.Test.Pooled.MAE)
			}
		}
		for h, g := range e.Horizon {
			if !agree(g.MAE, mine.Test.MAE[h]) || !agree(g.Against, theirs.Test.MAE[h]) {
				t.Errorf("%s, horizon %d: %+v", data, h+1, g)
			}
		}
		for i, g := range e.Rare {
			if own := e.Own[i]; g.Against < e.All.Against || own.Against != g.Against || own.MAE < g.MAE {
				t.Errorf("%s: rare %+v, own %+v of %+v", data, g, own, e.All)
			}
		}
		if len(e.Rare) != 2 || !(e.Rare[0].Against >= e.Rare[1].Against) || e.Rare[0].Targets > e.Rare[1].Targets {
			t.Errorf("%s: rare windows %+v", data, e.Rare)
		}
		// The windows that are worst in both runs are the same for either run; those of one are no worse than its own worst.
		back, err := full.Errors(t.Context(), pruned)
		if err != nil {
			t.Fatal(err)
		}
		for i, g := range e.Both {
			if b := back.Both[i]; b.MAE != g.Against || b.Against != g.MAE || g.MAE > e.Own[i].MAE || g.Against > e.Own[i].Against || g.MAE+g.Against < e.Rare[i].MAE+e.Rare[i].Against {
				t.Errorf("%s: worst in both %+v, the other way round %+v, in one %+v, own %+v", data, g, b, e.Rare[i], e.Own[i])
			}
		}
		again, err := full.Errors(t.Context(), full)
		if err != nil {
			t.Fatal(err)
		}
		if again.All.Change != 0 || again.Rare[0].Change != 0 || again.Own[0].Change != 0 {
			t.Errorf("%s: a run against itself: %+v", data, again)
		}
	}
	_, err := subject(t).Errors(t.Context(), subject(t, "data.name=gaps"))
	refused(t, err, "differ in data")
	_, err = subject(t).Errors(t.Context(), subject(t, "data.horizon=2", "train.epochs=1"))
	refused(t, err, "horizon")
}

func TestWorst(t *testing.T) {
	windows := []tally{{1, 1}, {9, 3}, {0, 0}, {8, 2}, {0, 5}}
	if got := worst(windows, 0.3); len(got) != 2 || got[0] != 3 || got[1] != 1 {
		t.Errorf("worst windows %v", got)
	}
	if got := worst(windows, 0.01); len(got) != 1 || got[0] != 3 {
		t.Errorf("worst window %v", got)
	}
}

func TestOpenRefusesOtherData(t *testing.T) {
	r := subject(t).Run
	changed := *r
	changed.Spec.Data.Name = "gaps"
	_, err := Open(t.Context(), &changed, options())
	refused(t, err, "other data")
	o := options()
	o.Series = func(context.Context, string) (*datasets.Series, error) { return nil, errors.New("gone") }
	_, err = Open(t.Context(), r, o)
	refused(t, err, "gone")
}
