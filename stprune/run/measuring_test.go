package run

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stprune/workbench/stprune"
	"github.com/stprune/workbench/stprune/method"
	"github.com/stprune/workbench/stprune/train"
)

// probing counts how often a scoring model is trained.
func probing(o Options) (Options, *int) {
	count := 0
	o.Watch.Note = func(text string) {
		if strings.Contains(text, "scoring model") {
			count++
		}
	}
	return o, &count
}

func results(t *testing.T, r *Run) (*Result, []Epoch) {
	t.Helper()
	result, err := r.Result()
	if err != nil {
		t.Fatal(err)
	}
	epochs, err := r.Epochs()
	if err != nil {
		t.Fatal(err)
	}
	return result, epochs
}

// perEpoch is the number of windows × nodes in an epoch of all data.
func perEpoch(r *Result) int64 { return int64(float64(r.Visits)/r.FullEpochs + 0.5) }

// Every method trains, records what it visited, and resumes to the same bits.
func TestEveryMethodTrains(t *testing.T) {
	for _, m := range method.All() {
		for _, unit := range []string{"window", "pair", "block"} {
			if unit == "block" && m.Needs.Probed() {
				continue
			}
			t.Run(m.Name+"/"+unit, func(t *testing.T) {
				spec := tiny(t, "prune.method="+m.Name, "train.unit="+unit, "train.block=2", "train.epochs=4", "train.batch=48")
				if m.Kind == method.Static && m.Needs.Probed() {
					spec = set(t, spec, "prune.options.probe_epochs=3")
				}
				o, probes := probing(options(t.TempDir()))
				r := do(t, spec, o)
				result, epochs := results(t, r)
				if learns := m.Kind == method.Static && m.Needs.Probed(); (*probes == 1) != learns || (result.Forwards > 0) != (learns || m.Kind == method.Batch) {
					t.Errorf("%d scoring models, %d visits forward only", *probes, result.Forwards)
				}
				visits := int64(0)
				for _, e := range epochs {
					kept, err := r.Selection(e.Epoch)
					if err != nil {
						t.Fatal(err)
					}
					n := len(kept.IDs)
					if kept.All {
						n = kept.Units
					}
					if n != e.Units || e.Selection.Kept != n || e.Share != float64(n)/float64(result.Units) {
						t.Errorf("epoch %d: %d units trained on, share %v, %d recorded, %d in the diagnostics", e.Epoch, e.Units, e.Share, n, e.Selection.Kept)
					}
					if pruned := m.Kind == method.Static || e.Epoch == 2; m.Exact && pruned && m.Name != "full" && int(0.4*float64(result.Units)+0.5) != n {
						t.Errorf("epoch %d: %d of %d units, want 0.4 of them", e.Epoch, n, result.Units)
					}
					visits += int64(n) * 4 / int64(kept.PerWindow)
				}
				if visits != result.Visits {
					t.Errorf("selections sum to %d visits, the result has %d", visits, result.Visits)
				}
				o = options(t.TempDir())
				if _, err := Do(&stopper{Context: context.Background(), at: 14}, spec, o); !errors.Is(err, context.Canceled) {
					t.Fatalf("error %v; want one of an interruption", err)
				}
				same(t, r.Dir, do(t, spec, o).Dir)
			})
		}
	}
}

func TestStaticMethodRecordsItsScoring(t *testing.T) {
	for _, unit := range []string{"window", "pair"} {
		spec := tiny(t, "prune.method=el2n", "prune.options={probe_epochs=3,probe_repeats=2}", "train.unit="+unit)
		o, probes := probing(options(t.TempDir()))
		result, epochs := results(t, do(t, spec, o))
		all := perEpoch(result)
		if *probes != 1 || result.Scoring != 6*all || result.Forwards != 2*all {
			t.Errorf("%s: %d probes, %d visits for scoring and %d forward only; want 1, %d and %d", unit, *probes, result.Scoring, result.Forwards, 6*all, 2*all)
		}
		if s := result.Seconds; s.Scoring <= 0 || s.Scoring != epochs[0].Seconds.Scoring || epochs[1].Seconds.Scoring != 0 ||
			s.Total < s.Compile+s.Steps+s.Selection+s.Scoring+s.Evaluation || s.Selection < 0 {
			t.Errorf("%s: seconds %+v", unit, s)
		}
		for _, e := range epochs {
			if e.Forwards != 2*all {
				t.Errorf("%s, epoch %d: %d visits forward only", unit, e.Epoch, e.Forwards)
			}
		}
	}
}

// A run whose static method has chosen never trains the scoring model again, and keeps what it took.
func TestChoiceIsSaved(t *testing.T) {
	spec := tiny(t, "prune.method=forgetting", "prune.options.probe_epochs=2", "train.epochs=2")
	want := do(t, spec, options(t.TempDir()))
	saved := 0
	for at := 2; ; at++ {
		o, probes := probing(options(t.TempDir()))
		_, err := Do(&stopper{Context: context.Background(), at: at}, spec, o)
		if err == nil {
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("interrupted at %d: %v", at, err)
		}
		chosen := *probes == 1 && !errors.Is(err, ErrNotSaved)
		if strings.Contains(err.Error(), "choosing") == chosen {
			t.Errorf("interrupted at %d, after %d probes: %v", at, *probes, err)
		}
		r := do(t, spec, o)
		if chosen {
			if saved++; *probes != 1 {
				t.Errorf("interrupted at %d, the run probed again", at)
			}
		}
		if result, _ := results(t, r); result.Seconds.Scoring <= 0 {
			t.Errorf("interrupted at %d, the seconds of scoring are lost", at)
		}
		same(t, want.Dir, r.Dir)
		if t.Failed() {
			t.FailNow()
		}
	}
	if saved == 0 {
		t.Error("no interruption came after the choice")
	}
	early := 0 // ends in the first epoch, after the choice
	for at := 1; ; at++ {
		o, probes := probing(options(t.TempDir()))
		d := &faultyDisk{at: at, dead: true, unsynced: map[string]bool{}}
		o.Store.disk = d
		r, err := Do(context.Background(), spec, o)
		if d.calls < at {
			break
		}
		if !errors.Is(err, errFault) {
			t.Fatalf("fault at call %d: error %v", at, err)
		}
		d.powerCut(t)
		o.Store.disk = osDisk{}
		checkpoint, _, err := loadCheckpoint(r.Dir)
		if err != nil {
			t.Fatal(err)
		}
		if epochs, err := r.Epochs(); err == nil && len(epochs) == 0 && checkpoint != nil {
			early++
		}
		*probes = 0
		same(t, want.Dir, do(t, spec, o).Dir)
		if checkpoint != nil && *probes > 0 {
			t.Errorf("fault at call %d: the run probed again", at)
		}
		if t.Failed() {
			t.Fatalf("fault at call %d", at)
		}
	}
	if early == 0 {
		t.Error("the choice was not saved before the first epoch was")
	}
}

// The scoring model of a fine-tuned run begins with the same parameters: without training it measures them.
func TestScoringModelBeginsWithInit(t *testing.T) {
	o := options(t.TempDir())
	first := do(t, tiny(t, "prune.method=full"), o)
	spec := tiny(t, "prune.method=grand", "prune.options.probe_epochs=0", "prune.options.probe_repeats=1", "model.init="+first.ID, "train.epochs=2")
	a := do(t, spec, o)
	spec.Train.Seed = 9 // of initialisation, which a given beginning replaces
	b := do(t, spec, o)
	x, err := a.Selection(1)
	if err != nil {
		t.Fatal(err)
	}
	y, err := b.Selection(1)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(x.IDs, y.IDs) {
		t.Error("the scoring model doesn't begin with model.init's parameters")
	}
}

func TestDivergedScoringModel(t *testing.T) {
	spec := tiny(t, "prune.method=el2n", "optim.name=sgd", "optim.lr=1e30", "optim.clip=0", "schedule.kind=constant")
	r, err := Do(context.Background(), spec, options(t.TempDir()))
	if diverged := new(train.DivergedError); !errors.As(err, &diverged) || !strings.Contains(err.Error(), "scoring model") || r.Status() != Diverged {
		t.Errorf("error %v; want one of divergence of the scoring model", err)
	}
}

func TestForwardPassesAreCounted(t *testing.T) {
	for _, unit := range []string{"window", "pair"} {
		spec := tiny(t, "prune.method=ies", "prune.options.quantile=true", "train.unit="+unit, "train.epochs=10", "train.batch=48")
		want := do(t, spec, options(t.TempDir()))
		result, epochs := results(t, want)
		visits, seconds := int64(0), 0.0
		for _, e := range epochs {
			// What an epoch leaves out is passed forward after its steps, but for the last.
			if visits += perEpoch(result); e.Epoch < 10 && e.Visits+e.Forwards != visits {
				t.Errorf("%s, epoch %d: %d visits and %d forward only; want %d in all", unit, e.Epoch, e.Visits, e.Forwards, visits)
			}
			seconds += e.Seconds.Scoring
		}
		if result.Forwards == 0 || result.Scoring != 0 || seconds <= 0 || result.Seconds.Scoring != seconds {
			t.Errorf("%s: %d visits forward only in %v seconds", unit, result.Forwards, result.Seconds.Scoring)
		}
		for at := 30; ; at += 1 + at/6 {
			o := options(t.TempDir())
			if _, err := Do(&stopper{Context: context.Background(), at: at}, spec, o); err == nil {
				break
			}
			if same(t, want.Dir, do(t, spec, o).Dir); t.Failed() {
				t.Fatalf("interrupted at %d", at)
			}
		}
	}
}

func TestCandidatesAreCounted(t *testing.T) {
	spec := tiny(t, "prune.method=divbs", "prune.rho=0.25", "train.batch=12")
	want := do(t, spec, options(t.TempDir()))
	result, epochs := results(t, want)
	forwards := int64(0)
	for _, e := range epochs {
		kept, err := want.Selection(e.Epoch)
		if err != nil {
			t.Fatal(err)
		}
		if !kept.All { // all units are candidates
			forwards += perEpoch(result)
			if e.Share < 0.2 || e.Share > 0.35 || kept.Prob != nil || !slices.IsSorted(kept.IDs) {
				t.Errorf("epoch %d: share %v, %d recorded", e.Epoch, e.Share, len(kept.IDs))
			}
		}
		if e.Forwards != forwards || (e.Seconds.Scoring > 0) == kept.All {
			t.Errorf("epoch %d: %d visits forward only in %v seconds, want %d", e.Epoch, e.Forwards, e.Seconds.Scoring, forwards)
		}
	}
	if forwards == 0 {
		t.Error("no epoch chose")
	}
}

func TestTrainedOnKeepsWeights(t *testing.T) {
	plan := stprune.Selection{IDs: []int32{2, 5, 7, 9}, Weight: []float32{1, 1, 2, 3}, Prob: []float32{1, 1, 1, 1},
		Diagnostics: stprune.Diagnostics{Kept: 4, Clipped: 0.5, Unseen: 3}}
	got := trainedOn([]int32{5, 9}, plan)
	want := stprune.Selection{IDs: []int32{5, 9}, Weight: []float32{1, 3},
		Diagnostics: stprune.Diagnostics{Kept: 2, EffectiveSize: 1.6, MaxWeight: 3, Clipped: 0.5, Unseen: 3}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	got = trainedOn([]int32{5, 9}, stprune.Everything(10))
	want = stprune.Selection{IDs: []int32{5, 9}, Diagnostics: stprune.Diagnostics{Kept: 2, EffectiveSize: 2, MaxWeight: 1}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("of all units: %+v, want %+v", got, want)
	}
}

// What older versions stored still opens.
func TestOldRecords(t *testing.T) {
	var u underWay
	d := stprune.Diagnostics{Kept: 3, EffectiveSize: 2.5}
	old, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(old, &u); err != nil || u.Diagnostics != d || u.Before != (Parts{}) {
		t.Errorf("an old checkpoint's diagnostics read as %+v, %v", u, err)
	}
	if now, err := json.Marshal(underWay{Diagnostics: d}); err != nil || string(now) != string(old) {
		t.Errorf("diagnostics are stored as %s, %v", now, err)
	}
	var e Epoch
	if err := json.Unmarshal([]byte(`{"epoch":2,"units":7,"seconds":{"compile":0,"steps":1,"selection":0,"evaluation":2}}`), &e); err != nil ||
		!reflect.DeepEqual(e, Epoch{Epoch: 2, Units: 7, Seconds: Parts{Seconds: train.Seconds{Steps: 1, Evaluation: 2}}}) {
		t.Errorf("an old epoch reads as %+v, %v", e, err)
	}
}

func TestTrainingFollowsTheMethod(t *testing.T) {
	for settings, want := range map[string][2]bool{ // graph statistics, sizes not known beforehand
		"prune.method=st-prune prune.score=complexity prune.lambda_g=1": {true, false},
		"prune.method=st-prune prune.score=complexity prune.lambda_g=0": {false, false},
		"prune.method=random prune.lambda_g=1":                          {false, false},
		"prune.method=infobatch prune.lambda_g=1":                       {false, true},
		"prune.method=divbs":                                            {false, true},
		"prune.method=craig":                                            {false, false},
	} {
		c := tiny(t, strings.Fields(settings)...).training(1)
		if got := [2]bool{c.GraphStats, c.Inexact}; got != want {
			t.Errorf("%s: %v, want %v", settings, got, want)
		}
	}
}

// A static method reads no schedule but ρ, so nothing else of it can be wrong.
func TestStaticMethodHasNoSchedule(t *testing.T) {
	s := tiny(t, "prune.method=hard-random", "train.epochs=1", "prune.warm_up=3", "prune.budget=0.01", "prune.batch_policy=keep-steps")
	if err := s.Check(); err != nil {
		t.Error(err)
	}
	if result, epochs := results(t, do(t, s, options(t.TempDir()))); epochs[0].Share != 0.4 || epochs[0].Steps != 6 {
		t.Errorf("%d units, %+v", result.Units, epochs[0]) // 34 of 85 in batches of 6
	}
}
