package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/term"

	"github.com/stprune/workbench/figures"
	runs "github.com/stprune/workbench/stprune/run"
	"github.com/stprune/workbench/stprune/sweep"
)

// sweepCmd trains the runs that a file describes.
type sweepCmd struct {
	Spec     string   `arg:"" type:"existingfile" help:"The sweep (TOML): settings that all runs share, [grid] of values that are combined, [[list]] of settings that go together."`
	Plan     bool     `xor:"how" help:"Only say which runs there are, how they stand, and what would be trained. Runs on a cluster are shown with their jobs' states."`
	State    bool     `xor:"how" help:"The same as --plan."`
	Cancel   bool     `xor:"how" help:"End the sweep's jobs in Slurm. What they are training is saved."`
	Executor string   `enum:"local,slurm" default:"local" help:"local, or slurm: an array job, followed until all runs are there."`
	Workers  string   `placeholder:"N|auto" help:"Runs at a time: processes of this machine (default 1; auto: one per core, as far as memory suffices), or tasks of Slurm (default: no limit)."`
	Arg      []string `name:"sbatch-arg" sep:"none" placeholder:"ARG" help:"Hand an argument on to sbatch, e.g. --sbatch-arg=--cpus-per-task=4. May be repeated."`
	PerTask  int      `default:"1" help:"Runs in one task of Slurm, one after the other."`
	NoWait   bool     `help:"With slurm: submit what is missing, and don't follow it."`
	JSON     bool     `help:"Print the table as JSON."`
	Runs     string   `type:"path" env:"STPRUNE_RUNS" default:"runs" help:"Folder of runs. For slurm one that all nodes see."`
	Backend  string   `help:"Backend: auto, xla, xla:cpu, xla:cuda, go. Default: what the sweep says. For slurm: that of the nodes."`

	spec sweep.Spec
}

// Validate reads the sweep while the command line is parsed, so that a wrong one counts as wrong usage.
func (c *sweepCmd) Validate() (err error) {
	if c.spec, err = sweep.Load(c.Spec); err != nil {
		return err
	}
	for i := range c.spec.Runs {
		if c.Backend != "" {
			c.spec.Runs[i].Backend.Name = c.Backend
		}
		if err := c.spec.Runs[i].Check(); err != nil {
			return err
		}
	}
	if n, err := strconv.Atoi(c.Workers); c.Workers != "" && c.Workers != "auto" && (err != nil || n < 1) {
		return fmt.Errorf("--workers=%s; want a number from 1, or auto", c.Workers)
	}
	slurm := c.Executor == "slurm"
	switch {
	case !slurm && (len(c.Arg) > 0 || c.PerTask != 1 || c.NoWait || c.Cancel):
		return errors.New("--sbatch-arg, --per-task, --no-wait and --cancel are for --executor=slurm")
	case c.PerTask < 1:
		return fmt.Errorf("--per-task=%d; want a number from 1", c.PerTask)
	case slurm && c.Workers == "auto":
		return errors.New("--workers=auto is for this machine; give a number of tasks, or leave it to Slurm")
	}
	return nil
}

func (c *sweepCmd) Run(ctx context.Context) error {
	line := statusLine(os.Stderr)
	s, err := sweep.Open(ctx, c.spec, sweep.Options{
		Store: runs.NewStore(c.Runs),
		Watch: func(title string) runs.Watcher { return runs.Progress(os.Stderr, title) },
		Note:  line.note,
	})
	if err != nil {
		return err
	}
	defer s.Close()
	switch {
	case c.Cancel:
		n, err := s.Cancel(ctx)
		if err == nil {
			fmt.Fprintf(os.Stderr, "%d tasks cancelled\n", n)
		}
		return err
	case !c.Plan && !c.State && c.Executor == "slurm":
		err = c.slurm(ctx, s, line)
	case !c.Plan && !c.State:
		err = c.local(ctx, s, line)
	}
	line.clear()
	if err != nil {
		return err
	}
	states := s.Look()
	if c.Executor == "slurm" {
		if states, err = s.LookSlurm(ctx); err != nil {
			return err
		}
	}
	if err := c.print(s, states); err != nil {
		return err
	}
	failed := 0
	for _, st := range states {
		if st.Status == sweep.Failed {
			failed++
			fmt.Fprintf(os.Stderr, "failed: %s (run %s): %s\n", oneLine(st.Name), st.ID, st.Reason)
		}
	}
	if failed > 0 && !c.Plan && !c.State {
		return fmt.Errorf("%d of %d runs failed", failed, len(states))
	}
	return nil
}

func (c *sweepCmd) local(ctx context.Context, s *sweep.Sweep, line *status) error {
	n, _ := strconv.Atoi(c.Workers) // which Validate has seen
	if c.Workers == "auto" {
		var why string
		var err error
		if n, why, err = s.Auto(ctx); err != nil {
			return err
		}
		line.note(fmt.Sprintf("%d runs at a time: %s", n, why))
	}
	if n <= 1 {
		return s.Train(ctx)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return s.Workers(ctx, n, []string{self, "sweep-worker", "--runs", c.Runs}, line.show)
}

func (c *sweepCmd) slurm(ctx context.Context, s *sweep.Sweep, line *status) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	n, _ := strconv.Atoi(c.Workers)
	how := sweep.Slurm{Command: []string{self, "sweep-worker", "--tasks"}, Args: c.Arg, PerTask: c.PerTask, AtOnce: n, Every: pollEvery()}
	if !c.NoWait {
		return s.Follow(ctx, how, line.show)
	}
	submitted, err := s.Submit(ctx, how)
	if err == nil && submitted == 0 {
		line.note("nothing to submit: all runs are there, or in tasks that wait or run")
	}
	return err
}

// pollEvery is how often the queue is asked: the default, but in tests.
func pollEvery() time.Duration {
	d, _ := time.ParseDuration(os.Getenv("STPRUNE_SLURM_EVERY"))
	return d
}

func (c *sweepCmd) print(s *sweep.Sweep, states []sweep.State) error {
	if c.JSON {
		return printJSON(os.Stdout, states)
	}
	t := figures.Table{Columns: []string{"settings", "run", "epochs", "status", "where", "test MAE", "seconds"}}
	for _, st := range states {
		row := []string{oneLine(st.Name), st.ID[:8], fmt.Sprint(st.Epochs), string(st.Status), st.Task, "", ""}
		if st.Claim != nil {
			row[4] = st.Claim.String()
			if st.Claim.Epoch > 0 {
				row[3] = fmt.Sprintf("%s, epoch %d", st.Status, st.Claim.Epoch)
			}
		}
		if r := st.Result; r != nil {
			row[5], row[6] = fmt.Sprintf("%.4f", r.Test.Mean.MAE), fmt.Sprintf("%.0f", r.Seconds.Total)
		}
		t.Rows = append(t.Rows, row)
	}
	_, err := fmt.Printf("%s\n%s: %s\n", t.Text(), oneLine(s.Name), s.Progress(states))
	return err
}

// status is a line that is shown again and again: on a terminal in its place, elsewhere when something but the time left has changed.
type status struct {
	out      *os.File
	terminal bool
	last     string
	at       time.Time
}

func statusLine(out *os.File) *status {
	return &status{out: out, terminal: term.IsTerminal(int(out.Fd()))}
}

const clearLine = "\r\x1b[K"

func (s *status) show(line string) {
	switch {
	case s.terminal:
		if width, _, err := term.GetSize(int(s.out.Fd())); err == nil && len(line) >= width && width > 1 {
			line = line[:width-1]
		}
		fmt.Fprint(s.out, clearLine, line)
	case line != s.last && time.Since(s.at) > time.Minute:
		fmt.Fprintln(s.out, line)
		s.at = time.Now()
	}
	s.last = line
}

func (s *status) note(text string) {
	s.clear()
	fmt.Fprintln(s.out, text)
}

func (s *status) clear() {
	if s.terminal && s.last != "" {
		fmt.Fprint(s.out, clearLine)
	}
}

// sweepWorkerCmd is what sweeps start: a process of theirs, or a task of Slurm.
type sweepWorkerCmd struct {
	Tasks string `type:"path" placeholder:"FILE" help:"Train the runs of the task of this submission that SLURM_ARRAY_TASK_ID names, instead of those that standard input orders."`
	Runs  string `type:"path" env:"STPRUNE_RUNS" default:"runs" help:"Folder of runs."`
}

func (c *sweepWorkerCmd) Run(ctx context.Context) error {
	o := sweep.Options{Store: runs.NewStore(c.Runs), Note: func(text string) { fmt.Fprintln(os.Stderr, text) }}
	if c.Tasks == "" {
		return sweep.Worker(ctx, os.Stdin, os.Stdout, o)
	}
	o.Watch = func(title string) runs.Watcher { return runs.Progress(os.Stderr, title) }
	return sweep.Task(ctx, c.Tasks, o)
}
