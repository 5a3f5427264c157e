package synth

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// town is a road network with its habits: who drives where, and when.
type town struct {
	net   *network
	plan  plan
	rate  []float64 // [origins] vehicles per second at a profile of 1
	mixes []mix     // [origins]
	// Turning shares of each junction in the morning and in the evening, as in [junction]; in between they change over gradually.
	morning, evening [][]float64
	flow             []float64 // [links] steady flow at the heavier peak, vehicles per second; where incidents happen
}

// mix says how much of an origin's weekday demand comes in each peak: homes in the morning, offices in the evening.
type mix struct{ morning, evening float64 }

// habits of a time of the week: what everyone does, and how high the two peaks are.
type habits struct {
	base             float64
	workers          float64 // share of the morning's that go
	morning, evening float64
}

func habitsAt(at time.Time) habits {
	h := float64(at.Hour()) + float64(at.Minute())/60
	bump := func(centre, width float64) float64 {
		return math.Exp(-(h - centre) * (h - centre) / (2 * width * width))
	}
	day := 1 / (1 + math.Exp((6-h)/0.5)) / (1 + math.Exp((h-21)/0.9))
	switch at.Weekday() {
	case time.Saturday:
		return habits{base: 0.10 + 0.20*day + 0.45*bump(14, 3)}
	case time.Sunday:
		return habits{base: 0.08 + 0.15*day + 0.38*bump(15, 3)}
	case time.Friday:
		return habits{base: 0.09 + 0.33*day, workers: 0.9, morning: bump(7.9, 0.9), evening: bump(16.8, 1.6)}
	default:
		return habits{base: 0.08 + 0.33*day, workers: 1, morning: bump(7.8, 0.9), evening: bump(17.4, 1.3)}
	}
}

// profile is the demand at a time of the week relative to the origin's rate.
func (m mix) profile(h habits) float64 {
	return h.base + h.workers*m.morning*h.morning + m.evening*h.evening
}

// lateness is the weight of the evening's turning shares at a time of day.
func lateness(at time.Time) float64 {
	h := float64(at.Hour()) + float64(at.Minute())/60
	return 1 / (1 + math.Exp(12.5-h))
}

// newTown draws a town with at least so many one-way links. load is the utilisation of the road that is fuller than three
// quarters of the roads, at the heavier peak, if nothing held the traffic back.
func newTown(links int, dt, load float64, r *rand.Rand) *town {
	p := newPlan(links, r)
	t := &town{plan: p, net: &network{dt: dt, speedFactor: 1, capacityFactor: 1}}
	n := t.net
	n.junctions = make([]junction, len(p.at))
	n.origins = make([]origin, len(p.at))
	t.rate = make([]float64, len(p.at))
	t.mixes = make([]mix, len(p.at))

	// The shape: every road has two directions.
	shape := make([]link, 0, 2*len(p.roads))
	for _, road := range p.roads {
		a, b := p.at[road[0]], p.at[road[1]]
		length := math.Hypot(b[0]-a[0], b[1]-a[1]) * (1.03 + 0.15*r.Float64()) // roads bend
		for _, way := range [][2]int{{road[0], road[1]}, {road[1], road[0]}} {
			i := len(shape)
			shape = append(shape, link{from: way[0], to: way[1], length: length})
			n.junctions[way[0]].out = append(n.junctions[way[0]].out, i)
			n.junctions[way[1]].in = append(n.junctions[way[1]].in, i)
		}
	}
	for i := range t.rate {
		t.rate[i] = math.Exp(0.4 * r.NormFloat64())
		t.mixes[i] = mix{morning: 0.35 + 0.65*r.Float64(), evening: 0.35 + 0.65*r.Float64()}
	}
	for i := range shape {
		switch roads := len(n.junctions[shape[i].to].out); {
		case roads == 1:
			shape[i].ends = 1 // a dead end
		case roads == 2:
			shape[i].ends = 0.25 + 0.2*r.Float64()
		default:
			shape[i].ends = 0.12 + 0.2*r.Float64()
		}
	}
	t.morning, t.evening = t.turns(shape, r), t.turns(shape, r)

	// Roads are built for the traffic they were expected to carry, and not always well.
	workday := time.Date(2024, 1, 3, 0, 0, 0, 0, time.UTC)
	early := t.steady(shape, t.morning, workday.Add(7*time.Hour+48*time.Minute))
	late := t.steady(shape, t.evening, workday.Add(17*time.Hour+24*time.Minute))
	t.flow = make([]float64, len(shape))
	for i := range shape {
		t.flow[i] = max(early[i], late[i])
	}
	sorted := slices.Sorted(slices.Values(t.flow))
	quantile := func(q float64) float64 { return sorted[int(q*float64(len(sorted)-1))] }
	for i := range shape {
		main := max(t.flow[i], t.flow[i^1]) // i^1 is the other direction
		speed := 24.6
		switch {
		case main >= quantile(0.67):
			speed = 31.3
		case main >= quantile(0.33):
			speed = 29.1
		}
		lanes := math.Round(3 * t.flow[i] / quantile(0.5) * (0.85 + 0.5*r.Float64()))
		l := shape[i]
		n.addLink(l.from, l.to, l.length, speed, min(6, max(1, lanes)))
		n.links[i].ends = l.ends
	}

	// Scale the demand to the roads.
	use := make([]float64, len(shape))
	for i, l := range n.links {
		use[i] = t.flow[i] / (laneCapacity(l.speed) * l.lanes)
	}
	slices.Sort(use)
	scale := load / use[int(0.75*float64(len(use)-1))]
	for i := range t.flow {
		t.flow[i] *= scale
	}
	for i := range t.rate {
		t.rate[i] *= scale
		n.origins[i].capacity = 1.6 * t.rate[i] * dt
	}
	for i := range n.junctions {
		j := &n.junctions[i]
		for _, l := range j.in {
			j.priority = append(j.priority, n.capacity[n.links[l].last])
		}
		j.priority = append(j.priority, n.origins[i].capacity)
		j.turn = make([]float64, len(t.morning[i]))
	}
	n.connect()
	return t
}

// turns draws turning shares for every junction: mostly straight on, never back.
func (t *town) turns(shape []link, r *rand.Rand) [][]float64 {
	turns := make([][]float64, len(t.net.junctions))
	bearing := func(l link) float64 {
		a, b := t.plan.at[l.from], t.plan.at[l.to]
		return math.Atan2(b[1]-a[1], b[0]-a[0])
	}
	for i, j := range t.net.junctions {
		exits := len(j.out)
		approaches := len(j.in) + 1
		turns[i] = make([]float64, approaches*exits)
		row := make([]float64, exits)
		for a := range approaches {
			sum := 0.0
			for e, o := range j.out {
				row[e] = 0.3 + r.Float64()
				if a < len(j.in) {
					in := shape[j.in[a]]
					row[e] *= math.Exp(1.2 * math.Cos(bearing(shape[o])-bearing(in)))
					if shape[o].to == in.from {
						row[e] = 0
					}
				}
				sum += row[e]
			}
			for e, share := range row {
				if sum > 0 {
					share /= sum
				}
				turns[i][e*approaches+a] = share
			}
		}
	}
	return turns
}

// steady is the flow on every link, vehicles per second, that the demand of a time would settle to if no road were ever full.
func (t *town) steady(shape []link, turns [][]float64, at time.Time) []float64 {
	flow, now := make([]float64, len(shape)), habitsAt(at)
	for range 200 { // every junction loses at least 12 %, so this is far past convergence
		next := make([]float64, len(shape))
		for i, j := range t.net.junctions {
			for e, o := range j.out {
				turn := turns[i][e*(len(j.in)+1):]
				for a, l := range j.in {
					next[o] += flow[l] * (1 - shape[l].ends) * turn[a]
				}
				next[o] += t.rate[i] * t.mixes[i].profile(now) * turn[len(j.in)]
			}
		}
		flow = next
	}
	return flow
}

// turn sets the turning shares of a time of day.
func (t *town) turn(at time.Time) {
	late := lateness(at)
	for i := range t.net.junctions {
		turn := t.net.junctions[i].turn
		for k := range turn {
			turn[k] = (1-late)*t.morning[i][k] + late*t.evening[i][k]
		}
	}
}
