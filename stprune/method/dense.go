package method

import (
	"cmp"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"gonum.org/v1/gonum/blas/blas32"
)

// What static methods compute with: float32 data, float64 sums, all cores, and results that don't depend on how many there are.

// each calls f for ranges of at most size numbers that together are 0…n−1, on all cores, until the context ends it. What f
// computes for a number must not depend on the range.
func (s Setup) each(n, size int, f func(from, to int)) error {
	var next atomic.Int64
	work := func() {
		for s.Context.Err() == nil {
			from := int(next.Add(int64(size))) - size
			if from >= n {
				return
			}
			f(from, min(n, from+size))
		}
	}
	workers := min(runtime.GOMAXPROCS(0), (n+size-1)/size)
	var wg sync.WaitGroup
	for range workers - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
	return s.interrupted()
}

// interrupted is what a choice returns when its context ends it.
func (s Setup) interrupted() error {
	if err := s.Context.Err(); err != nil {
		return fmt.Errorf("interrupted while choosing: %w", err)
	}
	return nil
}

// chunk is a number of rows that is worth a goroutine.
const chunk = 512

// argmax is the place 0…n−1 of the largest value, the first of equal ones. Each value is asked for once.
func (s Setup) argmax(n int, value func(i int) float64) (int, error) {
	places := make([]int, (n+chunk-1)/chunk) // the best of each range
	values := make([]float64, len(places))
	err := s.each(n, chunk, func(from, to int) {
		best, top := from, value(from)
		for i := from + 1; i < to; i++ {
			if v := value(i); v > top {
				best, top = i, v
			}
		}
		places[from/chunk], values[from/chunk] = best, top
	})
	if err != nil {
		return 0, err
	}
	best := 0
	for i, v := range values {
		if v > values[best] {
			best = i
		}
	}
	return places[best], nil
}

// dot is the inner product, summed in float64.
func dot(x, y []float32) float64 {
	return blas32.DDot(blas32.Vector{N: len(x), Data: x, Inc: 1}, blas32.Vector{N: len(y), Data: y, Inc: 1})
}

// squares are the squared norms of the rows.
func (s Setup) squares(m Matrix) ([]float64, error) {
	out := make([]float64, m.Rows)
	err := s.each(m.Rows, chunk, func(from, to int) {
		for i := from; i < to; i++ {
			out[i] = dot(m.Row(i), m.Row(i))
		}
	})
	return out, err
}

// means are the means of the columns after f (nil: as they are).
func (s Setup) means(m Matrix, f func(v float64) float64) ([]float64, error) {
	out := make([]float64, m.Cols)
	err := s.each(m.Cols, 64, func(from, to int) {
		part := out[from:to]
		for i := range m.Rows {
			for c, v := range m.Row(i)[from:to] {
				if f == nil {
					part[c] += float64(v)
				} else {
					part[c] += f(float64(v))
				}
			}
		}
		for c := range part {
			part[c] /= float64(m.Rows)
		}
	})
	return out, err
}

// single rounds to float32.
func single(out []float32, v []float64) {
	for i := range out {
		out[i] = float32(v[i])
	}
}

// shuffled are the places 0…n−1 in random order.
func (s Setup) shuffled(n int) []int32 {
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32(i)
	}
	s.random.Shuffle(n, func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	return ids
}

// highest are the k places with the highest scores; equal ones are taken by lot.
func highest[T cmp.Ordered](s Setup, scores []T, k int) []int32 {
	ids := s.shuffled(len(scores))
	slices.SortStableFunc(ids, func(i, j int32) int { return cmp.Compare(scores[j], scores[i]) })
	return ids[:k]
}

func filled(n int, v float32) []float32 { return slices.Repeat([]float32{v}, n) }

var below = math.Inf(-1) // the value of a place that must not be taken
