package report

import (
	"fmt"
	"path"
	"reflect"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/figures"
	"github.com/stprune/workbench/stprune/run"
)

// Environment is where some of the runs were trained.
type Environment struct {
	run.Environment
	Runs []string `json:"runs"` // ids
}

// Data is a data set of the study.
type Data struct {
	Name    string  `json:"name"`
	Hash    string  `json:"hash"` // of its content
	Nodes   int     `json:"nodes"`
	Steps   int     `json:"steps"`
	Step    string  `json:"step"`
	From    string  `json:"from"`
	To      string  `json:"to"`
	Unit    string  `json:"unit"`
	Missing float64 `json:"missing"` // share
	Train   int     `json:"train"`   // windows
	Val     int     `json:"validation"`
	Test    int     `json:"test"`
	Licence string  `json:"licence"`
	Source  string  `json:"source"`
}

// Source is the program that wrote the report.
type Source struct {
	Go       string `json:"go"`
	Revision string `json:"revision"`
	Modified bool   `json:"modified"`
}

func source() Source {
	s := Source{Go: runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, set := range info.Settings {
			switch set.Key {
			case "vcs.revision":
				s.Revision = set.Value
			case "vcs.modified":
				s.Modified = set.Value == "true"
			}
		}
	}
	return s
}

// revision names a source's state; runs and reports of programs built without version control have none.
func revision(commit string, modified bool) string {
	switch {
	case commit == "":
		return "not recorded"
	case modified:
		return commit + ", modified"
	}
	return commit
}

// environments gathers where the finished runs were trained, and on what.
func (b *builder) environments() error {
	for _, g := range b.groups {
		for _, r := range runsOf(g.rows) {
			if slices.ContainsFunc(b.Environments, func(e Environment) bool { return slices.Contains(e.Runs, r.ID) }) {
				continue // full data, which every retention has
			}
			e, err := r.Environment()
			if err != nil {
				return err
			}
			e.Backend = tidy(e.Backend)
			at := slices.IndexFunc(b.Environments, func(have Environment) bool { return reflect.DeepEqual(have.Environment, e) })
			if at < 0 {
				at = len(b.Environments)
				b.Environments = append(b.Environments, Environment{Environment: e})
			}
			b.Environments[at].Runs = append(b.Environments[at].Runs, r.ID)
			for _, name := range append([]string{r.Spec.Data.Name}, r.Spec.Data.More...) {
				if err := b.data(name, r.Spec); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (b *builder) data(name string, s run.Spec) error {
	if slices.ContainsFunc(b.Data, func(d Data) bool { return d.Name == path.Base(name) }) {
		return nil
	}
	series := b.l.Series(name)
	dir, err := datasets.Find(name, b.l.Folders)
	if err != nil {
		return err
	}
	card, err := datasets.OpenCard(dir)
	if err != nil {
		return err
	}
	w, err := s.Protocol(series.Calendar.StepsPerDay()).Apply(series)
	if err != nil {
		return err
	}
	b.Data = append(b.Data, Data{
		Name: path.Base(name), Hash: series.Hash(), Nodes: series.N, Steps: series.T, Step: series.Calendar.Step.String(),
		From: series.Calendar.Time(0).Format(time.DateTime), To: series.Calendar.Time(series.T - 1).Format(time.DateTime), Unit: series.Unit,
		Missing: series.MissingShare(), Train: len(w.Train), Val: len(w.Val), Test: len(w.Test), Licence: tidy(card.Licence), Source: tidy(card.Source),
	})
	return nil
}

func (b *builder) dataTable() *figures.Table {
	t := &figures.Table{Caption: "Data sets.", Columns: []string{"data set", "nodes", "steps", "step", "from", "to", "missing", "unit", "training windows", "validation", "test", "licence", "source", "SHA-256 of its content"}}
	for _, d := range b.Data {
		t.Rows = append(t.Rows, []string{d.Name, count(d.Nodes), count(d.Steps), strings.TrimSuffix(d.Step, "0s"), d.From, d.To, fmt.Sprintf("%.2f %%", 100*d.Missing), d.Unit,
			count(d.Train), count(d.Val), count(d.Test), d.Licence, d.Source, d.Hash})
	}
	return upright(without(t), "data set")
}

func (b *builder) environmentTable() *figures.Table {
	t := &figures.Table{Caption: "Where the runs were trained.", Columns: []string{"", "runs", "backend", "XLA plugin", "its C interface", "processor", "cores", "system", "Go"}}
	var modules []string
	for _, e := range b.Environments {
		for name := range e.Modules {
			if !slices.Contains(modules, name) {
				modules = append(modules, name)
			}
		}
	}
	slices.Sort(modules)
	t.Columns = append(append(t.Columns, modules...), "stprune")
	for i, e := range b.Environments {
		row := []string{fmt.Sprintf("environment %d", i+1), count(len(e.Runs)), e.Backend, e.Plugin, e.PluginAPI, e.Processor(), count(e.Cores), e.OS, e.Go}
		for _, name := range modules {
			row = append(row, e.Modules[name])
		}
		t.Rows = append(t.Rows, append(row, revision(e.Revision, e.Modified)))
	}
	return upright(without(t), "environment")
}

// upright turns a table of few rows with many columns on its side: a row a column, a column a row.
func upright(t *figures.Table, corner string) *figures.Table {
	out := &figures.Table{Caption: t.Caption, Columns: []string{corner}}
	for _, row := range t.Rows {
		out.Columns = append(out.Columns, row[0])
	}
	for j, name := range t.Columns[1:] {
		cells := []string{name}
		for _, row := range t.Rows {
			cells = append(cells, row[j+1])
		}
		out.Rows = append(out.Rows, cells)
	}
	return out
}
