package datasets

import (
	"fmt"
	"math"
	"time"
)

// Protocol says how a series becomes forecasting windows. The zero value is not usable; start from [DefaultProtocol].
type Protocol struct {
	History int        // input steps T
	Horizon int        // forecast steps Q
	Ratio   [3]float64 // train : validation : test, e.g. 6:2:2; used when Dates is zero

	// Dates splits by wall-clock time instead: a window belongs to the part in which its last target step lies.
	// Dates[0] is the first day of validation, Dates[1] the first day of test.
	Dates [2]time.Time
}

// DefaultProtocol is the field's most common one: 12 steps in, 12 out, 6:2:2.
func DefaultProtocol() Protocol {
	return Protocol{History: 12, Horizon: 12, Ratio: [3]float64{6, 2, 2}}
}

// Windows lists window starts. The window that starts at s has history steps [s, s+History) and target steps
// [s+History, s+History+Horizon).
type Windows struct {
	History, Horizon int
	Train, Val, Test []int32
	Scaler           Scaler
}

// Scaler is the z-score of the training part: z = (x − Mean) / Std.
type Scaler struct{ Mean, Std float64 }

// Apply splits the series into windows and fits the scaler on training rows only. By default the split is by window index,
// chronological, sizes rounded half to even (LargeST, ST-TTC, STID): train = round(r·n), validation = round(r·n), test the rest.
// The scaler is fitted on the rows that training histories cover (STID), see [FitScaler].
func (p Protocol) Apply(s *Series) (*Windows, error) {
	if p.History < 1 || p.Horizon < 1 {
		return nil, fmt.Errorf("protocol: history %d and horizon %d must both be at least 1", p.History, p.Horizon)
	}
	n := s.T - p.History - p.Horizon + 1
	if n < 3 {
		return nil, fmt.Errorf("protocol: series %q has %d steps; history %d + horizon %d need at least %d for one window in each part",
			s.Name, s.T, p.History, p.Horizon, p.History+p.Horizon+2)
	}
	var train, val int
	if p.Dates[0].IsZero() {
		sum := p.Ratio[0] + p.Ratio[1] + p.Ratio[2]
		if p.Ratio[0] <= 0 || p.Ratio[1] <= 0 || p.Ratio[2] <= 0 || math.IsInf(sum, 0) || math.IsNaN(sum) {
			return nil, fmt.Errorf("protocol: split %v; all three parts must be above 0, e.g. 6:2:2", p.Ratio)
		}
		train, val, _ = p.Sizes(n)
	} else {
		if !p.Dates[1].After(p.Dates[0]) {
			return nil, fmt.Errorf("protocol: test starts %s, before validation %s", p.Dates[1].Format(time.DateOnly), p.Dates[0].Format(time.DateOnly))
		}
		for i := range n {
			switch last := s.Calendar.Time(i + p.History + p.Horizon - 1); {
			case last.Before(p.Dates[0]):
				train++
			case last.Before(p.Dates[1]):
				val++
			}
		}
	}
	if train < 1 || val < 1 || n-train-val < 1 {
		return nil, fmt.Errorf("protocol: series %q splits into %d training, %d validation and %d test windows; each part needs at least one",
			s.Name, train, val, n-train-val)
	}
	w := &Windows{History: p.History, Horizon: p.Horizon}
	for i := range n {
		switch {
		case i < train:
			w.Train = append(w.Train, int32(i))
		case i < train+val:
			w.Val = append(w.Val, int32(i))
		default:
			w.Test = append(w.Test, int32(i))
		}
	}
	var err error
	w.Scaler, err = FitScaler(s, train-1+p.History)
	return w, err
}

// Sizes splits n windows by Ratio: training and validation are rounded half to even, test takes the rest. The shares are
// rounded to float64 before they are multiplied, as Python's round(0.7*n) does: 0.7 of 11,665 windows are 8,165.
func (p Protocol) Sizes(n int) (train, val, test int) {
	sum := p.Ratio[0] + p.Ratio[1] + p.Ratio[2]
	if math.Abs(sum-1) < 1e-9 { // 0.7 + 0.1 + 0.2 is not 1
		sum = 1
	}
	part := func(ratio float64) int { return int(math.RoundToEven(float64(n) * (ratio / sum))) }
	train, val = part(p.Ratio[0]), part(p.Ratio[1])
	return train, val, n - train - val
}

// FitScaler takes the mean and population standard deviation over all nodes of rows [0, rows): missing entries with an explicit
// missing value included, as the references do, NaN left out.
func FitScaler(s *Series, rows int) (Scaler, error) {
	var sum, count float64
	part := s.Values[:min(rows, s.T)*s.N]
	for _, v := range part {
		if v == v {
			sum += float64(v)
			count++
		}
	}
	if count == 0 {
		return Scaler{}, fmt.Errorf("scaler: series %q has no measured value in its training rows", s.Name)
	}
	mean := sum / count
	var squares float64
	for _, v := range part {
		if v == v {
			squares += (float64(v) - mean) * (float64(v) - mean)
		}
	}
	std := math.Sqrt(squares / count)
	if !(std > 0) {
		return Scaler{}, fmt.Errorf("scaler: series %q is constant (%g) over its training rows; nothing can be learned from it", s.Name, mean)
	}
	return Scaler{Mean: mean, Std: std}, nil
}
