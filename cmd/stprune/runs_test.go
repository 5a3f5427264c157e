package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	runs "github.com/stprune/workbench/stprune/run"
)

// trained asks for a short run on waves, and returns its id.
func trained(t *testing.T, settings ...string) string {
	t.Helper()
	spec := runs.DefaultSpec()
	if err := spec.Set(append([]string{"data.name=waves", "backend.name=go", "train.epochs=3", "prune.min_units=1"}, settings...)...); err != nil {
		t.Fatal(err)
	}
	r, err := runs.Do(context.Background(), spec, runs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r.ID
}

func fromJSON[T any](t *testing.T, args ...string) T {
	t.Helper()
	var v T
	out := output(t, 0, args...)
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatalf("%v: %v in\n%s", args, err, out)
	}
	return v
}

func TestRunsRemovedByConditions(t *testing.T) {
	waves(t)
	full := trained(t, "prune.method=full")
	random := trained(t, "prune.method=random", "prune.rho=0.5")
	left := func() (ids []string) {
		for _, r := range fromJSON[[]runJSON](t, "runs", "list", "--json") {
			ids = append(ids, r.ID)
		}
		return ids
	}
	says(t, output(t, 0, "runs", "rm", "method=random"), random, "1 runs would be removed; add --yes")
	if got := left(); len(got) != 2 {
		t.Errorf("without --yes %v are left", got)
	}
	output(t, exitUsage, "runs", "rm", "method=random", "prune.roh<1", "--yes")
	says(t, output(t, 0, "runs", "rm", "method=random", "mae>0", "--yes"), random)
	if got := left(); len(got) != 1 || got[0] != full {
		t.Errorf("%v are left, want %s", got, full)
	}
}

func TestRunsListSortsAndFilters(t *testing.T) {
	waves(t)
	full := trained(t, "prune.method=full", "name=all of it")
	half := trained(t, "prune.method=random", "prune.rho=0.5", "prune.w_max=inf")
	few := trained(t, "prune.method=random", "prune.rho=0.05", "train.seed=2")

	type listed struct {
		ID  string   `json:"id"`
		Rho *float64 `json:"prune.rho"`
		MAE float64
	}
	for args, want := range map[string][]string{
		"":                             {full, half, few},
		"prune.rho<0.1":                {few},
		"model=stid prune.rho>=0.05":   {half, few},
		"--sort prune.rho":             {few, half, full},
		"--sort -prune.rho":            {half, few, full},
		"--sort=-prune.rho mae>0":      {half, few, full},
		"status=interrupted":           {},
		"method=random train.seed!=1":  {few},
		"prune.method!=random mae<1e9": {full},
	} {
		given := append([]string{"runs", "list", "--json", "--columns", "id,prune.rho,mae"}, strings.Fields(args)...)
		var got []string
		for _, l := range fromJSON[[]listed](t, given...) {
			got = append(got, l.ID)
			if (l.Rho == nil) != (l.ID == full) || !(l.MAE > 0) {
				t.Errorf("%+v", l)
			}
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%s lists %v, want %v", args, got, want)
		}
	}
	if all := fromJSON[[]runJSON](t, "runs", "list", "--json"); len(all) != 3 || len(all[0].Epochs) != 3 || all[0].Result == nil {
		t.Errorf("as JSON: %+v", all)
	}
	table := output(t, 0, "runs", "list", "--columns", "id,mape,name,prune.rho", "--sort", "mape")
	says(t, table, "id                mape", " %  ", "all of it", "0.05")
	for _, test := range []struct{ args, want string }{
		{"runs list prune.roh<0.1", "prune.rho"},
		{"runs list --sort mea", "mae"},
		{"runs list --columns id,seed", "train.seed"},
		{"runs gc status=done", "finished"},
		{"runs du rho=1", "prune.rho"},
		{"runs export x.csv rho=1", "prune.rho"},
		{"runs export x", "name a format"},
		{"runs export x.csv --format tensorboard --epochs", "csv and parquet"},
	} {
		if out := output(t, exitUsage, strings.Fields(test.args)...); !strings.Contains(out, test.want) {
			t.Errorf("%s says\n%s\nwant %q", test.args, out, test.want)
		}
	}
}

func TestRunsDiff(t *testing.T) {
	waves(t)
	full := trained(t, "prune.method=full")
	half := trained(t, "prune.method=random", "prune.rho=0.5")
	d := fromJSON[diffJSON](t, "runs", "diff", full, half[:8], "--json")
	if rho := d.Settings["prune.rho"]; len(rho) != 2 || rho[0] != nil || rho[1] != 0.5 {
		t.Errorf("ρ differs as %v", rho)
	}
	if d.Settings["train.seed"] != nil || d.Settings["optim.lr"] != nil || len(d.Environment) > 0 || d.Results["data_hash"] != nil || d.Results["mae.12"][0] == nil {
		t.Errorf("they differ in %+v", d)
	}
	out := output(t, 0, "runs", "diff", full, half, full)
	says(t, out, "prune.method", "random", full, half, "mae", "-  ")
	if strings.Contains(out, "train.batch") {
		t.Errorf("an equal setting is in\n%s", out)
	}
	says(t, output(t, exitFailure, "runs", "diff", full, "0000"), "no such run")
}

func TestRunsDiskAndCleaning(t *testing.T) {
	waves(t)
	id, other := trained(t, "prune.method=full"), trained(t, "prune.method=random", "prune.rho=0.5")
	store := os.Getenv("STPRUNE_RUNS")
	checkpoint := func(id string) bool {
		_, err := os.Stat(filepath.Join(store, id, "checkpoint"))
		return err == nil
	}
	used := fromJSON[[]diskJSON](t, "runs", "du", "--json")
	if len(used) != 2 || used[0].ID != id || used[0].Needless == 0 || used[0].Total <= used[0].Needless {
		t.Errorf("disk use %+v", used)
	}
	says(t, output(t, 0, "runs", "du"), id, "2 runs")
	says(t, output(t, 0, "runs", "gc", "--dry-run"), id, other, "would be freed")
	if !checkpoint(id) || !checkpoint(other) {
		t.Fatal("--dry-run removed something")
	}
	if done := fromJSON[cleanedJSON](t, "runs", "gc", "--json", "method=full"); done.Runs[id] != used[0].Needless || len(done.Runs) != 1 || checkpoint(id) || !checkpoint(other) {
		t.Errorf("cleaned %+v", done)
	}
	if err := os.MkdirAll(filepath.Join(store, ".removed-0123456789abcdef"), 0o755); err != nil {
		t.Fatal(err)
	}
	says(t, output(t, 0, "runs", "gc"), other, "MB freed")
	if left, err := os.ReadDir(filepath.Join(store, ".removed-0123456789abcdef")); err == nil || checkpoint(other) {
		t.Errorf("cleaning leaves %v", left)
	}
	says(t, output(t, 0, "runs", "gc"), "0.00 MB freed")
	says(t, output(t, 0, "evaluate", id, "--backend", "go"), "mean of horizons")
}

func TestRunsExport(t *testing.T) {
	waves(t)
	id := trained(t, "prune.method=full")
	trained(t, "prune.method=random", "prune.rho=0.5")
	dir := t.TempDir()
	file := filepath.Join(dir, "runs.csv")
	says(t, output(t, 0, "runs", "export", file, "method=full"), "runs written to "+file+": 1")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(string(text))).ReadAll()
	if err != nil || len(rows) != 2 || rows[1][0] != id {
		t.Errorf("exported %v, %v", rows, err)
	}
	says(t, output(t, exitFailure, "runs", "export", file), "exists")
	output(t, 0, "runs", "export", file, "--force", "--epochs")
	if text, err := os.ReadFile(file); err != nil || strings.Count(string(text), "\n") != 7 {
		t.Errorf("%s, %v", text, err)
	}
	for _, format := range []string{"tensorboard", "mlflow"} {
		output(t, 0, "runs", "export", filepath.Join(dir, format), "--format", format)
	}
	if _, err := os.Stat(filepath.Join(dir, "mlflow", "0", id, "meta.yaml")); err != nil {
		t.Error(err)
	}
}
