// Package lab is what a notebook cell works with: ask for runs by their specs, get them trained if they are not yet, draw
// figures and tables from them. Every cell is a program of its own; what lasts between cells is the store of runs.
//
//	%%
//	lab.Do(func(l *lab.Lab) {
//		runs := l.Runs(l.FourWays("city", 0.1)...)
//		l.ShowTable(l.Results(runs...))
//		l.Show("loss-complexity", l.LossComplexity(runs[0], runs[2]))
//	})
//
// As with [testing.T], a call that fails ends the cell with its message; there are no errors to hand on.
package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/janpfeifer/gonb/gonbui"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/stprune/accel"
	"github.com/stprune/workbench/stprune/run"
)

// Lab finds data sets, opens backends, and keeps runs in a store. [Do] and [With] make one; its fields may be changed before
// its first use. It is not safe for concurrent use. Its methods end the function that Do or With was given when they fail.
type Lab struct {
	Store   *run.Store // default: the folder STPRUNE_RUNS, or runs
	Folders []string   // of data sets, searched in order; default: those of STPRUNE_DATA
	Figures string     // folder of figures shown outside a notebook; default: figures
	Out     io.Writer  // results outside a notebook; default: standard output
	Notes   *os.File   // progress outside a notebook; default: standard error
	NoWait  bool       // see [run.Options]

	ctx      context.Context
	series   map[string]*datasets.Series
	backends map[string]*accel.Backend
	err      error
}

// Do runs a notebook cell. An interrupt of the kernel stops training after the step under way, with everything saved: the same
// cell run again goes on from there. When a call fails, the cell ends with a plain message.
func Do(work func(l *Lab)) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := With(ctx, work)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// With gives work a lab and returns the error of the call that failed, if one did. Training stops, and can be resumed, when
// ctx is cancelled.
func With(ctx context.Context, work func(l *Lab)) (err error) {
	l := &Lab{
		Store: run.NewStore(""), Folders: datasets.Folders(), Figures: "figures", Out: os.Stdout, Notes: os.Stderr, ctx: ctx,
		series: map[string]*datasets.Series{}, backends: map[string]*accel.Backend{},
	}
	defer func() {
		for _, be := range l.backends {
			err = errors.Join(err, be.Close())
		}
	}()
	return l.Try(func() { work(l) })
}

// Try runs work and returns the error of the call that failed in it, if one did. The cell goes on.
func (l *Lab) Try(work func()) error {
	finished := make(chan any, 1)
	go func() { // Goexit ends a goroutine from any depth
		var fault any
		defer func() { finished <- fault }()
		defer func() { fault = recover() }()
		work()
	}()
	if fault := <-finished; fault != nil {
		panic(fault) // work's own
	}
	err := l.err
	l.err = nil
	return err
}

// Fail ends the cell with err; nil does nothing. It is for calls outside this package that return an error.
func (l *Lab) Fail(err error) {
	if err != nil {
		l.err = err
		runtime.Goexit()
	}
}

// Series is the data set called name, or in the folder of that path.
func (l *Lab) Series(name string) *datasets.Series {
	s, err := l.open(l.ctx, name)
	l.Fail(err)
	return s
}

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
	be, err := accel.Open(ctx, name, l.Notes)
	if err != nil {
		return nil, err
	}
	l.backends[name] = be
	return be, nil
}

// Run is the run that spec describes: at once when it is finished, else after training it or the rest of it.
func (l *Lab) Run(spec run.Spec) *run.Run {
	o := run.Options{Store: l.Store, Series: l.open, Backend: l.backend, NoWait: l.NoWait}
	title := cmp.Or(spec.Name, spec.Data.Name+" "+spec.Prune.Method)
	c := &cell{title: title}
	if gonbui.IsNotebook {
		o.Watch = c.watcher()
	} else {
		o.Watch = run.Progress(l.Notes, title)
	}
	r, err := run.Do(l.ctx, spec, o)
	c.done(err)
	l.Fail(err)
	r.Spec.Name = title // a stored run keeps the name it was first asked for with
	return r
}

// Runs asks for several runs, one after the other.
func (l *Lab) Runs(specs ...run.Spec) []*run.Run {
	var runs []*run.Run
	for _, s := range specs {
		runs = append(runs, l.Run(s))
	}
	return runs
}
