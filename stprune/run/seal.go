package run

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
)

// Binary files of a run are sealed: an 8-byte kind, a version, the payload's length, the payload, and the SHA-256 of all that.
//
//	kind [8] | version uint32 | length uint64 | payload [length] | SHA-256 [32]      little endian
const sealHead = 8 + 4 + 8

// The kinds of sealed files, and the version of each that this package writes and reads.
const (
	kindCheckpoint = "STPRckpt"
	kindBest       = "STPRbest"
	kindSelection  = "STPRseln"
	kindScores     = "STPRscor"
	kindScoring    = "STPRprob"

	sealVersion = 1
)

// seal seals a payload, given in parts.
func seal(kind string, payload ...[]byte) []byte {
	size := 0
	for _, part := range payload {
		size += len(part)
	}
	b := make([]byte, 0, sealHead+size+sha256.Size)
	b = append(b, kind...)
	b = binary.LittleEndian.AppendUint32(b, sealVersion)
	b = binary.LittleEndian.AppendUint64(b, uint64(size))
	for _, part := range payload {
		b = append(b, part...)
	}
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

// unseal returns the payload, a part of b.
func unseal(kind string, b []byte) ([]byte, error) {
	if len(b) < sealHead+sha256.Size {
		return nil, fmt.Errorf("%d bytes; a file of kind %s has at least %d: it was cut off", len(b), kind, sealHead+sha256.Size)
	}
	if string(b[:8]) != kind {
		return nil, fmt.Errorf("begins with %q, expected kind %q", b[:8], kind)
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != sealVersion {
		return nil, fmt.Errorf("version %d of kind %s; this program reads version %d", v, kind, sealVersion)
	}
	if n, have := binary.LittleEndian.Uint64(b[12:]), uint64(len(b)-sealHead-sha256.Size); n != have {
		return nil, fmt.Errorf("declares %d bytes of content and has %d: it was cut off or altered", n, have)
	}
	body, want := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:], want) {
		return nil, fmt.Errorf("its checksum does not fit its %d bytes of content: it was altered", len(body)-sealHead)
	}
	return body[sealHead:], nil
}

// readSealed reads the payload of a sealed file.
func readSealed(kind, path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	payload, err := unseal(kind, b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return payload, nil
}
