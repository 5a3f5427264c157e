package lab_test

import (
	"fmt"

	"github.com/stprune/workbench/datasets/synth"
	"github.com/stprune/workbench/stprune/lab"
)

func ExampleSpec() {
	s := lab.Spec("city")
	fmt.Println(s.Model.Backbone, s.Prune.Method, s.Train.Unit, s.Train.Epochs, s.Optim.LR)
	// Output: stid full window 20 0.002
}

func ExamplePairs() {
	s := lab.Pairs(lab.Spec("city"), 24)
	fmt.Println(s.Train.Unit, s.Train.Batch)
	// Output: pair 384
}

func ExampleMethods() {
	for _, s := range lab.Methods(lab.Spec("city"), "st-prune", "random", "infobatch") {
		fmt.Println(s.Name, s.Prune.Rho)
	}
	// Output:
	// st-prune 0.1
	// random 0.1
	// infobatch 0.1
}

func ExampleAblations() {
	s := lab.Pairs(lab.Spec("city"), 24)
	s.Prune.Method, s.Prune.Rho = "st-prune", 0.1
	for _, s := range lab.Ablations(s) {
		fmt.Println(s.Name)
	}
	// Output:
	// ST-Prune 10 %
	// unscored
	// apart
	// unweighted
}

func ExampleMethodTable() {
	lab.Do(func(l *lab.Lab) {
		l.ShowTable(lab.MethodTable())
	})
}

func ExampleLab_Ratios() {
	lab.Do(func(l *lab.Lab) {
		s := lab.Spec("city")
		s.Name, s.Prune.Method = "ST-Prune", "st-prune"
		for _, s := range l.Ratios(s, 0.1, 0.03) {
			fmt.Println(s.Name)
		}
	})
	// Output:
	// ST-Prune 10 %
	// ST-Prune 3 %
}

func ExampleLab_Seeds() {
	lab.Do(func(l *lab.Lab) {
		for _, s := range l.Seeds(lab.Spec("city"), 3) {
			fmt.Print(s.Train.Seed, " ")
		}
	})
	// Output: 1 2 3
}

func ExampleLab_FourWays() {
	lab.Do(func(l *lab.Lab) {
		for _, s := range l.FourWays(l.City().Name, 0.1) {
			fmt.Println(s.Name)
		}
	})
}

func ExampleLab_City() {
	lab.Do(func(l *lab.Lab) {
		l.ShowTable(l.Describe(l.City()))
	})
}

func ExampleLab_Synthetic() {
	lab.Do(func(l *lab.Lab) {
		town := l.Synthetic("town", synth.Config{Nodes: 8, Days: 14})
		l.ShowTable(l.Results(l.Run(lab.Spec(town.Name))))
	})
}
