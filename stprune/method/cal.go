package method

import "slices"

var cal = static(Method{
	Name:  "cal",
	Paper: "Margatina et al., EMNLP 2021, arXiv 2109.03764 (contrastive active learning)",
	Rule:  "the units whose forecasts differ most from those of their nearest neighbours in feature space",
	Cost:  "O(n²F) time, 20 bytes a unit",
	Differs: "mean squared difference of the node-mean forecasts instead of the divergence of class probabilities; neighbours " +
		"by the scoring model's own features, DeepCore by those of a network trained on images, and it trains the scoring " +
		"model for 40 epochs. Its code keeps the units that differ least: option lowest",
	Needs: Needs{Features: true, Forecasts: true},
	Options: probing(5, 1, 1,
		Option{Key: "neighbours", Default: 10, Low: 1, High: 99, Doc: "nearest neighbours that a unit is compared with"},
		Option{Key: "lowest", Default: false, Doc: "keep the units that differ least, as DeepCore's code does"}),
}, func(s Setup, p *Probe, k int) ([]int32, []float32, error) {
	x, n := p.Features, p.Features.Rows
	squares, err := s.squares(x)
	if err != nil {
		return nil, nil, err
	}
	count := min(s.int("neighbours"), n-1)
	sign := 1.0
	if s.bool("lowest") {
		sign = -1
	}
	scores := make([]float64, n)
	const tile = 16 // rows at a time, which stay in the cache
	err = s.each(n, tile, func(from, to int) {
		type neighbour struct {
			id       int
			distance float64 // squared, less the unit's own norm
		}
		var nearest [tile][]neighbour // ascending
		for j := range n {
			for i := from; i < to; i++ {
				if i == j {
					continue
				}
				list := nearest[i-from]
				d := squares[j] - 2*dot(x.Row(i), x.Row(j))
				if len(list) == count {
					if d >= list[count-1].distance {
						continue
					}
					list = list[:count-1]
				}
				at := len(list)
				for at > 0 && d < list[at-1].distance {
					at--
				}
				nearest[i-from] = slices.Insert(list, at, neighbour{j, d})
			}
		}
		for i := from; i < to; i++ {
			own := p.Forecasts.Row(i)
			for _, other := range nearest[i-from] {
				for q, v := range p.Forecasts.Row(other.id) {
					d := float64(own[q]) - float64(v)
					scores[i] += sign * d * d
				}
			}
		}
	})
	if err != nil {
		return nil, nil, err
	}
	return highest(s, scores, k), nil, nil
})
