//go:build cgo && !noxla

package accel

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/gomlx/go-xla/compute/xla"
	"github.com/gomlx/go-xla/pjrt"

	"github.com/stprune/workbench/stprune/accel/execcache"
)

const xlaBuilt = true

// opening guards go-xla's list of plugins, to which [execcache.Attach] adds.
var opening sync.Mutex

// overrides are XLA's options for programs of some name, by the kind of plugin.
var overrides = map[string][]execcache.Override{
	CPU: {{Prefix: PlainProducts, Option: "xla_cpu_experimental_ynn_fusion_type", Value: ""}}, // no YNNPACK
}

// openPlugin opens a plugin with the cache of compiled programs, or without it, which log is told.
func openPlugin(plugin Plugin, config string, log io.Writer) (*Backend, error) {
	opening.Lock()
	defer opening.Unlock()
	if (plugin.Kind == CUDA) != pjrt.IsCUDAName(plugin.Path) {
		return nil, fmt.Errorf("go-xla takes every path with \"cuda\" or \"nvidia\" in it for a CUDA plugin: move this one, or set STPRUNE_CACHE to another folder")
	}
	if plugin.Kind == CUDA {
		if err := pointToCUDA(plugin.Path); err != nil {
			return nil, err
		}
	}
	cache, uncached := Executables(log)
	uncached = cmp.Or(uncached, execcache.Attach(plugin.Path, cache, overrides[plugin.Kind]...))
	library, err := pjrt.GetPlugin(plugin.Path)
	if err != nil {
		return nil, err
	}
	if uncached != nil {
		cache = nil
		if !errors.Is(uncached, errors.ErrUnsupported) {
			fmt.Fprintf(log, "accel: compiled programs are not kept: %v\n", uncached)
		}
	}
	backend, err := xla.New(config)
	if err != nil {
		return nil, err
	}
	major, minor := library.Version()
	return &Backend{Backend: backend, Kind: plugin.Kind, Plugin: plugin.Path, Executables: cache, API: fmt.Sprintf("%d.%d", major, minor)}, nil
}

// pointToCUDA tells XLA where the ptxas and libdevice of a Python environment are. go-xla looks for them beside the plugin only,
// and warns at length when they are elsewhere.
func pointToCUDA(plugin string) error {
	const flags, option = "XLA_FLAGS", "--xla_gpu_cuda_data_dir"
	if os.Getenv("GOPJRT_CUDA_CHECKS") == "" {
		if err := os.Setenv("GOPJRT_CUDA_CHECKS", "0"); err != nil {
			return err
		}
	}
	toolkits, err := filepath.Glob(filepath.Join(filepath.Dir(plugin), "../../nvidia/cu[0-9]*"))
	if err != nil || len(toolkits) == 0 || strings.Contains(os.Getenv(flags), option) {
		return nil
	}
	return os.Setenv(flags, strings.TrimSpace(os.Getenv(flags)+" "+option+"="+toolkits[len(toolkits)-1]))
}
