package synth

import (
	"container/heap"
	"math"
	"math/rand/v2"
)

// plan is a random road map: junctions in the plane and two-way roads between neighbours that do not cross.
type plan struct {
	at    [][2]float64 // metres east and north
	roads [][2]int
}

const spacing = 2400.0 // metres between neighbouring junctions, on average

// newPlan draws a connected map with at least as many one-way links as asked for: a shaken grid with some diagonals, thinned to a spanning tree and
// enough further roads to be about 2.7 roads at a junction.
func newPlan(directed int, r *rand.Rand) plan {
	var p plan
	var candidates [][2]int
	for n := max(4, int(0.4*float64(directed))); ; n++ {
		p, candidates = grid(n, r)
		if 2*len(candidates) >= directed {
			break
		}
	}
	// Shuffled with diagonals last, so that they are the rarer ones; the spanning tree takes the first road that joins two parts.
	r.Shuffle(len(candidates), func(i, k int) { candidates[i], candidates[k] = candidates[k], candidates[i] })
	part := make([]int, len(p.at))
	for i := range part {
		part[i] = i
	}
	root := func(i int) int {
		for part[i] != i {
			i = part[i]
		}
		return i
	}
	var rest [][2]int
	for _, c := range candidates {
		if a, b := root(c[0]), root(c[1]); a != b {
			part[a] = b
			p.roads = append(p.roads, c)
		} else {
			rest = append(rest, c)
		}
	}
	// 10 % more one-way links than asked for: some roads have no sensor.
	want := int(math.Ceil(0.55 * float64(directed)))
	p.roads = append(p.roads, rest[:min(len(rest), max(0, want-len(p.roads)))]...)
	return p
}

// grid shakes n junctions of a square grid and lists every possible road: along the grid, and one diagonal in some squares.
func grid(n int, r *rand.Rand) (plan, [][2]int) {
	columns := int(math.Ceil(math.Sqrt(float64(n))))
	p := plan{at: make([][2]float64, n)}
	var roads [][2]int
	for i := range n {
		p.at[i] = [2]float64{
			spacing * (float64(i%columns) + 0.5*(r.Float64()-0.5)),
			spacing * (float64(i/columns) + 0.5*(r.Float64()-0.5)),
		}
		right, below := i+1, i+columns
		if right%columns != 0 && right < n {
			roads = append(roads, [2]int{i, right})
		}
		if below < n {
			roads = append(roads, [2]int{i, below})
		}
		if right%columns != 0 && below+1 < n && r.Float64() < 0.3 {
			roads = append(roads, [2]int{i, below + 1})
		}
	}
	return p, roads
}

// roadDistances calls visit for every pair of sensors whose road distance, in driving direction, is at most limit metres.
func roadDistances(n *network, sensors []sensor, limit float64, visit func(from, to int, metres float64)) {
	onLink := make([][]int, len(n.links))
	for i, s := range sensors {
		onLink[s.link] = append(onLink[s.link], i)
	}
	next := make([][]int, len(n.links)) // links that can follow: no U-turns
	for i, l := range n.links {
		for _, o := range n.junctions[l.to].out {
			if n.links[o].to != l.from {
				next[i] = append(next[i], o)
			}
		}
	}
	seen := make([]int, len(n.links)) // 1 + the sensor that last reached the link's start
	for i, s := range sensors {
		visit(i, i, 0)
		for _, k := range onLink[s.link] {
			if d := sensors[k].along - s.along; k != i && d >= 0 {
				visit(i, k, d)
			}
		}
		// Dijkstra over link starts.
		var queue reach
		push := func(link int, d float64) {
			for _, o := range next[link] {
				if d <= limit {
					heap.Push(&queue, reached{o, d})
				}
			}
		}
		push(s.link, n.links[s.link].length-s.along)
		for len(queue) > 0 {
			at := heap.Pop(&queue).(reached)
			if seen[at.link] == i+1 {
				continue
			}
			seen[at.link] = i + 1
			for _, k := range onLink[at.link] {
				if d := at.metres + sensors[k].along; k != i && d <= limit {
					visit(i, k, d)
				}
			}
			push(at.link, at.metres+n.links[at.link].length)
		}
	}
}

type reached struct {
	link   int
	metres float64
}

type reach []reached

func (q reach) Len() int           { return len(q) }
func (q reach) Less(i, k int) bool { return q[i].metres < q[k].metres }
func (q reach) Swap(i, k int)      { q[i], q[k] = q[k], q[i] }
func (q *reach) Push(x any)        { *q = append(*q, x.(reached)) }
func (q *reach) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}
