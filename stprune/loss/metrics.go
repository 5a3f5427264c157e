package loss

import (
	"errors"
	"fmt"
	"math"
)

// Metrics are the masked errors of a part of the data, in raw units. Missing targets never count; MAPE is a share (0.05 is 5 %)
// over targets other than 0, divided by the target's size. They come from sums and counts, so they do not depend on the batch.
type Metrics struct {
	MAE    []float64 `json:"mae"` // [Q] per horizon
	RMSE   []float64 `json:"rmse"`
	MAPE   []float64 `json:"mape"`
	Mean   Errors    `json:"mean"`   // mean of the horizons' values (GWNet, STID, LargeST)
	Pooled Errors    `json:"pooled"` // over all entries at once (BasicTS, STAEformer)
}

// Errors are the three errors of one horizon or one average.
type Errors struct {
	MAE  float64 `json:"mae"`
	RMSE float64 `json:"rmse"`
	MAPE float64 `json:"mape"`
}

// At is the errors at horizon h, counted from 1 as in the field's tables.
func (m Metrics) At(h int) (Errors, error) {
	if h < 1 || h > len(m.MAE) {
		return Errors{}, fmt.Errorf("metrics: horizon %d; there are 1 to %d", h, len(m.MAE))
	}
	return Errors{m.MAE[h-1], m.RMSE[h-1], m.MAPE[h-1]}, nil
}

// NewMetrics turns totals [Q, NumSums] into errors. As in the references, a horizon without any measured target counts as 0;
// a part without any measured target at all is an error.
func NewMetrics(sums []float64) (Metrics, error) {
	var m Metrics
	q := len(sums) / NumSums
	var all [NumSums]float64
	for h := range q {
		row := sums[h*NumSums : (h+1)*NumSums]
		e := errorsOf(row)
		m.MAE, m.RMSE, m.MAPE = append(m.MAE, e.MAE), append(m.RMSE, e.RMSE), append(m.MAPE, e.MAPE)
		m.Mean.MAE += e.MAE / float64(q)
		m.Mean.RMSE += e.RMSE / float64(q)
		m.Mean.MAPE += e.MAPE / float64(q)
		for i, v := range row {
			all[i] += v
		}
	}
	if all[Count] == 0 {
		return m, errors.New("metrics: no measured target in this part of the data; choose another split")
	}
	m.Pooled = errorsOf(all[:])
	return m, nil
}

func errorsOf(sums []float64) Errors {
	measured, shares := max(1, sums[Count]), max(1, sums[CountShare])
	return Errors{MAE: sums[SumAbs] / measured, RMSE: math.Sqrt(sums[SumSquare] / measured), MAPE: sums[SumPercent] / shares}
}

// Rescale turns totals [Q, NumSums] of errors in raw units into totals of errors in units of scale. MAPE has none.
func Rescale(sums []float64, scale float64) {
	for i := range len(sums) / NumSums {
		sums[i*NumSums+SumAbs] /= scale
		sums[i*NumSums+SumSquare] /= scale * scale
	}
}

// Join adds up totals [Q, NumSums] of two sets of windows; a is nil at first. Where their horizons differ, one row is left.
func Join(a, b []float64) []float64 {
	switch {
	case a == nil:
		return append(a, b...)
	case len(a) != len(b):
		a, b = oneRow(a), oneRow(b)
	}
	for i, v := range b {
		a[i] += v
	}
	return a
}

func oneRow(sums []float64) []float64 {
	row := make([]float64, NumSums)
	for i, v := range sums {
		row[i%NumSums] += v
	}
	return row
}
