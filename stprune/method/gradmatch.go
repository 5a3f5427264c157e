package method

import (
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

var gradMatch = static(Method{
	Name:  "gradmatch",
	Paper: "Killamsetty et al., ICML 2021, arXiv 2103.00123 (GRAD-MATCH)",
	Rule: "orthogonal matching pursuit: one unit after the other, each the one whose gradient agrees most with what of the " +
		"mean gradient the chosen don't explain by ridge regression, of equal ones the first; weights by non-negative " +
		"ridge regression at the end",
	Cost: "O(k(n+G)G) time, 8G² bytes",
	Differs: "λ counts in mean squared gradient norms, so that it means the same for every backbone; non-negative weights " +
		"minimise the ridge objective itself, by coordinate descent, not the residual of its normal equations. Units left " +
		"without weight are replaced by random ones of mean weight, as in the authors' library CORDS (weight 1 there). " +
		"Gradient of the last layer, projected to at most 2,048 columns; one pool instead of one per class; DeepCore trains " +
		"the scoring model for 40 epochs",
	Needs: Needs{Gradients: true},
	Options: probing(5, 0, 1,
		Option{Key: "lambda", Default: 1.0, Low: 1e-6, High: 1e6, Doc: "ridge λ"}),
}, func(s Setup, p *Probe, k int) ([]int32, []float32, error) {
	g := p.Gradients
	if err := CheckMemory(g.Rows, 4*len(g.Data)+8*g.Cols*g.Cols); err != nil {
		return nil, nil, err
	}
	squares, err := s.squares(g)
	if err != nil {
		return nil, nil, err
	}
	mean, err := s.means(g, nil)
	if err != nil {
		return nil, nil, err
	}
	lambda := s.float("lambda") * floats.Sum(squares) / float64(g.Rows)
	if lambda == 0 { // all gradients are 0: every choice matches
		return s.shuffled(g.Rows)[:k], nil, nil
	}
	chosen, _, err := matchingPursuit(s, g, mean, lambda, k)
	if err != nil {
		return nil, nil, err
	}
	x, err := nonNegative(s, g, chosen, mean, lambda)
	if err != nil {
		return nil, nil, err
	}
	var ids []int32
	var weights []float32
	taken := make([]bool, g.Rows)
	for i, v := range x {
		if v > 0 {
			ids, weights = append(ids, chosen[i]), append(weights, float32(v))
			taken[chosen[i]] = true
		}
	}
	usual := float32(1)
	if len(ids) > 0 {
		usual = float32(floats.Sum(x) / float64(len(ids)))
	}
	for _, id := range s.shuffled(g.Rows) {
		if len(ids) == k {
			break
		}
		if !taken[id] {
			ids, weights = append(ids, id), append(weights, usual)
		}
	}
	return ids, weights, nil
})

// matchingPursuit chooses k rows of g one after the other, and returns them with the residual: what their ridge regression leaves
// of b.
//
// The residual is r = λM⁻¹b with M = λI + Σ g·g' over the chosen, [G,G] however many they are; each one changes M⁻¹ by rank 1.
func matchingPursuit(s Setup, g Matrix, b []float64, lambda float64, k int) (chosen []int32, residual []float64, err error) {
	inverse := mat.NewSymDense(g.Cols, nil)
	for c := range g.Cols {
		inverse.SetSym(c, c, 1/lambda)
	}
	residual = append(residual, b...)
	toward := make([]float32, g.Cols)
	row, step := mat.NewVecDense(g.Cols, nil), mat.NewVecDense(g.Cols, nil)
	taken := make([]bool, g.Rows)
	for range k {
		single(toward, residual)
		at, err := s.argmax(g.Rows, func(i int) float64 {
			if taken[i] {
				return below
			}
			return dot(g.Row(i), toward)
		})
		if err != nil {
			return nil, nil, err
		}
		taken[at] = true
		chosen = append(chosen, int32(at))
		for c, v := range g.Row(at) {
			row.SetVec(c, float64(v))
		}
		step.MulVec(inverse, row)
		scale := 1 / (1 + mat.Dot(row, step))
		floats.AddScaled(residual, -scale*floats.Dot(row.RawVector().Data, residual), step.RawVector().Data)
		inverse.SymRankOne(inverse, -scale, step)
	}
	return chosen, residual, nil
}

// nonNegative returns the x ≥ 0 that minimises |b − Σ x_j·g_j|² + λ|x|² over the chosen rows of g, by coordinate descent: the
// problem is strictly convex, and needs no [k,k] matrix this way.
func nonNegative(s Setup, g Matrix, chosen []int32, b []float64, lambda float64) ([]float64, error) {
	const tolerance, sweeps = 1e-7, 2000
	x := make([]float64, len(chosen))
	residual := append([]float64(nil), b...)
	for range sweeps {
		if err := s.interrupted(); err != nil {
			return nil, err
		}
		largest, moved := 0.0, 0.0
		for j, id := range chosen {
			row := g.Row(int(id))
			along, square := 0.0, 0.0
			for c, v := range row {
				along += float64(v) * residual[c]
				square += float64(v) * float64(v)
			}
			next := max(0, x[j]+(along-lambda*x[j])/(square+lambda))
			change := next - x[j]
			if change != 0 {
				for c, v := range row {
					residual[c] -= change * float64(v)
				}
			}
			x[j] = next
			largest, moved = max(largest, next), max(moved, math.Abs(change))
		}
		if moved <= tolerance*largest {
			break
		}
	}
	return x, nil
}
