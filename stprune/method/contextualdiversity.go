package method

import (
	"fmt"
	"math"
)

var contextualDiversity = static(Method{
	Name:  "contextual-diversity",
	Paper: "Agarwal et al., ECCV 2020, arXiv 2008.05723",
	Rule:  "k-center on the symmetric Kullback–Leibler divergence between the units' output distributions; of equal ones the first",
	Cost:  "O(knQ) time, 16Q + 8 bytes a unit",
	Differs: "a forecast is no distribution: the softmax over the horizons of the node-mean z-scored forecast stands for one, " +
		"so that the shape of a forecast counts and its level does not; one pool instead of one per class; DeepCore trains " +
		"the scoring model for 40 epochs",
	Needs:   Needs{Forecasts: true},
	Options: probing(5, 1, 1),
}, func(s Setup, p *Probe, k int) ([]int32, []float32, error) {
	n, q := p.Forecasts.Rows, p.Forecasts.Cols
	if q < 2 {
		return nil, nil, fmt.Errorf("a horizon of %d step has no shape to compare; use at least 2 steps, or k-center", q)
	}
	if err := CheckMemory(n, 4*n*q+16*n*q); err != nil {
		return nil, nil, err
	}
	share, log := make([]float64, n*q), make([]float64, n*q)
	err := s.each(n, chunk, func(from, to int) {
		for i := from; i < to; i++ {
			softmax(p.Forecasts.Row(i), share[i*q:(i+1)*q], log[i*q:(i+1)*q])
		}
	})
	if err != nil {
		return nil, nil, err
	}
	ids, err := farthestFirst(s, k, func(i, centre int) float64 {
		sum := 0.0
		for h := range q {
			a, b := i*q+h, centre*q+h
			sum += (share[a] - share[b]) * (log[a] - log[b])
		}
		return sum / 2
	})
	return ids, nil, err
})

// softmax writes the softmax of v and its logarithm.
func softmax(v []float32, share, log []float64) {
	top := float64(v[0])
	for _, x := range v {
		top = max(top, float64(x))
	}
	sum := 0.0
	for _, x := range v {
		sum += math.Exp(float64(x) - top)
	}
	for h, x := range v {
		log[h] = float64(x) - top - math.Log(sum)
		share[h] = math.Exp(log[h])
	}
}
