// Command stprune trains spatio-temporal forecasters on a small, changing part of their data, and shows what was kept and why.
//
// Exit codes: 0 success, 1 failure, 2 wrong usage, 3 interrupted (the run is saved and resumes when asked for again).
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	runs "github.com/stprune/workbench/stprune/run"
)

// app lists the commands, one file each.
type app struct {
	Demo     demoCmd     `cmd:"" help:"Train four ways on a synthetic city and draw what happened."`
	Train    trainCmd    `cmd:"" help:"Ask for a run: train it, resume it, or show it when it is finished."`
	Data     dataCmd     `cmd:"" help:"Import, list, show, download, make and verify data sets."`
	Evaluate evaluateCmd `cmd:"" help:"Measure a finished run, also on data it was not trained on."`
	Diagnose diagnoseCmd `cmd:"" help:"Ask stored runs what their selections did: what was kept, gradient bias, errors of sub-groups, stability of scores."`
	Naive    naiveCmd    `cmd:"" help:"Measure the forecasts that need no training: last value, last day, last week, time of the week."`
	Compare  compareCmd  `cmd:"" help:"Train methods beside each other and their controls, and say what the results prove."`
	Sweep    sweepCmd    `cmd:"" help:"Train the runs of a grid and of lists of settings: here, several at a time, or on a cluster."`
	Report   reportCmd   `cmd:"" help:"Write what a comparison or a sweep has found into a folder for others: page, figures, tables, environment, commands."`
	Runs     runsCmd     `cmd:"" help:"List, show, compare, export and remove runs."`
	Methods  methodsCmd  `cmd:"" help:"List the pruning methods, or show one in full."`
	Presets  presetsCmd  `cmd:"" help:"List the settings with which the references train."`
	Parity   parityCmd   `cmd:"" help:"Compare models, losses, gradients and optimisers with reference arrays."`
	Bench    benchCmd    `cmd:"" help:"Measure speed."`
	Setup    setupCmd    `cmd:"" help:"Install XLA and Jupyter for this user or this checkout."`
	Doctor   doctorCmd   `cmd:"" help:"Say what is installed, whether it works, and what to do about what is missing."`

	Completion completionCmd `cmd:"" help:"Print a script that makes a shell complete commands, settings and ids of runs."`

	SweepWorker sweepWorkerCmd `cmd:"" hidden:""`
}

const (
	exitFailure     = 1
	exitUsage       = 2
	exitInterrupted = 3
)

// usageError is wrong usage that shows only after the command line is parsed.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	// The first Ctrl-C or SIGTERM cancels the context: work finishes its step and saves. Ctrl-C after that ends the process at once;
	// SIGTERM doesn't, since schedulers send it more than once.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		fmt.Fprintln(os.Stderr, "stprune: finishing the step and saving; interrupt again to leave at once")
		cancel()
		for s := range signals {
			if s == os.Interrupt {
				os.Exit(exitInterrupted)
			}
		}
	}()

	var commands app
	parser, err := kong.New(&commands, kong.Name("stprune"), kong.PostBuild(explain), kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Description("Dynamic sample pruning for spatio-temporal forecasting."),
		kong.BindTo(ctx, (*context.Context)(nil)))
	if err != nil {
		fmt.Fprintln(os.Stderr, "stprune:", err)
		return exitFailure
	}
	if len(args) > 0 && args[0] == completeWord {
		printCandidates(complete(parser.Model, args[1:]))
		return 0
	}
	cli, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintln(os.Stderr, "stprune:", err)
		command := "stprune"
		if wrong := new(kong.ParseError); errors.As(err, &wrong) && wrong.Context.Selected() != nil {
			command = wrong.Context.Selected().FullPath()
		}
		fmt.Fprintf(os.Stderr, "see '%s --help'\n", command)
		return exitUsage
	}
	switch err := cli.Run(); {
	case err == nil:
		return 0
	case errors.Is(err, context.Canceled) && !errors.Is(err, runs.ErrNotSaved):
		fmt.Fprintln(os.Stderr, "stprune:", err)
		return exitInterrupted
	case errors.As(err, new(usageError)):
		fmt.Fprintln(os.Stderr, "stprune:", err)
		return exitUsage
	default:
		fmt.Fprintln(os.Stderr, "stprune:", err)
		return exitFailure
	}
}
