package method

import "github.com/stprune/workbench/stprune"

// Ablation is a part of ST-Prune switched off, as a change of its settings.
type Ablation struct {
	Name, Doc string
	Change    func(*stprune.Config)
}

// Ablations lists the parts that a comparison switches off one at a time.
func Ablations() []Ablation {
	return []Ablation{
		{"unscored", "the score plays no part", func(c *stprune.Config) { c.Gamma = 0 }},
		{"apart", "every unit has a score of its own", func(c *stprune.Config) { c.Share, c.Beta = 1, 0 }},
		{"unweighted", "all weights are 1", func(c *stprune.Config) { c.Kappa = 0 }},
		{"constant", "the retention stays the same over the pruned epochs", func(c *stprune.Config) { c.Anneal = "none" }},
	}
}
