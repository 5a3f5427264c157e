package method

var hardRandom = static(Method{
	Name:    "hard-random",
	Paper:   "the control of DeepCore: Guo, Zhao and Bai, DEXA 2022, arXiv 2204.08499",
	Rule:    "uniform units drawn once, the same in every epoch, each with weight 1",
	Cost:    "O(n) time, 4 bytes a unit",
	Differs: "nothing",
}, func(s Setup, _ *Probe, k int) ([]int32, []float32, error) {
	return s.shuffled(s.Units)[:k], nil, nil
})
