//go:build cgo && !noxla

package accel

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/gomlx/go-xla/compute/xla"
	"github.com/gomlx/go-xla/pjrt"
)

const xlaBuilt = true

func openPlugin(plugin Plugin, config string) (*Backend, error) {
	if (plugin.Kind == CUDA) != pjrt.IsCUDAName(plugin.Path) {
		return nil, fmt.Errorf("go-xla takes every path with \"cuda\" or \"nvidia\" in it for a CUDA plugin: move this one, or set STPRUNE_CACHE to another folder")
	}
	if plugin.Kind == CUDA {
		if err := pointToCUDA(plugin.Path); err != nil {
			return nil, err
		}
	}
	library, err := pjrt.GetPlugin(plugin.Path)
	if err != nil {
		return nil, err
	}
	backend, err := xla.New(config)
	if err != nil {
		return nil, err
	}
	major, minor := library.Version()
	return &Backend{Backend: backend, Kind: plugin.Kind, Plugin: plugin.Path, API: fmt.Sprintf("%d.%d", major, minor)}, nil
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
