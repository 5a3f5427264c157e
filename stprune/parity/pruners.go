package parity

import (
	"fmt"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"gonum.org/v1/gonum/floats"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/stprune"
	"github.com/stprune/workbench/stprune/loss"
	"github.com/stprune/workbench/stprune/method"
)

// replay is a reference's run on made-up losses: its draws and losses are given, epoch by epoch, to our pruner.
type replay struct {
	pruner        stprune.Pruner
	schedule      stprune.Schedule
	n, epochs     int
	losses, kept  []float64 // [epochs,n]
	first, active []float64 // scores before the epoch [epochs,n], whether it is pruned [epochs]: ours
}

func (g *golden) replay(name string, rho float64, options map[string]any) (*replay, error) {
	number := func(key string) float64 {
		v, _ := g.meta.Config[key].(float64)
		return v
	}
	r := &replay{n: int(number("n")), epochs: int(number("epochs"))}
	c := stprune.DefaultConfig()
	c.Epochs, c.WarmUp, c.Delta, c.Rho = r.epochs, 0, number("delta"), rho
	var err error
	if r.schedule, err = c.Schedule(r.n); err != nil {
		return nil, err
	}
	m, err := method.ByName(name)
	if err != nil {
		return nil, err
	}
	if r.pruner, err = m.Make(method.Setup{Units: r.n, Config: c, Options: options}); err != nil {
		return nil, err
	}
	for array, into := range map[string]*[]float64{"loss_table": &r.losses, "kept": &r.kept} {
		if *into, _, err = g.get(array); err != nil {
			return nil, err
		}
		if len(*into) != r.epochs*r.n {
			return nil, fmt.Errorf("%s has %d numbers; want %d epochs of %d units", array, len(*into), r.epochs, r.n)
		}
	}
	initial := make([]float64, r.n)
	floats.AddConst(number("initial_score"), initial)
	return r, r.observe(initial, nil)
}

// observe reports the losses [n] of the units kept, or of all.
func (r *replay) observe(losses, kept []float64) error {
	var ids []int32
	var stats stprune.Stats
	for i, v := range losses {
		if kept == nil || kept[i] == 1 {
			ids = append(ids, int32(i))
			row := make(stprune.Stats, stprune.NumStats)
			row[stprune.Level] = float32(v)
			stats = append(stats, row...)
		}
	}
	return r.pruner.Observe(ids, stats)
}

// run calls epoch with our plan, our scores before it, and the reference's selection, for each epoch.
func (r *replay) run(epoch func(e int, s stprune.Selection, score []float32, kept []float64) error) error {
	for e := range r.epochs {
		s, err := r.pruner.Plan(e)
		if err != nil {
			return err
		}
		score := r.pruner.(stprune.Scored).Scores()
		r.active = append(r.active, truth(!r.schedule.Full(e)))
		for _, v := range score {
			r.first = append(r.first, float64(v))
		}
		kept := r.kept[e*r.n : (e+1)*r.n]
		if err := epoch(e, s, score, kept); err != nil {
			return err
		}
		if err := r.observe(r.losses[e*r.n:(e+1)*r.n], kept); err != nil {
			return err
		}
	}
	return nil
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// checkInfoBatch: what does not hang on the draws is compared with our plans, weights with the reference's draws. The research
// version has draws of its own, which the file doesn't hold; of the plug-in's weights the stale ones in the tail aren't followed.
func (g *golden) checkInfoBatch(be compute.Backend) error {
	rho, _ := g.meta.Config["keep_ratio"].(float64)
	r, err := g.replay("infobatch", rho, nil)
	if err != nil {
		return err
	}
	drawnWeight, _, err := g.get("weight_drawn")
	if err != nil {
		return err
	}
	var threshold, high, weights, low, drawn, kept, sure, sureThere, weight, weightThere, pruned []float64
	total := 0.0
	err = r.run(func(e int, s stprune.Selection, score []float32, there []float64) error {
		mean := method.Threshold(score)
		below, w := 0, 1.0
		ours := make([]float64, r.n)
		for _, id := range s.IDs {
			ours[id] = 1
		}
		for i, v := range score {
			isHigh := float64(v) >= mean
			high = append(high, truth(isHigh))
			if !isHigh {
				below++
			}
			sure = append(sure, truth(isHigh && (s.All || ours[i] == 1)))
			sureThere = append(sureThere, truth(isHigh && there[i] == 1))
		}
		for j, id := range s.IDs {
			if float64(score[id]) < mean {
				w = float64(s.Weight[j])
			} else if s.Weight[j] != 1 {
				return fmt.Errorf("epoch %d: unit %d is above the threshold and has weight %v", e, id, s.Weight[j])
			}
		}
		for i, v := range score {
			if float64(v) < mean && there[i] == 1 {
				weights = append(weights, w)
			} else {
				weights = append(weights, 1)
			}
		}
		if below > 0 {
			weight, weightThere = append(weight, w), append(weightThere, drawnWeight[e])
		}
		count := float64(s.Diagnostics.Kept)
		total += float64(r.n) - count
		threshold, low, pruned = append(threshold, mean), append(low, float64(below)), append(pruned, total)
		kept, drawn = append(kept, count), append(drawn, count-float64(r.n-below))
		return nil
	})
	if err != nil {
		return err
	}
	g.wantRelative("threshold", threshold, 1e-5)
	g.wantRelative("weights", weights, 1e-6)
	g.compare("weight_drawn", weight, weightThere, 1e-6)
	g.compare("kept", sure, sureThere, 1e-12)
	for name, got := range map[string][]float64{"scores_before": r.first, "high": high, "n_low": low, "n_drawn": drawn,
		"n_kept": kept, "pruned_total": pruned, "active": r.active, "reference_active": r.active} {
		g.wantRelative(name, got, 1e-12)
	}
	g.skip("weights_plugin", "reference_n_kept", "reference_n_low", "reference_threshold", "reference_weight_sum")
	return g.checkBatchLoss(be)
}

// checkBatchLoss compares the loss of one batch, divided by its size.
func (g *golden) checkBatchLoss(be compute.Backend) error {
	errors, _, err := g.get("batch_loss_in")
	if err != nil {
		return err
	}
	weights, _, err := g.get("batch_weight_in")
	if err != nil {
		return err
	}
	n := len(errors)
	out, err := graph.CallOnceN(be, func(forecast, weights *node) []*node {
		e := loss.New(forecast, graph.ZerosLike(forecast), graph.OnesLike(forecast), datasets.Scaler{Std: 1}, true)
		return []*node{loss.Reduction{PerBatch: true}.Loss(e, weights)}
	}, tensor(errors, true, n, 1, 1), tensor(weights, true, n))
	if err != nil {
		return fmt.Errorf("batch loss: %w", err)
	}
	g.wantRelative("batch_loss_out", flat(out[0]), 1e-6)
	return nil
}

// checkSeTa takes the reference's random subsets. In the first epoch all losses are equal, and its groups follow the order of its
// draws.
func (g *golden) checkSeTa(compute.Backend) error {
	var c struct{ subset, window, groups float64 }
	for key, into := range map[string]*float64{"keep_ratio": &c.subset, "window_scale": &c.window, "num_group": &c.groups} {
		*into, _ = g.meta.Config[key].(float64)
	}
	number := int(c.groups)
	r, err := g.replay("seta", c.subset*c.window, map[string]any{"subset": c.subset, "window": c.window, "groups": number})
	if err != nil {
		return err
	}
	subset, _, err := g.get("subset")
	if err != nil {
		return err
	}
	groupThere, _, err := g.get("group")
	if err != nil {
		return err
	}
	var window, centres, groups, kept, keptThere, count []float64
	err = r.run(func(e int, s stprune.Selection, score []float32, there []float64) error {
		if r.schedule.Full(e) { // a subset drawn anew
			count = append(count, float64(s.Diagnostics.Kept))
			return nil
		}
		var losses []float32
		var ids []int
		for i, in := range subset[e*r.n : (e+1)*r.n] {
			if in == 1 {
				losses, ids = append(losses, score[i]), append(ids, i)
			}
		}
		group, centre := method.SeTaGroups(losses, number)
		first, end := method.SeTaWindow(number, c.window, e)
		row, in := make([]float64, r.n), make([]float64, r.n)
		floats.AddConst(-1, row)
		for j, i := range ids {
			row[i] = float64(group[j])
			in[i] = truth(int(group[j]) >= first && int(group[j]) < end)
		}
		if c.subset == 1 { // nothing is drawn: our own plan can be compared
			clear(in)
			for i := range in {
				in[i] = truth(s.All)
			}
			for _, id := range s.IDs {
				in[id] = 1
			}
		}
		if e > 0 {
			groups = append(groups, row...)
		}
		kept, keptThere = append(kept, in...), append(keptThere, there...)
		centres, count = append(centres, centre...), append(count, floats.Sum(in))
		window = append(window, float64(e), float64(first), float64(end))
		return nil
	})
	if err != nil {
		return err
	}
	g.wantRelative("centre", centres, 1e-6)
	g.compare("group", groups, groupThere[r.n:], 1e-12)
	g.compare("kept", kept, keptThere, 1e-12)
	for name, got := range map[string][]float64{"scores_before": r.first, "window": window, "n_kept": count, "active": r.active} {
		g.wantRelative(name, got, 1e-12)
	}

	table, size, err := g.get("window_table")
	if err != nil {
		return err
	}
	var got []float64
	for i := range size[0] {
		row := table[i*size[1]:]
		first, end := method.SeTaWindow(int(row[0]), row[1], int(row[2]))
		got = append(got, row[0], row[1], row[2], float64(first), float64(end))
	}
	g.wantRelative("window_table", got, 1e-12)
	return nil
}

// checkDivBS compares what is left of the correlations before each choice: with the reference's draws, and with the largest.
func (g *golden) checkDivBS(compute.Backend) error {
	gradients, shape, err := g.get("grad")
	if err != nil {
		return err
	}
	drawn, _, err := g.get("sampled_index")
	if err != nil {
		return err
	}
	for kind, next := range map[string]func(step int, correlation []float64) int{
		"sampled": func(step int, _ []float64) int { return int(drawn[step]) },
		"argmax":  func(_ int, correlation []float64) int { return floats.MaxIdx(correlation) },
	} {
		var correlations, index []float64
		step := 0
		chosen := method.DivBS(float32s(gradients), shape[0], len(drawn), func(correlation []float64) int {
			correlations = append(correlations, correlation...)
			step++
			return next(step-1, correlation)
		})
		for _, i := range chosen {
			index = append(index, float64(i))
		}
		g.wantRelative(kind+"_index", index, 1e-12)
		g.want(kind+"_correlation", correlations, 0)
		g.wantRelative(kind+"_correlation64", correlations, 1e-9)
	}
	return nil
}
