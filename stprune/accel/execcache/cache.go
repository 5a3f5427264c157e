package execcache

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultLimit is the size in bytes that a cache is usually kept below.
const DefaultLimit = 1 << 30

// Cache is a folder of executables. Any number of processes and goroutines may use it at once.
type Cache struct {
	root     *os.Root
	limit    int64
	log      io.Writer
	note     sync.Once // only the first failure goes to log
	loaded   atomic.Int64
	compiled atomic.Int64
}

// Open opens the cache in a folder, which is made if it isn't there. The files in it run as code in the processes that load them,
// so a folder that belongs to another user, or that others may write to, is refused. Beyond limit bytes the executables that were
// not used for the longest time are removed. When one can't be kept, log (nil for none) is told why, once.
func Open(folder string, limit int64, log io.Writer) (*Cache, error) {
	if log == nil {
		log = io.Discard
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("folder of compiled programs: %w", err)
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fmt.Errorf("folder of compiled programs: %w", err)
	}
	info, err := root.Stat(".") // of what was opened: the path may lead elsewhere by now
	if err == nil && (!ours(info) || info.Mode().Perm()&0o022 != 0) {
		err = fmt.Errorf("it belongs to another user, or others may write to it (mode %v)", info.Mode().Perm())
	}
	if err != nil {
		root.Close()
		return nil, fmt.Errorf("folder of compiled programs %s: %w", folder, err)
	}
	return &Cache{root: root, limit: limit, log: log}, nil
}

// Folder is where the executables are.
func (c *Cache) Folder() string { return c.root.Name() }

// Loaded counts the executables that came from the cache, of all clients of the plugin that it is attached to.
func (c *Cache) Loaded() int64 { return c.loaded.Load() }

// Compiled counts the executables that were compiled.
func (c *Cache) Compiled() int64 { return c.compiled.Load() }

// Size is the number of executables in the folder, and the bytes of all files.
func (c *Cache) Size() (executables int, bytes int64, err error) {
	files, bytes, err := c.files()
	for _, f := range files {
		if filepath.Ext(f.Name()) == suffix {
			executables++
		}
	}
	return executables, bytes, err
}

// Clear removes all executables.
func (c *Cache) Clear() error {
	files, _, err := c.files()
	for _, f := range files {
		err = errors.Join(err, c.remove(f))
	}
	return err
}

const (
	suffix     = ".xla"
	partSuffix = ".part" // of a file that is being written
)

// key is the hash of all that an executable depends on.
type key [sha256.Size]byte

func (k key) file() string { return fmt.Sprintf("%x", k[:16]) + suffix }

// header is what a file begins with. The executable follows, as the plugin serialises it.
type header struct {
	Magic  [8]byte
	Key    key
	Length uint64 // of the executable, in bytes
	Hash   [sha256.Size]byte
}

// magic ends in the format's version.
var magic = [8]byte([]byte("stprexe1"))

// load is the executable of the key; nil when there is none that is whole.
func (c *Cache) load(k key) []byte {
	content, err := c.root.ReadFile(k.file())
	if err != nil {
		return nil
	}
	var h header
	size, err := binary.Decode(content, binary.LittleEndian, &h)
	if err != nil {
		return nil
	}
	executable := content[size:]
	if h != (header{magic, k, uint64(len(executable)), sha256.Sum256(executable)}) {
		return nil
	}
	now := time.Now()
	_ = c.root.Chtimes(k.file(), now, now) // else it is removed earlier than it should
	return executable
}

// store keeps an executable, in place of the one that may be there.
func (c *Cache) store(k key, executable []byte) error {
	content, err := binary.Append(nil, binary.LittleEndian, header{magic, k, uint64(len(executable)), sha256.Sum256(executable)})
	if err != nil {
		return err
	}
	content = append(content, executable...)
	if int64(len(content)) > c.limit {
		return fmt.Errorf("one of %d bytes is beyond the limit of %d", len(content), c.limit)
	}
	part := rand.Text() + partSuffix
	if err = c.root.WriteFile(part, content, 0o600); err == nil {
		err = c.root.Rename(part, k.file())
	}
	if err != nil {
		_ = c.root.Remove(part) // it may not even be there
		return err
	}
	return c.evict()
}

// evict removes what was not used for the longest time until the limit is kept, and what a killed process left half written.
func (c *Cache) evict() error {
	files, total, err := c.files()
	if err != nil {
		return err
	}
	slices.SortFunc(files, func(a, b fs.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, f := range files {
		unfinished := filepath.Ext(f.Name()) == partSuffix
		if unfinished && time.Since(f.ModTime()) < time.Hour || !unfinished && total <= c.limit {
			continue
		}
		if err := c.remove(f); err != nil {
			return err
		}
		total -= f.Size()
	}
	return nil
}

// files lists the cache's files and adds up their bytes.
func (c *Cache) files() (files []fs.FileInfo, bytes int64, err error) {
	entries, err := fs.ReadDir(c.root.FS(), ".")
	if err != nil {
		return nil, 0, err
	}
	for _, entry := range entries {
		if ext := filepath.Ext(entry.Name()); ext != suffix && ext != partSuffix {
			continue
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // another process removed it
		}
		if err != nil {
			return nil, 0, err
		}
		files = append(files, info)
		bytes += info.Size()
	}
	return files, bytes, nil
}

func (c *Cache) remove(f fs.FileInfo) error {
	if err := c.root.Remove(f.Name()); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// failed tells the log, the first time, that an executable can't be kept.
func (c *Cache) failed(err error) {
	c.note.Do(func() {
		fmt.Fprintf(c.log, "accel: compiled programs can't be kept in %s and will be compiled again: %v\n", c.Folder(), err)
	})
}
