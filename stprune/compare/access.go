package compare

import (
	"github.com/stprune/workbench/stprune/method"
	"github.com/stprune/workbench/stprune/run"
)

// forwards are the windows × nodes that a run passed forward without training on them.
func forwards(r *run.Result) int64 { return r.Forwards }

// scoring are the seconds that a run spent on scores beyond its training steps: scoring models and forward passes.
func scoring(s run.Seconds) float64 { return s.Scoring }

// notApplicable says why a published method has no meaning for forecasts.
func notApplicable(name string) (reason string, no bool) {
	for _, m := range method.NotApplicable() {
		if m.Name == name {
			return m.Reason, true
		}
	}
	return "", false
}
