package method

import (
	"math"
	"math/rand/v2"

	"github.com/stprune/workbench/stprune"
)

var rcap = Method{
	Name: "rcap", Kind: Dynamic,
	Paper:   "Hassan, Khare and Paik, UAI 2025, arXiv 2606.11761; code atif-hassan/RCAP-dynamic-dataset-pruning@d1879c2",
	Rule:    "k units drawn without replacement in proportion to exp(loss/T) of their last loss, by Gumbel-top-k, each with weight 1",
	Cost:    "O(n) time, 4 bytes a unit",
	Differs: "no classes, so neither a share for each class nor a bound on the loss by their number; the loss counts in units of its mean; units never visited are drawn as the hardest",
	Exact:   true,
	Options: []Option{
		{Key: "temperature", Default: 1.0, Low: 0.01, High: 100, Doc: "T; small T prefers the hardest units, large T is uniform. Losses over 100·T mean losses below the largest count alike"},
	},
	New: func(s Setup) (stprune.Pruner, error) {
		l, err := newLosses("rcap", s, 0)
		if err != nil {
			return nil, err
		}
		return &tempered{losses: l, temperature: s.float("temperature")}, nil
	},
}

type tempered struct {
	losses
	temperature float64
}

// byGumbel draws in proportion to the scores.
var byGumbel = stprune.Config{Selector: "gumbel", Gamma: 1}.Draw()

func (p *tempered) Plan(epoch int) (stprune.Selection, error) {
	return p.plan(epoch, func(r *rand.Rand, k int) stprune.Selection {
		loss := p.compared()
		unit := max(math.SmallestNonzeroFloat32, Threshold(loss)) // 1 where losses are in units of their groups' means
		top := float32(0)
		for _, v := range loss {
			if v != unseen {
				top = max(top, v)
			}
		}
		size := make([]float32, len(loss))
		for i, v := range loss {
			if size[i] = v; v != unseen {
				size[i] = float32(math.Exp(float64(v-top) / unit / p.temperature))
			}
		}
		ids, prob := byGumbel(r, size, k)
		return selected(p.Units(), ids, nil, prob)
	})
}
