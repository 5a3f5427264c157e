package synth

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// wet draws the rainy days: one spell of 4 to 14 hours each.
func (c Config) wet() []Wet {
	r := c.stream("weather")
	var spells []Wet
	for day := range c.Days {
		if r.Float64() >= c.Wet {
			continue
		}
		hours := 4 + 10*r.Float64()
		start := c.Start.AddDate(0, 0, day).Add(minutes(60 * r.Float64() * (24 - hours)))
		spells = append(spells, Wet{Start: start, End: start.Add(minutes(60 * hours)), Speed: 0.82 + 0.1*r.Float64(), Capacity: 0.78 + 0.12*r.Float64()})
	}
	return spells
}

// incidents draws when and where parts of roads are closed: more often in dense traffic, for 10 minutes to 3 hours, half of
// them for longer than 40 minutes.
func (c Config) incidents(t *town, sensors []sensor) []Incident {
	r := c.stream("incidents")
	onLink := make([]int, len(t.net.links))
	for i := range onLink {
		onLink[i] = -1
	}
	for i, s := range sensors {
		onLink[s.link] = i
	}
	// Vehicle-metres per link, summed up, to draw links in proportion.
	until := make([]float64, len(t.net.links))
	sum := 0.0
	for i, l := range t.net.links {
		sum += t.flow[i] * l.length
		until[i] = sum
	}
	everyone := mix{morning: 0.7, evening: 0.7}
	var incidents []Incident
	for day := range c.Days {
		date := c.Start.AddDate(0, 0, day)
		rate := c.Incidents
		if w := date.Weekday(); w == time.Saturday || w == time.Sunday {
			rate *= 0.6
		}
		for range poisson(rate, r) {
			start := date
			for {
				start = date.Add(minutes(24 * 60 * r.Float64()))
				if 1.2*r.Float64() < everyone.profile(habitsAt(start)) {
					break
				}
			}
			i, _ := slices.BinarySearch(until, sum*r.Float64())
			i = min(i, len(until)-1)
			length := 40 * math.Exp(0.5*r.NormFloat64())
			incidents = append(incidents, Incident{
				Link: i, Along: t.net.links[i].length * r.Float64(), Sensor: onLink[i],
				Start: start, End: start.Add(minutes(min(180, max(10, length)))), Open: 0.1 + 0.45*r.Float64(),
			})
		}
	}
	slices.SortFunc(incidents, func(a, b Incident) int { return a.Start.Compare(b.Start) })
	return incidents
}

func minutes(m float64) time.Duration { return time.Duration(math.Round(m)) * time.Minute }

// poisson counts arrivals of a unit-rate process up to mean.
func poisson(mean float64, r *rand.Rand) int {
	n := 0
	for at := r.ExpFloat64(); at < mean; at += r.ExpFloat64() {
		n++
	}
	return n
}

// events applies incidents and weather to the network as time passes.
type events struct {
	net    *network
	truth  *Truth
	now    time.Time
	dt     time.Duration
	begun  int   // incidents that have started
	active []int // those not over
	wet    int   // spells that are over
}

func newEvents(net *network, truth *Truth, start time.Time, dt time.Duration) *events {
	return &events{net: net, truth: truth, now: start, dt: dt}
}

// next sets the network up for the simulation steps that begin now, and returns after how many, at most most, it is to be called
// again.
func (e *events) next(most int) int {
	for ; e.begun < len(e.truth.Incidents) && !e.truth.Incidents[e.begun].Start.After(e.now); e.begun++ {
		e.active = append(e.active, e.begun)
		e.open(e.truth.Incidents[e.begun])
	}
	e.active = slices.DeleteFunc(e.active, func(i int) bool {
		over := !e.truth.Incidents[i].End.After(e.now)
		if over {
			e.net.open(e.cell(e.truth.Incidents[i]), 1)
		}
		return over
	})
	for _, i := range e.active {
		e.open(e.truth.Incidents[i])
	}
	for e.wet < len(e.truth.Wet) && !e.truth.Wet[e.wet].End.After(e.now) {
		e.wet++
	}
	until := e.now.Add(time.Duration(most) * e.dt)
	change := func(at time.Time) {
		if at.Before(until) {
			until = at
		}
	}
	if e.begun < len(e.truth.Incidents) {
		change(e.truth.Incidents[e.begun].Start)
	}
	for _, i := range e.active {
		change(e.truth.Incidents[i].End)
	}
	weather := Wet{Speed: 1, Capacity: 1}
	if e.wet < len(e.truth.Wet) {
		if spell := e.truth.Wet[e.wet]; spell.Start.After(e.now) {
			change(spell.Start)
		} else {
			weather = spell
			change(spell.End)
		}
	}
	if e.net.speedFactor != weather.Speed || e.net.capacityFactor != weather.Capacity {
		e.net.weather(weather.Speed, weather.Capacity)
	}
	steps := int((until.Sub(e.now) + e.dt - 1) / e.dt)
	e.now = e.now.Add(time.Duration(steps) * e.dt)
	return steps
}

func (e *events) cell(i Incident) int {
	l := e.net.links[i.Link]
	cells := l.last - l.first + 1
	return l.first + min(cells-1, int(i.Along/l.length*float64(cells)))
}

// open leaves the incident's cell what the worst incident there leaves it.
func (e *events) open(i Incident) {
	c := e.cell(i)
	e.net.open(c, min(e.net.blocked[c], i.Open))
}

// trips sets the demand: each origin's rate and weekly profile, times slowly varying chance, times the luck of the day.
type trips struct {
	town *town
	r    *rand.Rand
	day  int
	luck []float64 // [origins] of the day, log
	walk []float64 // [origins] autoregressive, log
}

func newTrips(t *town, r *rand.Rand) *trips {
	return &trips{town: t, r: r, day: -1, luck: make([]float64, len(t.rate)), walk: make([]float64, len(t.rate))}
}

func (d *trips) set(at time.Time, step time.Duration) {
	if day := at.YearDay(); day != d.day {
		d.day = day
		all := 0.04 * d.r.NormFloat64()
		for i := range d.luck {
			d.luck[i] = all + 0.05*d.r.NormFloat64()
		}
	}
	keep := math.Exp(-step.Minutes() / 30)
	fresh := 0.1 * math.Sqrt(1-keep*keep)
	net, now := d.town.net, habitsAt(at)
	for i := range d.walk {
		d.walk[i] = keep*d.walk[i] + fresh*d.r.NormFloat64()
		net.origins[i].demand = d.town.rate[i] * d.town.mixes[i].profile(now) * math.Exp(d.luck[i]+d.walk[i]) * net.dt
	}
}

// gauge turns what passes the sensors into readings.
type gauge struct {
	config         Config
	sensors        []sensor
	passed, inside []float64 // [sensors] vehicles that left the cell, and vehicles in it, summed over simulation steps
	down           []int     // [sensors] rows still to be missed
	r              *rand.Rand
}

func newGauge(c Config, sensors []sensor) *gauge {
	n := len(sensors)
	return &gauge{config: c, sensors: sensors, passed: make([]float64, n), inside: make([]float64, n), down: make([]int, n), r: c.stream("readings")}
}

// before watches a part of the sensors before a step.
func (g *gauge) before(net *network, part [2]int) {
	for i := part[0]; i < part[1]; i++ {
		g.inside[i] += net.count[g.sensors[i].cell]
	}
}

// after watches a part of the sensors after a step.
func (g *gauge) after(net *network, part [2]int) {
	for i := part[0]; i < part[1]; i++ {
		g.passed[i] += net.outflow[g.sensors[i].cell]
	}
}

func (g *gauge) reset() {
	clear(g.passed)
	clear(g.inside)
}

// read writes one row: the space-mean speed (flow over density) with noise that grows when few vehicles pass, or 0 when the
// sensor is down. A quarter of the drop-outs are single readings, the rest spells of 3 hours on average.
func (g *gauge) read(net *network, row []float32) {
	c := g.config
	spell := max(1, (3*time.Hour).Minutes()/c.Step.Minutes())
	fail := 0.75 * c.Dropout / (1 - 0.75*c.Dropout) / spell
	for i, s := range g.sensors {
		noise, single, breaks, length := g.r.NormFloat64(), g.r.Float64(), g.r.Float64(), g.r.ExpFloat64()
		if g.down[i] == 0 && breaks < fail {
			g.down[i] = 1 + int(length*spell)
		}
		if g.down[i] > 0 {
			g.down[i]--
			row[i] = 0
			continue
		}
		if single < 0.25*c.Dropout {
			row[i] = 0
			continue
		}
		l := net.links[s.link]
		speed := l.speed * net.speedFactor
		if g.inside[i] > 1e-9 {
			dx := l.length / float64(l.last-l.first+1)
			speed = g.passed[i] / g.inside[i] * dx / net.dt
		}
		speed += noise * c.Noise / mph * min(3, math.Sqrt(1+10/(1+g.passed[i])))
		row[i] = float32(max(speed*c.unit(), 1)) // 0 is kept for missing
	}
}
