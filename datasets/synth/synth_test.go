package synth

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stprune/workbench/datasets"
)

func workday(hour int) time.Time { return time.Date(2024, 1, 3, hour, 0, 0, 0, time.UTC) }

func TestCityShape(t *testing.T) {
	for _, c := range []Config{{}, {Nodes: 1, Days: 1}, {Nodes: 13, Days: 2, Step: time.Hour, Unit: "km/h"}, {Nodes: 150, Days: 1, Step: 15 * time.Minute}} {
		s, truth, err := City(c)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Check(); err != nil {
			t.Error(err)
		}
		full, _ := c.withDefaults()
		if s.N != full.Nodes || s.T != full.Days*s.Calendar.StepsPerDay() || s.Unit != full.Unit || s.Missing != 0 {
			t.Errorf("%+v: got %d steps × %d nodes in %s, missing value %g", c, s.T, s.N, s.Unit, s.Missing)
		}
		if truth.Entered == 0 || math.Abs(truth.Entered-truth.Left-truth.Inside) > 1e-9*truth.Entered {
			t.Errorf("%+v: %g vehicles entered, %g left and %g are inside", c, truth.Entered, truth.Left, truth.Inside)
		}
		seen := map[int]bool{}
		for _, l := range truth.Links {
			if l.Sensor >= 0 {
				seen[l.Sensor] = true
			}
		}
		if len(seen) != s.N {
			t.Errorf("%+v: %d of %d sensors stand on a link", c, len(seen), s.N)
		}
		top := 71.0 // mph; the fastest roads have 70
		if s.Unit == "km/h" {
			top *= 1.609344
		}
		for i, v := range s.Values {
			if v < 0 || float64(v) > top+15 {
				t.Fatalf("%+v: value %d is %g %s", c, i, v, s.Unit)
			}
		}
	}
}

func TestCityIsDeterministic(t *testing.T) {
	small := Config{Nodes: 12, Days: 3, Seed: 5}
	a, _, _ := City(small)
	b, _, _ := City(small)
	if a.Hash() != b.Hash() {
		t.Error("equal configurations gave different cities")
	}
	other := small
	other.Seed = 6
	if c, _, _ := City(other); a.Hash() == c.Hash() {
		t.Error("two seeds gave the same city")
	}
	// Streams are apart: less noise changes readings only.
	calm := small
	calm.Noise = -1
	c, truth, _ := City(calm)
	_, noisy, _ := City(small)
	if !slices.Equal(truth.Incidents, noisy.Incidents) || !slices.Equal(truth.Wet, noisy.Wet) || truth.Entered != noisy.Entered {
		t.Error("the noise setting changed incidents, weather or traffic")
	}
	for i := range a.Values {
		if (a.Values[i] == 0) != (c.Values[i] == 0) {
			t.Fatal("the noise setting changed the drop-outs")
		}
	}
}

// Stored notebooks and results name data by their hash. Other architectures may round otherwise.
func TestCityStaysTheSame(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the hashes are those of amd64")
	}
	for _, c := range []struct {
		Config
		want string
	}{
		{Config{}, "cbc35abb5eb5a7d6b20e89ae193dd1cf3069fcf10d6655837849a73e232b079b"},
		{Config{Nodes: 307, Days: 4, Step: 15 * time.Minute}, "25f71aa45a108bbe637ed54f468b84df780869c854876903c115fe0ff8009ecb"},
		{Config{Nodes: 120, Days: 6, Seed: 3, Demand: 2.2, Incidents: 60, Wet: 0.6}, "cf7d93272efc351f62dfeaf886c8b1b6703a7197de8062355301c6e083d01a29"},
	} {
		s, _, err := City(c.Config)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Hash(); got != c.want {
			t.Errorf("%+v has hash %s; it was %s", c.Config, got, c.want)
		}
	}
}

func TestDropout(t *testing.T) {
	for _, want := range []float64{-1, 0.02, 0.3} {
		s, _, err := City(Config{Nodes: 40, Days: 14, Dropout: want})
		if err != nil {
			t.Fatal(err)
		}
		want = max(0, want)
		if got := s.MissingShare(); math.Abs(got-want) > 0.2*want {
			t.Errorf("%.4f of the readings are missing; %.4f asked for", got, want)
		}
	}
}

// hourly is the mean speed by hour of day, on working days and at weekends.
func hourly(s *datasets.Series) (work, weekend [24]float64) {
	var sums, counts [2][24]float64
	for t := range s.T {
		kind := 0
		if s.Calendar.DayOfWeek(t) >= 5 {
			kind = 1
		}
		for n := range s.N {
			if s.Valid(t, n) {
				sums[kind][s.Calendar.Time(t).Hour()] += float64(s.Values[t*s.N+n])
				counts[kind][s.Calendar.Time(t).Hour()]++
			}
		}
	}
	for h := range 24 {
		work[h], weekend[h] = sums[0][h]/counts[0][h], sums[1][h]/counts[1][h]
	}
	return work, weekend
}

func TestPeaksAreSlow(t *testing.T) {
	for seed := range uint64(4) {
		s, _, err := City(Config{Seed: seed, Days: 14})
		if err != nil {
			t.Fatal(err)
		}
		work, weekend := hourly(s)
		for _, peak := range []int{8, 18} {
			if work[peak] > work[3]-3 {
				t.Errorf("seed %d: %.1f mph at %d:00 on working days, %.1f at 3:00; the peak should be slower by at least 3", seed, work[peak], peak, work[3])
			}
			if work[peak] > work[12]-1 || work[peak] > weekend[peak] {
				t.Errorf("seed %d: at %d:00 %.1f mph on working days; %.1f at noon and %.1f at weekends should be faster", seed, peak, work[peak], work[12], weekend[peak])
			}
		}
	}
}

// A time-of-week profile, the simplest forecast there is, misses incidents more than anything else.
func TestIncidentsAreHard(t *testing.T) {
	s, truth, err := City(Config{Seed: 1, Days: 56, Wet: -1})
	if err != nil {
		t.Fatal(err)
	}
	week := 7 * s.Calendar.StepsPerDay()
	profile := make([]float64, week*s.N)
	counts := make([]float64, week*s.N)
	for i, v := range s.Values {
		if v != 0 {
			profile[i%(week*s.N)] += float64(v)
			counts[i%(week*s.N)]++
		}
	}
	hit := make([]bool, len(s.Values))
	for _, i := range truth.Incidents {
		from := max(0, int(i.Start.Sub(s.Calendar.Start)/s.Calendar.Step))
		to := min(s.T, int(i.End.Sub(s.Calendar.Start)/s.Calendar.Step)+6)
		for _, e := range s.Graph.Edges { // the incident's sensor and those shortly upstream
			if int(e.To) == i.Sensor && e.Weight > 0.5 {
				for t := from; t < to; t++ {
					hit[t*s.N+int(e.From)] = true
				}
			}
		}
	}
	var errs, n [2]float64
	for i, v := range s.Values {
		if v == 0 {
			continue
		}
		k := 0
		if hit[i] {
			k = 1
		}
		errs[k] += math.Abs(float64(v) - profile[i%(week*s.N)]/counts[i%(week*s.N)])
		n[k]++
	}
	calm, incident := errs[0]/n[0], errs[1]/n[1]
	if n[1] < 1000 || incident < 1.5*calm {
		t.Errorf("mean absolute error of the time-of-week profile is %.2f mph in %g incident readings, %.2f elsewhere; at least 1.5 times expected", incident, n[1], calm)
	}
}

func TestRainSlowsTheCity(t *testing.T) {
	dry, _, _ := City(Config{Seed: 3, Days: 7, Wet: -1})
	wet, truth, _ := City(Config{Seed: 3, Days: 7, Wet: 1})
	if len(truth.Wet) != 7 {
		t.Fatalf("%d of 7 days are wet", len(truth.Wet))
	}
	for _, spell := range truth.Wet {
		var with, without float64
		for t := range wet.T {
			if at := wet.Calendar.Time(t); at.Before(spell.Start) || !at.Before(spell.End) {
				continue
			}
			for n := range wet.N {
				if wet.Valid(t, n) {
					with += float64(wet.Values[t*wet.N+n])
					without += float64(dry.Values[t*wet.N+n])
				}
			}
		}
		if with > 1.02*spell.Speed*without {
			t.Errorf("rain from %s: speeds fall to %.3f of the dry ones; %.3f or less expected", spell.Start, with/without, spell.Speed)
		}
	}
}

// Queues that form at one sensor reach the next one upstream later, by the road distance over a speed that cannot exceed the
// backward wave speed much, and are not much slower than queues in dense traffic are.
func TestWavesTravelUpstream(t *testing.T) {
	s, truth, err := City(Config{Seed: 2, Days: 14, Step: time.Minute, Noise: -1, Dropout: -1, Wet: -1})
	if err != nil {
		t.Fatal(err)
	}
	free := make([]float64, s.N)
	exit := make([]int, s.N)
	entry := make([]int, s.N)
	for _, l := range truth.Links {
		if l.Sensor >= 0 {
			free[l.Sensor], exit[l.Sensor], entry[l.Sensor] = l.FreeSpeed, l.To, l.From
		}
	}
	distance := distances(t, Config{Seed: 2, Days: 14, Step: time.Minute})
	var speeds []float64
	for up := range s.N {
		for down := range s.N {
			d, near := distance[[2]int{up, down}]
			if up == down || !near || exit[up] != entry[down] {
				continue
			}
			// Every time the queue arrives downstream after a quiet half hour: when does it arrive upstream?
			slow := func(t, n int) bool { return float64(s.Values[t*s.N+n]) < 0.6*free[n] }
			for at := 30; at < s.T-60; at++ {
				if !slow(at, down) {
					continue
				}
				quiet := true
				for b := at - 30; b < at; b++ {
					quiet = quiet && !slow(b, down) && !slow(b, up)
				}
				if !quiet || slow(at, up) {
					continue
				}
				for later := at + 1; later < at+60; later++ {
					if slow(later, up) {
						speeds = append(speeds, d/(60*float64(later-at)))
						break
					}
				}
			}
		}
	}
	if len(speeds) < 20 {
		t.Fatalf("only %d queues went from sensor to sensor", len(speeds))
	}
	slices.Sort(speeds)
	median, fast := speeds[len(speeds)/2], 0
	for _, v := range speeds {
		if v > 1.2*waveSpeed {
			fast++
		}
	}
	t.Logf("%d queues, quartiles %.2f %.2f %.2f m/s, %d faster than %.1f", len(speeds), speeds[len(speeds)/4], median, speeds[3*len(speeds)/4], fast, 1.2*waveSpeed)
	if median < 0.2*waveSpeed || median > waveSpeed {
		t.Errorf("queues travel upstream at %.2f m/s (median); between %.1f and %.1f expected", median, 0.2*waveSpeed, waveSpeed)
	}
	if 10*fast > len(speeds) {
		t.Errorf("%d of %d queues travel faster than waves can (%.1f m/s)", fast, len(speeds), waveSpeed)
	}
}

// distances between sensors along the roads of a city, metres.
func distances(t *testing.T, c Config) map[[2]int]float64 {
	t.Helper()
	c, err := c.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	town := newTown(c.Nodes, 15, c.Demand, c.stream("roads"))
	found := map[[2]int]float64{}
	roadDistances(town.net, placeSensors(town.net, c.Nodes, c.stream("sensors")), 10_000, func(from, to int, d float64) { found[[2]int{from, to}] = d })
	return found
}

func TestGraph(t *testing.T) {
	s, _, err := City(Config{Nodes: 60, Days: 1})
	if err != nil {
		t.Fatal(err)
	}
	self, other := 0, 0
	for _, e := range s.Graph.Edges {
		switch {
		case e.From == e.To && e.Weight == 1:
			self++
		case e.From == e.To || e.Weight < 0.1 || e.Weight > 1:
			t.Errorf("edge %d → %d has weight %g", e.From, e.To, e.Weight)
		default:
			other++
		}
	}
	if self != s.N || other < s.N {
		t.Errorf("%d self-edges and %d others among %d nodes", self, other, s.N)
	}
}

func TestConfigErrors(t *testing.T) {
	for _, c := range []struct {
		config Config
		want   string
	}{
		{Config{Nodes: -1}, "at least 1"},
		{Config{Days: -2}, "at least 1"},
		{Config{Step: 7 * time.Minute}, "divide a day"},
		{Config{Step: time.Second}, "divide a day"},
		{Config{Unit: "knots"}, "mph or km/h"},
		{Config{Demand: -1}, "demand"},
		{Config{Demand: math.NaN()}, "finite"},
		{Config{Wet: 1.5}, "at most 1"},
		{Config{Dropout: 0.95}, "at most"},
		{Config{Incidents: 1e9}, "per node"},
		{Config{Nodes: math.MaxInt, Days: 36600}, "too many"},
		{Config{Days: math.MaxInt}, "too many"},
	} {
		if _, _, err := City(c.config); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: error %v; %q expected in it", c.config, err, c.want)
		}
	}
}

func TestCityStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := CityContext(ctx, Config{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v; context.Canceled expected", err)
	}
}

func BenchmarkCity(b *testing.B) {
	for b.Loop() {
		if _, _, err := City(Config{}); err != nil {
			b.Fatal(err)
		}
	}
}

func ExampleCity() {
	series, truth, err := City(Config{Nodes: 12, Days: 7, Seed: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%d steps × %d sensors in %s from %s\n", series.T, series.N, series.Unit, series.Calendar.Start.Format("Monday 2006-01-02"))
	fmt.Printf("%d roads, some wet days: %t\n", len(truth.Links), len(truth.Wet) > 0)
	// Output:
	// 2016 steps × 12 sensors in mph from Monday 2024-01-01
	// 12 roads, some wet days: true
}
