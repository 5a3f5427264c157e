package execcache

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// fields lists the names of a struct's fields in order; nil when the header has no such struct.
func fields(header, structure string) []string {
	body := regexp.MustCompile(`(?s)typedef struct \{([^}]*)\} ` + structure + `;|struct ` + structure + ` \{(.*?)\n\};`).FindStringSubmatch(header)
	if body == nil {
		return nil
	}
	var names []string
	code := regexp.MustCompile(`//.*`).ReplaceAllString(body[1]+body[2], "")
	for _, statement := range strings.Split(code, ";") {
		if function := regexp.MustCompile(`\(\*(\w+)\)`).FindStringSubmatch(statement); function != nil {
			names = append(names, function[1])
		} else if name := regexp.MustCompile(`(\w+)\s*$`).FindStringSubmatch(statement); name != nil {
			names = append(names, name[1])
		}
	}
	return names
}

// Our part of the PJRT C interface must agree with the header that go-xla is built with.
func TestLayout(t *testing.T) {
	ours, err := os.ReadFile("pjrt.h")
	if err != nil {
		t.Fatal(err)
	}
	module, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/gomlx/go-xla").Output()
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(module)), "pjrt", "pjrt_c_api.h"))
	if err != nil {
		t.Fatal(err)
	}

	var table []string
	for _, field := range regexp.MustCompile(`  _PJRT_API_STRUCT_FIELD\((\w+)\);`).FindAllSubmatch(theirs, -1) {
		table = append(table, string(field[1]))
	}
	places := regexp.MustCompile(`  (PJRT_\w+) = (\d+),`).FindAllSubmatch(ours, -1)
	if len(places) < 5 {
		t.Fatalf("%d places in our table", len(places))
	}
	for _, place := range places {
		want := slices.Index(table, string(place[1]))
		if got, err := strconv.Atoi(string(place[2])); err != nil || got != want {
			t.Errorf("%s is at %s, want %d", place[1], place[2], want)
		}
	}

	structs := regexp.MustCompile(`\} (PJRT_Program|PJRT_\w+_Args);`).FindAllSubmatch(ours, -1)
	if len(structs) < 5 {
		t.Fatalf("%d structs of ours", len(structs))
	}
	for _, s := range structs {
		got, want := fields(string(ours), string(s[1])), fields(string(theirs), string(s[1]))
		if len(got) < 3 || !slices.Equal(got, want) {
			t.Errorf("%s has %q, want %q", s[1], got, want)
		}
	}
	if minor := regexp.MustCompile(`#define PJRT_API_MINOR (\d+)`).FindSubmatch(theirs); minor == nil || !strings.Contains(string(ours), fmt.Sprintf("version 0.%s", minor[1])) {
		t.Errorf("pjrt.h does not say that it follows version 0.%s", minor)
	}
}
