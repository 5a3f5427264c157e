// Package compare trains pruning methods beside each other and beside the controls that a fair comparison needs, all under the
// same seeds, and says what the results prove.
//
// A [Spec] asks for methods × retention ratios × seeds. [Run] trains what the store of runs lacks, [Collect] reads what it has;
// both give a [Report]. A run that several parts of a comparison ask for, or another comparison asked for before, is trained once.
//
// # Controls
//
// Each method stands beside five controls, trained under the same seeds:
//
//   - full: all data in every epoch, with the base's settings but for the method's optimiser, model and schedule;
//   - random: fresh uniform units at the same retention, on the same schedule;
//   - equal-steps: all data in fewer epochs, as many as make the pruned run's optimiser steps;
//   - equal-visits: all data in as many epochs as make the pruned run's visits, in batches of the size that the pruned epochs
//     have, so that batch and schedule are tuned alike: the control that counts;
//   - equal-seconds: the same in as many epochs as fit the seconds that the pruned runs took (the median over the methods at one
//     retention, over the primary ones where there are any, without compiling). It follows from their results, and is trained after
//     them.
//
// Apart from epochs and batch the other controls have the method's own settings. Steps and visits are those that its
// schedule plans; epochs are whole numbers, at least 1, so that a control is the nearest there is. Where an equal control's steps,
// visits or seconds, as measured, are over 10 % more or fewer than the method's, the verdict is [Unequal], and reports say how many
// times the method's they are.
//
// # Statistics
//
// Errors are paired by seed. Differences have the BCa bootstrap interval of their mean and the exact sign-flip test's p, adjusted by
// Holm over all methods that are compared with one control, and over all that one method is compared with. That asks for many seeds:
// 6 can't go below p = 0.031, adjusted over 13 comparisons not below 0.41, and it takes 10 to reach 0.05 (see [stats.Seeds]).
//
// [Spec].Primary names what a comparison is about. Against a control primary methods are a family of their own. Against the other
// methods each is asked one question, whether it is better than all of them: an intersection-union test (Berger, "Multiparameter
// Hypothesis Testing and Acceptance Sampling", Technometrics 1982), see [stats.JudgeAll]. It needs no adjustment, since it claims
// nothing unless every single test does. Left out are the method's own ablations, which have its name and another label, and methods
// with another optimiser, model or schedule. Several primary methods, and several ratios, are as many questions, not adjusted.
package compare

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/stprune/workbench/stprune/method"
	"github.com/stprune/workbench/stprune/run"
	"github.com/stprune/workbench/stprune/stats"
	"github.com/stprune/workbench/stprune/sweep"
)

// Spec is what is compared. As TOML it looks like this, where all keys but methods and what names the data have defaults:
//
//	name = "STID on PEMS08"
//	preset = "st-prune-adam"  # see `stprune presets`
//	base = "base.toml"        # or settings of the runs from a file beside this one
//	methods = ["infobatch", "st-prune", { name = "st-prune", label = "unscored", prune.gamma = 0 }]
//	rho = [0.05, 0.1]                         # default: the base's prune.rho
//	seeds = [1, 2, 3, 4, 5, 6]                # default: 1 to 10
//	batch_policy = ["fixed", "keep-steps"]    # default: the base's
//	controls = ["full", "random"]             # default: all five
//	primary = ["st-prune"]                    # labels of the methods that it is about, see below; default: none
//	floor = 0.005                             # smaller differences, as a share of the error, are none
//
//	[data]                                    # and any other table of a run's spec
//	name = "pems08"
//
// Primary methods must be chosen before their results are known. Their tests against a control are then a family of their own,
// which Holm's adjustment doesn't charge with all the other methods.
type Spec struct {
	Name        string
	Base        run.Spec // what all runs have in common; its method is "full"
	Methods     []Method
	Rho         []float64
	Seeds       []uint64
	BatchPolicy []string
	Controls    []Role
	Primary     []string
	Floor       float64
}

// Method is a method under comparison, with its own settings.
type Method struct {
	Name     string         // of a method of the package method
	Label    string         // what reports call it; default: Name
	Settings map[string]any // over the base, by table and key as in a run's TOML
}

// Role says what a row of a comparison is for.
type Role string

// The roles, see the package comment.
const (
	Pruner       Role = "method"
	Full         Role = "full"
	Random       Role = "random"
	EqualSteps   Role = "equal-steps"
	EqualVisits  Role = "equal-visits"
	EqualSeconds Role = "equal-seconds"
)

// controls are the roles of controls in the order of reports.
var controls = []Role{Full, EqualSteps, EqualVisits, EqualSeconds, Random}

// file is a Spec as TOML.
type file struct {
	Name string `toml:"name,omitempty"`
	sweep.Base
	Methods     []any     `toml:"methods"`
	Rho         []float64 `toml:"rho"`
	Seeds       []uint64  `toml:"seeds"`
	BatchPolicy []string  `toml:"batch_policy"`
	Controls    []Role    `toml:"controls"`
	Primary     []string  `toml:"primary,omitempty"`
	Floor       float64   `toml:"floor"`
}

// Load reads and checks a comparison's file.
func Load(path string) (Spec, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Spec{}, fmt.Errorf("comparison: %w", err)
	}
	s, err := Parse(text, filepath.Dir(path))
	if err != nil {
		return Spec{}, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// Parse reads and checks a comparison; a relative path of base is taken from the folder dir.
func Parse(text []byte, dir string) (Spec, error) {
	f := file{Seeds: []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, Controls: controls, Floor: stats.Floor}
	if err := sweep.Decode(text, &f); err != nil {
		return Spec{}, err
	}
	base, err := f.Base.Spec(dir)
	if err != nil {
		return Spec{}, err
	}
	s := Spec{Name: f.Name, Base: base, Rho: f.Rho, Seeds: f.Seeds, BatchPolicy: f.BatchPolicy, Controls: f.Controls, Primary: f.Primary, Floor: f.Floor}
	for _, given := range f.Methods {
		m, err := readMethod(given)
		if err != nil {
			return Spec{}, err
		}
		s.Methods = append(s.Methods, m)
	}
	if s.Rho == nil {
		s.Rho = []float64{s.Base.Prune.Rho}
	}
	if s.BatchPolicy == nil {
		s.BatchPolicy = []string{s.Base.Prune.BatchPolicy}
	}
	return s, s.Check()
}

// readMethod takes a name, or a table of name, label and settings.
func readMethod(given any) (Method, error) {
	switch v := given.(type) {
	case string:
		return Method{Name: v, Label: v}, nil
	case map[string]any:
		m := Method{Settings: map[string]any{}}
		for key, value := range v {
			text, isText := value.(string)
			switch {
			case key == "name" && isText:
				m.Name = text
			case key == "label" && isText:
				m.Label = text
			case key == "name" || key == "label":
				return Method{}, fmt.Errorf("methods: %s = %v; want text", key, value)
			default:
				m.Settings[key] = value
			}
		}
		if m.Name == "" {
			return Method{}, fmt.Errorf("methods: %v has no name; use one of %s", v, strings.Join(method.Names(), ", "))
		}
		if m.Label == "" {
			m.Label = m.Name
		}
		return m, nil
	}
	return Method{}, fmt.Errorf(`methods: %v; want names, or tables such as { name = "st-prune", label = "unscored", prune.gamma = 0 }`, given)
}

// Check reports the first thing that makes no sense, by its key and with what to do.
func (s Spec) Check() error {
	if err := s.Base.Check(); err != nil {
		return err
	}
	p := s.Base.Prune
	switch {
	case p.Method != "full":
		return fmt.Errorf("prune.method = %q; leave it out: methods says which", p.Method)
	case p.Budget != 0:
		return fmt.Errorf("prune.budget = %v; leave it out: rho says how much is kept", p.Budget)
	case p.Seed != 0:
		return fmt.Errorf("prune.seed = %d; leave it out, so that each of seeds selects anew", p.Seed)
	case p.PrunedBatch != 0 && !slices.Equal(s.BatchPolicy, []string{p.BatchPolicy}):
		return fmt.Errorf("batch_policy = %q has no effect beside prune.pruned_batch = %d; leave one of them out", s.BatchPolicy, p.PrunedBatch)
	case len(s.Methods) == 0:
		return fmt.Errorf("methods is empty; use some of %s", strings.Join(method.Names()[1:], ", "))
	case !(s.Floor >= 0 && s.Floor < 1):
		return fmt.Errorf("floor = %v; want a share in [0,1), such as %v", s.Floor, stats.Floor)
	}
	for _, c := range s.Controls {
		if !slices.Contains(controls, c) {
			return fmt.Errorf("controls: no control %q; use some of %s", c, join(controls))
		}
	}
	if s.wants(EqualSeconds) && !s.wants(EqualVisits) {
		return errors.New("controls: equal-seconds needs equal-visits, which shows how long an epoch takes; name both")
	}
	if err := errors.Join(distinct("rho", s.Rho), distinct("seeds", s.Seeds), distinct("batch_policy", s.BatchPolicy), distinct("controls", s.Controls), distinct("primary", s.Primary)); err != nil {
		return err
	}
	if len(s.Rho) == 0 || len(s.Seeds) == 0 || len(s.BatchPolicy) == 0 {
		return errors.New("rho, seeds or batch_policy is empty; leave it out for its default")
	}
	labels := map[string]bool{}
	for _, m := range s.Methods {
		if labels[m.Label] {
			return fmt.Errorf("methods: two are called %q; give each a label of its own", m.Label)
		}
		labels[m.Label] = true
		if err := s.checkMethod(m); err != nil {
			return fmt.Errorf("method %s: %w", m.Label, err)
		}
	}
	for _, label := range s.Primary {
		if !labels[label] {
			return fmt.Errorf("primary: no method is called %q; use labels of methods", label)
		}
	}
	return nil
}

func (s Spec) checkMethod(m Method) error {
	if m.Name == "full" {
		return errors.New("full data is a control; leave it out of methods")
	}
	if _, no := notApplicable(m.Name); no {
		return nil
	}
	// Settings that all runs share can't be one method's own.
	got := s.Base
	if err := sweep.Merge(&got, m.Settings); err != nil {
		return err
	}
	a, b := got.Prune, s.Base.Prune
	if !reflect.DeepEqual(got.Data, s.Base.Data) || got.Backend != s.Base.Backend || got.Train.Seed != s.Base.Train.Seed ||
		a.Method != b.Method || a.Rho != b.Rho || a.Seed != b.Seed || a.Budget != b.Budget || a.BatchPolicy != b.BatchPolicy || a.PrunedBatch != b.PrunedBatch {
		return errors.New("it changes data, backend, train.seed or prune.{method, rho, seed, budget, batch_policy, pruned_batch}, which all methods share; leave that out")
	}
	for _, policy := range s.BatchPolicy {
		for _, rho := range s.Rho {
			for _, seed := range s.Seeds {
				if err := s.pruned(m, policy, rho, seed).Check(); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// pruned is a run of a method; its settings have been checked.
func (s Spec) pruned(m Method, policy string, rho float64, seed uint64) run.Spec {
	spec := s.Base
	_ = sweep.Merge(&spec, m.Settings)
	spec.Prune.Method, spec.Prune.BatchPolicy, spec.Prune.Rho, spec.Train.Seed = m.Name, policy, rho, seed
	return spec
}

func distinct[T comparable](key string, values []T) error {
	for i, v := range values {
		if slices.Contains(values[:i], v) {
			return fmt.Errorf("%s has %v twice; leave one out", key, v)
		}
	}
	return nil
}

func join(roles []Role) string {
	var names []string
	for _, r := range roles {
		names = append(names, string(r))
	}
	return strings.Join(names, ", ")
}

// TOML writes the comparison with all settings of its base, so that it can be repeated from this text alone.
func (s Spec) TOML() ([]byte, error) {
	f := file{Name: s.Name, Rho: s.Rho, Seeds: s.Seeds, BatchPolicy: s.BatchPolicy, Controls: s.Controls, Primary: s.Primary, Floor: s.Floor}
	for _, m := range s.Methods {
		table := map[string]any{"name": m.Name, "label": m.Label}
		for key, value := range m.Settings {
			table[key] = value
		}
		f.Methods = append(f.Methods, table)
	}
	if err := f.Fill(s.Base); err != nil {
		return nil, fmt.Errorf("comparison: %w", err)
	}
	return toml.Marshal(f)
}

func (s Spec) wants(c Role) bool { return slices.Contains(s.Controls, c) }

// policy names what batches are in pruned epochs.
func (s Spec) policy(name string) string {
	if b := s.Base.Prune.PrunedBatch; b > 0 {
		return fmt.Sprintf("batch %d", b)
	}
	return name
}

// notApplicable says why a published method has no meaning for forecasts.
func notApplicable(name string) (reason string, no bool) {
	for _, m := range method.NotApplicable() {
		if m.Name == name {
			return m.Reason, true
		}
	}
	return "", false
}
