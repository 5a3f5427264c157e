package run

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
)

func set(t *testing.T, s Spec, settings ...string) Spec {
	t.Helper()
	if err := s.Set(settings...); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSpecRoundTrip(t *testing.T) {
	a := set(t, DefaultSpec(), `name=it's "a" name`, "data.name=pems", "model.options.node_dim=16", "model.options.dropout=0.25",
		"data.dates=[2017-05-01,2017-06-01]", "schedule.milestones=[1,40]", "train.seed=9223372036854775807")
	b, err := ParseSpec(a.TOML())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(a, b) || !bytes.Equal(a.TOML(), b.TOML()) {
		t.Errorf("read back as %+v, want %+v", b, a)
	}
	if err := a.Check(); err != nil {
		t.Error(err)
	}
}

func TestDefaultsNeedOnlyData(t *testing.T) {
	s := DefaultSpec()
	if err := s.Check(); err == nil || !strings.Contains(err.Error(), "data.name") {
		t.Errorf("error %v; want one about data.name", err)
	}
	if err := set(t, s, "data.name=x").Check(); err != nil {
		t.Error(err)
	}
}

func TestSetDoesNotTouchCopies(t *testing.T) {
	a := set(t, DefaultSpec(), "model.options.layers=3", "schedule.milestones=[5]")
	b := a
	if err := b.Set("model.options.layers=1", "schedule.milestones=[9]", "data.split=[7,1,2]"); err != nil {
		t.Fatal(err)
	}
	if a.Model.Options["layers"] != int64(3) || a.Schedule.Milestones[0] != 5 || a.Data.Split[0] != 6 {
		t.Errorf("the original changed to %+v", a)
	}
	if b.Model.Options["layers"] != int64(1) || b.Schedule.Milestones[0] != 9 || b.Data.Split[0] != 7 {
		t.Errorf("the copy is %+v", b)
	}
}

func TestWrongSettingsAreNamed(t *testing.T) {
	for setting, want := range map[string]string{
		"prune.rhoo=0.1":        "unknown key prune.rhoo, perhaps prune.rho; there are prune.alpha,",
		"rho=0.1":               "unknown key rho, perhaps prune.rho; there are",
		"dataa.name=x":          "unknown key dataa.name, perhaps data.name;",
		"train.epohcs=3":        "perhaps train.epochs;",
		"prune.gama=0":          "perhaps prune.gamma;",
		"anything=1":            "unknown key anything; there are backend,",
		"prune.r=0.5":           "prune.options.r",
		"model.layers=2":        "model.options.layers",
		"prune.rho":             "key=value",
		"train.epochs=many":     "train.epochs",
		"train.epochs=1.5":      "train.epochs",
		"train.seed=-1":         "train.seed",
		"data.split=[6,":        "data.split",
		"prune=3":               "prune",
		"train.batch=1\nname=2": "more than one line",
	} {
		s := DefaultSpec()
		err := s.Set("train.epochs=7", setting)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v; want it to mention %q", setting, err, want)
		}
		if s.Train.Epochs != 20 {
			t.Errorf("%q: a setting beside the wrong one was taken", setting)
		}
	}
}

func TestCheckNamesKey(t *testing.T) {
	for setting, want := range map[string]string{
		"data.history=-1":            "data.history",
		"data.split=[6,2]":           "data.split",
		"train.loss=mse":             "train.loss",
		"train.huber_delta=0":        "train.huber_delta",
		"train.patience=-1":          "train.patience",
		"data.split=[6,2,0]":         "data.split",
		"data.split=[6,2,nan]":       "data.split",
		"data.dates=[2017-05-01]":    "data.dates",
		"train.unit=node":            "train.unit",
		"train.block=0":              "train.block",
		"train.micro_batch=-1":       "train.micro_batch",
		"train.block_by=distance":    "train.block_by",
		"train.epochs=0":             "train.epochs",
		"optim.lr=0":                 "optim.lr",
		"optim.lr=nan":               "optim.lr",
		"schedule.kind=stairs":       "schedule.kind",
		"prune.method=magic":         "prune.method",
		"prune.rho=0":                "rho",
		"prune.epochs=3":             "train.epochs",
		"backend.name=tpu":           "backend.name",
		"backend.devices=0":          "backend.devices",
		"backend.stream=sometimes":   "backend.stream",
		"model.options.depth=[1,2]":  "model.options.depth",
		"model.options.rate=inf":     "model.options.rate",
		"prune.selector=best":        "selector",
		"train.validate_every=-1":    "train.validate_every",
		"data.horizon=9999999999999": "data.horizon",
		"model.init=best":            "model.init",
	} {
		s := set(t, DefaultSpec(), "data.name=x", "prune.method=st-prune")
		err := set(t, s, setting).Check()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v; want it to mention %q", setting, err, want)
		}
	}
}

// Settings of equal meaning give the same id.
func TestEqualMeaningEqualID(t *testing.T) {
	for _, c := range []struct{ base, a, b string }{
		{"", "name=x", "notes=y"},
		{"", "data.name=x", "data.name=/data/x"},
		{"", "data.split=[6,2,2]", "data.split=[3,1,1]"},
		{"", "model.options.node_dim=32", "model.options.node_dim=32.0"},
		{"", "train.huber_delta=1", "train.huber_delta=2"},
		{"", "train.block=4", "train.block_by=graph"},
		{"", "name=x", "backend.devices=1"},
		{"train.batch=32", "train.micro_batch=0", "train.micro_batch=32"},
		{"", "backend.stream=always", "backend.stream=never"},
		{"optim.name=sgd", "optim.beta1=0.8", "optim.eps=1"},
		{"optim.name=adam", "optim.momentum=0.8", "optim.nesterov=true"},
		{"optim.name=adam", "optim.ns_dtype=bfloat16", "optim.alpha=0.5"},
		{"optim.name=rmsprop", "optim.beta1=0.8", "optim.aux_lr=1"},
		{"schedule.kind=cosine", "schedule.gamma=0.5", "schedule.milestones=[3]"},
		{"prune.method=full", "prune.rho=0.5", "prune.selector=gumbel"},
		{"prune.method=random", "prune.rho=0.1", "prune.selector=gumbel"},
		{"prune.method=st-prune", "prune.seed=0", "prune.seed=1"},
		{"prune.method=st-prune", "prune.min_units=0", "prune.min_units=64"},
		{"prune.method=bls", "prune.score=loss", "prune.beta=0.5"},
		{"prune.kappa=0", "prune.stationarity=none", "prune.w_max=3"},
	} {
		base := set(t, DefaultSpec(), "data.name=d", "prune.method=st-prune")
		if c.base != "" {
			base = set(t, base, c.base)
		}
		if a, b := set(t, base, c.a).ID("h"), set(t, base, c.b).ID("h"); a != b {
			t.Errorf("%s: %s is run %s, %s is run %s", c.base, c.a, a, c.b, b)
		}
	}
}

// BLS replaces the score of st-prune, not its selector.
func TestSelectorCountsForBLS(t *testing.T) {
	base := set(t, DefaultSpec(), "data.name=d", "prune.method=bls")
	if base.ID("h") == set(t, base, "prune.selector=gumbel").ID("h") {
		t.Error("two selectors are the same run")
	}
}

// Every other key changes the id.
func TestEveryKeyCounts(t *testing.T) {
	base := set(t, DefaultSpec(), "data.name=d", "prune.method=st-prune", "prune.score=complexity", "optim.name=muon", "schedule.kind=multistep",
		"optim.ema=0.5", "train.micro_batch=4", "schedule.warm_up=0.1", "schedule.milestones=[3]", "prune.anneal=step", "train.loss=huber")
	silent := map[string]string{ // and what makes them count
		"name": "", "notes": "", "data.name": "", "prune.epochs": "", "backend.stream": "",
		"schedule.floor": "schedule.kind=cosine", "prune.epsilon": "prune.score=coherence", "prune.alpha": "prune.selector=top+rest",
		"optim.alpha": "optim.name=rmsprop", "train.block": "train.unit=block", "train.block_by": "train.unit=block",
	}
	var all map[string]any
	if err := toml.Unmarshal(base.TOML(), &all); err != nil {
		t.Fatal(err)
	}
	tried := 0
	for table, v := range all {
		keys, ok := v.(map[string]any)
		if !ok {
			continue
		}
		for key, old := range keys {
			name := table + "." + key
			from := base
			if needs, is := silent[name]; is {
				if needs == "" {
					continue
				}
				from = set(t, base, needs)
			}
			var value string
			switch old := old.(type) {
			case bool:
				value = fmt.Sprint(!old)
			case int64:
				value = fmt.Sprint(old + 3)
			case float64:
				value = fmt.Sprint(old/2 + 0.01)
			case string:
				value = "other"
			default:
				value = map[string]string{"data.more": "[\"x\"]", "train.only": "[\"linear\"]", "data.split": "[7,1,2]", "data.dates": "[2017-05-01,2017-06-01]",
					"schedule.milestones": "[4]", "model.options": "{layers=2}", "prune.options": "{r=0.3}"}[name]
			}
			if a, b := from.ID("h"), set(t, from, name+"="+value).ID("h"); a == b {
				t.Errorf("%s = %v and %s are the same run", name, old, value)
			}
			tried++
		}
	}
	if tried < 45 {
		t.Errorf("only %d keys were tried", tried)
	}
	if base.ID("h") == base.ID("other") {
		t.Error("the data do not count")
	}
}

// Ids name the folders of finished runs and must not change by accident. A new setting changes them: then write the new id here.
func TestIDStaysTheSame(t *testing.T) {
	const want = "d5fe7dfb2bf8a22a"
	if got := set(t, DefaultSpec(), "data.name=d", "backend.name=go").ID("h"); got != want {
		t.Errorf("id %s, want %s", got, want)
	}
}
