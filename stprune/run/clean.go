package run

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Usage is what a run takes on disk, in bytes of its files.
type Usage struct {
	Total       int64 `json:"total"`
	Checkpoints int64 `json:"checkpoints"`
	Best        int64 `json:"best"`
	Selections  int64 `json:"selections"`
	Scores      int64 `json:"scores"`
	Needless    int64 `json:"needless"` // what [Store.Clean] would free
}

// Add sums the parts.
func (u Usage) Add(o Usage) Usage {
	return Usage{u.Total + o.Total, u.Checkpoints + o.Checkpoints, u.Best + o.Best, u.Selections + o.Selections, u.Scores + o.Scores, u.Needless + o.Needless}
}

// Usage measures the run's folder.
func (r *Run) Usage() (Usage, error) {
	var u Usage
	err := filepath.WalkDir(r.Dir, func(path string, d fs.DirEntry, err error) error {
		var info fs.FileInfo
		if err == nil && !d.IsDir() {
			info, err = d.Info()
		}
		if errors.Is(err, fs.ErrNotExist) { // replaced while the run is trained
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		u.Total += info.Size()
		name, err := filepath.Rel(r.Dir, path)
		if err != nil {
			return err
		}
		switch folder, _, _ := strings.Cut(filepath.ToSlash(name), "/"); folder {
		case checkpointFile, checkpointFile + previous, checkpointFile + partial, scoringFile, scoringFile + partial:
			u.Checkpoints += info.Size()
		case bestFile:
			u.Best += info.Size()
		case selectionDir:
			u.Selections += info.Size()
		case scoresDir:
			u.Scores += info.Size()
		}
		return nil
	})
	if err != nil {
		return u, fmt.Errorf("run %s: %w", r.ID, err)
	}
	_, u.Needless, err = r.needless()
	return u, err
}

// needless are the files that neither resuming nor evaluating the run, nor another run that begins with its parameters, reads
// again. Only a finished run has any: result and best parameters must be whole, or else the checkpoints are what it can be trained
// on from.
func (r *Run) needless() (paths []string, size int64, err error) {
	if !r.finished() {
		return nil, 0, nil
	}
	if _, err := r.Best(); err != nil {
		return nil, 0, nil // evaluating the run says what is wrong
	}
	for _, name := range []string{checkpointFile, checkpointFile + previous, checkpointFile + partial} {
		path := filepath.Join(r.Dir, name)
		info, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, 0, fmt.Errorf("run %s: %w", r.ID, err)
		}
		paths, size = append(paths, path), size+info.Size()
	}
	return paths, size, nil
}

// removed begins the name of a run's folder that is being removed.
const removed = ".removed-"

// Leftovers are folders of removed runs that a removal cut short left behind.
func (s *Store) Leftovers() (dirs []string, size int64, err error) {
	entries, err := os.ReadDir(s.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, 0, fmt.Errorf("store: %w", err)
	}
	for _, e := range entries {
		id, ok := strings.CutPrefix(e.Name(), removed)
		if !ok || !idForm.MatchString(id) {
			continue
		}
		u, err := (&Run{ID: id, Dir: filepath.Join(s.Dir, e.Name())}).Usage()
		if err != nil {
			return nil, 0, err
		}
		dirs, size = append(dirs, filepath.Join(s.Dir, e.Name())), size+u.Total
	}
	return dirs, size, nil
}

// CleanLeftovers removes them.
func (s *Store) CleanLeftovers() (freed int64, err error) {
	dirs, freed, err := s.Leftovers()
	for _, dir := range dirs {
		if e := os.RemoveAll(dir); e != nil {
			err = errors.Join(err, fmt.Errorf("store: %w", e))
		}
	}
	return freed, err
}

// Clean removes the checkpoints of a finished run, which nothing reads again, and says how many bytes that frees. Unfinished runs
// keep theirs. It is an error wrapping [ErrBusy] while a process holds the run.
func (s *Store) Clean(r *Run) (freed int64, err error) {
	if !r.finished() {
		return 0, nil
	}
	claim, err := s.claim(context.Background(), r.ID, false, nil)
	if err != nil {
		return 0, fmt.Errorf("cleaning run %s: %w", r.ID, err)
	}
	defer claim.release()
	paths, size, err := r.needless() // looked at under the claim
	for _, path := range paths {
		err = errors.Join(err, s.disk.Remove(path))
	}
	if len(paths) > 0 {
		err = errors.Join(err, s.disk.SyncDir(r.Dir))
	}
	if err != nil {
		return 0, fmt.Errorf("cleaning run %s: %w", r.ID, err)
	}
	return size, nil
}
