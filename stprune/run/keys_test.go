package run

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// listed is a store of four runs, named after what they are.
func listed(t *testing.T) (*Store, *Run) {
	t.Helper()
	o := options(t.TempDir())
	for _, settings := range [][]string{
		{"name=everything", "prune.method=full"},
		{"name=random", "prune.method=random", "prune.rho=0.4"},
		{"name=ours", "prune.rho=0.5", "train.seed=2", "model.options.node_dim=6"},
	} {
		do(t, tiny(t, append(settings, "train.epochs=3")...), o)
	}
	halted, err := Do(&stopper{Context: context.Background(), at: 3}, tiny(t, "name=halted", "prune.rho=0.05"), o)
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	return o.Store, halted
}

func names(runs []*Run) string {
	var all []string
	for _, r := range runs {
		all = append(all, r.Spec.Name)
	}
	return strings.Join(all, ", ")
}

func TestFiltersAndOrder(t *testing.T) {
	store, _ := listed(t)
	for _, test := range []struct{ filters, want string }{
		{"prune.rho<0.5", "random, halted"}, // full reads no ρ
		{"prune.rho <= 0.5", "random, ours, halted"},
		{"prune.rho>=0.5", "ours"},
		{"prune.rho!=0.4", "everything, ours, halted"},
		{"model=stid;method=st-prune;prune.rho<0.1", "halted"},
		{"prune.aux_lr=0", "unknown key \"prune.aux_lr\""},
		{"optim.aux_lr<1", ""}, // read by muon alone
		{"model.options.node_dim>5", "ours"},
		{"model.options.node_dim=5.0", "everything, random, halted"},
		{"prune.seed=2", "ours"}, // what 0 stands for
		{"data.split=[6,2,2]", "everything, random, ours, halted"},
		{"train.loss_unmasked==false;status!=finished", "halted"},
		{"mae>0", "everything, random, ours"},
		{"mae!=0", "everything, random, ours, halted"},
		{"mae.12>0", ""}, // forecasts are shorter
		{"epochs<3", "halted"},
		{"train.epochs>3", "halted"},
		{"train.lr=1", "optim.lr"},
		{"rho<0.5", "prune.rho"},
		{"mea<3", "mae"},
		{"model.options.nodedim=5", "model.options.node_dim"},
		{"status=done", "finished"},
		{"prune.method<full", "use = or !="},
		{"mae<low", "mae is a number"},
		{"prune.rho<low", "prune.rho"},
		{"finished", "want KEY=VALUE"},
	} {
		runs, err := store.List(strings.Split(test.filters, ";")...)
		if err != nil {
			if test.want == "" || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: error %v, want %q", test.filters, err, test.want)
			}
			continue
		}
		if got := names(runs); got != test.want {
			t.Errorf("%s finds %q, want %q", test.filters, got, test.want)
		}
	}

	for _, test := range []struct {
		key       string
		downwards bool
		want      string
	}{
		{"prune.rho", false, "halted, random, ours, everything"},
		{"prune.rho", true, "ours, random, halted, everything"}, // who has none stays last
		{"name", true, "random, ours, halted, everything"},
		{"train.epochs", false, "everything, random, ours, halted"},
	} {
		runs, err := store.List()
		if err != nil {
			t.Fatal(err)
		}
		key, err := FindKey(test.key, Keys(runs...))
		if err != nil {
			t.Fatal(err)
		}
		if err := Sort(runs, key, test.downwards); err != nil {
			t.Fatal(err)
		}
		if got := names(runs); got != test.want {
			t.Errorf("by %s, downwards %v: %s, want %s", test.key, test.downwards, got, test.want)
		}
	}
}

func TestRow(t *testing.T) {
	r := do(t, tiny(t, "train.epochs=3", "prune.method=random"), options(t.TempDir()))
	reached, err := r.Result()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"id": r.ID, "status": "finished", "epochs": int64(3), "data.name": "ramp", "prune.rho": 0.4, "prune.seed": int64(1),
		"prune.selector": nil, "prune.gamma": nil, "optim.momentum": nil, "train.huber_delta": nil, "schedule.kind": "cosine",
		"schedule.milestones": nil, "data.dates": "[]", "data.split": "[6,2,2]", "backend.name": "go",
		"backend.devices": int64(1), "mae": reached.Test.Mean.MAE, "mae.3": reached.Test.MAE[2], "mae.6": nil, "visits": reached.Visits, "peak_memory": reached.PeakMemory,
	} {
		key, err := FindKey(name, Keys(r))
		if err != nil {
			t.Fatal(err)
		}
		row, err := r.Row(key)
		if err != nil {
			t.Fatal(err)
		}
		got := row[0]
		if _, list := want.(string); list && got != nil {
			got = Text(got)
		}
		if got != want {
			t.Errorf("%s is %v (%T), want %v", name, got, got, want)
		}
	}
	every := Keys(r)
	if row, err := r.Row(every...); err != nil || len(row) != len(every) {
		t.Errorf("all keys: %d of %d, %v", len(row), len(every), err)
	}
	seen := map[string]bool{}
	for _, k := range every {
		if seen[k.Name] || k.Setting == (k.Doc != "") && k.Name != "id" {
			t.Errorf("key %+v is there twice or not explained", k)
		}
		seen[k.Name] = true
	}
}

func ExampleParseFilter() {
	_, err := ParseFilter("prune.roh<0.1", Keys())
	fmt.Println(err)
	// Output: filter "prune.roh<0.1": unknown key "prune.roh"; the nearest are prune.rho
}
