package stprune

import "math/rand/v2"

// even spreads visits evenly over a run: every unit gathers credit by its inclusion probability π in each pruned epoch, the k
// units with the most credit are visited, and a visit costs 1. So over the epochs a unit is visited as often as its π add up
// to, give or take one, whereas independent draws miss some units and repeat others: with equal π the epochs of a run are
// passes over all units, cut into slices.
//
// Credits begin at frac(window·0.618… + node·0.414… + u), u random: a slice then holds windows at even distances of each node.
type even struct {
	gamma  float64
	credit []float32 // [n]
	next   []float32 // [n] after the epoch planned last, which begins with its first observation; nil when none is planned
}

func newEven(n, perWindow int, gamma float64, r *rand.Rand) *even {
	e := &even{gamma: gamma, credit: make([]float32, n)}
	u := r.Float64()
	for i := range e.credit {
		at := u + float64(i/perWindow)*0.6180339887498949 + float64(i%perWindow)*0.41421356237309503
		e.credit[i] = float32(at - float64(int(at)))
	}
	return e
}

// draw plans an epoch of k units. Units of very small score count as 1/100 of the mean, so that all are visited at times.
func (e *even) draw(r *rand.Rand, score []float32, k int) (ids []int32, prob []float32) {
	x, _ := sizes(score, e.gamma)
	sum := 0.0
	for _, v := range x {
		sum += float64(v)
	}
	least := float32(max(sum/float64(len(x))/100, 1e-30))
	for i, v := range x {
		x[i] = max(v, least)
	}
	c := ppsScale(x, k)
	e.next = make([]float32, len(x))
	for i, v := range x {
		x[i] = float32(min(1, c*float64(v)))
		e.next[i] = e.credit[i] + x[i]
	}
	edge, below, ties := ranked(e.next, len(x)-k)
	byLot := subset(r, ties, k-(len(x)-below-ties))
	ids, prob = make([]int32, 0, k), make([]float32, 0, k)
	tie := 0
	for i, v := range e.next {
		key := sortable(v)
		kept := key > edge
		if key == edge {
			kept = byLot.has(tie)
			tie++
		}
		if kept {
			ids, prob = append(ids, int32(i)), append(prob, x[i])
			e.next[i]--
		}
	}
	return ids, prob
}

// begin is the start of the planned epoch.
func (e *even) begin() {
	if e.next != nil {
		e.credit, e.next = e.next, nil
	}
}
