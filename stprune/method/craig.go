package method

import (
	"math"
	"slices"
)

var craig = static(Method{
	Name:  "craig",
	Paper: "Mirzasoleiman, Bilmes and Leskovec, ICML 2020, arXiv 1906.01827",
	Rule: "units that represent all others by their gradients: lazy greedy maximisation of the facility location function, " +
		"similarity = largest distance − distance; a unit weighs as much as the number of units it is nearest to; " +
		"of equal ones the first",
	Cost: "O(nmG) time and 4m² bytes with pools of m units, and what the lazy evaluations take, m each",
	Differs: "random pools where the published code has classes, one when n is at most pool; gradient of the last layer, " +
		"projected to at most 2,048 columns; DeepCore trains the scoring model for 40 epochs and adds 1 to every weight",
	Needs: Needs{Gradients: true},
	Options: probing(5, 0, 1,
		Option{Key: "pool", Default: 4096, Low: 2, High: 1 << 20,
			Doc: "units among which the greedy choice is made at a time; fewer pools when there would be more than k"}),
}, func(s Setup, p *Probe, k int) ([]int32, []float32, error) {
	n, g := p.Gradients.Rows, p.Gradients
	pools := min(k, (n+s.int("pool")-1)/s.int("pool"))
	size := (n + pools - 1) / pools
	if err := CheckMemory(n, 4*len(g.Data)+4*size*size); err != nil {
		return nil, nil, err
	}
	norms, err := s.squares(g)
	if err != nil {
		return nil, nil, err
	}
	order := make([]int32, n)
	for i := range order {
		order[i] = int32(i)
	}
	if pools > 1 {
		order = s.shuffled(n)
	}
	room := make([]float32, size*size)
	var ids []int32
	var weights []float32
	for j := range pools {
		from, to := j*n/pools, (j+1)*n/pools
		pool, m := order[from:to], to-from
		d := Matrix{Rows: m, Cols: m, Data: room[:m*m]}
		err := s.each(m, 16, func(from, to int) { // a row at a time against few, which stay in the cache
			for b := range to {
				for a := max(from, b); a < to; a++ {
					i, j := int(pool[a]), int(pool[b])
					v := float32(math.Sqrt(max(0, norms[i]+norms[j]-2*dot(g.Row(i), g.Row(j)))))
					d.Data[a*m+b], d.Data[b*m+a] = v, v
				}
			}
		})
		if err != nil {
			return nil, nil, err
		}
		share := portion(k, n, to) - portion(k, n, from)
		if share == 0 {
			continue
		}
		chosen, sizes, err := facilityLocation(s, d, share)
		if err != nil {
			return nil, nil, err
		}
		for i, place := range chosen {
			ids, weights = append(ids, pool[place]), append(weights, sizes[i])
		}
	}
	return ids, weights, nil
})

// facilityLocation chooses k of the m places with distances d [m,m] by lazy greedy maximisation of Σ_i max_j (largest − d_ij), and
// counts how many places each is the nearest of.
func facilityLocation(s Setup, d Matrix, k int) (chosen []int, sizes []float32, err error) {
	m := d.Rows
	near := filled(m, slices.Max(d.Data)) // distance to the nearest chosen place
	owner := make([]int, m)               // and which of the chosen that is
	gain := func(j int) float64 {
		sum := 0.0
		for i, v := range d.Row(j) {
			if v < near[i] {
				sum += float64(near[i] - v)
			}
		}
		return sum
	}
	// A gain only shrinks while others are chosen: one that is up to date and above the older ones of all others is the largest.
	gains, of := make([]float64, m), make([]int, m) // of: how many were chosen when the gain was computed
	if err := s.each(m, 64, func(from, to int) {
		for j := from; j < to; j++ {
			gains[j] = gain(j)
		}
	}); err != nil {
		return nil, nil, err
	}
	for len(chosen) < k {
		if err := s.interrupted(); err != nil {
			return nil, nil, err
		}
		best := 0
		for {
			for j, v := range gains {
				if v > gains[best] || v == gains[best] && j < best {
					best = j
				}
			}
			if of[best] == len(chosen) {
				break
			}
			gains[best], of[best] = gain(best), len(chosen)
		}
		for i, v := range d.Row(best) {
			if v < near[i] || i == best {
				near[i], owner[i] = v, len(chosen)
			}
		}
		gains[best] = below
		chosen = append(chosen, best)
	}
	sizes = make([]float32, k)
	for _, c := range owner {
		sizes[c]++
	}
	return chosen, sizes, nil
}
