package backbone

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// road is a random matrix [n,n] of walks among places in a square, each along the edges to its nearest neighbours.
func road(r *rand.Rand, n, neighbours int) []float32 {
	x, y := make([]float64, n), make([]float64, n)
	for i := range n {
		x[i], y[i] = r.Float64(), r.Float64()
	}
	m := make([]float32, n*n)
	for i := range n {
		for range neighbours {
			nearest, at := math.Inf(1), -1
			for j := range n {
				if d := math.Hypot(x[i]-x[j], y[i]-y[j]); m[i*n+j] == 0 && d < nearest {
					nearest, at = d, j
				}
			}
			m[i*n+at] = 0.1 + r.Float32()
		}
	}
	return m
}

// Tiles multiply as the matrix that they hold, and so do the products' gradients.
func TestTilesMultiplyLikeTheMatrix(t *testing.T) {
	const n, width = 2000, 6
	r := rand.New(rand.NewPCG(1, 2))
	m := road(r, n, 4)
	tiled := newTiles("m", m, n)
	if tiled == nil {
		t.Fatal("a sparse matrix is not divided")
	}
	if newTiles("m", road(r, 300, 150), 300) != nil || newTiles("m", road(r, 100, 2), 100) != nil {
		t.Error("a dense or a small matrix is divided too")
	}
	x, v := make([]float32, n*width), make([]float32, n*width)
	for i := range x {
		x[i], v[i] = r.Float32()-0.5, r.Float32()-0.5
	}
	tensor := func(values []float32, dims ...int) *tensors.Tensor {
		return tensors.FromFlatDataAndDimensions(values, dims...)
	}
	constants := tiled.constants()
	for _, name := range []string{"xla", "go"} {
		for _, transposed := range []bool{false, true} {
			exec, err := graph.NewExec(openBackend(t, name), func(in []*graph.Node) []*graph.Node {
				m, x, v := in[0], in[1], in[2]
				p := &Pass{constants: map[string]*graph.Node{}}
				for i, c := range constants {
					p.constants[c.Name] = in[3+i]
				}
				axis := 1
				if transposed {
					axis = 0
				}
				var out []*graph.Node
				for _, y := range []*graph.Node{tiled.times(p, x, transposed), graph.EinsumAxes(m, x, [][2]int{{axis, 0}}, nil)} {
					out = append(out, y, graph.Gradient(graph.ReduceAllSum(graph.Mul(graph.Square(y), v)), x)[0])
				}
				return out
			})
			if err != nil {
				t.Fatal(err)
			}
			inputs := []any{tensor(m, n, n), tensor(x, n, width/2, 2), tensor(v, n, width/2, 2)}
			for _, c := range constants {
				inputs = append(inputs, tensor(c.Values, c.Shape...))
			}
			out, err := exec.Call(inputs...)
			if err != nil {
				t.Fatal(err)
			}
			for i, what := range []string{"product", "gradient"} {
				got, want := tensors.MustCopyFlatData[float32](out[i]), tensors.MustCopyFlatData[float32](out[2+i])
				for j := range want {
					if d := math.Abs(float64(got[j] - want[j])); !(d <= 2e-5*(1+math.Abs(float64(want[j])))) {
						t.Fatalf("%s, transposed %v: value %d of the %s is %v, of the matrix %v", name, transposed, j, what, got[j], want[j])
					}
				}
			}
			exec.Finalize()
		}
	}
}

// A model of many nodes steps along the graph by tiles, and forecasts as it does by matrices.
func TestModelsByTiles(t *testing.T) {
	const nodes = 600
	for _, name := range []string{"gwnet", "opencity"} {
		t.Run(name, func(t *testing.T) {
			tiled, whole := ringModel(t, name, nodes, false), ringModel(t, name, nodes, true)
			tiles := slices.ContainsFunc(tiled.Traits().Constants, func(c Tensor) bool { return strings.HasSuffix(c.Name, "_columns") })
			if matrices := slices.ContainsFunc(whole.Traits().Constants, func(c Tensor) bool { return len(c.Values) == nodes*nodes }); !tiles || !matrices {
				t.Fatalf("tiles: %v, matrices: %v; want both", tiles, matrices)
			}
			theta := Init(tiled, rand.New(rand.NewPCG(5, 6)))
			value := noise(blockBatch*blockHistory*nodes, 7)
			be := openBackend(t, "xla")
			for _, training := range []bool{false, true} {
				got, gotGradient := blockPass(t, be, tiled, theta, tiled.Traits().Constants, value, nil, training)
				want, wantGradient := blockPass(t, be, whole, theta, whole.Traits().Constants, value, nil, training)
				for what, pair := range map[string][2][]float32{"forecast": {got, want}, "gradient": {gotGradient, wantGradient}} {
					largest, off := 0.0, 0.0
					for i, v := range pair[1] {
						largest, off = max(largest, math.Abs(float64(v))), max(off, math.Abs(float64(pair[0][i]-v)))
					}
					if !(off <= 1e-5*largest) || largest == 0 {
						t.Errorf("training %v: %s is off by %g; the largest is %g", training, what, off, largest)
					}
				}
			}
		})
	}
}
