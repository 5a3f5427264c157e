package sweep

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stprune/workbench/stprune/run"
	"github.com/stprune/workbench/stprune/train"
)

// order is a line that a worker is given, outcome a line that it answers with.
type order struct {
	ID   string `json:"id"`
	Spec string `json:"spec"` // TOML
	Wait bool   `json:"wait"` // while another process trains the run
}

type outcome struct {
	ID    string `json:"id"`
	Busy  bool   `json:"busy,omitempty"`
	Saved bool   `json:"saved,omitempty"` // it was interrupted
	Error string `json:"error,omitempty"`
}

func newOrder(j Job) order { return order{ID: j.ID, Spec: string(j.Spec.TOML())} }

// do asks for an ordered run. A run whose id is another here is refused.
func (t *Trainer) do(ctx context.Context, job order, watch run.Watcher) outcome {
	spec, err := run.ParseSpec([]byte(job.Spec))
	if err == nil {
		o := t.run
		o.NoWait, o.ID, o.Watch = !job.Wait, job.ID, watch
		_, err = run.Do(ctx, spec, o)
	}
	return newOutcome(ctx, job.ID, err)
}

// newOutcome is what the error of a run means: one that fails while ctx is cancelled, say as its disk is full, was not interrupted.
func newOutcome(ctx context.Context, id string, err error) outcome {
	out := outcome{ID: id}
	switch {
	case err == nil:
	case ctx.Err() != nil && errors.Is(err, ctx.Err()) && !errors.Is(err, run.ErrNotSaved):
		out.Saved = true
	case errors.Is(err, run.ErrBusy), errors.Is(err, run.ErrTakenOver):
		out.Busy = true
	default:
		out.Error = err.Error()
	}
	return out
}

// Worker trains the runs that [Sweep.Workers] orders of it on in, and answers on out. When in ends or ctx is cancelled, the run under
// way is saved.
func Worker(ctx context.Context, in io.Reader, out io.Writer, o Options) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	orders := make(chan order)
	var fault error
	go func() {
		defer close(orders)
		defer cancel() // whoever orders is gone
		for d := json.NewDecoder(in); ; {
			var job order
			if err := d.Decode(&job); err != nil {
				if !errors.Is(err, io.EOF) {
					fault = fmt.Errorf("worker: reading an order: %w", err)
				}
				return
			}
			select {
			case orders <- job:
			case <-ctx.Done():
				return
			}
		}
	}()
	t := NewTrainer(o)
	defer t.Close()
	for {
		select {
		case <-ctx.Done():
			return fault
		case job, more := <-orders:
			if !more {
				return fault
			}
			if err := json.NewEncoder(out).Encode(t.do(ctx, job, run.Watcher{})); err != nil {
				return fmt.Errorf("worker: answering: %w", err)
			}
		}
	}
}

// processBytes is what a process takes besides its data and steps, compiling included: measured 0.3 GB (STID) to 0.9 GB (Graph
// WaveNet).
const processBytes = 800 << 20

// Auto is the number of processes that suit this machine: one per core that this process may use, as far as memory suffices for the
// largest missing run. A run takes what finished ones of its backbone took at most, or else 0.8 GB and twice the estimate of its
// step. Runs on a GPU go one at a time. why says which of these it was.
func (s *Sweep) Auto(ctx context.Context) (n int, why string, err error) {
	n = len(cores())
	why = fmt.Sprintf("%d cores", n)
	peaks := map[string]int64{}
	for _, j := range s.jobs {
		if r := s.state(j).Result; r != nil {
			peaks[j.Spec.Model.Backbone] = max(peaks[j.Spec.Model.Backbone], r.PeakMemory)
		}
	}
	var most int64
	estimates := map[string]int64{}
	for _, j := range s.missing() {
		if strings.HasPrefix(j.Spec.Backend.Name, "xla:cuda") {
			return 1, "one run at a time on a GPU", nil
		}
		need := peaks[j.Spec.Model.Backbone]
		if need == 0 {
			key := fmt.Sprintf("%+v %+v %d %d %s", j.Spec.Data, j.Spec.Model, j.Spec.Train.Batch, j.Spec.Prune.PrunedBatch, j.Spec.Train.Unit)
			if estimates[key] == 0 {
				step, err := run.StepMemory(ctx, j.Spec, s.trainer.run)
				if err != nil {
					return 0, "", fmt.Errorf("sweep: run %q: %w", j.Spec.Name, err)
				}
				estimates[key] = processBytes + 2*step
			}
			need = estimates[key]
		}
		most = max(most, need)
	}
	if memory := train.MachineMemory(); most > 0 && memory > 0 {
		if fit := int(memory / 10 * 9 / most); fit < n {
			n, why = max(1, fit), fmt.Sprintf("%.1f GB of memory for runs of up to %.1f GB", float64(memory)/1e9, float64(most)/1e9)
		}
	}
	if jobs := len(s.missing()); jobs < n {
		n, why = max(1, jobs), fmt.Sprintf("%d runs to train", jobs)
	}
	return n, why, nil
}

// cores are the processor cores that this process may use.
func cores() []int {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil || set.Count() == 0 {
		all := make([]int, runtime.NumCPU())
		for i := range all {
			all[i] = i
		}
		return all
	}
	var all []int
	for i := 0; len(all) < set.Count(); i++ {
		if set.IsSet(i) {
			all = append(all, i)
		}
	}
	return all
}

// startOn starts a command on some of the cores: what its process asks for the number of cores, XLA among them, gets theirs.
func startOn(cmd *exec.Cmd, some []int) error {
	runtime.LockOSThread() // a process inherits the cores of the thread that starts it
	defer runtime.UnlockOSThread()
	var before, set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return cmd.Start() // on all of them
	}
	for _, c := range some {
		set.Set(c)
	}
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return cmd.Start()
	}
	err := cmd.Start()
	return errors.Join(err, unix.SchedSetaffinity(0, &before))
}

// part is worker i's share of the cores when there are n workers: an equal part, or one core that others have too.
func part(all []int, i, n int) []int {
	if n >= len(all) {
		return all[i%len(all):][:1]
	}
	return all[i*len(all)/n : (i+1)*len(all)/n]
}

// Workers trains the missing runs in n processes at a time, each on its part of the cores. command starts one: a program that calls
// [Worker] on its standard input and output. progress, which may be nil, is told every second how the sweep stands. Runs and errors
// are as with [Sweep.Train]; a process that dies fails its run, and another goes on with the rest.
func (s *Sweep) Workers(ctx context.Context, n int, command []string, progress func(line string)) error {
	jobs := s.missing()
	for wait := false; len(jobs) > 0 && ctx.Err() == nil; wait = true {
		orders := make(chan Job)
		outcomes := make(chan outcome)
		now := jobs
		jobs = nil // those that are not over afterwards
		byID := map[string]Job{}
		for _, j := range now {
			byID[j.ID] = j
		}
		var all sync.WaitGroup
		for i := range min(n, len(now)) {
			on := part(cores(), i, min(n, len(now)))
			all.Go(func() { work(ctx, command, on, wait, orders, outcomes) })
		}
		go func() {
			defer close(outcomes)
			defer all.Wait()
			defer close(orders)
			for _, j := range now {
				select {
				case orders <- j:
				case <-ctx.Done():
					return
				}
			}
		}()
		tick := time.NewTicker(time.Second)
		for open := true; open; {
			select {
			case out, more := <-outcomes:
				j := byID[out.ID]
				switch {
				case !more:
					open = false
				case out.Busy, out.Saved:
					jobs = append(jobs, j)
				case out.Error != "":
					s.fail(j, out.Error)
				}
			case <-tick.C:
				if progress != nil {
					progress(s.Progress(s.Look()))
				}
			}
		}
		tick.Stop()
	}
	s.Look()
	return s.stopped(ctx.Err())
}

// work keeps a worker process until there are no more orders, or ctx is cancelled and its run saved.
func work(ctx context.Context, command []string, on []int, wait bool, orders <-chan Job, outcomes chan<- outcome) {
	var w *worker
	defer func() {
		if w != nil {
			w.end()
		}
	}()
	for j := range orders {
		var err error
		if w == nil {
			w, err = startWorker(command, on)
		}
		out := outcome{ID: j.ID}
		if err == nil {
			job := newOrder(j)
			job.Wait = wait
			out, err = w.do(ctx, job)
		}
		switch {
		case err != nil:
			out, w = outcome{ID: j.ID, Error: err.Error()}, nil
		case out.Saved: // its process was told to stop, and does
			_ = w.end()
			w = nil
		}
		outcomes <- out
	}
}

// worker is a process that runs [Worker].
type worker struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *json.Decoder
	stderr *tail
}

func startWorker(command []string, on []int) (*worker, error) {
	w := &worker{cmd: exec.Command(command[0], command[1:]...), stderr: &tail{}}
	w.cmd.Stderr = w.stderr
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for this process, which ends in
	var err error
	if w.in, err = w.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("worker: %w", err)
	}
	out, err := w.cmd.StdoutPipe()
	if err == nil {
		err = startOn(w.cmd, on)
	}
	if err != nil {
		return nil, fmt.Errorf("worker: %w", err)
	}
	w.out = json.NewDecoder(out)
	return w, nil
}

// do has a run trained. The error is that the process has ended.
func (w *worker) do(ctx context.Context, job order) (out outcome, err error) {
	stop := context.AfterFunc(ctx, func() { _ = w.in.Close() }) // it saves
	defer stop()
	if err = json.NewEncoder(w.in).Encode(job); err == nil {
		err = w.out.Decode(&out)
	}
	if err != nil && ctx.Err() != nil {
		return outcome{ID: job.ID, Saved: true}, nil
	}
	if err != nil {
		return out, fmt.Errorf("its process ended: %w%s", w.end(), w.stderr.last())
	}
	return out, nil
}

// end waits for the process, which ends with its input.
func (w *worker) end() error {
	_ = w.in.Close()
	if err := w.cmd.Wait(); err != nil {
		return err
	}
	return errors.New("without an answer")
}

// tail keeps the end of what is written to it.
type tail struct {
	mutex sync.Mutex
	text  []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.text = append(t.text, b...)
	if n := len(t.text) - 1<<12; n > 0 {
		t.text = t.text[n:]
	}
	return len(b), nil
}

// last is the last lines, to be put behind an error.
func (t *tail) last() string {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	text := bytes.TrimSpace(t.text)
	if len(text) == 0 {
		return ""
	}
	lines := strings.Split(string(text), "\n")
	return "; its last words:\n" + strings.Join(lines[max(0, len(lines)-5):], "\n")
}
