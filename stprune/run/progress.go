package run

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/stprune/workbench/stprune/train"
)

// Progress shows how a run goes on: on a terminal a bar over all optimiser steps with the time left, elsewhere one plain line
// per epoch. title begins every line.
func Progress(out *os.File, title string) Watcher {
	if term.IsTerminal(int(out.Fd())) {
		return bar(out, title)
	}
	return lines(out, title)
}

func lines(out io.Writer, title string) Watcher {
	begin := time.Now()
	var at train.Progress
	first, scored := 0, 0 // steps done before this process; epochs of a scoring model
	return Watcher{
		Note: func(text string) { fmt.Fprintf(out, "%s: %s\n", title, text) },
		Step: func(p train.Progress) {
			if at.Step == 0 {
				first = p.Step - 1
			}
			at = p
		},
		Epoch: func(e Epoch) {
			fmt.Fprintf(out, "%s: %s%s\n", title, e.summary(at.Epochs), left(begin, first, at))
		},
		Scoring: func(p train.Progress) {
			if begin = time.Now(); p.Epoch != scored { // the pace is that of the run alone
				scored = p.Epoch
				fmt.Fprintf(out, "%s: scoring model, epoch %d/%d\n", title, p.Epoch, p.Epochs)
			}
		},
	}
}

// left is the time that the rest of the run takes at the pace so far.
func left(begin time.Time, first int, at train.Progress) string {
	done := at.Step - first
	if done < 1 || at.Step >= at.Steps {
		return ""
	}
	d := time.Duration(float64(time.Since(begin)) * float64(at.Steps-at.Step) / float64(done))
	return fmt.Sprintf(", %s left", d.Round(time.Second))
}

// summary is an epoch in one line; of is the number of epochs, 0 when this process has not taken a step yet.
func (e Epoch) summary(of int) string {
	text := fmt.Sprintf("epoch %d", e.Epoch)
	if of > 0 {
		text += fmt.Sprintf("/%d", of)
	}
	text += fmt.Sprintf(", %d units in %d steps, loss %.4f", e.Units, e.Steps, e.Loss)
	if e.Validation != nil {
		text += fmt.Sprintf(", validation MAE %.4f", e.Validation.Mean.MAE)
	}
	if e.Best {
		text += " (best)"
	}
	return text
}

func bar(out io.Writer, title string) Watcher {
	var b *progressbar.ProgressBar
	// The bar is for the eye alone: failing to draw it is no reason to stop training.
	above := func(text string) {
		if b != nil {
			_ = b.Clear()
		}
		fmt.Fprintf(out, "%s: %s\n", title, text)
		if b != nil {
			_ = b.RenderBlank()
		}
	}
	var epochs, first int
	of := ""
	show := func(p train.Progress, what string) {
		if b == nil || of != what {
			if b != nil {
				_ = b.Clear()
			}
			of = what
			first = p.Step - 1 // of this process: the pace must not count what another one did
			b = progressbar.NewOptions(p.Steps-first, progressbar.OptionSetWriter(out), progressbar.OptionShowCount(),
				progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(100*time.Millisecond),
				progressbar.OptionSetWidth(24), progressbar.OptionClearOnFinish())
		}
		b.Describe(fmt.Sprintf("%s: %sepoch %d/%d, loss %.4f", title, what, p.Epoch, p.Epochs, p.Loss))
		_ = b.Set(p.Step - first)
	}
	return Watcher{
		Note: above,
		Step: func(p train.Progress) {
			epochs = p.Epochs
			show(p, "")
		},
		Epoch:   func(e Epoch) { above(e.summary(epochs)) },
		Scoring: func(p train.Progress) { show(p, "scoring model, ") },
	}
}
