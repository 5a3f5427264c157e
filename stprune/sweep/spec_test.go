package sweep

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func names(s Spec) []string {
	var all []string
	for _, r := range s.Runs {
		all = append(all, r.Name)
	}
	return all
}

func TestParse(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "base.toml"), []byte("[data]\nname = 'waves'\n[optim]\nlr = 0.5\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string][]string{
		"base = 'base.toml'": {""},
		"base = 'base.toml'\n[grid]\nseed = [1, 2]\n'prune.rho' = [0.1, 0.2]\nprune.method = ['random']": {
			"random, rho 0.1, seed 1", "random, rho 0.2, seed 1", "random, rho 0.1, seed 2", "random, rho 0.2, seed 2"},
		"[data]\nname = 'waves'\n[grid]\nseed = [7]\n[[list]]\nprune.method = 'st-prune'\nprune.rho = 0.2\n[[list]]\nname = 'all of it'\nprune.method = 'full'": {
			"st-prune, rho 0.2, seed 7", "all of it, seed 7"},
		"[data]\nname = 'waves'\n[[list]]\noptim.lr = 0.1\nmodel.options = { layers = 2 }": {"layers 2, lr 0.1"},
		"[grid]\n'data.split' = [[6, 2, 2], [7, 1, 2]]\n'data.name' = ['waves']":           {"waves, split [6 2 2]", "waves, split [7 1 2]"},
		"[data]\nname = 'waves'\n[grid]\nmodel.options = [{ layers = 1 }, { layers = 3 }]": {"options map[layers:1]", "options map[layers:3]"},
	} {
		s, err := Parse([]byte(text), dir)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := names(s); !slices.Equal(got, want) {
			t.Errorf("%s: runs %q, want %q", text, got, want)
		}
		whole, err := s.TOML()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := Parse(whole, ""); err != nil || !reflect.DeepEqual(again.Runs, s.Runs) {
			t.Errorf("%s: written out it is %+v (%v), not %+v:\n%s", text, again.Runs, err, s.Runs, whole)
		}
	}
	s, err := Parse([]byte("base = 'base.toml'\n[grid]\nmodel.options = [{ layers = 1 }, { layers = 3 }]\n[[list]]\noptim.lr = 0.25\n[[list]]\ntrain.batch = 8"), dir)
	if err != nil || len(s.Runs) != 4 {
		t.Fatalf("%d runs, %v", len(s.Runs), err)
	}
	// Nothing that one run sets is another's.
	for i, want := range []struct {
		lr     float64
		batch  int
		layers int64
	}{{0.25, 64, 1}, {0.25, 64, 3}, {0.5, 8, 1}, {0.5, 8, 3}} {
		r := s.Runs[i]
		if r.Optim.LR != want.lr || r.Train.Batch != want.batch || r.Model.Options["layers"] != want.layers {
			t.Errorf("run %d has lr %v, batch %d, options %v", i, r.Optim.LR, r.Train.Batch, r.Model.Options)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	const data = "[data]\nname = 'waves'\n"
	for text, want := range map[string]string{
		"grids = 1":                         "unknown key grids; there are backend, base, data, grid, list,",
		"":                                  "data.name is empty",
		data + "[grid]\n'prune.rhoo' = [1]": "unknown key prune.rhoo",
		data + "[grid]\n'prune.rho' = 0.1":  "want an array of the values to try, such as [0.1]",
		data + "[grid]\nseed = []":          "want an array",
		data + "[grid]\nseed = [1]\ntrain.seed = [2]":                             "train.seed is set twice",
		data + "[grid]\nseed = [1]\n[[list]]\ntrain.seed = 2":                     "list entry 1 sets train.seed, which the grid does too",
		data + "[grid]\nmodel.options = [{}]\n[[list]]\nmodel.options.layers = 2": "list entry 1 sets model.options.layers, which the grid does too (model.options)",
		data + "[[list]]\nname = 3":                                               "name = 3; want text",
		data + "[grid]\n'train.batch' = [8, 0]":                                   `run "batch 0": train.batch = 0`,
		"preset = 'none'":                                                         "none",
		"base = 'missing.toml'":                                                   "missing.toml",
	} {
		if _, err := Parse([]byte(text), t.TempDir()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v; want one with %q", text, err, want)
		}
	}
}
