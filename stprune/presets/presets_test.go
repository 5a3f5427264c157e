package presets_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/stprune/backbone"
	"github.com/stprune/workbench/stprune/presets"
	"github.com/stprune/workbench/stprune/run"
)

// Every preset must be a spec that makes sense, of a backbone that takes its options, and say what it is and whence.
func TestPresetsAreSpecs(t *testing.T) {
	ring := &datasets.Graph{N: 12}
	for i := range ring.N {
		ring.Edges = append(ring.Edges, datasets.Edge{From: int32(i), To: int32((i + 1) % ring.N), Weight: 1})
	}
	titles := map[string]string{}
	for _, p := range presets.List() {
		text, err := presets.TOML(p.Name)
		if err != nil {
			t.Fatal(err)
		}
		spec, err := run.ParseSpec(text)
		if err != nil {
			t.Errorf("%s: %v", p.Name, err)
			continue
		}
		if spec.Data.Name != "" {
			t.Errorf("%s: data.name = %q; the data set is for the user to choose", p.Name, spec.Data.Name)
		}
		spec.Data.Name = "any"
		if err := spec.Check(); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
		c := backbone.Config{Nodes: ring.N, History: spec.Data.History, Horizon: spec.Data.Horizon, StepsPerDay: 288, Graph: ring, Options: spec.Model.Options}
		if _, err := backbone.New(spec.Model.Backbone, c); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
		for _, what := range []string{p.Title, p.Source} {
			if len(what) < 10 || strings.HasPrefix(what, "#") {
				t.Errorf("%s: %q is no title or source", p.Name, what)
			}
		}
		if other, ok := titles[p.Title]; ok {
			t.Errorf("%s and %s are both %q", other, p.Name, p.Title)
		}
		titles[p.Title] = p.Name
	}
	if len(titles) < 30 {
		t.Errorf("%d presets; want all of them", len(titles))
	}
}

func TestUnknownPresets(t *testing.T) {
	for name, want := range map[string]string{
		"staeformer-pems8": "did you mean staeformer-pems08",
		"PEMS-BAY":         "did you mean staeformer-pems-bay",
		"":                 "choose one of gwnet-basicts-pems, ",
		"../presets":       "choose one of",
	} {
		if _, err := presets.TOML(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v; want one with %q", name, err, want)
		}
	}
}

func ExampleTOML() {
	text, err := presets.TOML("staeformer-pems08")
	if err != nil {
		fmt.Println(err)
		return
	}
	spec, err := run.ParseSpec(text)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(spec.Model.Backbone, spec.Optim.WeightDecay, spec.Schedule.Milestones, spec.Train.Loss)
	// Output: staeformer 0.0015 [25 45 65] huber
}
