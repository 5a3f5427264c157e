// Package accel opens the backend that computes: XLA on a CUDA GPU, XLA on the CPU, or pure Go.
//
// XLA comes as a PJRT plugin, a shared library found at run time. [Open] only looks for it and never installs; [InstallCPU]
// and [InstallCUDA] (the command `stprune setup`) do. The pure Go backend needs nothing and is about ten times slower.
//
// # Where plugins are looked for
//
// The first one found counts; one that was named explicitly and can't be used is an error, not skipped.
//
//  1. the path in the backend's name, "xla:/path/plugin.so"
//  2. the environment: STPRUNE_PLUGIN (a file), GOMLX_BACKEND ("xla:/path/plugin.so[,options]"),
//     PJRT_PLUGIN_LIBRARY_PATH (a list of folders, which replaces those of 5)
//  3. [CacheDir]/plugins, where `stprune setup` puts them
//  4. for CUDA: the Python environments VIRTUAL_ENV, CONDA_PREFIX, .venv (here or in a parent folder), that of python3 on the
//     PATH, and the user's, for the plugin of jax-cuda13-pjrt
//  5. go-xla's own folders (~/.local/lib/go-xla, /usr/local/lib/go-xla, …)
//
// # Compiled programs
//
// What XLA compiles is kept in [CacheDir]/executables, at most 1 GB, and loaded by later starts (see [execcache]).
// STPRUNE_EXEC_CACHE names another folder, or says off. Results are the same bits either way. With CUDA plugins this is untried.
//
// # Memory
//
// On Linux, programs with this package have a posix_memalign and a free of their own, which ask for huge pages for pieces of 32 MB and
// more, and keep such a piece from one step to the next: XLA's steps on the CPU take a fourth to a third less time by the former, and up
// to a tenth by the latter (see hugepages.c). So up to as much memory as a step takes stays with the process between steps.
//
// # Build tags
//
// XLA needs cgo. Built with CGO_ENABLED=0 or the tag noxla, the package has the Go backend only.
package accel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/gobackend"

	"github.com/stprune/workbench/stprune/accel/execcache"
)

// Kinds of backends.
const (
	CUDA = "cuda" // XLA on an NVIDIA GPU
	CPU  = "cpu"  // XLA on the CPU
	Go   = "go"   // pure Go
)

// goConfig runs operations one after the other. The Go backend's default runs independent operations in parallel on the worker
// pool that they themselves wait for, and deadlocks.
const goConfig = "ops_sequential"

// ErrNoPlugin says that there is no PJRT plugin of the wanted kind.
var ErrNoPlugin = errors.New("no PJRT plugin found")

// ErrNotBuilt says that this program was built without XLA.
var ErrNotBuilt = errors.New("this program was built without XLA (cgo off, or tag noxla): build it with CGO_ENABLED=1 and a C compiler")

// PlainProducts begins the name of a program (graph.Exec.WithName) most of whose work is plain matrix products, with no axis of
// batches. XLA computes those on the CPU faster without YNNPACK than with it: a training step of STID takes about a quarter less time
// with 512 pairs and a tenth less with 64 windows, an evaluation a seventh less; attention and convolutions take more. Other backends
// don't look at the name.
const PlainProducts = "plain_products"

// Backend is an opened backend. Hand the embedded compute.Backend, not the Backend, to GoMLX: tensors know the backend they
// live on by identity.
type Backend struct {
	compute.Backend
	Kind   string // [CUDA], [CPU] or [Go]
	Plugin string // absolute path of the PJRT plugin; "" for Go
	Source string // why this plugin: the name of the variable or place where it was found; "" for Go
	API    string // version of the plugin's PJRT C interface, such as "0.115"; "" for Go
	Config string // the same backend as a GOMLX_BACKEND setting, such as "xla:/path/plugin.so,tf32=false"

	Executables *execcache.Cache // where compiled programs are kept for later starts; nil when they are not, and for Go
}

// Close frees the backend and everything that lives on it. Closing again does nothing.
func (b *Backend) Close() (err error) {
	defer recovered("closing the backend", &err)
	if b == nil || b.Backend == nil || b.IsFinalized() {
		return nil
	}
	b.Finalize()
	return nil
}

// Open opens the backend with the given name:
//
//	auto             CUDA if present, else XLA on the CPU, else Go; a setting GOMLX_BACKEND=go… chooses Go
//	xla              CUDA if present, else XLA on the CPU
//	xla:cpu          XLA on the CPU
//	xla:cuda         XLA on an NVIDIA GPU
//	xla:/path/x.so   XLA with this plugin
//	go               pure Go, operations one after the other
//
// The xla names take go-xla's options after commas, such as "xla:cuda,memory_fraction=0.5". TensorFloat-32 is off unless
// "tf32=true" is among them. When auto settles for less than XLA it writes one line to log (nil for none) that says so and why;
// likewise when compiled programs can't be kept, which may come out later, when one compiles.
func Open(ctx context.Context, name string, log io.Writer) (b *Backend, err error) {
	defer recovered(fmt.Sprintf("opening backend %q", name), &err)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if log == nil {
		log = io.Discard
	}
	request, err := parse(name)
	if err != nil {
		return nil, err
	}
	if request.kind == Go {
		return openGo()
	}
	if !request.auto {
		return openXLA(request, log)
	}
	if setting := os.Getenv(compute.ConfigEnvVar); setting == Go || strings.HasPrefix(setting, Go+":") {
		fmt.Fprintf(log, "accel: using the pure Go backend, as %s says\n", compute.ConfigEnvVar)
		return openGo()
	}
	b, err = openXLA(request, log)
	if err == nil {
		return b, nil
	}
	fmt.Fprintf(log, "accel: using the pure Go backend, about ten times slower than XLA, because: %v\n", err)
	return openGo()
}

// request is a parsed backend name.
type request struct {
	auto    bool   // fall back to Go
	kind    string // CUDA, CPU, Go, or "" for the best
	path    string // explicit plugin, or ""
	options string // go-xla's options, comma-separated
}

func parse(name string) (request, error) {
	head, options, _ := strings.Cut(name, ",")
	r := request{options: options}
	backend, plugin, given := strings.Cut(head, ":")
	switch {
	case backend == "auto" && !given:
		r.auto = true
	case backend == "go" && options == "" && (!given || plugin == goConfig):
		r.kind = Go
	case backend == "xla" && !given:
	case backend == "xla" && (plugin == CPU || plugin == CUDA):
		r.kind = plugin
	case backend == "xla" && filepath.IsAbs(plugin):
		r.path = filepath.Clean(plugin)
	default:
		return r, fmt.Errorf("unknown backend %q: want auto, xla, xla:cpu, xla:cuda, xla:/absolute/path/plugin.so or go", name)
	}
	return r, nil
}

func openGo() (*Backend, error) {
	backend, err := gobackend.New(goConfig)
	if err != nil {
		return nil, fmt.Errorf("opening the Go backend: %w", err)
	}
	return &Backend{Backend: backend, Kind: Go, Config: Go + ":" + goConfig}, nil
}

// openXLA opens the requested plugin, or the best one: CUDA where there is a GPU and the plugin works, else the CPU.
func openXLA(r request, log io.Writer) (*Backend, error) {
	if !xlaBuilt {
		return nil, ErrNotBuilt
	}
	if r.path != "" {
		return load(Plugin{Path: r.path, Kind: kindOf(r.path), Source: "the backend's name"}, r.options, log)
	}
	if r.kind != "" {
		plugin, err := Find(r.kind)
		if err != nil {
			return nil, err
		}
		return load(plugin, r.options, log)
	}
	// A plugin set in the environment is a wish, whatever its kind: failing to load is an error.
	if plugin, err := fromEnvironment(""); err != nil {
		return nil, err
	} else if plugin.Path != "" {
		return load(plugin, r.options, log)
	}
	if HasNVIDIA() {
		plugin, err := Find(CUDA)
		if err == nil {
			var b *Backend
			if b, err = load(plugin, r.options, log); err == nil {
				return b, nil
			}
		}
		fmt.Fprintf(log, "accel: there is an NVIDIA GPU, but using the CPU, because: %v\n", err)
	}
	plugin, err := Find(CPU)
	if err != nil {
		return nil, err
	}
	return load(plugin, r.options, log)
}

// load checks that the file is a whole library for this machine, which dlopen does not, and opens it.
func load(plugin Plugin, options string, log io.Writer) (*Backend, error) {
	if err := checkLibrary(plugin.Path); err != nil {
		return nil, fmt.Errorf("PJRT plugin %s (from %s) can't be used: %w; %s", plugin.Path, plugin.Source, err, remedy(plugin.Kind))
	}
	config := plugin.Path
	if !strings.Contains(","+options, ",tf32") && !strings.Contains(","+options, ",notf32") {
		config += ",tf32=false"
	}
	if options != "" {
		config += "," + options
	}
	b, err := openPlugin(plugin, config, log)
	if err != nil {
		return nil, fmt.Errorf("opening PJRT plugin %s (from %s): %w; %s", plugin.Path, plugin.Source, err, remedy(plugin.Kind))
	}
	b.Source, b.Config = plugin.Source, "xla:"+config
	return b, nil
}

func remedy(kind string) string {
	if kind == CUDA {
		return "run `stprune setup --cuda`, or see `stprune doctor`"
	}
	return "run `stprune setup`, or see `stprune doctor`"
}

// recovered turns a panic of the libraries below into an error.
func recovered(doing string, err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("%s: internal failure: %v", doing, r)
	}
}
