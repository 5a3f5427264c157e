package stats

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mathext"
	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// Student is the interval of the mean by Student's t, for at least 2 values. For values of a normal distribution it holds what it
// says with any number of seeds; with 2 it is wide, as it must be.
func Student(x []float64, level float64) (Interval, error) {
	if len(x) < 2 {
		return Interval{}, fmt.Errorf("student's interval: %d values; use at least 2 seeds", len(x))
	}
	if err := finite("student's interval", x); err != nil {
		return Interval{}, err
	}
	n := float64(len(x))
	mean, sd := stat.MeanStdDev(x, nil)
	half := distuv.StudentsT{Sigma: 1, Nu: n - 1}.Quantile((1+level)/2) * sd / math.Sqrt(n)
	return Interval{Low: mean - half, High: mean + half}, nil
}

// Won says how often a method had the smaller error of two, see [Wins].
type Won struct {
	Wins        int      `json:"wins"`
	Blocks      int      `json:"blocks"`
	Probability float64  `json:"probability"` // Wins of Blocks
	Interval    Interval `json:"interval"`    // Clopper and Pearson's, of Probability
	P           float64  `json:"p"`           // two-sided, of the sign test
}

// Wins counts the blocks, such as a data set and a seed, in which a has a smaller error than b. It asks nothing of how errors are
// distributed, so that blocks of data sets of different units stand together, and is exact for any number of them: the sign test
// as Demšar puts it ("Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 2006, section 3.1.4; ties are split, an
// odd one is left out), and the interval of Clopper and Pearson (Biometrika 1934), which holds the probability at least as often as
// level says. It is about the data sets at hand, not others. Critical differences of mean ranks rest on many data sets instead.
func Wins(a, b []float64, level float64) (Won, error) {
	if len(a) != len(b) {
		return Won{}, fmt.Errorf("wins: %d errors and %d of the other; want as many of both", len(a), len(b))
	}
	var w Won
	ties := 0
	for i := range a {
		if err := finite("wins", []float64{a[i], b[i]}); err != nil {
			return Won{}, err
		}
		switch {
		case a[i] < b[i]:
			w.Wins++
		case a[i] == b[i]:
			ties++
		}
	}
	w.Wins += ties / 2
	w.Blocks = len(a) - ties%2
	if w.Blocks == 0 {
		return Won{}, fmt.Errorf("wins: %d blocks, %d of them ties; use more seeds", len(a), ties)
	}
	won, lost := float64(w.Wins), float64(w.Blocks-w.Wins)
	w.Probability = won / (won + lost)
	w.Interval = Interval{Low: 0, High: 1}
	tail := (1 - level) / 2
	if won > 0 {
		w.Interval.Low = mathext.InvRegIncBeta(won, lost+1, tail)
	}
	if lost > 0 {
		w.Interval.High = mathext.InvRegIncBeta(won+1, lost, 1-tail)
	}
	w.P = min(1, 2*distuv.Binomial{N: won + lost, P: 0.5}.CDF(min(won, lost)))
	return w, nil
}
