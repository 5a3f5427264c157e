package accel

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// plugin is the CPU plugin of this machine, put there by `stprune setup`.
func plugin(t *testing.T) string {
	t.Helper()
	found, err := Find(CPU)
	if err != nil {
		t.Fatalf("these tests need the XLA CPU plugin: %v", err)
	}
	return found.Path
}

// alone hides every plugin and setting of this machine.
func alone(t *testing.T) (home string) {
	t.Helper()
	home = t.TempDir()
	for _, name := range []string{"STPRUNE_PLUGIN", "STPRUNE_CACHE", "GOMLX_BACKEND", "VIRTUAL_ENV", "CONDA_PREFIX"} {
		t.Setenv(name, "")
	}
	t.Setenv("PJRT_PLUGIN_LIBRARY_PATH", home) // instead of folders like /usr/local/lib/go-xla
	t.Setenv("HOME", home)
	t.Setenv("XDG_CACHE_HOME", filepath.Join(home, "cache"))
	return home
}

func TestOpen(t *testing.T) {
	if !xlaBuilt {
		t.Fatal("built without XLA: run the tests with cgo")
	}
	cpu := plugin(t)
	tests := []struct {
		name   string
		kind   string
		config string // end of Config
	}{
		{"xla:cpu", CPU, ",tf32=false"},
		{"xla:" + cpu, CPU, "plugin.so,tf32=false"},
		{"xla:cpu,tf32=true", CPU, "plugin.so,tf32=true"},
		{"xla:cpu,shared_buffers=false", CPU, ",tf32=false,shared_buffers=false"},
		{"go", Go, "go:ops_sequential"},
		{"go:ops_sequential", Go, "go:ops_sequential"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b, err := Open(t.Context(), test.name, nil)
			if err != nil {
				t.Fatal(err)
			}
			if b.Kind != test.kind || !strings.HasSuffix(b.Config, test.config) {
				t.Errorf("kind %s, config %s; want %s, …%s", b.Kind, b.Config, test.kind, test.config)
			}
			if xla := test.kind != Go; xla != (b.Plugin != "") || xla != (b.API != "") || xla != (b.Name() == "xla") {
				t.Errorf("backend %s, plugin %q, API %q do not fit kind %s", b.Name(), b.Plugin, b.API, b.Kind)
			}
			if !strings.Contains(b.Config, "tf32=true") { // which the CPU refuses to compile
				if err := Check(t.Context(), b); err != nil {
					t.Error(err)
				}
			}
			for range 2 {
				if err := b.Close(); err != nil {
					t.Error(err)
				}
			}
			if !b.IsFinalized() {
				t.Error("still open after Close")
			}
			if err := Check(t.Context(), b); err == nil {
				t.Error("a closed backend passes the check")
			}
		})
	}
}

func TestOpenErrors(t *testing.T) {
	cpu := plugin(t)
	home := alone(t)
	whole, err := os.Open(cpu)
	if err != nil {
		t.Fatal(err)
	}
	defer whole.Close()
	head := func(bytes int) []byte {
		content := make([]byte, bytes)
		if _, err := whole.ReadAt(content, 0); err != nil {
			t.Fatal(err)
		}
		return content
	}
	write := func(name string, content []byte) string {
		path := filepath.Join(home, name)
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	short := write("short_cpu.so", head(4<<20))
	header := write("header_cpu.so", head(40))
	text := write("text_cpu.so", []byte("no library\n"))
	stripped := head(4 << 20) // without section table, as a loader needs none: this one would end in a bus error
	clear(stripped[40:48])
	clear(stripped[58:64])
	cut := write("cut_cpu.so", stripped)
	foreign := head(4 << 20)
	clear(foreign[40:48])
	clear(foreign[58:64])
	foreign[18], foreign[19] = 8, 0 // MIPS
	mips := write("mips_cpu.so", foreign)
	if err := os.Mkdir(filepath.Join(home, "folder_cpu.so"), 0o755); err != nil {
		t.Fatal(err)
	}

	tests := []struct{ name, want string }{
		{"", "unknown backend"},
		{"tpu", "unknown backend"},
		{"go:", "unknown backend"},
		{"go:parallelism=2", "unknown backend"},
		{"auto:cpu", "unknown backend"},
		{"xla:relative.so", "unknown backend"},
		{"xla:cpu", "stprune setup"},
		{"xla", "stprune setup"},
		{"xla:cuda", "stprune setup --cuda"},
		{"xla:" + filepath.Join(home, "missing.so"), "no such file"},
		{"xla:" + short, "not a whole shared library"},
		{"xla:" + cut, "cut off"},
		{"xla:" + mips, "built for EM_MIPS"},
		{"xla:" + header, "not a whole shared library"},
		{"xla:" + text, "not a whole shared library"},
		{"xla:" + filepath.Join(home, "folder_cpu.so"), "not a regular file"},
		{"xla:" + cpu + ",no_such_option=1", "no_such_option"},
	}
	for _, test := range tests {
		t.Run(strings.ReplaceAll(test.name, "/", "|"), func(t *testing.T) {
			b, err := Open(t.Context(), test.name, nil)
			if err == nil {
				t.Fatalf("opened %+v", b)
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %q does not say %q", err, test.want)
			}
		})
	}
	if _, err := Open(t.Context(), "xla:cpu", nil); !errors.Is(err, ErrNoPlugin) {
		t.Errorf("error %v, want ErrNoPlugin", err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(cancelled, "go", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

func TestAuto(t *testing.T) {
	cpu := plugin(t)
	tests := []struct {
		name        string
		environment map[string]string
		kind, line  string
	}{
		{"no plugin", nil, Go, "stprune setup"},
		{"Go by wish", map[string]string{"GOMLX_BACKEND": "go:ops_sequential", "STPRUNE_PLUGIN": cpu}, Go, "as GOMLX_BACKEND says"},
		{"plugin that is gone", map[string]string{"STPRUNE_PLUGIN": "/no/such/cpu.so"}, Go, "STPRUNE_PLUGIN"},
		{"own variable", map[string]string{"STPRUNE_PLUGIN": cpu}, CPU, ""},
		{"GoMLX's variable", map[string]string{"GOMLX_BACKEND": "xla:" + cpu + ",tf32=true"}, CPU, ""},
		{"go-xla's variable", map[string]string{"PJRT_PLUGIN_LIBRARY_PATH": "/no/such:" + filepath.Dir(cpu)}, CPU, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			alone(t)
			for name, value := range test.environment {
				t.Setenv(name, value)
			}
			var log strings.Builder
			b, err := Open(t.Context(), "auto", &log)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			if b.Kind != test.kind {
				t.Errorf("kind %s, want %s", b.Kind, test.kind)
			}
			if lines := strings.Count(log.String(), "\n"); (lines == 1) != (test.kind == Go) || !strings.Contains(log.String(), test.line) {
				t.Errorf("log %q, want one line with %q for Go and none for XLA", log.String(), test.line)
			}
		})
	}
}

func TestFindOrder(t *testing.T) {
	home := alone(t)
	make := func(path string) {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// From the last place to the first: each new one wins.
	for _, test := range []struct{ kind, path, variable string }{
		{CPU, "home/.local/lib/go-xla/pjrt_c_api_cpu_plugin.so", ""},
		{CPU, "cache/plugins/go-xla/pjrt_c_api_cpu_plugin.so", ""},
		{CPU, "cache/plugins/" + cpuFolder + "/" + cpuPlugin, ""},
		{CPU, "dir/pjrt_c_api_cpu_plugin.so", "PJRT_PLUGIN_LIBRARY_PATH"},
		{CPU, "own/cpu.so", "STPRUNE_PLUGIN"},
		{CUDA, "home/.local/lib/go-xla/nvidia/pjrt_c_api_cuda_plugin.so", ""},
		{CUDA, "home/.local/lib/python3.12/site-packages/jax_plugins/xla_cuda13/xla_cuda_plugin.so", ""},
		{CUDA, "venv/lib/python3.13/site-packages/jax_plugins/xla_cuda13/xla_cuda_plugin.so", "VIRTUAL_ENV"},
		{CUDA, "cache/plugins/" + cudaFolder + "/jax_plugins/xla_cuda13/xla_cuda_plugin.so", ""},
		{CUDA, "dir/pjrt_c_api_cuda_plugin.so", "PJRT_PLUGIN_LIBRARY_PATH"},
		{CUDA, "own/cuda.so", "STPRUNE_PLUGIN"},
	} {
		path := filepath.Join(home, test.path)
		make(path)
		t.Setenv("HOME", filepath.Join(home, "home"))
		t.Setenv("STPRUNE_CACHE", filepath.Join(home, "cache"))
		t.Setenv("STPRUNE_PLUGIN", "")
		t.Setenv("PJRT_PLUGIN_LIBRARY_PATH", "")
		switch test.variable {
		case "STPRUNE_PLUGIN":
			t.Setenv(test.variable, path)
		case "PJRT_PLUGIN_LIBRARY_PATH":
			t.Setenv(test.variable, filepath.Dir(path))
		case "VIRTUAL_ENV":
			t.Setenv(test.variable, filepath.Join(home, "venv"))
		}
		got, err := Find(test.kind)
		if err != nil {
			t.Fatal(err)
		}
		if got.Path != path || got.Kind != test.kind {
			t.Errorf("found %+v, want %s", got, path)
		}
	}
	if _, err := Find("tpu"); err == nil {
		t.Error("a plugin of unknown kind is found")
	}
}
