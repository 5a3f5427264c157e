package lab_test

import (
	"github.com/stprune/workbench/stprune/lab"
	"github.com/stprune/workbench/stprune/run"
)

func ExampleLab_Scores() {
	lab.Do(func(l *lab.Lab) {
		runs := l.Runs(l.FourWays(l.City().Name, 0.1)...)
		l.Show("scores", l.Scores(runs[0]))
	})
}

func ExampleLab_KeptWeek() {
	lab.Do(func(l *lab.Lab) {
		runs := l.Runs(l.FourWays(l.City().Name, 0.1)...)
		l.Show("kept-week", l.KeptWeek(runs[2]))
	})
}

func ExampleLab_Map() {
	lab.Do(func(l *lab.Lab) {
		runs := l.Runs(l.FourWays(l.City().Name, 0.1)...)
		l.Show("map-error", l.Map(runs[0], "error"))
		l.Show("map-complexity", l.Map(runs[2], "complexity")) // a run of pairs
	})
}

func ExampleLab_Forecasts() {
	lab.Do(func(l *lab.Lab) {
		runs := l.Runs(l.FourWays(l.City().Name, 0.1)...)
		l.Show("forecasts", l.Forecasts(runs[2]))
	})
}

func ExampleLab_Weights() {
	lab.Do(func(l *lab.Lab) {
		runs := l.Runs(l.FourWays(l.City().Name, 0.1)...)
		l.Show("weights", l.Weights(runs[2]))
	})
}

func ExampleLab_Overhead() {
	lab.Do(func(l *lab.Lab) {
		l.Show("overhead", l.Overhead(l.Runs(l.FourWays(l.City().Name, 0.1)...)...))
	})
}

// Runs that are compared have the same data and the same unit, here windows.
func ExampleLab_Overlap() {
	lab.Do(func(l *lab.Lab) {
		var runs = l.Runs(l.FourWays(l.City().Name, 0.1)[3]) // random windows
		for _, method := range []string{"st-prune", "infobatch"} {
			s := lab.Spec(l.City().Name)
			l.Fail(s.Set("prune.method="+method, "prune.rho=0.1"))
			s.Name = method
			runs = append(runs, l.Run(s))
		}
		l.Show("overlap", l.Overlap(runs...))
	})
}

// What would other λ keep? Nothing is trained but the run on all data.
func ExampleLab_Replay() {
	lab.Do(func(l *lab.Lab) {
		full := l.Run(l.FourWays(l.City().Name, 0.1)[0])
		var specs []run.Spec
		for _, lambda := range []string{"0", "1", "4"} {
			s := lab.Methods(lab.Spec(l.City().Name), "st-prune")[0]
			s.Name = "λt = " + lambda
			l.Fail(s.Set("prune.rho=0.1", "prune.score=complexity", "prune.lambda_t="+lambda))
			specs = append(specs, s)
		}
		l.ShowTable(l.Replay(full, specs...))
		l.Show("replay-week", l.ReplayWeek(full, specs[2]))
	})
}
