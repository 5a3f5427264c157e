package datasets

import (
	"archive/zip"
	"bufio"
	"bytes"
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
	a, err := readArray(bufio.NewReaderSize(f, 1<<16), info.Size())
	if err != nil {
		return Array{}, fmt.Errorf("%s: %w", path, err)
	}
	return a, nil
}

// ReadNPZ reads all arrays of a .npz file (np.savez, compressed or not) by name.
func ReadNPZ(path string) (map[string]Array, error) {
	z, err := openNPZ(path)
	if err != nil {
		return nil, err
	}
	defer z.Close()
	arrays := map[string]Array{}
	for _, name := range z.names {
		if arrays[name], err = z.array(name); err != nil {
			return nil, err
		}
	}
	return arrays, nil
}

// npz is an open .npz file.
type npz struct {
	path    string
	zip     *zip.ReadCloser
	names   []string // of the arrays, in the order of the file
	members map[string]*zip.File
}

// openNPZ reads the list of arrays and refuses sizes that can't be.
func openNPZ(path string) (_ *npz, err error) {
	z := &npz{path: path, members: map[string]*zip.File{}}
	if z.zip, err = zip.OpenReader(path); err != nil {
		return nil, fmt.Errorf("%s: not a complete .npz file; get it again: %w", path, err)
	}
	packed, all := uint64(size(path)), uint64(0)
	for _, m := range z.zip.File {
		name := strings.TrimSuffix(m.Name, ".npy")
		// Deflate makes at most 1,032 bytes of one.
		if m.CompressedSize64 > packed || m.UncompressedSize64 > 1032*m.CompressedSize64+1032 {
			err = errors.New("it claims a size that the file can't hold; the file is damaged")
		} else if all += m.UncompressedSize64; all > smallBytes && all/maxRatio > packed {
			err = fmt.Errorf("the arrays are more than %d times as large as the file; save them with numpy.savez if that is meant", maxRatio)
		} else if z.members[name] != nil {
			err = errors.New("two arrays have this name; save each under its own")
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %s: %w", path, shorten(m.Name), err), z.Close())
		}
		z.names, z.members[name] = append(z.names, name), m
	}
	return z, nil
}

func (z *npz) Close() error { return z.zip.Close() }

// has reports whether there are arrays of all these names.
func (z *npz) has(names ...string) bool {
	for _, name := range names {
		if z.members[name] == nil {
			return false
		}
	}
	return true
}

// array reads a whole array.
func (z *npz) array(name string) (Array, error) {
	var a Array
	err := z.stream(name, func(s *arrayStream) (err error) {
		a, err = s.whole()
		return err
	})
	return a, err
}

// stream lets read take an array from its beginning, and compares the archive's checksum afterwards.
func (z *npz) stream(name string, read func(*arrayStream) error) error {
	m := z.members[name]
	if m == nil {
		return fmt.Errorf("%s: no array %q; it has %s", z.path, name, strings.Join(z.names, ", "))
	}
	wrap := func(err error) error { return fmt.Errorf("%s: array %s: %w", z.path, shorten(name), err) }
	in, err := m.Open()
	if err != nil {
		return wrap(err)
	}
	defer in.Close()
	s, err := newArrayStream(bufio.NewReaderSize(in, 1<<16), int64(m.UncompressedSize64))
	if err != nil {
		return wrap(err)
	}
	if err := read(s); err != nil {
		return wrap(err)
	}
	if _, err := io.Copy(io.Discard, s.in); err != nil {
		return wrap(fmt.Errorf("damaged; get the file again: %w", err))
	}
	return nil
}

// readArray reads a whole array of a file of the given size.
func readArray(r io.Reader, size int64) (Array, error) {
	s, err := newArrayStream(r, size)
	if err != nil {
		return Array{}, err
	}
	return s.whole()
}

// whole reads all elements.
func (s *arrayStream) whole() (Array, error) {
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
func newArrayStream(in io.Reader, size int64) (*arrayStream, error) {
	counted := &countingReader{in: in}
	header, err := npyHeader(io.LimitReader(counted, min(size, maxHeader)))
	if err != nil {
		return nil, err
	}
	width, number, err := elementType(header.Descr.Type)
	if err != nil {
		return nil, err
	}
	s, err := newElementStream(counted, size-counted.n, header.Descr.Shape, width, number)
	if err != nil {
		return nil, err
	}
	s.fortran = header.Descr.Fortran
	return s, nil
}

// newElementStream reads elements that lie there without a header.
func newElementStream(in io.Reader, size int64, shape []int, width int, number func([]byte) float64) (*arrayStream, error) {
	s := &arrayStream{shape: shape, in: in, left: 1, width: width, number: number}
	for _, n := range s.shape {
		if n < 0 {
			return nil, fmt.Errorf("its shape is %v; the file is damaged", s.shape)
		}
		if n > 0 && int64(s.left) > size/int64(n) {
			return nil, fmt.Errorf("its shape %v needs more than the %d bytes that it has; the file was cut off", s.shape, size)
		}
		s.left *= n
	}
	if int64(s.left)*int64(s.width) != size {
		return nil, fmt.Errorf("its shape %v needs %d bytes, but it has %d; the file was cut off or changed", s.shape, s.left*s.width, size)
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
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF // the elements are not all read
		}
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

// maxHeader is the length of the longest header that is accepted; NumPy's own have 128 bytes.
const maxHeader = 1 << 16

// npyHeader reads the header alone. The library that parses it makes room for whatever length the file claims, and panics on
// some damaged ones.
func npyHeader(in io.Reader) (h npy.Header, err error) {
	start := make([]byte, 12) // no array is shorter
	if _, err := io.ReadFull(in, start); err != nil {
		return h, fmt.Errorf("not a complete NumPy array: %w", err)
	}
	if !bytes.HasPrefix(start, npy.Magic[:]) {
		return h, errors.New("not a NumPy array")
	}
	if start[6] == 2 && binary.LittleEndian.Uint32(start[8:]) > maxHeader {
		return h, errors.New("its header is too long; the file is damaged")
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("damaged header: %v", r)
		}
	}()
	r, err := npy.NewReader(io.MultiReader(bytes.NewReader(start), in))
	if err != nil {
		return h, fmt.Errorf("damaged header: %w", err)
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
