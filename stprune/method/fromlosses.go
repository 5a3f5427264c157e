package method

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/stprune/workbench/stprune"
)

// A LossRule chooses k of n units, 0 < k < n, by their last losses: masked z-scored MAE, +Inf for a unit never visited. It returns
// different ids, in any order, and a weight for each, or nil where all weigh the same. All randomness comes from r.
type LossRule func(r *rand.Rand, loss []float32, k int) (ids []int32, weight []float32)

// FromLosses is a dynamic method made of one function: the shortest way to try an idea, as in a notebook's cell. Full epochs at the
// beginning and end, memory, saving and resuming are those of the other dynamic methods.
func FromLosses(name string, choose LossRule) Method {
	return Method{
		Name: name, Kind: Dynamic, Paper: "none", Rule: "a function of the last losses", Cost: "that of the function, 4 bytes a unit",
		Differs: "nothing", Exact: true,
		New: func(s Setup) (stprune.Pruner, error) {
			l, err := newLosses(name, s, 0)
			if err != nil {
				return nil, err
			}
			return &byRule{losses: l, choose: choose}, nil
		},
	}
}

type byRule struct {
	losses
	choose LossRule
}

func (p *byRule) Plan(epoch int) (s stprune.Selection, err error) {
	var fault error
	s, err = p.plan(epoch, func(r *rand.Rand, k int) stprune.Selection {
		ids, weight := p.choose(r, slices.Clone(p.loss), k)
		if fault = checkChoice(p.Units(), k, ids, weight); fault != nil {
			return stprune.Selection{}
		}
		ids, weight = ascending(ids, weight)
		return selected(p.Units(), ids, weight, nil)
	})
	if err == nil && fault != nil {
		return stprune.Selection{}, fmt.Errorf("prune: method %s, epoch %d: %w", p.name, epoch, fault)
	}
	return s, err
}

// checkChoice reports what is wrong with k ids of n and their weights.
func checkChoice(n, k int, ids []int32, weight []float32) error {
	if len(ids) != k {
		return fmt.Errorf("its rule chose %d units; want %d", len(ids), k)
	}
	if weight != nil && len(weight) != k {
		return fmt.Errorf("its rule gave %d weights for %d units; give one for each, or none at all", len(weight), k)
	}
	chosen := make([]bool, n)
	for j, id := range ids {
		if id < 0 || int(id) >= n {
			return fmt.Errorf("its rule chose unit %d; want 0 to %d", id, n-1)
		}
		if chosen[id] {
			return fmt.Errorf("its rule chose unit %d twice", id)
		}
		chosen[id] = true
		if weight != nil && !(weight[j] > 0 && weight[j] < unseen) {
			return fmt.Errorf("its rule gave unit %d weight %v; want a finite number above 0", id, weight[j])
		}
	}
	return nil
}

// ascending sorts ids, and weights with them.
func ascending(ids []int32, weight []float32) ([]int32, []float32) {
	order := make([]int, len(ids))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return int(ids[a]) - int(ids[b]) })
	sorted := make([]int32, len(ids))
	var weights []float32
	if weight != nil {
		weights = make([]float32, len(weight))
	}
	for i, j := range order {
		sorted[i] = ids[j]
		if weight != nil {
			weights[i] = weight[j]
		}
	}
	return sorted, weights
}
