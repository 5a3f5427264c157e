package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stprune/workbench/datasets"
	runs "github.com/stprune/workbench/stprune/run"
)

// asCommand makes the test binary behave as the command itself.
const asCommand = "STPRUNE_TEST_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		os.Exit(run(os.Args[1:]))
	}
	os.Exit(m.Run())
}

func command(args ...string) *exec.Cmd {
	c := exec.Command(os.Args[0], args...)
	c.Env = append(os.Environ(), asCommand+"=1")
	return c
}

func output(t *testing.T, wantCode int, args ...string) string {
	t.Helper()
	c := command(args...)
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	_ = c.Run() // its exit code says all
	if code := c.ProcessState.ExitCode(); code != wantCode {
		t.Fatalf("stprune %s: exit code %d, want %d\n%s", strings.Join(args, " "), code, wantCode, stderr.String())
	}
	return stdout.String() + stderr.String()
}

// waves makes an empty store, and a data folder that holds the small set "waves".
func waves(t *testing.T) {
	s := &datasets.Series{
		Name: "waves", T: 400, N: 3, Nodes: []string{"a", "b", "c"}, Missing: datasets.NoMissing(),
		Calendar: datasets.Calendar{Start: time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC), Step: time.Hour},
	}
	for i := range s.T {
		for n := range s.N {
			s.Values = append(s.Values, float32(math.Sin(2*math.Pi*float64(i)/24+float64(n))))
		}
	}
	dir := t.TempDir()
	if err := datasets.Save(filepath.Join(dir, "waves"), s, datasets.Card{Name: "waves"}); err != nil {
		t.Fatal(err)
	}
	t.Setenv("STPRUNE_DATA", dir)
	t.Setenv("STPRUNE_RUNS", t.TempDir())
}

func TestTrainAndRuns(t *testing.T) {
	waves(t)
	spec := filepath.Join(t.TempDir(), "spec.toml")
	text := "name = 'first'\n[data]\nname = 'waves'\nsplit = [7, 1, 2]\n[train]\nepochs = 4\n[prune]\nmethod = 'random'\nmin_units = 1\n"
	if err := os.WriteFile(spec, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	train := []string{"train", spec, "--backend", "go", "--set", "prune.rho=0.2", "--json"}
	var first, again runs.Result
	for _, result := range []*runs.Result{&first, &again} {
		c := command(train...)
		out, err := c.Output()
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(out, result); err != nil {
			t.Fatalf("%v in %s", err, out)
		}
	}
	if first.ID != again.ID || first.Epochs != 4 || first.Seconds != again.Seconds || !(first.Test.Mean.MAE > 0) {
		t.Errorf("first %+v, again %+v", first, again)
	}

	var listed []struct {
		ID, Status string
		Spec       struct{ Prune struct{ Rho float64 } }
		Epochs     []runs.Epoch
	}
	for filter, want := range map[string]int{"prune.rho=0.2": 1, "prune.rho=0.3": 0} {
		if err := json.Unmarshal([]byte(output(t, 0, "runs", "list", filter, "--json")), &listed); err != nil {
			t.Fatal(err)
		}
		if len(listed) != want || want == 1 && (listed[0].ID != first.ID || listed[0].Spec.Prune.Rho != 0.2 || len(listed[0].Epochs) != 4) {
			t.Errorf("%s lists %+v", filter, listed)
		}
	}
	for _, args := range [][]string{{"runs", "list"}, {"runs", "show", first.ID[:6]}} {
		if out := output(t, 0, args...); !strings.Contains(out, fmt.Sprintf("%.4f", first.Test.Mean.MAE)) || !strings.Contains(out, "first") {
			t.Errorf("%v prints\n%s", args, out)
		}
	}
	var evaluated map[string]struct{ Mean struct{ MAE float64 } }
	if err := json.Unmarshal([]byte(output(t, 0, "evaluate", first.ID, "--backend", "go", "--json")), &evaluated); err != nil {
		t.Fatal(err)
	}
	if got := evaluated["waves"].Mean.MAE; got != first.Test.Mean.MAE {
		t.Errorf("evaluated again its test MAE is %v, before %v", got, first.Test.Mean.MAE)
	}
	output(t, exitFailure, "evaluate", first.ID, "--backend", "go", "--set", "data.name=wave")
	weights := filepath.Join(t.TempDir(), "stid.npz")
	output(t, 0, "runs", "weights", first.ID, weights)
	clear(evaluated)
	if err := json.Unmarshal([]byte(output(t, 0, "evaluate", spec, "--weights", weights, "--backend", "go", "--json")), &evaluated); err != nil {
		t.Fatal(err)
	}
	if got := evaluated["waves"].Mean.MAE; got != first.Test.Mean.MAE {
		t.Errorf("with its weights read back its test MAE is %v, before %v", got, first.Test.Mean.MAE)
	}
	output(t, 0, "runs", "rm", first.ID)
	output(t, exitFailure, "runs", "show", first.ID)
}

func TestTrainRefusesWrongUsage(t *testing.T) {
	waves(t)
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{exitUsage, "unknown key prune.rh", []string{"--set", "data.name=waves", "--set", "prune.rh=1"}},
		{exitUsage, "data.name", nil},
		{exitUsage, "stid-pems", []string{"--preset", "stid-pem", "--set", "data.name=waves"}},
		{exitUsage, "optim.lr", []string{"--set", "data.name=waves", "--set", "optim.lr=0"}},
		{exitUsage, "backend.name", []string{"--set", "data.name=waves", "--backend", "abacus"}},
		{exitFailure, "waves", []string{"--set", "data.name=wave"}},
		{exitFailure, "depth", []string{"--set", "data.name=waves", "--backend", "go", "--set", "model.options.depth=3"}},
	} {
		if out := output(t, c.code, append([]string{"train"}, c.args...)...); !strings.Contains(out, c.want) {
			t.Errorf("%v says\n%s\nwant it to mention %q", c.args, out, c.want)
		}
	}
}

// SIGTERM and Ctrl-C save the run and leave with a code of their own; asking again resumes it.
func TestTrainIsInterrupted(t *testing.T) {
	waves(t)
	args := []string{"train", "--backend", "go", "--set", "data.name=waves", "--set", "train.epochs=40", "--set", "train.batch=8"}
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		c := command(args...)
		stderr, err := c.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		said := bufio.NewScanner(stderr)
		said.Scan() // after its first line it trains
		if err := c.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		last := ""
		for said.Scan() {
			last = said.Text()
		}
		_ = c.Wait() // its exit code says all
		if code := c.ProcessState.ExitCode(); code != exitInterrupted || !strings.Contains(last, "resumes when asked for again") {
			t.Fatalf("%v: exit code %d, want %d; it says %q", signal, code, exitInterrupted, last)
		}
	}
	if out := output(t, 0, args...); !strings.Contains(out, "resumes after epoch") {
		t.Errorf("asked again it says\n%s", out)
	}
}
