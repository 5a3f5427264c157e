package method

import (
	"math"
	"math/rand/v2"

	"github.com/stprune/workbench/stprune"
)

var orderDP = Method{
	Name: "orderdp", Kind: Dynamic,
	Paper:   "Jin et al., ICLR 2026, arXiv 2606.08574; code shengze-xu/OrderDP@b48eacc",
	Rule:    "of a fresh uniform pool the k units with the highest last loss, each with weight 1",
	Cost:    "O(n) time, 4 bytes a unit",
	Differs: "published with a share of the pool to keep, here the schedule's retention says how many; the code has no full tail: delta = 1; units never visited come first, where the code gives them loss 3",
	Exact:   true,
	Options: []Option{
		{Key: "pool", Default: 0.8, Low: 0, High: 1, Doc: "share of the units in the pool, which has at least k of them"},
	},
	New: func(s Setup) (stprune.Pruner, error) {
		l, err := newLosses("orderdp", s, 0)
		if err != nil {
			return nil, err
		}
		return &pooled{losses: l, pool: s.float("pool")}, nil
	},
}

type pooled struct {
	losses
	pool float64
}

func (p *pooled) Plan(epoch int) (stprune.Selection, error) {
	return p.plan(epoch, func(r *rand.Rand, k int) stprune.Selection {
		n, loss := p.Units(), p.compared()
		pool := stprune.Sample(r, n, max(k, int(math.Round(p.pool*float64(n)))))
		if len(pool) == k {
			return selected(n, pool, nil, nil)
		}
		of := make([]float32, len(pool))
		for i, id := range pool {
			of[i] = loss[id]
		}
		ids, _ := largest(r, of, k) // places in the pool
		for i, at := range ids {
			ids[i] = pool[at]
		}
		return selected(n, ids, nil, nil)
	})
}
