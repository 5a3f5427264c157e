package sweep

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stprune/workbench/stprune/run"
)

// fakeCommands are Slurm's commands as the test binary plays them, and step, which keeps one task. The folder fakeFolder holds a file
// per task, named JOB_INDEX: its job's name and its state.
var fakeCommands = []string{"sbatch", "squeue", "scancel", "scontrol", "step"}

const fakeFolder = "STPRUNE_TEST_SLURM"

func fakeSlurm(name string, args []string) int {
	dir := os.Getenv(fakeFolder)
	if _, err := os.Stat(filepath.Join(dir, "down")); err == nil && name != "step" {
		fmt.Fprintln(os.Stderr, "Unable to contact slurm controller")
		return 1
	}
	option := func(name string) string {
		for _, a := range args {
			if v, ok := strings.CutPrefix(a, "--"+name+"="); ok {
				return v
			}
		}
		return ""
	}
	write := func(task, job, state string) {
		path := filepath.Join(dir, task)
		_ = os.WriteFile(path+".new", []byte(job+" "+state), 0o644)
		_ = os.Rename(path+".new", path)
	}
	read := func(task string) (job, state string) {
		text, _ := os.ReadFile(filepath.Join(dir, task))
		job, state, _ = strings.Cut(string(text), " ")
		if _, err := os.Stat(filepath.Join(dir, "cancelled", task)); err == nil {
			state = "CANCELLED"
		}
		return job, state
	}
	tell := func(task string) {
		pid, _ := os.ReadFile(filepath.Join(dir, "pids", task))
		if n, err := strconv.Atoi(string(pid)); err == nil {
			_ = syscall.Kill(n, syscall.SIGTERM)
		}
	}
	switch name {
	case "sbatch":
		log, _ := os.OpenFile(filepath.Join(dir, "sbatch.log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		fmt.Fprintln(log, strings.Join(args, " "))
		if slices.Contains(args, "--partition=none") {
			fmt.Fprintln(os.Stderr, "invalid partition specified: none")
			return 1
		}
		job := 1
		for os.Mkdir(filepath.Join(dir, "jobs", fmt.Sprint(job)), 0o755) != nil {
			job++
		}
		array, _, _ := strings.Cut(strings.TrimPrefix(option("array"), "0-"), "%")
		last, _ := strconv.Atoi(array)
		for i := range last + 1 {
			task := fmt.Sprintf("%d_%d", job, i)
			write(task, option("job-name"), "PENDING")
			_ = os.WriteFile(filepath.Join(dir, "steps", task), nil, 0o644)
			step := exec.Command(filepath.Join(dir, "bin", "step"), task, option("output"), args[len(args)-1])
			step.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			if err := step.Start(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
		}
		fmt.Println(job)
	case "step":
		task, output, script := args[0], args[1], args[2]
		defer func() { _ = os.Remove(filepath.Join(dir, "steps", task)) }()
		job, index, _ := strings.Cut(task, "_")
		for start := 0; ; start++ {
			_, state := read(task)
			if state == "CANCELLED" {
				return 0
			}
			cmd := exec.Command(script)
			cmd.Env = append(os.Environ(), "SLURM_ARRAY_JOB_ID="+job, "SLURM_ARRAY_TASK_ID="+index, fmt.Sprint("SLURM_RESTART_COUNT=", start))
			log, _ := os.OpenFile(strings.ReplaceAll(output, "%a", index), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
			cmd.Stdout, cmd.Stderr = log, log
			name, _ := read(task)
			write(task, name, "RUNNING")
			err := cmd.Start()
			if err == nil {
				_ = os.WriteFile(filepath.Join(dir, "pids", task), []byte(fmt.Sprint(cmd.Process.Pid)), 0o644)
				if _, state := read(task); state == "CANCELLED" { // in between
					tell(task)
				}
				err = cmd.Wait()
			}
			switch _, state = read(task); {
			case state == "REQUEUED":
				write(task, name, "PENDING")
				continue
			case state == "CANCELLED":
			case err != nil:
				write(task, name, "FAILED")
			default:
				write(task, name, "COMPLETED")
			}
			return 0
		}
	case "squeue":
		tasks, _ := filepath.Glob(filepath.Join(dir, "*_*"))
		for _, path := range tasks {
			task := filepath.Base(path)
			name, state := read(task)
			job, index, _ := strings.Cut(task, "_")
			if option("jobs") == task {
				fmt.Println(state)
			} else if strings.Contains(option("name"), name) && name != "" {
				fmt.Printf("%s|%s|%s|%s|None\n", name, index, job, state)
			}
		}
	case "scancel":
		for _, task := range args {
			_ = os.WriteFile(filepath.Join(dir, "cancelled", task), nil, 0o644)
			tell(task)
		}
	case "scontrol": // requeue
		task := args[1]
		name, _ := read(task)
		write(task, name, "REQUEUED")
		tell(task)
	}
	return 0
}

// cluster puts a fake Slurm on PATH.
func cluster(t *testing.T) (dir string, c Slurm) {
	t.Helper()
	dir = t.TempDir()
	for _, folder := range []string{"bin", "jobs", "pids", "kill", "steps", "cancelled"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	self, err := filepath.Abs(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range fakeCommands {
		if err := os.Symlink(self, filepath.Join(dir, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	// sacct, as it is where no accounts are kept.
	if err := os.WriteFile(filepath.Join(dir, "bin", "sacct"), []byte("#!/bin/sh\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // nothing writes to the folders that are removed then
		for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			if steps, _ := os.ReadDir(filepath.Join(dir, "steps")); len(steps) == 0 {
				return
			}
		}
		t.Error("tasks are left over")
	})
	t.Setenv("PATH", filepath.Join(dir, "bin")+":/usr/bin:/bin")
	t.Setenv(fakeFolder, dir)
	t.Setenv(asTask, "1")
	t.Setenv(killFolder, filepath.Join(dir, "kill"))
	return dir, Slurm{Command: []string{self}, Every: 100 * time.Millisecond}
}

// at has the process that trains the run of the id get the signal in the middle.
func at(t *testing.T, dir, id string, sig syscall.Signal) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "kill", id), []byte(strconv.Itoa(int(sig))), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestSlurm(t *testing.T) {
	want := t.TempDir()
	if err := open(t, tiny, options(want)).Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, perTask := range map[string]int{"a run per task": 1, "four": 4} {
		t.Run(name, func(t *testing.T) {
			dir, c := cluster(t)
			c.PerTask, c.Args, c.AtOnce = perTask, []string{"--mem=8G"}, 3
			store := t.TempDir()
			o, noted := options(store), ""
			o.Note = func(text string) { noted += text + "\n" }
			s := open(t, tiny, o)
			at(t, dir, s.jobs[0].ID, syscall.SIGKILL) // it dies, and is submitted again
			at(t, dir, s.jobs[3].ID, syscall.SIGTERM) // it is told to stop, and puts itself back into the queue
			if err := s.Follow(t.Context(), c, nil); err != nil || statuses(s.Look()) != "[finished:6]" {
				t.Fatalf("%v, %s\n%s", err, statuses(s.Look()), noted)
			}
			same(t, want, store)
			if n := strings.Count(noted, "is lost"); n != min(perTask, 6) && n < 1 {
				t.Errorf("%d runs were lost:\n%s", n, noted)
			}
			log, err := os.ReadFile(filepath.Join(dir, "sbatch.log"))
			first, _, _ := strings.Cut(string(log), "\n")
			for _, part := range []string{fmt.Sprintf("--array=0-%d%%3 ", (6+perTask-1)/perTask-1), "--requeue --signal=B:TERM@60 --mem=8G "} {
				if err != nil || !strings.Contains(first, part) {
					t.Errorf("sbatch was called with %q; want %q in it", first, part)
				}
			}
			// All is there, so that nothing is submitted.
			if n, err := s.Submit(t.Context(), c); n != 0 || err != nil {
				t.Errorf("%d runs submitted again, %v", n, err)
			}
		})
	}
}

func TestSlurmFailures(t *testing.T) {
	_, c := cluster(t)
	o := options(t.TempDir())
	s := open(t, tiny+wild, o)
	if err := s.Follow(t.Context(), c, nil); err != nil {
		t.Fatal(err)
	}
	states, err := s.LookSlurm(t.Context())
	if err != nil || statuses(states) != "[failed:4 finished:6]" {
		t.Fatalf("%v, %s", err, statuses(states))
	}
	// Another process knows it too.
	states, err = open(t, tiny+wild, o).LookSlurm(t.Context())
	if err != nil || statuses(states) != "[failed:4 finished:6]" {
		t.Fatalf("%v, %s", err, statuses(states))
	}
	for _, st := range states {
		if st.Status == Failed && (!strings.Contains(st.Reason, "loss is") || !strings.Contains(st.Task, "failed")) {
			t.Errorf("%+v", st)
		}
	}
}

// Tasks that always end without a word are given up.
func TestSlurmGivesUp(t *testing.T) {
	_, c := cluster(t)
	c.Command = []string{"/bin/false"}
	s := open(t, tiny, options(t.TempDir()))
	if err := s.Follow(t.Context(), c, nil); err != nil {
		t.Fatal(err)
	}
	for _, st := range s.Look() {
		if st.Status != Failed || !strings.Contains(st.Reason, "ended 4 times without a result") || !strings.Contains(st.Reason, "failed; its log is") {
			t.Errorf("%s: %s", st.Status, st.Reason)
		}
	}
}

func TestSlurmSubmitAndCancel(t *testing.T) {
	dir, c := cluster(t)
	store := t.TempDir()
	s := open(t, strings.Replace(tiny, "epochs = 4", "epochs = 4000", 1), options(store))
	if n, err := s.Submit(t.Context(), c); n != 6 || err != nil {
		t.Fatalf("%d runs submitted, %v", n, err)
	}
	// The queue is known to others, also to a sweep that shares some of the runs.
	part := open(t, strings.Replace(strings.Replace(tiny, "epochs = 4", "epochs = 4000", 1), "seed = [1, 2]", "seed = [2, 3]", 1), options(store))
	if n, err := part.Submit(t.Context(), c); n != 3 || err != nil {
		t.Fatalf("%d runs of a sweep that shares 3 of 6 submitted, %v", n, err)
	}
	for begun := false; !begun; time.Sleep(10 * time.Millisecond) {
		for _, st := range s.Look() {
			begun = begun || st.Status == run.Running
		}
	}
	states, err := s.LookSlurm(t.Context())
	if err != nil || !slices.ContainsFunc(states, func(st State) bool {
		return st.Claim != nil && st.Claim.Job != "" && strings.HasSuffix(st.Task, " running")
	}) {
		t.Errorf("%v: %+v", err, states)
	}
	for _, sweep := range []*Sweep{s, part} {
		if _, err := sweep.Cancel(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(time.Minute); strings.Contains(statuses(s.Look()), "running"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("cancelled tasks go on")
		}
	}
	if n, err := s.Cancel(t.Context()); n != 0 || err != nil {
		t.Errorf("%d tasks cancelled again, %v", n, err)
	}
	tasks, err := filepath.Glob(filepath.Join(dir, "*_*"))
	if err != nil || len(tasks) != 9 {
		t.Errorf("tasks %v, %v", tasks, err)
	}
	for _, path := range tasks {
		if text, err := os.ReadFile(path); err != nil || strings.HasSuffix(string(text), "REQUEUED") { // none put itself back
			t.Errorf("%s: %s, %v", path, text, err)
		}
	}
}

func TestSlurmTrouble(t *testing.T) {
	dir, c := cluster(t)
	store := t.TempDir()
	o, noted := options(store), make(chan string, 100)
	o.Note = func(text string) { noted <- text }
	s := open(t, tiny, o)
	c.Args = []string{"--partition=none"}
	if err := s.Follow(t.Context(), c, nil); err == nil || !strings.Contains(err.Error(), "invalid partition specified") {
		t.Errorf("error %v", err)
	}
	if all, err := submissions(store); len(all) != 0 || err != nil {
		t.Errorf("a refused submission is kept: %+v, %v", all, err)
	}
	// While Slurm doesn't answer nothing is taken for lost.
	c.Args = nil
	ended := make(chan error)
	go func() { ended <- s.Follow(t.Context(), c, nil) }()
	if text := <-noted; !strings.HasPrefix(text, "submitted job 1: 6 runs in 6 tasks") {
		t.Errorf("noted %q", text)
	}
	if err := os.WriteFile(filepath.Join(dir, "down"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for text := range noted {
		if strings.Contains(text, "Unable to contact") && strings.Contains(text, "trying again") {
			break
		}
	}
	if err := os.Remove(filepath.Join(dir, "down")); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil || statuses(s.Look()) != "[finished:6]" {
		t.Errorf("%v, %s", err, statuses(s.Look()))
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := open(t, tiny+wild, options(t.TempDir())).Submit(context.Background(), c); !errors.Is(err, exec.ErrNotFound) || !strings.Contains(err.Error(), "has no Slurm") {
		t.Errorf("error %v", err)
	}
}
