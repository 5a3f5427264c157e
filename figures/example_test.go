package figures_test

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/stprune/workbench/figures"
)

// save shows what a program does with a figure: for a paper's column or page as .pdf or .tex, for a notebook as .png.
func save(f *figures.Figure, err error) {
	if err != nil {
		fmt.Println(err)
		return
	}
	dir, err := os.MkdirTemp("", "figures")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "figure.pdf")
	fmt.Println("saved", f.Column().Save(path) == nil)
}

func ExampleLearningCurves() {
	save(figures.LearningCurves(figures.Visits, []figures.Learning{
		{Label: "full data", At: []float64{1, 2, 3}, Error: figures.Single(2.0, 1.8, 1.7)},
		{Label: "pruned", At: []float64{1, 1.1, 1.2}, Error: figures.Single(2.0, 1.9, 1.8)},
	}, "mph"))
	// Output: saved true
}

func ExampleRatioCurve() {
	full := figures.Estimate{Mean: 1.624, Low: 1.615, High: 1.633}
	save(figures.RatioCurve([]figures.Ratios{
		{Label: "ST-Prune", Rho: []float64{0.02, 0.1, 0.5}, Error: []figures.Estimate{{1.69, 1.67, 1.71}, {1.63, 1.62, 1.64}, {1.62, 1.61, 1.63}}},
		{Label: "random", Rho: []float64{0.02, 0.1, 0.5}, Error: figures.Single(1.84, 1.72, 1.65)},
	}, &full, "mph"))
	// Output: saved true
}

func ExamplePareto() {
	save(figures.Pareto([]figures.Cost{
		{Label: "full data", Seconds: figures.Estimate{Mean: 145, Low: 143, High: 147}, Error: figures.Estimate{Mean: 1.624, Low: 1.615, High: 1.633}},
		{Label: "ST-Prune", Note: "10 %", Seconds: figures.Single(26)[0], Error: figures.Single(1.635)[0]},
		{Label: "ST-Prune", Note: "50 %", Seconds: figures.Single(82)[0], Error: figures.Single(1.623)[0]},
	}, "mph"))
	// Output: saved true
}

func ExampleHorizonErrors() {
	save(figures.HorizonErrors([]figures.Horizons{
		{Label: "full data", Error: figures.Single(1.1, 1.4, 1.6)},
		{Label: "ST-Prune 10 %", Error: figures.Single(1.1, 1.3, 1.5)},
	}, 5*time.Minute, "mph"))
	// Output: saved true
}

func ExampleAblationBars() {
	save(figures.AblationBars(figures.Effect{Label: "ST-Prune 10 %", Note: "MAE 1.607"}, []figures.Effect{
		{Label: "without debiasing", Change: figures.Estimate{Mean: 2.4, Low: 1.8, High: 3}, Proven: true, Note: "1.646"},
		{Label: "spatial term off", Change: figures.Estimate{Mean: 0.3, Low: -0.2, High: 0.8}, Note: "1.612"},
	}))
	// Output: saved true
}

func ExampleGrid() {
	save(figures.Grid(figures.Matrix{
		Title: "test MAE, mph", Rows: []string{"STID", "GWNet"}, Columns: []string{"SGD", "Adam"}, Value: [][]float64{{1.71, 1.62}, {1.83, 1.6}},
	}))
	// Output: saved true
}

func ExampleImprovement() {
	save(figures.Improvement("ST-Prune 10 %", []figures.Chance{
		{Label: "random 10 %", Probability: figures.Estimate{Mean: 11.0 / 12, Low: 0.62, High: 1}, Proven: true, Note: "11 of 12"},
	}))
	// Output: saved true
}
