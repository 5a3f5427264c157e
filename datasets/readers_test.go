package datasets

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// twin is a series of made-up speeds with one decimal, from which the tests write files of every format.
func twin() *Series {
	s := &Series{
		Name: "twin", T: 120, N: 9, Missing: NoMissing(), Nodes: []string{"410", "52", "7", "800", "19", "306", "77", "5", "64"},
		Calendar: Calendar{Start: time.Date(2021, 5, 1, 0, 0, 0, 0, time.UTC), Step: 5 * time.Minute},
	}
	for t := range s.T {
		for n := range s.N {
			s.Values = append(s.Values, float32(math.Round(10*(60+8*math.Sin(float64(t)/9+float64(n))))/10)+0.1)
		}
	}
	return s
}

// rows writes a twin as CSV; stamp formats a row's time, nil leaves the column out.
func (s *Series) rows(stamp func(time.Time) string) string {
	var b strings.Builder
	for t := range s.T {
		if stamp != nil {
			b.WriteString(stamp(s.Calendar.Time(t)) + ",")
		}
		for n := range s.N {
			if n > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, "%v", s.Values[t*s.N+n])
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func layout(l string) func(time.Time) string { return func(t time.Time) string { return t.Format(l) } }

// channels puts a twin into [T,N,c]: the values in channel at, other numbers in the others.
func (s *Series) channels(c, at int) []float64 {
	var all []float64
	for i, v := range s.Values {
		for k := range c {
			if k == at {
				all = append(all, float64(v))
			} else {
				all = append(all, float64(-1-i*c-k))
			}
		}
	}
	return all
}

// npyOf writes an array as NumPy does.
func npyOf(kind string, fortran bool, shape []int, values []float64) []byte {
	list := strings.Trim(strings.ReplaceAll(fmt.Sprint(shape), " ", ", "), "[]")
	if len(shape) == 1 {
		list += ","
	}
	order := "False"
	if fortran {
		order = "True"
		columns := make([]float64, 0, len(values))
		index := make([]int, len(shape))
		for range values {
			at := 0
			for d, i := range index {
				at = at*shape[d] + i
			}
			columns = append(columns, values[at])
			for d := range index {
				if index[d]++; index[d] < shape[d] {
					break
				}
				index[d] = 0
			}
		}
		values = columns
	}
	return append(npyStart(fmt.Sprintf("{'descr': '%s', 'fortran_order': %s, 'shape': (%s), }", kind, order, list)), elementBytes(kind, values)...)
}

func npyStart(dictionary string) []byte {
	for (len(dictionary)+11)%64 != 0 {
		dictionary += " "
	}
	b := binary.LittleEndian.AppendUint16([]byte("\x93NUMPY\x01\x00"), uint16(len(dictionary)+1))
	return append(b, dictionary+"\n"...)
}

func elementBytes(kind string, values []float64) (b []byte) {
	for _, v := range values {
		switch kind {
		case "<f4":
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(v)))
		case ">f4":
			b = binary.BigEndian.AppendUint32(b, math.Float32bits(float32(v)))
		case "<f8":
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
		case "<i8":
			b = binary.LittleEndian.AppendUint64(b, uint64(int64(v)))
		case "|u1", "|b1":
			b = append(b, byte(v))
		default:
			panic(kind)
		}
	}
	return b
}

type member struct {
	name string
	data []byte
}

func npzOf(method uint16, members ...member) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, m := range members {
		w, err := z.CreateHeader(&zip.FileHeader{Name: m.name + ".npy", Method: method})
		if err != nil {
			panic(err)
		}
		if _, err := w.Write(m.data); err != nil {
			panic(err)
		}
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// cutWindows makes DCRNN's windows from to to of a twin, 12 in and 12 out, the values in channel 0 of 2.
func (s *Series) cutWindows(from, to int) []byte {
	var x, y []float64
	all := s.channels(2, 0)
	for k := from; k < to; k++ {
		x = append(x, all[2*k*s.N:2*(k+12)*s.N]...)
		y = append(y, all[2*(k+12)*s.N:2*(k+24)*s.N]...)
	}
	var before, after []float64
	for i := range 12 {
		before, after = append(before, float64(i-11)), append(after, float64(i+1))
	}
	shape := []int{to - from, 12, s.N, 2}
	return npzOf(zip.Deflate, member{"x", npyOf("<f8", false, shape, x)}, member{"y", npyOf("<f8", false, shape, y)},
		member{"x_offsets", npyOf("<i8", false, []int{12, 1}, before)}, member{"y_offsets", npyOf("<i8", false, []int{12, 1}, after)})
}

// files writes files into a new folder and returns its path.
func files(t testing.TB, content map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range content {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func gz(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		panic(err)
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return b.String()
}

const (
	geoHeader  = "geo_id,type,coordinates\n"
	relHeader  = "rel_id,type,origin_id,destination_id,cost\n"
	dynaHeader = "dyna_id,type,time,entity_id,traffic_speed\n"
)

// atomic writes a twin as LibCity's files, entity after entity or time after time.
func (s *Series) atomic(byTime bool) map[string]string {
	geo, dyna := geoHeader, dynaHeader
	for n, id := range s.Nodes {
		geo += fmt.Sprintf("%s,Point,\"[%g, %g]\"\n", id, 100+float64(n), 10+float64(n))
	}
	row := func(t, n int) {
		dyna += fmt.Sprintf("%d,state,%s,%s,%v\n", n*s.T+t, s.Calendar.Time(t).Format("2006-01-02T15:04:05Z"), s.Nodes[n], s.Values[t*s.N+n])
	}
	if byTime {
		for t := range s.T {
			for n := range s.N {
				row(t, n)
			}
		}
	} else {
		for n := range s.N {
			for t := range s.T {
				row(t, n)
			}
		}
	}
	rel := relHeader + "0,geo,410,52,0.5\n1,geo,52,410,0\n2,geo,7,7,2\n3,geo,410,52,0.25\n"
	return map[string]string{"city.geo": geo, "city.dyna": dyna, "city.rel": rel}
}

// Every format gives back the series that it was written from.
func TestImportFormats(t *testing.T) {
	s := twin()
	head := strings.Join(s.Nodes, ",") + "\n"
	minutes := layout("2006-01-02 15:04")
	three := []int{s.T, s.N, 3}
	normal := make([]float64, 0, len(s.Values))
	for _, v := range s.Values {
		normal = append(normal, (float64(v)-60)/8, 0)
	}
	scalar := func(v float64) []byte { return npyOf("<f4", false, nil, []float64{v}) }
	desc := `{"name": "x", "shape": [120, 9, 3], "frequency (minutes)": 5, "regular_settings": {"NULL_VAL": NaN, "MAX": [-Infinity]}}`
	raw := string(elementBytes("<f4", s.channels(3, 0)))
	atomic := s.atomic(false)
	config := func(info string) map[string]string {
		all := s.atomic(false)
		all["config.json"] = `{"info": {"data_files": ["city"], "geo_file": "city", "rel_file": "city", "time_intervals": 300, ` + info + `}}`
		return all
	}
	graph := func(edges ...Edge) *Graph { return &Graph{N: s.N, Edges: edges} }
	links := graph(Edge{0, 1, 0.25}, Edge{2, 2, 2}) // the last of two counts, 0 is no edge

	cases := []struct {
		name  string
		files map[string]string
		path  string // in the folder; "" is the folder
		dated bool   // the files say when
		named bool   // the files have the ids
		more  func(*ImportOptions)
		graph *Graph
	}{
		{"time and ids", map[string]string{"a.csv": "time," + head + s.rows(minutes)}, "a.csv", true, true, nil, nil},
		{"gzip by another name", map[string]string{"a.csv": gz("time," + head + s.rows(minutes))}, "a.csv", true, true, nil, nil},
		{"byte order mark, CRLF, quotes", map[string]string{"a.csv": "\xef\xbb\xbf" + strings.ReplaceAll(`"date","`+strings.ReplaceAll(strings.Join(s.Nodes, ","), ",", `","`)+"\"\n"+s.rows(minutes), "\n", "\r\n")}, "a.csv", true, true, nil, nil},
		{"seconds, no title", map[string]string{"a.csv": "," + head + s.rows(layout("2006-01-02 15:04:05"))}, "a.csv", true, true, nil, nil},
		{"RFC 3339", map[string]string{"a.csv": "t," + head + s.rows(layout("2006-01-02T15:04:05-08:00"))}, "a.csv", true, true, nil, nil},
		{"T without seconds", map[string]string{"a.csv": "t," + head + s.rows(layout("2006-01-02T15:04"))}, "a.csv", true, true, nil, nil},
		{"slashes", map[string]string{"a.csv": "t," + head + s.rows(layout("2006/1/2 15:04"))}, "a.csv", true, true, nil, nil},
		{"time, no header", map[string]string{"a.csv": s.rows(minutes)}, "a.csv", true, false, nil, nil},
		{"no time, header of numbers", map[string]string{"a.csv": head + s.rows(nil)}, "a.csv", false, true, nil, nil},
		{"neither", map[string]string{"a.txt": s.rows(nil)}, "a.txt", false, false, nil, nil},
		{"running numbers", map[string]string{"a.csv": "," + head + indexed(s.rows(nil), 0)}, "a.csv", false, true, nil, nil},
		{"ids from a file", map[string]string{"a.csv": s.rows(nil), "ids.txt": strings.Join(s.Nodes, "\r\n") + "\r\n"}, "a.csv", false, true,
			func(o *ImportOptions) { o.NodeIDs = "ids.txt" }, nil},

		{"npy f4", map[string]string{"a.npy": string(npyOf("<f4", false, []int{s.T, s.N}, s.channels(1, 0)))}, "a.npy", false, false, nil, nil},
		{"npy big-endian", map[string]string{"a.npy": string(npyOf(">f4", false, []int{s.T, s.N}, s.channels(1, 0)))}, "a.npy", false, false, nil, nil},
		{"npy channel 2", map[string]string{"a.npy": string(npyOf("<f8", false, three, s.channels(3, 2)))}, "a.npy", false, false,
			func(o *ImportOptions) { o.Channel = 2 }, nil},
		{"npy Fortran", map[string]string{"a.npy": string(npyOf("<f8", true, []int{s.T, s.N}, s.channels(1, 0)))}, "a.npy", false, false, nil, nil},
		{"npy Fortran channel 1", map[string]string{"a.npy": string(npyOf("<f4", true, three, s.channels(3, 1)))}, "a.npy", false, false,
			func(o *ImportOptions) { o.Channel = 1 }, nil},
		{"PEMS npz", map[string]string{"a.npz": string(npzOf(zip.Deflate, member{"data", npyOf("<f8", false, three, s.channels(3, 0))}))}, "a.npz", false, false, nil, nil},
		{"npz, not compressed", map[string]string{"a.npz": string(npzOf(zip.Store, member{"v", npyOf("<f4", false, three, s.channels(3, 0))}))}, "a.npz", false, false, nil, nil},
		{"npz by key", map[string]string{"a.npz": string(npzOf(zip.Store, member{"data", scalar(1)}, member{"speed", npyOf("<f4", false, three, s.channels(3, 0))}))}, "a.npz", false, false,
			func(o *ImportOptions) { o.Key = "speed" }, nil},
		{"LargeST", map[string]string{"a.npz": string(npzOf(zip.Deflate, member{"data", npyOf("<f8", false, []int{s.T, s.N, 2}, normal)},
			member{"mean", scalar(60)}, member{"std", scalar(8)}))}, "a.npz", false, false, nil, nil},
		{"DCRNN, one file", map[string]string{"train.npz": string(s.cutWindows(0, s.T-23))}, "train.npz", false, false, nil, nil},
		{"DCRNN, three files", map[string]string{"d-train.npz": string(s.cutWindows(0, 50)), "d-val.npz": string(s.cutWindows(50, 51)), "d-test.npz": string(s.cutWindows(51, s.T-23))},
			"", false, false, nil, nil},
		{"BasicTS", map[string]string{"desc.json": desc, "data.dat": raw}, "", false, false, func(o *ImportOptions) { o.Step = 0 }, nil},
		{"BasicTS by a file, with a graph", map[string]string{"desc.json": desc, "data.dat": raw, "adj_mx.pkl": "\x80\x02 damaged", "g.csv": "from,to,weight\n0,8,0.5\n"}, "data.dat", false, false,
			func(o *ImportOptions) { o.Graph = "g.csv" }, graph(Edge{0, 8, 0.5})},
		{"LibCity", atomic, "", true, true, nil, links},
		{"LibCity by time, by a file", s.atomic(true), "city.dyna", true, true, nil, links},
		{"LibCity with config.json", config(`"data_col": "traffic_speed", "weight_col": "cost"`), "", true, true, nil, links},
		{"LibCity links", config(`"set_weight_link_or_dist": "link", "bidir_adj_mx": true`), "", true, true, nil, graph(Edge{0, 1, 1}, Edge{1, 0, 1}, Edge{2, 2, 1})},
		{"LibCity distances", config(`"calculate_weight_adj": true, "weight_adj_epsilon": 0.9`), "", true, true, nil, graph(Edge{0, 1, kernelWeight(0.25)}, Edge{1, 0, 1})},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := files(t, c.files)
			o := ImportOptions{Name: "twin", Missing: NoMissing()}
			if !c.dated {
				o.Start, o.Step = s.Calendar.Start, s.Calendar.Step
			}
			if c.more != nil {
				c.more(&o)
			}
			for _, p := range []*string{&o.Graph, &o.NodeIDs} {
				if *p != "" {
					*p = filepath.Join(dir, *p)
				}
			}
			last := int64(-1)
			o.Progress = func(_ string, done, total int64) {
				if done > total || total < 1 {
					t.Errorf("%d of %d bytes", done, total)
				}
				last = done
			}
			got, err := Import(t.Context(), filepath.Join(dir, c.path), o)
			if err != nil {
				t.Fatal(err)
			}
			want := twin()
			if !c.named {
				want.Nodes = counted(want.N)
			}
			want.Graph = c.graph
			for i, v := range got.Values {
				if strings.HasPrefix(c.name, "LargeST") && math.Abs(float64(v-want.Values[i])) < 1e-5 {
					got.Values[i] = want.Values[i] // rounding
				}
				if got.Values[i] != want.Values[i] {
					t.Fatalf("value %d is %v; %v expected", i, got.Values[i], want.Values[i])
				}
			}
			if got.Hash() != want.Hash() || got.Calendar.Times != nil || !slices.Equal(got.Nodes, want.Nodes) {
				t.Errorf("got %d × %d, %+v, %v, %v", got.T, got.N, got.Calendar, got.Nodes, got.Graph)
			}
			if c.graph != nil && strings.HasPrefix(c.name, "LibCity") && got.Coords[2] != [2]float64{12, 102} {
				t.Errorf("coordinates %v", got.Coords)
			}
			if last < 1 {
				t.Error("no progress")
			}
		})
	}
}

// kernelWeight is exp(−(d/σ)²) for the distances 0.25, 0 and 2.
func kernelWeight(d float64) float32 {
	mean := 2.25 / 3
	variance := ((0.25-mean)*(0.25-mean) + mean*mean + (2-mean)*(2-mean)) / 3
	return float32(math.Exp(-d * d / variance))
}

// indexed puts running numbers before the rows.
func indexed(rows string, from int) string {
	lines := strings.Split(strings.TrimSuffix(rows, "\n"), "\n")
	for i := range lines {
		lines[i] = fmt.Sprintf("%d,%s", from+i, lines[i])
	}
	return strings.Join(lines, "\n") + "\n"
}

// Bad input gives an error that names the file, the place and the remedy.
func TestImportRefuses(t *testing.T) {
	s := twin()
	small := []float64{1, 2, 3, 4, 5, 6}
	windows := func(name string, change func(x, y []float64) ([]float64, []float64, []int)) string {
		x, y := []float64{1, 2, 3, 2, 3, 4}, []float64{4, 5, 5, 6} // samples 0 and 1 of 3 in and 2 out, one node
		x, y, shape := change(x, y)
		return string(npzOf(zip.Store, member{"x", npyOf("<f8", false, []int{2, 3, 1, 1}, x)}, member{name, npyOf("<f8", false, shape, y)}))
	}
	basic := func(desc string, bytes int) map[string]string {
		return map[string]string{"desc.json": desc, "data.dat": strings.Repeat("\x00", bytes)}
	}
	cases := []struct {
		name, file string
		content    any // the file's text, or all files of the folder
		o          ImportOptions
		says       []string
	}{
		{"empty", "a.csv", "", ImportOptions{}, []string{"empty"}},
		{"header alone", "a.csv", "time,a,b\n", ImportOptions{}, []string{"no row"}},
		{"short row", "a.csv", "time,a,b\n2021-01-01 00:00,1,2\n2021-01-01 01:00,1\n", ImportOptions{}, []string{"line 3", "2 columns", "3", "cut off"}},
		{"long row", "a.csv", "a,b\n1,2\n1,2,3\n", ImportOptions{}, []string{"line 3", "3 columns"}},
		{"header of another size", "a.csv", "a,b\n1,2,3\n", ImportOptions{}, []string{"line 2", "header has 2"}},
		{"a word", "a.csv", "time,a,b\n2021-01-01 00:00,1,2\n2021-01-01 01:00,1,wet\n", ImportOptions{}, []string{"line 3", "column 3", "(b)", `"wet"`, "not a number"}},
		{"a word in the first row", "a.csv", "1.5,x,2.5\n1.5,2.5,2.5\n", ImportOptions{}, []string{"line 1", "column 2", `"x"`}},
		{"infinite", "a.csv", "time,a\n2021-01-01 00:00,inf\n", ImportOptions{}, []string{"line 2", "column 2", "infinite", "nan"}},
		{"too large", "a.csv", "time,a\n2021-01-01 00:00,1e39\n", ImportOptions{}, []string{"line 2", "1e39", "too large"}},
		{"ids twice", "a.csv", "time,a,b,a\n2021-01-01,1,2,3\n", ImportOptions{}, []string{"columns 2 and 4", `"a"`, "unique"}},
		{"no id", "a.csv", "time,a,,c\n2021-01-01,1,2,3\n", ImportOptions{}, []string{"column 3", "id"}},
		{"time twice", "a.csv", "time,a\n2021-01-01,1\n2021-01-01,2\n", ImportOptions{}, []string{"line 3", "2021-01-01 00:00:00 occurs twice"}},
		{"unsorted", "a.csv", "time,a\n2021-01-02,1\n2021-01-01,2\n", ImportOptions{}, []string{"line 3", "2021-01-01 00:00:00 comes after 2021-01-02", "sort"}},
		{"end of summer time", "a.csv", "time,a\n2021-10-31 01:55,1\n2021-10-31 01:00,2\n", ImportOptions{}, []string{"line 3", "daylight-saving"}},
		{"another time", "a.csv", "time,a\n2021-01-01,1\n02/01/2021,2\n", ImportOptions{}, []string{"line 3", `"02/01/2021"`, "2017-01-31"}},
		{"no time", "a.csv", "time,a\n02/01/2021,2\n", ImportOptions{}, []string{"line 2", "time", `"02/01/2021"`, "2017-01-31"}},
		{"empty line", "a.csv", "x\n1\n\n3\n", ImportOptions{}, []string{"line 3 is empty"}},
		{"index breaks off", "a.csv", ",x\n0,1\n1,1\n5,3\n", ImportOptions{}, []string{"line 4", `"5"`, "2 expected"}},
		{"quote", "a.csv", "time,a\n2021-01-01,\"1\n", ImportOptions{}, []string{"line"}},
		{"semicolons", "a.csv", "time;a;b\n2021-01-01;1;2\n", ImportOptions{}, []string{`";"`, "commas"}},
		{"time alone", "a.csv", "time\n2021-01-01\n", ImportOptions{}, []string{"no column of values"}},
		{"no start", "a.csv", "a,b\n1,2\n", ImportOptions{Step: time.Hour}, []string{"--start"}},
		{"no step", "a.csv", "a,b\n1,2\n", ImportOptions{Start: s.Calendar.Start}, []string{"--step"}},
		{"neither", "a.csv", "a,b\n1,2\n", ImportOptions{}, []string{"--step", "--start"}},
		{"another step", "a.csv", "time,a\n2021-01-01,1\n2021-01-02,2\n", ImportOptions{Step: time.Hour}, []string{"24h apart, not 1h", "--step"}},
		{"another start", "a.csv", "time,a\n2021-01-01,1\n2021-01-02,2\n", ImportOptions{Start: s.Calendar.Start}, []string{"begin at 2021-01-01", "--start"}},
		{"one row", "a.csv", "time,a\n2021-01-01,1\n", ImportOptions{}, []string{"--step"}},
		{"slots", "a.csv", "time,a\n2021-01-01,1\n2021-01-02,2\n", ImportOptions{Slots: 2}, []string{"2 slots"}},
		{"binary", "a.csv", "\x00\x01\x02", ImportOptions{}, []string{"unknown format", "CSV", "LibCity"}},
		{"pickle", "a.csv", "\x80\x02]q\x00.", ImportOptions{}, []string{"pickle", "--graph"}},
		{"zip", "a.zip", "PK\x03\x04\x00", ImportOptions{}, []string{"zip archive", "unpack"}},
		{"folder of nothing", "", map[string]string{"x.txt": "1"}, ImportOptions{}, []string{"unknown format"}},
		{"cut gzip", "a.csv.gz", gz(strings.Repeat("1.5,2.5\n", 9999))[:60], ImportOptions{}, []string{"cut off"}},
		{"damaged gzip", "a.csv.gz", "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xffrubbish", ImportOptions{}, []string{"gzip"}},
		{"gzip of nothing", "a.csv.gz", gz(""), ImportOptions{}, []string{"empty"}},
		{"ids of another number", "a.csv", map[string]string{"a.csv": "1.5,2.5\n", "ids": "a\nb\nc\n"}, ImportOptions{NodeIDs: "ids", Start: s.Calendar.Start, Step: 1}, []string{"ids: 3 node ids", "2 nodes"}},
		{"ids twice in their file", "a.csv", map[string]string{"a.csv": "1.5,2.5\n", "ids": "a\na\n"}, ImportOptions{NodeIDs: "ids", Start: s.Calendar.Start, Step: 1}, []string{"ids: ", `"a" occurs twice`}},
		{"a graph of others", "a.csv", map[string]string{"a.csv": "time,a,b\n2021-01-01,1,2\n2021-01-02,1,2\n", "g.csv": "1,0,0,0\n0,1,0,0\n0,0,1,0\n0,0,0,1\n"}, ImportOptions{Graph: "g.csv"}, []string{"g.csv", "4 × 4", "2 nodes"}},
		{"coordinates of others", "a.csv", map[string]string{"a.csv": "time,a,b\n2021-01-01,1,2\n2021-01-02,1,2\n", "c.csv": "id,lat,lon\na,1,2\n"}, ImportOptions{Coords: "c.csv"}, []string{"c.csv"}},

		{"index", "a.npy", string(npyOf("<i8", false, []int{6}, small)), ImportOptions{}, []string{"shape is [6]", "[time, node"}},
		{"four dimensions", "a.npy", string(npyOf("<i8", false, []int{1, 6, 1, 1}, small)), ImportOptions{}, []string{"shape is [1 6 1 1]"}},
		{"no element", "a.npy", string(npyOf("<i8", false, []int{0, 6}, nil)), ImportOptions{}, []string{"shape is [0 6]"}},
		{"channel", "a.npy", string(npyOf("<i8", false, []int{1, 3, 2}, small)), ImportOptions{Channel: 2}, []string{"no channel 2", "--channel may be 0 to 1"}},
		{"objects", "a.npy", string(npyStart("{'descr': '|O', 'fortran_order': False, 'shape': (2, 3), }")) + "\x80\x02rubbish", ImportOptions{}, []string{`"|O"`, "astype"}},
		{"strings", "a.npy", string(npyStart("{'descr': '<U3', 'fortran_order': False, 'shape': (1, 1), }")) + strings.Repeat("a", 12), ImportOptions{}, []string{`"<U3"`, "astype"}},
		{"infinite npy", "a.npy", string(npyOf("<f8", false, []int{2, 3}, []float64{1, 2, 3, 4, math.Inf(1), 6})), ImportOptions{Start: s.Calendar.Start, Step: time.Hour}, []string{"step 1, node 1", "infinite"}},
		{"no npz", "a.npz", "PK\x03\x04 and no more", ImportOptions{}, []string{"not a complete .npz"}},
		{"key", "a.npz", string(npzOf(zip.Store, member{"a", npyOf("<i8", false, []int{2, 3}, small)})), ImportOptions{Key: "b"}, []string{`no array "b"`, "--key may be a"}},
		{"several arrays", "a.npz", string(npzOf(zip.Store, member{"a", nil}, member{"b", nil})), ImportOptions{}, []string{"arrays a, b", "--key"}},
		{"no array", "a.npz", string(npzOf(zip.Store)), ImportOptions{}, []string{"a.npz"}},
		{"normalised with 0", "a.npz", string(npzOf(zip.Store, member{"data", npyOf("<i8", false, []int{2, 3}, small)}, member{"mean", npyOf("<f8", false, nil, []float64{1})},
			member{"std", npyOf("<f8", false, nil, []float64{0})})), ImportOptions{}, []string{"std 0", "can't be undone"}},
		{"windows that differ", "train.npz", windows("y", func(x, y []float64) ([]float64, []float64, []int) { x[4] = 9; return x, y, []int{2, 2, 1, 1} }), ImportOptions{},
			[]string{"array x", "sample 1", "node 0 has 9 in row 2, but 3"}},
		{"other samples", "train.npz", windows("y", func(x, y []float64) ([]float64, []float64, []int) { return x, y[:2], []int{1, 2, 1, 1} }), ImportOptions{}, []string{"x has 2 samples, y has 1"}},
		{"other nodes", "train.npz", windows("y", func(x, y []float64) ([]float64, []float64, []int) { return x, y, []int{2, 1, 2, 1} }), ImportOptions{}, []string{"2 nodes"}},
		{"flat windows", "train.npz", windows("y", func(x, y []float64) ([]float64, []float64, []int) { return x, y, []int{2, 2} }), ImportOptions{}, []string{"shape is [2 2]"}},
		{"no targets", "", map[string]string{"train.npz": windows("z", func(x, y []float64) ([]float64, []float64, []int) { return x, y, []int{2, 2, 1, 1} }), "val.npz": "", "test.npz": ""},
			ImportOptions{}, []string{"train.npz", "x, z", "need x and y"}},
		{"offsets", "train.npz", string(npzOf(zip.Store, member{"x", npyOf("<i8", false, []int{1, 2, 1, 1}, []float64{1, 2})}, member{"y", npyOf("<i8", false, []int{1, 2, 1, 1}, []float64{3, 4})},
			member{"y_offsets", npyOf("<i8", false, []int{2}, []float64{1, 900})})), ImportOptions{}, []string{"offset 900", "doesn't join"}},
		{"broken offsets", "train.npz", string(npzOf(zip.Store, member{"x", npyOf("<i8", false, []int{1, 2, 1, 1}, []float64{1, 2})}, member{"y", npyOf("<i8", false, []int{1, 2, 1, 1}, []float64{3, 4})},
			member{"x_offsets", npyOf("<f8", false, []int{2}, []float64{math.NaN(), math.Inf(1)})})), ImportOptions{}, []string{"offset NaN"}},

		{"BasicTS cut", "", basic(`{"shape": [2, 3, 1]}`, 23), ImportOptions{}, []string{"data.dat", "desc.json", "[2 3 1]", "cut off"}},
		{"BasicTS without shape", "", basic(`{}`, 24), ImportOptions{}, []string{"data.dat", "shape"}},
		{"BasicTS of words", "", basic(`{"shape": "large"}`, 24), ImportOptions{}, []string{"desc.json", "shape"}},
		{"BasicTS cut description", "", basic(`{"shape": [2,`, 24), ImportOptions{}, []string{"desc.json"}},
		{"BasicTS of no number", "", basic(`{"shape": [-2, -3, 1]}`, 24), ImportOptions{}, []string{"[-2 -3 1]"}},

		{"unknown entity", "", map[string]string{"a.geo": geoHeader + "1,Point,\n", "a.dyna": dynaHeader + "0,state,2021-01-01T00:00:00Z,2,5\n"}, ImportOptions{}, []string{"a.dyna", "line 2", `entity "2"`, ".geo"}},
		{"missing rows", "", map[string]string{"a.geo": geoHeader + "1,Point,\n2,Point,\n", "a.dyna": dynaHeader + "0,state,2021-01-01,1,5\n0,state,2021-01-02,1,5\n0,state,2021-01-01,2,5\n"}, ImportOptions{},
			[]string{"entity 2 has 1 rows, others have 2"}},
		{"shifted rows", "", map[string]string{"a.geo": geoHeader + "1,Point,\n2,Point,\n", "a.dyna": dynaHeader + "0,state,2021-01-01,1,5\n0,state,2021-01-02,2,5\n"}, ImportOptions{},
			[]string{"a.dyna", "line 3", "entity 2", "same times"}},
		{"column", "", map[string]string{"a.geo": geoHeader + "1,Point,\n", "a.dyna": dynaHeader + "0,state,2021-01-01,1,5\n"}, ImportOptions{Channel: 1}, []string{"no column 1", "traffic_speed"}},
		{"no geo", "", map[string]string{"a.dyna": dynaHeader}, ImportOptions{}, []string{".geo"}},
		{"empty geo", "", map[string]string{"a.dyna": dynaHeader, "a.geo": geoHeader}, ImportOptions{}, []string{"a.geo", "no entity"}},
		{"entity twice", "", map[string]string{"a.dyna": dynaHeader, "a.geo": geoHeader + "1,Point,\n1,Point,\n"}, ImportOptions{}, []string{"a.geo", `"1" occurs twice`}},
		{"latitude first", "", map[string]string{"a.dyna": dynaHeader, "a.geo": geoHeader + "1,Point,\"[37.5, -121.5]\"\n"}, ImportOptions{}, []string{"a.geo", "line 2", "latitude -121.5", "[longitude, latitude]"}},
		{"edge to nowhere", "", map[string]string{"a.geo": geoHeader + "1,Point,\n", "a.dyna": dynaHeader + "0,state,2021-01-01,1,5\n", "a.rel": relHeader + "0,geo,1,2,1\n"}, ImportOptions{}, []string{"a.rel", "line 2", "1 → 2"}},
		{"weight", "", map[string]string{"a.geo": geoHeader + "1,Point,\n", "a.dyna": dynaHeader + "0,state,2021-01-01,1,5\n", "a.rel": relHeader + "0,geo,1,1,\n"}, ImportOptions{}, []string{"a.rel", "line 2", "weight"}},
		{"foreign file", "", map[string]string{"a.geo": geoHeader + "1,Point,\n", "a.dyna": dynaHeader, "config.json": `{"info": {"geo_file": "../../a"}}`}, ImportOptions{}, []string{"../../a"}},
		{"two data files", "", map[string]string{"a.geo": geoHeader, "a.dyna": dynaHeader, "config.json": `{"info": {"data_files": ["a", "b"]}}`}, ImportOptions{}, []string{"a, b", ".dyna"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			content, many := c.content.(map[string]string)
			if !many {
				content = map[string]string{c.file: c.content.(string)}
			}
			dir := files(t, content)
			path := filepath.Join(dir, c.file)
			for _, p := range []*string{&c.o.Graph, &c.o.NodeIDs, &c.o.Coords} {
				if *p != "" {
					*p = filepath.Join(dir, *p)
				}
			}
			s, err := Import(t.Context(), path, c.o)
			if err == nil {
				t.Fatalf("no error, but %d × %d: %v", s.T, s.N, s.Values)
			}
			for _, text := range append(c.says, path) {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%q is not in the error: %v", text, err)
				}
			}
		})
	}
	if _, err := Import(t.Context(), filepath.Join(t.TempDir(), "absent.csv"), ImportOptions{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent file: %v", err)
	}
	if _, err := Import(t.Context(), files(t, map[string]string{"x": "\x00"}), ImportOptions{}); !errors.Is(err, ErrFormat) {
		t.Errorf("unknown format: %v", err)
	}
}

func TestImportCutOff(t *testing.T) {
	s := twin()
	for name, whole := range map[string]string{
		"a.csv.gz": gz("time," + strings.Join(s.Nodes, ",") + "\n" + s.rows(layout(time.DateTime))),
		"a.npy":    string(npyOf("<f4", false, []int{s.T, s.N}, s.channels(1, 0))),
		"a.npz":    string(npzOf(zip.Deflate, member{"data", npyOf("<f4", false, []int{s.T, s.N}, s.channels(1, 0))})),
		"w.npz":    string(s.cutWindows(0, 9)),
	} {
		o := ImportOptions{Start: s.Calendar.Start, Step: s.Calendar.Step}
		if name == "a.csv.gz" {
			o = ImportOptions{}
		}
		if _, err := Import(t.Context(), filepath.Join(files(t, map[string]string{name: whole}), name), o); err != nil {
			t.Fatal(err)
		}
		everyCut(t, []byte(whole), name, func(path string) error { _, err := Import(t.Context(), path, o); return err })
	}
}

// The key data takes LargeST's array as it is.
func TestNormalisedByKey(t *testing.T) {
	path := filepath.Join(files(t, map[string]string{"a.npz": string(npzOf(zip.Deflate, member{"data", npyOf("<f4", false, []int{2, 1, 1}, []float64{-1, 1})},
		member{"mean", npyOf("<f4", false, nil, []float64{60})}, member{"std", npyOf("<f4", false, nil, []float64{8})}))}), "a.npz")
	for key, want := range map[string]float32{"": 68, "data": 1} {
		said := ""
		s, err := Import(t.Context(), path, ImportOptions{Key: key, Step: time.Hour, Start: twin().Calendar.Start, Remark: func(r string) { said += r }})
		if err != nil || s.Values[1] != want || !strings.Contains(said, "normalised") {
			t.Errorf("key %q: %v, %v, %s", key, s, err, said)
		}
	}
}

// BasicTS keeps its graph beside the values, with or without ids.
func TestBasicTSGraph(t *testing.T) {
	matrix, err := os.ReadFile(filepath.Join("testdata", "matrix-4.pkl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		pickle string
		nodes  []string
	}{{python2(), []string{"a", "b", "c"}}, {string(matrix), []string{"0", "1", "2"}}} {
		dir := files(t, map[string]string{"desc.json": `{"shape": [2, 3, 1], "frequency_minutes": 15}`, "data.dat": strings.Repeat("\x00", 24), "adj_mx.pkl": c.pickle})
		s, err := Import(t.Context(), dir, ImportOptions{Start: twin().Calendar.Start})
		if err != nil {
			t.Error(err)
			continue
		}
		if !slices.Equal(s.Nodes, c.nodes) || s.Graph == nil || len(s.Graph.Edges) != 5 || s.Calendar.Step != 15*time.Minute {
			t.Errorf("%v, %+v, %s", s.Nodes, s.Graph, s.Calendar.Step)
		}
	}
	dir := files(t, map[string]string{"desc.json": `{"shape": [2, 2, 1]}`, "data.dat": strings.Repeat("\x00", 16), "adj_mx.pkl": string(matrix)})
	if _, err := Import(t.Context(), dir, ImportOptions{}); err == nil || !strings.Contains(err.Error(), "adj_mx.pkl") || !strings.Contains(err.Error(), "2 nodes") {
		t.Errorf("a graph of others: %v", err)
	}
}

// Damaged archives give errors, not wrong values.
func TestImportDamagedNPZ(t *testing.T) {
	s := twin()
	o := ImportOptions{Start: s.Calendar.Start, Step: s.Calendar.Step}
	whole := npzOf(zip.Store, member{"data", npyOf("<f4", false, []int{s.T, s.N}, s.channels(1, 0))})
	for at := 0; at < len(whole); at += 17 {
		b := slices.Clone(whole)
		b[at] ^= 0x10
		path := filepath.Join(files(t, map[string]string{"a.npz": string(b)}), "a.npz")
		if got, err := Import(t.Context(), path, o); err == nil && !slices.Equal(got.Values, s.Values) {
			t.Fatalf("byte %d changed: no error, but other values", at)
		}
	}
}

func TestImportCancelled(t *testing.T) {
	s := twin()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o := ImportOptions{Start: s.Calendar.Start, Step: s.Calendar.Step}
	long := strings.Repeat(s.rows(nil), 9)
	for name, content := range map[string]map[string]string{
		"a.csv": {"a.csv": long},
		"a.npy": {"a.npy": string(npyOf("<f4", false, []int{s.T, s.N}, s.channels(1, 0)))},
		"w.npz": {"w.npz": string(s.cutWindows(0, 9))},
		".":     s.atomic(false),
	} {
		if _, err := Import(ctx, filepath.Join(files(t, content), name), o); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestIsHeader(t *testing.T) {
	for _, c := range []struct {
		text string
		want bool
	}{
		{"773869,767541,767542\n64.375,67.625,67.125\n", true},
		{"773869,767541,767542\n64,67,67\n", true},
		{"64,67,66\n64.5,67.625,67.125\n", false},
		{"64.375,67.625,67.125\n62.5,66,67\n", false},
		{"0,1,2,3\n5,0,0,12\n", true},
		{"1,2,3,4\n5,0,0,12\n", true},
		{"7\n6\n5\n", false},
		{"90217\n20.5\n19\n", true},
		{"3,17,40,12,5,9,8,2\n3,0,41,12,0,9,8,2\n2,0,0,12,0,9,8,2\n", true},
		{"3,17,40,12,5,9,8,2\n3,16,41,12,5,9,8,2\n", false},
		{"3,17,40,12,0,9,8,0\n3,0,41,12,0,9,8,2\n", false},
		{"a,b\n1,2\n", true},
		{"time,1,2\n2021-01-01,5,6\n", true},
		{"2021-01-01,5,6\n2021-01-02,5,6\n", false},
		{"when,5,6\n2021-01-02,5,6\n", true},
		{",1,2\n0,5,6\n", true},
		{",1.5,2\n0,5,6\n", false},
		{"nan,1,2\n0,5,6\n", false},
		{"index,a,b\n0,5,6\n", true},
		{"1,2\n", false},
		{"index\n", false},
		{"\"\"\n1\n", false},
	} {
		var rows []row
		for i, line := range strings.Split(strings.TrimSuffix(c.text, "\n"), "\n") {
			rows = append(rows, row{i + 1, strings.Split(strings.ReplaceAll(line, `"`, ""), ",")})
		}
		if got := isHeader(rows); got != c.want {
			t.Errorf("%q: %v", c.text, got)
		}
	}
}

func TestImportMissing(t *testing.T) {
	text := "time,a,b,c,d,e\n2021-01-01,, NA ,NaN,null,0\n2021-01-02,1, 2 ,-1,3e1,none\n"
	var remarks []string
	s, err := Import(t.Context(), filepath.Join(files(t, map[string]string{"a.b.csv": text}), "a.b.csv"),
		ImportOptions{Remark: func(r string) { remarks = append(remarks, r) }})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(s.Values); got != "[NaN NaN NaN NaN 0 1 2 -1 30 NaN]" || s.Name != "a" || s.MissingShare() != 0.6 {
		t.Errorf("%s, %q, %g", got, s.Name, s.MissingShare())
	}
	if all := strings.Join(remarks, "\n"); !strings.Contains(all, "60 %") || !strings.Contains(all, "1 node measured nothing: e") || !strings.Contains(all, "1 value of 1 node are below 0") {
		t.Errorf("remarks:\n%s", all)
	}
}

// Irregular time stamps are kept; regular ones become start and step.
func TestImportCalendar(t *testing.T) {
	at := func(text string) time.Time {
		when, err := ParseTime(text)
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	read := func(text string, o ImportOptions) (*Series, string) {
		t.Helper()
		var remarks []string
		o.Remark = func(r string) { remarks = append(remarks, r) }
		s, err := Import(t.Context(), filepath.Join(files(t, map[string]string{"a.csv": text}), "a.csv"), o)
		if err != nil {
			t.Fatal(err)
		}
		return s, strings.Join(remarks, "\n")
	}
	// The clock goes from 2 to 3.
	s, said := read("time,a\n2017-03-12T01:50:00-08:00,1\n2017-03-12T01:55:00-08:00,2\n2017-03-12T03:00:00-07:00,3\n2017-03-12T03:05:00-07:00,4\n", ImportOptions{})
	if c := s.Calendar; c.Step != 5*time.Minute || c.Gaps() != 1 || c.Time(2) != at("2017-03-12 03:00") || c.TimeOfDay(2) != 36 {
		t.Errorf("calendar %+v", c)
	}
	if !strings.Contains(said, "1 place; 2017-03-12 01:55 → 2017-03-12 03:00") {
		t.Errorf("remarks: %s", said)
	}
	if s, said = read("time,a\n2017-03-12,1\n2017-03-13,2\n", ImportOptions{}); s.Calendar.Times != nil || s.Calendar.Step != 24*time.Hour || strings.Contains(said, "place") {
		t.Errorf("calendar %+v, %s", s.Calendar, said)
	}
	// A service from 5 to 7, two days.
	s, _ = read("1.5\n2\n3\n4\n", ImportOptions{Start: at("2021-01-01 05:00"), Step: time.Hour, Slots: 2})
	if c := s.Calendar; c.Time(1) != at("2021-01-01 06:00") || c.Time(2) != at("2021-01-02 05:00") || c.TimeOfDay(3) != 1 || c.StepsPerDay() != 2 {
		t.Errorf("calendar %+v", c)
	}
	// A whole day of slots needs no times.
	if s, _ = read("1.5\n2\n", ImportOptions{Start: at("2021-01-01"), Step: 12 * time.Hour, Slots: 2}); s.Calendar.Times != nil {
		t.Errorf("calendar %+v", s.Calendar)
	}
}

func TestRemarks(t *testing.T) {
	s := twin()
	if r := Remarks(s); len(r) != 0 {
		t.Errorf("remarks on nothing odd: %q", r)
	}
	for k := range s.T {
		row := s.Values[k*s.N:]
		row[0], row[1], row[2], row[3] = 4, NoMissing(), float32(k), 0
	}
	s.Values[4] = -1
	all := strings.Join(Remarks(s), "\n")
	for _, want := range []string{"52", "2 nodes measured the same value all the time: 410, 800", "7: the values are running", "are 0", "below 0", "measured nothing"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not in the remarks:\n%s", want, all)
		}
	}
	s.T, s.Values = 9, s.Values[:81]
	if all = strings.Join(Remarks(s), "\n"); !strings.Contains(all, "graph") {
		t.Errorf("remarks on a square:\n%s", all)
	}
	s.T, s.Values = 8, s.Values[:72]
	if all = strings.Join(Remarks(s), "\n"); !strings.Contains(all, "row per node") {
		t.Errorf("remarks on a wide table:\n%s", all)
	}
}

func TestParseTime(t *testing.T) {
	want := time.Date(2017, 1, 2, 3, 4, 0, 0, time.UTC)
	for _, text := range []string{"2017-01-02 03:04", "2017-01-02 03:04:00", "2017-01-02T03:04:00Z", "2017-01-02T03:04:00.000", "2017-01-02T03:04:00+08:00", "2017-01-02 03:04:00+00:00",
		"2017/01/02 03:04", "2017/1/2 3:04", "2017-1-2 3:04:00", " 2017-01-02 03:04 "} {
		if got, err := ParseTime(text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "2017", "20170102", "01/02/2017", "2017-13-01", "2017-02-30", "noon", strings.Repeat("2017-01-02", 99)} {
		if got, err := ParseTime(text); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// A line that never ends doesn't fill the memory.
func TestEndlessLine(t *testing.T) {
	in := newRecords(t.Context(), endless{})
	if _, err := in.next(); err == nil || !strings.Contains(err.Error(), "a line of more than 64 MB") {
		t.Errorf("error %v", err)
	}
}

type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = '7'
	}
	return len(b), nil
}

// Archives that unpack to much more than their size are refused.
func TestBombs(t *testing.T) {
	u := &unpacked{in: endless{}, packed: 1 << 10}
	buffer := make([]byte, 1<<20)
	for {
		if _, err := u.Read(buffer); err != nil {
			if !strings.Contains(err.Error(), "unpacks to more than") || u.n > smallBytes+1<<20 {
				t.Errorf("after %d bytes: %v", u.n, err)
			}
			break
		}
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	if _, err := z.CreateRaw(&zip.FileHeader{Name: "data.npy", Method: zip.Deflate, UncompressedSize64: 1 << 40}); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(files(t, map[string]string{"a.npz": b.String()}), "a.npz")
	if _, err := Import(t.Context(), path, ImportOptions{}); err == nil || !strings.Contains(err.Error(), "claims a size") {
		t.Errorf("lying size: %v", err)
	}
	path = filepath.Join(files(t, map[string]string{"a.npz": string(npzOf(zip.Store, member{"data", nil}, member{"data", nil}))}), "a.npz")
	if _, err := Import(t.Context(), path, ImportOptions{}); err == nil || !strings.Contains(err.Error(), "two arrays") {
		t.Errorf("two of one name: %v", err)
	}
}

func FuzzCSV(f *testing.F) {
	for _, text := range []string{"time,a\n2021-01-01,1\n", "1.5,2\n", ",a\n0,1\n", "a\n\n1\n", "\"", "a,a\n", "2021-01-01\n", "1,2\n3", "\xef\xbb\xbf1\n", "nan\n", "0\n0\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		table, err := parseCSV(newRecords(t.Context(), strings.NewReader(text)))
		if err == nil && (table.T < 1 || table.N < 1 || len(table.Values) != table.T*table.N || table.Nodes != nil && len(table.Nodes) != table.N) {
			t.Errorf("%q: %+v", text, table)
		}
	})
}

// TestRealFixtures reads real files, which are not part of this repository: STPRUNE_SHARED names their folder.
func TestRealFixtures(t *testing.T) {
	text, err := os.ReadFile(shared(t, "fixtures", "checks.json"))
	if err != nil {
		t.Fatal(err)
	}
	var checks map[string]struct {
		Shape       []int
		Mean, Std   float64
		First, Last float64
	}
	// Two entries are bare numbers.
	var all map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	for _, scalar := range []string{"largest-his.npz:mean", "largest-his.npz:std"} {
		delete(all, scalar)
	}
	if text, err = json.Marshal(all); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &checks); err != nil {
		t.Fatal(err)
	}
	start := time.Date(2017, 1, 1, 0, 0, 0, 0, time.UTC)
	dated := ImportOptions{Start: start, Step: 5 * time.Minute, Missing: NoMissing()}
	s, err := Import(t.Context(), shared(t, "fixtures", "speed.csv.gz"), ImportOptions{Missing: NoMissing()})
	if err != nil {
		t.Fatal(err)
	}
	if s.Values[0] != 67.8 || s.Values[1999*20+19] != 67.7 || s.Nodes[3] != "400174" || s.Calendar.Start != start || s.Calendar.Step != 5*time.Minute || s.Calendar.Times != nil {
		t.Errorf("slice S: first %v, last %v, %v, %+v", s.Values[0], s.Values[len(s.Values)-1], s.Nodes, s.Calendar)
	}
	for _, c := range []struct {
		path, check string
		o           ImportOptions
		steps       int
		tolerance   float64 // of each value against S
	}{
		{"speed.csv", "speed.csv", ImportOptions{Missing: NoMissing()}, 300, 0},
		{"speed.csv.gz", "speed.csv.gz", ImportOptions{Missing: NoMissing()}, 2000, 0},
		{"no-header.csv", "no-header.csv", dated, 300, 0},
		{"fortran.npy", "fortran.npy", dated, 50, 0},
		{"libcity", "libcity dyna (entity-major)", ImportOptions{Missing: NoMissing()}, 200, 0},
		{"pems04-style.npz", "", dated, 1000, 0},
		{"pems-stored.npz", "", dated, 200, 0},
		{"largest-his.npz", "", dated, 1000, 1e-5},
		{"dcrnn-train.npz", "", dated, 42 + 23, 0},
		{".", "", dated, 60 + 23, 0},
		{"basicts", "", ImportOptions{Start: start, Missing: NoMissing()}, 1000, 0},
	} {
		got, err := Import(t.Context(), shared(t, "fixtures", c.path), c.o)
		if err != nil {
			t.Error(err)
			continue
		}
		if got.T != c.steps || got.N != 20 || got.Calendar.Step != 5*time.Minute || got.Calendar.Start != start {
			t.Errorf("%s: %d × %d, %+v", c.path, got.T, got.N, got.Calendar)
			continue
		}
		for i, v := range got.Values {
			if d := math.Abs(float64(v - s.Values[i])); !(d <= c.tolerance) {
				t.Errorf("%s: value %d is %v; S has %v", c.path, i, v, s.Values[i])
				break
			}
		}
		if c.check == "" {
			continue
		}
		want, found := checks[c.check]
		mean, std := moments(got.Values)
		if last := got.Values[len(got.Values)-1]; !found || math.Abs(mean-want.Mean) > 1e-6 || math.Abs(std-want.Std) > 1e-6 || got.Values[0] != float32(want.First) || last != float32(want.Last) {
			t.Errorf("%s: mean %v, std %v, first %v, last %v; %+v expected", c.path, mean, std, got.Values[0], last, want)
		}
	}
	// Whole arrays, all channels together.
	for key, want := range checks {
		file, array, _ := strings.Cut(key, ":")
		var a Array
		switch {
		case strings.HasSuffix(file, ".npy"):
			if a, err = ReadNPY(shared(t, "fixtures", file)); err != nil {
				t.Error(err)
				continue
			}
		case strings.HasSuffix(file, ".npz"):
			arrays, err := ReadNPZ(shared(t, "fixtures", file))
			if err != nil {
				t.Error(err)
				continue
			}
			a = arrays[array]
		default:
			continue
		}
		mean, std := 0.0, 0.0
		for _, v := range a.values {
			mean += v / float64(len(a.values))
		}
		for _, v := range a.values {
			std += (v - mean) * (v - mean) / float64(len(a.values))
		}
		last := a.values[len(a.values)-1]
		if math.Abs(mean-want.Mean) > 1e-6 || math.Abs(math.Sqrt(std)-want.Std) > 1e-6 || a.values[0] != want.First || last != want.Last || !slices.Equal(a.Shape, want.Shape) {
			t.Errorf("%s: shape %v, mean %v, std %v, first %v, last %v; %+v expected", key, a.Shape, mean, math.Sqrt(std), a.values[0], last, want)
		}
	}
}

func ExampleImport() {
	dir, err := os.MkdirTemp("", "import")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "speed.csv")
	text := "time,north,south\n2017-03-12 01:50,61.5,58\n2017-03-12 01:55,62,\n2017-03-12 03:00,60.5,59\n2017-03-12 03:05,0,58.5\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		fmt.Println(err)
		return
	}
	s, err := Import(context.Background(), file, ImportOptions{
		Unit: "mph", Missing: 0, Remark: func(r string) { fmt.Println("note:", r) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s: %d steps × %d nodes every %s, first %g %s\n", s.Name, s.T, s.N, s.Calendar.Step, s.Values[0], s.Unit)
	// Output:
	// note: its time stamps are not 5m apart in 1 place; 2017-03-12 01:55 → 2017-03-12 03:00
	// note: 25 % of its values are missing
	// speed: 4 steps × 2 nodes every 5m0s, first 61.5 mph
}
