package stprune

import (
	"math"
	"math/bits"
	"math/rand/v2"
)

// A Selector draws exactly k of the n units with the given scores, 0 < k < n; a score of +Inf stands for a unit never visited.
// It returns the ids, ascending, and their inclusion probabilities.
type Selector func(r *rand.Rand, score []float32, k int) (ids []int32, prob []float32)

// Draw is the selector that the settings Selector, Alpha, Gamma and InTime describe.
func (c Config) Draw() Selector {
	switch c.Selector {
	case "top+rest":
		return topRest(c.Alpha)
	case "gumbel":
		return gumbel(c.Gamma)
	case "uniform":
		return func(r *rand.Rand, score []float32, k int) ([]int32, []float32) {
			return uniform(r, len(score), k, c.InTime)
		}
	}
	return pps(c.Gamma, c.InTime)
}

// uniform draws k of n units with π = k/n: simple random sampling without replacement, or systematic sampling along the ids.
func uniform(r *rand.Rand, n, k int, inTime bool) ([]int32, []float32) {
	prob := filled(k, float32(float64(k)/float64(n)))
	if !inTime {
		return Sample(r, n, k), prob
	}
	// Points start + j·n cut the line [0, nk) into k parts; unit i owns [ik, (i+1)k). Whole numbers keep k exact.
	start := r.Int64N(int64(n))
	ids := make([]int32, 0, k)
	for j := range int64(k) {
		ids = append(ids, int32((start+j*int64(n))/int64(k)))
	}
	return ids, prob
}

// topRest takes the a = round(αk) highest scores surely and k − a of the others uniformly: π = 1 and q = (k−a)/(n−a). Units
// that tie at the edge, t of them for m places, share these by lot, and all have π = m/t + (1 − m/t)·q.
func topRest(alpha float64) Selector {
	return func(r *rand.Rand, score []float32, k int) ([]int32, []float32) {
		n := len(score)
		a := int(math.Round(alpha * float64(k)))
		if a == 0 {
			return uniform(r, n, k, false)
		}
		edge, below, ties := ranked(score, n-a)
		places := a - (n - below - ties)
		byLot := subset(r, ties, places)
		others := subset(r, n-a, k-a)

		q := float64(k-a) / float64(n-a)
		share := float64(places) / float64(ties)
		atRest, atEdge := float32(q), float32(share+(1-share)*q)

		ids, prob := make([]int32, 0, k), make([]float32, 0, k)
		tie, other := 0, 0
		for i, s := range score {
			p, top := atRest, false
			switch key := sortable(s); {
			case key > edge:
				p, top = 1, true
			case key == edge:
				p, top = atEdge, byLot.has(tie)
				tie++
			}
			if !top {
				other++
			}
			if top || others.has(other-1) {
				ids, prob = append(ids, int32(i)), append(prob, p)
			}
		}
		return ids, prob
	}
}

// pps draws with probability proportional to size, without replacement and with exact size: π = min(1, c·S^γ) with Σπ = k, by
// systematic sampling over the units in random order, or in the order of their ids. (Systematic πps: Madow 1949; in random
// order: Hartley and Rao 1962.)
func pps(gamma float64, inTime bool) Selector {
	return func(r *rand.Rand, score []float32, k int) ([]int32, []float32) {
		return ppsOfCells(r, score, alone(len(score)), gamma, inTime, k)
	}
}

// ppsOfCells is pps where units share scores [cells]. It puts the cells in random order, and a cell's units side by side in
// theirs: no two units of a cell are drawn before their π sum up to 1, which spreads the draw in time, and its cost is that of the
// cells and the drawn units, not of all n. With equal scores the stride keeps step with the cells: at π = 1/10 and 12 units to a cell
// an epoch draws every other place of all cells, and the next one may draw the others.
func ppsOfCells(r *rand.Rand, score []float32, c cells, gamma float64, inTime bool, k int) ([]int32, []float32) {
	x := sizes(score, gamma)
	positive := 0
	for cell, v := range x {
		if v > 0 {
			positive += c.members(cell)
		}
	}
	if positive <= k {
		return positiveFirst(r, c.perUnit(x), positive, k)
	}
	scale := ppsScale(x, c, k)
	order := make([]int32, len(x))
	for i := range order {
		order[i] = int32(i)
	}
	if !inTime {
		shuffle(r, order)
	}

	chosen := newBitset(c.n)
	left := k
	for cell, v := range x { // the sure ones stay out of the rounding of the sums below
		if scale*float64(v) >= 1 {
			for j := range c.members(cell) {
				chosen.set(c.unit(cell, j))
				left--
			}
		}
	}
	// The other units' π lie end to end on a line of length left; the points u, u+1, … each pick the unit they fall on.
	point, end := r.Float64(), 0.0
	for _, cell := range order {
		if left == 0 {
			break
		}
		p := scale * float64(x[cell])
		if p >= 1 {
			continue
		}
		members, begin, next := c.members(int(cell)), end, 0
		for end += float64(members) * p; end > point && left > 0 && next < members; point++ {
			at := max(next, min(members-1, int((point-begin)/p)))
			chosen.set(c.unit(int(cell), at))
			next = at + 1
			left--
		}
	}
	for j := len(order) - 1; left > 0; j-- { // rounding left the line short of the last point
		for m := c.members(int(order[j])) - 1; m >= 0 && left > 0; m-- {
			if i := c.unit(int(order[j]), m); x[order[j]] > 0 && !chosen.has(i) {
				chosen.set(i)
				left--
			}
		}
	}

	ids, prob := chosen.appendTo(make([]int32, 0, k)), make([]float32, k)
	for j, id := range ids {
		prob[j] = float32(min(1, scale*float64(x[c.of(id)])))
	}
	return ids, prob
}

// ppsScale returns c with Σ min(1, c·x) = k over all units, for more than k of positive size. Each pass fixes the units that reach
// 1 and solves for the rest; c only rises, so the passes end.
func ppsScale(x []float32, units cells, k int) float64 {
	c, sure := 0.0, -1
	for {
		reached, sum := 0, 0.0
		for cell, v := range x {
			if members := units.members(cell); c*float64(v) >= 1 {
				reached += members
			} else {
				sum += float64(members) * float64(v)
			}
		}
		if reached == sure || reached >= k {
			return c
		}
		c, sure = float64(k-reached)/sum, reached
	}
}

// gumbel is Gumbel-top-k on γ·log S, drawn as the equivalent race of exponential clocks E/S^γ: the k earliest are kept. π is
// the threshold approximation 1 − exp(−τ·S^γ), τ the first time not kept. It is conditional on τ, not the exact inclusion
// probability, but weights 1/π are unbiased (Kool, van Hoof and Welling 2019; Duffield, Lund and Thorup 2007).
func gumbel(gamma float64) Selector {
	return func(r *rand.Rand, score []float32, k int) ([]int32, []float32) {
		x := sizes(score, gamma)
		positive := 0
		for _, v := range x {
			if v > 0 {
				positive++
			}
		}
		if positive <= k {
			return positiveFirst(r, x, positive, k)
		}
		times := make([]float32, len(x))
		for i, v := range x {
			times[i] = never
			if v > 0 {
				times[i] = float32(min(math.MaxFloat32, r.ExpFloat64()/float64(v)))
			}
		}
		edge, below, ties := ranked(times, k)
		byLot := subset(r, ties, k-below)
		tau := float64(unsortable(edge))

		ids, prob := make([]int32, 0, k), make([]float32, 0, k)
		tie := 0
		for i, t := range times {
			kept := sortable(t) < edge
			if sortable(t) == edge {
				kept = byLot.has(tie)
				tie++
			}
			if kept {
				ids, prob = append(ids, int32(i)), append(prob, float32(-math.Expm1(-tau*float64(x[i]))))
			}
		}
		return ids, prob
	}
}

// sizes returns x = (S / max S)^γ in [0,1]. What was never visited has size 1, that of the highest score; so has everything before
// the first visit.
func sizes(score []float32, gamma float64) []float32 {
	x := filled(len(score), 1)
	if gamma == 0 {
		return x
	}
	top := float32(0)
	for _, s := range score {
		if s != never {
			top = max(top, s)
		}
	}
	power := func(v float64) float64 { return math.Exp(gamma * math.Log(v)) }
	switch gamma { // several times cheaper
	case 1:
		power = func(v float64) float64 { return v }
	case 0.5:
		power = math.Sqrt
	case 2:
		power = func(v float64) float64 { return v * v }
	}
	for i, s := range score {
		if s == 0 {
			x[i] = 0
		} else if s != never {
			x[i] = float32(power(float64(s) / float64(top)))
		}
	}
	return x
}

// positiveFirst keeps all units of positive size, at most k of them, and fills up with the others uniformly.
func positiveFirst(r *rand.Rand, x []float32, positive, k int) ([]int32, []float32) {
	zeros := len(x) - positive
	fill := subset(r, zeros, k-positive)
	q := float32(float64(k-positive) / float64(zeros))
	ids, prob := make([]int32, 0, k), make([]float32, 0, k)
	zero := 0
	for i, v := range x {
		if v > 0 {
			ids, prob = append(ids, int32(i)), append(prob, 1)
			continue
		}
		if fill.has(zero) {
			ids, prob = append(ids, int32(i)), append(prob, q)
		}
		zero++
	}
	return ids, prob
}

// Sample draws k of n units uniformly without replacement, 0 ≤ k ≤ n; ids ascend.
func Sample(r *rand.Rand, n, k int) []int32 { return subset(r, n, k).appendTo(make([]int32, 0, k)) }

// subset draws k of n places uniformly without replacement, 0 ≤ k ≤ n (Floyd's algorithm, on the smaller side).
func subset(r *rand.Rand, n, k int) bitset {
	b := newBitset(n)
	smaller := min(k, n-k)
	for j := n - smaller; j < n; j++ {
		if i := r.IntN(j + 1); b.has(i) {
			b.set(j)
		} else {
			b.set(i)
		}
	}
	if smaller < k {
		for i := range b {
			b[i] = ^b[i]
		}
		if n%64 != 0 {
			b[len(b)-1] &= 1<<(n%64) - 1
		}
	}
	return b
}

// shuffle is Fisher–Yates; a plain loop, as rand.Shuffle's swap function costs several times more over millions of units.
func shuffle(r *rand.Rand, ids []int32) {
	for i := len(ids) - 1; i > 0; i-- {
		j := r.Uint32N(uint32(i + 1))
		ids[i], ids[j] = ids[j], ids[i]
	}
}

// ranked returns the key of the value with the given rank (0 is the smallest), how many values are below it and how many
// equal it, in three counting passes over the bits. Keys are those of sortable.
func ranked(values []float32, rank int) (key uint32, below, equal int) {
	var known uint32 // mask of the bits of key found so far
	for _, digit := range []struct{ shift, width int }{{21, 11}, {10, 11}, {0, 10}} {
		var counts [1 << 11]int
		mask := uint32(1)<<digit.width - 1
		for _, v := range values {
			if s := sortable(v); s&known == key {
				counts[s>>digit.shift&mask]++
			}
		}
		d := 0
		for ; below+counts[d] <= rank; d++ {
			below += counts[d]
		}
		key |= uint32(d) << digit.shift
		known |= mask << digit.shift
		equal = counts[d]
	}
	return key, below, equal
}

// sortable maps a float to an integer of the same order.
func sortable(v float32) uint32 {
	b := math.Float32bits(v)
	return b ^ (uint32(int32(b)>>31) | 1<<31)
}

func unsortable(key uint32) float32 {
	if key>>31 == 1 {
		return math.Float32frombits(key ^ 1<<31)
	}
	return math.Float32frombits(^key)
}

// bitset is a set of small whole numbers.
type bitset []uint64

func newBitset(n int) bitset { return make(bitset, (n+63)/64) }

func (b bitset) set(i int)      { b[i>>6] |= 1 << (i & 63) }
func (b bitset) has(i int) bool { return b[i>>6]>>(i&63)&1 == 1 }

// appendTo appends the members in ascending order.
func (b bitset) appendTo(ids []int32) []int32 {
	for w, word := range b {
		for ; word != 0; word &= word - 1 {
			ids = append(ids, int32(w<<6+bits.TrailingZeros64(word)))
		}
	}
	return ids
}
