package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stprune/workbench/stprune/train"
)

// childRunner makes a child ask for several runs, as a process on the machine that it names; see runner.
const childRunner = "STPRUNE_TEST_RUNNER"

// specs are what runners ask for.
func specs(t testing.TB) []Spec {
	var all []Spec
	for seed := range 6 {
		all = append(all, tiny(t, fmt.Sprint("train.seed=", 1+seed), "train.epochs=3", "prune.batch_policy=fixed"))
	}
	return all
}

// runner asks for all runs in an order of its own, and prints a line for every one that it begins to train.
func runner(dir string) int {
	o := options(dir)
	o.NoWait = true
	if machine := os.Getenv(childRunner); machine != "here" {
		o.Store.machine, o.Store.stale, o.Store.beat = machine, 2*time.Second, 100*time.Millisecond
	}
	all := specs(nil)
	for _, i := range rand.Perm(len(all)) {
		o.Watch.Step = func(p train.Progress) {
			if p.Step == 1 {
				fmt.Println("trains", i)
			}
			time.Sleep(2 * time.Millisecond)
		}
		switch _, err := Do(context.Background(), all[i], o); {
		case errors.Is(err, ErrTakenOver):
			fmt.Println("lost", i)
		case err != nil && !errors.Is(err, ErrBusy):
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return 0
}

func startRunner(t *testing.T, dir, machine string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	out := new(bytes.Buffer)
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), childStore+"="+dir, childRunner+"="+machine)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, out
}

// However many processes, of one machine or of several, ask for the same runs, each run is trained once.
func TestRacingProcesses(t *testing.T) {
	want := options(t.TempDir())
	for _, spec := range specs(t) {
		do(t, spec, want)
	}
	for name, machine := range map[string]func(i int) string{
		"one machine": func(int) string { return "here" },
		"several":     func(i int) string { return fmt.Sprint("node ", i) },
	} {
		t.Run(name, func(t *testing.T) {
			store := t.TempDir()
			var all []*exec.Cmd
			var outputs []*bytes.Buffer
			for i := range 6 {
				cmd, out := startRunner(t, store, machine(i))
				all, outputs = append(all, cmd), append(outputs, out)
			}
			printed := ""
			for i, cmd := range all {
				if err := cmd.Wait(); err != nil {
					t.Fatalf("%v\n%s", err, outputs[i])
				}
				printed += outputs[i].String()
			}
			for i, spec := range specs(t) {
				if n := strings.Count(printed, fmt.Sprintln("trains", i)); n != 1 {
					t.Errorf("run %d was begun %d times", i, n)
				}
				same(t, do(t, spec, want).Dir, do(t, spec, options(store)).Dir)
			}
		})
	}
}

// A process that stands still loses its run, notices before it writes, and harms nothing.
func TestTakenOver(t *testing.T) {
	want := options(t.TempDir())
	for _, spec := range specs(t) {
		do(t, spec, want)
	}
	store := t.TempDir()
	o := options(store)
	o.Store.machine, o.Store.stale, o.Store.beat = "other", 2*time.Second, 100*time.Millisecond
	frozen, out := startRunner(t, store, "frozen")
	var held *Run
	for held == nil { // a run that ends before the process stands still is none; then the next one will do
		time.Sleep(time.Millisecond)
		runs, err := o.Store.List()
		if err != nil {
			t.Fatal(err)
		}
		done := 0
		for _, r := range runs {
			if r.finished() {
				done++
			} else if c, ok := r.Claim(); ok && c.PID == frozen.Process.Pid {
				held = r
			}
		}
		if done == len(specs(t)) {
			t.Fatal("the process has trained all runs before one could be caught")
		}
		if held == nil {
			continue
		}
		if err := frozen.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		if held.finished() {
			held = nil
			if err := frozen.Process.Signal(syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
		}
	}
	impatient := o
	impatient.NoWait = true
	if _, err := Do(context.Background(), held.Spec, impatient); !errors.Is(err, ErrBusy) {
		t.Errorf("error %v right after the last sign of life; want ErrBusy", err)
	}
	begun := make(chan struct{})
	o.Watch.Step = func(p train.Progress) { // its process wakes up in the middle of this one's work
		if p.Step == p.Steps/2 {
			close(begun)
			if err := frozen.Process.Signal(syscall.SIGCONT); err != nil {
				t.Error(err)
			}
			time.Sleep(300 * time.Millisecond)
		}
	}
	do(t, held.Spec, o)
	<-begun
	if err := frozen.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(out.String(), "lost") {
		t.Errorf("the process that stood still did not notice:\n%s", out)
	}
	for _, spec := range specs(t) {
		same(t, do(t, spec, want).Dir, do(t, spec, options(store)).Dir)
	}
}

// Never do two hold a claim, also when holders die and others wait for their claims to go stale.
func TestClaimsExclude(t *testing.T) {
	dir := t.TempDir()
	var inside, deaths atomic.Int32
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			s := NewStore(dir)
			s.machine, s.stale, s.beat = fmt.Sprint("machine ", i), 2*time.Second, 100*time.Millisecond
			for turn := range 12 {
				h, err := s.claim(context.Background(), "run", false, nil)
				if errors.Is(err, ErrBusy) {
					time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if inside.Add(1) != 1 {
					t.Error("two hold the claim")
				}
				time.Sleep(time.Millisecond)
				if err := h.check(); err != nil {
					t.Error(err)
				}
				inside.Add(-1)
				if turn > 5 && deaths.Add(1) <= 2 { // without another word
					close(h.stop)
					<-h.done
					return
				}
				h.release()
			}
			h, err := s.claim(context.Background(), "run", true, nil)
			if err != nil {
				t.Error(err)
				return
			}
			h.release()
		})
	}
	all.Wait()
	if _, highest, err := claims(claimDir(dir, "run")); err != nil || highest < 8 {
		t.Errorf("only %d claims were made, %v", highest, err)
	}
}

func TestClaimOver(t *testing.T) {
	me := here()
	if me.Machine == "" || me.Started == "" {
		t.Skip("this system does not tell when processes started")
	}
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(c *Claim)
		age    time.Duration
		want   bool
	}{
		"its holder lives":                   {func(*Claim) {}, time.Hour, false},
		"it was released":                    {func(c *Claim) { c.Ended = true }, 0, true},
		"its process has ended":              {func(c *Claim) { c.PID = dead.Process.Pid }, 0, true},
		"its number is another's now":        {func(c *Claim) { c.Started = "1" }, 0, true},
		"on another machine, lately":         {func(c *Claim) { c.Machine = "other"; c.PID = dead.Process.Pid }, time.Minute, false},
		"on another machine, long ago":       {func(c *Claim) { c.Machine = "other" }, 3 * time.Minute, true},
		"on another machine, job started on": {func(c *Claim) { c.Machine, c.Job = "other", "7_1" }, 0, true},
		"on another machine, same start":     {func(c *Claim) { c.Machine, c.Job, c.Start = "other", "7_1", 1 }, 0, false},
		"just being written":                 {func(c *Claim) { *c = Claim{} }, 0, false},
	} {
		claim, asker := me, me
		asker.Job, asker.Start = "7_1", 1
		c.change(&claim)
		if got := claim.over(asker, c.age, StaleAfter); got != c.want {
			t.Errorf("%s: over %t, want %t", name, got, c.want)
		}
	}
}

func TestClaimTellsProgress(t *testing.T) {
	o := options(t.TempDir())
	o.Store.beat = time.Millisecond
	seen := Claim{}
	var r *Run
	o.Watch.Step = func(p train.Progress) {
		if p.Step != p.Steps/2 {
			return
		}
		runs, err := o.Store.List()
		if err != nil || len(runs) != 1 {
			t.Fatalf("%d runs, %v", len(runs), err)
		}
		r = runs[0]
		for range 500 {
			if c, held := r.Claim(); held && c.Step >= p.Step-1 && c.Step > 0 {
				seen = c
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	do(t, tiny(t), o)
	if seen.PID != os.Getpid() || seen.Steps == 0 || seen.Epoch == 0 || seen.Epochs != 5 {
		t.Errorf("in the middle of the run its claim was %+v", seen)
	}
	if c, held := r.Claim(); held {
		t.Errorf("a finished run is held by %s", c)
	}
	files, err := filepath.Glob(filepath.Join(o.Store.Dir, ".claims", r.ID, "*"))
	if err != nil || len(files) != 1 {
		t.Errorf("claims leave %v, %v", files, err)
	}
}
