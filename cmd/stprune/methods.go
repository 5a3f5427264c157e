package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/stprune/workbench/stprune/lab"
	"github.com/stprune/workbench/stprune/method"
)

// methodsCmd lists the pruning methods, or shows one.
type methodsCmd struct {
	Name string `arg:"" optional:"" help:"Method to show in full. Without one, all are listed."`
	JSON bool   `help:"Print JSON."`

	Cards bool `help:"Print the cards of all methods as Markdown."`
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
		Exact: m.Exact, Needs: m.Needs.Names(), Options: []optionJSON{}}
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
		return writeCards(os.Stdout)
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
		var all []methodJSON
		for _, m := range method.All() {
			all = append(all, describeMethod(m))
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
func writeCards(w io.Writer) error {
	var out strings.Builder
	out.WriteString("# Pruning methods\n\nMade by `stprune methods --cards` from the table of package method. What they reached on measured data is in [results](results/README.md).\n")
	for _, m := range method.All() {
		d := describeMethod(m)
		exact := "no"
		if d.Exact {
			exact = "yes"
		}
		fmt.Fprintf(&out, "\n## %s\n\n%s.\n\n| | |\n| --- | --- |\n| kind | %s |\n| paper | %s |\n| cost of choosing | %s |\n| differs from it | %s |\n| visits exactly the scheduled number | %s |\n| needs | %s |\n",
			d.Name, d.Rule, d.Kind, inCell(d.Paper), inCell(d.Cost), inCell(d.Differs), exact, cmp.Or(strings.Join(d.Needs, ", "), "nothing but the statistics of visited units"))
		for _, o := range d.Options {
			fmt.Fprintf(&out, "| option `%s`, default %v | %s |\n", o.Key, o.Default, inCell(o.Doc))
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// inCell is text that cannot end a cell of a table.
func inCell(s string) string { return strings.ReplaceAll(s, "|", "\\|") }
