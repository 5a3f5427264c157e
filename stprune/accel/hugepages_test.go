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
	if _, err := os.Stat("/sys/kernel/mm/transparent_hugepage"); err != nil {
		t.Skip("this system has no huge pages")
	}
	be, err := Open(t.Context(), "xla:cpu", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer be.Close()
	before := hugeMappings(t)
	for size, want := range map[int]bool{1 << 20: false, 64 << 20: true} {
		out, err := graph.CallOnce(be.Backend, func(g *graph.Graph) *graph.Node {
			return graph.Iota(g, shapes.Make(dtypes.Uint8, size), 0)
		})
		if err != nil {
			t.Fatal(err)
		}
		asked := slices.ContainsFunc(hugeMappings(t), func(m string) bool { return !slices.Contains(before, m) })
		if asked != want {
			t.Errorf("%d bytes: new memory for huge pages: %v; want %v", size, asked, want)
		}
		if err := out.FinalizeAll(); err != nil {
			t.Fatal(err)
		}
	}
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
