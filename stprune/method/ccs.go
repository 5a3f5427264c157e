package method

import (
	"cmp"
	"math"
	"slices"
)

var ccs = static(Method{
	Name:  "ccs",
	Paper: "Zheng et al., ICLR 2023, arXiv 2210.15809 (Coverage-centric Coreset Selection)",
	Rule: "drops the hardest share of the units; divides the rest into strata of equally wide difficulty, shares k out among " +
		"them, the smallest stratum first, and draws uniformly within each",
	Cost: "O(n log n) time, 16 bytes a unit",
	Differs: "difficulty is the loss summed over the scoring epochs instead of minus the margin summed over a whole training; " +
		"published shares to drop are those tuned on CIFAR-10",
	Needs: Needs{Trajectory: true},
	Options: probing(5, 1, 1,
		Option{Key: "strata", Default: 50, Low: 1, High: 100_000, Doc: "number of strata"},
		Option{Key: "beta", Default: -1.0, Low: -1, High: 0.999,
			Doc: "share of the units to drop as too hard; below 0: as published, 0.3 when at most 0.15 of the units are kept, " +
				"0.1 up to 0.4, else 0"}),
}, func(s Setup, p *Probe, k int) ([]int32, []float32, error) {
	n := s.Units
	difficulty := make([]float64, n)
	for _, loss := range p.Trajectory {
		for i, v := range loss {
			difficulty[i] += float64(v)
		}
	}
	beta := s.float("beta")
	if kept := float64(k) / float64(n); beta < 0 {
		switch { // published for 0.1, for 0.2 and 0.3, and for 0.5 and more
		case kept <= 0.15:
			beta = 0.3
		case kept <= 0.4:
			beta = 0.1
		default:
			beta = 0
		}
	}
	ids := s.shuffled(n) // equal ones, and those of a stratum, are in random order
	slices.SortStableFunc(ids, func(i, j int32) int { return cmp.Compare(difficulty[i], difficulty[j]) })
	ids = ids[:max(k, n-int(math.Round(beta*float64(n))))]

	strata := make([][]int32, s.int("strata"))
	low, high := difficulty[ids[0]], difficulty[ids[len(ids)-1]]
	for _, id := range ids {
		at := 0
		if high > low {
			at = min(len(strata)-1, int((difficulty[id]-low)/(high-low)*float64(len(strata))))
		}
		strata[at] = append(strata[at], id)
	}
	slices.SortStableFunc(strata, func(a, b []int32) int { return cmp.Compare(len(a), len(b)) })
	var kept []int32
	for i, stratum := range strata {
		s.random.Shuffle(len(stratum), func(a, b int) { stratum[a], stratum[b] = stratum[b], stratum[a] })
		kept = append(kept, stratum[:min(len(stratum), (k-len(kept))/(len(strata)-i))]...)
	}
	return kept, nil, nil
})
