// Package report makes a folder that can be handed to a reviewer: what a study asked, what came of it in tables and figures, where it
// was computed, and how to repeat it. A study is a comparison (see package compare) or a sweep (see package sweep). Nothing is
// trained: a report shows what the store of runs holds, and says what is missing.
package report

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/stprune/workbench/stprune/compare"
	"github.com/stprune/workbench/stprune/sweep"
)

// Study is what a report is about.
type Study struct {
	Name string

	comparison *compare.Spec // or
	sweep      *sweep.Spec
	toml       []byte // with all settings of its base
	backend    string // asked for instead of its own
}

// Load reads and checks the file of a comparison or a sweep, whichever it is: a comparison has methods, a sweep a grid or a list.
func Load(path string) (Study, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Study{}, fmt.Errorf("study: %w", err)
	}
	var keys map[string]any
	if err := toml.Unmarshal(text, &keys); err != nil {
		return Study{}, fmt.Errorf("study %s: %w", path, err)
	}
	has := func(key string) bool { return keys[key] != nil }
	study := Study{Name: strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))}
	isSweep := has("grid") || has("list")
	switch {
	case has("methods") && isSweep:
		return Study{}, fmt.Errorf("study %s has methods, as a comparison, and grid or list, as a sweep; leave one of them out", path)
	case has("methods"):
		s, err := compare.Load(path)
		if err != nil {
			return Study{}, err
		}
		study.comparison = &s
		study.named(s.Name)
		study.toml, err = s.TOML()
		return study, err
	case isSweep:
		s, err := sweep.Load(path)
		if err != nil {
			return Study{}, err
		}
		study.sweep = &s
		study.named(s.Name)
		study.toml, err = s.TOML()
		return study, err
	}
	found := "no key"
	if len(keys) > 0 {
		found = strings.Join(slices.Sorted(maps.Keys(keys)), ", ")
	}
	return Study{}, fmt.Errorf("study %s is neither a comparison, which has methods, nor a sweep, which has grid or list; it has %s", path, found)
}

func (s *Study) named(name string) {
	if name = tidy(name); name != "" {
		s.Name = name
	}
}

// UseBackend looks for runs of another backend than the study's.
func (s *Study) UseBackend(name string) error {
	if name == "" {
		return nil
	}
	s.backend = name
	if s.comparison != nil {
		s.comparison.Base.Backend.Name = name
		return s.comparison.Check()
	}
	for i := range s.sweep.Runs {
		s.sweep.Runs[i].Backend.Name = name
		if err := s.sweep.Runs[i].Check(); err != nil {
			return err
		}
	}
	return nil
}

// training is the name of the command that trains the study.
func (s *Study) training() string {
	if s.comparison != nil {
		return "compare"
	}
	return "sweep"
}

// command is a line that does something with the study in a report's folder.
func (s *Study) command(name string) string {
	line := "stprune " + name + " study.toml"
	if s.backend != "" {
		line += " --backend " + quoted(tidy(s.backend))
	}
	return line
}
