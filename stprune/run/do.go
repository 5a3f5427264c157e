package run

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/stprune"
	"github.com/stprune/workbench/stprune/accel"
	"github.com/stprune/workbench/stprune/backbone"
	"github.com/stprune/workbench/stprune/loss"
	"github.com/stprune/workbench/stprune/method"
	"github.com/stprune/workbench/stprune/train"
)

// Options of [Do]; the zero value is usable.
type Options struct {
	Store *Store // default NewStore("")
	// Series opens the data set that data.name means. Default: [datasets.Find] in [datasets.Folders], then [datasets.Open].
	Series func(ctx context.Context, name string) (*datasets.Series, error)
	// Backend gives the backend that backend.name means, and keeps it open: for callers that ask for many runs. Default:
	// [accel.Open] for this run, closed after it.
	Backend func(ctx context.Context, name string) (*accel.Backend, error)

	NoWait bool   // return ErrBusy instead of waiting while another process trains the run
	ID     string // refuse the run when its id is another, since data or backend here differ from those where it was asked for
	Watch  Watcher
}

// Watcher is told how a run goes on. Any of its functions may be nil; they are called one after the other.
type Watcher struct {
	Note  func(text string)    // something out of the ordinary: waiting, resuming, an altered environment
	Step  func(train.Progress) // after every optimiser step
	Epoch func(e Epoch)        // after an epoch, which is saved while the next one trains
	// Scoring is told of the steps of a static method's scoring model, before the first step of the run itself.
	Scoring func(train.Progress)
}

// noteWriter passes lines on as notes.
type noteWriter struct{ Watcher }

func (w noteWriter) Write(b []byte) (int, error) {
	w.note("%s", bytes.TrimSpace(b))
	return len(b), nil
}

func (w Watcher) note(format string, args ...any) {
	if w.Note != nil {
		w.Note(fmt.Sprintf(format, args...))
	}
}

// Do returns the run that spec describes: at once when it is finished, else after training it, or the rest of it. While
// another process trains it, Do waits for that process and takes over if it ends early.
//
// When ctx is cancelled, Do ends the step, saves, and returns the unfinished run and an error wrapping ctx's, or one wrapping
// [ErrNotSaved]. When the loss becomes NaN or infinite it returns the run and a [*train.DivergedError], and leaves the last good
// checkpoint.
func Do(ctx context.Context, spec Spec, o Options) (*Run, error) {
	start := time.Now()
	spec = spec.clone()
	if err := spec.Check(); err != nil {
		return nil, fmt.Errorf("spec: %w", err)
	}
	store := o.Store
	if store == nil {
		store = NewStore("")
	}
	sources, hash, err := o.sources(ctx, spec)
	if err != nil {
		return nil, err
	}
	backend, done, err := o.open(ctx, spec.Backend.Name)
	if err != nil {
		return nil, err
	}
	defer done() // everything is saved by then
	if spec.Backend.Name, err = resolved(spec.Backend.Name, backend.Kind); err != nil {
		return nil, err
	}

	r := &Run{ID: spec.ID(hash), Spec: spec}
	if o.ID != "" && r.ID != o.ID {
		return nil, fmt.Errorf("run %s is %s here; data or backend (%s) differ from those where it was asked for", o.ID, r.ID, spec.Backend.Name)
	}
	if r.Dir, err = filepath.Abs(filepath.Join(store.Dir, r.ID)); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if r.finished() {
		return Open(r.Dir)
	}
	if err := train.CheckDevices(backend.Backend, spec.Backend.Devices); err != nil {
		return nil, err
	}
	asked := time.Now()
	claim, err := store.claim(ctx, r.ID, !o.NoWait, func() {
		by, _ := r.Claim()
		o.Watch.note("another process is training run %s (%s); waiting for it", r.ID, by)
	})
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", r.ID, err)
	}
	defer claim.release()
	if r.finished() { // by the process we waited for
		return Open(r.Dir)
	}
	watch := o.Watch
	watch.Step = func(p train.Progress) {
		claim.at(p)
		if o.Watch.Step != nil {
			o.Watch.Step(p)
		}
	}
	s := session{
		run: r, store: store, disk: claimedDisk{store.disk, claim}, sources: sources, hash: hash, backend: backend, watch: watch,
		start: start.Add(time.Since(asked)), // others' work is not this run's
	}
	return r, s.train(ctx)
}

// sources opens the spec's data sets and cuts them into windows; hash stands for what is in all of them.
func (o Options) sources(ctx context.Context, spec Spec) (sources []train.Source, hash string, err error) {
	find := o.Series
	if find == nil {
		find = openSeries
	}
	var hashes []string
	for i, name := range append([]string{spec.Data.Name}, spec.Data.More...) {
		key := "data.name"
		if i > 0 {
			key = "data.more"
		}
		series, err := find(ctx, name)
		if err != nil {
			return nil, "", fmt.Errorf("%s = %q: %w", key, name, err)
		}
		windows, err := spec.Protocol(series.Calendar.StepsPerDay()).Apply(series)
		if err != nil {
			return nil, "", fmt.Errorf("%s = %q: %w", key, name, err)
		}
		sources = append(sources, train.Source{Series: series, Windows: windows})
		hashes = append(hashes, series.Hash())
	}
	return sources, strings.Join(hashes, " "), nil
}

// open gives a backend, and what to call when it is no longer needed.
func (o Options) open(ctx context.Context, name string) (be *accel.Backend, done func(), err error) {
	if o.Backend != nil {
		be, err = o.Backend(ctx, name)
		done = func() {}
	} else {
		be, err = accel.Open(ctx, name, noteWriter{o.Watch})
		done = func() { _ = be.Close() }
	}
	if err != nil {
		return nil, nil, fmt.Errorf("backend.name = %q: %w", name, err)
	}
	return be, done, nil
}

// BuildBackbone builds the spec's backbone for its first data set, to exchange weights with the references
// ([backbone.WriteStateDict], [backbone.ReadStateDict]). Nothing is computed.
func BuildBackbone(ctx context.Context, spec Spec, o Options) (backbone.Backbone, error) {
	if err := spec.Check(); err != nil {
		return nil, fmt.Errorf("spec: %w", err)
	}
	sources, _, err := o.sources(ctx, spec)
	if err != nil {
		return nil, err
	}
	return spec.training(0).Model(sources[0])
}

// Evaluate measures parameters, by their reference names (see [Run.Best]), on a part ([train.Train], [train.Validation] or
// [train.Test]) of the spec's data: for data that a run was not trained on, change data.name; for weights from elsewhere, any
// spec of their backbone will do. Each data set's errors are in raw units.
func Evaluate(ctx context.Context, spec Spec, params map[string][]float32, part string, o Options) ([]loss.Metrics, error) {
	if err := spec.Check(); err != nil {
		return nil, fmt.Errorf("spec: %w", err)
	}
	sources, _, err := o.sources(ctx, spec)
	if err != nil {
		return nil, err
	}
	backend, done, err := o.open(ctx, spec.Backend.Name)
	if err != nil {
		return nil, err
	}
	defer done()
	c := spec.training(0)
	c.Devices, c.Stream = 1, spec.Backend.streamed(backend.Kind, sources) // nothing is trained
	pruner, err := stprune.NewFull(c.Units(sources...))
	if err != nil {
		return nil, err
	}
	trainer, err := train.New(backend.Backend, c, pruner, sources...)
	if err != nil {
		return nil, err
	}
	defer trainer.Close()
	if err := trainer.Load(params); err != nil {
		return nil, err
	}
	_, each, _, err := trainer.Evaluate(ctx, part)
	return each, err
}

// resolved is the name of a backend of the given kind, as a run's id counts it: "go", "xla:cpu" or "xla:cuda", with the options
// that were asked for. It is an error when the backend is not what the name asks for.
func resolved(name, kind string) (string, error) {
	head, options, given := strings.Cut(name, ",")
	is := "xla:" + kind
	if kind == accel.Go {
		is = kind
	}
	fits := head == "auto" || head == is || kind != accel.Go && (head == "xla" || strings.HasPrefix(head, "xla:/"))
	if !fits {
		return "", fmt.Errorf("backend.name = %q, but the backend at hand is %s; open another one or set backend.name to auto", name, is)
	}
	if given {
		is += "," + options
	}
	return is, nil
}

func openSeries(_ context.Context, name string) (*datasets.Series, error) {
	dir, err := datasets.Find(name, nil)
	if err != nil {
		return nil, err
	}
	return datasets.Open(dir)
}

func (r *Run) finished() bool {
	_, err := r.Result()
	return err == nil
}

// session is one process's work on a run, under its claim.
type session struct {
	run     *Run
	store   *Store
	disk    disk
	sources []train.Source
	hash    string
	backend *accel.Backend
	watch   Watcher

	units   int
	config  train.Config
	begin   map[string][]float32 // parameters of model.init
	pruner  stprune.Pruner
	cost    *train.Cost // of the scoring model, if this process trained it or the rest of it
	probed  float64     // seconds that this process took for that, saving included
	trainer *train.Trainer
	scores  *recorder

	lines     []byte // epochs.jsonl
	underWay  underWay
	selection stprune.Selection // of the epoch under way
	start     time.Time
	saves     chan error // of the epoch before, or the scoring model's, while it is being saved; nil: saved
}

// underWay is what a checkpoint keeps of the epoch under way besides the states of trainer and recorder.
type underWay struct {
	stprune.Diagnostics       // of its selection
	Before              Parts `json:"before,omitzero"` // what it took in earlier processes, and besides training in this one
}

// ErrNotSaved says that an interrupted run goes on from its last checkpoint, or from the start: what was done since is lost.
var ErrNotSaved = errors.New("what was done last is not saved")

func (s *session) train(ctx context.Context) error {
	if err := s.prepareFolder(); err != nil {
		return err
	}
	if err := s.prepareTrainer(ctx); err != nil {
		return err
	}
	defer s.trainer.Close()
	if err := s.resume(); err != nil {
		return err
	}
	s.underWay.Before.Loading += time.Since(s.start).Seconds()
	err := s.choose(ctx)
	if err == nil {
		err = s.trainer.Run(ctx, train.Events{
			Plan:    s.plan,
			Observe: s.scores.observe,
			Step:    s.watch.Step,
			Epoch:   s.endEpoch,
		})
	}
	trained := err == nil
	if trained {
		err = s.finish(ctx)
	}
	saveErr := s.saved()
	if diverged := new(train.DivergedError); errors.As(err, &diverged) {
		return s.fail(errors.Join(err, saveErr), diverged)
	}
	if interrupted := err != nil && errors.Is(err, ctx.Err()); interrupted && !errors.Is(err, ErrNotSaved) {
		if saveErr == nil && !trained {
			s.underWay.Before = s.underWay.Before.Add(Parts{Seconds: s.trainer.Spent()})
			saveErr = s.checkpoint()
		}
		if saveErr == nil {
			return fmt.Errorf("run %s is saved and resumes when asked for again: %w", s.run.ID, err)
		}
		err = fmt.Errorf("%w: %w", err, ErrNotSaved)
	}
	if err = errors.Join(err, saveErr); err != nil {
		return fmt.Errorf("run %s: %w", s.run.ID, err)
	}
	return nil
}

func (s *session) path(name string) string { return filepath.Join(s.run.Dir, name) }

// prepareFolder makes the folder and writes what is known before training. The spec comes last: with it the run exists.
func (s *session) prepareFolder() error {
	for _, dir := range []string{selectionDir, scoresDir} {
		if err := os.MkdirAll(s.path(dir), 0o755); err != nil {
			return fmt.Errorf("run %s: %w", s.run.ID, err)
		}
	}
	here := currentEnvironment(s.run.Spec.Backend.Name, s.backend)
	if spec, err := Load(s.path(specFile)); err == nil && spec.ID(s.hash) == s.run.ID {
		spec.Prune.own = s.run.Spec.Prune.own
		s.run.Spec = spec
		if there, err := s.run.Environment(); err == nil && !here.computesAs(there) {
			s.watch.note("run %s was begun in another environment (%s, %s); its last bits may differ from a run in one go",
				s.run.ID, there.Go, there.Backend)
		}
		return nil
	}
	if err := s.writeJSON(environmentFile, here); err != nil {
		return err
	}
	return writeFile(s.disk, s.path(specFile), s.run.Spec.TOML())
}

// computesAs tells whether all is equal that may change a result.
func (e Environment) computesAs(o Environment) bool {
	return e.Go == o.Go && e.OS == o.OS && e.CPU == o.CPU && (e.Vector == o.Vector || e.Vector == "" || o.Vector == "") && e.Backend == o.Backend && e.PluginAPI == o.PluginAPI && maps.Equal(e.Modules, o.Modules)
}

func (s *session) prepareTrainer(ctx context.Context) error {
	spec, fail := s.run.Spec, func(err error) error { return fmt.Errorf("run %s: %w", s.run.ID, err) }
	c := spec.training(0)
	s.units = c.Units(s.sources...)
	windows := 0
	for _, source := range s.sources {
		windows += len(source.Windows.Train)
	}
	var err error
	probe := func() (*method.Probe, error) { return s.probe(ctx) }
	if s.pruner, c.PrunedBatch, err = spec.pruner(ctx, s.sources, s.units, probe); err != nil {
		return fail(err)
	}
	if s.backend.Kind != accel.CUDA { // which has memory of its own
		c.MemoryLimit = train.MachineMemory()
	}
	c.Stream = spec.Backend.streamed(s.backend.Kind, s.sources)
	s.config = c
	if s.trainer, err = train.New(s.backend.Backend, c, s.pruner, s.sources...); err != nil {
		return fail(err)
	}
	if spec.Model.Init != "" {
		if err := s.load(spec.Model.Init); err != nil {
			s.trainer.Close()
			return fail(err)
		}
	}
	s.scores = newRecorder(spec, windows, s.units/windows)
	return nil
}

// load starts from another run's best parameters.
func (s *session) load(id string) error {
	from, err := s.store.Get(id)
	if err != nil {
		return fmt.Errorf("model.init: %w", err)
	}
	best, err := from.Best()
	if err != nil {
		return fmt.Errorf("model.init: %w; ask for that run first", err)
	}
	if err := s.trainer.Load(best); err != nil {
		return fmt.Errorf("model.init = %q: %w", id, err)
	}
	s.begin = best
	return nil
}

// probe trains and measures a static method's scoring model.
func (s *session) probe(ctx context.Context) (*method.Probe, error) {
	m, err := s.run.Spec.Prune.method()
	if err != nil {
		return nil, err
	}
	options, err := m.Complete(s.run.Spec.Prune.Options)
	if err != nil {
		return nil, err
	}
	scoring := train.Scoring{Begin: s.begin, Step: s.watch.Scoring, Save: s.saveScoring}
	scoring.Epochs, _ = options["probe_epochs"].(int)
	scoring.Repeats, _ = options["probe_repeats"].(int)
	var damaged error
	if scoring.Saved, damaged, err = firstWhole(kindScoring, s.path(scoringFile)); err != nil {
		return nil, err
	}
	if damaged != nil {
		s.watch.note("run %s: what is saved of its scoring model is damaged and the start taken instead: %v", s.run.ID, damaged)
	}
	doing := "training and measuring a scoring model"
	if scoring.Saved != nil {
		doing = "resuming the scoring model"
	}
	s.watch.note("run %s: %s, from which %s chooses", s.run.ID, doing, m.Name)
	start := time.Now()
	defer func() { s.probed = time.Since(start).Seconds() }()
	p, cost, err := train.Probe(ctx, s.backend.Backend, s.config, scoring, m.Needs, s.sources...)
	if err != nil {
		return nil, err
	}
	s.cost = &cost
	return p, nil
}

// saveScoring saves the state of the scoring model under way, while it goes on.
func (s *session) saveScoring(state ...[]byte) error {
	start := time.Now()
	defer func() { s.underWay.Before.Saving += time.Since(start).Seconds() }()
	if err := s.saved(); err != nil { // the state before
		return fmt.Errorf("%w: %w", ErrNotSaved, err)
	}
	sealed := seal(kindScoring, state...)
	s.save(func() error { return writeFile(s.disk, s.path(scoringFile), sealed) })
	return nil
}

// choose lets a method that trains a scoring model choose before the first step, and saves its choice, which may have taken longer
// than many epochs. Interrupted, it begins again from the scoring model's state, and keeps the seconds.
func (s *session) choose(ctx context.Context) error {
	m, err := s.run.Spec.Prune.method()
	if err != nil {
		return err
	}
	if !m.Needs.Probed() || s.trainer.StepsDone() > 0 {
		return nil
	}
	start := time.Now()
	_, err = s.pruner.Plan(0)
	if err == nil && s.cost == nil { // it had chosen
		return nil
	}
	s.underWay.Before.Selection += time.Since(start).Seconds() - s.probed
	if err != nil {
		return fmt.Errorf("choosing units: %w", err)
	}
	s.trainer.Charge(*s.cost)
	s.underWay.Before.Seconds = s.underWay.Before.Seconds.Add(s.cost.Seconds)
	if err := errors.Join(s.saved(), s.checkpoint()); err != nil {
		return err
	}
	return s.remove(scoringFile)
}

// pruner makes the method over n units, and says how large batches are in pruned epochs.
func (s Spec) pruner(ctx context.Context, sources []train.Source, n int, probe func() (*method.Probe, error)) (p stprune.Pruner, prunedBatch int, err error) {
	m, err := s.Prune.method()
	if err != nil {
		return nil, 0, err
	}
	c := s.pruning()
	prunedBatch = s.Train.Batch
	if m.Name != "full" {
		schedule, err := c.Schedule(n)
		if err != nil {
			return nil, 0, err
		}
		prunedBatch = schedule.PrunedBatch(s.Train.Batch)
	}
	setup := method.Setup{Units: n, PerWindow: 1, Config: c, Options: s.Prune.Options, Probe: probe, Target: prunedBatch, Context: ctx}
	if s.Train.Unit != train.Window { // of one data set
		setup.PerWindow = n / len(sources[0].Windows.Train)
	}
	if m.Needs.Stationarity && c.Stationarity == "data" && c.Kappa != 0 {
		var z []float32
		for _, source := range sources {
			series, w := source.Series, source.Windows
			perDay := series.Calendar.StepsPerDay()
			part, err := stprune.ProfileStationarity(series.Values, series.N, series.Valid,
				func(t int) int { return series.Calendar.DayOfWeek(t)*perDay + series.Calendar.TimeOfDay(t) },
				w.Train, w.History+w.Horizon, s.Train.Unit == train.Pair)
			if err != nil {
				return nil, 0, err
			}
			z = append(z, part...)
		}
		share := int32(1) // units that have one in common: the blocks of a window
		if s.Train.Unit == train.Block {
			share = int32(setup.PerWindow)
		}
		setup.Stationarity = func(id int32) float32 { return z[id/share] }
	}
	if len(sources) > 1 {
		for _, source := range sources {
			setup.Groups = append(setup.Groups, len(source.Windows.Train))
		}
	}
	p, err = m.Make(setup)
	return p, prunedBatch, err
}

// resume takes the latest good checkpoint, if there is any.
func (s *session) resume() error {
	payload, damaged, err := loadCheckpoint(s.run.Dir)
	if err != nil {
		return fmt.Errorf("run %s: %w", s.run.ID, err)
	}
	if damaged != nil {
		s.watch.note("run %s: a checkpoint is damaged and an older one, or the start, taken instead: %v", s.run.ID, damaged)
	}
	if payload == nil {
		return nil
	}
	planned, scores, state, err := splitCheckpoint(payload)
	if err == nil {
		err = errors.Join(json.Unmarshal(planned, &s.underWay), s.scores.restore(scores))
	}
	if err == nil {
		err = s.trainer.UnmarshalBinary(state)
	}
	if err == nil {
		s.lines, err = s.completed(s.trainer.Epoch())
	}
	if err != nil {
		return fmt.Errorf("run %s: its checkpoint cannot be used: %w; remove the run and ask for it again", s.run.ID, err)
	}
	s.watch.note("run %s resumes after epoch %d, step %d", s.run.ID, s.trainer.Epoch(), s.trainer.StepsDone())
	return nil
}

// completed are the first lines of epochs.jsonl. Lines of epochs after the checkpoint, saved just before the process ended,
// are written again.
func (s *session) completed(epochs int) ([]byte, error) {
	text, err := os.ReadFile(s.path(epochsFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	end := 0
	for e := range epochs {
		line := bytes.IndexByte(text[end:], '\n')
		if line < 0 {
			return nil, fmt.Errorf("%s has %d of %d epochs", epochsFile, e, epochs)
		}
		end += line + 1
	}
	return text[:end:end], nil
}

// plan keeps what an epoch is going to visit. A resumed epoch comes without diagnostics, which the checkpoint has.
func (s *session) plan(_ int, selection stprune.Selection) {
	s.selection = selection
	if selection.Diagnostics != (stprune.Diagnostics{}) {
		s.underWay.Diagnostics = selection.Diagnostics
	}
}

// endEpoch saves a completed epoch. The checkpoint comes last: what was written before it is written again, to the same
// bits, when the process ends in between.
func (s *session) endEpoch(report train.EpochReport) error {
	start := time.Now()
	if err := s.saved(); err != nil { // the epoch before
		return err
	}
	if report.Chosen != nil {
		s.selection.Diagnostics = s.underWay.Diagnostics
		s.selection = trainedOn(report.Chosen, s.selection)
		s.underWay.Diagnostics = s.selection.Diagnostics
	}
	e := Epoch{
		Epoch: report.Epoch, Units: report.Units, Share: float64(report.Units) / float64(s.units), Steps: report.Steps,
		Visits: report.Visits, Forwards: report.Forwards, Loss: report.Loss, LR: report.LR,
		Validation: report.Validation, Best: report.Best, Selection: s.underWay.Diagnostics, Seconds: s.underWay.Before.Add(Parts{Seconds: report.Seconds}),
	}
	kept, err := encodeKept(Kept{Units: s.units, PerWindow: s.scores.perWindow, Selection: s.selection})
	if err != nil {
		return err
	}
	s.scores.endEpoch()
	scores := encodeScores(s.scores.scores())
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("epoch %d has a number that is not finite (%w); lower the learning rate or clip the gradient", e.Epoch, err)
	}
	s.lines = append(append(s.lines, line...), '\n')
	s.underWay, s.selection = underWay{}, stprune.Selection{}
	checkpoint, err := s.encode()
	if err != nil {
		return err
	}
	files := []fileToSave{
		{epochPath(s.run.Dir, selectionDir, e.Epoch), seal(kindSelection, kept)},
		{epochPath(s.run.Dir, scoresDir, e.Epoch), seal(kindScores, scores)},
		{s.path(epochsFile), s.lines},
	}
	s.save(func() error { // while the next epoch trains
		for _, f := range files {
			if err := writeFile(s.disk, f.path, f.data); err != nil {
				return err
			}
		}
		return writeRotating(s.disk, s.path(checkpointFile), checkpoint)
	})
	s.underWay.Before.Saving = time.Since(start).Seconds()
	if s.watch.Epoch != nil {
		s.watch.Epoch(e)
	}
	return nil
}

type fileToSave struct {
	path string
	data []byte
}

// save saves in the background.
func (s *session) save(write func() error) {
	done := make(chan error, 1)
	s.saves = done
	go func() { done <- write() }()
}

// saved waits until what is being saved is on disk.
func (s *session) saved() error {
	if s.saves == nil {
		return nil
	}
	err := <-s.saves
	s.saves = nil
	return err
}

// checkpoint saves everything that the rest of the run depends on.
func (s *session) checkpoint() error {
	data, err := s.encode()
	if err != nil {
		return err
	}
	return writeRotating(s.disk, s.path(checkpointFile), data)
}

// encode is what a checkpoint holds.
func (s *session) encode() ([]byte, error) {
	state, err := s.trainer.MarshalBinary()
	if err != nil {
		return nil, err
	}
	planned, err := json.Marshal(s.underWay)
	if err != nil {
		return nil, fmt.Errorf("saving what is under way: %w", err)
	}
	return seal(kindCheckpoint, checkpointParts(planned, s.scores.appendState(nil), state)...), nil
}

// finish tests the best parameters and writes the result, with which the run counts as finished.
func (s *session) finish(ctx context.Context) error {
	test, each, seconds, err := s.trainer.Evaluate(ctx, train.Test)
	if err != nil {
		return err
	}
	start := time.Now()
	if err := s.saved(); err != nil {
		return err
	}
	best, err := s.trainer.Named()
	if err != nil {
		return err
	}
	if err := writeFile(s.disk, s.path(bestFile), seal(kindBest, encodeParameters(best))); err != nil {
		return err
	}
	epochs, err := s.run.Epochs()
	if err != nil {
		return err
	}
	all := 0.0 // windows × nodes
	for _, source := range s.sources {
		all += float64(len(source.Windows.Train)) * float64(source.Series.N)
	}
	result := Result{
		ID: s.run.ID, Data: s.hash, Parameters: s.trainer.Parameters(), Units: s.units,
		Epochs: len(epochs), Steps: s.trainer.StepsDone(), Visits: s.trainer.Visits(),
		FullEpochs: float64(s.trainer.Visits()) / all, Forwards: s.trainer.Forwards(), Scoring: s.trainer.ScoringVisits(),
		BestEpoch: s.trainer.BestEpoch(), Test: test,
		Seconds: Seconds{Parts: s.underWay.Before.Add(Parts{Seconds: seconds})}, PeakMemory: PeakMemory(),
	}
	if len(each) > 1 {
		result.Tests = each
	}
	for _, e := range epochs {
		result.Seconds.Parts = result.Seconds.Add(e.Seconds)
		if e.Epoch == result.BestEpoch {
			result.Validation = *e.Validation
		}
	}
	result.Seconds.Saving += time.Since(start).Seconds()
	result.Seconds.Total = result.Seconds.Parts.Total()
	if err := s.remove(checkpointFile+previous, failureFile, scoringFile); err != nil {
		return err
	}
	return s.writeJSON(resultFile, result)
}

// remove removes those of the files that are there.
func (s *session) remove(names ...string) error {
	for _, name := range names {
		if err := s.disk.Remove(s.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Failure says where a run's loss became NaN or infinite.
type Failure struct {
	Epoch     int     `json:"epoch"` // from 1
	Step      int     `json:"step"`  // of the run, from 1
	Loss      string  `json:"loss"`
	Units     []int32 `json:"units"`      // the batch
	PerWindow int     `json:"per_window"` // unit = window·PerWindow + node
}

func (s *session) fail(why error, d *train.DivergedError) error {
	err := s.writeJSON(failureFile, Failure{Epoch: d.Epoch, Step: d.Step, Loss: fmt.Sprint(d.Loss), Units: d.Units, PerWindow: s.scores.perWindow})
	return fmt.Errorf("run %s stops, its last good checkpoint is kept: %w", s.run.ID, errors.Join(why, err))
}

func (s *session) writeJSON(name string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("saving %s: %w", s.path(name), err)
	}
	return writeFile(s.disk, s.path(name), append(text, '\n'))
}
