// Package method holds the pruning methods, one file each: what was published, what we adapted, and the code. It is plain Go
// and knows no machine-learning framework.
//
// To add a method: one file with a [Method] value and its constructor, and one entry in the table of [All]. The tests, the
// command `stprune methods`, the settings of a run, the documentation and the notebook's menus follow from the table.
package method

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"

	"github.com/stprune/workbench/stprune"
)

// Kind says when a method chooses.
type Kind string

// Kinds of methods.
const (
	Control Kind = "control" // what others are compared with
	Dynamic Kind = "dynamic" // chooses anew for each epoch, from what the training steps measured
	Static  Kind = "static"  // chooses one subset before training, from a scoring model; every epoch visits it
	Batch   Kind = "batch"   // chooses within every candidate batch
)

// Method is one way of choosing units. Its first fields are the header of its file, and what the documentation shows.
type Method struct {
	Name    string
	Kind    Kind
	Paper   string // authors, venue, identifier; or "none"
	Rule    string // what is kept, and with what weights
	Cost    string // of choosing among n units, in time and memory
	Differs string // from what was published, where our adaptation is a choice; "nothing" when it isn't

	Revision int  // part of a run's id; raise it when equal settings no longer choose the same units
	Exact    bool // pruned epochs visit exactly the scheduled number of units
	Needs    Needs
	Options  []Option // beyond the schedule

	New func(s Setup) (stprune.Pruner, error)
}

// Needs is what a method must be told besides the statistics of the units it has visited.
type Needs struct {
	Graph        bool // statistics with graph roughness
	Stationarity bool // Setup.Stationarity, when its settings ask for it
	Forward      bool // forward passes of units it doesn't train on, see [stprune.Forwarder]

	// What it needs of a [Probe]; a static method has at least one of them, unless it looks at ids only.
	Loss, Error, Norms, Trajectory, Features, Gradients, Forecasts, Checkpoints, Validation, Inputs bool
}

// Probed tells whether a scoring model must be trained.
func (n Needs) Probed() bool {
	return n.Loss || n.Error || n.Norms || n.Trajectory || n.Features || n.Gradients || n.Forecasts || n.Checkpoints || n.Validation || n.Inputs
}

// Names lists the needs in lower case.
func (n Needs) Names() []string {
	names := []string{}
	v := reflect.ValueOf(n)
	for i := range v.NumField() {
		if v.Field(i).Bool() {
			names = append(names, strings.ToLower(v.Type().Field(i).Name))
		}
	}
	return names
}

// Setup is what a method is made from.
type Setup struct {
	Units     int // n; ids 0..n−1 ascend in time, and id = window·PerWindow + its node or block
	PerWindow int // units per window: N when the unit is a pair, the number of blocks when it is one, else 1
	Config    stprune.Config

	// Options are the method's own, by key; what is left out has its default. [Method.Make] checks and completes them.
	Options map[string]any

	Groups       []int                  // sizes, in order of ids, of the groups within which scores compare; nil: one
	Stationarity func(id int32) float32 // z in [0,1] of a unit; nil when not asked for
	Probe        func() (*Probe, error) // trains the scoring model and measures; called at most once, and not when a state is restored
	Target       int                    // units of a training batch in pruned epochs, for methods that choose within batches; at least 1

	Context context.Context // ends a static method's choice, which can take long; nil: nothing does

	random *rand.Rand // of a static method's choice
}

// Option is a setting of one method.
type Option struct {
	Key     string
	Default any // float64, int, bool or string
	Doc     string
	Low     float64  // of numbers
	High    float64  // of numbers; not checked when Low = High = 0
	Choices []string // of text
}

// All lists the methods in the order of the documentation.
func All() []Method {
	return []Method{
		full,
		random,
		stPrune,
		softRandom,
		epsilonGreedy,
		ucb,
		infoBatch,
		seta,
		ies,
		bls,
		orderDP,
		rcap,
		divBS,

		hardRandom,
		first,
		herding,
		kCenter,
		contextualDiversity,
		forgetting,
		grand,
		el2n,
		craig,
		glister,
		gradMatch,
		cal,
		moderate,
		ccs,
		moso,
		tdds,
		dp,
	}
}

// Names of all methods, in order.
func Names() []string {
	var names []string
	for _, m := range All() {
		names = append(names, m.Name)
	}
	return names
}

// ByName finds a method of [All], or says why there is none: one of [NotApplicable] is refused with its reason.
func ByName(name string) (Method, error) {
	for _, m := range All() {
		if m.Name == name {
			return m, nil
		}
	}
	for _, m := range NotApplicable() {
		if m.Name == name {
			return Method{}, fmt.Errorf("prune: method %s is not applicable: %s; use one of %s", name, m.Reason, strings.Join(Names(), ", "))
		}
	}
	return Method{}, fmt.Errorf("prune: no method %q; use one of %s", name, strings.Join(Names(), ", "))
}

// Complete returns the options with defaults filled in, or says which key or value is wrong.
func (m Method) Complete(given map[string]any) (map[string]any, error) {
	all := map[string]any{}
	var keys []string
	for _, o := range m.Options {
		keys = append(keys, o.Key)
		all[o.Key] = o.Default
		v, ok := given[o.Key]
		if !ok {
			continue
		}
		value, err := o.read(v)
		if err != nil {
			return nil, fmt.Errorf("prune: method %s: option %w", m.Name, err)
		}
		all[o.Key] = value
	}
	for key := range given {
		if !slices.Contains(keys, key) {
			remedy := "it has none"
			if len(keys) > 0 {
				remedy = "it has " + strings.Join(keys, ", ")
			}
			return nil, fmt.Errorf("prune: method %s has no option %q; %s", m.Name, key, remedy)
		}
	}
	return all, nil
}

// read brings a value to the type of the default.
func (o Option) read(v any) (any, error) {
	number := func() (float64, bool) {
		switch v := v.(type) {
		case float64:
			return v, true
		case int:
			return float64(v), true
		case int64:
			return float64(v), true
		}
		return 0, false
	}
	switch o.Default.(type) {
	case float64, int:
		x, ok := number()
		_, whole := o.Default.(int)
		if !ok || whole && x != float64(int(x)) || x-x != 0 {
			return nil, fmt.Errorf("%s = %v; want a number such as %v", o.Key, v, o.Default)
		}
		if o.Low != o.High && !(x >= o.Low && x <= o.High) {
			return nil, fmt.Errorf("%s = %v; want a number from %v to %v", o.Key, v, o.Low, o.High)
		}
		if whole {
			return int(x), nil
		}
		return x, nil
	case bool:
		if b, ok := v.(bool); ok {
			return b, nil
		}
		return nil, fmt.Errorf("%s = %v; want true or false", o.Key, v)
	default:
		if s, ok := v.(string); ok && slices.Contains(o.Choices, s) {
			return s, nil
		}
		return nil, fmt.Errorf("%s = %v; want one of %s", o.Key, v, strings.Join(o.Choices, ", "))
	}
}

// Make builds the method's pruner: settings and options are checked first.
func (m Method) Make(s Setup) (stprune.Pruner, error) {
	options, err := m.Complete(s.Options)
	if err != nil {
		return nil, err
	}
	s.Options = options
	s.PerWindow, s.Target = max(1, s.PerWindow), max(1, s.Target)
	if s.Context == nil {
		s.Context = context.Background()
	}
	return m.New(s)
}

// The completed options by key; a wrong key is a programming error of the method.

func (s Setup) float(key string) float64 { return s.Options[key].(float64) }
func (s Setup) int(key string) int       { return s.Options[key].(int) }
func (s Setup) bool(key string) bool     { return s.Options[key].(bool) }
func (s Setup) text(key string) string   { return s.Options[key].(string) }
