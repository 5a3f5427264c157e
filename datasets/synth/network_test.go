package synth

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// corridor is a row of links of 3 km with four lanes, one origin in front and one dead end behind; no one leaves in between.
func corridor(links int) *network {
	n := &network{dt: 10, speedFactor: 1, capacityFactor: 1}
	n.junctions = make([]junction, links+1)
	n.origins = make([]origin, links+1)
	for i := range links {
		l := n.addLink(i, i+1, 3000, 25, 4)
		n.junctions[i].out = append(n.junctions[i].out, l)
		n.junctions[i+1].in = append(n.junctions[i+1].in, l)
	}
	n.links[links-1].ends = 1
	full := n.capacity[0]
	for i := range n.junctions {
		j := &n.junctions[i]
		n.origins[i].capacity = full
		for range len(j.in) + 1 {
			j.priority = append(j.priority, full)
			for range j.out {
				j.turn = append(j.turn, 1)
			}
		}
	}
	n.connect()
	return n
}

// A queue behind a closed lane grows upstream, over junctions, at the speed of Rankine and Hugoniot: (q − q_b) / (k_b − k).
func TestQueueTailSpeed(t *testing.T) {
	n := corridor(4)
	full := n.capacity[0]
	for _, part := range []struct{ demand, open float64 }{{0.7, 0.3}, {0.9, 0.5}, {0.5, 0.1}} {
		n := corridor(4)
		n.origins[0].demand = part.demand * full
		for range 200 {
			n.step()
		}
		bottleneck := n.links[3].last - 2
		n.open(bottleneck, part.open)
		dx := 3000 / float64(n.links[0].last+1)
		density := n.count[0] / dx
		queued := n.links[0].jam/dx - part.open*full/n.dt/waveSpeed
		want := (part.demand - part.open) * full / n.dt / (queued - density)

		arrival := make([]float64, len(n.count))
		for s := 1; s < 5000 && arrival[2] == 0; s++ {
			n.step()
			for c := range n.count {
				if arrival[c] == 0 && n.count[c] > (density+queued)/2*dx {
					arrival[c] = float64(s) * n.dt
				}
			}
		}
		if arrival[2] == 0 {
			t.Fatalf("demand %g, open %g: the queue never reached the first link", part.demand, part.open)
		}
		from, to := bottleneck-2, 2 // three junctions lie between them
		got := float64(from-to) * dx / (arrival[to] - arrival[from])
		if math.Abs(got-want) > 0.05*want {
			t.Errorf("demand %g, open %g: the queue's tail moves at %.3f m/s; %.3f m/s expected", part.demand, part.open, got, want)
		}
	}
}

// Within a queue, stop-and-go waves travel upstream at the backward wave speed.
func TestBackwardWaveSpeed(t *testing.T) {
	n := corridor(4)
	n.origins[0].demand = n.capacity[0]
	r := rand.New(rand.NewPCG(1, 2))
	bottleneck := n.links[3].last - 1
	from, to := bottleneck-4, 3
	var down, up []float64
	open := 0.4
	for s := range 6000 {
		if s%60 == 0 {
			open = 0.2 + 0.4*r.Float64()
		}
		n.open(bottleneck, open)
		n.step()
		if s >= 1500 { // the queue has filled the corridor
			down, up = append(down, n.count[from]), append(up, n.count[to])
		}
	}
	dx := 3000 / float64(n.links[0].last+1)
	lag := bestLag(up, down, 500)
	got := float64(from-to) * dx / (float64(lag) * n.dt)
	if math.Abs(got-waveSpeed) > 0.1*waveSpeed {
		t.Errorf("waves travel upstream at %.2f m/s; %.2f m/s expected", got, waveSpeed)
	}
}

// bestLag is the lag in [0, most] at which x, that much later, correlates best with y.
func bestLag(x, y []float64, most int) int {
	best, at := math.Inf(-1), 0
	for lag := range most + 1 {
		if c := correlation(x[lag:], y[:len(y)-lag]); c > best {
			best, at = c, lag
		}
	}
	return at
}

func correlation(x, y []float64) float64 {
	var sx, sy, sxx, syy, sxy float64
	for i := range x {
		sx, sy, sxx, syy, sxy = sx+x[i], sy+y[i], sxx+x[i]*x[i], syy+y[i]*y[i], sxy+x[i]*y[i]
	}
	n := float64(len(x))
	return (n*sxy - sx*sy) / math.Sqrt((n*sxx-sx*sx)*(n*syy-sy*sy)+1e-300)
}

// Cells never hold less than nothing or more than jam density, flows never exceed capacity, and no vehicle appears or vanishes.
func TestNetworkInvariants(t *testing.T) {
	for seed := range uint64(5) {
		r := rand.New(rand.NewPCG(seed, 7))
		town := newTown(40, 15, 2.5, r) // far too much demand
		n := town.net
		for i := range n.origins {
			n.origins[i].demand = town.rate[i] * n.dt
		}
		for s := range 3000 {
			if s%40 == 0 {
				c := r.IntN(len(n.count))
				n.open(c, r.Float64())
				copy(n.junctions[s%len(n.junctions)].turn, town.evening[s%len(n.junctions)])
				town.turn(workday(8))
				n.weather(0.8+0.2*r.Float64(), 0.7+0.3*r.Float64())
			}
			n.step()
			for _, l := range n.links {
				for c := l.first; c <= l.last; c++ {
					if v := n.count[c]; v < -1e-9 || v > l.jam+1e-9 {
						t.Fatalf("seed %d, step %d: cell %d holds %g vehicles; at most %g fit", seed, s, c, v, l.jam)
					}
				}
			}
			for c := range n.count {
				if n.outflow[c] > n.capacity[c]*n.capacityFactor*n.blocked[c]+1e-9 {
					t.Fatalf("seed %d, step %d: %g vehicles left cell %d; its capacity is %g", seed, s, n.outflow[c], c, n.capacity[c])
				}
			}
			entered, left, inside := n.trips()
			if lost := entered - left - inside; math.Abs(lost) > 1e-9*entered {
				t.Fatalf("seed %d, step %d: %g of %g vehicles lost", seed, s, lost, entered)
			}
		}
	}
}

func TestJunction(t *testing.T) {
	// Two approaches of capacities 2 and 1 (per step, in vehicles) into exits with the given room; what each approach sends,
	// and, in the last column, what crosses.
	cases := []struct {
		name    string
		exits   []float64
		turn    [2][]float64
		sending [2]float64
		want    [2]float64
	}{
		{"enough room", []float64{9}, [2][]float64{{1}, {1}}, [2]float64{2, 1}, [2]float64{2, 1}},
		{"merge by priority", []float64{1.5}, [2][]float64{{1}, {1}}, [2]float64{2, 1}, [2]float64{1, 0.5}},
		{"merge, one modest", []float64{1.5}, [2][]float64{{1}, {1}}, [2]float64{2, 0.2}, [2]float64{1.3, 0.2}},
		{"merge, other modest", []float64{1.5}, [2][]float64{{1}, {1}}, [2]float64{0.6, 1}, [2]float64{0.6, 0.9}},
		{"diverge keeps the order of arrival", []float64{0.25, 9}, [2][]float64{{0.5, 0.5}, {0, 1}}, [2]float64{2, 1}, [2]float64{0.5, 1}},
		{"full exit", []float64{0, 9}, [2][]float64{{0.5, 0.5}, {0, 1}}, [2]float64{2, 1}, [2]float64{0, 1}},
		{"room freed by a held approach is used", []float64{0.2, 1.2}, [2][]float64{{0.5, 0.5}, {0, 1}}, [2]float64{2, 1}, [2]float64{0.4, 1}},
	}
	for _, c := range cases {
		n := &network{dt: 1, speedFactor: 1, capacityFactor: 1}
		n.junctions, n.origins = make([]junction, 4), make([]origin, 4)
		for range 2 + len(c.exits) {
			n.addLink(0, 0, 100, 25, 1)
		}
		j := &n.junctions[0]
		j.in, j.priority = []int{0, 1}, []float64{2, 1, 1}
		for a := range 2 {
			n.count[n.links[a].last] = 3
		}
		for e := range c.exits {
			j.out = append(j.out, 2+e)
			j.turn = append(j.turn, c.turn[0][e], c.turn[1][e], 1/float64(len(c.exits)))
		}
		n.connect()
		for a, sending := range c.sending {
			n.approaches[a].sending = sending
		}
		for e, room := range c.exits {
			n.exits[e].receive = room
		}
		n.junction(0)
		for a := range 2 {
			if got := n.outflow[n.links[a].last]; math.Abs(got-c.want[a]) > 1e-12 {
				t.Errorf("%s: approach %d sends %g; %g expected", c.name, a, got, c.want[a])
			}
		}
	}
}

// The traffic is the same however many goroutines advance it.
func TestCrew(t *testing.T) {
	ride := func(parts int) (*network, *gauge) {
		c, err := Config{Nodes: 60, Demand: 2}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		town := newTown(c.Nodes, 15, c.Demand, c.stream("roads"))
		n := town.net
		for i := range n.origins {
			n.origins[i].demand = town.rate[i] * n.dt
		}
		town.turn(workday(8))
		g := newGauge(c, placeSensors(n, c.Nodes, c.stream("sensors")))
		crew := newCrew(n, g, parts)
		for range 10 {
			crew.advance(10)
		}
		return n, g
	}
	n, g := ride(1)
	for _, parts := range []int{2, 3, 7} {
		other, watched := ride(parts)
		if !slices.Equal(n.count, other.count) || !slices.Equal(n.outflow, other.outflow) || !slices.Equal(n.origins, other.origins) {
			t.Errorf("%d goroutines change the traffic", parts)
		}
		if !slices.Equal(g.inside, watched.inside) || !slices.Equal(g.passed, watched.passed) || slices.Max(g.passed) == 0 {
			t.Errorf("%d goroutines change what the sensors see", parts)
		}
	}
}
