package export

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/stprune/run"
)

func waves(context.Context, string) (*datasets.Series, error) {
	s := &datasets.Series{
		Name: "waves", T: 240, N: 3, Nodes: []string{"a", "b", "c"}, Missing: datasets.NoMissing(),
		Calendar: datasets.Calendar{Start: time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC), Step: time.Hour},
	}
	for t := range s.T {
		for n := range s.N {
			s.Values = append(s.Values, float32(math.Sin(2*math.Pi*float64(t)/24+float64(n))))
		}
	}
	return s, nil
}

// stored are a finished run of full data, one with an awkward name and options, and one that was interrupted after an epoch.
func stored(t *testing.T) []*run.Run {
	t.Helper()
	o := run.Options{Store: run.NewStore(t.TempDir()), Series: waves}
	ask := func(ctx context.Context, settings ...string) (*run.Run, error) {
		spec := run.DefaultSpec()
		if err := spec.Set(append([]string{"data.name=waves", "data.horizon=3", "backend.name=go", "train.epochs=3", "train.validate_every=2", "prune.min_units=1"}, settings...)...); err != nil {
			t.Fatal(err)
		}
		return run.Do(ctx, spec, o)
	}
	full, err := ask(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ours, err := ask(t.Context(), `name="../a, \"b\"\n ü"`, `notes="two\nlines"`, "prune.method=st-prune", "prune.rho=0.5", "model.options.layers=2", "model.options.dropout=0.1")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o.Watch.Epoch = func(run.Epoch) { cancel() }
	halted, err := ask(ctx, "prune.method=random", "prune.rho=0.25")
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	return []*run.Run{full, ours, halted}
}

// tree reads all files of a folder.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestTables(t *testing.T) {
	all := stored(t)
	ours, err := all[1].Result()
	if err != nil {
		t.Fatal(err)
	}
	epochs, err := all[1].Epochs()
	if err != nil {
		t.Fatal(err)
	}
	text := func(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
	for _, test := range []struct {
		epochs bool
		rows   int
		cells  map[string][]string // of the rows; -: not looked at
	}{
		{false, 3, map[string][]string{
			"id": {all[0].ID, all[1].ID, all[2].ID}, "status": {"finished", "finished", "interrupted"}, "epochs": {"3", "3", "1"},
			"name": {"", "../a, \"b\"\n ü", ""}, "prune.rho": {"", "0.5", "0.25"}, "prune.selector": {"", "pps", ""}, "train.seed": {"1", "1", "1"},
			"model.options.layers": {"", "2", ""}, "model.options.dropout": {"", "0.1", ""}, "data.split": {"[6,2,2]", "[6,2,2]", "[6,2,2]"},
			"mae": {"-", text(ours.Test.Mean.MAE), ""}, "mae.3": {"-", text(ours.Test.MAE[2]), ""}, "mae.12": {"", "", ""}, "visits": {"-", fmt.Sprint(ours.Visits), ""},
		}},
		{true, 7, map[string][]string{
			"run": {all[0].ID, all[0].ID, all[0].ID, all[1].ID, all[1].ID, all[1].ID, all[2].ID}, "epoch": {"1", "2", "3", "1", "2", "3", "1"},
			"loss":           {"-", "-", "-", text(epochs[0].Loss), text(epochs[1].Loss), text(epochs[2].Loss), "-"},
			"best":           {"-", "-", "-", fmt.Sprint(epochs[0].Best), fmt.Sprint(epochs[1].Best), fmt.Sprint(epochs[2].Best), "-"},
			"validation.mae": {"", "-", "-", "", text(epochs[1].Validation.Mean.MAE), text(epochs[2].Validation.Mean.MAE), ""},
			"selection.kept": {"-", "-", "-", fmt.Sprint(epochs[0].Units), fmt.Sprint(epochs[1].Units), fmt.Sprint(epochs[2].Units), "-"},
		}},
	} {
		dir := t.TempDir()
		o := Options{Epochs: test.epochs}
		for _, name := range []string{"a.csv", "b.csv", "a.parquet", "b.parquet"} {
			if err := Write(t.Context(), filepath.Join(dir, name), all, o); err != nil {
				t.Fatal(err)
			}
		}
		files := tree(t, dir)
		if len(files) != 4 || files["a.csv"] != files["b.csv"] || files["a.parquet"] != files["b.parquet"] {
			t.Errorf("epochs %v: exported twice the files differ, or others are there", test.epochs)
		}
		rows, err := csv.NewReader(strings.NewReader(files["a.csv"])).ReadAll()
		if err != nil || len(rows) != test.rows+1 {
			t.Fatalf("%d rows, %v", len(rows), err)
		}
		table, err := parquet.OpenFile(strings.NewReader(files["a.parquet"]), int64(len(files["a.parquet"])))
		if err != nil || table.NumRows() != int64(test.rows) {
			t.Fatal(err)
		}
		var columns []string
		for _, f := range table.Schema().Fields() {
			columns = append(columns, f.Name())
		}
		if !slices.Equal(columns, rows[0]) {
			t.Errorf("columns\n%v of Parquet, of CSV\n%v", columns, rows[0])
		}
		stored := make([]parquet.Row, test.rows)
		if n, err := parquet.NewReader(table).ReadRows(stored); n != test.rows {
			t.Fatalf("%d rows of Parquet, %v", n, err)
		}
		for i, row := range stored {
			for j, v := range row {
				got := ""
				if !v.IsNull() {
					got = v.String()
				}
				if f, err := strconv.ParseFloat(got, 64); err == nil && v.Kind() == parquet.Double {
					got = text(f)
				}
				if want := rows[i+1][j]; got != want {
					t.Errorf("row %d, %s: %q in Parquet, %q in CSV", i, columns[j], got, want)
				}
			}
		}
		for name, cells := range test.cells {
			j := slices.Index(columns, name)
			if j < 0 {
				t.Errorf("no column %s in %v", name, columns)
				continue
			}
			for i, want := range cells {
				if got := rows[i+1][j]; got != want && want != "-" {
					t.Errorf("row %d, %s is %q, want %q", i, name, got, want)
				}
			}
		}
	}
}

// Columns without a value keep their type, and mixed ones widen.
func TestColumnTypes(t *testing.T) {
	table := &table{columns: []column{{name: "a"}, {name: "b", like: 1.5}, {name: "c"}, {name: "d", like: []int{}}}}
	table.add([]any{int64(1), nil, true, []int{1, 2}})
	table.add([]any{2.5, nil, int64(3), []int{}})
	table.settle()
	want := []column{
		{"a", 0.0, []any{1.0, 2.5}}, {"b", 1.5, []any{nil, nil}}, {"c", "", []any{"true", "3"}}, {"d", "", []any{"[1,2]", "[]"}},
	}
	for i, c := range table.columns {
		if fmt.Sprintf("%T %#v", c.like, c.values) != fmt.Sprintf("%T %#v", want[i].like, want[i].values) {
			t.Errorf("%s is %T %#v, want %T %#v", c.name, c.like, c.values, want[i].like, want[i].values)
		}
	}
}

func TestWholeOrAbsent(t *testing.T) {
	all := stored(t)
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	if err := os.MkdirAll(path("precious/deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path("mine.csv"), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	before := tree(t, dir)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	broken := &run.Run{ID: "0123456789abcdef", Dir: path("nowhere"), Spec: all[0].Spec}
	for _, test := range []struct {
		name, says string
		ctx        context.Context
		runs       []*run.Run
		o          Options
	}{
		{"mine.csv", "exists", t.Context(), all, Options{}},
		{"precious", "exists", t.Context(), all, Options{Format: MLflow}},
		{"precious", "not written by an export", t.Context(), all, Options{Format: MLflow, Force: true}},
		{"precious", "no file", t.Context(), all, Options{Format: CSV, Force: true}},
		{"mine.csv", "not written by an export", t.Context(), all, Options{Format: TensorBoard, Force: true}},
		{"mine.csv", "canceled", cancelled, all, Options{Force: true}},
		{"new", "canceled", cancelled, all, Options{Format: TensorBoard}},
		{"new", "nowhere", t.Context(), append(slices.Clone(all), broken), Options{Format: TensorBoard}},
		{"new.txt", "name a format", t.Context(), all, Options{}},
		{"new", "csv, parquet", t.Context(), all, Options{Format: "xlsx"}},
		{"new", "rows of epochs", t.Context(), all, Options{Format: MLflow, Epochs: true}},
		{"mine.csv/new.csv", "mine.csv", t.Context(), all, Options{}},
	} {
		err := Write(test.ctx, path(test.name), test.runs, test.o)
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s, %+v: error %v, want %q", test.name, test.o, err, test.says)
		}
	}
	if after := tree(t, dir); !maps.Equal(before, after) {
		t.Errorf("refused exports left %v", slices.Sorted(maps.Keys(after)))
	}
	for _, test := range []struct {
		name string
		o    Options
	}{{"mine.csv", Options{Force: true}}, {"events", Options{Format: TensorBoard, Force: true}}, {"events", Options{Format: MLflow, Force: true}}} {
		if err := Write(t.Context(), path(test.name), all, test.o); err != nil {
			t.Error(err)
		}
	}
	files := tree(t, dir)
	if files["mine.csv"] == "mine" || files["events/.stprune-export"] != "mlflow\n" || slices.ContainsFunc(slices.Collect(maps.Keys(files)), func(name string) bool {
		return strings.Contains(name, "tfevents") || strings.Contains(name, "partial")
	}) {
		t.Errorf("replaced, there are %v", slices.Sorted(maps.Keys(files)))
	}
}

// fields splits a message of protocol buffers.
func fields(t *testing.T, b []byte) map[protowire.Number][][]byte {
	t.Helper()
	found := map[protowire.Number][][]byte{}
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		content := b[:n]
		if kind == protowire.BytesType {
			content, _ = protowire.ConsumeBytes(b)
		}
		found[number], b = append(found[number], content), b[n:]
	}
	return found
}

func TestTensorBoard(t *testing.T) {
	all := stored(t)
	dir := filepath.Join(t.TempDir(), "events")
	if err := Write(t.Context(), dir, all, Options{Format: TensorBoard}); err != nil {
		t.Fatal(err)
	}
	reached, err := all[1].Result()
	if err != nil {
		t.Fatal(err)
	}
	epochs, err := all[1].Epochs()
	if err != nil {
		t.Fatal(err)
	}
	files := tree(t, dir)
	if len(files) != 4 { // and the marker
		t.Fatalf("files %v", slices.Sorted(maps.Keys(files)))
	}
	for name, text := range files {
		if !strings.Contains(name, all[1].ID) {
			continue
		}
		if want := "_a___b___-" + all[1].ID; filepath.Dir(name) != want {
			t.Errorf("folder %q, want %q", filepath.Dir(name), want)
		}
		scalars := map[string]map[uint64]float32{}
		for b := []byte(text); len(b) > 0; {
			n := binary.LittleEndian.Uint64(b)
			content := b[12 : 12+n]
			if binary.LittleEndian.Uint32(b[8:]) != masked(b[:8]) || binary.LittleEndian.Uint32(b[12+n:]) != masked(content) {
				t.Fatal("a checksum is wrong")
			}
			b = b[16+n:]
			e := fields(t, content)
			if version := e[3]; version != nil {
				if string(version[0]) != "brain.Event:2" {
					t.Errorf("version %q", version)
				}
				continue
			}
			step := uint64(0)
			if e[2] != nil {
				step, _ = protowire.ConsumeVarint(e[2][0])
			}
			for _, value := range fields(t, e[5][0])[1] {
				v := fields(t, value)
				tag := string(v[1][0])
				if tag == "spec" {
					if shown := string(fields(t, v[8][0])[8][0]); !strings.Contains(shown, "node_dim") && !strings.Contains(shown, "layers = 2") {
						t.Errorf("spec is shown as %s", shown)
					}
					continue
				}
				if scalars[tag] == nil {
					scalars[tag] = map[uint64]float32{}
				}
				scalars[tag][step] = math.Float32frombits(binary.LittleEndian.Uint32(v[2][0]))
			}
		}
		for tag, want := range map[string]map[uint64]float32{
			"train/loss":     {1: float32(epochs[0].Loss), 2: float32(epochs[1].Loss), 3: float32(epochs[2].Loss)},
			"validation/mae": {2: float32(epochs[1].Validation.Mean.MAE), 3: float32(epochs[2].Validation.Mean.MAE)},
			"result/mae":     {3: float32(reached.Test.Mean.MAE)},
			"result/mae.12":  nil,
		} {
			if !maps.Equal(scalars[tag], want) {
				t.Errorf("%s is %v, want %v", tag, scalars[tag], want)
			}
		}
	}
	// The check value of CRC-32C, 0xe3069283, turned and shifted as TFRecord says.
	sum := uint32(0xe3069283)
	if got := masked([]byte("123456789")); got != (sum>>15|sum<<17)+0xa282ead8 {
		t.Errorf("masked checksum %#x", got)
	}
}

func TestMLflow(t *testing.T) {
	all := stored(t)
	dir := filepath.Join(t.TempDir(), "mlruns")
	if err := Write(t.Context(), dir, all, Options{Format: MLflow}); err != nil {
		t.Fatal(err)
	}
	files := tree(t, dir)
	reached, err := all[1].Result()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"0/meta.yaml":                                        "experiment_id: \"0\"\n",
		"0/" + all[0].ID + "/meta.yaml":                      "run_id: \"" + all[0].ID + "\"\n",
		"0/" + all[1].ID + "/meta.yaml":                      "run_name: \"../a, \\\"b\\\" ü\"\n",
		"0/" + all[2].ID + "/meta.yaml":                      "status: 5\n",
		"0/" + all[1].ID + "/params/prune.rho":               "0.5",
		"0/" + all[1].ID + "/params/model.options.layers":    "2",
		"0/" + all[1].ID + "/tags/mlflow.note.content":       "two\nlines",
		"0/" + all[1].ID + "/metrics/result.mae":             fmt.Sprintf(" %s 3\n", strconv.FormatFloat(reached.Test.Mean.MAE, 'g', -1, 64)),
		"0/" + all[1].ID + "/artifacts/spec.toml":            "layers = 2",
		"0/" + all[2].ID + "/metrics/selection.score_cv":     " 0 1\n",
		"0/" + all[1].ID + "/params/name":                    "../a, \"b\" ü",
		"0/" + all[2].ID + "/tags/stprune.status":            "interrupted",
		"0/" + all[0].ID + "/tags/mlflow.source.type":        "LOCAL",
		"0/" + all[0].ID + "/metrics/validation.pooled.rmse": " 2\n",
	} {
		if !strings.Contains(files[name], want) {
			t.Errorf("%s is %q, want %q in it", name, files[name], want)
		}
	}
	for _, gone := range []string{"0/" + all[0].ID + "/params/prune.rho", "0/" + all[2].ID + "/metrics/result.mae", "0/" + all[0].ID + "/tags/mlflow.note.content"} {
		if text, ok := files[gone]; ok {
			t.Errorf("%s is %q", gone, text)
		}
	}
	if lines := bytes.Count([]byte(files["0/"+all[1].ID+"/metrics/loss"]), []byte("\n")); lines != 3 {
		t.Errorf("%d losses", lines)
	}
}
