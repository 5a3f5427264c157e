package lab

import (
	"fmt"

	"github.com/stprune/workbench/stprune/method"
	"github.com/stprune/workbench/stprune/run"
)

// Methods are copies of a spec, one for each pruning method named, e.g. "st-prune" or "el2n"; see [MethodTable].
func Methods(s run.Spec, names ...string) []run.Spec {
	var all []run.Spec
	for _, name := range names {
		other := s
		other.Name, other.Prune.Method = name, name
		all = append(all, other)
	}
	return all
}

// Ablations are a spec of ST-Prune and copies of it, each with one of ST-Prune's parts switched off (see [method.Ablations]). Parts that the spec does not use
// are left out.
func Ablations(s run.Spec) []run.Spec {
	s.Name = fmt.Sprintf("ST-Prune %g %%", 100*s.Prune.Rho)
	all := []run.Spec{s}
	for _, a := range method.Ablations() {
		other := s
		a.Change(&other.Prune.Config)
		if other.Prune.Config != s.Prune.Config {
			other.Name = a.Name
			all = append(all, other)
		}
	}
	return all
}
