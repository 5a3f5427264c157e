package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	studies "github.com/stprune/workbench/stprune/report"
)

func TestReport(t *testing.T) {
	waves(t)
	dir := t.TempDir()
	t.Chdir(dir)
	text := "[data]\nname = 'waves'\n[train]\nepochs = 3\n[prune]\nwarm_up = 0\nrho = 0.3\n[grid]\nseed = [1, 2]\nprune.method = ['full', 'random']\n"
	if err := os.WriteFile("study.toml", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if out := output(t, exitFailure, "report", "study.toml", "--backend", "go"); !strings.Contains(out, "none of the 4 runs of this study is finished") || !strings.Contains(out, "`stprune sweep`") {
		t.Errorf("of an empty store it says\n%s", out)
	}
	output(t, 0, "sweep", "study.toml", "--backend", "go")
	if out := output(t, 0, "report", "study.toml", "--backend", "go"); !strings.Contains(out, "study-report/index.html: 4 of 4 runs, ") || strings.Contains(out, "Incomplete") {
		t.Errorf("it says\n%s", out)
	}
	script, err := os.ReadFile(filepath.Join("study-report", "reproduce.sh"))
	if err != nil || !strings.Contains(string(script), "\nstprune sweep study.toml --backend go\nstprune report study.toml --backend go\n") {
		t.Errorf("reproduce.sh is %s (%v)", script, err)
	}

	// The study as the report holds it is the same study.
	c := command("report", filepath.Join("study-report", "study.toml"), "--backend", "go", "--json", "--out", "again")
	printed, err := c.Output()
	var r studies.Report
	if err == nil {
		err = json.Unmarshal(printed, &r)
	}
	if err != nil || r.Finished != 4 || len(r.Figures) == 0 || len(r.Sweep) != 4 {
		t.Errorf("%v: %s", err, printed)
	}

	for file, want := range map[string]string{
		"none.toml":                     "no such file",
		"study-report/environment.json": "environment.json: toml: ",
		"study-report/figures":          "figures",
	} {
		if out := output(t, exitUsage, "report", file); !strings.Contains(out, want) {
			t.Errorf("of %s it says\n%s", file, out)
		}
	}
	if out := output(t, exitFailure, "report", "study.toml", "--backend", "go", "--out", "."); !strings.Contains(out, "choose another name with --out") {
		t.Errorf("into a folder of something else: %s", out)
	}
}
