package run

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/stprune/workbench/stprune"
)

func ids(r *rand.Rand, n, k int) []int32 {
	var out []int32
	for i := range n { // selection sampling
		if r.IntN(n-i) < k-len(out) {
			out = append(out, int32(i))
		}
	}
	return out
}

func column(r *rand.Rand, k, distinct int) []float32 {
	out := make([]float32, k)
	for i := range out {
		if distinct > 0 {
			out[i] = float32(1+r.IntN(distinct)) / 7
		} else {
			out[i] = float32(math.Exp(6 * r.NormFloat64()))
		}
	}
	return out
}

func TestSelectionRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for name, k := range map[string]Kept{
		"all":         {Units: 100, PerWindow: 4, Selection: stprune.Selection{All: true}},
		"one unit":    {Units: 1, PerWindow: 1, Selection: stprune.Selection{IDs: []int32{0}}},
		"sparse":      {Units: 10000, PerWindow: 10, Selection: stprune.Selection{IDs: ids(r, 10000, 100), Weight: column(r, 100, 0), Prob: column(r, 100, 1)}},
		"dense":       {Units: 1001, PerWindow: 1, Selection: stprune.Selection{IDs: ids(r, 1001, 900), Weight: column(r, 900, 5)}},
		"first, last": {Units: 1000, PerWindow: 1, Selection: stprune.Selection{IDs: []int32{0, 999}, Prob: []float32{0.5, 1e-30}}},
		"nothing":     {Units: 5, PerWindow: 1, Selection: stprune.Selection{IDs: []int32{}}},
	} {
		b, err := encodeKept(k)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeKept(b)
		if err != nil || !reflect.DeepEqual(got, k) {
			t.Errorf("%s: read back as %+v, %v; want %+v", name, got, err, k)
		}
	}
}

// 2.4 million pairs: what is written stays within the limit, and is as exact as promised.
func TestLargeSelections(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	const nodes, windows = 67, 36000
	for _, share := range []float64{0.01, 0.1, 0.3, 0.9} {
		n := nodes * windows
		k := int(share * float64(n))
		want := Kept{Units: n, PerWindow: nodes, Selection: stprune.Selection{IDs: ids(r, n, k), Weight: column(r, k, 0), Prob: column(r, k, 0)}}
		b, err := encodeKept(want)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > selectionLimit {
			t.Errorf("share %v: %d bytes, limit %d", share, len(b), selectionLimit)
		}
		got, err := decodeKept(b)
		if err != nil {
			t.Fatal(err)
		}
		a, z := want.Visits(), got.Visits()
		if !reflect.DeepEqual(a.Count, z.Count) {
			t.Errorf("share %v: visits per window differ", share)
		}
		near(t, a.Weight, z.Weight)
		if got.Summary == nil {
			near(t, want.Weight, got.Weight)
			near(t, want.Prob, got.Prob)
		} else if share < 0.2 {
			t.Errorf("share %v was summed up", share)
		}
		t.Logf("share %v: %d bytes, summary %v", share, len(b), got.Summary != nil)
	}
}

func near(t *testing.T, want, got []float32) {
	t.Helper()
	for i, w := range want {
		if d := math.Abs(float64(got[i] - w)); d > 1e-3*float64(w) {
			t.Fatalf("value %d is %v, want %v", i, got[i], w)
		}
	}
}

func TestColumnCodings(t *testing.T) {
	nan := float32(math.NaN())
	long := column(rand.New(rand.NewPCG(7, 8)), exactUpTo+1, 0)
	long[3], long[4] = 0, nan
	negative := append([]float32{-1}, long...)
	for name, c := range map[string]struct {
		values []float32
		code   byte
	}{
		"same": {[]float32{2, 2, 2}, codeSame}, "NaN": {[]float32{nan, nan}, codeSame}, "none": {nil, codePlain},
		"palette": {[]float32{1, 2, 1, 2, nan, 1, 1}, codePalette}, "plain": {[]float32{1, 2, 3}, codePlain},
		"log16": {long, codeLog16}, "negative": {negative, codePlain},
	} {
		b := appendColumn(nil, c.values)
		if b[0] != c.code {
			t.Errorf("%s: coding %d, want %d", name, b[0], c.code)
		}
		got, rest, err := readColumn(append(b, 99), len(c.values))
		if err != nil || len(rest) != 1 {
			t.Fatalf("%s: %v, %d bytes left", name, err, len(rest))
		}
		for i, v := range c.values {
			exact := math.Float32bits(got[i]) == math.Float32bits(v) || v != v && got[i] != got[i]
			if !exact && (c.code != codeLog16 || math.Abs(float64(got[i]-v)) > 1e-3*float64(v)) {
				t.Fatalf("%s: value %d is %v, want %v", name, i, got[i], v)
			}
		}
	}
}

// Runs of more windows than a column may code as one value are read back; what a few bytes only declare is not.
func TestLongRuns(t *testing.T) {
	const n = sameUpTo + 9
	value := func(v float32) []float32 {
		out := make([]float32, n)
		for i := range out {
			out[i] = v
		}
		return out
	}
	scores := Scores{Windows: Difficulty{value(2), value(3), value(4), value(5), value(1)}}
	if got, err := decodeScores(encodeScores(scores)); err != nil || !reflect.DeepEqual(got, scores) {
		t.Errorf("scores of %d windows are not read back: %v", n, err)
	}
	kept := Kept{Units: n, PerWindow: 1, Selection: stprune.Selection{Weight: value(2), IDs: make([]int32, n)}}
	for i := range kept.IDs {
		kept.IDs[i] = int32(i)
	}
	for name, k := range map[string]Kept{
		"listed": kept,
		"all":    {Units: maxWindows, PerWindow: 1, Selection: stprune.Selection{All: true}},
		"pairs":  {Units: 15 * maxWindows, PerWindow: 15, Selection: stprune.Selection{All: true}},
	} {
		b, err := encodeKept(k)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decodeKept(b); err != nil || !reflect.DeepEqual(got, k) {
			t.Errorf("%s: a selection of %d units is not read back: %v", name, k.Units, err)
		}
	}
	if _, err := encodeKept(Kept{Units: maxWindows + 1, PerWindow: 1, Selection: stprune.Selection{All: true}}); err == nil {
		t.Errorf("a selection of %d windows was written", maxWindows+1)
	}

	declare := func(sizes ...uint64) (b []byte) {
		for _, size := range sizes {
			b = binary.AppendUvarint(b, size)
		}
		return b
	}
	same := []byte{codeSame, 0, 0, 0, 0}
	columns := bytes.Repeat(same, 6)
	for name, b := range map[string][]byte{
		"same":      append(declare(maxWindows, 0), columns...),
		"nodes":     append(declare(1, maxWindows), columns...),
		"palette":   append(declare(maxWindows, 0), codePalette, 0, 0, 0, 0, 0),
		"beyond":    append(declare(maxWindows+1, 0), columns...),
		"undefined": declare(maxWindows, 0),
	} {
		if _, err := decodeScores(b); err == nil {
			t.Errorf("%s: %d bytes were read as scores", name, len(b))
		}
	}
	for name, b := range map[string][]byte{
		"ids":     append(declare(maxWindows, 1, keptWeight, maxWindows), columns...),
		"bitmap":  append(declare(maxWindows, 1, keptWeight|keptBitmap, maxWindows), columns...),
		"summary": append(declare(maxWindows, 1, keptSummary), columns...),
	} {
		if _, err := decodeKept(b); err == nil {
			t.Errorf("%s: %d bytes were read as a selection", name, len(b))
		}
	}
}

// Content that passes the checksum but was made to deceive must not exhaust memory or panic either.
func TestDecodersRefuseNonsense(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	good := func() [][]byte {
		k, err := encodeKept(Kept{Units: 300, PerWindow: 3, Selection: stprune.Selection{IDs: ids(r, 300, 9), Weight: column(r, 9, 0)}})
		if err != nil {
			t.Fatal(err)
		}
		s := encodeScores(Scores{
			Windows: Difficulty{column(r, 9, 0), column(r, 9, 2), column(r, 9, 0), column(r, 9, 0), column(r, 9, 1)},
			Nodes:   &Difficulty{column(r, 3, 0), column(r, 3, 0), column(r, 3, 0), column(r, 3, 0), column(r, 3, 0)},
		})
		p := encodeParameters(map[string][]float32{"a": {1, 2}, "b.weight": {3}})
		return [][]byte{k, s, p, bytes.Join(checkpointParts([]byte("{}"), []byte("scores"), []byte("state")), nil)}
	}
	decoders := []func([]byte) error{
		func(b []byte) error { _, err := decodeKept(b); return err },
		func(b []byte) error { _, err := decodeScores(b); return err },
		func(b []byte) error { _, err := decodeParameters(b); return err },
		func(b []byte) error { _, _, _, err := splitCheckpoint(b); return err },
	}
	for i, b := range good() {
		if err := decoders[i](b); err != nil {
			t.Fatalf("decoder %d refuses its own encoding: %v", i, err)
		}
		refused := 0
		for range 2000 {
			bad := append([]byte(nil), b...)
			for range 1 + r.IntN(3) {
				bad[r.IntN(len(bad))] = byte(r.Uint32())
			}
			if decoders[i](bad[:r.IntN(len(bad)+1)]) != nil {
				refused++
			}
		}
		if refused == 0 {
			t.Errorf("decoder %d refuses nothing", i)
		}
	}
}

// Runs that were begun before the coherence, or spatial, was recorded are read, and go on without it.
func TestScoresOfOlderRuns(t *testing.T) {
	for name, lacks := range map[string][]int{"spatial": {tallySpatial}, "coherence": {tallySpatial, tallyCoherence}} {
		r := newRecorder(DefaultSpec(), 2, 2)
		for _, value := range lacks {
			r.without(value)
		}
		r.observe([]int32{0, 3}, nil, make(stprune.Stats, 2*stprune.NumStats))
		r.endEpoch()
		old := r.scores()
		if got, err := decodeScores(encodeScores(old)); err != nil || !reflect.DeepEqual(got, old) || old.Windows.Spatial != nil {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, old)
		}
		resumed := newRecorder(DefaultSpec(), 2, 2)
		if err := resumed.restore(r.appendState(nil)); err != nil {
			t.Fatal(err)
		}
		for _, r := range []*recorder{r, resumed} {
			r.observe([]int32{1, 2}, nil, stprune.Stats{1, 0, 0, 0, 1, 2, 0, 0, 0, 1})
			r.endEpoch()
		}
		if !reflect.DeepEqual(resumed, r) {
			t.Errorf("%s: %+v, want %+v", name, resumed, r)
		}
	}
}

// Only a run on all data can be replayed, so only its scores have a column of spatial.
func TestSpatialIsRecordedOfAllData(t *testing.T) {
	spec := DefaultSpec()
	for _, name := range []string{"full", "st-prune"} {
		spec.Prune.Method = name
		r := newRecorder(spec, 1, 1)
		r.observe([]int32{0}, nil, stprune.Stats{1, 2, 3, 0, 0})
		r.endEpoch()
		if got := r.scores().Windows.Spatial; (got != nil) != (name == "full") || got != nil && got[0] != 2 {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestRecorderMeansAndState(t *testing.T) {
	spec := DefaultSpec() // complexity: level + spatial + temporal
	a := newRecorder(spec, 2, 2)
	row := func(level, spatial, temporal float32) []float32 {
		return []float32{level, spatial, temporal, 100, level / 8}
	}
	a.observe([]int32{0, 3}, nil, append(row(1, 2, 3), row(5, 0, 1)...))
	a.endEpoch()
	a.observe([]int32{2, 3}, nil, append(row(2, 0, 0), row(4, 0, 0)...))

	b := newRecorder(spec, 2, 2)
	if err := b.restore(a.appendState(nil)); err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]*recorder{"first": a, "restored": b} {
		r.endEpoch()
		got := r.scores()
		want := Scores{
			Windows: Difficulty{Level: []float32{1, 3}, Complexity: []float32{6, 3}, Coherence: []float32{0.125, 0.375}, Spatial: []float32{2, 0}, Weight: []float32{0, 2}},
			Nodes:   &Difficulty{Level: []float32{2, 4}, Complexity: []float32{2, 4}, Coherence: []float32{0.25, 0.5}, Spatial: []float32{0, 0}, Weight: []float32{1, 1}},
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v %+v, want %+v %+v", name, got.Windows, got.Nodes, want.Windows, want.Nodes)
		}
	}
	a.observe([]int32{3, 2}, []float32{0.25, 0.5}, append(row(4, 0, 0), row(1, 0, 0)...)) // of window 1: level 4 four times, 1 twice
	a.endEpoch()
	if got := a.scores().Windows; got.Level[0] != 1 || got.Level[1] != 3 || got.Weight[0] != 0 || got.Weight[1] != 6 {
		t.Errorf("%+v, want level 1 of weight 0, and the mean by 1/π, level 3 of weight 6", got)
	}
	if err := b.restore(a.appendState(nil)[1:]); err == nil {
		t.Error("a state cut short was restored")
	}
}
