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
	sending  []float64
	receive  []float64
	free     []float64 // free speed · dt / length, at most 1 (Courant–Friedrichs–Lewy)
	back     []float64 // backward wave speed · dt / length
	capacity []float64
	jam      []float64 // vehicles at jam density
	blocked  []float64 // share of the capacity that is open: 1, less during an incident

	links     []link
	junctions []junction
	origins   []origin // one per junction

	// Weather, 1 when dry.
	speedFactor, capacityFactor float64

	entered, left float64 // vehicles since the start; entered counts those waiting at origins too
}

// link is a one-way road: cells [first, last] in driving direction.
type link struct {
	from, to    int // junctions
	first, last int
	length      float64 // m
	speed       float64 // free speed, m/s
	lanes       float64
	exit        float64 // share of the arriving traffic that ends its trip at junction to
}

// junction connects links. turn[i·len(out)+o] is the share of the traffic that goes on from approach i into out[o]; rows sum to
// 1. The approaches are the links in, and after them the junction's origin.
type junction struct {
	in, out  []int
	turn     []float64
	priority []float64 // of each approach when it merges: its capacity, vehicles per dt
}

// origin is where trips start: a queue without length that feeds a junction.
type origin struct {
	queue    float64 // vehicles waiting
	demand   float64 // vehicles per dt
	capacity float64 // of the ramp, vehicles per dt
}

// addLink appends a link of cells as short as dt allows and returns its index.
func (n *network) addLink(from, to int, length, speed, lanes float64) int {
	cells := max(1, int(length/(speed*n.dt)))
	dx := length / float64(cells)
	first := len(n.count)
	for range cells {
		n.count = append(n.count, 0)
		n.free = append(n.free, speed*n.dt/dx)
		n.back = append(n.back, waveSpeed*n.dt/dx)
		n.capacity = append(n.capacity, laneCapacity(speed)*lanes*n.dt)
		n.jam = append(n.jam, jamDensity*lanes*dx)
		n.blocked = append(n.blocked, 1)
	}
	n.outflow = make([]float64, len(n.count))
	n.sending = make([]float64, len(n.count))
	n.receive = make([]float64, len(n.count))
	n.links = append(n.links, link{from: from, to: to, first: first, last: len(n.count) - 1, length: length, speed: speed, lanes: lanes})
	return len(n.links) - 1
}

// The backward wave speed and the jam density are the same on all roads: they come from drivers and cars, not from the road.
const (
	waveSpeed  = 5.0         // m/s
	jamDensity = 140.0 / 1e3 // vehicles per metre and lane
)

// laneCapacity of the triangular fundamental diagram, vehicles per second and lane.
func laneCapacity(speed float64) float64 { return speed * waveSpeed * jamDensity / (speed + waveSpeed) }

// step advances the traffic by dt.
func (n *network) step() {
	count, sending, receive := n.count, n.sending, n.receive
	for c := range count {
		q := n.capacity[c] * n.capacityFactor * n.blocked[c]
		sending[c] = min(q, n.free[c]*n.speedFactor*count[c])
		receive[c] = min(q, n.back[c]*(n.jam[c]-count[c]))
	}
	for i := range n.links {
		l := &n.links[i]
		for c := l.first; c < l.last; c++ {
			y := min(sending[c], receive[c+1])
			n.outflow[c] = y
			count[c] -= y
			count[c+1] += y
		}
	}
	for i := range n.junctions {
		n.cross(i)
	}
}

// cross moves traffic over junction i: the node model of Tampère, Corthout, Cattrysse and Immers (TR-B 45, 2011), which keeps
// the order of arrival on every approach (a blocked exit holds back those behind), never leaves room unused that a waiting
// approach could take, and shares scarce room by priority. With two approaches and one exit it is Daganzo's merge, with one
// approach his diverge.
func (n *network) cross(i int) {
	const most = 16 // approaches or exits; a junction of our grids has at most 6 roads, and the origin
	var flow, want, room, claim [most]float64
	j, o := &n.junctions[i], &n.origins[i]
	approaches, exits := len(j.in)+1, len(j.out)

	// Trips that end here leave on a lane of their own, so a jam always drains.
	for a, l := range j.in {
		l := &n.links[l]
		leaving := n.sending[l.last] * l.exit
		want[a] = n.sending[l.last] - leaving
		n.outflow[l.last] = leaving
		n.count[l.last] -= leaving
		n.left += leaving
	}
	o.queue += o.demand
	n.entered += o.demand
	want[len(j.in)] = min(o.queue, o.capacity*n.capacityFactor)

	free := true
	for e, l := range j.out {
		room[e] = n.receive[n.links[l].first]
		sum := 0.0
		for a := range approaches {
			sum += want[a] * j.turn[a*exits+e]
		}
		free = free && sum <= room[e]
	}
	if free {
		flow = want
	} else {
		var done [most]bool
		for a := range approaches {
			done[a] = want[a] == 0
		}
		for {
			// The exit with the least room per claim decides next.
			tightest, ratio := -1, math.Inf(1)
			for e := range exits {
				claim[e] = 0
				for a := range approaches {
					if !done[a] {
						claim[e] += j.priority[a] * j.turn[a*exits+e]
					}
				}
				if claim[e] > 0 && room[e]/claim[e] < ratio {
					tightest, ratio = e, max(0, room[e]/claim[e])
				}
			}
			if tightest < 0 {
				break
			}
			// Approaches that want less than their part get what they want; only if there is none, all get their part.
			modest := false
			for a := range approaches {
				modest = modest || !done[a] && j.turn[a*exits+tightest] > 0 && want[a] <= ratio*j.priority[a]
			}
			for a := range approaches {
				if done[a] || j.turn[a*exits+tightest] == 0 || modest && want[a] > ratio*j.priority[a] {
					continue
				}
				done[a] = true
				flow[a] = min(want[a], ratio*j.priority[a])
				for e := range exits {
					room[e] -= flow[a] * j.turn[a*exits+e]
				}
			}
		}
	}

	for a, l := range j.in {
		l := &n.links[l]
		n.outflow[l.last] += flow[a]
		n.count[l.last] -= flow[a]
	}
	o.queue -= flow[len(j.in)]
	for e, l := range j.out {
		c := n.links[l].first
		for a := range approaches {
			n.count[c] += flow[a] * j.turn[a*exits+e]
		}
	}
}

// inside is the number of vehicles on the roads and waiting at origins.
func (n *network) inside() float64 {
	sum := 0.0
	for _, c := range n.count {
		sum += c
	}
	for i := range n.origins {
		sum += n.origins[i].queue
	}
	return sum
}
