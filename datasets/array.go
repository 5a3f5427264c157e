package datasets

import (
	"archive/zip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"

	"github.com/sbinet/npyio/npy"
)

// Array is a NumPy array of numbers, row-major whatever its order on disk.
type Array struct {
	Shape  []int // empty for a single number
	values []float64
}

// Float64s are the elements, row-major. Integers beyond 2^53 are rounded.
func (a Array) Float64s() []float64 { return a.values }

// ReadNPY reads a .npy file of integers, floats or booleans.
func ReadNPY(path string) (Array, error) {
	f, err := os.Open(path)
	if err != nil {
		return Array{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Array{}, err
	}
	a, err := readArray(f, info.Size())
	if err != nil {
		return Array{}, fmt.Errorf("%s: %w", path, err)
	}
	return a, nil
}

// ReadNPZ reads all arrays of a .npz file (np.savez, compressed or not) by name.
func ReadNPZ(path string) (map[string]Array, error) {
	z, err := zip.OpenReader(path)
	if err != nil {
		return nil, fmt.Errorf("%s: not a complete .npz file: %w", path, err)
	}
	defer z.Close()
	arrays := map[string]Array{}
	for _, member := range z.File {
		a, err := readMember(member)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", path, member.Name, err)
		}
		arrays[strings.TrimSuffix(member.Name, ".npy")] = a
	}
	return arrays, nil
}

func readMember(member *zip.File) (Array, error) {
	if member.UncompressedSize64 > math.MaxInt64 {
		return Array{}, errors.New("impossible size")
	}
	r, err := member.Open()
	if err != nil {
		return Array{}, err
	}
	defer r.Close()
	a, err := readArray(r, int64(member.UncompressedSize64))
	if err != nil {
		return Array{}, err
	}
	_, err = io.Copy(io.Discard, r) // to the end, where the archive's checksum is compared
	return a, err
}

// readArray reads a whole array of a file of the given size.
func readArray(r io.Reader, size int64) (Array, error) {
	s, err := newArrayStream(r, size)
	if err != nil {
		return Array{}, err
	}
	a := Array{Shape: s.shape, values: []float64{}}
	buffer := make([]float64, 1<<13)
	for {
		n, err := s.read(buffer)
		a.values = append(a.values, buffer[:n]...)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Array{}, err
		}
	}
	if s.fortran {
		a.values = rowMajor(a.values, a.Shape)
	}
	return a, nil
}

// arrayStream reads an array from its beginning, element after element in the order on disk.
type arrayStream struct {
	shape   []int
	fortran bool // the first index runs fastest
	left    int  // elements
	in      io.Reader
	width   int // bytes of an element
	number  func([]byte) float64
	raw     []byte
}

// newArrayStream reads the header and compares what it promises with the file's size, so that a damaged one can't ask for
// memory that its data don't fill.
func newArrayStream(in io.Reader, size int64) (_ *arrayStream, err error) {
	counted := &countingReader{in: io.LimitReader(in, size)}
	header, err := npyHeader(counted)
	if err != nil {
		return nil, err
	}
	s := &arrayStream{shape: header.Descr.Shape, fortran: header.Descr.Fortran, in: counted, left: 1}
	if s.width, s.number, err = elementType(header.Descr.Type); err != nil {
		return nil, err
	}
	data := size - counted.n
	for _, n := range s.shape {
		if n < 0 || n > 0 && int64(s.left) > data/int64(n) {
			return nil, fmt.Errorf("its shape %v needs more than the %d bytes that follow; the file was cut off", s.shape, data)
		}
		s.left *= n
	}
	if int64(s.left)*int64(s.width) != data {
		return nil, fmt.Errorf("its shape %v of type %s needs %d bytes, but %d follow; the file was cut off or changed",
			s.shape, header.Descr.Type, s.left*s.width, data)
	}
	return s, nil
}

// read fills to as far as there are elements; at the end it returns io.EOF.
func (s *arrayStream) read(to []float64) (int, error) {
	to = to[:min(len(to), s.left)]
	if len(to) == 0 {
		return 0, io.EOF
	}
	if need := len(to) * s.width; cap(s.raw) < need {
		s.raw = make([]byte, need)
	}
	raw := s.raw[:len(to)*s.width]
	if _, err := io.ReadFull(s.in, raw); err != nil {
		return 0, fmt.Errorf("the data end early: %w", err)
	}
	for i := range to {
		to[i] = s.number(raw[i*s.width:])
	}
	s.left -= len(to)
	return len(to), nil
}

type countingReader struct {
	in io.Reader
	n  int64
}

func (c *countingReader) Read(b []byte) (int, error) {
	n, err := c.in.Read(b)
	c.n += int64(n)
	return n, err
}

// npyHeader reads the header alone. The library that parses it panics on some damaged ones.
func npyHeader(in io.Reader) (h npy.Header, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("damaged header: %v", r)
		}
	}()
	r, err := npy.NewReader(in)
	if err != nil {
		return h, fmt.Errorf("not a NumPy array: %w", err)
	}
	return r.Header, nil
}

// elementType understands NumPy's names of number types, such as <f4.
func elementType(name string) (width int, number func([]byte) float64, err error) {
	var order binary.ByteOrder = binary.LittleEndian
	if strings.HasPrefix(name, ">") {
		order = binary.BigEndian
	}
	switch strings.TrimLeft(name, "<>|=") {
	case "f4":
		return 4, func(b []byte) float64 { return float64(math.Float32frombits(order.Uint32(b))) }, nil
	case "f8":
		return 8, func(b []byte) float64 { return math.Float64frombits(order.Uint64(b)) }, nil
	case "i1":
		return 1, func(b []byte) float64 { return float64(int8(b[0])) }, nil
	case "i2":
		return 2, func(b []byte) float64 { return float64(int16(order.Uint16(b))) }, nil
	case "i4":
		return 4, func(b []byte) float64 { return float64(int32(order.Uint32(b))) }, nil
	case "i8":
		return 8, func(b []byte) float64 { return float64(int64(order.Uint64(b))) }, nil
	case "u1", "b1":
		return 1, func(b []byte) float64 { return float64(b[0]) }, nil
	case "u2":
		return 2, func(b []byte) float64 { return float64(order.Uint16(b)) }, nil
	case "u4":
		return 4, func(b []byte) float64 { return float64(order.Uint32(b)) }, nil
	case "u8":
		return 8, func(b []byte) float64 { return float64(order.Uint64(b)) }, nil
	}
	return 0, nil, fmt.Errorf("elements of type %q; integers, float32, float64 and booleans can be read (save with .astype('float32'))", name)
}

// rowMajor reorders elements that lie with the first index fastest.
func rowMajor(values []float64, shape []int) []float64 {
	out := make([]float64, len(values))
	index := make([]int, len(shape))
	for _, v := range values {
		at := 0
		for d, i := range index {
			at = at*shape[d] + i
		}
		out[at] = v
		for d := range index {
			if index[d]++; index[d] < shape[d] {
				break
			}
			index[d] = 0
		}
	}
	return out
}
