package method

import (
	"cmp"
	"slices"
)

var moderate = static(Method{
	Name:  "moderate",
	Paper: "Xia et al., ICLR 2023 (Moderate Coreset)",
	Rule: "the units whose features lie at a middling distance from the median feature: the k around the median of the " +
		"distances",
	Cost: "O(nF log n) time, 12 bytes a unit and 4 a core",
	Differs: "one median instead of one per class; node-mean features of the last layer of a scoring model trained for 5 " +
		"epochs, published: a fully trained one",
	Needs:   Needs{Features: true},
	Options: probing(5, 1, 1),
}, func(s Setup, p *Probe, k int) ([]int32, []float32, error) {
	x, n := p.Features, p.Features.Rows
	centre := make([]float32, x.Cols)
	err := s.each(x.Cols, 1, func(c, _ int) {
		column := make([]float32, n)
		for i := range column {
			column[i] = x.Row(i)[c]
		}
		centre[c] = float32(median(column))
	})
	if err != nil {
		return nil, nil, err
	}
	distance := make([]float64, n)
	err = s.each(n, chunk, func(from, to int) {
		for i := from; i < to; i++ {
			for c, v := range x.Row(i) {
				d := float64(v) - float64(centre[c])
				distance[i] += d * d
			}
		}
	})
	if err != nil {
		return nil, nil, err
	}
	ids := s.shuffled(n) // equal distances by lot
	slices.SortStableFunc(ids, func(i, j int32) int { return cmp.Compare(distance[i], distance[j]) })
	skip := (n - k) / 2
	return ids[skip : skip+k], nil, nil
})
