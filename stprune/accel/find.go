package accel

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/gomlx/compute"

	"github.com/stprune/workbench/stprune/accel/execcache"
)

// foldersVariable is go-xla's list of folders with plugins.
const foldersVariable = "PJRT_PLUGIN_LIBRARY_PATH"

// Plugin is a PJRT plugin found on this machine.
type Plugin struct {
	Path   string `json:"path"`   // absolute
	Kind   string `json:"kind"`   // [CUDA] or [CPU]
	Source string `json:"source"` // where it was found, in words
}

// CacheDir is the folder for what is downloaded or built once per user: STPRUNE_CACHE, or stprune in the user's cache folder.
func CacheDir() (string, error) {
	if dir := os.Getenv("STPRUNE_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding the cache folder: %w; set STPRUNE_CACHE to a folder", err)
	}
	return filepath.Join(dir, "stprune"), nil
}

// Executables opens the cache of compiled programs: the folder that STPRUNE_EXEC_CACHE names, or executables in [CacheDir]. It is
// nil when the variable says off, or when XLA_FLAGS asks for dumps, which only compiling makes. The first program that can't be
// kept later on is told to log.
func Executables(log io.Writer) (*execcache.Cache, error) {
	const variable = "STPRUNE_EXEC_CACHE"
	folder := os.Getenv(variable)
	if folder == "off" || strings.Contains(os.Getenv("XLA_FLAGS"), "xla_dump") {
		return nil, nil
	}
	if folder == "" {
		cache, err := CacheDir()
		if err != nil {
			return nil, err
		}
		folder = filepath.Join(cache, "executables")
	}
	cache, err := execcache.Open(folder, execcache.DefaultLimit, log)
	if err != nil {
		return nil, fmt.Errorf("%w; set %s to another folder or to off", err, variable)
	}
	return cache, nil
}

// Find looks for the plugin of the given kind, [CUDA] or [CPU], in the places and the order of the package's description. The
// error wraps [ErrNoPlugin] when there is none. The file exists, but may still fail to open.
func Find(kind string) (Plugin, error) {
	if kind != CPU && kind != CUDA {
		return Plugin{}, fmt.Errorf("unknown kind of plugin %q: want %s or %s", kind, CPU, CUDA)
	}
	if plugin, err := fromEnvironment(kind); err != nil || plugin.Path != "" {
		return plugin, err
	}
	for _, place := range places(kind) {
		matches, err := filepath.Glob(place.pattern)
		if err != nil {
			continue
		}
		for _, path := range matches {
			if kindOf(path) == kind {
				return Plugin{Path: path, Kind: kind, Source: place.name}, nil
			}
		}
	}
	return Plugin{}, fmt.Errorf("%w for %s; %s", ErrNoPlugin, kind, remedy(kind))
}

// fromEnvironment is the plugin that the environment asks for; the zero Plugin when it names none of this kind ("" for any).
func fromEnvironment(kind string) (Plugin, error) {
	path, source := os.Getenv("STPRUNE_PLUGIN"), "STPRUNE_PLUGIN"
	if path == "" {
		source = compute.ConfigEnvVar
		setting, _, _ := strings.Cut(os.Getenv(compute.ConfigEnvVar), ",")
		if plugin, found := strings.CutPrefix(setting, "xla:"); found && filepath.IsAbs(plugin) {
			path = plugin
		}
	}
	if path != "" && (kind == "" || kindOf(path) == kind) {
		path, err := filepath.Abs(path)
		if err != nil {
			return Plugin{}, err
		}
		if _, err := os.Stat(path); err != nil {
			return Plugin{}, fmt.Errorf("the PJRT plugin that %s names: %w; correct the variable or unset it", source, err)
		}
		return Plugin{Path: path, Kind: kindOf(path), Source: source}, nil
	}
	for _, dir := range filepath.SplitList(os.Getenv(foldersVariable)) {
		for _, path := range pluginsIn(dir) {
			if kind == "" || kindOf(path) == kind {
				path, err := filepath.Abs(path)
				return Plugin{Path: path, Kind: kindOf(path), Source: foldersVariable}, err
			}
		}
	}
	return Plugin{}, nil
}

type place struct{ pattern, name string }

// places lists where plugins are installed, as patterns of file names, best first.
func places(kind string) []place {
	var list []place
	add := func(name string, elements ...string) {
		if elements[0] != "" {
			list = append(list, place{filepath.Join(elements...), name})
		}
	}
	const inPackages = "jax_plugins/xla_cuda*/xla_cuda_plugin.so"
	if cache, err := CacheDir(); err == nil {
		if kind == CPU {
			add("the cache folder", cache, "plugins", cpuFolder, cpuPlugin)
			add("the cache folder (go-xla's installer)", cache, "plugins", goxlaDir, cpuPlugin)
		} else {
			add("the cache folder", cache, "plugins", cudaFolder, inPackages)
		}
	}
	home, _ := os.UserHomeDir() // without a home there is nothing to look for in it
	if kind == CUDA {
		const packages = "lib/python3*/site-packages"
		add("VIRTUAL_ENV", os.Getenv("VIRTUAL_ENV"), packages, inPackages)
		add("CONDA_PREFIX", os.Getenv("CONDA_PREFIX"), packages, inPackages)
		if dir, err := os.Getwd(); err == nil {
			for ; ; dir = filepath.Dir(dir) {
				add("a Python environment", dir, ".venv", packages, inPackages)
				if dir == filepath.Dir(dir) {
					break
				}
			}
		}
		if python, err := exec.LookPath("python3"); err == nil {
			add("python3 on the PATH", filepath.Dir(filepath.Dir(python)), packages, inPackages)
		}
		add("the user's Python packages", home, ".local", packages, inPackages)
	}
	if os.Getenv(foldersVariable) != "" {
		return list
	}
	for _, base := range []string{filepath.Join(home, ".local"), "/usr/local"} {
		for _, folder := range []string{"go-xla", "go-xla/nvidia", "gomlx/pjrt"} {
			for _, pattern := range pluginPatterns {
				add("go-xla's folder", base, "lib", folder, pattern)
			}
		}
	}
	return list
}

// pluginPatterns are the names that go-xla gives to plugins.
var pluginPatterns = []string{"pjrt_c_api_*_plugin.so", "pjrt_plugin_*.so", "pjrt-plugin-*.so", "pjrt_c_api_*_plugin.dylib"}

func pluginsIn(dir string) []string {
	var found []string
	for _, pattern := range pluginPatterns {
		matches, err := filepath.Glob(filepath.Join(dir, pattern))
		if err == nil && dir != "" {
			found = append(found, matches...)
		}
	}
	return found
}

// kindOf tells the kind by the file's name, as go-xla does.
func kindOf(path string) string {
	name := strings.ToLower(filepath.Base(path))
	if strings.Contains(name, "cuda") || strings.Contains(name, "nvidia") {
		return CUDA
	}
	return CPU
}

// HasNVIDIA tells whether this machine has an NVIDIA GPU.
func HasNVIDIA() bool {
	devices, err := filepath.Glob("/dev/nvidia[0-9]*")
	return err == nil && len(devices) > 0
}

// checkLibrary reports what is wrong with a shared library: loading one whose end is missing kills the process with a bus
// error, which no recover catches.
func checkLibrary(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("it is not a regular file")
	}
	if runtime.GOOS != "linux" {
		return nil
	}
	library, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("it is not a whole shared library: %w", err)
	}
	defer library.Close()
	if machine, ok := machines[runtime.GOARCH]; ok && library.Machine != machine {
		return fmt.Errorf("it is built for %v, this machine is %s", library.Machine, runtime.GOARCH)
	}
	if library.Type != elf.ET_DYN {
		return fmt.Errorf("it is no shared library but an ELF file of type %v", library.Type)
	}
	for _, segment := range library.Progs {
		if end := segment.Off + segment.Filesz; end > uint64(info.Size()) || end < segment.Off {
			return fmt.Errorf("it is cut off: %d bytes, at least %d expected", info.Size(), end)
		}
	}
	return nil
}

var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
