package lab

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/janpfeifer/gonb/gonbui"

	"github.com/stprune/workbench/figures"
	"github.com/stprune/workbench/stprune/run"
)

//go:embed explore.js
var exploreScript string

// exploreLimit is how much a notebook may grow by one explorer.
const exploreLimit = 300 << 10

// explored is a line of the method menu; its ratios are the slider's places, lowest first.
type explored struct {
	Name  string   `json:"name"`
	Ratio []string `json:"ratio"` // in percent
	View  []string `json:"view"`  // HTML
}

// Explore shows one pruned way of training after the other, chosen by a method menu and a slider for the retention ratio: errors
// beside those of full data, if there is such a run, the loss–complexity curve and the week of kept windows. Runs that differ in
// nothing but their seeds are one row; figures are of the first of them. All is drawn from the runs when the cell runs: the
// output needs no kernel and no network, and without scripts, as in a notebook that is not trusted, shows the first pruned run.
// Outside a notebook it is saved as NAME.html in the folder l.Figures. It takes about 70 kB, and 13 kB for each method and ratio; above
// 300 kB it fails.
func (l *Lab) Explore(name string, runs ...*run.Run) {
	var full []*run.Run
	var pruned []*group
	for _, g := range l.groups(runs, seedsOnly) {
		if g.full() {
			full = append(full, g.runs...)
		} else {
			pruned = append(pruned, g)
		}
	}
	if len(pruned) == 0 {
		l.Fail(fmt.Errorf("explore: no pruned run given"))
	}
	views := l.views(full, pruned)
	var methods []explored
	var first view
	start := [2]int{}
	names, members := l.lines(pruned)
	for i, of := range members {
		m := explored{Name: names[i]}
		for j, g := range of {
			v := views[g]
			if g == pruned[0] {
				first, start = v, [2]int{i, j}
			}
			m.Ratio, m.View = append(m.Ratio, strings.TrimSpace(percent(g.rho()))), append(m.View, v.html(vector))
		}
		methods = append(methods, m)
	}
	output, err := explorer(methods, start, first.html(picture))
	l.Fail(err)
	if len(output) > exploreLimit {
		l.Fail(fmt.Errorf("explore: %d methods and ratios take %d kB, more than %d; give fewer runs", len(pruned), len(output)>>10, exploreLimit>>10))
	}
	if gonbui.IsNotebook {
		gonbui.DisplayHTML(output)
		gonbui.Sync()
		return
	}
	path := filepath.Join(l.Figures, name+".html")
	l.Fail(os.MkdirAll(l.Figures, 0o755))
	page := "<!DOCTYPE html>\n<meta charset=\"utf-8\">\n<title>" + html.EscapeString(name) + "</title>\n<body style=\"font-family:sans-serif\">\n" + output
	l.Fail(os.WriteFile(path, []byte(page), 0o644))
	fmt.Fprintln(l.Out, path)
}

// view is what the explorer shows of one method and ratio.
type view struct {
	table   *figures.Table
	figures []string // SVG
	note    string   // in place of a figure that can't be drawn
}

// views draws what is shown of each, on equal axes.
func (l *Lab) views(full []*run.Run, pruned []*group) map[*group]view {
	notes := map[*group]string{}
	var drawn []*group
	var panels [][]figures.Panel
	for _, g := range pruned {
		p, err := l.lossPanels(append(slices.Clone(full[:min(1, len(full))]), g.runs[0])...)
		if err != nil {
			notes[g] = err.Error()
			continue
		}
		drawn, panels = append(drawn, g), append(panels, p)
	}
	curves, err := figures.LossComplexities(panels...)
	l.Fail(err)

	views := map[*group]view{}
	for _, g := range pruned {
		v := view{table: l.Summary(append(slices.Clone(full), g.runs...)...), note: notes[g]}
		show := func(f *figures.Figure) {
			svg, err := f.SVG()
			l.Fail(err)
			v.figures = append(v.figures, string(svg))
		}
		if i := slices.Index(drawn, g); i >= 0 {
			show(curves[i])
		}
		if r := g.runs[0]; len(r.Spec.Data.More) == 0 && len(l.prunedEpochs(r)) > 0 {
			show(l.KeptWeek(r))
		}
		views[g] = v
	}
	return views
}

// html is the view with its figures in the given form.
func (v view) html(figure func(svg string) string) string {
	var out strings.Builder
	out.WriteString("<table><thead><tr>")
	for _, c := range v.table.Columns {
		out.WriteString("<th>" + html.EscapeString(c) + "</th>")
	}
	out.WriteString("</tr></thead><tbody>")
	for _, row := range v.table.Rows {
		out.WriteString("<tr>")
		for _, cell := range row {
			out.WriteString("<td>" + html.EscapeString(cell) + "</td>")
		}
		out.WriteString("</tr>")
	}
	out.WriteString("</tbody></table>")
	if v.note != "" {
		out.WriteString("<p><small>" + html.EscapeString(v.note) + "</small></p>")
	}
	for _, f := range v.figures {
		// Elsewhere Liberation Sans is seldom installed; Arial and Helvetica are as wide.
		out.WriteString(figure(strings.ReplaceAll(f, "Liberation Sans", "Liberation Sans,Arial,Helvetica,sans-serif")))
	}
	return out.String()
}

// vector puts a figure into the page.
func vector(svg string) string {
	return strings.Replace(svg[strings.Index(svg, "<svg"):], "<svg", fmt.Sprintf(`<svg style="width:%.0fpx;max-width:100%%;height:auto"`, wide(svg)), 1)
}

// picture is a figure as an image, which what cleans untrusted HTML leaves in.
func picture(svg string) string {
	return fmt.Sprintf(`<img width="%.0f" style="max-width:100%%" alt="" src="data:image/svg+xml;base64,%s">`, wide(svg), base64.StdEncoding.EncodeToString([]byte(svg)))
}

// wide is how many pixels of a screen a figure is wide. Its own width is in points.
func wide(svg string) float64 {
	_, width, _ := strings.Cut(svg, `<svg width="`)
	width, _, _ = strings.Cut(width, "pt")
	points, _ := strconv.ParseFloat(width, 64) // of what gonum wrote
	return points / 72 * screen
}

// explorer is the output: the first view, which the script replaces by the one chosen. It has no ids that another output could have too.
func explorer(methods []explored, start [2]int, first string) (string, error) {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if err := errors.Join(json.NewEncoder(w).Encode(methods), w.Close()); err != nil {
		return "", err
	}
	m := methods[start[0]]
	return fmt.Sprintf(`<div class="stprune-explorer"><div><small>%s at %s. Run this cell, or trust the notebook, for a menu of methods and a slider for ρ.</small></div>
<div>%s</div>
<script>(%s)(document.currentScript.parentElement, %d, %d, "%s")</script></div>
`, html.EscapeString(m.Name), m.Ratio[start[1]], first, strings.TrimSpace(exploreScript), start[0], start[1], base64.StdEncoding.EncodeToString(packed.Bytes())), nil
}
