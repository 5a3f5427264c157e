package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stprune/workbench/stprune/sweep"
)

func TestSweep(t *testing.T) {
	waves(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "study.toml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte("[data]\nname = 'waves'\n[train]\nepochs = 3\n[backend]\nname = 'go'\n"+text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	grid := "[grid]\nseed = [1, 2]\n[[list]]\nprune.method = 'full'\n[[list]]\nprune.method = 'random'\nprune.rho = 0.3\nprune.warm_up = 0\n"
	write(grid)
	if out := output(t, 0, "sweep", file, "--plan"); !strings.Contains(out, "study: 0 of 4 runs finished") || strings.Count(out, " new") != 4 {
		t.Errorf("the plan is\n%s", out)
	}
	out := output(t, 0, "sweep", file, "--workers", "2")
	if !strings.Contains(out, "study: 4 of 4 runs finished\n") || strings.Count(out, "finished") < 5 {
		t.Errorf("it says\n%s", out)
	}
	text, err := command("sweep", file, "--json").Output()
	var states []sweep.State
	if err == nil {
		err = json.Unmarshal(text, &states)
	}
	if err != nil || len(states) != 4 || states[0].Result == nil {
		t.Errorf("%v: %s", err, text)
	}
	wild := func(lr string) string {
		return grid + "[[list]]\nname = 'wild'\noptim.lr = " + lr + "\noptim.clip = 0.0\n"
	}
	for lr, workers := range map[string]string{"1e30": "1", "2e30": "auto"} {
		write(wild(lr))
		out := output(t, exitFailure, "sweep", file, "--workers", workers)
		if !strings.Contains(out, "failed: wild, seed 2 (run ") || !strings.Contains(out, "stprune: 2 of 6 runs failed") {
			t.Errorf("with failing runs it says\n%s", out)
		}
	}

	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--workers", "none"}, "want a number from 1, or auto"},
		{[]string{"--sbatch-arg=--mem=1G"}, "are for --executor=slurm"},
		{[]string{"--executor", "slurm", "--workers", "auto"}, "give a number of tasks"},
		{[]string{"--plan", "--state"}, "can't be used together"},
		{[]string{"--backend", "abacus"}, `backend.name = "abacus"`},
	} {
		if out := output(t, exitUsage, append([]string{"sweep", file}, c.args...)...); !strings.Contains(out, c.want) {
			t.Errorf("%v: %s", c.args, out)
		}
	}
	t.Setenv("PATH", dir)
	write(wild("3e30"))
	if out := output(t, exitFailure, "sweep", file, "--executor", "slurm"); !strings.Contains(out, "this machine has no Slurm") {
		t.Errorf("without Slurm: %s", out)
	}
}

// A sweep that is told to stop, or killed, leaves no process behind, and its runs resume.
func TestSweepEnds(t *testing.T) {
	waves(t)
	file := filepath.Join(t.TempDir(), "long.toml")
	if err := os.WriteFile(file, []byte("[data]\nname = 'waves'\n[train]\nepochs = 5000\n[backend]\nname = 'go'\n[grid]\nseed = [1, 2, 3]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		c := command("sweep", file, "--workers", "2")
		var stderr bytes.Buffer
		c.Stderr = &stderr
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		states := func(want string, n int) {
			t.Helper()
			for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
				text := output(t, 0, "sweep", file, "--plan")
				if strings.Count(text, want) == n {
					return
				}
				if time.Now().After(end) {
					t.Fatalf("want %d runs %s:\n%s\n%s", n, want, text, stderr.String())
				}
			}
		}
		states(" running", 2)
		if err := c.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		_ = c.Wait() // its exit code says all
		if code := c.ProcessState.ExitCode(); sig == syscall.SIGTERM && code != exitInterrupted {
			t.Errorf("exit code %d, want %d\n%s", code, exitInterrupted, stderr.String())
		}
		states(" interrupted", 2)
	}
}
