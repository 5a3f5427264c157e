package method

import "math"

var tdds = static(Method{
	Name:  "tdds",
	Paper: "Zhang et al., CVPR 2024, arXiv 2311.13613 (Temporal Dual-Depth Scoring)",
	Rule: "the units whose loss changes most unevenly from epoch to epoch: the deviation of |change| from its mean within a " +
		"window of epochs, L2 norm, windows weighted by 0.9·0.1^age",
	Cost: "O(PJn + n log n) time for P scoring epochs, 12 bytes a unit",
	Differs: "absolute change of the loss instead of the divergence of class probabilities; 10 scoring epochs, which is one " +
		"window, as the code's defaults; its results use up to 90",
	Needs: Needs{Trajectory: true},
	Options: probing(10, 3, 1,
		Option{Key: "window", Default: 10, Low: 3, High: 10_000,
			Doc: "epochs J of a window; all scoring epochs when there are fewer"},
		Option{Key: "decay", Default: 0.9, Low: 0, High: 1,
			Doc: "weight of the latest window; one that is a epochs older has decay·(1−decay)^a"}),
}, func(s Setup, p *Probe, k int) ([]int32, []float32, error) {
	epochs, decay := len(p.Trajectory), s.float("decay")
	window := min(s.int("window"), epochs)
	scores := make([]float64, s.Units)
	err := s.each(s.Units, chunk, func(from, to int) {
		change := make([]float64, epochs-1)
		for i := from; i < to; i++ {
			for e := range change {
				change[e] = math.Abs(float64(p.Trajectory[e+1][i]) - float64(p.Trajectory[e][i]))
			}
			for last := window; last <= epochs; last++ { // windows end with this many epochs
				inside := change[last-window : last-1]
				mean, sum := 0.0, 0.0
				for _, d := range inside {
					mean += d / float64(len(inside))
				}
				for _, d := range inside {
					sum += (d - mean) * (d - mean)
				}
				scores[i] += decay * math.Pow(1-decay, float64(epochs-last)) * math.Sqrt(sum)
			}
		}
	})
	if err != nil {
		return nil, nil, err
	}
	return highest(s, scores, k), nil, nil
})
