package figures

import (
	"bytes"
	"fmt"
	"image/png"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// someLearning are two realistic learning curves.
func someLearning() []Learning {
	var full, pruned Learning
	full.Label, pruned.Label = "full data", "ST-Prune 10 %, pairs"
	for e := 1; e <= 20; e++ {
		full.At = append(full.At, float64(e))
		full.Error = append(full.Error, about(1.6+0.4/float64(e), 0.02))
		v := 1 + 0.1*float64(e-1)
		pruned.At = append(pruned.At, v)
		pruned.Error = append(pruned.Error, about(1.6+0.45/(v*v), 0.03))
	}
	full.Error[3].Mean = math.NaN() // not validated
	return []Learning{full, pruned}
}

func someStages(t testing.TB, seed uint64) []Stage {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	complexity := make([]float32, 4000)
	for i := range complexity {
		complexity[i] = float32(r.ExpFloat64())
	}
	var stages []Stage
	for _, epoch := range []int{1, 7, 20} {
		loss := make([]float32, len(complexity))
		for i, c := range complexity {
			loss[i] = (0.1 + 0.2*c) * float32(1+2/float64(epoch)) * float32(0.7+0.6*r.Float64())
		}
		s, err := Classes(complexity, loss, nil, 20)
		if err != nil {
			t.Fatal(err)
		}
		s.Label = fmt.Sprintf("epoch %d", epoch)
		stages = append(stages, s)
	}
	return stages
}

func someCalendar(days int) Calendar {
	c := Calendar{First: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), Label: "share of pruned epochs that kept it"}
	r := rand.New(rand.NewPCG(3, 1))
	for d := range days {
		row := make([]float64, 288)
		for s := range row {
			rush := math.Exp(-math.Pow(float64(s)/12-8, 2)) + math.Exp(-math.Pow(float64(s)/12-17, 2)/2)
			if d%7 >= 5 {
				rush /= 3
			}
			row[s] = 0.05 + 0.3*rush*r.Float64()
			if d == days-1 && s > 200 {
				row[s] = math.NaN()
			}
		}
		c.Share = append(c.Share, row)
	}
	return c
}

func figure(t *testing.T) func(f *Figure, err error) *Figure {
	return func(f *Figure, err error) *Figure {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
}

// every is all figures with realistic numbers.
func every(t *testing.T) map[string]*Figure {
	all := map[string]*Figure{
		"complexity": figure(t)(LossComplexity(Panel{"full data", someStages(t, 1)}, Panel{"ST-Prune 10 %", someStages(t, 2)})),
		"calendar":   figure(t)(KeptCalendar(someCalendar(28))),
		"one day":    figure(t)(KeptCalendar(someCalendar(1))),
		"half year":  figure(t)(KeptCalendar(someCalendar(180))),
	}
	for name, f := range pairs(t) {
		all[name] = f[0]
		if f[0].width == column {
			all[name+", page"] = f[0].Page()
		} else {
			all[name+", column"] = f[0].Column()
		}
	}
	maps.Copy(all, extremes(t))
	return all
}

// Figures must render in every format, the same bytes each time, with ink and no clipped edge. FIGURES_DIR keeps them to look at.
func TestFiguresRender(t *testing.T) {
	dir := os.Getenv("FIGURES_DIR")
	if dir == "" {
		dir = t.TempDir()
	}
	for name, f := range every(t) {
		for _, ext := range []string{".png", ".svg", ".pdf"} {
			path := filepath.Join(dir, name+ext)
			if err := f.Save(path); err != nil {
				t.Fatal(err)
			}
			if info, err := os.Stat(path); err != nil || info.Size() < 800 {
				t.Errorf("%s: %v, %v", path, info, err)
			}
		}
		one, err := f.PNG()
		if err != nil {
			t.Fatal(err)
		}
		if two, _ := f.PNG(); !bytes.Equal(one, two) {
			t.Errorf("%s: two drawings differ", name)
		}
		img, err := png.Decode(bytes.NewReader(one))
		if err != nil {
			t.Fatal(err)
		}
		b := img.Bounds()
		if want := int(float64(f.width) / 72 * dpi); b.Dx() < want-2 || b.Dx() > want+2 {
			t.Errorf("%s: %d pixels wide; want %d", name, b.Dx(), want)
		}
		white := func(x, y int) bool {
			r, g, bl, _ := img.At(x, y).RGBA()
			return r&g&bl == 0xffff
		}
		ink := 0
		for x := b.Min.X; x < b.Max.X; x++ {
			if !white(x, b.Min.Y) || !white(x, b.Max.Y-1) {
				t.Fatalf("%s: something touches the upper or lower edge", name)
			}
			for y := b.Min.Y; y < b.Max.Y; y++ {
				if !white(x, y) {
					ink++
				}
			}
		}
		for y := b.Min.Y; y < b.Max.Y; y++ {
			if !white(b.Min.X, y) || !white(b.Max.X-1, y) {
				t.Fatalf("%s: something touches the left or right edge", name)
			}
		}
		if ink < b.Dx()*b.Dy()/100 {
			t.Errorf("%s: hardly any ink", name)
		}
	}
}

func TestLossComplexitiesShareAxes(t *testing.T) {
	easy, hard := Panel{"easy", someStages(t, 1)[2:]}, Panel{"hard", someStages(t, 2)[:1]}
	svg := func(f *Figure, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		text, err := f.SVG()
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	both, err := LossComplexities([]Panel{easy}, []Panel{hard})
	if err != nil || len(both) != 2 {
		t.Fatalf("%d figures (%v)", len(both), err)
	}
	if svg(both[0], nil) == svg(LossComplexity(easy)) || svg(both[1], nil) != svg(LossComplexity(hard)) {
		t.Error("the axes are not those of the higher figure")
	}
}

func TestBadInputIsNamed(t *testing.T) {
	nan := math.NaN()
	for want, draw := range map[string]func() error{
		"no run given": func() error { _, err := LearningCurves(Visits, nil, ""); return err },
		"no validated epoch": func() error {
			_, err := LearningCurves(Visits, []Learning{{"a", []float64{1}, Single(nan)}}, "")
			return err
		},
		"1 points for 2": func() error {
			_, err := LearningCurves(Visits, []Learning{{"a", []float64{1}, Single(1, 2)}}, "")
			return err
		},
		"no panel":         func() error { _, err := LossComplexity(); return err },
		"1 means, 0 lower": func() error { _, err := LossComplexity(Panel{"", []Stage{{Mean: []float64{1}}}}); return err },
		"class 1 of 3":     func() error { _, err := Classes([]float32{1, 2}, []float32{1, 2}, nil, 3); return err },
		"1 complexities":   func() error { _, err := Classes([]float32{1}, []float32{1, 2}, nil, 1); return err },
		"no values at all": func() error { _, err := KeptCalendar(Calendar{Share: [][]float64{{nan, nan}}}); return err },
		"day 2 has 1":      func() error { _, err := KeptCalendar(Calendar{Share: [][]float64{{1, 2}, {1}}}); return err },
		"infinite":         func() error { _, err := KeptCalendar(Calendar{Share: [][]float64{{1, math.Inf(1)}}}); return err },
		"pixels": func() error {
			return figure(t)(KeptCalendar(someCalendar(2))).Save(filepath.Join(t.TempDir(), "a.tex"))
		},
		"no method given": func() error { _, err := RatioCurve(nil, nil, ""); return err },
		"2 ratios for 1":  func() error { _, err := RatioCurve([]Ratios{{"a", []float64{1, 0.1}, Single(1)}}, nil, ""); return err },
		"no ratio in": func() error {
			_, err := RatioCurve([]Ratios{{"a", []float64{0, -1}, Single(1, 1)}}, nil, "")
			return err
		},
		`"a" at 0.1: NaN`: func() error { _, err := RatioCurve([]Ratios{{"a", []float64{0.1}, Single(nan)}}, nil, ""); return err },
		"full data: 1 is outside": func() error {
			_, err := RatioCurve([]Ratios{{"a", []float64{0.1}, Single(1)}}, &Estimate{1, 2, 3}, "")
			return err
		},
		"no point with":          func() error { _, err := Pareto([]Cost{{"a", "", Single(0)[0], Single(1)[0]}}, ""); return err },
		"pareto front, a b":      func() error { _, err := Pareto([]Cost{{"a", "b", Single(nan)[0], Single(1)[0]}}, ""); return err },
		"horizon errors: no run": func() error { _, err := HorizonErrors(nil, 0, ""); return err },
		`"a": no horizon`:        func() error { _, err := HorizonErrors([]Horizons{{Label: "a"}}, 0, ""); return err },
		`"a" at 2: +Inf`:         func() error { _, err := HorizonErrors([]Horizons{{"a", Single(1, math.Inf(1))}}, 0, ""); return err },
		"no effect given":        func() error { _, err := AblationBars(Effect{}, nil); return err },
		"ablation, a: NaN": func() error {
			_, err := AblationBars(Effect{}, []Effect{{Label: "a", Change: Single(nan)[0]}})
			return err
		},
		"no other method": func() error { _, err := Improvement("a", nil); return err },
		"numbers in [0,1]": func() error {
			_, err := Improvement("a", []Chance{{Label: "b", Probability: about(0.9, 0.2)}})
			return err
		},
		"grid: 0 rows": func() error { _, err := Grid(Matrix{}); return err },
		"row a has 1": func() error {
			_, err := Grid(Matrix{Rows: []string{"a"}, Columns: []string{"b", "c"}, Value: [][]float64{{1}}})
			return err
		},
		"a, b is infinite": func() error {
			_, err := Grid(Matrix{Rows: []string{"a"}, Columns: []string{"b"}, Value: [][]float64{{math.Inf(1)}}})
			return err
		},
		"no number at all": func() error {
			_, err := Grid(Matrix{Rows: []string{"a"}, Columns: []string{"b"}, Value: [][]float64{{nan}}})
			return err
		},
		"format": func() error {
			return figure(t)(KeptCalendar(someCalendar(2))).Save(filepath.Join(t.TempDir(), "a.bmp"))
		},
	} {
		if err := draw(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want one with %q", err, want)
		}
	}
	// Points at 0 visits have no place on a logarithmic axis and are left out.
	if _, err := LearningCurves(Visits, []Learning{{"a", []float64{0, 1, 2}, Single(3, 2, 1)}}, ""); err != nil {
		t.Error(err)
	}
	if _, err := KeptCalendar(Calendar{Share: [][]float64{{1, 1}, {1, 1}}, Label: "all equal"}); err != nil {
		t.Error(err)
	}
}

func TestClasses(t *testing.T) {
	nan := float32(math.NaN())
	for _, c := range []struct {
		weight          []float32
		mean, low, high []float64
	}{
		{nil, []float64{15, 35}, []float64{10, 30}, []float64{20, 40}},
		{[]float32{3, 1, 0, 2, 1, 1}, []float64{10, 37.5}, []float64{10, 30}, []float64{10, 40}},
	} {
		s, err := Classes([]float32{4, 3, 2, 1, nan, 5}, []float32{40, 30, 20, 10, 7, nan}, c.weight, 2)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(s.Mean, c.mean) || !slices.Equal(s.Low, c.low) || !slices.Equal(s.High, c.high) {
			t.Errorf("weights %v: %+v; want means %v, quartiles %v and %v", c.weight, s, c.mean, c.low, c.high)
		}
	}
}

func ExampleTable() {
	t := Table{Caption: "Test error", Columns: []string{"run", "MAE", "visits"}, Rows: [][]string{
		{"full data", "1.624", "20.0"},
		{"ST-Prune 10 %", "1.607", "5.6"},
	}}
	fmt.Print(t.Text())
	fmt.Print(t.Markdown())
	fmt.Print(t.LaTeX())
	// Output:
	// run              MAE  visits
	// full data      1.624    20.0
	// ST-Prune 10 %  1.607     5.6
	// | run | MAE | visits |
	// | --- | ---: | ---: |
	// | full data | 1.624 | 20.0 |
	// | ST-Prune 10 % | 1.607 | 5.6 |
	// \begin{table}
	// \caption{Test error}
	// \begin{tabular}{lrr}
	// \toprule
	// run & MAE & visits \\
	// \midrule
	// full data & 1.624 & 20.0 \\
	// ST-Prune 10 \% & 1.607 & 5.6 \\
	// \bottomrule
	// \end{tabular}
	// \end{table}
}
