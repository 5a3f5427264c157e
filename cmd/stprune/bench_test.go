package main

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stprune/workbench/stprune/bench"
)

func TestBenchSelect(t *testing.T) {
	out := output(t, 0, "bench", "select", "--method", "grand,craig,dp", "--units", "200,100", "--gradients", "5", "--limit", "1m")
	if lines := strings.Split(strings.TrimSpace(out), "\n"); len(lines) != 7 || !strings.HasPrefix(lines[3], "craig") {
		t.Errorf("want a line for each of 3 methods and 2 sizes:\n%s", out)
	}
	out = output(t, 0, "bench", "select", "--method", "dp", "--units", "100,10000000", "--gradients", "2048")
	if !strings.Contains(out, "dp, 10000000 units: choosing among 10000000 units takes 81920000000 bytes") {
		t.Errorf("no reason for what was refused:\n%s", out)
	}
	output(t, exitFailure, "bench", "select", "--method", "nonesuch")
}

func TestBenchLimit(t *testing.T) {
	file := filepath.Join(t.TempDir(), "limit.csv")
	out := output(t, 0, "bench", "limit", "--width", "2", "--windows", "90,60", "--nodes", "2", "--epochs", "2", "--rho", "0.5", "--backend", "go", "--csv", file)
	rows, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(rows)), "\n")
	if len(lines) != 3 || !strings.Contains(lines[1], ",90,window,0.5,2,") || !strings.HasPrefix(lines[0], "parameters,windows,") || !strings.Contains(out, "fewer visits") {
		t.Errorf("%s\nprinted with\n%s", out, rows)
	}
}

func TestBenchSelectStops(t *testing.T) {
	c := command("bench", "select", "--method", "cal", "--units", "50,300000", "--limit", "1h", "--json")
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadBytes('\n') // the next choice would take minutes
	var r bench.Choice
	if err != nil || json.Unmarshal(line, &r) != nil || r.Method != "cal" || r.Kept != 5 {
		t.Errorf("%s, %v", line, err)
	}
	if err := c.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait() // its exit code says all
	if code := c.ProcessState.ExitCode(); code != exitInterrupted {
		t.Errorf("exit code %d; want %d", code, exitInterrupted)
	}
}

// bench peers hands its flags on to bench/peers.py, and says what it needs where that isn't there.
func TestBenchPeers(t *testing.T) {
	c := benchPeersCmd{Case: []string{"stid 67 64", "gwnet 67 64"}, What: []string{"step", "epoch"}, Repeat: 2, For: 1500 * time.Millisecond, Device: "cpu", Against: "old", Option: []string{"layers=2"}, Micro: 4}
	got := strings.Join(c.flags("me"), "|")
	says(t, got, "--stprune|me|", "--repeat|2|", "--for|1.5|", "--device|cpu|", "--case|stid 67 64|--case|gwnet 67 64", "--what|step|--what|epoch", "--against=old", "--ours= --option 'layers=2' --micro-batch 4")
	if strings.Contains(got, "--results") || strings.Contains(got, "--variant") {
		t.Errorf("flags that were not given: %s", got)
	}

	t.Chdir(t.TempDir())
	says(t, output(t, exitFailure, "bench", "peers"), "run it in the folder of a clone")
	if err := os.MkdirAll("bench", 0o755); err != nil {
		t.Fatal(err)
	}
	script := "import sys\nprint('flags', *sys.argv[1:])\nsys.exit(0 if '--repeat' in sys.argv else 1)\n"
	if err := os.WriteFile(filepath.Join("bench", "peers.py"), []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PYTHON", "no-such-python")
	says(t, output(t, exitFailure, "bench", "peers"), "no-such-python", "make bench")
	t.Setenv("PYTHON", "python3")
	says(t, output(t, 0, "bench", "peers", "--repeat", "7", "--variant", "sdpa=--sdpa"), "--repeat 7", "--variant sdpa=--sdpa")
}
