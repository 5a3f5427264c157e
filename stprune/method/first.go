package method

var first = static(Method{
	Name:    "first",
	Paper:   "none; the baseline called Static in the code of SeTa (Zhou, Gao and Wang, CVPR 2025, arXiv 2503.13385)",
	Rule:    "the first units, which is the beginning of the series: few-shot training",
	Cost:    "O(k) time and memory",
	Differs: "nothing",
}, func(_ Setup, _ *Probe, k int) ([]int32, []float32, error) {
	ids := make([]int32, k)
	for i := range ids {
		ids[i] = int32(i)
	}
	return ids, nil, nil
})
