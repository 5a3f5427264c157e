package main

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/stprune/workbench/stprune/lab"
	"github.com/stprune/workbench/stprune/method"
)

// methodsCmd lists the pruning methods, or shows one.
type methodsCmd struct {
	Name string `arg:"" optional:"" help:"Method to show in full. Without one, all are listed."`
	JSON bool   `help:"Print JSON."`

	Cards   bool   `help:"Print the cards of all methods as Markdown."`
	Results string `type:"existingdir" placeholder:"DIR" help:"Add to the cards what comparisons there measured: DIR/NAME/cells.csv, see 'stprune compare --csv'."`
}

// methodJSON is a method as the command prints it.
type methodJSON struct {
	Name    string       `json:"name"`
	Kind    method.Kind  `json:"kind"`
	Paper   string       `json:"paper"`
	Rule    string       `json:"rule"`
	Cost    string       `json:"cost"`
	Differs string       `json:"differs"`
	Exact   bool         `json:"exact"`
	Needs   []string     `json:"needs"`
	Options []optionJSON `json:"options"`

	Measured []method.Measured `json:"measured"`
}

// inapplicableJSON is a published method that is not in the table, as the command prints it.
type inapplicableJSON struct {
	Name          string `json:"name"`
	Paper         string `json:"paper"`
	NotApplicable string `json:"not_applicable"` // why
}

type optionJSON struct {
	Key     string    `json:"key"`
	Default any       `json:"default"`
	Doc     string    `json:"doc"`
	Range   []float64 `json:"range,omitempty"` // of numbers: smallest and largest
	Choices []string  `json:"choices,omitempty"`
}

func describeMethod(m method.Method) methodJSON {
	d := methodJSON{Name: m.Name, Kind: m.Kind, Paper: m.Paper, Rule: m.Rule, Cost: m.Cost, Differs: m.Differs,
		Exact: m.Exact, Needs: m.Needs.Names(), Options: []optionJSON{}, Measured: m.Measured()}
	for _, o := range m.Options {
		described := optionJSON{Key: o.Key, Default: o.Default, Doc: o.Doc, Choices: o.Choices}
		if o.Low != o.High {
			described.Range = []float64{o.Low, o.High}
		}
		d.Options = append(d.Options, described)
	}
	return d
}

func (c *methodsCmd) Run() error {
	if c.Cards {
		measured, err := readMeasured(c.Results)
		if err != nil {
			return err
		}
		return writeCards(os.Stdout, measured)
	}
	if c.Name != "" {
		m, err := method.ByName(c.Name)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(os.Stdout, describeMethod(m))
		}
		return printMethod(os.Stdout, describeMethod(m))
	}
	if c.JSON {
		var all []any
		for _, m := range method.All() {
			all = append(all, describeMethod(m))
		}
		for _, m := range method.NotApplicable() {
			all = append(all, inapplicableJSON{m.Name, m.Paper, m.Reason})
		}
		return printJSON(os.Stdout, all)
	}
	table := lab.MethodTable()
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{table.Columns}, table.Rows...) {
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	return t.Flush()
}

// printMethod writes a method's card for people to read.
func printMethod(w io.Writer, m methodJSON) error {
	exact := "no: epochs differ from the scheduled number of units"
	if m.Exact {
		exact = "yes: pruned epochs visit exactly the scheduled number of units"
	}
	needs := "nothing but the statistics of visited units"
	if len(m.Needs) > 0 {
		needs = strings.Join(m.Needs, ", ")
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "method\t%s\nkind\t%s\npaper\t%s\nrule\t%s\ncost\t%s\ndiffers\t%s\nexact\t%s\nneeds\t%s\n",
		m.Name, m.Kind, m.Paper, m.Rule, m.Cost, m.Differs, exact, needs)
	for _, c := range m.Measured {
		fmt.Fprintf(t, "choice of %d units\t%s, %.2g MB\n", c.Units, c, float64(c.Bytes)/1e6)
	}
	if err := t.Flush(); err != nil || len(m.Options) == 0 {
		return err
	}
	fmt.Fprintln(w, "\noptions, set by --set prune.options.KEY=VALUE")
	for _, o := range m.Options {
		values := strings.Join(o.Choices, ", ")
		if len(o.Range) > 0 {
			values = fmt.Sprintf("%v to %v", o.Range[0], o.Range[1])
		}
		fmt.Fprintf(t, "%s\t%v\t%s\t%s\n", o.Key, o.Default, values, o.Doc)
	}
	return t.Flush()
}

// writeCards writes the cards of all methods as Markdown: docs/methods.md.
func writeCards(w io.Writer, measured map[string][]measurement) error {
	var out strings.Builder
	out.WriteString("# Pruning methods\n\nMade by `stprune methods --cards --results docs/results` from the table of package method and the [comparisons](results/README.md).\n\n" +
		"Measured errors stand beside those of random units on the same schedule, under the same seeds. Where visits differ by more than a tenth, the errors say little about the choice, and only the visits are compared. Visits leave out what a static method's scoring model was trained on; the reports count that in seconds.\n")
	for _, m := range method.All() {
		d := describeMethod(m)
		exact := "no"
		if d.Exact {
			exact = "yes"
		}
		fmt.Fprintf(&out, "\n## %s\n\n%s.\n\n| | |\n| --- | --- |\n| kind | %s |\n| paper | %s |\n| cost of choosing | %s |\n| differs from it | %s |\n| visits exactly the scheduled number | %s |\n| needs | %s |\n",
			d.Name, d.Rule, d.Kind, inCell(d.Paper), inCell(d.Cost), inCell(d.Differs), exact, cmp.Or(strings.Join(d.Needs, ", "), "nothing but the statistics of visited units"))
		for _, c := range d.Measured {
			fmt.Fprintf(&out, "| choice of %d units | %s, %.2g MB |\n", c.Units, c, float64(c.Bytes)/1e6)
		}
		for _, o := range d.Options {
			fmt.Fprintf(&out, "| option `%s`, default %v | %s |\n", o.Key, o.Default, inCell(o.Doc))
		}
		if rows := measured[m.Name]; len(rows) > 0 {
			out.WriteString("\n| measured with these defaults | retention | epochs of visits | random's | MAE | against random |\n| --- | ---: | ---: | ---: | ---: | ---: |\n")
			for _, r := range rows {
				random, against := r.againstRandom()
				fmt.Fprintf(&out, "| [%s](results/%[1]s/report.md)%s, seeds: %d | %.3g %% | %.2f | %s | %#.4g | %s |\n", r.comparison, r.setting(), r.seeds, 100*r.rho, r.visits, random, r.mae, against)
			}
		}
	}
	out.WriteString("\n## Not applicable\n\nPublished methods that others compare with and that are not here. A comparison that names one lists the reason.\n\n| method | paper | why not |\n| --- | --- | --- |\n")
	for _, m := range method.NotApplicable() {
		fmt.Fprintf(&out, "| %s | %s | %s |\n", m.Name, inCell(m.Paper), inCell(m.Reason))
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// measurement is what a comparison measured of a method.
type measurement struct {
	comparison  string
	policy      string // of batches in pruned epochs
	seeds       int
	rho, visits float64
	mae         float64

	difference, relative float64      // from random units' error; NaN where there are none
	random               *measurement // those random units, on the method's schedule
}

// setting names the comparison's setting in a cell.
func (m measurement) setting() string {
	switch m.policy {
	case "fixed":
		return ""
	case "keep-steps":
		return ", steps kept"
	}
	return ", " + m.policy
}

// againstRandom is what random units say of the error.
func (m measurement) againstRandom() (visits, verdict string) {
	if m.random == nil {
		return "", ""
	}
	switch r := m.random.visits; {
	case m.visits > 1.1*r:
		verdict = "more visits"
	case m.visits < 0.9*r:
		verdict = "fewer visits"
	default:
		verdict = fmt.Sprintf("%+.1f %%", 100*m.relative)
	}
	return fmt.Sprintf("%.2f", m.random.visits), verdict
}

// control is the one of several random runs, of the same retention and policy, whose error leaves the method's difference.
func (m measurement) control(randoms []measurement) *measurement {
	var control *measurement
	best := math.Inf(1)
	for _, r := range randoms {
		if off := math.Abs(m.mae - m.difference - r.mae); r.rho == m.rho && r.policy == m.policy && off < best {
			control, best = &r, off
		}
	}
	return control
}

// readMeasured reads the cells of the comparisons in a folder, by method.
func readMeasured(dir string) (map[string][]measurement, error) {
	if dir == "" {
		return nil, nil
	}
	files, err := filepath.Glob(filepath.Join(dir, "*", "cells.csv"))
	if err != nil {
		return nil, err
	}
	all := map[string][]measurement{}
	for _, file := range files {
		if err := readCells(file, all); err != nil {
			return nil, fmt.Errorf("%s: %w; write it with 'stprune compare --csv'", file, err)
		}
	}
	return all, nil
}

func readCells(file string, all map[string][]measurement) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return errors.New("empty")
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	for _, name := range []string{"batch_policy", "rho", "label", "method", "seeds_finished", "full_epochs", "mae", "random_difference", "random_relative"} {
		if _, there := column[name]; !there {
			return fmt.Errorf("no column %s", name)
		}
	}
	var randoms []measurement
	own := map[string][]measurement{} // by method, with its default settings
	for _, row := range rows[1:] {
		cell := func(name string) string { return row[column[name]] }
		if cell("mae") == "" { // not measured
			continue
		}
		m := measurement{comparison: filepath.Base(filepath.Dir(file)), policy: cell("batch_policy"), difference: math.NaN(), relative: math.NaN()}
		for name, value := range map[string]any{"seeds_finished": &m.seeds, "rho": &m.rho, "full_epochs": &m.visits, "mae": &m.mae,
			"random_difference": &m.difference, "random_relative": &m.relative} {
			if text := cell(name); text != "" {
				if _, err := fmt.Sscan(text, value); err != nil {
					return fmt.Errorf("%s = %q: %w", name, text, err)
				}
			}
		}
		if cell("method") == "random" {
			randoms = append(randoms, m)
		}
		if cell("label") == cell("method") {
			own[cell("method")] = append(own[cell("method")], m)
		}
	}
	for name, measured := range own {
		for _, m := range measured {
			m.random = m.control(randoms)
			all[name] = append(all[name], m)
		}
	}
	return nil
}

// inCell is text that cannot end a cell of a table.
func inCell(s string) string { return strings.ReplaceAll(s, "|", "\\|") }
