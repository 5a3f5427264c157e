package datasets

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
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
// Only the result has the size of the data: they are read in pieces.
func readHDF5(ctx context.Context, path string, o ImportOptions) (*table, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	root, err := openH5(f, info.Size())
	if err != nil {
		return nil, fmt.Errorf("%s: %w; %s", path, err, hdf5Remedy)
	}
	frame, err := chooseFrame(root, o.Key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if o.Progress != nil {
		frame.progress = func(done, total int) { o.Progress(filepath.Base(path), int64(done), int64(total)) }
	}
	t, err := frame.read(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", path, frame.key, err)
	}
	return t, nil
}

// pandasFrame is a DataFrame in an HDF5 file.
type pandasFrame struct {
	key      string
	kind     string // frame, frame_table, series, …
	parts    map[string]*h5Object
	progress func(done, total int)
}

// chooseFrame finds the DataFrame with the key, or the only one.
func chooseFrame(root *h5Object, key string) (*pandasFrame, error) {
	frames, err := pandasFrames(root, "", 0)
	if err != nil {
		return nil, fmt.Errorf("%w; %s", err, hdf5Remedy)
	}
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

// pandasFrames are all objects of pandas in a group, whatever their format.
func pandasFrames(group *h5Object, key string, depth int) ([]*pandasFrame, error) {
	if !group.isGroup() || depth > h5MaxDepth {
		return nil, nil
	}
	members, err := group.members()
	if err != nil {
		return nil, fmt.Errorf("group %s/: %w", key, err)
	}
	f := &pandasFrame{key: key, kind: group.attribute("pandas_type"), parts: map[string]*h5Object{}}
	for _, m := range members {
		f.parts[m.name] = m.h5Object
	}
	if f.parts["axis0"] != nil || f.kind != "" {
		return []*pandasFrame{f}, nil
	}
	var frames []*pandasFrame
	for _, m := range members {
		within, err := pandasFrames(m.h5Object, key+"/"+m.name, depth+1)
		if err != nil {
			return nil, err
		}
		frames = append(frames, within...)
	}
	return frames, nil
}

func (f *pandasFrame) read(ctx context.Context) (*table, error) {
	switch {
	case strings.Contains(f.kind, "table") || f.parts["table"] != nil:
		return nil, errors.New("saved with format='table', which isn't read; save it again in Python: " +
			"pandas.read_hdf(path, key).to_hdf('new.h5', key='df', format='fixed')")
	case f.parts["axis0"] == nil || f.parts["axis1"] == nil || f.kind != "" && f.kind != "frame":
		return nil, fmt.Errorf("an object of the kind %q, or with an index of several levels; a DataFrame with a row per time step and a column per node is needed: "+
			"df.to_hdf('new.h5', key='df', format='fixed')", f.kind)
	}
	nodes, err := f.names(ctx, "axis0")
	if err != nil {
		return nil, err
	}
	t := &table{N: len(nodes), Nodes: nodes}
	if err := f.index(ctx, t); err != nil {
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
		*h5Array
		name   string
		number func([]byte) float64
		to     []int // the node of each of its columns
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
		items, err := f.names(ctx, name+"items")
		if err != nil {
			return nil, err
		}
		number, err := a.numbers()
		if err != nil {
			return nil, fmt.Errorf("the columns %s hold no numbers; save it again in Python: df.astype('float32').to_hdf('new.h5', key='df')", some(items))
		}
		if a.rank != 2 || a.rows != t.T || a.columns != len(items) {
			return nil, fmt.Errorf("%svalues has %d rows × %d columns, but %d × %d are needed; %s", name, a.rows, a.columns, t.T, len(items), hdf5Remedy)
		}
		b := block{h5Array: a, name: name + "values", number: number}
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
	t.Values = make([]float32, t.T*t.N) // the blocks fit into the file, or out of it
	done, said := 0, 0
	for _, b := range blocks {
		err := b.h5Array.read(ctx, func(row, column int, raw []byte) {
			values := t.Values[row*t.N : (row+1)*t.N]
			for i := range len(raw) / b.width {
				values[b.to[column+i]] = float32(b.number(raw[i*b.width:]))
			}
			if done += len(raw) / b.width; f.progress != nil && (done-said >= 1<<20 || done == len(t.Values)) {
				said = done
				f.progress(4*done, 4*len(t.Values))
			}
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w; %s", b.name, err, hdf5Remedy)
		}
	}
	return t, nil
}

// array is a part of the DataFrame.
func (f *pandasFrame) array(part string) (*h5Array, error) {
	o := f.parts[part]
	if o == nil {
		return nil, fmt.Errorf("%s is missing; %s", part, hdf5Remedy)
	}
	a, err := o.array()
	if err != nil {
		return nil, fmt.Errorf("%s: %w; %s", part, err, hdf5Remedy)
	}
	return a, nil
}

// names reads a vector of text or integers.
func (f *pandasFrame) names(ctx context.Context, part string) ([]string, error) {
	a, err := f.array(part)
	if err != nil {
		return nil, err
	}
	names := make([]string, a.rows)
	switch {
	case a.rank == 1 && a.class == h5Text:
		err = a.read(ctx, func(row, _ int, raw []byte) { names[row] = a.text(raw) })
	case a.rank == 1 && a.class == h5Integer:
		var values []int64
		values, err = a.integers(ctx)
		for i, v := range values {
			names[i] = strconv.FormatInt(v, 10)
		}
	default:
		return nil, fmt.Errorf("%s holds neither text nor integers; name the columns by text in Python: df.columns = df.columns.astype(str)", part)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w; %s", part, err, hdf5Remedy)
	}
	return names, nil
}

// index reads the time stamps. An index of integers counts rows and says nothing about time.
func (f *pandasFrame) index(ctx context.Context, t *table) error {
	a, err := f.array("axis1")
	if err != nil {
		return err
	}
	o := f.parts["axis1"]
	kind, class, zone := o.attribute("kind"), o.attribute("index_class"), o.attribute("tz")
	var unit time.Duration
	switch t.T = a.rows; {
	case a.rank != 1:
		return fmt.Errorf("axis1 is no vector; %s", hdf5Remedy)
	case kind == "datetime64" || kind == "datetime64[ns]":
		unit = time.Nanosecond
	case kind == "datetime64[us]":
		unit = time.Microsecond
	case kind == "datetime64[ms]":
		unit = time.Millisecond
	case kind == "datetime64[s]":
		unit = time.Second
	case kind == "integer" && class == "":
		return nil
	case kind == "string" && a.class == h5Text:
		texts, err := f.names(ctx, "axis1")
		if err != nil {
			return err
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
	place := time.UTC
	if zone != "" && zone != "N." { // N. is the pickled None
		if place, err = time.LoadLocation(zone); err != nil {
			return fmt.Errorf("its time stamps are in zone %q: %w; leave the zone out in Python: df.index = df.index.tz_localize(None)", zone, err)
		}
		t.Remarks = append(t.Remarks, "its time stamps are wall-clock times of "+zone)
	}
	values, err := a.integers(ctx)
	if err != nil {
		return fmt.Errorf("axis1: %w; %s", err, hdf5Remedy)
	}
	t.Times = make([]time.Time, len(values))
	for i, v := range values {
		if v == math.MinInt64 {
			return fmt.Errorf("row %d has no time stamp (NaT); drop it in Python: df = df[df.index.notna()]", i+1)
		}
		t.Times[i] = wallClock(stamp(v, unit), place)
	}
	return nil
}

// stamp is the time that lies v units after 1970.
func stamp(v int64, unit time.Duration) time.Time {
	perSecond := int64(time.Second / unit)
	return time.Unix(v/perSecond, v%perSecond*int64(unit))
}

// wallClock is what the clock shows at a place, stored as UTC; see [Calendar].
func wallClock(t time.Time, place *time.Location) time.Time {
	t = t.In(place)
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}
