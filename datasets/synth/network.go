package synth

import "math"

// A network is the cell-transmission model of a road network: Daganzo's discretisation (TR-B 28, 1994; TR-B 29, 1995) of the
// kinematic-wave model with a triangular fundamental diagram. Cells of a link are contiguous; links meet at junctions. Vehicles are
// counted in float64, time advances in steps of dt seconds.
type network struct {
	dt float64 // s

	// Per cell. Flows are vehicles per dt.
	count    []float64 // vehicles in the cell
	outflow  []float64 // vehicles that left the cell in the last step
	capacity []float64
	blocked  []float64 // share of the capacity that is open: 1, less during an incident
	limit    []float64 // what is left of the capacity: by the weather and by incidents

	links     []link
	junctions []junction
	origins   []origin // one per junction

	// What the two halves of a step tell each other, in the order of the junctions.
	approaches []approach
	exits      []exit

	// Weather, 1 when dry.
	speedFactor, capacityFactor float64
}

// link is a one-way road: cells [first, last] in driving direction, all alike.
type link struct {
	first, last int
	free        float64 // free speed · dt / length of a cell, at most 1 (Courant–Friedrichs–Lewy)
	back        float64 // backward wave speed · dt / length of a cell
	jam         float64 // vehicles in a cell at jam density
	approach    int     // in approaches, of junction to
	way         int     // in exits, of junction from

	from, to int     // junctions
	length   float64 // m
	speed    float64 // free speed, m/s
	lanes    float64
	ends     float64 // share of the arriving traffic that ends its trip at junction to
}

// approach is the end of a link at a junction.
type approach struct {
	cell    int     // the link's last
	sending float64 // vehicles per dt
	ends    float64 // share of them that ends its trip
}

// exit is the start of a link at a junction.
type exit struct {
	cell    int     // the link's first
	receive float64 // vehicles per dt
}

// junction connects links. The approaches are the links in, and after them the junction's origin; turn[o·approaches+i] is the
// share of the traffic that goes on from approach i into out[o]; those of an approach sum to 1.
type junction struct {
	in, out  []int
	firstIn  int // in approaches
	firstOut int // in exits
	turn     []float64
	priority []float64 // of each approach when it merges: its capacity, vehicles per dt
}

// origin is where trips start: a queue without length that feeds a junction.
type origin struct {
	queue    float64 // vehicles waiting
	demand   float64 // vehicles per dt
	capacity float64 // of the ramp, vehicles per dt

	entered, left float64 // vehicles since the start that began their trip here, and that ended it at the junction
}

// addLink appends a link of cells as short as dt allows and returns its index.
func (n *network) addLink(from, to int, length, speed, lanes float64) int {
	cells := max(1, int(length/(speed*n.dt)))
	dx := length / float64(cells)
	first := len(n.count)
	capacity := laneCapacity(speed) * lanes * n.dt
	for range cells {
		n.count = append(n.count, 0)
		n.outflow = append(n.outflow, 0)
		n.capacity = append(n.capacity, capacity)
		n.blocked = append(n.blocked, 1)
		n.limit = append(n.limit, capacity*n.capacityFactor)
	}
	n.links = append(n.links, link{
		first: first, last: len(n.count) - 1, free: speed * n.dt / dx, back: waveSpeed * n.dt / dx, jam: jamDensity * lanes * dx,
		from: from, to: to, length: length, speed: speed, lanes: lanes,
	})
	return len(n.links) - 1
}

// connect lists the ends of the links that the junctions have.
func (n *network) connect() {
	for i := range n.junctions {
		j := &n.junctions[i]
		j.firstIn, j.firstOut = len(n.approaches), len(n.exits)
		for _, k := range j.in {
			l := &n.links[k]
			l.approach = len(n.approaches)
			n.approaches = append(n.approaches, approach{cell: l.last, ends: l.ends})
		}
		for _, k := range j.out {
			l := &n.links[k]
			l.way = len(n.exits)
			n.exits = append(n.exits, exit{cell: l.first})
		}
	}
}

// The backward wave speed and the jam density are the same on all roads: they come from drivers and cars, not from the road.
const (
	waveSpeed  = 5.0         // m/s
	jamDensity = 140.0 / 1e3 // vehicles per metre and lane
)

// laneCapacity of the triangular fundamental diagram, vehicles per second and lane.
func laneCapacity(speed float64) float64 { return speed * waveSpeed * jamDensity / (speed + waveSpeed) }

// open leaves a share of a cell's capacity.
func (n *network) open(cell int, share float64) {
	n.blocked[cell] = share
	n.limit[cell] = n.capacity[cell] * n.capacityFactor * share
}

// weather sets the factors on free speed and capacity.
func (n *network) weather(speed, capacity float64) {
	n.speedFactor, n.capacityFactor = speed, capacity
	for c, share := range n.blocked {
		n.open(c, share)
	}
}

// step advances the traffic by dt.
func (n *network) step() {
	n.drive([2]int{0, len(n.links)})
	n.cross([2]int{0, len(n.junctions)})
}

// drive is the first half of a step: it moves traffic within a part of the links.
func (n *network) drive(part [2]int) {
	links := n.links[part[0]:part[1]]
	for i := range links {
		l := &links[i]
		count := n.count[l.first : l.last+1]
		limit, outflow := n.limit[l.first : l.last+1][:len(count)], n.outflow[l.first : l.last+1][:len(count)]
		free, back, jam := l.free*n.speedFactor, l.back, l.jam
		inside, came := count[0], 0.0
		sending := min(limit[0], free*inside)
		n.exits[l.way].receive = min(limit[0], back*(jam-inside))
		for c := 1; c < len(count); c++ {
			next, q := count[c], limit[c]
			y := min(sending, min(q, back*(jam-next)))
			outflow[c-1] = y
			count[c-1] = inside + came - y
			inside, came = next, y
			sending = min(q, free*next)
		}
		count[len(count)-1] = inside + came
		n.approaches[l.approach].sending = sending
	}
}

// most approaches or exits: a junction of our grids has at most 6 roads, and the origin. An index modulo most needs no check.
const most = 8

// cross is the second half of a step: it moves traffic over a part of the junctions. Parts can go side by side when every link has
// two cells.
func (n *network) cross(part [2]int) {
	for i := part[0]; i < part[1]; i++ {
		n.junction(i)
	}
}

// junction moves traffic over junction i: the node model of Tampère, Corthout, Cattrysse and Immers (TR-B 45, 2011), which keeps
// the order of arrival on every approach (a blocked exit holds back those behind), never leaves room unused that a waiting
// approach could take, and shares scarce room by priority. With two approaches and one exit it is Daganzo's merge, with one
// approach his diverge.
func (n *network) junction(i int) {
	var want, leaving, filled [most]float64 // filled: what the exits' first cells hold afterwards
	j, o := &n.junctions[i], &n.origins[i]
	in, out := n.approaches[j.firstIn:j.firstIn+len(j.in)], n.exits[j.firstOut:j.firstOut+len(j.out)]

	// Trips that end here leave on a lane of their own, so a jam always drains.
	for a := range in {
		leaving[a%most] = in[a].sending * in[a].ends
		want[a%most] = in[a].sending - leaving[a%most]
		o.left += leaving[a%most]
	}
	o.queue += o.demand
	o.entered += o.demand
	want[len(in)%most] = min(o.queue, o.capacity*n.capacityFactor)

	flow, turn := want, j.turn // mostly there is room for all
	for e := range out {
		sum, count := 0.0, n.count[out[e].cell]
		for a, share := range turn[:len(in)+1] {
			part := want[a%most] * share
			sum += part
			count += part
		}
		if sum > out[e].receive {
			flow = j.share(out, want)
			for e := range out {
				count := n.count[out[e].cell]
				for a, share := range j.turn[e*(len(in)+1):][:len(in)+1] {
					count += flow[a%most] * share
				}
				filled[e%most] = count
			}
			break
		}
		filled[e%most] = count
		turn = turn[len(in)+1:]
	}

	for a := range in {
		c := in[a].cell
		n.outflow[c] = leaving[a%most] + flow[a%most]
		n.count[c] = n.count[c] - leaving[a%most] - flow[a%most]
	}
	o.queue -= flow[len(in)%most]
	for e := range out {
		n.count[out[e].cell] = filled[e%most]
	}
}

// share is the flow that can cross a junction of what the approaches want.
func (j *junction) share(out []exit, want [most]float64) (flow [most]float64) {
	var room, waiting [most]float64 // waiting: the priority of an approach whose flow isn't known yet, else 0
	approaches := len(j.in) + 1
	for e := range out {
		room[e%most] = out[e].receive
	}
	unknown := 0
	for a, priority := range j.priority[:approaches] {
		if want[a%most] != 0 {
			waiting[a%most] = priority
			unknown++
		}
	}
	for unknown > 0 {
		// The exit with the least room per claim decides next.
		tightest, ratio := -1, math.Inf(1)
		turn := j.turn
		for e := range out {
			claim := 0.0
			for a, share := range turn[:approaches] {
				claim += waiting[a%most] * share
			}
			turn = turn[approaches:]
			if r := room[e%most] / claim; claim > 0 && r < ratio {
				tightest, ratio = e, max(0, r)
			}
		}
		if tightest < 0 {
			break
		}
		// Approaches that want less than their part get what they want; only if there is none, all get their part.
		turn = j.turn[tightest*approaches:][:approaches]
		modest := false
		for a, share := range turn {
			modest = modest || waiting[a%most]*share > 0 && want[a%most] <= ratio*waiting[a%most]
		}
		for a, share := range turn {
			part := ratio * waiting[a%most]
			if waiting[a%most]*share == 0 || modest && want[a%most] > part {
				continue
			}
			waiting[a%most] = 0
			unknown--
			flow[a%most] = min(want[a%most], part)
			for e := range out {
				room[e%most] -= flow[a%most] * j.turn[e*approaches+a]
			}
		}
	}
	return flow
}

// trips is the number of vehicles that began a trip and that ended one since the start, and of those on the roads and waiting
// at origins.
func (n *network) trips() (entered, left, inside float64) {
	for _, o := range n.origins {
		entered, left, inside = entered+o.entered, left+o.left, inside+o.queue
	}
	for _, c := range n.count {
		inside += c
	}
	return entered, left, inside
}
