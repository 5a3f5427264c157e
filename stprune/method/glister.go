package method

import (
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
)

var glister = static(Method{
	Name:  "glister",
	Paper: "Killamsetty et al., AAAI 2021, arXiv 2012.10630",
	Rule: "one unit after the other, each the one whose gradient agrees most with the mean gradient of the validation part; " +
		"after each the validation gradient is moved by a first-order step: v ← v − η·H·g; of equal ones the first, " +
		"by lot when update is false",
	Cost: "O(k(n+G)G + mG²) time for m validation windows, 4G² bytes",
	Differs: "the MAE of the last layer has no curvature almost everywhere, so H is the empirical Fisher matrix of the " +
		"validation gradients; gradient of the last layer, projected to at most 2,048 columns; one pool instead of one per " +
		"class. DeepCore's code trains 40 epochs and never reaches its update: update = false does the same",
	Needs: Needs{Gradients: true, Validation: true},
	Options: probing(5, 0, 1,
		Option{Key: "update", Default: true, Doc: "move the validation gradient after each unit; false ranks all units once"},
		Option{Key: "eta", Default: 0.0, Low: 0, High: 1e6, Doc: "step η; 0 is the learning rate of the last scoring epoch"}),
}, func(s Setup, p *Probe, k int) ([]int32, []float32, error) {
	g, v := p.Gradients, p.Validation
	target, err := s.means(v, nil)
	if err != nil {
		return nil, nil, err
	}
	toward := make([]float32, g.Cols)
	single(toward, target)
	agreement := func(i int) float64 { return dot(g.Row(i), toward) }
	if !s.bool("update") {
		scores := make([]float64, g.Rows)
		err := s.each(g.Rows, chunk, func(from, to int) {
			for i := from; i < to; i++ {
				scores[i] = agreement(i)
			}
		})
		if err != nil {
			return nil, nil, err
		}
		return highest(s, scores, k), nil, nil
	}

	eta := s.float("eta")
	if eta == 0 {
		eta = p.LR
	}
	if err := CheckMemory(g.Rows, 4*(len(g.Data)+len(v.Data)+g.Cols*g.Cols)); err != nil {
		return nil, nil, err
	}
	fisher := Matrix{Rows: g.Cols, Cols: g.Cols, Data: make([]float32, g.Cols*g.Cols)} // V'V/m
	all := blas32.General{Rows: v.Rows, Cols: v.Cols, Stride: v.Cols, Data: v.Data}
	err = s.each(g.Cols, 64, func(from, to int) {
		some, out := all, blas32.General{Rows: to - from, Cols: g.Cols, Stride: g.Cols, Data: fisher.Data[from*g.Cols:]}
		some.Cols, some.Data = to-from, v.Data[from:]
		blas32.Gemm(blas.Trans, blas.NoTrans, 1/float32(v.Rows), some, all, 0, out)
	})
	if err != nil {
		return nil, nil, err
	}
	taken := make([]bool, g.Rows)
	var ids []int32
	for range k {
		at, err := s.argmax(g.Rows, func(i int) float64 {
			if taken[i] {
				return below
			}
			return agreement(i)
		})
		if err != nil {
			return nil, nil, err
		}
		taken[at] = true
		ids = append(ids, int32(at))
		for c := range target {
			target[c] -= eta * dot(fisher.Row(c), g.Row(at))
		}
		single(toward, target)
	}
	return ids, nil, nil
})
