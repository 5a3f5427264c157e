package execcache

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func testCache(t *testing.T, limit int64, log io.Writer) *Cache {
	t.Helper()
	c, err := Open(filepath.Join(t.TempDir(), "new", "executables"), limit, log)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func put(t *testing.T, c *Cache, k key, executable []byte) {
	t.Helper()
	if err := c.store(k, executable); err != nil {
		t.Fatal(err)
	}
}

func TestStoreAndLoad(t *testing.T) {
	c := testCache(t, 1<<20, nil)
	for name, executable := range map[string][]byte{"usual": bytes.Repeat([]byte("code"), 1000), "overwritten": []byte("other"), "empty": {}} {
		k := key{1}
		put(t, c, k, executable)
		if got := c.load(k); !bytes.Equal(got, executable) || got == nil {
			t.Errorf("%s: %d bytes came back of %d", name, len(got), len(executable))
		}
	}
	if c.load(key{2}) != nil {
		t.Error("an executable that was never stored is there")
	}
	folder, err := os.Stat(c.Folder())
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Stat(filepath.Join(c.Folder(), key{1}.file()))
	if err != nil {
		t.Fatal(err)
	}
	if folder.Mode().Perm() != 0o700 || file.Mode().Perm() != 0o600 {
		t.Errorf("modes %v and %v, want 0700 and 0600", folder.Mode().Perm(), file.Mode().Perm())
	}
	if n, size, err := c.Size(); n != 1 || size != file.Size() || err != nil {
		t.Errorf("size %d, %d bytes (%v), want 1 of %d", n, size, err, file.Size())
	}
	foreign := filepath.Join(c.Folder(), "README")
	if err := os.WriteFile(foreign, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Clear(); err != nil {
		t.Fatal(err)
	}
	if n, size, err := c.Size(); n != 0 || size != 0 || err != nil {
		t.Errorf("after Clear: %d, %d bytes (%v)", n, size, err)
	}
	if _, err := os.Stat(foreign); err != nil {
		t.Errorf("Clear removed a file that is not the cache's: %v", err)
	}
}

// Whatever happened to a file, it must not be loaded, and be replaced.
func TestDamagedFiles(t *testing.T) {
	k, executable := key{1, 2, 3}, bytes.Repeat([]byte("code"), 100)
	at := func(offset int) func([]byte) []byte {
		return func(b []byte) []byte { b[offset] ^= 1; return b }
	}
	tests := map[string]func([]byte) []byte{
		"empty":          func([]byte) []byte { return nil },
		"half a header":  func(b []byte) []byte { return b[:40] },
		"cut off":        func(b []byte) []byte { return b[:len(b)-1] },
		"too long":       func(b []byte) []byte { return append(b, 0) },
		"other format":   at(0),
		"other version":  at(7),
		"other key":      at(8 + 31), // its file has the same name
		"other length":   at(40),
		"other hash":     at(48),
		"one bit":        at(80),
		"zeros":          func(b []byte) []byte { return make([]byte, len(b)) },
		"last bit":       at(80 + 400 - 1),
		"another's file": func([]byte) []byte { return []byte("#!/bin/sh\n") },
	}
	for name, damage := range tests {
		t.Run(name, func(t *testing.T) {
			c := testCache(t, 1<<20, nil)
			put(t, c, k, executable)
			path := filepath.Join(c.Folder(), k.file())
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if len(content) != 80+len(executable) {
				t.Fatalf("%d bytes, want 80 more than %d", len(content), len(executable))
			}
			if err := os.WriteFile(path, damage(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := c.load(k); got != nil {
				t.Errorf("%d bytes are loaded", len(got))
			}
			put(t, c, k, executable)
			if !bytes.Equal(c.load(k), executable) {
				t.Error("it is not replaced")
			}
		})
	}
}

func TestEviction(t *testing.T) {
	const size = 1000
	c := testCache(t, 3*(size+80), nil)
	age := func(name string, hours int) {
		t.Helper()
		when := time.Now().Add(-time.Duration(hours) * time.Hour)
		if err := os.Chtimes(filepath.Join(c.Folder(), name), when, when); err != nil {
			t.Fatal(err)
		}
	}
	for i := range byte(3) {
		put(t, c, key{i}, make([]byte, size))
		age(key{i}.file(), 10-int(i))
	}
	if c.load(key{0}) == nil { // now the newest
		t.Fatal("the limit is not reached, but one is gone")
	}
	put(t, c, key{3}, make([]byte, size))
	for i, want := range []bool{true, false, true, true} {
		if got := c.load(key{byte(i)}) != nil; got != want {
			t.Errorf("executable %d is there: %v, want %v", i, got, want)
		}
	}

	for name, hours := range map[string]int{"old.part": 2, "new.part": 0, "old.txt": 2} {
		if err := os.WriteFile(filepath.Join(c.Folder(), name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		age(name, hours)
	}
	put(t, c, key{3}, nil)
	for name, want := range map[string]bool{"old.part": false, "new.part": true, "old.txt": true} {
		if _, err := os.Stat(filepath.Join(c.Folder(), name)); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", name, err == nil, want)
		}
	}

	before, _, err := c.Size()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.store(key{4}, make([]byte, 4*size)); err == nil || c.load(key{4}) != nil {
		t.Error("an executable beyond the limit is kept")
	}
	if after, _, err := c.Size(); after != before || err != nil {
		t.Errorf("%d executables (%v), %d before one that is too large", after, err, before)
	}
}

func TestOpenRefuses(t *testing.T) {
	folder := func(mode os.FileMode) string {
		path := filepath.Join(t.TempDir(), "executables")
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(folder(0o777), link); err != nil {
		t.Fatal(err)
	}
	tests := map[string]string{ // folder: error
		folder(0o755):                 "",
		folder(0o775):                 "others may write",
		folder(0o702):                 "others may write",
		folder(0o777 | os.ModeSticky): "others may write",
		link:                          "others may write",
		file:                          "not a directory",
		filepath.Join(file, "below"):  "not a directory",
	}
	if os.Geteuid() == 0 {
		foreign := folder(0o700)
		if err := os.Chown(foreign, 12345, 0); err != nil {
			t.Fatal(err)
		}
		tests[foreign] = "another user"
	}
	for path, want := range tests {
		c, err := Open(path, DefaultLimit, nil)
		if want == "" {
			if err != nil {
				t.Error(err)
			}
		} else if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: cache %v, error %v, want %q", path, c, err, want)
		}
	}
}

// A failure is told once, however many there are.
func TestNote(t *testing.T) {
	var log strings.Builder
	c := testCache(t, 1<<20, &log)
	if err := os.RemoveAll(c.Folder()); err != nil {
		t.Fatal(err)
	}
	for i := range byte(3) {
		err := c.store(key{i}, []byte("code"))
		if err == nil {
			t.Fatal("stored in a folder that is gone")
		}
		c.failed(err)
	}
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, c.Folder()) {
		t.Errorf("log %q, want one line with the folder", got)
	}
}

// Several caches of one folder stand for several processes.
func TestConcurrent(t *testing.T) {
	first := testCache(t, 20*(1000+80), nil)
	var group sync.WaitGroup
	for worker := range 4 {
		c, err := Open(first.Folder(), first.limit, nil)
		if err != nil {
			t.Fatal(err)
		}
		group.Go(func() {
			for i := range 100 {
				k := key{byte(i*7+worker) % 40}
				want := bytes.Repeat([]byte{k[0]}, 1000)
				if got := c.load(k); got != nil && !bytes.Equal(got, want) {
					t.Errorf("key %d has the executable of %d", k[0], got[0])
				}
				if err := c.store(k, want); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	n, size, err := first.Size()
	if err != nil || n == 0 || size > first.limit {
		t.Errorf("%d executables, %d bytes of %d (%v)", n, size, first.limit, err)
	}
	if parts, err := filepath.Glob(filepath.Join(first.Folder(), "*"+partSuffix)); len(parts) > 0 || err != nil {
		t.Error(fmt.Sprint(parts, err))
	}
}
