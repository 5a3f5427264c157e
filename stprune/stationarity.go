package stprune

import (
	"fmt"
	"math"
)

// ProfileStationarity is the "data" stationarity z in [0,1] of windows of a series (method section 4): how closely a window
// repeats the training part's time-of-week profile,
//
//	z = 1 − Var(x − p) / (Var(x) + Var(p)), clipped to [0,1],
//
// x the window's values of one node and p the profile at the same steps, variances over the window's steps. For whole windows
// numerator and denominator are summed over nodes first. The profile of a node at a slot of the week is the mean of the other
// valid rows in that slot: a row does not help to predict itself, and rows alone in their slot are left out. z is 1 where
// neither window nor profile varies, and 0 where fewer than two steps can be compared.
//
// values is [T,N] row-major, raw or scaled; valid reports whether node n was measured at step t; slotOfWeek numbers step t's
// slot in the week from 0. starts are the training windows' first rows and window their length (history + horizon); the
// profile is taken from the rows that they cover. The result is [len(starts)], or with perNode [len(starts), N] row-major for
// (window, node) pairs. It takes O(T·N + len(starts)·N).
func ProfileStationarity(values []float32, nodes int, valid func(t, n int) bool, slotOfWeek func(t int) int,
	starts []int32, window int, perNode bool) ([]float32, error) {
	if nodes < 1 || len(values)%nodes != 0 {
		return nil, fmt.Errorf("stationarity: %d values do not make whole rows of %d nodes", len(values), nodes)
	}
	steps := len(values) / nodes
	if window < 1 || window > steps {
		return nil, fmt.Errorf("stationarity: windows of %d steps in a series of %d; expected 1 to %d", window, steps, steps)
	}
	if len(starts) == 0 {
		return nil, nil
	}
	covers := make([]int, steps+1) // how many windows hold row t, first as differences
	for i, s := range starts {
		if s < 0 || int(s) > steps-window {
			return nil, fmt.Errorf("stationarity: window %d starts at row %d; expected 0 to %d", i, s, steps-window)
		}
		covers[s]++
		covers[int(s)+window]--
	}
	for t := range steps {
		covers[t+1] += covers[t]
	}
	slot, slots := make([]int, steps), 0
	for t := range slot {
		if covers[t] == 0 {
			continue
		}
		slot[t] = slotOfWeek(t)
		// A week of seconds is the finest calendar there is; more would only exhaust memory.
		if slot[t] < 0 || slot[t] >= 7*24*3600 {
			return nil, fmt.Errorf("stationarity: step %d is in slot %d of the week; expected 0 to %d", t, slot[t], 7*24*3600-1)
		}
		slots = max(slots, slot[t]+1)
	}

	width := 1
	if perNode {
		width = nodes
	}
	out := make([]float32, len(starts)*width)
	residual, total := make([]float64, len(starts)), make([]float64, len(starts)) // summed over nodes
	comparable := make([]bool, len(starts))
	slotSum, slotCount := make([]float64, slots), make([]int, slots)
	before := make([]moments, steps+1) // of rows before t
	for n := range nodes {
		clear(slotSum)
		clear(slotCount)
		mean, count := 0.0, 0
		for t := range steps {
			if covers[t] > 0 && valid(t, n) {
				v := float64(values[t*nodes+n])
				slotSum[slot[t]] += v
				slotCount[slot[t]]++
				mean += v
				count++
			}
		}
		mean /= float64(max(1, count))
		for t := range steps {
			before[t+1] = before[t]
			if c := slotCount[slot[t]]; covers[t] > 0 && c > 1 && valid(t, n) {
				v := float64(values[t*nodes+n])
				p := (slotSum[slot[t]] - v) / float64(c-1)
				before[t+1].add(v-mean, p-mean) // near zero, so that differences of sums keep their digits
			}
		}
		// Variation below this is rounding of the running sums.
		flat := 1e-9 * (before[steps].xx + before[steps].pp) / max(1, before[steps].count) * float64(window)
		for i, s := range starts {
			m := before[int(s)+window].minus(before[s])
			if m.count < 2 {
				continue
			}
			res, tot := m.variation()
			if tot <= flat {
				res, tot = 0, 0
			}
			if perNode {
				out[i*nodes+n] = repeats(res, tot)
			} else {
				residual[i] += res
				total[i] += tot
				comparable[i] = true
			}
		}
	}
	if !perNode {
		for i := range out {
			if comparable[i] {
				out[i] = repeats(residual[i], total[i])
			}
		}
	}
	return out, nil
}

func repeats(residual, total float64) float32 {
	if total == 0 {
		return 1
	}
	return float32(min(1, max(0, 1-residual/total)))
}

// moments are running sums of values x and their profile p.
type moments struct{ count, x, p, xx, pp, xp float64 }

func (m *moments) add(x, p float64) {
	m.count++
	m.x += x
	m.p += p
	m.xx += x * x
	m.pp += p * p
	m.xp += x * p
}

func (m moments) minus(o moments) moments {
	return moments{m.count - o.count, m.x - o.x, m.p - o.p, m.xx - o.xx, m.pp - o.pp, m.xp - o.xp}
}

// variation returns the sums of squares about the mean of x − p, and of x plus that of p.
func (m moments) variation() (residual, total float64) {
	sxx := max(0, m.xx-m.x*m.x/m.count)
	spp := max(0, m.pp-m.p*m.p/m.count)
	sxp := m.xp - m.x*m.p/m.count
	return max(0, sxx+spp-2*sxp), sxx + spp
}

// learningStationarity returns z = exp(−change/median), where change is the distance between a unit's scores at its last two
// visits and the median is over all units visited twice. A unit visited less often is taken to have the median change, z = 1/e.
// With a median of 0, unchanged units have z = 1 and all others 0.
func learningStationarity(change []float32) func(id int32) float32 {
	unknown := 0
	for _, d := range change {
		if d < 0 {
			unknown++
		}
	}
	median := 0.0
	if known := len(change) - unknown; known > 0 { // unknown changes are −1 and rank first
		key, _, _ := ranked(change, unknown+(known-1)/2)
		median = float64(unsortable(key))
	}
	return func(id int32) float32 {
		switch d := float64(change[id]); {
		case d < 0:
			return 1 / math.E
		case d == 0:
			return 1
		case median == 0:
			return 0
		default:
			return float32(math.Exp(-d / median))
		}
	}
}
