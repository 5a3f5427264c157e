package report

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/figures"
	"github.com/stprune/workbench/stprune/compare"
	"github.com/stprune/workbench/stprune/lab"
	"github.com/stprune/workbench/stprune/run"
	"github.com/stprune/workbench/stprune/sweep"
)

// Options say where runs and data sets are; the zero value is usable.
type Options struct {
	Store   *run.Store
	Folders []string          // of data sets; default: those of STPRUNE_DATA
	Note    func(text string) // what befalls the work
}

// Report is what a study has found so far. As JSON it is the folder's report.json.
type Report struct {
	Name     string    `json:"name"`
	Command  string    `json:"command"` // that trains the folder's study
	Runs     int       `json:"runs"`    // of the study, as far as they are known
	Finished int       `json:"finished"`
	Seconds  float64   `json:"seconds"` // of all finished runs
	Missing  []Missing `json:"missing"`

	Figures  []*Figure  `json:"figures"`
	NotDrawn []NotDrawn `json:"not_drawn"`
	Tables   []Table    `json:"tables"`

	Data         []Data        `json:"data"`
	Environments []Environment `json:"environments"`
	Source       Source        `json:"source"` // of the program that wrote this

	Comparison *compare.Report `json:"comparison,omitempty"`
	Sweep      []sweep.State   `json:"sweep,omitempty"`

	sections []section
	study    []byte // TOML
	script   string // that repeats it
}

// Missing is a way of training, of which runs have no result.
type Missing struct {
	Label  string   `json:"label"`
	Where  string   `json:"where"` // batches and retention, or data set
	Seeds  []uint64 `json:"seeds"` // empty: all
	IDs    []string `json:"ids"`   // of the runs, where they are known
	Reason string   `json:"reason"`
}

// Figure is a figure of a report, as SVG and PDF.
type Figure struct {
	Name    string   `json:"name"` // of its files
	Title   string   `json:"title"`
	Caption string   `json:"caption"`
	Runs    []string `json:"runs"` // ids of those it shows

	drawn *figures.Figure
	svg   []byte
	Wide  bool `json:"-"` // across the page
}

// NotDrawn says why a figure is not there.
type NotDrawn struct {
	Title  string `json:"title"`
	Reason string `json:"reason"`
}

// Table is a table of a report, as CSV and LaTeX.
type Table struct {
	Name    string `json:"name"` // of its files
	Caption string `json:"caption"`
}

// row is one way of training, with its finished runs.
type row struct {
	label   string
	roles   []compare.Role // of comparisons
	method  string
	rho     float64
	runs    []*run.Run // in the order of seeds; they are called label
	results []*run.Result
}

// group is what is compared with each other: in a comparison rows of equal batches and retention, in a sweep those on equal data.
type group struct {
	title string
	where string // in tables: retention, or data
	slug  string // for names of files; empty when there is one group
	rows  []*row // with finished runs

	// Of comparisons:
	policy  string
	primary string // label of the method that it is about first, when it names one
	cells   *compare.Group
}

// builder makes a report.
type builder struct {
	*Report
	ctx    context.Context
	l      *lab.Lab
	study  Study
	groups []*group
}

// Collect makes the report of a study from what the store has. It is an error when no run of it is finished.
func Collect(ctx context.Context, study Study, o Options) (*Report, error) {
	r := &Report{Name: study.Name, Command: study.command(study.training()), Missing: []Missing{}, Figures: []*Figure{}, NotDrawn: []NotDrawn{}, Tables: []Table{}, Source: source()}
	err := lab.With(ctx, func(l *lab.Lab) {
		if o.Store != nil {
			l.Store = o.Store
		}
		if o.Folders != nil {
			l.Folders = o.Folders
		}
		b := builder{Report: r, ctx: ctx, l: l, study: study}
		asked := sweep.Options{Store: l.Store, Note: o.Note, Series: func(_ context.Context, name string) (*datasets.Series, error) { return l.Series(name), nil }}
		var err error
		if study.comparison != nil {
			err = b.comparison(asked)
		} else {
			err = b.sweep(asked)
		}
		l.Fail(err)
		if r.Finished == 0 {
			l.Fail(fmt.Errorf("report: none of the %d runs of this study is finished in %s; `stprune %s` with its file trains them", r.Runs, l.Store.Dir, study.training()))
		}
		r.study, err = tidyTOML(study.toml)
		l.Fail(err)
		l.Fail(b.environments())
		b.write()
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// open reads a finished run, which reports call label.
func (b *builder) open(id, label string) (*run.Run, *run.Result, error) {
	r, err := run.Open(filepath.Join(b.l.Store.Dir, id))
	if err != nil {
		return nil, nil, err
	}
	r.Spec.Name = label
	result, err := r.Result()
	return r, result, err
}

func (b *builder) comparison(o sweep.Options) error {
	rep, err := compare.Collect(b.ctx, *b.study.comparison, o)
	if err != nil {
		return err
	}
	rep.Setting = tidy(rep.Setting)
	for i := range rep.Notes {
		rep.Notes[i] = tidy(rep.Notes[i])
	}
	for i := range rep.Missing {
		rep.Missing[i].Reason = tidy(rep.Missing[i].Reason)
	}
	for i := range rep.Runs {
		o := &rep.Runs[i]
		o.Reason, o.Backend = tidy(o.Reason), tidy(o.Backend)
		b.Seconds += o.Seconds.Total
		if b.Runs++; o.Status == run.Finished {
			b.Finished++
		}
	}
	for i := range rep.Groups {
		g := &rep.Groups[i]
		out := &group{title: "Retention " + percent(g.Rho), where: percent(g.Rho), slug: fmt.Sprintf("rho-%g", g.Rho), policy: g.BatchPolicy, cells: g}
		if len(rep.Primary) > 0 {
			out.primary = tidy(rep.Primary[0])
		}
		if len(b.study.comparison.BatchPolicy) > 1 {
			out.title, out.where = out.title+", "+policyName(g.BatchPolicy), out.where+", "+policyName(g.BatchPolicy)
			out.slug = slug(g.BatchPolicy) + "-" + out.slug
		}
		for j := range g.Cells {
			c := &g.Cells[j]
			c.Reason = tidy(c.Reason)
			r := &row{label: tidy(c.Label), roles: c.Roles, method: c.Method, rho: g.Rho}
			for _, id := range c.Runs {
				one, result, err := b.open(id, r.label)
				if err != nil {
					return err
				}
				r.runs, r.results = append(r.runs, one), append(r.results, result)
			}
			if len(r.runs) > 0 {
				out.rows = append(out.rows, r)
			}
		}
		b.groups = append(b.groups, out)
	}
	for _, m := range rep.Missing {
		where := "retention " + percent(m.Rho)
		if len(b.study.comparison.BatchPolicy) > 1 {
			where += ", " + policyName(m.BatchPolicy)
		}
		b.missing(tidy(m.Label), where, m.Seed, m.ID, m.Reason)
	}
	b.Comparison = rep
	return nil
}

func policyName(policy string) string {
	switch policy {
	case "fixed":
		return "fixed batch"
	case "keep-steps":
		return "steps kept"
	}
	return policy // "batch 32"
}

// missing notes a run without a result, once, or without an id a row that has no runs, with all places where it hasn't.
func (b *builder) missing(label, where string, seed uint64, id, reason string) {
	if id == "" {
		at := slices.IndexFunc(b.Missing, func(m Missing) bool { return m.Label == label && m.Reason == reason && len(m.IDs) == 0 })
		if at >= 0 {
			b.Missing[at].Where += "; " + where
			return
		}
	} else if slices.ContainsFunc(b.Missing, func(m Missing) bool { return slices.Contains(m.IDs, id) }) {
		return
	}
	at := slices.IndexFunc(b.Missing, func(m Missing) bool { return id != "" && m.Label == label && m.Where == where && m.Reason == reason })
	if at < 0 {
		at = len(b.Missing)
		b.Missing = append(b.Missing, Missing{Label: label, Where: where, Seeds: []uint64{}, IDs: []string{}, Reason: reason})
	}
	if m := &b.Missing[at]; id != "" {
		m.Seeds, m.IDs = append(m.Seeds, seed), append(m.IDs, id)
	}
}

func (b *builder) sweep(o sweep.Options) error {
	s, err := sweep.Open(b.ctx, *b.study.sweep, o)
	if err != nil {
		return err
	}
	defer s.Close()
	b.Sweep = s.Look()
	names := map[string][]string{} // of all ways of training, by data
	for _, st := range b.Sweep {
		data := dataName(st.Spec)
		names[data] = append(names[data], unseeded(tidy(st.Name), st.Spec))
	}
	byKey := map[string]*row{}
	for i := range b.Sweep {
		st := &b.Sweep[i]
		st.Name, st.Reason = tidy(st.Name), tidy(st.Reason)
		spec := st.Spec
		data := dataName(spec)
		label := telling(unseeded(st.Name, spec), names[data])
		b.Runs++
		if st.Status != run.Finished {
			reason := string(st.Status)
			if st.Status == sweep.New {
				reason = "not trained yet"
			}
			if st.Reason != "" {
				reason += ": " + st.Reason
			}
			b.missing(label, data, spec.Train.Seed, st.ID, reason)
			continue
		}
		one, result, err := b.open(st.ID, label)
		if err != nil {
			return err
		}
		b.Finished++
		b.Seconds += result.Seconds.Total
		at := slices.IndexFunc(b.groups, func(g *group) bool { return g.where == data })
		if at < 0 {
			at = len(b.groups)
			b.groups = append(b.groups, &group{title: "Results on " + data, where: data, slug: fmt.Sprintf("%d-%s", at+1, slug(data))})
		}
		key := data + meaning(spec, nil)
		r := byKey[key]
		if r == nil {
			r = &row{label: label, method: spec.Prune.Method, rho: spec.Prune.Rho}
			byKey[key] = r
			b.groups[at].rows = append(b.groups[at].rows, r)
		}
		one.Spec.Name = r.label
		r.runs, r.results = append(r.runs, one), append(r.results, result)
	}
	if len(b.groups) == 1 {
		b.groups[0].slug = ""
	}
	return nil
}

// meaning tells specs apart that differ in more than their seeds, and than what change makes equal.
func meaning(s run.Spec, change func(s *run.Spec)) string {
	s.Train.Seed, s.Prune.Seed = 0, 0
	if change != nil {
		change(&s)
	}
	return s.ID("")
}

// unseeded is a run's name in a sweep without its seed.
func unseeded(name string, s run.Spec) string {
	seed := fmt.Sprintf("seed %d", s.Train.Seed)
	parts := strings.Split(strings.TrimSuffix(strings.TrimSuffix(name, seed), ", "), ", ")
	if s.Prune.Method == "full" { // which has no ratio
		parts = slices.DeleteFunc(parts, func(part string) bool {
			return strings.HasPrefix(part, "rho ") || strings.HasPrefix(part, "prune.rho ")
		})
	}
	return cmp.Or(strings.Join(parts, ", "), s.Prune.Method)
}

// telling is a name without the parts that all names have.
func telling(name string, all []string) string {
	parts := slices.DeleteFunc(strings.Split(name, ", "), func(part string) bool {
		return !slices.ContainsFunc(all, func(other string) bool { return !slices.Contains(strings.Split(other, ", "), part) })
	})
	return cmp.Or(strings.Join(parts, ", "), name)
}

// main is the row of a group that its figures are about: the first primary method, ST-Prune, or the first one, in this order.
func (g *group) main() *row {
	var best *row
	rank := 0
	for _, r := range g.rows {
		own := r.roles == nil || r.is(compare.Pruner) // and not a control alone
		this := 1
		switch {
		case r.full():
			continue
		case own && g.primary != "" && r.label == g.primary:
			this = 4
		case own && r.method == "st-prune":
			this = 3
		case own:
			this = 2
		}
		if this > rank {
			best, rank = r, this
		}
	}
	return best
}

func (r *row) is(role compare.Role) bool { return slices.Contains(r.roles, role) }

// at is a row's name with its retention.
func (r *row) at() string {
	if r.full() || r.roles == nil { // a sweep's names tell
		return r.label
	}
	return r.label + ", " + percent(r.rho)
}

func (r *row) full() bool { return r.method == "full" }

func (r *row) mae() float64 {
	sum := 0.0
	for _, result := range r.results {
		sum += result.Test.Mean.MAE
	}
	return sum / float64(len(r.results))
}

func (r *row) ids() (all []string) {
	for _, one := range r.runs {
		all = append(all, one.ID)
	}
	return all
}

// runsOf are all different runs of rows.
func runsOf(rows []*row) (all []*run.Run) {
	seen := map[string]bool{}
	for _, r := range rows {
		for _, one := range r.runs {
			if !seen[one.ID] {
				seen[one.ID] = true
				all = append(all, one)
			}
		}
	}
	return all
}

// reference is the group's full data with the other settings of its main row.
func (g *group) reference() *row {
	main, own := g.main(), "" // the name of main's, where optimisers, models or schedules differ
	if main != nil && g.cells != nil {
		for _, c := range g.cells.Cells {
			for _, a := range c.Against {
				if tidy(c.Label) == main.label && a.Role == compare.Full {
					own = tidy(a.Label)
				}
			}
		}
	}
	for _, r := range g.rows {
		if !r.full() {
			continue
		}
		if main == nil || r.is(compare.Full) && (own == "" || r.label == own) {
			return r
		}
		unpruned := func(s *run.Spec) { s.Prune = r.runs[0].Spec.Prune }
		if r.roles == nil && meaning(main.runs[0].Spec, unpruned) == meaning(r.runs[0].Spec, nil) {
			return r
		}
	}
	return nil
}

// random is the group's uniform control of its main row.
func (g *group) random() *row {
	main := g.main()
	for _, r := range g.rows {
		if main != nil && r != main && r.method == "random" && r.rho == main.rho {
			return r
		}
	}
	return nil
}

// most is how many lines a figure has at most.
const most = 7

// few are the rows that a figure with a line each shows: all, or of many the controls, the main row and those with the smallest
// errors.
func (g *group) few() []*row {
	if len(g.rows) <= most {
		return g.rows
	}
	main := g.main()
	rank := func(r *row) int {
		switch {
		case r == main:
			return 0
		case r == g.reference(), r.is(compare.EqualVisits), r == g.random():
			return 1
		case r.is(compare.EqualSeconds), r.roles == nil && main != nil && r.rho == main.rho:
			return 2
		}
		return 3
	}
	ranked := slices.Clone(g.rows)
	slices.SortStableFunc(ranked, func(a, b *row) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.mae(), b.mae())) })
	return slices.DeleteFunc(slices.Clone(g.rows), func(r *row) bool { return !slices.Contains(ranked[:most], r) })
}

// variants are the group's main row and those that differ from it in the settings of its method alone.
func (g *group) variants() []*row {
	main := g.main()
	if main == nil {
		return nil
	}
	all := []*row{main}
	for _, r := range g.rows {
		same := func(s *run.Spec) { s.Prune = main.runs[0].Spec.Prune }
		if r != main && r.method == main.method && r.rho == main.rho && meaning(r.runs[0].Spec, same) == meaning(main.runs[0].Spec, nil) {
			all = append(all, r)
		}
	}
	return all
}
