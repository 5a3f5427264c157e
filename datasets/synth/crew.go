package synth

import (
	"sort"
	"sync"
	"sync/atomic"
	"time"
)

// crew advances the network and watches the sensors on several goroutines, each with a part of the links and of the junctions.
// Nothing is summed up across parts, so the traffic is the same with any number of them.
type crew struct {
	net   *network
	gauge *gauge
	parts []part
}

// part of the work: [from, to) of each.
type part struct{ links, junctions, sensors [2]int }

// fewestLinks are worth a goroutine, which waits for the others twice in a step.
const fewestLinks = 250

func newCrew(net *network, gauge *gauge, n int) *crew {
	c := &crew{net: net, gauge: gauge}
	sensor := func(link int) int {
		return sort.Search(len(gauge.sensors), func(i int) bool { return gauge.sensors[i].link >= link })
	}
	for i := range n {
		cut := func(length int) [2]int { return [2]int{i * length / n, (i + 1) * length / n} }
		p := part{links: cut(len(net.links)), junctions: cut(len(net.junctions))}
		p.sensors = [2]int{sensor(p.links[0]), sensor(p.links[1])}
		c.parts = append(c.parts, p)
	}
	return c
}

// advance simulates so many steps.
func (c *crew) advance(steps int) {
	all := meeting{size: int32(len(c.parts))}
	work := func(p part) {
		for range steps {
			c.gauge.before(c.net, p.sensors)
			c.net.drive(p.links)
			all.meet()
			c.net.cross(p.junctions)
			all.meet()
			c.gauge.after(c.net, p.sensors)
		}
	}
	var others sync.WaitGroup
	for _, p := range c.parts[1:] {
		others.Go(func() { work(p) })
	}
	work(c.parts[0])
	others.Wait()
}

// meeting is where goroutines wait for each other, again and again. They wait for microseconds, less than it takes to wake one.
type meeting struct {
	size  int32
	here  atomic.Int32
	round atomic.Uint32
}

func (m *meeting) meet() {
	round := m.round.Load()
	if m.here.Add(1) == m.size {
		m.here.Store(0)
		m.round.Add(1)
		return
	}
	for spins := 1; m.round.Load() == round; spins++ {
		if spins%(1<<14) == 0 { // another has lost its processor; ours may help
			time.Sleep(time.Microsecond)
		}
	}
}
