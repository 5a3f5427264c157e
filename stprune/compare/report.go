package compare

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/gonum/stat"

	"github.com/stprune/workbench/stprune/method"
	"github.com/stprune/workbench/stprune/run"
	"github.com/stprune/workbench/stprune/stats"
	"github.com/stprune/workbench/stprune/train"
)

// Report is what a comparison has found so far.
type Report struct {
	Name      string    `json:"name"`
	Setting   string    `json:"setting"` // of the base, in words
	Seeds     []uint64  `json:"seeds"`
	Primary   []string  `json:"primary,omitempty"`
	Floor     float64   `json:"floor"` // share of the error
	Alpha     float64   `json:"alpha"`
	SmallestP float64   `json:"smallest_p"` // that so many seeds can give
	Notes     []string  `json:"notes"`
	Groups    []Group   `json:"groups"`
	Runs      []Outcome `json:"runs"`
	Missing   []Missing `json:"missing"`
}

// Group is all that is compared with each other: one batch policy, one retention.
type Group struct {
	BatchPolicy string    `json:"batch_policy"`
	Heading     string    `json:"heading"` // unit, batches, warm-up and tail in words, as far as methods share them
	Rho         float64   `json:"rho"`
	Cells       []Cell    `json:"cells"`   // controls first
	Pruners     []*Versus `json:"pruners"` // each against all others; p is adjusted over one pruner's comparisons
}

// Cell is one way of training: means over its finished runs.
type Cell struct {
	Label  string   `json:"label"`
	Roles  []Role   `json:"roles"`
	Method string   `json:"method"`
	Note   string   `json:"note,omitempty"`   // what must be said beside its numbers
	Reason string   `json:"reason,omitempty"` // why there are no runs
	Runs   []string `json:"runs"`             // ids of the finished ones, in the order of seeds

	MAE     Spread    `json:"mae"` // test errors, mean of the horizons
	RMSE    Spread    `json:"rmse"`
	MAPE    Spread    `json:"mape"`
	IQM     float64   `json:"iqm"` // interquartile mean of MAE
	Horizon []Horizon `json:"horizon"`
	Cost

	Against []*Against `json:"against"`          // its controls, when it is under comparison; p is adjusted over all that have that control
	Others  *stats.All `json:"others,omitempty"` // all other methods at once, when it is primary
}

// Horizon is the error so many steps ahead.
type Horizon struct {
	Steps int    `json:"steps"`
	MAE   Spread `json:"mae"`
}

// Spread is a mean and a standard deviation over seeds.
type Spread struct {
	Mean float64 `json:"mean"`
	SD   float64 `json:"sd"` // with n − 1; 0 with one seed
}

// Cost is what a run took.
type Cost struct {
	Forwarded      float64 `json:"forwarded"`      // windows × nodes passed forward, also to score them or to train a scoring model
	BackPropagated float64 `json:"backpropagated"` // windows × nodes trained on, also by a scoring model
	FullEpochs     float64 `json:"full_epochs"`    // what the model itself trained on, in epochs of all data
	Kept           float64 `json:"kept"`           // share of the units that pruned epochs visited; 1 without any
	EffectiveSize  float64 `json:"effective_size"` // mean (Σw)²/Σw² of pruned epochs, or of all when none is
	OptimiserSteps float64 `json:"optimiser_steps"`
	Seconds        Seconds `json:"seconds"`
}

// Seconds by what they were spent on.
type Seconds struct {
	Compile        float64 `json:"compile"`
	Steps          float64 `json:"steps"`
	Selection      float64 `json:"selection"`
	Scoring        float64 `json:"scoring"` // scoring models and forward passes
	Evaluation     float64 `json:"evaluation"`
	Saving         float64 `json:"saving"`
	Total          float64 `json:"total"`
	WithoutScoring float64 `json:"without_scoring"`
}

// fields are all numbers of a cost, in the order of costColumns.
func (c *Cost) fields() []*float64 {
	s := &c.Seconds
	return []*float64{
		&c.Forwarded, &c.BackPropagated, &c.FullEpochs, &c.Kept, &c.EffectiveSize, &c.OptimiserSteps,
		&s.Compile, &s.Steps, &s.Selection, &s.Scoring, &s.Evaluation, &s.Saving, &s.Total, &s.WithoutScoring,
	}
}

var costColumns = []string{
	"forwarded", "backpropagated", "full_epochs", "kept", "effective_size", "optimiser_steps",
	"seconds_compile", "seconds_steps", "seconds_selection", "seconds_scoring", "seconds_evaluation", "seconds_saving", "seconds_total",
	"seconds_without_scoring",
}

// Against compares a cell with one of its controls.
type Against struct {
	Role  Role    `json:"role"`
	Label string  `json:"label"`           // of the control
	Ratio float64 `json:"ratio,omitempty"` // of the control's steps, visits or seconds to the method's, where it is to have as many
	stats.Paired
}

// Unequal stands in place of a verdict on a control that is to have as many steps, visits or seconds as the method, and has over
// 10 % more or fewer.
const Unequal stats.Verdict = "unequal"

// equal is the share by which a control may miss what it is to have.
const equal = 0.1

// cost is what an equal control is to have as much of, and how much of it a cell took.
func (r Role) cost(c Cell) (what string, took float64) {
	switch r {
	case EqualSteps:
		return "steps", c.OptimiserSteps
	case EqualVisits, Random:
		return "visits", c.FullEpochs
	case EqualSeconds:
		return "seconds", c.Seconds.Total - c.Seconds.Compile
	}
	return "", 0
}

// Finding is the verdict in words, such as "better", or "5.0× the visits" where the control is [Unequal].
func (a *Against) Finding() string {
	if a.Verdict != Unequal {
		return string(a.Verdict)
	}
	what, _ := a.Role.cost(Cell{})
	digits := 2
	if a.Ratio >= 2 {
		digits = 1
	}
	return fmt.Sprintf("%.*f× the %s", digits, a.Ratio, what)
}

// Versus compares a pruner with another one.
type Versus struct {
	Label string `json:"label"`
	Other string `json:"other"`
	stats.Paired
}

// Outcome is one run, listed once, under the first cell that asks for it.
type Outcome struct {
	ID          string     `json:"id"`
	Label       string     `json:"label"`
	Method      string     `json:"method"`
	BatchPolicy string     `json:"batch_policy"`
	Rho         float64    `json:"rho"`
	Seed        uint64     `json:"seed"`
	Status      run.Status `json:"status"`
	Reason      string     `json:"reason,omitempty"` // why it has no result

	Epochs     int     `json:"epochs"`
	BestEpoch  int     `json:"best_epoch"`
	Validation float64 `json:"validation_mae"`
	MAE        float64 `json:"mae"`
	RMSE       float64 `json:"rmse"`
	MAPE       float64 `json:"mape"`
	MAE3       float64 `json:"mae_3"` // 0 when the forecast is shorter
	MAE6       float64 `json:"mae_6"`
	MAE12      float64 `json:"mae_12"`
	Cost

	Backend  string `json:"backend"`
	CPU      string `json:"cpu"`
	Revision string `json:"revision"`
}

// Missing is a run, or a whole row, without results.
type Missing struct {
	BatchPolicy string  `json:"batch_policy"`
	Rho         float64 `json:"rho"`
	Label       string  `json:"label"`
	Seed        uint64  `json:"seed,omitempty"` // 0: all
	ID          string  `json:"id,omitempty"`
	Reason      string  `json:"reason"`
}

// horizons are the steps ahead that reports show, as far as a forecast has them.
var horizons = []int{3, 6, 12}

func (s *session) report() (*Report, error) {
	rep := &Report{
		Name: s.spec.Name, Setting: setting(s.spec), Seeds: s.spec.Seeds, Primary: s.spec.Primary, Floor: s.spec.Floor, Alpha: stats.Alpha,
		SmallestP: stats.SmallestP(len(s.spec.Seeds)), Notes: s.notes(), Runs: []Outcome{}, Missing: []Missing{},
	}
	listed := map[string]bool{}
	for _, g := range s.groups {
		policy := s.spec.policy(g.policy)
		out := Group{BatchPolicy: policy, Heading: heading(s.spec, g.policy), Rho: g.rho, Pruners: []*Versus{}}
		for _, r := range g.rows {
			out.Cells = append(out.Cells, s.cell(r))
			if len(r.ids) == 0 {
				rep.Missing = append(rep.Missing, Missing{BatchPolicy: policy, Rho: g.rho, Label: r.label, Reason: r.reason})
			}
			for i, id := range r.ids {
				have := s.stored[id]
				o := Outcome{
					ID: id, Label: r.label, Method: r.method, BatchPolicy: policy, Rho: g.rho, Seed: s.spec.Seeds[i],
					Status: cmp.Or(have.status, "new"), Reason: cmp.Or(s.failed[id], have.fault),
				}
				o.fill(have)
				if !listed[id] {
					listed[id] = true
					rep.Runs = append(rep.Runs, o)
				}
				if have.result == nil {
					rep.Missing = append(rep.Missing, Missing{policy, g.rho, r.label, o.Seed, id, o.Reason})
				}
			}
		}
		if err := s.judge(g, &out); err != nil {
			return nil, err
		}
		rep.Groups = append(rep.Groups, out)
	}
	return rep, nil
}

// setting is the base in words.
func setting(s Spec) string {
	b := s.Base
	schedule := cmp.Or(b.Schedule.Kind, "constant")
	if schedule != "constant" {
		schedule += " by " + cmp.Or(b.Schedule.By, "step")
	}
	steps := func(n int) string {
		if n == 0 {
			return "one day"
		}
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s on %s, %s → %s steps, unit %s, %s at %g, %s, %d epochs, batch %d", b.Model.Backbone,
		strings.Join(append([]string{b.Data.Name}, b.Data.More...), " + "), steps(b.Data.History), steps(b.Data.Horizon), b.Train.Unit, b.Optim.Name, b.Optim.LR,
		schedule, b.Train.Epochs, b.Train.Batch)
}

// heading is what the runs under a batch policy have in common, in words.
func heading(s Spec, policy string) string {
	b := s.Base
	unit, warmUp, tail := true, true, true // whether the base's is every method's
	for _, m := range s.Methods {
		if _, no := notApplicable(m.Name); !no {
			own := s.pruned(m, policy, s.Rho[0], 0)
			unit = unit && own.Train.Unit == b.Train.Unit
			warmUp = warmUp && own.Prune.WarmUp == b.Prune.WarmUp
			tail = tail && own.Prune.Delta == b.Prune.Delta
		}
	}
	parts := []string{"fixed batch"}
	switch {
	case b.Prune.PrunedBatch > 0:
		parts[0] = fmt.Sprintf("batches of %d in pruned epochs", b.Prune.PrunedBatch)
	case policy == "keep-steps":
		parts[0] = "batches that shrink with the retention, so that steps are kept"
	}
	fixed := parts[0] == "fixed batch"
	if unit {
		parts = slices.Insert(parts, 0, map[string]string{train.Window: "windows", train.Pair: "(window, node) pairs", train.Block: "blocks of nodes"}[b.Train.Unit])
	}
	switch {
	case warmUp && b.Prune.WarmUp == 0:
		parts = append(parts, "no warm-up")
	case warmUp:
		parts = append(parts, "warm-up of "+counted(float64(b.Prune.WarmUp), "epoch"))
	}
	switch {
	case tail && b.Prune.Delta == 1:
		parts = append(parts, "no full tail")
	case tail:
		parts = append(parts, fmt.Sprintf("full tail after %s of the epochs", percent(b.Prune.Delta)))
	}
	if fixed && unit && b.Train.Unit == train.Window && warmUp && b.Prune.WarmUp >= 1 && tail && b.Prune.Delta < 1 {
		parts = append(parts, "as in the paper's protocol")
	}
	text := strings.Join(parts, ", ")
	return strings.ToUpper(text[:1]) + text[1:] // a bracket stays one
}

// notes are what must be known beside the numbers.
func (s *session) notes() []string {
	notes := []string{}
	if len(s.spec.Base.Data.More) > 0 {
		notes = append(notes, "Errors are in units of each data set's standard deviation.")
	}
	for _, m := range s.spec.Methods {
		if known, err := method.ByName(m.Name); err == nil && !known.Exact {
			notes = append(notes, fmt.Sprintf("%s does not keep an exact number of units; its controls match what its schedule plans.", m.Label))
		}
	}
	for _, rho := range s.spec.Rho {
		var kept []string
		for _, g := range s.groups {
			for _, r := range g.rows {
				if g.rho == rho && r.pruner && r.planned.raised != "" && !slices.Contains(kept, r.planned.raised) {
					kept = append(kept, r.planned.raised)
				}
			}
		}
		if len(kept) > 0 {
			notes = append(notes, fmt.Sprintf("Retention %s would be fewer units than min_units, by default one batch: pruned epochs keep %s.", percent(rho), strings.Join(kept, "; ")))
		}
	}
	machines := map[string]bool{}
	for _, r := range s.stored {
		if r.result != nil {
			machines[r.environment.Backend+" on "+r.environment.Processor()] = true
		}
	}
	if len(machines) > 1 {
		notes = append(notes, "Seconds were measured on different machines and don't compare: "+strings.Join(slices.Sorted(maps.Keys(machines)), "; ")+".")
	}
	for _, g := range s.groups {
		for _, r := range g.rows {
			if r.timed != nil && len(r.specs) > 0 {
				of := "methods"
				if slices.ContainsFunc(r.timed.pruned, s.primary) {
					of = "the primary methods"
				}
				budget, epoch := s.seconds(r.timed)
				notes = append(notes, fmt.Sprintf("Equal seconds, %s, retention %s: the pruned runs took %.1f s without compiling (median over %s), "+
					"an epoch of full data with batch %d takes %.2f s; the control has %s.", s.spec.policy(g.policy), percent(g.rho), budget, of, r.planned.batch, epoch, counted(float64(r.planned.visits)/float64(s.planner.Visits()), "epoch")))
			}
		}
	}
	return notes
}

// counted is "1 epoch" or "2.4 epochs".
func counted(n float64, what string) string {
	text := fmt.Sprintf("%.3g %s", n, what)
	if !strings.HasPrefix(text, "1 ") {
		text += "s"
	}
	return text
}

// reconstruction is said wherever ST-Prune appears.
const reconstruction = "our reconstruction"

func (s *session) cell(r *row) Cell {
	c := Cell{Label: r.label, Roles: r.roles, Method: r.method, Reason: r.reason, Runs: []string{}, Horizon: []Horizon{}, Against: []*Against{}}
	if r.method == "st-prune" {
		c.Note = reconstruction
	}
	var runs []Outcome
	for _, id := range r.ids {
		if have := s.stored[id]; have.result != nil {
			one := Outcome{}
			one.fill(have)
			runs, c.Runs = append(runs, one), append(c.Runs, id)
		}
	}
	if len(runs) == 0 {
		return c
	}
	results := s.finished(r)
	c.MAE = spread(results, func(r *run.Result) float64 { return r.Test.Mean.MAE })
	c.RMSE = spread(results, func(r *run.Result) float64 { return r.Test.Mean.RMSE })
	c.MAPE = spread(results, func(r *run.Result) float64 { return r.Test.Mean.MAPE })
	c.IQM = stats.IQM(each(results, func(r *run.Result) float64 { return r.Test.Mean.MAE }))
	for _, h := range horizons {
		if h <= len(results[0].Test.MAE) {
			c.Horizon = append(c.Horizon, Horizon{h, spread(results, func(r *run.Result) float64 { return r.Test.MAE[h-1] })})
		}
	}
	for _, one := range runs {
		for i, from := range one.fields() {
			*c.fields()[i] += *from / float64(len(runs))
		}
	}
	return c
}

func each[T any](all []T, of func(T) float64) []float64 {
	values := make([]float64, len(all))
	for i, v := range all {
		values[i] = of(v)
	}
	return values
}

func spread[T any](all []T, of func(T) float64) Spread {
	mean, sd := stat.MeanStdDev(each(all, of), nil)
	if len(all) < 2 {
		sd = 0
	}
	return Spread{mean, sd}
}

// fill takes what a run reached; nothing when it has no result.
func (r *Outcome) fill(from stored) {
	result := from.result
	if result == nil {
		return
	}
	at := func(h int) float64 {
		e, err := result.Test.At(h)
		if err != nil { // a shorter forecast
			return 0
		}
		return e.MAE
	}
	mean := result.Test.Mean
	r.Epochs, r.BestEpoch, r.Validation = result.Epochs, result.BestEpoch, result.Validation.Mean.MAE
	r.MAE, r.RMSE, r.MAPE, r.MAE3, r.MAE6, r.MAE12 = mean.MAE, mean.RMSE, mean.MAPE, at(3), at(6), at(12)
	r.Backend, r.CPU, r.Revision = from.environment.Backend, from.environment.Processor(), from.environment.Revision

	seconds := result.Seconds
	r.Cost = Cost{
		Forwarded: float64(result.Visits + result.Forwards + result.Scoring), BackPropagated: float64(result.Visits + result.Scoring), FullEpochs: result.FullEpochs,
		OptimiserSteps: float64(result.Steps), Kept: 1, EffectiveSize: float64(result.Units),
		Seconds: Seconds{
			Compile: seconds.Compile, Steps: seconds.Steps, Selection: seconds.Selection, Scoring: seconds.Scoring, Evaluation: seconds.Evaluation,
			Saving: seconds.Saving, Total: seconds.Total, WithoutScoring: seconds.Total - seconds.Scoring,
		},
	}
	pruned, kept, effective := 0, 0, 0.0
	for _, e := range from.epochs {
		if e.Units < result.Units && !from.full {
			pruned, kept, effective = pruned+1, kept+e.Units, effective+e.Selection.EffectiveSize
		}
	}
	if pruned > 0 {
		r.Kept, r.EffectiveSize = float64(kept)/float64(pruned)/float64(result.Units), effective/float64(pruned)
	}
}

// judge compares each pruner of a group with its controls and with the others, a primary one also with all others at once: those of
// another name that are trained alike.
func (s *session) judge(g *group, out *Group) error {
	for _, role := range controls {
		var primary, others []*stats.Paired
		for i, r := range g.rows {
			control := r.against[role]
			if control == nil {
				continue
			}
			p, err := s.paired(r, control)
			if err != nil {
				return err
			}
			if p != nil {
				a := &Against{Role: role, Label: control.label, Paired: *p}
				if _, took := role.cost(out.Cells[i]); took > 0 {
					_, has := role.cost(out.Cells[slices.Index(g.rows, control)])
					a.Ratio = has / took
				}
				family := &others
				if s.primary(r) {
					family = &primary
				}
				*family = append(*family, &a.Paired)
				out.Cells[i].Against = append(out.Cells[i].Against, a)
			}
		}
		stats.Judge(primary, s.spec.Floor)
		stats.Judge(others, s.spec.Floor)
		for _, c := range out.Cells {
			for _, a := range c.Against {
				if a.Role == role && a.Ratio > 0 && math.Abs(a.Ratio-1) > equal {
					a.Verdict = Unequal
				}
			}
		}
	}
	for i, r := range g.rows {
		var family []*stats.Paired
		var rivals []stats.Paired
		for _, other := range g.rows {
			if r == other || !r.pruner || !other.pruner {
				continue
			}
			p, err := s.paired(r, other)
			if err != nil {
				return err
			}
			if p != nil {
				v := &Versus{r.label, other.label, *p}
				family = append(family, &v.Paired)
				out.Pruners = append(out.Pruners, v)
				if other.method != r.method && s.alike(r, other) {
					rivals = append(rivals, *p)
				}
			}
		}
		stats.Judge(family, s.spec.Floor)
		if s.primary(r) {
			all := stats.JudgeAll(rivals, s.spec.Floor)
			out.Cells[i].Others = &all
		}
	}
	return nil
}

// alike tells whether two rows have the same optimiser, model and schedule.
func (s *session) alike(a, b *row) bool {
	return s.planner.ID(s.like(a.specs[0])) == s.planner.ID(s.like(b.specs[0]))
}

// paired compares the test errors of two rows under the seeds that both have; nil when there are none.
func (s *session) paired(r, other *row) (*stats.Paired, error) {
	var a, b []float64
	for i := range min(len(r.ids), len(other.ids)) {
		x, y := s.stored[r.ids[i]].result, s.stored[other.ids[i]].result
		if x != nil && y != nil {
			a, b = append(a, x.Test.Mean.MAE), append(b, y.Test.Mean.MAE)
		}
	}
	if len(a) == 0 {
		return nil, nil
	}
	p, err := stats.Compare(a, b)
	if err != nil {
		return nil, fmt.Errorf("%s against %s: %w", r.label, other.label, err)
	}
	return &p, nil
}
