package run

import (
	"errors"
	"io/fs"
	"path/filepath"
)

// loadCheckpoint returns the latest checkpoint that is whole, nil when none was ever saved. damaged is why a later one is
// not taken; training on from an older one, or anew, ends with the same bits.
func loadCheckpoint(dir string) (payload []byte, damaged, err error) {
	path := filepath.Join(dir, checkpointFile)
	for _, p := range []string{path, path + previous} {
		payload, err := readSealed(kindCheckpoint, p)
		if err == nil {
			return payload, damaged, nil
		}
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if isPath := new(fs.PathError); errors.As(err, &isPath) { // unreadable is not damaged
			return nil, nil, err
		}
		damaged = errors.Join(damaged, err)
	}
	return nil, damaged, nil
}
