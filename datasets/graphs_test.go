package datasets

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sbinet/npyio"
)

// shared is the path of a file of real data, which only some machines have.
func shared(t *testing.T, parts ...string) string {
	t.Helper()
	dir := os.Getenv("STPRUNE_SHARED")
	if dir == "" {
		t.Skip("STPRUNE_SHARED names no folder of real fixtures")
	}
	return filepath.Join(append([]string{dir}, parts...)...)
}

func writeText(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if strings.HasSuffix(name, ".gz") {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		io.WriteString(z, text)
		z.Close()
		text = b.String()
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// near compares edges, weights to 1e-6.
func near(t *testing.T, what string, got *Graph, want ...Edge) {
	t.Helper()
	same := len(got.Edges) == len(want)
	for i := 0; same && i < len(want); i++ {
		g, w := got.Edges[i], want[i]
		same = g.From == w.From && g.To == w.To && math.Abs(float64(g.Weight-w.Weight)) < 1e-6
	}
	if !same {
		t.Errorf("%s: edges %v; %v expected", what, got.Edges, want)
	}
}

func TestReadGraphCSV(t *testing.T) {
	abc := []string{"a", "b", "c"}
	counted := []string{"0", "1", "2"}
	weights := []Edge{{0, 0, 1}, {0, 1, 0.5}, {2, 0, 0.25}}
	roads := []Edge{{0, 1, 1}, {1, 0, 1}, {1, 2, 1}, {2, 1, 1}}
	// Distances 0, 0, 0, 2, 4: mean 1.2, σ = √(20/5 − 1.44) = 1.6.
	kernel := []Edge{{0, 0, 1}, {0, 1, float32(math.Exp(-1.5625))}, {1, 1, 1}, {2, 2, 1}}
	for _, c := range []struct {
		name, file, text string
		nodes            []string
		want             []Edge
	}{
		{"weights", "g.csv", "from,to,weight\na,a,1\na,b,0.5\nc,a,0.25\nb,c,0\n", abc, weights},
		{"weights of more nodes", "g.csv", "from,to,weight\nx,a,1\na,a,1\na,b,0.5\nc,a,0.25\nc,x,3\n", abc, weights},
		{"packed, mark, other separator, spaces", "g.csv.gz", "\ufefffrom; to; weight\r\na; a; 1\r\na; b; 0.5\r\nc; a; 0.25\r\n", abc, weights},
		{"LibCity's names", "city.rel", "rel_id,type,origin_id,destination_id,link_weight\n0,geo,a,a,1\n1,geo,a,b,.5\n2,geo,c,a,.25\n", abc, weights},
		{"last wins", "g.csv", "from,to,weight\na,a,7\na,b,0.5\nc,a,0.25\na,a,1\n", abc, weights},
		{"positions", "g.csv", "from,to,weight\n0,0,1\n0,1,0.5\n2,0,0.25\n", abc, weights},
		{"no weights", "g.csv", "source,target\na,b\nc,b\n", abc, []Edge{{0, 1, 1}, {2, 1, 1}}},
		{"DCRNN's distances", "d.csv", "from,to,cost\na,a,0\na,b,2\na,c,4\nb,b,0\nc,c,0\n", abc, kernel},
		{"without a header", "d.csv", "a,a,0.0\na,b,2\na,c,4\nb,b,0\nc,c,0\n", abc, kernel},
		{"distances of more nodes", "d.csv", "x,a,9000\na,a,0.0\na,b,2\na,c,4\nb,b,0\nc,c,0\nx,x,0\n", abc, kernel},
		{"last distance wins", "d.csv", "from,to,distance\na,a,0\na,b,99\na,b,2\na,c,4\nb,b,0\nc,c,0\n", abc, kernel},
		{"neighbours", "PEMS04.csv", "from,to,cost\n0,1,352.6\n1,2,20\n1,0,17\n", counted, roads},
		{"neighbours by id, a loop", "PEMS03.csv", "from,to,distance\na,b,0.8\nc,b,1.3\nb,b,0\n", abc,
			[]Edge{{0, 1, 1}, {1, 0, 1}, {1, 1, 1}, {1, 2, 1}, {2, 1, 1}}},
		{"matrix", "m.csv", "1,0.5,0\n0,0,0\n0.25,0,0\n", abc, weights},
		{"matrix, spaces", "m.txt", "1.0 0.5 0.0\n0 0 0\n0.25 0 0\n", abc, weights},
		{"pandas", "m.csv", ",c,x,b,a\nc,0,0,0,0.25\nx,1,1,1,1\nb,0,0,0,0\na,0,5,0.5,1\n", abc, weights},
		{"R", "m.csv", "\"a\",\"b\",\"c\"\n\"a\",1,0.5,0\n\"b\",0,0,0\n\"c\",0.25,0,0\n", abc, weights},
		{"header only", "m.csv", "a,b,c\n1,0.5,0\n0,0,0\n0.25,0,0\n", abc, weights},
		{"header of numbers", "m.csv", "7,8,9,5\n1,0.5,0,9\n0,0,0,9\n0.25,0,0,9\n9,9,9,9\n", []string{"7", "8", "9"}, weights},
		{"numbers like a header", "m.csv", "0,1,2,3\n1,0,0,0\n2,0,0,0\n3,0,0,0\n", append(counted, "3"),
			[]Edge{{0, 1, 1}, {0, 2, 2}, {0, 3, 3}, {1, 0, 1}, {2, 0, 2}, {3, 0, 3}}},
		{"list of three", "l.csv", "0,1,2\n1,0,2\n1,2,2\n", counted, roads},
		{"counting header", "m.csv", "0,1,2\n1,0.5,0\n0,0,0\n0.25,0,0\n", abc, weights},
		{"one node", "m.csv", "1\n", []string{"a"}, []Edge{{0, 0, 1}}},
		// σ of 0, 0, 0, 1, 1, 2, 2, 9, 9: mean 8/3, σ = √(172/9 − 64/9).
		{"matrix of distances", "m.csv", "0,1,9\n1,0,2\n9,2,0\n", abc,
			[]Edge{{0, 0, 1}, {0, 1, float32(math.Exp(-1. / 12))}, {1, 0, float32(math.Exp(-1. / 12))}, {1, 1, 1},
				{1, 2, float32(math.Exp(-4. / 12))}, {2, 1, float32(math.Exp(-4. / 12))}, {2, 2, 1}}},
	} {
		g, err := ReadGraph(writeText(t, c.file, c.text), c.nodes)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if g.N != len(c.nodes) {
			t.Errorf("%s: %d nodes", c.name, g.N)
		}
		near(t, c.name, g, c.want...)
	}
}

// An import says what became of the graph's numbers.
func TestImportedGraphsRule(t *testing.T) {
	series := writeText(t, "s.csv", "time,a,b,c\n2024-01-01 00:00,1,2,3\n2024-01-01 01:00,2,3,4\n2024-01-01 02:00,4,3,2\n")
	for name, c := range map[string]struct{ text, want string }{
		"weights":    {"from,to,weight\na,b,1\n", ""},
		"matrix":     {"1,0.5,0\n0,0,0\n0.25,0,0\n", ""},
		"distances":  {"from,to,cost\na,a,0\na,b,2\na,c,4\nb,b,0\nc,c,0\n", kernelRule},
		"all":        {"0,1,9\n1,0,2\n9,2,0\n", kernelRule},
		"neighbours": {"from,to,cost\na,b,352.6\nb,c,20\n", neighboursRule},
	} {
		var rules []string
		_, err := Import(t.Context(), series, ImportOptions{Graph: writeText(t, "g.csv", c.text), Remark: func(r string) {
			if rule, ok := strings.CutPrefix(r, "of the graph: "); ok {
				rules = append(rules, rule)
			}
		}})
		if got := strings.Join(rules, "; "); err != nil || got != c.want {
			t.Errorf("%s: %q (%v), want %q", name, got, err, c.want)
		}
	}
}

func TestReadGraphErrors(t *testing.T) {
	abc := []string{"a", "b", "c"}
	for _, c := range []struct {
		name, text string
		nodes      []string
		says       []string
	}{
		{"matrix of another size", "1,0\n0,1\n", abc, []string{"2 × 2", "3 nodes", "from,to,weight"}},
		{"no common id", "from,to,weight\nx,y,1\ny,z,1\n", abc, []string{"x, y, z", "a, b, c", "3"}},
		{"positions beyond", "from,to,weight\n0,3,1\n", abc, []string{"0, 3"}},
		{"ids lack nodes", ",a,x\na,1,0\nx,0,1\n", abc, []string{"2 nodes", "3", "b, c"}},
		{"rows in another order", ",a,b,c\nb,0,0,0\na,0,0,0\nc,0,0,0\n", abc, []string{"row 1", "b", "a"}},
		{"id twice", ",a,b,c,a\na,0,0,0,0\nb,0,0,0,0\nc,0,0,0,0\na,0,0,0,0\n", abc, []string{"a", "unique"}},
		{"too few rows", "1,0,0\n0,1,0\n", abc, []string{"2 rows of 3"}},
		{"too many rows", "1,0,0,0\n0,1,0,0\n1,1,1,1\n1,1,1,1\n1,1,1,1\n", append(abc, "d"), []string{"row 5"}},
		{"ragged", "1,0,0,0\n0,1,0\n1,1,1,1\n1,1,1,1\n", append(abc, "d"), []string{"row 2"}},
		{"no number", "1,0,0,0\n0,1,x,0\n1,1,1,1\n1,1,1,1\n", append(abc, "d"), []string{"row 2, column 3", "x"}},
		{"not finite", "from,to,weight\na,b,inf\n", abc, []string{"edge 1", "inf"}},
		{"not finite in a matrix", "1,0,0,0\n0,1,nan,0\n1,1,1,1\n1,1,1,1\n", append(abc, "d"), []string{"finite"}},
		{"negative distance", "from,to,cost\na,a,0\nb,b,0\na,b,-1\n", abc, []string{"-1"}},
		{"equal distances", "from,to,cost\na,a,0\nb,b,0\n", abc, []string{"equal"}},
		{"short row", "from,to,weight\na,b\n", abc, []string{"edge 1"}},
		{"unknown third column", "from,to,speed\na,b,1\n", abc, []string{"speed", "weight"}},
		{"no edges", "from,to,weight\n", abc, []string{"no edges"}},
		{"nothing", "", abc, []string{"empty"}},
		{"same node twice", "from,to,weight\na,b,1\n", []string{"a", "a"}, []string{"two nodes a"}},
		{"no nodes", "from,to,weight\na,b,1\n", nil, []string{"no nodes"}},
		{"one long line", strings.Repeat("0", maxRecord+1), abc, []string{"line of more than"}},
	} {
		path := writeText(t, "g.csv.gz", c.text)
		_, err := ReadGraph(path, c.nodes)
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
	if _, err := ReadGraph(filepath.Join(t.TempDir(), "absent.csv"), abc); !os.IsNotExist(unwrapAll(err)) {
		t.Errorf("absent file: %v", err)
	}
}

func unwrapAll(err error) error {
	for {
		next, ok := err.(interface{ Unwrap() error })
		if !ok {
			return err
		}
		if _, isPath := err.(*os.PathError); isPath {
			return err
		}
		err = next.Unwrap()
	}
}

func TestReadGraphNPY(t *testing.T) {
	var b bytes.Buffer
	if err := npyio.Write(&b, [2][2]float32{{1, 0.5}, {0, 0.25}}); err != nil {
		t.Fatal(err)
	}
	path := writeText(t, "adj.npy", b.String())
	g, err := ReadGraph(path, []string{"a", "b"})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "npy", g, Edge{0, 0, 1}, Edge{0, 1, 0.5}, Edge{1, 1, 0.25})
	fortran := strings.Replace(strings.Replace(b.String(), "False", "True", 1), "}", "} ", 1)
	if g, err = ReadGraph(writeText(t, "adj.npy", fortran), []string{"a", "b"}); err != nil {
		t.Fatal(err)
	}
	near(t, "Fortran's order", g, Edge{0, 0, 1}, Edge{1, 0, 0.5}, Edge{1, 1, 0.25})
	if _, err := ReadGraph(path, []string{"a", "b", "c"}); err == nil || !strings.Contains(err.Error(), "2 × 2") || !strings.Contains(err.Error(), "3 nodes") {
		t.Errorf("another size: %v", err)
	}
	everyCut(t, b.Bytes(), "adj.npy", func(path string) error { _, err := ReadGraph(path, []string{"a", "b"}); return err })
}

// everyCut reads a file cut off at many lengths: there must be an error that names it, and no panic.
func everyCut(t *testing.T, whole []byte, name string, read func(path string) error) {
	t.Helper()
	dir := t.TempDir()
	for n := 0; n < len(whole); n += 1 + len(whole)/300 {
		path := filepath.Join(dir, fmt.Sprint(n)+name)
		if err := os.WriteFile(path, whole[:n], 0o644); err != nil {
			t.Fatal(err)
		}
		if err := read(path); err == nil {
			t.Errorf("%s cut off at %d of %d bytes: no error", name, n, len(whole))
		} else if !strings.Contains(err.Error(), path) {
			t.Errorf("%s cut off at %d bytes: the error doesn't name it: %v", name, n, err)
		}
		os.Remove(path)
	}
}

func TestReadGraphCutOff(t *testing.T) {
	packed := writeText(t, "m.csv.gz", "1,0.5,0\n0,0,0\n0.25,0,0\n")
	whole, err := os.ReadFile(packed)
	if err != nil {
		t.Fatal(err)
	}
	everyCut(t, whole, "m.csv.gz", func(path string) error { _, err := ReadGraph(path, []string{"a", "b", "c"}); return err })
}

// The reference's Gaussian kernel, float32.
func TestReadGraphGolden(t *testing.T) {
	arrays, err := ReadNPZ(shared(t, "goldens", "graph", "graph.npz"))
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	text.WriteString("from,to,cost\n")
	for i, d := range arrays["dcrnn_distance"].values {
		fmt.Fprintf(&text, "%v,%v,%v\n", arrays["dcrnn_from"].values[i], arrays["dcrnn_to"].values[i], d)
	}
	var nodes []string
	for _, id := range arrays["dcrnn_ids"].values {
		nodes = append(nodes, strconv.Itoa(int(id)))
	}
	g, err := ReadGraph(writeText(t, "d.csv", text.String()), nodes)
	if err != nil {
		t.Fatal(err)
	}
	compareDense(t, g, arrays["dcrnn_adj"].values, 2e-6)
}

func compareDense(t *testing.T, g *Graph, want []float64, tolerance float64) {
	t.Helper()
	for i, w := range g.Dense() {
		if math.Abs(float64(w)-want[i]) > tolerance {
			t.Errorf("weight %d → %d: %v; %v expected", i/g.N, i%g.N, w, want[i])
		}
	}
}

func header(t *testing.T, path string) []string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	start := make([]byte, 1<<14)
	n, _ := io.ReadFull(z, start)
	line, _, _ := strings.Cut(string(start[:n]), "\n")
	return strings.Split(strings.TrimSpace(line), ",")[1:]
}

// Road distances of PEMS-BAY give DCRNN's published adjacency.
func TestReadGraphBay(t *testing.T) {
	places, err := os.ReadFile(shared(t, "datasets", "pems-bay-67", "graph_sensor_locations_bay.csv"))
	if err != nil {
		t.Fatal(err)
	}
	var nodes []string
	for line := range strings.Lines(string(places)) {
		id, _, _ := strings.Cut(line, ",")
		nodes = append(nodes, id)
	}
	built, err := ReadGraph(shared(t, "datasets", "pems-bay-67", "distances_bay_2017.csv.gz"), nodes)
	if err != nil {
		t.Fatal(err)
	}
	published, err := ReadGraph(shared(t, "datasets", "pems-bay-67", "adj_bay_325.csv.gz"), nodes)
	if err != nil {
		t.Fatal(err)
	}
	want := make([]float64, built.N*built.N)
	for i, w := range published.Dense() {
		want[i] = float64(w)
	}
	if len(built.Edges) != len(published.Edges) {
		t.Errorf("%d edges; %d are published", len(built.Edges), len(published.Edges))
	}
	compareDense(t, built, want, 1e-5)
}

func TestReadGraphReal(t *testing.T) {
	bay := header(t, shared(t, "datasets", "pems-bay-67", "speed.csv.gz"))
	city, err := ReadGraph(shared(t, "datasets", "pems-bay-67", "adj_bay_325.csv.gz"), bay)
	if err != nil {
		t.Fatal(err)
	}
	loops := 0
	for _, e := range city.Edges {
		if e.From == e.To {
			loops++
		}
	}
	if city.N != len(bay) || loops != len(bay) {
		t.Errorf("%d nodes, %d loops; both should be %d", city.N, loops, len(bay))
	}
	checks := struct {
		Adj struct {
			Mean, Std, First, Last float64
			Nonzero                int
		} `json:"adj_mx.pkl"`
	}{}
	text, err := os.ReadFile(shared(t, "fixtures", "checks.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &checks); err != nil {
		t.Fatal(err)
	}
	var first []float32
	for _, name := range []string{"largest-rn_adj.npy", "libcity/PEMS_BAY20.rel"} {
		g, err := ReadGraph(shared(t, "fixtures", name), bay[:20])
		if err != nil {
			t.Error(err)
			continue
		}
		w := g.Dense()
		if first == nil {
			first = w
		} else if !slices.Equal(w, first) {
			t.Errorf("%s differs from largest-rn_adj.npy", name)
		}
		mean, std := moments(w)
		c := checks.Adj
		if len(g.Edges) != c.Nonzero || math.Abs(mean-c.Mean) > 1e-6 || math.Abs(std-c.Std) > 1e-6 || float64(w[0]) != c.First || float64(w[len(w)-1]) != c.Last {
			t.Errorf("%s: %d edges, mean %v, standard deviation %v; %+v expected", name, len(g.Edges), mean, std, c)
		}
	}
	for _, c := range []struct {
		name         string
		nodes, edges int
	}{{"beijing-subway-276/adjacency.csv.gz", 276, 630}, {"los-loop/los_adj.csv.gz", 207, 2833}, {"charged-ev/MEL/distance.csv.gz", 63, 2611}} {
		nodes := make([]string, c.nodes)
		for i := range nodes {
			nodes[i] = strconv.Itoa(i)
		}
		if g, err := ReadGraph(shared(t, "datasets", c.name), nodes); err != nil {
			t.Error(err)
		} else if len(g.Edges) != c.edges {
			t.Errorf("%s: %d edges; %d expected", c.name, len(g.Edges), c.edges)
		}
	}
}

// moments are the mean and the population standard deviation.
func moments(values []float32) (mean, std float64) {
	for _, v := range values {
		mean += float64(v) / float64(len(values))
	}
	for _, v := range values {
		std += (float64(v) - mean) * (float64(v) - mean) / float64(len(values))
	}
	return mean, math.Sqrt(std)
}
