package datasets

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	parquetformat "github.com/parquet-go/parquet-go/format"
)

// The library takes the memory that the descriptions in a Parquet file ask for, before it looks whether so much follows: a
// damaged byte can end the process. So they are looked through here before it gets to see them.

const (
	maxParquetPage   = 1 << 28 // bytes of a page, unpacked; writers aim at one megabyte
	maxParquetHeader = 1 << 20 // bytes of the description of a page
	maxThriftValues  = 1 << 24 // in a description of a file: it has some 30 for each column of each group of rows
)

// thriftScan walks over values of Thrift's compact protocol.
type thriftScan struct {
	rest   []byte
	values int
	short  bool // the end came early
	bad    bool
}

// size returns how many bytes the struct at the beginning of b has.
func thriftSize(b []byte) (n int, short bool, err error) {
	s := thriftScan{rest: b}
	s.structure(0)
	if s.bad {
		return 0, false, errors.New("a damaged description")
	}
	if s.short {
		return 0, true, errors.New("a description that ends early")
	}
	return len(b) - len(s.rest), false, nil
}

func (s *thriftScan) take(n uint64) {
	if n > uint64(len(s.rest)) {
		s.rest, s.short = nil, true
		return
	}
	s.rest = s.rest[n:]
}

func (s *thriftScan) byte() byte {
	if len(s.rest) == 0 {
		s.short = true
		return 0
	}
	b := s.rest[0]
	s.rest = s.rest[1:]
	return b
}

func (s *thriftScan) varint() uint64 {
	v, n := binary.Uvarint(s.rest)
	switch {
	case n == 0:
		s.rest, s.short = nil, true
	case n < 0:
		s.bad = true
	default:
		s.rest = s.rest[n:]
	}
	return v
}

// structure walks over fields up to the end mark.
func (s *thriftScan) structure(depth int) {
	for !s.short && !s.bad {
		head := s.byte()
		if head == 0 {
			return
		}
		if head>>4 == 0 {
			s.varint() // the field's number
		}
		if kind := head & 15; kind > 2 { // a boolean is its kind
			s.value(kind, depth)
		}
	}
}

func (s *thriftScan) value(kind byte, depth int) {
	if s.values++; s.values > maxThriftValues || depth > 32 {
		s.bad = true
		return
	}
	switch kind {
	case 1, 2, 3:
		s.byte()
	case 4, 5, 6:
		s.varint()
	case 7:
		s.take(8)
	case 8:
		s.take(s.varint())
	case 9, 10:
		head := s.byte()
		n := uint64(head >> 4)
		if n == 15 {
			n = s.varint()
		}
		s.repeat(n, depth, head&15)
	case 11:
		if n := s.varint(); n > 0 {
			kinds := s.byte()
			s.repeat(n, depth, kinds>>4, kinds&15)
		}
	case 12:
		s.structure(depth + 1)
	case 13:
		s.take(16)
	default:
		s.bad = true
	}
}

func (s *thriftScan) repeat(n uint64, depth int, kinds ...byte) {
	if n > uint64(len(s.rest)) { // each has a byte at least
		s.rest, s.short = nil, true
	}
	for range n {
		for _, kind := range kinds {
			s.value(kind, depth+1)
		}
		if s.short || s.bad {
			return
		}
	}
}

// checkParquetFooter looks through the description of the file, which is at its end.
func checkParquetFooter(in io.ReaderAt, size int64) error {
	const frame = 12 // PAR1 at both ends, and the length of the footer
	if size < frame {
		return fmt.Errorf("the Parquet file was cut off after %d bytes", size)
	}
	var tail [8]byte
	if _, err := in.ReadAt(tail[:], size-int64(len(tail))); err != nil {
		return err
	}
	n := int64(binary.LittleEndian.Uint32(tail[:]))
	if string(tail[4:]) != "PAR1" || n > size-frame {
		return errors.New("the Parquet file was cut off: the description of its content, which is at its end, is missing")
	}
	footer := make([]byte, n)
	if _, err := in.ReadAt(footer, size-8-n); err != nil {
		return err
	}
	if _, _, err := thriftSize(footer); err != nil {
		return fmt.Errorf("damaged Parquet file: %w", err)
	}
	return nil
}

// checkParquetPages looks through the descriptions of the pages of a column in a group of rows.
func checkParquetPages(in io.ReaderAt, size int64, column *parquetformat.ColumnMetaData, rows int64) error {
	switch column.Codec {
	case parquetformat.Uncompressed, parquetformat.Snappy, parquetformat.Gzip, parquetformat.Zstd:
	default:
		return fmt.Errorf("packed with %s; only snappy, gzip and zstd can be read", column.Codec)
	}
	at := column.DataPageOffset
	if column.DictionaryPageOffset != 0 {
		at = column.DictionaryPageOffset
	}
	end := at + column.TotalCompressedSize
	if at < 0 || column.TotalCompressedSize < 0 || end < at || end > size {
		return fmt.Errorf("its values lie from byte %d to %d of a file of %d bytes", at, end, size)
	}
	for at < end {
		header, n, err := parquetPageHeader(in, at, end)
		if err != nil {
			return err
		}
		at += n
		packed, unpacked, values := int64(header.CompressedPageSize), int64(header.UncompressedPageSize), int64(0)
		levels, plain := int64(0), column.Codec != parquetformat.Snappy
		switch {
		case header.DataPageHeader.Valid:
			values = int64(header.DataPageHeader.V.NumValues)
		case header.DictionaryPageHeader.Valid:
			values = int64(header.DictionaryPageHeader.V.NumValues)
		case header.DataPageHeaderV2.Valid:
			h := header.DataPageHeaderV2.V
			values = int64(h.NumValues)
			levels = int64(h.RepetitionLevelsByteLength) + int64(h.DefinitionLevelsByteLength)
			plain = plain || h.IsCompressed.Valid && !h.IsCompressed.V
		}
		if packed < 0 || packed > end-at || unpacked < 0 || unpacked > maxParquetPage || values < 0 || values > rows || levels < 0 || levels > packed {
			return fmt.Errorf("a page of %d values in %d bytes, unpacked %d", values, packed, unpacked)
		}
		if !plain && packed > levels { // snappy says on its own how much it unpacks to
			var head [binary.MaxVarintLen64]byte
			n, err := in.ReadAt(head[:min(packed-levels, int64(len(head)))], at+levels)
			if err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			if says, _ := binary.Uvarint(head[:n]); says != uint64(unpacked-levels) {
				return fmt.Errorf("a page that unpacks to %d bytes instead of %d", says, unpacked-levels)
			}
		}
		at += packed
	}
	return nil
}

// parquetPageHeader reads the description of a page and its length.
func parquetPageHeader(in io.ReaderAt, at, end int64) (header parquetformat.PageHeader, n int64, err error) {
	for window := int64(1 << 9); ; window *= 8 {
		raw := make([]byte, min(window, end-at))
		if _, err := in.ReadAt(raw, at); err != nil {
			return header, 0, err
		}
		size, short, err := thriftSize(raw)
		if short && window < end-at && window < maxParquetHeader {
			continue
		}
		if err == nil {
			err = thrift.Unmarshal(new(thrift.CompactProtocol), raw[:size], &header)
		}
		return header, int64(size), err
	}
}
