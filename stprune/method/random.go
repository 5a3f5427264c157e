package method

import "github.com/stprune/workbench/stprune"

var random = Method{
	Name: "random", Kind: Dynamic,
	Paper:   "Okanovic et al., ICLR 2024, arXiv 2305.18424 (RS2)",
	Rule:    "fresh uniform units in each pruned epoch, each with weight 1; with in_time spread evenly along the ids",
	Cost:    "O(k) time, n bits",
	Differs: "nothing. No weights: those of a uniform sample are all equal, which leaves the loss as it is, or scales it like a learning rate where it is divided by the batch",
	Exact:   true,
	New:     func(s Setup) (stprune.Pruner, error) { return stprune.NewUniform(s.Units, s.Config) },
}
