package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stprune/workbench/stprune/method"
)

func TestMethods(t *testing.T) {
	table := output(t, 0, "methods")
	var all []struct {
		methodJSON
		NotApplicable string `json:"not_applicable"`
	}
	if err := json.Unmarshal([]byte(output(t, 0, "methods", "--json")), &all); err != nil {
		t.Fatal(err)
	}
	var names, notApplicable []string
	for _, d := range all {
		if d.NotApplicable != "" {
			notApplicable = append(notApplicable, d.Name)
			alone := output(t, exitFailure, "methods", d.Name)
			for where, text := range map[string]string{"the table": table, "the answer to its name": alone} {
				if !strings.Contains(text, d.Name) || !strings.Contains(text, d.NotApplicable) {
					t.Errorf("%s or why it is not applicable is not in %s\n%s", d.Name, where, text)
				}
			}
			continue
		}
		names = append(names, d.Name)
		card := output(t, 0, "methods", d.Name)
		for _, want := range []string{d.Name, d.Paper, d.Rule, d.Cost, d.Differs} {
			if want == "" || !strings.Contains(card, want) {
				t.Errorf("%s: %q is not in\n%s", d.Name, want, card)
			}
		}
		if !strings.Contains(table, d.Name) || !strings.Contains(table, d.Paper) {
			t.Errorf("%s is not in\n%s", d.Name, table)
		}
		var one methodJSON
		if err := json.Unmarshal([]byte(output(t, 0, "methods", d.Name, "--json")), &one); err != nil || one.Rule != d.Rule {
			t.Errorf("%s by itself is %+v, %v", d.Name, one, err)
		}
	}
	if !slices.Equal(names, method.Names()) {
		t.Errorf("listed are %v, want %v", names, method.Names())
	}
	if len(notApplicable) != len(method.NotApplicable()) {
		t.Errorf("listed as not applicable are %v", notApplicable)
	}
	if out := output(t, exitFailure, "methods", "magic"); !strings.Contains(out, "st-prune") {
		t.Errorf("an unknown method is answered by %q", out)
	}
}

func TestMethodCardShowsOptions(t *testing.T) {
	m := method.Method{Name: "m", Needs: method.Needs{Loss: true, Checkpoints: true}, Options: []method.Option{
		{Key: "share", Default: 0.25, Doc: "of something", Low: 0, High: 1},
		{Key: "rule", Default: "argmin", Doc: "which end", Choices: []string{"argmin", "argmax"}},
		{Key: "weights", Default: true, Doc: "or none"},
	}}
	var card bytes.Buffer
	if err := printMethod(&card, describeMethod(m)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"no: epochs", "loss, checkpoints", "share    0.25    0 to 1          of something", "argmin, argmax", "weights  true"} {
		if !strings.Contains(card.String(), want) {
			t.Errorf("%q is not in\n%s", want, card.String())
		}
	}
}

// The documentation's cards must be those of the table.
func TestCardsAreCurrent(t *testing.T) {
	stored, err := os.ReadFile("../../docs/methods.md")
	if err != nil {
		t.Fatal(err)
	}
	if output(t, 0, "methods", "--cards", "--results", "../../docs/results") != string(stored) {
		t.Error("docs/methods.md is old; write it anew: bin/stprune methods --cards --results docs/results > docs/methods.md")
	}
}

func TestCardsOfBadResults(t *testing.T) {
	for content, says := range map[string]string{
		"":                        "empty",
		"rho,mae\n0.1,2\n":        "no column batch_policy",
		"batch_policy,rho\n0.1\n": "wrong number of fields",
		"batch_policy,rho,label,method,seeds_finished,full_epochs,mae,random_difference,random_relative\nfixed,much,random,random,3,2,20,,\n": `rho = "much"`,
	} {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "some"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "some", "cells.csv"), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := readMeasured(dir); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "cells.csv") {
			t.Errorf("%q: error %v, want %q", content, err, says)
		}
	}
}

// Each method stands beside the random units on its own schedule, and no percentage hides other visits.
func TestCardsCompareVisits(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "some"), 0o755); err != nil {
		t.Fatal(err)
	}
	const cells = `batch_policy,rho,label,method,seeds_finished,full_epochs,mae,random_difference,random_relative
fixed,0.1,full data,full,6,40,19,,
fixed,0.1,random,random,6,10,20,,
fixed,0.1,"random, as el2n",random,6,4,24,,
fixed,0.1,infobatch,infobatch,6,11.5,18,-2,-0.1
fixed,0.1,ies,ies,6,8.5,22,2,0.1
fixed,0.1,seta,seta,6,10.9,19,-1,-0.05
fixed,0.1,"seta, 5 groups",seta,6,10.9,17,-3,-0.15
fixed,0.1,el2n,el2n,6,4,30,6,0.25
fixed,0.1,entropy,entropy,0,,,,
keep-steps,0.1,random,random,5,9,19.5,,
keep-steps,0.1,seta,seta,5,9,19.11,-0.39,-0.02
batch 16,0.1,divbs,divbs,4,9,19,,
`
	if err := os.WriteFile(filepath.Join(dir, "some", "cells.csv"), []byte(cells), 0o644); err != nil {
		t.Fatal(err)
	}
	measured, err := readMeasured(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := writeCards(&out, measured); err != nil {
		t.Fatal(err)
	}
	var rows []string
	for line := range strings.Lines(out.String()) {
		if row, of := strings.CutPrefix(line, "| [some](results/some/report.md)"); of {
			rows = append(rows, strings.TrimSpace(row))
		}
	}
	want := []string{ // in the order of the methods
		", seeds: 6 | 10 % | 10.00 |  | 20.00 |  |",
		", steps kept, seeds: 5 | 10 % | 9.00 |  | 19.50 |  |",
		", seeds: 6 | 10 % | 11.50 | 10.00 | 18.00 | more visits |",
		", seeds: 6 | 10 % | 10.90 | 10.00 | 19.00 | -5.0 % |",
		", steps kept, seeds: 5 | 10 % | 9.00 | 9.00 | 19.11 | -2.0 % |",
		", seeds: 6 | 10 % | 8.50 | 10.00 | 22.00 | fewer visits |",
		", batch 16, seeds: 4 | 10 % | 9.00 |  | 19.00 |  |",
		", seeds: 6 | 10 % | 4.00 | 4.00 | 30.00 | +25.0 % |",
	}
	if !slices.Equal(rows, want) {
		t.Errorf("rows\n%s\nwant\n%s", strings.Join(rows, "\n"), strings.Join(want, "\n"))
	}
}
