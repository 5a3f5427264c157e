// Package synth makes a synthetic city: speeds at road sensors, from a macroscopic traffic simulation.
//
// The simulation is the cell-transmission model (Daganzo, Transportation Research B 28, 1994, and 29, 1995) on a random road
// map, with the junction model of Tampère et al. (TR-B 45, 2011). Trips start at every junction with weekday, weekend and chance
// variation; incidents close part of a road for a while; on wet days roads are slower and carry less. So queues form at
// bottlenecks, their tails travel upstream from road to road, and some windows really are harder to forecast than others.
package synth

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"github.com/stprune/workbench/datasets"
)

// Config of a city. The zero value is a city of 24 sensors over four weeks. In each field 0 means the default; where a
// negative value makes sense, it means none.
type Config struct {
	Nodes int           // sensors N; default 24
	Days  int           // default 28
	Step  time.Duration // between two rows; divides a day, 1 m to 1 h; default 5 m
	Start time.Time     // first row, wall-clock; default Monday 2024-01-01
	Seed  uint64        // equal configurations give equal cities
	Unit  string        // of the speeds, mph or km/h; default mph

	Demand    float64 // utilisation that a quarter of the roads exceed at the weekday peaks if nothing held the traffic back; default 1.2
	Incidents float64 // expected incidents per weekday in the whole city (60 % of it at weekends); default Nodes/8; negative none
	Wet       float64 // share of days with rain, at most 1; default 0.15; negative none
	Noise     float64 // standard deviation of a reading in dense traffic, mph (whatever the unit); default 0.8; negative none
	Dropout   float64 // share of missing readings, at most 0.9; default 0.02; negative none
}

// Truth is what the simulation knows and the series doesn't say.
type Truth struct {
	Links     []Link
	Incidents []Incident // by start
	Wet       []Wet      // by start

	// The vehicles' balance over the whole simulation: Entered = Left + Inside, up to rounding.
	Entered, Left, Inside float64
}

// Link is a one-way road between two junctions.
type Link struct {
	From, To  int     // junctions
	Length    float64 // metres
	FreeSpeed float64 // dry, in the unit of the series
	Lanes     int
	Sensor    int // node of the series, −1 if the road has none
}

// Incident closes a part of a road for a while.
type Incident struct {
	Link       int
	Along      float64 // metres from the link's start
	Sensor     int     // the link's sensor, −1 if it has none
	Start, End time.Time
	Open       float64 // share of the capacity left
}

// Wet is a spell of rain over the whole city.
type Wet struct {
	Start, End      time.Time
	Speed, Capacity float64 // factors on free speed and capacity
}

// sensor measures one cell.
type sensor struct {
	link, cell int
	along      float64 // metres from the link's start to the cell's middle
}

const (
	longestStep = 15 * time.Second // of the simulation
	prelude     = 3 * time.Hour    // simulated before the first row, to fill the roads
	maxValues   = 1 << 33          // 32 GiB of speeds
)

func (c Config) withDefaults() (Config, error) {
	set := func(v *float64, def float64) {
		if *v == 0 {
			*v = def
		}
		*v = max(0, *v)
	}
	if c.Nodes == 0 {
		c.Nodes = 24
	}
	if c.Days == 0 {
		c.Days = 28
	}
	if c.Step == 0 {
		c.Step = 5 * time.Minute
	}
	if c.Start.IsZero() {
		c.Start = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	if c.Unit == "" {
		c.Unit = "mph"
	}
	for _, v := range []float64{c.Demand, c.Incidents, c.Wet, c.Noise, c.Dropout} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return c, fmt.Errorf("synthetic city: a setting is %v; all must be finite", v)
		}
	}
	demand := c.Demand
	set(&c.Demand, 1.2)
	set(&c.Incidents, float64(c.Nodes)/8)
	set(&c.Wet, 0.15)
	set(&c.Noise, 0.8)
	set(&c.Dropout, 0.02)
	switch {
	case c.Nodes < 1 || c.Days < 1:
		return c, fmt.Errorf("synthetic city: %d nodes over %d days; both must be at least 1", c.Nodes, c.Days)
	case c.Step < time.Minute || c.Step > time.Hour || 24*time.Hour%c.Step != 0:
		return c, fmt.Errorf("synthetic city: step %s; it must divide a day and be from 1m to 1h", c.Step)
	case c.Days > 36600 || c.Nodes > maxValues/(c.Days*int(24*time.Hour/c.Step)):
		return c, fmt.Errorf("synthetic city: %d nodes over %d days every %s are too many; up to %d values can be made", c.Nodes, c.Days, c.Step, maxValues)
	case c.Unit != "mph" && c.Unit != "km/h":
		return c, fmt.Errorf("synthetic city: unit %q; choose mph or km/h", c.Unit)
	case demand < 0 || demand > 3:
		return c, fmt.Errorf("synthetic city: demand %g; choose a utilisation above 0 and up to 3", demand)
	case c.Incidents > 10*float64(c.Nodes):
		return c, fmt.Errorf("synthetic city: %g incidents a day on %d nodes; at most 10 per node", c.Incidents, c.Nodes)
	case c.Wet > 1 || c.Dropout > 0.9:
		return c, fmt.Errorf("synthetic city: wet share %g and dropout %g; they must be at most 1 and 0.9", c.Wet, c.Dropout)
	}
	return c, nil
}

// City simulates a city and returns the measured speeds [T,N] with missing value 0, road distances as a graph (Gaussian kernel
// as in DCRNN, weights from 0.1, every node linked to itself with weight 1), coordinates and calendar. Equal configurations
// give equal series on machines of one architecture. 24 nodes over 28 days take well under a second.
func City(c Config) (*datasets.Series, *Truth, error) { return CityContext(context.Background(), c) }

// CityContext is [City] with cancellation. Beside the result it needs memory for the roads only. It uses all processors, which
// changes nothing in the result.
func CityContext(ctx context.Context, c Config) (*datasets.Series, *Truth, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, nil, err
	}
	dt := c.Step / ((c.Step + longestStep - 1) / longestStep)
	town := newTown(c.Nodes, dt.Seconds(), c.Demand, c.stream("roads"))
	net := town.net
	sensors := placeSensors(net, c.Nodes, c.stream("sensors"))
	truth := &Truth{Wet: c.wet()}
	truth.Links, truth.Incidents = c.links(net, sensors), c.incidents(town, sensors)

	slots := int(24 * time.Hour / c.Step)
	s := &datasets.Series{
		Name: fmt.Sprintf("city-%d-seed%d", c.Nodes, c.Seed), Unit: c.Unit,
		T: c.Days * slots, N: c.Nodes,
		Calendar: datasets.Calendar{Start: c.Start, Step: c.Step},
		Nodes:    make([]string, c.Nodes),
		Coords:   make([][2]float64, c.Nodes),
		Graph:    graph(net, sensors),
	}
	s.Values = make([]float32, s.T*s.N)
	for i, at := range sensors {
		s.Nodes[i] = fmt.Sprintf("s%03d", i)
		s.Coords[i] = town.coordinates(at)
	}

	gauge := newGauge(c, sensors)
	trips := newTrips(town, c.stream("demand"))
	events := newEvents(net, truth, c.Start.Add(-prelude), dt)
	crew := newCrew(net, gauge, max(1, min(runtime.GOMAXPROCS(0), len(net.links)/fewestLinks)))
	for t := -int(prelude / c.Step); t < s.T; t++ {
		if err := ctx.Err(); err != nil {
			return nil, nil, fmt.Errorf("synthetic city: stopped at step %d of %d: %w", max(0, t), s.T, err)
		}
		at := s.Calendar.Time(t)
		town.turn(at)
		trips.set(at, c.Step)
		for left := int(c.Step / dt); left > 0; {
			steps := events.next(left)
			crew.advance(steps)
			left -= steps
		}
		if t >= 0 {
			gauge.read(net, s.Values[t*s.N:(t+1)*s.N])
		}
		gauge.reset()
	}
	truth.Entered, truth.Left, truth.Inside = net.trips()
	return s, truth, nil
}

// stream is the random stream of one purpose, so that changing one setting leaves everything else as it was.
func (c Config) stream(purpose string) *rand.Rand {
	key := [32]byte{}
	copy(key[:], fmt.Appendf(nil, "%016x %s", c.Seed, purpose))
	return rand.New(rand.NewChaCha8(key))
}

// unit is the size of a metre per second in the unit of the series.
func (c Config) unit() float64 {
	if c.Unit == "km/h" {
		return 3.6
	}
	return mph
}

const mph = 3600 / 1609.344

// placeSensors puts one sensor on each of n links, on a random cell, in the order of the links.
func placeSensors(net *network, n int, r *rand.Rand) []sensor {
	links := r.Perm(len(net.links))[:n]
	slices.Sort(links)
	sensors := make([]sensor, n)
	for i, l := range links {
		at := net.links[l]
		cells := at.last - at.first + 1
		k := r.IntN(cells)
		sensors[i] = sensor{link: l, cell: at.first + k, along: (float64(k) + 0.5) * at.length / float64(cells)}
	}
	return sensors
}

// coordinates of a sensor, on the right-hand side of its road, in a plane around 45° N 5° E.
func (t *town) coordinates(s sensor) [2]float64 {
	const degree = 111_320.0 // metres of latitude
	l := t.net.links[s.link]
	a, b := t.plan.at[l.from], t.plan.at[l.to]
	share, straight := s.along/l.length, math.Hypot(b[0]-a[0], b[1]-a[1])
	east := a[0] + share*(b[0]-a[0]) + 15*(b[1]-a[1])/straight
	north := a[1] + share*(b[1]-a[1]) - 15*(b[0]-a[0])/straight
	return [2]float64{45 + north/degree, 5 + east/(degree*math.Cos(math.Pi/4))}
}

// graph weighs pairs of sensors by exp(−d²/σ²), d the road distance in driving direction and σ its standard deviation over all
// pairs up to 10 km apart (Li et al., DCRNN, ICLR 2018, section 4.1). Weights below 0.1 are left out.
func graph(net *network, sensors []sensor) *datasets.Graph {
	const limit, threshold = 10_000, 0.1
	var sum, squares, count float64
	roadDistances(net, sensors, limit, func(_, _ int, d float64) { sum, squares, count = sum+d, squares+d*d, count+1 })
	variance := squares/count - (sum/count)*(sum/count)
	g := &datasets.Graph{N: len(sensors)}
	roadDistances(net, sensors, limit, func(from, to int, d float64) {
		w := 1.0
		if d > 0 {
			w = math.Exp(-d * d / variance)
		}
		if w >= threshold {
			g.Edges = append(g.Edges, datasets.Edge{From: int32(from), To: int32(to), Weight: float32(w)})
		}
	})
	slices.SortFunc(g.Edges, func(a, b datasets.Edge) int {
		if a.From != b.From {
			return int(a.From - b.From)
		}
		return int(a.To - b.To)
	})
	return g
}

// links describes the roads for [Truth].
func (c Config) links(net *network, sensors []sensor) []Link {
	links := make([]Link, len(net.links))
	for i, l := range net.links {
		links[i] = Link{From: l.from, To: l.to, Length: l.length, FreeSpeed: l.speed * c.unit(), Lanes: int(l.lanes), Sensor: -1}
	}
	for i, s := range sensors {
		links[s.link].Sensor = i
	}
	return links
}
