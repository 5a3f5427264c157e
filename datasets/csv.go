package datasets

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// readCSV reads a wide table: a row per time step and a column per node, gzip-packed or not. A header with node ids and a first
// column with time stamps or running numbers are recognised. Empty cells and NA, nan, null and none are NaN.
func readCSV(ctx context.Context, path string, o ImportOptions) (*table, error) {
	in, err := openText(path, o.Progress)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	t, err := parseCSV(newRecords(ctx, in))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// row is a record with the line that it is on.
type row struct {
	line  int
	cells []string
}

// peekRows is how many rows decide what the first row and the first column are.
const peekRows = 20

func parseCSV(in *records) (*table, error) {
	var first []row
	for len(first) < peekRows {
		record, err := in.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		first = append(first, row{in.line, slices.Clone(record)})
	}
	if len(first) == 0 {
		return nil, errors.New("the file is empty")
	}
	for _, separator := range []string{";", "\t"} {
		if cells := first[0].cells; len(cells) == 1 && strings.Contains(cells[0], separator) {
			return nil, fmt.Errorf("line 1 has no comma, but %q; columns must be separated by commas", separator)
		}
	}
	p := &csvParser{table: &table{}}
	if isHeader(first) {
		p.header, first = first[0].cells, first[1:]
	}
	if len(first) == 0 {
		return nil, errors.New("there is a header but no row of values")
	}
	if err := p.layout(first[0]); err != nil {
		return nil, err
	}
	for _, r := range first {
		if err := p.add(r); err != nil {
			return nil, err
		}
	}
	for {
		record, err := in.next()
		if errors.Is(err, io.EOF) {
			return p.table, nil
		}
		if err != nil {
			return nil, err
		}
		if err := p.add(row{in.line, record}); err != nil {
			return nil, err
		}
	}
}

// csvParser fills a table row by row.
type csvParser struct {
	*table
	header  []string // nil when there is none
	columns int
	skip    int  // columns before the values: 0 or 1
	timed   bool // the first column holds time stamps
	running int  // the next number of a first column of running numbers
	line    int  // of the row before
	clock   clock
}

// layout decides what the columns are, from the header and the first row of values.
func (p *csvParser) layout(r row) error {
	p.columns = len(r.cells)
	if p.header != nil && len(p.header) != p.columns {
		return fmt.Errorf("line %d has %d columns, but the header has %d", r.line, p.columns, len(p.header))
	}
	_, p.timed = p.clock.parse(r.cells[0])
	title := ""
	if p.header != nil {
		title = strings.ToLower(strings.TrimSpace(p.header[0]))
	}
	switch n, err := strconv.Atoi(strings.TrimSpace(r.cells[0])); {
	case p.timed:
		p.skip = 1
	case p.header != nil && err == nil && slices.Contains(indexTitles, title):
		p.skip, p.running = 1, n
		p.Remarks = append(p.Remarks, "the first column holds running numbers; it was left out")
	case slices.Contains(timeTitles, title):
		return fmt.Errorf("line %d, column 1 (%s): %q is no time stamp; %s", r.line, p.header[0], shorten(r.cells[0]), knownTimes)
	}
	if p.N = p.columns - p.skip; p.N < 1 {
		return fmt.Errorf("line %d has no column of values", r.line)
	}
	if p.header == nil {
		if p.skip == 0 && distinctIntegers(r.cells) {
			p.Remarks = append(p.Remarks, "the first row was taken as measurements; if it holds node ids, put a letter before them")
		}
		return nil
	}
	seen := make(map[string]int, p.N)
	for i, id := range p.header[p.skip:] {
		id, column := strings.TrimSpace(id), p.skip+i+1
		if id == "" {
			return fmt.Errorf("line 1, column %d: the header names no node; each column of values needs an id", column)
		}
		if before, twice := seen[id]; twice {
			return fmt.Errorf("line 1, columns %d and %d: both are named %q; node ids must be unique", before, column, shorten(id))
		}
		seen[id] = column
		p.Nodes = append(p.Nodes, id)
	}
	return nil
}

func (p *csvParser) add(r row) error {
	if len(r.cells) != p.columns {
		return fmt.Errorf("line %d has %d columns, but the rows before it have %d; the file was cut off or damaged", r.line, len(r.cells), p.columns)
	}
	// Rows are counted, not dated, when there are no time stamps: a gap would shift all that follows.
	if p.line > 0 && r.line > p.line+1 && !p.timed {
		return fmt.Errorf("line %d is empty; write nan for what wasn't measured, or remove the line", p.line+1)
	}
	p.line = r.line
	switch {
	case p.timed:
		at, ok := p.clock.parse(r.cells[0])
		if !ok {
			return fmt.Errorf("line %d, column 1: %q is no time stamp; %s", r.line, shorten(r.cells[0]), knownTimes)
		}
		if p.T > 0 && !at.After(p.Times[p.T-1]) {
			return fmt.Errorf("line %d: %w", r.line, notAfter(at, p.Times[p.T-1]))
		}
		p.Times = append(p.Times, at)
	case p.skip == 1:
		if n, err := strconv.Atoi(strings.TrimSpace(r.cells[0])); err != nil || n != p.running {
			return fmt.Errorf("line %d, column 1: %q, but the column has no title and held running numbers before; %d expected. Give it a title if it is a node's",
				r.line, shorten(r.cells[0]), p.running)
		}
		p.running++
	}
	for i, cell := range r.cells[p.skip:] {
		v, err := number(cell)
		if err != nil {
			return fmt.Errorf("line %d, column %d%s: %w", r.line, p.skip+i+1, p.title(i), err)
		}
		p.Values = append(p.Values, v)
	}
	p.T++
	return nil
}

func (p *csvParser) title(node int) string {
	if p.Nodes == nil {
		return ""
	}
	return " (" + shorten(p.Nodes[node]) + ")"
}

// Titles of a first column of time stamps, and of running numbers (pandas writes its index without a title).
var (
	timeTitles  = []string{"time", "times", "date", "datetime", "date_time", "timestamp", "time_stamp"}
	indexTitles = []string{"", "index", "unnamed: 0"}
)

// isHeader decides whether the first row holds node ids. It does when
//   - its first cell is a title of a time or index column, or time stamps begin in the row below it;
//   - it has a word that isn't a number, unless it has decimal fractions (which are measurements, one of them damaged);
//   - or it holds only integers, no two equal, and the rows below look different in kind: ids run like 0, 1, 2; or each is more
//     than ten times anything below; or there are at least eight and no row below is made of distinct integers as well.
func isHeader(rows []row) bool {
	var c clock
	cells := rows[0].cells
	if _, timed := c.parse(cells[0]); timed {
		return false
	}
	if slices.Contains(timeTitles, strings.ToLower(strings.TrimSpace(cells[0]))) {
		return true
	}
	below := rows[1:]
	if len(below) > 0 {
		if _, timed := c.parse(below[0].cells[0]); timed {
			return true
		}
	}
	words := 0
	for i, cell := range cells {
		cell = strings.TrimSpace(cell)
		_, err := strconv.ParseFloat(cell, 64)
		switch {
		case err == nil && strings.ContainsAny(cell, ".eE"):
			return false
		case err != nil && (!isMissing(cell) || i == 0 && len(cells) > 1 && slices.Contains(indexTitles, strings.ToLower(cell))):
			words++
		}
	}
	skip := 0
	if slices.Contains(indexTitles, strings.ToLower(strings.TrimSpace(cells[0]))) {
		skip, words = 1, words-1 // an index column says nothing about the others
	}
	if words > 0 {
		return true
	}
	ids := cells[skip:]
	if len(ids) == 0 || len(below) == 0 || !distinctIntegers(ids) {
		return false
	}
	if len(ids) > 1 && running(ids) {
		return true
	}
	least, most, alike := math.Inf(1), 0.0, false
	for _, cell := range ids {
		v, _ := strconv.ParseFloat(strings.TrimSpace(cell), 64)
		least = min(least, v)
	}
	for _, r := range below {
		values := r.cells[min(skip, len(r.cells)):]
		alike = alike || distinctIntegers(values)
		for _, cell := range values {
			if v, err := strconv.ParseFloat(strings.TrimSpace(cell), 64); err == nil && v == v {
				most = max(most, math.Abs(v))
			}
		}
	}
	return least > 10*most || len(ids) >= 8 && !alike
}

// distinctIntegers reports whether all cells are integers, no two equal.
func distinctIntegers(cells []string) bool {
	seen := make(map[string]bool, len(cells))
	for _, cell := range cells {
		cell = strings.TrimSpace(cell)
		if _, err := strconv.ParseInt(cell, 10, 64); err != nil || seen[cell] {
			return false
		}
		seen[cell] = true
	}
	return true
}

// running reports whether integers go up one by one from 0 or 1.
func running(cells []string) bool {
	first := strings.TrimSpace(cells[0])
	if first != "0" && first != "1" {
		return false
	}
	from, _ := strconv.Atoi(first)
	for i, cell := range cells {
		if strings.TrimSpace(cell) != strconv.Itoa(from+i) {
			return false
		}
	}
	return true
}
