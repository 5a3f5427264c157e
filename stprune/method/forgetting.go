package method

import (
	"math"
	"slices"
)

var forgetting = static(Method{
	Name:  "forgetting",
	Paper: "Toneva et al., ICLR 2019, arXiv 1812.05159",
	Rule:  "the units forgotten most often while the scoring model was trained: learned after one epoch and not after the next",
	Cost:  "O(Pn log n) time for P scoring epochs, 18 bytes a unit",
	Differs: "a forecast is not right or wrong: a unit counts as learned when its loss is at most the median of all units in " +
		"that epoch. Published counts are over whole trainings of 200 epochs; few epochs give few different counts, and equal " +
		"ones are taken by lot",
	Needs: Needs{Trajectory: true},
	Options: probing(10, 2, 1,
		Option{Key: "never_learned", Default: true,
			Doc: "rank units that were never learned first, as the paper does; false ranks them by their count, 0, as " +
				"DeepCore does"}),
}, func(s Setup, p *Probe, k int) ([]int32, []float32, error) {
	count := make([]float64, s.Units)
	known, ever := make([]bool, s.Units), make([]bool, s.Units)
	for _, loss := range p.Trajectory {
		if err := s.interrupted(); err != nil {
			return nil, nil, err
		}
		edge := median(slices.Clone(loss))
		for i, v := range loss {
			learned := float64(v) <= edge
			if known[i] && !learned {
				count[i]++
			}
			known[i], ever[i] = learned, ever[i] || learned
		}
	}
	if s.bool("never_learned") {
		for i, learned := range ever {
			if !learned {
				count[i] = math.Inf(1)
			}
		}
	}
	return highest(s, count, k), nil, nil
})

// median sorts v and returns its middle value, or the mean of the two.
func median(v []float32) float64 {
	slices.Sort(v)
	n := len(v)
	return (float64(v[(n-1)/2]) + float64(v[n/2])) / 2
}
