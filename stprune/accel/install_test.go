package accel

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// makeWheel writes a small wheel and returns its file and the pin that fits it.
func makeWheel(t *testing.T) (string, wheel) {
	t.Helper()
	plugin := bytes.Repeat([]byte("not really a plugin\n"), 50_000)
	var file bytes.Buffer
	archive := zip.NewWriter(&file)
	for name, content := range map[string][]byte{"small/cpu.so": plugin, "small/__init__.py": nil, "../outside": []byte("no")} {
		member, err := archive.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := member.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "small-1.0-py3-none-any.whl")
	if err := os.WriteFile(path, file.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path, pinOf(file.Bytes(), int64(len(plugin)))
}

func pinOf(file []byte, member int64) wheel {
	hash := sha256.Sum256(file)
	return wheel{Requirement: "small==1.0", Size: int64(len(file)), SHA256: hex.EncodeToString(hash[:]),
		Member: "small/cpu.so", MemberSize: member, Folder: "small-1.0", Plugin: "cpu.so"}
}

// tree lists the files and folders below a folder, but for lock files.
func tree(t *testing.T, folder string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(folder, func(path string, _ os.DirEntry, err error) error {
		if err == nil && path != folder && filepath.Ext(path) != ".lock" {
			names = append(names, strings.TrimPrefix(path, folder+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestInstallWheel(t *testing.T) {
	file, pin := makeWheel(t)
	folder := filepath.Join(t.TempDir(), "plugins")
	// What a killed process left must not stop us, nor stay.
	if err := os.MkdirAll(filepath.Join(folder, "small-1.0.part", "pip-unpack-x"), 0o755); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	for range 2 { // the second time there is nothing to do, and nothing is said
		log.Reset()
		plugin, err := installWheel(t.Context(), pin, folder, file, &log)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(plugin.Path)
		if err != nil || info.Size() != pin.MemberSize || plugin.Kind != CPU {
			t.Errorf("installed %+v (%v, %v), want a CPU plugin of %d bytes", plugin, info, err, pin.MemberSize)
		}
	}
	if log.Len() > 0 {
		t.Errorf("installing again says %q", log.String())
	}
	if got := strings.Join(tree(t, folder), " "); got != "small-1.0 small-1.0/cpu.so" {
		t.Errorf("the folder holds %q", got)
	}
	// A plugin that is cut off is installed anew.
	if err := os.Truncate(filepath.Join(folder, "small-1.0/cpu.so"), 10); err != nil {
		t.Fatal(err)
	}
	if _, err := installWheel(t.Context(), pin, folder, file, io.Discard); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(folder, "small-1.0/cpu.so")); err != nil || info.Size() != pin.MemberSize {
		t.Errorf("after repair: %v, %v", info, err)
	}
}

func TestInstallRefuses(t *testing.T) {
	file, good := makeWheel(t)
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	// A wheel whose hash is right but whose plugin is damaged: only zip's own checksum can tell.
	damaged := bytes.Clone(content)
	i := bytes.Index(damaged, []byte("small/cpu.so")) + len("small/cpu.so") + 20
	damaged[i] ^= 0xff
	flipped := bytes.Clone(content)
	flipped[len(flipped)/2] ^= 1
	with := func(change func(*wheel)) wheel {
		pin := good
		change(&pin)
		return pin
	}
	tests := []struct {
		name    string
		content []byte
		pin     wheel
		want    string
	}{
		{"flipped bit", flipped, good, "SHA-256"},
		{"wrong hash", content, with(func(w *wheel) { w.SHA256 = strings.Repeat("0", 64) }), "SHA-256"},
		{"cut off", content[:len(content)-7], good, "bytes"},
		{"empty", nil, good, "bytes"},
		{"no zip", []byte("text"), pinOf([]byte("text"), 1), "zip"},
		{"damaged plugin", damaged, pinOf(damaged, good.MemberSize), "unpacking"},
		{"no plugin inside", content, with(func(w *wheel) { w.Member = "small/gpu.so" }), "gpu.so"},
		{"plugin larger than pinned", content, with(func(w *wheel) { w.MemberSize = 1000 }), "want 1000"},
		{"plugin smaller than pinned", content, with(func(w *wheel) { w.MemberSize *= 2 }), "want 2"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			folder := t.TempDir()
			file := filepath.Join(t.TempDir(), "x.whl")
			if err := os.WriteFile(file, test.content, 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := installWheel(t.Context(), test.pin, folder, file, io.Discard)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
			if left := tree(t, folder); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
	if _, err := installWheel(t.Context(), good, t.TempDir(), "/no/such.whl", io.Discard); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want one about a missing file", err)
	}
}

// fakePython puts a python3 on the PATH that runs the given shell lines instead of pip.
func fakePython(t *testing.T, lines string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "python3"), []byte("#!/bin/sh\n"+lines+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func TestDownload(t *testing.T) {
	file, pin := makeWheel(t)
	const findDest = `while [ "$1" != --dest ]; do shift; done; mkdir -p "$2"`
	tests := []struct{ name, python, want string }{
		{"good", findDest + `; cp "$WHEEL" "$2"`, ""},
		{"refused", `echo "no such package" >&2; exit 1`, "no such package"},
		{"nothing fetched", findDest, "0 wheels"},
		{"another wheel", findDest + `; echo other > "$2/other.whl"`, "bytes"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("WHEEL", file)
			fakePython(t, test.python)
			folder := t.TempDir()
			_, err := installWheel(t.Context(), pin, folder, "", io.Discard)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("error %v, want %q", err, test.want)
			}
			if left := tree(t, folder); test.want != "" && len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
	t.Run("no python", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		if _, err := installWheel(t.Context(), pin, t.TempDir(), "", io.Discard); err == nil || !strings.Contains(err.Error(), "--wheel") {
			t.Errorf("error %v, want the remedy --wheel", err)
		}
	})
}

func TestInstallCancelled(t *testing.T) {
	_, pin := makeWheel(t)
	started := filepath.Join(t.TempDir(), "started")
	fakePython(t, `echo half > "$TMPDIR/half.whl"; touch "`+started+`"; exec sleep 60`)
	folder := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for ctx.Err() == nil {
			if _, err := os.Stat(started); err == nil {
				cancel()
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	begin := time.Now()
	if _, err := installWheel(ctx, pin, folder, "", io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("cancelling took %v", took)
	}
	if left := tree(t, folder); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	// Waiting for another process ends too.
	err := exclusively(t.Context(), folder, "x", io.Discard, func(string) error {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		return exclusively(ctx, folder, "x", io.Discard, func(string) error { return nil })
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want context.DeadlineExceeded", err)
	}
}

// TestInstallTogether has several processes install at once: one downloads, all end with the plugin.
func TestInstallTogether(t *testing.T) {
	const variable = "ACCEL_TEST_INSTALL"
	if setting := os.Getenv(variable); setting != "" { // this is one of those processes
		var job struct {
			Pin    wheel
			Folder string
		}
		if err := json.Unmarshal([]byte(setting), &job); err != nil {
			t.Fatal(err)
		}
		if _, err := installWheel(t.Context(), job.Pin, job.Folder, "", io.Discard); err != nil {
			t.Fatal(err)
		}
		return
	}
	file, pin := makeWheel(t)
	folder, calls := t.TempDir(), filepath.Join(t.TempDir(), "calls")
	job, err := json.Marshal(map[string]any{"Pin": pin, "Folder": folder})
	if err != nil {
		t.Fatal(err)
	}
	fakePython(t, `echo call >> "`+calls+`"; sleep 0.3; while [ "$1" != --dest ]; do shift; done; mkdir -p "$2"; cp "`+file+`" "$2"`)
	var processes []*exec.Cmd
	for range 4 {
		process := exec.Command(os.Args[0], "-test.run=^TestInstallTogether$")
		process.Env = append(os.Environ(), variable+"="+string(job))
		process.Stderr = os.Stderr
		if err := process.Start(); err != nil {
			t.Fatal(err)
		}
		processes = append(processes, process)
	}
	for _, process := range processes {
		if err := process.Wait(); err != nil {
			t.Error(err)
		}
	}
	if content, err := os.ReadFile(calls); err != nil || string(content) != "call\n" {
		t.Errorf("pip ran with %q (%v), want one call", content, err)
	}
	if got := strings.Join(tree(t, folder), " "); got != "small-1.0 small-1.0/cpu.so" {
		t.Errorf("the folder holds %q", got)
	}
}

func TestInstallCPURefusesOtherWheel(t *testing.T) {
	alone(t)
	file, _ := makeWheel(t)
	var log strings.Builder
	_, err := InstallCPU(t.Context(), file, &log)
	want := errors.ErrUnsupported
	if runtime.GOOS == "linux" && runtime.GOARCH == "amd64" {
		want = ErrWheel
	}
	if !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
	if strings.Contains(log.String(), "go-xla") {
		t.Errorf("with an explicit wheel go-xla's installer is tried: %q", log.String())
	}
}
