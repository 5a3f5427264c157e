package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

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

	all := []string{"kept", "overlap", "scores", "spread", "errors", "gradient", "replay"}
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
