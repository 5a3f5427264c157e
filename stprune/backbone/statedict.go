package backbone

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/stprune/workbench/datasets"
)

// WriteStateDict saves weights [P+K] as the reference's state dict in a .npz file. Torch loads it by
//
//	model.load_state_dict({k: torch.from_numpy(v) for k, v in numpy.load(path).items()})
func WriteStateDict(path string, b Backbone, theta []float32) error {
	arrays := map[string]datasets.Array{}
	for name, t := range StateDict(b, theta) {
		arrays[name] = datasets.NewArray(t.Shape, t.Values)
	}
	return datasets.WriteNPZ(path, arrays)
}

// ReadStateDict reads weights [P+K] from a reference's state dict in a .npz file, which torch saves by
//
//	numpy.savez(path, **{k: v.cpu().numpy() for k, v in model.state_dict().items()})
func ReadStateDict(path string, b Backbone) ([]float32, error) {
	arrays, err := datasets.ReadNPZ(path)
	if err != nil {
		return nil, err
	}
	theta, err := FromStateDict(b, arrays)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return theta, nil
}

// StateDict names theta [P+K] as the reference's state_dict() does: parameters, running statistics and the fixed arrays that it
// keeps too.
func StateDict(b Backbone, theta []float32) map[string]Tensor {
	dict := map[string]Tensor{}
	values := Named(b, theta)
	for _, p := range b.Params() {
		dict[p.Name] = Tensor{p.Name, p.Shape, values[p.Name]}
	}
	for _, buffer := range b.Traits().Buffers {
		dict[buffer.Name] = Tensor{buffer.Name, buffer.Shape, values[buffer.Name]}
	}
	for _, c := range referenceConstants(b) {
		dict[c.Name] = c
	}
	return dict
}

// FromStateDict makes theta [P+K] of a reference's state dict. Every parameter and running statistic must be there, and nothing
// else but what has no influence here: fixed arrays, which the backbone computes itself, and PyTorch's counters
// num_batches_tracked. The prefix "module." of parallel training is taken off.
func FromStateDict(b Backbone, dict map[string]datasets.Array) ([]float32, error) {
	dict = withoutPrefix(dict, "module.")
	var theta []float32
	var missing, unexpected, shapes []string
	known := map[string]bool{}
	check := func(name string, shape []int) (datasets.Array, bool) {
		known[name] = true
		a, ok := dict[name]
		if ok && !slices.Equal(a.Shape, shape) {
			shapes = append(shapes, fmt.Sprintf("%s %v instead of %v", name, a.Shape, shape))
		}
		return a, ok
	}
	take := func(name string, shape []int) {
		a, ok := check(name, shape)
		if !ok {
			missing = append(missing, name)
		}
		for _, v := range a.Float64s() {
			theta = append(theta, float32(v))
		}
	}
	for _, p := range b.Params() {
		take(p.Name, p.Shape)
	}
	for _, buffer := range b.Traits().Buffers {
		take(buffer.Name, buffer.Shape)
	}
	for _, c := range referenceConstants(b) {
		check(c.Name, c.Shape)
	}
	for _, name := range slices.Sorted(maps.Keys(dict)) {
		if !known[name] && !strings.HasSuffix(name, ".num_batches_tracked") {
			unexpected = append(unexpected, name)
		}
	}
	var errs []error
	for _, l := range []struct {
		what  string
		names []string
	}{{"missing", missing}, {"unexpected", unexpected}, {"of another shape", shapes}} {
		if len(l.names) > 0 {
			errs = append(errs, fmt.Errorf("%d %s: %s", len(l.names), l.what, some(l.names)))
		}
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("the state dict is of another model or other options: %w", errors.Join(errs...))
	}
	return theta, nil
}

// referenceConstants are the constants that the reference keeps in its state dict: those named by a path of its modules.
func referenceConstants(b Backbone) []Tensor {
	return slices.DeleteFunc(slices.Clone(b.Traits().Constants), func(t Tensor) bool { return !strings.Contains(t.Name, ".") })
}

// withoutPrefix takes a prefix off that all names have.
func withoutPrefix(dict map[string]datasets.Array, prefix string) map[string]datasets.Array {
	out := map[string]datasets.Array{}
	for name, a := range dict {
		rest, ok := strings.CutPrefix(name, prefix)
		if !ok {
			return dict
		}
		out[rest] = a
	}
	return out
}

// some lists the first names.
func some(names []string) string {
	const most = 8
	if more := len(names) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), more)
	}
	return strings.Join(names, ", ")
}
