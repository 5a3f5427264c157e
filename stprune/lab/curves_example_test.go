package lab_test

import (
	"github.com/stprune/workbench/figures"
	"github.com/stprune/workbench/stprune/lab"
	"github.com/stprune/workbench/stprune/run"
)

func ExampleLab_LearningCurves() {
	lab.Do(func(l *lab.Lab) {
		l.Show("learning", l.LearningCurves(l.Runs(l.FourWays(l.City().Name, 0.1)...)...))
	})
}

func ExampleLab_LearningCurvesBy() {
	lab.Do(func(l *lab.Lab) {
		runs := l.Runs(l.FourWays(l.City().Name, 0.1)...)
		l.Show("learning-seconds", l.LearningCurvesBy(figures.Seconds, runs...))
	})
}

// Of each method three ratios, and full data as the reference.
func ExampleLab_RatioCurve() {
	lab.Do(func(l *lab.Lab) {
		spec := lab.Spec(l.City().Name)
		specs := lab.Methods(spec, "full")
		for _, m := range lab.Methods(spec, "st-prune", "random") {
			specs = append(specs, l.Ratios(m, 0.3, 0.1, 0.03)...)
		}
		l.Show("ratios", l.RatioCurve(l.Runs(specs...)...))
	})
}

func ExampleLab_Pareto() {
	lab.Do(func(l *lab.Lab) {
		l.Show("pareto", l.Pareto(l.Runs(l.FourWays(l.City().Name, 0.1)...)...))
	})
}

func ExampleLab_HorizonErrors() {
	lab.Do(func(l *lab.Lab) {
		l.Show("horizons", l.HorizonErrors(l.Runs(l.FourWays(l.City().Name, 0.1)...)...))
	})
}

// Under three seeds each, for intervals.
func ExampleLab_Ablation() {
	lab.Do(func(l *lab.Lab) {
		spec := lab.Spec(l.City().Name)
		spec.Prune.Method, spec.Prune.Rho = "st-prune", 0.1
		var runs []*run.Run
		for _, s := range lab.Ablations(spec) {
			runs = append(runs, l.Runs(l.Seeds(s, 3)...)...)
		}
		l.Show("ablation", l.Ablation(runs...))
	})
}

func ExampleLab_Grid() {
	lab.Do(func(l *lab.Lab) {
		var runs []*run.Run
		for _, backbone := range []string{"stid", "gwnet"} {
			for _, optimiser := range []string{"adam", "muon"} {
				s := lab.Spec(l.City().Name)
				s.Model.Backbone, s.Optim.Name = backbone, optimiser
				runs = append(runs, l.Run(s))
			}
		}
		l.Show("grid", l.Grid(runs...))
	})
}

// The first method against the others, over seeds and, where there are several, data sets.
func ExampleLab_Improvement() {
	lab.Do(func(l *lab.Lab) {
		var runs []*run.Run
		for _, s := range lab.Methods(lab.Spec(l.City().Name), "st-prune", "random", "infobatch") {
			runs = append(runs, l.Runs(l.Seeds(s, 6)...)...)
		}
		l.Show("improvement", l.Improvement(runs...))
	})
}
