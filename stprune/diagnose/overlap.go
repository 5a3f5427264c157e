package diagnose

import (
	"fmt"
)

// Overlap says how far two sets of units agree.
type Overlap struct {
	Epoch    int     `json:"epoch"`    // from 1; 0: the units kept in any of the epochs
	A        int     `json:"a"`        // units in the first set
	B        int     `json:"b"`        // units in the second
	Shared   int     `json:"shared"`   // units in both
	Jaccard  float64 `json:"jaccard"`  // Shared over the units in either
	Expected float64 `json:"expected"` // mean Jaccard index of independent uniform sets of these sizes
}

// Overlaps compares what two methods kept: a row for each epoch that both prune, and a last one, of epoch 0, for the units that
// they kept in any of these epochs. There is no row when no epoch is pruned by both.
func Overlaps(a, b Choice) ([]Overlap, error) {
	var rows []Overlap
	var everA, everB []bool
	for _, epoch := range a.Pruned() {
		if epoch > len(b.Epochs) || b.Epochs[epoch-1].All {
			continue
		}
		n := a.Epochs[epoch-1].Units
		if m := b.Epochs[epoch-1].Units; m != n {
			return nil, fmt.Errorf("overlap: %s has %d training units and %s has %d; compare runs of the same data, protocol and train.unit", a.Name, n, b.Name, m)
		}
		x, err := a.ids(epoch)
		if err != nil {
			return nil, err
		}
		y, err := b.ids(epoch)
		if err != nil {
			return nil, err
		}
		row := overlap(n, x, y)
		row.Epoch = epoch
		rows = append(rows, row)
		if everA == nil {
			everA, everB = make([]bool, n), make([]bool, n)
		}
		for _, id := range x {
			everA[id] = true
		}
		for _, id := range y {
			everB[id] = true
		}
	}
	if len(rows) > 0 {
		rows = append(rows, overlap(len(everA), members(everA), members(everB)))
	}
	return rows, nil
}

func members(set []bool) []int32 {
	var ids []int32
	for id, in := range set {
		if in {
			ids = append(ids, int32(id))
		}
	}
	return ids
}

// overlap compares two sets of n units, as ascending ids.
func overlap(n int, a, b []int32) Overlap {
	o := Overlap{A: len(a), B: len(b), Expected: expectedJaccard(n, len(a), len(b))}
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case a[i] < b[j]:
			i++
		case a[i] > b[j]:
			j++
		default:
			o.Shared++
			i++
			j++
		}
	}
	if either := o.A + o.B - o.Shared; either > 0 {
		o.Jaccard = float64(o.Shared) / float64(either)
	}
	return o
}

// expectedJaccard is the mean of x/(a+b−x) over the number x of units that independent uniform sets of a and b of n units
// share, which is hypergeometric. It is summed from the likeliest x outwards, with probabilities relative to that one's.
func expectedJaccard(n, a, b int) float64 {
	low, high := max(0, a+b-n), min(a, b)
	if high == 0 {
		return 0
	}
	mode := min(high, max(low, (a+1)*(b+1)/(n+2)))
	const negligible = 1e-18
	var sum, total float64
	add := func(x int, p float64) {
		sum += p * float64(x) / float64(a+b-x)
		total += p
	}
	// up is the ratio of the probability of x+1 to that of x.
	up := func(x int) float64 {
		return float64(a-x) / float64(x+1) * (float64(b-x) / float64(n-a-b+x+1))
	}
	for x, p := mode, 1.0; x <= high && p > negligible; x++ {
		add(x, p)
		p *= up(x)
	}
	for x, p := mode-1, 1.0; x >= low; x-- {
		if p /= up(x); p <= negligible {
			break
		}
		add(x, p)
	}
	return sum / total
}
