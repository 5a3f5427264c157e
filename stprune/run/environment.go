package run

import (
	"bufio"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
)

// Environment is where a run was trained: what may change its last bits although the spec is the same.
type Environment struct {
	Go       string            `json:"go"`
	OS       string            `json:"os"` // and architecture
	CPU      string            `json:"cpu"`
	Cores    int               `json:"cores"`
	Backend  string            `json:"backend"` // kind
	Plugin   string            `json:"plugin"`  // PJRT plugin, as the backend describes it; empty for the Go backend
	Modules  map[string]string `json:"modules"` // versions of what computes
	Revision string            `json:"revision"`
	Modified bool              `json:"modified"` // the working tree differed from Revision
}

func currentEnvironment(backend, plugin string) Environment {
	e := Environment{
		Go: runtime.Version(), OS: runtime.GOOS + "/" + runtime.GOARCH, CPU: cpuModel(), Cores: runtime.NumCPU(),
		Backend: backend, Plugin: plugin, Modules: map[string]string{},
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
