package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stprune/workbench/stprune/compare"
	"github.com/stprune/workbench/stprune/diagnose"
	runs "github.com/stprune/workbench/stprune/run"
)

func TestDiagnose(t *testing.T) {
	waves(t)
	train := func(settings ...string) runs.Result {
		args := []string{"train", "--backend", "go", "--set", "data.name=waves", "--set", "train.epochs=4", "--json"}
		for _, s := range settings {
			args = append(args, "--set", s)
		}
		out, err := command(args...).Output()
		if err != nil {
			t.Fatal(err)
		}
		var r runs.Result
		if err := json.Unmarshal(out, &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	other := train("data.horizon=6", "prune.method=random", "prune.rho=0.2")
	full, pruned := train("name=everything"), train("prune.method=random", "prune.rho=0.2", "name=a fifth")

	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{pruned.ID}, []string{"Kept by hour", "23:00", "Kept by congestion", "Rank correlation of scores between epochs", "1/(1+CV²)"}},
		{[]string{pruned.ID, "--against", full.ID, "--what", "overlap,errors"}, []string{"no epoch is pruned by both", "Test MAE by horizon", "a fifth", "everything", "worst 1 %", fmt.Sprintf("%.4f", pruned.Test.Pooled.MAE), fmt.Sprintf("%.4f", full.Test.Pooled.MAE)}},
		{[]string{pruned.ID, "--what", "gradient", "--epochs", "3"}, []string{"a fifth      1"}},
		{[]string{pruned.ID, "--what", "gradient-path", "--epochs", "3"}, []string{"when their epochs began", "\n3 "}},
		{[]string{pruned.ID, "--what", "gradient,spread"}, []string{"relative to that of all 226 units", "uniform", "cosine", "pairs"}},
		{[]string{full.ID, "--what", "replay", "--set", "prune.method=st-prune", "--set", "prune.rho=0.3"}, []string{"approximate", "score kept", "Kept by weekday", "Monday"}},
		{[]string{pruned.ID, "--against", full.ID, "--what", "replay"}, []string{"Units kept by random, replayed and run " + pruned.ID, "1.0000"}},
		{[]string{pruned.ID, "--against", pruned.ID, "--what", "overlap,scores"}, []string{"any of them", "between the runs"}},
	} {
		out := output(t, 0, append([]string{"diagnose", "--backend", "go"}, c.args...)...)
		for _, w := range c.want {
			if !strings.Contains(out, w) {
				t.Errorf("%v prints\n%s\nwithout %q", c.args, out, w)
			}
		}
	}

	all := topics
	var found map[string]json.RawMessage
	out, err := command("diagnose", pruned.ID, "--against", full.ID, "--backend", "go", "--json", "--what", strings.Join(all, ",")).Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &found); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	for _, topic := range all {
		if _, ok := found[topic]; !ok {
			t.Errorf("--json lacks %s", topic)
		}
	}

	for _, c := range []struct {
		code int
		args []string
		want string
	}{
		{exitUsage, []string{pruned.ID, "--what", "everything"}, "choose from kept"},
		{exitUsage, []string{pruned.ID, "--what", "errors"}, "--against"},
		{exitUsage, []string{pruned.ID, "--csv", "tail.csv"}, "--row, --rho and --csv"},
		{exitFailure, []string{pruned.ID, "--what", "gradient", "--epochs", "40"}, "epoch 40 of a fifth is not a pruned one"},
		{exitFailure, []string{full.ID, "--what", "kept"}, "no pruned epoch"},
		{exitFailure, []string{pruned.ID, "--what", "replay"}, "method full"},
		{exitFailure, []string{pruned.ID, "--set", "data.name=wave"}, "wave"},
		{exitFailure, []string{pruned.ID, "--against", other.ID}, "horizon"},
		{exitFailure, []string{"nothing"}, "no such run"},
	} {
		if out := output(t, c.code, append([]string{"diagnose"}, c.args...)...); !strings.Contains(out, c.want) {
			t.Errorf("%v says\n%s\nwant it to mention %q", c.args, out, c.want)
		}
	}
}

func TestDiagnoseOverSeeds(t *testing.T) {
	waves(t)
	dir := t.TempDir()
	file, numbers := filepath.Join(dir, "comparison.toml"), filepath.Join(dir, "tail.csv")
	text := "methods = ['st-prune']\nprimary = ['st-prune']\ncontrols = ['random', 'equal-visits']\nseeds = [1, 2]\nrho = [0.5, 0.25]\n" +
		"[data]\nname = 'waves'\n[train]\nepochs = 2\n[prune]\nwarm_up = 0\ndelta = 1\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if out := output(t, exitFailure, "diagnose", file); !strings.Contains(out, "no seed has finished runs") {
		t.Errorf("before the runs it says\n%s", out)
	}
	var report compare.Report
	trained, err := command("compare", file, "--backend", "go", "--json").Output()
	if err == nil {
		err = json.Unmarshal(trained, &report)
	}
	if err != nil {
		t.Fatal(err)
	}

	type found struct {
		Against string
		Rho     float64
		Seeds   []uint64
		Numbers []diagnose.Summary
	}
	ask := func(args ...string) (all []found) {
		c := command(append([]string{"diagnose", file, "--backend", "go", "--json"}, args...)...)
		var stderr bytes.Buffer
		c.Stderr = &stderr
		out, err := c.Output()
		if err == nil {
			err = json.Unmarshal(out, &all)
		}
		if err != nil {
			t.Fatalf("%v: %v in %s%s", args, err, out, stderr.String())
		}
		return all
	}
	// The errors of all windows are those of the runs: no value is missing, so that horizons weigh the same.
	mae := func(label string, rho float64) float64 {
		sum, n := 0.0, 0.0
		for _, r := range report.Runs {
			if r.Label == label && r.Rho == rho {
				sum, n = sum+r.MAE, n+1
			}
		}
		return sum / n
	}
	all := ask("--against", "random", "--what", "errors,kept,overlap,gradient,gradient-path", "--csv", numbers)
	if len(all) != 2 {
		t.Fatalf("%+v", all)
	}
	for _, f := range all {
		topics, pairs := map[string]bool{}, len(f.Seeds)
		for _, n := range f.Numbers {
			topics[n.Topic] = true
			pairs = min(pairs, n.Pairs)
			want := []float64{mae("st-prune", f.Rho), mae("random", f.Rho)}
			if n.Topic == "errors" && n.By == "all" && (math.Abs(n.Value.Mean-want[0]) > 1e-5 || math.Abs(n.Comparison.Against.Mean-want[1]) > 1e-5 || n.Pairs != 2) {
				t.Errorf("at %v errors are %+v against %+v, want %v", f.Rho, n.Value, n.Comparison, want)
			}
		}
		if len(topics) != 5 || pairs != 2 || len(f.Seeds) != 2 || f.Against != "random" {
			t.Errorf("%+v", f)
		}
	}
	rows, err := os.ReadFile(numbers)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(rows)), "\n")
	if len(lines) != 1+len(all[0].Numbers)+len(all[1].Numbers) || !strings.HasPrefix(lines[1], "st-prune,random,fixed,0.5,kept,kept share,all,all,2,0.5") {
		t.Errorf("%d lines, %s", len(lines), lines[1])
	}
	if some := ask("--against", "equal-visits", "--rho", "0.25"); len(some) != 1 || some[0].Rho != 0.25 || !strings.HasPrefix(some[0].Against, "full data, 0.5 ×") {
		t.Errorf("%+v", some)
	}

	for _, c := range []struct {
		code int
		args []string
		want string
	}{
		{0, []string{"--row", "random", "--against", "equal-visits", "--what", "errors"}, "random, fixed batches, 25 %, seeds [1 2], against full data"},
		{exitUsage, []string{"--what", "errors"}, "--against"},
		{exitUsage, []string{"--what", "replay"}, "one run"},
		{exitUsage, []string{"--set", "data.name=wave"}, "in the comparison"},
		{exitFailure, []string{"--row", "infobatch"}, `no row "infobatch"`},
		{exitFailure, []string{"--against", "full"}, "0 rows at 50 %"},
	} {
		args := append([]string{"diagnose", file, "--backend", "go"}, c.args...)
		if out := output(t, c.code, args...); !strings.Contains(out, c.want) {
			t.Errorf("%v says\n%s\nwant it to mention %q", c.args, out, c.want)
		}
	}
}
