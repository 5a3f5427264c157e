package figures

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Table is a table of ready-formatted cells. Every row has one cell per column.
type Table struct {
	Caption string // in LaTeX
	Columns []string
	Rows    [][]string

	Bold [][]bool   // [rows][columns] cells that stand out; nil: none
	Runs [][]string // [rows] ids of the runs that a row comes from; nil: not told
	Note string     // below the table, e.g. n, seeds and budget; in LaTeX at the end of the caption
}

// Check reports the first row whose length differs from the columns', and bold cells or ids that fit no row.
func (t *Table) Check() error {
	for i, r := range t.Rows {
		if len(r) != len(t.Columns) {
			return fmt.Errorf("table: row %d has %d cells for %d columns", i+1, len(r), len(t.Columns))
		}
	}
	if t.Bold != nil && len(t.Bold) != len(t.Rows) || t.Runs != nil && len(t.Runs) != len(t.Rows) {
		return fmt.Errorf("table: %d rows, but %d of bold cells and %d of run ids", len(t.Rows), len(t.Bold), len(t.Runs))
	}
	for i, b := range t.Bold {
		if len(b) != len(t.Columns) {
			return fmt.Errorf("table: row %d has %d bold cells or not for %d columns", i+1, len(b), len(t.Columns))
		}
	}
	return nil
}

// row is row i with its bold cells wrapped between before and after.
func (t *Table) row(i int, escape *strings.Replacer, before, after string) []string {
	var cells []string
	for j, cell := range t.Rows[i] {
		cell = escape.Replace(cell)
		if t.Bold != nil && t.Bold[i][j] {
			cell = before + cell + after
		}
		cells = append(cells, cell)
	}
	return cells
}

// ids names the runs behind row i, in one line.
func (t *Table) ids(i int) string {
	if t.Runs == nil {
		return ""
	}
	return strings.Join(strings.Fields(strings.Join(t.Runs[i], " ")), " ")
}

// Text aligns the columns for a terminal: the first to the left, the others to the right. Bold cells are followed by a star; the
// ids of runs are left out.
func (t *Table) Text() string {
	width := make([]int, len(t.Columns))
	rows := [][]string{slices.Clone(t.Columns)}
	for i := range t.Rows {
		rows = append(rows, t.row(i, strings.NewReplacer(), "", "*"))
	}
	for j := range t.Columns { // numbers stay below each other
		for i := range t.Bold {
			if t.Bold[i][j] {
				for k := range rows {
					if k == 0 || !t.Bold[k-1][j] {
						rows[k][j] += " "
					}
				}
				break
			}
		}
	}
	for _, row := range rows {
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
	for _, row := range rows {
		line(row)
	}
	if t.Note != "" {
		out.WriteString(t.Note + "\n")
	}
	return out.String()
}

// Markdown writes a pipe table. The ids of runs are comments.
func (t *Table) Markdown() string {
	escape := strings.NewReplacer("|", `\|`, "\n", " ")
	var out strings.Builder
	line := func(row []string) {
		for _, cell := range row {
			out.WriteString("| " + cell + " ")
		}
		out.WriteString("|\n")
	}
	var columns []string
	for _, c := range t.Columns {
		columns = append(columns, escape.Replace(c))
	}
	line(columns)
	out.WriteString("| --- " + strings.Repeat("| ---: ", max(0, len(t.Columns)-1)) + "|\n")
	for i := range t.Rows {
		row := t.row(i, escape, "**", "**")
		if ids := t.ids(i); ids != "" && len(row) > 0 {
			row[0] += " <!-- " + ids + " -->"
		}
		line(row)
	}
	if t.Note != "" {
		out.WriteString("\n" + t.Note + "\n")
	}
	return out.String()
}

// CSV writes comma-separated values with a header; the ids of runs are a last column.
func (t *Table) CSV() string {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	all := [][]string{slices.Clone(t.Columns)}
	all = append(all, t.Rows...)
	if t.Runs != nil {
		all[0] = append(all[0], "runs")
		for i := range t.Rows {
			all[i+1] = append(slices.Clone(t.Rows[i]), t.ids(i))
		}
	}
	_ = w.WriteAll(all) // a buffer does not fail
	return out.String()
}

// LaTeX writes a table for the package booktabs. The ids of runs are comments.
func (t *Table) LaTeX() string {
	var out strings.Builder
	var columns []string
	for _, c := range t.Columns {
		columns = append(columns, texText.Replace(c))
	}
	caption := strings.TrimSpace(t.Caption + " " + t.Note)
	fmt.Fprintf(&out, "\\begin{table}\n\\caption{%s}\n\\begin{tabular}{l%s}\n\\toprule\n%s \\\\\n\\midrule\n",
		texText.Replace(caption), strings.Repeat("r", max(0, len(t.Columns)-1)), strings.Join(columns, " & "))
	for i := range t.Rows {
		out.WriteString(strings.Join(t.row(i, texText, `\textbf{`, "}"), " & ") + ` \\`)
		if ids := t.ids(i); ids != "" {
			out.WriteString(" % " + ids)
		}
		out.WriteString("\n")
	}
	out.WriteString("\\bottomrule\n\\end{tabular}\n\\end{table}\n")
	return out.String()
}
