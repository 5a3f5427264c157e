package compare

import (
	"github.com/stprune/workbench/stprune/method"
	"github.com/stprune/workbench/stprune/run"
)

// forwards are the windows × nodes that a run passed forward without training on them.
func forwards(*run.Result) int64 { return 0 }

// scoring are the seconds that a run spent on scores beyond its training steps: scoring models and forward passes.
func scoring(run.Seconds) float64 { return 0 }

// notApplicable says why a published method has no meaning for forecasts.
func notApplicable(name string) (reason string, no bool) {
	for _, m := range method.NotApplicable() {
		if m.Name == name {
			return m.Reason, true
		}
	}
	return "", false
}
