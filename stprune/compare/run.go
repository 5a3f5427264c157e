package compare

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/stprune/workbench/stprune/run"
	"github.com/stprune/workbench/stprune/sweep"
)

// stored is what the store has of a run.
type stored struct {
	status      run.Status // empty when nobody has asked for it
	full        bool       // nothing is pruned
	result      *run.Result
	epochs      []run.Epoch
	environment run.Environment
	fault       string // why there is no result
}

// Run trains the runs of a comparison that the store lacks, one after the other, and reports all. A run that fails is reported
// and doesn't keep the others from being trained; those that other processes are training come last. When ctx is cancelled the
// run under way is saved; asked again, Run goes on from there.
func Run(ctx context.Context, spec Spec, o Options) (*Report, error) {
	s, err := open(ctx, spec, o)
	if err != nil {
		return nil, err
	}
	defer s.close()
	for range 2 { // the equal-seconds controls after what they follow from
		if err := s.train(ctx); err != nil {
			return nil, err
		}
		if err := s.settle(); err != nil {
			return nil, err
		}
	}
	return s.report()
}

// Collect reports what the store has. It trains nothing.
func Collect(ctx context.Context, spec Spec, o Options) (*Report, error) {
	s, err := look(ctx, spec, o)
	if err != nil {
		return nil, err
	}
	defer s.close()
	return s.report()
}

// look opens a session and reads all that is stored.
func look(ctx context.Context, spec Spec, o Options) (*session, error) {
	s, err := open(ctx, spec, o)
	if err != nil {
		return nil, err
	}
	s.jobs()
	if err := s.settle(); err != nil {
		s.close()
		return nil, err
	}
	s.jobs()
	return s, nil
}

// jobs are the runs to train: all methods under one seed, then under the next. It reads the store for every run that is not known
// to be finished.
func (s *session) jobs() []sweep.Job {
	var jobs []sweep.Job
	seen := map[string]bool{}
	for i := range s.spec.Seeds {
		for _, g := range s.groups {
			for _, r := range g.rows {
				if i >= len(r.ids) || seen[r.ids[i]] {
					continue
				}
				id := r.ids[i]
				seen[id] = true
				if s.stored[id].result == nil {
					s.stored[id] = s.read(id)
				}
				if !s.over(id) {
					jobs = append(jobs, sweep.Job{Spec: r.specs[i], ID: id, Epochs: r.planned.epochs, Visits: r.planned.visits})
				}
			}
		}
	}
	return jobs
}

func (s *session) read(id string) stored {
	r, err := run.Open(filepath.Join(s.o.Store.Dir, id))
	if errors.Is(err, run.ErrNoRun) {
		return stored{fault: "not trained yet"}
	}
	if err != nil {
		return stored{fault: err.Error()}
	}
	got := stored{status: r.Status(), full: r.Spec.Prune.Method == "full"}
	if got.status != run.Finished {
		got.fault = cmp.Or(r.Fault(), string(got.status))
		return got
	}
	result, err := r.Result()
	if err == nil {
		got.epochs, err = r.Epochs()
	}
	if err == nil {
		got.environment, err = r.Environment()
	}
	if err != nil {
		got.fault = err.Error()
		return got
	}
	got.result = result
	return got
}

// finished are the results of a row's runs that have one, in the order of seeds.
func (s *session) finished(r *row) []*run.Result {
	var all []*run.Result
	for _, id := range r.ids {
		if result := s.stored[id].result; result != nil {
			all = append(all, result)
		}
	}
	return all
}

func (s *session) train(ctx context.Context) error {
	err := s.trainer.Train(ctx, s.jobs(), s.title, func(j sweep.Job, err error) {
		s.stored[j.ID] = s.read(j.ID)
		if err != nil {
			s.failed[j.ID] = err.Error()
			s.o.Note(fmt.Sprintf("%s fails, and the others go on: %v", j.Spec.Name, err))
		}
	})
	if err != nil {
		done, all := s.count()
		return fmt.Errorf("comparison: %d of %d runs are finished; asked for again, it goes on: %w", done, all, err)
	}
	return nil
}

// title says where a comparison stands: "7 of 40, about 12m0s left: st-prune, seed 3".
func (s *session) title(j sweep.Job, rest []sweep.Job) string {
	done, all := s.count()
	left := ""
	if d, known := s.pace().Left(rest...); known {
		left = fmt.Sprintf(", about %s left", d)
	}
	return fmt.Sprintf("%d of %d%s: %s", done+1, all, left, j.Spec.Name)
}

// over tells that a run is not trained in this call: it is finished, has failed in this call, or has diverged, as it would again.
func (s *session) over(id string) bool {
	r := s.stored[id]
	return r.result != nil || s.failed[id] != "" || r.status == run.Diverged
}

// count is how many different runs are over, failed ones included, and how many there are.
func (s *session) count() (done, all int) {
	for id := range s.stored {
		if s.over(id) {
			done++
		}
	}
	return done, len(s.stored)
}

// pace is that of the finished runs.
func (s *session) pace() (p sweep.Pace) {
	for _, r := range s.stored {
		if r.result != nil {
			p.Add(r.result)
		}
	}
	return p
}

// Plan is what a comparison would train.
type Plan struct {
	Name     string       `json:"name"`
	Rows     []PlannedRow `json:"rows"`
	Runs     int          `json:"runs"`         // different ones, without equal-seconds controls that are not known yet
	Finished int          `json:"finished"`     // of them
	Diverged int          `json:"diverged"`     // of them; they are not trained again
	Left     float64      `json:"left_seconds"` // for the others, at the pace of the finished ones; 0 when none is finished
}

// PlannedRow is one way of training, under all seeds.
type PlannedRow struct {
	BatchPolicy string       `json:"batch_policy"`
	Rho         float64      `json:"rho"`
	Label       string       `json:"label"`
	Roles       []Role       `json:"roles"`
	Reason      string       `json:"reason,omitempty"` // why it has no runs
	Epochs      int          `json:"epochs"`
	Batch       int          `json:"batch"`       // of pruned epochs
	Steps       int          `json:"steps"`       // optimiser steps of a run
	FullEpochs  float64      `json:"full_epochs"` // visits of a run, in epochs of all data
	Runs        []PlannedRun `json:"runs"`
}

// PlannedRun is one run.
type PlannedRun struct {
	ID     string     `json:"id"`
	Seed   uint64     `json:"seed"`
	Status run.Status `json:"status"` // "new" when the store doesn't have it
}

// NewPlan looks what there is and what would be trained.
func NewPlan(ctx context.Context, spec Spec, o Options) (*Plan, error) {
	s, err := look(ctx, spec, o)
	if err != nil {
		return nil, err
	}
	defer s.close()
	p := &Plan{Name: spec.Name}
	p.Runs = len(s.stored)
	for _, r := range s.stored {
		switch r.status {
		case run.Finished:
			p.Finished++
		case run.Diverged:
			p.Diverged++
		}
	}
	left, _ := s.pace().Left(s.jobs()...)
	p.Left = left.Seconds()
	for _, g := range s.groups {
		for _, r := range g.rows {
			row := PlannedRow{
				BatchPolicy: s.spec.policy(g.policy), Rho: g.rho, Label: r.label, Roles: r.roles, Reason: r.reason,
				Epochs: r.planned.epochs, Batch: r.planned.batch, Steps: r.planned.steps,
				FullEpochs: float64(r.planned.visits) / float64(s.planner.Visits()), Runs: []PlannedRun{},
			}
			for i, id := range r.ids {
				status := s.stored[id].status
				if status == "" {
					status = "new"
				}
				row.Runs = append(row.Runs, PlannedRun{ID: id, Seed: s.spec.Seeds[i], Status: status})
			}
			p.Rows = append(p.Rows, row)
		}
	}
	return p, nil
}
