package method

var herding = static(Method{
	Name:  "herding",
	Paper: "Welling, ICML 2009 (Herding Dynamical Weights to Learn); as coreset: DeepCore, arXiv 2204.08499",
	Rule: "one unit after the other, each the one with which the mean feature of the chosen comes closest to the mean " +
		"feature of all, of equal ones the first",
	Cost: "O(knF) time, 9 bytes a unit",
	Differs: "one pool instead of one per class; node-mean features of the last layer; DeepCore trains the scoring model for " +
		"40 epochs, and takes the farthest unit where herding takes the nearest: option farthest",
	Needs: Needs{Features: true},
	Options: probing(5, 1, 1,
		Option{Key: "farthest", Default: false, Doc: "take the farthest unit in each step, as DeepCore's code does"}),
}, func(s Setup, p *Probe, k int) ([]int32, []float32, error) {
	x := p.Features
	squares, err := s.squares(x)
	if err != nil {
		return nil, nil, err
	}
	mean, err := s.means(x, nil)
	if err != nil {
		return nil, nil, err
	}
	sign := -1.0
	if s.bool("farthest") {
		sign = 1
	}
	target := make([]float64, x.Cols) // (i+1)·mean − the sum of the i units chosen so far
	toward := make([]float32, x.Cols)
	taken := make([]bool, x.Rows)
	var ids []int32
	for range k {
		for c, v := range mean {
			target[c] += v
		}
		single(toward, target)
		at, err := s.argmax(x.Rows, func(i int) float64 {
			if taken[i] {
				return below
			}
			return sign * (squares[i] - 2*dot(x.Row(i), toward)) // ±(|x − target|² − |target|²)
		})
		if err != nil {
			return nil, nil, err
		}
		taken[at] = true
		for c, v := range x.Row(at) {
			target[c] -= float64(v)
		}
		ids = append(ids, int32(at))
	}
	return ids, nil, nil
})
