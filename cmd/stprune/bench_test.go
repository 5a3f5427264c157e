package main

import (
	"bufio"
	"encoding/json"
	"strings"
	"syscall"
	"testing"

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
