package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stprune/workbench/stprune/compare"
)

func TestCompare(t *testing.T) {
	waves(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "comparison.toml")
	write := func(methods string) {
		text := "methods = [" + methods + "]\nseeds = [1, 2]\nrho = [0.3]\n[data]\nname = 'waves'\n[train]\nepochs = 3\n[prune]\nwarm_up = 0\n"
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("'st-prune'")
	if out := output(t, 0, "compare", file, "--backend", "go", "--plan"); !strings.Contains(out, "10 different runs: 0 finished, 10 to train\n") {
		t.Errorf("the plan is\n%s", out)
	}
	if out := output(t, 0, "compare", file, "--backend", "go", "--collect"); !strings.Contains(out, "not trained yet") {
		t.Errorf("nothing is there, and it says\n%s", out)
	}
	out := output(t, 0, "compare", file, "--backend", "go", "--csv", filepath.Join(dir, "csv"))
	for _, want := range []string{"our reconstruction", "## Against full data tuned alike", "not enough seeds", "runs are finished."} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	for _, name := range []string{"csv/runs.csv", "csv/cells.csv"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	c := command("compare", file, "--backend", "go", "--json")
	text, err := c.Output()
	var report compare.Report
	if err == nil {
		err = json.Unmarshal(text, &report)
	}
	if err != nil || len(report.Missing) != 0 || len(report.Groups[0].Cells) < 4 {
		t.Errorf("%v: %s", err, text)
	}
	if out := output(t, 0, "compare", file, "--backend", "go", "--plan"); !strings.Contains(out, " finished, 0 to train\n") {
		t.Errorf("the plan is then\n%s", out)
	}

	write("'st-prune', { name = 'random', label = 'wild', optim.lr = 1e30, optim.clip = 0.0 }")
	if out := output(t, exitFailure, "compare", file, "--backend", "go"); !strings.Contains(out, "- wild, fixed") || !strings.Contains(out, "runs failed") {
		t.Errorf("with failing runs it says\n%s", out)
	}
	write("'prune'")
	if out := output(t, exitUsage, "compare", file); !strings.Contains(out, `no method "prune"`) {
		t.Errorf("an unknown method: %s", out)
	}
}
