package datasets

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// textFile is a text file, unpacked when gzip packed it (its content says so, not its name), without a byte order mark.
type textFile struct {
	io.Reader
	file *countedFile
}

func openText(path string, progress Progress) (*textFile, error) {
	f, err := openCounted(path, progress)
	if err != nil {
		return nil, err
	}
	fail := func(err error) (*textFile, error) { return nil, errors.Join(err, f.Close()) }
	in := bufio.NewReaderSize(f, 1<<18)
	if magic, _ := in.Peek(2); bytes.Equal(magic, gzipMagic) {
		z, err := gzip.NewReader(in)
		if err != nil {
			return fail(fmt.Errorf("%s: damaged gzip file: %w", path, err))
		}
		in = bufio.NewReaderSize(&unpacked{in: z, packed: f.total}, 1<<18)
	}
	if mark, _ := in.Peek(3); bytes.Equal(mark, []byte("\xef\xbb\xbf")) {
		if _, err := in.Discard(len(mark)); err != nil {
			return fail(err)
		}
	}
	return &textFile{in, f}, nil
}

func (t *textFile) Close() error { return t.file.Close() }

var gzipMagic = []byte{0x1f, 0x8b}

// Real files unpack to a few times their size; text of zeros alone to a thousand times. An archive that claims more than this
// is refused before it fills the memory.
const (
	maxRatio   = 200
	smallBytes = 1 << 30 // below this the ratio doesn't count
)

// unpacked stops a gzip bomb and explains a truncated file.
type unpacked struct {
	in     io.Reader
	packed int64
	n      int64
}

func (u *unpacked) Read(b []byte) (int, error) {
	n, err := u.in.Read(b)
	if u.n += int64(n); u.n > smallBytes && u.n/maxRatio > u.packed {
		return n, fmt.Errorf("it unpacks to more than %d times its size; unpack it with gunzip if that is meant", maxRatio)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("the gzip file was cut off; get it again: %w", err)
	} else if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("damaged gzip file; get it again: %w", err)
	}
	return n, err
}

// countedFile says how far it is read.
type countedFile struct {
	file              *os.File
	progress          Progress
	done, total, said int64
}

func openCounted(path string, progress Progress) (*countedFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file", path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &countedFile{file: f, progress: progress, total: info.Size()}, nil
}

func (c *countedFile) Read(b []byte) (int, error) {
	n, err := c.file.Read(b)
	c.done += int64(n)
	if c.progress != nil && (c.done-c.said >= 1<<20 || c.done == c.total && c.said < c.done) {
		c.said = c.done
		c.progress(filepath.Base(c.file.Name()), c.done, c.total)
	}
	return n, err
}

func (c *countedFile) Close() error { return c.file.Close() }

// records reads comma-separated records, none longer than maxRecord.
type records struct {
	ctx  context.Context
	csv  *csv.Reader
	in   *limitedRecord
	line int // on which the record begins
	n    int
}

const maxRecord = 1 << 26 // bytes; 8,600 sensors need about 100,000

func newRecords(ctx context.Context, in io.Reader) *records {
	limited := &limitedRecord{in: in}
	r := &records{ctx: ctx, csv: csv.NewReader(limited), in: limited}
	r.csv.FieldsPerRecord = -1 // our own message says more
	r.csv.ReuseRecord = true
	return r
}

// next returns the next record, which counts until the one after it is read.
func (r *records) next() ([]string, error) {
	if r.n++; r.n%256 == 0 {
		if err := r.ctx.Err(); err != nil {
			return nil, err
		}
	}
	r.in.left = maxRecord
	record, err := r.csv.Read()
	if err != nil {
		return nil, err
	}
	r.line, _ = r.csv.FieldPos(0)
	return record, nil
}

// limitedRecord stands between a file without line ends and the memory.
type limitedRecord struct {
	in   io.Reader
	left int
}

func (l *limitedRecord) Read(b []byte) (int, error) {
	if l.left <= 0 {
		return 0, fmt.Errorf("a line of more than %d MB; is this a text file with one row per time step?", maxRecord>>20)
	}
	n, err := l.in.Read(b)
	l.left -= n
	return n, err
}

// Layouts of time stamps: the year first, so that day and month can't be confused. Fractions of seconds are accepted in all
// that have seconds, months, days and hours of one digit too.
var timeLayouts = []string{
	"2006-1-2 15:04:05", "2006-1-2 15:04", "2006-1-2T15:04:05Z07:00", "2006-1-2T15:04:05", "2006-1-2T15:04Z07:00", "2006-1-2T15:04",
	"2006-1-2 15:04:05Z07:00", "2006-1-2 15:04Z07:00", "2006-1-2", "2006/1/2 15:04:05", "2006/1/2 15:04", "2006/1/2",
}

const knownTimes = "time stamps look like 2017-01-31 15:04:05, 2017-01-31 15:04, 2017-01-31T15:04:05Z or 2017-01-31"

// clock reads time stamps; the layout that fitted last is tried first.
type clock struct{ layout string }

// parse returns the wall-clock time that is written there: a zone is left out.
func (c *clock) parse(text string) (time.Time, bool) {
	text = strings.TrimSpace(text)
	if len(text) < 8 || len(text) > 40 { // 2017-1-2
		return time.Time{}, false
	}
	t, err := time.Parse(c.layout, text)
	if c.layout == "" || err != nil {
		for _, layout := range timeLayouts {
			if t, err = time.Parse(layout, text); err == nil {
				c.layout = layout
				break
			}
		}
	}
	if err != nil {
		return time.Time{}, false
	}
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC), true
}

// ParseTime reads a wall-clock time in any of the layouts that files are read in, such as 2017-01-31 or 2017-01-31 15:04.
func ParseTime(text string) (time.Time, error) {
	t, ok := new(clock).parse(text)
	if !ok {
		return t, fmt.Errorf("%q is no time stamp; %s", text, knownTimes)
	}
	return t, nil
}

// missingWords stand for a measurement that isn't there, in any case.
var missingWords = []string{"", "na", "nan", "n/a", "null", "none"}

func isMissing(cell string) bool {
	for _, w := range missingWords {
		if strings.EqualFold(cell, w) {
			return true
		}
	}
	return false
}

// number reads a cell: NaN when it says that nothing was measured.
func number(cell string) (float32, error) {
	v, err := strconv.ParseFloat(cell, 32)
	if err != nil {
		cell = strings.TrimSpace(cell)
		if isMissing(cell) {
			return NoMissing(), nil
		}
		v, err = strconv.ParseFloat(cell, 32)
	}
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, fmt.Errorf("%s is too large", shorten(cell))
	case err != nil:
		return 0, fmt.Errorf("%q is not a number", shorten(cell))
	case v-v != 0 && v == v:
		return 0, fmt.Errorf("%s is infinite; write nan if nothing was measured", cell)
	}
	return float32(v), nil
}

// shorten keeps an error readable whatever is in the file.
func shorten(s string) string {
	if len(s) > 40 {
		return strings.ToValidUTF8(s[:40], "") + "…"
	}
	return s
}
