package datasets

import (
	"math"
	"strings"
	"testing"
	"time"
)

// ramp is a series whose value at step t, node n is t + 1000n.
func ramp(steps, nodes int) *Series {
	s := &Series{Name: "ramp", T: steps, N: nodes, Missing: NoMissing(),
		Calendar: Calendar{Start: time.Date(2024, 2, 28, 22, 0, 0, 0, time.UTC), Step: time.Hour}}
	for n := range nodes {
		s.Nodes = append(s.Nodes, string(rune('a'+n)))
	}
	for t := range steps {
		for n := range nodes {
			s.Values = append(s.Values, float32(t+1000*n))
		}
	}
	return s
}

func TestMissing(t *testing.T) {
	s := ramp(4, 2)
	s.Values[0] = float32(math.NaN())
	for missing, want := range map[float32]int{NoMissing(): 1, 1000: 2, -5: 1} {
		s.Missing = missing
		valid := 0
		for i := range s.T {
			for n := range s.N {
				if s.Valid(i, n) {
					valid++
				}
			}
		}
		if valid != 8-want || s.MissingShare() != float64(want)/8 {
			t.Errorf("missing value %v: %d valid, share %v; want %d missing of 8", missing, valid, s.MissingShare(), want)
		}
	}
}

func TestCalendar(t *testing.T) {
	leap := ramp(60, 1).Calendar // begins on a Wednesday at 22:00, crosses 29 February
	dst := Calendar{Start: time.Date(2024, 3, 10, 0, 0, 0, 0, time.UTC), Step: time.Hour}
	for h := range 24 {
		if h != 2 { // the hour that daylight saving skips
			dst.Times = append(dst.Times, dst.Start.Add(time.Duration(h)*time.Hour))
		}
	}
	subway := Calendar{Start: time.Date(2024, 2, 29, 5, 0, 0, 0, time.UTC), Step: 10 * time.Minute, Slots: 108}
	for _, c := range []struct {
		name           string
		calendar       Calendar
		step, tod, dow int
	}{
		{"first", leap, 0, 22, 2}, {"midnight", leap, 2, 0, 3}, {"leap day", leap, 25, 23, 3}, {"March", leap, 26, 0, 4}, {"Saturday", leap, 50, 0, 5},
		{"before the gap", dst, 1, 1, 6}, {"after the gap", dst, 2, 3, 6}, {"last", dst, 22, 23, 6},
		{"first train", subway, 0, 0, 3}, {"later", subway, 107, 107, 3},
	} {
		if tod, dow := c.calendar.TimeOfDay(c.step), c.calendar.DayOfWeek(c.step); tod != c.tod || dow != c.dow {
			t.Errorf("%s: slot %d of weekday %d, want %d of %d", c.name, tod, dow, c.tod, c.dow)
		}
	}
	if leap.Gaps() != 0 || dst.Gaps() != 1 {
		t.Errorf("gaps %d and %d, want 0 and 1", leap.Gaps(), dst.Gaps())
	}
	if leap.StepsPerDay() != 24 || subway.StepsPerDay() != 108 {
		t.Errorf("steps per day %d and %d, want 24 and 108", leap.StepsPerDay(), subway.StepsPerDay())
	}
}

func TestCheckNamesWhatIsWrong(t *testing.T) {
	for want, spoil := range map[string]func(*Series){
		"0 steps":               func(s *Series) { s.T = 0 },
		"7 values":              func(s *Series) { s.Values = s.Values[:7] },
		"1 node ids":            func(s *Series) { s.Nodes = s.Nodes[:1] },
		"3 coordinates":         func(s *Series) { s.Coords = make([][2]float64, 3) },
		"its graph has 5 nodes": func(s *Series) { s.Graph = &Graph{N: 5} },
		"step 1, node b":        func(s *Series) { s.Values[3] = float32(math.Inf(-1)) },
		"no step":               func(s *Series) { s.Calendar.Step = 0 },
		"1 time stamps":         func(s *Series) { s.Calendar.Times = []time.Time{s.Calendar.Start} },
		"time stamp 2 ": func(s *Series) {
			at := s.Calendar.Start
			s.Calendar.Times = []time.Time{at, at.Add(2), at.Add(2), at.Add(3)}
		},
		"edge 0 → 2":     func(s *Series) { s.Graph = &Graph{N: 2, Edges: []Edge{{0, 2, 1}}} },
		"must be finite": func(s *Series) { s.Graph = &Graph{N: 2, Edges: []Edge{{0, 1, float32(math.NaN())}}} },
	} {
		s := ramp(4, 2)
		if err := s.Check(); err != nil {
			t.Fatal(err)
		}
		spoil(s)
		if err := s.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

func TestHashCountsContentOnly(t *testing.T) {
	first := ramp(4, 2).Hash()
	same := ramp(4, 2)
	same.Name, same.Unit = "another name", "mph"
	if same.Hash() != first {
		t.Error("name or unit change the hash")
	}
	for name, change := range map[string]func(*Series){
		"a value":  func(s *Series) { s.Values[5]++ },
		"missing":  func(s *Series) { s.Missing = 0 },
		"start":    func(s *Series) { s.Calendar.Start = s.Calendar.Start.Add(time.Hour) },
		"step":     func(s *Series) { s.Calendar.Step = time.Minute },
		"a node":   func(s *Series) { s.Nodes[1] = "c" },
		"an edge":  func(s *Series) { s.Graph = &Graph{N: 2, Edges: []Edge{{0, 1, 1}}} },
		"its form": func(s *Series) { s.T, s.N = 2, 4; s.Nodes = []string{"a", "b", "c", "d"} },
	} {
		s := ramp(4, 2)
		change(s)
		if s.Hash() == first {
			t.Errorf("%s does not change the hash", name)
		}
	}
}

func TestDenseGraph(t *testing.T) {
	w := []float32{0, 2, 0, 0, 1, 0, 0, 0, 3}
	g, err := GraphFromDense(3, w)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range g.Dense() {
		if v != w[i] {
			t.Errorf("entry %d is %v, want %v", i, v, w[i])
		}
	}
	if len(g.Edges) != 3 {
		t.Errorf("%d edges, want 3", len(g.Edges))
	}
	if _, err := GraphFromDense(2, w); err == nil {
		t.Error("9 weights made a graph of 2 nodes")
	}
}
