package method

import (
	"math"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// ridge solves min |b − Σ x_j·g_j|² + λ|x|² over the given rows by its normal equations, and returns the residual b − Σ x_j·g_j and
// the objective.
func ridge(t *testing.T, g Matrix, rows []int32, b []float64, lambda float64) (residual []float64, objective float64) {
	t.Helper()
	a := mat.NewDense(len(rows), g.Cols, nil)
	for i, id := range rows {
		for c, v := range g.Row(int(id)) {
			a.Set(i, c, float64(v))
		}
	}
	var gram mat.Dense
	gram.Mul(a, a.T())
	for i := range rows {
		gram.Set(i, i, gram.At(i, i)+lambda)
	}
	var right, x, fit mat.VecDense
	right.MulVec(a, mat.NewVecDense(len(b), b))
	if err := x.SolveVec(&gram, &right); err != nil {
		t.Fatal(err)
	}
	fit.MulVec(a.T(), &x)
	objective = lambda * mat.Dot(&x, &x)
	for c, v := range b {
		r := v - fit.AtVec(c)
		residual = append(residual, r)
		objective += r * r
	}
	return residual, objective
}

func TestMatchingPursuit(t *testing.T) {
	const n, k = 40, 12
	s := Setup{Context: t.Context()}
	for seed := range uint64(5) {
		g := noise(n, seed).Gradients
		b, err := s.means(g, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, lambda := range []float64{1e-4, 1, 10} {
			all, _, err := matchingPursuit(s, g, b, lambda, k)
			if err != nil {
				t.Fatal(err)
			}
			lastNorm, lastObjective := math.Inf(1), math.Inf(1)
			residual := b
			for i := range k {
				// Each choice agrees most with what is left by those before it.
				for id := range int32(n) {
					along := func(id int32) (sum float64) {
						for c, v := range g.Row(int(id)) {
							sum += float64(v) * residual[c]
						}
						return sum
					}
					if !slices.Contains(all[:i], id) && along(id) > along(all[i])+1e-6 {
						t.Fatalf("seed %d, λ %v, choice %d: unit %d agrees more than %d", seed, lambda, i, id, all[i])
					}
				}
				chosen, got, err := matchingPursuit(s, g, b, lambda, i+1)
				if err != nil || !slices.Equal(chosen, all[:i+1]) {
					t.Fatal(chosen, all, err)
				}
				var objective float64
				residual, objective = ridge(t, g, chosen, b, lambda)
				norm := 0.0
				for c, v := range residual {
					norm += v * v
					if math.Abs(v-got[c]) > 1e-7 {
						t.Fatalf("seed %d, λ %v, %d chosen: residual %v; want %v", seed, lambda, i+1, got, residual)
					}
				}
				// With a ridge it is the objective that can't grow; the residual alone can't without.
				if objective > lastObjective+1e-9 || lambda < 1e-3 && norm > lastNorm+1e-7 {
					t.Errorf("seed %d, λ %v, %d chosen: residual %v after %v, objective %v after %v",
						seed, lambda, i+1, norm, lastNorm, objective, lastObjective)
				}
				lastNorm, lastObjective = norm, objective
			}
		}
	}
}

// The optimum of a convex problem is where no weight wants to change, and no weight of 0 wants to grow.
func TestNonNegativeIsOptimal(t *testing.T) {
	s := Setup{Context: t.Context()}
	zeros := 0
	for seed := range uint64(10) {
		g := noise(30, seed).Gradients
		b, err := s.means(g, nil)
		if err != nil {
			t.Fatal(err)
		}
		rows := []int32{3, 1, 4, 15, 9, 2, 6, 5, 8, 7}
		const lambda = 0.5
		x, err := nonNegative(s, g, rows, b, lambda)
		if err != nil {
			t.Fatal(err)
		}
		residual := slices.Clone(b)
		for j, id := range rows {
			for c, v := range g.Row(int(id)) {
				residual[c] -= x[j] * float64(v)
			}
		}
		for j, id := range rows {
			slope := -lambda * x[j]
			for c, v := range g.Row(int(id)) {
				slope += float64(v) * residual[c]
			}
			if x[j] < 0 || slope > 1e-5 || x[j] > 0 && slope < -1e-5 {
				t.Errorf("seed %d: weight %v of unit %d has slope %v", seed, x[j], id, slope)
			}
			if x[j] == 0 {
				zeros++
			}
		}
	}
	if zeros == 0 {
		t.Error("no weight is 0 in any case: the bound was not tried")
	}
}

// Only two gradients explain anything: the third place goes to any other unit, with the mean weight.
func TestGradMatchFillsPlacesWithoutWeight(t *testing.T) {
	filler := map[int32]bool{}
	for seed := range uint64(40) {
		s := keeping(12, 3, &Probe{Gradients: columns(12, []float32{6}, []float32{0, 3, -1.5})})
		s.Config.Seed, s.Options = seed, map[string]any{"lambda": 1e-6}
		got := planned(t, "gradmatch", s)
		if got.IDs[0] != 0 || got.IDs[1] != 1 {
			t.Fatalf("kept %v", got.IDs)
		}
		for i, want := range []float32{4. / 3, 2. / 3, 1} {
			if math.Abs(float64(got.Weight[i]-want)) > 1e-5 {
				t.Fatalf("weights %v", got.Weight)
			}
		}
		filler[got.IDs[2]] = true
	}
	if len(filler) < 5 {
		t.Errorf("the third unit was one of %v in 40 seeds", filler)
	}
}
