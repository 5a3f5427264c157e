package run

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestProgressLines(t *testing.T) {
	out, err := os.Create(filepath.Join(t.TempDir(), "piped"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	o := options(t.TempDir())
	o.Watch = Progress(out, "test")
	do(t, tiny(t), o)
	text, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) != 5 {
		t.Fatalf("%d lines for 5 epochs:\n%s", len(lines), text)
	}
	for _, want := range []string{"test: epoch 4/5, 34 units in ", "validation MAE", " left"} {
		if !strings.Contains(lines[3], want) {
			t.Errorf("line %q lacks %q", lines[3], want)
		}
	}
	if bytes.ContainsAny(text, "\r\x1b") {
		t.Errorf("control characters in %q", text)
	}
}
