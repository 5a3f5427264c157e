package parity

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
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

// reference says how a reference's files translate into ours.
type reference struct {
	model    string // how the description's model begins
	backbone string
	config   func(g *golden, c config) (backbone.Config, error)
	input    func(g *golden, c backbone.Config, x *node) backbone.Input // of x [B,T,N,C] as the file has it

	// constants compares what the model derived (supports, eigenvectors) with the file. It returns the values to compute with, in
	// order: the file's where it has them or decides them, and in double precision where they were derived here.
	constants func(g *golden, own []backbone.Tensor) ([][]float64, error)

	variants []map[string]any // more options of ours, each of which must give the same arrays; nil: none
}

func references() []reference {
	return []reference{
		{"Graph WaveNet", "gwnet", gwnetConfig, gwnetInput, gwnetConstants, nil},
		{"OpenCity", "opencity", openCityConfig, openCityInput, openCityConstants, nil},
		{"STID", "stid", stidConfig, channels, nil, nil},
		{"STAEformer", "staeformer", staeformerConfig, channels, nil, staeformerVariants},
	}
}

func stidConfig(_ *golden, c config) (backbone.Config, error) {
	return backbone.Config{
		Nodes: c.int("num_nodes"), History: c.int("input_len"), Horizon: c.int("output_len"), StepsPerDay: c.int("time_of_day_size"),
		Options: map[string]any{
			"embed_dim": c.int("embed_dim"), "layers": c.int("num_layer"), "dropout": 0.0,
			"node_dim": c.when("if_node", c.int("node_dim")),
			"tod_dim":  c.when("if_T_i_D", c.int("temp_dim_tid")),
			"dow_dim":  c.when("if_D_i_W", c.int("temp_dim_diw")),
		},
	}, nil
}

// channels takes x apart whose channels are value, time of day and day of week. The time-of-day index is trunc(x·S) in float32. For
// their runs in float64, in which some products are too small, the references were given a time of day of at least index/S.
func channels(_ *golden, c backbone.Config, x *node) backbone.Input {
	d := x.Shape().Dimensions
	channel := func(c int) *node {
		return graph.Reshape(graph.Slice(x, graph.AxisRange(), graph.AxisRange(), graph.AxisRange(), graph.AxisRange(c, c+1)), d[0], d[1], d[2])
	}
	first := func(x *node) *node {
		return graph.Reshape(graph.Slice(x, graph.AxisRange(), graph.AxisRange(), graph.AxisRange(0, 1)), d[0], d[1])
	}
	tod, dow := first(channel(1)), first(channel(2))
	slot := graph.Floor(graph.MulScalar(graph.ConvertDType(tod, dtypes.Float32), c.StepsPerDay))
	if tod.DType() == dtypes.Float64 {
		tod = graph.Max(tod, graph.DivScalar(graph.ConvertDType(slot, dtypes.Float64), c.StepsPerDay))
	}
	return backbone.Input{
		Value: channel(0), Tod: tod, Dow: dow,
		TodIndex: graph.ConvertDType(slot, dtypes.Int32),
		DowIndex: graph.ConvertDType(dow, dtypes.Int32),
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

// subject is a model with a file's parameters and batch.
type subject struct {
	g         *golden
	ref       reference
	cfg       backbone.Config
	model     backbone.Backbone
	theta     []float64   // [P+K]
	params    int         // P
	constants [][]float64 // of the model
	scaler    datasets.Scaler
	losses    *graph.Exec // of lossGraph; one for losses, gradients and all optimisers, as compiling takes the time here
}

func (g *golden) checkModel(be compute.Backend) error {
	at := slices.IndexFunc(references(), func(r reference) bool { return strings.HasPrefix(g.meta.Model, r.model) })
	if at < 0 {
		return fmt.Errorf("model %s is not built yet", g.meta.Model)
	}
	ref := references()[at]
	for _, g.variant = range append([]map[string]any{nil}, ref.variants...) {
		s := &subject{g: g, ref: ref}
		if err := s.load(); err != nil {
			return err
		}
		for _, g.double = range []bool{false, true} {
			if err := s.check(be); err != nil {
				return err
			}
		}
	}
	return nil
}

// check compares all results, in the golden's precision.
func (s *subject) check(be compute.Backend) error {
	if err := s.checkForward(be); err != nil {
		return err
	}
	var err error
	if s.losses, err = graph.NewExec(be, s.lossGraph); err != nil {
		return err
	}
	defer s.losses.Finalize()
	for _, target := range []string{"y", "y2"} {
		if _, ok := s.g.arrays[target]; ok {
			if err := s.checkLoss(target); err != nil {
				return err
			}
		}
	}
	for name, settings := range s.g.meta.Optim {
		if err := s.checkSteps(be, name, settings); err != nil {
			return err
		}
	}
	return nil
}

func (s *subject) load() (err error) {
	if s.cfg, err = s.ref.config(s.g, s.g.meta.Config); err != nil {
		return err
	}
	maps.Copy(s.cfg.Options, s.g.variant)
	if s.model, err = backbone.New(s.ref.backbone, s.cfg); err != nil {
		return err
	}
	take := func(name string, size int) error {
		values, shape, err := s.g.get(name)
		if err != nil {
			return err
		}
		if len(values) != size {
			return fmt.Errorf("%s has %d values %v; the model needs %d", name, len(values), shape, size)
		}
		s.theta = append(s.theta, values...)
		return nil
	}
	for _, p := range s.model.Params() {
		if err := take("param."+p.Name, p.Size()); err != nil {
			return err
		}
	}
	s.params = len(s.theta)
	traits := s.model.Traits()
	for _, b := range traits.Buffers {
		if err := take("buffer."+b.Name, len(b.Values)); err != nil {
			return err
		}
	}
	if s.ref.constants != nil {
		if s.constants, err = s.ref.constants(s.g, traits.Constants); err != nil {
			return err
		}
	}
	scaler, _, err := s.g.get("scaler")
	if err != nil {
		return err
	}
	s.scaler = datasets.Scaler{Mean: scaler[0], Std: scaler[1]}
	for _, index := range []string{"tod_index", "dow_index"} { // what input computes itself
		if _, ok := s.g.arrays[index]; ok {
			s.g.skip(index)
		}
	}
	return nil
}

// args are the inputs of the graphs: theta, x and the constants, which pass takes apart, and with target its values y [B,Q,N] and
// the weights [B].
func (s *subject) args(target string) ([]any, error) {
	args := []any{tensor(s.theta, s.g.double, len(s.theta))}
	add := func(name string, cut int) error { // without the last cut axes, which are of size 1
		values, shape, err := s.g.get(name)
		if err == nil {
			args = append(args, tensor(values, s.g.double, shape[:len(shape)-cut]...))
		}
		return err
	}
	if err := add("x", 0); err != nil {
		return nil, err
	}
	for i, c := range s.model.Traits().Constants {
		args = append(args, tensor(s.constants[i], s.g.double, c.Shape...))
	}
	if target == "" {
		return args, nil
	}
	return args, errors.Join(add(target, 1), add("w", 0))
}

// pass builds the model's forecast [B,Q,N], in training mode if asked to, from the inputs of args. It returns the other inputs.
func (s *subject) pass(in []*node, training bool) (forecast *node, p *backbone.Pass, parts, more []*node) {
	theta, x, in := in[0], in[1], in[2:]
	var key *node
	if training {
		key = graph.Const(x.Graph(), []uint32{1, 2})
	}
	p, parts = backbone.NewPass(s.model, theta, in[:len(s.constants)], key)
	return s.model.Forward(p, s.ref.input(s.g, s.cfg, x)), p, parts, in[len(s.constants):]
}

// residuals compares with y [B,Q,N]; targets of 0 are missing.
func (s *subject) residuals(forecast, y *node) loss.Residuals {
	mask := graph.ConvertDType(graph.NotEqual(y, graph.ZerosLike(y)), y.DType())
	return loss.New(forecast, y, mask, s.scaler, s.model.Traits().Raw)
}

func (s *subject) checkForward(be compute.Backend) error {
	args, err := s.args("")
	if err != nil {
		return err
	}
	out, err := graph.CallOnceN(be, func(in []*node) []*node {
		eval, _, _, _ := s.pass(in, false)
		train, p, _, _ := s.pass(in, true)
		return []*node{eval, train, p.Theta(graph.Slice(in[0], graph.AxisRange(0, s.params)))}
	}, args...)
	if err != nil {
		return fmt.Errorf("forward: %w", err)
	}
	s.g.want("out_eval", flat(out[0]), 0)
	s.g.want("out_train_nodropout", flat(out[1]), 0)
	after := flat(out[2])[s.params:]
	for _, b := range s.model.Traits().Buffers {
		s.g.want("bn_after."+b.Name, after[:len(b.Values)], 0)
		after = after[len(b.Values):]
	}
	return nil
}

// What lossGraph returns.
const (
	pooledLoss   = iota
	sampleLoss   // [B]
	nodeLoss     // [B,N]
	weightedLoss // with the samples' weights
	pooledGrad   // [P]
	weightedGrad // [P]
	thetaAfter   // [P+K]: the same parameters, the buffers as the pass leaves them
)

// lossGraph measures targets y [B,Q,N] with weights [B] in training mode without dropout; inputs args, y, weights.
func (s *subject) lossGraph(in []*node) []*node {
	forecast, p, parts, more := s.pass(in, true)
	e, weights := s.residuals(forecast, more[0]), more[1]
	perNode := graph.Div(graph.ReduceSum(e.Abs, 1), graph.MaxScalar(graph.ReduceSum(e.Mask, 1), 1))
	pooled, weighted := loss.Reduction{}.Loss(e, graph.OnesLike(weights)), loss.Reduction{BySample: true}.Loss(e, weights)
	gradient := func(of *node) *node { return concatenate(graph.Gradient(of, parts...)) }
	return []*node{
		pooled, e.Level(), perNode, weighted, gradient(pooled), gradient(weighted),
		p.Theta(graph.Slice(in[0], graph.AxisRange(0, s.params))),
	}
}

// checkLoss compares losses, and for the main target the gradients of the pooled and the weighted loss.
func (s *subject) checkLoss(target string) error {
	args, err := s.args(target)
	if err != nil {
		return err
	}
	out, err := s.losses.Call(args...)
	if err != nil {
		return fmt.Errorf("loss: %w", err)
	}
	suffix := strings.TrimPrefix(target, "y")
	if suffix != "" {
		suffix = "_" + target
	}
	s.g.want("loss_batch"+suffix, flat(out[pooledLoss]), 0)
	s.g.want("loss_sample"+suffix, flat(out[sampleLoss]), 0)
	s.g.want("err_sample_node"+suffix, flat(out[nodeLoss]), 0)
	if target != "y" {
		return nil
	}
	s.g.want("loss_weighted", flat(out[weightedLoss]), 0)
	for prefix, gradient := range map[string][]float64{"grad.": flat(out[pooledGrad]), "gradw.": flat(out[weightedGrad])} {
		for _, p := range s.model.Params() {
			if _, ok := s.g.arrays[prefix+p.Name]; ok || s.g.has(prefix) && !p.Unused {
				s.g.want(prefix+p.Name, gradient[:p.Size()], 0)
			}
			gradient = gradient[p.Size():]
		}
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
func (s *subject) checkSteps(be compute.Backend, name string, settings json.RawMessage) error {
	var o optimSettings
	if err := json.Unmarshal(settings, &o); err != nil {
		return fmt.Errorf("optimiser %s: %w", name, err)
	}
	cfg := o.config(name, 5)
	if err := cfg.Check(); err != nil {
		return err
	}
	args, err := s.args("y")
	if err != nil {
		return err
	}
	update, err := graph.NewExec(be, func(in []*node) []*node {
		theta, grad, hyper, slots := in[0], in[1], in[2], in[3:]
		params := graph.Slice(theta, graph.AxisRange(0, s.params))
		params, slots, norm := cfg.Update(params, grad, slots, hyper, backbone.Parts(s.model))
		if theta.Shape().Size() > s.params { // the buffers follow
			params = graph.Concatenate([]*node{params, graph.Slice(theta, graph.AxisRange(s.params))}, 0)
		}
		return append([]*node{norm, params}, slots...)
	})
	if err != nil {
		return err
	}
	defer update.Finalize()
	var slots []any
	for range cfg.Slots() {
		slots = append(slots, tensor(make([]float64, s.params), s.g.double, s.params))
	}
	var losses, norms, after []float64
	for step := range 4 {
		out, err := s.losses.Call(args...)
		if err != nil {
			return fmt.Errorf("optimiser %s: %w", name, err)
		}
		losses = append(losses, flat(out[pooledLoss])...)
		if step == 3 {
			break
		}
		hyper := cfg.Hyper(cfg.LR, step+1)
		moved, err := update.Call(append([]any{out[thetaAfter], out[pooledGrad], tensor(hyper[:], s.g.double, len(hyper))}, slots...)...)
		if err != nil {
			return fmt.Errorf("optimiser %s: %w", name, err)
		}
		norms = append(norms, flat(moved[0])...)
		after = flat(moved[1])
		args[0] = moved[1]
		for i := range slots {
			slots[i] = moved[2+i]
		}
	}
	s.g.want("loss."+name, losses, 0)
	if _, ok := s.g.arrays["gradnorm."+name]; ok {
		s.g.want("gradnorm."+name, norms, 0)
	}
	for _, p := range s.model.Params() {
		s.g.want("after."+name+"."+p.Name, after[:p.Size()], 0)
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

func float64s(v []float32) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out
}

// flat copies a result to the host.
func flat(t *tensors.Tensor) []float64 {
	if t.DType() == dtypes.Float64 {
		return tensors.MustCopyFlatData[float64](t)
	}
	return float64s(tensors.MustCopyFlatData[float32](t))
}
