package train

import (
	"testing"
	"os"
	"math"

	"github.com/stprune/workbench/datasets"
)

func TestProbeDevices(t *testing.T) {
	be := open(t, "xla")
	s, w := ramp(t, true)
	s.Graph = &datasets.Graph{N: s.N}
	for n := range int32(s.N) {
		s.Graph.Edges = append(s.Graph.Edges, datasets.Edge{From: n, To: (n + 1) % int32(s.N), Weight: 1})
	}
	source := Source{s, w}
	name := os.Getenv("BB")
	options := tinyBackbones()[name]
	if a := os.Getenv("ATT"); a != "" { options["attention"] = a }
	var first map[string][]float32
	for _, d := range []int{1,2} {
		c := config()
		c.Backbone, c.Options, c.Devices, c.Epochs = name, options, d, 1
		if u := os.Getenv("UNIT"); u != "" { c.Unit = u; c.Block = 2; c.BlockBy = Random}
		tr, err := New(be, c, full(c.Units(source)), source)
		if err != nil { t.Fatal(err) }
		if err := tr.Run(t.Context(), Events{Step: func(p Progress) { if p.Step > 30 {return}; t.Log(d, p.Step, p.Loss) }}); err != nil {
			t.Fatal(err)
		}
		t.Log(tr.Compiled())
		n, _ := tr.Named()
		if first == nil { first = n } else {
			worst := 0.0
			for k, v := range n { for i := range v { worst = max(worst, math.Abs(float64(v[i]-first[k][i]))) } }
			t.Log("worst", worst)
		}
	}
}
