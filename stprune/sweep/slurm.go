package sweep

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stprune/workbench/stprune/run"
)

// Slurm says how a sweep's runs become tasks of job arrays. The store's folder must be shared by all nodes.
type Slurm struct {
	Command []string      // runs [Task] with a submission's file as its last argument, on every node
	Args    []string      // of sbatch, such as --partition=long, --cpus-per-task=4, --mem=8G, --time=4:00:00
	PerTask int           // runs in one task, one after the other; default 1
	AtOnce  int           // tasks at a time; default: as many as Slurm lets run
	Every   time.Duration // between two looks at the queue; default 10 s
}

// Tasks that end without a result, without having said why, are submitted again this often.
const resubmissions = 3

// maxArray is the most tasks in one array: Slurm's default of MaxArraySize, less one.
const maxArray = 1000

// submission is a file of the store's folder .slurm: an array of tasks, whose names in Slurm are its own.
type submission struct {
	Name      string    `json:"name"`
	Submitted time.Time `json:"submitted"`
	Tasks     [][]order `json:"tasks"`

	dir string
}

func slurmDir(store string) string { return filepath.Join(store, ".slurm") }

func (b submission) path(name string) string { return filepath.Join(b.dir, name) }

const tasksFile, failedDir = "tasks.json", "failed"

// submissions are all that the store knows, oldest first.
func submissions(store string) ([]submission, error) {
	paths, err := filepath.Glob(filepath.Join(slurmDir(store), "*", tasksFile))
	if err != nil {
		return nil, fmt.Errorf("slurm: %w", err)
	}
	slices.Sort(paths) // by time, with which they are named
	var all []submission
	for _, path := range paths {
		b, err := readSubmission(path)
		if err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	return all, nil
}

func readSubmission(path string) (b submission, err error) {
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &b)
	}
	if err != nil {
		return b, fmt.Errorf("slurm: %s: %w; remove its folder when no job needs it any more", path, err)
	}
	b.dir = filepath.Dir(path)
	return b, nil
}

// task is where a run is in Slurm.
type task struct {
	sub    *submission
	index  int
	job    string // such as 17_4
	state  string // as squeue names it; "GONE" when Slurm no longer knows it
	reason string
	failed string // what the run's own process wrote about why it failed
}

// over are the states of jobs that have ended.
var over = []string{"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "GONE", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT"}

func (t task) over() bool { return slices.Contains(over, t.state) }

func (t task) String() string {
	text := strings.ToLower(t.state)
	if t.job != "" {
		text = t.job + " " + text
	}
	if t.state == "PENDING" && t.reason != "" && t.reason != "None" {
		text += " (" + t.reason + ")"
	}
	return text
}

// tasks are the latest tasks of runs, by id. When Slurm doesn't answer, that is an error: nobody knows what is queued.
func (s *Sweep) tasks(ctx context.Context) (map[string]task, error) {
	all, err := submissions(s.o.Store.Dir)
	if err != nil {
		return nil, err
	}
	wanted := map[string]bool{}
	for _, j := range s.jobs {
		wanted[j.ID] = true
	}
	latest := map[string]task{}
	var names []string
	for i := range all {
		for index, orders := range all[i].Tasks {
			for _, o := range orders {
				if wanted[o.ID] {
					latest[o.ID] = task{sub: &all[i], index: index, state: "GONE"}
				}
			}
		}
	}
	for id, t := range latest {
		if s.results[id] == nil && !slices.Contains(names, t.sub.Name) {
			names = append(names, t.sub.Name)
		}
	}
	if len(names) == 0 {
		return latest, nil
	}
	slices.Sort(names)
	known, err := queue(ctx, names)
	if err != nil {
		return nil, err
	}
	for id, t := range latest {
		if k, ok := known[key(t.sub.Name, t.index)]; ok {
			t.job, t.state, t.reason = k.job, k.state, k.reason
		}
		if text, err := os.ReadFile(t.sub.path(filepath.Join(failedDir, id))); err == nil {
			t.failed = strings.TrimSpace(string(text))
		}
		latest[id] = t
	}
	return latest, nil
}

func key(name string, index int) string { return fmt.Sprintf("%s %d", name, index) }

// queue asks squeue, and about what that has forgotten sacct, where the cluster keeps accounts, for the tasks of arrays by name.
func queue(ctx context.Context, names []string) (map[string]task, error) {
	known := map[string]task{}
	text, err := output(ctx, "squeue", "--noheader", "--array", "--states=all", "--name="+strings.Join(names, ","), "--format=%j|%K|%F|%T|%r")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSpace(line), "|")
		index, err := strconv.Atoi(f[min(1, len(f)-1)])
		if len(f) < 5 || err != nil {
			continue // a message, or another's job of this name
		}
		known[key(f[0], index)] = task{job: f[2] + "_" + f[1], state: f[3], reason: f[4]}
	}
	text, err = output(ctx, "sacct", "--noheader", "--parsable2", "--allocations", "--name="+strings.Join(names, ","), "--starttime=now-30days", "--format=JobName,JobID,State")
	if err != nil { // many clusters keep none
		return known, ctx.Err()
	}
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSpace(line), "|")
		if len(f) < 3 {
			continue
		}
		_, last, _ := strings.Cut(f[1], "_")
		index, err := strconv.Atoi(last)
		if _, have := known[key(f[0], index)]; err == nil && !have {
			state, _, _ := strings.Cut(f[2], " ") // CANCELLED by 1000
			known[key(f[0], index)] = task{job: f[1], state: state}
		}
	}
	return known, nil
}

// output runs one of Slurm's commands.
func output(ctx context.Context, name string, args ...string) (string, error) {
	text, err := exec.CommandContext(ctx, name, args...).Output()
	if failed := new(exec.ExitError); errors.As(err, &failed) {
		err = fmt.Errorf("%w: %s", err, strings.TrimSpace(string(failed.Stderr)))
	}
	if errors.Is(err, exec.ErrNotFound) {
		err = fmt.Errorf("%w; this machine has no Slurm, ask on one that submits to it", err)
	}
	if err != nil {
		return "", fmt.Errorf("slurm: %s: %w", name, err)
	}
	return string(text), nil
}

// LookSlurm is [Sweep.Look] with what Slurm says about the runs that are not finished.
func (s *Sweep) LookSlurm(ctx context.Context) ([]State, error) {
	states := s.Look()
	tasks, err := s.tasks(ctx)
	if err != nil {
		return nil, err
	}
	for i := range states {
		st := &states[i]
		t, submitted := tasks[st.ID]
		if !submitted || st.Status == run.Finished {
			continue
		}
		st.Task = t.String()
		if t.failed != "" && t.over() && st.Status != run.Running {
			st.Status, st.Reason = Failed, t.failed
		}
	}
	return states, nil
}

// Submit makes tasks of the missing runs that are in no task which waits or runs, and says how many runs those are.
func (s *Sweep) Submit(ctx context.Context, c Slurm) (runs int, err error) {
	s.Look()
	tasks, err := s.tasks(ctx)
	if err != nil {
		return 0, err
	}
	var jobs []Job
	for _, j := range s.missing() {
		if t, submitted := tasks[j.ID]; (!submitted || t.over()) && s.state(j).Status != run.Running {
			jobs = append(jobs, j)
		}
	}
	return len(jobs), s.submit(ctx, c, jobs)
}

func (s *Sweep) submit(ctx context.Context, c Slurm, jobs []Job) error {
	var tasks [][]order
	for chunk := range slices.Chunk(jobs, max(1, c.PerTask)) {
		var orders []order
		for _, j := range chunk {
			o := newOrder(j)
			o.Wait = true
			orders = append(orders, o)
		}
		tasks = append(tasks, orders)
	}
	for array := range slices.Chunk(tasks, maxArray) {
		if err := s.submitArray(ctx, c, array); err != nil {
			return err
		}
	}
	return nil
}

func (s *Sweep) submitArray(ctx context.Context, c Slurm, tasks [][]order) error {
	fail := func(err error) error { return fmt.Errorf("slurm: submitting: %w", err) }
	store, err := filepath.Abs(s.o.Store.Dir)
	if err == nil {
		err = os.MkdirAll(slurmDir(store), 0o755)
	}
	if err != nil {
		return fail(err)
	}
	b := submission{Submitted: time.Now().UTC(), Tasks: tasks}
	// The folder's name, which is the job's, is one of its own on every machine.
	if b.dir, err = os.MkdirTemp(slurmDir(store), "stprune-"+b.Submitted.Format("20060102T150405.000")+"-*"); err != nil {
		return fail(err)
	}
	b.Name = filepath.Base(b.dir)
	text, err := json.MarshalIndent(b, "", " ")
	if err != nil {
		return fail(err)
	}
	script := "#!/bin/bash\n# exec, so that Slurm's signals reach the program, which saves\nexec"
	for _, word := range append(slices.Clone(c.Command), b.path(tasksFile)) {
		script += " '" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	array := fmt.Sprintf("--array=0-%d", len(tasks)-1)
	if c.AtOnce > 0 {
		array += fmt.Sprintf("%%%d", c.AtOnce)
	}
	args := append([]string{"--parsable", array, "--job-name=" + b.Name, "--output=" + b.path("%a.log"), "--open-mode=append",
		"--requeue", "--signal=B:TERM@60"}, c.Args...)
	if err = errors.Join(os.Chmod(b.dir, 0o755), os.Mkdir(b.path(failedDir), 0o755)); err == nil {
		err = os.WriteFile(b.path("job.sh"), []byte(script+"\n"), 0o755)
	}
	if err == nil {
		// Before it is submitted: what Slurm may know must be known here. The name appears as a whole.
		if err = os.WriteFile(b.path(".tasks"), text, 0o644); err == nil {
			err = os.Rename(b.path(".tasks"), b.path(tasksFile))
		}
	}
	if err != nil {
		return fail(err)
	}
	job, err := output(ctx, "sbatch", append(args, b.path("job.sh"))...)
	if err != nil {
		return errors.Join(err, os.RemoveAll(b.dir)) // it was refused
	}
	runs := 0
	for _, t := range tasks {
		runs += len(t)
	}
	s.o.Note(fmt.Sprintf("submitted job %s: %d runs in %d tasks, logs in %s", strings.TrimSpace(job), runs, len(tasks), b.dir))
	return nil
}

// Follow submits what is missing, and follows it until all runs are over. Runs whose tasks end without a result and without having
// said why, killed or cancelled by others, are submitted again, three times at most. When ctx is cancelled the tasks go on:
// asked again, Follow finds them. Runs that failed are in [Sweep.Look].
func (s *Sweep) Follow(ctx context.Context, c Slurm, progress func(line string)) error {
	if c.Every <= 0 {
		c.Every = 10 * time.Second
	}
	begin := time.Now().UTC()
	if _, err := s.Submit(ctx, c); err != nil {
		return err
	}
	again := map[string]int{}
	lost := map[string]bool{} // at the look before: what a task wrote last may come later than its end
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w (Slurm's jobs go on; --cancel ends them)", s.stopped(ctx.Err()))
		case <-time.After(c.Every):
		}
		states := s.Look()
		tasks, err := s.tasks(ctx)
		if err != nil {
			if ctx.Err() == nil {
				s.o.Note(fmt.Sprintf("%v; trying again", err))
			}
			continue
		}
		if progress != nil {
			queued := 0
			for _, st := range states {
				if st.Status != run.Finished && tasks[st.ID].state == "PENDING" {
					queued++
				}
			}
			line := s.Progress(states)
			if queued > 0 {
				line = fmt.Sprintf("%d queued, %s", queued, line)
			}
			progress(line)
		}
		left := s.missing()
		if len(left) == 0 {
			return nil
		}
		var jobs []Job
		before := lost
		lost = map[string]bool{}
		for _, j := range left {
			t, submitted := tasks[j.ID]
			st := s.state(j)
			switch {
			case submitted && !t.over(), st.Status == run.Running, st.Status == run.Finished:
			case t.failed != "" && !t.sub.Submitted.Before(begin.Truncate(time.Millisecond)):
				s.fail(j, t.failed)
			case !before[j.ID]:
				lost[j.ID] = true
			case again[j.ID] == resubmissions:
				why := fmt.Sprintf("its tasks ended %d times without a result", resubmissions+1)
				if submitted {
					why += fmt.Sprintf(", at last %s; its log is %s", t, t.sub.path(fmt.Sprint(t.index, ".log")))
				}
				s.fail(j, why)
			default:
				again[j.ID]++
				s.o.Note(fmt.Sprintf("%s is lost (%s) and submitted again", j.name(), t))
				jobs = append(jobs, j)
			}
		}
		if err := s.submit(ctx, c, jobs); err != nil {
			return err
		}
	}
}

// Cancel ends the sweep's tasks in Slurm; runs under way are saved. Those of other sweeps that share a task go with them.
func (s *Sweep) Cancel(ctx context.Context) (tasks int, err error) {
	s.Look()
	all, err := s.tasks(ctx)
	if err != nil {
		return 0, err
	}
	var jobs []string
	for _, t := range all {
		if !t.over() && !slices.Contains(jobs, t.job) {
			jobs = append(jobs, t.job)
		}
	}
	slices.Sort(jobs)
	for some := range slices.Chunk(jobs, 500) {
		if _, err := output(ctx, "scancel", some...); err != nil {
			return 0, err
		}
	}
	return len(jobs), nil
}

// Task trains the runs of one task of a submission, the one that Slurm's environment names. A run that fails leaves its reason
// beside the submission. When ctx is cancelled, by the signal that comes before the end of the time or with a pre-emption, the run
// under way is saved and the job put back into the queue, unless it was cancelled.
func Task(ctx context.Context, path string, o Options) error {
	b, err := readSubmission(path)
	if err != nil {
		return err
	}
	index, err := strconv.Atoi(os.Getenv("SLURM_ARRAY_TASK_ID"))
	if err != nil || index < 0 || index >= len(b.Tasks) {
		return fmt.Errorf("slurm: SLURM_ARRAY_TASK_ID = %q; want one of the %d tasks of %s", os.Getenv("SLURM_ARRAY_TASK_ID"), len(b.Tasks), path)
	}
	o.Store = run.NewStore(filepath.Dir(filepath.Dir(b.dir)))
	t := NewTrainer(o)
	defer t.Close()
	failed := 0
	for _, job := range b.Tasks[index] {
		var watch run.Watcher
		if o.Watch != nil {
			watch = o.Watch(job.ID)
		}
		note := b.path(filepath.Join(failedDir, job.ID))
		if err := os.Remove(note); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("slurm: %w", err)
		}
		switch out := t.do(ctx, job, watch); {
		case out.Saved:
			return errors.Join(fmt.Errorf("run %s is saved: %w", job.ID, context.Cause(ctx)), requeue(run.SlurmJob()))
		case out.Error != "":
			failed++
			t.o.Note(fmt.Sprintf("run %s fails: %s", job.ID, out.Error))
			if err := os.WriteFile(note, []byte(out.Error+"\n"), 0o644); err != nil {
				return fmt.Errorf("slurm: %w", err)
			}
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d runs failed", failed, len(b.Tasks[index]))
	}
	return nil
}

// requeue puts a job back into the queue, when it is about to end without anybody's having cancelled it.
func requeue(job string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	state, err := output(ctx, "squeue", "--noheader", "--jobs="+job, "--format=%T")
	if err != nil || strings.TrimSpace(state) != "RUNNING" {
		return err // cancelled, or put back by Slurm itself
	}
	_, err = output(ctx, "scontrol", "requeue", job)
	return err
}
