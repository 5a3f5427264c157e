package method

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"runtime"
	"runtime/metrics"
	"slices"
	"strings"
	"testing"
	"time"
)

func distances(g Matrix) Matrix {
	d := Matrix{Rows: g.Rows, Cols: g.Rows, Data: make([]float32, g.Rows*g.Rows)}
	for i := range g.Rows {
		for j := range g.Rows {
			sum := 0.0
			for c := range g.Cols {
				v := float64(g.Row(i)[c] - g.Row(j)[c])
				sum += v * v
			}
			d.Data[i*g.Rows+j] = float32(math.Sqrt(sum))
		}
	}
	return d
}

// covered is Σ_i max_j (largest − d_ij) over the chosen j.
func covered(d Matrix, chosen func(j int) bool) float64 {
	largest := slices.Max(d.Data)
	sum := 0.0
	for i := range d.Rows {
		best := float32(0)
		for j, v := range d.Row(i) {
			if chosen(j) {
				best = max(best, largest-v)
			}
		}
		sum += float64(best)
	}
	return sum
}

func TestFacilityLocationAgainstAllSubsets(t *testing.T) {
	const n = 12
	for seed := range uint64(8) {
		d := distances(noise(n, seed).Gradients)
		for k := 1; k <= 5; k++ {
			best := 0.0
			for set := range 1 << n {
				if bits.OnesCount(uint(set)) == k {
					best = max(best, covered(d, func(j int) bool { return set>>j&1 == 1 }))
				}
			}
			chosen, sizes, err := facilityLocation(Setup{Context: t.Context()}, d, k)
			if err != nil {
				t.Fatal(err)
			}
			got := covered(d, func(j int) bool { return slices.Contains(chosen, j) })
			if got < (1-1/math.E)*best-1e-4 || got > best+1e-4 {
				t.Errorf("seed %d, k %d: %v of %v", seed, k, got, best)
			}

			// Lazy or not, the greedy choice is the same.
			var plain []int
			for range k {
				at, top := -1, math.Inf(-1)
				for j := range n {
					if v := covered(d, func(i int) bool { return i == j || slices.Contains(plain, i) }); v > top && !slices.Contains(plain, j) {
						at, top = j, v
					}
				}
				plain = append(plain, at)
			}
			if !slices.Equal(plain, chosen) {
				t.Errorf("seed %d: %v; the plain greedy choice is %v", seed, chosen, plain)
			}

			nearest := make([]float32, k)
			for i := range n {
				at := 0
				for c, j := range chosen {
					if d.Row(i)[j] < d.Row(i)[chosen[at]] {
						at = c
					}
				}
				nearest[at]++
			}
			if !slices.Equal(nearest, sizes) {
				t.Errorf("seed %d: sizes %v; want %v", seed, sizes, nearest)
			}
		}
	}
}

func TestCraigPools(t *testing.T) {
	const n, k = 100, 30
	s := keeping(n, k, noise(n, 1))
	s.Options = map[string]any{"pool": 20}
	got := planned(t, "craig", s)
	if len(got.IDs) != k {
		t.Fatalf("%d units", len(got.IDs))
	}
	few := keeping(16, 7, noise(16, 1))
	few.Options = map[string]any{"pool": 3} // too small for a unit of each
	if got := planned(t, "craig", few); len(got.IDs) != 7 {
		t.Errorf("%d units of pools of 3, want 7", len(got.IDs))
	}
	s.Options = map[string]any{"pool": 1 << 20}
	one := planned(t, "craig", s)
	d := distances(noise(n, 1).Gradients)
	value := func(ids []int32) float64 {
		return covered(d, func(j int) bool { return slices.Contains(ids, int32(j)) })
	}
	if pools, all := value(got.IDs), value(one.IDs); pools > all+1e-3 || pools < 0.9*all {
		t.Errorf("facility location %v in pools, %v among all", pools, all)
	}
}

// Two units that stand for nothing but each other tie, so another order may choose the other one: what is covered stays.
func TestCraigFollowsPermutations(t *testing.T) {
	const n, k = 40, 11
	g := noise(n, 9).Gradients
	back := Matrix{Rows: n, Cols: g.Cols, Data: make([]float32, len(g.Data))}
	for i := range n {
		copy(back.Row(n-1-i), g.Row(i))
	}
	d := distances(g)
	one := planned(t, "craig", keeping(n, k, &Probe{Gradients: g}))
	other := planned(t, "craig", keeping(n, k, &Probe{Gradients: back}))
	a := covered(d, func(j int) bool { return slices.Contains(one.IDs, int32(j)) })
	b := covered(d, func(j int) bool { return slices.Contains(other.IDs, int32(n-1-j)) })
	if math.Abs(a-b) > 1e-4 {
		t.Errorf("%v, in the other order %v", a, b)
	}
}

func TestCraigRefusesTooMuchMemory(t *testing.T) {
	const n = 40_000
	s := keeping(n, 10, &Probe{Gradients: columns(n, nil)})
	s.Options = map[string]any{"pool": 1 << 20}
	_, err := maker(t, "craig", s).Plan(0)
	if err == nil || !strings.Contains(err.Error(), "takes 6400160000 bytes") || !strings.Contains(err.Error(), "choose windows as unit") {
		t.Errorf("error %v", err)
	}
}

// peakHeap is the most that objects took of the heap while f ran, garbage that isn't collected yet included.
func peakHeap(f func()) uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	stop, peak := make(chan struct{}), make(chan uint64)
	go func() {
		most := uint64(0)
		for running := true; running; {
			select {
			case <-stop:
				running = false
			case <-time.After(time.Millisecond):
			}
			metrics.Read(sample)
			most = max(most, sample[0].Value.Uint64())
		}
		peak <- most
	}()
	f()
	close(stop)
	return <-peak
}

// The windows of a year of 15 minutes with the last-layer gradients of STID as a probe delivers them: 12 horizons of 128 features
// and a bias, too few to be projected. It takes a minute of one core, nearly all of it for CRAIG's distances; with -short a quarter
// of the windows.
func TestMemoryOfManyWindows(t *testing.T) {
	n := 36_000
	if testing.Short() {
		n = 9_000
	}
	const columns, validation = 12 * (128 + 1), 5_000
	uniform := func(rows int) Matrix {
		r := rand.New(rand.NewPCG(1, uint64(rows)))
		m := Matrix{Rows: rows, Cols: columns, Data: make([]float32, rows*columns)}
		for i := range m.Data {
			m.Data[i] = r.Float32() - 0.4
		}
		return m
	}
	p := &Probe{Gradients: uniform(n), Validation: uniform(validation)}
	for _, c := range []struct {
		method string
		k      int
		bound  uint64 // bytes beside the probe
	}{
		{"craig", 90, 80 << 20},     // the distances within a pool are 67 MB
		{"gradmatch", 60, 30 << 20}, // a matrix of columns² is 19 MB
		{"glister", 60, 14 << 20},   // half as much, float32
		{"dp", n - 2000, 8 << 20},
	} {
		pruner := maker(t, c.method, keeping(n, c.k, p))
		runtime.GC()
		var before runtime.MemStats
		runtime.ReadMemStats(&before)
		peak := peakHeap(func() {
			if _, err := pruner.Plan(0); err != nil {
				t.Error(err)
			}
		})
		if beside := peak - min(peak, before.HeapAlloc); beside > c.bound {
			t.Errorf("%s took %d bytes beside its probe; want at most %d", c.method, beside, c.bound)
		}
		if peak > memoryBound {
			t.Errorf("%s took %d bytes with its probe; want at most %d", c.method, peak, memoryBound)
		}
	}
}
