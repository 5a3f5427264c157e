package method

import "math"

var kCenter = static(Method{
	Name:  "k-center",
	Paper: "Sener and Savarese, ICLR 2018, arXiv 1708.00489 (core-set, the greedy 2-approximation)",
	Rule:  "starts at a random unit; then one after the other the unit whose features are farthest from its nearest chosen unit, of equal ones the first",
	Cost:  "O(knF) time, 16 bytes a unit",
	Differs: "node-mean features of the last layer; DeepCore takes those of a network trained on images or not trained at " +
		"all, the paper those of the model under training",
	Needs:   Needs{Features: true},
	Options: probing(5, 0, 1),
}, func(s Setup, p *Probe, k int) ([]int32, []float32, error) {
	x := p.Features
	squares, err := s.squares(x)
	if err != nil {
		return nil, nil, err
	}
	ids, err := farthestFirst(s, k, func(i, centre int) float64 {
		return squares[i] + squares[centre] - 2*dot(x.Row(i), x.Row(centre))
	})
	return ids, nil, err
})

// farthestFirst starts at a random unit, and adds the unit farthest from its nearest centre until there are k.
func farthestFirst(s Setup, k int, distance func(i, centre int) float64) ([]int32, error) {
	nearest := make([]float64, s.Units) // distance to the nearest centre; below of the centres
	for i := range nearest {
		nearest[i] = math.Inf(1)
	}
	centre := s.random.IntN(s.Units)
	ids := []int32{int32(centre)}
	for len(ids) < k {
		nearest[centre] = below
		next, err := s.argmax(s.Units, func(i int) float64 {
			if nearest[i] != below {
				nearest[i] = min(nearest[i], distance(i, centre))
			}
			return nearest[i]
		})
		if err != nil {
			return nil, err
		}
		centre = next
		ids = append(ids, int32(centre))
	}
	return ids, nil
}
