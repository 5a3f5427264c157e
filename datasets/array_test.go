package datasets

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestReadNPY(t *testing.T) {
	values := []float64{1, 2, 3, 4, 5, 250}
	for _, kind := range []string{"<f4", ">f4", "<f8", "<i8", "|u1"} {
		for _, fortran := range []bool{false, true} {
			for _, shape := range [][]int{{6}, {2, 3}, {3, 1, 2}, {1, 6}} {
				path := filepath.Join(files(t, map[string]string{"a.npy": string(npyOf(kind, fortran, shape, values))}), "a.npy")
				a, err := ReadNPY(path)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(a.Shape, shape) || !slices.Equal(a.Float64s(), values) {
					t.Errorf("%s %v, Fortran %v: %v %v", kind, shape, fortran, a.Shape, a.Float64s())
				}
			}
		}
	}
	for name, b := range map[string][]byte{"scalar": npyOf("<f8", false, nil, []float64{7}), "boolean": npyOf("|b1", false, []int{1}, []float64{1}), "empty": npyOf("<f8", false, []int{0, 3}, nil)} {
		a, err := readArray(bytes.NewReader(b), int64(len(b)))
		if err != nil || len(a.values) > 1 || name == "scalar" && (a.Shape != nil || a.values[0] != 7) {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
}

func TestReadNPZ(t *testing.T) {
	one, two := npyOf("<f8", false, []int{2}, []float64{1, 2}), npyOf("<f4", true, []int{2, 2}, []float64{1, 2, 3, 4})
	for _, method := range []uint16{zip.Store, zip.Deflate} {
		dir := files(t, map[string]string{"a.npz": string(npzOf(method, member{"one", one}, member{"two", two})), "b.npz": string(npzOf(method))})
		all, err := ReadNPZ(filepath.Join(dir, "a.npz"))
		if err != nil || len(all) != 2 || !slices.Equal(all["one"].values, []float64{1, 2}) || !slices.Equal(all["two"].values, []float64{1, 2, 3, 4}) {
			t.Errorf("%v, %v", all, err)
		}
		if all, err := ReadNPZ(filepath.Join(dir, "b.npz")); err != nil || len(all) != 0 {
			t.Errorf("empty archive: %v, %v", all, err)
		}
	}
	dir := files(t, map[string]string{"a.npz": string(npzOf(zip.Deflate, member{"one", one}, member{"bad", one[:len(one)-1]}))})
	if _, err := ReadNPZ(filepath.Join(dir, "a.npz")); err == nil || !strings.Contains(err.Error(), "a.npz: array bad: its shape [2] needs") {
		t.Errorf("damaged array: %v", err)
	}
}

// Headers that lie or are damaged give errors, whatever they ask for.
func TestHostileHeaders(t *testing.T) {
	eight := strings.Repeat("\x01", 8)
	for name, c := range map[string]struct {
		file []byte
		says string
	}{
		"empty":                    {nil, "not a complete"},
		"other magic":              {[]byte("\x93NUMPX\x01\x00\x0a\x00{}        \n"), "not a NumPy array"},
		"version 3":                {[]byte("\x93NUMPY\x03\x00\x0a\x00\x00\x00{}        \n"), "version"},
		"a header of 4 GB":         {[]byte("\x93NUMPY\x02\x00\xff\xff\xff\xff{}"), "too long"},
		"a header beyond the file": {[]byte("\x93NUMPY\x01\x00\xff\xff{}"), "header"},
		"no line end":              {[]byte("\x93NUMPY\x01\x00\x02\x00{}"), "header"},
		"no dictionary":            {npyStart("rubbish"), "header"},
		"half a dictionary":        {npyStart("{'descr': '<f8', "), "header"},
		"dictionary backwards":     {npyStart("{'shape': (1,), 'fortran_order': False, 'descr': '<f8'}"), "header"},
		"words for a shape":        {npyStart("{'descr': '<f8', 'fortran_order': False, 'shape': (a, b), }"), "header"},
		"no brackets":              {npyStart("{'descr': '<f8', 'fortran_order': False, 'shape': , }"), "header"},
		"negative":                 {append(npyStart("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -1), }"), eight...), "damaged"},
		"very many":                {append(npyStart("{'descr': '<f8', 'fortran_order': False, 'shape': (4611686018427387904, 4), }"), eight...), "cut off"},
		"overflow":                 {append(npyStart("{'descr': '<f8', 'fortran_order': False, 'shape': (2147483648, 2147483648, 4, 1), }"), eight...), "cut off"},
		"beyond an integer":        {append(npyStart("{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999,), }"), eight...), "header"},
		"one too many":             {append(npyStart("{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }"), eight...), "cut off"},
		"one too few":              {append(npyStart("{'descr': '<f8', 'fortran_order': False, 'shape': (0,), }"), eight...), "changed"},
		"structure":                {append(npyStart("{'descr': [('a', '<f4'), ('b', '<f4')], 'fortran_order': False, 'shape': (1,), }"), eight...), "astype"},
		"complex":                  {append(npyStart("{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }"), eight...), "astype"},
		"time":                     {append(npyStart("{'descr': '<M8[ns]', 'fortran_order': False, 'shape': (1,), }"), eight...), "astype"},
		"no type":                  {append(npyStart("{'descr': '', 'fortran_order': False, 'shape': (1,), }"), eight...), "type"},
		"half precision":           {append(npyStart("{'descr': '<f2', 'fortran_order': False, 'shape': (4,), }"), eight...), "astype"},
	} {
		a, err := readArray(bytes.NewReader(c.file), int64(len(c.file)))
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %+v, error %v; %q expected", name, a, err, c.says)
		}
	}
}

// Whatever bytes change, there is a result or an error, and never more elements than bytes.
func TestDamagedArrays(t *testing.T) {
	whole := npyOf("<f4", false, []int{3, 4}, make([]float64, 12))
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		b := slices.Clone(whole)
		for range 1 + r.IntN(4) {
			b[r.IntN(len(b))] = byte(r.IntN(256))
		}
		if a, err := readArray(bytes.NewReader(b), int64(len(b))); err == nil && len(a.values) > len(b) {
			t.Fatalf("%q: %d elements", b, len(a.values))
		}
	}
	for n := range whole {
		if _, err := readArray(bytes.NewReader(whole[:n]), int64(n)); err == nil {
			t.Errorf("cut off at %d: no error", n)
		}
		// The size is that of the whole, the bytes are not there.
		if _, err := readArray(bytes.NewReader(whole[:n]), int64(len(whole))); err == nil {
			t.Errorf("ends at %d: no error", n)
		}
	}
}

func TestArrayStream(t *testing.T) {
	b := npyOf("<f8", false, []int{5}, []float64{1, 2, 3, math.Inf(-1), math.NaN()})
	s, err := newArrayStream(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	var all []float64
	buffer := make([]float64, 2)
	for {
		n, err := s.read(buffer)
		all = append(all, buffer[:n]...)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(all) != 5 || all[2] != 3 || !math.IsInf(all[3], -1) || !math.IsNaN(all[4]) {
		t.Errorf("%v", all)
	}
}

func FuzzArray(f *testing.F) {
	f.Add(npyOf("<f4", false, []int{2, 3}, make([]float64, 6)))
	f.Add(npyOf("|u1", true, []int{2, 3}, make([]float64, 6)))
	f.Add(npyStart("{'descr': '<f8', 'fortran_order': False, 'shape': (0,), }"))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := readArray(bytes.NewReader(b), int64(len(b)))
		if err == nil && len(a.values) > len(b) {
			t.Errorf("%d elements of %d bytes", len(a.values), len(b))
		}
	})
}
