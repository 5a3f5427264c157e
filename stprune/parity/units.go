package parity

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/stprune/backbone"
	"github.com/stprune/workbench/stprune/loss"
	"github.com/stprune/workbench/stprune/optim"
)

// section decodes one entry of the file's configuration.
func (g *golden) section(key string, into any) error {
	text, err := json.Marshal(g.meta.Config[key])
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		return fmt.Errorf("config.%s: %w", key, err)
	}
	return nil
}

// tensor puts values on the device in single or double precision.
func tensor(values []float64, double bool, shape ...int) *tensors.Tensor {
	if double {
		return tensors.FromFlatDataAndDimensions(values, shape...)
	}
	return tensors.FromFlatDataAndDimensions(float32s(values), shape...)
}

// checkOptimisers follows single tensors through six steps in both precisions, and checks clipping and schedules.
func (g *golden) checkOptimisers(be compute.Backend) error {
	for key, name := range map[string]string{"optimisers": "", "muon": "muon"} {
		settings := map[string]optimSettings{}
		if err := g.section(key, &settings); err != nil {
			return err
		}
		for id, o := range settings {
			kind := o.Kind
			if name != "" {
				kind = name
			}
			cfg := o.config(kind, 0)
			if err := cfg.Check(); err != nil {
				return fmt.Errorf("%s: %w", id, err)
			}
			for array := range g.arrays {
				for prefix, double := range map[string]bool{"traj.": false, "traj64.": true} {
					if t, ok := strings.CutPrefix(array, prefix+id+"."); ok {
						if err := g.checkTrajectory(be, cfg, array, t, double); err != nil {
							return err
						}
					}
				}
			}
		}
	}
	if err := g.checkClip(be); err != nil {
		return err
	}
	return g.checkSchedules()
}

func (g *golden) checkTrajectory(be compute.Backend, cfg optim.Config, array, name string, double bool) error {
	p0, shape, err := g.get("p0." + name)
	if err != nil {
		return err
	}
	grads, _, err := g.get("grads." + name)
	if err != nil {
		return err
	}
	n := len(p0)
	part := optim.Part{Shape: shape, Hidden: cfg.Name == "muon"}
	exec, err := graph.NewExec(be, func(in []*node) []*node {
		theta, slots, _ := cfg.Update(in[0], in[1], in[3:], in[2], []optim.Part{part})
		return append([]*node{theta}, slots...)
	})
	if err != nil {
		return err
	}
	defer exec.Finalize()
	state := []any{tensor(p0, double, n)}
	for range cfg.Slots() {
		state = append(state, tensor(make([]float64, n), double, n))
	}
	var got []float64
	for s := range len(grads) / n {
		hyper := cfg.Hyper(cfg.LR, s+1)
		out, err := exec.Call(append([]any{state[0], tensor(grads[s*n:(s+1)*n], double, n), tensor(hyper[:], double, len(hyper))}, state[1:]...)...)
		if err != nil {
			return fmt.Errorf("%s: %w", array, err)
		}
		got = append(got, flat(out[0])...)
		for i := range state {
			state[i] = out[i]
		}
	}
	switch {
	case !double:
		g.want(array, got, 0)
	case cfg.Name == "muon":
		g.wantRelative(array, got, 1e-9)
	default:
		g.wantRelative(array, got, 1e-12)
	}
	return nil
}

func (g *golden) checkClip(be compute.Backend) error {
	var clip struct {
		Norm float64 `json:"max_norm"`
	}
	if err := g.section("clip", &clip); err != nil {
		return err
	}
	groups := map[string][]string{} // set → tensor names
	for name := range g.arrays {
		if rest, ok := strings.CutPrefix(name, "clip_in."); ok {
			set, part, _ := strings.Cut(rest, ".")
			groups[set] = append(groups[set], part)
		}
	}
	for set, parts := range groups {
		for _, double := range []bool{false, true} {
			suffix := ""
			if double {
				suffix = "64"
			}
			var all []float64
			for _, p := range parts {
				v, _, err := g.get("clip_in." + set + "." + p)
				if err != nil {
					return err
				}
				all = append(all, v...)
			}
			out, err := graph.CallOnceN(be, func(x *node) []*node {
				clipped, norm := optim.Clip(x, clip.Norm)
				return []*node{clipped, norm}
			}, tensor(all, double, len(all)))
			if err != nil {
				return fmt.Errorf("clip: %w", err)
			}
			clipped := flat(out[0])
			relative := 1e-6
			if double {
				relative = 1e-12
			}
			g.wantRelative("clip_norm"+suffix+"."+set, flat(out[1]), relative)
			for _, p := range parts {
				name := "clip_out" + suffix + "." + set + "." + p
				size := len(g.arrays[name].Float64s())
				if double {
					g.wantRelative(name, clipped[:size], relative)
				} else {
					g.want(name, clipped[:size], 0)
				}
				clipped = clipped[size:]
			}
		}
	}
	return nil
}

func (g *golden) checkSchedules() error {
	var schedules map[string]struct {
		Kind       string  `json:"kind"`
		LR         float64 `json:"lr"`
		Milestones []int   `json:"milestones"`
		Gamma      float64 `json:"gamma"`
		TMax       int     `json:"T_max"`
		EtaMin     float64 `json:"eta_min"`
	}
	if err := g.section("schedules", &schedules); err != nil {
		return err
	}
	for name, s := range schedules {
		ours := optim.Schedule{Kind: "multistep", By: "epoch", Milestones: s.Milestones, Gamma: s.Gamma}
		if s.Kind == "CosineAnnealingLR" {
			ours = optim.Schedule{Kind: "cosine", By: "epoch", Floor: s.EtaMin / s.LR}
		}
		var got []float64
		for e := range g.arrays["lr."+name].Float64s() {
			got = append(got, ours.LR(s.LR, optim.Progress{Epoch: e, Epochs: s.TMax}))
		}
		g.wantRelative("lr."+name, got, 1e-12)
	}
	return nil
}

// checkNewtonSchulz leaves out the bfloat16 results, which the tests of optim compare bit by bit where the backend rounds as the
// reference does; singular values describe the matrices.
func (g *golden) checkNewtonSchulz(be compute.Backend) error {
	for name := range g.arrays {
		id, ok := strings.CutPrefix(name, "in.")
		if !ok {
			continue
		}
		m, shape, err := g.get(name)
		if err != nil {
			return err
		}
		for _, double := range []bool{false, true} {
			out, err := graph.CallOnceN(be, func(x *node) []*node { return []*node{optim.NewtonSchulz(x)} }, tensor(m, double, shape...))
			if err != nil {
				return fmt.Errorf("newton-schulz: %w", err)
			}
			if double {
				g.wantRelative("out64."+id, flat(out[0]), 1e-10)
			} else {
				g.want("out32."+id, flat(out[0]), 0)
			}
		}
		g.skip("outbf16."+id, "singular_in."+id, "singular_out64."+id)
	}
	return nil
}

// checkMetrics compares with the strict rule (zeros and NaN masked, absolute target in MAPE), in double precision. The rules of
// the other code bases differ where labels are NaN, tiny or negative; the project does not follow them there.
func (g *golden) checkMetrics(be compute.Backend) error {
	for name := range g.arrays {
		set, ok := strings.CutPrefix(name, "strict.")
		if !ok {
			continue
		}
		y, shape, err := g.get("y." + set)
		if err != nil {
			return err
		}
		pred, _, err := g.get("pred." + set)
		if err != nil {
			return err
		}
		mask := make([]float64, len(y))
		for i, v := range y {
			if v == v && v != 0 {
				mask[i] = 1
			} else {
				y[i] = 0
			}
		}
		out, err := graph.CallOnceN(be, func(pred, y, mask *node) []*node {
			e := loss.New(pred, y, mask, datasets.Scaler{Std: 1}, true)
			return []*node{e.Sums(graph.OnesLike(e.Sum))}
		}, tensor(pred, true, shape...), tensor(y, true, shape...), tensor(mask, true, shape...))
		if err != nil {
			return fmt.Errorf("metrics: %w", err)
		}
		m, err := loss.NewMetrics(flat(out[0]))
		if err != nil {
			return err
		}
		var got []float64
		for h := range m.MAE {
			got = append(got, m.MAE[h], m.RMSE[h], m.MAPE[h])
		}
		for _, e := range []loss.Errors{m.Mean, m.Pooled} {
			got = append(got, e.MAE, e.RMSE, e.MAPE)
		}
		g.wantRelative(name, got, 1e-9)
	}
	for name := range g.arrays {
		for _, other := range []string{"graphwavenet.", "graphwavenet_nullnan.", "staeformer.", "basicts.", "largest."} {
			if strings.HasPrefix(name, other) {
				g.skip(name)
			}
		}
	}
	return nil
}

// checkWindows compares splits, scaler, calendar and window contents. Other scaler rules and the step-counter calendar belong
// to code bases whose rule is not ours.
func (g *golden) checkWindows(compute.Backend) error {
	values, shape, err := g.get("series")
	if err != nil {
		return err
	}
	s := &datasets.Series{Name: "golden", T: shape[0], N: shape[1], Values: float32s(values),
		Calendar: datasets.Calendar{Start: time.Date(2019, 3, 6, 0, 0, 0, 0, time.UTC), Step: 15 * time.Minute}}
	for n := range s.N {
		s.Nodes = append(s.Nodes, fmt.Sprint(n))
	}
	day := float64(s.Calendar.StepsPerDay())
	var tod, dow, minute, weekday []float64
	for t := range s.T {
		slot, d := s.Calendar.TimeOfDay(t), s.Calendar.DayOfWeek(t)
		tod, dow = append(tod, float64(slot)/day), append(dow, float64(d))
		minute = append(minute, float64(backbone.OpenCityMinute(slot, s.Calendar.StepsPerDay())))
		weekday = append(weekday, float64(backbone.OpenCityWeekday(d)))
	}
	g.wantRelative("calendar_tod", tod, 1e-12)
	g.wantRelative("calendar_dow", dow, 1e-12)
	g.wantRelative("opencity_minute", minute, 1e-12)
	g.wantRelative("opencity_weekday", weekday, 1e-12)

	for rule, ratio := range map[string][3]float64{"622": {6, 2, 2}, "712": {7, 1, 2}} {
		p := datasets.Protocol{History: 12, Horizon: 12, Ratio: ratio}
		w, err := p.Apply(s)
		if err != nil {
			return err
		}
		var bounds []float64
		for part, starts := range map[string][]int32{"train": w.Train, "val": w.Val, "test": w.Test} {
			for which, start := range map[string]int32{"first": starts[0], "last": starts[len(starts)-1]} {
				prefix := fmt.Sprintf("win.%s.%s.%s.", rule, part, which)
				var x, y []float64
				for t := int(start); t < int(start)+24; t++ {
					for n := range s.N {
						v := float64(s.Values[t*s.N+n])
						if t < int(start)+12 {
							x = append(x, v, float64(float32(tod[t])), dow[t])
						} else {
							y = append(y, v)
						}
					}
				}
				g.wantRelative(prefix+"x", x, 1e-12)
				g.wantRelative(prefix+"y", y, 1e-12)
			}
		}
		for _, starts := range [][]int32{w.Train, w.Val, w.Test} {
			bounds = append(bounds, float64(starts[0]), float64(starts[len(starts)-1]+1))
		}
		g.wantRelative("split."+rule, bounds, 1e-12)
		g.wantRelative("scaler."+rule+".stid", []float64{w.Scaler.Mean, w.Scaler.Std}, 1e-12)
		other, err := datasets.FitScaler(s, len(w.Train)-1) // LargeST and ST-TTC leave the last history out
		if err != nil {
			return err
		}
		for _, same := range []string{"largest", "st_ttc"} {
			g.wantRelative("scaler."+rule+"."+same, []float64{other.Mean, other.Std}, 1e-12)
		}
		g.skip("scaler."+rule+".windows", "split_graphwavenet."+rule)
	}

	table, size, err := g.get("split_table")
	if err != nil {
		return err
	}
	var got []float64
	for r := range size[0] {
		row := table[r*size[1]:]
		length := int(row[0])
		got = append(got, row[0], float64(length-23))
		for _, ratio := range [][3]float64{{6, 2, 2}, {7, 1, 2}} {
			train, val, test := datasets.Protocol{History: 12, Horizon: 12, Ratio: ratio}.Sizes(length - 23)
			got = append(got, float64(train), float64(val), float64(test))
		}
		got = append(got, row[8:11]...) // Graph WaveNet's rule
	}
	g.wantRelative("split_table", got, 1e-12)

	for _, steps := range []int{288, 144, 96, 48, 24, 8} {
		var slots []float64
		for i := range steps {
			slots = append(slots, float64(float32(float64(i)/float64(steps))))
		}
		g.wantRelative(fmt.Sprintf("tod32.%d", steps), slots, 1e-12)
		g.skip(fmt.Sprintf("tod32_wrong_in_f64.%d", steps))
	}
	g.skip("counter_tod", "counter_dow")
	return nil
}
