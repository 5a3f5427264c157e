package datasets

import (
	"archive/zip"
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// NewArray makes an array of row-major values. It panics when the shape doesn't hold as many.
func NewArray[T float32 | float64](shape []int, values []T) Array {
	size := 1
	for _, n := range shape {
		size *= n
	}
	if size != len(values) {
		panic(fmt.Errorf("%d values do not fill an array of shape %v", len(values), shape))
	}
	a := Array{Shape: slices.Clone(shape), values: make([]float64, len(values))}
	for i, v := range values {
		a.values[i] = float64(v)
	}
	return a
}

// WriteNPZ writes arrays by name to a .npz file as numpy.savez does, uncompressed: as float32 where that keeps every value of an
// array, else as float64. Equal arrays give equal bytes. The file appears whole or not at all.
func WriteNPZ(path string, arrays map[string]Array) (err error) {
	out, err := os.CreateTemp(filepath.Dir(path), ".npz-*")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", path, errors.Join(err, os.Remove(out.Name())))
		}
	}()
	err = errors.Join(writeNPZ(out, arrays), out.Chmod(0o644), out.Sync(), out.Close())
	if err != nil {
		return err
	}
	return os.Rename(out.Name(), path)
}

func writeNPZ(to io.Writer, arrays map[string]Array) error {
	z := zip.NewWriter(to)
	for _, name := range slices.Sorted(maps.Keys(arrays)) {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name + ".npy", Method: zip.Store})
		if err != nil {
			return err
		}
		buffered := bufio.NewWriter(w)
		if err := errors.Join(writeNPY(buffered, arrays[name]), buffered.Flush()); err != nil {
			return fmt.Errorf("array %s: %w", name, err)
		}
	}
	return z.Close()
}

// writeNPY writes format 1.0: magic, version, length of the header, a Python dict padded to a multiple of 64 bytes, the values.
func writeNPY(w io.Writer, a Array) error {
	single := true
	for _, v := range a.values {
		single = single && (float64(float32(v)) == v || math.IsNaN(v))
	}
	kind := map[bool]string{true: "<f4", false: "<f8"}[single]
	var shape strings.Builder
	for _, n := range a.Shape {
		fmt.Fprintf(&shape, "%d,", n) // Python takes the last comma too
	}
	header := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", kind, &shape)
	const before = 10
	header += strings.Repeat(" ", 63-(before+len(header))%64) + "\n"
	if len(header) > math.MaxUint16 {
		return fmt.Errorf("%d axes are too many", len(a.Shape))
	}
	start := append([]byte("\x93NUMPY\x01\x00"), 0, 0)
	binary.LittleEndian.PutUint16(start[before-2:], uint16(len(header)))
	if _, err := w.Write(append(start, header...)); err != nil {
		return err
	}
	raw := make([]byte, 8)
	for _, v := range a.values {
		if single {
			binary.LittleEndian.PutUint32(raw, math.Float32bits(float32(v)))
			raw = raw[:4]
		} else {
			binary.LittleEndian.PutUint64(raw, math.Float64bits(v))
		}
		if _, err := w.Write(raw); err != nil {
			return err
		}
	}
	return nil
}
