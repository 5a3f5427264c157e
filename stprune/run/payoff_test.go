package run

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stprune/workbench/stprune/train"
)

func TestPayoff(t *testing.T) {
	seconds := func(loading float64, s train.Seconds, saving float64) Seconds {
		p := Parts{Seconds: s, Loading: loading, Saving: saving}
		return Seconds{Parts: p, Total: p.Total()}
	}
	for _, c := range []struct {
		name    string
		seconds Seconds
		faster  float64
		largest string
		says    string
	}{
		{"only steps", seconds(0, train.Seconds{Steps: 10}, 0), 10, "", "10.0 times fewer visits, about 10.0 times faster"},
		{"validation", seconds(0, train.Seconds{Steps: 2, Evaluation: 8}, 0), 2.8, "evaluation", "evaluation takes 80 % of the time: validate less"},
		{"choosing", seconds(0, train.Seconds{Steps: 1, Selection: 8, Evaluation: 1}, 0), 1.1, "selection", "selection takes 80 %"},
		{"choosing for nothing", seconds(0, train.Seconds{Steps: 0.9, Selection: 9.1}, 0), 0.9, "selection", "do not pay: about 0.9 times"},
		{"saving", seconds(1, train.Seconds{Steps: 1}, 8), 1.9, "saving", "saving takes 80 %"},
	} {
		r := Result{Epochs: 20, FullEpochs: 2, Seconds: c.seconds}
		p, ok := r.Payoff()
		if diff := p.Faster - c.faster; !ok || p.Fewer != 10 || diff > 1e-9 || diff < -1e-9 || p.Largest != c.largest {
			t.Errorf("%s: %v, %+v", c.name, ok, p)
		}
		if text := p.String(); !strings.Contains(text, c.says) {
			t.Errorf("%s: says %q, want %q", c.name, text, c.says)
		}
	}
	for _, r := range []Result{
		{Epochs: 20, FullEpochs: 20, Seconds: seconds(0, train.Seconds{Steps: 1}, 0)},
		{Epochs: 20, Seconds: seconds(0, train.Seconds{Steps: 1}, 0)},
		{Epochs: 20, FullEpochs: 2},
	} {
		if p, ok := r.Payoff(); ok {
			t.Errorf("%+v of a run without pruning", p)
		}
	}
}

// The parts must add up to what a clock on the wall says.
func TestSecondsAreAllAccountedFor(t *testing.T) {
	start := time.Now()
	result, _ := results(t, do(t, tiny(t, "train.epochs=20"), options(t.TempDir())))
	wall := time.Since(start).Seconds()
	if total := result.Seconds.Total; total > wall || total < 0.98*wall-0.02 {
		t.Errorf("parts sum up to %v s of %v s: %+v", total, wall, result.Seconds)
	}
}

// What an interrupted process spent counts too.
func TestSecondsOfSeveralProcesses(t *testing.T) {
	spec := tiny(t, "train.epochs=4", "train.batch=2") // epochs of many steps
	o := options(t.TempDir())
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	o.Watch.Step = func(p train.Progress) {
		if p.Epoch == 2 && p.Step%2 == 0 {
			cancel()
		}
	}
	start := time.Now()
	if _, err := Do(ctx, spec, o); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	o.Watch.Step = nil
	result, epochs := results(t, do(t, spec, o))
	wall := time.Since(start).Seconds()
	if total := result.Seconds.Total; total > wall || total < 0.9*wall-0.05 {
		t.Errorf("parts sum up to %v s of %v s: %+v", total, wall, result.Seconds)
	}
	for i, loads := range []bool{true, true, false, false} {
		if (epochs[i].Seconds.Loading > 0) != loads {
			t.Errorf("epoch %d loaded for %v s", i+1, epochs[i].Seconds.Loading)
		}
	}
}
