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
func (l *Lab) KeptWeek(r *run.Run) *figures.Figure {
	kept, series, windows := l.keptShares(r, "week")
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

// Forecasts draws what the best parameters of a finished run forecast for training windows, beside what came: an easy and a hard
// window, at the first and the last percentile of complexity at the end, and of a run with pruned epochs one of those kept most
// and one of those dropped most. Each is shown at the sensor whose error in it is the median.
func (l *Lab) Forecasts(r *run.Run) *figures.Figure {
	series := l.only(r, "forecasts")
	complexity := l.lastScores(r).Windows.Complexity
	var order []int // windows that were visited, the easiest first
	for w, c := range complexity {
		if c == c {
			order = append(order, w)
		}
	}
	if len(order) == 0 {
		l.Fail(fmt.Errorf("forecasts: run %s (%s) has visited no window", r.ID, r.Spec.Name))
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(complexity[a], complexity[b]) })
	easy, hard := order[len(order)/100], order[len(order)-1-len(order)/100]
	chosen := []int{easy, hard}
	titles := []string{fmt.Sprintf("easy: complexity %.3g", complexity[easy]), fmt.Sprintf("hard: complexity %.3g", complexity[hard])}
	if len(l.prunedEpochs(r)) > 0 {
		kept, _, _ := l.keptShares(r, "forecasts")
		for _, end := range []struct {
			name  string
			share float64
		}{{"kept most", slices.Max(kept)}, {"dropped most", slices.Min(kept)}} {
			var equal []int
			for w, k := range kept {
				if k == end.share {
					equal = append(equal, w)
				}
			}
			chosen = append(chosen, equal[len(equal)/2])
			titles = append(titles, fmt.Sprintf("%s: kept %.3g %%", end.name, 100*end.share))
		}
	}

	t, done := l.trainer(r)
	defer done()
	forecasts, err := t.Forecasts(l.ctx, 0, train.Train, chosen)
	l.Fail(err)
	windows, err := r.Spec.Protocol(series.Calendar.StepsPerDay()).Apply(series)
	l.Fail(err)
	var panels []figures.Forecast
	for i, w := range chosen {
		start := int(windows.Train[w])
		node := typical(series, start+windows.History, forecasts[i])
		p := figures.Forecast{Title: titles[i] + "\n" + series.Calendar.Time(start+windows.History).Format("Mon 2006-01-02 15:04") + ", " + series.Nodes[node]}
		for s := range windows.History {
			p.History = append(p.History, value(series, start+s, node))
		}
		for h := range windows.Horizon {
			p.Truth = append(p.Truth, value(series, start+windows.History+h, node))
			p.Forecast = append(p.Forecast, float64(forecasts[i][h*series.N+node]))
		}
		panels = append(panels, p)
	}
	f, err := figures.ForecastPanels(panels, series.Calendar.Step, series.Unit)
	l.Fail(err)
	return f
}

// typical is the node whose masked error, of a forecast [Q·N] that begins at a step, is the median.
func typical(s *datasets.Series, first int, forecast []float32) int {
	errors := make([]float64, s.N)
	var nodes []int // with a measured target
	for n := range s.N {
		count := 0.0
		for h := range len(forecast) / s.N {
			if s.Valid(first+h, n) {
				errors[n] += math.Abs(float64(forecast[h*s.N+n]) - value(s, first+h, n))
				count++
			}
		}
		if count > 0 {
			errors[n] /= count
			nodes = append(nodes, n)
		}
	}
	if len(nodes) == 0 {
		return 0
	}
	slices.SortStableFunc(nodes, func(a, b int) int { return cmp.Compare(errors[a], errors[b]) })
	return nodes[len(nodes)/2]
}

// value is NaN where nothing was measured.
func value(s *datasets.Series, step, node int) float64 {
	if !s.Valid(step, node) {
		return math.NaN()
	}
	return float64(s.Values[step*s.N+node])
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

// Overhead draws where the seconds of finished runs went. The rest is saving.
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

// keptShares is the share of the run's pruned epochs that kept each training window; when the unit is a pair, the share of its
// pairs. What asks for it, errors say.
func (l *Lab) keptShares(r *run.Run, what string) (kept []float64, s *datasets.Series, w *datasets.Windows) {
	s = l.only(r, what)
	w, err := r.Spec.Protocol(s.Calendar.StepsPerDay()).Apply(s)
	l.Fail(err)
	pruned := l.prunedEpochs(r)
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
