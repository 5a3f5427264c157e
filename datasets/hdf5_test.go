package datasets

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/scigolib/hdf5"
)

// unpackedTestdata returns a file of testdata and its unpacked content.
func unpackedTestdata(t *testing.T, name string) (path string, content []byte) {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name+".gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	if content, err = io.ReadAll(z); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return path, content
}

// frameValue is what testdata/README.md puts there.
func frameValue(t, n int) float32 {
	switch {
	case t == 3 && n == 1:
		return float32(math.NaN())
	case t == 7 && n == 2:
		return 0
	}
	return float32(math.Round(100*(50+10*math.Sin(float64(5*t+n)))) / 100)
}

func TestReadHDF5(t *testing.T) {
	start := time.Date(2012, 3, 1, 0, 0, 0, 0, time.UTC)
	names := []string{"s0", "s1", "s2", "s3", "s4"}
	plain := func(at, n int) float32 { return frameValue(at, n) }
	for _, c := range []struct {
		name, key string
		start     time.Time
		nodes     []string
		value     func(at, n int) float32
	}{
		{"ns", "", start, names, plain},
		{"ns", "df", start, names, plain},
		{"ns", "/df", start, names, plain},
		{"zlib-us", "", start, []string{"100", "101", "102", "103", "104"}, plain},
		{"blocks", "", start, names, func(at, n int) float32 {
			if n == 1 {
				return float32(at)
			}
			return frameValue(at, n)
		}},
		{"two", "a", start, names, plain},
		{"two", "b/c", start, names, func(at, n int) float32 { return frameValue(at, n) + 1 }},
		{"zone", "", start.Add(1500 * time.Millisecond), names, plain},
		{"text", "", start, names, plain},
		{"range", "", time.Time{}, names, plain},
	} {
		path, _ := unpackedTestdata(t, c.name+".h5")
		got, err := readHDF5(t.Context(), path, ImportOptions{Key: c.key})
		if err != nil {
			if _, absent := time.LoadLocation("US/Pacific"); c.name == "zone" && absent != nil {
				continue // no time zones on this machine
			}
			t.Error(err)
			continue
		}
		checkFrame(t, c.name, got, 40, c.nodes, c.start, 5*time.Minute, c.value)
	}
}

// checkFrame compares a table with what it should be. No times are expected for a zero start.
func checkFrame(t *testing.T, name string, got *table, steps int, nodes []string, start time.Time, step time.Duration, value func(at, n int) float32) {
	t.Helper()
	if got.T != steps || got.N != len(nodes) || !slices.Equal(got.Nodes, nodes) || len(got.Values) != steps*len(nodes) {
		t.Errorf("%s: %d × %d, nodes %v, %d values", name, got.T, got.N, got.Nodes, len(got.Values))
		return
	}
	if (got.Times == nil) != start.IsZero() || got.Times != nil && len(got.Times) != steps {
		t.Errorf("%s: %d times", name, len(got.Times))
	}
	for i, at := range got.Times {
		if want := start.Add(time.Duration(i) * step); !at.Equal(want) || at.Location() != time.UTC {
			t.Errorf("%s: row %d at %v; %v expected", name, i, at, want)
			break
		}
	}
	for i, v := range got.Values {
		want := value(i/got.N, i%got.N)
		if math.Abs(float64(v-want)) > 1e-5 || (v == v) != (want == want) {
			t.Errorf("%s: value %d of node %d is %v; %v expected", name, i/got.N, i%got.N, v, want)
			break
		}
	}
}

// A library for all of HDF5 finds the same numbers.
func TestReadHDF5Library(t *testing.T) {
	for _, name := range []string{"ns.h5", "zlib-us.h5", "blocks.h5"} {
		path, content := unpackedTestdata(t, name)
		other, err := hdf5.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		root, err := openH5(bytes.NewReader(content), int64(len(content)))
		if err != nil {
			t.Fatal(err)
		}
		frame, err := chooseFrame(root, "")
		if err != nil {
			t.Fatal(err)
		}
		compared := 0
		other.Walk(func(path string, o hdf5.Object) {
			part := frame.parts[o.Name()]
			d, ok := o.(*hdf5.Dataset)
			if !ok || part == nil {
				return
			}
			want, err := d.Read()
			if err != nil {
				return // text
			}
			a, err := part.array()
			if err != nil {
				t.Error(err)
				return
			}
			number, err := a.numbers()
			if err != nil {
				t.Error(err)
				return
			}
			err = a.read(t.Context(), func(row, column int, raw []byte) {
				for i := range len(raw) / a.width {
					got, want := number(raw[i*a.width:]), want[row*a.columns+column+i]
					if got != want && (got == got || want == want) {
						t.Errorf("%s: element %d, %d is %v; %v expected", path, row, column+i, got, want)
					}
					compared++
				}
			})
			if err != nil {
				t.Error(err)
			}
		})
		if compared < 240 {
			t.Errorf("%s: %d numbers compared", name, compared)
		}
		if err := other.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestReadHDF5Errors(t *testing.T) {
	for _, c := range []struct {
		name, key string
		says      []string
	}{
		{"table", "", []string{"/df", "format='table'", "format='fixed'"}},
		{"series", "", []string{"series", "DataFrame"}},
		{"period", "", []string{"period", "to_timestamp"}},
		{"bool", "", []string{"s4", "no numbers", "astype"}},
		{"nat", "", []string{"row 6", "NaT"}},
		{"blosc", "", []string{"filter 32001", "complib='zlib'"}},
		{"two", "", []string{"/a, /b/c", "--key"}},
		{"two", "b", []string{"/a, /b/c", "--key"}},
		{"ns", "speed", []string{"speed", "/df"}},
		{"other", "", []string{"no pandas DataFrame"}},
	} {
		path, _ := unpackedTestdata(t, c.name+".h5")
		_, err := readHDF5(t.Context(), path, ImportOptions{Key: c.key})
		if err == nil {
			t.Errorf("%s: no error", c.name)
			continue
		}
		for _, s := range append(c.says, path) {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s: %q is not in the error %v", c.name, s, err)
			}
		}
	}
	for _, version := range []uint8{0, 2} { // both with the newer object headers
		path := filepath.Join(t.TempDir(), "other.h5")
		f, err := hdf5.CreateForWrite(path, hdf5.CreateTruncate, hdf5.WithSuperblockVersion(version))
		if err != nil {
			t.Fatal(err)
		}
		data, err := f.CreateDataset("/data", hdf5.Float64, []uint64{2, 3})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(data.Write([]float64{1, 2, 3, 4, 5, 6}), f.Close()); err != nil {
			t.Fatal(err)
		}
		if _, err := readHDF5(t.Context(), path, ImportOptions{}); err == nil || !strings.Contains(err.Error(), "h5repack") {
			t.Errorf("newer layout, superblock %d: %v", version, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	path, _ := unpackedTestdata(t, "ns.h5")
	if _, err := readHDF5(ctx, path, ImportOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// Damage gives errors or other numbers. It neither ends the process nor takes much memory.
func TestReadHDF5Damaged(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, name := range []string{"ns.h5", "zlib-us.h5", "blocks.h5"} {
		_, whole := unpackedTestdata(t, name)
		everyCut(t, whole, name, func(path string) error { _, err := readHDF5(t.Context(), path, ImportOptions{}); return err })
		path := filepath.Join(t.TempDir(), name)
		var written []int // where it isn't 0
		for i, b := range whole {
			if b != 0 {
				written = append(written, i)
			}
		}
		for range 300 {
			damaged := slices.Clone(whole)
			for range 1 + random.IntN(3) {
				damaged[written[random.IntN(len(written))]] = byte(random.Uint32())
			}
			if err := os.WriteFile(path, damaged, 0o644); err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := readHDF5(t.Context(), path, ImportOptions{})
			runtime.ReadMemStats(&after)
			if took := after.TotalAlloc - before.TotalAlloc; took > 1<<26 {
				t.Errorf("%d bytes taken; %v", took, err)
			}
		}
	}
}

// check is what shared/fixtures/checks.json says of a file.
type check struct {
	Mean, Std, First, Last float64
	Shape                  []int
}

func fixtureCheck(t *testing.T, name string) check {
	t.Helper()
	text, err := os.ReadFile(shared(t, "fixtures", "checks.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]json.RawMessage
	var c check
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(all[name], &c); err != nil {
		t.Fatal(name, err)
	}
	return c
}

// checkSlice compares with slice S of the fixtures: the first rows and columns of PEMS-BAY's speed.
func checkSlice(t *testing.T, name string, got *table, c check) {
	t.Helper()
	mean, std := moments(got.Values)
	if !slices.Equal([]int{got.T, got.N}, c.Shape) || math.Abs(mean-c.Mean) > 1e-6 || math.Abs(std-c.Std) > 1e-6 ||
		got.Values[0] != float32(c.First) || got.Values[len(got.Values)-1] != float32(c.Last) {
		t.Errorf("%s: %d × %d, mean %v, standard deviation %v, first %v, last %v; %+v expected",
			name, got.T, got.N, mean, std, got.Values[0], got.Values[len(got.Values)-1], c)
	}
	s, err := readCSV(t.Context(), shared(t, "fixtures", "speed.csv.gz"), ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.Nodes, s.Nodes[:got.N]) || !slices.EqualFunc(got.Times, s.Times[:got.T], time.Time.Equal) {
		t.Errorf("%s: other nodes or times than slice S: %v, %d times", name, got.Nodes, len(got.Times))
	}
	for i, v := range got.Values {
		if want := s.Values[i/got.N*s.N+i%got.N]; v != want {
			t.Errorf("%s: value %d is %v; %v expected", name, i, v, want)
			break
		}
	}
}

func TestReadHDF5Real(t *testing.T) {
	for _, name := range []string{"metr-la-fixed.h5", "pems-bay-fixed-zlib.h5"} {
		got, err := readHDF5(t.Context(), shared(t, "fixtures", name), ImportOptions{})
		if err != nil {
			t.Error(err)
			continue
		}
		checkSlice(t, name, got, fixtureCheck(t, name))
	}
	if _, err := readHDF5(t.Context(), shared(t, "fixtures", "table-format.h5"), ImportOptions{}); err == nil || !strings.Contains(err.Error(), "format='fixed'") {
		t.Errorf("table format: %v", err)
	}
}
