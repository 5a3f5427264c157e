package method

var grand = static(Method{
	Name:  "grand",
	Paper: "Paul, Ganguli and Dziugaite, NeurIPS 2021, arXiv 2107.07075 (GraNd)",
	Rule:  "the units with the largest gradient norm early in training, mean over several scoring models",
	Cost:  "O(n log n) time, 4 bytes a unit",
	Differs: "gradient of the last layer, as in DeepCore. Under the masked MAE its size follows the coherence of the error's " +
		"sign and the size of the features, not the size of the error. After 1 epoch with 5 models; published: at " +
		"initialisation or in the first epochs, 10 models",
	Needs:   Needs{Norms: true},
	Options: probing(1, 0, 5),
}, func(s Setup, p *Probe, k int) ([]int32, []float32, error) {
	return highest(s, p.Norms, k), nil, nil
})
