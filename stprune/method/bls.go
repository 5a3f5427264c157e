package method

import "github.com/stprune/workbench/stprune"

var bls = Method{
	Name: "bls", Kind: Dynamic,
	Paper:   "Zhou et al., CVPR 2026, arXiv 2604.04681; code mrazhou/BLS@726279b",
	Rule:    "st-prune with another score: the running mean of the losses of the batches that a unit was in, S ← αS + (1 − α)L. Selector and weights are the settings'",
	Cost:    "as st-prune; no statistics of single units are needed",
	Differs: "published on InfoBatch and SeTa, not on st-prune; the first visit sets S, where the code starts from 0, from which units seen seldom rank low",
	Exact:   true,
	Needs:   Needs{Stationarity: true},
	Options: []Option{
		{Key: "alpha", Default: 0.9, Low: 0, High: 0.9999, Doc: "share of the old score that stays at a visit"},
	},
	New: newBLS,
}

func newBLS(s Setup) (stprune.Pruner, error) {
	c := s.Config
	c.Score, c.Beta, c.Share, c.Unseen = "loss", s.float("alpha"), 1, "top"
	p, err := stprune.New(s.Units, c, append(coreOptions(s), stprune.WithName("bls"))...)
	if err != nil {
		return nil, err
	}
	return &batchScored{Scored: p.(stprune.Scored)}, nil
}

type batchScored struct {
	stprune.Scored
	means stprune.Stats // of the batch at hand
}

// Observe takes one batch.
func (p *batchScored) Observe(ids []int32, stats stprune.Stats) error {
	if err := stprune.CheckObservation(len(p.Scores()), ids, stats); err != nil {
		return err
	}
	sum := 0.0
	for j := range ids {
		sum += float64(stats[j*stprune.NumStats+stprune.Level])
	}
	p.means = append(p.means[:0], stats...)
	for j := range ids {
		p.means[j*stprune.NumStats+stprune.Level] = float32(sum / float64(len(ids)))
	}
	return p.Scored.Observe(ids, p.means)
}
