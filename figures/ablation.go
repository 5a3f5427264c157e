package figures

import (
	"errors"
	"fmt"
	"image/color"

	"gonum.org/v1/plot"
)

// Effect is what a change does to the error.
type Effect struct {
	Label  string
	Change Estimate // of the error against the reference's, in percent; above 0 is worse
	Proven bool     // that it is not 0
	Note   string   // at the right edge, e.g. the error itself; may be empty
}

// AblationBars draws the reference's row, whose change is not looked at, and below it a bar with its interval per effect. Bars
// begin at 0, no change. Proven effects are coloured by their direction, others are grey. It is an error when there is no
// effect, and when a number is not finite.
func AblationBars(reference Effect, effects []Effect) (*Figure, error) {
	if len(effects) == 0 {
		return nil, errors.New("ablation: no effect given")
	}
	labels, notes := []string{reference.Label}, []string{reference.Note}
	kinds := [...]key{
		{label: "proven worse", band: okabeIto[1]}, {label: "proven better", band: okabeIto[0]}, {label: "not proven", band: color.Gray{190}},
	}
	var drawn []plot.Plotter
	var has [len(kinds)]bool
	for i, e := range effects {
		if err := e.Change.check(); err != nil {
			return nil, fmt.Errorf("ablation, %s: %w", e.Label, err)
		}
		labels, notes = append(labels, e.Label), append(notes, e.Note)
		kind := 2
		switch {
		case e.Proven && e.Change.Mean > 0:
			kind = 0
		case e.Proven:
			kind = 1
		}
		has[kind] = true
		y := -float64(i + 1)
		drawn = append(drawn, bar{i + 1, e.Change.Mean, kinds[kind].band}, whisker{e.Change.Low, e.Change.High, y, y, color.Black})
	}
	r := newRows("change of test MAE, %", labels, notes, 0)
	r.plot.Add(drawn...)
	room := 0.03 * (r.plot.X.Max - r.plot.X.Min)
	r.plot.X.Min, r.plot.X.Max = r.plot.X.Min-room, r.plot.X.Max+room
	f := &Figure{width: column, height: r.height, draw: r.draw}
	for i, k := range kinds {
		if has[i] {
			f.legend = append(f.legend, k)
		}
	}
	f.height += legendRoom
	return f, nil
}
