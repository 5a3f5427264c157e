package stprune

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Config holds every setting of a pruned training run. Start from [DefaultConfig] and change what differs: the zero value of
// most fields is a setting of its own, not the default.
//
// Methods other than ST-Prune read the seed and the schedule only, and what their header names.
type Config struct {
	// Seed of the selection's random stream, see [Stream]. Default 1.
	Seed uint64 `toml:"seed"`

	// Epochs E of the whole run. Default 20.
	Epochs int `toml:"epochs"`
	// WarmUp is the number of full epochs at the start. Default 1.
	WarmUp int `toml:"warm_up"`
	// Delta δ in [0,1]: epoch e = 1..E is full again when e > δE. 1 means no full tail. Default 0.875.
	Delta float64 `toml:"delta"`
	// Rho is the retention ρ in (0,1]: a pruned epoch visits max(round(ρn), MinUnits) units. Default 0.1.
	Rho float64 `toml:"rho"`
	// Anneal raises the retention from ρ to 1 over the pruned epochs: "none", "linear", "cosine" or "step". Default "none".
	Anneal string `toml:"anneal"`
	// AnnealSteps is the number of equally long stages of Anneal "step". Default 4.
	AnnealSteps int `toml:"anneal_steps"`
	// Budget in (0,1] is the share of all E·n visits that the run may take; Rho is then solved for, not read. 0 means none.
	// Default 0.
	Budget float64 `toml:"budget"`
	// MinUnits is the smallest number of units in a pruned epoch: set it to one batch. Default 1.
	MinUnits int `toml:"min_units"`
	// BatchPolicy is the batch size in pruned epochs: "fixed" keeps the full epochs' batch, so steps shrink with ρ;
	// "keep-steps" shrinks the batch with ρ, so the number of steps per epoch stays. Default "fixed".
	BatchPolicy string `toml:"batch_policy"`
	// PrunedBatch is the batch size in pruned epochs, whatever the policy. 0 leaves it to BatchPolicy. Default 0.
	PrunedBatch int `toml:"pruned_batch"`

	// Score of a unit, from what the training step measured (method section 2): "complexity" is Level + λs·Spatial +
	// λt·Temporal + λg·Rough; "loss" is Level; "coherence" is Coherence + ε. [WithScore] replaces it. Default "loss".
	Score string `toml:"score"`
	// LambdaS λs weighs the spatial dispersion. Default 1.
	LambdaS float64 `toml:"lambda_s"`
	// LambdaT λt weighs the temporal dispersion. Default 1.
	LambdaT float64 `toml:"lambda_t"`
	// LambdaG λg weighs the graph roughness. Default 0.
	LambdaG float64 `toml:"lambda_g"`
	// Epsilon ε keeps coherence scores off zero, so that every unit can be drawn. Default 0.01.
	Epsilon float64 `toml:"epsilon"`
	// Beta β in [0,1) is the score's memory: S ← βS + (1−β)s at each visit but the first, which sets S = s. Default 0.5.
	Beta float64 `toml:"beta"`
	// Share is how many consecutive windows share one score, node by node when the unit is a pair: neighbouring windows have all
	// but a few steps in common, so a visit of one tells about the others. Shared scores are best remembered (Beta). 1 keeps the
	// units apart; where data sets adjoin ([WithGroups]), up to Share − 1 windows share the score of the other set's. Default 12.
	Share int `toml:"share"`
	// Unseen says how units without a score rank: "top" above all others, so that they are visited first; "mean" as the mean of
	// the others. Default "mean".
	Unseen string `toml:"unseen"`

	// Selector draws exactly k units (method section 3): "top+rest", "pps", "gumbel" or "uniform". Default "pps".
	Selector string `toml:"selector"`
	// Alpha α in [0,1] is the share of k that "top+rest" takes from the top. Default 0.5.
	Alpha float64 `toml:"alpha"`
	// Gamma γ in [0,16] is the power of the score in "pps" and "gumbel"; 0 is uniform. Default 1.
	Gamma float64 `toml:"gamma"`
	// InTime draws systematically along the ids, which spreads the units evenly in time when ids are in time order. For "pps"
	// and "uniform" only. Meant for windows: with (window, node) pairs the stride can fall in step with the number of nodes,
	// and an epoch then sees few of them. Default false.
	InTime bool `toml:"in_time"`

	// Stationarity z in the weights (method section 4): "none" is z = 1 (Horvitz–Thompson); "data" is known beforehand, see
	// [WithStationarity]; "learning" follows the change of a unit's score between its last two visits. Default "none".
	Stationarity string `toml:"stationarity"`
	// Kappa κ ≥ 0: weights are π^(−κz). 0 means no rescaling. Default 1.
	Kappa float64 `toml:"kappa"`
	// WMax cuts weights to at most this, before normalisation. 0 or +Inf means no limit; otherwise at least 1. Default 0.
	WMax float64 `toml:"w_max"`
	// Normalise divides the weights of an epoch by their mean. Default true.
	Normalise bool `toml:"normalise"`
}

// DefaultConfig returns the defaults named at each field of [Config].
func DefaultConfig() Config {
	return Config{
		Seed: 1,

		Epochs: 20, WarmUp: 1, Delta: 0.875, Rho: 0.1,
		Anneal: "none", AnnealSteps: 4, MinUnits: 1, BatchPolicy: "fixed",

		Score: "loss", LambdaS: 1, LambdaT: 1, Epsilon: 0.01, Beta: 0.5, Share: 12, Unseen: "mean",

		Selector: "pps", Alpha: 0.5, Gamma: 1,

		Stationarity: "none", Kappa: 1, Normalise: true,
	}
}

// Check reports the first setting that is out of its range, by its TOML key, with what to do. What depends on the number of
// units (a budget too small for it) is reported by [Config.Schedule].
func (c Config) Check() error {
	if err := c.checkSchedule(); err != nil {
		return err
	}
	within := func(x, low, high float64) bool { return x >= low && x <= high } // false for NaN
	return firstFault([]fault{
		{!oneOf(c.Score, scoreNames), "score", c.Score, choose(scoreNames)},
		{!within(c.LambdaS, -math.MaxFloat32, math.MaxFloat32), "lambda_s", c.LambdaS, "use a finite number; 0 leaves the term out"},
		{!within(c.LambdaT, -math.MaxFloat32, math.MaxFloat32), "lambda_t", c.LambdaT, "use a finite number; 0 leaves the term out"},
		{!within(c.LambdaG, -math.MaxFloat32, math.MaxFloat32), "lambda_g", c.LambdaG, "use a finite number; 0 leaves the term out"},
		{!within(c.Epsilon, 0, math.MaxFloat32), "epsilon", c.Epsilon, "use a finite number of at least 0"},
		{!(c.Beta >= 0 && c.Beta < 1), "beta", c.Beta, "use a number in [0,1); 0 keeps the last score only"},
		{c.Share < 1, "share", c.Share, "use at least 1 window"},
		{!oneOf(c.Unseen, unseenNames), "unseen", c.Unseen, choose(unseenNames)},
		{!oneOf(c.Selector, selectorNames), "selector", c.Selector, choose(selectorNames)},
		{!within(c.Alpha, 0, 1), "alpha", c.Alpha, "use a number in [0,1]: the share taken from the top"},
		{!within(c.Gamma, 0, 16), "gamma", c.Gamma, "use a number in [0,16]; 1 draws in proportion to the score"},
		{c.InTime && c.Selector != "pps" && c.Selector != "uniform", "in_time", c.InTime, `set it to false, or selector to "pps" or "uniform"`},
		{!oneOf(c.Stationarity, stationarityNames), "stationarity", c.Stationarity, choose(stationarityNames)},
		{!within(c.Kappa, 0, math.MaxFloat32), "kappa", c.Kappa, "use a finite number of at least 0; 0 means no rescaling"},
		{!(c.WMax == 0 || c.WMax >= 1), "w_max", c.WMax, "use 0 for no limit, or a number of at least 1"},
	})
}

func (c Config) checkSchedule() error {
	err := firstFault([]fault{
		{c.Epochs < 1, "epochs", c.Epochs, "use at least 1"},
		{c.WarmUp < 0, "warm_up", c.WarmUp, "use at least 0 full epochs"},
		{!(c.Delta >= 0 && c.Delta <= 1), "delta", c.Delta, "use a number in [0,1]; 1 means no full tail"},
		{!oneOf(c.Anneal, annealNames), "anneal", c.Anneal, choose(annealNames)},
		{c.Anneal == "step" && c.AnnealSteps < 1, "anneal_steps", c.AnnealSteps, "use at least 1 stage"},
		{!(c.Budget >= 0 && c.Budget <= 1), "budget", c.Budget, "use a share of all visits in (0,1], or 0 for none"},
		{c.Budget == 0 && !(c.Rho > 0 && c.Rho <= 1), "rho", c.Rho, "use a number in (0,1]; 0.1 visits a tenth of the units"},
		{c.MinUnits < 1, "min_units", c.MinUnits, "use one batch, at least 1 unit"},
		{!oneOf(c.BatchPolicy, batchPolicyNames), "batch_policy", c.BatchPolicy, choose(batchPolicyNames)},
		{c.PrunedBatch < 0, "pruned_batch", c.PrunedBatch, "use a batch size, or 0 to leave it to batch_policy"},
	})
	if err != nil {
		return err
	}
	wantsFull := c.Budget == 1 || c.Budget == 0 && c.Rho == 1
	if first, end := c.prunedEpochs(); first >= end && !wantsFull {
		return fmt.Errorf("prune: no epoch is left to prune: warm_up %d and the tail after delta %v fill all %d epochs; "+
			"raise epochs, lower warm_up or raise delta", c.WarmUp, c.Delta, c.Epochs)
	}
	return nil
}

var (
	annealNames       = []string{"none", "linear", "cosine", "step"}
	batchPolicyNames  = []string{"fixed", "keep-steps"}
	scoreNames        = []string{"complexity", "loss", "coherence"}
	unseenNames       = []string{"top", "mean"}
	selectorNames     = []string{"top+rest", "pps", "gumbel", "uniform"}
	stationarityNames = []string{"none", "data", "learning"}
)

type fault struct {
	found  bool
	field  string
	value  any
	remedy string
}

func firstFault(faults []fault) error {
	for _, f := range faults {
		if f.found {
			return fmt.Errorf("prune: %s is %#v; %s", f.field, f.value, f.remedy)
		}
	}
	return nil
}

func oneOf(name string, names []string) bool { return slices.Contains(names, name) }

func choose(names []string) string { return "use one of " + strings.Join(names, ", ") }
