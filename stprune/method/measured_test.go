package method

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// Each method of the table must have been measured at the same sizes, and nothing else.
func TestEveryMethodIsMeasured(t *testing.T) {
	for line := range strings.Lines(measuredLines) {
		var row struct {
			Method string `json:"method"`
		}
		if err := json.Unmarshal([]byte(line), &row); err != nil || !slices.Contains(Names(), row.Method) {
			t.Errorf("measured.jsonl: %v, method %q", err, row.Method)
		}
	}
	for _, m := range All() {
		rows := m.Measured()
		if len(rows) != 2 || rows[0].Units != 36000 || rows[1].Units != 1000000 {
			t.Errorf("%s: %+v; write measured.jsonl anew", m.Name, rows)
		}
		for _, r := range rows {
			if r.Seconds <= 0 && m.Name != "full" {
				t.Errorf("%s takes %v s", m.Name, r.Seconds)
			}
		}
	}
	if rows := (Method{Name: "mine"}).Measured(); len(rows) != 0 {
		t.Errorf("a method of one's own: %+v", rows)
	}
}
