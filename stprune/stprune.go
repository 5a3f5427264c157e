package stprune

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// Option gives [New] what cannot be written in a file of settings.
type Option func(*options)

type options struct {
	score        func(row Stats) float32
	stationarity func(id int32) float32
	groups       []int
	perWindow    int
	name         string
}

// WithScore replaces Config.Score by a function of one row of statistics [NumStats]. It must return finite numbers, not
// negative for the selectors "pps" and "gumbel", and must not keep the row.
func WithScore(score func(row Stats) float32) Option {
	return func(o *options) { o.score = score }
}

// WithStationarity gives the stationarity z in [0,1] of each unit, for Config.Stationarity "data"; see [ProfileStationarity].
// It is asked about the kept units only, and not used under the other definitions.
func WithStationarity(z func(id int32) float32) Option {
	return func(o *options) { o.stationarity = z }
}

// WithGroups divides the units, in order, into groups of these sizes, such as the windows of several data sets. Before units are
// selected their scores are divided by the mean score of their group, so that no group is preferred for the size of its errors.
func WithGroups(sizes ...int) Option {
	return func(o *options) { o.groups = sizes }
}

// WithPerWindow says that n consecutive units are the nodes of one window, for Config.Share. Default 1: a unit is a window.
func WithPerWindow(n int) Option {
	return func(o *options) { o.perWindow = n }
}

// WithName is the name in the saved state of a method that is built on this one. Default "st-prune".
func WithName(name string) Option {
	return func(o *options) { o.name = name }
}

// New returns the method "st-prune", our reconstruction (see the package comment), over n units with ids 0..n−1. The pruner
// is a [Scored].
//
// Memory: 4 bytes per score, 4 more with "learning" stationarity, and while a plan is made about 12 per score and 8 per kept unit.
// A plan by selector "pps" takes time for each score and each kept unit: with Config.Share units to a score, one for 12 units by
// default. By the others, and with [WithGroups], it takes O(n), in memory too.
func New(n int, c Config, opts ...Option) (Pruner, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	schedule, err := c.Schedule(n)
	if err != nil {
		return nil, err
	}
	o := options{score: c.scoreFunc(), perWindow: 1, name: "st-prune"}
	for _, opt := range opts {
		opt(&o)
	}
	if o.score == nil {
		return nil, fmt.Errorf("prune: the score function is nil; leave WithScore out to use score %q", c.Score)
	}
	if c.Stationarity == "data" && c.Kappa != 0 && o.stationarity == nil {
		return nil, fmt.Errorf(`prune: stationarity is "data", but no values were given; pass WithStationarity, or set it to "learning" or "none"`)
	}
	if err := CheckGroups(n, o.groups); err != nil {
		return nil, err
	}
	if o.perWindow < 1 || n%o.perWindow != 0 {
		return nil, fmt.Errorf("prune: %d units do not make whole windows of %d; mend WithPerWindow", n, o.perWindow)
	}
	cells := newCells(n, o.perWindow, c.Share)
	sized := c.Selector == "pps" || c.Selector == "gumbel"
	return &stPrune{
		Schedule:     schedule,
		name:         o.name,
		seed:         c.Seed,
		memory:       newMemory(cells, o.score, c.Beta, sized, c.Stationarity == "learning"),
		config:       c,
		weighting:    c.weighting(),
		stationarity: c.Stationarity,
		known:        o.stationarity,
		groups:       o.groups,
	}, nil
}

type stPrune struct {
	Schedule
	name         string
	seed         uint64
	memory       *memory
	config       Config
	weighting    weighting
	stationarity string
	known        func(id int32) float32 // z given beforehand, for "data"
	groups       []int                  // sizes; scores are comparable within one
}

func (p *stPrune) Plan(epoch int) (Selection, error) {
	if err := p.CheckEpoch(epoch); err != nil {
		return Selection{}, err
	}
	var s Selection
	if p.Full(epoch) {
		s = Everything(p.n)
	} else {
		s.IDs, s.Prob = p.draw(Stream(p.seed, "selection", epoch), p.Keep(epoch))
		var z func(id int32) float32
		switch p.stationarity {
		case "data":
			z = p.known
		case "learning":
			z = p.memory.stationarity()
		}
		if err := p.weighting.weigh(&s, z); err != nil {
			return Selection{}, err
		}
	}
	s.Diagnostics.ScoreCV, s.Diagnostics.Unseen = p.memory.spread(p.memory.score)
	return s, nil
}

// draw chooses k units by their scores: cell by cell where it can, since that is much less work.
func (p *stPrune) draw(r *rand.Rand, k int) ([]int32, []float32) {
	c := p.config
	if c.Selector == "pps" && len(p.groups) < 2 {
		return ppsOfCells(r, p.withUnseen(p.memory.score, p.memory.cells), p.memory.cells, c.Gamma, c.InTime, k)
	}
	score := Standardised(p.memory.perUnit(p.memory.score), p.groups)
	return c.Draw()(r, p.withUnseen(score, alone(len(score))), k)
}

// withUnseen gives cells without a score the one that Config.Unseen says.
func (p *stPrune) withUnseen(score []float32, units cells) []float32 {
	if p.config.Unseen != "mean" {
		return score
	}
	sum, seen := 0.0, 0
	for cell, s := range score {
		if s != never {
			members := units.members(cell)
			sum += float64(members) * float64(s)
			seen += members
		}
	}
	mean := float32(1)
	if seen > 0 {
		mean = float32(sum / float64(seen))
	}
	score = slices.Clone(score)
	for i, s := range score {
		if s == never {
			score[i] = mean
		}
	}
	return score
}

// CheckGroups refuses groups that are empty or don't make n units together; no groups are fine.
func CheckGroups(n int, sizes []int) error {
	total := 0
	for _, size := range sizes {
		if size < 1 {
			return fmt.Errorf("prune: group of %d units; leave empty groups out", size)
		}
		total += size
	}
	if len(sizes) > 0 && total != n {
		return fmt.Errorf("prune: groups of %v units make %d; there are %d units", sizes, total, n)
	}
	return nil
}

// Standardised divides scores [n] by the mean score of their group; +Inf stays. With fewer than two groups it returns score itself.
func Standardised(score []float32, groups []int) []float32 {
	if len(groups) < 2 {
		return score
	}
	out := make([]float32, 0, len(score))
	for _, size := range groups {
		group := score[len(out) : len(out)+size]
		sum, seen := 0.0, 0
		for _, s := range group {
			if s != never {
				sum += float64(s)
				seen++
			}
		}
		for _, s := range group {
			if s != never && sum > 0 {
				s = float32(float64(s) * float64(seen) / sum)
			}
			out = append(out, s)
		}
	}
	return out
}

func (p *stPrune) Observe(ids []int32, stats Stats) error { return p.memory.observe(ids, stats) }

func (p *stPrune) Scores() []float32 { return p.memory.perUnit(p.memory.score) }

func (p *stPrune) MarshalBinary() ([]byte, error) {
	return EncodeState(p.name, len(p.memory.score), p.columns()...), nil
}

func (p *stPrune) UnmarshalBinary(data []byte) error {
	columns, err := DecodeState(data, p.name, len(p.memory.score), len(p.columns()))
	if err != nil {
		return err
	}
	columns = append(columns, nil) // changes, when not kept
	if err := p.memory.check(columns[0], columns[1]); err != nil {
		return err
	}
	p.memory.score, p.memory.change = columns[0], columns[1]
	return nil
}

func (p *stPrune) columns() [][]float32 {
	if p.memory.change == nil {
		return [][]float32{p.memory.score}
	}
	return [][]float32{p.memory.score, p.memory.change}
}
