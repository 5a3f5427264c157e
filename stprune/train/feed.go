package train

import (
	"math/rand/v2"

	"github.com/stprune/workbench/stprune"
)

// batch is what one step trains on: units of one data set, at these positions of the selection (or, when all are selected, with
// these ids).
type batch struct {
	domain    *domain
	positions []int32
}

// batches lays out an epoch: within each data set the units in random order, then, with several, the batches.
func (t *Trainer) batches(s *stprune.Selection, size int) []batch {
	var all []batch
	at := int32(0)
	for i, d := range t.domains {
		from, to := d.first, d.first+int32(d.units)
		if !s.All { // ids ascend
			from = at
			for at < int32(len(s.IDs)) && s.IDs[at] < d.first+int32(d.units) {
				at++
			}
			to = at
		}
		purpose := "order"
		if i > 0 {
			purpose = "order of " + d.name
		}
		order := shuffled(from, to, stprune.Stream(t.cfg.Seed, purpose, t.state.Epoch))
		for len(order) > 0 {
			n := min(size, len(order))
			all = append(all, batch{d, order[:n]})
			order = order[n:]
		}
	}
	if len(t.domains) > 1 {
		stprune.Stream(t.cfg.Seed, "batches", t.state.Epoch).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	}
	return all
}

// shuffled is from, from+1, …, to−1 in random order.
func shuffled(from, to int32, r *rand.Rand) []int32 {
	order := make([]int32, to-from)
	for i := range order {
		order[i] = from + int32(i)
	}
	for i := len(order) - 1; i > 0; i-- {
		j := r.Uint32N(uint32(i + 1))
		order[i], order[j] = order[j], order[i]
	}
	return order
}

// feed is what one step sends to the device. Its slices are reused.
type feed struct {
	ids           []int32   // units of the batch, without padding
	prob          []float32 // their inclusion probabilities; empty where the method has none
	starts, nodes []int32   // [B]
	weights       []float32
	window        bool
}

func (t *Trainer) newFeed(b int) *feed {
	return &feed{ids: make([]int32, 0, b), prob: make([]float32, 0, b), starts: make([]int32, b), nodes: make([]int32, b), weights: make([]float32, b), window: t.cfg.Unit == Window}
}

// fill takes the selected units at the given positions; the rest of the batch is padding with weight 0.
func (f *feed) fill(d *domain, s *stprune.Selection, positions []int32) {
	f.ids, f.prob = f.ids[:0], f.prob[:0]
	nodes := int32(d.layout.nodes)
	for i := range f.starts {
		if i >= len(positions) {
			f.starts[i], f.nodes[i], f.weights[i] = f.starts[0], f.nodes[0], 0
			continue
		}
		at, weight := positions[i], float32(1)
		id := at
		if !s.All {
			id = s.IDs[at]
			if s.Weight != nil {
				weight = s.Weight[at]
			}
			if s.Prob != nil {
				f.prob = append(f.prob, s.Prob[at])
			}
		}
		f.ids = append(f.ids, id)
		f.weights[i] = weight
		own := id - d.first
		if f.window {
			f.starts[i] = d.windows.Train[own]
		} else {
			f.starts[i], f.nodes[i] = d.windows.Train[own/nodes], own%nodes
		}
	}
}
