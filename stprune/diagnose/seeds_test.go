package diagnose

import (
	"math"
	"testing"
)

func of(x float64) *float64 { return &x }

func TestSummariseByHand(t *testing.T) {
	pairs := [][]Value{
		{{"errors", "hour", "MAE", "01:00", 1, of(2)}, {"errors", "node", "MAE", "decile 1: 2 to 3", 4, of(4)}, {"kept", "hour", "weight", "01:00", 1, nil}, {"kept", "all", "kept share", "all", 0.1, of(0.1 + 1e-15)}},
		{{"errors", "hour", "MAE", "01:00", 3, of(5)}, {"errors", "node", "MAE", "decile 1: 2 to 4", 6, of(5)}, {"kept", "hour", "weight", "01:00", 2, nil}},
		{{"errors", "hour", "MAE", "01:00", 2, of(5)}, {"kept", "hour", "weight", "01:00", 3, nil}},
	}
	got, err := Summarise(pairs)
	if err != nil {
		t.Fatal(err)
	}
	want := []Summary{
		{"errors", "hour", "MAE", "01:00", 3, Mean{2, 1}, &Paired{Mean{4, math.Sqrt(3)}, Mean{-2, 1}, 3, 0.25}},
		{"errors", "node", "MAE", "decile 1", 2, Mean{5, math.Sqrt2}, &Paired{Mean{4.5, math.Sqrt(0.5)}, Mean{0.5, math.Sqrt(0.5)}, 0, 1}},
		{"kept", "hour", "weight", "01:00", 3, Mean{2, 1}, nil},
		{"kept", "all", "kept share", "all", 1, Mean{0.1, 0}, &Paired{Mean{0.1, 0}, Mean{0, 0}, 0, 1}},
	}
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	same := func(a, b Mean) bool { return near(a.Mean, b.Mean) && near(a.Std, b.Std) }
	for i, w := range want {
		g := got[i]
		x, y := g.Comparison, w.Comparison
		ok := g.Topic == w.Topic && g.By == w.By && g.Of == w.Of && g.Group == w.Group && g.Pairs == w.Pairs && same(g.Value, w.Value) && (x == nil) == (y == nil)
		if ok && x != nil {
			ok = same(x.Against, y.Against) && same(x.Difference, y.Difference) && x.Lower == y.Lower && near(x.P, y.P)
		}
		if !ok {
			t.Errorf("%+v %+v, want %+v %+v", g, x, w, y)
		}
	}
	_, err = Summarise([][]Value{{{"errors", "hour", "MAE", "01:00", math.NaN(), of(2)}}})
	refused(t, err, "errors by hour, 01:00")
}

func TestValuesAreThoseOfTheDiagnoses(t *testing.T) {
	pruned, full := subject(t, "prune.method=random"), subject(t)
	e, err := pruned.Errors(t.Context(), full)
	if err != nil {
		t.Fatal(err)
	}
	mine := choice(t, pruned)
	s, err := pruned.Shares(mine)
	if err != nil {
		t.Fatal(err)
	}
	overlaps, err := Overlaps(mine, mine)
	if err != nil {
		t.Fatal(err)
	}
	g, err := full.Gradients(t.Context(), GradientOptions{Draws: 2}, mine)
	if err != nil {
		t.Fatal(err)
	}
	last := overlaps[len(overlaps)-1]
	for name, c := range map[string]struct {
		values []Value
		want   Value
	}{
		"all":           {e.Values(), Value{"errors", "all", "MAE", "all", e.All.MAE, &e.All.Against}},
		"rare":          {e.Values(), Value{"errors", "windows worst in both runs together", "MAE", "worst 5 %", e.Both[1].MAE, &e.Both[1].Against}},
		"kept":          {s.Values(nil), Value{"kept", "all", "kept share", "all", s.Kept, nil}},
		"kept, another": {s.Values(&s), Value{"kept", "weekday", "weight", "Monday", s.Weekday[0].Weight, &s.Weekday[0].Weight}},
		"overlap":       {OverlapValues(overlaps), Value{"overlap", "epoch", "Jaccard", "any epoch", 1, &last.Expected}},
		"units":         {OverlapValues(overlaps), Value{"overlap", "epoch", "units", "any epoch", float64(last.A), of(float64(last.B))}},
		"gradient":      {g.Values(), Value{"gradient", "selections of run 1", "gradient", "bias", g.Draws[0].Bias, &g.Draws[1].Bias}},
	} {
		found := false
		for _, v := range c.values {
			w := c.want
			same := v.Against == w.Against || v.Against != nil && w.Against != nil && *v.Against == *w.Against
			v.Against, w.Against = nil, nil
			found = found || same && v == w
		}
		if !found {
			t.Errorf("%s: no %+v in %+v", name, c.want, c.values)
		}
	}
}
