package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"regexp"
	"strings"

	"github.com/stprune/workbench/figures"
	"github.com/stprune/workbench/stprune/stats"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"kind": kind,
	"ids":  func(t *shownTable, row int) []string { return idsOf(t, row) },
	"svg":  func(f *Figure) template.HTML { return template.HTML(inline(f.svg)) }, // our own drawing, whose texts are escaped
	"join": strings.Join,
	"runs": func(n int) string { return counted("run", n) },
	"bold": func(t *shownTable, i, j int) bool { return t.Bold != nil && t.Bold[i][j] },
}).Parse(pageText))

func idsOf(t *shownTable, row int) []string {
	if t.Runs == nil {
		return nil
	}
	return t.Runs[row]
}

// kind is the class of cells that are verdicts, alone or with a difference behind a comma.
func kind(cell string) string {
	verdict, _, _ := strings.Cut(cell, ", ")
	switch stats.Verdict(verdict) {
	case stats.Better:
		return "better"
	case stats.Worse:
		return "worse"
	case stats.NoDifference, stats.Undecided, stats.NotEnoughSeeds:
		return "open"
	}
	return ""
}

var numeric = regexp.MustCompile(`^[+−-]?[0-9]`)

// number tells whether a column holds numbers.
func number(t *figures.Table, column int) bool {
	found := false
	for _, row := range t.Rows {
		if cell := row[column]; cell != "" {
			if !numeric.MatchString(cell) || len(cell) > 30 {
				return false
			}
			found = true
		}
	}
	return found
}

// inline is an SVG as part of a page: without what precedes its element.
func inline(svg []byte) []byte { return svg[max(0, bytes.Index(svg, []byte("<svg"))):] }

// HTML is the report as one page that needs nothing else.
func (r *Report) HTML() ([]byte, error) {
	var out bytes.Buffer
	err := page.Execute(&out, map[string]any{"Report": r, "Sections": r.sections})
	return out.Bytes(), err
}

// marks have a meaning in Markdown. Pipes are left to tables.
var marks = strings.NewReplacer(`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "<", "&lt;", ">", "&gt;", "&", "&amp;", "#", `\#`, "~", `\~`)

// Markdown is the report as a code host shows it, with its figures beside it.
func (r *Report) Markdown() []byte {
	var out bytes.Buffer
	say := func(format string, args ...any) { fmt.Fprintf(&out, format+"\n\n", args...) }
	for _, s := range r.sections {
		say("%s %s", strings.Repeat("#", s.Level), marks.Replace(s.Title))
		if text := r.Incomplete(); s.Level == 1 && text != "" {
			say("**%s**", marks.Replace(text))
		}
		for _, b := range s.Blocks {
			switch {
			case b.Text != "":
				say("%s", marks.Replace(b.Text))
			case b.Code != "":
				say("```\n%s\n```", b.Code)
			case b.Table != nil:
				say("*%s*", marks.Replace(b.Table.Caption))
				say("%s", strings.TrimSpace(escaped(b.Table.Table).Markdown()))
			}
			for _, item := range b.List {
				fmt.Fprintf(&out, "- %s\n", marks.Replace(item))
			}
			if len(b.List) > 0 {
				fmt.Fprintln(&out)
			}
			for _, f := range b.Figures {
				say("![%s](figures/%s.svg)", marks.Replace(f.Title), f.Name)
				say("**%s.** %s ([PDF](figures/%s.pdf))", marks.Replace(f.Title), marks.Replace(f.Caption), f.Name)
			}
		}
		if s.Level == 1 {
			say("[index.html](index.html) is this report as one page. The runs behind a row of a table are named in a comment after its first cell, and in the " +
				"table's file in [tables](tables); those behind a figure in [report.json](report.json), which has all numbers.")
		}
	}
	return out.Bytes()
}

// escaped is a table whose cells are text in Markdown.
func escaped(t *figures.Table) *figures.Table {
	out := *t
	out.Columns, out.Rows, out.Note = nil, nil, marks.Replace(t.Note)
	for _, c := range t.Columns {
		out.Columns = append(out.Columns, marks.Replace(c))
	}
	for _, row := range t.Rows {
		var cells []string
		for _, c := range row {
			cells = append(cells, marks.Replace(c))
		}
		out.Rows = append(out.Rows, cells)
	}
	return &out
}
