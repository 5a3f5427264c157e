package diagnose

import (
	"fmt"

	"github.com/stprune/workbench/stprune/train"
)

// Share says how a group of units was treated in pruned epochs.
type Share struct {
	Label  string  `json:"label"`
	Units  int     `json:"units"`  // in the group
	Kept   float64 `json:"kept"`   // share of them that an epoch kept, mean over epochs
	Weight float64 `json:"weight"` // their share of an epoch's loss weight, over their share of all units; 1 where neither choice nor weights prefer
}

// Shares says what was kept of the training units, group by group. Hour and weekday are those of a window's first forecast step.
// Congestion is by decile of how far a unit's targets lie from what is usual at their node: the mean of (y − m)/d over its
// measured targets, m and d the node's mean and standard deviation in the training part. So the lowest decile holds the
// congested units where speed is measured, and the highest where flow is. Node is by decile of m, and empty when the unit is a
// window.
type Shares struct {
	Name       string  `json:"name"`
	Epochs     int     `json:"epochs"` // pruned epochs, over which shares are means
	Kept       float64 `json:"kept"`   // of all units
	Hour       []Share `json:"hour"`
	Weekday    []Share `json:"weekday"`
	Congestion []Share `json:"congestion"`
	Node       []Share `json:"node,omitempty"`
}

// Shares counts what c, the subject's own choice or a replay on its data, kept in its pruned epochs. Where an epoch's selection
// is stored as sums over windows, units are counted as parts of windows, and Node is empty; so are
// blocks.
func (s *Subject) Shares(c Choice) (Shares, error) {
	series, w, err := s.only()
	if err != nil {
		return Shares{}, err
	}
	pruned := c.Pruned()
	if len(pruned) == 0 {
		return Shares{}, fmt.Errorf("kept shares: %s has no pruned epoch; every unit was kept", c.Name)
	}
	// A cell is what is counted: a unit, or a window of them.
	first := c.Epochs[pruned[0]-1]
	width := first.PerWindow
	if s.Spec.Train.Unit == train.Block { // whose nodes may be others in each epoch
		width = 1
	}
	for _, epoch := range pruned {
		k := c.Epochs[epoch-1]
		if k.Units != first.Units || k.Windows() != len(w.Train) {
			return Shares{}, fmt.Errorf("kept shares: %s has %d units in %d windows in epoch %d; the data have %d training windows", c.Name, k.Units, k.Windows(), epoch, len(w.Train))
		}
		if k.Summary != nil {
			width = 1
		}
	}
	kept, weight := make([]float64, len(w.Train)*width), make([]float64, len(w.Train)*width)
	each := 1 / float64(len(pruned))
	for _, epoch := range pruned {
		k := c.Epochs[epoch-1]
		if width != k.PerWindow { // by window
			v := k.Visits()
			total := 0.0
			for _, x := range v.Weight {
				total += float64(x)
			}
			for i, n := range v.Count {
				kept[i] += each * float64(n) / float64(k.PerWindow)
				weight[i] += each * float64(v.Weight[i]) / total
			}
			continue
		}
		total := float64(len(k.IDs))
		if k.Weight != nil {
			total = 0
			for _, x := range k.Weight {
				total += float64(x)
			}
		}
		for i, id := range k.IDs {
			x := 1.0
			if k.Weight != nil {
				x = float64(k.Weight[i])
			}
			kept[id] += each
			weight[id] += each * x / total
		}
	}

	perCell := first.Units / len(kept)
	shares := func(g grouping, item func(cell int) int) []Share {
		all := make([]Share, len(g.labels))
		for cell, v := range kept {
			if group := g.of[item(cell)]; group >= 0 {
				all[group].Units += perCell
				all[group].Kept += v
				all[group].Weight += weight[cell]
			}
		}
		var some []Share
		for i, x := range all {
			if x.Units > 0 {
				x.Label = g.labels[i]
				x.Kept *= float64(perCell) / float64(x.Units)
				x.Weight *= float64(first.Units) / float64(x.Units)
				some = append(some, x)
			}
		}
		return some
	}
	window := func(cell int) int { return cell / width }
	out := Shares{Name: c.Name, Epochs: len(pruned)}
	for _, v := range kept {
		out.Kept += v / float64(len(kept))
	}
	out.Hour = shares(hours(series.Calendar, w.Train, w.History), window)
	out.Weekday = shares(weekdays(series.Calendar, w.Train, w.History), window)
	out.Congestion = shares(deciles(congestion(series, w, w.Train, width > 1)), func(cell int) int { return cell })
	if width > 1 {
		mean, _ := nodeLevels(series, w)
		out.Node = shares(deciles(mean), func(cell int) int { return cell % width })
	}
	return out, nil
}
