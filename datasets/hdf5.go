package datasets

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/scigolib/hdf5"
)

const hdf5Remedy = "get the file again, or save it anew in Python: df.to_hdf('new.h5', key='df', format='fixed')"

// readHDF5 reads the pandas DataFrame of an HDF5 file: a row per time step, a column per node, as in metr-la.h5, pems-bay.h5 and
// LargeST's yearly files. o.Key chooses one of several. pandas writes a DataFrame in its fixed format (the default) as
//
//	axis0          the names of the columns
//	axis1          the index: time stamps as integers, in the unit that the attribute kind names
//	block0_items   the columns of one element type
//	block0_values  their values, and so on with block1
//
// It reads many rows at a time, so that only the result has the size of the data.
func readHDF5(ctx context.Context, path string, o ImportOptions) (t *table, err error) {
	defer func() { // the library trusts the offsets in a file
		if r := recover(); r != nil {
			err = fmt.Errorf("%s: damaged HDF5 file: %v; %s", path, r, hdf5Remedy)
		}
	}()
	size, err := hdf5Size(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	f, err := hdf5.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: damaged HDF5 file: %w; %s", path, err, hdf5Remedy)
	}
	defer f.Close()
	frame, err := chooseFrame(f.Root(), o.Key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	frame.fileSize = size
	if o.Progress != nil {
		frame.progress = func(done, total int) { o.Progress(filepath.Base(path), int64(done), int64(total)) }
	}
	if t, err = frame.read(ctx); err != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("%s: %s: %w", path, frame.key, err)
	}
	return t, err
}

// hdf5Size is the size of the file, which must be what its first bytes say: the library finds out about a missing end only
// where it reads.
func hdf5Size(path string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	var head [48]byte
	if _, err := io.ReadFull(f, head[:]); err != nil {
		return 0, fmt.Errorf("the HDF5 file was cut off after %d bytes; %s", info.Size(), hdf5Remedy)
	}
	end := uint64(0)
	switch version := head[8]; {
	case version == 0 && head[13] == 8: // 8 bytes to an address
		end = binary.LittleEndian.Uint64(head[40:])
	case version >= 2 && head[9] == 8:
		end = binary.LittleEndian.Uint64(head[28:])
	default:
		return 0, fmt.Errorf("an HDF5 file of version %d; %s", version, hdf5Remedy)
	}
	if end > uint64(info.Size()) {
		return 0, fmt.Errorf("the HDF5 file was cut off: it has %d of %d bytes; %s", info.Size(), end, hdf5Remedy)
	}
	return info.Size(), nil
}

// pandasFrame is a DataFrame in an HDF5 file.
type pandasFrame struct {
	key      string
	group    *hdf5.Group
	parts    map[string]*hdf5.Dataset
	fileSize int64
	progress func(done, total int)
}

// chooseFrame finds the DataFrame with the key, or the only one.
func chooseFrame(root *hdf5.Group, key string) (*pandasFrame, error) {
	frames := pandasFrames(root, "")
	keys := make([]string, len(frames))
	for i, f := range frames {
		keys[i] = f.key
	}
	at := slices.Index(keys, "/"+strings.Trim(key, "/"))
	switch {
	case len(frames) == 0:
		return nil, errors.New("no pandas DataFrame in the HDF5 file; save one in Python: df.to_hdf('new.h5', key='df', format='fixed')")
	case key == "" && len(frames) == 1:
		at = 0
	case key == "":
		return nil, fmt.Errorf("it holds several DataFrames: %s; say which one with --key", some(keys))
	case at < 0:
		return nil, fmt.Errorf("no DataFrame %q; --key may be %s", key, some(keys))
	}
	return frames[at], nil
}

// pandasFrames are all objects of pandas, whatever their format.
func pandasFrames(g *hdf5.Group, key string) []*pandasFrame {
	f := &pandasFrame{key: key, group: g, parts: map[string]*hdf5.Dataset{}}
	var within []*pandasFrame
	for _, child := range g.Children() {
		switch child := child.(type) {
		case *hdf5.Dataset:
			f.parts[child.Name()] = child
		case *hdf5.Group:
			within = append(within, pandasFrames(child, key+"/"+child.Name())...)
		}
	}
	if f.parts["axis0"] != nil || f.kind() != "" {
		return []*pandasFrame{f} // what is inside are its parts
	}
	return within
}

// kind is what pandas calls the format: frame, frame_table, series, …
func (f *pandasFrame) kind() string {
	attributes, err := f.group.Attributes()
	if err != nil {
		return ""
	}
	for _, a := range attributes {
		if a.Name == "pandas_type" {
			value, _ := a.ReadValue()
			text, _ := value.(string)
			return text
		}
	}
	return ""
}

func (f *pandasFrame) read(ctx context.Context) (*table, error) {
	switch kind := f.kind(); {
	case strings.Contains(kind, "table") || f.parts["table"] != nil:
		return nil, errors.New("saved with format='table', which isn't read; save it again in Python: " +
			"pandas.read_hdf(path, key).to_hdf('new.h5', key='df', format='fixed')")
	case f.parts["axis0"] == nil || f.parts["axis1"] == nil || kind != "" && kind != "frame":
		return nil, fmt.Errorf("an object of the kind %q, or with an index of several levels; a DataFrame with a row per time step and a column per node is needed: "+
			"df.to_hdf('new.h5', key='df', format='fixed')", kind)
	}
	nodes, err := f.names("axis0")
	if err != nil {
		return nil, err
	}
	t := &table{N: len(nodes), Nodes: nodes}
	if err := f.index(t); err != nil {
		return nil, err
	}
	if t.T == 0 || t.N == 0 {
		return nil, fmt.Errorf("a DataFrame of %d rows and %d columns", t.T, t.N)
	}
	column := make(map[string]int, t.N)
	for i, id := range nodes {
		column[id] = i
	}
	if len(column) != t.N {
		return nil, distinct(nodes)
	}
	type block struct {
		hdf5Array
		to []int // the node of each of its columns
	}
	var blocks []block
	found := make([]bool, t.N)
	for i := 0; ; i++ {
		name := fmt.Sprintf("block%d_", i)
		if f.parts[name+"values"] == nil || f.parts[name+"items"] == nil {
			break
		}
		a, err := f.array(name + "values")
		if err != nil {
			return nil, err
		}
		items, err := f.names(name + "items")
		if err != nil {
			return nil, err
		}
		if a.element != "float" && a.element != "integer" {
			return nil, fmt.Errorf("the columns %s hold no numbers; save it again in Python: df.astype('float32').to_hdf('new.h5', key='df')", some(items))
		}
		if !slices.Equal(a.shape, []int{t.T, len(items)}) {
			return nil, fmt.Errorf("%svalues has the shape %v, but %d rows × %d columns are needed; %s", name, a.shape, t.T, len(items), hdf5Remedy)
		}
		b := block{hdf5Array: a}
		for _, id := range items {
			at, known := column[id]
			if !known || found[at] {
				return nil, fmt.Errorf("%sitems holds the column %s, which is unknown or has its values twice; %s", name, id, hdf5Remedy)
			}
			found[at] = true
			b.to = append(b.to, at)
		}
		blocks = append(blocks, b)
	}
	if missing := absent(nodes, found); missing != "" {
		return nil, fmt.Errorf("no values of the columns %s; %s", missing, hdf5Remedy)
	}
	if t.T > math.MaxInt/8/t.N {
		return nil, fmt.Errorf("a DataFrame of %d rows and %d columns", t.T, t.N)
	}
	t.Values = make([]float32, t.T*t.N)
	done := 0
	for _, b := range blocks {
		err := b.rows(ctx, func(from int, values []float64) {
			for i, v := range values {
				t.Values[(from+i/len(b.to))*t.N+b.to[i%len(b.to)]] = float32(v)
			}
			if done += len(values); f.progress != nil {
				f.progress(4*done, 4*len(t.Values))
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return t, nil
}

// names reads an array of text or integers.
func (f *pandasFrame) names(part string) ([]string, error) {
	a, err := f.array(part)
	if err != nil {
		return nil, err
	}
	switch {
	case len(a.shape) != 1:
	case a.shape[0] == 0:
		return nil, nil
	case a.element == "string":
		names, err := a.data.ReadStrings()
		if err != nil {
			return nil, fmt.Errorf("%s: %w; %s", part, err, hdf5Remedy)
		}
		return names, nil
	case a.element == "integer":
		values, err := a.numbers()
		if err != nil {
			return nil, err
		}
		names := make([]string, len(values))
		for i, v := range values {
			names[i] = strconv.FormatInt(int64(v), 10)
		}
		return names, nil
	}
	return nil, fmt.Errorf("%s holds neither text nor integers; name the columns by text in Python: df.columns = df.columns.astype(str)", part)
}

// index reads the time stamps. An index of integers counts rows and says nothing about time.
func (f *pandasFrame) index(t *table) error {
	a, err := f.array("axis1")
	if err != nil {
		return err
	}
	if len(a.shape) != 1 {
		return fmt.Errorf("axis1 has the shape %v; %s", a.shape, hdf5Remedy)
	}
	kind, class, zone := attribute(a.data, "kind"), attribute(a.data, "index_class"), attribute(a.data, "tz")
	t.T = a.shape[0]
	unit := time.Duration(0)
	switch {
	case kind == "datetime64" || kind == "datetime64[ns]":
		unit = time.Nanosecond
	case kind == "datetime64[us]":
		unit = time.Microsecond
	case kind == "datetime64[ms]":
		unit = time.Millisecond
	case kind == "datetime64[s]":
		unit = time.Second
	case kind == "integer" && (class == "" || class == "index"):
		return nil
	case kind == "string" && a.element == "string":
		texts, err := a.data.ReadStrings()
		if err != nil {
			return fmt.Errorf("axis1: %w; %s", err, hdf5Remedy)
		}
		var c clock
		for i, text := range texts {
			at, ok := c.parse(text)
			if !ok {
				return fmt.Errorf("row %d of the index: %q is no time stamp; %s", i+1, shorten(text), knownTimes)
			}
			t.Times = append(t.Times, at)
		}
		return nil
	default:
		return fmt.Errorf("its index (kind %q, class %q) holds no time stamps; give it some in Python: df.index = pandas.to_datetime(df.index), "+
			"or df.index.to_timestamp() if they are periods", kind, class)
	}
	if a.element != "integer" {
		return fmt.Errorf("axis1 is of kind %s, but its elements are not integers; %s", kind, hdf5Remedy)
	}
	place := time.UTC
	if zone != "" && zone != "N." { // N. is the pickled None
		if place, err = time.LoadLocation(zone); err != nil {
			return fmt.Errorf("its time stamps are in zone %q: %w; leave the zone out in Python: df.index = df.index.tz_localize(None)", zone, err)
		}
		t.Remarks = append(t.Remarks, "its time stamps are wall-clock times of "+zone)
	}
	values, err := a.numbers()
	if err != nil {
		return err
	}
	t.Times = make([]time.Time, len(values))
	for i, v := range values {
		if v == math.MinInt64 {
			return fmt.Errorf("row %d has no time stamp (NaT); drop it in Python: df = df[df.index.notna()]", i+1)
		}
		at := stamp(v, unit).In(place)
		t.Times[i] = time.Date(at.Year(), at.Month(), at.Day(), at.Hour(), at.Minute(), at.Second(), at.Nanosecond(), time.UTC)
	}
	return nil
}

// stamp is the time after 1970 as pandas counts it. The library gives integers as float64: whole seconds are exact, parts of
// nanoseconds are not, and rounding to microseconds undoes that.
func stamp(v float64, unit time.Duration) time.Time {
	switch unit {
	case time.Second:
		return time.Unix(int64(v), 0).UTC()
	case time.Millisecond:
		return time.UnixMilli(int64(v)).UTC()
	case time.Microsecond:
		return time.UnixMicro(int64(v)).UTC()
	}
	return time.UnixMicro(int64(math.Round(v / 1000))).UTC()
}

// attribute is one of text, or "".
func attribute(d *hdf5.Dataset, name string) string {
	value, err := d.ReadAttribute(name)
	if err != nil {
		return ""
	}
	text, _ := value.(string)
	return text
}

// hdf5Array is an array of the file, not read yet.
type hdf5Array struct {
	name    string
	data    *hdf5.Dataset
	element string // float, integer, string; class_… of others
	shape   []int
	chunk   int // rows of a chunk; 1 when it isn't chunked
}

// The library tells the shape of an array in words only, such as
// Dataset: float (size=8 bytes), 2D array [2000 x 20], chunked (chunks=[409 20 8]).
var hdf5Info = regexp.MustCompile(`^Dataset: (\w+) \(size=(\d+) bytes\), \d+D array \[([\d x]+)\], (?:compact|contiguous|chunked)(?: \(chunks=\[(\d+))?`)

// array looks at an array. What it claims to hold must have come out of the file: deflate packs at most 1,032 times.
func (f *pandasFrame) array(part string) (hdf5Array, error) {
	d := f.parts[part]
	if d == nil {
		return hdf5Array{}, fmt.Errorf("%s is missing; %s", part, hdf5Remedy)
	}
	info, err := d.Info()
	if err != nil {
		return hdf5Array{}, fmt.Errorf("%s: %w; %s", part, err, hdf5Remedy)
	}
	words := hdf5Info.FindStringSubmatch(info)
	if words == nil {
		return hdf5Array{}, fmt.Errorf("%s: unexpected %q; %s", part, info, hdf5Remedy)
	}
	a := hdf5Array{name: part, data: d, element: words[1], chunk: 1}
	bytes, limit := 1, int(min(f.fileSize, math.MaxInt/1100))
	if words[4] != "" {
		a.chunk, _ = strconv.Atoi(words[4])
		limit *= 1100
	}
	width, err := strconv.Atoi(words[2])
	if err != nil || width < 1 || a.chunk < 1 {
		return hdf5Array{}, fmt.Errorf("%s: impossible sizes %q; %s", part, info, hdf5Remedy)
	}
	bytes = width
	for _, text := range strings.FieldsFunc(words[3], func(r rune) bool { return r == ' ' || r == 'x' }) {
		n, err := strconv.Atoi(text)
		if err != nil || n > 0 && bytes > limit/n {
			return hdf5Array{}, fmt.Errorf("%s: %q is more than the file of %d bytes can hold; %s", part, info, f.fileSize, hdf5Remedy)
		}
		bytes *= max(n, 1)
		a.shape = append(a.shape, n)
	}
	return a, nil
}

// numbers reads a vector.
func (a hdf5Array) numbers() ([]float64, error) {
	values, err := a.data.Read()
	if err == nil && len(values) != a.shape[0] {
		err = fmt.Errorf("%d of %d values", len(values), a.shape[0])
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w; %s", a.name, err, hdf5Remedy)
	}
	return values, nil
}

// rows reads a matrix, many rows at a time; whole chunks, lest each is unpacked again and again.
func (a hdf5Array) rows(ctx context.Context, take func(from int, values []float64)) error {
	const many = 1 << 21 // values
	n := a.shape[1]
	if n == 0 {
		return nil
	}
	step := max(1, many/n/a.chunk) * a.chunk
	step = max(1, min(step, 8*many/n)) // chunks of odd shape
	for from := 0; from < a.shape[0]; from += step {
		if err := ctx.Err(); err != nil {
			return err
		}
		count := min(step, a.shape[0]-from)
		got, err := a.data.ReadSlice([]uint64{uint64(from), 0}, []uint64{uint64(count), uint64(n)})
		values, ok := got.([]float64)
		if err == nil && (!ok || len(values) != count*n) {
			err = fmt.Errorf("%d of %d values", len(values), count*n)
		}
		if err != nil {
			return fmt.Errorf("%s, rows from %d on: %w; %s", a.name, from, err, hdf5Remedy)
		}
		take(from, values)
	}
	return nil
}
