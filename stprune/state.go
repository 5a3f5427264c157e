package stprune

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
)

// A state is, little-endian: the magic, a version byte, the method's name (length byte, text), n (8 bytes), the number of
// columns (1 byte), each column as n raw float32, and the CRC-32C of all before it.
const (
	stateMagic   = "STPRUNE"
	stateVersion = 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func stateHeader(method string, n, columns int) []byte {
	h := append([]byte(stateMagic), stateVersion, byte(len(method)))
	h = append(h, method...)
	h = binary.LittleEndian.AppendUint64(h, uint64(n))
	return append(h, byte(columns))
}

// EncodeState writes a pruner's state: columns of n numbers each.
func EncodeState(method string, n int, columns ...[]float32) []byte {
	header := stateHeader(method, n, len(columns))
	b := make([]byte, len(header)+4*n*len(columns)+4)
	at := copy(b, header)
	for _, column := range columns {
		for _, v := range column {
			binary.LittleEndian.PutUint32(b[at:], math.Float32bits(v))
			at += 4
		}
	}
	binary.LittleEndian.PutUint32(b[at:], crc32.Checksum(b[:at], castagnoli))
	return b
}

// DecodeState returns the columns of a state of the same method, size and number of columns. Nothing is allocated before
// size and checksum are known to be right.
func DecodeState(data []byte, method string, n, columns int) ([][]float32, error) {
	const again = "restore the state that this pruner saved, or start anew"
	if len(data) < len(stateMagic)+1 || string(data[:len(stateMagic)]) != stateMagic {
		return nil, fmt.Errorf("prune: these %d bytes are not a pruner's state; %s", len(data), again)
	}
	if v := data[len(stateMagic)]; v != stateVersion {
		return nil, fmt.Errorf("prune: state of format version %d; this build reads version %d: %s", v, stateVersion, again)
	}
	header := stateHeader(method, n, columns)
	if len(data) < len(header) || string(data[:len(header)]) != string(header) {
		return nil, fmt.Errorf("prune: the state is not one of method %q with %d units and %d columns; %s", method, n, columns, again)
	}
	if want := len(header) + 4*n*columns + 4; len(data) != want {
		return nil, fmt.Errorf("prune: state of %d bytes; expected %d for %d units: it was cut or padded; %s", len(data), want, n, again)
	}
	body, sum := data[:len(data)-4], binary.LittleEndian.Uint32(data[len(data)-4:])
	if got := crc32.Checksum(body, castagnoli); got != sum {
		return nil, fmt.Errorf("prune: state with checksum %08x; expected %08x: it is corrupted; %s", got, sum, again)
	}
	out := make([][]float32, columns)
	at := len(header)
	for c := range out {
		out[c] = make([]float32, n)
		for i := range out[c] {
			out[c][i] = math.Float32frombits(binary.LittleEndian.Uint32(body[at:]))
			at += 4
		}
	}
	return out, nil
}
