// Package sweep trains many runs that a file describes: in this process, in several at a time on this machine, or as job arrays of
// Slurm. What is trained and what is not is known from the store of runs alone, so that a sweep can be stopped anywhere, asked for
// again, grown, or shared between processes and machines: each run is claimed by one of them ([run.Claim]) and trained once.
//
// [Load] reads a file, [Open] finds out which runs it means, [Sweep.Look] says how they stand. [Sweep.Train], [Sweep.Workers] and
// [Sweep.Slurm] train those that the store lacks. A run that fails doesn't keep the others from being trained. The package compare
// trains its runs with the same [Trainer].
package sweep

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/stprune/workbench/stprune/run"
)

// Sweep is a sweep whose data and backends are open.
type Sweep struct {
	Name    string
	o       Options
	trainer *Trainer
	jobs    []Job // all different runs
	results map[string]*run.Result
	failed  map[string]string // why runs failed in this call, by id
}

// State is how one run of a sweep stands.
type State struct {
	ID     string      `json:"id"`
	Name   string      `json:"name"`
	Epochs int         `json:"epochs"`
	Status run.Status  `json:"status"`           // "new" when the store doesn't have it, "failed" when it has diverged, or failed in this call or on the cluster
	Claim  *run.Claim  `json:"claim,omitempty"`  // of who is training it
	Task   string      `json:"task,omitempty"`   // of Slurm: its job and state
	Reason string      `json:"reason,omitempty"` // why it failed
	Result *run.Result `json:"result,omitempty"`

	Spec run.Spec `json:"-"`
}

// What a state adds to those of a run.
const (
	New    run.Status = "new"
	Failed run.Status = "failed"
)

// Open finds out which runs a sweep means. Settings that mean the same run make one.
func Open(ctx context.Context, spec Spec, o Options) (*Sweep, error) {
	t := NewTrainer(o)
	s := &Sweep{Name: spec.Name, o: t.o, trainer: t, results: map[string]*run.Result{}, failed: map[string]string{}}
	planners := map[string]*run.Planner{}
	seen := map[string]bool{}
	for _, r := range spec.Runs {
		err := func() (err error) {
			key := fmt.Sprintf("%+v %s", r.Data, r.Backend.Name)
			p := planners[key]
			if p == nil {
				if p, err = run.NewPlanner(ctx, r, t.run); err != nil {
					return err
				}
				planners[key] = p
			}
			schedule, err := p.Schedule(r)
			if err != nil {
				return err
			}
			r.Backend.Name = p.Backend() // so that a worker elsewhere trains this run, or none
			if id := p.ID(r); !seen[id] {
				seen[id] = true
				_, visits := p.Planned(r, schedule)
				s.jobs = append(s.jobs, Job{Spec: r, ID: id, Epochs: r.Train.Epochs, Visits: visits})
			}
			return nil
		}()
		if err != nil {
			t.Close()
			return nil, fmt.Errorf("sweep: run %q: %w", r.Name, err)
		}
	}
	return s, nil
}

// Close closes what Open opened.
func (s *Sweep) Close() { s.trainer.Close() }

// Look reads from the store how all runs stand.
func (s *Sweep) Look() []State {
	var all []State
	for _, j := range s.jobs {
		all = append(all, s.state(j))
	}
	return all
}

func (s *Sweep) state(j Job) State {
	st := State{ID: j.ID, Spec: j.Spec, Name: j.Spec.Name, Epochs: j.Epochs, Status: New, Result: s.results[j.ID]}
	if st.Result != nil {
		st.Status = run.Finished
		return st
	}
	r, err := run.Open(filepath.Join(s.o.Store.Dir, j.ID))
	if err == nil {
		st.Status = r.Status()
	} else if !errors.Is(err, run.ErrNoRun) {
		st.Status, st.Reason = Failed, err.Error()
		return st
	}
	switch st.Status {
	case run.Finished:
		if st.Result, err = r.Result(); err != nil {
			st.Status, st.Reason = Failed, err.Error()
		}
		s.results[j.ID] = st.Result
	case run.Running:
		if c, held := r.Claim(); held {
			st.Claim = &c
		}
	case run.Diverged: // as it would again
		st.Status, st.Reason = Failed, r.Fault()
	}
	if why := s.failed[j.ID]; why != "" && st.Status != run.Running {
		st.Status, st.Reason = Failed, why
	}
	return st
}

// missing are the runs to train.
func (s *Sweep) missing() []Job {
	var jobs []Job
	for _, j := range s.jobs {
		if st := s.state(j); st.Status != run.Finished && st.Status != Failed {
			jobs = append(jobs, j)
		}
	}
	return jobs
}

// Train trains the missing runs in this process, one after the other. The error is not about runs that failed, which [Sweep.Look]
// has. When ctx is cancelled, the run under way is saved; asked again, the sweep goes on from there.
func (s *Sweep) Train(ctx context.Context) error {
	for _, j := range s.jobs {
		s.state(j) // for the pace
	}
	title := func(j Job, rest []Job) string {
		left := ""
		if d, known := s.pace().Left(rest...); known {
			left = fmt.Sprintf(", about %s left", d)
		}
		return fmt.Sprintf("%d of %d%s: %s", len(s.results)+len(s.failed)+1, len(s.jobs), left, j.name())
	}
	return s.stopped(s.trainer.Train(ctx, s.missing(), title, func(j Job, err error) {
		if err != nil {
			s.fail(j, err.Error())
		}
		s.state(j)
	}))
}

func (j Job) name() string { return cmp.Or(j.Spec.Name, j.ID) }

func (s *Sweep) fail(j Job, why string) {
	s.failed[j.ID] = why
	s.o.Note(fmt.Sprintf("%s fails, and the others go on: %s", j.name(), why))
}

// stopped says with an error how far the sweep is.
func (s *Sweep) stopped(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("sweep: %d of %d runs are finished; asked for again, it goes on: %w", len(s.results), len(s.jobs), err)
}

// pace is that of the finished runs, or before there are any that of those under way.
func (s *Sweep) pace() (p Pace) {
	for _, r := range s.results {
		p.Add(r)
	}
	return p
}

// Progress sums up states in a line: what is done, what is under way, and how long the rest takes with as many processes at
// a time as train now.
func (s *Sweep) Progress(states []State) string {
	counts := map[run.Status]int{}
	p := s.pace()
	var left []Job
	var begun time.Duration // that is done of what is left
	where := ""
	for i, st := range states {
		counts[st.Status]++
		j := s.jobs[i]
		if st.Status != run.Finished && st.Status != Failed {
			left = append(left, j)
		}
		c := st.Claim
		if c == nil || c.Steps == 0 {
			continue
		}
		where += fmt.Sprintf("; %s: epoch %d/%d", j.name(), c.Epoch, c.Epochs)
		share := float64(c.Step) / float64(c.Steps)
		if fresh := c.Step - c.First; len(s.results) == 0 && fresh > 0 {
			done := float64(fresh) / float64(c.Steps)
			p.steps, p.visits = p.steps+time.Since(c.Since).Seconds(), p.visits+done*float64(j.Visits)
			p.epochs += done * float64(j.Epochs)
		}
		if d, known := p.Left(j); known {
			begun += time.Duration(share * float64(d))
		}
	}
	text := fmt.Sprintf("%d of %d runs finished", counts[run.Finished], len(states))
	if n := counts[Failed]; n > 0 {
		text += fmt.Sprintf(", %d failed", n)
	}
	if n := counts[run.Running]; n > 0 {
		text += fmt.Sprintf(", %d training", n)
	}
	if d, known := p.Left(left...); known && len(left) > 0 {
		d = max(0, d-begun) / time.Duration(max(1, counts[run.Running]))
		text += fmt.Sprintf(", about %s left", d.Round(time.Second))
	}
	return text + where
}
