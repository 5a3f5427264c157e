package method

import (
	"fmt"
	"slices"

	"github.com/stprune/workbench/stprune"
)

// choice is the rule of a static method: k of the s.Units units, 0 < k < s.Units, in any order, and their weights (nil: all 1).
// It reads the method's needs of the probe, which are complete and finite; p is nil when there are none.
type choice func(s Setup, p *Probe, k int) (ids []int32, weights []float32, err error)

// static completes a method that chooses once. Every epoch visits the same k = max(round(ρn), MinUnits) units: there is no
// warm-up and no tail, and WarmUp, Delta, Anneal and Budget are not read. Weights are scaled to mean 1. When all units are
// kept there is nothing to choose and no scoring model is trained.
//
// With several data sets each keeps its share of k by itself, since scores don't compare between them; published code does the
// same with classes.
func static(m Method, choose choice) Method {
	m.Kind, m.Exact = Static, true
	m.New = func(s Setup) (stprune.Pruner, error) {
		c := s.Config
		c.WarmUp, c.Delta, c.Anneal, c.Budget = 0, 1, "none", 0
		schedule, err := c.Schedule(s.Units)
		if err != nil {
			return nil, err
		}
		if m.Needs.Probed() && s.Probe == nil {
			return nil, fmt.Errorf("prune: method %s needs a scoring model; set Setup.Probe", m.Name)
		}
		if len(s.Groups) == 0 {
			s.Groups = []int{s.Units}
		}
		total := 0
		for _, size := range s.Groups {
			total += size
		}
		if total != s.Units {
			return nil, fmt.Errorf("prune: groups of %v units make %d; there are %d units", s.Groups, total, s.Units)
		}
		return &fixed{Schedule: schedule, method: m, setup: s, choose: choose}, nil
	}
	return m
}

// probing are the options of the scoring model, the same for every probed method, before the method's own.
func probing(epochs, least, repeats int, own ...Option) []Option {
	return append([]Option{
		{Key: "probe_epochs", Default: epochs, Low: float64(least), High: 10_000, Doc: "epochs of full data that a scoring model is trained for"},
		{Key: "probe_repeats", Default: repeats, Low: 1, High: 1000,
			Doc: "scoring models, each with a seed of its own; error norms and gradient norms are means over them, the rest is from the first"},
	}, own...)
}

// fixed is the pruner of static methods.
type fixed struct {
	stprune.Schedule
	method    Method
	setup     Setup
	choose    choice
	probe     *Probe            // between the measurement and the choice
	selection stprune.Selection // without ids: not chosen yet
}

func (p *fixed) Plan(epoch int) (stprune.Selection, error) {
	k := p.Keep(epoch)
	if k == 0 {
		return stprune.Selection{}, fmt.Errorf("prune: epoch %d is outside the run's %d epochs; raise epochs", epoch, p.Epochs())
	}
	if k == p.Units() {
		return stprune.Everything(k), nil
	}
	if p.selection.IDs == nil {
		if err := p.selectOnce(k); err != nil {
			return stprune.Selection{}, fmt.Errorf("prune: method %s: %w", p.method.Name, err)
		}
	}
	return p.selection, nil
}

func (p *fixed) selectOnce(k int) error {
	n, s := p.Units(), p.setup
	s.random = stprune.Stream(s.Config.Seed, "selection", 0)
	if p.method.Needs.Probed() && p.probe == nil {
		probe, err := s.Probe()
		if err != nil {
			return err
		}
		if err := probe.check(p.method.Needs, n); err != nil {
			return err
		}
		if err := CheckMemory(n, probe.bytes(p.method.Needs)); err != nil {
			return err
		}
		p.probe = probe
	}
	keep := filled(n, -1)
	from := 0
	for _, size := range p.setup.Groups {
		to := from + size
		share := portion(k, n, to) - portion(k, n, from)
		switch {
		case share == size:
			copy(keep[from:to], filled(size, 1))
		case share > 0:
			part := s
			part.Units, part.Groups = size, nil
			own := p.probe
			if own != nil && size < n {
				own = own.part(from, to)
			}
			ids, weights, err := p.choose(part, own, share)
			if err != nil {
				return err
			}
			if weights == nil {
				weights = filled(len(ids), 1)
			}
			scaled(weights)
			for i, id := range ids {
				keep[from+int(id)] = weights[i]
			}
		}
		from = to
	}
	p.probe = nil
	return p.adopt(keep, k)
}

// portion is how much of k falls to the first units of n.
func portion(k, n, first int) int { return (2*k*first + n) / (2 * n) }

// scaled brings weights to mean 1.
func scaled(weights []float32) {
	sum := 0.0
	for _, w := range weights {
		sum += float64(w)
	}
	for i, w := range weights {
		weights[i] = float32(float64(w) * float64(len(weights)) / sum)
	}
}

// adopt takes the weights of the kept units, −1 for the others, as the selection.
func (p *fixed) adopt(keep []float32, k int) error {
	s := stprune.Selection{IDs: make([]int32, 0, k), Weight: make([]float32, 0, k)}
	var sum, squares float64
	equal := true
	for id, w := range keep {
		if w == -1 {
			continue
		}
		if !(w >= 0) || w-w != 0 {
			return fmt.Errorf("the weight of unit %d is %v; expected a finite number of at least 0", id, w)
		}
		s.IDs, s.Weight = append(s.IDs, int32(id)), append(s.Weight, w)
		sum += float64(w)
		squares += float64(w) * float64(w)
		equal = equal && w == 1
	}
	if len(s.IDs) != k || sum == 0 {
		return fmt.Errorf("%d units kept with weights that add up to %v; expected %d units and a weight above 0", len(s.IDs), sum, k)
	}
	s.Diagnostics = stprune.Diagnostics{Kept: k, EffectiveSize: sum / squares * sum, MaxWeight: float64(slices.Max(s.Weight))}
	if equal {
		s.Weight = nil
	}
	p.selection = s
	return nil
}

func (p *fixed) Observe(ids []int32, stats stprune.Stats) error {
	return stprune.CheckObservation(p.Units(), ids, stats)
}

// The state is one column: the weight of a kept unit, −1 for the others; −1 everywhere before the choice.

func (p *fixed) MarshalBinary() ([]byte, error) {
	keep := filled(p.Units(), -1)
	for i, id := range p.selection.IDs {
		keep[id] = 1
		if p.selection.Weight != nil {
			keep[id] = p.selection.Weight[i]
		}
	}
	return stprune.EncodeState(p.method.Name, p.Units(), keep), nil
}

func (p *fixed) UnmarshalBinary(data []byte) error {
	columns, err := stprune.DecodeState(data, p.method.Name, p.Units(), 1)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(columns[0], func(w float32) bool { return w != -1 }) {
		p.selection = stprune.Selection{}
		return nil
	}
	if err := p.adopt(columns[0], p.Keep(0)); err != nil {
		return fmt.Errorf("prune: state of method %s: %w: restore it under the settings it was saved with, or start anew", p.method.Name, err)
	}
	return nil
}

// memoryBound is what a choice may take, its probe included.
const memoryBound = 4 << 30

// CheckMemory refuses a choice among n units that would take more than 4 GiB with its probe.
func CheckMemory(n, bytes int) error {
	if bytes <= memoryBound {
		return nil
	}
	return fmt.Errorf("choosing among %d units takes %d bytes with the scoring model's measurements; at most %d are taken: "+
		"choose windows as unit, or a method that needs less", n, bytes, memoryBound)
}

// Inapplicable is a published method that is not in the table of [All], and why.
type Inapplicable struct {
	Name, Paper, Reason string
}

// NotApplicable lists published methods that others compare with and [All] leaves out: forecasting has no counterpart of them, or
// their rule is not known well enough to follow it.
func NotApplicable() []Inapplicable {
	const viaProxy = "Coleman et al., ICLR 2020, arXiv 1906.11829 (Selection via Proxy)"
	return []Inapplicable{
		{"least-confidence", viaProxy, "a forecast has no class probabilities, and so no largest one"},
		{"entropy", viaProxy, "a forecast has no class probabilities, and so no entropy"},
		{"margin", viaProxy, "a forecast has no class probabilities, and so no difference between the two largest"},
		{"deepfool", "Ducoffe and Precioso, 2018, arXiv 1802.09841",
			"there is no decision boundary to be near to; the distance to zero loss, loss over gradient norm, would keep the easiest " +
				"units instead of the ambiguous ones"},
		{"repb", "ICLR 2026, OpenReview Zw1Uw7u6Su (Resolving Pruning Biases); code mrazhou/RePB",
			"its rule is not known to us: the abstract, all we could read, compares losses within windows of a few batches and rescales by how " +
				"often a unit was kept, without the length of the windows, the cut or the factor"},
	}
}
