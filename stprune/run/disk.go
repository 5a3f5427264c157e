package run

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// disk is exactly what a save asks of a file system, so that tests can fail or cut off every single call.
type disk interface {
	Create(path string) (file, error) // empties an existing file
	Rename(from, to string) error
	Remove(path string) error
	SyncDir(dir string) error
}

type file interface {
	io.Writer
	Sync() error
	Close() error
}

// osDisk is the real file system.
type osDisk struct{}

func (osDisk) Create(path string) (file, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
}
func (osDisk) Rename(from, to string) error { return os.Rename(from, to) }
func (osDisk) Remove(path string) error     { return os.Remove(path) }
func (osDisk) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// partial ends the name of a file being written. The holder of a run's claim is its only writer, so one name per file is enough.
const partial = ".partial"

// writeFile puts data at path so that at every moment, power loss included, path holds either what it held before or data.
func writeFile(d disk, path string, data []byte) error {
	if err := writeSynced(d, path+partial, data); err != nil {
		return fmt.Errorf("saving %s: %w; check the space and the rights there", path, err)
	}
	if err := d.Rename(path+partial, path); err != nil {
		return fmt.Errorf("saving %s: %w", path, errors.Join(err, d.Remove(path+partial)))
	}
	if err := d.SyncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("saving %s: %w", path, err)
	}
	return nil
}

func writeSynced(d disk, path string, data []byte) error {
	f, err := d.Create(path)
	if err != nil {
		return err
	}
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, d.Remove(path))
	}
	return nil
}

// previous ends the name of the checkpoint before the latest.
const previous = ".previous"

// writeRotating is writeFile, but keeps what path held before as path.previous.
func writeRotating(d disk, path string, data []byte) error {
	if err := writeSynced(d, path+partial, data); err != nil {
		return fmt.Errorf("saving %s: %w; check the space and the rights there", path, err)
	}
	if err := d.Rename(path, path+previous); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("saving %s: %w", path, errors.Join(err, d.Remove(path+partial)))
	}
	if err := d.Rename(path+partial, path); err != nil {
		return fmt.Errorf("saving %s: %w", path, errors.Join(err, d.Remove(path+partial)))
	}
	if err := d.SyncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("saving %s: %w", path, err)
	}
	return nil
}
