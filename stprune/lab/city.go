package lab

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/datasets/synth"
)

// City is the synthetic city of [synth.Config]'s defaults (24 sensors, four weeks), kept under that name in the first data
// folder and made when it is not there yet.
func (l *Lab) City(name string) (*datasets.Series, error) {
	dir := filepath.Join(l.Folders[0], name)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		s, _, err := synth.CityContext(l.ctx, synth.Config{})
		if err != nil {
			return nil, err
		}
		s.Name = name
		card := datasets.Card{Licence: "CC0-1.0", Source: "synthetic city, seed 0"}
		if err := os.MkdirAll(l.Folders[0], 0o755); err != nil {
			return nil, err
		}
		if err := datasets.Save(dir, s, card); err != nil {
			return nil, err
		}
	}
	return l.Series(dir)
}
