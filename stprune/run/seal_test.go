package run

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

func TestSealDetectsEveryAlteration(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	payload := make([]byte, 777)
	for i := range payload {
		payload[i] = byte(r.Uint32())
	}
	good := seal(kindScores, payload)
	if got, err := unseal(kindScores, good); err != nil || !bytes.Equal(got, payload) {
		t.Fatalf("the sealed file does not open: %v", err)
	}
	if _, err := unseal(kindSelection, good); err == nil {
		t.Error("a file of scores opened as a selection")
	}
	for i := range 1000 {
		bad := bytes.Clone(good)
		switch i % 3 {
		case 0:
			bad[r.IntN(len(bad))] ^= 1 << r.IntN(8)
		case 1:
			bad = bad[:r.IntN(len(bad))]
		case 2:
			bad = append(bad, make([]byte, 1+r.IntN(40))...)
		}
		if _, err := unseal(kindScores, bad); err == nil {
			t.Fatalf("alteration %d was not detected", i)
		}
	}
}
