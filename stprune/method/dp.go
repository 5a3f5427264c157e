package method

import "gonum.org/v1/gonum/floats"

var dp = static(Method{
	Name:  "dp",
	Paper: "Yang et al., ICLR 2023, arXiv 2205.09329 (Dataset Pruning)",
	Rule: "removes units whose influences H⁻¹g on the parameters cancel: one after the other, each the one that keeps the " +
		"norm of the removed units' summed influence smallest, of equal ones the first",
	Cost: "O((n−k)cG + nG) time for c candidates, 12 bytes a unit",
	Differs: "greedy where the paper anneals; with more than candidates units left, each step looks at that many random ones. " +
		"Gradient of the last layer, projected to at most 2,048 columns; H is diagonal (mean squared gradients, damped) or " +
		"the identity",
	Needs: Needs{Gradients: true},
	Options: probing(5, 1, 1,
		Option{Key: "candidates", Default: 512, Low: 1, High: 1 << 31, Doc: "units that a step looks at"},
		Option{Key: "hessian", Default: "diagonal", Choices: []string{"diagonal", "identity"}, Doc: "H"},
		Option{Key: "damping", Default: 0.01, Low: 1e-6, High: 1e6, Doc: "added to the diagonal, in units of its mean"}),
}, func(s Setup, p *Probe, k int) ([]int32, []float32, error) {
	g := p.Gradients
	inverse := make([]float64, g.Cols) // of H's diagonal
	for c := range inverse {
		inverse[c] = 1
	}
	if s.text("hessian") == "diagonal" {
		h, err := s.means(g, func(v float64) float64 { return v * v })
		if err != nil {
			return nil, nil, err
		}
		damp := s.float("damping") * floats.Sum(h) / float64(len(h))
		for c, v := range h {
			if v+damp > 0 { // else all gradients are 0
				inverse[c] = 1 / (v + damp)
			}
		}
	}
	squares := make([]float64, g.Rows) // of the influences' norms
	err := s.each(g.Rows, chunk, func(from, to int) {
		for i := from; i < to; i++ {
			for c, v := range g.Row(i) {
				influence := inverse[c] * float64(v)
				squares[i] += influence * influence
			}
		}
	})
	if err != nil {
		return nil, nil, err
	}
	left := make([]int32, g.Rows)
	for i := range left {
		left[i] = int32(i)
	}
	removed := make([]float64, g.Cols) // summed influence
	toward := make([]float32, g.Cols)  // H⁻¹ of it
	for len(left) > k {
		looked := min(s.int("candidates"), len(left))
		if looked < len(left) { // the first are random ones
			for i := range looked {
				j := i + s.random.IntN(len(left)-i)
				left[i], left[j] = left[j], left[i]
			}
		}
		for c, v := range removed {
			toward[c] = float32(inverse[c] * v)
		}
		at, err := s.argmax(looked, func(i int) float64 {
			id := int(left[i])
			return -squares[id] - 2*dot(g.Row(id), toward) // |removed|² − |removed + influence|²
		})
		if err != nil {
			return nil, nil, err
		}
		for c, v := range g.Row(int(left[at])) {
			removed[c] += inverse[c] * float64(v)
		}
		left[at] = left[len(left)-1]
		left = left[:len(left)-1]
	}
	return left, nil, nil
})
