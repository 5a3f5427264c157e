package sweep

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/stprune/workbench/stprune/presets"
	"github.com/stprune/workbench/stprune/run"
)

// Base is what many runs have in common, as the files of sweeps and comparisons say it: a preset, over it a file, over it tables.
type Base struct {
	Preset string `toml:"preset,omitempty"` // see `stprune presets`
	File   string `toml:"base,omitempty"`   // a run's TOML; a relative path is taken from the file's own folder

	Data     map[string]any `toml:"data"`
	Model    map[string]any `toml:"model"`
	Optim    map[string]any `toml:"optim"`
	Schedule map[string]any `toml:"schedule"`
	Train    map[string]any `toml:"train"`
	Prune    map[string]any `toml:"prune"`
	Backend  map[string]any `toml:"backend"`
}

// Tables are the base's settings of runs.
func (b *Base) Tables() map[string]*map[string]any {
	return map[string]*map[string]any{
		"data": &b.Data, "model": &b.Model, "optim": &b.Optim, "schedule": &b.Schedule, "train": &b.Train, "prune": &b.Prune, "backend": &b.Backend,
	}
}

// Spec lays preset, file and tables over the defaults of a run.
func (b *Base) Spec(dir string) (run.Spec, error) {
	s := run.DefaultSpec()
	if b.Preset != "" {
		text, err := presets.TOML(b.Preset)
		if err != nil {
			return s, err
		}
		if err := s.Merge(text); err != nil {
			return s, fmt.Errorf("preset %s: %w", b.Preset, err)
		}
	}
	if b.File != "" {
		path := b.File
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return s, fmt.Errorf("base: %w", err)
		}
		if err := s.Merge(text); err != nil {
			return s, fmt.Errorf("base %s: %w", b.File, err)
		}
	}
	given := map[string]any{}
	for name, table := range b.Tables() {
		if *table != nil {
			given[name] = *table
		}
	}
	return s, Merge(&s, given)
}

// Fill replaces preset, file and tables by all settings of a spec, so that nothing else is needed to read them.
func (b *Base) Fill(s run.Spec) error {
	var all map[string]any
	if err := toml.Unmarshal(s.TOML(), &all); err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	b.Preset, b.File = "", ""
	for name, table := range b.Tables() {
		*table, _ = all[name].(map[string]any)
	}
	return nil
}

// Merge lays settings, by table and key, over a run's.
func Merge(s *run.Spec, settings map[string]any) error {
	text, err := toml.Marshal(settings)
	if err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	return s.Merge(text)
}

// Decode reads a file of settings; an unknown key is an error that names the known ones.
func Decode(text []byte, file any) error {
	d := toml.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	err := d.Decode(file)
	if unknown := new(toml.StrictMissingError); errors.As(err, &unknown) {
		return fmt.Errorf("unknown key %s; there are %s", strings.Join(unknown.Errors[0].Key(), "."), strings.Join(keys(file), ", "))
	}
	if wrong := new(toml.DecodeError); errors.As(err, &wrong) {
		row, _ := wrong.Position()
		return fmt.Errorf("line %d, key %q: %w", row, strings.Join(wrong.Key(), "."), err)
	}
	return err
}

// keys are the known keys of the top level.
func keys(file any) []string {
	var all []string
	for _, field := range reflect.VisibleFields(reflect.TypeOf(file).Elem()) {
		if !field.Anonymous {
			key, _, _ := strings.Cut(field.Tag.Get("toml"), ",")
			all = append(all, key)
		}
	}
	slices.Sort(all)
	return all
}

// Spec is a sweep: every entry of its list with every combination of its grid's values. As TOML:
//
//	name = "how much is enough"
//	preset = "st-prune-adam"       # or base = "base.toml", settings from a file beside this one
//	[data]                         # and any other table of a run's spec
//	name = "pems08"
//	[grid]
//	"prune.rho" = [0.1, 0.05]
//	seed = [1, 2, 3]               # short for train.seed
//	[[list]]
//	name = "ours"                  # what tables call it; default: its settings
//	"prune.method" = "st-prune"
//	[[list]]
//	"prune.method" = "random"
//	"optim.lr" = 1e-3
type Spec struct {
	Name string
	Runs []run.Spec // all under one seed, then all under the next; each is named by its settings

	file file // whose base is laid out in full
}

// file is a Spec as TOML.
type file struct {
	Name string `toml:"name,omitempty"`
	Base
	Grid map[string]any   `toml:"grid"`
	List []map[string]any `toml:"list"`
}

// Load reads and checks a sweep's file.
func Load(path string) (Spec, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Spec{}, fmt.Errorf("sweep: %w", err)
	}
	s, err := Parse(text, filepath.Dir(path))
	if err != nil {
		return Spec{}, fmt.Errorf("%s: %w", path, err)
	}
	if s.Name == "" {
		s.Name = strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	}
	return s, nil
}

// Parse reads and checks a sweep; a relative path of base is taken from the folder dir.
func Parse(text []byte, dir string) (Spec, error) {
	var f file
	if err := Decode(text, &f); err != nil {
		return Spec{}, err
	}
	base, err := f.Spec(dir)
	if err != nil {
		return Spec{}, err
	}
	axes, err := f.axes()
	if err != nil {
		return Spec{}, err
	}
	s := Spec{Name: f.Name, file: f}
	if err := s.file.Fill(base); err != nil {
		return Spec{}, err
	}
	for _, point := range product(axes) {
		var labels []string
		spec := base
		for _, settings := range point {
			if settings.label != "" {
				labels = append(labels, settings.label)
			}
			if err := Merge(&spec, nest(settings.values)); err != nil {
				return Spec{}, err
			}
		}
		spec.Name = strings.Join(labels, ", ")
		if err := spec.Check(); err != nil {
			return Spec{}, fmt.Errorf("run %q: %w", spec.Name, err)
		}
		s.Runs = append(s.Runs, spec)
	}
	return s, nil
}

// TOML writes the sweep with all settings of its base, so that it can be repeated from this text alone.
func (s Spec) TOML() ([]byte, error) {
	f := s.file
	f.Name = s.Name
	return toml.Marshal(f)
}

// settings is one value of an axis: full keys and their values, and what the runs with them are called.
type settings struct {
	label  string
	values map[string]any
}

const seedKey = "train.seed"

// axes are what is combined with each other. Seeds come first, so that whole pictures under few seeds are there early; then the
// list, then the grid's keys by name.
func (f *file) axes() ([][]settings, error) {
	grid, err := flatten(f.Grid)
	if err != nil {
		return nil, fmt.Errorf("grid: %w", err)
	}
	var list [][]string
	var entries []map[string]any
	var names []string
	for i, given := range f.List {
		name := ""
		if given["name"] != nil {
			var isText bool
			if name, isText = given["name"].(string); !isText {
				return nil, fmt.Errorf("list entry %d: name = %v; want text", i+1, given["name"])
			}
			given = maps.Clone(given)
			delete(given, "name")
		}
		entry, err := flatten(given)
		if err != nil {
			return nil, fmt.Errorf("list entry %d: %w", i+1, err)
		}
		keys := slices.Sorted(maps.Keys(entry))
		for _, key := range keys {
			for other := range grid {
				if key == other || strings.HasPrefix(key, other+".") || strings.HasPrefix(other, key+".") {
					return nil, fmt.Errorf("list entry %d sets %s, which the grid does too (%s); leave it out of one of them", i+1, key, other)
				}
			}
		}
		entries, list, names = append(entries, entry), append(list, keys), append(names, name)
	}
	short := shortNames(slices.Concat(append(list, slices.Collect(maps.Keys(grid)))...))

	var axes [][]settings
	for _, key := range slices.Sorted(maps.Keys(grid)) {
		values, isArray := grid[key].([]any)
		if !isArray || len(values) == 0 {
			return nil, fmt.Errorf("grid: %s = %v; want an array of the values to try, such as [%v]", key, grid[key], grid[key])
		}
		var axis []settings
		for _, v := range values {
			axis = append(axis, settings{label(short, key, v), map[string]any{key: v}})
		}
		if key == seedKey {
			axes = slices.Insert(axes, 0, axis)
		} else {
			axes = append(axes, axis)
		}
	}
	if len(entries) > 0 {
		var axis []settings
		for i, entry := range entries {
			var labels []string
			for _, key := range list[i] {
				labels = append(labels, label(short, key, entry[key]))
			}
			if names[i] != "" {
				labels = names[i : i+1]
			}
			axis = append(axis, settings{strings.Join(labels, ", "), entry})
		}
		at := 0
		if _, seeds := grid[seedKey]; seeds {
			at = 1
		}
		axes = slices.Insert(axes, at, axis)
	}
	return axes, nil
}

// flatten gives settings their full keys. Values stay as they are: an inline table within an array is one value.
func flatten(tables map[string]any) (map[string]any, error) {
	flat := map[string]any{}
	var add func(prefix string, table map[string]any) error
	add = func(prefix string, table map[string]any) error {
		for key, v := range table {
			if key = prefix + key; key == "seed" {
				key = seedKey
			}
			if inner, isTable := v.(map[string]any); isTable {
				if err := add(key+".", inner); err != nil {
					return err
				}
			} else if flat[key] != nil {
				return fmt.Errorf("%s is set twice; leave one out", key)
			} else {
				flat[key] = v
			}
		}
		return nil
	}
	return flat, add("", tables)
}

// nest is the opposite of flatten.
func nest(flat map[string]any) map[string]any {
	tables := map[string]any{}
	for key, v := range flat {
		parts := strings.Split(key, ".")
		at := tables
		for _, part := range parts[:len(parts)-1] {
			inner, isTable := at[part].(map[string]any)
			if !isTable {
				inner = map[string]any{}
				at[part] = inner
			}
			at = inner
		}
		at[parts[len(parts)-1]] = v
	}
	return tables
}

// shortNames are the last parts of keys where that tells which one is meant, and nothing where the value says it.
func shortNames(keys []string) map[string]string {
	slices.Sort(keys)
	keys = slices.Compact(keys)
	last := func(key string) string { return key[strings.LastIndexByte(key, '.')+1:] }
	short := map[string]string{}
	for _, key := range keys {
		short[key] = last(key)
		for _, other := range keys {
			if other != key && last(other) == last(key) {
				short[key] = key
			}
		}
		switch key {
		case "prune.method", "model.backbone", "data.name", "optim.name":
			short[key] = ""
		}
	}
	return short
}

func label(short map[string]string, key string, v any) string {
	return strings.TrimSpace(fmt.Sprintf("%s %v", short[key], v))
}

// product combines one value of every axis in all ways, the last axis fastest.
func product(axes [][]settings) [][]settings {
	points := [][]settings{{}}
	for _, axis := range axes {
		var more [][]settings
		for _, point := range points {
			for _, value := range axis {
				more = append(more, append(slices.Clone(point), value))
			}
		}
		points = more
	}
	// The seed is named last.
	for _, point := range points {
		if len(point) > 1 && point[0].values[seedKey] != nil && len(point[0].values) == 1 {
			copy(point, append(point[1:len(point):len(point)], point[0]))
		}
	}
	return points
}
