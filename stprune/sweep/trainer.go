package sweep

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/stprune/accel"
	"github.com/stprune/workbench/stprune/run"
)

// Options say where runs are, and who is told how they go on; the zero value is usable. Store and Series are as in [run.Options].
type Options struct {
	Store  *run.Store
	Series func(ctx context.Context, name string) (*datasets.Series, error)
	// Backend gives the backend of that name and keeps it open. Default: [accel.Open], once for all runs, and closed after them.
	Backend func(ctx context.Context, name string) (*accel.Backend, error)

	Watch func(title string) run.Watcher // of each run that is trained in this process
	Note  func(text string)              // what befalls all of them together
}

// Job is a run to be trained, and what it is going to take.
type Job struct {
	Spec   run.Spec
	ID     string
	Epochs int
	Visits int64 // windows × nodes
}

// Trainer trains many runs in this process. It opens each data set and each backend once. It is not safe for concurrent use.
type Trainer struct {
	o        Options
	run      run.Options
	series   map[string]*datasets.Series
	backends map[string]*accel.Backend // opened here
}

// NewTrainer opens nothing yet.
func NewTrainer(o Options) *Trainer {
	if o.Store == nil {
		o.Store = run.NewStore("")
	}
	if o.Note == nil {
		o.Note = func(string) {}
	}
	t := &Trainer{o: o, series: map[string]*datasets.Series{}, backends: map[string]*accel.Backend{}}
	t.run = run.Options{Store: o.Store, Series: t.open, Backend: o.Backend}
	if o.Backend == nil {
		t.run.Backend = t.backend
	}
	return t
}

// Options are those with which the trainer asks for runs.
func (t *Trainer) Options() run.Options { return t.run }

// Close closes the backends that the trainer opened.
func (t *Trainer) Close() {
	for _, b := range t.backends {
		_ = b.Close() // everything is saved by then
	}
}

func (t *Trainer) open(ctx context.Context, name string) (*datasets.Series, error) {
	if s := t.series[name]; s != nil {
		return s, nil
	}
	var s *datasets.Series
	var err error
	if t.o.Series != nil {
		s, err = t.o.Series(ctx, name)
	} else {
		var dir string
		if dir, err = datasets.Find(name, nil); err == nil {
			s, err = datasets.Open(dir)
		}
	}
	if err == nil {
		t.series[name] = s
	}
	return s, err
}

func (t *Trainer) backend(ctx context.Context, name string) (*accel.Backend, error) {
	if b := t.backends[name]; b != nil {
		return b, nil
	}
	b, err := accel.Open(ctx, name, noteWriter(t.o.Note))
	if err == nil {
		t.backends[name] = b
	}
	return b, err
}

type noteWriter func(string)

func (w noteWriter) Write(b []byte) (int, error) {
	w(strings.TrimSpace(string(b)))
	return len(b), nil
}

// Train asks for runs, one after the other; those that other processes are training come last, and are waited for. over is told
// how each ended; a run that fails doesn't keep the others from being trained. When ctx is cancelled, the run under way is saved
// and the error wraps ctx's. title says how a run is announced, before rest, itself included, are done.
func (t *Trainer) Train(ctx context.Context, jobs []Job, title func(j Job, rest []Job) string, over func(j Job, err error)) error {
	for wait := false; len(jobs) > 0; wait = true {
		var busy []Job
		for i, j := range jobs {
			o := t.run
			o.NoWait = !wait
			if t.o.Watch != nil {
				o.Watch = t.o.Watch(title(j, append(jobs[i:len(jobs):len(jobs)], busy...)))
			}
			_, err := run.Do(ctx, j.Spec, o)
			switch {
			case err != nil && ctx.Err() != nil:
				return err
			case errors.Is(err, run.ErrBusy), errors.Is(err, run.ErrTakenOver):
				busy = append(busy, j)
			default:
				over(j, err)
			}
		}
		jobs = busy
	}
	return nil
}

// Pace is how fast runs were: their steps by visits, all else by epochs. It is rough where batches differ.
type Pace struct {
	steps, rest float64 // seconds
	visits      float64
	epochs      float64
}

// Add takes a finished run into account.
func (p *Pace) Add(r *run.Result) {
	p.steps, p.visits = p.steps+r.Seconds.Steps, p.visits+float64(r.Visits)
	p.rest, p.epochs = p.rest+r.Seconds.Total-r.Seconds.Steps, p.epochs+float64(r.Epochs)
}

// Left is how long a process takes for jobs; 0 and false when nothing is known yet.
func (p Pace) Left(jobs ...Job) (d time.Duration, known bool) {
	if p.visits == 0 {
		return 0, false
	}
	seconds := 0.0
	for _, j := range jobs {
		seconds += p.steps*float64(j.Visits)/p.visits + p.rest*float64(j.Epochs)/p.epochs
	}
	return time.Duration(seconds * float64(time.Second)).Round(time.Second), true
}
