package datasets

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/nlpodyssey/gopickle/pickle"
	"github.com/nlpodyssey/gopickle/types"
)

// readPickle reads the pickle of a graph: DCRNN's list [ids, {id: index}, matrix], or a bare NumPy matrix, then ids is nil.
//
// A pickle is a program that may call anything. Here it gets lists, dictionaries, text, numbers and NumPy arrays; whatever else it
// asks for, such as os.system, is an error. Nothing is ever run. Its sizes are checked before memory is taken, so it can't make
// more of that than a few times its own length.
func readPickle(path string) (ids []string, m Array, err error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, Array{}, err
	}
	return parsePickle(raw)
}

func parsePickle(raw []byte) (ids []string, m Array, err error) {
	defer func() { // the library trusts the stack, and the numbers on it
		if r := recover(); r != nil {
			err = fmt.Errorf("damaged pickle: %v", r)
		}
		if err != nil {
			err = fmt.Errorf("%w; save the matrix alone from Python: numpy.save('adj.npy', matrix)", err)
		}
	}()
	value, err := unpickle(raw)
	if err != nil {
		return nil, Array{}, err
	}
	return pickledGraph(value)
}

func pickledGraph(value any) (ids []string, m Array, err error) {
	if parts := elements(value); len(parts) == 3 {
		named := elements(parts[0])
		if named == nil {
			return nil, Array{}, errors.New("its first part is no list of ids")
		}
		ids = make([]string, len(named))
		at := make(map[string]any, len(named))
		for i, v := range named {
			if ids[i], err = pickledID(v); err != nil {
				return nil, Array{}, err
			}
			at[ids[i]] = i
		}
		if index, ok := parts[1].(*types.Dict); !ok {
			return nil, Array{}, errors.New("its second part is no dictionary {id: index}")
		} else {
			for _, entry := range *index {
				if id, err := pickledID(entry.Key); err != nil || at[id] != entry.Value {
					return nil, Array{}, fmt.Errorf("its list has id %s at another place than its dictionary; the pickle contradicts itself", id)
				}
			}
		}
		value = parts[2]
	}
	if parts := elements(value); len(parts) == 1 { // AGCRN wraps the matrix
		value = parts[0]
	}
	a, ok := value.(*pickledArray)
	if !ok {
		return nil, Array{}, errors.New("neither a NumPy matrix nor a list [ids, {id: index}, matrix]")
	}
	m, err = a.array()
	return ids, m, err
}

// elements are those of a list or tuple, else nil.
func elements(v any) []any {
	switch v := v.(type) {
	case *types.List:
		return *v
	case *types.Tuple:
		return *v
	}
	return nil
}

func pickledID(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case []byte:
		return string(v), nil
	case int:
		return strconv.Itoa(v), nil
	}
	return "", errors.New("its ids are neither text nor integers")
}

// unpickle runs a pickle's program, as far as it is harmless.
func unpickle(raw []byte) (any, error) {
	if err := scanPickle(raw); err != nil {
		return nil, err
	}
	left := len(raw) // bytes that text may become
	u := pickle.NewUnpickler(bytes.NewReader(raw))
	u.FindClass = func(module, name string) (any, error) { return pickleClass(module, name, &left) }
	value, err := u.Load()
	if err != nil {
		if text := err.Error(); len(text) > 200 { // the library prints the objects it dislikes
			err = errors.New(text[:200] + "…")
		}
		return nil, fmt.Errorf("damaged pickle: %w", err)
	}
	return value, nil
}

// Far above what a graph of 40,000 nodes needs.
const (
	maxPickleSteps      = 1 << 18
	maxPickleContainers = 1 << 12
)

// scanPickle walks over a pickle's program, which has no jumps, without running it. The library takes the memory that a length
// asks for before it looks whether so much follows.
func scanPickle(raw []byte) error {
	cut := errors.New("the pickle ends early; the file was cut off")
	if len(raw) < 2 {
		return cut
	}
	containers, rest := 0, raw
	for steps := 0; ; steps++ {
		if len(rest) == 0 {
			return cut
		}
		if steps > maxPickleSteps || containers > maxPickleContainers {
			return errors.New("a pickle of more objects than a graph has")
		}
		op := rest[0]
		rest = rest[1:]
		skip, sizeBytes, lines := 0, 0, 0
		switch op {
		case '.':
			if raw[0] != '\x80' {
				return errors.New("a pickle of protocol 0 or 1; 2 to 5 are read")
			}
			return nil
		case '(', ']', '}', 'o':
			containers++
		case '0', '1', '2', 'N', 'R', 'a', 'b', 'd', 'e', 'l', 's', 't', ')', 'u',
			'\x81', '\x85', '\x86', '\x87', '\x88', '\x89', '\x92', '\x93', '\x94':
		case 'K', 'h', 'q', '\x80':
			skip = 1
		case 'M':
			skip = 2
		case 'J', 'j', 'r':
			skip = 4
		case 'G':
			skip = 8
		case 'F', 'I', 'L', 'S', 'V', 'g', 'p':
			lines = 1
		case 'c', 'i':
			lines = 2
		case 'U', 'C', '\x8a', '\x8c':
			sizeBytes = 1
		case 'T', 'X', 'B':
			sizeBytes = 4
		case '\x8d', '\x8e', '\x95', '\x96':
			sizeBytes = 8
		default:
			return fmt.Errorf("damaged pickle, or one of something else: instruction %#x", op)
		}
		if len(rest) < skip+sizeBytes {
			return cut
		}
		rest = rest[skip:]
		if sizeBytes > 0 {
			var wide [8]byte
			copy(wide[:], rest[:sizeBytes])
			rest = rest[sizeBytes:]
			size := binary.LittleEndian.Uint64(wide[:])
			if size > uint64(len(rest)) {
				return cut
			}
			if op == '\x8a' && (size == 0 || size > 8) {
				return fmt.Errorf("an integer of %d bytes", size)
			}
			if op != '\x95' { // a frame only says how much to read at once
				rest = rest[size:]
			}
		}
		var text [2]string
		for i := range lines {
			line, after, found := bytes.Cut(rest, []byte("\n"))
			if !found {
				return cut
			}
			if (op == 'L' || op == 'I' || op == 'F') && len(line) > 32 {
				return fmt.Errorf("a number of %d digits", len(line))
			}
			text[i], rest = string(line), after
		}
		if lines == 2 {
			if _, err := pickleClass(text[0], text[1], nil); err != nil {
				return err
			}
		}
	}
}

// pickleClass answers what a pickle asks for by name. budget is what text may become.
func pickleClass(module, name string, budget *int) (any, error) {
	// NumPy 2 has moved its core.
	switch strings.Replace(module, "numpy._core", "numpy.core", 1) + "." + name {
	case "numpy.core.multiarray._reconstruct":
		return pickleFunction(func(...any) (any, error) { return &pickledArray{}, nil }), nil
	case "numpy.core.numeric._frombuffer": // protocol 5
		return pickleFunction(func(args ...any) (any, error) {
			if len(args) != 4 {
				return nil, errors.New("a NumPy array of unknown form")
			}
			a := &pickledArray{}
			return a, a.set(args[2], args[1], args[3] == "F", args[0])
		}), nil
	case "numpy.ndarray":
		return struct{ class string }{"numpy.ndarray"}, nil
	case "numpy.dtype":
		return pickleFunction(func(args ...any) (any, error) {
			if len(args) > 0 {
				if name, ok := args[0].(string); ok {
					return &pickledType{name: name}, nil
				}
			}
			return nil, errors.New("a NumPy type without a name")
		}), nil
	case "_codecs.encode": // how Python 3 writes bytes for Python 2
		return pickleFunction(func(args ...any) (any, error) { return latin1(args, budget) }), nil
	}
	return nil, fmt.Errorf("the pickle asks for %.100q, which a graph doesn't need; nothing of it was run", module+"."+name)
}

type pickleFunction func(args ...any) (any, error)

// Call is what the library does with a function of the pickle.
func (f pickleFunction) Call(args ...any) (any, error) { return f(args...) }

func latin1(args []any, budget *int) (any, error) {
	if len(args) != 2 || args[1] != "latin1" && args[1] != "latin-1" {
		return nil, errors.New("text of an unknown encoding")
	}
	text, ok := args[0].(string)
	if *budget -= len(text); !ok || *budget < 0 {
		return nil, errors.New("text that isn't text, or more than the file holds")
	}
	out := make([]byte, 0, len(text))
	for _, r := range text {
		if r > 0xff {
			return nil, fmt.Errorf("character %q in a NumPy array", r)
		}
		out = append(out, byte(r))
	}
	return out, nil
}

// pickledType is NumPy's type of an array's elements.
type pickledType struct{ name, order string }

// PySetState takes what NumPy saves of a type: version, byte order, and nothing else of a number.
func (p *pickledType) PySetState(state any) error {
	parts := elements(state)
	if len(parts) < 5 || parts[2] != nil || parts[3] != nil || parts[4] != nil {
		return fmt.Errorf("elements of several parts (type %.20q); a matrix of numbers is needed", p.name)
	}
	p.order, _ = parts[1].(string)
	return nil
}

// pickledArray is a NumPy array whose elements are still bytes: an array that is built twice takes no memory twice.
type pickledArray struct {
	shape   []int
	element *pickledType
	fortran bool
	data    any // string from Python 2, []byte from Python 3
}

// PySetState takes what NumPy saves of an array: version, shape, type, order, data.
func (a *pickledArray) PySetState(state any) error {
	parts := elements(state)
	if len(parts) != 5 {
		return errors.New("a NumPy array of unknown form")
	}
	return a.set(parts[1], parts[2], parts[3] == true || parts[3] == 1, parts[4])
}

func (a *pickledArray) set(shape, element any, fortran bool, data any) error {
	a.shape, a.fortran, a.data = nil, fortran, data
	for _, n := range elements(shape) {
		size, ok := n.(int)
		if !ok {
			return errors.New("a NumPy array whose shape isn't of integers")
		}
		a.shape = append(a.shape, size)
	}
	var ok bool
	if a.element, ok = element.(*pickledType); !ok {
		return errors.New("a NumPy array without a type")
	}
	return nil
}

// array turns the bytes into numbers.
func (a *pickledArray) array() (Array, error) {
	if a.element == nil {
		return Array{}, errors.New("a NumPy array without data")
	}
	if strings.HasPrefix(a.element.name, "O") {
		return Array{}, errors.New("a NumPy array of Python objects; a matrix of numbers is needed (matrix.astype('float32'))")
	}
	width, number, err := elementType(a.element.order + a.element.name)
	if err != nil {
		return Array{}, err
	}
	var data []byte
	switch d := a.data.(type) {
	case string:
		data = []byte(d)
	case []byte:
		data = d
	case *types.ByteArray:
		data = *d
	default:
		return Array{}, errors.New("a NumPy array whose data aren't bytes")
	}
	count := 1
	for _, n := range a.shape {
		if n < 0 || n > 0 && count > len(data)/n {
			count = -1
			break
		}
		count *= n
	}
	if count < 0 || count*width != len(data) {
		return Array{}, fmt.Errorf("a NumPy array of shape %v and type %s with %d bytes of data; the file was cut off or changed", a.shape, a.element.name, len(data))
	}
	out := Array{Shape: a.shape, values: make([]float64, count)}
	for i := range out.values {
		out.values[i] = number(data[i*width:])
	}
	if a.fortran {
		out.values = rowMajor(out.values, out.Shape)
	}
	return out, nil
}
