package lab

import (
	"fmt"
	"html"
	"math"
	"strings"
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
	last    train.Progress
	best    float64

	loss, steps [curveWidth]float64 // sum and number of the losses that fall on each pixel
	measured    [curveWidth]float64 // validation MAE; 0: none
}

// The live curve, in pixels. Its width is that of the whole run.
const curveWidth, curveHeight = 160, 28

const redraw = 200 * time.Millisecond

func (c *cell) watcher() run.Watcher {
	return run.Watcher{Note: c.note, Step: c.step, Epoch: c.epoch, Scoring: c.scoring}
}

func (c *cell) note(text string) {
	gonbui.DisplayHTML("<div>" + html.EscapeString(c.title+": "+text) + "</div>")
}

func (c *cell) epoch(e run.Epoch) {
	if e.Validation != nil {
		c.measured[pixel(c.last)] = e.Validation.Mean.MAE
	}
	if e.Best {
		c.best = e.Validation.Mean.MAE
	}
}

func (c *cell) step(p train.Progress) {
	now := time.Now()
	if c.started.IsZero() {
		c.started, c.first = now, p.Step-1
	}
	c.last = p
	at := pixel(p)
	c.loss[at], c.steps[at] = c.loss[at]+p.Loss, c.steps[at]+1
	if now.Sub(c.drawn) < redraw && p.Step < p.Steps {
		return
	}
	c.drawn = now
	left := float64(now.Sub(c.started)) * float64(p.Steps-p.Step) / float64(p.Step-c.first)
	c.show(p, fmt.Sprintf("step %d of %d, %s left<br>%s", p.Step, p.Steps, time.Duration(left).Round(time.Second), c.curve(p.Loss)))
}

func (c *cell) scoring(p train.Progress) {
	if now := time.Now(); now.Sub(c.drawn) >= redraw {
		c.drawn = now
		c.show(p, fmt.Sprintf("step %d of %d of a scoring model", p.Step, p.Steps))
	}
}

// show draws the bar, and HTML behind it.
func (c *cell) show(p train.Progress, rest string) {
	if c.id == "" {
		c.id = "stprune-" + gonbui.UniqueId()
	}
	gonbui.UpdateHTML(c.id, fmt.Sprintf(`<div><progress value="%d" max="%d" style="width:%dpx"></progress> %s: epoch %d of %d, %s</div>`,
		p.Step, p.Steps, curveWidth, html.EscapeString(c.title), p.Epoch, p.Epochs, rest))
}

// pixel is where a step stands in the curve.
func pixel(p train.Progress) int { return max(0, p.Step-1) * curveWidth / max(1, p.Steps) }

// Colours of loss and validation MAE, in the curve and in the words beside it.
const lossColour, measuredColour = "#0072B2", "#D55E00"

// curve draws loss and validation MAE over the whole run, each on a logarithmic scale of its own, with the last loss and the best
// validation MAE beside it.
func (c *cell) curve(loss float64) string {
	var losses [curveWidth]float64
	for i, n := range c.steps {
		losses[i] = c.loss[i] / max(1, n)
	}
	text := fmt.Sprintf(`<svg width="%d" height="%d" style="vertical-align:middle">%s%s</svg> <span style="color:%s">loss %.4g</span>`,
		curveWidth, curveHeight, polyline(losses, lossColour), polyline(c.measured, measuredColour), lossColour, loss)
	if c.best > 0 {
		text += fmt.Sprintf(`, <span style="color:%s">validation MAE %.4f</span>`, measuredColour, c.best)
	}
	return text
}

// polyline joins the values above 0, stretched to the curve's height.
func polyline(values [curveWidth]float64, colour string) string {
	low, high := math.Inf(1), math.Inf(-1)
	drawn := func(v float64) bool { return v > 0 && !math.IsInf(v, 0) }
	for _, v := range values {
		if drawn(v) {
			low, high = min(low, math.Log(v)), max(high, math.Log(v))
		}
	}
	var points []string
	for x, v := range values {
		if drawn(v) {
			y := 1.0
			if high > low {
				y = (high - math.Log(v)) / (high - low)
			}
			points = append(points, fmt.Sprintf("%d,%.1f", x, 1+y*(curveHeight-2)))
		}
	}
	return fmt.Sprintf(`<polyline points="%s" fill="none" stroke="%s" stroke-width="1.5"/>`, strings.Join(points, " "), colour)
}

// done leaves one line in the place of the bar and the curve.
func (c *cell) done(err error) {
	if c.id == "" {
		return
	}
	text := fmt.Sprintf("%s: trained in %s", c.title, time.Since(c.started).Round(time.Second))
	if err != nil {
		text = fmt.Sprintf("%s: stopped after step %d of %d", c.title, c.last.Step, c.last.Steps)
	}
	if c.best > 0 {
		text += fmt.Sprintf(", best validation MAE %.4f", c.best)
	}
	gonbui.UpdateHTML(c.id, "<div>"+html.EscapeString(text)+"</div>")
	gonbui.Sync()
}
