package method

var moso = static(Method{
	Name:  "moso",
	Paper: "Tan et al., NeurIPS 2023, arXiv 2310.14664 (Moving-one-Sample-out)",
	Rule: "the units without which the loss would grow most: inner product of a unit's gradient with the mean gradient of the " +
		"others, times the learning rate, summed over checkpoints of the training",
	Cost: "O(CnG) time for C checkpoints, 12 bytes a unit beside their gradients",
	Differs: "gradient of the last layer, projected to at most 2,048 columns, instead of all parameters; one scoring model on " +
		"all units instead of eight on an eighth each; few epochs instead of 50. Its code's exact variant takes 1.5/n of a " +
		"unit's own squared norm off where this takes 1/n",
	Needs:   Needs{Checkpoints: true},
	Options: probing(5, 1, 1),
}, func(s Setup, p *Probe, k int) ([]int32, []float32, error) {
	scores := make([]float64, s.Units)
	for _, c := range p.Checkpoints {
		g := c.Gradients
		mean, err := s.means(g, nil)
		if err != nil {
			return nil, nil, err
		}
		toward := make([]float32, g.Cols)
		single(toward, mean)
		err = s.each(g.Rows, chunk, func(from, to int) {
			for i := from; i < to; i++ {
				// ⟨mean of the others, g⟩·(n−1)/n
				scores[i] += c.LR * (dot(g.Row(i), toward) - dot(g.Row(i), g.Row(i))/float64(g.Rows))
			}
		})
		if err != nil {
			return nil, nil, err
		}
	}
	return highest(s, scores, k), nil, nil
})
