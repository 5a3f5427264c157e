package kernels

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stprune/workbench/stprune/accel"
)

// installed is the project's folder with Jupyter and the kernels in it.
func installed(t *testing.T) string {
	t.Helper()
	root, err := Root(".")
	if err != nil {
		t.Fatal(err)
	}
	status := Inspect(root)
	if status.JupyterLab == "" || status.GoNB == "" || !status.Goimports || !slices.Contains(status.Kernels, "stprune-cpu") {
		t.Fatalf("these tests need Jupyter, GoNB and the kernels, found %+v: run `make setup`", status)
	}
	return root
}

// notebook writes a notebook with the given cells.
func notebook(t *testing.T, cells ...string) string {
	t.Helper()
	type cell struct {
		Type     string   `json:"cell_type"`
		ID       string   `json:"id"`
		Metadata struct{} `json:"metadata"`
		Count    *int     `json:"execution_count"`
		Outputs  []string `json:"outputs"`
		Source   string   `json:"source"`
	}
	content := map[string]any{"nbformat": 4, "nbformat_minor": 5, "metadata": struct{}{}}
	list := []cell{}
	for i, source := range cells {
		list = append(list, cell{Type: "code", ID: string(rune('a' + i)), Outputs: []string{}, Source: source})
	}
	content["cells"] = list
	text, err := json.Marshal(content)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "tiny.ipynb")
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// streams joins what the cells of an executed notebook printed to stdout.
func streams(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var content struct {
		Cells []struct {
			Outputs []struct {
				Name string
				Text []string
			}
		}
	}
	if err := json.Unmarshal(text, &content); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, cell := range content.Cells {
		for _, output := range cell.Outputs {
			if output.Name == "stdout" {
				out.WriteString(strings.Join(output.Text, ""))
			}
		}
	}
	return out.String()
}

// TestExecute runs a notebook on the real kernels: a cell without any preparation imports our packages, and computes.
func TestExecute(t *testing.T) {
	root := installed(t)
	const imports = `%noautoget
import (
	"context"
	"fmt"
	"os"

	"github.com/stprune/workbench/stprune/accel"
)`
	const compute = `%%
ctx := context.Background()
backend, err := accel.Open(ctx, "auto", os.Stdout)
if err != nil {
	panic(err)
}
defer backend.Close()
fmt.Println(backend.Kind, backend.Name(), backend.API, accel.Check(ctx, backend))`
	tests := []struct{ kernel, want string }{
		{"stprune-cpu", `^cpu xla \d+\.\d+ <nil>\n$`},
		{"stprune-go", `^accel: using the pure Go backend, as GOMLX_BACKEND says\ngo .* <nil>\n$`},
	}
	for _, test := range tests {
		t.Run(test.kernel, func(t *testing.T) {
			path := notebook(t, imports, compute)
			if err := Execute(t.Context(), root, test.kernel, path, ""); err != nil {
				t.Fatal(err)
			}
			if got := streams(t, path); !regexp.MustCompile(test.want).MatchString(got) {
				t.Errorf("the cells printed %q, want %s", got, test.want)
			}
		})
	}
}

func TestExecuteFails(t *testing.T) {
	root := installed(t)
	tests := []struct{ name, cell, want string }{
		{"does not compile", "%%\nno such thing", "no such thing"},
		{"panics", "%%\npanic(\"the reason\")", "the reason"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := notebook(t, test.cell)
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			output := filepath.Join(t.TempDir(), "out.ipynb")
			for _, target := range []string{"", output} {
				err = Execute(t.Context(), root, "stprune-cpu", path, target)
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("error %v, want one with %q", err, test.want)
				}
			}
			after, err := os.ReadFile(path)
			if err != nil || string(after) != string(before) {
				t.Errorf("the notebook changed (%v)", err)
			}
			if _, err := os.Stat(output); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("an output was written (%v)", err)
			}
		})
	}
	if err := Execute(t.Context(), t.TempDir(), "stprune-cpu", "x.ipynb", ""); err == nil || !strings.Contains(err.Error(), "stprune setup --jupyter") {
		t.Errorf("without Jupyter the error is %v", err)
	}
}

func TestWriteKernels(t *testing.T) {
	root := filepath.Join(t.TempDir(), `a "quoted" folder`)
	plugin := filepath.Join(t.TempDir(), "my_cpu_plugin.so")
	if err := os.WriteFile(plugin, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("STPRUNE_PLUGIN", plugin)
	if err := writeKernels(root, t.Output()); err != nil {
		t.Fatal(err)
	}
	if got := Inspect(root).Kernels; !slices.Contains(got, "stprune-cpu") || !slices.Contains(got, "stprune-go") {
		t.Errorf("kernels %v", got)
	}
	text, err := os.ReadFile(filepath.Join(kernelFolder(root, "stprune-cpu"), "kernel.json"))
	if err != nil {
		t.Fatal(err)
	}
	var spec struct {
		Argv      []string
		Language  string
		Interrupt string `json:"interrupt_mode"`
		Env       map[string]string
	}
	if err := json.Unmarshal(text, &spec); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if spec.Argv[0] != root+"/bin/gonb" || !slices.Contains(spec.Argv, "-go_work="+root) || !slices.Contains(spec.Argv, "{connection_file}") {
		t.Errorf("argv %q", spec.Argv)
	}
	if spec.Language != "go" || spec.Interrupt != "message" || spec.Env["GOPROXY"] != "off" || spec.Env["GOMLX_BACKEND"] != "xla:"+plugin+",tf32=false" {
		t.Errorf("spec %+v", spec)
	}
	if strings.Contains(string(text), "@") {
		t.Errorf("a placeholder is left in %s", text)
	}

	// Once the plugin is gone, so is its kernel.
	for _, name := range []string{"STPRUNE_PLUGIN", "GOMLX_BACKEND"} {
		t.Setenv(name, "")
	}
	t.Setenv("PJRT_PLUGIN_LIBRARY_PATH", root)
	t.Setenv("STPRUNE_CACHE", root)
	if _, err := accel.Find(accel.CPU); err == nil {
		t.Fatal("a plugin is found where none can be: the test proves nothing")
	}
	if err := writeKernels(root, t.Output()); err != nil {
		t.Fatal(err)
	}
	if got := Inspect(root).Kernels; slices.Contains(got, "stprune-cpu") || !slices.Contains(got, "stprune-go") {
		t.Errorf("without a plugin: kernels %v", got)
	}
}

func TestRequirements(t *testing.T) {
	pin := regexp.MustCompile(`^[a-z0-9-]+==[0-9][0-9a-z.]*( ; python_version (<|>=) "3\.11")?$`)
	plain := string(hash.ReplaceAll(requirements, nil))
	for line := range strings.Lines(plain) {
		if line = strings.TrimSuffix(line, "\n"); !strings.HasPrefix(line, "#") && !pin.MatchString(line) {
			t.Errorf("without hashes the line %q is no exact version", line)
		}
	}
	if n := strings.Count(plain, "=="); n < 90 || strings.Count(string(requirements), "--hash=sha256:") < n {
		t.Errorf("%d packages, %d hashes", n, strings.Count(string(requirements), "--hash=sha256:"))
	}
}

func TestRoot(t *testing.T) {
	root, err := Root(".")
	if err != nil {
		t.Fatal(err)
	}
	if above, err := Root(filepath.Join(root, "kernels", "stprune-cpu")); err != nil || above != root {
		t.Errorf("root %s (%v), want %s", above, err, root)
	}
	if _, err := Root(t.TempDir()); err == nil {
		t.Error("a root is found outside the project")
	}
}
