package datasets

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// Our own folder of a data set, written by [Save] and read by [Open]:
//
//	dataset.toml  the [Card]
//	values.f32    values [T,N] row-major, float32, little-endian, nothing else: it can be mapped into memory
//	nodes.csv     id,lat,lon of each node, in the order of the columns; lat and lon empty when unknown
//	graph.csv     from,to,weight of each edge, by node id; absent when there is no graph
//	times.csv     one time stamp per row; only when the calendar is irregular
const (
	cardFile   = "dataset.toml"
	valuesFile = "values.f32"
	nodesFile  = "nodes.csv"
	graphFile  = "graph.csv"
	timesFile  = "times.csv"

	cardFormat = 1
	maxCard    = 1 << 20
	timeLayout = "2006-01-02 15:04:05.999999999"
)

// Errors that reading a data set's folder wraps.
var (
	ErrCard     = errors.New("unusable card")
	ErrSize     = errors.New("wrong size")
	ErrChecksum = errors.New("wrong checksum")
)

// Card describes a data set's folder. [Save] takes Licence, Source and Note from its caller and fills in the rest.
type Card struct {
	Format int    `toml:"format" json:"format"`
	Name   string `toml:"name" json:"name"`
	Unit   string `toml:"unit" json:"unit"`

	T       int                `toml:"steps" json:"steps"`
	N       int                `toml:"nodes" json:"nodes"`
	Start   toml.LocalDateTime `toml:"start" json:"start"`                     // wall-clock time of the first row
	Step    string             `toml:"step" json:"step"`                       // a Go duration, e.g. 5m0s
	Slots   int                `toml:"slots,omitempty" json:"slots,omitempty"` // see [Calendar].Slots
	Gaps    int                `toml:"gaps" json:"gaps"`                       // see [Calendar.Gaps]
	Missing Number             `toml:"missing" json:"missing"`                 // see [Series].Missing; nan when only NaN is missing

	// Of the measured values; the share is of all values.
	Mean         float64 `toml:"mean" json:"mean"`
	Std          float64 `toml:"std" json:"std"`
	MissingShare float64 `toml:"missing_share" json:"missing_share"`

	Edges   int    `toml:"edges" json:"edges"` // of the graph; 0 without one
	Licence string `toml:"licence" json:"licence"`
	Source  string `toml:"source" json:"source"`
	Note    string `toml:"note,omitempty" json:"note,omitempty"`

	Files []CardFile `toml:"files" json:"files"`
}

// CardFile is a file of the folder.
type CardFile struct {
	Name   string `toml:"name" json:"name"`
	Bytes  int64  `toml:"bytes" json:"bytes"`
	SHA256 string `toml:"sha256" json:"sha256"`
}

// Number is a float64 that may be NaN in JSON too (as the string "nan").
type Number float64

// MarshalJSON writes NaN as "nan".
func (n Number) MarshalJSON() ([]byte, error) {
	if f := float64(n); !math.IsNaN(f) {
		return strconv.AppendFloat(nil, f, 'g', -1, 64), nil
	}
	return []byte(`"nan"`), nil
}

// SHA256 of the values file, 64 hexadecimal digits.
func (c Card) SHA256() string {
	for _, f := range c.Files {
		if f.Name == valuesFile {
			return f.SHA256
		}
	}
	return ""
}

// Save writes the series as a folder, in place of a data set's folder that may be there. The folder appears complete or not at
// all: it is written beside dir under another name, synced and renamed; after an error nothing is left of it. Node ids must be
// unique. Of card, Licence, Source and Note are used, and Name if it is set.
func Save(dir string, s *Series, card Card) error { return save(dir, s, card, createFile) }

// file is what save asks of a file, so that tests can fill the disk.
type file interface {
	io.Writer
	Sync() error
	Close() error
}

func createFile(path string) (file, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
}

func save(dir string, s *Series, card Card, create func(string) (file, error)) (err error) {
	if err := s.Check(); err != nil {
		return err
	}
	seen := make(map[string]bool, s.N)
	for _, id := range s.Nodes {
		if seen[id] {
			return fmt.Errorf("series %q: node id %q occurs twice; ids must be unique", s.Name, id)
		}
		seen[id] = true
	}
	dir = filepath.Clean(dir)
	if _, err := os.Stat(dir); err == nil {
		if _, err := os.Stat(filepath.Join(dir, cardFile)); err != nil {
			return fmt.Errorf("%s exists and is not a data set's folder; choose another name", dir)
		}
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+"-*.partial")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("saving data set %s: %w", dir, err), os.RemoveAll(temp))
		}
	}()
	if err := os.Chmod(temp, 0o755); err != nil {
		return err
	}

	card = describe(s, card)
	write := func(name string, content func(io.Writer) error) error {
		f, err := create(filepath.Join(temp, name))
		if err != nil {
			return err
		}
		sum := &checksum{hash: sha256.New()}
		buffer := bufio.NewWriterSize(io.MultiWriter(f, sum), 1<<20)
		if err = content(buffer); err == nil {
			err = buffer.Flush()
		}
		if err == nil {
			err = f.Sync()
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("writing %s: %w; check the space and the rights there", name, err)
		}
		card.Files = append(card.Files, CardFile{Name: name, Bytes: sum.bytes, SHA256: hex.EncodeToString(sum.hash.Sum(nil))})
		return nil
	}
	if err := write(valuesFile, func(w io.Writer) error { return writeValues(w, s.Values) }); err != nil {
		return err
	}
	if err := write(nodesFile, func(w io.Writer) error { return writeNodes(w, s) }); err != nil {
		return err
	}
	if s.Graph != nil {
		if err := write(graphFile, func(w io.Writer) error { return writeGraph(w, s) }); err != nil {
			return err
		}
	}
	if irregular(s.Calendar) {
		if err := write(timesFile, func(w io.Writer) error { return writeTimes(w, s.Calendar.Times) }); err != nil {
			return err
		}
	}
	var text bytes.Buffer
	if err := toml.NewEncoder(&text).SetIndentTables(false).Encode(card); err != nil {
		return err
	}
	if err := write(cardFile, func(w io.Writer) error { _, err := w.Write(text.Bytes()); return err }); err != nil {
		return err
	}
	return replaceFolder(temp, dir)
}

// replaceFolder renames temp to dir. A folder that is there is moved aside first, and back if that fails.
func replaceFolder(temp, dir string) error {
	old := ""
	if _, err := os.Lstat(dir); err == nil {
		old = temp + ".old"
		if err := os.Rename(dir, old); err != nil {
			return err
		}
	}
	if err := os.Rename(temp, dir); err != nil {
		if old != "" {
			err = errors.Join(err, os.Rename(old, dir))
		}
		return err
	}
	if err := syncFolder(filepath.Dir(dir)); err != nil {
		return err
	}
	if old != "" {
		return os.RemoveAll(old)
	}
	return nil
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

type checksum struct {
	hash  interface{ Sum([]byte) []byte }
	bytes int64
}

func (c *checksum) Write(p []byte) (int, error) {
	c.bytes += int64(len(p))
	return c.hash.(io.Writer).Write(p)
}

// describe fills in what follows from the series.
func describe(s *Series, given Card) Card {
	c := Card{
		Format: cardFormat, Name: given.Name, Unit: s.Unit, T: s.T, N: s.N,
		Start: localDateTime(s.Calendar.Start), Step: s.Calendar.Step.String(), Slots: s.Calendar.Slots, Gaps: s.Calendar.Gaps(),
		Missing: Number(s.Missing), MissingShare: s.MissingShare(),
		Licence: given.Licence, Source: given.Source, Note: given.Note,
	}
	if c.Name == "" {
		c.Name = s.Name
	}
	if s.Graph != nil {
		c.Edges = len(s.Graph.Edges)
	}
	var sum, count float64
	for _, v := range s.Values {
		if v == v && v != s.Missing {
			sum, count = sum+float64(v), count+1
		}
	}
	if count > 0 {
		c.Mean = sum / count
		squares := 0.0
		for _, v := range s.Values {
			if v == v && v != s.Missing {
				squares += (float64(v) - c.Mean) * (float64(v) - c.Mean)
			}
		}
		c.Std = math.Sqrt(squares / count)
	}
	return c
}

func localDateTime(t time.Time) toml.LocalDateTime {
	t = t.UTC()
	return toml.LocalDateTime{
		LocalDate: toml.LocalDate{Year: t.Year(), Month: int(t.Month()), Day: t.Day()},
		LocalTime: toml.LocalTime{Hour: t.Hour(), Minute: t.Minute(), Second: t.Second(), Nanosecond: t.Nanosecond()},
	}
}

// irregular reports whether start and step do not give the times.
func irregular(c Calendar) bool {
	return len(c.Times) > 0 && (c.Gaps() > 0 || !c.Times[0].Equal(c.Start))
}

func writeValues(w io.Writer, values []float32) error {
	buffer := make([]byte, 0, 1<<16)
	for len(values) > 0 {
		part := values[:min(len(values), 1<<14)]
		values = values[len(part):]
		buffer = buffer[:0]
		for _, v := range part {
			buffer = binary.LittleEndian.AppendUint32(buffer, math.Float32bits(v))
		}
		if _, err := w.Write(buffer); err != nil {
			return err
		}
	}
	return nil
}

func writeNodes(w io.Writer, s *Series) error {
	out := csv.NewWriter(w)
	rows := [][]string{{"id", "lat", "lon"}}
	for i, id := range s.Nodes {
		row := []string{id, "", ""}
		if s.Coords != nil {
			row[1] = strconv.FormatFloat(s.Coords[i][0], 'g', -1, 64)
			row[2] = strconv.FormatFloat(s.Coords[i][1], 'g', -1, 64)
		}
		rows = append(rows, row)
	}
	return out.WriteAll(rows)
}

func writeGraph(w io.Writer, s *Series) error {
	out := csv.NewWriter(w)
	if err := out.Write([]string{"from", "to", "weight"}); err != nil {
		return err
	}
	for _, e := range s.Graph.Edges {
		if err := out.Write([]string{s.Nodes[e.From], s.Nodes[e.To], strconv.FormatFloat(float64(e.Weight), 'g', -1, 32)}); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

func writeTimes(w io.Writer, times []time.Time) error {
	if _, err := fmt.Fprintln(w, "time"); err != nil {
		return err
	}
	for _, t := range times {
		if _, err := fmt.Fprintln(w, t.UTC().Format(timeLayout)); err != nil {
			return err
		}
	}
	return nil
}

// OpenOption changes how [Open] reads.
type OpenOption func(*openConfig)

type openConfig struct{ unverified bool }

// Unverified leaves the checksums out, sizes are still checked. Use [Verify] later.
func Unverified() OpenOption { return func(c *openConfig) { c.unverified = true } }

// Open reads a data set's folder. Sizes and SHA-256 checksums of all files must agree with the card: errors wrap [ErrCard],
// [ErrSize] or [ErrChecksum] and name the file.
func Open(dir string, options ...OpenOption) (*Series, error) {
	var c openConfig
	for _, o := range options {
		o(&c)
	}
	card, err := OpenCard(dir)
	if err != nil {
		return nil, err
	}
	s := &Series{Name: card.Name, Unit: card.Unit, T: card.T, N: card.N, Missing: float32(card.Missing)}
	s.Calendar = Calendar{Start: card.Start.AsTime(time.UTC), Slots: card.Slots}
	if s.Calendar.Step, err = time.ParseDuration(card.Step); err != nil {
		return nil, fmt.Errorf("%s: %w: step %q; a duration such as 5m0s is needed", filepath.Join(dir, cardFile), ErrCard, card.Step)
	}
	for _, f := range card.Files {
		if err := c.read(dir, f, s, card); err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(dir, f.Name), err)
		}
	}
	if err := s.Check(); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", dir, ErrCard, err)
	}
	return s, nil
}

// Verify checks the sizes and checksums of a data set's folder without keeping its values.
func Verify(dir string) error {
	card, err := OpenCard(dir)
	if err != nil {
		return err
	}
	for _, f := range card.Files {
		if err := (openConfig{}).file(dir, f, func(r io.Reader) error { _, err := io.Copy(io.Discard, r); return err }); err != nil {
			return fmt.Errorf("%s: %w", filepath.Join(dir, f.Name), err)
		}
	}
	return nil
}

// OpenCard reads and checks a folder's card alone. Unknown keys are errors.
func OpenCard(dir string) (Card, error) {
	path := filepath.Join(dir, cardFile)
	var c Card
	f, err := os.Open(path)
	if err != nil {
		return c, fmt.Errorf("%s is not a data set's folder: %w", dir, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxCard+1))
	if err != nil {
		return c, err
	}
	bad := func(format string, args ...any) (Card, error) {
		return Card{}, fmt.Errorf("%s: %w: %w", path, ErrCard, fmt.Errorf(format, args...))
	}
	if len(text) > maxCard {
		return bad("larger than %d bytes", maxCard)
	}
	if err := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(&c); err != nil {
		var unknown *toml.StrictMissingError
		if errors.As(err, &unknown) {
			keys := make([]string, len(unknown.Errors))
			for i, e := range unknown.Errors {
				keys[i] = strings.Join(e.Key(), ".")
			}
			return bad("unknown key %s; written by a newer version, or misspelt", strings.Join(keys, ", "))
		}
		return bad("%w", err)
	}
	if c.Format != cardFormat {
		return bad("format %d; this version reads format %d", c.Format, cardFormat)
	}
	if c.T < 1 || c.N < 1 || c.T > math.MaxInt/4/c.N {
		return bad("%d steps × %d nodes", c.T, c.N)
	}
	names := make([]string, 0, len(c.Files))
	for _, file := range c.Files {
		if !slices.Contains([]string{valuesFile, nodesFile, graphFile, timesFile}, file.Name) || slices.Contains(names, file.Name) {
			return bad("file %q; only %s, %s, %s and %s belong to a data set, each once", file.Name, valuesFile, nodesFile, graphFile, timesFile)
		}
		names = append(names, file.Name)
		if want := 4 * int64(c.T) * int64(c.N); file.Name == valuesFile && file.Bytes != want {
			return bad("%s has %d bytes; %d steps × %d nodes of float32 need %d", valuesFile, file.Bytes, c.T, c.N, want)
		}
	}
	for _, needed := range []string{valuesFile, nodesFile} {
		if !slices.Contains(names, needed) {
			return bad("%s is not among its files", needed)
		}
	}
	// Nodes before the graph, which refers to them.
	order := []string{nodesFile, valuesFile, graphFile, timesFile}
	slices.SortFunc(c.Files, func(a, b CardFile) int { return slices.Index(order, a.Name) - slices.Index(order, b.Name) })
	return c, nil
}

// file opens a file, checks its size before reading it and its checksum after.
func (c openConfig) file(dir string, want CardFile, read func(io.Reader) error) error {
	f, err := os.Open(filepath.Join(dir, want.Name))
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Size() != want.Bytes {
		return fmt.Errorf("%w: %d bytes, but the card says %d; the file was cut off or changed: get or import the data set again", ErrSize, info.Size(), want.Bytes)
	}
	hash := sha256.New()
	var in io.Reader = f
	if !c.unverified {
		in = io.TeeReader(f, hash)
	}
	parse := read(bufio.NewReaderSize(in, 1<<20))
	if !c.unverified {
		if _, err := io.Copy(io.Discard, in); err != nil { // what a parser left after an error
			return err
		}
		if got := hex.EncodeToString(hash.Sum(nil)); got != want.SHA256 {
			return fmt.Errorf("%w: SHA-256 %s, but the card says %s; the file was changed: get or import the data set again", ErrChecksum, got, want.SHA256)
		}
	}
	return parse
}

func (c openConfig) read(dir string, f CardFile, s *Series, card Card) error {
	return c.file(dir, f, func(r io.Reader) error {
		switch f.Name {
		case valuesFile:
			return readValues(r, s)
		case nodesFile:
			return readNodes(r, s, card.N)
		case graphFile:
			return readEdges(r, s)
		default:
			return readTimes(r, s)
		}
	})
}

func readValues(r io.Reader, s *Series) error {
	s.Values = make([]float32, s.T*s.N) // the file's size agrees
	buffer := make([]byte, 1<<16)
	for at := 0; at < len(s.Values); {
		part := buffer[:min(len(buffer), 4*(len(s.Values)-at))]
		if _, err := io.ReadFull(r, part); err != nil {
			return fmt.Errorf("%w: %w", ErrSize, err)
		}
		for ; len(part) > 0; part = part[4:] {
			s.Values[at] = math.Float32frombits(binary.LittleEndian.Uint32(part))
			at++
		}
	}
	return nil
}

func readNodes(r io.Reader, s *Series, n int) error {
	rows := csv.NewReader(r)
	rows.FieldsPerRecord = 3
	located := 0
	for i := -1; ; i++ {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrCard, err)
		}
		if i < 0 {
			continue // header
		}
		if i >= n {
			return fmt.Errorf("%w: more than the %d nodes of the card", ErrCard, n)
		}
		s.Nodes = append(s.Nodes, row[0])
		var at [2]float64
		if row[1] != "" || row[2] != "" {
			for k := range at {
				if at[k], err = strconv.ParseFloat(row[1+k], 64); err != nil {
					return fmt.Errorf("%w: node %s: %w", ErrCard, row[0], err)
				}
			}
			located++
		}
		s.Coords = append(s.Coords, at)
	}
	if located == 0 {
		s.Coords = nil
	} else if located != len(s.Nodes) {
		return fmt.Errorf("%w: %d of %d nodes have coordinates; all or none must", ErrCard, located, len(s.Nodes))
	}
	return nil
}

func readEdges(r io.Reader, s *Series) error {
	index := make(map[string]int32, len(s.Nodes))
	for i, id := range s.Nodes {
		index[id] = int32(i)
	}
	s.Graph = &Graph{N: s.N}
	rows := csv.NewReader(r)
	rows.FieldsPerRecord = 3
	rows.ReuseRecord = true
	for i := -1; ; i++ {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrCard, err)
		}
		if i < 0 {
			continue
		}
		from, ok1 := index[row[0]]
		to, ok2 := index[row[1]]
		w, err := strconv.ParseFloat(row[2], 32)
		if !ok1 || !ok2 || err != nil {
			return fmt.Errorf("%w: edge %d: %s → %s, weight %q; two nodes of %s and a number are needed", ErrCard, i+1, row[0], row[1], row[2], nodesFile)
		}
		s.Graph.Edges = append(s.Graph.Edges, Edge{From: from, To: to, Weight: float32(w)})
	}
}

func readTimes(r io.Reader, s *Series) error {
	lines := bufio.NewScanner(r)
	for i := -1; lines.Scan(); i++ {
		if i < 0 {
			continue
		}
		if i >= s.T {
			return fmt.Errorf("%w: more than %d time stamps", ErrCard, s.T)
		}
		t, err := time.Parse(timeLayout, lines.Text())
		if err != nil {
			return fmt.Errorf("%w: %w", ErrCard, err)
		}
		s.Calendar.Times = append(s.Calendar.Times, t)
	}
	return lines.Err()
}
