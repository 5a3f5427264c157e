package run

import (
	"context"
	"encoding/binary"
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

// easiest keeps the units that a scoring model finds easiest.
type easiest struct {
	k     int
	probe func() (*method.Probe, error)
	ids   []int32
}

func (p *easiest) Plan(int) (stprune.Selection, error) {
	if p.ids == nil {
		m, err := p.probe()
		if err != nil {
			return stprune.Selection{}, err
		}
		ids := make([]int32, len(m.Loss))
		for i := range ids {
			ids[i] = int32(i)
		}
		slices.SortStableFunc(ids, func(a, b int32) int {
			if m.Loss[a] < m.Loss[b] {
				return -1
			}
			return 1
		})
		p.ids = slices.Sorted(slices.Values(ids[:p.k]))
	}
	return stprune.Selection{IDs: p.ids, Diagnostics: stprune.Diagnostics{Kept: p.k, EffectiveSize: float64(p.k), MaxWeight: 1}}, nil
}
func (p *easiest) Observe([]int32, stprune.Stats) error { return nil }
func (p *easiest) Keep(int) int                         { return p.k }
func (p *easiest) MarshalBinary() ([]byte, error) {
	return binary.Append(nil, binary.LittleEndian, p.ids)
}
func (p *easiest) UnmarshalBinary(b []byte) error {
	if p.ids = nil; len(b) > 0 {
		p.ids = make([]int32, len(b)/4)
		_, err := binary.Decode(b, binary.LittleEndian, p.ids)
		return err
	}
	return nil
}

// withProbe is a static method; probes counts how often a scoring model was asked for.
func withProbe(probes *int) method.Method {
	return method.Method{
		Name: "easiest", Kind: method.Static, Exact: true, Needs: method.Needs{Loss: true},
		Options: []method.Option{{Key: "probe_epochs", Default: 2}, {Key: "probe_repeats", Default: 1}},
		New: func(s method.Setup) (stprune.Pruner, error) {
			return &easiest{k: s.Units / 4, probe: func() (*method.Probe, error) { *probes++; return s.Probe() }}, nil
		},
	}
}

// firstOfFour trains on the first of four candidates, except in the first epoch, and asks for every tenth unit.
type firstOfFour struct{ stprune.Pruner }

func (p firstOfFour) Candidates(epoch, target int) int {
	if epoch == 0 {
		return 0
	}
	return 4 * target
}

func (p firstOfFour) Choose(_, _, target int, ids []int32, _ []float32) ([]int32, error) {
	places := make([]int32, target)
	for i := range places {
		places[i] = int32(i)
	}
	return places, nil
}

func (p firstOfFour) Forward(int) []int32 { return []int32{0, 10, 20, 30} }

// withCandidates chooses within batches and passes units forward. weights are those of its plans.
func withCandidates(weights bool) method.Method {
	return method.Method{
		Name: "first", Kind: method.Batch, Needs: method.Needs{Forward: true},
		New: func(s method.Setup) (stprune.Pruner, error) {
			p, err := stprune.NewFull(s.Units)
			if weights {
				p = weighted{p, s.Units}
			}
			return firstOfFour{p}, err
		},
	}
}

// weighted plans all units with weights 1 and 3 in turn.
type weighted struct {
	stprune.Pruner
	n int
}

func (p weighted) Plan(epoch int) (stprune.Selection, error) {
	s, err := p.Pruner.Plan(epoch)
	s.All = false
	for id := range int32(p.n) {
		s.IDs, s.Weight = append(s.IDs, id), append(s.Weight, float32(1+id%2*2))
	}
	return s, err
}

// using makes runs of the method "random" runs of m.
func using(o Options, m method.Method) Options {
	o.method = func(string) (method.Method, error) { return m, nil }
	return o
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

func TestStaticMethodRecordsItsScoring(t *testing.T) {
	for _, unit := range []string{"window", "pair"} {
		spec := tiny(t, "prune.method=random", "train.unit="+unit)
		probes := 0
		r := do(t, spec, using(options(t.TempDir()), withProbe(&probes)))
		result, epochs := results(t, r)
		all := int64(float64(result.Visits)/result.FullEpochs + 0.5)
		if probes != 1 || result.Scoring != 2*all || result.Forwards != all {
			t.Errorf("%s: %d probes, %d visits for scoring and %d forward only; want 1, %d and %d", unit, probes, result.Scoring, result.Forwards, 2*all, all)
		}
		if s := result.Seconds; s.Scoring <= 0 || s.Scoring != epochs[0].Seconds.Scoring || epochs[1].Seconds.Scoring != 0 ||
			s.Total < s.Compile+s.Steps+s.Selection+s.Scoring+s.Evaluation || s.Selection < 0 {
			t.Errorf("%s: seconds %+v", unit, s)
		}
		for _, e := range epochs {
			if e.Share != float64(e.Units)/float64(result.Units) || e.Units != result.Units/4 || e.Forwards != all {
				t.Errorf("%s, epoch %d: %d units, share %v, %d visits forward only", unit, e.Epoch, e.Units, e.Share, e.Forwards)
			}
		}
	}
}

// A run whose static method has chosen never trains the scoring model again, and keeps what it took.
func TestChoiceIsSaved(t *testing.T) {
	spec := tiny(t, "prune.method=random", "train.epochs=2", "prune.delta=1")
	probes := 0
	want := do(t, spec, using(options(t.TempDir()), withProbe(&probes)))
	saved := 0
	for at := 2; ; at++ {
		o := options(t.TempDir())
		probes = 0
		m := withProbe(&probes)
		_, err := Do(&stopper{Context: context.Background(), at: at}, spec, using(o, m))
		if err == nil {
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("interrupted at %d: %v", at, err)
		}
		chosen := probes == 1 && !strings.Contains(err.Error(), "choosing")
		r := do(t, spec, using(o, m))
		if chosen {
			if saved++; probes != 1 {
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
		o := options(t.TempDir())
		d := &faultyDisk{at: at, dead: true, unsynced: map[string]bool{}}
		o.Store.disk = d
		r, err := Do(context.Background(), spec, using(o, withProbe(&probes)))
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
		probes = 0
		same(t, want.Dir, do(t, spec, using(o, withProbe(&probes))).Dir)
		if checkpoint != nil && probes > 0 {
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

func TestDivergedScoringModel(t *testing.T) {
	spec := tiny(t, "prune.method=random", "optim.name=sgd", "optim.lr=1e30", "optim.clip=0", "schedule.kind=constant")
	probes := 0
	r, err := Do(context.Background(), spec, using(options(t.TempDir()), withProbe(&probes)))
	if diverged := new(train.DivergedError); !errors.As(err, &diverged) || r.Status() != Diverged {
		t.Errorf("error %v; want one of divergence", err)
	}
}

func TestChooserRecordsWhatItTrainedOn(t *testing.T) {
	for _, unit := range []string{"window", "pair"} {
		for _, weights := range []bool{false, true} {
			spec := tiny(t, "prune.method=random", "train.unit="+unit, "train.epochs=4")
			m := withCandidates(weights)
			want := do(t, spec, using(options(t.TempDir()), m))
			result, epochs := results(t, want)
			all := int64(float64(result.Visits)/result.FullEpochs + 0.5)
			per := int64(4)
			if unit == "pair" {
				per = 1
			}
			units, forwards := 0, int64(0)
			for _, e := range epochs {
				kept, err := want.Selection(e.Epoch)
				if err != nil {
					t.Fatal(err)
				}
				n := len(kept.IDs)
				if kept.All {
					n = kept.Units
				}
				share := e.Share
				if e.Epoch > 1 {
					forwards += all // candidates
				} else if share != 1 {
					t.Errorf("the first epoch has share %v", share)
				}
				if e.Epoch < 4 {
					forwards += 4 * per
				}
				if e.Epoch > 1 && !(share > 0.2 && share < 0.35) || n != e.Units || e.Selection.Kept != n || kept.Prob != nil || e.Forwards != forwards {
					t.Errorf("%s, epoch %d: share %v, %d units, %d recorded, %+v, %d forward only, want %d",
						unit, e.Epoch, share, e.Units, n, e.Selection, e.Forwards, forwards)
				}
				if weights {
					sum, squares := 0.0, 0.0
					for i, id := range kept.IDs {
						if kept.Weight[i] != float32(1+id%2*2) {
							t.Errorf("epoch %d: unit %d has weight %v", e.Epoch, id, kept.Weight[i])
						}
						sum, squares = sum+float64(kept.Weight[i]), squares+float64(kept.Weight[i]*kept.Weight[i])
					}
					if e.Epoch > 1 && (e.Selection.EffectiveSize != sum*sum/squares && e.Selection.EffectiveSize != sum/squares*sum || e.Selection.MaxWeight != 3) {
						t.Errorf("epoch %d: diagnostics %+v", e.Epoch, e.Selection)
					}
				}
				units += n
			}
			if int64(units)*per != result.Visits || result.Forwards != forwards || result.Scoring != 0 {
				t.Errorf("%s: %d units recorded, the result is %+v", unit, units, result)
			}

			for at := 4; ; at += 1 + at/5 {
				o := using(options(t.TempDir()), m)
				_, err := Do(&stopper{Context: context.Background(), at: at}, spec, o)
				if err == nil {
					break
				}
				if !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
				same(t, want.Dir, do(t, spec, o).Dir)
				if t.Failed() {
					t.Fatalf("interrupted at %d", at)
				}
			}
		}
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
	if err := json.Unmarshal(old, &u); err != nil || u.Diagnostics != d || u.Before != (train.Seconds{}) {
		t.Errorf("an old checkpoint's diagnostics read as %+v, %v", u, err)
	}
	if now, err := json.Marshal(underWay{Diagnostics: d}); err != nil || string(now) != string(old) {
		t.Errorf("diagnostics are stored as %s, %v", now, err)
	}
	var e Epoch
	if err := json.Unmarshal([]byte(`{"epoch":2,"units":7,"seconds":{"compile":0,"steps":1,"selection":0,"evaluation":2}}`), &e); err != nil ||
		!reflect.DeepEqual(e, Epoch{Epoch: 2, Units: 7, Seconds: train.Seconds{Steps: 1, Evaluation: 2}}) {
		t.Errorf("an old epoch reads as %+v, %v", e, err)
	}
}

func TestGraphStatsFollowTheNeeds(t *testing.T) {
	s := tiny(t, "prune.lambda_g=1")
	for name, c := range map[string]struct {
		m    method.Method
		want bool
	}{
		"reads it":           {method.Method{Name: "rough", Needs: method.Needs{Graph: true}}, true},
		"doesn't":            {method.Method{Name: "plain"}, false},
		"st-prune with term": {method.Method{Name: "st-prune", Needs: method.Needs{Graph: true}}, true},
	} {
		if got := s.training(c.m, 1).GraphStats; got != c.want {
			t.Errorf("%s: graph statistics %v", name, got)
		}
	}
	if err := s.Set("prune.lambda_g=0"); err != nil {
		t.Fatal(err)
	}
	if m, err := method.ByName("st-prune"); err != nil || s.training(m, 1).GraphStats {
		t.Errorf("graph statistics are measured for a term with factor 0 (%v)", err)
	}
}
