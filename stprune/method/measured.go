package method

import (
	_ "embed"
	"encoding/json"
	"strings"
	"time"
)

// measuredLines are objects as `stprune bench select --units 36000,1000000 --json` prints them, on 2 cores of an AMD EPYC
// that did little else.
//
//go:embed measured.jsonl
var measuredLines string

// Measured is what one choice of 10 % of the units took. A scoring model's training is no part of it.
type Measured struct {
	Units   int     `json:"units"`
	Seconds float64 `json:"seconds"`
	Bytes   uint64  `json:"allocated_bytes"`   // in all
	Problem string  `json:"problem,omitempty"` // why there is none: too slow or too large
}

// String is the time with two digits, such as "710µs", or what was the problem.
func (m Measured) String() string {
	if m.Problem != "" {
		return m.Problem
	}
	d := time.Duration(m.Seconds * float64(time.Second))
	unit := time.Duration(1)
	for unit*100 <= d {
		unit *= 10
	}
	return d.Round(unit).String()
}

// Measured is empty for methods that were not measured, such as one's own.
func (m Method) Measured() []Measured {
	all := []Measured{}
	for line := range strings.Lines(measuredLines) {
		var row struct {
			Method string `json:"method"`
			Measured
		}
		if json.Unmarshal([]byte(line), &row) == nil && row.Method == m.Name { // a test reads every line
			all = append(all, row.Measured)
		}
	}
	return all
}
