package lab_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/stprune/workbench/stprune/lab"
	"github.com/stprune/workbench/stprune/run"
)

// A whole cell. Run again, it trains nothing and shows the same.
func ExampleDo() {
	lab.Do(func(l *lab.Lab) {
		runs := l.Runs(l.FourWays(l.City().Name, 0.1)...)
		l.ShowTable(l.Results(runs...))
		l.Show("loss-complexity", l.LossComplexity(runs[0], runs[2]))
	})
}

// In a notebook cell lab.Do takes the place of lab.With, and the store and data folders are the default ones.
func ExampleWith() {
	dir, err := os.MkdirTemp("", "lab")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	err = lab.With(context.Background(), func(l *lab.Lab) {
		l.Store, l.Folders = run.NewStore(filepath.Join(dir, "runs")), []string{filepath.Join(dir, "data")}
		spec := lab.Spec(l.City().Name)
		spec.Name = "one epoch, few windows"
		l.Fail(spec.Set("backend.name=go", "train.epochs=2", "prune.method=random", "prune.rho=0.01", "prune.warm_up=0", "prune.delta=1", "prune.min_units=1"))
		r := l.Run(spec)
		result, err := r.Result()
		l.Fail(err)
		fmt.Printf("%s: %d of %d windows visited in %d epochs\n", r.Spec.Name, result.Visits/24, result.Units, result.Epochs)
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output: one epoch, few windows: 96 of 4825 windows visited in 2 epochs
}

func ExampleLab_Fail() {
	err := lab.With(context.Background(), func(l *lab.Lab) {
		spec := lab.Spec("city")
		l.Fail(spec.Set("prune.rho=much"))
		fmt.Println("not reached")
	})
	fmt.Println(err != nil)
	// Output: true
}

func ExampleLab_Series() {
	lab.Do(func(l *lab.Lab) {
		s := l.Series("mine") // after: stprune data import FILE --name mine
		fmt.Println(s.N, "nodes,", s.T, "steps of", s.Calendar.Step)
	})
}

// Settings that the fields of a spec don't make shorter are set as on the command line.
func ExampleLab_Run() {
	lab.Do(func(l *lab.Lab) {
		spec := lab.Spec(l.City().Name)
		l.Fail(spec.Set("train.epochs=10", "prune.method=st-prune", "prune.rho=0.1"))
		l.ShowTable(l.Results(l.Run(spec)))
	})
}

func ExampleLab_Runs() {
	lab.Do(func(l *lab.Lab) {
		runs := l.Runs(l.Seeds(lab.Spec(l.City().Name), 3)...)
		l.ShowTable(l.Results(runs...))
	})
}
