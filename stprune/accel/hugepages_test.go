//go:build linux && cgo && !noxla && !asan && !msan

package accel

import (
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
)

// A large array that XLA makes must lie in memory for which huge pages are asked, and a small one not.
func TestLargeArraysAskForHugePages(t *testing.T) {
	array := arraysWithHugePages(t)
	before := hugeMappings(t)
	for size, want := range map[int]bool{1 << 20: false, 64 << 20: true} {
		free := array(size)
		asked := slices.ContainsFunc(hugeMappings(t), func(m string) bool { return !slices.Contains(before, m) })
		if asked != want {
			t.Errorf("%d bytes: new memory for huge pages: %v; want %v", size, asked, want)
		}
		free()
	}
}

// The memory of a large array that is freed is kept for the next one of its size, and only if no other of its size is in use.
func TestLargeArraysMemoryIsKept(t *testing.T) {
	array := arraysWithHugePages(t)
	before := hugeMappings(t)
	added := func(want int, when string) []string {
		t.Helper()
		now := slices.DeleteFunc(hugeMappings(t), func(m string) bool { return slices.Contains(before, m) })
		if len(now) != want {
			t.Errorf("%s: %d new mappings for huge pages, want %d: %v", when, len(now), want, now)
		}
		return now
	}

	array(64 << 20)()
	first := added(1, "an array freed")
	again := array(64 << 20)
	if second := added(1, "an array in its place"); !slices.Equal(first, second) {
		t.Errorf("an array lies at %v, not where the freed one was, at %v", second, first)
	}
	other := array(64 << 20)
	added(2, "two arrays of a size")
	again()
	added(1, "one of two freed")
	other()
	added(1, "both freed")
	array(96 << 20)()
	if third := added(1, "an array of another size freed"); slices.Equal(first, third) {
		t.Errorf("an array of another size lies at %v too", third)
	}
}

// arraysWithHugePages makes arrays of XLA's, of so many bytes, and functions that free them.
func arraysWithHugePages(t *testing.T) func(size int) (free func()) {
	t.Helper()
	if _, err := os.Stat("/sys/kernel/mm/transparent_hugepage"); err != nil {
		t.Skip("this system has no huge pages")
	}
	be, err := Open(t.Context(), "xla:cpu", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { be.Close() })
	array := func(size int) func() {
		t.Helper()
		out, err := graph.CallOnce(be.Backend, func(g *graph.Graph) *graph.Node {
			return graph.Iota(g, shapes.Make(dtypes.Uint8, size), 0)
		})
		if err != nil {
			t.Fatal(err)
		}
		return func() {
			t.Helper()
			if err := out.FinalizeAll(); err != nil {
				t.Fatal(err)
			}
		}
	}
	array(40 << 20)() // in place of what earlier tests left
	return array
}

// hugeMappings are the addresses of this process for which huge pages were asked.
func hugeMappings(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	var mappings []string
	var mapping string
	header := regexp.MustCompile(`^[0-9a-f]+-[0-9a-f]+ `)
	for line := range strings.Lines(string(text)) {
		if header.MatchString(line) {
			mapping, _, _ = strings.Cut(line, " ")
		}
		if flags, ok := strings.CutPrefix(line, "VmFlags:"); ok && slices.Contains(strings.Fields(flags), "hg") {
			mappings = append(mappings, mapping)
		}
	}
	return mappings
}
