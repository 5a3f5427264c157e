package method

import "github.com/stprune/workbench/stprune"

var stPrune = Method{
	Name: "st-prune", Kind: Dynamic,
	Paper:   "arXiv 2602.19113; our reconstruction, its equations are not available to us",
	Rule:    "units drawn by a complexity score taken from the training step, weighted by stationarity-aware rescaling, on an annealed schedule",
	Cost:    "O(n/share + k) time, 16 bytes for each of n/share scores and 8 for each of k kept units",
	Differs: "all parts are our definitions; see the settings under prune",
	Exact:   true,
	// 1: a unit without measured targets no longer takes the score that it shares to 0.
	Revision: 1,
	Needs:    Needs{Graph: true, Stationarity: true},
	New: func(s Setup) (stprune.Pruner, error) {
		return stprune.New(s.Units, s.Config, coreOptions(s)...)
	},
}

// coreOptions is what the setup gives st-prune beyond its settings.
func coreOptions(s Setup) []stprune.Option {
	options := []stprune.Option{stprune.WithPerWindow(s.PerWindow)}
	if s.Stationarity != nil {
		options = append(options, stprune.WithStationarity(s.Stationarity))
	}
	if len(s.Groups) > 0 {
		options = append(options, stprune.WithGroups(s.Groups...))
	}
	return options
}
