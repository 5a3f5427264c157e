package accel

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/schollz/progressbar/v3"
)

// ErrWheel says that a wheel is not the pinned one.
var ErrWheel = errors.New("not the pinned wheel")

// InstallCPU puts the XLA CPU plugin into [CacheDir]/plugins, and returns it at once when it is there already.
//
// The plugin comes from a PyPI wheel pinned by version and SHA-256, fetched by the user's own pip from wherever that is set up
// to look; or from the file wheelFile, which needs no network. Without wheelFile, when the wheel can't be had, go-xla's own
// installer is tried, which log is told (its download is pinned by version only). Progress goes to log, nil for none. Several
// processes may install at once: one does, the others wait. A cancelled installation leaves nothing behind.
func InstallCPU(ctx context.Context, wheelFile string, log io.Writer) (Plugin, error) {
	if log == nil {
		log = io.Discard
	}
	folder, err := pluginsFolder()
	if err != nil {
		return Plugin{}, err
	}
	var plugin Plugin
	if runtime.GOOS == "linux" && runtime.GOARCH == "amd64" {
		plugin, err = installWheel(ctx, cpuWheel(), folder, wheelFile, log)
	} else {
		err = fmt.Errorf("the pinned wheel is for linux/amd64, this is %s/%s: %w", runtime.GOOS, runtime.GOARCH, errors.ErrUnsupported)
	}
	if err == nil || wheelFile != "" || ctx.Err() != nil {
		return plugin, err
	}
	fmt.Fprintf(log, "setup: %v\nsetup: trying go-xla's own installer\n", err)
	plugin, fallbackErr := installGoXLA(ctx, folder)
	if fallbackErr != nil {
		return Plugin{}, errors.Join(err, fallbackErr)
	}
	return plugin, nil
}

// InstallCUDA puts the XLA CUDA plugin and NVIDIA's libraries, about 3 GB, into [CacheDir]/plugins with the user's own pip. The
// plugin is pinned by version, the libraries are the newest in the plugin's ranges. It needs Python 3.12 or newer on Linux, and
// to be used an NVIDIA driver for CUDA 13.
func InstallCUDA(ctx context.Context, log io.Writer) (Plugin, error) {
	if log == nil {
		log = io.Discard
	}
	folder, err := pluginsFolder()
	if err != nil {
		return Plugin{}, err
	}
	plugin := func() (Plugin, error) {
		found, err := filepath.Glob(filepath.Join(folder, cudaFolder, "jax_plugins/xla_cuda*/xla_cuda_plugin.so"))
		if err != nil || len(found) == 0 {
			return Plugin{}, fmt.Errorf("%w for %s in %s", ErrNoPlugin, CUDA, folder)
		}
		return Plugin{Path: found[0], Kind: CUDA, Source: "the cache folder"}, nil
	}
	err = exclusively(ctx, folder, cudaFolder, log, func(work string) error {
		if _, err := plugin(); err == nil {
			return nil
		}
		target := filepath.Join(work, "packages")
		fmt.Fprintln(log, "setup: installing the CUDA plugin and NVIDIA's libraries with pip, about 3 GB")
		arguments := append([]string{"install", "--only-binary", ":all:", "--target", target}, cudaRequirements()...)
		if err := pip(ctx, work, arguments...); err != nil {
			return err
		}
		return os.Rename(target, filepath.Join(folder, cudaFolder))
	})
	if err != nil {
		return Plugin{}, fmt.Errorf("installing the CUDA plugin: %w", err)
	}
	return plugin()
}

func pluginsFolder() (string, error) {
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, "plugins"), nil
}

// installWheel unpacks the plugin out of the wheel, from wheelFile or by pip.
func installWheel(ctx context.Context, w wheel, folder, wheelFile string, log io.Writer) (Plugin, error) {
	target := filepath.Join(folder, w.Folder, w.Plugin)
	plugin := Plugin{Path: target, Kind: kindOf(target), Source: "the cache folder"}
	installed := func() bool {
		info, err := os.Stat(target)
		return err == nil && info.Size() == w.MemberSize
	}
	if installed() {
		return plugin, nil
	}
	err := exclusively(ctx, folder, w.Folder, log, func(work string) error {
		if installed() {
			return nil
		}
		file := wheelFile
		if file == "" {
			var err error
			if file, err = download(ctx, w, work, log); err != nil {
				return err
			}
		}
		unpacked := filepath.Join(work, w.Plugin)
		if err := unpack(ctx, w, file, unpacked, log); err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		return os.Rename(unpacked, target)
	})
	if err != nil {
		return Plugin{}, fmt.Errorf("installing the XLA CPU plugin (%s): %w", w.Requirement, err)
	}
	return plugin, nil
}

// exclusively runs install with an empty working folder, while no other process installs the same thing. The working folder is
// on the same file system as folder, and removed afterwards; one that a killed process left is removed too.
func exclusively(ctx context.Context, folder, name string, log io.Writer, install func(work string) error) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	lock := flock.New(filepath.Join(folder, name+".lock"))
	locked, err := lock.TryLock()
	if err == nil && !locked {
		fmt.Fprintln(log, "setup: another process is installing; waiting for it")
		_, err = lock.TryLockContext(ctx, 100*time.Millisecond)
	}
	if err != nil {
		return fmt.Errorf("locking %s: %w", lock.Path(), err)
	}
	defer lock.Unlock()
	work := filepath.Join(folder, name+".part")
	if err := os.RemoveAll(work); err != nil {
		return err
	}
	if err := os.Mkdir(work, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(work)
	return install(work)
}

// download has pip fetch the wheel into the folder work.
func download(ctx context.Context, w wheel, work string, log io.Writer) (string, error) {
	requirements := filepath.Join(work, "requirements.txt")
	if err := os.WriteFile(requirements, []byte(w.Requirement+" --hash=sha256:"+w.SHA256+"\n"), 0o644); err != nil {
		return "", err
	}
	ctx, cancel := context.WithCancel(ctx)
	bar := newBar(log, "downloading "+w.Requirement, w.Size)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		bar.follow(ctx, work)
	}()
	err := pip(ctx, work, "download", "--no-deps", "--require-hashes", "--only-binary", ":all:", "--dest", filepath.Join(work, "wheel"),
		"--requirement", requirements)
	cancel()
	<-watched
	if err != nil {
		return "", err
	}
	bar.finish()
	files, err := filepath.Glob(filepath.Join(work, "wheel", "*.whl"))
	if err != nil || len(files) != 1 {
		return "", fmt.Errorf("pip ended well but left %d wheels in %s: want one", len(files), work)
	}
	return files[0], nil
}

// pip runs the user's pip, with its temporary files below work.
func pip(ctx context.Context, work string, arguments ...string) error {
	python, err := Python()
	if err != nil {
		return fmt.Errorf("%w; or give the wheel with `stprune setup --wheel FILE`", err)
	}
	arguments = append([]string{"-m", "pip", "--no-input", "--disable-pip-version-check", "--quiet"}, arguments...)
	command := exec.CommandContext(ctx, python, arguments...)
	command.Dir = work // not the user's, where a pip.py might lie
	// Settings that keep pip out of the user's own environments don't concern a folder of ours.
	command.Env = append(os.Environ(), "TMPDIR="+work, "PIP_USER=false", "PIP_REQUIRE_VIRTUALENV=false")
	command.WaitDelay = 5 * time.Second
	output, err := command.CombinedOutput()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("pip failed (%w): %s; without network give the wheel with `stprune setup --wheel FILE`", err, lastLines(output))
	}
	return nil
}

func lastLines(output []byte) string {
	lines := strings.Split(string(bytes.TrimSpace(output)), "\n")
	return strings.Join(lines[max(0, len(lines)-3):], " / ")
}

// unpack checks the wheel's hash, then writes its plugin to the file target.
func unpack(ctx context.Context, w wheel, file, target string, log io.Writer) error {
	in, err := os.Open(file)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	if info.Size() != w.Size {
		return fmt.Errorf("%w: %s has %d bytes, %s has %d: download it again", ErrWheel, file, info.Size(), w.Requirement, w.Size)
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, withContext(ctx, in)); err != nil {
		return err
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != w.SHA256 {
		return fmt.Errorf("%w: %s has SHA-256 %s, %s has %s: download it again", ErrWheel, file, got, w.Requirement, w.SHA256)
	}
	archive, err := zip.NewReader(in, info.Size())
	if err != nil {
		return fmt.Errorf("%w: reading %s: %w", ErrWheel, file, err)
	}
	member, err := archive.Open(w.Member)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrWheel, file, err)
	}
	defer member.Close()
	out, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	defer out.Close()
	bar := newBar(log, "unpacking "+filepath.Base(target), w.MemberSize)
	n, err := io.Copy(io.MultiWriter(out, bar), io.LimitReader(withContext(ctx, member), w.MemberSize+1))
	if err != nil {
		return fmt.Errorf("unpacking %s: %w", file, err)
	}
	if n != w.MemberSize {
		return fmt.Errorf("%w: %s in %s has %d bytes or more, want %d", ErrWheel, w.Member, file, n, w.MemberSize)
	}
	if err := out.Sync(); err != nil {
		return err
	}
	bar.finish()
	return out.Close()
}

// withContext is r until ctx is done.
func withContext(ctx context.Context, r io.Reader) io.Reader { return contextReader{ctx, r} }

type contextReader struct {
	ctx context.Context
	io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

// bar shows progress in bytes: moving on a terminal, one line elsewhere.
type bar struct {
	*progressbar.ProgressBar
	moving bool
	log    io.Writer
}

func newBar(log io.Writer, what string, size int64) bar {
	file, ok := log.(*os.File)
	moving := ok && isTerminal(file)
	if !moving {
		fmt.Fprintf(log, "setup: %s, %d MB\n", what, size/1_000_000)
	}
	return bar{progressbar.NewOptions64(size, progressbar.OptionSetWriter(log), progressbar.OptionSetDescription(what),
		progressbar.OptionShowBytes(true), progressbar.OptionSetVisibility(moving), progressbar.OptionThrottle(100*time.Millisecond)), moving, log}
}

func isTerminal(file *os.File) bool {
	info, err := file.Stat()
	return err == nil && info.Mode()&fs.ModeCharDevice != 0
}

func (b bar) finish() {
	if b.moving {
		_ = b.Finish() // only drawing
		fmt.Fprintln(b.log)
	}
}

// follow shows the size of the largest file that grows below folder, until ctx is done.
func (b bar) follow(ctx context.Context, folder string) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var largest int64
		_ = filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error {
			if err != nil {
				return nil // pip moves its files while we look
			}
			if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
				largest = max(largest, info.Size())
			}
			return nil
		})
		_ = b.Set64(min(largest, b.GetMax64()-1)) // only drawing; the end is for finish
	}
}

// Python is the interpreter whose pip installs: STPRUNE_PYTHON, or python3 on the PATH.
func Python() (string, error) {
	name := cmp.Or(os.Getenv("STPRUNE_PYTHON"), "python3")
	python, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("there is no Python to install with: %w; install Python 3.10 or newer with pip, or set STPRUNE_PYTHON", err)
	}
	return python, nil
}
