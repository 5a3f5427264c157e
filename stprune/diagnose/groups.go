package diagnose

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"

	"github.com/stprune/workbench/datasets"
)

// grouping sorts items, such as windows or nodes, into named groups.
type grouping struct {
	labels []string
	of     []int // group of each item; −1: none
}

// hours groups windows by the hour of the day in which their first forecast step lies.
func hours(c datasets.Calendar, starts []int32, history int) grouping {
	var g grouping
	for h := range 24 {
		g.labels = append(g.labels, fmt.Sprintf("%02d:00", h))
	}
	for _, s := range starts {
		g.of = append(g.of, c.Time(int(s)+history).Hour())
	}
	return g
}

// weekdays groups windows by the day of the week on which their first forecast step lies.
func weekdays(c datasets.Calendar, starts []int32, history int) grouping {
	g := grouping{labels: []string{"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}}
	for _, s := range starts {
		g.of = append(g.of, c.DayOfWeek(int(s)+history))
	}
	return g
}

// deciles groups items by their values, lowest first; fewer than ten make as many groups. NaN belongs to no group. Equal values
// are never parted, so that groups differ in size, and may be empty, where values repeat.
func deciles(values []float64) grouping {
	g := grouping{of: make([]int, len(values))}
	var sorted []float64
	for _, v := range values {
		if v == v {
			sorted = append(sorted, v)
		}
	}
	slices.Sort(sorted)
	groups, title := min(10, len(sorted)), "decile %d"
	if groups < 10 {
		title = fmt.Sprintf("%%d of %d", groups)
	}
	var edges []float64 // lowest value of each group
	for k := range groups {
		edges = append(edges, sorted[k*len(sorted)/groups])
	}
	for k, low := range edges {
		high := sorted[len(sorted)-1]
		if k+1 < groups {
			high = edges[k+1]
		}
		g.labels = append(g.labels, fmt.Sprintf(title+": %.3g to %.3g", k+1, low, high))
	}
	for i, v := range values {
		g.of[i] = -1
		for k := 0; k < groups && v >= edges[k]; k++ { // false for NaN
			g.of[i] = k
		}
	}
	return g
}

// nodeLevels are the mean and the standard deviation of every node's measured values over the rows that training windows cover;
// NaN for a node without any.
func nodeLevels(s *datasets.Series, w *datasets.Windows) (mean, std []float64) {
	end := int(w.Train[len(w.Train)-1]) + w.History + w.Horizon
	var values []float64
	for n := range s.N {
		values = values[:0]
		for t := range end {
			if s.Valid(t, n) {
				values = append(values, float64(s.Values[t*s.N+n]))
			}
		}
		m, d := math.NaN(), math.NaN()
		if len(values) > 0 {
			m, d = stat.PopMeanStdDev(values, nil)
		}
		mean, std = append(mean, m), append(std, d)
	}
	return mean, std
}

// congestion is how far the targets of windows, given by their starts, lie from what is usual at their node: the mean over its measured targets of
// (y − mean)/deviation, both of the node over the training part; nodes that never change count as usual. It is [windows], or with
// perNode [windows·N] of every (window, node) pair; NaN without measured targets.
func congestion(s *datasets.Series, w *datasets.Windows, starts []int32, perNode bool) []float64 {
	mean, std := nodeLevels(s, w)
	width := 1
	if perNode {
		width = s.N
	}
	out, count := make([]float64, len(starts)*width), make([]float64, len(starts)*width)
	sums, counts := make([]float64, s.T+1), make([]float64, s.T+1) // of a node's steps before t
	for n := range s.N {
		for t := range s.T {
			sums[t+1], counts[t+1] = sums[t], counts[t]
			if s.Valid(t, n) {
				counts[t+1]++
				if std[n] > 0 {
					sums[t+1] += (float64(s.Values[t*s.N+n]) - mean[n]) / std[n]
				}
			}
		}
		for i, start := range starts {
			from, to := int(start)+w.History, int(start)+w.History+w.Horizon
			cell := i*width + n%width
			out[cell] += sums[to] - sums[from]
			count[cell] += counts[to] - counts[from]
		}
	}
	for i, c := range count {
		out[i] /= c // 0/0 is NaN
	}
	return out
}
