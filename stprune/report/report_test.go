package report

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/datasets/synth"
	"github.com/stprune/workbench/figures"
	"github.com/stprune/workbench/stprune/compare"
	"github.com/stprune/workbench/stprune/run"
	"github.com/stprune/workbench/stprune/sweep"
)

// tiny makes runs that train in a moment.
const tiny = `
[data]
name = "%s"
[model.options]
embed_dim = 4
node_dim = 4
tod_dim = 4
dow_dim = 4
layers = 1
[train]
epochs = 4
[prune]
warm_up = 0
[backend]
name = "xla:cpu"
`

// hostile is a name that means something in HTML, in Markdown, in a shell and in LaTeX.
const hostile = `<script>alert(1)</script> | *st* $(rm) _&_`

// place is a folder with a small city and an empty store.
type place struct {
	dir  string
	city string // path of the data set
	o    Options
}

func newPlace(t *testing.T) place {
	t.Helper()
	dir := t.TempDir()
	s, _, err := synth.City(synth.Config{Nodes: 3, Days: 2})
	if err != nil {
		t.Fatal(err)
	}
	p := place{dir: dir, city: filepath.Join(dir, "data", "small"), o: Options{Store: run.NewStore(filepath.Join(dir, "runs")), Folders: []string{filepath.Join(dir, "data")}}}
	if err := datasets.Save(p.city, s, datasets.Card{Name: "small", Licence: "CC0-1.0", Source: "made by " + filepath.Join(dir, "make.sh")}); err != nil {
		t.Fatal(err)
	}
	return p
}

// study is a file of that text with the data set's path.
func (p place) study(t *testing.T, text string) Study {
	t.Helper()
	file := filepath.Join(p.dir, "my study.toml")
	if err := os.WriteFile(file, []byte(text+fmt.Sprintf(tiny, p.city)), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (p place) collect(t *testing.T, s Study) *Report {
	t.Helper()
	r, err := Collect(t.Context(), s, p.o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// written writes a report and checks what holds of every one. It gives the page and the text for code hosts.
func (p place) written(t *testing.T, r *Report) (page, readme string) {
	t.Helper()
	out := filepath.Join(p.dir, "out", "report")
	if err := r.Write(out); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	err := filepath.WalkDir(out, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		name, _ := filepath.Rel(out, path)
		files[name] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	home, _ := os.UserHomeDir()
	for name, text := range files {
		for _, secret := range []string{p.dir, home + "/", os.TempDir() + "/"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s names the folder %s of this machine", name, secret)
			}
		}
		if strings.Contains(text, "<script>") && name != "study.toml" && !strings.HasSuffix(name, ".csv") && !strings.HasSuffix(name, ".tex") {
			t.Errorf("%s has a script", name)
		}
	}
	page, readme = files["index.html"], files["README.md"]

	// The page needs nothing else: it refers to parts of itself and to data in it.
	for _, found := range regexp.MustCompile(`(?i)\b(?:src|href|srcset|action|data|poster)\s*=\s*["']?([^"'\s>]*)`).FindAllStringSubmatch(page, -1) {
		if !strings.HasPrefix(found[1], "#") && !strings.HasPrefix(found[1], "data:") {
			t.Errorf("the page refers to %.100q", found[0])
		}
	}
	outside := regexp.MustCompile(`xmlns(:xlink)?="[^"]*"`).ReplaceAllString(page, "")
	for _, word := range []string{"http:", "https:", "url(", "@import", "<script", "<link", "<iframe", "<!DOCTYPE svg"} {
		if strings.Contains(outside, word) {
			t.Errorf("the page has %s", word)
		}
	}
	ids := map[string]bool{}
	for _, found := range regexp.MustCompile(`<[^>]* id="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if ids[found[1]] {
			t.Errorf("two parts of the page are called %q", found[1])
		}
		ids[found[1]] = true
	}
	links := regexp.MustCompile(`href="#([^"]*)"`).FindAllStringSubmatch(page, -1)
	for _, found := range links {
		if !ids[found[1]] {
			t.Errorf("the page leads to #%s, which it hasn't", found[1])
		}
	}
	if len(links) < 10 || strings.Count(page, "<svg") != len(r.Figures) {
		t.Errorf("the page has %d links and %d of %d figures", len(links), strings.Count(page, "<svg"), len(r.Figures))
	}

	for _, found := range regexp.MustCompile(`\]\(([^)]*)\)`).FindAllStringSubmatch(readme, -1) {
		if files[found[1]] == "" && found[1] != "tables" {
			t.Errorf("README.md leads to %s, which the folder hasn't", found[1])
		}
	}
	known := map[string]bool{}
	for _, e := range r.Environments {
		for _, id := range e.Runs {
			known[id] = true
		}
	}
	if len(known) != r.Finished {
		t.Errorf("the environment of %d runs is known, %d are finished", len(known), r.Finished)
	}
	for _, f := range r.Figures {
		if !strings.HasPrefix(files["figures/"+f.Name+".pdf"], "%PDF") || !strings.Contains(readme, "(figures/"+f.Name+".svg)") {
			t.Errorf("figure %s is not there", f.Name)
		}
		if !strings.Contains(f.Caption, "n = ") || !strings.Contains(f.Caption, "seed") || !strings.Contains(f.Caption, "Budget: ") || len(f.Runs) == 0 {
			t.Errorf("figure %s of %v says: %s", f.Name, f.Runs, f.Caption)
		}
		for _, id := range f.Runs {
			if !known[id] {
				t.Errorf("figure %s shows run %s, which the environment doesn't list", f.Name, id)
			}
		}
	}
	for _, table := range r.Tables {
		if files["tables/"+table.Name+".csv"] == "" || !strings.Contains(files["tables/"+table.Name+".tex"], `\toprule`) {
			t.Errorf("table %s is not there", table.Name)
		}
	}
	var again Report
	if err := json.Unmarshal([]byte(files["report.json"]), &again); err != nil || again.Finished != r.Finished || len(again.Figures) != len(r.Figures) {
		t.Errorf("report.json holds %+v (%v)", again, err)
	}
	if err := os.WriteFile(filepath.Join(p.dir, "again.toml"), []byte(files["study.toml"]), 0o644); err != nil {
		t.Fatal(err)
	}
	if s, err := Load(filepath.Join(p.dir, "again.toml")); err != nil || s.Name != r.Name {
		t.Errorf("study.toml is %+v (%v)", s, err)
	}
	return page, readme
}

func (r *Report) figure(name string) *Figure {
	for _, f := range r.Figures {
		if f.Name == name {
			return f
		}
	}
	return nil
}

func contains(t *testing.T, what, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("%s has no %q:\n%s", what, w, text)
		}
	}
}

func TestComparison(t *testing.T) {
	p := newPlace(t)
	text := fmt.Sprintf("name = '%s'\nmethods = ['random', 'st-prune', { name = 'st-prune', label = '%[1]s', prune.gamma = 0.0 }, 'entropy']\nrho = [0.4, 0.2]\nseeds = [1, 2]\n", hostile)
	study := p.study(t, text)
	if _, err := Collect(t.Context(), study, p.o); err == nil || !strings.Contains(err.Error(), "is finished in") || !strings.Contains(err.Error(), "`stprune compare`") {
		t.Errorf("of an empty store: error %v", err)
	}
	trained, err := compare.Run(t.Context(), *study.comparison, compare.Options{Store: p.o.Store})
	if err != nil || len(trained.Missing) != 2 { // entropy, at each retention
		t.Fatal(err, trained.Missing)
	}
	r := p.collect(t, study)
	page, readme := p.written(t, r)
	if r.Runs != len(trained.Runs) || r.Finished != r.Runs || len(r.Missing) != 1 || r.Incomplete() != "" {
		t.Errorf("%d of %d runs are finished, missing %+v", r.Finished, r.Runs, r.Missing)
	}
	for _, name := range []string{"loss-complexity-rho-0.4", "ratios", "pareto", "kept-week-rho-0.4", "kept-calendar-rho-0.4", "scores-rho-0.4"} {
		if r.figure(name) == nil {
			t.Errorf("figure %s is missing; not drawn: %+v", name, r.NotDrawn)
		}
	}
	for _, name := range []string{"learning-visits", "learning-seconds", "horizons", "ablation", "overhead"} {
		for _, rho := range []string{"0.4", "0.2"} {
			if r.figure(name+"-rho-"+rho) == nil {
				t.Errorf("figure %s at %s is missing; not drawn: %+v", name, rho, r.NotDrawn)
			}
		}
	}
	escaped := "&lt;script&gt;alert(1)&lt;/script&gt;"
	contains(t, "the page", page, escaped, "All "+count(r.Runs)+" runs are finished", "not applicable", "stprune compare study.toml", "CC0-1.0", "made by make.sh", "our reconstruction")
	contains(t, "README.md", readme, escaped, `\*st\*`, "not applicable", "not enough seeds", "## Verdicts", "How to read it")
	for _, c := range trained.Groups[0].Cells { // every cell's numbers are there, with the runs that they are of
		if len(c.Runs) > 0 {
			contains(t, "README.md", readme, fmt.Sprintf(" ± %.*f", 3, c.MAE.SD))
			for _, id := range c.Runs {
				contains(t, "the page", page, `id="run-`+id+`"`)
			}
		}
	}
	for _, f := range r.Figures {
		if bytes.Contains(f.svg, []byte("<script")) {
			t.Errorf("figure %s has a script", f.Name)
		}
	}

	// What the store lacks is named, with the command.
	more := p.collect(t, p.study(t, strings.Replace(text, "[1, 2]", "[1, 2, 3]", 1)))
	page, readme = p.written(t, more)
	if more.Finished != r.Finished && more.Finished != r.Finished-1 || more.Finished == more.Runs { // equal seconds follow from the clock
		t.Errorf("%d of %d runs are finished", more.Finished, more.Runs)
	}
	missing := more.Missing[slices.IndexFunc(more.Missing, func(m Missing) bool { return m.Label == "st-prune" })]
	if missing.Where != "retention 40 %" || len(missing.IDs) != 1 || !slices.Equal(missing.Seeds, []uint64{3}) || missing.Reason != "not trained yet" {
		t.Errorf("missing %+v", missing)
	}
	contains(t, "the page", page, "Incomplete: ", missing.IDs[0])
	contains(t, "README.md", readme, "Incomplete: ", missing.IDs[0], "```\nstprune compare study.toml\n```")
}

func TestSweep(t *testing.T) {
	p := newPlace(t)
	study := p.study(t, "[grid]\n'prune.rho' = [0.4, 0.2]\nseed = [1, 2]\n[[list]]\nprune.method = 'full'\n[[list]]\nprune.method = 'st-prune'\n[[list]]\nprune.method = 'st-prune'\nprune.kappa = 0.0\n[[list]]\nprune.method = 'random'\noptim.lr = 1e-3\n")
	s, err := sweep.Open(t.Context(), *study.sweep, sweep.Options{Store: p.o.Store})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := p.collect(t, study)
	page, readme := p.written(t, r)
	if r.Name != "my study" || r.Runs != 14 || r.Finished != 14 || len(r.Missing) != 0 {
		t.Errorf("%s: %d of %d runs are finished, missing %+v", r.Name, r.Finished, r.Runs, r.Missing)
	}
	for _, name := range []string{"loss-complexity", "ratios", "pareto", "kept-week", "learning-visits", "horizons", "ablation", "overhead"} {
		if r.figure(name) == nil {
			t.Errorf("figure %s is missing; not drawn: %+v", name, r.NotDrawn)
		}
	}
	if f := r.figure("ablation"); f != nil && len(f.Runs) != 4 {
		t.Errorf("the ablation compares %d runs, want st-prune at 0.4 under two seeds, with and without kappa", len(f.Runs))
	}
	contains(t, "the page", page, "stprune sweep study.toml", ">full</a>", ">st-prune, rho 0.4</a>", "Results on small")
	contains(t, "README.md", readme, "| full <!-- ", "Seeds: 2, mean ± half of the 95 % interval")

	// Equal stores give equal reports.
	again, err := p.collect(t, study).HTML()
	if err != nil || string(again) != page {
		t.Errorf("the page differs when it is made again (%v)", err)
	}

	// A report replaces a report and nothing else, as a whole.
	out := filepath.Join(p.dir, "out")
	if err := os.WriteFile(filepath.Join(out, "report", "left over"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	p.written(t, r)
	if _, err := os.Stat(filepath.Join(out, "report", "left over")); err == nil {
		t.Error("something of the former report is left")
	}
	for dir, want := range map[string]string{out: "is no report", filepath.Join(out, "report", "README.md", "below"): "not a directory"} {
		if err := r.Write(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("into %s: error %v, want %q", dir, err, want)
		}
	}
	r.Figures[0].drawn = &figures.Figure{} // which can't be drawn
	if err := r.Write(filepath.Join(out, "report")); err == nil {
		t.Error("an undrawable figure is no error")
	}
	if entries, err := os.ReadDir(out); err != nil || len(entries) != 1 {
		t.Errorf("beside the report there are %v (%v)", entries, err)
	}
	if _, err := os.Stat(filepath.Join(out, "report", "index.html")); err != nil {
		t.Errorf("after an error the former report is gone: %v", err)
	}

	// Runs of another backend are other runs.
	if err := study.UseBackend("go"); err != nil {
		t.Fatal(err)
	}
	if _, err := Collect(t.Context(), study, p.o); err == nil || !strings.Contains(err.Error(), "none of the 14 runs") {
		t.Errorf("of the Go backend: error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := study.UseBackend("xla:cpu"); err != nil {
		t.Fatal(err)
	}
	if _, err := Collect(ctx, study, p.o); !errors.Is(err, context.Canceled) {
		t.Errorf("when it is cancelled: error %v", err)
	}
}

func TestLoadRefuses(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{
		"[data]\nname = 'city'\n": "is neither a comparison, which has methods, nor a sweep, which has grid or list; it has data",
		"":                        "it has no key",
		"methods = ['random']\n[grid]\nseed = [1]\n":                                    "leave one of them out",
		"methods = ['random']\n[data]\nnames = 'city'\n":                                "unknown key",
		"methods = ['prune']\n[data]\nname = 'city'\n":                                  `no method "prune"`,
		"[grid]\nprune.rho = [2.0]\nprune.method = ['random']\n[data]\nname = 'city'\n": "rho",
		"methods = [": "study.toml",
	} {
		file := filepath.Join(dir, "study.toml")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("of %q: error %v, want %q", text, err, want)
		}
	}
	if _, err := Load(filepath.Join(dir, "none.toml")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of no file: error %v", err)
	}
}

func TestTidy(t *testing.T) {
	for text, want := range map[string]string{
		"/home/me/runs/0123: damaged":       "0123: damaged",
		"open /home/me/runs/a/result.json:": "open result.json:",
		"two\nlines":                        "two lines",
		"xla:/opt/plugins/a.so on a CPU":    "xla:a.so on a CPU",
		`from "/data/city" and ~/x/y`:       `from "city" and y`,
		"km/h, windows / nodes, /s":         "km/h, windows / nodes, /s",
		"charged-ev/MEL":                    "charged-ev/MEL",
	} {
		if got := tidy(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
	for word, want := range map[string]string{"metr-la": "metr-la", "it's": `'it'\''s'`, "$(rm)": "'$(rm)'", "-x": "'-x'", "": "''"} {
		if got := quoted(word); got != want {
			t.Errorf("%q becomes %s for a shell, want %s", word, got, want)
		}
	}
}

func TestTelling(t *testing.T) {
	all := []string{"city, batch 8, st-prune, rho 0.1", "city, batch 8, random, rho 0.1", "city, batch 8, full"}
	for name, want := range map[string]string{all[0]: "st-prune, rho 0.1", all[2]: "full"} {
		if got := telling(name, all); got != want {
			t.Errorf("%q is called %q, want %q", name, got, want)
		}
	}
	if got := telling("rho 0.1", []string{"rho 0.1", "rho 0.1"}); got != "rho 0.1" {
		t.Errorf("the only one is called %q", got)
	}
}

// Full data is drawn as the main method is trained.
func TestReference(t *testing.T) {
	g := &group{cells: &compare.Group{Cells: []compare.Cell{
		{Label: "by adam", Against: []*compare.Against{{Role: compare.Full, Label: "full data"}}},
		{Label: "by sgd", Against: []*compare.Against{{Role: compare.Random, Label: "random"}, {Role: compare.Full, Label: "full data, as by sgd"}}},
	}}}
	for i, label := range []string{"full data", "full data, as by sgd", "by adam", "by sgd"} {
		r := &row{label: label, method: "st-prune", roles: []compare.Role{compare.Pruner}, runs: []*run.Run{{ID: label}}, results: []*run.Result{{}}}
		if i < 2 {
			r.method, r.roles = "full", []compare.Role{compare.Full}
		}
		g.rows = append(g.rows, r)
	}
	for primary, want := range map[string]string{"by adam": "full data", "by sgd": "full data, as by sgd"} {
		g.primary = primary
		if got := g.reference(); got == nil || got.label != want {
			t.Errorf("full data of %s is %+v, want %s", primary, got, want)
		}
		if _, full, _ := lines([]*group{g}); full == nil || len(full.rows) != 1 || full.label != want {
			t.Errorf("the line of %s is %+v, want %s", primary, full, want)
		}
	}
}

// Lines of many methods are few: controls, the main method, and the best of the others.
func TestFew(t *testing.T) {
	g := &group{cells: &compare.Group{}}
	add := func(method string, mae float64, roles ...compare.Role) {
		result := &run.Result{}
		result.Test.Mean.MAE = mae
		g.rows = append(g.rows, &row{label: method, method: method, roles: roles, runs: []*run.Run{{ID: method}}, results: []*run.Result{result}})
	}
	add("full", 9, compare.Full)
	add("random", 8, compare.Random)
	for i := range 8 {
		add(fmt.Sprint("other", i), float64(7-i), compare.Pruner)
	}
	add("st-prune", 9.5, compare.Pruner)
	var names []string
	for _, r := range g.few() {
		names = append(names, r.label)
	}
	if want := []string{"full", "random", "other4", "other5", "other6", "other7", "st-prune"}; !slices.Equal(names, want) {
		t.Errorf("shown are %q, want %q", names, want)
	}
	for primary, want := range map[string]string{"": "st-prune", "other0": "other0", "random": "st-prune"} { // random is a control here
		if g.primary = primary; g.main().label != want {
			t.Errorf("with %q as primary the main method is %s, want %s", primary, g.main().label, want)
		}
	}
}
