// Package kernels installs JupyterLab and the project's Jupyter kernels, and runs notebooks from the command line.
//
// Everything stays in the project's folder: the Python environment in .venv, GoNB and goimports in bin, Jupyter's own files in
// .jupyter. The kernels run GoNB with the project as workspace, so a cell imports its packages without any preparation:
//
//	stprune-cpu    XLA on the CPU
//	stprune-cuda   XLA on an NVIDIA GPU, where its plugin is found
//	stprune-go     pure Go
package kernels

import (
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/stprune/workbench/stprune/accel"
)

//go:embed requirements.txt
var requirements []byte

//go:embed stprune-*/kernel.json
var templates embed.FS

// specs lists the kernels, and the kind of plugin that each needs.
var specs = []struct{ name, kind string }{{"stprune-cpu", accel.CPU}, {"stprune-cuda", accel.CUDA}, {"stprune-go", accel.Go}}

const (
	gonb      = "github.com/janpfeifer/gonb"
	goimports = "golang.org/x/tools/cmd/goimports"
)

// Root finds the project's folder, the one with its go.mod, from dir upwards.
func Root(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for at := dir; ; at = filepath.Dir(at) {
		content, err := os.ReadFile(filepath.Join(at, "go.mod"))
		if err == nil && strings.HasPrefix(string(content), "module github.com/stprune/workbench\n") {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("neither %s nor a folder above it is the project's: run this inside its checkout", dir)
		}
	}
}

// Install makes or completes the Python environment, builds GoNB and goimports, and writes the kernels for the plugins found.
// What is there already is kept: a second call takes a second or two. Progress goes to log, nil for none.
func Install(ctx context.Context, root string, log io.Writer) error {
	if log == nil {
		log = io.Discard
	}
	if err := os.MkdirAll(filepath.Join(root, ".jupyter"), 0o755); err != nil {
		return err
	}
	lock := flock.New(filepath.Join(root, ".jupyter", "install.lock"))
	if _, err := lock.TryLockContext(ctx, 200*time.Millisecond); err != nil {
		return fmt.Errorf("locking %s: %w", lock.Path(), err)
	}
	defer lock.Unlock()
	if err := installPython(ctx, root, log); err != nil {
		return fmt.Errorf("installing JupyterLab: %w", err)
	}
	fmt.Fprintln(log, "setup: building GoNB")
	// A notebook's workspace reads the go.mod of every module, also of those that no package of ours needs.
	if err := command(ctx, root, "go", "mod", "download"); err != nil {
		return err
	}
	if err := command(ctx, root, "go", "build", "-buildvcs=false", "-o", filepath.Join(root, "bin")+string(filepath.Separator), gonb, goimports); err != nil {
		return err
	}
	if err := writeKernels(root, log); err != nil {
		return fmt.Errorf("writing the kernels: %w", err)
	}
	overrides := []byte(`{"@jupyterlab/apputils-extension:notification":{"fetchNews":"false"}}` + "\n")
	return write(filepath.Join(root, ".venv/share/jupyter/lab/settings/overrides.json"), overrides)
}

// hashed tells whether the requirements' hashes cover this platform.
func hashed() bool { return runtime.GOOS == "linux" && runtime.GOARCH == "amd64" }

var hash = regexp.MustCompile(` \\\n\s+--hash=\S+`)

func installPython(ctx context.Context, root string, log io.Writer) error {
	wanted := requirements
	if !hashed() {
		fmt.Fprintf(log, "setup: the pinned hashes are for linux/amd64; on %s/%s Python packages are pinned by version only\n", runtime.GOOS, runtime.GOARCH)
		wanted = hash.ReplaceAll(wanted, nil)
	}
	venv := filepath.Join(root, ".venv")
	stamp, want := filepath.Join(venv, "stprune.sha256"), fmt.Sprintf("%x\n", sha256.Sum256(wanted))
	if have, err := os.ReadFile(stamp); err == nil && string(have) == want {
		return nil
	}
	fmt.Fprintln(log, "setup: installing JupyterLab into .venv, about 90 packages")
	python, err := accel.Python()
	if err != nil {
		return err
	}
	const tooOld = "import sys; sys.exit(0 if sys.version_info >= (3, 10) else 'Python %d.%d is too old, want 3.10 or newer' % sys.version_info[:2])"
	if err := command(ctx, root, python, "-c", tooOld); err != nil {
		return fmt.Errorf("%w; set STPRUNE_PYTHON to another interpreter", err)
	}
	pip := []string{filepath.Join(venv, "bin", "python"), "-m", "pip"}
	if err := command(ctx, root, python, "-m", "venv", venv); err != nil {
		if ctx.Err() != nil {
			return err
		}
		// Debian splits ensurepip off; the interpreter's own pip can then install into the environment.
		pip = []string{python, "-m", "pip", "--python", filepath.Join(venv, "bin", "python")}
		if second := command(ctx, root, python, "-m", "venv", "--without-pip", "--clear", venv); second != nil {
			return fmt.Errorf("%w; install Python's venv module (Debian and Ubuntu: apt-get install python3-venv)", errors.Join(err, second))
		}
		if second := command(ctx, root, pip[0], append(pip[1:], "--version")...); second != nil {
			return fmt.Errorf("%w; install Python's venv or pip (Debian and Ubuntu: apt-get install python3-venv, or python3-pip 22.3 or newer)", errors.Join(err, second))
		}
	}
	list, err := os.CreateTemp("", "requirements-*.txt")
	if err != nil {
		return err
	}
	defer os.Remove(list.Name())
	if _, err := list.Write(wanted); err != nil {
		return err
	}
	if err := list.Close(); err != nil {
		return err
	}
	arguments := append(pip[1:], "--no-input", "--disable-pip-version-check", "--quiet", "install", "--no-deps", "--requirement", list.Name())
	if hashed() {
		arguments = append(arguments, "--require-hashes", "--only-binary", ":all:")
	}
	if err := command(ctx, root, pip[0], arguments...); err != nil {
		return fmt.Errorf("%w; without network point pip to a folder of wheels (PIP_NO_INDEX=1 PIP_FIND_LINKS=folder)", err)
	}
	return write(stamp, []byte(want))
}

// writeKernels writes a kernel.json for each kind of plugin found, and removes those of plugins that are gone.
func writeKernels(root string, log io.Writer) error {
	goFolder := ""
	if path, err := exec.LookPath("go"); err == nil {
		goFolder = filepath.Dir(path)
	}
	for _, spec := range specs {
		folder := kernelFolder(root, spec.name)
		var plugin accel.Plugin
		if spec.kind != accel.Go {
			var err error
			if plugin, err = accel.Find(spec.kind); err != nil {
				if !errors.Is(err, accel.ErrNoPlugin) {
					return err
				}
				if spec.kind == accel.CPU || accel.HasNVIDIA() {
					fmt.Fprintf(log, "setup: no kernel %s: %v\n", spec.name, err)
				}
				if err := os.RemoveAll(folder); err != nil {
					return err
				}
				continue
			}
		}
		template, err := templates.ReadFile(spec.name + "/kernel.json")
		if err != nil {
			return err
		}
		replacer := strings.NewReplacer("@ROOT@", quoted(root), "@PLUGIN@", quoted(plugin.Path), "@GO@", quoted(goFolder))
		if err := write(filepath.Join(folder, "kernel.json"), []byte(replacer.Replace(string(template)))); err != nil {
			return err
		}
		fmt.Fprintln(log, "setup: kernel", spec.name)
	}
	return nil
}

func kernelFolder(root, name string) string {
	return filepath.Join(root, ".venv/share/jupyter/kernels", name)
}

// quoted is s as it stands between the quotes of a JSON string.
func quoted(s string) string {
	text, _ := json.Marshal(s) // strings always marshal
	return strings.Trim(string(text), `"`)
}

// Execute runs the notebook, whose cells see the notebook's folder as the current one, on the kernel, and writes it with its
// outputs to the file output; "" for in place. When a cell fails the error holds its message and nothing is written.
func Execute(ctx context.Context, root, kernel, notebook, output string) error {
	if output == "" {
		output = notebook
	}
	notebook, err := filepath.Abs(notebook) // the program runs in root
	if err != nil {
		return err
	}
	if output, err = filepath.Abs(output); err != nil {
		return err
	}
	python := filepath.Join(root, ".venv/bin/python")
	if _, err := os.Stat(python); err != nil {
		return fmt.Errorf("there is no Jupyter in %s: run `stprune setup --jupyter`: %w", root, err)
	}
	return command(ctx, root, python, filepath.Join(root, "kernels/execute.py"), "--kernel", kernel, "--output", output, notebook)
}

// command runs a program in the folder root; its error holds the last of what it printed.
func command(ctx context.Context, root, name string, arguments ...string) error {
	cmd := exec.CommandContext(ctx, name, arguments...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "PIP_USER=false") // a user's setting that fails in a virtual environment
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	output, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		text := strings.TrimSpace(string(output))
		const enough = 2000
		return fmt.Errorf("%s %s: %w: %s", filepath.Base(name), strings.Join(arguments[:min(3, len(arguments))], " "), err, text[max(0, len(text)-enough):])
	}
	return nil
}

// write replaces a file in one step.
func write(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	if _, err := file.Write(content); err != nil {
		return err
	}
	if err := errors.Join(file.Chmod(0o644), file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}

// Status says what is installed in the project's folder.
type Status struct {
	Root       string   `json:"root"`
	JupyterLab string   `json:"jupyterlab"` // version; "" if missing
	GoNB       string   `json:"gonb"`       // version; "" if missing
	Goimports  bool     `json:"goimports"`
	Kernels    []string `json:"kernels"` // names
}

// Inspect looks at what [Install] has put into the project's folder.
func Inspect(root string) Status {
	s := Status{Root: root, Kernels: []string{}}
	if found, err := filepath.Glob(filepath.Join(root, ".venv/lib/python3*/site-packages/jupyterlab-*.dist-info")); err == nil && len(found) > 0 {
		s.JupyterLab = strings.TrimSuffix(strings.TrimPrefix(filepath.Base(found[0]), "jupyterlab-"), ".dist-info")
	}
	if info, err := buildinfo.ReadFile(filepath.Join(root, "bin/gonb")); err == nil {
		s.GoNB = info.Main.Version
	}
	_, err := os.Stat(filepath.Join(root, "bin/goimports"))
	s.Goimports = err == nil
	for _, spec := range specs {
		if _, err := os.Stat(filepath.Join(kernelFolder(root, spec.name), "kernel.json")); err == nil {
			s.Kernels = append(s.Kernels, spec.name)
		}
	}
	return s
}
