package datasets

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// table is what a reader finds in a file: the values, and whatever else the file itself says. [Import] fills in the rest.
type table struct {
	T, N    int
	Values  []float32     // [T,N] row-major, raw units; NaN where the file has nothing
	Times   []time.Time   // [T]; nil when the file has no time stamps
	Step    time.Duration // 0 when the file doesn't say
	Nodes   []string      // [N] ids; nil when the file has none
	Coords  [][2]float64  // [N] latitude, longitude; nil when the file has none
	Graph   *Graph        // nil when the file has none
	Remarks []string      // what the reader decided and a person should know
}

// ImportOptions say what the files themselves don't. The zero value imports what is self-explanatory, with 0 as the mark of
// missing measurements.
type ImportOptions struct {
	Name    string        // of the data set; default: the file's name without its endings
	Unit    string        // of the values; free text
	Step    time.Duration // between rows; default: what the file says, or the most frequent difference of its time stamps
	Start   time.Time     // of the first row, for files without time stamps
	Slots   int           // see [Calendar.Slots]
	Missing float32       // the value that marks a missing measurement; NaN ([NoMissing]) when only NaN and empty cells do
	Key     string        // which array of an .npz or HDF5 file; default: the only one, or data
	Channel int           // which of the channels of [T,N,C] arrays; which column of LibCity's .dyna (by default the first)
	Graph   string        // file of the graph; see [ReadGraph]
	Coords  string        // file of the coordinates; see [readCoords]
	NodeIDs string        // file with a node id per line, for formats that name none

	Progress Progress     // told how far the file is read; may be nil
	Remark   func(string) // told what a person should know: see [Remarks], and what a reader decided; may be nil
}

// ErrFormat is wrapped by the error of [Import] for files in none of the known formats.
var ErrFormat = errors.New("unknown format")

// format is a file format that [Import] reads.
type format struct {
	name  string
	match func(candidate) bool
	read  func(context.Context, string, ImportOptions) (*table, error)
}

// candidate is what formats are recognised by.
type candidate struct {
	head    []byte   // how a file begins; nil for a folder
	name    string   // of the file or folder
	entries []string // names in a folder
}

// formats are tried in this order.
func formats() []format {
	begins := func(magic string) func(candidate) bool {
		return func(c candidate) bool { return bytes.HasPrefix(c.head, []byte(magic)) }
	}
	return []format{
		{"pandas HDF5", begins("\x89HDF\r\n\x1a\n"), readHDF5},
		{"Parquet", begins("PAR1"), readParquet},
		{"NumPy .npy", begins("\x93NUMPY"), readNPY},
		{"NumPy .npz (PEMS, LargeST, DCRNN's windows)", func(c candidate) bool { return begins("PK")(c) && strings.HasSuffix(c.name, ".npz") }, readNPZ},
		{"a folder with DCRNN's train.npz, val.npz and test.npz", func(c candidate) bool { return dcrnnParts(c.entries) != nil }, readWindows},
		{"BasicTS (a folder with data.dat and desc.json)", isBasicTS, readBasicTS},
		{"LibCity (a folder with .dyna, .geo, .rel and config.json)", isLibCity, readLibCity},
		{"CSV, plain or gzip", func(c candidate) bool {
			return begins(string(gzipMagic))(c) || len(c.head) > 0 && !bytes.ContainsRune(c.head, 0) && !begins("\x80")(c)
		}, readCSV},
	}
}

// Import reads a file or folder in any of the formats of the field, recognised by content:
//
//   - wide CSV, plain or gzip-packed: a row per time step and a column per node, with or without a header of ids and a first
//     column of time stamps;
//   - NumPy .npy and .npz: arrays [T,N] or [T,N,C] (PEMS; LargeST's, whose normalisation is undone), and DCRNN's windows, of one
//     file or of train.npz, val.npz and test.npz in a folder, from which the series is rebuilt;
//   - pandas HDF5 and Parquet;
//   - folders of BasicTS (data.dat, desc.json) and LibCity (.dyna, .geo, .rel, config.json).
//
// Time stamps are wall-clock times, rising from row to row. Where two are not one step apart (a daylight-saving hour, missing
// rows) the series keeps them all, and the gap is remarked on. Files without time stamps need Start and Step; when Slots is set
// as well, they are taken to cover the same hours of each day, from Start on.
//
// Errors name the file and place, and what to do. The result has passed [Series.Check]; [Save] writes it.
func Import(ctx context.Context, path string, o ImportOptions) (*Series, error) {
	read, err := reader(path)
	if err != nil {
		return nil, err
	}
	t, err := read(ctx, path, o)
	if err != nil {
		return nil, err
	}
	s, err := assemble(path, t, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if o.Remark != nil {
		for _, r := range append(t.Remarks, Remarks(s)...) {
			o.Remark(r)
		}
	}
	return s, nil
}

// reader recognises the format of a file or folder.
func reader(path string) (func(context.Context, string, ImportOptions) (*table, error), error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	c := candidate{name: filepath.Base(path)}
	if info.IsDir() {
		if c.entries, err = folderNames(path); err != nil {
			return nil, err
		}
	} else {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		c.head = make([]byte, 512)
		n, err := io.ReadFull(f, c.head)
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if c.head = c.head[:n]; n == 0 {
			return nil, fmt.Errorf("%s: the file is empty; get it again", path)
		}
	}
	var names []string
	for _, f := range formats() {
		if f.match(c) {
			return f.read, nil
		}
		names = append(names, f.name)
	}
	return nil, fmt.Errorf("%s: %w%s; these can be read: %s", path, ErrFormat, hint(c), strings.Join(names, ", "))
}

// folderNames are the names in a folder, sorted.
func folderNames(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

// hint says what a file of none of the formats may be.
func hint(c candidate) string {
	switch {
	case bytes.HasPrefix(c.head, []byte("PK")):
		return " (a zip archive: unpack it and import the file inside)"
	case bytes.HasPrefix(c.head, []byte{0x80}):
		return " (a Python pickle: if it is an adjacency, give it to --graph; values must be saved with to_hdf, to_csv or numpy.savez)"
	}
	return ""
}

// assemble makes a series of what was read and what was said.
func assemble(path string, t *table, o ImportOptions) (*Series, error) {
	s := &Series{Name: cmp.Or(o.Name, plainName(path)), Unit: o.Unit, T: t.T, N: t.N, Values: t.Values, Missing: o.Missing,
		Nodes: t.Nodes, Coords: t.Coords, Graph: t.Graph}
	var err error
	if s.Calendar, err = calendar(t, o); err != nil {
		return nil, err
	}
	if o.NodeIDs != "" {
		if s.Nodes, err = readNodeIDs(o.NodeIDs, s.N); err != nil {
			return nil, err
		}
	}
	if s.Nodes == nil {
		s.Nodes = counted(s.N)
	}
	if len(s.Nodes) == s.N {
		if err := distinct(s.Nodes); err != nil {
			return nil, err
		}
	}
	if o.Graph != "" {
		var rule string
		if s.Graph, rule, err = readGraph(o.Graph, s.Nodes); err != nil {
			return nil, err
		}
		if rule != "" {
			t.Remarks = append(t.Remarks, "of the graph: "+rule)
		}
	}
	if o.Coords != "" {
		if s.Coords, err = readCoords(o.Coords, s.Nodes); err != nil {
			return nil, err
		}
	}
	return s, s.Check()
}

// counted are the ids of nodes that have none: 0 to n−1.
func counted(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = strconv.Itoa(i)
	}
	return ids
}

// plainName is a file's name without its endings.
func plainName(path string) string {
	if absolute, err := filepath.Abs(path); err == nil {
		path = absolute // "." has a name too
	}
	name := filepath.Base(path)
	if before, _, found := strings.Cut(name, "."); found && before != "" {
		return before
	}
	return name
}

// calendar finds start, step and, where they don't follow, the time of each row.
func calendar(t *table, o ImportOptions) (Calendar, error) {
	c := Calendar{Slots: o.Slots, Step: cmp.Or(o.Step, t.Step)}
	if c.Step < 0 {
		return c, fmt.Errorf("step %s; it must be above 0", c.Step)
	}
	if t.Times != nil {
		if len(t.Times) != t.T {
			return c, fmt.Errorf("%d time stamps for %d rows", len(t.Times), t.T)
		}
		usual, err := usualStep(t.Times)
		if err != nil {
			return c, err
		}
		if c.Step = cmp.Or(c.Step, usual); c.Step == 0 {
			return c, errors.New("one row has no step; say it with --step, e.g. --step 5m")
		}
		if usual != 0 && usual != c.Step {
			return c, fmt.Errorf("its time stamps are mostly %s apart, not %s; leave --step out, or say --step %s", stepText(usual), stepText(c.Step), stepText(usual))
		}
		if c.Start = t.Times[0]; !o.Start.IsZero() && !o.Start.Equal(c.Start) {
			return c, fmt.Errorf("its time stamps begin at %s, not %s; leave --start out", c.Start.Format(time.DateTime), o.Start.Format(time.DateTime))
		}
		if c.Times = t.Times; !irregular(c) {
			c.Times = nil
		}
	} else {
		c.Start = o.Start
		const when = "when its first row was measured, e.g. --start 2017-01-31 or --start '2017-01-31 15:04'"
		switch {
		case c.Step == 0 && c.Start.IsZero():
			return c, errors.New("it has no time stamps; say with --step how far apart its rows are, e.g. --step 5m, and " + when)
		case c.Step == 0:
			return c, errors.New("it doesn't say how far apart its rows are; say it with --step, e.g. --step 5m")
		case c.Start.IsZero():
			return c, errors.New("it has no time stamps; say " + when)
		}
	}
	if day := 24 * time.Hour; c.Slots < 0 || c.Slots > 0 && time.Duration(c.Slots) > day/c.Step {
		return c, fmt.Errorf("%d slots a day of %s each; they must fit into a day", c.Slots, stepText(c.Step))
	} else if c.Slots > 0 && c.Times == nil && time.Duration(c.Slots)*c.Step != day {
		for i := range t.T { // the same hours of each day
			c.Times = append(c.Times, c.Start.Add(time.Duration(i/c.Slots)*day+time.Duration(i%c.Slots)*c.Step))
		}
	}
	return c, nil
}

// stepText writes 5m where [time.Duration.String] writes 5m0s.
func stepText(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// usualStep is the most frequent difference of neighbouring time stamps, which must rise; 0 when there is only one.
func usualStep(times []time.Time) (time.Duration, error) {
	count := map[time.Duration]int{}
	var usual time.Duration
	for i := 1; i < len(times); i++ {
		if !times[i].After(times[i-1]) {
			return 0, fmt.Errorf("row %d: %w", i+1, notAfter(times[i], times[i-1]))
		}
		d := times[i].Sub(times[i-1])
		if count[d]++; count[d] > count[usual] {
			usual = d
		}
	}
	return usual, nil
}

// notAfter explains a time stamp that doesn't rise.
func notAfter(at, before time.Time) error {
	if at.Equal(before) {
		return fmt.Errorf("time stamp %s occurs twice; each time may have one row", at.Format(time.DateTime))
	}
	remedy := "sort the rows by time"
	if before.Sub(at) <= time.Hour {
		remedy = "sort the rows by time; if it is the repeated hour at the end of daylight-saving time, leave one of the two out"
	}
	return fmt.Errorf("time stamp %s comes after %s; %s", at.Format(time.DateTime), before.Format(time.DateTime), remedy)
}

// readNodeIDs reads a file with a node id per line.
func readNodeIDs(path string, n int) ([]string, error) {
	in, err := openText(path, nil)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	text, err := io.ReadAll(io.LimitReader(in, maxRecord))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	ids := strings.FieldsFunc(string(text), func(r rune) bool { return r == '\n' || r == '\r' })
	for i := range ids {
		ids[i] = strings.TrimSpace(ids[i])
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { return id == "" })
	if len(ids) != n {
		return nil, fmt.Errorf("%s: %d node ids, one a line, but the values have %d nodes", path, len(ids), n)
	}
	if err := distinct(ids); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return ids, nil
}

// distinct reports the first id that is empty or occurs twice.
func distinct(ids []string) error {
	seen := make(map[string]bool, len(ids))
	for i, id := range ids {
		if id == "" {
			return fmt.Errorf("node %d has no id", i+1)
		}
		if seen[id] {
			return fmt.Errorf("node id %q occurs twice; ids must be unique", shorten(id))
		}
		seen[id] = true
	}
	return nil
}

// Remarks says in a sentence each what a person should know about a series before using it: gaps in its calendar, missing
// measurements, nodes that measured nothing or always the same, marks of missing measurements that were not declared as such.
// Empty when there is nothing odd.
func Remarks(s *Series) []string {
	var remarks []string
	say := func(format string, args ...any) { remarks = append(remarks, fmt.Sprintf(format, args...)) }
	if gaps := s.Calendar.Gaps(); gaps > 0 {
		text := ""
		for t, shown := 1, 0; t < len(s.Calendar.Times) && shown < 3; t++ {
			before, at := s.Calendar.Times[t-1], s.Calendar.Times[t]
			if d := at.Sub(before); d != s.Calendar.Step {
				text += fmt.Sprintf("; %s → %s", before.Format("2006-01-02 15:04"), at.Format("2006-01-02 15:04"))
				shown++
			}
		}
		if gaps > 3 {
			text += "; …"
		}
		say("its time stamps are not %s apart in %s%s", stepText(s.Calendar.Step), times(gaps, "place"), text)
	}
	if share := s.MissingShare(); share > 0 {
		say("%.3g %% of its values are missing", 100*share)
	}
	type facts struct {
		measured, zeros, negative int
		first, last               float32
		constant, running         bool
	}
	all := make([]facts, s.N)
	for t := range s.T {
		for n := range s.N {
			v := s.Values[t*s.N+n]
			f := &all[n]
			if !s.Valid(t, n) {
				f.running = false
				continue
			}
			if f.measured == 0 {
				f.first, f.constant, f.running = v, true, t == 0
			} else {
				f.constant = f.constant && v == f.first
				f.running = f.running && v == f.last+1
			}
			f.last = v
			f.measured++
			if v == 0 {
				f.zeros++
			} else if v < 0 {
				f.negative++
			}
		}
	}
	var dead, constant, index []string
	var zeros, negative, nodes int
	for n, f := range all {
		switch {
		case f.measured == 0:
			dead = append(dead, s.Nodes[n])
		case f.constant && f.measured > 1:
			constant = append(constant, s.Nodes[n])
		case f.running && f.measured > 2:
			index = append(index, s.Nodes[n])
		}
		zeros += f.zeros
		if negative += f.negative; f.negative > 0 {
			nodes++
		}
	}
	if len(dead) > 0 {
		say("%s measured nothing: %s", times(len(dead), "node"), some(dead))
	}
	if len(constant) > 0 {
		say("%s measured the same value all the time: %s", times(len(constant), "node"), some(constant))
	}
	if len(index) > 0 {
		say("%s: the values are running numbers; an index column?", some(index))
	}
	if share := float64(zeros) / float64(len(s.Values)); share > 0.05 {
		say("%.1f %% of its values are 0, which counts as a measurement; if 0 marks missing ones, say --missing 0", 100*share)
	}
	if negative > 0 {
		say("%s of %s are below 0; if a negative number marks missing ones, say so with --missing", times(negative, "value"), times(nodes, "node"))
	}
	if s.N > s.T {
		say("it has more nodes (%d) than time steps (%d); the file may hold a row per node, where a row per time step is expected", s.N, s.T)
	} else if s.N == s.T && s.N > 1 {
		say("it has as many time steps as nodes (%d); is it a graph?", s.N)
	}
	return remarks
}

// times counts things: 1 node, 2 nodes.
func times(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// some of the names.
func some(names []string) string {
	if len(names) > 5 {
		return strings.Join(names[:5], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}
