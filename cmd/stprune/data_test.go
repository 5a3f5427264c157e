package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stprune/workbench/datasets"
)

// table writes a small CSV file and makes a folder of data sets.
func table(t *testing.T) (file, folder string) {
	t.Helper()
	folder = t.TempDir()
	t.Setenv(datasets.FoldersVariable, folder)
	dir := t.TempDir()
	for name, text := range map[string]string{
		"speed.csv": "time,a,b\n2021-03-28 01:00,61.5,-1\n2021-03-28 03:00,62,58\n2021-03-28 04:00,60.5,59\n2021-03-28 05:00,,58.5\n",
		"plain.csv": "61.5,58\n62,59.5\n61,57\n60.5,58\n",
		"graph.csv": "from,to,weight\na,b,0.5\n",
		"where.csv": "id,lat,lon\na,10,20\nb,11,21\n",
		"ids.txt":   "a\nb\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "speed.csv"), folder
}

func says(t *testing.T, out string, wanted ...string) {
	t.Helper()
	for _, text := range wanted {
		if !strings.Contains(out, text) {
			t.Errorf("%q is not in\n%s", text, out)
		}
	}
}

func TestDataImport(t *testing.T) {
	file, folder := table(t)
	dir := filepath.Dir(file)
	out := output(t, 0, "data", "import", file, "--name", "speed", "--step", "1h", "--missing", "-1", "--graph", filepath.Join(dir, "graph.csv"),
		"--coords", filepath.Join(dir, "where.csv"), "--unit", "mph", "--licence", "CC0", "--source", "a test", "--note", "two\nlines")
	says(t, out, "4 steps × 2 nodes", "a row each 1h, gaps: 1", "25 %, as NaN or -1", "edges: 1", "mph", "CC0", "two lines",
		"note: its time stamps are not 1h apart in 1 place; 2021-03-28 01:00 → 2021-03-28 03:00")
	s, err := datasets.Open(filepath.Join(folder, "speed"))
	if err != nil {
		t.Fatal(err)
	}
	if s.Missing != -1 || s.Coords[1] != [2]float64{11, 21} || s.Graph == nil || s.Unit != "mph" || s.Valid(0, 1) || !s.Valid(1, 1) {
		t.Errorf("%+v", s)
	}

	says(t, output(t, exitFailure, "data", "import", file, "--name", "speed"), "exists", "--replace")
	output(t, 0, "data", "import", file, "--name", "speed", "--replace")
	if card, err := datasets.OpenCard(filepath.Join(folder, "speed")); err != nil || !math.IsNaN(float64(card.Missing)) || card.Edges != 0 {
		t.Errorf("replaced: %+v, %v", card, err)
	}

	// The rest of the flags, and another folder.
	other := filepath.Join(t.TempDir(), "new")
	output(t, 0, "data", "import", filepath.Join(dir, "plain.csv"), "--name", "plain", "--to", other, "--step", "1d", "--start", "2021-01-01", "--node-ids", filepath.Join(dir, "ids.txt"))
	if s, err = datasets.Open(filepath.Join(other, "plain")); err != nil || s.Nodes[1] != "b" || s.Calendar.DayOfWeek(1) != 5 {
		t.Errorf("%+v, %v", s, err)
	}
	output(t, 0, "data", "import", filepath.Join(dir, "plain.csv"), "--name", "slots", "--to", other, "--step", "1h", "--start", "2021-01-01 05:00", "--slots", "2")
	if s, err = datasets.Open(filepath.Join(other, "slots")); err != nil || s.Calendar.Time(2).Hour() != 5 {
		t.Errorf("%+v, %v", s, err)
	}
}

// What is refused leaves nothing behind.
func TestDataImportRefuses(t *testing.T) {
	file, folder := table(t)
	plain := filepath.Join(filepath.Dir(file), "plain.csv")
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{exitUsage, "--name", []string{file}},
		{exitUsage, "5m, 1h or 1d", []string{file, "--name", "x", "--step", "often"}},
		{exitUsage, "5m, 1h or 1d", []string{file, "--name", "x", "--step=-5m"}},
		{exitUsage, "5m, 1h or 1d", []string{file, "--name", "x", "--step", "0d"}},
		{exitUsage, "2017-01-31", []string{file, "--name", "x", "--start", "soon"}},
		{exitUsage, "number or nan", []string{file, "--name", "x", "--missing", "inf"}},
		{exitUsage, "number or nan", []string{file, "--name", "x", "--missing", "none"}},
		{exitUsage, "--channel", []string{file, "--name", "x", "--channel=-1"}},
		{exitUsage, "--slots", []string{file, "--name", "x", "--slots=-1"}},
		{exitFailure, "plain file name", []string{file, "--name", "../x"}},
		{exitFailure, "plain file name", []string{file, "--name", ".x"}},
		{exitFailure, "absent.csv", []string{filepath.Join(folder, "absent.csv"), "--name", "x"}},
		{exitFailure, "--start", []string{plain, "--name", "x", "--step", "5m"}},
		{exitFailure, "1h apart, not 5m", []string{file, "--name", "x", "--step", "5m"}},
		{exitFailure, "absent.csv", []string{file, "--name", "x", "--graph", filepath.Join(folder, "absent.csv")}},
		{exitFailure, "absent.csv", []string{file, "--name", "x", "--coords", filepath.Join(folder, "absent.csv")}},
	} {
		says(t, output(t, c.code, append([]string{"data", "import"}, c.args...)...), c.want)
		if entries, err := os.ReadDir(folder); err != nil || len(entries) != 0 {
			t.Fatalf("%v left %v, %v", c.args, entries, err)
		}
	}
}

func TestDataListAndShow(t *testing.T) {
	file, folder := table(t)
	output(t, 0, "data", "import", file, "--name", "speed", "--missing", "-1")
	if err := os.Mkdir(filepath.Join(folder, "torn"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "torn", "dataset.toml"), []byte("format = "), 0o644); err != nil {
		t.Fatal(err)
	}
	says(t, output(t, 0, "data", "list"), "speed", "4 × 2", "torn", "broken", "metr-la", "get, untried", "largest-ca", "by hand", folder)
	var listed []listedJSON
	if err := json.Unmarshal([]byte(output(t, 0, "data", "list", "--json")), &listed); err != nil {
		t.Fatal(err)
	}
	status := map[string]string{}
	for _, l := range listed {
		status[l.Name] = l.Status
	}
	if status["speed"] != "here" || status["torn"] != "broken" || status["pems-bay"] != "get" || status["knowair"] != "by hand" {
		t.Errorf("%v", status)
	}

	says(t, output(t, 0, "data", "show", "speed"), "4 steps × 2 nodes", "gaps: 1", "25 %", "sha256", "note: ")
	says(t, output(t, 0, "data", "show", filepath.Join(folder, "speed")), "4 steps × 2 nodes")
	var shown listedJSON
	if err := json.Unmarshal([]byte(output(t, 0, "data", "show", "speed", "--json")), &shown); err != nil {
		t.Fatal(err)
	}
	if shown.Card == nil || shown.Card.T != 4 || shown.Card.Missing != -1 || len(shown.Remarks) != 2 {
		t.Errorf("%+v", shown)
	}
	says(t, output(t, 0, "data", "show", "metr-la"), "34272 steps × 207 nodes", "stprune data get metr-la", "Untried")
	says(t, output(t, 0, "data", "show", "largest-ca"), "kaggle", "stprune data import")
	says(t, output(t, 0, "data", "show", "largest-ca", "--json"), `"by hand"`, `"tried": false`)
	says(t, output(t, exitFailure, "data", "show", "sped"), "speed")
	says(t, output(t, exitFailure, "data", "show", "torn"), "dataset.toml")
}

func TestDataGet(t *testing.T) {
	table(t)
	says(t, output(t, exitFailure, "data", "get", "largest-sd"), "kaggle", "stprune data import sd_his_2019.h5")
	says(t, output(t, exitFailure, "data", "get", "metrla"), "metr-la")
}

func TestDataSynth(t *testing.T) {
	_, folder := table(t)
	city := []string{"data", "synth", "--nodes", "6", "--days", "2", "--step", "15m", "--seed", "3"}
	says(t, output(t, 0, city...), "city-6-seed3", "192 steps × 6 nodes", "a row each 15m", "CC0")
	says(t, output(t, exitFailure, city...), "exists", "--replace")
	first, err := datasets.OpenCard(filepath.Join(folder, "city-6-seed3"))
	if err != nil {
		t.Fatal(err)
	}
	output(t, 0, append(city, "--name", "again")...)
	output(t, 0, append(city, "--name", "quiet", "--incidents", "0", "--dropout", "0", "--wet", "0", "--noise", "0", "--unit", "km/h", "--start", "2023-01-01")...)
	again, err := datasets.OpenCard(filepath.Join(folder, "again"))
	if err != nil || again.SHA256() != first.SHA256() || again.Name != "again" {
		t.Errorf("%+v, %v", again, err)
	}
	quiet, err := datasets.OpenCard(filepath.Join(folder, "quiet"))
	if err != nil || quiet.MissingShare != 0 || quiet.Unit != "km/h" || quiet.Start.Year != 2023 || quiet.SHA256() == first.SHA256() {
		t.Errorf("%+v, %v", quiet, err)
	}
	says(t, output(t, exitFailure, "data", "synth", "--nodes", "0"), "at least 1")
	says(t, output(t, exitFailure, "data", "synth", "--step", "7m"), "divide a day")
	says(t, output(t, exitUsage, "data", "synth", "--unit", "knots"), "--unit")
}

func TestDataVerify(t *testing.T) {
	file, folder := table(t)
	says(t, output(t, 0, "data", "verify"), "no data set", folder)
	for _, name := range []string{"one", "two"} {
		output(t, 0, "data", "import", file, "--name", name)
	}
	says(t, output(t, 0, "data", "verify"), "one: ", "two: ")
	values := filepath.Join(folder, "two", "values.f32")
	b, err := os.ReadFile(values)
	if err != nil {
		t.Fatal(err)
	}
	b[5] ^= 1
	if err := os.WriteFile(values, b, 0o644); err != nil {
		t.Fatal(err)
	}
	says(t, output(t, exitFailure, "data", "verify"), "one: every file", values, "checksum")
	output(t, 0, "data", "verify", "one")
	says(t, output(t, exitFailure, "data", "verify", "three"), "three")
}
