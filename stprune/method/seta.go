package method

import (
	"math"
	"slices"
	"sort"

	"github.com/stprune/workbench/stprune"
)

var seta = Method{
	Name: "seta", Kind: Dynamic,
	Paper:   "Zhou, Gao and Wang, CVPR 2025, arXiv 2503.13385; code mrazhou/SeTa@341df62",
	Rule:    "a uniform subset is divided by 1-D k-means of last losses into groups, and a window of them is kept, each unit with weight 1; in each epoch the window moves on from easy to hard, and then begins again",
	Cost:    "O(n log n) time, 4 bytes a unit and 20 while a plan is made",
	Differs: "the subset follows the schedule's retention, as if groups were equally large, and the tail is full, unless subset is given: then the tail visits such a subset too, as published; k-means starts from quantiles; units never visited count as the hardest; epoch e has the e-th window also where the first epochs are full",
	Options: []Option{
		{Key: "groups", Default: 10, Low: 1, High: 10_000, Doc: "number of groups"},
		{Key: "window", Default: 0.5, Low: 1e-4, High: 1, Doc: "share of the groups that is kept"},
		{Key: "subset", Default: 0.0, Low: 0, High: 1, Doc: "share of the units that is grouped, 1 as in the published defaults; 0 means ρ/window"},
	},
	New: func(s Setup) (stprune.Pruner, error) {
		l, err := newLosses("seta", s, 0)
		if err != nil {
			return nil, err
		}
		return &windowed{losses: l, warmUp: s.Config.WarmUp, number: s.int("groups"), window: s.float("window"), subset: s.float("subset")}, nil
	},
}

type windowed struct {
	losses
	warmUp         int
	number         int // of groups
	window, subset float64
}

// Keep is the largest number of units, that of the subset: how many of them are in the window isn't known in advance.
func (p *windowed) Keep(epoch int) int {
	k, n := p.losses.Keep(epoch), p.Units()
	switch {
	case k == 0:
		return 0
	case p.subset > 0 && epoch >= p.warmUp:
		return min(n, max(p.minUnits, int(p.subset*float64(n))))
	case k == n:
		return n
	}
	return min(n, max(k, int(p.Rho(epoch)/p.window*float64(n))))
}

func (p *windowed) Plan(epoch int) (stprune.Selection, error) {
	if err := p.CheckEpoch(epoch); err != nil {
		return stprune.Selection{}, err
	}
	n, m, full := p.Units(), p.Keep(epoch), p.Full(epoch)
	s := stprune.Everything(n)
	if m < n || !full {
		ids := stprune.Sample(stprune.Stream(p.seed, "selection", epoch), n, m)
		if !full {
			ids = p.inWindow(ids, epoch)
		}
		s = selected(n, ids, nil, nil)
	}
	s.Diagnostics.ScoreCV, s.Diagnostics.Unseen = stprune.Spread(p.loss)
	return s, nil
}

// inWindow keeps the units whose group is in the epoch's window, which is widened until they make a batch.
func (p *windowed) inWindow(subset []int32, epoch int) []int32 {
	all := p.compared()
	loss := make([]float32, len(subset))
	for i, id := range subset {
		loss[i] = all[id]
	}
	group, centre := SeTaGroups(loss, p.number)
	sizes := make([]int, len(centre))
	for _, g := range group {
		sizes[g]++
	}
	first, end := SeTaWindow(len(sizes), p.window, epoch)
	kept := 0
	for _, size := range sizes[first:end] {
		kept += size
	}
	for kept < min(max(1, p.minUnits), len(subset)) {
		if end < len(sizes) {
			kept += sizes[end]
			end++
		} else {
			first--
			kept += sizes[first]
		}
	}
	ids := make([]int32, 0, kept)
	for i, g := range group {
		if int(g) >= first && int(g) < end {
			ids = append(ids, subset[i])
		}
	}
	return ids
}

// SeTaWindow is the range of groups [first, end) that SeTa keeps in an epoch, from 0; in the first it is all of them.
func SeTaWindow(groups int, share float64, epoch int) (first, end int) {
	if epoch == 0 {
		return 0, groups
	}
	size := min(groups, max(1, int(math.RoundToEven(float64(groups)*share)))) // as Python rounds
	first = epoch % (groups - size + 1)
	return first, first + size
}

// SeTaGroups is 1-D k-means of losses: each one's group, from easy to hard, and the groups' mean losses. Losses that
// are all equal are divided in their order.
func SeTaGroups(loss []float32, groups int) (group []int32, centre []float64) {
	m := len(loss)
	if m == 0 {
		return nil, nil
	}
	groups = min(max(1, groups), m)
	sorted := slices.Clone(loss)
	slices.Sort(sorted)
	seen, _ := slices.BinarySearch(sorted, unseen)
	for i := range sorted[seen:] {
		sorted[seen+i] = sorted[max(0, seen-1)]
	}
	group = make([]int32, m)
	if sorted[0] == sorted[m-1] {
		size := (m + groups - 1) / groups
		for i := range group {
			group[i] = int32(i / size)
		}
		return group, slices.Repeat([]float64{float64(sorted[0])}, (m+size-1)/size)
	}

	sum := make([]float64, m+1) // of the losses before
	border := make([]int, groups+1)
	centre = make([]float64, groups)
	for i, v := range sorted {
		sum[i+1] = sum[i] + float64(v)
	}
	for g := range border {
		border[g] = g * m / groups
	}
	for range 300 { // the reference stops here too
		for g := range centre {
			if size := border[g+1] - border[g]; size > 0 { // an empty group keeps its centre
				centre[g] = (sum[border[g+1]] - sum[border[g]]) / float64(size)
			}
		}
		slices.Sort(centre)
		moved := false
		for g := 1; g < groups; g++ {
			middle := (centre[g-1] + centre[g]) / 2
			at := sort.Search(m, func(i int) bool { return float64(sorted[i]) >= middle })
			moved = moved || at != border[g]
			border[g] = at
		}
		if !moved {
			break
		}
	}
	for i, v := range loss {
		if v == unseen {
			v = sorted[m-1]
		}
		group[i] = int32(sort.Search(groups-1, func(g int) bool { return border[g+1] == m || v < sorted[border[g+1]] }))
	}
	return group, centre
}
