package datasets

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
)

// ReadGraph reads a graph over the named nodes. What the file holds, its content says:
//
//   - A matrix of weights [N,N] as CSV (also .gz), .npy, .npz or pickle. CSV may have a row and a column of ids; a pickle is
//     DCRNN's list [ids, {id: index}, matrix] or the bare matrix. Entry (i,j) is the weight of the edge from i to j.
//   - A matrix of distances: its diagonal is 0, everything else is above 0, the largest entry above 1. DCRNN's rule applies.
//   - A list of edges as CSV (also .gz) with the columns from, to and weight, or LibCity's names of these. Weights are kept.
//   - A list of distances: columns from, to and cost or distance, or three columns without a header. Lists that hold the distance
//     0 of most nodes to themselves are DCRNN's (distances_la_2012.csv, distances_bay_2017.csv): all distances up to some radius.
//     DCRNN's rule applies. Other lists (PEMS03, 04, 07 and 08) name the neighbours along the roads, and the public code of STID
//     and BasicTS takes their distances as 0/1: both directions of every pair get weight 1.
//
// DCRNN's rule: weight = exp(−(d/σ)²), weights below 0.1 are dropped, σ is the (population) standard deviation of all distances
// among the nodes, those from nodes to themselves included. Nothing is made symmetric.
//
// Ids of the file that are not among the nodes are left out, so a graph of a whole city serves for a part of it. If no id is known
// and all are numbers from 0 to N−1, they count the nodes. Loops are as in the file. If a pair occurs twice, the last entry wins,
// as in the scripts that fill a matrix.
func ReadGraph(path string, nodes []string) (*Graph, error) {
	g, _, err := readGraph(path, nodes)
	return g, err
}

// What became of a graph's numbers.
const (
	kernelRule     = "its distances became weights by DCRNN's rule, exp(−(d/σ)²) from 0.1"
	neighboursRule = "it lists distances to neighbours along the roads; both directions of every pair got weight 1"
)

// readGraph also says which rule it followed; "" when weights are as in the file.
func readGraph(path string, nodes []string) (*Graph, string, error) {
	g, rule, err := parseGraph(path, nodes)
	if err != nil {
		return nil, "", fmt.Errorf("graph %s: %w", path, err)
	}
	if err := g.Check(); err != nil {
		return nil, "", fmt.Errorf("%s: %w", path, err)
	}
	return g, rule, nil
}

func parseGraph(path string, nodes []string) (g *Graph, rule string, err error) {
	if len(nodes) == 0 {
		return nil, "", errors.New("the series has no nodes")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	in := bufio.NewReader(f)
	start, err := in.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, "", err
	}
	switch {
	case len(start) == 0:
		return nil, "", errors.New("the file is empty")
	case bytes.HasPrefix(start, []byte("\x93NUMPY")):
		info, err := f.Stat()
		if err != nil {
			return nil, "", err
		}
		s, err := newArrayStream(in, info.Size())
		if err != nil {
			return nil, "", err
		}
		return streamedMatrix(s, nodes)
	case bytes.HasPrefix(start, []byte("PK\x03\x04")):
		return npzMatrix(path, nodes)
	case start[0] == '\x80' || strings.HasSuffix(path, ".pkl") || strings.HasSuffix(path, ".pickle"):
		ids, m, err := readPickle(path)
		if err != nil {
			return nil, "", err
		}
		return denseMatrix(m, ids, nodes)
	}
	rows, err := openCSVRows(path)
	if err != nil {
		return nil, "", err
	}
	defer rows.Close()
	return graphCSV(rows, nodes)
}

// denseMatrix is the graph of a matrix in memory; ids are those of its rows, nil if the file has none.
func denseMatrix(a Array, ids, nodes []string) (g *Graph, rule string, err error) {
	n, err := square(a.Shape)
	if err != nil {
		return nil, "", err
	}
	b, err := newMatrix(n, ids, nodes)
	if err != nil {
		return nil, "", err
	}
	for i := range n {
		b.row(i, a.values[i*n:(i+1)*n])
	}
	return b.graph()
}

// streamedMatrix is the graph of a matrix that is read row after row, since that of a large city fills gigabytes.
func streamedMatrix(s *arrayStream, nodes []string) (g *Graph, rule string, err error) {
	n, err := square(s.shape)
	if err != nil {
		return nil, "", err
	}
	b, err := newMatrix(n, nil, nodes)
	if err != nil {
		return nil, "", err
	}
	row := make([]float64, n)
	for i := range n {
		if _, err := s.read(row); err != nil {
			return nil, "", err
		}
		b.row(i, row)
	}
	g, rule, err = b.graph()
	if err == nil && s.fortran { // those were columns
		for i, e := range g.Edges {
			g.Edges[i].From, g.Edges[i].To = e.To, e.From
		}
		sortEdges(g.Edges)
	}
	return g, rule, err
}

func npzMatrix(path string, nodes []string) (g *Graph, rule string, err error) {
	arrays, err := ReadNPZ(path)
	if err != nil {
		return nil, "", err
	}
	var matrices []string
	for name, a := range arrays {
		if len(a.Shape) == 2 {
			matrices = append(matrices, name)
		}
	}
	if len(matrices) != 1 {
		slices.Sort(matrices)
		return nil, "", fmt.Errorf("%d matrices %q in it; exactly one is needed: save it alone with np.save", len(matrices), matrices)
	}
	return denseMatrix(arrays[matrices[0]], nil, nodes)
}

func square(shape []int) (int, error) {
	if len(shape) != 2 || shape[0] != shape[1] || shape[0] == 0 {
		return 0, fmt.Errorf("its shape is %v; a matrix [nodes,nodes] is needed", shape)
	}
	return shape[0], nil
}

// matrix collects the edges among the series' nodes from the rows of a matrix.
type matrix struct {
	nodes int
	at    []int32 // the node that a row (and column) of the source belongs to; −1 for none
	edges []Edge
}

func newMatrix(n int, ids, nodes []string) (*matrix, error) {
	m := &matrix{nodes: len(nodes)}
	if ids == nil {
		if n != len(nodes) {
			return nil, fmt.Errorf("a matrix %d × %d without ids, but the series has %d nodes; a graph of exactly these nodes, in their order, is needed, "+
				"or one that names its nodes (a list from,to,weight, or a header and first column of ids)", n, n, len(nodes))
		}
		for i := range n {
			m.at = append(m.at, int32(i))
		}
		return m, nil
	}
	if len(ids) != n {
		return nil, fmt.Errorf("%d ids for a matrix %d × %d; the file contradicts itself", len(ids), n, n)
	}
	where, err := placeIDs(ids, nodes)
	if err != nil {
		return nil, err
	}
	found := make([]bool, len(nodes))
	for _, id := range ids {
		i, ok := where[id]
		if !ok {
			i = -1
		} else if found[i] {
			return nil, fmt.Errorf("id %s names two rows; ids must be unique", id)
		} else {
			found[i] = true
		}
		m.at = append(m.at, i)
	}
	if missing := absent(nodes, found); missing != "" {
		return nil, fmt.Errorf("its %d nodes lack some of the series' %d: %s; leave these out of the series or get the graph that has them",
			n, len(nodes), missing)
	}
	return m, nil
}

// row takes the weights of the edges that leave the source's node i.
func (m *matrix) row(i int, weights []float64) {
	from := m.at[i]
	if from < 0 {
		return
	}
	for j, w := range weights {
		if to := m.at[j]; to >= 0 && w != 0 {
			m.edges = append(m.edges, Edge{from, to, float32(w)})
		}
	}
}

func (m *matrix) graph() (g *Graph, rule string, err error) {
	edges := m.edges
	if m.distances() {
		for i := range m.nodes {
			edges = append(edges, Edge{int32(i), int32(i), 0})
		}
		edges = slices.DeleteFunc(edges, func(e Edge) bool { return math.IsInf(float64(e.Weight), 1) }) // no way there
		rule = kernelRule
		if edges, err = gaussian(edges); err != nil {
			return nil, "", err
		}
	}
	sortEdges(edges)
	return &Graph{N: m.nodes, Edges: edges}, rule, nil
}

// distances reports whether this is a matrix of distances; see [ReadGraph].
func (m *matrix) distances() bool {
	if m.nodes < 3 || len(m.edges) != m.nodes*(m.nodes-1) {
		return false
	}
	largest := float32(0)
	for _, e := range m.edges {
		if e.From == e.To || !(e.Weight > 0) {
			return false
		}
		largest = max(largest, e.Weight)
	}
	return largest > 1
}

// gaussian turns edges with distances into edges with weights by DCRNN's rule; see [DistanceKernel].
func gaussian(edges []Edge) ([]Edge, error) {
	distances := make([]float64, len(edges))
	for i, e := range edges {
		distances[i] = float64(e.Weight)
	}
	weights, _, err := DistanceKernel(distances)
	if err != nil {
		return nil, err
	}
	kept := edges[:0]
	for i, e := range edges {
		if e.Weight = weights[i]; e.Weight > 0 {
			kept = append(kept, e)
		}
	}
	return kept, nil
}

func sortEdges(edges []Edge) {
	slices.SortFunc(edges, func(a, b Edge) int {
		if a.From != b.From {
			return int(a.From) - int(b.From)
		}
		return int(a.To) - int(b.To)
	})
}

// placeIDs finds the node of every id of a graph; ids that are not among the nodes are absent. See [ReadGraph].
func placeIDs(ids, nodes []string) (map[string]int32, error) {
	index := make(map[string]int32, len(nodes))
	for i, id := range nodes {
		if _, twice := index[id]; twice {
			return nil, fmt.Errorf("the series has two nodes %s; ids must be unique", id)
		}
		index[id] = int32(i)
	}
	where := make(map[string]int32)
	for _, id := range ids {
		if i, ok := index[id]; ok {
			where[id] = i
		}
	}
	if len(where) > 0 {
		return where, nil
	}
	for _, id := range ids {
		i, err := strconv.Atoi(id)
		if err != nil || i < 0 || i >= len(nodes) {
			return nil, fmt.Errorf("none of its %d node ids (%s) is one of the series' %d (%s); the ids of the series can be given in a file, one per line, if its own file has none",
				len(ids), few(ids), len(nodes), few(nodes))
		}
		where[id] = int32(i)
	}
	return where, nil
}

// few names up to three.
func few(names []string) string {
	if len(names) <= 3 {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:3], ", ") + ", …"
}

// absent names up to three of those not found.
func absent(names []string, found []bool) string {
	var missing []string
	for i, ok := range found {
		if !ok {
			missing = append(missing, names[i])
		}
	}
	return few(missing)
}

// graphCSV reads a matrix or a list of edges.
func graphCSV(rows *csvRows, nodes []string) (g *Graph, rule string, err error) {
	first, err := rows.peek(5)
	if err != nil {
		return nil, "", err
	}
	if len(first) == 0 {
		return nil, "", errors.New("the file is empty")
	}
	l, ok, err := listColumns(first[0])
	if err != nil {
		return nil, "", err
	}
	if ok {
		if _, err := rows.next(); err != nil {
			return nil, "", err
		}
		return readList(rows, l, nodes)
	}
	if len(first[0]) == 3 && numeric(first[0][2:]) {
		// Of three nodes this may be the matrix, perhaps below a header.
		known := !slices.ContainsFunc(first, func(row []string) bool {
			return len(row) < 2 || !slices.Contains(nodes, row[0]) || !slices.Contains(nodes, row[1])
		})
		if known || len(nodes) != 3 || len(first) > 4 {
			return readList(rows, list{from: 0, to: 1, value: 2, distance: true}, nodes)
		}
	}
	return readMatrix(rows, nodes)
}

// list says where the columns of a list of edges are.
type list struct {
	from, to, value int // value is −1 when there is none: all weights are 1
	distance        bool
}

// listColumns understands the header of a list of edges; ok is false if this is none.
func listColumns(header []string) (l list, ok bool, err error) {
	find := func(names ...string) int {
		return slices.IndexFunc(header, func(h string) bool {
			return slices.Contains(names, strings.ToLower(h))
		})
	}
	l.from = find("from", "from_id", "source", "src", "origin", "origin_id")
	l.to = find("to", "to_id", "target", "dst", "destination", "destination_id")
	if l.from < 0 || l.to < 0 {
		return l, false, nil
	}
	if l.value = find("weight", "link_weight", "w"); l.value < 0 {
		l.value = find("distance", "cost", "dist", "length")
		l.distance = l.value >= 0
	}
	if l.value < 0 && len(header) > 2 {
		return l, false, fmt.Errorf("a list of edges with the columns %s; one of them must be called weight, or distance or cost", strings.Join(header, ", "))
	}
	return l, true, nil
}

func readList(rows *csvRows, l list, nodes []string) (g *Graph, rule string, err error) {
	type pair struct{ from, to string }
	weights := map[pair]float32{}
	names := map[string]bool{}
	loops := 0
	for line := 1; ; line++ {
		row, err := rows.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, "", err
		}
		if len(row) <= max(l.from, l.to, l.value) {
			return nil, "", fmt.Errorf("edge %d has %d columns; from, to and a number are needed", line, len(row))
		}
		w := 1.0
		if l.value >= 0 {
			if w, err = strconv.ParseFloat(row[l.value], 64); err != nil || math.IsNaN(w) || math.IsInf(w, 0) {
				return nil, "", fmt.Errorf("edge %d, %s → %s: %q is no finite number", line, row[l.from], row[l.to], row[l.value])
			}
		}
		p := pair{row[l.from], row[l.to]}
		if _, seen := weights[p]; !seen && p.from == p.to {
			loops++
		}
		weights[p] = float32(w)
		names[p.from], names[p.to] = true, true
	}
	if len(weights) == 0 {
		return nil, "", errors.New("no edges in it")
	}
	where, err := placeIDs(sortedKeys(names), nodes)
	if err != nil {
		return nil, "", err
	}
	neighbours := l.distance && 2*loops < len(names)
	among := make(map[[2]int32]float32, len(weights))
	for p, w := range weights {
		from, ok1 := where[p.from]
		to, ok2 := where[p.to]
		switch {
		case !ok1 || !ok2:
		case neighbours:
			among[[2]int32{from, to}], among[[2]int32{to, from}] = 1, 1
		default:
			among[[2]int32{from, to}] = w
		}
	}
	if neighbours {
		rule = neighboursRule
	}
	g = &Graph{N: len(nodes)}
	for p, w := range among {
		if w != 0 || l.distance {
			g.Edges = append(g.Edges, Edge{p[0], p[1], w})
		}
	}
	sortEdges(g.Edges)
	if l.distance && !neighbours && len(g.Edges) > 0 {
		rule = kernelRule
		g.Edges, err = gaussian(g.Edges)
	}
	return g, rule, err
}

func sortedKeys(m map[string]bool) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// readMatrix reads a matrix, with or without a row of ids above it and a column of ids before it.
func readMatrix(rows *csvRows, nodes []string) (g *Graph, rule string, err error) {
	ids, labelled, err := matrixIDs(rows, nodes)
	if err != nil {
		return nil, "", err
	}
	if ids != nil {
		if _, err := rows.next(); err != nil {
			return nil, "", err
		}
	}
	var m *matrix
	var values []float64
	for i := 0; ; i++ {
		row, err := rows.next()
		if errors.Is(err, io.EOF) {
			if i == 0 || i != len(values) {
				return nil, "", fmt.Errorf("%d rows of %d numbers; a matrix has as many rows as columns, a list of edges has the columns from, to, weight", i, len(values))
			}
			return m.graph()
		}
		if err != nil {
			return nil, "", err
		}
		if labelled {
			if i < len(ids) && row[0] != ids[i] {
				return nil, "", fmt.Errorf("row %d is called %s, but column %d %s; rows and columns must be in the same order", i+1, row[0], i+1, ids[i])
			}
			row = row[1:]
		}
		if i == 0 {
			values = make([]float64, len(row))
			if m, err = newMatrix(len(row), ids, nodes); err != nil {
				return nil, "", err
			}
		}
		if i == len(values) || len(row) != len(values) {
			return nil, "", fmt.Errorf("row %d has %d numbers, the first row has %d; as many rows as columns are needed", i+1, len(row), len(values))
		}
		for j, cell := range row {
			if values[j], err = strconv.ParseFloat(cell, 64); err != nil {
				return nil, "", fmt.Errorf("row %d, column %d: %q is no number", i+1, j+1, cell)
			}
		}
		m.row(i, values)
	}
}

// matrixIDs finds out whether the first row holds ids (nil if not), and whether every row begins with one.
func matrixIDs(rows *csvRows, nodes []string) (ids []string, labelled bool, err error) {
	first, err := rows.peek(2)
	if err != nil || len(first) < 2 {
		return nil, false, err
	}
	head, second := first[0], first[1]
	switch {
	case len(second) == len(head)+1: // R writes nothing above the column of ids
		return head, true, nil
	case !numeric(head): // pandas writes an empty cell there
		if labelled = head[0] == "" || !numeric(second[:1]); labelled {
			head = head[1:]
		}
		return head, labelled, nil
	case !areIDs(head, nodes):
		return nil, false, nil
	}
	if n := len(head); n <= 64 { // the distances of four nodes along a road may be 0,1,2,3
		if first, err = rows.peek(n + 1); err != nil || len(first) == n {
			return nil, false, err
		}
	}
	return head, false, nil
}

// areIDs reports whether a row of numbers names all nodes, or counts from 0.
func areIDs(row, nodes []string) bool {
	seen := make(map[string]bool, len(row))
	counts := true
	for i, cell := range row {
		if seen[cell] {
			return false
		}
		seen[cell] = true
		counts = counts && cell == strconv.Itoa(i)
	}
	return counts || !slices.ContainsFunc(nodes, func(id string) bool { return !seen[id] })
}

func numeric(row []string) bool {
	for _, cell := range row {
		if _, err := strconv.ParseFloat(cell, 64); err != nil {
			return false
		}
	}
	return true
}

// csvRows reads CSV, unpacked if need be, with the separator of its first line and without the spaces around its cells.
type csvRows struct {
	file  *textFile
	limit *limitedRecord
	in    *csv.Reader
	ahead [][]string
}

func openCSVRows(path string) (*csvRows, error) {
	file, err := openText(path, nil)
	if err != nil {
		return nil, err
	}
	in := bufio.NewReader(file)
	start, err := in.Peek(1 << 12) // shorter files are fine
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.Join(err, file.Close())
	}
	r := &csvRows{file: file, limit: &limitedRecord{in: in}}
	r.in = csv.NewReader(r.limit)
	r.in.FieldsPerRecord = -1
	line, _, _ := bytes.Cut(start, []byte("\n"))
	for _, separator := range ",;\t " {
		if bytes.ContainsRune(line, separator) {
			r.in.Comma = separator
			break
		}
	}
	return r, nil
}

func (r *csvRows) Close() error { return r.file.Close() }

// next is the next row, or io.EOF.
func (r *csvRows) next() ([]string, error) {
	if len(r.ahead) > 0 {
		row := r.ahead[0]
		r.ahead = r.ahead[1:]
		return row, nil
	}
	r.limit.left = maxRecord
	row, err := r.in.Read()
	for i := range row {
		row[i] = strings.TrimSpace(row[i])
	}
	return row, err
}

// peek shows the next n rows, or what is left.
func (r *csvRows) peek(n int) ([][]string, error) {
	rows := r.ahead
	r.ahead = nil
	for len(rows) < n {
		row, err := r.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	r.ahead = rows
	return rows, nil
}
