package datasets

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// This is a reader for the HDF5 that pandas writes (through PyTables): superblock version 0, object headers of version 1, groups
// with symbol tables, vectors and matrices in one piece or in chunks packed with zlib. Libraries for all of HDF5 trust what a file
// says: a single damaged byte makes them ask for terabytes, which ends the process. Here every length is compared with the
// file's before memory is taken, and nothing is visited twice.

type h5File struct {
	in      io.ReaderAt
	size    uint64
	visited map[uint64]bool
}

// The signatures of HDF5's parts.
const (
	h5Magic = "\x89HDF\r\n\x1a\n"
	h5Tree  = "TREE"
	h5Heap  = "HEAP"
	h5Nodes = "SNOD"
)

const (
	h5Undefined  = math.MaxUint64 // the address of what isn't there
	h5MaxDepth   = 32             // of groups
	h5MaxHeader  = 1 << 22        // bytes of an object's header: attributes hold at most 64 kB each
	h5MaxChunk   = 1 << 30        // bytes of a chunk, unpacked
	deflateRatio = 1100           // more than zlib can pack
)

// cursor takes a part of the file to pieces. Past the end it gives zeros and remembers.
type cursor struct {
	rest  []byte
	short bool
}

func (c *cursor) take(n int) []byte {
	if n < 0 || n > len(c.rest) {
		c.rest, c.short = nil, true
		return make([]byte, min(max(n, 0), 8))
	}
	out := c.rest[:n]
	c.rest = c.rest[n:]
	return out
}

func (c *cursor) u8() int     { return int(c.take(1)[0]) }
func (c *cursor) u16() int    { return int(binary.LittleEndian.Uint16(c.take(2))) }
func (c *cursor) u32() int    { return int(binary.LittleEndian.Uint32(c.take(4))) }
func (c *cursor) u64() uint64 { return binary.LittleEndian.Uint64(c.take(8)) }

// part reads bytes that must be in the file.
func (f *h5File) part(at, n uint64) ([]byte, error) {
	if at > f.size || n > f.size-at {
		return nil, fmt.Errorf("%d bytes at %d are asked for, but the file has %d", n, at, f.size)
	}
	b := make([]byte, n)
	if _, err := f.in.ReadAt(b, int64(at)); err != nil {
		return nil, err
	}
	return b, nil
}

// once reports an error when a part of the file is its own part.
func (f *h5File) once(at uint64) error {
	if f.visited[at] {
		return fmt.Errorf("what lies at %d is linked twice", at)
	}
	f.visited[at] = true
	return nil
}

var errH5New = errors.New("an HDF5 file of the newer layout, which pandas doesn't write; HDF5's tool makes the other: h5repack --low=0 --high=0 old.h5 new.h5")

// openH5 reads the beginning of a file and returns its outermost group.
func openH5(in io.ReaderAt, size int64) (*h5Object, error) {
	f := &h5File{in: in, size: uint64(size), visited: map[uint64]bool{}}
	head, err := f.part(0, min(f.size, 100))
	if err != nil {
		return nil, err
	}
	c := cursor{rest: head}
	if string(c.take(8)) != h5Magic {
		return nil, errors.New("not an HDF5 file")
	}
	version := c.u8()
	c.take(4)
	offsets, lengths := c.u8(), c.u8()
	c.take(9)
	if version == 1 {
		c.take(4)
	}
	base, _, end := c.u64(), c.u64(), c.u64()
	c.take(16)
	root := c.u64()
	switch {
	case version > 1:
		return nil, errH5New
	case c.short:
		return nil, fmt.Errorf("the file was cut off: it has %d bytes", size)
	case end > f.size:
		return nil, fmt.Errorf("the file was cut off: it has %d of %d bytes", size, end)
	case offsets != 8 || lengths != 8 || base != 0:
		return nil, errors.New("an HDF5 file with a user block or short addresses")
	}
	return f.object(root)
}

// h5Message is a message of an object's header.
type h5Message struct {
	kind   int
	shared bool // the message is elsewhere
	body   []byte
}

// Kinds of messages.
const (
	h5Space     = 0x1
	h5Type      = 0x3
	h5Layout    = 0x8
	h5Filters   = 0xb
	h5Attribute = 0xc
	h5Continued = 0x10
	h5Group     = 0x11
)

// h5Object is a group or an array.
type h5Object struct {
	file     *h5File
	messages []h5Message
}

func (f *h5File) object(at uint64) (*h5Object, error) {
	if err := f.once(at); err != nil {
		return nil, err
	}
	prefix, err := f.part(at, 16)
	if err != nil {
		return nil, err
	}
	c := cursor{rest: prefix}
	if bytes.HasPrefix(prefix, []byte("OHDR")) {
		return nil, errH5New
	}
	if version := c.u8(); version != 1 {
		return nil, fmt.Errorf("no object header of version 1 at %d", at)
	}
	c.take(7)
	o := &h5Object{file: f}
	type block struct{ at, n uint64 }
	blocks, total := []block{{at + 16, uint64(c.u32())}}, uint64(0)
	for len(blocks) > 0 {
		b := blocks[0]
		blocks = blocks[1:]
		if total += b.n; b.n > h5MaxHeader || total > h5MaxHeader || b.n == 0 {
			return nil, fmt.Errorf("the object header at %d is too large", at)
		}
		raw, err := f.part(b.at, b.n)
		if err != nil {
			return nil, err
		}
		for c := (cursor{rest: raw}); len(c.rest) >= 8; {
			kind, size, flags := c.u16(), c.u16(), c.u8()
			c.take(3)
			m := h5Message{kind: kind, shared: flags&2 != 0, body: c.take(size)}
			if c.short {
				return nil, fmt.Errorf("a message of the object header at %d is longer than the header", at)
			}
			if kind == h5Continued {
				next := cursor{rest: m.body}
				blocks = append(blocks, block{next.u64(), next.u64()})
			} else {
				o.messages = append(o.messages, m)
			}
		}
	}
	return o, nil
}

// message is the body of the only message of a kind; nil if there is none.
func (o *h5Object) message(kind int) []byte {
	for _, m := range o.messages {
		if m.kind == kind && !m.shared {
			return m.body
		}
	}
	return nil
}

func (o *h5Object) isGroup() bool { return o.message(h5Group) != nil }

// h5Link is a member of a group.
type h5Link struct {
	name string
	*h5Object
}

// members of a group, in the file's order. Soft links are left out.
func (o *h5Object) members() ([]h5Link, error) {
	c := cursor{rest: o.message(h5Group)}
	tree, heapAt := c.u64(), c.u64()
	raw, err := o.file.part(heapAt, 32)
	if err != nil {
		return nil, err
	}
	h := cursor{rest: raw}
	if string(h.take(4)) != h5Heap {
		return nil, fmt.Errorf("no names of the group at %d", heapAt)
	}
	h.take(4)
	size, _, at := h.u64(), h.u64(), h.u64()
	names, err := o.file.part(at, size)
	if err != nil {
		return nil, err
	}
	var links []h5Link
	err = o.file.walk(tree, 0, 8, math.MaxUint8, func(_ []byte, child uint64) error {
		head, err := o.file.part(child, 8)
		if err != nil {
			return err
		}
		c := cursor{rest: head}
		if err := o.file.once(child); err != nil || string(c.take(4)) != h5Nodes {
			return errors.Join(err, fmt.Errorf("no members of a group at %d", child))
		}
		c.take(2)
		raw, err := o.file.part(child+8, 40*uint64(c.u16()))
		if err != nil {
			return err
		}
		for c := (cursor{rest: raw}); len(c.rest) > 0; c.take(16) {
			name, at, cache := c.u64(), c.u64(), c.u32()
			c.take(4)
			if cache == 2 {
				continue
			}
			if name >= uint64(len(names)) {
				return fmt.Errorf("a member of the group has no name")
			}
			text, _, _ := bytes.Cut(names[name:], []byte{0})
			member, err := o.file.object(at)
			if err != nil {
				return err
			}
			links = append(links, h5Link{string(text), member})
		}
		return nil
	})
	return links, err
}

// walk visits the leaves of a B-tree of version 1: kind 0 are groups, 1 chunks. key is the size of a key.
func (f *h5File) walk(at uint64, kind, key, above int, visit func(key []byte, child uint64) error) error {
	if err := f.once(at); err != nil {
		return err
	}
	head, err := f.part(at, 24)
	if err != nil {
		return err
	}
	c := cursor{rest: head}
	if string(c.take(4)) != h5Tree || c.u8() != kind {
		return fmt.Errorf("no tree at %d", at)
	}
	level := c.u8()
	if level >= above {
		return fmt.Errorf("the tree at %d grows upwards", at)
	}
	raw, err := f.part(at+24, uint64(c.u16()*(key+8)))
	if err != nil {
		return err
	}
	for c := (cursor{rest: raw}); len(c.rest) > 0; {
		k, child := c.take(key), c.u64()
		if level == 0 {
			err = visit(k, child)
		} else {
			err = f.walk(child, kind, key, level, visit)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// attribute is one of text, or "".
func (o *h5Object) attribute(name string) string {
	for _, m := range o.messages {
		if m.kind != h5Attribute || m.shared {
			continue
		}
		c := cursor{rest: m.body}
		version := c.u8()
		c.take(1)
		sizes := [3]int{c.u16(), c.u16(), c.u16()} // of name, type and shape
		if version == 3 {
			c.take(1)
		}
		var parts [3][]byte
		for i, n := range sizes {
			parts[i] = c.take(n)
			if version == 1 {
				c.take(-n & 7)
			}
		}
		a := h5Array{}
		if c.short || strings.TrimRight(string(parts[0]), "\x00") != name || a.setType(parts[1]) != nil || a.class != h5Text {
			continue
		}
		if value := c.take(a.width); !c.short {
			return a.text(value)
		}
	}
	return ""
}

// h5Class is a class of elements.
type h5Class int

const (
	h5Integer h5Class = 0
	h5Float   h5Class = 1
	h5Text    h5Class = 3
)

// h5Array is a vector or matrix, not read yet. A vector is a matrix of one column.
type h5Array struct {
	file    *h5File
	rank    int
	rows    int
	columns int
	class   h5Class
	width   int // bytes of an element
	order   string
	signed  bool

	compact []byte
	at      uint64 // of the values in one piece, or of the tree of chunks
	chunk   [2]int // rows and columns of a chunk; 0 when there are none
	filters []int
}

func (a *h5Array) setType(body []byte) error {
	c := cursor{rest: body}
	a.class = h5Class(c.u8() & 15)
	bits := c.u8()
	c.take(2)
	a.width = c.u32()
	if c.short || a.width < 1 {
		return errors.New("elements without a size")
	}
	a.order = "<"
	if a.class != h5Text && bits&1 != 0 {
		a.order = ">"
	}
	a.signed = bits&8 != 0
	return nil
}

// array understands an object as an array. What it claims to hold must have come out of the file.
func (o *h5Object) array() (*h5Array, error) {
	a := &h5Array{file: o.file, rows: 1, columns: 1}
	if err := a.setType(o.message(h5Type)); err != nil {
		return nil, err
	}
	c := cursor{rest: o.message(h5Space)}
	version := c.u8()
	a.rank = c.u8()
	c.take(map[int]int{1: 6, 2: 2}[version])
	if version < 1 || version > 2 || a.rank < 1 || a.rank > 2 {
		return nil, fmt.Errorf("an array of %d dimensions; 1 or 2 are needed", a.rank)
	}
	sizes := []*int{&a.rows, &a.columns}[:a.rank]
	for _, n := range sizes {
		size := c.u64()
		if size > math.MaxInt32 {
			return nil, fmt.Errorf("a length of %d", size)
		}
		*n = int(size)
	}
	l := cursor{rest: o.message(h5Layout)}
	if version := l.u8(); version != 3 {
		return nil, fmt.Errorf("a layout of version %d", version)
	}
	limit := o.file.size
	switch class := l.u8(); class {
	case 0:
		a.compact = l.take(l.u16())
		limit = uint64(len(a.compact))
	case 1:
		a.at = l.u64()
	case 2:
		limit *= deflateRatio
		rank := l.u8() // the last one is the size of an element
		a.at = l.u64()
		a.chunk = [2]int{1, 1}
		for i := range rank - 1 {
			if n := l.u32(); i < 2 {
				a.chunk[i] = n
			}
		}
		if rank != a.rank+1 || l.u32() != a.width || a.chunk[0] < 1 || a.chunk[1] < 1 ||
			a.chunk[0] > h5MaxChunk/a.chunk[1] || a.chunk[0]*a.chunk[1] > h5MaxChunk/a.width {
			return nil, fmt.Errorf("chunks of %d × %d elements", a.chunk[0], a.chunk[1])
		}
	default:
		return nil, fmt.Errorf("a layout of class %d", class)
	}
	if c.short || l.short {
		return nil, errors.New("an array whose description ends early")
	}
	if a.rows > 0 && a.columns > 0 && uint64(a.rows) > limit/uint64(a.columns)/uint64(a.width) {
		return nil, fmt.Errorf("an array of %d × %d elements of %d bytes, more than the file can hold", a.rows, a.columns, a.width)
	}
	if body := o.message(h5Filters); body != nil {
		if err := a.setFilters(body); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func (a *h5Array) setFilters(body []byte) error {
	c := cursor{rest: body}
	version, n := c.u8(), c.u8()
	if version == 1 {
		c.take(6)
	}
	for range n {
		id, name := c.u16(), 0
		if version == 1 || id >= 256 {
			name = c.u16()
		}
		c.take(2)
		values := c.u16()
		if version == 1 {
			name += -name & 7
			values += values & 1
		}
		c.take(name)
		c.take(4 * values)
		if id < 1 || id > 3 {
			return fmt.Errorf("it is packed by filter %d (blosc, lzf or the like); zlib can be read: to_hdf(…, complib='zlib')", id)
		}
		a.filters = append(a.filters, id)
	}
	if c.short {
		return errors.New("a list of filters that ends early")
	}
	return nil
}

// text is an element of text.
func (a *h5Array) text(raw []byte) string {
	text, _, _ := bytes.Cut(raw, []byte{0})
	return string(text)
}

// numbers returns what turns an element into a number.
func (a *h5Array) numbers() (func([]byte) float64, error) {
	kind := map[h5Class]string{h5Float: "f", h5Integer: "u"}[a.class]
	if a.class == h5Integer && a.signed {
		kind = "i"
	}
	if kind == "" {
		return nil, errors.New("elements that are no numbers")
	}
	_, number, err := elementType(fmt.Sprintf("%s%s%d", a.order, kind, a.width))
	return number, err
}

// integers reads a vector of integers, exactly.
func (a *h5Array) integers(ctx context.Context) ([]int64, error) {
	number, err := a.numbers()
	if err != nil {
		return nil, err
	}
	if a.class != h5Integer || a.rank != 1 {
		return nil, errors.New("no vector of integers")
	}
	out := make([]int64, a.rows)
	err = a.read(ctx, func(row, _ int, raw []byte) {
		for i := range len(raw) / a.width {
			if b := raw[i*a.width:]; a.width < 8 {
				out[row+i] = int64(number(b))
			} else if a.order == ">" {
				out[row+i] = int64(binary.BigEndian.Uint64(b))
			} else {
				out[row+i] = int64(binary.LittleEndian.Uint64(b))
			}
		}
	})
	return out, err
}

// read gives all elements, in runs: those of a row from a column on.
func (a *h5Array) read(ctx context.Context, take func(row, column int, raw []byte)) error {
	if a.rows == 0 || a.columns == 0 {
		return nil
	}
	line := a.columns * a.width
	if a.chunk[0] > 0 {
		return a.readChunks(ctx, take)
	}
	if a.compact != nil {
		for row := range a.rows {
			take(row, 0, a.compact[row*line:(row+1)*line])
		}
		return nil
	}
	if a.at == h5Undefined {
		return errors.New("its values are not in the file")
	}
	step := max(1, 1<<22/line)
	for row := 0; row < a.rows; row += step {
		if err := ctx.Err(); err != nil {
			return err
		}
		raw, err := a.file.part(a.at+uint64(row)*uint64(line), uint64(min(step, a.rows-row))*uint64(line))
		if err != nil {
			return err
		}
		for i := 0; len(raw) > 0; i++ {
			take(row+i, 0, raw[:line])
			raw = raw[line:]
		}
	}
	return nil
}

func (a *h5Array) readChunks(ctx context.Context, take func(row, column int, raw []byte)) error {
	if a.at == h5Undefined {
		return errors.New("its values are not in the file")
	}
	seen := 0
	err := a.file.walk(a.at, 1, 8+8*(a.rank+1), math.MaxUint8, func(key []byte, at uint64) error {
		if err := errors.Join(ctx.Err(), a.file.once(at)); err != nil {
			return err
		}
		c := cursor{rest: key}
		size, skipped := c.u32(), c.u32()
		from := [2]uint64{c.u64(), 0}
		if a.rank == 2 {
			from[1] = c.u64()
		}
		if from[0] >= uint64(a.rows) || from[1] >= uint64(a.columns) || from[0]%uint64(a.chunk[0]) != 0 || from[1]%uint64(a.chunk[1]) != 0 {
			return fmt.Errorf("a chunk at %v, outside the array", from)
		}
		raw, err := a.file.part(at, uint64(size))
		if err != nil {
			return err
		}
		if raw, err = a.unpack(raw, skipped); err != nil {
			return fmt.Errorf("the chunk at %v: %w", from, err)
		}
		row, column := int(from[0]), int(from[1])
		count := min(a.chunk[1], a.columns-column)
		for i := range min(a.chunk[0], a.rows-row) {
			take(row+i, column, raw[i*a.chunk[1]*a.width:][:count*a.width])
			seen += count
		}
		return nil
	})
	if err == nil && seen != a.rows*a.columns {
		err = fmt.Errorf("only %d of %d values are in the file", seen, a.rows*a.columns)
	}
	return err
}

// unpack undoes the filters of a chunk, the last one first. skipped has a bit for each filter that was left out.
func (a *h5Array) unpack(raw []byte, skipped int) ([]byte, error) {
	want := a.chunk[0] * a.chunk[1] * a.width
	for i, id := range slices.Backward(a.filters) {
		if skipped>>i&1 != 0 {
			continue
		}
		switch id {
		case 1:
			z, err := zlib.NewReader(bytes.NewReader(raw))
			if err != nil {
				return nil, err
			}
			if raw, err = io.ReadAll(io.LimitReader(z, int64(want)+5)); err != nil { // 4 bytes of a checksum may follow
				return nil, err
			}
		case 2: // the first bytes of all elements, then the second ones, …
			n := len(raw) / a.width
			out := make([]byte, n*a.width)
			for j := range out {
				out[j] = raw[j%a.width*n+j/a.width]
			}
			raw = out
		case 3:
			raw = raw[:max(0, len(raw)-4)] // Fletcher's checksum
		}
	}
	if len(raw) != want {
		return nil, fmt.Errorf("%d bytes, where %d are needed", len(raw), want)
	}
	return raw, nil
}
