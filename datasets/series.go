// Package datasets holds measured spatio-temporal series, the protocol that turns one into windows, and the readers of the
// field's file formats.
//
// A [Series] is values [T,N] with a calendar, node ids and, where known, coordinates and a graph. A [Protocol] turns it into
// [Windows]: three lists of int32 window starts and a scaler fitted on training rows only. No window is ever materialised.
package datasets

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"time"
)

// Series is one measured quantity at N nodes over T time steps.
type Series struct {
	Name string
	Unit string // unit of Values, e.g. "mph"; free text

	T, N   int
	Values []float32 // [T,N] row-major, raw units

	// Missing is the value that marks a missing measurement (0 for METR-LA). NaN in Values is missing as well, always.
	// NaN here (see [NoMissing]) means that only NaN marks missing measurements.
	Missing float32

	Calendar Calendar
	Nodes    []string     // [N] ids as in the source
	Coords   [][2]float64 // [N] latitude, longitude in degrees; nil when unknown
	Graph    *Graph       // nil when unknown
}

// NoMissing is the [Series].Missing of a series in which only NaN marks missing measurements.
func NoMissing() float32 { return float32(math.NaN()) }

// Valid reports whether node n was measured at step t.
func (s *Series) Valid(t, n int) bool {
	v := s.Values[t*s.N+n]
	return v == v && v != s.Missing
}

// MissingShare is the share of missing measurements, in [0,1].
func (s *Series) MissingShare() float64 {
	missing := 0
	for _, v := range s.Values {
		if v != v || v == s.Missing {
			missing++
		}
	}
	return float64(missing) / float64(max(1, len(s.Values)))
}

// Check reports the first inconsistency: sizes that disagree, infinite values, a graph of another size.
func (s *Series) Check() error {
	name := s.Name
	switch {
	case s.T < 1 || s.N < 1:
		return fmt.Errorf("series %q: %d steps × %d nodes; both must be at least 1", name, s.T, s.N)
	case len(s.Values) != s.T*s.N:
		return fmt.Errorf("series %q: %d values, but %d steps × %d nodes need %d", name, len(s.Values), s.T, s.N, s.T*s.N)
	case len(s.Nodes) != s.N:
		return fmt.Errorf("series %q: %d node ids for %d nodes", name, len(s.Nodes), s.N)
	case s.Coords != nil && len(s.Coords) != s.N:
		return fmt.Errorf("series %q: %d coordinates for %d nodes", name, len(s.Coords), s.N)
	case s.Graph != nil && s.Graph.N != s.N:
		return fmt.Errorf("series %q: its graph has %d nodes, the values have %d", name, s.Graph.N, s.N)
	}
	for i, v := range s.Values {
		if math.IsInf(float64(v), 0) {
			return fmt.Errorf("series %q: value at step %d, node %s is infinite; mark it as missing before importing", name, i/s.N, s.Nodes[i%s.N])
		}
	}
	if err := s.Calendar.check(s.T); err != nil {
		return fmt.Errorf("series %q: %w", name, err)
	}
	if s.Graph != nil {
		return s.Graph.Check()
	}
	return nil
}

// Hash identifies the content (values, missing value, calendar, nodes, graph) as 64 hexadecimal digits. The name and unit do not count.
func (s *Series) Hash() string {
	h := sha256.New()
	fmt.Fprintf(h, "series/1 %d %d %08x %s %s %d\n", s.T, s.N, math.Float32bits(s.Missing), s.Calendar.Start.UTC().Format(time.RFC3339), s.Calendar.Step, s.Calendar.Slots)
	buf := make([]byte, 0, 1<<16)
	flush := func() { h.Write(buf); buf = buf[:0] }
	for _, v := range s.Values {
		buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
		if len(buf) >= 1<<16-8 {
			flush()
		}
	}
	flush()
	for _, t := range s.Calendar.Times {
		fmt.Fprintln(h, t.Unix())
	}
	for _, n := range s.Nodes {
		fmt.Fprintln(h, n)
	}
	if s.Graph != nil {
		for _, e := range s.Graph.Edges {
			fmt.Fprintln(h, e.From, e.To, math.Float32bits(e.Weight))
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Calendar gives every step its wall-clock time. Times carry no zone: local wall-clock time is stored as UTC.
type Calendar struct {
	Start time.Time
	Step  time.Duration
	Times []time.Time // [T]; nil when step t is at Start + t·Step
	Slots int         // steps per day; 0 means 24 h / Step. Series that cover only part of a day (a subway's hours) set it
}

// StepsPerDay is the number of time-of-day slots S (288 at 5 minutes).
func (c Calendar) StepsPerDay() int {
	if c.Slots > 0 {
		return c.Slots
	}
	return max(1, int(24*time.Hour/c.Step))
}

// Time is the wall-clock time of step t.
func (c Calendar) Time(t int) time.Time {
	if c.Times != nil {
		return c.Times[t]
	}
	return c.Start.Add(time.Duration(t) * c.Step)
}

// TimeOfDay is the slot of step t within its day, in [0, StepsPerDay).
func (c Calendar) TimeOfDay(t int) int {
	w := c.Time(t)
	midnight := time.Date(w.Year(), w.Month(), w.Day(), 0, 0, 0, 0, w.Location())
	slot := int(w.Sub(midnight) / c.Step)
	if c.Slots > 0 { // slots count from the first hour of service
		s := c.Start
		slot -= int(s.Sub(time.Date(s.Year(), s.Month(), s.Day(), 0, 0, 0, 0, s.Location())) / c.Step)
	}
	return min(max(0, slot), c.StepsPerDay()-1)
}

// DayOfWeek of step t: 0 is Monday, 6 is Sunday.
func (c Calendar) DayOfWeek(t int) int { return (int(c.Time(t).Weekday()) + 6) % 7 }

// Gaps counts the places where two neighbouring steps are not exactly Step apart (a daylight-saving hour, missing rows).
func (c Calendar) Gaps() int {
	gaps := 0
	for t := 1; t < len(c.Times); t++ {
		if c.Times[t].Sub(c.Times[t-1]) != c.Step {
			gaps++
		}
	}
	return gaps
}

func (c Calendar) check(steps int) error {
	if c.Step <= 0 {
		return errors.New("its calendar has no step; set one, e.g. 5m")
	}
	if c.Times != nil && len(c.Times) != steps {
		return fmt.Errorf("its calendar has %d time stamps for %d steps", len(c.Times), steps)
	}
	for t := 1; t < len(c.Times); t++ {
		if !c.Times[t].After(c.Times[t-1]) {
			return fmt.Errorf("time stamp %d (%s) is not after the one before it (%s); sort the rows and drop repeated ones",
				t, c.Times[t].Format(time.DateTime), c.Times[t-1].Format(time.DateTime))
		}
	}
	return nil
}

// Graph is a weighted directed graph over the nodes of a series.
type Graph struct {
	N     int
	Edges []Edge
}

// Edge leads from node From to node To. Absent edges have weight 0.
type Edge struct {
	From, To int32
	Weight   float32
}

// Check reports edges that leave the graph and weights that are not finite.
func (g *Graph) Check() error {
	for _, e := range g.Edges {
		if e.From < 0 || e.To < 0 || int(e.From) >= g.N || int(e.To) >= g.N {
			return fmt.Errorf("graph: edge %d → %d leaves its %d nodes", e.From, e.To, g.N)
		}
		if w := float64(e.Weight); math.IsNaN(w) || math.IsInf(w, 0) {
			return fmt.Errorf("graph: edge %d → %d has weight %v; weights must be finite", e.From, e.To, w)
		}
	}
	return nil
}

// Dense is the weight matrix [N,N], row-major: entry (i,j) is the weight of the edge from i to j.
func (g *Graph) Dense() []float32 {
	m := make([]float32, g.N*g.N)
	for _, e := range g.Edges {
		m[int(e.From)*g.N+int(e.To)] = e.Weight
	}
	return m
}

// GraphFromDense keeps the entries other than 0 of a weight matrix [n,n].
func GraphFromDense(n int, w []float32) (*Graph, error) {
	if len(w) != n*n {
		return nil, fmt.Errorf("graph: %d weights for %d nodes; a matrix needs %d", len(w), n, n*n)
	}
	g := &Graph{N: n}
	for i, v := range w {
		if v != 0 {
			g.Edges = append(g.Edges, Edge{From: int32(i / n), To: int32(i % n), Weight: v})
		}
	}
	return g, g.Check()
}
