package train

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/stprune/workbench/stprune"
)

// batch is what one step trains on: units of one data set and, where they are blocks, of the same nodes, at these positions of the
// selection (or, when all are selected, with these ids).
type batch struct {
	domain    *domain
	positions []int32
}

// batches lays out an epoch: within each group of units that share batches in random order, then, with several, the batches.
func (t *Trainer) batches(s *stprune.Selection, size int) []batch {
	var all []batch
	groups := 0
	for i, d := range t.domains {
		purpose := "order"
		if i > 0 {
			purpose = fmt.Sprintf("order of data set %d", i+1) // what sets are called changes nothing
		}
		r := stprune.Stream(t.cfg.Seed, purpose, t.state.Epoch)
		for _, order := range d.groups(s) {
			groups++
			shuffle(order, r)
			for positions := range slices.Chunk(order, size) {
				all = append(all, batch{d, positions})
			}
		}
	}
	if groups > 1 {
		stprune.Stream(t.cfg.Seed, "batches", t.state.Epoch).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	}
	return all
}

// groups are the positions in the selection (of all: ids) of the data set's units, by what a batch can hold: all of them, or those
// of one block.
func (d *domain) groups(s *stprune.Selection) [][]int32 {
	groups := make([][]int32, d.kinds())
	add := func(position, id int32) {
		k := int(id-d.first) % len(groups)
		groups[k] = append(groups[k], position)
	}
	if s.All {
		for own := range int32(d.units) {
			add(d.first+own, d.first+own)
		}
		return groups
	}
	for i, id := range s.IDs {
		if id >= d.first && id < d.first+int32(d.units) {
			add(int32(i), id)
		}
	}
	return groups
}

// kinds is the number of groups.
func (d *domain) kinds() int {
	if d.t.cfg.Unit == Block {
		return d.parts
	}
	return 1
}

func shuffle(order []int32, r *rand.Rand) {
	for i := len(order) - 1; i > 0; i-- {
		j := r.Uint32N(uint32(i + 1))
		order[i], order[j] = order[j], order[i]
	}
}

// feed is what one step sends to the device. Its slices are reused.
type feed struct {
	unit    string
	ids     []int32   // units of the batch, without padding
	prob    []float32 // their inclusion probabilities; empty where the method has none
	starts  []int32   // [B]
	nodes   []int32   // of pairs [B]; of blocks [M], the same of all; not of windows
	weights []float32 // [B]
}

func (t *Trainer) newFeed(b int) *feed {
	return &feed{
		unit: t.cfg.Unit, ids: make([]int32, 0, b), prob: make([]float32, 0, b),
		starts: make([]int32, b), nodes: make([]int32, b), weights: make([]float32, b),
	}
}

// tensors are what the device is told about the nodes, see [layout.gather].
func (f *feed) tensors() []*tensors.Tensor {
	switch f.unit {
	case Pair:
		return []*tensors.Tensor{tensors.FromFlatDataAndDimensions(f.nodes, len(f.nodes))}
	case Block:
		return []*tensors.Tensor{tensors.FromFlatDataAndDimensions(f.nodes, 1, len(f.nodes))}
	}
	return nil
}

// of names an executable by the size of its blocks, if it has any.
func (f *feed) of(name string) string {
	if f.unit == Block {
		name += fmt.Sprintf(" of %d nodes", len(f.nodes))
	}
	return name
}

// visits counts so many units like the feed's in windows × nodes.
func (f *feed) visits(d *domain, units int) int64 {
	switch f.unit {
	case Pair:
		return int64(units)
	case Block:
		return int64(units) * int64(len(f.nodes))
	}
	return int64(units) * int64(d.layout.nodes)
}

// fill takes the selected units at the given positions; the rest of the batch is padding with weight 0.
func (f *feed) fill(d *domain, s *stprune.Selection, positions []int32) {
	f.ids, f.prob = f.ids[:0], f.prob[:0]
	for i := range f.starts {
		if i >= len(positions) {
			f.starts[i], f.weights[i] = f.starts[0], 0
			if f.unit == Pair {
				f.nodes[i] = f.nodes[0]
			}
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
		window, part := int(id-d.first)/d.parts, int(id-d.first)%d.parts
		f.starts[i] = d.windows.Train[window]
		switch {
		case f.unit == Pair:
			f.nodes[i] = int32(part)
		case f.unit == Block && i == 0:
			f.nodes = d.block(part)
		}
	}
}
