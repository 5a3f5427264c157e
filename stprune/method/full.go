package method

import "github.com/stprune/workbench/stprune"

var full = Method{
	Name: "full", Kind: Control,
	Paper:   "none",
	Rule:    "every unit in every epoch",
	Cost:    "none",
	Differs: "nothing",
	Exact:   true,
	New:     func(s Setup) (stprune.Pruner, error) { return stprune.NewFull(s.Units) },
}
