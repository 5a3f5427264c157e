package figures_test

import (
	"bytes"
	"fmt"
	"image/png"
	"math"
	"time"

	"github.com/stprune/workbench/figures"
)

// size prints how large a figure's PNG is, at 200 dots per inch.
func size(f *figures.Figure, err error) {
	if err != nil {
		fmt.Println(err)
		return
	}
	content, err := f.PNG()
	if err != nil {
		fmt.Println(err)
		return
	}
	c, err := png.DecodeConfig(bytes.NewReader(content))
	fmt.Println(c.Width, "×", c.Height, err)
}

func ExampleScoreDistribution() {
	size(figures.ScoreDistribution(figures.Scores{
		Label: "complexity, z-scored MAE", Units: "windows",
		Score: [][]float32{{0.9, 1.2, 0.7, 2.1}, {0.3, 0.5, 0, 1.8}}, // two epochs, four windows
	}))
	// Output: 650 × 500 <nil>
}

func ExampleKeptWeek() {
	w := figures.Week{Middle: 0.1, Label: "share of windows kept"}
	for day := range w.Share {
		for hour := range w.Share[day] {
			w.Share[day][hour] = 0.1
		}
		w.Share[day][8] = 0.3 // the morning's rush
	}
	size(figures.KeptWeek(w))
	// Output: 650 × 350 <nil>
}

func ExampleSensorMap() {
	m := figures.Map{
		Coords: [][2]float64{{34.15, -118.31}, {34.11, -118.24}, {34.16, -118.23}},
		Links:  []figures.Link{{A: 0, B: 1, Weight: 1}, {A: 1, B: 2, Weight: 0.4}},
		Value:  []float64{2.7, 3.4, math.NaN()}, // the last one was never measured
		Label:  "test MAE, mph",
	}
	size(figures.SensorMap(m))
	m.Coords = nil
	size(figures.SensorMap(m))
	// Output:
	// 650 × 455 <nil>
	// map: the sensors have no coordinates; import the data set with a file of them (--coords)
}

func ExampleForecastPanels() {
	size(figures.ForecastPanels([]figures.Forecast{
		{Title: "easy", History: []float64{64, 65, 63}, Truth: []float64{64, 65}, Forecast: []float64{64.2, 64.1}},
		{Title: "hard", History: []float64{60, math.NaN(), 41}, Truth: []float64{30, 22}, Forecast: []float64{39, 38}},
	}, 5*time.Minute, "mph"))
	// Output: 650 × 360 <nil>
}

func ExampleWeightSpread() {
	size(figures.WeightSpread(figures.Weights{
		Weight:    [][]float32{{1, 1, 1, 1}, {0.5, 0.7, 2.8}}, // all in the first epoch, then three of the four
		Largest:   []float64{1, 2.8},
		Effective: []float64{1, 0.62},
	}))
	// Output: 650 × 620 <nil>
}

func ExampleOverheadBars() {
	size(figures.OverheadBars([]figures.Overhead{
		{Label: "full data", Compile: 4, Steps: 120, Evaluation: 21, Other: 0.6},
		{Label: "ST-Prune 10 %", Compile: 6, Steps: 13, Selection: 2, Evaluation: 21, Other: 0.5},
	}))
	// Output: 1350 × 222 <nil>
}

func ExampleOverlapMatrix() {
	size(figures.OverlapMatrix(figures.Overlaps{
		Names:   []string{"ST-Prune", "random", "InfoBatch"},
		Jaccard: [][]float64{{1, 0.06, 0.31}, {0.06, 1, 0.05}, {0.31, 0.05, 1}},
		Chance:  [][]float64{{1, 0.05, 0.05}, {0.05, 1, 0.05}, {0.05, 0.05, 1}},
	}))
	// Output: 650 × 303 <nil>
}
