package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stprune/workbench/figures"
	"github.com/stprune/workbench/stprune/compare"
	"github.com/stprune/workbench/stprune/diagnose"
	runs "github.com/stprune/workbench/stprune/run"
)

// diagnoseCmd asks a stored run, or the rows of a comparison over seeds, what selections did.
type diagnoseCmd struct {
	ID      string    `arg:"" name:"run" help:"Id of the run, or how it begins; or a comparison (TOML), see above."`
	Against string    `placeholder:"RUN" help:"Another run on the same data to compare with, usually of full data. For replay: the run of method full whose scores are used. Of a comparison: a row's label, or the control that it is, such as random or equal-visits."`
	What    []string  `placeholder:"TOPIC" help:"Topics, see above. Default: kept, overlap and scores, as far as the runs have them; of a comparison kept."`
	Epochs  []int     `placeholder:"EPOCH" help:"For gradient and gradient-path: pruned epochs, from 1, whose selections to measure. Default: 8, spread evenly."`
	Set     []string  `sep:"none" placeholder:"KEY=VALUE" help:"Change a setting of the run: for replay, e.g. prune.method=random; or data.name, when its data set has another name now. May be repeated."`
	Row     string    `placeholder:"LABEL" help:"Of a comparison: the row to ask. Default: its first primary method, or its first."`
	Rho     []float64 `placeholder:"SHARE" help:"Of a comparison: only these retentions. Default: all."`
	CSV     string    `type:"path" placeholder:"FILE" help:"Of a comparison: also write the numbers into this file."`
	Runs    string    `type:"path" env:"STPRUNE_RUNS" default:"runs" help:"Folder of runs."`
	Backend string    `default:"auto" help:"Backend: auto, xla, xla:cpu, xla:cuda, go."`
	JSON    bool      `help:"Print JSON."`

	spec *compare.Spec // when a comparison is asked
}

func (c *diagnoseCmd) Help() string {
	return `kept: the share of the training units kept in pruned epochs, by hour, weekday, congestion and node.

overlap: how far RUN and the other run kept the same units, beside what chance gives.

scores: rank correlation of scores between epochs and between both runs; how much they vary, and what sampling by them can save.

spread: how much the errors of windows and of (window, node) pairs vary under RUN's best parameters, which says beforehand whether scoring can pay.

errors: test errors of RUN against the other run, by hour, horizon, node and congestion, and in the rare windows.

gradient: gradients of the selections of RUN, and of the other run, against that of all data, beside uniform samples, all at RUN's best parameters.

gradient-path: the same for RUN alone, but each at the parameters with which its epoch began. Those are not kept: RUN is trained again, in memory, up to the last of these epochs, and must select the same units as it did.

replay: what RUN's method (see --set) selects by the scores of a run of full data, without training.

The topics spread, errors and gradient compute, with the best parameters of finished runs, and gradient-path trains; the others read files.

For a comparison (a TOML file of 'stprune compare') kept, overlap, errors, gradient and gradient-path are asked of a row's finished runs, seed by seed against those of the other row: means with their standard deviations over seeds, in how many seeds the row's number is the lower one, and the exact p of the paired differences. That p is of one number by itself: of 100 numbers that do not differ, about 3 reach 0.031.`
}

// topics in the order in which they are printed.
var topics = []string{"kept", "overlap", "scores", "spread", "errors", "gradient", "gradient-path", "replay"}

// Validate refuses unknown topics while the command line is parsed.
func (c *diagnoseCmd) Validate() error {
	for _, w := range c.What {
		if !slices.Contains(topics, w) {
			return fmt.Errorf("--what %s: choose from %s", w, strings.Join(topics, ", "))
		}
		if c.Against == "" && (w == "overlap" || w == "errors") {
			return fmt.Errorf("--what %s compares two runs: give the other by --against", w)
		}
	}
	if filepath.Ext(c.ID) == ".toml" {
		return c.validateComparison()
	}
	if c.Row != "" || len(c.Rho) > 0 || c.CSV != "" {
		return errors.New("--row, --rho and --csv are for a comparison: give its TOML file in place of a run")
	}
	return nil
}

func (c *diagnoseCmd) Run(ctx context.Context) error {
	if c.spec != nil {
		return c.overSeeds(ctx)
	}
	d := diagnosis{ctx: ctx, found: map[string]any{}, out: os.Stdout, epochs: c.Epochs}
	if c.JSON {
		d.out = io.Discard
	}
	var err error
	var spec runs.Spec
	if d.run, spec, err = c.open(ctx, c.ID); err != nil {
		return err
	}
	if d.choice, err = d.run.Choice(); err != nil {
		return err
	}
	if c.Against != "" {
		if d.against, _, err = c.open(ctx, c.Against); err != nil {
			return err
		}
		if err := d.run.Comparable(d.against); err != nil {
			return err
		}
		if d.other, err = d.against.Choice(); err != nil {
			return err
		}
	}
	what := c.What
	if len(what) == 0 {
		if len(d.choice.Pruned()) > 0 && len(d.run.Sources) == 1 {
			what = append(what, "kept")
		}
		if d.against != nil {
			what = append(what, "overlap")
		}
		what = append(what, "scores")
	}
	show := map[string]func() error{
		"kept": d.kept, "overlap": d.overlap, "scores": d.scores, "spread": d.spread, "errors": d.errors, "gradient": d.gradient,
		"gradient-path": d.gradientPath,
		"replay":        func() error { return d.replay(spec) },
	}
	for _, topic := range topics {
		if !slices.Contains(what, topic) {
			continue
		}
		if err := show[topic](); err != nil {
			return err
		}
	}
	if c.JSON {
		return printJSON(os.Stdout, d.found)
	}
	return nil
}

// open opens a run with its data. The spec is the run's with all of --set; only what says where the data are counts for the run.
func (c *diagnoseCmd) open(ctx context.Context, id string) (*diagnose.Subject, runs.Spec, error) {
	r, err := runs.NewStore(c.Runs).Get(id)
	if err != nil {
		return nil, runs.Spec{}, err
	}
	spec := r.Spec
	if err := spec.Set(c.Set...); err != nil {
		return nil, spec, err
	}
	r.Spec.Data.Name, r.Spec.Data.More, r.Spec.Backend.Name = spec.Data.Name, spec.Data.More, c.Backend
	s, err := diagnose.Open(ctx, r, runs.Options{Watch: runs.Progress(os.Stderr, "diagnose")})
	return s, spec, err
}

// diagnosis collects what was found, and prints it.
type diagnosis struct {
	ctx           context.Context
	run, against  *diagnose.Subject // against may be nil
	choice, other diagnose.Choice
	found         map[string]any // by topic
	out           io.Writer
	epochs        []int // for gradient
}

// show prints a table under its title; an empty one is left out.
func (d *diagnosis) show(title string, columns []string, rows [][]string) {
	if len(rows) == 0 {
		return
	}
	t := figures.Table{Columns: columns, Rows: rows}
	fmt.Fprintf(d.out, "%s\n\n%s\n", title, t.Text())
}

func percent(x float64) string { return fmt.Sprintf("%.2f %%", 100*x) }

func (d *diagnosis) kept() error {
	s, err := d.run.Shares(d.choice)
	if err != nil {
		return err
	}
	d.found["kept"] = s
	d.shares(s)
	return nil
}

func (d *diagnosis) shares(s diagnose.Shares) {
	fmt.Fprintf(d.out, "%s: %s of the training units kept in a pruned epoch, mean of %d epochs.\n"+
		"Weight: a group's share of the loss weight over its share of the units.\n\n", oneLine(s.Name), percent(s.Kept), s.Epochs)
	for _, g := range []struct {
		name   string
		shares []diagnose.Share
	}{
		{"hour", s.Hour}, {"weekday", s.Weekday},
		{"congestion (targets against the node's usual, in its standard deviations)", s.Congestion}, {"node, by its mean", s.Node},
	} {
		var rows [][]string
		for _, x := range g.shares {
			rows = append(rows, []string{x.Label, fmt.Sprint(x.Units), percent(x.Kept), fmt.Sprintf("%.3f", x.Weight)})
		}
		d.show("Kept by "+g.name, []string{"", "units", "kept", "weight"}, rows)
	}
}

func (d *diagnosis) overlap() error {
	rows, err := diagnose.Overlaps(d.choice, d.other)
	if err != nil {
		return err
	}
	d.found["overlap"] = rows
	d.overlaps(d.choice.Name+" and "+d.other.Name, rows)
	return nil
}

func (d *diagnosis) overlaps(names string, overlaps []diagnose.Overlap) {
	if len(overlaps) == 0 {
		fmt.Fprintf(d.out, "%s: no epoch is pruned by both.\n\n", oneLine(names))
	}
	var rows [][]string
	for _, o := range overlaps {
		epoch := "any of them"
		if o.Epoch > 0 {
			epoch = fmt.Sprint(o.Epoch)
		}
		rows = append(rows, []string{epoch, fmt.Sprint(o.A), fmt.Sprint(o.B), fmt.Sprint(o.Shared), fmt.Sprintf("%.4f", o.Jaccard), fmt.Sprintf("%.4f", o.Expected)})
	}
	d.show("Units kept by "+oneLine(names), []string{"epoch", "first", "second", "both", "Jaccard", "by chance"}, rows)
}

func (d *diagnosis) scores() error {
	type found struct {
		Stability []diagnose.RankCorrelation `json:"stability"`
		Agreement []diagnose.RankCorrelation `json:"agreement,omitempty"`
		Spread    []diagnose.Spread          `json:"spread"`
	}
	var f found
	var err error
	if f.Stability, err = diagnose.Stability(d.run.Run); err != nil {
		return err
	}
	if d.against != nil {
		if f.Agreement, err = d.run.Agreement(d.against); err != nil {
			return err
		}
	}
	if f.Spread, err = d.run.Spreads(); err != nil {
		return err
	}
	d.found["scores"] = f
	for _, c := range []struct {
		title string
		rows  []diagnose.RankCorrelation
	}{{"Rank correlation of scores between epochs", f.Stability}, {"Rank correlation of scores between the runs", f.Agreement}} {
		var rows [][]string
		for _, r := range c.rows {
			rows = append(rows, []string{fmt.Sprintf("%d and %d", r.A.Epoch, r.B.Epoch), fmt.Sprint(r.Windows), fmt.Sprintf("%.3f", r.Level), fmt.Sprintf("%.3f", r.Complexity)})
		}
		d.show(c.title, []string{"epochs", "windows", "level", "complexity"}, rows)
	}
	d.spreads("Variation of recorded scores", f.Spread)
	return nil
}

func (d *diagnosis) spread() error {
	rows, err := d.run.ErrorSpread(d.ctx)
	if err != nil {
		return err
	}
	d.found["spread"] = rows
	d.spreads("Variation of training errors under the best parameters", rows)
	return nil
}

func (d *diagnosis) spreads(title string, spreads []diagnose.Spread) {
	var rows [][]string
	for _, s := range spreads {
		epoch, complexity := "best", []string{"", ""}
		if s.Epoch > 0 {
			epoch = fmt.Sprint(s.Epoch)
		}
		if c := s.Complexity; c != nil {
			complexity = []string{fmt.Sprintf("%.3f", c.CV), fmt.Sprintf("%.3f", c.Bound)}
		}
		rows = append(rows, append([]string{oneLine(s.Data), s.Of, epoch, fmt.Sprint(s.Count), fmt.Sprintf("%.3f", s.Level.CV), fmt.Sprintf("%.3f", s.Level.Bound)}, complexity...))
	}
	d.show(title+": CV, and 1/(1+CV²), what sampling by the score can lower the gradient's second moment to at best",
		[]string{"data", "of", "epoch", "count", "level CV", "bound", "complexity CV", "bound"}, rows)
}

func (d *diagnosis) errors() error {
	e, err := d.run.Errors(d.ctx, d.against)
	if err != nil {
		return err
	}
	d.found["errors"] = e
	for _, g := range []struct {
		name   string
		groups []diagnose.GroupError
	}{
		{"", []diagnose.GroupError{e.All}}, {" by hour", e.Hour}, {" by horizon", e.Horizon},
		{" by the node's error in the other run", e.NodeError}, {" by the node's mean value", e.NodeLevel},
		{" by congestion (targets against the node's usual, in its standard deviations)", e.Congestion},
		{" in the windows that are worst in the other run (chosen by its errors, which favours RUN)", e.Rare}, {" in the worst windows of each run", e.Own},
		{" in the windows that are worst in both runs together", e.Both},
	} {
		var rows [][]string
		for _, x := range g.groups {
			rows = append(rows, []string{x.Label, fmt.Sprint(x.Targets), fmt.Sprintf("%.4f", x.MAE), fmt.Sprintf("%.4f", x.Against), fmt.Sprintf("%+.2f %%", 100*x.Change)})
		}
		d.show("Test MAE"+g.name, []string{"", "targets", oneLine(d.run.Name()), oneLine(d.against.Name()), "change"}, rows)
	}
	return nil
}

func (d *diagnosis) gradient() error {
	choices := []diagnose.Choice{d.choice}
	if d.against != nil && len(d.other.Pruned()) > 0 {
		choices = append(choices, d.other)
	}
	g, err := d.run.Gradients(d.ctx, diagnose.GradientOptions{Epochs: d.epochs}, choices...)
	if err != nil {
		return err
	}
	d.found["gradient"] = g
	full := fmt.Sprintf("all %d units", g.Units)
	if g.Reference < g.Units {
		full = fmt.Sprintf("a uniform sample of %d of the %d units", g.Reference, g.Units)
	}
	fmt.Fprintf(d.out, "Gradients at the best parameters of run %s, relative to that of %s.\n"+
		"Error² is bias² plus variance. Of the mean of the draws, bias is what error is left beyond the noise that the draws' spread explains;\n"+
		"uniform samples have no bias, so theirs is by chance.\n\n", g.Run, full)
	mean := func(m diagnose.Mean) string { return fmt.Sprintf("%.4f ± %.4f", m.Mean, m.Std) }
	var rows [][]string
	for _, x := range g.Draws {
		rows = append(rows, []string{oneLine(x.Name), fmt.Sprint(x.Count), fmt.Sprintf("%.0f", x.Units), fmt.Sprintf("%.0f", x.Effective), mean(x.Cosine), mean(x.Size), mean(x.Error),
			fmt.Sprintf("%.4f", x.MeanError), fmt.Sprintf("%.4f", x.Noise), fmt.Sprintf("%.4f", x.Bias)})
	}
	d.show("Gradients of selections", []string{"", "draws", "units", "effective", "cosine", "size", "error", "of the mean", "noise", "bias"}, rows)
	return nil
}

func (d *diagnosis) gradientPath() error {
	points, err := d.run.GradientPath(d.ctx, diagnose.GradientOptions{Epochs: d.epochs})
	if err != nil {
		return err
	}
	d.found["gradient-path"] = points
	var rows [][]string
	for _, p := range points {
		row := []string{fmt.Sprint(p.Epoch), fmt.Sprintf("%.0f", p.Kept.Units), fmt.Sprintf("%.0f", p.Kept.Effective)}
		for _, of := range []func(diagnose.Draws) diagnose.Mean{
			func(d diagnose.Draws) diagnose.Mean { return d.Cosine }, func(d diagnose.Draws) diagnose.Mean { return d.Size },
			func(d diagnose.Draws) diagnose.Mean { return d.Error },
		} {
			uniform := of(p.Uniform)
			row = append(row, fmt.Sprintf("%.4f", of(p.Kept).Mean), fmt.Sprintf("%.4f ± %.4f", uniform.Mean, uniform.Std))
		}
		rows = append(rows, row)
	}
	d.show(fmt.Sprintf("Gradients of the selections of run %s when their epochs began, relative to the full one, beside uniform samples", d.run.ID),
		[]string{"epoch", "units", "effective", "cosine", "uniform", "size", "uniform", "error", "uniform"}, rows)
	return nil
}

func (d *diagnosis) replay(spec runs.Spec) error {
	scores := cmp.Or(d.against, d.run)
	r, err := scores.Replay(d.ctx, spec)
	if err != nil {
		return err
	}
	type found struct {
		diagnose.Replay
		Kept    *diagnose.Shares   `json:"kept"`    // null without a pruned epoch, or on several data sets
		Overlap []diagnose.Overlap `json:"overlap"` // with what RUN kept
	}
	f := found{Replay: r}
	fmt.Fprintf(d.out, "%s with the scores of run %s, %s.\n%.3g seconds to plan and to observe.\n\n", r.Choice.Name, r.Scores, r.Note, r.Seconds)
	var rows [][]string
	for _, e := range r.Epochs {
		repeated := []string{"", ""}
		if o := e.Repeated; o != nil {
			repeated = []string{fmt.Sprintf("%.4f", o.Jaccard), fmt.Sprintf("%.4f", o.Expected)}
		}
		rows = append(rows, append([]string{fmt.Sprint(e.Epoch), percent(e.Kept), fmt.Sprintf("%.0f", e.Selection.EffectiveSize), fmt.Sprintf("%.2f", e.Selection.MaxWeight),
			fmt.Sprintf("%.4f", e.Score), fmt.Sprintf("%.4f", e.ScoreAll)}, repeated...))
	}
	d.show("Replay", []string{"epoch", "kept", "effective", "max weight", "score kept", "score all", "as before (Jaccard)", "by chance"}, rows)
	if len(r.Choice.Pruned()) > 0 && len(scores.Sources) == 1 {
		s, err := scores.Shares(r.Choice)
		if err != nil {
			return err
		}
		f.Kept = &s
		d.shares(s)
	}
	if len(d.choice.Pruned()) > 0 {
		if f.Overlap, err = diagnose.Overlaps(r.Choice, d.choice); err != nil {
			return err
		}
		d.overlaps(r.Choice.Name+" and run "+d.run.ID, f.Overlap)
	}
	d.found["replay"] = f
	return nil
}
