package run

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// A column is a list of float32 in the smallest of four codings:
//
//	same     one value for all, of short columns: for a long one a few bytes could ask for any amount of memory
//	palette  up to 256 values and one byte for each place
//	plain    float32, exact
//	log16    2 bytes: NaN, 0, or a step on a logarithmic scale from the smallest to the largest value; relative error below 1e-3
//
// Only long columns of numbers ≥ 0 are coded as log16, so that an epoch of millions of units stays a few megabytes.
const (
	codeSame = iota
	codePalette
	codePlain
	codeLog16
)

// Lengths up to which columns are exact, and up to which they may be coded as same.
const (
	exactUpTo = 1 << 17
	sameUpTo  = 1 << 23
)

const (
	log16NaN   = 0
	log16Zero  = 1
	log16First = 2
	log16Steps = math.MaxUint16 - log16First
)

var errShort = errors.New("its content ends too early")

func appendColumn(b []byte, values []float32) []byte {
	seen := map[uint32]byte{}
	var palette []uint32
	for _, v := range values {
		bits := math.Float32bits(v)
		if _, ok := seen[bits]; ok {
			continue
		}
		if len(palette) == 256 {
			palette = nil
			break
		}
		seen[bits] = byte(len(palette))
		palette = append(palette, bits)
	}
	switch {
	case len(palette) == 1 && len(values) <= sameUpTo:
		return binary.LittleEndian.AppendUint32(append(b, codeSame), palette[0])
	case len(palette) > 0 && len(values) > 2*len(palette):
		b = append(b, codePalette, byte(len(palette)-1))
		for _, bits := range palette {
			b = binary.LittleEndian.AppendUint32(b, bits)
		}
		for _, v := range values {
			b = append(b, seen[math.Float32bits(v)])
		}
		return b
	}
	if len(values) > exactUpTo {
		if low, high, ok := positiveRange(values); ok {
			return appendLog16(b, values, low, high)
		}
	}
	b = append(b, codePlain)
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

// positiveRange is the range of the values above 0; ok is false when there are none, or negative or infinite ones.
func positiveRange(values []float32) (low, high float32, ok bool) {
	low, high = math.MaxFloat32, 0
	for _, v := range values {
		switch {
		case v < 0 || v > math.MaxFloat32:
			return 0, 0, false
		case v > 0:
			low, high = min(low, v), max(high, v)
		}
	}
	return low, high, high > 0
}

func appendLog16(b []byte, values []float32, low, high float32) []byte {
	b = append(b, codeLog16)
	b = binary.LittleEndian.AppendUint32(b, math.Float32bits(low))
	b = binary.LittleEndian.AppendUint32(b, math.Float32bits(high))
	from := math.Log(float64(low))
	scale := 0.0
	if high > low {
		scale = log16Steps / (math.Log(float64(high)) - from)
	}
	for _, v := range values {
		code := uint16(log16NaN)
		switch {
		case v == 0:
			code = log16Zero
		case v > 0:
			code = log16First + uint16(math.Round((math.Log(float64(v))-from)*scale))
		}
		b = binary.LittleEndian.AppendUint16(b, code)
	}
	return b
}

// readColumn takes a column of n values off the front of b. Nothing is allocated before b is known to hold it, a byte or more for each
// value but for same.
func readColumn(b []byte, n int) (values []float32, rest []byte, err error) {
	if len(b) < 1 {
		return nil, nil, errShort
	}
	code, b := b[0], b[1:]
	need := map[byte]int{codeSame: 4, codePalette: n + 1, codePlain: 4 * n, codeLog16: 8 + 2*n}
	size, ok := need[code]
	switch {
	case !ok:
		return nil, nil, fmt.Errorf("column coding %d is unknown", code)
	case code == codeSame && n > sameUpTo:
		return nil, nil, fmt.Errorf("a column of %d values coded as one; at most %d can be", n, sameUpTo)
	case code == codePalette && len(b) > 0:
		size += 4 * (int(b[0]) + 1)
	}
	if len(b) < size {
		return nil, nil, errShort
	}
	b, rest = b[:size], b[size:]
	values = make([]float32, n)
	word := func(at int) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b[at:])) }
	switch code {
	case codeSame:
		for i := range values {
			values[i] = word(0)
		}
	case codePalette:
		colours := int(b[0]) + 1
		for i, c := range b[1+4*colours:] {
			if int(c) >= colours {
				return nil, nil, fmt.Errorf("palette entry %d of %d", c, colours)
			}
			values[i] = word(1 + 4*int(c))
		}
	case codePlain:
		for i := range values {
			values[i] = word(4 * i)
		}
	case codeLog16:
		low, high := word(0), word(4)
		from := math.Log(float64(low))
		step := (math.Log(float64(high)) - from) / log16Steps
		for i := range values {
			switch c := binary.LittleEndian.Uint16(b[8+2*i:]); c {
			case log16NaN:
				values[i] = float32(math.NaN())
			case log16Zero:
			default:
				values[i] = float32(math.Exp(from + float64(c-log16First)*step))
			}
		}
	}
	return values, rest, nil
}
