package method

import "github.com/stprune/workbench/stprune"

var ucb = Method{
	Name: "ucb", Kind: Dynamic,
	Paper:   "Raju, Daruwalla and Lipasti, arXiv 2111.12621; code sodabori/dataset_pruning@55a2292",
	Rule:    "the k units with the highest m + c·v, each with weight 1; m is the running loss, v the running square of a loss's deviation from m before it; chosen anew every 10 epochs",
	Cost:    "O(n) time, 12 bytes a unit",
	Differs: "as epsilon-greedy; v is 0 after the first visit",
	Exact:   true,
	Options: []Option{
		{Key: "confidence", Default: 1.0, Low: 0, High: 1e6, Doc: "c, the weight of v"},
		optionAlpha, optionEvery,
	},
	New: func(s Setup) (stprune.Pruner, error) {
		p, err := newGreedy("ucb", s, 0)
		if err != nil {
			return nil, err
		}
		p.confidence, p.variance = float32(s.float("confidence")), p.column(0)
		return p, nil
	},
}

// upperBound is m + c·v of each unit, with losses in units of their group's mean where there are several groups.
func (p *greedy) upperBound() []float32 {
	score := make([]float32, 0, len(p.loss))
	groups := p.groups
	if len(groups) == 0 {
		groups = []int{len(p.loss)}
	}
	for _, size := range groups {
		at := len(score)
		unit := float32(1)
		if mean := Threshold(p.loss[at : at+size]); len(groups) > 1 && mean > 0 {
			unit = float32(mean)
		}
		for i := at; i < at+size; i++ {
			score = append(score, p.loss[i]/unit+p.confidence*(p.variance[i]/unit/unit))
		}
	}
	return score
}
