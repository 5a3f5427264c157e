package run

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/cpu"

	"github.com/stprune/workbench/stprune/accel"
)

// Environment is where a run was trained: what may change its last bits although the spec is the same.
type Environment struct {
	Go        string            `json:"go"`
	OS        string            `json:"os"` // and architecture
	CPU       string            `json:"cpu"`
	Vector    string            `json:"vector,omitempty"` // the CPU's widest vector instructions, which one name may have or not; empty: unknown
	Cores     int               `json:"cores"`
	Backend   string            `json:"backend"`    // as in the spec
	Plugin    string            `json:"plugin"`     // file of the PJRT plugin; empty for the Go backend
	PluginAPI string            `json:"plugin_api"` // version of its C interface
	Modules   map[string]string `json:"modules"`    // versions of what computes
	Revision  string            `json:"revision"`
	Modified  bool              `json:"modified"` // the working tree differed from Revision
}

// currentEnvironment describes this process; backend is its name as the run's id counts it.
func currentEnvironment(backend string, b *accel.Backend) Environment {
	e := Environment{
		Go: runtime.Version(), OS: runtime.GOOS + "/" + runtime.GOARCH, CPU: cpuModel(), Vector: vector(), Cores: runtime.NumCPU(),
		Backend: backend, PluginAPI: b.API, Modules: map[string]string{},
	}
	if b.Plugin != "" {
		e.Plugin = filepath.Base(b.Plugin)
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return e
	}
	for _, m := range info.Deps {
		switch m.Path {
		case "github.com/gomlx/gomlx", "github.com/gomlx/compute", "github.com/gomlx/go-xla":
			e.Modules[m.Path] = m.Version
		}
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			e.Revision = s.Value
		case "vcs.modified":
			e.Modified = s.Value == "true"
		}
	}
	return e
}

// cpuModel is the processor's name where the system tells it.
func cpuModel() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// vector names the widest vector instructions, on which the order of sums depends.
func vector() string {
	switch {
	case cpu.X86.HasAVX512F:
		return "AVX-512"
	case cpu.X86.HasAVX2:
		return "AVX2"
	}
	return ""
}

// Processor is the CPU's name and its vector instructions, as far as they are known.
func (e Environment) Processor() string {
	if e.Vector == "" {
		return e.CPU
	}
	return e.CPU + ", " + e.Vector
}

// PeakMemory is the largest resident size of this process so far in bytes; 0 where the system doesn't tell it.
func PeakMemory() int64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			var kilobytes int64
			if _, err := fmt.Sscan(value, &kilobytes); err == nil {
				return kilobytes << 10
			}
		}
	}
	return 0
}
