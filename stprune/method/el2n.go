package method

var el2n = static(Method{
	Name:  "el2n",
	Paper: "Paul, Ganguli and Dziugaite, NeurIPS 2021, arXiv 2107.07075 (EL2N)",
	Rule:  "the units with the largest error early in training: L2 norm of the error vector, mean over several scoring models",
	Cost:  "O(n log n) time, 4 bytes a unit",
	Differs: "masked z-scored errors, per valid entry, instead of probabilities; after 2 epochs with 3 models; published: " +
		"after 10 or 20 of 200 epochs, 10 models",
	Needs:   Needs{Error: true},
	Options: probing(2, 0, 3),
}, func(s Setup, p *Probe, k int) ([]int32, []float32, error) {
	return highest(s, p.Error, k), nil, nil
})
