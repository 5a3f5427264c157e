package train

import (
	"fmt"
	"time"

	"github.com/stprune/workbench/stprune"
)

// observation is what a step measured, on its way to the pruner.
type observation struct {
	epoch, step int // from 1
	ids         []int32
	prob        []float32
	stats       stprune.Stats
}

// observer hands measurements on, one after the other, while the device computes the next step.
type observer struct {
	work chan observation
	done chan struct{} // an observation is dealt with
	busy bool
	err  error // read after done
	wait *float64
}

// observe starts handing on; the time that training waits for it is added to wait. The caller must end it by close.
func (t *Trainer) observe(ev Events, wait *float64) *observer {
	o := &observer{work: make(chan observation), done: make(chan struct{}), wait: wait}
	go func() {
		for m := range o.work {
			if err := t.pruner.Observe(m.ids, m.stats); err != nil {
				o.err = fmt.Errorf("epoch %d, step %d: %w", m.epoch, m.step, err)
			} else if ev.Observe != nil {
				ev.Observe(m.ids, m.prob, m.stats)
			}
			o.done <- struct{}{}
		}
	}()
	return o
}

// put waits until the observation before is dealt with, and hands on this one, whose slices must stay as they are until then.
func (o *observer) put(m observation) error {
	if err := o.settle(); err != nil {
		return err
	}
	o.work <- m
	o.busy = true
	return nil
}

// settle waits until all observations are dealt with. The error is that of the first that the pruner refused.
func (o *observer) settle() error {
	if o.busy {
		start := time.Now()
		<-o.done
		o.busy = false
		*o.wait += time.Since(start).Seconds()
	}
	return o.err
}

func (o *observer) close() {
	_ = o.settle() // its error was returned before, or another one is being returned
	close(o.work)
}
