package datasets

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// What is written must be read back, whatever the shape, and a value that float32 cannot hold must survive.
func TestWriteNPZ(t *testing.T) {
	arrays := map[string]Array{
		"layer.0.weight": NewArray([]int{2, 3}, []float32{1, -2, 0.1, 0, float32(math.Inf(1)), float32(math.NaN())}),
		"scalar":         NewArray(nil, []float64{288}),
		"fine":           NewArray([]int{2}, []float64{0.1, 1e300}),
		"empty":          NewArray([]int{0, 4}, []float64{}),
		"vector":         NewArray([]int{5}, []float32{1, 2, 3, 4, 5}),
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "a.npz")
	for range 2 { // the second replaces the first
		if err := WriteNPZ(path, arrays); err != nil {
			t.Fatal(err)
		}
	}
	got, err := ReadNPZ(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(arrays) {
		t.Errorf("%d arrays read, %d written", len(got), len(arrays))
	}
	for name, want := range arrays {
		same := func(a, b float64) bool { return a == b || a != a && b != b }
		if !slices.Equal(got[name].Shape, want.Shape) || !slices.EqualFunc(got[name].Float64s(), want.Float64s(), same) {
			t.Errorf("%s: read %v %v; wrote %v %v", name, got[name].Shape, got[name].Float64s(), want.Shape, want.Float64s())
		}
	}
	again := filepath.Join(dir, "b.npz")
	if err := WriteNPZ(again, arrays); err != nil {
		t.Fatal(err)
	}
	a, _ := os.ReadFile(path)
	b, _ := os.ReadFile(again)
	if !bytes.Equal(a, b) {
		t.Error("the same arrays gave different files")
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 2 {
		t.Errorf("%d files in the folder; want the two written", len(entries))
	}
	if err := WriteNPZ(filepath.Join(dir, "none", "c.npz"), arrays); err == nil {
		t.Error("a folder that isn't there must be an error")
	}
}

func TestNewArrayChecksItsSize(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("three values in an array of four must panic")
		}
	}()
	NewArray([]int{2, 2}, []float32{1, 2, 3})
}
