package figures

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Table is a table of ready-formatted cells. Every row has one cell per column.
type Table struct {
	Caption string
	Columns []string
	Rows    [][]string
}

// Check reports the first row whose length differs from the columns'.
func (t *Table) Check() error {
	for i, r := range t.Rows {
		if len(r) != len(t.Columns) {
			return fmt.Errorf("table: row %d has %d cells for %d columns", i+1, len(r), len(t.Columns))
		}
	}
	return nil
}

// Text aligns the columns for a terminal: the first to the left, the others to the right.
func (t *Table) Text() string {
	width := make([]int, len(t.Columns))
	for _, row := range append([][]string{t.Columns}, t.Rows...) {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	var out strings.Builder
	line := func(row []string) {
		var cells []string
		for i, cell := range row {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				cells = append(cells, cell+pad)
			} else {
				cells = append(cells, pad+cell)
			}
		}
		out.WriteString(strings.TrimRight(strings.Join(cells, "  "), " ") + "\n")
	}
	line(t.Columns)
	for _, row := range t.Rows {
		line(row)
	}
	return out.String()
}

// Markdown writes a pipe table.
func (t *Table) Markdown() string {
	escape := strings.NewReplacer("|", `\|`, "\n", " ")
	var out strings.Builder
	line := func(row []string) {
		for _, cell := range row {
			out.WriteString("| " + escape.Replace(cell) + " ")
		}
		out.WriteString("|\n")
	}
	line(t.Columns)
	out.WriteString("| --- " + strings.Repeat("| ---: ", max(0, len(t.Columns)-1)) + "|\n")
	for _, row := range t.Rows {
		line(row)
	}
	return out.String()
}

// CSV writes comma-separated values with a header.
func (t *Table) CSV() string {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	_ = w.WriteAll(append([][]string{t.Columns}, t.Rows...)) // a buffer does not fail
	return out.String()
}

// LaTeX writes a booktabs table.
func (t *Table) LaTeX() string {
	escape := strings.NewReplacer(`\`, `\textbackslash{}`, "&", `\&`, "%", `\%`, "$", `\$`, "#", `\#`, "_", `\_`, "{", `\{`, "}", `\}`,
		"~", `\textasciitilde{}`, "^", `\textasciicircum{}`, "ρ", `$\rho$`)
	var out strings.Builder
	line := func(row []string) {
		var cells []string
		for _, cell := range row {
			cells = append(cells, escape.Replace(cell))
		}
		out.WriteString(strings.Join(cells, " & ") + ` \\` + "\n")
	}
	fmt.Fprintf(&out, "\\begin{table}\n\\caption{%s}\n\\begin{tabular}{l%s}\n\\toprule\n", escape.Replace(t.Caption), strings.Repeat("r", max(0, len(t.Columns)-1)))
	line(t.Columns)
	out.WriteString("\\midrule\n")
	for _, row := range t.Rows {
		line(row)
	}
	out.WriteString("\\bottomrule\n\\end{tabular}\n\\end{table}\n")
	return out.String()
}
