package run

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/stprune"
	"github.com/stprune/workbench/stprune/accel"
	"github.com/stprune/workbench/stprune/loss"
	"github.com/stprune/workbench/stprune/method"
	"github.com/stprune/workbench/stprune/optim"
	"github.com/stprune/workbench/stprune/train"
)

// Spec says everything about a run. Start from [DefaultSpec]; as TOML, what is left out keeps its default and an unknown key
// is an error.
type Spec struct {
	Name  string `toml:"name"`  // free text; not part of the run's id
	Notes string `toml:"notes"` // free text; not part of the run's id

	Data     Data           `toml:"data"`
	Model    Model          `toml:"model"`
	Optim    optim.Config   `toml:"optim"`
	Schedule optim.Schedule `toml:"schedule"`
	Train    Train          `toml:"train"`
	Prune    Prune          `toml:"prune"`
	Backend  Backend        `toml:"backend"`
}

// Data says what is forecast from what.
type Data struct {
	// Name of a data set, or the path of its folder. The id counts what is in it, not what it is called.
	Name string `toml:"name"`
	// More data sets to train one model on jointly, each batch from one; for backbones that don't depend on the nodes. Default none.
	More    []string `toml:"more"`
	History int      `toml:"history"` // input steps; 0 is one day of each data set; default 12
	Horizon int      `toml:"horizon"` // forecast steps; 0 is one day of each data set; default 12
	// Split is train : validation : test by window index. Default [6, 2, 2].
	Split []float64 `toml:"split"`
	// Dates are the first day of validation and the first day of test; they replace Split. Default none.
	Dates []toml.LocalDate `toml:"dates"`
}

// Model is a backbone and its own options, e.g. node_dim = 32.
type Model struct {
	Backbone string         `toml:"backbone"` // default "stid"
	Options  map[string]any `toml:"options"`  // numbers, booleans and text; default: the backbone's own
	// Init is the id of a finished run in the same store whose best parameters training begins with. Default none.
	Init string `toml:"init"`
}

// Train is the training loop.
type Train struct {
	Epochs    int `toml:"epochs"`     // default 20
	MaxSteps  int `toml:"max_steps"`  // optimiser steps after which the run ends, also within an epoch; schedules go over them; default 0, none
	Batch     int `toml:"batch"`      // units per step; default 64
	EvalBatch int `toml:"eval_batch"` // windows per evaluation step; default 64
	// MicroBatch is how many units of a step pass at once. Their gradients are added up to the batch's, so that memory holds the arrays of
	// these only; results are the same but for rounding and for which values dropout leaves out. Not for Graph WaveNet, which normalises
	// by the batch, and not with several devices. Default 0, the whole batch.
	MicroBatch int    `toml:"micro_batch,omitempty"`
	Unit       string `toml:"unit"` // "window", "pair" (one node of a window) or "block" (some of its nodes); default "window"
	// ValidateEvery is in epochs. 0 validates as often as the windows × nodes trained on since the last time reach those of the
	// validation part, so that short epochs don't make validating the most of a run. The last epoch is always validated. Default 0.
	ValidateEvery int `toml:"validate_every"`
	// Block is the largest number of nodes of a block; the blocks of a window are equal in size but for one node. Default 32.
	Block int `toml:"block,omitempty"`
	// BlockBy deals the nodes out to the blocks: "random", anew in each epoch, so that what a method learns of a block is about its
	// window; "graph", by the data set's graph; or "correlation", by how the nodes' values go together. Default "random".
	BlockBy string `toml:"block_by,omitempty"`
	// Only trains parameters whose names begin with one of these, e.g. "linear." for OpenCity's head. Default all.
	Only     []string `toml:"only"`
	Seed     uint64   `toml:"seed"`     // of initialisation, order and dropout; default 1
	Patience int      `toml:"patience"` // epochs without a better validation after which the run ends, with the next validation; default 0, none

	Loss         string  `toml:"loss"`           // "mae" or "huber"; default "mae"
	HuberDelta   float64 `toml:"huber_delta"`    // raw units; default 1
	LossUnmasked bool    `toml:"loss_unmasked"`  // train on missing targets as if the marking value were measured; default false
	LossBySample bool    `toml:"loss_by_sample"` // mean of the samples' masked means instead of the pooled masked mean; default false
	LossPerBatch bool    `toml:"loss_per_batch"` // divide by the number of units instead of the sum of weights; default false
}

// Prune is a method of [method.All] and its settings. Four of them have defaults of their own here: Epochs must stay 0,
// since train.epochs says it; Seed 0 is train.seed; MinUnits 0 is one batch of a pruned epoch.
type Prune struct {
	Method  string         `toml:"method"`  // default "full"
	Options map[string]any `toml:"options"` // the method's own, see [method.Method]; default: the method's
	stprune.Config

	own *method.Method // not in the table, see [Spec.Use]
}

// Use makes the spec prune by a method of one's own, which chooses anew in each epoch. The run's id counts the method's name and
// options and not its code: give it a new name when it is to choose otherwise.
func (s *Spec) Use(m method.Method) error {
	listed := slices.Contains(method.Names(), m.Name) || slices.ContainsFunc(method.NotApplicable(), func(n method.Inapplicable) bool { return n.Name == m.Name })
	if listed || m.Name == "" {
		return fmt.Errorf("spec: a method of one's own is called %q; give it a name that `stprune methods` does not list", m.Name)
	}
	if m.Kind != method.Dynamic || m.Needs != (method.Needs{}) || m.New == nil {
		return fmt.Errorf("spec: method %s is not a dynamic one without needs; such methods have their place in package method", m.Name)
	}
	s.Prune.Method, s.Prune.own = m.Name, &m
	return nil
}

func (p Prune) method() (method.Method, error) {
	if p.own != nil && p.own.Name == p.Method {
		return *p.own, nil
	}
	return method.ByName(p.Method)
}

// Backend is where the run computes.
type Backend struct {
	// Name as [accel.Open] takes it: "auto", "xla", "xla:cpu", "xla:cuda", "go". Default "auto". The id counts what it becomes.
	Name string `toml:"name"`
	// Devices of the backend that share each training step, see [train.Config]; everything else takes the first. Default 1.
	Devices int `toml:"devices,omitempty"`
	// Stream sends each step the windows that it reads instead of keeping the series on the device: "always", "never", or "auto", where
	// the series would take much of the memory. The results are the same bits, so the id doesn't count it. Default "auto".
	Stream string `toml:"stream,omitempty"`
}

// streamed tells whether the series are to stay in the host's memory: by themselves, if a copy on the device takes more than an eighth
// of this machine's memory or, on a GPU, whose memory isn't known, more than 2 GB.
func (b Backend) streamed(kind string, sources []train.Source) bool {
	if b.Stream != "auto" {
		return b.Stream == "always"
	}
	bytes, limit := int64(0), train.MachineMemory()/8
	for _, s := range sources {
		bytes += 4 * int64(len(s.Series.Values))
	}
	if kind == accel.CUDA {
		limit = 2e9
	}
	return limit > 0 && bytes > limit
}

// DefaultSpec returns the defaults named at each field: STID on all data. Only data.name is missing.
func DefaultSpec() Spec {
	prune := stprune.DefaultConfig()
	prune.Seed, prune.Epochs, prune.MinUnits = 0, 0, 0
	return Spec{
		Data:     Data{More: []string{}, History: 12, Horizon: 12, Split: []float64{6, 2, 2}, Dates: []toml.LocalDate{}},
		Model:    Model{Backbone: "stid", Options: map[string]any{}},
		Optim:    optim.Default(),
		Schedule: optim.Schedule{Kind: "constant", By: "step", Milestones: []int{}, Gamma: 0.1},
		Train: Train{Epochs: 20, Batch: 64, EvalBatch: 64, Unit: train.Window, Block: 32, BlockBy: train.Random, Only: []string{}, Seed: 1,
			Loss: "mae", HuberDelta: 1},
		Prune:   Prune{Method: "full", Options: map[string]any{}, Config: prune},
		Backend: Backend{Name: "auto", Devices: 1, Stream: "auto"},
	}
}

// ParseSpec reads TOML over the defaults. The result is not yet checked, see [Spec.Check].
func ParseSpec(text []byte) (Spec, error) {
	s := DefaultSpec()
	if err := s.Merge(text); err != nil {
		return Spec{}, err
	}
	return s, nil
}

// Merge reads TOML over the spec: what the text leaves out stays. After an error the spec is as it was.
func (s *Spec) Merge(text []byte) error {
	merged := s.clone()
	if err := merged.decode(text); err != nil {
		return fmt.Errorf("spec: %w", err)
	}
	*s = merged
	return nil
}

// Load reads a spec file.
func Load(path string) (Spec, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Spec{}, fmt.Errorf("spec: %w", err)
	}
	s, err := ParseSpec(text)
	if err != nil {
		return Spec{}, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// Set changes single settings, each written "key=value" with the key's full name, e.g. "prune.rho=0.05", "train.unit=pair"
// or "data.split=[7,1,2]". Text needs no quotes. When one setting is wrong, nothing is changed.
func (s *Spec) Set(settings ...string) error {
	changed := s.clone()
	for _, setting := range settings {
		key, value, ok := strings.Cut(setting, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if !ok || key == "" {
			return fmt.Errorf("setting %q: want key=value, e.g. prune.rho=0.05", setting)
		}
		if strings.ContainsAny(setting, "\r\n") {
			return fmt.Errorf("setting %q: it has more than one line; give each setting by itself", setting)
		}
		tried := changed.clone()
		err := tried.decode([]byte(key + " = " + value))
		if err != nil {
			// Perhaps it is text without quotes. When that fails too, the first error says more.
			tried = changed.clone()
			quoted, _ := json.Marshal(value) // a string always encodes, and TOML reads JSON's strings
			if second := tried.decode(fmt.Appendf(nil, "%s = %s", key, quoted)); second != nil {
				if errors.Is(second, errUnknownKey) {
					err = second
				}
				return fmt.Errorf("setting %q: %w", setting, err)
			}
		}
		changed = tried
	}
	*s = changed
	return nil
}

// decode overlays TOML on the spec.
func (s *Spec) decode(text []byte) error {
	d := toml.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	err := d.Decode(s)
	if unknown := new(toml.StrictMissingError); errors.As(err, &unknown) {
		key := strings.Join(unknown.Errors[0].Key(), ".")
		known := knownKeys(key)
		if near, ok := misspelt(key); ok {
			return fmt.Errorf("%w %s, perhaps %s; there are %s", errUnknownKey, key, near, strings.Join(known, ", "))
		}
		own := ""
		switch table, name, _ := strings.Cut(key, "."); table {
		case "prune":
			own = "; an option of the method is prune.options." + name
		case "model":
			own = "; an option of the backbone is model.options." + name
		}
		return fmt.Errorf("%w %s; there are %s%s", errUnknownKey, key, strings.Join(known, ", "), own)
	}
	if wrong := new(toml.DecodeError); errors.As(err, &wrong) {
		row, _ := wrong.Position()
		return fmt.Errorf("line %d, key %q: %w", row, strings.Join(wrong.Key(), "."), err)
	}
	return err
}

var errUnknownKey = errors.New("unknown key")

// misspelt is the setting that a key differs from by one letter, or by two where its name has at least six.
func misspelt(key string) (string, bool) {
	spec := DefaultSpec()
	most := 1
	if len(key)-strings.LastIndexByte(key, '.') > 6 {
		most = 2
	}
	nearest, least := "", most+1
	for _, f := range spec.fields() {
		if far := farApart(key, f.key); far < least {
			nearest, least = f.key, far
		}
	}
	return nearest, least <= most
}

// knownKeys are the keys of the table that key is in, or when there is no such table those of the top level.
func knownKeys(key string) []string {
	var all map[string]any
	if err := toml.Unmarshal(DefaultSpec().TOML(), &all); err != nil {
		return nil
	}
	name, _, _ := strings.Cut(key, ".")
	table, ok := all[name].(map[string]any)
	if !ok {
		return slices.Sorted(maps.Keys(all))
	}
	var keys []string
	for k := range table {
		keys = append(keys, name+"."+k)
	}
	slices.Sort(keys)
	return keys
}

func (s Spec) clone() Spec {
	s.Data.More = slices.Clone(s.Data.More)
	s.Data.Split = slices.Clone(s.Data.Split)
	s.Data.Dates = slices.Clone(s.Data.Dates)
	s.Model.Options = maps.Clone(s.Model.Options)
	s.Schedule.Milestones = slices.Clone(s.Schedule.Milestones)
	s.Train.Only = slices.Clone(s.Train.Only)
	s.Prune.Options = maps.Clone(s.Prune.Options)
	return s
}

// TOML writes every setting, defaults included, always in the same order.
func (s Spec) TOML() []byte {
	var out bytes.Buffer
	if err := toml.NewEncoder(&out).Encode(s); err != nil {
		// Only values that TOML does not know can fail, which Check names.
		return fmt.Appendf(nil, "# not encodable: %v\n", err)
	}
	return out.Bytes()
}

// Check reports the first setting that makes no sense, by its key and with what to do.
func (s Spec) Check() error {
	for _, c := range []struct {
		key   string
		value int
		least int
	}{
		{"data.history", s.Data.History, 0}, {"data.horizon", s.Data.Horizon, 0},
		{"train.epochs", s.Train.Epochs, 1}, {"train.max_steps", s.Train.MaxSteps, 0}, {"train.batch", s.Train.Batch, 1}, {"train.eval_batch", s.Train.EvalBatch, 1},
		{"train.micro_batch", s.Train.MicroBatch, 0}, {"train.block", s.Train.Block, 1},
		{"train.validate_every", s.Train.ValidateEvery, 0}, {"train.patience", s.Train.Patience, 0}, {"prune.min_units", s.Prune.MinUnits, 0},
		{"backend.devices", s.Backend.Devices, 1},
	} {
		if c.value < c.least || c.value > math.MaxInt32 {
			return fmt.Errorf("%s = %d; want a whole number from %d to %d", c.key, c.value, c.least, math.MaxInt32)
		}
	}
	for key, seed := range map[string]uint64{"train.seed": s.Train.Seed, "prune.seed": s.Prune.Seed} {
		if seed > math.MaxInt64 {
			return fmt.Errorf("%s = %d; want at most %d, the largest number of TOML", key, seed, math.MaxInt64)
		}
	}
	if s.Data.Name == "" {
		return errors.New("data.name is empty; set it to the name of a data set or the path of its folder")
	}
	if s.Model.Init != "" && !idForm.MatchString(s.Model.Init) {
		return fmt.Errorf("model.init = %q; want the whole id of a run, 16 hexadecimal digits: `stprune runs list` shows them", s.Model.Init)
	}
	if len(s.Data.Dates) != 0 {
		if len(s.Data.Dates) != 2 || !s.Data.Dates[0].AsTime(time.UTC).Before(s.Data.Dates[1].AsTime(time.UTC)) {
			return fmt.Errorf("data.dates = %v; want two days, the first of validation and a later one, the first of test", s.Data.Dates)
		}
	} else {
		good := len(s.Data.Split) == 3
		for _, part := range s.Data.Split {
			good = good && part > 0 && !math.IsInf(part, 0)
		}
		if !good {
			return fmt.Errorf("data.split = %v; want three numbers above 0 for train, validation and test, e.g. [6, 2, 2]", s.Data.Split)
		}
	}
	for key, v := range s.Model.Options {
		switch v := v.(type) {
		case bool, string, int64, int:
		case float64:
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return fmt.Errorf("model.options.%s = %v; want a finite number", key, v)
			}
		default:
			return fmt.Errorf("model.options.%s = %v; want a number, true, false or text", key, v)
		}
	}
	if u := s.Train.Unit; u != train.Window && u != train.Pair && u != train.Block {
		return fmt.Errorf("train.unit = %q; choose %q, %q or %q", u, train.Window, train.Pair, train.Block)
	}
	if by := s.Train.BlockBy; by != train.Random && by != train.ByGraph && by != train.Correlation {
		return fmt.Errorf("train.block_by = %q; choose %q, %q or %q", by, train.Random, train.ByGraph, train.Correlation)
	}
	if s.Train.Loss != "mae" && s.Train.Loss != "huber" {
		return fmt.Errorf("train.loss = %q; choose mae or huber", s.Train.Loss)
	}
	if d := s.Train.HuberDelta; !(d > 0) || math.IsInf(d, 0) {
		return fmt.Errorf("train.huber_delta = %v; want a number above 0, in the data's unit", d)
	}
	if err := s.Optim.Check(); err != nil {
		return err
	}
	if err := s.Schedule.Check(); err != nil {
		return err
	}
	if head, _, _ := strings.Cut(s.Backend.Name, ","); !slices.Contains(backends, head) && !strings.HasPrefix(head, "xla:/") {
		return fmt.Errorf("backend.name = %q; choose one of %s, or xla:/path/of/a/plugin.so", s.Backend.Name, strings.Join(backends, ", "))
	}
	if by := s.Backend.Stream; by != "auto" && by != "always" && by != "never" {
		return fmt.Errorf("backend.stream = %q; choose auto, always or never", by)
	}
	if s.Prune.Epochs != 0 {
		return fmt.Errorf("prune.epochs = %d; leave it out: train.epochs says how long the run is", s.Prune.Epochs)
	}
	m, err := s.Prune.method()
	if err != nil {
		return fmt.Errorf("prune.method = %q: %w", s.Prune.Method, err)
	}
	if _, err := m.Complete(s.Prune.Options); err != nil {
		return fmt.Errorf("prune.options: %w", err)
	}
	if s.Prune.Method == "full" {
		return nil
	}
	return s.pruning().Check()
}

// backends are the names that accel.Open knows.
var backends = []string{"auto", "xla", "xla:cpu", "xla:cuda", "go"}

// Protocol turns a data set with that many steps a day into windows.
func (s Spec) Protocol(stepsPerDay int) datasets.Protocol {
	p := datasets.Protocol{History: cmp.Or(s.Data.History, stepsPerDay), Horizon: cmp.Or(s.Data.Horizon, stepsPerDay)}
	if len(s.Data.Dates) == 2 {
		p.Dates = [2]time.Time{s.Data.Dates[0].AsTime(time.UTC), s.Data.Dates[1].AsTime(time.UTC)}
	} else {
		copy(p.Ratio[:], s.Data.Split)
	}
	return p
}

// pruning is the method's settings with all that follows from the rest of the spec filled in.
func (s Spec) pruning() stprune.Config {
	c := s.Prune.Config
	c.Epochs = s.Train.Epochs
	if m, err := method.ByName(s.Prune.Method); err == nil && m.Kind == method.Static { // one subset for all epochs
		c.WarmUp, c.Delta, c.Anneal, c.Budget = 0, 1, "none", 0
	}
	if c.Seed == 0 {
		c.Seed = s.Train.Seed
	}
	if c.MinUnits == 0 { // one batch
		switch {
		case c.PrunedBatch > 0:
			c.MinUnits = c.PrunedBatch
		case c.BatchPolicy == "keep-steps" && c.Budget == 0:
			c.MinUnits = max(1, int(math.Round(float64(s.Train.Batch)*c.Rho)))
		case c.BatchPolicy == "keep-steps": // ρ is not known before the budget is solved
			c.MinUnits = 1
		default:
			c.MinUnits = s.Train.Batch
		}
	}
	return c
}

// training is the trainer's part; prunedBatch is the batch of pruned epochs.
func (s Spec) training(prunedBatch int) train.Config {
	m, _ := s.Prune.method() // which [Spec.Check] knows
	reduction := loss.Reduction{BySample: s.Train.LossBySample, PerBatch: s.Train.LossPerBatch, Unmasked: s.Train.LossUnmasked}
	if s.Train.Loss == "huber" {
		reduction.Huber = s.Train.HuberDelta
	}
	return train.Config{
		Backbone: s.Model.Backbone, Options: s.Model.Options,
		Optim: s.Optim, Schedule: s.Schedule,
		Unit: s.Train.Unit, MicroBatch: s.Train.MicroBatch, Block: s.Train.Block, BlockBy: s.Train.BlockBy, Epochs: s.Train.Epochs, MaxSteps: s.Train.MaxSteps,
		Batch: s.Train.Batch, PrunedBatch: prunedBatch, EvalBatch: s.Train.EvalBatch,
		ValidateEvery: s.Train.ValidateEvery, Patience: s.Train.Patience, Only: s.Train.Only,
		Loss:       reduction,
		GraphStats: m.Needs.Graph && (m.Name != "st-prune" || s.Prune.Score == "complexity" && s.Prune.LambdaG != 0),
		Inexact:    s.inexact(),
		Devices:    s.Backend.Devices,
		Seed:       s.Train.Seed,
	}
}

// inexact tells whether the visits of epochs are not known beforehand.
func (s Spec) inexact() bool {
	m, _ := s.Prune.method()
	return !m.Exact || s.Train.Unit == train.Block // which may keep more of one block than of another
}

// meaning is the spec without what has no effect: free text, what data are called, and settings that the chosen method,
// optimiser or schedule does not read. Specs of equal meaning become equal.
func (s Spec) meaning() Spec {
	s = s.clone()
	s.Name, s.Notes, s.Data.Name = "", "", ""
	for i := range s.Data.More {
		s.Data.More[i] = "" // their number counts, what they hold is in the data's hash
	}
	if len(s.Data.Dates) != 0 {
		s.Data.Split = []float64{}
	} else if sum := sumOf(s.Data.Split); sum > 0 {
		for i := range s.Data.Split { // 6:2:2 is 3:1:1
			s.Data.Split[i] /= sum
		}
	}
	for key, v := range s.Model.Options {
		switch v := v.(type) {
		case int:
			s.Model.Options[key] = int64(v)
		case float64: // 32.0 is 32
			if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
				s.Model.Options[key] = int64(v)
			}
		}
	}
	if s.Train.Loss != "huber" {
		s.Train.HuberDelta = 0
	}
	if s.Train.Unit != train.Block { // then they are not written: runs from before they came keep their ids
		s.Train.Block, s.Train.BlockBy = 0, ""
	}
	if s.Train.MicroBatch >= max(s.Train.Batch, s.Prune.PrunedBatch) {
		s.Train.MicroBatch = 0
	}
	if s.Backend.Devices == 1 { // likewise
		s.Backend.Devices = 0
	}
	s.Backend.Stream = ""
	o := &s.Optim
	if o.Name == "sgd" || o.Name == "adam" || o.Name == "adamw" {
		o.AuxLR = 0
	}
	if o.Name == "sgd" {
		o.Beta1, o.Beta2, o.Eps = 0, 0, 0
		o.Nesterov = o.Nesterov && o.Momentum != 0
	}
	if o.Name == "adam" || o.Name == "adamw" {
		o.Momentum, o.Nesterov = 0, false
	}
	if o.Name == "rmsprop" {
		o.AuxLR, o.Beta1, o.Beta2, o.Nesterov = 0, 0, 0, false
	} else {
		o.Alpha = 0
	}
	if o.Name != "muon" || o.NSDType == optim.Float32 {
		o.NSDType = ""
	}
	h := &s.Schedule
	if h.Kind == "" {
		h.Kind = "constant"
	}
	if h.By == "" {
		h.By = "step"
	}
	if h.Kind != "multistep" {
		h.Milestones, h.Gamma = []int{}, 0
	}
	if h.Kind != "cosine" {
		h.Floor = 0
		if h.WarmUp == 0 {
			h.By = "step"
		}
	}
	s.Prune.Config = effective(s.Prune.Method, s.pruning())
	if m, err := method.ByName(s.Prune.Method); err == nil {
		if all, err := m.Complete(s.Prune.Options); err == nil {
			s.Prune.Options = all
		}
	}
	return s
}

func sumOf(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum
}

// effective is c without the settings that the method does not read.
func effective(name string, c stprune.Config) stprune.Config {
	if c.PrunedBatch > 0 {
		c.BatchPolicy = ""
	}
	if c.Anneal != "step" {
		c.AnnealSteps = 0
	}
	if c.Budget > 0 {
		c.Rho = 0
	}
	m, err := method.ByName(name)
	switch {
	case name == "full":
		return stprune.Config{}
	case name == "st-prune" || name == "bls":
		if name == "bls" { // has a score of its own
			c.Score, c.Beta, c.Share, c.Unseen = "", 0, 0, ""
		}
		if c.Score != "complexity" {
			c.LambdaS, c.LambdaT, c.LambdaG = 0, 0, 0
		}
		if c.Score != "coherence" {
			c.Epsilon = 0
		}
		if c.Selector != "top+rest" {
			c.Alpha = 0
		}
		if c.Selector != "pps" && c.Selector != "gumbel" {
			c.Gamma = 0
		}
		if c.Kappa == 0 { // all weights are 1
			c.Stationarity, c.WMax, c.Normalise = "", 0, false
		}
		if math.IsInf(c.WMax, 1) {
			c.WMax = 0
		}
		return c
	}
	plain := stprune.Config{
		Seed: c.Seed, Epochs: c.Epochs, WarmUp: c.WarmUp, Delta: c.Delta, Rho: c.Rho, Anneal: c.Anneal, AnnealSteps: c.AnnealSteps,
		Budget: c.Budget, MinUnits: c.MinUnits, BatchPolicy: c.BatchPolicy, PrunedBatch: c.PrunedBatch,
	}
	if name == "random" {
		plain.InTime = c.InTime
	}
	if err == nil && m.Kind == method.Static { // one subset for all epochs
		plain.WarmUp, plain.Delta, plain.Anneal, plain.AnnealSteps, plain.Budget = 0, 1, "", 0, 0
	}
	return plain
}

// formatVersion is part of every id. Raise it when equal specs no longer give equal results; where that is so for the runs of one
// method only, raise the method's Revision.
const formatVersion = 2

// ID identifies the run of this spec on data with the given content hash ([datasets.Series.Hash]; of several data sets, see [Do], joined): 16 hexadecimal digits.
// Specs of equal meaning have equal ids. Backend "auto" must have been replaced by what it stands for.
func (s Spec) ID(dataHash string) string {
	h := sha256.New()
	meaning := bytes.Replace(s.meaning().TOML(), []byte("\nmax_steps = 0\n"), []byte("\n"), 1) // runs from before it came keep their ids
	fmt.Fprintf(h, "stprune run/%d\n%sdata %s\n", formatVersion, meaning, dataHash)
	if m, err := method.ByName(s.Prune.Method); err == nil && m.Revision > 0 {
		fmt.Fprintf(h, "revision %d of %s\n", m.Revision, m.Name)
	}
	if len(s.Data.More) > 0 {
		fmt.Fprintln(h, "batches in the order of the data sets' places") // which once went by their names
	}
	if s.Train.MaxSteps > 0 && s.inexact() {
		fmt.Fprintln(h, "schedules end with max_steps") // which they once didn't
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}
