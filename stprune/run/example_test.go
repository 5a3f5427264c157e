package run_test

import (
	"context"
	"fmt"
	"log"
	"math"
	"os"
	"time"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/stprune/run"
)

// waves stands for a data set: three nodes measured every hour for ten days.
func waves(context.Context, string) (*datasets.Series, error) {
	s := &datasets.Series{
		Name: "waves", T: 240, N: 3, Nodes: []string{"a", "b", "c"}, Missing: datasets.NoMissing(),
		Calendar: datasets.Calendar{Start: time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC), Step: time.Hour},
	}
	for t := range s.T {
		for n := range s.N {
			s.Values = append(s.Values, float32(math.Sin(2*math.Pi*float64(t)/24+float64(n))))
		}
	}
	return s, nil
}

// Asking for the same run twice trains it once.
func ExampleDo() {
	dir, err := os.MkdirTemp("", "runs")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	spec := run.DefaultSpec()
	if err := spec.Set("data.name=waves", "backend.name=go", "train.epochs=3", "prune.method=st-prune", "prune.rho=0.5",
		"prune.min_units=1"); err != nil {
		log.Fatal(err)
	}
	options := run.Options{Store: run.NewStore(dir), Series: waves}
	options.Watch.Epoch = func(e run.Epoch) { fmt.Printf("epoch %d visited %d windows\n", e.Epoch, e.Units) }
	for range 2 {
		r, err := run.Do(context.Background(), spec, options)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("the run is", r.Status())
	}
	// Output:
	// epoch 1 visited 130 windows
	// epoch 2 visited 65 windows
	// epoch 3 visited 130 windows
	// the run is finished
	// the run is finished
}

func ExampleSpec_Set() {
	spec := run.DefaultSpec()
	err := spec.Set("prune.method=st-prune", "prune.rho=0.05", "train.unit=pair", "model.options.node_dim=16")
	fmt.Println(spec.Prune.Rho, spec.Train.Unit, spec.Model.Options["node_dim"], err)
	// Output: 0.05 pair 16 <nil>
}
