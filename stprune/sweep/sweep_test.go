package sweep

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/stprune/run"
	"github.com/stprune/workbench/stprune/train"
)

// The test binary is a worker, a task of Slurm or one of Slurm's commands when it is called as such.
const asWorker, asTask, killFolder = "STPRUNE_TEST_WORKER", "STPRUNE_TEST_TASK", "STPRUNE_TEST_KILL"

func TestMain(m *testing.M) {
	if name := filepath.Base(os.Args[0]); slices.Contains(fakeCommands, name) {
		os.Exit(fakeSlurm(name, os.Args[1:]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	switch {
	case os.Getenv(asTask) != "":
		o := options("")
		o.Watch = func(id string) run.Watcher { return run.Watcher{Step: func(p train.Progress) { dieOnce(id, p) }} }
		err = Task(ctx, os.Args[len(os.Args)-1], o)
	case os.Getenv(asWorker) != "":
		err = Worker(ctx, os.Stdin, os.Stdout, options(os.Getenv(asWorker)))
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// dieOnce kills or stops this process in the middle of a run, when the kill folder has a signal for it.
func dieOnce(id string, p train.Progress) {
	path := filepath.Join(os.Getenv(killFolder), id)
	if text, err := os.ReadFile(path); err == nil && p.Step == p.Steps/2 {
		n, _ := strconv.Atoi(string(text))
		_ = os.Remove(path)
		_ = syscall.Kill(os.Getpid(), syscall.Signal(n))
		time.Sleep(100 * time.Millisecond)
	}
}

func waves(context.Context, string) (*datasets.Series, error) {
	s := &datasets.Series{Name: "waves", T: 150, N: 3, Nodes: []string{"a", "b", "c"}, Missing: datasets.NoMissing(),
		Calendar: datasets.Calendar{Start: time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC), Step: time.Hour}}
	for i := range s.T {
		for n := range s.N {
			s.Values = append(s.Values, float32(50+10*math.Sin(2*math.Pi*float64(i)/24+float64(n))))
		}
	}
	return s, nil
}

const tiny = `
[data]
name = "waves"
history = 6
horizon = 3
[model.options]
embed_dim = 4
node_dim = 4
tod_dim = 4
dow_dim = 4
layers = 1
[train]
epochs = 4
batch = 16
[backend]
name = "go"
[grid]
seed = [1, 2]
"prune.rho" = [0.5, 0.3]
[[list]]
prune.method = "full"
[[list]]
prune.method = "random"
`

// wild is an entry of the list whose runs diverge.
const wild = "[[list]]\nname = 'wild'\nprune.method = 'random'\noptim.lr = 1e30\noptim.clip = 0.0\n"

func options(dir string) Options { return Options{Store: run.NewStore(dir), Series: waves} }

func open(t *testing.T, text string, o Options) *Sweep {
	t.Helper()
	spec, err := Parse([]byte(text), "")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), spec, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func statuses(states []State) string {
	counts := map[run.Status]int{}
	for _, st := range states {
		counts[st.Status]++
	}
	return strings.TrimPrefix(fmt.Sprint(counts), "map")
}

// content is what a store's runs are: all files, without the times in JSON and where they were trained.
func content(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case d.IsDir() || d.Name() == "environment.json":
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		text := string(b)
		if strings.Contains(d.Name(), ".json") {
			text = ""
			for in := json.NewDecoder(strings.NewReader(string(b))); in.More(); {
				var v map[string]any
				if err := in.Decode(&v); err != nil {
					return err
				}
				delete(v, "seconds")
				delete(v, "peak_memory")
				line, err := json.Marshal(v)
				if err != nil {
					return err
				}
				text += string(line)
			}
		}
		files[strings.TrimPrefix(path, dir)] = text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func same(t *testing.T, want, got string) {
	t.Helper()
	a, b := content(t, want), content(t, got)
	if len(a) != len(b) || len(a) == 0 {
		t.Errorf("%d files, want %d", len(b), len(a))
	}
	for name, text := range a {
		if b[name] != text {
			t.Errorf("%s differs", name)
		}
	}
}

func TestTrain(t *testing.T) {
	dir := t.TempDir()
	noted := ""
	o := options(dir)
	o.Note = func(text string) { noted += text }
	s := open(t, tiny+wild, o)
	if got := statuses(s.Look()); got != "[new:10]" { // full data reads no ratio: 2 runs, not 4
		t.Errorf("before: %s", got)
	}
	if err := s.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	states := s.Look()
	if got := statuses(states); got != "[failed:4 finished:6]" || !strings.Contains(noted, "wild, rho 0.5, seed 1 fails, and the others go on") {
		t.Errorf("after: %s; noted %s", got, noted)
	}
	for _, st := range states {
		if st.Status == Failed && !strings.Contains(st.Reason, "loss is") || st.Status == run.Finished && st.Result == nil {
			t.Errorf("%+v", st)
		}
	}
	if got := s.Progress(states); !strings.HasPrefix(got, "6 of 10 runs finished, 4 failed") {
		t.Errorf("progress %q", got)
	}

	// Another process does not train again what diverged.
	if states = open(t, tiny+wild, o).Look(); statuses(states) != "[failed:4 finished:6]" {
		t.Errorf("anew: %s", statuses(states))
	}

	// Asked for again, in another order and by another name, nothing is trained; grown, what is new is.
	var titles []string
	o.Watch = func(title string) run.Watcher {
		titles = append(titles, title)
		return run.Watcher{}
	}
	turned := strings.Replace(tiny, "seed = [1, 2]\n\"prune.rho\" = [0.5, 0.3]", "\"prune.rho\" = [0.3, 0.5]\nseed = [3, 2, 1]", 1)
	s = open(t, turned, o)
	if got := statuses(s.Look()); got != "[finished:6 new:3]" {
		t.Errorf("grown: %s", got)
	}
	if err := s.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := statuses(s.Look()); got != "[finished:9]" || len(titles) != 3 || !strings.HasPrefix(titles[0], "7 of 9, about ") {
		t.Errorf("then: %s; trained %q", got, titles)
	}
}

func TestTrainInterrupted(t *testing.T) {
	want := t.TempDir()
	if err := open(t, tiny, options(want)).Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for calls := 1; ; calls++ {
		ctx, cancel := context.WithCancel(t.Context())
		o, steps := options(dir), 0
		o.Watch = func(string) run.Watcher {
			return run.Watcher{Step: func(train.Progress) {
				if steps++; steps == 29 {
					cancel()
				}
			}}
		}
		err := open(t, tiny, o).Train(ctx)
		cancel()
		if err == nil {
			if calls < 3 {
				t.Errorf("only %d calls", calls)
			}
			break
		}
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "of 6 runs are finished; asked for again, it goes on") {
			t.Fatal(err)
		}
	}
	same(t, want, dir)
}

func workers(dir string, t *testing.T) []string {
	t.Setenv(asWorker, dir)
	return []string{os.Args[0]}
}

func TestWorkers(t *testing.T) {
	want := t.TempDir()
	if err := open(t, tiny, options(want)).Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Run("all", func(t *testing.T) {
		dir := t.TempDir()
		s := open(t, tiny, options(dir))
		if err := s.Workers(t.Context(), 3, workers(dir, t), nil); err != nil || statuses(s.Look()) != "[finished:6]" {
			t.Fatalf("%v, %s", err, statuses(s.Look()))
		}
		same(t, want, dir)
	})
	t.Run("failing", func(t *testing.T) {
		dir := t.TempDir()
		s := open(t, tiny+wild, options(dir))
		if err := s.Workers(t.Context(), 2, workers(dir, t), nil); err != nil || statuses(s.Look()) != "[failed:4 finished:6]" {
			t.Errorf("%v, %s", err, statuses(s.Look()))
		}
	})
	t.Run("two sweeps at once", func(t *testing.T) {
		dir := t.TempDir()
		command := workers(dir, t)
		var both sync.WaitGroup
		for range 2 {
			s := open(t, tiny, options(dir))
			both.Go(func() {
				if err := s.Workers(t.Context(), 2, command, nil); err != nil || statuses(s.Look()) != "[finished:6]" {
					t.Errorf("%v, %s", err, statuses(s.Look()))
				}
			})
		}
		both.Wait()
		same(t, want, dir)
	})
	t.Run("interrupted", func(t *testing.T) {
		dir := t.TempDir()
		command := workers(dir, t)
		for after := 50 * time.Millisecond; ; after += 50 * time.Millisecond {
			ctx, cancel := context.WithTimeout(t.Context(), after)
			s := open(t, tiny, options(dir))
			err := s.Workers(ctx, 2, command, nil)
			cancel()
			if err == nil {
				break
			}
			if !errors.Is(err, context.DeadlineExceeded) || strings.Contains(statuses(s.Look()), "running") {
				t.Fatalf("%v, %s", err, statuses(s.Look()))
			}
		}
		same(t, want, dir)
	})
	t.Run("dying", func(t *testing.T) {
		dir := t.TempDir()
		s := open(t, tiny, options(dir))
		if err := s.Workers(t.Context(), 2, []string{"sh", "-c", "echo out of memory >&2; kill -9 $$"}, nil); err != nil {
			t.Fatal(err)
		}
		for _, st := range s.Look() {
			if st.Status != Failed || !strings.Contains(st.Reason, "killed") || !strings.Contains(st.Reason, "out of memory") {
				t.Errorf("%s: %s", st.Status, st.Reason)
			}
		}
	})
}

// Data that are not those that were asked for are not trained on.
func TestWorkerRefusesOtherData(t *testing.T) {
	o := options(t.TempDir())
	j := open(t, tiny, o).jobs[0]
	j.ID = "0123456789abcdef"
	out := NewTrainer(o).do(t.Context(), newOrder(j), run.Watcher{})
	if !strings.Contains(out.Error, "data or backend (go) differ") {
		t.Errorf("%+v", out)
	}
}

// A run that is interrupted while its method's scoring model trains is saved too, and may be put back.
func TestInterruptedScoringIsSaved(t *testing.T) {
	o := options(t.TempDir())
	s := open(t, tiny+"[[list]]\nprune.method = 'el2n'\n", o)
	at := slices.IndexFunc(s.jobs, func(j Job) bool { return j.Spec.Prune.Method == "el2n" })
	job := newOrder(s.jobs[at])
	trainer := NewTrainer(o)
	defer trainer.Close()
	ctx, cancel := context.WithCancel(t.Context())
	steps := 0
	watch := run.Watcher{Scoring: func(p train.Progress) {
		if steps++; steps == 3 {
			cancel()
		}
	}}
	if out := trainer.do(ctx, job, watch); !out.Saved || steps != 3 {
		t.Errorf("after %d steps %+v", steps, out)
	}
	first := 0
	watch.Scoring = func(p train.Progress) {
		if first == 0 {
			first = p.Step
		}
	}
	if out := trainer.do(t.Context(), job, watch); out != (outcome{ID: job.ID}) || first != 4 {
		t.Errorf("asked again, it goes on with step %d: %+v", first, out)
	}
}

func TestOutcome(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	interrupted := fmt.Errorf("training step 3: %w", context.Canceled)
	for _, c := range []struct {
		name string
		ctx  context.Context
		err  error
		want outcome
	}{
		{"finished", cancelled, nil, outcome{}},
		{"interrupted", cancelled, interrupted, outcome{Saved: true}},
		{"not saved", cancelled, errors.Join(interrupted, run.ErrNotSaved), outcome{Error: "training step 3: context canceled\n" + run.ErrNotSaved.Error()}},
		{"failed while it was to stop", cancelled, syscall.ENOSPC, outcome{Error: syscall.ENOSPC.Error()}},
		{"failed", t.Context(), syscall.ENOSPC, outcome{Error: syscall.ENOSPC.Error()}},
		{"trained elsewhere", t.Context(), run.ErrBusy, outcome{Busy: true}},
	} {
		c.want.ID = "a"
		if got := newOutcome(c.ctx, "a", c.err); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestPart(t *testing.T) {
	all := []int{0, 1, 4, 5, 6}
	for _, c := range []struct {
		n    int
		want string
	}{{1, "[[0 1 4 5 6]]"}, {2, "[[0 1] [4 5 6]]"}, {5, "[[0] [1] [4] [5] [6]]"}, {6, "[[0] [1] [4] [5] [6] [0]]"}} {
		var parts [][]int
		for i := range c.n {
			parts = append(parts, part(all, i, c.n))
		}
		if got := fmt.Sprint(parts); got != c.want {
			t.Errorf("%d workers: %s, want %s", c.n, got, c.want)
		}
	}
}

func TestAuto(t *testing.T) {
	s := open(t, tiny, options(t.TempDir()))
	n, why, err := s.Auto(t.Context())
	if err != nil || n < 1 || n > len(cores()) || why == "" {
		t.Errorf("%d workers (%s), %v", n, why, err)
	}
	// With runs that took all memory, one at a time.
	s.results[s.jobs[0].ID] = &run.Result{PeakMemory: train.MachineMemory()}
	if n, why, err := s.Auto(t.Context()); err != nil || n != 1 || len(cores()) > 1 && !strings.Contains(why, "GB of memory") {
		t.Errorf("%d workers (%s), %v", n, why, err)
	}
}
