package diagnose

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"

	"github.com/stprune/workbench/stprune/run"
	"github.com/stprune/workbench/stprune/train"
)

// Moment is an epoch (from 1) of a run.
type Moment struct {
	Run   string `json:"run"`
	Epoch int    `json:"epoch"`
}

// RankCorrelation is Spearman's, of the recorded scores of the training windows that were visited at both moments. Neighbouring
// windows share most of their steps, so that their number says little about its uncertainty.
type RankCorrelation struct {
	A          Moment  `json:"a"`
	B          Moment  `json:"b"`
	Windows    int     `json:"windows"`
	Level      float64 `json:"level"`
	Complexity float64 `json:"complexity"`
}

// Stability correlates the scores of each epoch of a run with those of the epoch before, and those of the last epoch with those
// of the first. Epochs that have too few windows in common are left out.
func Stability(r *run.Run) ([]RankCorrelation, error) {
	all, err := recorded(r)
	if err != nil {
		return nil, err
	}
	var rows []RankCorrelation
	add := func(i, j int) {
		if row, ok := correlate(all[i], all[j]); ok {
			row.A, row.B = Moment{r.ID, i + 1}, Moment{r.ID, j + 1}
			rows = append(rows, row)
		}
	}
	for i := 1; i < len(all); i++ {
		add(i-1, i)
	}
	if len(all) > 2 {
		add(0, len(all)-1)
	}
	return rows, nil
}

// Agreement correlates the scores of two runs on the same windows, such as two seeds, epoch by epoch.
func (s *Subject) Agreement(o *Subject) ([]RankCorrelation, error) {
	if err := s.Comparable(o); err != nil {
		return nil, err
	}
	a, err := recorded(s.Run)
	if err != nil {
		return nil, err
	}
	b, err := recorded(o.Run)
	if err != nil {
		return nil, err
	}
	var rows []RankCorrelation
	for i := range min(len(a), len(b)) {
		if row, ok := correlate(a[i], b[i]); ok {
			row.A, row.B = Moment{s.ID, i + 1}, Moment{o.ID, i + 1}
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// recorded are the scores of windows at the end of each epoch.
func recorded(r *run.Run) ([]run.Difficulty, error) {
	epochs, err := r.Epochs()
	if err != nil {
		return nil, err
	}
	var all []run.Difficulty
	for _, e := range epochs {
		s, err := r.Scores(e.Epoch)
		if err != nil {
			return nil, err
		}
		all = append(all, s.Windows)
	}
	return all, nil
}

// correlate takes the windows visited in both epochs; scores from earlier visits would correlate with themselves. It is not ok
// when fewer than three windows are left, or all their scores are equal.
func correlate(a, b run.Difficulty) (RankCorrelation, bool) {
	var columns [4][]float64
	for i := range a.Weight {
		if a.Weight[i] > 0 && b.Weight[i] > 0 {
			for c, v := range []float32{a.Level[i], b.Level[i], a.Complexity[i], b.Complexity[i]} {
				columns[c] = append(columns[c], float64(v))
			}
		}
	}
	row := RankCorrelation{Windows: len(columns[0])}
	if row.Windows < 3 {
		return row, false
	}
	row.Level, row.Complexity = spearman(columns[0], columns[1]), spearman(columns[2], columns[3])
	return row, row.Level == row.Level && row.Complexity == row.Complexity
}

// spearman is the correlation of ranks; NaN when either has no spread.
func spearman(x, y []float64) float64 { return stat.Correlation(ranks(x), ranks(y), nil) }

// ranks counts from 1; equal values have the mean of their ranks.
func ranks(x []float64) []float64 {
	order := make([]int, len(x))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Compare(x[i], x[j]) })
	out := make([]float64, len(x))
	for from := 0; from < len(order); {
		to := from + 1
		for to < len(order) && x[order[to]] == x[order[from]] {
			to++
		}
		for _, i := range order[from:to] {
			out[i] = float64(from+to+1) / 2
		}
		from = to
	}
	return out
}

// Variation is a coefficient of variation (standard deviation over mean), and what it lets sampling in proportion to the score
// reach: it can lower the second moment of the gradient's estimate to the share 1/(1+CV²) of uniform sampling's, if the size of
// a unit's gradient is proportional to its score. Near 1 there is nothing to gain from scoring.
type Variation struct {
	CV    float64 `json:"cv"`
	Bound float64 `json:"bound"`
}

// variation of values, weighted (nil: equally).
func variation(values, weights []float64) Variation {
	mean, variance := stat.PopMeanVariance(values, weights)
	return newVariation(mean, variance)
}

func newVariation(mean, variance float64) Variation {
	v := Variation{Bound: 1}
	if mean > 0 {
		v.CV = math.Sqrt(max(0, variance)) / mean
		v.Bound = 1 / (1 + v.CV*v.CV)
	}
	return v
}

// Spread says how much the scores of one data set's windows, nodes or pairs vary.
type Spread struct {
	Data       string     `json:"data"`
	Epoch      int        `json:"epoch"` // from 1; 0: measured with the best parameters
	Of         string     `json:"of"`    // "windows", "nodes" or "pairs"
	Count      int        `json:"count"`
	Level      Variation  `json:"level"`
	Complexity *Variation `json:"complexity,omitempty"`
}

// Spreads is the variation of the scores recorded in each epoch, over the windows visited in it and, when the unit is a pair,
// over the nodes. Each counts by the units that the visited ones stand for. When the unit is a pair, the score of a window or
// node is a mean over pairs, which vary more: see [Subject.ErrorSpread].
func (s *Subject) Spreads() ([]Spread, error) {
	epochs, err := s.Epochs()
	if err != nil {
		return nil, err
	}
	var rows []Spread
	for _, e := range epochs {
		scores, err := s.Scores(e.Epoch)
		if err != nil {
			return nil, err
		}
		add := func(data, of string, d run.Difficulty) {
			var level, complexity, weight []float64
			for i, w := range d.Weight {
				if w > 0 {
					level, complexity, weight = append(level, float64(d.Level[i])), append(complexity, float64(d.Complexity[i])), append(weight, float64(w))
				}
			}
			if len(level) > 0 {
				c := variation(complexity, weight)
				rows = append(rows, Spread{Data: data, Epoch: e.Epoch, Of: of, Count: len(level), Level: variation(level, weight), Complexity: &c})
			}
		}
		from := 0
		for _, source := range s.Sources {
			d, to := scores.Windows, from+len(source.Windows.Train)
			if to > len(d.Level) {
				return nil, fmt.Errorf("run %s: epoch %d has scores of %d windows; its data have more: they were altered", s.ID, e.Epoch, len(d.Level))
			}
			add(source.Series.Name, "windows", run.Difficulty{Level: d.Level[from:to], Complexity: d.Complexity[from:to], Weight: d.Weight[from:to]})
			from = to
		}
		if scores.Nodes != nil {
			add(s.Sources[0].Series.Name, "nodes", *scores.Nodes)
		}
	}
	return rows, nil
}

// ErrorSpread is the variation of the level of training windows and of (window, node) pairs, whichever the run's unit is, under
// its best parameters in evaluation mode. It takes one forward pass over the training part.
func (s *Subject) ErrorSpread(ctx context.Context) ([]Spread, error) {
	t, done, err := s.trainer(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	windows, pairs := make([]moments, len(s.Sources)), make([]moments, len(s.Sources))
	_, err = t.Errors(ctx, train.Train, func(source, _ int, sum, count []float32) {
		var window tally
		for n, v := range sum {
			if count[n] > 0 {
				pairs[source].add(float64(v) / float64(count[n]))
				window.sum += float64(v)
				window.count += float64(count[n])
			}
		}
		if window.count > 0 {
			windows[source].add(window.mae())
		}
	})
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", s.ID, err)
	}
	var rows []Spread
	for i, source := range s.Sources {
		for _, x := range []struct {
			of string
			m  moments
		}{{"windows", windows[i]}, {"pairs", pairs[i]}} {
			rows = append(rows, Spread{Data: source.Series.Name, Of: x.of, Count: x.m.n, Level: newVariation(x.m.mean, x.m.squares/float64(max(1, x.m.n)))})
		}
	}
	return rows, nil
}

// moments follow mean and squared deviations of a stream (Welford).
type moments struct {
	n             int
	mean, squares float64
}

func (m *moments) add(x float64) {
	m.n++
	d := x - m.mean
	m.mean += d / float64(m.n)
	m.squares += d * (x - m.mean)
}
