package method

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stprune/workbench/stprune"
)

// keeping is a setup of n units of which k are kept, with a probe.
func keeping(n, k int, p *Probe) Setup {
	c := stprune.DefaultConfig()
	c.Epochs, c.Rho, c.MinUnits = 3, 1e-9, k
	return Setup{Units: n, Config: c, Probe: func() (*Probe, error) { return p, nil }}
}

func planned(t *testing.T, name string, s Setup) stprune.Selection {
	t.Helper()
	selection, err := maker(t, name, s).Plan(0)
	if err != nil {
		t.Fatal(err)
	}
	return selection
}

func maker(t *testing.T, name string, s Setup) stprune.Pruner {
	t.Helper()
	m, err := ByName(name)
	if err != nil {
		t.Fatal(err)
	}
	p, err := m.Make(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func statics() []Method {
	var out []Method
	for _, m := range All() {
		if m.Kind == Static {
			out = append(out, m)
		}
	}
	return out
}

// noise is a probe of n units without ties.
func noise(n int, seed uint64) *Probe {
	r := rand.New(rand.NewPCG(seed, 0))
	column := func() []float32 {
		out := make([]float32, n)
		for i := range out {
			out[i] = float32(r.ExpFloat64())
		}
		return out
	}
	matrix := func(rows, cols int) Matrix {
		m := Matrix{Rows: rows, Cols: cols, Data: make([]float32, rows*cols)}
		for i := range m.Data {
			m.Data[i] = float32(r.NormFloat64() + 0.5)
		}
		return m
	}
	p := &Probe{
		Loss: column(), Error: column(), Norms: column(), LR: 0.01,
		Features: matrix(n, 5), Gradients: matrix(n, 7), Forecasts: matrix(n, 4), Inputs: matrix(n, 4), Validation: matrix(9, 7),
	}
	for range 10 {
		p.Trajectory = append(p.Trajectory, column())
		p.Checkpoints = append(p.Checkpoints, Checkpoint{Gradients: matrix(n, 7), LR: r.Float64()})
	}
	return p
}

// columns makes a matrix of n rows from its columns; the rows beyond a column's end are 0.
func columns(n int, columns ...[]float32) Matrix {
	m := Matrix{Rows: n, Cols: len(columns), Data: make([]float32, n*len(columns))}
	for c, column := range columns {
		for i, v := range column {
			m.Data[i*m.Cols+c] = v
		}
	}
	return m
}

func TestRulesByHand(t *testing.T) {
	const n = 12
	line := []float32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}
	peaks := []float32{1, 9, 2, 8, 3, 7, 0, 0, 0, 0, 0, 6}

	// Learned (0) or not (1) after four epochs. Forgotten: unit 0 twice, units 1 and 4 once; unit 3 was never learned.
	forgets := make([][]float32, 4)
	for e, not := range [][]int{{3}, {0, 1, 3}, {3, 4}, {0, 3}} {
		forgets[e] = make([]float32, n)
		for _, i := range not {
			forgets[e][i] = 1
		}
	}

	// Changes of the loss: unit 0 1, 1, 1; unit 5 0, 0, 2; unit 7 4, 0, 0; unit 9 0, 1, 0; the others none. In windows of two changes
	// the deviations are √2 in the later window for unit 5, √8 in the earlier one for unit 7, √½ in both for unit 9, and 0 for all
	// others: 0.9·√2 = 1.27, 0.09·√8 = 0.25, 0.99·√½ = 0.70.
	uneven := make([][]float32, 4)
	for e := range uneven {
		uneven[e] = make([]float32, n)
		uneven[e][0] = []float32{5, 4, 3, 2}[e]
		uneven[e][5] = []float32{5, 5, 5, 3}[e]
		uneven[e][7] = []float32{9, 5, 5, 5}[e]
		uneven[e][9] = []float32{5, 5, 4, 4}[e]
	}

	// Pairs of neighbours, 10 apart, whose forecasts differ by 1, 5, 2, 4, 3 and 0.
	twins := columns(n, []float32{0, 1, 10, 11, 20, 21, 30, 31, 40, 41, 50, 51})
	apart := columns(n, []float32{0, 1, 0, 5, 0, 2, 0, 4, 0, 3, 0, 0})

	cases := []struct {
		method  string
		note    string
		options map[string]any
		k       int
		probe   Probe
		ids     []int32
		weights []float32
	}{
		{method: "first", k: 4, ids: []int32{0, 1, 2, 3}},
		{method: "el2n", k: 3, probe: Probe{Error: peaks}, ids: []int32{1, 3, 5}},
		{method: "grand", k: 4, probe: Probe{Norms: peaks}, ids: []int32{1, 3, 5, 11}},

		// The mean is 5.5. Targets: 5.5, taking 5 (6 is as near and comes later); 11 − 5 = 6, taking 6; 16.5 − 11 = 5.5, taking 4 (as near
		// as 7); 22 − 15 = 7, taking 7.
		{method: "herding", k: 4, probe: Probe{Features: columns(n, line)}, ids: []int32{4, 5, 6, 7}},
		// Farthest from 5.5 is 0 (as far as 11); from 11, 1; from 16.5 − 1 = 15.5, 2; from 22 − 3 = 19, 3.
		{method: "herding", note: "farthest", options: map[string]any{"farthest": true}, k: 4, probe: Probe{Features: columns(n, line)}, ids: []int32{0, 1, 2, 3}},

		{method: "forgetting", k: 4, probe: Probe{Trajectory: forgets}, ids: []int32{0, 1, 3, 4}},
		{method: "forgetting", note: "counts", options: map[string]any{"never_learned": false}, k: 3, probe: Probe{Trajectory: forgets}, ids: []int32{0, 1, 4}},

		// On a line: 0…4, 100…104, and 50, 51. All distances together are smallest from 50 and from 51; 50 comes first. Then the middle of
		// 100…104 saves 260 − 6, that of 0…4 240 − 6: it is taken next. They are nearest to 2, 5 and 5 units: mean 4.
		{method: "craig", k: 3, probe: Probe{Gradients: columns(n, []float32{0, 1, 2, 3, 4, 100, 101, 102, 103, 104, 50, 51})},
			ids: []int32{2, 7, 10}, weights: []float32{1.25, 1.25, 0.5}},

		// The mean validation gradient is (1, ½), H = diag(2, ½). Agreements: unit 0 1, unit 1 0.9, unit 2 0.8, unit 3 0.5. After unit 0 the
		// gradient is (1 − ¼·2, ½), and agreements are 0.45, 0.8, 0.5; after unit 2 it is (½, ½ − ¼·½·1.6 = 0.3): 0.45, 0.3.
		{method: "glister", options: map[string]any{"eta": 0.25}, k: 2, ids: []int32{0, 2},
			probe: Probe{Gradients: columns(n, []float32{1, 0.9}, []float32{0, 0, 1.6, 1}), Validation: columns(2, []float32{2, 0}, []float32{0, 1})}},
		{method: "glister", note: "of the last epoch", k: 3, ids: []int32{0, 1, 2},
			probe: Probe{LR: 0.25, Gradients: columns(n, []float32{1, 0.9}, []float32{0, 0, 1.6, 1}), Validation: columns(2, []float32{2, 0}, []float32{0, 1})}},
		{method: "glister", note: "once", options: map[string]any{"update": false}, k: 2, ids: []int32{0, 1},
			probe: Probe{Gradients: columns(n, []float32{1, 0.9}, []float32{0, 0, 1.6, 1}), Validation: columns(2, []float32{2, 0}, []float32{0, 1})}},

		// The mean gradient is (½, ⅛). Agreements are 3 for unit 0 and ⅜ for unit 1. The two are orthogonal and explain it with
		// weights ½/6 = 1/12 and ⅛/3 = 1/24, nearly, for a small λ: 2 to 1.
		{method: "gradmatch", options: map[string]any{"lambda": 1e-6}, k: 2, probe: Probe{Gradients: columns(n, []float32{6}, []float32{0, 3, -1.5})},
			ids: []int32{0, 1}, weights: []float32{4. / 3, 2. / 3}},

		{method: "cal", options: map[string]any{"neighbours": 1}, k: 4, probe: Probe{Features: twins, Forecasts: apart}, ids: []int32{2, 3, 6, 7}},
		{method: "cal", note: "lowest", options: map[string]any{"neighbours": 1, "lowest": true}, k: 4, probe: Probe{Features: twins, Forecasts: apart},
			ids: []int32{0, 1, 10, 11}},

		// The median is 5.5, distances 0.5 to 5.5, each twice. The four in the middle are 2.5 and 3.5.
		{method: "moderate", k: 4, probe: Probe{Features: columns(n, line)}, ids: []int32{2, 3, 8, 9}},

		// Checkpoint 1, η 1: mean 1.25; unit 0 3·1.25 − 9/12 = 3, unit 1 2·1.25 − 4/12 = 2.17, the others 1.17. Checkpoint 2, η 2: mean 14/12;
		// unit 11 2·(3.5 − 0.75) = 5.5, the others 2·1.08. In all: unit 11 6.67, unit 0 5.17, unit 1 4.33.
		{method: "moso", k: 2, ids: []int32{0, 11}, probe: Probe{Checkpoints: []Checkpoint{
			{LR: 1, Gradients: columns(n, []float32{3, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1})},
			{LR: 2, Gradients: columns(n, []float32{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3})}}}},

		{method: "tdds", options: map[string]any{"window": 3}, k: 2, probe: Probe{Trajectory: uneven}, ids: []int32{5, 9}},
		{method: "tdds", note: "no decay", options: map[string]any{"window": 3, "decay": 1.0}, k: 2, probe: Probe{Trajectory: uneven}, ids: []int32{5, 9}},

		// The smallest influence, 0.3 of unit 2, is removed first. Then −1.2 of unit 1 leaves a sum of −0.9, while 1 of unit 0 would leave 1.3.
		{method: "dp", k: 10, probe: Probe{Gradients: columns(n, []float32{1, -1.2, 0.3, 5, 10, 11, 12, 13, 14, 15, 16, 17})},
			ids: []int32{0, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
		// Column 1 has a hundred times the mean square of column 0: 1 along it is less influence than 0.5 along column 0.
		{method: "dp", note: "diagonal", k: 11, probe: Probe{Gradients: columns(n, []float32{0.5, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, []float32{0, 1, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10})},
			ids: []int32{0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
		{method: "dp", note: "identity", options: map[string]any{"hessian": "identity"}, k: 11,
			probe: Probe{Gradients: columns(n, []float32{0.5, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, []float32{0, 1, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10})},
			ids:   []int32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
	}
	tried := map[string]bool{"hard-random": true, "k-center": true, "contextual-diversity": true, "ccs": true} // by their own tests: they draw
	for _, c := range cases {
		tried[c.method] = true
		t.Run(c.method+" "+c.note, func(t *testing.T) {
			setup := keeping(n, c.k, &c.probe)
			setup.Options = c.options
			got := planned(t, c.method, setup)
			if !slices.Equal(got.IDs, c.ids) {
				t.Errorf("kept %v; want %v", got.IDs, c.ids)
			}
			if len(got.Weight) != len(c.weights) {
				t.Fatalf("weights %v; want %v", got.Weight, c.weights)
			}
			for i, w := range c.weights {
				if math.Abs(float64(got.Weight[i]-w)) > 1e-5 {
					t.Errorf("weights %v; want %v", got.Weight, c.weights)
				}
			}
		})
	}
	for _, m := range statics() {
		if !tried[m.Name] {
			t.Errorf("%s has no case", m.Name)
		}
	}
}

func TestHardRandomIsUniformAndFixed(t *testing.T) {
	const n, k, seeds = 12, 3, 4000
	counts := make([]float64, n)
	for seed := range uint64(seeds) {
		s := keeping(n, k, nil)
		s.Config.Seed = seed
		p := maker(t, "hard-random", s)
		first, err := p.Plan(0)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := p.Plan(2); err != nil || !slices.Equal(first.IDs, again.IDs) {
			t.Fatalf("seed %d: %v, and %v two epochs later (%v)", seed, first.IDs, again.IDs, err)
		}
		for _, id := range first.IDs {
			counts[id]++
		}
	}
	const pi = float64(k) / n
	for id, c := range counts {
		if bound := 4.5 * math.Sqrt(pi*(1-pi)/seeds); math.Abs(c/seeds-pi) > bound {
			t.Errorf("unit %d: kept in %.4f of the seeds; want %.4f ± %.4f", id, c/seeds, pi, bound)
		}
	}
}

// Two easy units and seven of middling difficulty make the two strata once the three hardest are dropped; else the nine make the
// one, [0,50), and the three the other.
func TestCCS(t *testing.T) {
	difficulty := []float32{0, 1, 6, 7, 8, 9, 10, 9.5, 8.5, 100, 100, 100}
	for _, c := range []struct {
		k                    int
		beta                 float64
		easy, middling, hard int // kept; −1: any number
	}{
		{4, 0.25, 2, 2, 0},  // min(2, 4/2) and the rest
		{6, 0.25, 2, 4, 0},  // min(2, 6/2) and the rest
		{1, 0.25, 0, 1, 0},  // 1/2 is 0 for the smaller stratum
		{11, 0.25, 2, 7, 2}, // no more than n − k are dropped
		{4, 0, -1, -1, 2},   // min(3, 4/2)
		{1, -1, 0, 1, 0},    // ρ = 0.08: 0.3·12, 4 units are dropped
		{4, -1, -1, -1, 2},  // ρ = 0.33: 0.1·12, one is dropped, min(2, 4/2)
		{10, -1, -1, -1, 3}, // ρ = 0.83: none is dropped, min(3, 10/2)
	} {
		for seed := range uint64(30) {
			s := keeping(12, c.k, &Probe{Trajectory: [][]float32{difficulty}})
			s.Config.Seed, s.Options = seed, map[string]any{"strata": 2, "beta": c.beta}
			ids := planned(t, "ccs", s).IDs
			easy, _ := slices.BinarySearch(ids, 2)
			notHard, _ := slices.BinarySearch(ids, 9)
			if c.easy >= 0 && (easy != c.easy || notHard-easy != c.middling) || len(ids)-notHard != c.hard {
				t.Errorf("k %d, beta %v: %v; want %d easy, %d middling and %d hard units", c.k, c.beta, ids, c.easy, c.middling, c.hard)
			}
		}
	}
}

func TestStaticsKeepExactly(t *testing.T) {
	same := func(n int) *Probe { // all units alike
		p := noise(n, 1)
		for _, m := range p.matrices(Needs{Loss: true, Error: true, Norms: true, Trajectory: true, Features: true, Gradients: true,
			Forecasts: true, Checkpoints: true, Inputs: true}) {
			for i := range m.Data {
				m.Data[i] = m.Data[i%m.Cols]
			}
		}
		return p
	}
	zero := func(n int) *Probe {
		p := same(n)
		for _, m := range p.matrices(Needs{Features: true, Gradients: true, Forecasts: true, Validation: true, Trajectory: true}) {
			clear(m.Data)
		}
		return p
	}
	for _, m := range statics() {
		for name, probe := range map[string]func(n int) *Probe{"noise": func(n int) *Probe { return noise(n, 7) }, "equal": same, "zero": zero} {
			for _, k := range []int{1, 2, 12, 23} {
				t.Run(fmt.Sprintf("%s/%s/%d", m.Name, name, k), func(t *testing.T) {
					const n = 24
					p := maker(t, m.Name, keeping(n, k, probe(n)))
					for epoch := range 3 {
						got, err := p.Plan(epoch)
						if err != nil {
							t.Fatal(err)
						}
						if p.Keep(epoch) != k || got.All || len(got.IDs) != k || got.Diagnostics.Kept != k || got.Prob != nil {
							t.Fatalf("%d units; want %d: %+v", p.Keep(epoch), k, got)
						}
						for i, id := range got.IDs {
							if id < 0 || id >= n || i > 0 && id <= got.IDs[i-1] {
								t.Fatalf("ids %v; want ascending ones from 0 to %d", got.IDs, n-1)
							}
						}
						sum := 0.0
						for _, w := range got.Weight {
							if !(w >= 0) {
								t.Fatalf("weights %v", got.Weight)
							}
							sum += float64(w)
						}
						if got.Weight != nil && math.Abs(sum-float64(k)) > 1e-4 {
							t.Fatalf("weights add up to %v; want %d", sum, k)
						}
						if d := got.Diagnostics; !(d.EffectiveSize > 0 && d.EffectiveSize <= float64(k)+1e-6) || !(d.MaxWeight >= 1-1e-6) {
							t.Fatalf("%+v", d)
						}
					}
				})
			}
		}
	}
}

func TestStaticsKeepAllWithoutProbe(t *testing.T) {
	for _, m := range statics() {
		for _, n := range []int{1, 12} {
			s := keeping(n, n, nil)
			s.Probe = func() (*Probe, error) { return nil, errors.New("asked") }
			if got := planned(t, m.Name, s); !got.All {
				t.Errorf("%s of %d: %+v; want all units", m.Name, n, got)
			}
		}
	}
}

func TestStaticsResumeWithoutProbe(t *testing.T) {
	const n, k = 30, 8
	for _, m := range statics() {
		t.Run(m.Name, func(t *testing.T) {
			asked := 0
			setup := keeping(n, k, nil)
			setup.Probe = func() (*Probe, error) { asked++; return noise(n, 3), nil }
			p := maker(t, m.Name, setup)
			blank, err := p.MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			first, err := p.Plan(0)
			if err != nil {
				t.Fatal(err)
			}
			want := 0
			if m.Needs.Probed() {
				want = 1
			}
			if _, err := p.Plan(1); err != nil || asked != want {
				t.Fatalf("%v; the probe was asked for %d times, want %d", err, asked, want)
			}
			state, err := p.MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			again := maker(t, m.Name, setup)
			if err := again.UnmarshalBinary(state); err != nil {
				t.Fatal(err)
			}
			got, err := again.Plan(2)
			if err != nil || asked != want {
				t.Fatalf("%v; after resuming the probe was asked for %d times, want %d", err, asked, want)
			}
			if !slices.Equal(got.IDs, first.IDs) || !slices.Equal(got.Weight, first.Weight) || got.Diagnostics != first.Diagnostics {
				t.Errorf("resumed: %+v; want %+v", got, first)
			}
			if twice, err := again.MarshalBinary(); err != nil || !slices.Equal(twice, state) {
				t.Errorf("the state of a restored pruner differs (%v)", err)
			}

			if err := again.UnmarshalBinary(blank); err != nil {
				t.Fatal(err)
			}
			if got, err := again.Plan(0); err != nil || !slices.Equal(got.IDs, first.IDs) || asked != 2*want {
				t.Errorf("from the state before the choice: %v, %v, asked %d times", got.IDs, err, asked)
			}
			for _, wrong := range []Setup{keeping(n, k+1, nil), keeping(n+1, k, nil)} {
				wrong.Probe = setup.Probe
				if err := maker(t, m.Name, wrong).UnmarshalBinary(state); err == nil {
					t.Error("a state of other settings was taken")
				}
			}
			column := filled(n, -1)
			for i := range k {
				column[i] = float32(math.NaN())
			}
			if err := again.UnmarshalBinary(stprune.EncodeState(m.Name, n, column)); err == nil {
				t.Error("weights that are not numbers were taken")
			}
		})
	}
}

func TestStaticsFollowPermutations(t *testing.T) {
	const n, k = 40, 11
	order := rand.New(rand.NewPCG(5, 5)).Perm(n) // unit i becomes unit order[i]
	for _, name := range []string{"herding", "grand", "el2n", "glister", "gradmatch", "cal", "moderate", "moso", "tdds", "dp"} {
		one, other := noise(n, 9), noise(n, 9)
		need, err := ByName(name)
		if err != nil {
			t.Fatal(err)
		}
		from, to := one.matrices(need.Needs), other.matrices(need.Needs)
		for j, m := range from {
			for i := range m.Rows {
				if m.perUnit {
					copy(to[j].Row(order[i]), m.Row(i))
				}
			}
		}
		a, b := planned(t, name, keeping(n, k, one)), planned(t, name, keeping(n, k, other))
		var moved []int32
		for _, id := range a.IDs {
			moved = append(moved, int32(order[id]))
		}
		slices.Sort(moved)
		if !slices.Equal(moved, b.IDs) {
			t.Errorf("%s: %v, in the other order %v", name, moved, b.IDs)
		}
	}
}

func TestStaticsDontDependOnCores(t *testing.T) {
	const n, k = 1500, 40
	for _, m := range statics() {
		var want stprune.Selection
		for i, cores := range []int{1, 2, 5} {
			before := runtime.GOMAXPROCS(cores)
			got := planned(t, m.Name, keeping(n, k, noise(n, 2)))
			runtime.GOMAXPROCS(before)
			if i == 0 {
				want = got
			} else if !slices.Equal(got.IDs, want.IDs) || !slices.Equal(got.Weight, want.Weight) {
				t.Errorf("%s: another choice on %d cores", m.Name, cores)
			}
		}
	}
}

// Each of two data sets keeps its share, and is chosen from as if it were alone.
func TestStaticsChooseWithinGroups(t *testing.T) {
	const n, k = 36, 9
	for _, m := range statics() {
		p := noise(n, 4)
		for i := 24; i < n; i++ {
			p.Error[i] += 100 // would win all places
		}
		s := keeping(n, k, p)
		s.Groups = []int{24, 12}
		got := planned(t, m.Name, s).IDs
		if inFirst, _ := slices.BinarySearch(got, 24); inFirst != 6 || len(got) != k {
			t.Errorf("%s: %v; want 6 of units 0 to 23 and 3 of the others", m.Name, got)
		}
	}
	p := noise(n, 4)
	s := keeping(n, k, p)
	s.Groups = []int{24, 12}
	second := planned(t, "cal", keeping(12, 3, p.part(24, 36))).IDs
	if got := planned(t, "cal", s).IDs[6:]; got[0]-24 != second[0] || got[1]-24 != second[1] || got[2]-24 != second[2] {
		t.Errorf("%v in the group, %v alone", got, second)
	}
	s.Groups = []int{24, 13}
	if _, err := cal.Make(s); err == nil || !strings.Contains(err.Error(), "make 37; there are 36 units") {
		t.Errorf("error %v", err)
	}
}

func TestStaticsRefuseBadProbes(t *testing.T) {
	const n = 12
	refused := func(m Method, p *Probe, want string) {
		t.Helper()
		pruner := maker(t, m.Name, keeping(n, 4, p))
		if _, err := pruner.Plan(0); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "method "+m.Name) {
			t.Errorf("%s: error %v; want one with %q", m.Name, err, want)
		}
	}
	for _, m := range statics() {
		if !m.Needs.Probed() {
			continue
		}
		for j, part := range noise(n, 1).matrices(m.Needs) {
			where := "of unit 5 is "
			if !part.perUnit {
				where = "of validation window 5 is "
			}
			for _, v := range []float64{math.NaN(), math.Inf(-1)} {
				p := noise(n, 1)
				p.matrices(m.Needs)[j].Row(5)[0] = float32(v)
				refused(m, p, part.name+" "+where+fmt.Sprint(v))
			}
			if part.perUnit {
				refused(m, noise(n+1, 1), fmt.Sprintf("has %d rows", n+1))
			}
		}
		refused(m, &Probe{}, "the probe")
		refused(m, nil, "the probe is nil")

		s := keeping(n, 4, nil)
		s.Probe = func() (*Probe, error) { return nil, errors.New("no memory") }
		if _, err := maker(t, m.Name, s).Plan(0); err == nil || !strings.Contains(err.Error(), "no memory") {
			t.Errorf("%s: error %v", m.Name, err)
		}
		s.Probe = nil
		if _, err := m.Make(s); err == nil || !strings.Contains(err.Error(), "set Setup.Probe") {
			t.Errorf("%s: error %v", m.Name, err)
		}
	}
	p := noise(n, 1)
	p.LR = math.NaN()
	refused(glister, p, "learning rate is NaN")
	p = noise(n, 1)
	p.Validation = columns(9, nil)
	refused(glister, p, "validation gradients have 1 columns")
	p = noise(n, 1)
	p.Forecasts = columns(n, nil)
	refused(contextualDiversity, p, "horizon of 1 step")
}

func TestStaticsCheckSettings(t *testing.T) {
	s := keeping(12, 4, nil)
	s.Config.WarmUp, s.Config.Epochs, s.Config.Budget = 5, 1, 1e-6 // not read
	p := maker(t, "first", s)
	if p.Keep(0) != 4 || p.Keep(1) != 0 {
		t.Errorf("keeps %d, then %d; want 4, then none", p.Keep(0), p.Keep(1))
	}
	if _, err := p.Plan(1); err == nil {
		t.Error("an epoch after the last was planned")
	}
	if err := p.Observe([]int32{12}, make(stprune.Stats, stprune.NumStats)); err == nil {
		t.Error("a unit that doesn't exist was observed")
	}
	s.Config.Rho = 2
	if _, err := first.Make(s); err == nil {
		t.Error("rho 2 was taken")
	}
	for _, m := range statics() {
		all, err := m.Complete(nil)
		if err != nil {
			t.Fatal(err)
		}
		_, epochs := all["probe_epochs"].(int)
		_, repeats := all["probe_repeats"].(int)
		if want := m.Needs.Probed(); epochs != want || repeats != want {
			t.Errorf("%s: options %v", m.Name, all)
		}
	}
}

func TestStaticsStop(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, m := range statics() {
		switch m.Name {
		case "hard-random", "first", "grand", "el2n", "ccs": // as long as sorting takes
			continue
		}
		s := keeping(24, 5, noise(24, 1))
		s.Context = ctx
		if _, err := maker(t, m.Name, s).Plan(0); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error %v; want that of the context", m.Name, err)
		}
	}
}

func TestNotApplicable(t *testing.T) {
	for _, m := range NotApplicable() {
		if m.Paper == "" || m.Reason == "" {
			t.Errorf("%+v", m)
		}
		if slices.Contains(Names(), m.Name) {
			t.Errorf("%s is in the table", m.Name)
		}
		if _, err := ByName(m.Name); err == nil || !strings.Contains(err.Error(), m.Name+" is not applicable: "+m.Reason) {
			t.Errorf("%s: error %v; want one that says why there is none", m.Name, err)
		}
	}
	if _, err := ByName("magic"); err == nil || !strings.Contains(err.Error(), `no method "magic"`) {
		t.Errorf("magic: error %v", err)
	}
}
