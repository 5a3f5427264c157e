package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"text/tabwriter"

	"github.com/gomlx/compute"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/kernels"
	"github.com/stprune/workbench/stprune/accel"
)

// doctorCmd says what is installed, whether it works, and what to do about what is missing.
type doctorCmd struct {
	JSON       bool `help:"Print one JSON object."`
	ClearCache bool `help:"Remove the compiled programs that are kept for later starts, and do nothing else."`
}

// report is what doctor prints.
type report struct {
	OK       bool              `json:"ok"` // XLA computes
	Go       string            `json:"go"`
	Platform string            `json:"platform"`
	Module   string            `json:"module"`   // version of this program
	Revision string            `json:"revision"` // its commit
	Modules  map[string]string `json:"modules"`  // versions of what it computes with
	Tools    map[string]string `json:"tools"`    // paths of programs; "" if missing
	Backends []backendReport   `json:"backends"`
	Jupyter  *kernels.Status   `json:"jupyter"` // null outside the checkout
	Kept     keptReport        `json:"compiled_programs"`
	Caches   []cacheReport     `json:"caches"`
	Data     []dataReport      `json:"data"`
	Problems []problem         `json:"problems"`
}

type backendReport struct {
	Name    string   `json:"name"`
	Works   bool     `json:"works"` // a matrix product equals the host's
	Error   string   `json:"error,omitempty"`
	Plugin  string   `json:"plugin,omitempty"`
	Source  string   `json:"source,omitempty"`
	API     string   `json:"pjrt_api,omitempty"`
	Devices []string `json:"devices,omitempty"`
}

// keptReport tells of XLA programs compiled once for all starts.
type keptReport struct {
	On     bool   `json:"on"` // XLA is used with them
	Folder string `json:"folder,omitempty"`
	Number int    `json:"number"`
	Bytes  int64  `json:"bytes"`
}

type cacheReport struct {
	Name  string `json:"name"`
	Path  string `json:"path"`
	Bytes int64  `json:"bytes"`
}

type dataReport struct {
	Path   string `json:"path"`
	Exists bool   `json:"exists"`
}

type problem struct {
	What   string `json:"what"`
	Remedy string `json:"remedy"`
}

func (c *doctorCmd) Run(ctx context.Context) error {
	if c.ClearCache {
		return clearCache()
	}
	r, err := examine(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		encoder := json.NewEncoder(os.Stdout)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(r)
	} else {
		err = r.print(os.Stdout)
	}
	if err == nil && !r.OK {
		err = errors.New("XLA can't be used; the remedy is above")
	}
	return err
}

func clearCache() error {
	cache, err := accel.Executables(nil)
	if err != nil {
		return err
	}
	if cache == nil {
		return errors.New("no compiled programs are kept: STPRUNE_EXEC_CACHE is off, or XLA_FLAGS asks for dumps; unset it to clear the folder")
	}
	number, bytes, err := cache.Size()
	if err != nil {
		return err
	}
	if err := cache.Clear(); err != nil {
		return err
	}
	fmt.Printf("removed %d compiled programs, %d MB, from %s\n", number, bytes/1_000_000, cache.Folder())
	return nil
}

func examine(ctx context.Context) (*report, error) {
	r := &report{Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Modules: map[string]string{}, Tools: map[string]string{}, Problems: []problem{}}
	r.versions()
	r.tools()
	if err := r.backends(ctx); err != nil {
		return nil, err
	}
	r.kept()
	r.jupyter()
	r.folders()
	return r, nil
}

func (r *report) problem(what, remedy string) {
	r.Problems = append(r.Problems, problem{what, remedy})
}

func (r *report) versions() {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return
	}
	r.Module = info.Main.Version
	for _, module := range info.Deps {
		switch module.Path {
		case "github.com/gomlx/gomlx", "github.com/gomlx/compute", "github.com/gomlx/go-xla", "github.com/janpfeifer/gonb":
			r.Modules[module.Path] = module.Version
		}
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			r.Revision = setting.Value
		}
	}
}

func (r *report) tools() {
	for _, tool := range []struct{ name, remedy string }{
		{"go", "install Go, see go.mod for the version"},
		{"gcc", "install a C compiler, which XLA is built with (Debian and Ubuntu: apt-get install gcc)"},
		{"make", "install make"},
	} {
		path, err := exec.LookPath(tool.name)
		r.Tools[tool.name] = path
		if err != nil {
			r.problem(tool.name+" is not on the PATH", tool.remedy)
		}
	}
	python, err := accel.Python()
	r.Tools["python"] = python
	if err != nil {
		r.problem("Python is missing", err.Error())
	}
}

// backends opens each backend and has it multiply. The pure Go one always works, so only XLA decides whether all is well.
func (r *report) backends(ctx context.Context) error {
	for _, name := range []string{"xla:cuda", "xla:cpu", "go"} {
		if err := ctx.Err(); err != nil {
			return err
		}
		b, kept, err := tryBackend(ctx, name)
		r.Backends = append(r.Backends, b)
		r.Kept.On = r.Kept.On || kept
		gpu := name != "xla:cuda" || accel.HasNVIDIA()
		if !b.Works && gpu {
			remedy := "run `stprune setup --cpu`"
			switch {
			case errors.Is(err, accel.ErrNotBuilt):
				remedy = "build with CGO_ENABLED=1 and a C compiler"
			case name == "xla:cuda":
				remedy = "run `stprune setup --cuda`; check the driver with nvidia-smi"
			}
			r.problem(name+" can't be used: "+b.Error, remedy)
		}
		r.OK = r.OK || b.Works && name != "go"
	}
	return nil
}

// tryBackend tells about a backend, and whether it keeps its compiled programs.
func tryBackend(ctx context.Context, name string) (r backendReport, kept bool, err error) {
	r.Name = name
	backend, err := accel.Open(ctx, name, nil)
	if err == nil {
		defer backend.Close()
		r.Plugin, r.Source, r.API = backend.Plugin, backend.Source, backend.API
		kept = backend.Executables != nil
		for i := range backend.NumDevices() {
			r.Devices = append(r.Devices, backend.DeviceDescription(compute.DeviceNum(i)))
		}
		err = accel.Check(ctx, backend)
	}
	if r.Works = err == nil; err != nil {
		r.Error = err.Error()
	}
	return r, kept, err
}

func (r *report) kept() {
	cache, err := accel.Executables(nil)
	if cache != nil {
		r.Kept.Folder = cache.Folder()
		r.Kept.Number, r.Kept.Bytes, err = cache.Size()
	}
	if err != nil {
		r.problem("compiled programs are not kept: "+err.Error(), "set STPRUNE_EXEC_CACHE to a folder that only you can write to")
	}
}

func (r *report) jupyter() {
	root, err := kernels.Root(".")
	if err != nil {
		return
	}
	status := kernels.Inspect(root)
	r.Jupyter = &status
	const remedy = "run `stprune setup --jupyter`"
	for _, part := range []struct {
		name    string
		present bool
	}{{"JupyterLab", status.JupyterLab != ""}, {"GoNB", status.GoNB != ""}, {"goimports", status.Goimports}, {"the notebook kernels", len(status.Kernels) > 0}} {
		if !part.present {
			r.problem(part.name+" not installed", remedy)
		}
	}
}

func (r *report) folders() {
	if cache, err := accel.CacheDir(); err == nil {
		r.Caches = append(r.Caches, cacheReport{"stprune", cache, size(cache)})
	}
	for _, variable := range []string{"GOCACHE", "GOMODCACHE"} {
		out, err := exec.Command("go", "env", variable).Output()
		if path := strings.TrimSpace(string(out)); err == nil && path != "" {
			r.Caches = append(r.Caches, cacheReport{variable, path, size(path)})
		}
	}
	for _, folder := range datasets.Folders() {
		info, err := os.Stat(folder)
		exists := err == nil && info.IsDir()
		r.Data = append(r.Data, dataReport{folder, exists})
		if !exists && os.Getenv(datasets.FoldersVariable) != "" {
			r.problem("data folder "+folder+" is missing", "correct "+datasets.FoldersVariable)
		}
	}
}

// size adds up the files below a folder; what can't be read counts nothing.
func size(folder string) int64 {
	var total int64
	_ = filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil
		}
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
			total += info.Size()
		}
		return nil
	})
	return total
}

func (r *report) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name, format string, values ...any) { fmt.Fprintf(w, name+"\t"+format+"\n", values...) }
	line("stprune", "%s, commit %s", cmp.Or(r.Module, "unknown"), cmp.Or(r.Revision, "unknown"))
	line("Go", "%s %s", r.Go, r.Platform)
	for _, module := range []string{"gomlx/gomlx", "gomlx/compute", "gomlx/go-xla", "janpfeifer/gonb"} {
		if version := r.Modules["github.com/"+module]; version != "" {
			line(module, "%s", version)
		}
	}
	for _, tool := range []string{"go", "gcc", "make", "python"} {
		line(tool, "%s", cmp.Or(r.Tools[tool], "missing"))
	}
	for _, b := range r.Backends {
		if !b.Works {
			line(b.Name, "no: %s", b.Error)
			continue
		}
		line(b.Name, "works, matrix product checked against the host")
		if b.Plugin != "" {
			line("", "plugin %s (from %s), PJRT %s", b.Plugin, b.Source, b.API)
		}
		for _, device := range b.Devices {
			line("", "device %s", device)
		}
	}
	if r.Jupyter == nil {
		line("Jupyter", "not looked for outside the checkout")
	} else {
		line("JupyterLab", "%s", cmp.Or(r.Jupyter.JupyterLab, "missing"))
		line("GoNB", "%s", cmp.Or(r.Jupyter.GoNB, "missing"))
		line("kernels", "%s", cmp.Or(strings.Join(r.Jupyter.Kernels, " "), "missing"))
	}
	if r.Kept.On {
		line("programs", "%d compiled ones kept in %s, %d MB", r.Kept.Number, r.Kept.Folder, r.Kept.Bytes/1_000_000)
	} else {
		line("programs", "are compiled at every start")
	}
	for _, cache := range r.Caches {
		line("cache "+cache.Name, "%s, %d MB", cache.Path, cache.Bytes/1_000_000)
	}
	for _, data := range r.Data {
		state := "is there"
		if !data.Exists {
			state = "not there yet"
		}
		line("data", "%s, %s", data.Path, state)
	}
	for _, p := range r.Problems {
		line("PROBLEM", "%s", p.What)
		line("  remedy", "%s", p.Remedy)
	}
	return w.Flush()
}
