package datasets

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// small is a series with everything that a folder can hold.
func small() *Series {
	s := &Series{
		Name: "small", Unit: "mph", T: 5, N: 3, Missing: 0,
		Values:   []float32{1, 2, 3, 0, 5, 6, 7, float32(math.NaN()), 9, 10, 11, 12, 13, 14.5, -15},
		Nodes:    []string{"a", "b,with comma", `c "quoted"`},
		Coords:   [][2]float64{{37.25, -121.5}, {0, 0.1}, {-90, 180}},
		Graph:    &Graph{N: 3, Edges: []Edge{{0, 1, 0.1}, {1, 0, 1}, {2, 2, 0.33333334}}},
		Calendar: Calendar{Start: time.Date(2017, 3, 12, 1, 50, 0, 0, time.UTC), Step: 5 * time.Minute},
	}
	for _, minutes := range []int{0, 5, 70, 75, 80} { // a daylight-saving hour is absent
		s.Calendar.Times = append(s.Calendar.Times, s.Calendar.Start.Add(time.Duration(minutes)*time.Minute))
	}
	return s
}

func TestFolderRoundTrip(t *testing.T) {
	plain := small()
	plain.Coords, plain.Graph, plain.Calendar.Times, plain.Missing, plain.Calendar.Slots = nil, nil, nil, NoMissing(), 108
	for name, s := range map[string]*Series{"everything": small(), "plain": plain} {
		dir := filepath.Join(t.TempDir(), "sets", name)
		if err := Save(dir, s, Card{Licence: "CC0", Source: "a test"}); err != nil {
			t.Fatal(err)
		}
		got, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if got.Hash() != s.Hash() || got.Name != s.Name || got.Unit != s.Unit || !slices.Equal(got.Coords, s.Coords) || (got.Graph == nil) != (s.Graph == nil) {
			t.Errorf("%s: read back %+v; saved %+v", name, got, s)
		}
		_, times := os.Stat(filepath.Join(dir, timesFile))
		if (times == nil) != (s.Calendar.Times != nil) {
			t.Errorf("%s: times.csv: %v", name, times)
		}
		if err := Verify(dir); err != nil {
			t.Error(err)
		}
	}
}

func TestCard(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	if err := Save(dir, small(), Card{Name: "other", Licence: "CC0", Source: "a test", Mean: 99}); err != nil {
		t.Fatal(err)
	}
	c, err := OpenCard(dir)
	if err != nil {
		t.Fatal(err)
	}
	measured := []float64{1, 2, 3, 5, 6, 7, 9, 10, 11, 12, 13, 14.5, -15}
	mean, std := 0.0, 0.0
	for _, v := range measured {
		mean += v / 13
	}
	for _, v := range measured {
		std += (v - mean) * (v - mean) / 13
	}
	std = math.Sqrt(std)
	if math.Abs(c.Mean-mean) > 1e-12 || math.Abs(c.Std-std) > 1e-12 || math.Abs(c.MissingShare-2.0/15) > 1e-15 {
		t.Errorf("mean %g, std %g, missing %g; %g, %g, %g expected", c.Mean, c.Std, c.MissingShare, mean, std, 2.0/15)
	}
	if c.Name != "other" || c.Licence != "CC0" || c.Gaps != 1 || c.Edges != 3 || c.T != 5 || c.N != 3 || len(c.SHA256()) != 64 {
		t.Errorf("card %+v", c)
	}
}

// edit replaces text in a file.
func edit(t *testing.T, path, old, new string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		t.Fatalf("%s has no %q", path, old)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), old, new, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestDamagedFolders(t *testing.T) {
	flip := func(file string, at int) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			path := filepath.Join(dir, file)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			b[at] ^= 4
			if err := os.WriteFile(path, b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	truncate := func(file string, by int64) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			path := filepath.Join(dir, file)
			if err := os.Truncate(path, size(path)-by); err != nil {
				t.Fatal(err)
			}
		}
	}
	card := func(old, new string) func(*testing.T, string) {
		return func(t *testing.T, dir string) { edit(t, filepath.Join(dir, cardFile), old, new) }
	}
	cases := []struct {
		name   string
		damage func(*testing.T, string)
		want   error
		says   string
	}{
		{"values cut", truncate(valuesFile, 1), ErrSize, valuesFile},
		{"values grown", truncate(valuesFile, -4), ErrSize, valuesFile},
		{"values empty", truncate(valuesFile, 60), ErrSize, valuesFile},
		{"value bit", flip(valuesFile, 17), ErrChecksum, valuesFile},
		{"node bit", flip(nodesFile, 15), ErrChecksum, nodesFile},
		{"graph bit", flip(graphFile, 17), ErrChecksum, graphFile},
		{"times cut", truncate(timesFile, 3), ErrSize, timesFile},
		{"times bit", flip(timesFile, 12), ErrChecksum, timesFile},
		{"no values", func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, valuesFile)) }, os.ErrNotExist, valuesFile},
		{"no card", func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, cardFile)) }, os.ErrNotExist, "not a data set"},
		{"card cut", truncate(cardFile, 200), ErrCard, ""},
		{"unknown key", card("unit =", "units ="), ErrCard, "units"},
		{"other format", card("format = 1", "format = 2"), ErrCard, "format 2"},
		{"more steps", card("steps = 5", "steps = 6"), ErrCard, "6 steps"},
		{"very many steps", card("steps = 5", "steps = 9000000000000000000"), ErrCard, "steps"},
		{"no nodes", card("nodes = 3", "nodes = -3"), ErrCard, "nodes"},
		{"foreign file", card("nodes.csv", "../../x"), ErrCard, "../../x"},
		{"bad step", card("5m0s", "often"), ErrCard, "often"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "d")
			if err := Save(dir, small(), Card{}); err != nil {
				t.Fatal(err)
			}
			c.damage(t, dir)
			_, err := Open(dir)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v; %v and %q expected", err, c.want, c.says)
			}
			if c.want == ErrChecksum {
				if err := Verify(dir); !errors.Is(err, ErrChecksum) {
					t.Errorf("Verify: error %v; %v expected", err, ErrChecksum)
				}
				if _, err := Open(dir, Unverified()); errors.Is(err, ErrChecksum) {
					t.Errorf("Unverified: error %v", err)
				}
			}
		})
	}
}

// cramped is a disk with room for so many bytes.
func cramped(room int) func(string) (file, error) {
	return func(path string) (file, error) {
		f, err := createFile(path)
		return &crampedFile{f, &room}, err
	}
}

type crampedFile struct {
	file
	room *int
}

func (f *crampedFile) Write(p []byte) (int, error) {
	n := min(len(p), *f.room)
	*f.room -= n
	if n, err := f.file.Write(p[:n]); err != nil || n < len(p) {
		return n, errors.Join(err, syscall.ENOSPC)
	}
	return len(p), nil
}

func TestFullDisk(t *testing.T) {
	s := small()
	whole := filepath.Join(t.TempDir(), "d")
	if err := Save(whole, s, Card{}); err != nil {
		t.Fatal(err)
	}
	total := 0
	entries, _ := os.ReadDir(whole)
	for _, e := range entries {
		total += int(size(filepath.Join(whole, e.Name())))
	}
	for _, before := range []bool{false, true} {
		for room := 0; room <= total; room += 13 {
			parent := t.TempDir()
			dir := filepath.Join(parent, "d")
			if before {
				if err := Save(dir, s, Card{Note: "first"}); err != nil {
					t.Fatal(err)
				}
			}
			if err := save(dir, s, Card{Note: "second"}, cramped(room)); !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("room for %d of %d bytes: error %v", room, total, err)
			}
			entries, _ := os.ReadDir(parent)
			if before {
				if c, err := OpenCard(dir); err != nil || c.Note != "first" || len(entries) != 1 {
					t.Fatalf("room for %d bytes: the folder before is %v, %v; %v", room, c.Note, err, entries)
				}
			} else if len(entries) != 0 {
				t.Fatalf("room for %d bytes: %v is left", room, entries)
			}
		}
	}
}

func TestSaveReplaces(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "d")
	for _, note := range []string{"one", "two"} {
		if err := Save(dir, small(), Card{Note: note}); err != nil {
			t.Fatal(err)
		}
		if c, err := OpenCard(dir); err != nil || c.Note != note {
			t.Errorf("note %q, error %v; %q expected", c.Note, err, note)
		}
	}
	if entries, _ := os.ReadDir(parent); len(entries) != 1 {
		t.Errorf("left beside the folder: %v", entries)
	}
	foreign := filepath.Join(parent, "home")
	if err := os.MkdirAll(filepath.Join(foreign, "papers"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Save(foreign, small(), Card{}); err == nil {
		t.Error("a folder that is no data set was replaced")
	}
	twice := small()
	twice.Nodes[1] = "a"
	if err := Save(filepath.Join(parent, "twice"), twice, Card{}); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("repeated node id: error %v", err)
	}
}

func ExampleSave() {
	folder, err := os.MkdirTemp("", "data")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(folder)
	s := &Series{
		Name: "two roads", Unit: "km/h", T: 3, N: 2, Values: []float32{50, 80, 48, 0, 52, 82}, Nodes: []string{"north", "south"},
		Calendar: Calendar{Start: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), Step: 5 * time.Minute},
	}
	dir := filepath.Join(folder, "two-roads")
	if err := Save(dir, s, Card{Licence: "CC0", Source: "made up"}); err != nil {
		fmt.Println(err)
		return
	}
	card, err := OpenCard(dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s: %d × %d, mean %.1f %s, %.0f %% missing\n", card.Name, card.T, card.N, card.Mean, card.Unit, 100*card.MissingShare)
	// Output: two roads: 3 × 2, mean 62.4 km/h, 17 % missing
}
