package datasets

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"
)

// BasicTS keeps a data set in a folder: data.dat, float32 [T,N,C] row-major and little-endian; desc.json, which has the shape; and
// often adj_mx.pkl.
const (
	basicDesc  = "desc.json"
	basicData  = "data.dat"
	basicGraph = "adj_mx.pkl"
)

// readBasicTS reads such a folder; path may also be its data.dat or desc.json.
func readBasicTS(ctx context.Context, path string, o ImportOptions) (*table, error) {
	dir := path
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		dir = filepath.Dir(path)
	}
	var desc struct {
		Shape      []int    `json:"shape"`
		Minutes    *float64 `json:"frequency (minutes)"`
		MinutesToo *float64 `json:"frequency_minutes"`
		Settings   struct {
			Missing *float64 `json:"NULL_VAL"`
		} `json:"regular_settings"`
	}
	if err := readJSON(filepath.Join(dir, basicDesc), &desc); err != nil {
		return nil, err
	}
	data := filepath.Join(dir, basicData)
	f, err := openCounted(data, o.Progress)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	width, number, err := elementType("<f4")
	if err != nil {
		return nil, err
	}
	s, err := newElementStream(bufio.NewReaderSize(f, 1<<18), f.total, desc.Shape, width, number)
	if err != nil {
		return nil, fmt.Errorf("%s: by %s, %w", data, basicDesc, err)
	}
	t, err := channelTable(ctx, s, o.Channel, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: by %s, %w", data, basicDesc, err)
	}
	for _, minutes := range []*float64{desc.Minutes, desc.MinutesToo} {
		if minutes != nil && *minutes > 0 && *minutes < 1e6 {
			t.Step = time.Duration(*minutes * float64(time.Minute))
		}
	}
	if m := desc.Settings.Missing; m != nil && float32(*m) != o.Missing {
		t.Remarks = append(t.Remarks, fmt.Sprintf("%s says that %g marks missing measurements; --missing says otherwise", basicDesc, *m))
	}
	graph := filepath.Join(dir, basicGraph)
	if _, err := os.Stat(graph); err == nil && o.Graph == "" {
		if err := t.pickledGraph(graph); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// pickledGraph takes the graph, and the node ids if it names them.
func (t *table) pickledGraph(path string) error {
	ids, _, err := readPickle(path)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	nodes := ids
	if len(ids) == t.N {
		t.Nodes = ids
	} else {
		nodes = counted(t.N)
	}
	t.Graph, err = ReadGraph(path, nodes)
	return err
}

const maxJSON = 16 << 20

// notNumber is a NaN as Python writes it into JSON, which has none.
var notNumber = regexp.MustCompile(`([:,\[]\s*)(NaN|-?Infinity)`)

// readJSON reads a file of JSON as Python writes it. Values that JSON has no name for are left out.
func readJSON(path string, to any) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxJSON+1))
	if err != nil {
		return err
	}
	if len(text) > maxJSON {
		return fmt.Errorf("%s: larger than %d MB; a short description is expected", path, maxJSON>>20)
	}
	if err := json.Unmarshal(notNumber.ReplaceAll(text, []byte("${1}null")), to); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func isBasicTS(c candidate) bool {
	return slices.Contains(c.entries, basicDesc) && slices.Contains(c.entries, basicData) || c.name == basicDesc || c.name == basicData
}
