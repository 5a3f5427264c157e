package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stprune/workbench/stprune/accel"
)

func TestExamine(t *testing.T) {
	plugin, err := accel.Find(accel.CPU)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, plugin string
		ok           bool
		printed      string
	}{
		{"XLA works", plugin.Path, true, "PJRT 0."},
		{"plugin is gone", filepath.Join(t.TempDir(), "cpu.so"), false, "stprune setup --cpu"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("STPRUNE_PLUGIN", test.plugin)
			r, err := examine(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			ok := test.ok || r.Backends[0].Works // a GPU suffices
			var text bytes.Buffer
			if err := r.print(&text); err != nil {
				t.Fatal(err)
			}
			if r.OK != ok || !strings.Contains(text.String(), test.printed) {
				t.Errorf("ok is %v, want %v; want %q in\n%s", r.OK, ok, test.printed, &text)
			}
			for _, b := range r.Backends {
				want := b.Name == "go" || b.Name == "xla:cpu" && test.ok
				if b.Name != "xla:cuda" && (b.Works != want || (b.Error == "") != want) {
					t.Errorf("backend %+v, want working %v", b, want)
				}
			}
			if blamed := strings.Contains(text.String(), "PROBLEM  "); blamed != (len(r.Problems) > 0) {
				t.Errorf("problems %+v, printed\n%s", r.Problems, &text)
			}
			var again report
			if encoded, err := json.Marshal(r); err != nil || json.Unmarshal(encoded, &again) != nil || again.OK != r.OK || len(again.Backends) != 3 {
				t.Errorf("as JSON: %s (%v)", encoded, err)
			}
			want := exitFailure
			if ok {
				want = 0
			}
			if code := run([]string{"doctor", "--json"}); code != want {
				t.Errorf("exit code %d, want %d", code, want)
			}
		})
	}
}

// Programs that the examination compiled are told, and go with --clear-cache and nothing else.
func TestKeptPrograms(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "executables")
	for _, test := range []struct {
		folder string
		on     bool
		line   string
		code   int // of clearing
	}{
		{folder, true, "1 compiled ones kept in " + folder, 0},
		{"off", false, "are compiled at every start", exitFailure},
		{"/dev/null", false, "set STPRUNE_EXEC_CACHE to a folder", exitFailure},
	} {
		t.Setenv("STPRUNE_EXEC_CACHE", test.folder)
		r, err := examine(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		if err := r.print(&text); err != nil {
			t.Fatal(err)
		}
		if r.Kept.On != test.on || !strings.Contains(text.String(), test.line) {
			t.Errorf("%s: %+v, want %q in\n%s", test.folder, r.Kept, test.line, &text)
		}
		if code := run([]string{"doctor", "--clear-cache"}); code != test.code {
			t.Errorf("%s: exit code %d, want %d", test.folder, code, test.code)
		}
	}
	if files, err := os.ReadDir(folder); len(files) > 0 || err != nil {
		t.Errorf("after clearing: %v (%v)", files, err)
	}
}

func TestSetupUsage(t *testing.T) {
	wheel := filepath.Join(t.TempDir(), "missing.whl")
	for _, test := range []struct {
		arguments []string
		want      int
	}{
		{[]string{"setup", "--wheel", wheel}, exitUsage},
		{[]string{"setup", "--cuda", "--wheel", "main.go"}, exitFailure},
		{[]string{"setup", "--no-such-flag"}, exitUsage},
	} {
		if code := run(test.arguments); code != test.want {
			t.Errorf("%v: exit code %d, want %d", test.arguments, code, test.want)
		}
	}
}
