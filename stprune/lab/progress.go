package lab

import (
	"fmt"
	"html"
	"time"

	"github.com/janpfeifer/gonb/gonbui"

	"github.com/stprune/workbench/stprune/run"
	"github.com/stprune/workbench/stprune/train"
)

// cell shows a run's progress in a notebook: one element that changes in place, so that a saved notebook holds its last state
// alone.
type cell struct {
	title   string
	id      string
	started time.Time
	drawn   time.Time
	first   int // steps done before this process
	best    float64
}

const redraw = 200 * time.Millisecond

func newCell(title string) *cell { return &cell{title: title} }

func (c *cell) watcher() run.Watcher {
	return run.Watcher{Note: c.note, Step: c.step, Epoch: c.epoch}
}

func (c *cell) note(text string) {
	gonbui.DisplayHTML("<div>" + html.EscapeString(c.title+": "+text) + "</div>")
}

func (c *cell) epoch(e run.Epoch) {
	if e.Best {
		c.best = e.Validation.Mean.MAE
	}
}

func (c *cell) step(p train.Progress) {
	now := time.Now()
	if c.id == "" {
		c.id, c.started, c.first = "stprune-"+gonbui.UniqueId(), now, p.Step-1
	}
	if now.Sub(c.drawn) < redraw && p.Step < p.Steps {
		return
	}
	c.drawn = now
	text := fmt.Sprintf("%s: epoch %d of %d, step %d of %d, loss %.4g", c.title, p.Epoch, p.Epochs, p.Step, p.Steps, p.Loss)
	if c.best > 0 {
		text += fmt.Sprintf(", validation MAE %.4f", c.best)
	}
	left := float64(now.Sub(c.started)) * float64(p.Steps-p.Step) / float64(p.Step-c.first)
	gonbui.UpdateHTML(c.id, fmt.Sprintf(`<div><progress value="%d" max="%d"></progress> %s, %s left</div>`,
		p.Step, p.Steps, html.EscapeString(text), time.Duration(left).Round(time.Second)))
}

// done leaves one line in the place of the bar.
func (c *cell) done() {
	if c.id == "" {
		return
	}
	text := fmt.Sprintf("%s: trained in %s", c.title, time.Since(c.started).Round(time.Second))
	if c.best > 0 {
		text += fmt.Sprintf(", best validation MAE %.4f", c.best)
	}
	gonbui.UpdateHTML(c.id, "<div>"+html.EscapeString(text)+"</div>")
	gonbui.Sync()
}
