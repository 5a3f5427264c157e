package run

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"path/filepath"
)

// loadCheckpoint returns the latest checkpoint that is whole, nil when none was ever saved. damaged is why a later one is
// not taken; training on from an older one, or anew, ends with the same bits.
func loadCheckpoint(dir string) (payload []byte, damaged, err error) {
	path := filepath.Join(dir, checkpointFile)
	return firstWhole(kindCheckpoint, path, path+previous)
}

// firstWhole reads the first of the sealed files that is there and whole.
func firstWhole(kind string, paths ...string) (payload []byte, damaged, err error) {
	for _, p := range paths {
		payload, err := readSealed(kind, p)
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

// A checkpoint is three parts, the first two preceded by their lengths: the diagnostics of the selection under way (JSON), the
// recorder's state, the trainer's state.
func checkpointParts(planned, scores, state []byte) [][]byte {
	length := func(part []byte) []byte { return binary.AppendUvarint(nil, uint64(len(part))) }
	return [][]byte{length(planned), planned, length(scores), scores, state}
}

func splitCheckpoint(b []byte) (planned, scores, state []byte, err error) {
	var parts [2][]byte
	for i := range parts {
		n, used := binary.Uvarint(b)
		if used <= 0 || n > uint64(len(b)-used) {
			return nil, nil, nil, errShort
		}
		parts[i], b = b[used:used+int(n)], b[used+int(n):]
	}
	return parts[0], parts[1], b, nil
}
