package lab

import (
	"fmt"

	"github.com/stprune/workbench/stprune/optim"
	"github.com/stprune/workbench/stprune/run"
	"github.com/stprune/workbench/stprune/train"
)

// Spec is a STID run on a data set: Adam from 2e-3 along a cosine over the planned steps, 20 epochs. Change what differs with
// [run.Spec.Set].
func Spec(data string) run.Spec {
	s := run.DefaultSpec()
	s.Data.Name = data
	s.Optim.LR = 2e-3
	s.Schedule = optim.Schedule{Kind: "cosine", By: "step", Floor: 0.02, Milestones: []int{}}
	return s
}

// Pairs makes a spec train on (window, node) pairs, with as many pairs in a batch as 16 whole windows of the given number of
// nodes have: small enough for enough steps, large enough to compute well.
func Pairs(s run.Spec, nodes int) run.Spec {
	s.Train.Unit = train.Pair
	s.Train.Batch = 16 * nodes
	return s
}

// FourWays are the runs that say at once whether pruning pays on a data set of that many nodes: full data; full data with a
// quarter of the epochs (the control that counts); ST-Prune at retention rho by (window, node) pairs; and uniform random
// windows at the same retention and schedule.
func FourWays(data string, nodes int, rho float64) []run.Spec {
	full := Spec(data)
	full.Name = "full data"

	fewer := Spec(data)
	fewer.Name = "full data, fewer epochs"
	fewer.Train.Epochs = full.Train.Epochs / 4

	pruned := Pairs(Spec(data), nodes)
	pruned.Name = fmt.Sprintf("ST-Prune %g %%, pairs", 100*rho)
	pruned.Prune.Method, pruned.Prune.Rho = "st-prune", rho

	random := Spec(data)
	random.Name = fmt.Sprintf("random %g %%, windows", 100*rho)
	random.Prune.Method, random.Prune.Rho = "random", rho
	return []run.Spec{full, fewer, pruned, random}
}
