package lab_test

import (
	"github.com/stprune/workbench/figures"
	"github.com/stprune/workbench/stprune/lab"
	"github.com/stprune/workbench/stprune/run"
)

func ExampleLab_Show() {
	lab.Do(func(l *lab.Lab) {
		curves := l.LearningCurves(l.Runs(l.FourWays(l.City().Name, 0.1)...)...)
		l.Show("learning", curves)
		l.Fail(curves.Column().Save("learning.pdf")) // for a paper
	})
}

func ExampleLab_ShowTable() {
	lab.Do(func(l *lab.Lab) {
		l.ShowTable(&figures.Table{Columns: []string{"run", "MAE"}, Rows: [][]string{{"full data", "1.29"}, {"ST-Prune", "1.38"}}})
	})
	// Output:
	// run         MAE
	// full data  1.29
	// ST-Prune   1.38
}

func ExampleLab_Results() {
	lab.Do(func(l *lab.Lab) {
		l.ShowTable(l.Results(l.Runs(l.FourWays(l.City().Name, 0.1)...)...))
	})
}

func ExampleLab_Details() {
	lab.Do(func(l *lab.Lab) {
		l.ShowTable(l.Details(l.Runs(l.FourWays(l.City().Name, 0.1)...)...))
	})
}

func ExampleLab_Describe() {
	lab.Do(func(l *lab.Lab) {
		l.ShowTable(l.Describe(l.Series("city")))
	})
}

// Three seeds of each way give a mean and an interval.
func ExampleLab_Summary() {
	lab.Do(func(l *lab.Lab) {
		var runs []*run.Run
		for _, s := range l.FourWays(l.City().Name, 0.1) {
			runs = append(runs, l.Runs(l.Seeds(s, 3)...)...)
		}
		l.ShowTable(l.Summary(runs...))
	})
}

func ExampleLab_LossComplexity() {
	lab.Do(func(l *lab.Lab) {
		runs := l.Runs(l.FourWays(l.City().Name, 0.1)...)
		l.Show("loss-complexity", l.LossComplexity(runs[0], runs[2])) // full data beside ST-Prune
	})
}

func ExampleLab_KeptCalendar() {
	lab.Do(func(l *lab.Lab) {
		runs := l.Runs(l.FourWays(l.City().Name, 0.1)...)
		l.Show("kept-calendar", l.KeptCalendar(runs[2]))
	})
}

// Two methods in the menu, three ratios on the slider.
func ExampleLab_Explore() {
	lab.Do(func(l *lab.Lab) {
		spec := lab.Spec(l.City().Name)
		specs := lab.Methods(spec, "full")
		for _, m := range lab.Methods(spec, "st-prune", "random") {
			specs = append(specs, l.Ratios(m, 0.1, 0.3, 0.03)...)
		}
		l.Explore("explore", l.Runs(specs...)...)
	})
}

// Trained on one city, tested on another one.
func ExampleLab_Unseen() {
	lab.Do(func(l *lab.Lab) {
		s := lab.Spec(l.City().Name)
		l.Fail(s.Set("model.backbone=opencity"))
		l.ShowTable(l.Unseen("town", l.Run(s)))
	})
}
