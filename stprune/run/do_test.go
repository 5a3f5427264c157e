package run

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/stprune"
	"github.com/stprune/workbench/stprune/train"
)

// ramp is a small series with a daily pattern, noise and missing values.
func ramp(context.Context, string) (*datasets.Series, error) {
	s := &datasets.Series{Name: "ramp", T: 150, N: 4,
		Calendar: datasets.Calendar{Start: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), Step: time.Hour}}
	r := stprune.Stream(7, "series", 0)
	for n := range s.N {
		s.Nodes = append(s.Nodes, fmt.Sprint("n", n))
	}
	for i := range s.T {
		for n := range s.N {
			v := 50 + 10*math.Sin(2*math.Pi*float64(i)/24+float64(n)) + r.NormFloat64()
			if r.Float64() < 0.05 {
				v = 0
			}
			s.Values = append(s.Values, float32(v))
		}
	}
	return s, nil
}

// tiny is a spec that trains in a moment; unit and method come as settings.
func tiny(t testing.TB, settings ...string) Spec {
	s := DefaultSpec()
	err := s.Set(append([]string{
		"data.name=ramp", "data.history=6", "data.horizon=3", "backend.name=go",
		"model.options={embed_dim=6,node_dim=5,tod_dim=4,dow_dim=3,layers=1}",
		"schedule.kind=cosine", "train.epochs=5", "train.batch=16", "train.eval_batch=16", "train.validate_every=2",
		"prune.method=st-prune", "prune.rho=0.4", "prune.batch_policy=keep-steps",
	}, settings...)...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func options(dir string) Options {
	return Options{Store: NewStore(dir), Series: ramp}
}

func do(t *testing.T, spec Spec, o Options) *Run {
	t.Helper()
	r, err := Do(context.Background(), spec, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// content reads all files of a run, with the times taken out of the JSON ones.
func content(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if strings.Contains(name, ".json") {
			var lines []string
			for d := json.NewDecoder(bytes.NewReader(b)); d.More(); {
				var v map[string]any
				if err := d.Decode(&v); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				delete(v, "seconds")
				delete(v, "peak_memory")
				line, err := json.Marshal(v)
				if err != nil {
					return err
				}
				lines = append(lines, string(line))
			}
			b = []byte(strings.Join(lines, "\n"))
		}
		files[name] = string(b)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// same compares two runs byte for byte.
func same(t *testing.T, want, got string) {
	t.Helper()
	a, b := content(t, want), content(t, got)
	for name := range a {
		if a[name] != b[name] {
			if strings.Contains(name, ".json") {
				t.Errorf("%s differs:\n%s\nwant\n%s", name, b[name], a[name])
			} else {
				t.Errorf("%s differs: %d bytes, want %d", name, len(b[name]), len(a[name]))
			}
		}
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			t.Errorf("%s is left over", name)
		}
	}
}

func TestDoTrainsOnceAndReads(t *testing.T) {
	for _, settings := range [][]string{
		{"prune.method=full"}, {"prune.method=random"}, {"prune.method=st-prune"},
		{"prune.method=full", "train.unit=pair"}, {"prune.method=st-prune", "train.unit=pair", "prune.stationarity=data"},
	} {
		t.Run(strings.Join(settings, " "), func(t *testing.T) {
			spec, o := tiny(t, settings...), options(t.TempDir())
			steps := 0
			o.Watch.Step = func(p train.Progress) { steps++ }
			r := do(t, spec, o)
			result, err := r.Result()
			if err != nil {
				t.Fatal(err)
			}
			if steps == 0 || result.Steps != steps || result.Epochs != 5 || !(result.Test.Mean.MAE > 0) || r.Status() != Finished {
				t.Errorf("after %d steps the result is %+v, status %s", steps, result, r.Status())
			}
			again := do(t, spec, o)
			if steps != result.Steps || again.ID != r.ID {
				t.Error("asking again trained again")
			}

			epochs, err := again.Epochs()
			if err != nil || len(epochs) != 5 {
				t.Fatalf("%d epochs, %v", len(epochs), err)
			}
			var visits int64
			for _, e := range epochs {
				kept, err := again.Selection(e.Epoch)
				if err != nil {
					t.Fatal(err)
				}
				units := len(kept.IDs)
				if kept.All {
					units = kept.Units
				}
				if units != e.Units || units != e.Selection.Kept || kept.Units != result.Units {
					t.Errorf("epoch %d: %d units of %d kept, its record has %d and %d", e.Epoch, units, kept.Units, e.Units, e.Selection.Kept)
				}
				count := 0
				for _, c := range kept.Visits().Count {
					count += int(c)
				}
				if count != units {
					t.Errorf("epoch %d: its windows were visited %d times in all, want %d", e.Epoch, count, units)
				}
				visits += int64(units) * 4 / int64(kept.PerWindow)
				scores, err := again.Scores(e.Epoch)
				if err != nil {
					t.Fatal(err)
				}
				if len(scores.Windows.Level) != kept.Windows() || (scores.Nodes != nil) != (kept.PerWindow == 4) {
					t.Errorf("epoch %d: scores of %d windows, nodes %v", e.Epoch, len(scores.Windows.Level), scores.Nodes)
				}
				for w, level := range scores.Windows.Level { // the first epoch is full
					if !(level > 0 && scores.Windows.Complexity[w] >= level) {
						t.Fatalf("epoch %d: window %d has level %v and complexity %v", e.Epoch, w, level, scores.Windows.Complexity[w])
					}
				}
			}
			if visits != result.Visits {
				t.Errorf("selections sum to %d visits, the result has %d", visits, result.Visits)
			}
			best, err := again.Best()
			if err != nil {
				t.Fatal(err)
			}
			count := 0
			for _, values := range best {
				count += len(values)
			}
			if count != result.Parameters {
				t.Errorf("%d best parameters, want %d", count, result.Parameters)
			}
		})
	}
}

// stopper is a context that is cancelled when it has been asked a number of times.
type stopper struct {
	context.Context
	asked, at int
}

func (c *stopper) Err() error {
	if c.asked++; c.asked >= c.at {
		return context.Canceled
	}
	return nil
}

// Wherever a run is interrupted, it resumes to the same bits.
func TestInterruptionAnywhere(t *testing.T) {
	for _, unit := range []string{"window", "pair"} {
		t.Run(unit, func(t *testing.T) {
			spec := tiny(t, "train.unit="+unit, "train.batch=48", "train.epochs=4")
			want := do(t, spec, options(t.TempDir()))
			for at := 2; ; at += 1 + at/8 { // the first to ask is the opening of the backend
				o := options(t.TempDir())
				ctx := &stopper{Context: context.Background(), at: at}
				r, err := Do(ctx, spec, o)
				if err == nil {
					if at < 10 {
						t.Fatalf("the run asked its context only %d times", ctx.asked)
					}
					break
				}
				if !errors.Is(err, context.Canceled) || r.Status() != Interrupted {
					t.Fatalf("interrupted at %d: status %s, error %v", at, r.Status(), err)
				}
				if _, err := r.Result(); !errors.Is(err, ErrUnfinished) {
					t.Fatalf("an interrupted run has a result: %v", err)
				}
				same(t, want.Dir, do(t, spec, o).Dir)
				if t.Failed() {
					t.Fatalf("interrupted at %d", at)
				}
			}
		})
	}
}

// Whichever call to the file system fails, the run resumes to the same bits.
func TestDiskFaultAnywhere(t *testing.T) {
	spec := tiny(t, "train.epochs=3")
	want := do(t, spec, options(t.TempDir()))
	for at := 1; ; at += 1 + at/10 {
		o := options(t.TempDir())
		d := &faultyDisk{at: at, dead: true, unsynced: map[string]bool{}}
		o.Store.disk = d
		_, err := Do(context.Background(), spec, o)
		if d.calls < at {
			break
		}
		if !errors.Is(err, errFault) {
			t.Fatalf("fault at call %d: error %v", at, err)
		}
		d.powerCut(t)
		o.Store.disk = osDisk{}
		same(t, want.Dir, do(t, spec, o).Dir)
		if t.Failed() {
			t.Fatalf("fault at call %d", at)
		}
	}
}

// An interruption that can't be saved is no interruption that was.
func TestInterruptedOnAFullDisk(t *testing.T) {
	spec := tiny(t, "train.epochs=3")
	want := do(t, spec, options(t.TempDir()))
	o := options(t.TempDir())
	d := &faultyDisk{unsynced: map[string]bool{}, dead: true}
	o.Store.disk = d
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	o.Watch.Epoch = func(Epoch) { cancel() }
	o.Watch.Step = func(p train.Progress) {
		if p.Step == 1 {
			d.at = d.calls + 1 // nothing more is written
		}
	}
	_, err := Do(ctx, spec, o)
	if !errors.Is(err, ErrNotSaved) || !errors.Is(err, errFault) || strings.Contains(err.Error(), "resumes when asked") {
		t.Errorf("interrupted on a full disk: %v", err)
	}
	d.powerCut(t)
	o.Store.disk, o.Watch = osDisk{}, Watcher{}
	same(t, want.Dir, do(t, spec, o).Dir)
}

func TestDamagedCheckpoint(t *testing.T) {
	spec := tiny(t, "train.epochs=3")
	want := do(t, spec, options(t.TempDir()))
	for _, name := range []string{checkpointFile, checkpointFile + previous} {
		o := options(t.TempDir())
		r, err := Do(&stopper{Context: context.Background(), at: 12}, spec, o)
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		path := filepath.Join(r.Dir, name)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)/2] ^= 4
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		noted := ""
		o.Watch.Note = func(text string) { noted += text }
		same(t, want.Dir, do(t, spec, o).Dir)
		if damaged := strings.Contains(noted, "damaged"); damaged != (name == checkpointFile) {
			t.Errorf("%s altered; the notes are %q", name, noted)
		}
	}
}

func TestDivergenceNamesStepAndUnits(t *testing.T) {
	o := options(t.TempDir())
	spec := tiny(t, "optim.name=sgd", "optim.lr=1e30", "optim.clip=0", "train.epochs=3", "schedule.kind=constant")
	r, err := Do(context.Background(), spec, o)
	diverged := new(train.DivergedError)
	if !errors.As(err, &diverged) {
		t.Fatalf("error %v; want one of divergence", err)
	}
	if diverged.Step < 1 || len(diverged.Units) == 0 || r.Status() != Diverged {
		t.Errorf("status %s, error %+v", r.Status(), diverged)
	}
	f, err := r.Failure()
	if err != nil || f.Step != diverged.Step || len(f.Units) != len(diverged.Units) {
		t.Errorf("the failure is %+v, %v", f, err)
	}
}

func TestSecondAskerWaitsOrSaysSo(t *testing.T) {
	spec, o := tiny(t), options(t.TempDir())
	begun := make(chan struct{})
	release := make(chan struct{})
	var once sync.Once
	first := o
	first.Watch.Step = func(train.Progress) { once.Do(func() { close(begun); <-release }) }
	done := make(chan error, 2)
	go func() { _, err := Do(context.Background(), spec, first); done <- err }()
	<-begun

	impatient := o
	impatient.NoWait = true
	if _, err := Do(context.Background(), spec, impatient); !errors.Is(err, ErrBusy) {
		t.Errorf("error %v; want ErrBusy", err)
	}
	runs, err := o.Store.List("status=running")
	if err != nil || len(runs) != 1 {
		t.Fatalf("%d running runs, %v", len(runs), err)
	}
	if err := o.Store.Remove(runs[0].ID); !errors.Is(err, ErrBusy) {
		t.Errorf("removing a running run: %v; want ErrBusy", err)
	}
	waiting := make(chan struct{})
	second := o
	second.Watch.Note = func(string) { close(waiting) }
	second.Watch.Step = func(train.Progress) { t.Error("the second asker trained") }
	go func() { _, err := Do(context.Background(), spec, second); done <- err }()
	<-waiting
	close(release)
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// childStore makes this test binary train a run instead of testing, so that it can be killed.
const childStore, childBackend, childKillAt = "STPRUNE_TEST_STORE", "STPRUNE_TEST_BACKEND", "STPRUNE_TEST_KILL_AT"

// childInterrupted is the exit code of a child that was asked to stop.
const childInterrupted = 3

func TestMain(m *testing.M) {
	if dir := os.Getenv(childStore); dir != "" {
		if os.Getenv(childRunner) != "" {
			os.Exit(runner(dir))
		}
		os.Exit(child(dir))
	}
	os.Exit(m.Run())
}

func killSpec(backend string) Spec {
	// One batch size, and so one compilation, keeps a process short.
	return tiny(nil, "train.unit=pair", "train.epochs=24", "train.validate_every=4", "prune.batch_policy=fixed", "train.batch=48", "backend.name="+backend)
}

func child(dir string) int {
	o := options(dir)
	if at, err := strconv.Atoi(os.Getenv(childKillAt)); err == nil {
		o.Store.disk = &deadlyDisk{at: at}
	}
	o.Watch.Step = func(p train.Progress) { fmt.Println("step", p.Step, "of", p.Steps) }
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r, err := Do(ctx, killSpec(os.Getenv(childBackend)), o)
	if errors.Is(err, context.Canceled) {
		return childInterrupted
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("done", r.Dir)
	return 0
}

// deadlyDisk kills its process with SIGKILL in its call number at, halfway when the call is a write.
type deadlyDisk struct {
	osDisk
	calls, at int
}

func (d *deadlyDisk) call() {
	if d.calls++; d.calls == d.at {
		if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
			panic(err)
		}
		select {}
	}
}

func (d *deadlyDisk) Create(path string) (file, error) {
	d.call()
	f, err := d.osDisk.Create(path)
	return &deadlyFile{f, d}, err
}
func (d *deadlyDisk) Rename(from, to string) error { d.call(); return d.osDisk.Rename(from, to) }
func (d *deadlyDisk) SyncDir(dir string) error     { d.call(); return d.osDisk.SyncDir(dir) }

type deadlyFile struct {
	file
	d *deadlyDisk
}

func (f *deadlyFile) Write(b []byte) (int, error) {
	n, err := f.file.Write(b[:len(b)/2])
	if err != nil {
		return n, err
	}
	f.d.call()
	m, err := f.file.Write(b[len(b)/2:])
	return n + m, err
}
func (f *deadlyFile) Sync() error { f.d.call(); return f.file.Sync() }

// spawn trains in a process of its own, which is killed in its disk call number atCall, or sent a signal after printing
// atLine lines; 0: never.
func spawn(t *testing.T, dir, backend string, atCall, atLine int, sig syscall.Signal) (stopped bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), childStore+"="+dir, childBackend+"="+backend)
	if atCall > 0 {
		cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%d", childKillAt, atCall))
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := 0
	for in := bufio.NewScanner(out); in.Scan(); {
		if lines++; lines == atLine {
			time.Sleep(time.Duration(rand.IntN(4000)) * time.Microsecond)
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
		}
	}
	err = cmd.Wait()
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case err == nil:
		return false
	case ok && status.Signaled() && status.Signal() == syscall.SIGKILL:
		return true
	case status.ExitStatus() == childInterrupted && sig != syscall.SIGKILL:
		return true
	}
	t.Fatalf("training failed: %v\n%s", err, stderr.String())
	return false
}

// Ctrl-C and SIGTERM end the step, save it, and lose nothing.
func TestSignals(t *testing.T) {
	want := t.TempDir()
	spawn(t, want, "go", 0, 0, syscall.SIGKILL)
	spec := killSpec("go")
	store := t.TempDir()
	stopped := 0
	for i := range 8 {
		if spawn(t, store, "go", 0, 1+i%3, []syscall.Signal{syscall.SIGINT, syscall.SIGTERM}[i%2]) {
			stopped++
			runs, err := NewStore(store).List("status=interrupted")
			if err != nil || len(runs) != 1 {
				t.Fatalf("%d interrupted runs, %v", len(runs), err)
			}
		}
	}
	if stopped == 0 {
		t.Error("no process was stopped before it had finished")
	}
	same(t, do(t, spec, options(want)).Dir, do(t, spec, options(store)).Dir)
}

// Killed with SIGKILL at random moments, inside saves too, and resumed, a run ends with the bits of one left alone.
func TestKillAnywhere(t *testing.T) {
	for _, backend := range []string{"go", "xla"} {
		t.Run(backend, func(t *testing.T) {
			t.Parallel()
			spec := killSpec(backend)
			wantStore := t.TempDir()
			if spawn(t, wantStore, backend, 0, 0, syscall.SIGKILL) {
				t.Fatal("the undisturbed run was killed")
			}
			want := do(t, spec, options(wantStore))
			result, err := want.Result()
			if err != nil {
				t.Fatal(err)
			}
			inSave, elsewhere := 0, 0
			for range 3 {
				store := t.TempDir()
				for i := range 7 {
					if i%2 == 0 { // within the first epoch or two, each of which saves four files with seven calls
						if spawn(t, store, backend, 1+rand.IntN(45), 0, syscall.SIGKILL) {
							inSave++
						}
					} else if spawn(t, store, backend, 0, 1+rand.IntN(2*result.Steps/result.Epochs), syscall.SIGKILL) {
						elsewhere++
					}
				}
				spawn(t, store, backend, 0, 0, syscall.SIGKILL)
				same(t, want.Dir, do(t, spec, options(store)).Dir)
				if t.Failed() {
					t.FailNow()
				}
			}
			if inSave+elsewhere < 20 {
				t.Errorf("only %d processes were killed before they had finished", inSave+elsewhere)
			}
			t.Logf("%d kills inside saves, %d elsewhere", inSave, elsewhere)
		})
	}
}

// A batch larger than the data is one of all data, and takes no more memory.
func TestBatchOfEverything(t *testing.T) {
	errors := map[float64]bool{}
	for _, batch := range []string{"85", "1000000000"} {
		result, _ := results(t, do(t, tiny(t, "prune.method=full", "train.batch="+batch), options(t.TempDir())))
		if result.Units != 85 || result.Steps != 5 {
			t.Errorf("batch %s: %d units, %d steps", batch, result.Units, result.Steps)
		}
		errors[result.Test.Mean.MAE] = true
	}
	if len(errors) != 1 {
		t.Errorf("errors differ: %v", errors)
	}
}
