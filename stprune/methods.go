package stprune

import (
	"fmt"
	"strings"
)

// Method is a way of choosing units, by name.
type Method struct {
	Name string
	Doc  string // one line
	New  func(n int, c Config, opts ...Option) (Pruner, error)
}

// Methods lists all methods. A new one is a file of its own and an entry here.
func Methods() []Method {
	return []Method{
		{"full", "every unit in every epoch", func(n int, _ Config, _ ...Option) (Pruner, error) { return NewFull(n) }},
		{"random", "fresh uniform random units in each pruned epoch, without weights", func(n int, c Config, _ ...Option) (Pruner, error) { return NewUniform(n, c) }},
		{"st-prune", "complexity score, unequal probabilities, stationarity-aware weights (our reconstruction)", New},
	}
}

// ByName finds a method of [Methods].
func ByName(name string) (Method, error) {
	var names []string
	for _, m := range Methods() {
		if m.Name == name {
			return m, nil
		}
		names = append(names, m.Name)
	}
	return Method{}, fmt.Errorf("prune: no method %q; use one of %s", name, strings.Join(names, ", "))
}
