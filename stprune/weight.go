package stprune

import (
	"fmt"
	"math"
)

// weighting turns inclusion probabilities into loss weights min(w_max, π^(−κz)) (method section 4).
type weighting struct {
	kappa     float64
	limit     float64
	normalise bool
}

func (c Config) weighting() weighting {
	w := weighting{kappa: c.Kappa, limit: c.WMax, normalise: c.Normalise}
	if w.limit == 0 {
		w.limit = math.Inf(1)
	}
	return w
}

// weigh sets the selection's weights and their diagnostics. A nil z means 1 for every unit.
func (w weighting) weigh(s *Selection, z func(id int32) float32) error {
	k := len(s.IDs)
	s.Diagnostics.Kept, s.Diagnostics.EffectiveSize, s.Diagnostics.MaxWeight = k, float64(k), 1
	if w.kappa == 0 {
		return nil
	}
	s.Weight = make([]float32, k)
	var sum, squares, largest float64
	clipped := 0
	for j, p := range s.Prob {
		exponent := w.kappa
		if z != nil {
			stationarity := z(s.IDs[j])
			if !(stationarity >= 0 && stationarity <= 1) {
				return fmt.Errorf("prune: stationarity of unit %d is %v; expected a number in [0,1]", s.IDs[j], stationarity)
			}
			exponent *= float64(stationarity)
		}
		v := 1 / float64(p)
		if exponent != 1 {
			v = math.Exp(-exponent * math.Log(float64(p)))
		}
		if v > w.limit {
			v = w.limit
			clipped++
		}
		v = min(v, math.MaxFloat32)
		s.Weight[j] = float32(v)
		sum += v
		squares += v * v
		largest = max(largest, v)
	}
	scale := 1.0
	if w.normalise {
		scale = float64(k) / sum
		for j := range s.Weight {
			s.Weight[j] = float32(float64(s.Weight[j]) * scale)
		}
	}
	s.Diagnostics.EffectiveSize = sum / squares * sum
	s.Diagnostics.MaxWeight = largest * scale
	s.Diagnostics.Clipped = float64(clipped) / float64(k)
	return nil
}
