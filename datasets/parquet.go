package datasets

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"
	parquetformat "github.com/parquet-go/parquet-go/format"
)

const parquetRemedy = "get the file again, or save it anew in Python: df.to_parquet('new.parquet')"

// readParquet reads a Parquet file of one of two forms:
//
//   - wide: a row per time step and a column of numbers per node. One column may hold time stamps; pandas' metadata name it, or
//     its type tells.
//   - long: a row per measurement, with its time stamp, its node (a column of text, or one called sensor, node, id or the like)
//     and its value. It becomes wide: rows by time, nodes in the order of their first appearance, NaN where nothing was measured.
//     Of several columns of values, o.Key names one, or else o.Channel counts.
//
// Columns are read page by page, so that only the result has the size of the data.
func readParquet(ctx context.Context, path string, o ImportOptions) (t *table, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	defer func() { // the library trusts some of what a file says
		if r := recover(); r != nil {
			t, err = nil, fmt.Errorf("%s: damaged Parquet file: %v; %s", path, r, parquetRemedy)
		}
	}()
	f, err := openParquet(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; %s", path, err, parquetRemedy)
	}
	f.ctx = ctx
	if o.Progress != nil {
		f.progress = func(done, total int64) { o.Progress(filepath.Base(path), done, total) }
	}
	if t, err = f.table(o); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

type parquetFile struct {
	*parquet.File
	ctx      context.Context
	in       io.ReaderAt
	size     int64
	rows     int
	columns  []parquetColumn
	progress func(done, total int64) // in bytes of the file
	done     int64
}

// parquetColumn is a column of plain values.
type parquetColumn struct {
	at    int // among the columns
	name  string
	holds columnKind
	unit  time.Duration
	zone  string // of time stamps that are stored in UTC; "" for wall-clock times
	index bool   // pandas says that it is (part of) the index
}

type columnKind int

const (
	otherColumn columnKind = iota
	numberColumn
	timeColumn
	textColumn
)

func openParquet(file *os.File) (*parquetFile, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	f := &parquetFile{in: file, size: info.Size()}
	if err := checkParquetFooter(file, f.size); err != nil {
		return nil, err
	}
	f.File, err = parquet.OpenFile(file, f.size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, fmt.Errorf("damaged Parquet file: %w", err)
	}
	rows := int64(0)
	for _, group := range f.RowGroups() {
		n := group.NumRows()
		if rows += n; n < 0 || rows > math.MaxInt32 {
			return nil, fmt.Errorf("%d rows in a group", n)
		}
	}
	f.rows = int(rows)
	return f, f.describe()
}

// describe finds out what each column holds.
func (f *parquetFile) describe() error {
	var pandas struct {
		Index   []any `json:"index_columns"` // names, or descriptions of indices that are no column
		Columns []struct {
			Field    string `json:"field_name"`
			Metadata struct {
				Zone string `json:"timezone"`
			} `json:"metadata"`
		} `json:"columns"`
	}
	if text, ok := f.Lookup("pandas"); ok {
		if err := json.Unmarshal([]byte(text), &pandas); err != nil {
			return fmt.Errorf("pandas' metadata: %w", err)
		}
	}
	for i, c := range f.Root().Columns() {
		p := parquetColumn{at: i, name: c.Name()}
		if !c.Leaf() || c.Repeated() {
			f.columns = append(f.columns, p)
			continue
		}
		p.index = slices.Contains(pandas.Index, any(p.name))
		kind := c.Type().Kind()
		switch kind {
		case parquet.Boolean, parquet.Int32, parquet.Int64, parquet.Float, parquet.Double:
			p.holds = numberColumn
		case parquet.ByteArray:
			p.holds = textColumn
		case parquet.Int96: // what Spark wrote time stamps with
			p.holds, p.zone = timeColumn, "UTC"
		}
		if logical := c.Type().LogicalType(); logical != nil {
			switch v := logical.Value.(type) {
			case *parquetformat.TimestampType:
				p.holds = otherColumn
				if kind == parquet.Int64 && v.Unit.Value != nil {
					p.holds, p.unit = timeColumn, v.Unit.Value.Duration()
				}
				if v.IsAdjustedToUTC {
					p.zone = "UTC"
				}
			case *parquetformat.DateType:
				p.holds = otherColumn
				if kind == parquet.Int32 {
					p.holds, p.unit = timeColumn, 24*time.Hour
				}
			case *parquetformat.DecimalType, *parquetformat.TimeType, *parquetformat.Float16Type, *parquetformat.UUIDType, *parquetformat.BsonType:
				p.holds = otherColumn
			}
		}
		if p.zone != "" {
			for _, column := range pandas.Columns {
				if column.Field == p.name && column.Metadata.Zone != "" {
					p.zone = column.Metadata.Zone
				}
			}
		}
		f.columns = append(f.columns, p)
	}
	return nil
}

// Names of columns that hold the node of a measurement.
var nodeTitles = []string{"sensor", "sensor_id", "node", "node_id", "station", "station_id", "detector", "detector_id", "entity", "entity_id", "location", "location_id", "id"}

// table sorts the columns by what they are for, and reads them.
func (f *parquetFile) table(o ImportOptions) (*table, error) {
	when, rest, err := f.timeColumn()
	if err != nil {
		return nil, err
	}
	if f.rows == 0 || len(rest) == 0 {
		return nil, fmt.Errorf("%d rows of %s; there is nothing to import", f.rows, times(len(f.columns), "column"))
	}
	var node *parquetColumn
	for i, c := range rest {
		switch title := slices.Contains(nodeTitles, strings.ToLower(c.name)); {
		case c.holds == otherColumn:
			return nil, fmt.Errorf("column %s holds neither numbers, text nor time stamps; drop it in Python: df.drop(columns=[%q])", c.name, c.name)
		case c.holds == timeColumn:
			return nil, fmt.Errorf("column %s holds time stamps as well as column %s; drop one in Python: df.drop(columns=[%q])", c.name, when.name, c.name)
		case c.holds == textColumn && node != nil && node.holds == textColumn:
			return nil, fmt.Errorf("columns %s and %s hold text; only the one with the node of each measurement may: drop the other in Python", node.name, c.name)
		case c.holds == textColumn, node == nil && when != nil && title && (len(rest) == 2 || c.index):
			node = &rest[i]
		}
	}
	if node == nil {
		return f.wide(when, rest)
	}
	if when == nil {
		return nil, fmt.Errorf("column %s holds text, but no column holds time stamps; in Python: df['time'] = pandas.to_datetime(df['time'])", node.name)
	}
	values := slices.DeleteFunc(slices.Clone(rest), func(c parquetColumn) bool { return c.at == node.at || isRowNumber(c) })
	names := make([]string, len(values))
	for i, c := range values {
		names[i] = c.name
	}
	at, remarks := max(o.Channel, 0), []string(nil)
	switch {
	case o.Key != "":
		if at = slices.Index(names, o.Key); at < 0 {
			return nil, fmt.Errorf("no column of values %q; --key may be %s", o.Key, some(names))
		}
	case at >= len(values):
		return nil, fmt.Errorf("it has %s of values (%s), counted from 0; there is no %d", times(len(values), "column"), some(names), at)
	case len(values) > 1:
		remarks = append(remarks, fmt.Sprintf("column %s was taken, of %s; --key chooses another", names[at], some(names)))
	}
	t, err := f.long(*when, *node, values[at])
	if err == nil {
		t.Remarks = append(t.Remarks, remarks...)
	}
	return t, err
}

// isRowNumber recognises an index that only counts.
func isRowNumber(c parquetColumn) bool {
	return c.holds == numberColumn && (c.index || strings.HasPrefix(c.name, "__index_level_"))
}

// timeColumn finds the column of time stamps, nil if there is none, and the other columns. pandas' index comes first, then
// the type, then the title.
func (f *parquetFile) timeColumn() (*parquetColumn, []parquetColumn, error) {
	at := slices.IndexFunc(f.columns, func(c parquetColumn) bool { return c.index && c.holds == timeColumn })
	if at < 0 {
		at = slices.IndexFunc(f.columns, func(c parquetColumn) bool { return c.holds == timeColumn })
	}
	if at < 0 {
		at = slices.IndexFunc(f.columns, func(c parquetColumn) bool {
			return c.holds == textColumn && slices.Contains(timeTitles, strings.ToLower(c.name))
		})
	}
	if at < 0 {
		at = slices.IndexFunc(f.columns, func(c parquetColumn) bool { return c.holds == textColumn && c.index })
	}
	if at < 0 {
		return nil, f.columns, nil
	}
	return &f.columns[at], slices.Delete(slices.Clone(f.columns), at, at+1), nil
}

func (f *parquetFile) wide(when *parquetColumn, rest []parquetColumn) (*table, error) {
	t := &table{T: f.rows}
	if when != nil {
		if err := f.stamps(*when, t, func(_ int, at time.Time) { t.Times = append(t.Times, at) }); err != nil {
			return nil, err
		}
	}
	if numbers := slices.DeleteFunc(slices.Clone(rest), isRowNumber); len(numbers) > 0 {
		rest = numbers
	}
	t.N = len(rest)
	if err := f.allocate(t); err != nil {
		return nil, err
	}
	for n, c := range rest {
		t.Nodes = append(t.Nodes, c.name)
		err := f.each(c, func(row int, v parquet.Value) error {
			t.Values[row*t.N+n] = float32(parquetNumber(v))
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return t, nil
}

func (f *parquetFile) long(when, node, value parquetColumn) (*table, error) {
	t := &table{}
	var stamps []time.Time // as they come
	rowOf := map[time.Time]int32{}
	row := make([]int32, 0, min(f.rows, 1<<20)) // of each measurement; the file may promise more than it has
	err := f.stamps(when, t, func(_ int, at time.Time) {
		i, known := rowOf[at]
		if !known {
			i = int32(len(stamps))
			rowOf[at], stamps = i, append(stamps, at)
		}
		row = append(row, i)
	})
	if err != nil {
		return nil, err
	}
	nodeOf := map[string]int32{}
	nodes := make([]int32, 0, len(row))
	err = f.each(node, func(i int, v parquet.Value) error {
		if v.IsNull() {
			return fmt.Errorf("row %d of column %s names no node", i+1, node.name)
		}
		id := ""
		switch v.Kind() {
		case parquet.ByteArray:
			id = string(v.ByteArray())
		default:
			id = strconv.FormatFloat(parquetNumber(v), 'f', -1, 64)
		}
		n, known := nodeOf[id]
		if !known {
			n = int32(len(nodeOf))
			nodeOf[id] = n
			t.Nodes = append(t.Nodes, id)
		}
		nodes = append(nodes, n)
		return nil
	})
	if err != nil {
		return nil, err
	}
	t.T, t.N = len(stamps), len(t.Nodes)
	if t.T > (1<<26+100*f.rows)/t.N {
		return nil, fmt.Errorf("%d time stamps of %d nodes (column %s) for only %d measurements; does the column hold the nodes?", t.T, t.N, node.name, f.rows)
	}
	t.Values = make([]float32, t.T*t.N)
	for i := range t.Values {
		t.Values[i] = float32(math.NaN())
	}
	t.Times = slices.SortedFunc(slices.Values(stamps), time.Time.Compare)
	for i, at := range t.Times {
		rowOf[at] = int32(i)
	}
	seen := make([]bool, len(t.Values))
	return t, f.each(value, func(i int, v parquet.Value) error {
		at := int(rowOf[stamps[row[i]]])*t.N + int(nodes[i])
		if seen[at] {
			return fmt.Errorf("row %d: node %s at %s occurs twice; drop one in Python: df.drop_duplicates([%q, %q])",
				i+1, t.Nodes[nodes[i]], stamps[row[i]].Format(time.DateTime), when.name, node.name)
		}
		seen[at] = true
		t.Values[at] = float32(parquetNumber(v))
		return nil
	})
}

// allocate takes the memory of the values. A file packs numbers that are all the same to almost nothing, but not all of them.
func (f *parquetFile) allocate(t *table) error {
	if most := int64(1<<26) + 4096*f.size; int64(t.T) > most/int64(t.N) {
		return fmt.Errorf("%d rows × %d columns in a file of %d bytes; %s", t.T, t.N, f.size, parquetRemedy)
	}
	t.Values = make([]float32, t.T*t.N)
	return nil
}

// stamps reads a column of time stamps as wall-clock times.
func (f *parquetFile) stamps(c parquetColumn, t *table, take func(row int, at time.Time)) error {
	place := time.UTC
	if c.zone != "" {
		var err error
		if place, err = time.LoadLocation(c.zone); err != nil {
			return fmt.Errorf("the time stamps of column %s are in zone %q: %w; leave the zone out in Python: df.index = df.index.tz_localize(None)", c.name, c.zone, err)
		}
		t.Remarks = append(t.Remarks, "its time stamps are wall-clock times of "+c.zone)
	}
	var texts clock
	return f.each(c, func(row int, v parquet.Value) error {
		var at time.Time
		switch {
		case v.IsNull():
			return fmt.Errorf("row %d has no time stamp (column %s); drop it in Python: df.dropna(subset=[%q])", row+1, c.name, c.name)
		case v.Kind() == parquet.ByteArray:
			var ok bool
			if at, ok = texts.parse(string(v.ByteArray())); !ok {
				return fmt.Errorf("row %d, column %s: %q is no time stamp; %s", row+1, c.name, shorten(string(v.ByteArray())), knownTimes)
			}
		case v.Kind() == parquet.Int96: // nanoseconds of the day, and the Julian day
			i := v.Int96()
			at = time.Unix((int64(i[2])-2440588)*86400, i.Int64())
		case c.unit > time.Second:
			at = time.Unix(int64(v.Int32())*int64(c.unit/time.Second), 0)
		default:
			at = stamp(v.Int64(), c.unit)
		}
		take(row, wallClock(at, place))
		return nil
	})
}

// parquetNumber is NaN for what isn't there.
func parquetNumber(v parquet.Value) float64 {
	switch {
	case v.IsNull():
	case v.Kind() == parquet.Double:
		return v.Double()
	case v.Kind() == parquet.Float:
		return float64(v.Float())
	case v.Kind() == parquet.Int64:
		return float64(v.Int64())
	case v.Kind() == parquet.Int32:
		return float64(v.Int32())
	case v.Kind() == parquet.Boolean && v.Boolean():
		return 1
	case v.Kind() == parquet.Boolean:
		return 0
	}
	return math.NaN()
}

// each visits the values of a column, one page after the other.
func (f *parquetFile) each(c parquetColumn, visit func(row int, v parquet.Value) error) error {
	row := 0
	values := make([]parquet.Value, 1<<10)
	for i, group := range f.RowGroups() {
		if err := f.ctx.Err(); err != nil {
			return err
		}
		chunks, described := group.ColumnChunks(), f.Metadata().RowGroups[i].Columns
		if c.at >= len(chunks) || c.at >= len(described) {
			return fmt.Errorf("a group of rows lacks column %s; %s", c.name, parquetRemedy)
		}
		if err := checkParquetPages(f.in, f.size, &described[c.at].MetaData, group.NumRows()); err != nil {
			return fmt.Errorf("column %s: %w; %s", c.name, err, parquetRemedy)
		}
		end := row + int(group.NumRows())
		err := pages(chunks[c.at], func(page parquet.Page) error {
			for reader := page.Values(); ; {
				n, err := reader.ReadValues(values)
				if row+n > end {
					return errors.New("more values than rows")
				}
				for _, v := range values[:n] {
					if err := visit(row, v); err != nil {
						return refusal{err}
					}
					row++
				}
				if errors.Is(err, io.EOF) {
					return nil
				}
				if err != nil {
					return err
				}
			}
		})
		if err == nil && row != end {
			err = fmt.Errorf("%d values are missing", end-row)
		}
		if r := (refusal{}); errors.As(err, &r) {
			return r.error
		}
		if err != nil {
			return fmt.Errorf("column %s: %w; %s", c.name, err, parquetRemedy)
		}
		if f.progress != nil {
			f.done += int64(float64(f.size) * float64(group.NumRows()) / float64(f.rows) / float64(len(f.columns)))
			f.progress(min(f.done, f.size), f.size)
		}
	}
	return nil
}

// refusal is an error about the content, which getting the file again doesn't mend.
type refusal struct{ error }

// pages visits the pages of a column in a group of rows.
func pages(chunk parquet.ColumnChunk, visit func(parquet.Page) error) error {
	reader := chunk.Pages()
	defer reader.Close()
	for {
		page, err := reader.ReadPage()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		err = visit(page)
		parquet.Release(page)
		if err != nil {
			return err
		}
	}
}
