package export

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/stprune/workbench/stprune/run"
)

// docs/runs.md explains every column and every field of the JSON files.
func TestDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/runs.md")
	if err != nil {
		t.Fatal(err)
	}
	explained := func(name string) bool {
		return strings.Contains(string(text), "`"+name+"`") || strings.Contains(string(text), "`."+name[strings.LastIndexByte(name, '.')+1:]+"`")
	}
	for _, k := range run.Keys() {
		if !k.Setting && !explained(k.Name) {
			t.Errorf("result %s is not explained", k.Name)
		}
	}
	for _, k := range epochKeys {
		if !explained(k.name) {
			t.Errorf("column %s is not explained", k.name)
		}
	}
	for _, v := range []any{run.Epoch{}, run.Result{}, run.Environment{}, run.Failure{}} {
		for _, f := range reflect.VisibleFields(reflect.TypeOf(v)) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if f.Type.Kind() == reflect.Struct && !explained(name) && strings.Contains(string(text), "`"+name+".") {
				continue // its parts are
			}
			if name != "" && !explained(name) {
				t.Errorf("field %s of %T is not explained", name, v)
			}
		}
	}
}
