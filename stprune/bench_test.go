package stprune_test

import (
	"fmt"
	"testing"

	"github.com/stprune/workbench/stprune"
)

// The main use has 2.4 million (window, node) pairs. Selection has to stay well under 1 % of an epoch of some 20 s.
const pairs = 2_400_000

func BenchmarkPlan(b *testing.B) {
	for _, selector := range []string{"uniform", "top+rest", "pps", "gumbel"} {
		for _, gamma := range []float64{1, 0.5} {
			if gamma != 1 && selector != "pps" {
				continue
			}
			b.Run(fmt.Sprintf("%s/gamma=%v", selector, gamma), func(b *testing.B) {
				c := stprune.DefaultConfig()
				c.Selector, c.Gamma, c.Epochs = selector, gamma, 1<<20
				p := observed(b, pairs, c)
				b.ResetTimer()
				for i := range b.N {
					if _, err := p.Plan(1 + i); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkObserve(b *testing.B) {
	const batch = 1024
	p, err := stprune.New(pairs, stprune.DefaultConfig())
	if err != nil {
		b.Fatal(err)
	}
	ids, stats := make([]int32, batch), make(stprune.Stats, batch*stprune.NumStats)
	for i := range ids {
		ids[i] = int32(i * 2000)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if err := p.Observe(ids, stats); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMarshal(b *testing.B) {
	p := observed(b, pairs, stprune.DefaultConfig())
	b.ResetTimer()
	for range b.N {
		if _, err := p.MarshalBinary(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUnmarshal(b *testing.B) {
	p := observed(b, pairs, stprune.DefaultConfig())
	state, err := p.MarshalBinary()
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for range b.N {
		if err := p.UnmarshalBinary(state); err != nil {
			b.Fatal(err)
		}
	}
}

// observed is a pruner that has visited every unit twice, with scores spread over two orders of magnitude.
func observed(tb testing.TB, n int, c stprune.Config) stprune.Pruner {
	tb.Helper()
	p, err := stprune.New(n, c)
	if err != nil {
		tb.Fatal(err)
	}
	r := stprune.Stream(1, "test", 0)
	ids, stats := make([]int32, n), make(stprune.Stats, n*stprune.NumStats)
	for range 2 {
		for i := range ids {
			ids[i] = int32(i)
			stats[i*stprune.NumStats+stprune.Level] = float32(0.05 + r.ExpFloat64())
		}
		if err := p.Observe(ids, stats); err != nil {
			tb.Fatal(err)
		}
	}
	return p
}
