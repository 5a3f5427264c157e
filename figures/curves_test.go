package figures

import (
	"bytes"
	"flag"
	"fmt"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
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
