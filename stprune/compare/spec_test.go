package compare

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stprune/workbench/stprune/run"
)

func parse(t *testing.T, text string) Spec {
	t.Helper()
	s, err := Parse([]byte(text), "")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestParse(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "base.toml"), []byte("[train]\nepochs = 7\nbatch = 32\n[data]\nname = 'other'\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := Parse([]byte(`
preset = "st-prune-adam"
base = "base.toml"
methods = ["random", { name = "st-prune", label = "unscored", prune.gamma = 0, train.unit = "pair" }]
[data]
name = "pems08"
dates = [2017-05-01, 2017-06-01]
[prune]
rho = 0.2
`), dir)
	if err != nil {
		t.Fatal(err)
	}
	b := s.Base
	if b.Data.Name != "pems08" || b.Train.Epochs != 7 || b.Train.Batch != 32 || b.Schedule.Kind != "cosine" || len(b.Data.Dates) != 2 {
		t.Errorf("defaults, preset, base and tables make %+v", b)
	}
	if !slices.Equal(s.Rho, []float64{0.2}) || len(s.Seeds) != 10 || !slices.Equal(s.BatchPolicy, []string{"fixed"}) || len(s.Controls) != 5 || s.Floor != 0.005 {
		t.Errorf("what is left out becomes %+v", s)
	}
	got := s.pruned(s.Methods[1], "keep-steps", 0.1, 4)
	want := b
	if err := want.Set("prune.method=st-prune", "prune.gamma=0", "train.unit=pair", "prune.batch_policy=keep-steps", "prune.rho=0.1", "train.seed=4"); err != nil {
		t.Fatal(err)
	}
	if s.Methods[1].Label != "unscored" || !reflect.DeepEqual(got, want) {
		t.Errorf("%s is the run %+v, want %+v", s.Methods[1].Label, got, want)
	}

	text, err := s.TOML()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(text, "")
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if id, want := again.pruned(again.Methods[1], "fixed", 0.2, 1).ID("h"), s.pruned(s.Methods[1], "fixed", 0.2, 1).ID("h"); id != want {
		t.Errorf("written and read again a run is %s, before %s", id, want)
	}
	again.Base, again.Methods = s.Base, s.Methods
	if !reflect.DeepEqual(again, s) {
		t.Errorf("written and read again it is %+v, before %+v", again, s)
	}
}

func TestParseRefuses(t *testing.T) {
	const data = "\n[data]\nname = 'x'\n"
	for text, want := range map[string]string{
		"method = ['random']" + data:                                                          "unknown key method; there are backend, base, batch_policy, controls, data,",
		"methods = ['random']\n[dat]\nname = 'x'":                                             "unknown key dat",
		"methods = ['random']\n[data]\nnam = 'x'":                                             "unknown key data.nam, perhaps data.name; there are data.dates",
		"methods = [{ name = 'st-prune', prune.scor = 'loss' }]" + data:                       "unknown key prune.scor",
		"methods = ['random']":                                                                "data.name",
		"methods = ['magic']" + data:                                                          `no method "magic"; use one of full, random`,
		"methods = [3]" + data:                                                                "want names, or tables",
		"methods = [{ label = 'a' }]" + data:                                                  "has no name",
		"methods = [{ name = 3 }]" + data:                                                     "want text",
		"rho = [0.1]" + data:                                                                  "methods is empty",
		"methods = ['full']" + data:                                                           "full data is a control",
		"methods = ['random', 'random']" + data:                                               `two are called "random"`,
		"methods = [{ name = 'random', train.seed = 3 }]" + data:                              "which all methods share",
		"methods = [{ name = 'random', prune.rho = 0.3 }]" + data:                             "which all methods share",
		"methods = ['random']\nrho = [0.1, 0.1]" + data:                                       "rho has 0.1 twice",
		"methods = ['random']\nrho = []" + data:                                               "is empty",
		"methods = ['random']\nrho = [2]" + data:                                              "rho is 2",
		"methods = ['random']\nseeds = [1, 1]" + data:                                         "seeds has 1 twice",
		"methods = ['random']\nseeds = [-1]" + data:                                           "seeds",
		"methods = ['random']\nbatch_policy = ['small']" + data:                               "batch_policy",
		"methods = ['random']\nbatch_policy = ['keep-steps']\nprune.pruned_batch = 16" + data: "has no effect",
		"methods = ['random']\ncontrols = ['none']" + data:                                    `no control "none"`,
		"methods = ['random']\ncontrols = ['equal-seconds']" + data:                           "needs equal-visits",
		"methods = ['random']\nprimary = ['st-prune']" + data:                                 `no method is called "st-prune"`,
		"methods = ['random']\nfloor = 2" + data:                                              "floor",
		"methods = ['random']\nprune.method = 'random'" + data:                                "prune.method",
		"methods = ['random']\nprune.budget = 0.5" + data:                                     "prune.budget",
		"methods = ['random']\nprune.seed = 5" + data:                                         "prune.seed",
		"methods = ['random']\npreset = 'stid-pem'" + data:                                    "did you mean",
		"methods = ['random']\nbase = 'nowhere.toml'" + data:                                  "nowhere.toml",
	} {
		if _, err := Parse([]byte(text), ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\nerror %v; want one with %q", text, err, want)
		}
	}
}

// The controls of a run by hand: 220 windows, of which pruned epochs keep 22 (6 epochs: 1 full, 4 pruned, 1 full).
func TestControls(t *testing.T) {
	for _, c := range []struct {
		settings string
		want     map[Role][3]int // epochs, batch, steps
	}{
		// Batches of 20: 11 steps in full epochs, 2 in pruned ones: 11 + 4·2 + 11 = 30, of which 3 epochs of 11 miss more than 5 %.
		// Visits: 220 + 4·22 + 220 = 528, 2 epochs and 88 units, 4 batches.
		{"", map[Role][3]int{Full: {6, 20, 66}, EqualSteps: {3, 20, 30}, EqualVisits: {3, 20, 26}, Random: {6, 20, 30}}},
		// Pruned batches of 2: 11 steps in every epoch, as full data has.
		{"batch_policy = ['keep-steps']", map[Role][3]int{Full: {6, 20, 66}, EqualSteps: {6, 20, 66}, EqualVisits: {3, 2, 264}, Random: {6, 2, 66}}},
		// Batches of 4 in pruned epochs: 6 steps each: 11 + 24 + 11 = 46; 4 epochs are 44.
		{"prune.pruned_batch = 4", map[Role][3]int{Full: {6, 20, 66}, EqualSteps: {4, 20, 44}, EqualVisits: {3, 4, 132}, Random: {6, 4, 46}}},
		// Pairs: 440 units, 44 kept. Steps 22 + 4·3 + 22 = 56 of 22 an epoch. Visits: 1056, 2 epochs and 176 units, 9 batches.
		{"train.unit = 'pair'", map[Role][3]int{Full: {6, 20, 132}, EqualSteps: {3, 20, 56}, EqualVisits: {3, 20, 53}, Random: {6, 20, 56}}},
		// 6 epochs of 22 units: less than an epoch.
		{"prune.warm_up = 0\nprune.delta = 1", map[Role][3]int{Full: {6, 20, 66}, EqualSteps: {2, 20, 12}, EqualVisits: {1, 20, 7}, Random: {6, 20, 12}}},
		{"controls = ['full']", map[Role][3]int{Full: {6, 20, 66}}},
	} {
		spec := parse(t, "methods = ['st-prune']\nseeds = [1]\nrho = [0.1]\ntrain.epochs = 6\ntrain.batch = 20\nprune.min_units = 1\n"+
			"data.split = [22, 3, 4]\ndata.history = 6\ndata.horizon = 5\nbackend.name = 'go'\ndata.name = 'waves'\n"+c.settings)
		s, err := open(t.Context(), spec, Options{Store: run.NewStore(t.TempDir()), Series: waves(300, 2)})
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
		got := map[Role][3]int{}
		for _, r := range s.groups[0].rows {
			if !slices.Contains(r.roles, Pruner) {
				continue
			}
			for role, control := range r.against {
				if role != EqualSeconds {
					got[role] = [3]int{control.planned.epochs, control.planned.batch, control.planned.steps}
				}
			}
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: controls %v, want %v", c.settings, got, c.want)
		}
	}
}

// A method with an optimiser, a model or a schedule of its own stands beside full data trained by it; one with a unit, batch or pruning
// of its own beside the base's.
func TestFullData(t *testing.T) {
	spec := parse(t, `
methods = [
	"st-prune",
	{ name = "st-prune", label = "unscored", prune.gamma = 0 },
	{ name = "st-prune", label = "pairs", train.unit = "pair", train.batch = 32 },
	{ name = "st-prune", label = "sgd", optim.name = "sgd", optim.lr = 0.01 },
	{ name = "random", label = "random by sgd", optim.name = "sgd", optim.lr = 0.01 },
	{ name = "st-prune", label = "narrow", model.options.node_dim = 4 },
	{ name = "st-prune", label = "cosine", schedule.kind = "cosine" },
]
seeds = [1, 2]
controls = ["full"]
[data]
name = "waves"
[backend]
name = "go"
`)
	s, err := open(t.Context(), spec, Options{Store: run.NewStore(t.TempDir()), Series: waves(300, 2)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	got := map[string]string{}
	for _, r := range s.groups[0].rows {
		if c := r.against[Full]; c != nil {
			got[r.label] = c.label
			a, b := r.specs[0], c.specs[0]
			if b.Prune.Method != "full" || !reflect.DeepEqual([]any{a.Optim, a.Model, a.Schedule}, []any{b.Optim, b.Model, b.Schedule}) || !reflect.DeepEqual(b.Train.Unit, "window") || b.Train.Batch != 64 {
				t.Errorf("%s is compared with %+v", r.label, b)
			}
		}
	}
	want := map[string]string{"st-prune": "full data", "unscored": "full data", "pairs": "full data", "sgd": "full data, as sgd", "random by sgd": "full data, as sgd",
		"narrow": "full data, as narrow", "cosine": "full data, as cosine"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("full data is %v, want %v", got, want)
	}
	if id := s.planner.ID(spec.pruned(Method{Name: "full"}, "fixed", spec.Rho[0], 1)); s.groups[0].rows[0].ids[0] != id { // runs that are stored stay theirs
		t.Errorf("full data under seed 1 is run %s, want %s", s.groups[0].rows[0].ids[0], id)
	}
}
