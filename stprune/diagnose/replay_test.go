package diagnose

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stprune/workbench/stprune/run"
)

// A method that uses no statistics replays to the bits of its run.
func TestReplayOfRandomIsExact(t *testing.T) {
	for _, settings := range [][]string{nil, {"prune.in_time=true", "prune.anneal=linear", "prune.delta=0.8"}, {"train.unit=pair", "train.batch=64"}} {
		full := subject(t, settings...)
		own := subject(t, append(settings, "prune.method=random")...)
		r, err := full.Replay(t.Context(), own.Spec)
		if err != nil {
			t.Fatal(err)
		}
		want := choice(t, own)
		for i := range want.Epochs {
			want.Epochs[i].Diagnostics = r.Choice.Epochs[i].Diagnostics // stored elsewhere
		}
		if !reflect.DeepEqual(r.Choice.Epochs, want.Epochs) {
			t.Errorf("%v: the replay differs from the run", settings)
		}
		epochs, err := own.Run.Epochs()
		if err != nil {
			t.Fatal(err)
		}
		for i, e := range r.Epochs {
			if e.Epoch != i+1 || e.Selection != epochs[i].Selection || !(e.ScoreAll > 0) || (e.Repeated == nil) != (i < 2) && want.Pruned()[len(want.Pruned())-1] == 10 {
				t.Errorf("%v: %+v, the run has %+v", settings, e, epochs[i].Selection)
			}
		}
		if r.Scores != full.ID || r.Note != Exact {
			t.Errorf("%+v", r)
		}
	}
}

func TestReplayFollowsScores(t *testing.T) {
	for _, unit := range []string{"window", "pair"} {
		full := subject(t, "train.unit="+unit, "train.batch=64")
		for _, settings := range [][]string{
			{"prune.score=loss"}, {"prune.score=complexity"}, {"prune.score=complexity", "prune.lambda_s=0", "prune.lambda_t=0"}, {"prune.score=complexity", "prune.lambda_s=2", "prune.lambda_t=0.5"},
		} {
			spec := tiny(t, append(settings, "train.unit="+unit, "train.batch=64", "prune.method=st-prune", "prune.selector=top+rest", "prune.alpha=0.8", "prune.min_units=1")...)
			r, err := full.Replay(t.Context(), spec)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(r.Note, Approximate) {
				t.Errorf("%s, %v: note %q", unit, settings, r.Note)
			}
			for _, e := range r.Epochs[1:] {
				if !(e.Score > 1.1*e.ScoreAll) || math.Abs(e.Kept-0.3) > 0.02 {
					t.Errorf("%s, %v: epoch %d keeps %v of the units, of score %v, all have %v", unit, settings, e.Epoch, e.Kept, e.Score, e.ScoreAll)
				}
			}
			if e := r.Epochs[0]; e.Kept != 1 || math.Abs(e.Score-e.ScoreAll) > 1e-9 || e.Repeated != nil {
				t.Errorf("%s, %v: the warm-up is %+v", unit, settings, e)
			}
			// The top of the scores hardly changes, so epochs repeat it.
			if o := r.Epochs[9].Repeated; o == nil || !(o.Jaccard > o.Expected) {
				t.Errorf("%s, %v: overlap with the epoch before %+v", unit, settings, o)
			}
			if _, err := full.Shares(r.Choice); err != nil {
				t.Error(err)
			}
		}
	}
}

// With all units kept surely at the top by a recorded score, the replay must take exactly those.
func TestReplayTakesTheHighest(t *testing.T) {
	full := subject(t)
	scores, err := full.Scores(1)
	if err != nil {
		t.Fatal(err)
	}
	w := scores.Windows
	temporal := make([]float32, len(w.Level))
	for i := range temporal {
		temporal[i] = w.Level[i] + 3*(w.Complexity[i]-w.Level[i]-w.Spatial[i])
	}
	for settings, recorded := range map[string][]float32{
		"prune.score=complexity": w.Complexity, "prune.score=loss": w.Level, "prune.score=coherence": w.Coherence,
		"prune.score=complexity prune.lambda_s=0 prune.lambda_t=3": temporal,
	} {
		r, err := full.Replay(t.Context(), tiny(t, append(strings.Fields(settings), "prune.method=st-prune", "prune.selector=top+rest", "prune.alpha=1", "prune.min_units=1")...))
		if err != nil {
			t.Fatal(err)
		}
		sorted := slices.Sorted(slices.Values(recorded))
		kept := r.Choice.Epochs[1].IDs
		edge := sorted[len(sorted)-len(kept)]
		for _, id := range kept {
			if c := recorded[id]; c < edge*(1-1e-6) {
				t.Errorf("window %d, of %v by %s, was kept, the edge is %v", id, c, settings, edge)
			}
		}
	}
}

// A pair's scores are the product of its window's and its node's, over the mean.
func TestScoresOfPairs(t *testing.T) {
	full := subject(t, "train.unit=pair", "train.batch=64")
	recorded, err := full.Scores(3)
	if err != nil {
		t.Fatal(err)
	}
	units := 4 * len(recorded.Windows.Level)
	s, err := full.scores(3, units)
	if err != nil {
		t.Fatal(err)
	}
	mean := func(v []float32) float64 {
		sum := 0.0
		for _, x := range v {
			sum += float64(x) / float64(len(v))
		}
		return sum
	}
	pair := s.of(4*7 + 2)
	product := func(of func(run.Difficulty) []float32) float64 {
		windows, nodes := of(recorded.Windows), of(*recorded.Nodes)
		return float64(windows[7]) * float64(nodes[2]) / mean(windows)
	}
	for _, c := range [][2]float64{
		{float64(pair.level), product(func(d run.Difficulty) []float32 { return d.Level })},
		{float64(pair.spatial), product(func(d run.Difficulty) []float32 { return d.Spatial })},
		{float64(pair.temporal), product(func(d run.Difficulty) []float32 {
			temporal := slices.Clone(d.Complexity)
			for i := range temporal {
				temporal[i] -= d.Level[i] + d.Spatial[i]
			}
			return temporal
		})},
		{float64(pair.coherence), product(func(d run.Difficulty) []float32 { return d.Coherence })},
	} {
		if math.Abs(c[0]-c[1]) > 1e-5*c[1] {
			t.Errorf("pair of window 7 and node 2: %v, want %v", c[0], c[1])
		}
	}
	// Window and node means are of the same pairs, so that the pairs' mean is that of the windows.
	if got, want := s.complexity(everyID(units)), mean(recorded.Windows.Complexity); math.Abs(got-want) > 1e-4*want {
		t.Errorf("mean over pairs %v, over windows %v", got, want)
	}
	_, err = full.scores(3, units+1)
	refused(t, err, "its data have")
}

func TestReplayRefuses(t *testing.T) {
	full := subject(t)
	for want, settings := range map[string][]string{
		"need":                   {"prune.method=st-prune", "prune.score=complexity", "prune.lambda_g=0.5"},
		"train.unit = pair":      {"prune.method=random", "train.unit=pair"},
		"has recorded 10":        {"prune.method=random", "train.epochs=11"},
		"train.max_steps = 9":    {"prune.method=random", "train.max_steps=9"},
		"no method \"nonsense\"": {"prune.method=nonsense"},
	} {
		_, err := full.Replay(t.Context(), tiny(t, settings...))
		refused(t, err, want)
	}
	// Older runs lack spatial, and before that coherence.
	for settings, want := range map[string]string{
		"prune.score=coherence":                          "needs the units' coherence",
		"prune.score=complexity prune.lambda_t=0.5":      "needs the units' spatial",
		"prune.score=complexity":                         "",
		"prune.score=complexity prune.selector=top+rest": "",
	} {
		spec := tiny(t, append(strings.Fields(settings), "prune.method=st-prune")...)
		p, err := spec.Pruner(full.Sources)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = usesScores(spec, p, len(full.Sources[0].Windows.Train), run.Difficulty{}); want != "" {
			refused(t, err, want)
		} else if err != nil {
			t.Errorf("%s: %v", settings, err)
		}
	}
	_, err := subject(t, "prune.method=random").Replay(t.Context(), tiny(t, "prune.method=random"))
	refused(t, err, "method full")
}
