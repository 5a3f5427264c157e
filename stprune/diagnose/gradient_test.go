package diagnose

import (
	"math"
	"testing"

	"gonum.org/v1/gonum/floats"

	"github.com/stprune/workbench/stprune"
)

// Σ g/π over units drawn with probability proportional to size has the full gradient as its mean; without weights it hasn't.
func TestHorvitzThompsonIsUnbiased(t *testing.T) {
	s := subject(t)
	tr, done, err := s.trainer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	full, err := tr.Gradient(t.Context(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	scores, err := s.Scores(10)
	if err != nil {
		t.Fatal(err)
	}
	n := len(scores.Windows.Complexity)
	along := make([]float64, n) // each window's gradient along the full one, relative to it: 1 on average
	for id := range along {
		g, err := tr.Gradient(t.Context(), []int32{int32(id)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		along[id] = floats.Dot(g, full) / floats.Dot(full, full)
	}
	if mean := floats.Sum(along) / float64(n); math.Abs(mean-1) > 1e-5 {
		t.Fatalf("the windows' gradients have mean %v along the full one", mean)
	}

	const k, draws = 12, 100_000
	for _, c := range []struct {
		name   string
		draw   stprune.Config
		ht     bool
		biased bool
	}{
		{"pps, Horvitz–Thompson", stprune.Config{Selector: "pps", Gamma: 1}, true, false},
		{"pps of squares, Horvitz–Thompson", stprune.Config{Selector: "pps", Gamma: 2}, true, false},
		{"top+rest, Horvitz–Thompson", stprune.Config{Selector: "top+rest", Alpha: 0.5}, true, false},
		{"uniform", stprune.Config{Selector: "uniform"}, false, false},
		{"pps without weights", stprune.Config{Selector: "pps", Gamma: 1}, false, true},
	} {
		draw, r := c.draw.Draw(), stprune.Stream(3, c.name, 0)
		var sum, squares float64
		for range draws {
			ids, prob := draw(r, scores.Windows.Complexity, k)
			estimate := 0.0
			for i, id := range ids {
				if c.ht {
					estimate += along[id] / float64(prob[i]) / float64(n)
				} else {
					estimate += along[id] / k
				}
			}
			sum, squares = sum+estimate, squares+estimate*estimate
		}
		mean := sum / draws
		z := (mean - 1) / math.Sqrt((squares/draws-mean*mean)/draws)
		if math.Abs(z) > 4 != c.biased {
			t.Errorf("%s: mean %v, %.1f standard errors from 1", c.name, mean, z)
		}
	}
}

func TestGradientsTellBiasFromVariance(t *testing.T) {
	full := subject(t)
	fair := choice(t, subject(t, "prune.method=random"))
	biased := choice(t, subject(t, "prune.method=st-prune", "prune.selector=top+rest", "prune.alpha=0.9", "prune.kappa=0"))
	weighted := choice(t, subject(t, "prune.method=st-prune", "prune.gamma=2", "prune.stationarity=none", "prune.w_max=0"))
	g, err := full.Gradients(t.Context(), GradientOptions{}, fair, biased, weighted)
	if err != nil {
		t.Fatal(err)
	}
	n := len(full.Sources[0].Windows.Train)
	if g.Units != n || g.Reference != n || !(g.Norm > 0) || len(g.Draws) != 6 {
		t.Fatalf("%+v", g)
	}
	for i, name := range []string{"random", "uniform", "st-prune", "uniform", "st-prune", "uniform"} {
		d := g.Draws[i]
		k := math.Round(0.3 * float64(n))
		if d.Name != name || d.Count != 8 || d.Units != k || (d.Effective < 0.95*k) != (i == 4) || d.Cosine.Mean > 1 || !(d.Error.Mean > 0) {
			t.Errorf("%+v", d)
		}
		// In the mean of 8 draws, noise is about 1/√8 of a draw's.
		if biased := i == 2; (d.MeanError > 2*d.Noise) != biased || (d.Bias > 2*d.Noise) != biased {
			t.Errorf("%s: error of the mean %v, noise %v, bias %v", name, d.MeanError, d.Noise, d.Bias)
		}
		if d.Noise > d.Error.Mean/2 {
			t.Errorf("%s: noise of the mean %v, error of a draw %v", name, d.Noise, d.Error.Mean)
		}
	}
	if a, b := g.Draws[2].Epochs, g.Draws[1].Epochs; len(a) != 8 || a[0] != 2 || a[7] != 10 || b != nil {
		t.Errorf("epochs %v and %v", a, b)
	}

	// A sample for the full data, and a single draw.
	small, err := full.Gradients(t.Context(), GradientOptions{Draws: 1, Most: n / 2}, fair)
	if err != nil {
		t.Fatal(err)
	}
	if d := small.Draws[0]; small.Reference != n/2 || small.Units != n || d.Noise != 0 || math.Abs(d.Bias-d.Error.Mean) > 1e-12 || d.Error.Std != 0 {
		t.Errorf("%+v", small)
	}

	chosen, err := full.Gradients(t.Context(), GradientOptions{Epochs: []int{3, 10}}, biased)
	if err != nil {
		t.Fatal(err)
	}
	if d := chosen.Draws[0]; d.Count != 2 || len(d.Epochs) != 2 || d.Epochs[0] != 3 || chosen.Draws[1].Count != 2 {
		t.Errorf("of epochs 3 and 10: %+v", chosen.Draws)
	}
	_, err = full.Gradients(t.Context(), GradientOptions{Epochs: []int{1}}, biased) // warm-up
	refused(t, err, "epoch 1 of st-prune is not a pruned one; choose from [2 3")

	_, err = full.Gradients(t.Context(), GradientOptions{}, choice(t, full))
	refused(t, err, "no pruned epoch")
	_, err = full.Gradients(t.Context(), GradientOptions{}, ofUnits(5, 1, stprune.Selection{IDs: []int32{0}}))
	refused(t, err, "train.unit")
}

func TestComparisonByHand(t *testing.T) {
	c := newComparison([]float64{3, 4})
	for _, g := range [][]float64{{6, 4}, {0, 4}, {3, 7}, {3, 7}} { // differences (3,0), (−3,0), (0,3), (0,3)
		c.add(g)
	}
	d := c.draws()
	// Their mean is (0,1.5), the mean of their squares 9, their variance (9 − 2.25)·4/3 = 9.
	for name, v := range map[string][2]float64{
		"cosine": {d.Cosine.Mean, ((18+16)/math.Sqrt(52) + 16.0/4 + 2*(9+28)/math.Sqrt(58)) / 5 / 4},
		"size":   {d.Size.Mean, (math.Sqrt(52) + 4 + 2*math.Sqrt(58)) / 5 / 4},
		"error":  {d.Error.Mean, 3.0 / 5}, "spread of errors": {d.Error.Std, 0},
		"error of the mean": {d.MeanError, 1.5 / 5},
		"noise":             {d.Noise, math.Sqrt(9.0/4) / 5},
		"bias":              {d.Bias, 0},
	} {
		if !near(v[0], v[1]) {
			t.Errorf("%s: %v, want %v", name, v[0], v[1])
		}
	}
	if got := effectiveSize(drawn{[]int32{0, 1}, []float32{3, 1}}); !near(got, 1.6) {
		t.Errorf("effective size %v", got)
	}
}

func TestGradientsOfPairs(t *testing.T) {
	pairs := subject(t, "train.unit=pair", "train.epochs=4", "train.batch=64", "prune.method=random", "prune.min_units=1")
	g, err := pairs.Gradients(t.Context(), GradientOptions{Draws: 2}, choice(t, pairs))
	if err != nil {
		t.Fatal(err)
	}
	if n := 4 * len(pairs.Sources[0].Windows.Train); g.Units != n || g.Draws[0].Units != math.Round(0.3*float64(n)) || !(g.Draws[0].Cosine.Mean > 0.3) {
		t.Errorf("%+v", g)
	}
}

func TestEvenly(t *testing.T) {
	values := []int{2, 3, 4, 5, 6, 7, 8, 9, 10}
	for n, want := range map[int][]int{1: {2}, 2: {2, 10}, 3: {2, 6, 10}, 20: values} {
		got := evenly(values, n)
		if len(got) != len(want) {
			t.Errorf("%d of %v: %v", n, values, got)
			continue
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%d of %v: %v, want %v", n, values, got, want)
				break
			}
		}
	}
}
