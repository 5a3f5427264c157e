package run

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// faultyDisk fails its call number `at` (from 1). With dead set all later calls fail too, as after a power cut; a failing Write
// leaves half its data. Data of files that were not synced when the power went are lost.
type faultyDisk struct {
	at, calls int
	dead      bool
	unsynced  map[string]bool
}

var errFault = errors.New("injected fault")

func (d *faultyDisk) fails() bool {
	d.calls++
	return d.calls == d.at || d.dead && d.at > 0 && d.calls > d.at
}

func (d *faultyDisk) Create(path string) (file, error) {
	if d.fails() {
		return nil, errFault
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	d.unsynced[path] = true
	return &faultyFile{d, f, path}, nil
}

func (d *faultyDisk) Rename(from, to string) error {
	if d.fails() {
		return errFault
	}
	if _, err := os.Stat(from); err == nil {
		d.unsynced[to] = d.unsynced[from]
		delete(d.unsynced, from)
	}
	return os.Rename(from, to)
}

func (d *faultyDisk) Remove(path string) error {
	if d.fails() {
		return errFault
	}
	return os.Remove(path)
}

func (d *faultyDisk) SyncDir(string) error {
	if d.fails() {
		return errFault
	}
	return nil
}

// powerCut empties what was never synced.
func (d *faultyDisk) powerCut(t *testing.T) {
	for path, lost := range d.unsynced {
		if !lost {
			continue
		}
		if err := os.Truncate(path, 0); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

type faultyFile struct {
	d    *faultyDisk
	f    *os.File
	path string
}

func (f *faultyFile) Write(b []byte) (int, error) {
	if f.d.fails() {
		n, _ := f.f.Write(b[:len(b)/2])
		return n, errFault
	}
	return f.f.Write(b)
}

func (f *faultyFile) Sync() error {
	if f.d.fails() {
		return errFault
	}
	delete(f.d.unsynced, f.path)
	return nil
}

func (f *faultyFile) Close() error {
	err := f.f.Close()
	if f.d.fails() {
		return errFault
	}
	return err
}

// Whichever call fails, once or for good, with the power cut or not: a good checkpoint loads, and it is the new one whenever
// the save reported success.
func TestCheckpointSurvivesEveryFault(t *testing.T) {
	for _, dead := range []bool{false, true} {
		for at := 1; ; at++ {
			d := &faultyDisk{at: at, dead: dead, unsynced: map[string]bool{}}
			dir := t.TempDir()
			path := filepath.Join(dir, checkpointFile)
			content := func(v int) []byte { return fmt.Appendf(nil, "state %d", v) }
			saved := 0
			for v := 1; v <= 3; v++ {
				if err := writeRotating(d, path, seal(kindCheckpoint, content(v))); err == nil {
					saved = v
				} else if !errors.Is(err, errFault) {
					t.Fatal(err)
				}
			}
			if dead {
				d.powerCut(t)
			}
			got, _, err := loadCheckpoint(dir)
			if err != nil {
				t.Fatalf("fault at call %d (dead %v): %v", at, dead, err)
			}
			ok := saved == 0 && got == nil
			for v := max(1, saved); v <= 3; v++ { // a save that failed after its rename may be there all the same
				ok = ok || string(got) == string(content(v))
			}
			if !ok {
				t.Errorf("fault at call %d (dead %v): loaded %q after saving state %d", at, dead, got, saved)
			}
			if d.calls < at {
				if saved != 3 {
					t.Fatalf("no fault was injected, yet only state %d was saved", saved)
				}
				if at < 15 {
					t.Fatalf("only %d calls were tried; the test does not reach the saves", at)
				}
				break
			}
		}
	}
}

func TestWriteFileKeepsOldContentOnEveryFault(t *testing.T) {
	for at := 1; ; at++ {
		d := &faultyDisk{at: at, dead: true, unsynced: map[string]bool{}}
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
			t.Fatal(err)
		}
		err := writeFile(d, path, []byte("new"))
		d.powerCut(t)
		got, readErr := os.ReadFile(path)
		if readErr != nil {
			t.Fatal(readErr)
		}
		if s := string(got); s != "new" && (s != "old" || err == nil) {
			t.Errorf("fault at call %d: %q remains, error %v", at, s, err)
		}
		if d.calls < at {
			break
		}
	}
}
