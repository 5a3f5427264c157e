package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// index is what a report's folder is known by.
const index = "report.json"

// Write makes dir a folder of the report: index.html and README.md for people, report.json and environment.json for programs,
// figures as SVG and PDF, tables as CSV and LaTeX, the study with all settings, and a script that repeats it. A folder that is there
// must be an earlier report; it is replaced as a whole. After an error nothing is changed.
func (r *Report) Write(dir string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("report %s: %w", dir, err)
		}
	}()
	dir = filepath.Clean(dir)
	_, missing := os.Lstat(dir)
	if _, err := os.Stat(filepath.Join(dir, index)); missing == nil && err != nil {
		return fmt.Errorf("it exists and is no report, which has a %s; choose another name with --out", index)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+"-*.partial")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }() // what is left of it
	fresh, old := filepath.Join(temp, "new"), filepath.Join(temp, "old")
	if err := r.fill(fresh); err != nil {
		return err
	}
	if missing == nil {
		if err := os.Rename(dir, old); err != nil {
			return err
		}
	}
	if err := os.Rename(fresh, dir); err != nil {
		if missing == nil {
			err = errors.Join(err, os.Rename(old, dir))
		}
		return err
	}
	return nil
}

// fill writes all files into the new folder dir.
func (r *Report) fill(dir string) error {
	html, err := r.HTML()
	if err != nil {
		return err
	}
	files := map[string][]byte{"index.html": html, "README.md": r.Markdown(), "study.toml": r.study}
	for name, v := range map[string]any{index: r, "environment.json": map[string]any{"report": r.Source, "data": r.Data, "environments": r.Environments}} {
		text, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			return err
		}
		files[name] = append(text, '\n')
	}
	for _, s := range r.sections {
		for _, b := range s.Blocks {
			if b.Table != nil {
				files["tables/"+b.Table.Name+".csv"] = []byte(b.Table.CSV())
				files["tables/"+b.Table.Name+".tex"] = []byte(b.Table.LaTeX())
			}
		}
	}
	if r.Comparison != nil {
		files["tables/cells.csv"] = []byte(r.Comparison.CellsCSV())
	}
	for _, f := range r.Figures {
		files["figures/"+f.Name+".svg"] = f.svg
	}
	for _, folder := range []string{"figures", "tables"} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o755); err != nil {
			return err
		}
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return err
		}
	}
	for _, f := range r.Figures {
		if err := f.drawn.Save(filepath.Join(dir, "figures", f.Name+".pdf")); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, "reproduce.sh"), []byte(r.script), 0o755)
}
