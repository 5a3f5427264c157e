package datasets

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
)

// Rows as pandas writes them: the index last, all columns optional.
type wideRow struct {
	S0   *float64 `parquet:"s0,optional"`
	S1   *float64 `parquet:"s1,optional"`
	S2   *float32 `parquet:"s2,optional"`
	S3   *int64   `parquet:"s3,optional"`
	Time *int64   `parquet:"time,optional,timestamp(nanosecond:local)"`
}

type wideFirst struct {
	Time int64   `parquet:"time,timestamp(microsecond:local)"`
	S0   float64 `parquet:"s0"`
	S1   float64 `parquet:"s1"`
	S2   float32 `parquet:"s2"`
	S3   int32   `parquet:"s3"`
}

type longRow struct {
	Time   int64    `parquet:"time,timestamp(millisecond:local)"`
	Sensor string   `parquet:"sensor"`
	Speed  *float64 `parquet:"speed,optional"`
}

var parquetStart = time.Date(2012, 3, 1, 0, 0, 0, 0, time.UTC)

// wideValue is what the twins hold; node 3 holds integers.
func wideValue(at, n int) float32 {
	if n == 3 {
		return float32(at - 7)
	}
	return frameValue(at, n)
}

func writeParquet[T any](t *testing.T, name string, rows []T, groups int, options ...parquet.WriterOption) string {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[T](&b, options...)
	for part := range slices.Chunk(rows, max(1, (len(rows)+groups-1)/groups)) {
		if _, err := w.Write(part); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return writeText(t, name, b.String())
}

func wideRows() []wideRow {
	rows := make([]wideRow, 40)
	for i := range rows {
		number := func(n int) *float64 {
			if v := float64(wideValue(i, n)); v == v {
				return &v
			}
			return nil // pandas writes NaN as null
		}
		s2, s3, at := wideValue(i, 2), int64(wideValue(i, 3)), parquetStart.Add(time.Duration(i)*5*time.Minute).UnixNano()
		rows[i] = wideRow{number(0), number(1), &s2, &s3, &at}
	}
	return rows
}

func wideFirsts() []wideFirst {
	rows := make([]wideFirst, 40)
	for i := range rows {
		rows[i] = wideFirst{parquetStart.Add(time.Duration(i) * 5 * time.Minute).UnixMicro(),
			float64(wideValue(i, 0)), float64(wideValue(i, 1)), wideValue(i, 2), int32(wideValue(i, 3))}
	}
	return rows
}

// longRows are those of the wide frame, without (39, s1).
func longRows() []longRow {
	var rows []longRow
	for n, id := range []string{"s0", "s1", "s2", "s3"} {
		for i := range 40 {
			if v := float64(wideValue(i, n)); i != 39 || n != 1 {
				rows = append(rows, longRow{parquetStart.Add(time.Duration(i) * 5 * time.Minute).UnixMilli(), id, &v})
			}
		}
	}
	return rows
}

func longValue(at, n int) float32 {
	if at == 39 && n == 1 {
		return float32(math.NaN())
	}
	return wideValue(at, n)
}

const pandasIndex = `{"index_columns": ["time"], "columns": [{"name": "time", "field_name": "time", "metadata": null}]}`

func TestReadParquet(t *testing.T) {
	names := []string{"s0", "s1", "s2", "s3"}
	for _, codec := range []compress.Codec{&parquet.Uncompressed, &parquet.Snappy, &parquet.Gzip, &parquet.Zstd} {
		for _, groups := range []int{1, 3} {
			packed := parquet.Compression(codec)
			wide := writeParquet(t, "wide.parquet", wideRows(), groups, packed, parquet.KeyValueMetadata("pandas", pandasIndex))
			first := writeParquet(t, "first.parquet", wideFirsts(), groups, packed, parquet.DataPageVersion(2))
			rows := longRows()
			rand.New(rand.NewPCG(3, 4)).Shuffle(len(rows)-1, func(i, j int) { rows[1+i], rows[1+j] = rows[1+j], rows[1+i] })
			ordered := writeParquet(t, "long.parquet", longRows(), groups, packed)
			for path, value := range map[string]func(int, int) float32{wide: wideValue, first: wideValue, ordered: longValue} {
				got, err := readParquet(t.Context(), path, ImportOptions{})
				if err != nil {
					t.Error(err)
					continue
				}
				checkFrame(t, filepath.Base(path), got, 40, names, parquetStart, 5*time.Minute, value)
			}
			shuffled, err := readParquet(t.Context(), writeParquet(t, "long.parquet", rows, groups, packed), ImportOptions{})
			if err != nil {
				t.Error(err)
				continue
			}
			nodes := slices.Clone(shuffled.Nodes)
			slices.Sort(nodes)
			if !slices.Equal(nodes, names) {
				t.Errorf("nodes %v", nodes)
			}
			checkFrame(t, "shuffled", shuffled, 40, shuffled.Nodes, parquetStart, 5*time.Minute, func(at, n int) float32 {
				return longValue(at, slices.Index(names, shuffled.Nodes[n]))
			})
		}
	}
}

func TestReadParquetForms(t *testing.T) {
	at := parquetStart.UnixMilli()
	check := func(path string, o ImportOptions, nodes []string, times []time.Time, values []float32, remarks int) {
		t.Helper()
		got, err := readParquet(t.Context(), path, o)
		if err != nil {
			t.Error(err)
			return
		}
		if !slices.Equal(got.Nodes, nodes) || !slices.EqualFunc(got.Times, times, time.Time.Equal) || !slices.Equal(got.Values, values) || len(got.Remarks) != remarks {
			t.Errorf("%s: nodes %v, times %v, values %v, remarks %q", filepath.Base(path), got.Nodes, got.Times, got.Values, got.Remarks)
		}
	}
	two := []time.Time{parquetStart, parquetStart.Add(time.Hour)}

	type bare struct {
		A     float64 `parquet:"a"`
		B     bool    `parquet:"b"`
		Index int64   `parquet:"__index_level_0__"`
	}
	check(writeParquet(t, "bare.parquet", []bare{{1, true, 0}, {2, false, 1}}, 1), ImportOptions{}, []string{"a", "b"}, nil, []float32{1, 1, 2, 0}, 0)

	type texts struct {
		Date string  `parquet:"date"`
		A    float64 `parquet:"a"`
	}
	check(writeParquet(t, "texts.parquet", []texts{{"2012-03-01 00:00", 1}, {"2012-03-01 01:00", 2}}, 1), ImportOptions{}, []string{"a"}, two, []float32{1, 2}, 0)

	type numbered struct {
		Station int32   `parquet:"Station"`
		Flow    float32 `parquet:"flow"`
		Time    int64   `parquet:"when,timestamp(millisecond:local)"`
	}
	check(writeParquet(t, "numbered.parquet", []numbered{{17, 1, at}, {4, 2, at}, {17, 3, at + 3600e3}, {4, 4, at + 3600e3}}, 1), ImportOptions{},
		[]string{"17", "4"}, two, []float32{1, 2, 3, 4}, 0)

	type several struct {
		Time   int64   `parquet:"time,timestamp(millisecond:utc)"`
		Sensor string  `parquet:"sensor"`
		Speed  float64 `parquet:"speed"`
		Flow   float64 `parquet:"flow"`
	}
	rows := []several{{at, "x", 1, 10}, {at + 3600e3, "x", 2, 20}}
	path := writeParquet(t, "several.parquet", rows, 1)
	check(path, ImportOptions{}, []string{"x"}, two, []float32{1, 2}, 2) // a zone, and which column was taken
	check(path, ImportOptions{Channel: 1}, []string{"x"}, two, []float32{10, 20}, 2)
	check(path, ImportOptions{Key: "flow"}, []string{"x"}, two, []float32{10, 20}, 1)

	if _, err := time.LoadLocation("US/Pacific"); err == nil {
		zone := parquet.KeyValueMetadata("pandas", `{"index_columns": [{"kind": "range"}], "columns": [{"name": "time", "field_name": "time", "metadata": {"timezone": "US/Pacific"}}]}`)
		there := []time.Time{two[0].Add(-8 * time.Hour), two[1].Add(-8 * time.Hour)}
		check(writeParquet(t, "zone.parquet", rows, 1, zone), ImportOptions{Key: "flow"}, []string{"x"}, there, []float32{10, 20}, 1)
	}

	type dated struct {
		Day int32   `parquet:"day,date"`
		A   float64 `parquet:"a"`
	}
	days := []time.Time{parquetStart, parquetStart.AddDate(0, 0, 1)}
	check(writeParquet(t, "dated.parquet", []dated{{int32(at / 86400e3), 1}, {int32(at/86400e3) + 1, 2}}, 1), ImportOptions{}, []string{"a"}, days, []float32{1, 2}, 0)
}

func TestReadParquetErrors(t *testing.T) {
	type none struct {
		A []float64 `parquet:"a,list"`
	}
	type words struct {
		Time int64  `parquet:"time,timestamp(millisecond:local)"`
		A    string `parquet:"a"`
		B    string `parquet:"b"`
	}
	type untimed struct {
		Sensor string  `parquet:"sensor"`
		Speed  float64 `parquet:"speed"`
	}
	type twice struct {
		Time int64   `parquet:"time,timestamp(millisecond:local)"`
		Then int64   `parquet:"then,timestamp(millisecond:local)"`
		A    float64 `parquet:"a"`
	}
	type texts struct {
		Time string  `parquet:"time"`
		A    float64 `parquet:"a"`
	}
	type gap struct {
		Time *int64  `parquet:"time,optional,timestamp(millisecond:local)"`
		A    float64 `parquet:"a"`
	}
	repeated := append(longRows(), longRows()[5])
	var many []longRow // a node for each measurement
	for i := range 30000 {
		many = append(many, longRow{Time: int64(i), Sensor: strconv.Itoa(i)})
	}
	for _, c := range []struct {
		path, key string
		channel   int
		says      []string
	}{
		{path: writeParquet(t, "a.parquet", []none{{[]float64{1}}}, 1), says: []string{"column a", "neither"}},
		{path: writeParquet(t, "b.parquet", []words{{1, "x", "y"}}, 1), says: []string{"a and b", "text"}},
		{path: writeParquet(t, "c.parquet", []untimed{{"x", 1}}, 1), says: []string{"column sensor", "time stamps"}},
		{path: writeParquet(t, "d.parquet", []twice{{1, 2, 3}}, 1), says: []string{"column then", "column time"}},
		{path: writeParquet(t, "e.parquet", []texts{{"2012-03-01", 1}, {"soon", 2}}, 1), says: []string{"row 2", "soon", "2017-01-31"}},
		{path: writeParquet(t, "f.parquet", []gap{{nil, 1}}, 1), says: []string{"row 1", "no time stamp", "dropna"}},
		{path: writeParquet(t, "g.parquet", repeated, 2), says: []string{"row 160", "s0", "2012-03-01 00:25:00", "twice", "drop_duplicates"}},
		{path: writeParquet(t, "h.parquet", []texts{}, 1), says: []string{"0 rows"}},
		{path: writeParquet(t, "i.parquet", longRows(), 1), key: "flow", says: []string{"flow", "speed"}},
		{path: writeParquet(t, "j.parquet", longRows(), 1), channel: 1, says: []string{"1 column", "speed"}},
		{path: writeParquet(t, "k.parquet", many, 1), says: []string{"30000 time stamps", "column sensor"}},
		{path: writeParquet(t, "l.parquet", longRows(), 1, parquet.Compression(&parquet.Lz4Raw)), says: []string{"LZ4", "zstd"}},
	} {
		_, err := readParquet(t.Context(), c.path, ImportOptions{Key: c.key, Channel: c.channel})
		if err == nil {
			t.Errorf("%s: no error", filepath.Base(c.path))
			continue
		}
		for _, s := range append(c.says, c.path) {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s: %q is not in the error %v", filepath.Base(c.path), s, err)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := readParquet(ctx, writeParquet(t, "m.parquet", longRows(), 1), ImportOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// Damage gives errors or other numbers. It neither ends the process nor takes much memory.
func TestReadParquetDamaged(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, path := range []string{
		writeParquet(t, "wide.parquet", wideRows(), 2, parquet.Compression(&parquet.Snappy), parquet.KeyValueMetadata("pandas", pandasIndex)),
		writeParquet(t, "first.parquet", wideFirsts(), 1, parquet.Compression(&parquet.Zstd), parquet.DataPageVersion(2)),
		writeParquet(t, "long.parquet", longRows(), 1, parquet.Compression(&parquet.Gzip)),
	} {
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		everyCut(t, whole, "cut.parquet", func(path string) error { _, err := readParquet(t.Context(), path, ImportOptions{}); return err })
		for range 500 {
			damaged := slices.Clone(whole)
			for range 1 + random.IntN(3) {
				damaged[random.IntN(len(damaged))] = byte(random.Uint32())
			}
			if err := os.WriteFile(path, damaged, 0o644); err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := readParquet(t.Context(), path, ImportOptions{})
			runtime.ReadMemStats(&after)
			if took := after.TotalAlloc - before.TotalAlloc; took > 1<<30 {
				t.Errorf("%d bytes taken; %v", took, err)
			}
		}
	}
}

func TestReadParquetReal(t *testing.T) {
	for _, name := range []string{"speed-snappy.parquet", "speed-zstd.parquet"} {
		got, err := readParquet(t.Context(), shared(t, "fixtures", name), ImportOptions{})
		if err != nil {
			t.Error(err)
			continue
		}
		checkSlice(t, name, got, fixtureCheck(t, "speed-*.parquet"))
	}
	got, err := readParquet(t.Context(), shared(t, "fixtures", "long.parquet"), ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c := fixtureCheck(t, "long.parquet:speed")
	c.Shape = []int{500, 20}
	checkSlice(t, "long.parquet", got, c)
}
