package run

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

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

// Wherever a static method is interrupted, in its scoring models, between them, while it measures or chooses, it goes on from there:
// no step is taken twice, and the run ends in the same files.
func TestScoringResumes(t *testing.T) {
	seen := map[string]int{}
	for _, c := range []struct {
		method, options string
		stride          int
	}{
		{"forgetting", "{probe_epochs=2}", 3},
		{"el2n", "{probe_epochs=2,probe_repeats=3}", 3},
		{"moso", "{probe_epochs=3}", 5},
		{"glister", "{probe_epochs=1}", 7},
		{"craig", "{probe_epochs=1}", 4},
	} {
		t.Run(c.method, func(t *testing.T) {
			spec := tiny(t, "prune.method="+c.method, "prune.options="+c.options, "train.epochs=2")
			o, repeat, scored := options(t.TempDir()), 0, 0
			o.Watch.Scoring = func(p train.Progress) { scored, repeat = scored+1, p.Steps }
			want := do(t, spec, o)
			whole := scored
			for at := 2; ; at += c.stride {
				o, probes := probing(options(t.TempDir()))
				scored = 0
				o.Watch.Scoring = func(train.Progress) { scored++ }
				r, err := Do(&stopper{Context: context.Background(), at: at}, spec, o)
				if err == nil {
					break
				}
				if !errors.Is(err, context.Canceled) || errors.Is(err, ErrNotSaved) || !strings.Contains(err.Error(), "is saved and resumes") {
					t.Fatalf("interrupted at %d: %v", at, err)
				}
				_, statErr := os.Stat(filepath.Join(r.Dir, scoringFile))
				chosen := errors.Is(statErr, fs.ErrNotExist)
				if chosen == strings.Contains(err.Error(), "choosing units") {
					t.Errorf("interrupted at %d, %s is there: %v; the error is %v", at, scoringFile, !chosen, err)
				}
				switch {
				case chosen:
					seen["chosen"]++
				case strings.Contains(err.Error(), "while measuring"):
					seen["measuring"]++
				case strings.Contains(err.Error(), "while choosing"):
					seen["choosing"]++
				case scored > 0 && scored%repeat == 0:
					seen["between"]++
				default:
					seen["training"]++
				}
				noted := ""
				*probes = 0
				count := o.Watch.Note
				o.Watch.Note = func(text string) { count(text); noted += text + "\n" }
				same(t, want.Dir, do(t, spec, o).Dir)
				if chosen && *probes > 0 || !chosen && !strings.Contains(noted, "resuming the scoring model") || scored != whole {
					t.Errorf("interrupted at %d, chosen %v: %d of %d scoring steps; the notes are %s", at, chosen, scored, whole, noted)
				}
				if result, _ := results(t, r); result.Seconds.Scoring <= 0 || result.Seconds.Selection < 0 {
					t.Errorf("interrupted at %d: seconds %+v", at, result.Seconds)
				}
				if t.Failed() {
					t.FailNow()
				}
			}
		})
	}
	for _, where := range []string{"training", "between", "measuring", "choosing", "chosen"} {
		if seen[where] == 0 {
			t.Errorf("no interruption came there: %s", where)
		}
	}
}

// Interrupted again and again: what each process took counts.
func TestScoringSecondsAddUp(t *testing.T) {
	spec := tiny(t, "prune.method=el2n", "prune.options={probe_epochs=2,probe_repeats=2}", "train.epochs=1")
	o := options(t.TempDir())
	const pause = 10 * time.Millisecond
	steps, stops := 0, 0
	for ; ; stops++ {
		ctx, cancel := context.WithCancel(t.Context())
		here := 0
		o.Watch.Scoring = func(train.Progress) {
			time.Sleep(pause)
			steps++
			if here++; here == 5 {
				cancel()
			}
		}
		_, err := Do(ctx, spec, o)
		cancel()
		if err == nil {
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	runs, err := o.Store.List()
	if err != nil || len(runs) != 1 {
		t.Fatal(runs, err)
	}
	result, epochs := results(t, runs[0])
	if spent := (time.Duration(steps) * pause).Seconds(); stops < 3 || result.Seconds.Scoring < spent || epochs[0].Seconds.Scoring != result.Seconds.Scoring {
		t.Errorf("after %d stops %v seconds of scoring; its %d steps took %v at least", stops, result.Seconds.Scoring, steps, spent)
	}
}

// As with a checkpoint: a damaged state is noted and the start taken; one that is whole but of something else is an error.
func TestDamagedScoring(t *testing.T) {
	spec := tiny(t, "prune.method=el2n", "prune.options={probe_epochs=2,probe_repeats=2}", "train.epochs=2")
	want := do(t, spec, options(t.TempDir()))
	for name, c := range map[string]struct {
		change func(b []byte) []byte
		note   bool
	}{
		"altered":   {func(b []byte) []byte { b[len(b)/2] ^= 4; return b }, true},
		"truncated": {func(b []byte) []byte { return b[:len(b)/2] }, true},
		"empty":     {func([]byte) []byte { return nil }, true},
		"another's": {func([]byte) []byte { return seal(kindScoring, []byte("something else")) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t.TempDir())
			r, err := Do(&stopper{Context: context.Background(), at: 12}, spec, o)
			path := filepath.Join(r.Dir, scoringFile)
			b, readErr := os.ReadFile(path)
			if !errors.Is(err, context.Canceled) || readErr != nil {
				t.Fatal(err, readErr)
			}
			if err := os.WriteFile(path, c.change(b), 0o644); err != nil {
				t.Fatal(err)
			}
			noted := ""
			o.Watch.Note = func(text string) { noted += text }
			if !c.note {
				if _, err := Do(context.Background(), spec, o); err == nil || !strings.Contains(err.Error(), "remove the run and ask for it again") {
					t.Errorf("error %v", err)
				}
				return
			}
			same(t, want.Dir, do(t, spec, o).Dir)
			if !strings.Contains(noted, "damaged") {
				t.Errorf("the notes are %q", noted)
			}
		})
	}
}

// fullDisk has no space when it is full.
type fullDisk struct {
	disk
	full atomic.Bool
}

func (d *fullDisk) Create(path string) (file, error) {
	if d.full.Load() {
		return nil, errFault
	}
	return d.disk.Create(path)
}

// An interrupted scoring model that can't be saved is no interruption that was.
func TestScoringOnAFullDisk(t *testing.T) {
	spec := tiny(t, "prune.method=el2n", "prune.options={probe_epochs=2,probe_repeats=2}", "train.epochs=2")
	want := do(t, spec, options(t.TempDir()))
	for _, full := range []int{2, 10} { // the step after which nothing is saved: of the first epoch, and of the second, interrupted there
		o := options(t.TempDir())
		d := &fullDisk{disk: osDisk{}}
		o.Store.disk = d
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		steps := 0
		o.Watch.Scoring = func(train.Progress) {
			if steps++; steps == full {
				d.full.Store(true)
			}
			if steps == 10 {
				cancel()
			}
		}
		_, err := Do(ctx, spec, o)
		if !errors.Is(err, ErrNotSaved) || !errors.Is(err, errFault) || strings.Contains(err.Error(), "resumes when asked") {
			t.Errorf("full at step %d, interrupted at 10: %v", full, err)
		}
		d.full.Store(false)
		o.Watch = Watcher{}
		same(t, want.Dir, do(t, spec, o).Dir)
	}
}

// A run whose static method has chosen never trains the scoring model again, wherever the disk fails.
func TestChoiceIsSaved(t *testing.T) {
	spec := tiny(t, "prune.method=forgetting", "prune.options.probe_epochs=2", "train.epochs=2")
	want := do(t, spec, options(t.TempDir()))
	early := 0 // ends in the first epoch, after the choice
	for at := 1; ; at += 1 + at/20 {
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
