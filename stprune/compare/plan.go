package compare

import (
	"context"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"

	"github.com/stprune/workbench/stprune"
	"github.com/stprune/workbench/stprune/method"
	"github.com/stprune/workbench/stprune/run"
	"github.com/stprune/workbench/stprune/sweep"
)

// Options say where runs are, and who is told how they go on; the zero value is usable.
type Options = sweep.Options

// session is one call's work on a comparison.
type session struct {
	spec    Spec
	o       Options
	trainer *sweep.Trainer
	planner *run.Planner
	groups  []*group
	stored  map[string]stored // what the store has, by run id
	failed  map[string]string // why runs failed in this call, by id
}

// group is all that is compared with each other: one batch policy, one retention.
type group struct {
	policy string
	rho    float64
	rows   []*row
}

// row is one way of training, under all seeds.
type row struct {
	label   string
	roles   []Role
	method  string
	pruner  bool // under comparison, not a control alone
	planned plan
	specs   []run.Spec    // one per seed; none when not known yet, or not applicable
	ids     []string      // of specs
	against map[Role]*row // its controls
	reason  string        // why there are no specs

	timed *timed // of the equal-seconds control
}

// plan is what a run will take.
type plan struct {
	epochs int
	batch  int    // of pruned epochs
	steps  int    // optimiser steps
	visits int64  // windows × nodes
	raised string // what pruned epochs keep, where min_units makes that more than the retention
}

// timed is what the epochs of an equal-seconds control follow from.
type timed struct {
	spec   run.Spec // but for its epochs and seed
	pruned []*row   // whose seconds it may take
	epoch  []*row   // which show how long an epoch takes
	suffix string   // of the label
}

func open(ctx context.Context, spec Spec, o Options) (*session, error) {
	if err := spec.Check(); err != nil {
		return nil, fmt.Errorf("comparison: %w", err)
	}
	if o.Store == nil {
		o.Store = run.NewStore("")
	}
	s := &session{spec: spec, o: o, stored: map[string]stored{}, failed: map[string]string{}}
	if s.o.Note == nil {
		s.o.Note = func(string) {}
	}
	s.trainer = sweep.NewTrainer(s.o)
	var err error
	if s.planner, err = run.NewPlanner(ctx, spec.Base, s.trainer.Options()); err == nil {
		err = s.expand()
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("comparison: %w", err)
	}
	return s, nil
}

func (s *session) close() { s.trainer.Close() }

// expand lays out all rows. Those of equal-seconds controls stay without runs.
func (s *session) expand() error {
	for _, policy := range s.spec.BatchPolicy {
		for _, rho := range s.spec.Rho {
			g := &group{policy: policy, rho: rho}
			if err := s.fill(g); err != nil {
				return err
			}
			s.groups = append(s.groups, g)
		}
	}
	return nil
}

func (s *session) fill(g *group) error {
	var pruners []*row
	for _, m := range s.spec.Methods {
		if reason, no := notApplicable(m.Name); no {
			g.rows = append(g.rows, &row{label: m.Label, roles: []Role{Pruner}, method: m.Name, reason: "not applicable: " + reason})
			continue
		}
		r, err := s.add(g, Pruner, m.Label, s.spec.pruned(m, g.policy, g.rho, 0))
		if err != nil {
			return fmt.Errorf("method %s: %w", m.Label, err)
		}
		if slices.Contains(pruners, r) {
			return fmt.Errorf("methods %s and %s are the same runs; leave one out", r.label, m.Label)
		}
		pruners = append(pruners, r)
	}
	for i := 0; i < len(pruners); i++ {
		r := pruners[i]
		r.pruner = true
		spec := r.specs[0]
		schedule, err := s.planner.Schedule(spec)
		if err != nil {
			return err
		}
		control := func(role Role, label string, spec run.Spec) {
			if !s.spec.wants(role) || err != nil {
				return
			}
			var c *row
			if c, err = s.add(g, role, label, spec); err == nil && c != r {
				r.against[role] = c
			}
		}
		steps, visits := s.planner.Planned(spec, schedule)
		full, base, like := all(spec), all(s.spec.Base), all(s.like(spec))
		suffix := s.suffix(r, full, base)
		control(Full, "full data"+s.suffix(r, like, base), like)
		full, label := lasting(full, schedule.Units(), steps)
		control(EqualSteps, label+suffix, full)
		full.Train.Batch = schedule.PrunedBatch(spec.Train.Batch)
		full, label = lasting(full, schedule.Units(), stepsOf(full, schedule.Units(), float64(visits)/float64(s.planner.Visits())))
		control(EqualVisits, label+suffix, full)
		random := s.uniform(spec)
		as := s.suffix(r, random, s.spec.pruned(Method{Name: "random"}, g.policy, g.rho, 0))
		control(Random, "random"+as, random)
		if err != nil {
			return err
		}
		// Random units on the common schedule are a method too, with controls of their own.
		if c := r.against[Random]; c != nil && as == "" && !slices.Contains(pruners, c) {
			pruners = append(pruners, c)
		}
		s.addTimed(g, r, full, suffix)
	}
	slices.SortStableFunc(g.rows, func(a, b *row) int { return a.rank() - b.rank() })
	return nil
}

// all is the spec without pruning.
func all(spec run.Spec) run.Spec {
	spec.Prune.Method, spec.Prune.Options = "full", map[string]any{}
	return spec
}

// like is the base with the spec's optimiser, model and schedule.
func (s *session) like(spec run.Spec) run.Spec {
	base := s.spec.Base
	base.Optim, base.Model, base.Schedule = spec.Optim, spec.Model, spec.Schedule
	return base
}

// uniform is the spec with random units in place of its method's, on the same schedule.
func (s *session) uniform(spec run.Spec) run.Spec {
	p := &spec.Prune
	if m, err := method.ByName(p.Method); err == nil && m.Kind == method.Static { // which has one subset for all epochs
		p.WarmUp, p.Delta, p.Anneal = 0, 1, "none"
	}
	p.Method, p.Options, p.InTime = "random", map[string]any{}, s.spec.Base.Prune.InTime
	return spec
}

// suffix tells a method's control from the one that most methods have.
func (s *session) suffix(r *row, control, common run.Spec) string {
	control.Train.Seed, common.Train.Seed = 0, 0
	if s.planner.ID(control) == s.planner.ID(common) {
		return ""
	}
	return ", as " + r.label
}

// whole is the share by which a control of whole epochs may miss what it is to have; else it ends within an epoch.
const whole = 0.05

// lasting is a spec of full data with about so many steps, and its label.
func lasting(full run.Spec, units, steps int) (run.Spec, string) {
	epoch := stepsOf(full, units, 1)
	epochs := max(1, math.Round(float64(steps)/float64(epoch)))
	full.Train.Epochs, full.Train.MaxSteps = int(epochs), 0
	if math.Abs(epochs*float64(epoch)/float64(steps)-1) > whole {
		epochs = float64(steps) / float64(epoch)
		full.Train.Epochs, full.Train.MaxSteps = int(math.Ceil(epochs)), steps
	}
	return full, fmt.Sprintf("full data, %.3g × batch %d", epochs, full.Train.Batch)
}

// stepsOf is the number of steps, at least 1, in which a spec of full data visits its units so many times.
func stepsOf(full run.Spec, units int, times float64) int {
	epochs, part := math.Modf(times)
	batch := float64(full.Train.Batch)
	return max(1, int(epochs*math.Ceil(float64(units)/batch)+math.Round(part*float64(units)/batch)))
}

// add gives the group's row with the runs of spec, under all seeds, a role. Label is for a new one.
func (s *session) add(g *group, role Role, label string, spec run.Spec) (*row, error) {
	r := &row{label: label, method: spec.Prune.Method, against: map[Role]*row{}}
	if err := s.seed(r, spec); err != nil {
		return nil, err
	}
	for _, have := range g.rows {
		if have.timed == nil && slices.Equal(have.ids, r.ids) {
			r = have
		}
	}
	if len(r.roles) == 0 {
		g.rows = append(g.rows, r)
	}
	if !slices.Contains(r.roles, role) {
		r.roles = append(r.roles, role)
	}
	return r, nil
}

// seed gives a row the runs of spec under all seeds.
func (s *session) seed(r *row, spec run.Spec) error {
	schedule, err := s.planner.Schedule(spec)
	if err != nil {
		return err
	}
	steps, visits := s.planner.Planned(spec, schedule)
	r.planned = plan{
		epochs: spec.Train.Epochs, batch: schedule.PrunedBatch(spec.Train.Batch), steps: steps, visits: visits,
		raised: raised(schedule, spec.Train.Unit),
	}
	for _, seed := range s.spec.Seeds {
		spec.Train.Seed = seed
		spec.Name = fmt.Sprintf("%s, seed %d", r.label, seed)
		r.specs, r.ids = append(r.specs, spec), append(r.ids, s.planner.ID(spec))
	}
	return nil
}

// raised is what pruned epochs keep, in words, where that is more than the retention; else empty.
func raised(s stprune.Schedule, unit string) string {
	for epoch := range s.Epochs() {
		rho, kept, of := s.Rho(epoch), s.Keep(epoch), s.Units()
		if rho == 1 {
			continue
		}
		if kept <= int(math.Round(rho*float64(of))) {
			return ""
		}
		return fmt.Sprintf("%d of %d %ss, %.3g %%", kept, of, unit, 100*float64(kept)/float64(of))
	}
	return ""
}

// addTimed lets a row's seconds count for the equal-seconds control. Methods whose control has equal settings share it.
func (s *session) addTimed(g *group, r *row, full run.Spec, suffix string) {
	visits := r.against[EqualVisits]
	if !s.spec.wants(EqualSeconds) || visits == nil {
		return
	}
	full.Train.Epochs, full.Train.MaxSteps = 1, 0
	var c *row
	for _, have := range g.rows {
		if have.timed != nil && s.planner.ID(have.timed.spec) == s.planner.ID(full) {
			c = have
		}
	}
	if c == nil {
		c = &row{label: "full data, epochs by seconds" + suffix, roles: []Role{EqualSeconds}, method: "full", timed: &timed{spec: full, suffix: suffix}}
		g.rows = append(g.rows, c)
	}
	c.timed.pruned = append(c.timed.pruned, r)
	if !slices.Contains(c.timed.epoch, visits) {
		c.timed.epoch = append(c.timed.epoch, visits)
	}
	r.against[EqualSeconds] = c
}

// settle gives the equal-seconds controls their runs, as far as results tell how many epochs they have.
func (s *session) settle() error {
	for _, g := range s.groups {
		for _, r := range g.rows {
			if r.timed == nil || len(r.specs) > 0 {
				continue
			}
			budget, epoch := s.seconds(r.timed)
			if budget == 0 || epoch == 0 {
				r.reason = "known when the pruned runs and the equal-visits control have results"
				continue
			}
			schedule, err := s.planner.Schedule(r.timed.spec)
			if err != nil {
				return err
			}
			tenths := max(1, math.Round(10*budget/epoch)) // clocks are no finer, and a few seconds more or less are to mean the same run
			spec, label := lasting(r.timed.spec, schedule.Units(), stepsOf(r.timed.spec, schedule.Units(), tenths/10))
			r.label, r.reason = label+r.timed.suffix, ""
			if err := s.seed(r, spec); err != nil {
				return err
			}
		}
	}
	return nil
}

// primary tells whether the comparison is about a row.
func (s *session) primary(r *row) bool { return slices.Contains(s.spec.Primary, r.label) }

// seconds are the median over pruned rows, the primary ones where there are any, of a run's mean seconds, and the median over control
// runs of an epoch's, both without compiling; 0 without results.
func (s *session) seconds(t *timed) (budget, epoch float64) {
	var budgets, epochs []float64
	about := slices.ContainsFunc(t.pruned, s.primary)
	for _, r := range t.pruned {
		if about && !s.primary(r) {
			continue
		}
		var each []float64
		for _, result := range s.finished(r) {
			each = append(each, result.Seconds.Total-result.Seconds.Compile)
		}
		if len(each) > 0 {
			budgets = append(budgets, stat.Mean(each, nil))
		}
	}
	for _, r := range t.epoch {
		for _, result := range s.finished(r) {
			epochs = append(epochs, (result.Seconds.Total-result.Seconds.Compile)/result.FullEpochs)
		}
	}
	return median(budgets), median(epochs)
}

// median is 0 without values.
func median(x []float64) float64 {
	if len(x) == 0 {
		return 0
	}
	x = slices.Sorted(slices.Values(x))
	return (x[(len(x)-1)/2] + x[len(x)/2]) / 2
}

// rank is a row's place in tables.
func (r *row) rank() int {
	place := len(controls)
	for _, role := range r.roles {
		if i := slices.Index(controls, role); i >= 0 {
			place = min(place, i)
		}
	}
	return place
}
