package train

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stprune/workbench/stprune"
	"github.com/stprune/workbench/stprune/method"
	"github.com/stprune/workbench/stprune/optim"
)

// forwarding asks for every third unit after each epoch. Its scores remember, so that seeing a unit twice shows.
type forwarding struct {
	stprune.Pruner
	n    int32
	seen func(ids []int32, stats stprune.Stats)
}

func (p *forwarding) Forward(epoch int) []int32 {
	var ids []int32
	for id := int32(epoch % 3); id < p.n; id += 3 {
		ids = append(ids, id)
	}
	return ids
}

func (p *forwarding) Observe(ids []int32, stats stprune.Stats) error {
	if p.seen != nil {
		p.seen(ids, stats)
	}
	return p.Pruner.Observe(ids, stats)
}

func remembering(t *testing.T, n, epochs int) stprune.Pruner {
	t.Helper()
	c := stprune.DefaultConfig()
	c.Epochs, c.Rho, c.Seed, c.Beta = epochs, 0.3, 5, 0.5
	p, err := stprune.New(n, c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// choosing trains on the candidates with the largest gradients, four times as many as a step takes, from the second epoch on.
type choosing struct {
	stprune.Pruner
	calls func(epoch, step, target int, ids []int32, gradients []float32)
}

// Keep is what is trained on.
func (p *choosing) Keep(epoch int) int {
	if n := p.Pruner.Keep(epoch); epoch == 0 {
		return n
	} else {
		return n / 4
	}
}

func (p *choosing) Candidates(epoch, target int) int {
	if epoch == 0 {
		return 0
	}
	return 4 * target
}

func (p *choosing) Choose(epoch, step, target int, ids []int32, gradients []float32) ([]int32, error) {
	if p.calls != nil {
		p.calls(epoch, step, target, ids, gradients)
	}
	d := len(gradients) / len(ids)
	norm := make([]float64, len(ids))
	places := make([]int32, len(ids))
	for i := range ids {
		places[i] = int32(i)
		for _, g := range gradients[i*d : (i+1)*d] {
			norm[i] += float64(g) * float64(g)
		}
	}
	slices.SortStableFunc(places, func(a, b int32) int { return -int(math.Copysign(1, norm[a]-norm[b])) })
	places = places[:target]
	slices.Sort(places)
	return places, nil
}

// static chooses the easiest units by a probe, once, and remembers them.
type static struct {
	n, k  int
	probe func() (*method.Probe, error)
	ids   []int32
}

func (p *static) Plan(int) (stprune.Selection, error) {
	if p.ids == nil {
		m, err := p.probe()
		if err != nil {
			return stprune.Selection{}, err
		}
		for i := range int32(p.n) {
			p.ids = append(p.ids, i)
		}
		slices.SortStableFunc(p.ids, func(a, b int32) int { return int(math.Copysign(1, float64(m.Loss[a]-m.Loss[b]))) })
		p.ids = p.ids[:p.k]
		slices.Sort(p.ids)
	}
	return stprune.Selection{IDs: p.ids}, nil
}
func (p *static) Observe([]int32, stprune.Stats) error { return nil }
func (p *static) Keep(int) int                         { return p.k }
func (p *static) MarshalBinary() ([]byte, error) {
	return binary.Append(nil, binary.LittleEndian, p.ids)
}
func (p *static) UnmarshalBinary(b []byte) error {
	if p.ids = nil; len(b) > 0 {
		p.ids = make([]int32, len(b)/4)
		_, err := binary.Decode(b, binary.LittleEndian, p.ids)
		return err
	}
	return nil
}

// stopper is a context that is cancelled when it has been asked a number of times.
type stopper struct {
	context.Context
	left int
}

func (c *stopper) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// Training that is interrupted again and again, also while it passes units forward and evaluates, ends in the bits of training in
// one go, whatever the pruner asks for.
func TestResumeIsExactWithMeasuring(t *testing.T) {
	for _, name := range backends {
		for _, unit := range []string{Window, Pair} {
			for _, kind := range []string{"forwarding", "choosing", "static"} {
				t.Run(name+"/"+unit+"/"+kind, func(t *testing.T) {
					be, source := open(t, name), ring(t, true)
					c := config()
					c.Unit, c.Epochs, c.Inexact = unit, 6, kind == "choosing"
					if unit == Pair {
						c.Batch, c.PrunedBatch = 64, 32
					}
					n := c.Units(source)
					probes := 0
					fresh := func() *Trainer {
						var p stprune.Pruner
						switch kind {
						case "forwarding":
							p = &forwarding{Pruner: remembering(t, n, c.Epochs), n: int32(n)}
						case "choosing":
							p = &choosing{Pruner: full(n)}
						default:
							p = &static{n: n, k: n / 3, probe: func() (*method.Probe, error) {
								probes++
								m, _, err := Probe(t.Context(), be, c, Scoring{Epochs: 1}, method.Needs{Loss: true}, source)
								return m, err
							}}
						}
						tr, err := New(be, c, p, source)
						if err != nil {
							t.Fatal(err)
						}
						t.Cleanup(tr.Close)
						return tr
					}
					state := func(tr *Trainer) []byte {
						b, err := tr.MarshalBinary()
						if err != nil {
							t.Fatal(err)
						}
						return b
					}
					reports := func(all *[]string) Events {
						return Events{Epoch: func(r EpochReport) error {
							r.Seconds = Seconds{}
							*all = append(*all, fmt.Sprintf("%d %d %d %d %d %v %v %v", r.Epoch, r.Units, r.Steps, r.Visits, r.Forwards, r.Loss, r.LR, r.Chosen))
							return nil
						}}
					}
					var want, got []string
					tr, stops := fresh(), 0
					begin := state(tr)
					if err := tr.Run(t.Context(), reports(&want)); err != nil {
						t.Fatal(err)
					}
					if tr.Forwards() == 0 != (kind == "static") {
						t.Errorf("%d visits without training", tr.Forwards())
					}
					whole := state(tr)
					if err := tr.UnmarshalBinary(begin); err != nil {
						t.Fatal(err)
					}

					for {
						err := tr.Run(&stopper{t.Context(), 3 + stops%5}, reports(&got))
						if err == nil {
							break
						}
						if !errors.Is(err, context.Canceled) {
							t.Fatal(err)
						}
						stops++
						saved := state(tr)
						if name == "go" { // where a new trainer needs no compiling
							tr.Close()
							tr = fresh()
						}
						if err := tr.UnmarshalBinary(saved); err != nil {
							t.Fatal(err)
						}
						if again := state(tr); !bytes.Equal(again, saved) {
							t.Fatal("a restored state is not the one saved")
						}
					}
					if stops < 5 || !bytes.Equal(state(tr), whole) {
						t.Errorf("after %d interruptions the state differs from the undisturbed one", stops)
					}
					if !slices.Equal(got, want) {
						t.Errorf("the epochs' reports are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
					}
					if kind == "static" && probes != 2 { // one each of the two runs
						t.Errorf("%d probes; a resumed run must not probe again", probes)
					}
				})
			}
		}
	}
}

func TestForwardPasses(t *testing.T) {
	for _, unit := range []string{Window, Pair} {
		c := config()
		c.Unit, c.ValidateEvery = unit, 100
		source := ring(t, true)
		n := c.Units(source)
		p := &forwarding{Pruner: remembering(t, n, c.Epochs), n: int32(n)}
		tr, err := New(open(t, "go"), c, p, source)
		if err != nil {
			t.Fatal(err)
		}
		defer tr.Close()
		asked, trained, recorded := 0, 0, 0
		var level []float32 // of the last forward pass
		p.seen = func(ids []int32, stats stprune.Stats) {
			if tr.state.Step == 0 || !slices.Equal(ids, p.Forward(tr.state.Epoch)) { // the observer runs during the steps
				trained += len(ids)
				return
			}
			asked += len(ids)
			level = nil
			for i := range ids {
				level = append(level, stats[i*stprune.NumStats+stprune.Level])
			}
		}
		forwards := int64(0)
		err = tr.Run(t.Context(), Events{
			Observe: func(ids []int32, _ []float32, _ stprune.Stats) { recorded += len(ids) },
			Epoch: func(r EpochReport) error {
				if r.Epoch == c.Epochs {
					if level != nil || r.Forwards != forwards {
						t.Errorf("%s: units were passed forward after the last epoch", unit)
					}
					return nil
				}
				m, err := tr.Measure(t.Context(), Train, method.Needs{Loss: true})
				if err != nil {
					return err
				}
				for i, id := range p.Forward(r.Epoch - 1) {
					if math.Abs(float64(m.Loss[id]-level[i])) > 1e-6 {
						t.Fatalf("%s, epoch %d: unit %d was observed with level %v, it has %v", unit, r.Epoch, id, level[i], m.Loss[id])
					}
				}
				if level = nil; r.Seconds.Scoring <= 0 {
					t.Errorf("%s, epoch %d: %v seconds of scoring", unit, r.Epoch, r.Seconds.Scoring)
				}
				forwards = r.Forwards
				return nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		per := int64(1)
		if unit == Window {
			per = int64(source.Series.N)
		}
		if asked == 0 || int64(asked)*per != tr.Forwards() || int64(trained)*per != tr.Visits() || recorded != trained {
			t.Errorf("%s: %d units forward, %d trained, %d recorded; counted %d and %d visits", unit, asked, trained, recorded, tr.Forwards(), tr.Visits())
		}
	}
}

func TestForwardPassesJointly(t *testing.T) {
	sources := twoSources(t)
	c := joint()
	n := c.Units(sources...)
	tr, err := New(open(t, "go"), c, &forwarding{Pruner: remembering(t, n, c.Epochs), n: int32(n)}, sources...)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	if err := tr.Run(t.Context(), Events{}); err != nil {
		t.Fatal(err)
	}
	want := int64(0)
	for e := range c.Epochs - 1 {
		for id := e % 3; id < n; id += 3 {
			if want += 4; id >= len(sources[0].Windows.Train) {
				want -= 2
			}
		}
	}
	if tr.Forwards() != want {
		t.Errorf("%d visits without training, want %d", tr.Forwards(), want)
	}
}

func TestChoosing(t *testing.T) {
	for _, unit := range []string{Window, Pair} {
		c := config()
		c.Unit = unit
		if unit == Pair {
			c.Batch, c.PrunedBatch = 64, 32
		}
		source := ring(t, true)
		n := c.Units(source)
		p := &choosing{Pruner: full(n)}
		tr, err := New(open(t, "go"), c, p, source)
		if err != nil {
			t.Fatal(err)
		}
		defer tr.Close()
		candidates, targets := map[int32]int{}, 0
		p.calls = func(epoch, step, target int, ids []int32, gradients []float32) {
			if step != tr.state.Step || epoch != tr.state.Epoch || len(gradients)%len(ids) != 0 || len(gradients) == 0 {
				t.Errorf("epoch %d, step %d: asked with %d gradients of %d units", epoch, step, len(gradients), len(ids))
			}
			if share := float64(target) / float64(len(ids)); math.Abs(share-0.25) > 0.15 {
				t.Errorf("%d of %d candidates are asked for", target, len(ids))
			}
			targets += target
			for _, id := range ids {
				candidates[id]++
			}
		}
		observed := map[int32]bool{}
		err = tr.Run(t.Context(), Events{
			Observe: func(ids []int32, _ []float32, _ stprune.Stats) {
				for _, id := range ids {
					observed[id] = true
				}
			},
			Epoch: func(r EpochReport) error {
				if r.Epoch == 1 {
					if r.Chosen != nil || r.Units != n || r.Forwards != 0 || targets != 0 {
						t.Errorf("%s: the first epoch chose: %+v", unit, r)
					}
				} else {
					if len(candidates) != n || r.Units != targets || len(r.Chosen) != targets || !slices.IsSorted(r.Chosen) {
						t.Errorf("%s, epoch %d: %d candidates, %d asked for, %d trained on, %d reported", unit, r.Epoch, len(candidates), targets, r.Units, len(r.Chosen))
					}
					for _, id := range r.Chosen {
						if !observed[id] {
							t.Errorf("%s, epoch %d: unit %d was not observed", unit, r.Epoch, id)
						}
					}
				}
				clear(candidates)
				clear(observed)
				targets = 0
				return nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		all := int64(len(source.Windows.Train) * source.Series.N)
		if tr.Forwards() != 3*all {
			t.Errorf("%s: %d visits without training, want %d", unit, tr.Forwards(), 3*all)
		}
		if want := tr.PlannedSteps(); tr.StepsDone() != want {
			t.Errorf("%s: %d steps, planned %d", unit, tr.StepsDone(), want)
		}
	}
}

// wrong answers instead of choosing.
type wrong struct {
	choosing
	places []int32
	err    error
}

func (w *wrong) Choose(int, int, int, []int32, []float32) ([]int32, error) { return w.places, w.err }

func TestWrongChoicesAreNamed(t *testing.T) {
	source, be := ring(t, false), open(t, "go")
	c := config()
	n := c.Units(source)
	for want, p := range map[string]stprune.Pruner{
		"chose 0":      &wrong{},
		"chose 9":      &wrong{places: []int32{0, 1, 2, 3, 4, 5, 6, 7, 8}},
		"place 3":      &wrong{places: []int32{3, 3}},
		"place 32":     &wrong{places: []int32{32}},
		"no gradients": &wrong{err: errors.New("no gradients")},
		"unit 87":      &forwarding{n: 90},
	} {
		switch p := p.(type) {
		case *wrong:
			p.Pruner = full(n)
		case *forwarding:
			p.Pruner = full(n)
		}
		tr, err := New(be, c, p, source)
		if err != nil {
			t.Fatal(err)
		}
		defer tr.Close()
		if err := tr.Run(t.Context(), Events{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want one with %q", err, want)
		}
	}
}

// An exact method trains with the same rates, to the last bit, whether its schedule counts its steps or goes by the plan.
func TestRatesByPlanAreThoseOfExactMethods(t *testing.T) {
	be := open(t, "go")
	for _, kind := range []string{"constant", "cosine", "multistep"} {
		for _, by := range []string{"step", "epoch"} {
			for _, unit := range []string{Window, Pair} {
				var first []byte
				var rates []float64
				for _, inexact := range []bool{false, true} {
					c := config()
					c.Schedule = optim.Schedule{Kind: kind, By: by, Floor: 0.02, WarmUp: 0.3, Milestones: []int{2}, Gamma: 0.3}
					c.Unit, c.Epochs, c.Inexact, c.ValidateEvery = unit, 5, inexact, 100
					source := ring(t, true)
					tr, err := New(be, c, pruned(t, c.Units(source), c.Epochs), source)
					if err != nil {
						t.Fatal(err)
					}
					defer tr.Close()
					i := 0
					err = tr.Run(t.Context(), Events{Epoch: func(r EpochReport) error {
						if rates = append(rates, r.LR); inexact && rates[i] != r.LR {
							t.Errorf("%s by %s, epoch %d: rate %v, counted %v", kind, by, r.Epoch, r.LR, rates[i])
						}
						i++
						return nil
					}})
					if err != nil {
						t.Fatal(err)
					}
					state, err := tr.MarshalBinary()
					if err != nil {
						t.Fatal(err)
					}
					if first == nil {
						first = state
					} else if !bytes.Equal(first, state) {
						t.Errorf("%s by %s, %s: the state differs", kind, by, unit)
					}
				}
			}
		}
	}
}

// loose plans other numbers of units than it says.
type loose struct {
	stprune.Pruner
	keep []int
}

func (p *loose) Plan(epoch int) (stprune.Selection, error) {
	var s stprune.Selection
	for id := range int32(p.keep[epoch]) {
		s.IDs = append(s.IDs, id)
	}
	return s, nil
}
func (p *loose) Keep(int) int { return 40 }

func TestRatesFollowThePlan(t *testing.T) {
	source := ring(t, false)
	c := config() // batches of 8: 5 planned steps in each of 4 epochs
	c.Inexact = true
	c.Schedule = optim.Schedule{Kind: "cosine", By: "step", WarmUp: 0.1}
	p := &loose{full(c.Units(source)), []int{40, 16, 80, 8}}
	tr, err := New(open(t, "go"), c, p, source)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	var lrs []float64
	if err := tr.Run(t.Context(), Events{Epoch: func(r EpochReport) error { lrs = append(lrs, r.LR); return nil }}); err != nil {
		t.Fatal(err)
	}
	// The last steps: 4 of 5, 1 of 2, 9 of 10, 0 of 1.
	for e, at := range []float64{4, 5 + 2.5, 10 + 4.5, 15} {
		done := (at/20 - 0.1) / 0.9
		want := c.Optim.LR * (1 + math.Cos(math.Pi*done)) / 2
		if math.Abs(lrs[e]-want) > 1e-15 {
			t.Errorf("epoch %d ends with rate %v, want %v", e+1, lrs[e], want)
		}
	}
	tr.state.Epoch, tr.state.Step, tr.state.Global = 1, 0, 5
	for step, at := range []float64{5, 7.5} {
		if got, want := tr.rates(2, 20)(step), c.Schedule.LR(c.Optim.LR, optim.Progress{Step: int(at), Part: at - math.Trunc(at), Steps: 20}); got != want {
			t.Errorf("step %d: rate %v, want %v", step, got, want)
		}
	}
	// At most 10 steps: what is nearer its end counts, the plan (half of its 20 steps) or the steps.
	for global, places := range map[int][]float64{1: {2.5, 3.75}, 5: {5, 6}} {
		tr.state.Global = global
		for step, at := range places {
			if got, want := tr.rates(2, 10)(step), c.Schedule.LR(c.Optim.LR, optim.Progress{Step: int(at), Part: at - math.Trunc(at), Steps: 10}); got != want {
				t.Errorf("step %d after %d: rate %v, want %v", step, global, got, want)
			}
		}
	}
}
