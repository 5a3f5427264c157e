// Package parity compares this implementation with arrays that reference implementations produced: model outputs, losses,
// gradients, optimiser steps, metrics, windows, selections of units. A file pair X.npz and X.json holds the arrays and says what
// they are; the json's suggested_abs_tol is the tolerance of an array. Models are computed in float64 too, and may then differ
// from the stored float32 by no more than the reference's own run in float64 did.
package parity

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/gomlx/compute"

	"github.com/stprune/workbench/datasets"
)

// Result is the comparison of one array, or of one whole file when Array is empty.
type Result struct {
	File      string  `json:"file"`
	Array     string  `json:"array,omitempty"`
	Diff      float64 `json:"diff"`      // largest absolute difference
	Tolerance float64 `json:"tolerance"` // what it may be
	Problem   string  `json:"problem,omitempty"`
}

// OK tells whether the array agrees.
func (r Result) OK() bool { return r.Problem == "" && r.Diff <= r.Tolerance }

// Run compares every file pair under path (a folder, or one of the two files) on the backend and reports each array as it is
// compared. Files that nothing here can check are reported as problems.
func Run(ctx context.Context, be compute.Backend, path string, report func(Result)) error {
	files, err := pairs(path)
	if err != nil {
		return err
	}
	for _, stem := range files {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("parity: stopped before %s: %w", stem, err)
		}
		g, err := load(stem)
		if err == nil {
			g.report = report
			err = g.check(be)
		}
		if err != nil {
			report(Result{File: stem, Problem: err.Error()})
			continue
		}
		for _, name := range g.left() {
			report(Result{File: stem, Array: name, Problem: "nothing here computes this array"})
		}
	}
	return nil
}

// pairs lists the stems X of the pairs X.npz, X.json under path.
func pairs(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("parity: %w", err)
	}
	if !info.IsDir() {
		return []string{strings.TrimSuffix(strings.TrimSuffix(path, ".npz"), ".json")}, nil
	}
	var stems []string
	err = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(p, ".npz") {
			stems = append(stems, strings.TrimSuffix(p, ".npz"))
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("parity: %w", err)
	}
	if len(stems) == 0 {
		return nil, fmt.Errorf("parity: %s holds no .npz file with reference arrays", path)
	}
	sort.Strings(stems)
	return stems, nil
}

// golden is one loaded file pair.
type golden struct {
	stem   string
	meta   meta
	arrays map[string]datasets.Array
	done   map[string]bool // arrays used as input or compared
	report func(Result)
	double bool // compute models in float64

	variant map[string]any // options of ours that models are computed with
}

type meta struct {
	Model  string                     `json:"model"`
	Config map[string]any             `json:"config"`
	Arrays map[string]arrayMeta       `json:"arrays"`
	Optim  map[string]json.RawMessage `json:"optimisers"`
}

type arrayMeta struct {
	Tolerance float64 `json:"suggested_abs_tol"`
	Rounding  float64 `json:"f32_f64_max_abs_diff"` // between the reference's results in float32, which are stored, and in float64
	Largest   float64 `json:"max_abs"`
}

// double is the tolerance for results of float64: the reference's own rounding. The description gives it with three digits, and
// storing an array rounds it by up to half a unit in the last place.
func (m arrayMeta) double() float64 {
	largest := float32(m.Largest)
	return 1.05*m.Rounding + (float64(math.Nextafter32(largest, math.MaxFloat32))-float64(largest))/2
}

func load(stem string) (*golden, error) {
	text, err := os.ReadFile(stem + ".json")
	if err != nil {
		return nil, fmt.Errorf("the description beside the arrays: %w", err)
	}
	g := &golden{stem: stem, done: map[string]bool{}}
	if err := json.Unmarshal(text, &g.meta); err != nil {
		return nil, fmt.Errorf("%s.json: %w", stem, err)
	}
	if g.arrays, err = datasets.ReadNPZ(stem + ".npz"); err != nil {
		return nil, err
	}
	return g, nil
}

// check chooses the comparison by what the file says it holds.
func (g *golden) check(be compute.Backend) error {
	if g.meta.Model != "" {
		return g.checkModel(be)
	}
	kinds := map[string]func(compute.Backend) error{
		"graph":     g.checkGraph,
		"optim":     g.checkOptimisers,
		"muon":      g.checkNewtonSchulz,
		"metrics":   g.checkMetrics,
		"windows":   g.checkWindows,
		"infobatch": g.checkInfoBatch,
		"seta":      g.checkSeTa,
		"divbs":     g.checkDivBS,
	}
	name := filepath.Base(g.stem)
	kind, _, _ := strings.Cut(name, "_")
	if check, ok := kinds[kind]; ok {
		return check(be)
	}
	return fmt.Errorf("%s is not built yet", name)
}

// get is an array as float64 with its shape; float32 and integers convert exactly.
func (g *golden) get(name string) ([]float64, []int, error) {
	a, ok := g.arrays[name]
	if !ok {
		return nil, nil, fmt.Errorf("array %q is missing", name)
	}
	g.done[name] = true
	return a.Float64s(), a.Shape, nil
}

// has tells whether the file has arrays whose names begin so.
func (g *golden) has(prefix string) bool {
	for name := range g.arrays {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// want compares computed values with an array of the file. With tolerance 0 the file's own applies.
func (g *golden) want(name string, got []float64, tolerance float64) {
	g.done[name] = true
	if tolerance == 0 {
		tolerance = g.meta.Arrays[name].Tolerance
		if g.double {
			tolerance = g.meta.Arrays[name].double()
		}
	}
	a, ok := g.arrays[name]
	if !ok {
		g.report(Result{File: g.stem, Array: name, Tolerance: tolerance, Problem: "the array is missing from the file"})
		return
	}
	g.compare(name, got, a.Float64s(), tolerance)
}

// compare reports the difference of computed values and what the file's arrays say they are.
func (g *golden) compare(name string, got, want []float64, tolerance float64) {
	r := Result{File: g.stem, Array: name, Tolerance: tolerance}
	if g.double {
		r.Array += " in float64"
	}
	for option, value := range g.variant {
		r.Array += fmt.Sprintf(" with %s = %v", option, value)
	}
	switch {
	case len(want) != len(got):
		r.Problem = fmt.Sprintf("computed %d values, the file has %d", len(got), len(want))
	case r.Tolerance <= 0:
		r.Problem = "the description gives no tolerance"
	default:
		for i := range want {
			d := math.Abs(got[i] - want[i])
			if math.IsNaN(d) {
				r.Problem = fmt.Sprintf("value %d is %v, the file has %v", i, got[i], want[i])
			}
			r.Diff = max(r.Diff, d)
		}
	}
	g.report(r)
}

// wantRelative compares with a tolerance relative to the array's largest value.
func (g *golden) wantRelative(name string, got []float64, relative float64) {
	largest := 0.0
	for _, v := range g.arrays[name].Float64s() {
		largest = max(largest, math.Abs(v))
	}
	g.want(name, got, max(relative*largest, 1e-300))
}

// left names the arrays that were neither used nor compared.
func (g *golden) left() []string {
	var names []string
	for name := range g.arrays {
		if !g.done[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// skip marks arrays that belong to rules of other code bases that this project does not follow; accept says why in the docs.
func (g *golden) skip(names ...string) {
	for _, n := range names {
		g.done[n] = true
	}
}
