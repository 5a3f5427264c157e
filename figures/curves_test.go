package figures

import (
	"bytes"
	"flag"
	"fmt"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gonum.org/v1/plot"
)

var update = flag.Bool("update", false, "write the golden images anew; look at them then")

// about has an interval of that size on either side.
func about(mean, half float64) Estimate { return Estimate{mean, mean - half, mean + half} }

func someRatios() ([]Ratios, *Estimate) {
	var all []Ratios
	for i, label := range []string{"ST-Prune, pairs", "random, windows", "InfoBatch"} {
		m := Ratios{Label: label}
		for _, rho := range []float64{0.01, 0.02, 0.05, 0.1, 0.2, 0.5} {
			m.Rho = append(m.Rho, rho)
			m.Error = append(m.Error, about(1.6+0.01*(1+2*float64(i))*math.Pow(rho, -0.5), 0.01+0.001/rho))
		}
		all = append(all, m)
	}
	full := about(1.624, 0.009)
	return all, &full
}

func someCosts() []Cost {
	all := []Cost{{"full data", "", about(145, 2), about(1.624, 0.009)}, {"full data, fewer epochs", "", about(37, 1), about(1.702, 0.02)}}
	for i, label := range []string{"ST-Prune, pairs", "random, windows"} {
		for j, rho := range []float64{0.02, 0.05, 0.1, 0.2, 0.5} {
			s := 12 + 3*float64(i) + 140*rho
			all = append(all, Cost{label, fmt.Sprintf("%g %%", 100*rho), about(s, 0.03*s), about(1.605+0.1*float64(i)+0.09/float64(1+j), 0.012)})
		}
	}
	return all
}

func someHorizons() []Horizons {
	var all []Horizons
	for i, label := range []string{"full data", "ST-Prune 10 %, pairs", "random 10 %, windows"} {
		h := Horizons{Label: label}
		for q := range 12 {
			h.Error = append(h.Error, about(1.1+0.05*float64(i)+0.3*math.Log(float64(q+1)), 0.02))
		}
		all = append(all, h)
	}
	return all
}

func someEffects() (Effect, []Effect) {
	return Effect{Label: "ST-Prune 10 %, pairs", Note: "MAE 1.607"}, []Effect{
		{"without debiasing", about(2.4, 0.6), true, "1.646"},
		{"spatial term off", about(0.9, 0.5), true, "1.621"},
		{"temporal term off", about(0.3, 0.5), false, "1.612"},
		{"no annealing at the end", about(1.6, 2), false, "1.633"},
		{"pairs from 2 % on", about(-0.8, 0.4), true, "1.594"},
	}
}

func someMatrix() Matrix {
	return Matrix{
		Title: "change of test MAE against full data, %", Rows: []string{"STID", "GWNet", "STAEformer", "OpenCity"}, Columns: []string{"SGD", "Adam", "AdamW", "Muon"},
		Value: [][]float64{{-1.2, -0.4, -0.3, 0.2}, {2.1, 0.8, 0.7, 0.4}, {-0.1, 0, 0.2, -0.6}, {3.4, 1.2, math.NaN(), 1.1}},
		Text: [][]string{
			{"−1.2\n± 0.4", "−0.4\n± 0.3", "−0.3\n± 0.3", "+0.2\n± 0.5"}, {"+2.1\n± 0.8", "+0.8\n± 0.3", "+0.7\n± 0.4", "+0.4\n± 0.5"},
			{"−0.1\n± 0.4", "0.0\n± 0.3", "+0.2\n± 0.2", "−0.6\n± 0.5"}, {"+3.4\n± 1.1", "+1.2\n± 0.9", "", "+1.1\n± 0.7"},
		}, Around0: true,
	}
}

func someChances() []Chance {
	return []Chance{
		{"full data", Estimate{0.75, 0.43, 0.95}, false, "9 of 12"}, {"full data, fewer epochs", Estimate{1, 0.74, 1}, true, "12 of 12"},
		{"random 10 %, windows", Estimate{11.0 / 12, 0.62, 1}, true, "11 of 12"}, {"InfoBatch", Estimate{0.5, 0.21, 0.79}, false, "6 of 12"},
	}
}

// pairs are the figures of this file with realistic numbers, and each once more with one number changed a little.
func pairs(t *testing.T) map[string][2]*Figure {
	draw := figure(t)
	learning := someLearning()
	learning[1].Error[9].Mean += 0.02
	ratios, full := someRatios()
	changed, _ := someRatios()
	changed[2].Error[3].Mean += 0.004
	costs := someCosts()
	costs[4].Note = "11 %"
	horizons := someHorizons()
	horizons[0].Error[5].Mean += 0.015
	reference, effects := someEffects()
	_, other := someEffects()
	other[3].Note = "1.634"
	matrix := someMatrix()
	matrix.Text[1][1] = "+0.9\n± 0.3"
	chances := someChances()
	chances[0].Probability.Low -= 0.02
	steps := someLearning()
	for i := range steps {
		for j := range steps[i].At {
			steps[i].At[j] = float64(j + 1)
		}
	}
	return map[string][2]*Figure{
		"learning":    {draw(LearningCurves(Visits, someLearning(), "mph")), draw(LearningCurves(Visits, learning, "mph"))},
		"by epoch":    {draw(LearningCurves(Epochs, steps, "mph")).Column(), draw(LearningCurves(Epochs, steps, "km/h")).Column()},
		"ratio":       {draw(RatioCurve(ratios, full, "mph")), draw(RatioCurve(changed, full, "mph"))},
		"pareto":      {draw(Pareto(someCosts(), "mph")), draw(Pareto(costs, "mph"))},
		"horizon":     {draw(HorizonErrors(someHorizons(), 5*time.Minute, "mph")), draw(HorizonErrors(horizons, 5*time.Minute, "mph"))},
		"ablation":    {draw(AblationBars(reference, effects)), draw(AblationBars(reference, other))},
		"grid":        {draw(Grid(someMatrix())), draw(Grid(matrix))},
		"improvement": {draw(Improvement("ST-Prune 10 %, pairs", someChances())), draw(Improvement("ST-Prune 10 %, pairs", chances))},
	}
}

// extremes are figures of input that is small, large or partly without a place.
func extremes(t *testing.T) map[string]*Figure {
	draw := figure(t)
	long := strings.Repeat("a method with a long name, ", 4)
	var many []Horizons
	var costs []Cost
	for i := range 16 {
		many = append(many, Horizons{fmt.Sprint("method ", i), Single(slices.Repeat([]float64{float64(i)}, 24)...)})
		costs = append(costs, Cost{fmt.Sprint("method ", i), "10 %", Single(100)[0], Single(2)[0]})
	}
	return map[string]*Figure{
		"zeros":           draw(LearningCurves(Seconds, []Learning{{long, []float64{-1, 0, 10, 11}, Single(1, 2, 3, 4)}}, "")),
		"one point":       draw(LearningCurves(Visits, []Learning{{"a", []float64{1}, Single(3)}}, "")),
		"decades":         draw(LearningCurves(Steps, []Learning{{"a", []float64{1, 1e6}, Single(3, -2)}}, "")),
		"one ratio":       draw(RatioCurve([]Ratios{{"a", []float64{0, 0.1}, []Estimate{about(1, 1), about(1, 0.5)}}}, nil, "")),
		"one ratio, full": draw(RatioCurve([]Ratios{{"a", []float64{0.1}, Single(1)}}, &Estimate{1, 1, 1}, "")),
		"one cost":        draw(Pareto([]Cost{{long, long, about(3, 4), Single(1)[0]}, {"b", "", Single(0)[0], Single(1)[0]}}, "")),
		"equal costs":     draw(Pareto(costs, "")),
		"many lines":      draw(HorizonErrors(many, time.Hour, "")),
		"one horizon":     draw(HorizonErrors([]Horizons{{"a", Single(1)}}, 0, "")),
		"no change":       draw(AblationBars(Effect{Label: long}, []Effect{{Label: long}})),
		"one cell":        draw(Grid(Matrix{Rows: []string{long}, Columns: []string{long}, Value: [][]float64{{0}}, Around0: true})),
		"six columns":     draw(Grid(Matrix{Rows: []string{"a", "b"}, Columns: []string{"1", "2", "3", "4", "5", "6"}, Value: [][]float64{{1, 2, 3, 4, 5, 6}, {1, 1, 1, 1, 1, math.NaN()}}})),
		"certain":         draw(Improvement(long, []Chance{{long, Estimate{1, 1, 1}, true, ""}, {"b", Estimate{0, 0, 1}, false, "0 of 1"}})),
	}
}

// difference is the mean absolute difference of two pictures' channels, of 255, in the squares of 20 pixels where it is largest.
// Another machine's rounding changes shades at edges by one or two; a number changed by one digit makes 5 and more.
func difference(t *testing.T, a, b []byte) float64 {
	t.Helper()
	one, err := png.Decode(bytes.NewReader(a))
	if err != nil {
		t.Fatal(err)
	}
	two, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	box := one.Bounds()
	if box != two.Bounds() {
		return math.Inf(1)
	}
	const side = 20
	tiles := map[[2]int]float64{}
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			r, g, b, _ := one.At(x, y).RGBA()
			r2, g2, b2, _ := two.At(x, y).RGBA()
			for _, d := range []float64{float64(r) - float64(r2), float64(g) - float64(g2), float64(b) - float64(b2)} {
				tiles[[2]int{x / side, y / side}] += math.Abs(d) / 257 / 3 / side / side
			}
		}
	}
	largest := 0.0
	for _, d := range tiles {
		largest = max(largest, d)
	}
	return largest
}

const tolerance = 2

// The figures look as in testdata, which -update writes anew; a small change of one number would be seen.
func TestGoldenImages(t *testing.T) {
	for name, f := range pairs(t) {
		got, err := f[0].PNG()
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", strings.ReplaceAll(name, " ", "-")+".png")
		if *update {
			if err := writeFile(path, got); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if d := difference(t, got, want); d > tolerance {
			t.Errorf("%s differs from %s by %.3g, at most %v expected", name, path, d, tolerance)
		}
		other, err := f[1].PNG()
		if err != nil {
			t.Fatal(err)
		}
		if d := difference(t, got, other); d < 2*tolerance {
			t.Errorf("%s: a changed number makes a difference of %.3g; the comparison could miss it", name, d)
		}
	}
}

// TeX reads text as text, closed paths, and numbers without exponents; see-through bands keep their colour.
func TestTeX(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.tex")
	for name, f := range pairs(t) {
		if err := f[0].Save(path); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text := string(content)
		if m := regexp.MustCompile(`[0-9]e[-+]?[0-9]+(pt)?\}|[^\\%]%[^%]|path-close|NaN|\\color\[`).FindString(text); m != "" {
			t.Errorf("%s: %q is not for TeX", name, m)
		}
		if strings.Count(text, "{") != strings.Count(text, "}") || strings.Count(text, `\begin{`) != strings.Count(text, `\end{`) {
			t.Errorf("%s: braces or scopes don't close", name)
		}
		if n := strings.Count(text, "{rgb}{0,0.447"); name == "ratio" && n < 10 {
			t.Errorf("%s: %d times blue; want it for line, markers and band", name, n)
		}
	}
}

func TestFront(t *testing.T) {
	var points []Cost
	for _, p := range [][2]float64{{3, 1}, {1, 3}, {2, 3}, {1, 4}, {3, 1}, {2, 2}, {9, 0.5}} {
		points = append(points, Cost{Seconds: Single(p[0])[0], Error: Single(p[1])[0]})
	}
	if got, want := front(points), []int{1, 5, 0, 6}; !slices.Equal(got, want) {
		t.Errorf("front %v, want %v", got, want)
	}
}

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		ticks    plot.Ticker
		from, to float64
		want     string
	}{
		{roundTicks(5), -1.2, 3.6, "−1 0 1 2 3"}, {roundTicks(6), 1.58, 2.08, "1.6 1.7 1.8 1.9 2.0"}, {roundTicks(5), 0, 100, "0 20 40 60 80 100"},
		{roundTicks(5), -0.004, 0.003, "−0.004 −0.002 0.000 0.002"},
		{logTicks(1, 50), 0, math.Log10(50), "1 2 5 10 20 50"}, {logTicks(1, 1000), 0, 3, "1 10 100 1000"},
		{logTicks(0.2, 0.7), math.Log10(0.2), math.Log10(0.7), "0.2 0.3 0.4 0.5 0.6 0.7"}, {logTicks(110, 140), math.Log10(110), math.Log10(140), "110 120 130 140"},
	} {
		var got []string
		for _, tick := range c.ticks.Ticks(c.from, c.to) {
			if tick.Label != "" {
				got = append(got, tick.Label)
			}
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%v to %v: ticks %s, want %s", c.from, c.to, s, c.want)
		}
	}
}

func ExampleTable_Markdown() {
	t := Table{
		Caption: "Test errors.", Columns: []string{"run", "MAE"}, Rows: [][]string{{"full data", "1.624 ± 0.009"}, {"ST-Prune [10 %]", "1.607 ± 0.008"}},
		Bold: [][]bool{{false, false}, {false, true}}, Runs: [][]string{{"3f0c", "a771"}, {"90be", "5d12"}}, Note: "2 seeds.",
	}
	fmt.Print(t.Markdown())
	fmt.Print(t.LaTeX())
	fmt.Print(t.CSV())
	fmt.Print(t.Text())
	// Output:
	// | run | MAE |
	// | --- | ---: |
	// | full data <!-- 3f0c a771 --> | 1.624 ± 0.009 |
	// | ST-Prune [10 %] <!-- 90be 5d12 --> | **1.607 ± 0.008** |
	//
	// 2 seeds.
	// \begin{table}
	// \caption{Test errors. 2 seeds.}
	// \begin{tabular}{lr}
	// \toprule
	// run & MAE \\
	// \midrule
	// full data & 1.624 $\pm$ 0.009 \\ % 3f0c a771
	// ST-Prune {[}10 \%] & \textbf{1.607 $\pm$ 0.008} \\ % 90be 5d12
	// \bottomrule
	// \end{tabular}
	// \end{table}
	// run,MAE,runs
	// full data,1.624 ± 0.009,3f0c a771
	// ST-Prune [10 %],1.607 ± 0.008,90be 5d12
	// run                        MAE
	// full data        1.624 ± 0.009
	// ST-Prune [10 %]  1.607 ± 0.008*
	// 2 seeds.
}
