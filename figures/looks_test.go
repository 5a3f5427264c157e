package figures

import (
	"bytes"
	"fmt"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// looksTolerance is the mean absolute difference of two pictures' channels, of 255, that rounding on another machine may make. A
// thin line elsewhere makes more.
const looksTolerance = 0.02

// looksDistance is the mean absolute difference of two pictures' channels, of 255; infinite when they differ in size.
func looksDistance(a, b []byte) (float64, error) {
	one, err := png.Decode(bytes.NewReader(a))
	if err != nil {
		return 0, err
	}
	two, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		return 0, err
	}
	if one.Bounds() != two.Bounds() {
		return math.Inf(1), nil
	}
	box, sum := one.Bounds(), 0.0
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			r, g, b, _ := one.At(x, y).RGBA()
			r2, g2, b2, _ := two.At(x, y).RGBA()
			for _, d := range []float64{float64(r) - float64(r2), float64(g) - float64(g2), float64(b) - float64(b2)} {
				sum += math.Abs(d) / 257
			}
		}
	}
	return sum / float64(3*box.Dx()*box.Dy()), nil
}

// goldenLooks compares a figure with testdata/NAME.png, which -update writes anew: look at it then.
func goldenLooks(t *testing.T, name string, f *Figure) {
	t.Helper()
	got, err := f.PNG()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", name+".png")
	if *update {
		if err := writeFile(path, got); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	switch d, err := looksDistance(got, want); {
	case err != nil:
		t.Fatal(err)
	case d > looksTolerance:
		t.Errorf("%s differs from %s by %.3g of 255 in the mean, at most %v expected", name, path, d, looksTolerance)
	}
}

// checkEdges reports ink at a figure's edge: something is cut off.
func checkEdges(t *testing.T, name string, f *Figure) {
	t.Helper()
	content, err := f.PNG()
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	box := img.Bounds()
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			if x > box.Min.X && x < box.Max.X-1 && y > box.Min.Y && y < box.Max.Y-1 {
				continue
			}
			if r, g, b, _ := img.At(x, y).RGBA(); r&g&b != 0xffff {
				t.Fatalf("%s: ink at the edge, %d,%d of %v", name, x, y, box.Max)
			}
		}
	}
}

func someScores(epochs int, zeros bool) Scores {
	r := rand.New(rand.NewPCG(7, 1))
	s := Scores{Label: "complexity, z-scored MAE", Units: "windows"}
	for e := range epochs {
		row := make([]float32, 3000)
		for u := range row {
			row[u] = float32((0.15 + 0.5/float64(e+1)) * math.Exp(0.6*r.NormFloat64()))
			if zeros && u < 20*e {
				row[u] = 0
			}
			if u%50 == 0 && e < 2 {
				row[u] = float32(math.NaN())
			}
		}
		s.Score = append(s.Score, row)
	}
	return s
}

func someWeek() Week {
	w := Week{Middle: 0.1, Label: "share kept"}
	for d := range w.Share {
		for h := range 24 {
			rush := math.Exp(-math.Pow(float64(h)-8, 2)/3) + math.Exp(-math.Pow(float64(h)-17, 2)/6)
			if d >= 5 {
				rush /= 4
			}
			w.Share[d][h] = 0.06 + 0.12*rush + 0.004*math.Sin(float64(5*d+h))
		}
	}
	w.Share[6][23] = math.NaN()
	return w
}

// someMap is a town of two crossing roads and a ring, at 60° north, where a degree of longitude is half as long as one of latitude.
func someMap() Map {
	m := Map{Label: "test MAE, mph"}
	add := func(east, north float64) int { // km
		m.Coords = append(m.Coords, [2]float64{60 + north/111.2, 10 + east/111.2/0.5})
		m.Value = append(m.Value, 2+math.Exp(-(east*east+north*north)/20)*2)
		return len(m.Coords) - 1
	}
	road := func(n int, at func(i int) (float64, float64)) {
		for i := range n {
			x, y := at(i)
			if node := add(x, y); i > 0 {
				m.Links = append(m.Links, Link{node - 1, node, 0.4 + 0.6*float64(i%3)/2}, Link{node, node, 1})
			}
		}
	}
	road(13, func(i int) (float64, float64) { return float64(i) - 6, 0.3 * float64(i%2) })
	road(13, func(i int) (float64, float64) { return 0.5, float64(i) - 6 })
	road(25, func(i int) (float64, float64) {
		return 4 * math.Cos(float64(i)*math.Pi/12), 4 * math.Sin(float64(i)*math.Pi/12)
	})
	m.Value[3] = math.NaN()
	return m
}

func someForecasts() []Forecast {
	var all []Forecast
	for i, title := range []string{"easy", "hard", "kept most", "dropped most"} {
		f := Forecast{Title: title + "\nMon 2012-03-05 08:15, 773869"}
		for s := range 24 {
			v := 64 - float64(i*(5-i))*4*math.Exp(-math.Pow(float64(s)-15, 2)/18)
			if s < 12 {
				f.History = append(f.History, v+math.Sin(float64(3*s)))
				continue
			}
			f.Truth = append(f.Truth, v+math.Sin(float64(3*s)))
			f.Forecast = append(f.Forecast, 64-float64(i*(5-i))*3*math.Exp(-math.Pow(float64(s)-14, 2)/18))
		}
		all = append(all, f)
	}
	all[1].History[4], all[2].Truth[3] = math.NaN(), math.NaN()
	return all
}

func someWeights() Weights {
	r := rand.New(rand.NewPCG(5, 1))
	var w Weights
	for e := range 20 {
		row, largest, effective := []float32{1}, 1.0, 1.0
		if e > 0 && e < 18 { // the first epoch and the annealed last ones visit all
			row, largest = nil, 0
			sum, squares := 0.0, 0.0
			for range 500 {
				v := math.Exp(0.5 * r.NormFloat64() * math.Min(1, float64(e)/5))
				row = append(row, float32(v))
				sum, squares, largest = sum+v, squares+v*v, max(largest, v)
			}
			effective = sum / squares * sum / 500
		}
		w.Weight, w.Largest, w.Effective = append(w.Weight, row), append(w.Largest, largest), append(w.Effective, effective)
	}
	w.Weight[9] = nil // not known
	return w
}

func someOverheads() []Overhead {
	return []Overhead{
		{"full data", 4.1, 120, 0, 0, 21, 0.6},
		{"ST-Prune 10 %", 5.8, 13, 1.9, 0, 21, 0.5},
		{"static, 5 probe epochs", 7.2, 12, 0.4, 34, 21, 0.5},
		{"random 10 %", 5.1, 12.5, 0.1, 0, 21, 0.4},
	}
}

func someOverlaps(n int) Overlaps {
	o := Overlaps{Names: []string{"ST-Prune", "random", "InfoBatch", "loss", "forgetting", "EL2N", "craig", "gradmatch"}[:n]}
	for i := range n {
		o.Jaccard, o.Chance = append(o.Jaccard, make([]float64, n)), append(o.Chance, make([]float64, n))
		for j := range n {
			o.Chance[i][j] = 0.053
			o.Jaccard[i][j] = 0.05 + 0.6/float64(1+i+j)
			if i == j {
				o.Jaccard[i][j] = 1
			}
		}
	}
	o.Jaccard[0][n-1], o.Jaccard[n-1][0] = math.NaN(), math.NaN()
	return o
}

// looks are the figures of this file with realistic numbers, and each once more with one number changed a little.
func looks(t *testing.T) (figures, changed map[string]*Figure) {
	draw := figure(t)
	figures, changed = map[string]*Figure{}, map[string]*Figure{}
	scores := someScores(20, true)
	figures["scores"] = draw(ScoreDistribution(scores))
	scores.Label = "complexity"
	changed["scores"] = draw(ScoreDistribution(scores))

	week := someWeek()
	figures["week"] = draw(KeptWeek(week))
	week.Share[2][3] += 0.05
	changed["week"] = draw(KeptWeek(week))

	town := someMap()
	figures["map"] = draw(SensorMap(town))
	town.Coords[5][0] += 0.01
	changed["map"] = draw(SensorMap(town))

	windows := someForecasts()
	figures["forecasts"] = draw(ForecastPanels(windows, 5*time.Minute, "mph"))
	windows[2].Forecast[4] -= 5
	changed["forecasts"] = draw(ForecastPanels(windows, 5*time.Minute, "mph"))

	weights := someWeights()
	figures["weights"] = draw(WeightSpread(weights))
	weights.Effective[7] -= 0.1
	changed["weights"] = draw(WeightSpread(weights))

	seconds := someOverheads()
	figures["overhead"] = draw(OverheadBars(seconds))
	seconds[1].Selection++
	changed["overhead"] = draw(OverheadBars(seconds))

	overlaps := someOverlaps(5)
	figures["overlap"] = draw(OverlapMatrix(overlaps))
	overlaps.Jaccard[1][2], overlaps.Jaccard[2][1] = 0.22, 0.22
	changed["overlap"] = draw(OverlapMatrix(overlaps))
	return figures, changed
}

func TestLooksAreAsStored(t *testing.T) {
	figures, changed := looks(t)
	for name, f := range figures {
		goldenLooks(t, name, f)
		one, err := f.PNG()
		if err != nil {
			t.Fatal(err)
		}
		other, err := changed[name].PNG()
		if err != nil {
			t.Fatal(err)
		}
		if d, err := looksDistance(one, other); err != nil || d < 1.5*looksTolerance {
			t.Errorf("%s: a changed figure differs by %.3g of 255, %v; the comparison would miss it", name, d, err)
		}
	}
}

// Whatever the numbers, nothing panics or is cut off, and every format is written. FIGURES_DIR keeps the figures to look at.
func TestLooksRender(t *testing.T) {
	dir := os.Getenv("FIGURES_DIR")
	if dir == "" {
		dir = t.TempDir()
	}
	draw := figure(t)
	all, _ := looks(t)
	all["scores, one epoch"] = draw(ScoreDistribution(someScores(1, false)))
	all["scores, 100 epochs"] = draw(ScoreDistribution(someScores(100, false)))
	all["scores, all equal"] = draw(ScoreDistribution(Scores{Score: [][]float32{{2, 2}, {2, 2}}}))
	all["scores, all zero"] = draw(ScoreDistribution(Scores{Score: [][]float32{{0, 0}, {0, 0}}}))
	week := someWeek()
	week.Middle = math.NaN()
	all["week, no middle"] = draw(KeptWeek(week))
	all["week, all equal"] = draw(KeptWeek(Week{Middle: 0}))
	all["map, one sensor"] = draw(SensorMap(Map{Coords: [][2]float64{{34, -118}}, Value: []float64{1}}))
	town := someMap()
	for i := range town.Coords {
		town.Coords[i][0] = 60 + (town.Coords[i][0]-60)/4 // wide
	}
	all["map, wide"] = draw(SensorMap(town))
	for i := range town.Coords {
		town.Coords[i][0] = 60 + (town.Coords[i][0]-60)*16 // high
	}
	all["map, high"] = draw(SensorMap(town))
	all["forecasts, six"] = draw(ForecastPanels(append(someForecasts(), someForecasts()[:2]...), time.Hour, ""))
	all["forecasts, one"] = draw(ForecastPanels(someForecasts()[:1], 24*time.Hour, "kWh"))
	all["weights, all 1"] = draw(WeightSpread(Weights{Weight: [][]float32{{1, 1}}, Largest: []float64{1}, Effective: []float64{1}}))
	all["weights, some 0"] = draw(WeightSpread(Weights{Weight: [][]float32{{0, 0, 0, 3}, {0, 0, 0, 0}, {1, 2, 3, 4}}, Largest: []float64{3, 0, 4}, Effective: []float64{0.25, 0, 0.8}}))
	all["overhead, none"] = draw(OverheadBars([]Overhead{{Label: "no second"}}))
	all["overlap, eight"] = draw(OverlapMatrix(someOverlaps(8)))
	plain := someOverlaps(2)
	plain.Chance = nil
	all["overlap, two"] = draw(OverlapMatrix(plain))
	for name, f := range all {
		checkEdges(t, name, f)
		for _, ext := range []string{".png", ".svg", ".pdf"} {
			path := filepath.Join(dir, name+ext)
			if err := f.Save(path); err != nil {
				t.Fatal(err)
			}
			if info, err := os.Stat(path); err != nil || info.Size() < 2000 {
				t.Errorf("%s: %v, %v", path, info, err)
			}
		}
	}
}

func TestLooksNameBadInput(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	scores := func(rows ...[]float32) error { _, err := ScoreDistribution(Scores{Score: rows}); return err }
	town := func(change func(m *Map)) error {
		m := someMap()
		change(&m)
		_, err := SensorMap(m)
		return err
	}
	week := func(change func(w *Week)) error {
		w := someWeek()
		change(&w)
		_, err := KeptWeek(w)
		return err
	}
	panels := func(step time.Duration, w ...Forecast) error { _, err := ForecastPanels(w, step, ""); return err }
	weights := func(w Weights) error { _, err := WeightSpread(w); return err }
	overlaps := func(change func(o *Overlaps)) error {
		o := someOverlaps(3)
		change(&o)
		_, err := OverlapMatrix(o)
		return err
	}
	for _, c := range []struct {
		err  error
		want string
	}{
		{scores(), "no unit has a score"},
		{scores([]float32{float32(nan)}), "no unit has a score"},
		{scores([]float32{1}, []float32{-1}), "unit 0 has score -1 in epoch 2"},
		{scores([]float32{1, float32(inf)}), "unit 1 has score +Inf"},
		{scores([]float32{1}, nil), "epoch 2 has none"},
		{week(func(w *Week) { w.Share[0][0] = inf }), "infinite"},
		{week(func(w *Week) { w.Middle = inf }), "middle is infinite"},
		{week(func(w *Week) {
			for d := range w.Share {
				for h := range 24 {
					w.Share[d][h] = nan
				}
			}
		}), "no values at all"},
		{town(func(m *Map) { m.Value = nil }), "no sensor"},
		{town(func(m *Map) { m.Coords = nil }), "no coordinates; import"},
		{town(func(m *Map) { m.Coords = m.Coords[1:] }), "50 coordinates for 51 sensors"},
		{town(func(m *Map) { m.Coords[7][0] = nan }), "sensor 7 is at latitude NaN"},
		{town(func(m *Map) { m.Coords[7][1] = 181 }), "longitude 181"},
		{town(func(m *Map) { m.Links[0].B = 51 }), "joins sensors 0 and 51"},
		{town(func(m *Map) { m.Value[2] = inf }), "infinite"},
		{panels(time.Minute), "no window"},
		{panels(0, someForecasts()...), "step of 0s"},
		{panels(time.Minute, Forecast{"a", []float64{1}, []float64{1, 2}, []float64{1}}), "1 steps of history, 2 to forecast and 1 forecast"},
		{panels(time.Minute, Forecast{"a", []float64{1}, []float64{1}, []float64{nan}}), "not a number"},
		{panels(time.Minute, Forecast{"a", []float64{inf}, []float64{1}, []float64{1}}), "infinite"},
		{weights(Weights{}), "no epoch"},
		{weights(Weights{Effective: []float64{1}}), "weights of 0 epochs"},
		{weights(Weights{[][]float32{{1}}, []float64{1}, []float64{1.5}}), "effective sample size of 1.5"},
		{weights(Weights{[][]float32{{-1}}, []float64{1}, []float64{1}}), "weight -1"},
		{weights(Weights{[][]float32{nil}, []float64{nan}, []float64{1}}), "largest of epoch 1 is NaN"},
		{weights(Weights{[][]float32{{0}}, []float64{0}, []float64{1}}), "none is above 0"},
		{func() error { _, err := OverheadBars(nil); return err }(), "no run"},
		{func() error { _, err := OverheadBars([]Overhead{{Label: "a", Scoring: -1}}); return err }(), `"a" spent -1 seconds on scoring`},
		{overlaps(func(o *Overlaps) { o.Names = o.Names[:1] }), "1 methods given"},
		{overlaps(func(o *Overlaps) { o.Jaccard = o.Jaccard[:2] }), "2 rows for 3"},
		{overlaps(func(o *Overlaps) { o.Chance[1] = o.Chance[1][:2] }), "row 2 has 2 numbers"},
		{overlaps(func(o *Overlaps) { o.Jaccard[1][0] = 0.9 }), "the other way round"},
		{overlaps(func(o *Overlaps) { o.Jaccard[1][0], o.Jaccard[0][1] = 2, 2 }), "in [0,1]"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("error %v; want one with %q", c.err, c.want)
		}
	}
}

// A kilometre is as long in both directions, whatever the form of the town and of the field it is drawn in.
func TestMapsScale(t *testing.T) {
	for _, c := range []struct{ east, north, narrow, aspect float64 }{{1, 1, 1, 1}, {2, 1, 0.5, 2}, {1, 3, 0.7, 0.4}} {
		w, e, s, n := fit(10, 10+c.east, 50, 50+c.north, c.narrow, c.aspect)
		if got := (n - s) / ((e - w) * c.narrow); math.Abs(got-c.aspect) > 1e-12 {
			t.Errorf("%+v: a field of %v by %v has aspect %v", c, e-w, n-s, got)
		}
		if w > 10 || e < 10+c.east || s > 50 || n < 50+c.north || math.Abs((w+e)/2-10-c.east/2) > 1e-12 {
			t.Errorf("%+v: longitudes %v to %v, latitudes %v to %v leave the town", c, w, e, s, n)
		}
	}
	// As drawn: the two crossing roads of the town are both 12 km long.
	town := someMap()
	for i := range town.Value {
		town.Value[i] = 1 // one colour, which nothing else has
	}
	content, err := figure(t)(SensorMap(town)).PNG()
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	box := img.Bounds()
	left, right, top, bottom := box.Max.X, 0, box.Max.Y, 0
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X-int(barWidth*dpi/72); x++ { // without the colour bar
			r, g, b, _ := img.At(x, y).RGBA()
			if r > g || g > b {
				left, right, top, bottom = min(left, x), max(right, x), min(top, y), max(bottom, y)
			}
		}
	}
	if wide, high := right-left, bottom-top; wide < 200 || wide-high > 2 || high-wide > 2 {
		t.Errorf("sensors lie within %d × %d pixels, want a square", wide, high)
	}
}

// Both ends of every map have colours of their own, and lightness falls all the way of the sequential one.
func TestColours(t *testing.T) {
	grey := func(c color.Color) int { return int(color.Gray16Model.Convert(c).(color.Gray16).Y) }
	for _, ends := range [][2]float64{{0, 1}, {0.053, 0.197}, {-3, 1e9}} {
		low, high := ends[0], ends[1]
		m := sequential(low, high)
		last := 1 << 16
		for i := range 101 {
			at := grey(colourOf(m, low+(high-low)*float64(i)/100))
			if at >= last {
				t.Errorf("%v to %v: %d %% is no darker than before", low, high, i)
			}
			last = at
		}
		if first := grey(colourOf(m, low-1)); first < 0xfff0 || last > 0x10 || grey(colourOf(m, high+1)) != last {
			t.Errorf("%v to %v: ends of grey %#x and %#x, want white and black", low, high, first, last)
		}
		d := diverging(low, low+(high-low)/4, high)
		blue, _, red, _ := colourOf(d, d.Min()).RGBA()
		r, _, b, _ := colourOf(d, high).RGBA()
		if colourOf(d, high) == noData || blue >= red || r <= b {
			t.Errorf("%v to %v: the diverging map does not run from blue to red", low, high)
		}
	}
	if colourOf(sequential(0, 1), math.NaN()) != noData {
		t.Error("NaN has a colour of the map")
	}
}

func TestWholeTicks(t *testing.T) {
	for _, c := range []struct {
		from, to float64
		want     string
	}{{0.5, 20.5, "5 10 15 20"}, {0.5, 1.5, "1"}, {0.5, 7.5, "1 2 3 4 5 6 7"}, {0.5, 1500.5, "200 400 600 800 1000 1200 1400"}} {
		var got []string
		for _, tick := range epochTicks().Ticks(c.from, c.to) {
			got = append(got, tick.Label)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%v to %v: ticks %s, want %s", c.from, c.to, s, c.want)
		}
	}
	if got := fmt.Sprintln(brief(0.0123), brief(1.234), brief(123.4), brief(12345), brief(0)); got != "0.0123 1.23 123 12345 0\n" {
		t.Errorf("seconds are written %s", got)
	}
}
