package stats

import (
	"math"
	"slices"
	"testing"
)

// The quantiles are those of printed tables of t.
func TestStudent(t *testing.T) {
	for _, c := range []struct {
		x    []float64
		half float64
	}{
		{[]float64{1, 3}, 12.7062 * math.Sqrt2 / math.Sqrt2},
		{[]float64{2, 4, 6}, 4.30265 * 2 / math.Sqrt(3)},
		{[]float64{1, 2, 3, 4, 5}, 2.77645 * math.Sqrt(2.5) / math.Sqrt(5)},
		{[]float64{7, 7}, 0},
	} {
		got, err := Student(c.x, 0.95)
		mean := (c.x[0] + c.x[len(c.x)-1]) / 2
		if err != nil || math.Abs(got.Low-mean+c.half) > 1e-4 || math.Abs(got.High-mean-c.half) > 1e-4 {
			t.Errorf("interval of %v is %v (%v), want %v ± %v", c.x, got, err, mean, c.half)
		}
	}
	for _, x := range [][]float64{nil, {1}, {1, math.NaN()}} {
		if got, err := Student(x, 0.95); err == nil {
			t.Errorf("interval of %v is %v, want an error", x, got)
		}
	}
}

// Where all blocks are won the lower end is 0.025^(1/n); the others are in tables of Clopper and Pearson's interval.
func TestWins(t *testing.T) {
	for _, c := range []struct {
		a, b      []float64
		wins, of  int
		low, high float64
		p         float64
	}{
		{[]float64{1, 1, 1}, []float64{2, 2, 2}, 3, 3, 0.2924018, 1, 0.25},
		{slices.Repeat([]float64{1}, 6), slices.Repeat([]float64{2}, 6), 6, 6, 0.5407419, 1, 0.03125},
		{[]float64{1, 1, 1, 1, 1, 1, 1, 1, 1, 3}, slices.Repeat([]float64{2}, 10), 9, 10, 0.5549839, 0.9974714, 0.02148438},
		{[]float64{1, 2, 2, 3}, []float64{2, 2, 2, 2}, 2, 4, 0.06758599, 0.9324140, 1}, // two ties are one win and one loss
		{[]float64{3, 2}, []float64{2, 2}, 0, 1, 0, 0.975, 1},                          // one tie is left out
	} {
		w, err := Wins(c.a, c.b, 0.95)
		if err != nil || w.Wins != c.wins || w.Blocks != c.of || math.Abs(w.Interval.Low-c.low) > 1e-6 || math.Abs(w.Interval.High-c.high) > 1e-6 || math.Abs(w.P-c.p) > 1e-6 {
			t.Errorf("%v against %v: %+v (%v), want %d of %d, %v to %v, p %v", c.a, c.b, w, err, c.wins, c.of, c.low, c.high, c.p)
		}
	}
	for _, c := range [][2][]float64{{nil, nil}, {{1}, {1}}, {{1}, {1, 2}}, {{1}, {math.NaN()}}} {
		if w, err := Wins(c[0], c[1], 0.95); err == nil {
			t.Errorf("%v against %v: %+v, want an error", c[0], c[1], w)
		}
	}
}
