package method

import (
	"math/rand/v2"

	"github.com/stprune/workbench/stprune"
)

var infoBatch = Method{
	Name: "infobatch", Kind: Dynamic,
	Paper:   "Qin et al., ICLR 2024, arXiv 2303.04947; code NUS-HPC-AI-Lab/InfoBatch@8bbb012",
	Rule:    "all units whose last loss is at least the mean, with weight 1; of the others a uniform share q = 1 − r, with weight 1/q",
	Cost:    "O(n) time, 4 bytes a unit",
	Differs: "q follows the schedule's retention unless r is given, at least 0.1 as published; units never visited are kept with weight 1; weights are 1 in the tail whatever δE is, where the code keeps stale ones if δE is not whole; own random stream. The published loss is divided by the batch, not by the sum of weights: train.loss_per_batch",
	Options: []Option{
		{Key: "r", Default: 0.0, Low: 0, High: 1, Doc: "share of the units below the mean that is left out; 0 means 1 − ρ of the schedule"},
	},
	New: func(s Setup) (stprune.Pruner, error) {
		l, err := newLosses("infobatch", s, 0)
		if err != nil {
			return nil, err
		}
		return &thresholded{losses: l, r: s.float("r")}, nil
	},
}

type thresholded struct {
	losses
	r float64
}

// Keep is the largest number of units: how many losses are below the mean isn't known in advance.
func (p *thresholded) Keep(epoch int) int {
	if p.losses.Keep(epoch) == 0 {
		return 0
	}
	return p.Units()
}

func (p *thresholded) Plan(epoch int) (stprune.Selection, error) {
	return p.plan(epoch, func(r *rand.Rand, _ int) stprune.Selection {
		q := 1 - p.r
		if p.r == 0 {
			q = p.Rho(epoch)
		}
		q = max(0.1, q)

		n, loss := p.Units(), p.compared()
		threshold := Threshold(loss)
		low := 0
		for _, v := range loss {
			if float64(v) < threshold {
				low++
			}
		}
		if low == 0 {
			return stprune.Everything(n)
		}
		drawn := int(q * float64(low))
		if short := p.minUnits - (n - low + drawn); short > 0 {
			drawn = min(low, drawn+short)
			q = float64(drawn) / float64(low)
		}

		chosen := stprune.Sample(r, low, drawn) // places among the low ones
		k := n - low + drawn
		ids, weight, prob := make([]int32, 0, k), make([]float32, 0, k), make([]float32, 0, k)
		at := 0
		for i, v := range loss {
			w, pi := float32(1), float32(1)
			if float64(v) < threshold {
				w, pi = float32(1/q), float32(float64(drawn)/float64(low))
				at++
				if len(chosen) == 0 || int(chosen[0]) != at-1 {
					continue
				}
				chosen = chosen[1:]
			}
			ids, weight, prob = append(ids, int32(i)), append(weight, w), append(prob, pi)
		}
		return selected(n, ids, weight, prob)
	})
}

// Threshold is the mean of the losses of the visited units; 0 without any.
func Threshold(loss []float32) float64 {
	sum, seen := 0.0, 0
	for _, v := range loss {
		if v != unseen {
			sum += float64(v)
			seen++
		}
	}
	return sum / float64(max(1, seen))
}
