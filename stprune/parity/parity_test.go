package parity

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stprune/workbench/stprune/accel"
	"github.com/stprune/workbench/stprune/backbone"
)

// Every array of testdata must agree on both backends, and nothing may be left unchecked.
func TestAgreesWithReferences(t *testing.T) {
	for _, name := range []string{"xla", "go"} {
		t.Run(name, func(t *testing.T) {
			be, err := accel.Open(context.Background(), name, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			defer be.Close()
			checked := map[string]int{}
			err = Run(context.Background(), be.Backend, "testdata", func(r Result) {
				if r.Array != "" && r.Problem == "" {
					checked[filepath.Base(r.File)]++
				}
				if !r.OK() {
					t.Errorf("%s %s: difference %g, tolerance %g %s", r.File, r.Array, r.Diff, r.Tolerance, r.Problem)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range []string{"graph", "gwnet_c2", "gwnet_c3", "opencity_12", "opencity_288", "opencity_48", "staeformer", "stid", "optim_units", "muon_ns", "metrics", "windows",
				"infobatch_a", "infobatch_b", "infobatch_c", "seta_a", "seta_b", "divbs"} {
				if checked[f] == 0 {
					t.Errorf("%s: no array was compared", f)
				}
			}
		})
	}
}

// A wrong value, a missing array and an unknown model must all be found.
func TestFindsDifferences(t *testing.T) {
	be, err := accel.Open(context.Background(), "go", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer be.Close()
	for name, change := range map[string]func(map[string]any){
		"out of tolerance": func(d map[string]any) {
			d["arrays"].(map[string]any)["out_eval"].(map[string]any)["suggested_abs_tol"] = 1e-12
		},
		"out of tolerance in float64": func(d map[string]any) {
			d["arrays"].(map[string]any)["out_eval"].(map[string]any)["f32_f64_max_abs_diff"] = 0
		},
		"unknown model": func(d map[string]any) { d["model"] = "Oracle" },
		"other sizes":   func(d map[string]any) { d["config"].(map[string]any)["num_nodes"] = 6 },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			text, err := os.ReadFile("testdata/stid.json")
			if err != nil {
				t.Fatal(err)
			}
			var d map[string]any
			if err := json.Unmarshal(text, &d); err != nil {
				t.Fatal(err)
			}
			change(d)
			if text, err = json.Marshal(d); err != nil {
				t.Fatal(err)
			}
			arrays, err := os.ReadFile("testdata/stid.npz")
			if err != nil {
				t.Fatal(err)
			}
			for file, content := range map[string][]byte{"stid.json": text, "stid.npz": arrays} {
				if err := os.WriteFile(filepath.Join(dir, file), content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			bad := 0
			if err := Run(context.Background(), be.Backend, filepath.Join(dir, "stid.npz"), func(r Result) {
				if !r.OK() {
					bad++
				}
			}); err != nil {
				t.Fatal(err)
			}
			if bad == 0 {
				t.Error("the change was not found")
			}
		})
	}
}

// Parameter counts of the full-size reference code (STID: 111244 + 32N at 288 steps a day, LargeST settings beside it).
func TestParameterCounts(t *testing.T) {
	for _, c := range []struct {
		name               string
		nodes, steps, want int
		options            map[string]any
	}{
		{"METR-LA", 207, 288, 117868, nil},
		{"PEMS-BAY", 325, 288, 121644, nil},
		{"PEMS03", 358, 288, 122700, nil},
		{"PEMS04", 307, 288, 121068, nil},
		{"PEMS07", 883, 288, 139500, nil},
		{"PEMS08", 170, 288, 116684, nil},
		{"UrbanEV", 275, 24, 111596, nil},
		{"UrbanEV without day of week", 275, 24, 67788, map[string]any{"dow_dim": 0}},
		{"SD", 716, 96, 258316, map[string]any{"node_dim": 64, "layers": 4}},
		{"GBA", 2352, 96, 711436, map[string]any{"node_dim": 128, "layers": 4}},
		{"GLA", 3834, 96, 901132, map[string]any{"node_dim": 128, "layers": 4}},
		{"CA", 8600, 96, 1511180, map[string]any{"node_dim": 128, "layers": 4}},
	} {
		b, err := backbone.New("stid", backbone.Config{Nodes: c.nodes, History: 12, Horizon: 12, StepsPerDay: c.steps, Options: c.options})
		if err != nil {
			t.Fatal(err)
		}
		if got := backbone.ParamCount(b); got != c.want {
			t.Errorf("%s: %d parameters; the reference has %d", c.name, got, c.want)
		}
	}
}

func TestNamesWhatIsMissing(t *testing.T) {
	err := Run(context.Background(), nil, t.TempDir(), func(Result) {})
	if err == nil || !strings.Contains(err.Error(), ".npz") {
		t.Errorf("error %v; want one that says the folder holds no .npz file", err)
	}
}
