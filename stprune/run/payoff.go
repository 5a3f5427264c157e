package run

import "fmt"

// Payoff is what pruning saved in a finished run, beside the same epochs of all data at the run's own pace.
type Payoff struct {
	Fewer  float64 // times fewer visits
	Faster float64 // times fewer seconds; steps and the host's work grow with the visits, choosing goes, the rest stays
	// Largest is what took the most seconds besides steps: "loading", "compile", "selection", "scoring", "evaluation", "saving" or "host".
	Largest string
	Share   float64 // of the seconds, that of Largest
}

// Payoff estimates what pruning saved; ok is false for a run that visited everything.
func (r *Result) Payoff() (p Payoff, ok bool) {
	s := r.Seconds
	if r.FullEpochs <= 0 || s.Total <= 0 || float64(r.Epochs) <= r.FullEpochs {
		return Payoff{}, false
	}
	p.Fewer = float64(r.Epochs) / r.FullEpochs
	p.Faster = (s.Total - s.Selection - s.Scoring + (s.Steps+s.Host)*(p.Fewer-1)) / s.Total
	for _, part := range []struct {
		name    string
		seconds float64
	}{
		{"loading", s.Loading}, {"compile", s.Compile}, {"selection", s.Selection}, {"scoring", s.Scoring}, {"evaluation", s.Evaluation},
		{"saving", s.Saving}, {"host", s.Host},
	} {
		if share := part.seconds / s.Total; share > p.Share {
			p.Largest, p.Share = part.name, share
		}
	}
	return p, true
}

// payoffAdvice is what can be done about the largest part.
var payoffAdvice = map[string]string{
	"loading":    "a longer run hides it",
	"compile":    "programs are kept, so the next run of these shapes has them at once",
	"selection":  "choosing costs too much for a model this light: random choice, or fewer and longer epochs, cost less",
	"scoring":    "a method that scores while it trains costs less",
	"evaluation": "validate less often (train.validate_every)",
	"saving":     "a longer run hides it",
	"host":       "larger batches (train.batch) mean less work between steps",
}

// String says what pruning saved and, where more than half of it is lost, what it was lost to and the remedy.
func (p Payoff) String() string {
	text := fmt.Sprintf("%.1f times fewer visits, about %.1f times faster than the same epochs of all data", p.Fewer, p.Faster)
	switch {
	case p.Faster > p.Fewer/2:
		return text
	case p.Faster < 1.1:
		text = fmt.Sprintf("%.1f times fewer visits do not pay: about %.1f times faster than the same epochs of all data", p.Fewer, p.Faster)
	}
	return text + fmt.Sprintf("; %s takes %.0f %% of the time: %s", p.Largest, 100*p.Share, payoffAdvice[p.Largest])
}
