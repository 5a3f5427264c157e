package lab

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/figures"
	"github.com/stprune/workbench/stprune/diagnose"
	"github.com/stprune/workbench/stprune/run"
	"github.com/stprune/workbench/stprune/train"
)

// Scores draws how the complexity of the training windows is spread in each epoch, every window with what was measured when it was
// last visited.
func (l *Lab) Scores(r *run.Run) *figures.Figure {
	epochs, err := r.Epochs()
	l.Fail(err)
	s := figures.Scores{Label: "complexity, z-scored MAE", Units: "windows"}
	for _, e := range epochs {
		scores, err := r.Scores(e.Epoch)
		l.Fail(err)
		s.Score = append(s.Score, scores.Windows.Complexity)
	}
	f, err := figures.ScoreDistribution(s)
	l.Fail(err)
	return f
}

// KeptWeek draws, for each day of the week and hour of the day, the share kept of the run's training windows that start then, mean
// over its pruned epochs; when the unit is a pair, the share of their pairs. Colours tell more from less than the mean of all
// windows.
func (l *Lab) KeptWeek(r *run.Run) *figures.Figure { return l.week(r, l.prunedEpochs(r)) }

func (l *Lab) week(r *run.Run, pruned []run.Kept) *figures.Figure {
	kept, series, windows := l.keptShares(r, pruned, "week")
	w := figures.Week{Label: "share of windows kept"}
	if r.Spec.Train.Unit == train.Pair {
		w.Label = "share of pairs kept"
	}
	var count [7][24]float64
	for i, start := range windows.Train {
		day, hour := series.Calendar.DayOfWeek(int(start)), series.Calendar.Time(int(start)).Hour()
		w.Share[day][hour] += kept[i]
		count[day][hour]++
		w.Middle += kept[i] / float64(len(kept))
	}
	for day := range w.Share {
		for hour, n := range count[day] {
			w.Share[day][hour] /= n // 0/0 is NaN
		}
	}
	f, err := figures.KeptWeek(w)
	l.Fail(err)
	return f
}

// Map draws the sensors where they are, linked as the graph says, coloured by what: "error" is the test MAE of the best parameters
// of a finished run, raw units, and "complexity" that of the training pairs at the end, for a run whose unit is a pair.
func (l *Lab) Map(r *run.Run, what string) *figures.Figure {
	series := l.only(r, "map")
	if series.Coords == nil {
		l.Fail(fmt.Errorf("map: data set %q has no coordinates of its sensors; import it with a file of them (--coords)", series.Name))
	}
	m := figures.Map{Coords: series.Coords}
	switch what {
	case "error":
		m.Label, m.Value = "test MAE"+inUnit(series.Unit), make([]float64, series.N)
		count := make([]float64, series.N)
		t, done := l.trainer(r)
		defer done()
		_, err := t.Errors(l.ctx, train.Test, func(_, _ int, sum, measured []float32) {
			for n := range sum {
				m.Value[n] += float64(sum[n])
				count[n] += float64(measured[n])
			}
		})
		l.Fail(err)
		for n, c := range count {
			m.Value[n] /= c // 0/0 is NaN
		}
	case "complexity":
		scores := l.lastScores(r)
		if scores.Nodes == nil {
			l.Fail(fmt.Errorf("map: run %s (%s) scored whole windows, not sensors; set train.unit = %q, or ask for the error", r.ID, r.Spec.Name, train.Pair))
		}
		m.Label = "complexity, z-scored MAE"
		for _, v := range scores.Nodes.Complexity {
			m.Value = append(m.Value, float64(v))
		}
	default:
		l.Fail(fmt.Errorf("map of %q is unknown; choose error or complexity", what))
	}
	if series.Graph != nil {
		for _, e := range series.Graph.Edges {
			m.Links = append(m.Links, figures.Link{A: int(e.From), B: int(e.To), Weight: float64(e.Weight)})
		}
	}
	f, err := figures.SensorMap(m)
	l.Fail(err)
	return f
}

// Forecasts draws what the best parameters of a finished run forecast for training units, beside what came: an easy and a hard one,
// at the first and the last percentile of the forecasts' errors, and of a run with pruned epochs one of those kept most and one of
// those dropped most; of several that were kept equally often, the one with the median error. Where the unit is a window, it is
// shown at the sensor whose error is nearest to the window's. Units with missing values, windows that have some at every sensor,
// are left out.
func (l *Lab) Forecasts(r *run.Run) *figures.Figure {
	series := l.only(r, "forecasts")
	windows, err := r.Spec.Protocol(series.Calendar.StepsPerDay()).Apply(series)
	l.Fail(err)
	pruned := l.prunedEpochs(r)
	width := 1 // units in a window
	if r.Spec.Train.Unit == train.Pair && !slices.ContainsFunc(pruned, func(k run.Kept) bool { return k.Summary != nil }) {
		width = series.N
	}
	kept := make([]int, len(windows.Train)*width) // epochs, or pairs in them
	for _, k := range pruned {
		if width == 1 {
			for w, n := range k.Visits().Count {
				kept[w] += int(n)
			}
			continue
		}
		for _, id := range k.IDs {
			kept[id]++
		}
	}

	t, done := l.trainer(r)
	defer done()
	whole := measuredWhole(series, windows)
	shown, level := make([]int, len(kept)), make([]float32, len(kept)) // node and error of each unit
	var units []int                                                    // that can be shown
	_, err = t.Errors(l.ctx, train.Train, func(_, window int, sum, count []float32) {
		first := window * width
		if width > 1 {
			for n := range series.N {
				if whole(window, n) {
					units, shown[first+n], level[first+n] = append(units, first+n), n, sum[n]/count[n]
				}
			}
			return
		}
		if n, mae := nearest(sum, count, func(n int) bool { return whole(window, n) }); n >= 0 {
			units, shown[first], level[first] = append(units, first), n, mae
		}
	})
	l.Fail(err)
	if len(units) == 0 {
		l.Fail(fmt.Errorf("forecasts: data set %q has no training window in which a sensor was measured all the time", series.Name))
	}
	slices.SortStableFunc(units, func(a, b int) int { return cmp.Compare(level[a], level[b]) })

	var chosen []int
	var titles []string
	choose := func(unit int, format string, about ...any) {
		chosen, titles = append(chosen, unit), append(titles, fmt.Sprintf(format, about...))
	}
	easy, hard := units[len(units)/100], units[len(units)-1-len(units)/100]
	choose(easy, "easy: MAE %.3g", level[easy])
	choose(hard, "hard: MAE %.3g", level[hard])
	if len(pruned) > 0 {
		least, most := kept[units[0]], kept[units[0]]
		for _, u := range units {
			least, most = min(least, kept[u]), max(most, kept[u])
		}
		each := float64(len(pruned) * pruned[0].PerWindow / width)
		for _, end := range []struct {
			name  string
			times int
		}{{"kept most", most}, {"dropped most", least}} {
			var equal []int
			for _, u := range units {
				if kept[u] == end.times {
					equal = append(equal, u)
				}
			}
			choose(equal[len(equal)/2], "%s: kept %.3g %%", end.name, 100*float64(end.times)/each)
		}
	}

	var places []int
	for _, u := range chosen {
		places = append(places, u/width)
	}
	forecasts, err := t.Forecasts(l.ctx, 0, train.Train, places)
	l.Fail(err)
	var panels []figures.Forecast
	for i, u := range chosen {
		node, first := shown[u], int(windows.Train[places[i]])+windows.History
		p := figures.Forecast{Title: titles[i] + "\n" + series.Calendar.Time(first).Format("Mon 2006-01-02 15:04") + ", " + series.Nodes[node]}
		for s := -windows.History; s < windows.Horizon; s++ {
			v := float64(series.Values[(first+s)*series.N+node])
			if s < 0 {
				p.History = append(p.History, v)
			} else {
				p.Truth = append(p.Truth, v)
				p.Forecast = append(p.Forecast, float64(forecasts[i][s*series.N+node]))
			}
		}
		panels = append(panels, p)
	}
	f, err := figures.ForecastPanels(panels, series.Calendar.Step, series.Unit)
	l.Fail(err)
	return f
}

// measuredWhole tells of a training window, counted from 0, and a node whether no value of it is missing.
func measuredWhole(s *datasets.Series, w *datasets.Windows) func(window, node int) bool {
	missing := make([]int32, (s.T+1)*s.N) // before step t
	for t := range s.T {
		for n := range s.N {
			missing[(t+1)*s.N+n] = missing[t*s.N+n]
			if !s.Valid(t, n) {
				missing[(t+1)*s.N+n]++
			}
		}
	}
	return func(window, node int) bool {
		from := int(w.Train[window])
		return missing[from*s.N+node] == missing[(from+w.History+w.Horizon)*s.N+node]
	}
}

// nearest is, of the nodes that may be taken, the one whose mean error is nearest to the mean over all nodes; −1 when there is none.
func nearest(sum, count []float32, may func(node int) bool) (node int, mean float32) {
	total, targets := float32(0), float32(0)
	for n := range sum {
		total, targets = total+sum[n], targets+count[n]
	}
	node, mean = -1, total/targets
	far := func(n int) float64 { return math.Abs(float64(sum[n]/count[n] - mean)) }
	for n := range sum {
		if may(n) && (node < 0 || far(n) < far(node)) {
			node = n
		}
	}
	return node, mean
}

// Weights draws, epoch by epoch, how the loss weights of the units are spread, and the effective sample size that they leave.
func (l *Lab) Weights(r *run.Run) *figures.Figure {
	epochs, err := r.Epochs()
	l.Fail(err)
	var w figures.Weights
	for _, e := range epochs {
		k, err := r.Selection(e.Epoch)
		l.Fail(err)
		weights, largest, effective := []float32{1}, 1.0, 1.0 // of all units, or of some that weigh the same
		if !k.All {
			largest = e.Selection.MaxWeight
			effective = min(1, e.Selection.EffectiveSize/float64(max(1, e.Selection.Kept)))
			if k.Weight != nil || k.Summary != nil { // a summary has no weights of single units
				weights = k.Weight
			}
		}
		w.Weight, w.Largest, w.Effective = append(w.Weight, weights), append(w.Largest, largest), append(w.Effective, effective)
	}
	f, err := figures.WeightSpread(w)
	l.Fail(err)
	return f
}

// Overhead draws where the seconds of finished runs went. The rest is loading and saving.
func (l *Lab) Overhead(runs ...*run.Run) *figures.Figure {
	var bars []figures.Overhead
	for i, r := range l.results(runs) {
		s := r.Seconds
		bars = append(bars, figures.Overhead{
			Label: runs[i].Spec.Name, Compile: s.Compile, Steps: s.Steps, Selection: s.Selection, Scoring: s.Scoring, Evaluation: s.Evaluation,
			Other: max(0, s.Total-s.Seconds.Total()),
		})
	}
	f, err := figures.OverheadBars(bars)
	l.Fail(err)
	return f
}

// Overlap draws how far runs on the same data kept the same units: the Jaccard index of every two, mean over the epochs that both
// prune, and in brackets what chance gives.
func (l *Lab) Overlap(runs ...*run.Run) *figures.Figure {
	var o figures.Overlaps
	var subjects []*diagnose.Subject
	var choices []diagnose.Choice
	n := len(runs)
	for _, r := range runs {
		s := l.subject(r)
		choice, err := s.Choice()
		l.Fail(err)
		subjects, choices = append(subjects, s), append(choices, choice)
		o.Names = append(o.Names, s.Name())
		o.Jaccard, o.Chance = append(o.Jaccard, make([]float64, n)), append(o.Chance, make([]float64, n))
	}
	for i := range runs {
		o.Jaccard[i][i], o.Chance[i][i] = 1, 1
		for j := range i {
			l.Fail(subjects[i].Comparable(subjects[j]))
			rows, err := diagnose.Overlaps(choices[i], choices[j])
			l.Fail(err)
			jaccard, chance, epochs := 0.0, 0.0, 0.0
			for _, row := range rows {
				if row.Epoch > 0 { // the last one is of all epochs together
					jaccard, chance, epochs = jaccard+row.Jaccard, chance+row.Expected, epochs+1
				}
			}
			jaccard, chance = jaccard/epochs, chance/epochs // 0/0 is NaN
			o.Jaccard[i][j], o.Jaccard[j][i] = jaccard, jaccard
			o.Chance[i][j], o.Chance[j][i] = chance, chance
		}
	}
	f, err := figures.OverlapMatrix(o)
	l.Fail(err)
	return f
}

// subject opens a run with its data, which must be what it was trained on.
func (l *Lab) subject(r *run.Run) *diagnose.Subject {
	s, err := diagnose.Open(l.ctx, r, run.Options{Series: l.open, Backend: l.backend})
	l.Fail(err)
	return s
}

// trainer holds the best parameters of a finished run, to measure with. Call done when it is no longer needed.
func (l *Lab) trainer(r *run.Run) (t *train.Trainer, done func()) {
	best, err := r.Best()
	l.Fail(err)
	t, done, err = run.Trainer(l.ctx, r.Spec, best, l.subject(r).Sources, run.Options{Series: l.open, Backend: l.backend})
	l.Fail(err)
	return t, done
}

// only is the run's data set when there is one. What asks for it, the error says.
func (l *Lab) only(r *run.Run, what string) *datasets.Series {
	if len(r.Spec.Data.More) > 0 {
		l.Fail(fmt.Errorf("%s: run %s was trained on several data sets, which have no common calendar and sensors", what, r.ID))
	}
	return l.Series(r.Spec.Data.Name)
}

// lastScores are the scores at the end of the run's last epoch.
func (l *Lab) lastScores(r *run.Run) run.Scores {
	epochs, err := r.Epochs()
	l.Fail(err)
	s, err := r.Scores(len(epochs))
	l.Fail(err)
	return s
}

// prunedEpochs are the selections of the epochs that did not visit every unit.
func (l *Lab) prunedEpochs(r *run.Run) []run.Kept {
	epochs, err := r.Epochs()
	l.Fail(err)
	var all []run.Kept
	for _, e := range epochs {
		k, err := r.Selection(e.Epoch)
		l.Fail(err)
		if !k.All {
			all = append(all, k)
		}
	}
	return all
}

// keptShares is the share of pruned epochs that kept each of the run's training windows; when the unit is a pair, the share of its
// pairs. What asks for it, errors say.
func (l *Lab) keptShares(r *run.Run, pruned []run.Kept, what string) (kept []float64, s *datasets.Series, w *datasets.Windows) {
	s = l.only(r, what)
	w, err := r.Spec.Protocol(s.Calendar.StepsPerDay()).Apply(s)
	l.Fail(err)
	if len(pruned) == 0 {
		l.Fail(fmt.Errorf("%s: run %s (%s) has no pruned epoch", what, r.ID, r.Spec.Name))
	}
	kept = make([]float64, len(w.Train))
	for _, k := range pruned {
		count := k.Visits().Count
		if len(count) != len(kept) {
			l.Fail(fmt.Errorf("%s: run %s has %d training windows, %q holds %d now; set data.name to what it was trained on", what, r.ID, len(count), s.Name, len(kept)))
		}
		for i, n := range count {
			kept[i] += float64(n) / float64(k.PerWindow*len(pruned))
		}
	}
	return kept, s, w
}

func inUnit(unit string) string {
	if unit == "" {
		return ""
	}
	return ", " + unit
}
