// Package lab is what a notebook cell works with: ask for runs by their specs, get them trained if they are not yet, draw
// figures and tables from them. Every cell is a program of its own; what lasts between cells is the store of runs.
//
//	%%
//	lab.Do(func(l *lab.Lab) error {
//		runs, err := l.Runs(lab.FourWays("city", 0.1)...)
//		if err != nil {
//			return err
//		}
//		return l.ShowTable(lab.Results(runs))
//	})
package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/janpfeifer/gonb/gonbui"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/stprune/accel"
	"github.com/stprune/workbench/stprune/run"
)

// Lab finds data sets, opens the backend, and keeps runs in a store. It is not safe for concurrent use.
type Lab struct {
	ctx     context.Context
	Store   *run.Store
	Folders []string // of data sets, searched in order
	Out     *os.File // progress and notes outside a notebook
	NoWait  bool     // see [run.Options]

	series   map[string]*datasets.Series
	backends map[string]*accel.Backend
}

// Open makes a lab with the store of STPRUNE_RUNS (default: the folder runs) and the data folders of STPRUNE_DATA. Work stops,
// and can be resumed, when ctx is cancelled.
func Open(ctx context.Context) *Lab {
	return &Lab{
		ctx: ctx, Store: run.NewStore(""), Folders: datasets.Folders(), Out: os.Stderr,
		series: map[string]*datasets.Series{}, backends: map[string]*accel.Backend{},
	}
}

// Close frees the backends.
func (l *Lab) Close() error {
	var all error
	for name, be := range l.backends {
		all = errors.Join(all, be.Close())
		delete(l.backends, name)
	}
	return all
}

// Do runs a notebook cell: it opens a lab that an interrupt of the kernel stops (training finishes its step and saves), and
// ends the cell with a plain message when work returns an error.
func Do(work func(l *Lab) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	l := Open(ctx)
	err := work(l)
	if closing := l.Close(); err == nil {
		err = closing
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Series is the data set called name, or in the folder of that path.
func (l *Lab) Series(name string) (*datasets.Series, error) { return l.open(l.ctx, name) }

func (l *Lab) open(_ context.Context, name string) (*datasets.Series, error) {
	if s, ok := l.series[name]; ok {
		return s, nil
	}
	dir, err := datasets.Find(name, l.Folders)
	if err != nil {
		return nil, err
	}
	s, err := datasets.Open(dir)
	if err != nil {
		return nil, err
	}
	l.series[name] = s
	return s, nil
}

// backend opens a backend once for all runs of the lab.
func (l *Lab) backend(ctx context.Context, name string) (*accel.Backend, error) {
	if be, ok := l.backends[name]; ok {
		return be, nil
	}
	be, err := accel.Open(ctx, name, l.Out)
	if err == nil {
		l.backends[name] = be
	}
	return be, err
}

// Run is the run that spec describes: at once when it is finished, else after training it or the rest of it.
func (l *Lab) Run(spec run.Spec) (*run.Run, error) {
	o := run.Options{Store: l.Store, Series: l.open, Backend: l.backend, NoWait: l.NoWait}
	title := cmp.Or(spec.Name, "run")
	if gonbui.IsNotebook {
		c := newCell(title)
		defer c.done()
		o.Watch = c.watcher()
	} else {
		o.Watch = run.Progress(l.Out, title)
	}
	return run.Do(l.ctx, spec, o)
}

// Runs asks for several runs, one after the other.
func (l *Lab) Runs(specs ...run.Spec) ([]*run.Run, error) {
	var runs []*run.Run
	for _, s := range specs {
		r, err := l.Run(s)
		if err != nil {
			return runs, err
		}
		runs = append(runs, r)
	}
	return runs, nil
}
