package datasets

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// publisher serves files over the loopback, and says how often each was asked for.
func publisher(t *testing.T, content map[string]string) (url string, asked func(string) int) {
	t.Helper()
	dir := files(t, content)
	counts := map[string]*atomic.Int32{}
	for name := range content {
		counts[name] = &atomic.Int32{}
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/")
		if n := counts[name]; n != nil {
			n.Add(1)
		}
		http.ServeFile(w, r, filepath.Join(dir, filepath.Base(name)))
	}))
	t.Cleanup(server.Close)
	return server.URL + "/", func(name string) int { return int(counts[name].Load()) }
}

// city is an entry whose files are a twin's.
func city(t *testing.T) (e Entry, asked func(string) int) {
	s := twin()
	content := map[string]string{
		"v.npz": string(npzOf(zip.Deflate, member{"data", npyOf("<f4", false, []int{s.T, s.N, 2}, s.channels(2, 1))}, member{"other", nil})),
		"ids":   strings.Join(s.Nodes, "\n"),
		"g.csv": "from,to,weight\n410,52,0.5\n",
		"c.csv": "id,lat,lon\n",
	}
	for i, id := range s.Nodes {
		content["c.csv"] += fmt.Sprintf("%s,%d,%d.5\n", id, i, i)
	}
	url, asked := publisher(t, content)
	e = Entry{Name: "city", T: s.T, N: s.N, Step: s.Calendar.Step, Unit: "mph", Licence: "CC0", Source: "a test",
		importing: importing{file: "v.npz", key: "data", channel: 1, start: "2021-05-01", missing: "nan", nodes: "ids", graph: "g.csv", coords: "c.csv"}}
	for _, name := range []string{"v.npz", "ids", "g.csv", "c.csv"} {
		e.Files = append(e.Files, Remote{Name: name, URL: url + name, Checksum: sum256([]byte(content[name]))})
	}
	return e, asked
}

func TestGet(t *testing.T) {
	e, asked := city(t)
	folder := filepath.Join(t.TempDir(), "sets")
	told := map[string]bool{}
	s, err := quick().dataset(t.Context(), e, folder, func(file string, done, total int64) { told[file] = done == total })
	if err != nil {
		t.Fatal(err)
	}
	want := twin()
	want.Graph = &Graph{N: want.N, Edges: []Edge{{0, 1, 0.5}}}
	if s.Hash() != want.Hash() || s.Coords[3] != [2]float64{3, 3.5} || s.Unit != "mph" || s.Name != "city" {
		t.Errorf("%+v", s)
	}
	saved, err := Open(filepath.Join(folder, "city"))
	if err != nil || saved.Hash() != s.Hash() {
		t.Fatalf("saved: %v", err)
	}
	if card, err := OpenCard(filepath.Join(folder, "city")); err != nil || card.Licence != "CC0" || card.Source != "a test" {
		t.Errorf("card %+v, %v", card, err)
	}
	if entries, _ := os.ReadDir(folder); len(entries) != 1 {
		t.Errorf("left in the folder: %v", entries)
	}
	if !told["v.npz"] || !told["g.csv"] || asked("v.npz") != 1 {
		t.Errorf("progress of %v; v.npz was asked for %d times", told, asked("v.npz"))
	}
}

// After a failure the downloads stay, and nothing else.
func TestGetFails(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Entry)
		says   []string
	}{
		"another checksum": {func(e *Entry) { e.Files[2].Checksum = sum256(nil) }, []string{"g.csv", "checksum"}},
		"absent":           {func(e *Entry) { e.Files[2].URL += "x" }, []string{"g.csv", "404", "by other means"}},
		"another size":     {func(e *Entry) { e.T++ }, []string{"120 steps × 9 nodes", "121 × 9", "stprune data import", "--channel 1"}},
		"not readable":     {func(e *Entry) { e.key = "nothing" }, []string{"importing city", `no array "nothing"`}},
		"bad entry":        {func(e *Entry) { e.graph = "x.csv" }, []string{"x.csv is not among its files"}},
		"bad start":        {func(e *Entry) { e.start = "soon" }, []string{"soon"}},
		"bad missing":      {func(e *Entry) { e.missing = "" }, []string{"missing value"}},
	} {
		e, asked := city(t)
		right := e
		right.Files = slices.Clone(e.Files)
		c.change(&e)
		folder := t.TempDir()
		_, err := quick().dataset(t.Context(), e, folder, nil)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for _, text := range c.says {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%s: %q is not in the error: %v", name, text, err)
			}
		}
		if len(List([]string{folder})) != 0 {
			t.Errorf("%s: there is a data set", name)
		}
		if _, err := quick().dataset(t.Context(), right, folder, nil); err != nil || asked("v.npz") != 1 {
			t.Errorf("%s: asked again: %v; v.npz was asked for %d times", name, err, asked("v.npz"))
		}
	}
}

// A file that was brought by other means isn't downloaded.
func TestGetWithoutNetwork(t *testing.T) {
	e, asked := city(t)
	folder := t.TempDir()
	downloads := filepath.Join(folder, downloadsFolder, e.Name)
	if err := os.MkdirAll(downloads, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(downloads, "g.csv"), []byte("from,to,weight\n410,52,0.5\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := quick().dataset(t.Context(), e, folder, nil); err != nil || asked("g.csv") != 0 {
		t.Errorf("%v; g.csv was asked for %d times", err, asked("g.csv"))
	}
}

func TestGetCancelled(t *testing.T) {
	e, _ := city(t)
	folder := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	_, err := quick().dataset(ctx, e, folder, func(string, int64, int64) { cancel() })
	if !errors.Is(err, context.Canceled) || len(List([]string{folder})) != 0 {
		t.Errorf("error %v, %v", err, List([]string{folder}))
	}
}

// What needs no download.
func TestGetByName(t *testing.T) {
	folder := t.TempDir()
	var byHand *ByHandError
	if _, err := Get(t.Context(), "largest-sd", folder, nil); !errors.As(err, &byHand) || !strings.Contains(err.Error(), "kaggle") || !strings.Contains(err.Error(), "stprune data import sd_his_2019.h5") {
		t.Errorf("by hand: %v", err)
	}
	if _, err := Get(t.Context(), "pems4", folder, nil); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "pems04") {
		t.Errorf("slip of the pen: %v", err)
	}
	if _, err := Get(t.Context(), "weather of mars", folder, nil); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "metr-la") {
		t.Errorf("unknown: %v", err)
	}
	s := twin()
	if err := Save(filepath.Join(folder, "metr-la"), s, Card{}); err != nil {
		t.Fatal(err)
	}
	t.Setenv(FoldersVariable, folder)
	if got, err := Get(t.Context(), "metr-la", "", nil); err != nil || got.Hash() != s.Hash() {
		t.Errorf("what is there: %v", err)
	}
}

// Every entry's options can be made, and say what its command says.
func TestCatalogueOptions(t *testing.T) {
	for _, e := range Catalogue() {
		if e.ByHand != "" {
			continue
		}
		o, err := e.options("d")
		if err != nil {
			t.Error(err)
			continue
		}
		command := e.ImportCommand("d")
		for flag, value := range map[string]string{"--graph": o.Graph, "--coords": o.Coords, "--node-ids": o.NodeIDs, "--key": o.Key} {
			if value != "" && !strings.Contains(command, flag+" "+value) {
				t.Errorf("%s: %s %s is not in %s", e.Name, flag, value, command)
			}
		}
		if !o.Start.IsZero() && !strings.Contains(command, "--start "+o.Start.Format(time.DateOnly)) {
			t.Errorf("%s: start %v; %s", e.Name, o.Start, command)
		}
	}
}
