// Package presets holds the settings with which the references train, as specs of runs: everything but the data set and the
// pruning. Each is a TOML file that run.ParseSpec reads over the defaults.
//
// A file begins with its title, the source of its settings, and what can't be followed:
//
//	# STAEformer on PEMS08, its own settings
//	# Source: XDZhelheim/STAEformer 2dfb9e3, model/STAEformer.yaml and model/train.py
package presets

import (
	"embed"
	"fmt"
	"path"
	"strings"

	"github.com/stprune/workbench/datasets"
)

//go:embed toml/*.toml
var files embed.FS

const folder, ending = "toml", ".toml"

// Preset is one set of settings.
type Preset struct {
	Name   string // backbone, code base if it isn't the backbone's own, data sets
	Title  string
	Source string // of the settings: repository, commit and files, or a paper
}

// List is all presets, sorted by name.
func List() []Preset {
	entries, err := files.ReadDir(folder)
	if err != nil {
		panic(err) // the folder is part of the program
	}
	var all []Preset
	for _, e := range entries {
		p := Preset{Name: strings.TrimSuffix(e.Name(), ending)}
		text, err := TOML(p.Name)
		if err != nil {
			panic(err)
		}
		lines := strings.SplitN(string(text), "\n", 3)
		p.Title = strings.TrimPrefix(lines[0], "# ")
		p.Source = strings.TrimPrefix(lines[1], "# Source: ")
		all = append(all, p)
	}
	return all
}

// TOML is the preset called name, to be read over the defaults. The error of an unknown name lists similar ones.
func TOML(name string) ([]byte, error) {
	if text, err := files.ReadFile(path.Join(folder, name+ending)); err == nil {
		return text, nil
	}
	var names []string
	for _, p := range List() {
		names = append(names, p.Name)
	}
	if near := datasets.NearNames(name, names); len(near) > 0 {
		return nil, fmt.Errorf("preset %q is unknown; did you mean %s?", name, strings.Join(near, " or "))
	}
	return nil, fmt.Errorf("preset %q is unknown; choose one of %s", name, strings.Join(names, ", "))
}
