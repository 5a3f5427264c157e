// Package notebooks holds the workbench's notebooks; its tests execute them on the real kernel.
package notebooks

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stprune/workbench/kernels"
	"github.com/stprune/workbench/stprune/run"
)

// content is what the tests read of a notebook.
type content struct {
	Metadata struct {
		Kernel struct{ Name string } `json:"kernelspec"`
	}
	Cells []struct {
		Type    string   `json:"cell_type"`
		Source  lines    `json:"source"`
		Count   *int     `json:"execution_count"`
		Outputs []output `json:"outputs"`
	}
}

type output struct {
	Type string `json:"output_type"`
	Name string
	Data map[string]lines
	Text lines
}

// lines is text, which notebooks store whole or by the line.
type lines string

func (l *lines) UnmarshalJSON(b []byte) error {
	var parts []string
	if json.Unmarshal(b, &parts) == nil {
		*l = lines(strings.Join(parts, ""))
		return nil
	}
	var whole string
	err := json.Unmarshal(b, &whole)
	*l = lines(whole)
	return err
}

func read(t *testing.T, path string) content {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var c content
	if err := json.Unmarshal(text, &c); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return c
}

// shown lists the pictures and tables of each cell, pictures without their content. Progress is left out.
func (c content) shown() []string {
	var all []string
	for i, cell := range c.Cells {
		for _, o := range cell.Outputs {
			if o.Type == "error" {
				all = append(all, fmt.Sprintf("cell %d: error", i))
			}
			if _, ok := o.Data["image/png"]; ok {
				all = append(all, fmt.Sprintf("cell %d: picture", i))
			}
			if table, ok := o.Data["text/markdown"]; ok {
				all = append(all, fmt.Sprintf("cell %d: %s", i, table))
			}
		}
	}
	return all
}

// kinds is shown without what the tables say.
func (c content) kinds() []string {
	all := c.shown()
	for i, text := range all {
		all[i], _, _ = strings.Cut(text, "|")
	}
	return all
}

func project(t *testing.T) string {
	t.Helper()
	root, err := kernels.Root(".")
	if err != nil {
		t.Fatal(err)
	}
	if s := kernels.Inspect(root); !slices.Contains(s.Kernels, "stprune-cpu") {
		t.Fatalf("these tests need Jupyter and the kernels, found %+v: run `make setup`", s)
	}
	return root
}

func TestNotebooks(t *testing.T) {
	root := project(t)
	paths, err := filepath.Glob("*.ipynb")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no notebook (%v)", err)
	}
	for _, path := range paths {
		t.Run(path, func(t *testing.T) {
			stored := read(t, path)
			for i, cell := range stored.Cells {
				if cell.Type == "code" && cell.Count == nil {
					t.Errorf("cell %d is stored without having been run; `make notebooks` stores all outputs", i)
				}
			}
			t.Setenv("STPRUNE_RUNS", t.TempDir())
			t.Setenv("STPRUNE_DATA", t.TempDir())
			t.Setenv("STPRUNE_CITY", "small")
			var shown [][]string
			for range 2 { // the second time from the store
				out := filepath.Join(t.TempDir(), path)
				if err := kernels.Execute(t.Context(), root, stored.Metadata.Kernel.Name, path, out); err != nil {
					t.Fatal(err)
				}
				again := read(t, out)
				if got, want := again.kinds(), stored.kinds(); !slices.Equal(got, want) {
					t.Errorf("it shows %q, stored are %q", got, want)
				}
				shown = append(shown, again.shown())
			}
			if !slices.Equal(shown[0], shown[1]) {
				t.Errorf("run again from the start it shows\n%s\nafter\n%s", shown[1], shown[0])
			}
		})
	}
}

// Interrupting the kernel while a cell trains ends the cell soon, with the run saved; the same cell run again goes on from there.
func TestInterrupt(t *testing.T) {
	root := project(t)
	store := t.TempDir()
	t.Setenv("STPRUNE_RUNS", store)
	t.Setenv("STPRUNE_DATA", t.TempDir())
	t.Setenv("JUPYTER_CONFIG_DIR", filepath.Join(root, ".jupyter", "config"))
	t.Setenv("JUPYTER_DATA_DIR", filepath.Join(root, ".jupyter", "data"))
	t.Setenv("JUPYTER_RUNTIME_DIR", filepath.Join(root, ".jupyter", "run"))
	t.Setenv("IPYTHONDIR", filepath.Join(root, ".jupyter", "ipython"))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(root, ".venv/bin/python"), "testdata/interrupt.py", "testdata/interrupt.ipynb")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var cells []struct {
		Seconds float64
		Error   bool
		Shown   string
	}
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
		cells = append(cells, struct {
			Seconds float64
			Error   bool
			Shown   string
		}{})
		if err := d.Decode(&cells[len(cells)-1]); err != nil {
			t.Fatalf("%v in %s", err, out)
		}
	}
	if len(cells) != 2 {
		t.Fatalf("two reports are wanted:\n%s", out)
	}
	// After 5 s the kernel kills the cell's program.
	if c := cells[0]; c.Seconds > 4.5 || !c.Error || !strings.Contains(c.Shown, "is saved and resumes when asked for again") {
		t.Errorf("the interrupted cell took %.1f s more and showed %s", c.Seconds, c.Shown)
	}
	if c := cells[1]; c.Error || !strings.Contains(c.Shown, "resumes after epoch") {
		t.Errorf("run again the cell showed %s", c.Shown)
	}
	runs, err := run.NewStore(store).List("status=finished")
	if err != nil || len(runs) != 1 {
		t.Errorf("%d finished runs, want 1 (%v)", len(runs), err)
	}
}
