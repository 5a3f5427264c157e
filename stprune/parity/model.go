package parity

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/stprune/backbone"
	"github.com/stprune/workbench/stprune/loss"
	"github.com/stprune/workbench/stprune/optim"
)

type node = graph.Node

// reference says how a reference's configuration translates into ours.
type reference struct {
	backbone string
	config   func(c config) backbone.Config
}

func references() map[string]reference {
	return map[string]reference{
		"STID": {"stid", func(c config) backbone.Config {
			return backbone.Config{
				Nodes: c.int("num_nodes"), History: c.int("input_len"), Horizon: c.int("output_len"), StepsPerDay: c.int("time_of_day_size"),
				Options: map[string]any{
					"embed_dim": c.int("embed_dim"), "layers": c.int("num_layer"), "dropout": 0.0,
					"node_dim": c.when("if_node", c.int("node_dim")),
					"tod_dim":  c.when("if_T_i_D", c.int("temp_dim_tid")),
					"dow_dim":  c.when("if_D_i_W", c.int("temp_dim_diw")),
				},
			}
		}},
	}
}

// config is the configuration of a reference, as its description gives it.
type config map[string]any

func (c config) int(key string) int {
	f, _ := c[key].(float64)
	return int(f)
}

// when is value, or 0 when the switch is there and off.
func (c config) when(key string, value int) int {
	if on, ok := c[key].(bool); ok && !on {
		return 0
	}
	return value
}

// sample is the batch of a file, as constants for a graph.
type sample struct {
	x      *tensors.Tensor // [B,T,N,C]
	y      *tensors.Tensor // [B,Q,N]
	w      *tensors.Tensor // [B]
	scaler datasets.Scaler
	steps  int // per day
}

func (g *golden) sample(target string, steps int) (sample, error) {
	s := sample{steps: steps}
	for _, a := range []struct {
		name string
		to   **tensors.Tensor
		cut  int // trailing axes of size 1 to drop
	}{{"x", &s.x, 0}, {target, &s.y, 1}, {"w", &s.w, 0}} {
		values, shape, err := g.get(a.name)
		if err != nil {
			return s, err
		}
		*a.to = tensors.FromFlatDataAndDimensions(float32s(values), shape[:len(shape)-a.cut]...)
	}
	scaler, _, err := g.get("scaler")
	if err != nil {
		return s, err
	}
	s.scaler = datasets.Scaler{Mean: scaler[0], Std: scaler[1]}
	return s, nil
}

// input takes the reference's x [B,T,N,C] apart. The time-of-day index is trunc(x·S) in float32.
func (s sample) input(x *node) backbone.Input {
	d := x.Shape().Dimensions
	channel := func(c int) *node {
		return graph.Reshape(graph.Slice(x, graph.AxisRange(), graph.AxisRange(), graph.AxisRange(), graph.AxisRange(c, c+1)), d[0], d[1], d[2])
	}
	first := func(x *node) *node {
		return graph.Reshape(graph.Slice(x, graph.AxisRange(), graph.AxisRange(), graph.AxisRange(0, 1)), d[0], d[1])
	}
	tod, dow := first(channel(1)), first(channel(2))
	return backbone.Input{
		Value: channel(0), Tod: tod, Dow: dow,
		TodIndex: graph.ConvertDType(graph.Floor(graph.MulScalar(tod, s.steps)), dtypes.Int32),
		DowIndex: graph.ConvertDType(dow, dtypes.Int32),
	}
}

// residuals runs the model on the sample; targets of 0 are missing.
func (s sample) residuals(b backbone.Backbone, p *backbone.Pass, x, y *node) (*node, loss.Residuals) {
	out := b.Forward(p, s.input(x))
	mask := graph.ConvertDType(graph.NotEqual(y, graph.ZerosLike(y)), y.DType())
	return out, loss.New(out, y, mask, s.scaler)
}

func (g *golden) checkModel(be compute.Backend) error {
	ref, ok := references()[g.meta.Model]
	if !ok {
		return fmt.Errorf("model %s is not built yet", g.meta.Model)
	}
	c := ref.config(g.meta.Config)
	b, err := backbone.New(ref.backbone, c)
	if err != nil {
		return err
	}
	var theta []float32
	for _, p := range b.Params() {
		values, _, err := g.get("param." + p.Name)
		if err != nil {
			return err
		}
		if len(values) != p.Size() {
			return fmt.Errorf("param.%s has %d values; the model needs %v", p.Name, len(values), p.Shape)
		}
		theta = append(theta, float32s(values)...)
	}
	for _, index := range []string{"tod_index", "dow_index"} { // what input computes itself
		if _, ok := g.arrays[index]; ok {
			g.skip(index)
		}
	}
	if err := g.checkForward(be, b, c, theta); err != nil {
		return err
	}
	for _, target := range []string{"y", "y2"} {
		if _, ok := g.arrays[target]; ok {
			if err := g.checkLoss(be, b, c, theta, target); err != nil {
				return err
			}
		}
	}
	for name, settings := range g.meta.Optim {
		if err := g.checkSteps(be, b, c, theta, name, settings); err != nil {
			return err
		}
	}
	return nil
}

func (g *golden) checkForward(be compute.Backend, b backbone.Backbone, c backbone.Config, theta []float32) error {
	s, err := g.sample("y", c.StepsPerDay)
	if err != nil {
		return err
	}
	out, err := graph.CallOnceN(be, func(theta, x, key *node) []*node {
		eval, _ := backbone.NewPass(b, theta, nil)
		train, _ := backbone.NewPass(b, theta, key)
		return []*node{b.Forward(eval, s.input(x)), b.Forward(train, s.input(x))}
	}, tensors.FromFlatDataAndDimensions(theta, len(theta)), s.x, []uint32{1, 2})
	if err != nil {
		return fmt.Errorf("forward: %w", err)
	}
	g.want("out_eval", flat(out[0]), 0)
	g.want("out_train_nodropout", flat(out[1]), 0)
	return nil
}

// checkLoss compares losses, and for the main target the gradients of the pooled and the weighted loss.
func (g *golden) checkLoss(be compute.Backend, b backbone.Backbone, c backbone.Config, theta []float32, target string) error {
	s, err := g.sample(target, c.StepsPerDay)
	if err != nil {
		return err
	}
	run := func(name string, r loss.Reduction, weights *tensors.Tensor) ([][]float64, error) {
		out, err := graph.CallOnceN(be, func(theta, x, y, w *node) []*node {
			pass, parts := backbone.NewPass(b, theta, nil)
			_, e := s.residuals(b, pass, x, y)
			total := r.Loss(e, w)
			perNode := graph.Div(graph.ReduceSum(e.Abs, 1), graph.MaxScalar(graph.ReduceSum(e.Mask, 1), 1))
			return append([]*node{total, e.Level(), perNode}, graph.Gradient(total, parts...)...)
		}, tensors.FromFlatDataAndDimensions(theta, len(theta)), s.x, s.y, weights)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		var values [][]float64
		for _, o := range out {
			values = append(values, flat(o))
		}
		return values, nil
	}
	suffix := strings.TrimPrefix(target, "y")
	if suffix != "" {
		suffix = "_" + target
	}
	ones := make([]float32, s.w.Shape().Size())
	for i := range ones {
		ones[i] = 1
	}
	pooled, err := run("loss", loss.Reduction{}, tensors.FromFlatDataAndDimensions(ones, len(ones)))
	if err != nil {
		return err
	}
	g.want("loss_batch"+suffix, pooled[0], 0)
	g.want("loss_sample"+suffix, pooled[1], 0)
	g.want("err_sample_node"+suffix, pooled[2], 0)
	if target != "y" {
		return nil
	}
	weighted, err := run("weighted loss", loss.Reduction{BySample: true}, s.w)
	if err != nil {
		return err
	}
	g.want("loss_weighted", weighted[0], 0)
	for i, p := range b.Params() {
		g.want("grad."+p.Name, pooled[3+i], 0)
		g.want("gradw."+p.Name, weighted[3+i], 0)
	}
	return nil
}

// optimSettings is how the descriptions write an optimiser.
type optimSettings struct {
	Kind        string     `json:"kind"`
	LR          float64    `json:"lr"`
	Momentum    float64    `json:"momentum"`
	WeightDecay float64    `json:"weight_decay"`
	Nesterov    bool       `json:"nesterov"`
	Betas       [2]float64 `json:"betas"`
	Eps         float64    `json:"eps"`

	Muon  *optimSettings `json:"muon"`
	AdamW *optimSettings `json:"adamw"` // the rest of a Muon set-up
}

func (o optimSettings) config(name string, clip float64) optim.Config {
	c := optim.Config{Name: name, LR: o.LR, Momentum: o.Momentum, WeightDecay: o.WeightDecay, Nesterov: o.Nesterov,
		Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, Clip: clip}
	if o.Betas != [2]float64{} {
		c.Beta1, c.Beta2 = o.Betas[0], o.Betas[1]
	}
	if o.Eps != 0 {
		c.Eps = o.Eps
	}
	if o.Muon != nil {
		c = o.Muon.config(name, clip)
		if a := o.AdamW; a != nil {
			c.AuxLR, c.Beta1, c.Beta2, c.Eps = a.LR, a.Betas[0], a.Betas[1], a.Eps
		}
	}
	return c
}

// checkSteps repeats three optimiser steps on the same batch, gradient clipped at 5.
func (g *golden) checkSteps(be compute.Backend, b backbone.Backbone, c backbone.Config, theta []float32, name string, settings json.RawMessage) error {
	var o optimSettings
	if err := json.Unmarshal(settings, &o); err != nil {
		return fmt.Errorf("optimiser %s: %w", name, err)
	}
	cfg := o.config(name, 5)
	if err := cfg.Check(); err != nil {
		return err
	}
	s, err := g.sample("y", c.StepsPerDay)
	if err != nil {
		return err
	}
	exec, err := graph.NewExec(be, func(in []*node) []*node {
		theta, hyper, x, y, slots := in[0], in[1], in[2], in[3], in[4:]
		pass, parts := backbone.NewPass(b, theta, nil)
		_, e := s.residuals(b, pass, x, y)
		total := loss.Reduction{}.Loss(e, graph.OnesLike(e.Sum))
		newTheta, newSlots, norm := cfg.Update(theta, concatenate(graph.Gradient(total, parts...)), slots, hyper, backbone.Parts(b))
		return append([]*node{total, norm, newTheta}, newSlots...)
	})
	if err != nil {
		return err
	}
	defer exec.Finalize()
	state := []any{tensors.FromFlatDataAndDimensions(theta, len(theta))}
	for range cfg.Slots() {
		state = append(state, tensors.FromFlatDataAndDimensions(make([]float32, len(theta)), len(theta)))
	}
	var losses, norms, after []float64
	for step := range 4 {
		hyper := cfg.Hyper(cfg.LR, step+1)
		out, err := exec.Call(append([]any{state[0], float32s(hyper[:]), s.x, s.y}, state[1:]...)...)
		if err != nil {
			return fmt.Errorf("optimiser %s: %w", name, err)
		}
		losses = append(losses, flat(out[0])...)
		if step < 3 {
			norms = append(norms, flat(out[1])...)
			after = flat(out[2])
			for i := range state {
				state[i] = out[2+i]
			}
		}
	}
	g.want("loss."+name, losses, 0)
	if _, ok := g.arrays["gradnorm."+name]; ok {
		g.want("gradnorm."+name, norms, 0)
	}
	for _, p := range b.Params() {
		g.want("after."+name+"."+p.Name, after[:p.Size()], 0)
		after = after[p.Size():]
	}
	return nil
}

func concatenate(parts []*node) *node {
	for i, p := range parts {
		parts[i] = graph.Reshape(p, p.Shape().Size())
	}
	return graph.Concatenate(parts, 0)
}

func float32s(v []float64) []float32 {
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(x)
	}
	return out
}

// flat copies a result to the host.
func flat(t *tensors.Tensor) []float64 {
	if t.DType() == dtypes.Float64 {
		return tensors.MustCopyFlatData[float64](t)
	}
	v := tensors.MustCopyFlatData[float32](t)
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out
}
