package datasets

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// LibCity keeps a data set in a folder of "atomic files": NAME.geo lists the entities, NAME.rel the edges between them and
// NAME.dyna what was measured, by default entity after entity; config.json says which columns and files count.
type libcity struct {
	Info struct {
		Columns oneOrMore `json:"data_col"`
		Data    oneOrMore `json:"data_files"`
		Geo     string    `json:"geo_file"`
		Rel     string    `json:"rel_file"`
		Weight  string    `json:"weight_col"`
		Seconds float64   `json:"time_intervals"`
		Weights string    `json:"set_weight_link_or_dist"` // link: every edge weighs 1
		Kernel  bool      `json:"calculate_weight_adj"`    // weights are distances, for a Gaussian kernel
		Least   *float64  `json:"weight_adj_epsilon"`      // of the kernel; default 0.1
		Both    bool      `json:"bidir_adj_mx"`            // edges count in both directions
	} `json:"info"`
}

// oneOrMore is a word or a list of words.
type oneOrMore []string

func (o *oneOrMore) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		if one != "" {
			*o = []string{one}
		}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(o))
}

func isLibCity(c candidate) bool {
	return strings.HasSuffix(c.name, ".dyna") || slices.ContainsFunc(c.entries, func(name string) bool { return strings.HasSuffix(name, ".dyna") })
}

// readLibCity reads such a folder; path may also be its .dyna file. o.Channel counts the columns of measurements.
func readLibCity(ctx context.Context, path string, o ImportOptions) (*table, error) {
	dir, dyna := path, ""
	if strings.HasSuffix(path, ".dyna") {
		dir, dyna = filepath.Dir(path), filepath.Base(path)
	}
	var l libcity
	if err := readJSON(filepath.Join(dir, "config.json"), &l); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	names, err := folderNames(dir)
	if err != nil {
		return nil, err
	}
	// file chooses the file of an ending: what was said, or the only one.
	file := func(said, ending string) (string, error) {
		if said != "" {
			if name := strings.TrimSuffix(said, ending) + ending; filepath.IsLocal(name) {
				return filepath.Join(dir, name), nil
			}
			return "", fmt.Errorf("%s: config.json names the file %q, which is not in this folder", dir, shorten(said))
		}
		var found []string
		for _, name := range names {
			if strings.HasSuffix(name, ending) {
				found = append(found, name)
			}
		}
		if len(found) > 1 {
			return "", fmt.Errorf("%s: more than one %s file (%s); import the .dyna file that is meant, from a folder of its own", dir, ending, some(found))
		}
		if len(found) == 0 {
			return "", nil
		}
		return filepath.Join(dir, found[0]), nil
	}
	t := &table{}
	if s := l.Info.Seconds; s > 0 && s < 1e9 {
		t.Step = time.Duration(s * float64(time.Second))
	}
	if dyna == "" && len(l.Info.Data) > 0 {
		if len(l.Info.Data) > 1 {
			return nil, fmt.Errorf("%s: config.json lists %d data files (%s); import one of them by its .dyna file", dir, len(l.Info.Data), some(l.Info.Data))
		}
		dyna = l.Info.Data[0]
	}
	paths := map[string]string{}
	for ending, said := range map[string]string{".geo": l.Info.Geo, ".rel": l.Info.Rel, ".dyna": dyna} {
		if paths[ending], err = file(said, ending); err != nil {
			return nil, err
		}
	}
	if paths[".geo"] == "" || paths[".dyna"] == "" {
		return nil, fmt.Errorf("%s: a .geo and a .dyna file are needed", dir)
	}
	for _, part := range []struct {
		ending string
		parse  func(*records, []string) error
	}{
		{".geo", t.parseGeo},
		{".dyna", func(in *records, header []string) error { return t.parseDyna(in, header, l.Info.Columns, o.Channel) }},
		{".rel", func(in *records, header []string) error { return t.parseRel(in, header, l) }},
	} {
		path := paths[part.ending]
		if path == "" || part.ending == ".rel" && o.Graph != "" {
			continue
		}
		if err := atomicFile(ctx, path, o.Progress, part.parse); err != nil {
			if part.ending == ".rel" && errors.Is(err, os.ErrNotExist) {
				continue // config.json may name one that isn't there
			}
			return nil, err
		}
	}
	return t, nil
}

// atomicFile opens a file and reads its header.
func atomicFile(ctx context.Context, path string, progress Progress, parse func(*records, []string) error) error {
	f, err := openText(path, progress)
	if err != nil {
		return err
	}
	defer f.Close()
	in := newRecords(ctx, f)
	header, err := in.next()
	if err == nil {
		err = parse(in, slices.Clone(header))
	} else if errors.Is(err, io.EOF) {
		err = errors.New("the file is empty")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// each calls use with every record, all of which have as many cells as the header.
func each(in *records, header []string, use func(cells []string) error) error {
	for {
		cells, err := in.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if len(cells) != len(header) {
			return fmt.Errorf("line %d has %d columns, but the header has %d; the file was cut off or damaged", in.line, len(cells), len(header))
		}
		if err := use(cells); err != nil {
			return fmt.Errorf("line %d: %w", in.line, err)
		}
	}
}

// columns finds the places of columns by title.
func columns(header []string, titles ...string) ([]int, error) {
	places := make([]int, len(titles))
	for i, title := range titles {
		if places[i] = slices.Index(header, title); places[i] < 0 {
			return nil, fmt.Errorf("no column %q; the header has %s", title, shorten(strings.Join(header, ", ")))
		}
	}
	return places, nil
}

func (t *table) parseGeo(in *records, header []string) error {
	at, err := columns(header, "geo_id")
	if err != nil {
		return err
	}
	where := slices.Index(header, "coordinates")
	err = each(in, header, func(cells []string) error {
		t.Nodes = append(t.Nodes, cells[at[0]])
		if where < 0 {
			return nil
		}
		var point []float64 // longitude, latitude; roads and areas have lists of points, which are left out
		if json.Unmarshal([]byte(cells[where]), &point) == nil && len(point) >= 2 {
			if math.Abs(point[1]) > 90 || math.Abs(point[0]) > 360 {
				return fmt.Errorf("entity %s lies at longitude %v, latitude %v; the order is [longitude, latitude], in degrees", shorten(cells[at[0]]), point[0], point[1])
			}
			t.Coords = append(t.Coords, [2]float64{point[1], point[0]})
		}
		return nil
	})
	if err != nil {
		return err
	}
	if t.N = len(t.Nodes); t.N == 0 {
		return errors.New("it lists no entity")
	}
	if len(t.Coords) != t.N {
		if t.Coords != nil {
			t.Remarks = append(t.Remarks, fmt.Sprintf("only %d of %d entities are points; coordinates were left out", len(t.Coords), t.N))
		}
		t.Coords = nil
	}
	return distinct(t.Nodes)
}

// parseDyna takes rows in any order of entities, as long as those of each entity rise in time and all have the same times.
func (t *table) parseDyna(in *records, header []string, data []string, channel int) error {
	if data == nil { // all that isn't one of the four fixed columns
		for _, title := range header {
			if !slices.Contains([]string{"dyna_id", "type", "time", "entity_id"}, title) {
				data = append(data, title)
			}
		}
	}
	if channel >= len(data) {
		return fmt.Errorf("no column %d of measurements; there are %d: %s", channel, len(data), some(data))
	}
	at, err := columns(header, "time", "entity_id", data[channel])
	if err != nil {
		return err
	}
	if len(data) > 1 {
		t.Remarks = append(t.Remarks, fmt.Sprintf("%s was taken, of %s", data[channel], some(data)))
	}
	place := places(t.Nodes)
	measured := make([][]float32, t.N)
	var c clock
	err = each(in, header, func(cells []string) error {
		n, known := place[cells[at[1]]]
		if !known {
			return fmt.Errorf("entity %q is not in the .geo file", shorten(cells[at[1]]))
		}
		when, ok := c.parse(cells[at[0]])
		if !ok {
			return fmt.Errorf("%q is no time stamp; %s", shorten(cells[at[0]]), knownTimes)
		}
		switch k := len(measured[n]); {
		case k > len(t.Times):
			return fmt.Errorf("entity %s is ahead of time", t.Nodes[n])
		case k < len(t.Times):
			if !when.Equal(t.Times[k]) {
				return fmt.Errorf("row %d of entity %s is of %s, but that of the first entity is of %s; all need the same times: add the missing rows with an empty value",
					k+1, t.Nodes[n], when.Format(time.DateTime), t.Times[k].Format(time.DateTime))
			}
		default:
			if k > 0 && !when.After(t.Times[k-1]) {
				return notAfter(when, t.Times[k-1])
			}
			t.Times = append(t.Times, when)
		}
		v, err := number(cells[at[2]])
		if err != nil {
			return fmt.Errorf("column %d (%s): %w", at[2]+1, header[at[2]], err)
		}
		measured[n] = append(measured[n], v)
		return nil
	})
	if err != nil {
		return err
	}
	if t.T = len(t.Times); t.T == 0 {
		return errors.New("it has no row")
	}
	for n, column := range measured {
		if len(column) != t.T {
			return fmt.Errorf("entity %s has %d rows, others have %d; all need the same times: add the missing rows with an empty value", t.Nodes[n], len(column), t.T)
		}
	}
	t.Values = make([]float32, t.T*t.N)
	for n, column := range measured {
		for k, v := range column {
			t.Values[k*t.N+n] = v
		}
		measured[n] = nil
	}
	return nil
}

func (t *table) parseRel(in *records, header []string, l libcity) error {
	at, err := columns(header, "origin_id", "destination_id")
	if err != nil {
		return err
	}
	weighted := l.Info.Weights != "link"
	column := -1
	if weighted {
		switch title := l.Info.Weight; {
		case title != "":
			found, err := columns(header, title)
			if err != nil {
				return err
			}
			column = found[0]
		case len(header) == 5: // rel_id, type, origin_id, destination_id and one more
			column = 4
		}
	}
	place := places(t.Nodes)
	t.Graph = &Graph{N: t.N}
	edges := map[[2]int32]int{} // where each edge is: the last of several counts, as in LibCity
	add := func(from, to int32, w float32) {
		if i, again := edges[[2]int32{from, to}]; again {
			t.Graph.Edges[i].Weight = w
			return
		}
		edges[[2]int32{from, to}] = len(t.Graph.Edges)
		t.Graph.Edges = append(t.Graph.Edges, Edge{from, to, w})
	}
	err = each(in, header, func(cells []string) error {
		from, ok1 := place[cells[at[0]]]
		to, ok2 := place[cells[at[1]]]
		if !ok1 || !ok2 {
			return fmt.Errorf("edge %s → %s: the .geo file doesn't have both", shorten(cells[at[0]]), shorten(cells[at[1]]))
		}
		w := float32(1)
		if column >= 0 {
			var err error
			if w, err = number(cells[column]); err != nil || w != w {
				return fmt.Errorf("edge %s → %s: weight %q; a number is needed", cells[at[0]], cells[at[1]], shorten(cells[column]))
			}
		}
		add(int32(from), int32(to), w)
		if l.Info.Both {
			add(int32(to), int32(from), w)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if l.Info.Kernel && column >= 0 {
		return t.Graph.kernel(l.Info.Least)
	}
	t.Graph.Edges = slices.DeleteFunc(t.Graph.Edges, func(e Edge) bool { return e.Weight == 0 })
	return nil
}

// kernel turns distances into weights as LibCity does: exp(−(d/σ)²), σ the standard deviation of the listed distances; weights
// below least are left out.
func (g *Graph) kernel(least *float64) error {
	threshold := 0.1
	if least != nil {
		threshold = *least
	}
	var sum, squares float64
	for _, e := range g.Edges {
		sum += float64(e.Weight)
	}
	mean := sum / float64(len(g.Edges))
	for _, e := range g.Edges {
		squares += (float64(e.Weight) - mean) * (float64(e.Weight) - mean)
	}
	sigma := math.Sqrt(squares / float64(len(g.Edges)))
	if !(sigma > 0) {
		return fmt.Errorf("config.json asks for weights from distances, but all %d distances are equal; give the graph with --graph", len(g.Edges))
	}
	kept := g.Edges[:0]
	for _, e := range g.Edges {
		d := float64(e.Weight) / sigma
		if w := math.Exp(-d * d); w >= threshold {
			kept = append(kept, Edge{e.From, e.To, float32(w)})
		}
	}
	g.Edges = kept
	return nil
}

// places of ids.
func places(ids []string) map[string]int {
	at := make(map[string]int, len(ids))
	for i, id := range ids {
		at[id] = i
	}
	return at
}
