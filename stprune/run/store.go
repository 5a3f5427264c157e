package run

import (
	"bytes"
	"cmp"
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
	"time"

	"github.com/stprune/workbench/stprune"
	"github.com/stprune/workbench/stprune/loss"
	"github.com/stprune/workbench/stprune/train"
)

// Store is a folder of runs, each in a folder named by its id. Any number of processes, on any number of machines, may share it: see
// [Claim].
type Store struct {
	Dir  string
	disk disk

	// For tests: other times than StaleAfter and beatEvery, and a machine where no process of this one is known.
	stale, beat time.Duration
	machine     string
}

// NewStore uses the folder dir, which need not exist yet. With dir empty it is STPRUNE_RUNS, or ./runs when that is not set.
func NewStore(dir string) *Store {
	return &Store{Dir: cmp.Or(dir, os.Getenv("STPRUNE_RUNS"), "runs"), disk: osDisk{}}
}

// Files of a run's folder.
const (
	specFile        = "spec.toml"
	environmentFile = "environment.json"
	epochsFile      = "epochs.jsonl"
	checkpointFile  = "checkpoint"
	scoringFile     = "scoring"
	bestFile        = "best"
	resultFile      = "result.json"
	failureFile     = "failure.json"
	selectionDir    = "selections"
	scoresDir       = "scores"
)

// Status of a run.
type Status string

// A run is being trained by some process, or has ended in one of three ways.
const (
	Running     Status = "running"
	Finished    Status = "finished"
	Interrupted Status = "interrupted" // asking for it again resumes it
	Diverged    Status = "diverged"    // its loss became NaN or infinite; asking again starts from its last good checkpoint
)

// Run is a run's folder. Reading needs no lock: files are replaced as a whole, also while the run is being trained.
type Run struct {
	ID   string
	Dir  string
	Spec Spec
}

// ErrNoRun says that there is no such run.
var ErrNoRun = errors.New("no such run")

// ErrUnfinished says that a run has no result yet.
var ErrUnfinished = errors.New("the run is not finished")

// ErrBusy says that another process is training the run.
var ErrBusy = errors.New("another process is training this run")

// Open reads a run's folder.
func Open(dir string) (*Run, error) {
	spec, err := Load(filepath.Join(dir, specFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w: it holds no %s", dir, ErrNoRun, specFile)
	}
	if err != nil {
		return nil, err
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("run: %w", err)
	}
	return &Run{ID: filepath.Base(abs), Dir: abs, Spec: spec}, nil
}

// Epoch is one line of a run's epochs.
type Epoch struct {
	Epoch      int                 `json:"epoch"`      // from 1
	Units      int                 `json:"units"`      // trained on in this epoch
	Share      float64             `json:"share"`      // Units of all training units
	Steps      int                 `json:"steps"`      // optimiser steps of this epoch
	Visits     int64               `json:"visits"`     // windows × nodes trained on so far
	Forwards   int64               `json:"forwards"`   // windows × nodes passed forward only, so far
	Loss       float64             `json:"loss"`       // mean training loss, raw units
	LR         float64             `json:"lr"`         // learning rate of the last step
	Validation *loss.Metrics       `json:"validation"` // nil when this epoch was not validated
	Best       bool                `json:"best"`       // the validation is the best so far
	Selection  stprune.Diagnostics `json:"selection"`
	Seconds    Parts               `json:"seconds"`
}

// Result is what a finished run reached.
type Result struct {
	ID         string       `json:"id"`
	Data       string       `json:"data"`           // content hash of the data
	Parameters int          `json:"parameters"`     // trained values of the model
	Units      int          `json:"units"`          // training units
	Epochs     int          `json:"epochs"`         //
	Steps      int          `json:"steps"`          // optimiser steps
	Visits     int64        `json:"visits"`         // windows × nodes trained on
	FullEpochs float64      `json:"full_epochs"`    // Visits in epochs of all data
	Forwards   int64        `json:"forwards"`       // windows × nodes passed forward only, to choose among units; not in Visits
	Scoring    int64        `json:"scoring_visits"` // windows × nodes that a static method's scoring model was trained on; not in Visits
	BestEpoch  int          `json:"best_epoch"`     // of the best validation
	Validation loss.Metrics `json:"validation"`     // of the best epoch
	Test       loss.Metrics `json:"test"`           // with the parameters of the best epoch
	// Tests are the errors on each data set, data.name's and data.more's in order, in raw units, when there are several. Test and
	// Validation are then of all together, in units of each set's standard deviation.
	Tests      []loss.Metrics `json:"tests,omitempty"`
	Seconds    Seconds        `json:"seconds"`
	PeakMemory int64          `json:"peak_memory"` // bytes of the process that finished the run; 0 when unknown
}

// Parts splits seconds by the clock, in all processes that saved some of the work. Scoring is what choosing took beyond training;
// compiling for it is in Compile.
type Parts struct {
	train.Seconds
	Loading float64 `json:"loading"` // data, backend and model; with an epoch those of the processes that began or resumed the run in it
	Saving  float64 `json:"saving"`  // as far as training waited for it; with an epoch that for the one before
}

// Add sums the parts.
func (p Parts) Add(o Parts) Parts {
	return Parts{p.Seconds.Add(o.Seconds), p.Loading + o.Loading, p.Saving + o.Saving}
}

// Total is the sum of the parts.
func (p Parts) Total() float64 { return p.Seconds.Total() + p.Loading + p.Saving }

// Seconds of a run.
type Seconds struct {
	Parts
	Total float64 `json:"total"` // sum of the parts
}

// Epochs reads the completed epochs, in order; none when the run has just begun.
func (r *Run) Epochs() ([]Epoch, error) {
	text, err := os.ReadFile(filepath.Join(r.Dir, epochsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", r.ID, err)
	}
	var epochs []Epoch
	for i, line := range bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n")) {
		var e Epoch
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("run %s: %s line %d: %w; remove the run and ask for it again", r.ID, epochsFile, i+1, err)
		}
		if e.Epoch != i+1 {
			return nil, fmt.Errorf("run %s: %s line %d is of epoch %d; remove the run and ask for it again", r.ID, epochsFile, i+1, e.Epoch)
		}
		epochs = append(epochs, e)
	}
	return epochs, nil
}

// Selection reads which units an epoch (from 1) visited.
func (r *Run) Selection(epoch int) (Kept, error) {
	return readEpochFile(r, selectionDir, kindSelection, epoch, decodeKept)
}

// Scores reads how hard windows and nodes were by the end of an epoch (from 1).
func (r *Run) Scores(epoch int) (Scores, error) {
	return readEpochFile(r, scoresDir, kindScores, epoch, decodeScores)
}

func epochPath(dir, folder string, epoch int) string {
	return filepath.Join(dir, folder, fmt.Sprintf("%05d", epoch))
}

func readEpochFile[T any](r *Run, folder, kind string, epoch int, decode func([]byte) (T, error)) (T, error) {
	var none T
	path := epochPath(r.Dir, folder, epoch)
	payload, err := readSealed(kind, path)
	if errors.Is(err, fs.ErrNotExist) {
		return none, fmt.Errorf("run %s: epoch %d has no %s; its epochs count from 1", r.ID, epoch, folder)
	}
	if err != nil {
		return none, fmt.Errorf("run %s: %w", r.ID, err)
	}
	v, err := decode(payload)
	if err != nil {
		return none, fmt.Errorf("run %s: %s: %w", r.ID, path, err)
	}
	return v, nil
}

// Best reads the parameters of the best validation by name, flattened in the reference's layout. It is an error wrapping
// [ErrUnfinished] before the run is finished.
func (r *Run) Best() (map[string][]float32, error) {
	payload, err := readSealed(kindBest, filepath.Join(r.Dir, bestFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("run %s: %w", r.ID, ErrUnfinished)
	}
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", r.ID, err)
	}
	params, err := decodeParameters(payload)
	if err != nil {
		return nil, fmt.Errorf("run %s: %s: %w", r.ID, bestFile, err)
	}
	return params, nil
}

// Result reads what the run reached. It is an error wrapping [ErrUnfinished] before the run is finished.
func (r *Run) Result() (*Result, error) {
	text, err := os.ReadFile(filepath.Join(r.Dir, resultFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("run %s: %w", r.ID, ErrUnfinished)
	}
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", r.ID, err)
	}
	var result Result
	if err := json.Unmarshal(text, &result); err != nil {
		return nil, fmt.Errorf("run %s: %s: %w; remove the run and ask for it again", r.ID, resultFile, err)
	}
	return &result, nil
}

// Failure reads where a diverged run stopped.
func (r *Run) Failure() (*Failure, error) {
	var f Failure
	text, err := os.ReadFile(filepath.Join(r.Dir, failureFile))
	if err == nil {
		err = json.Unmarshal(text, &f)
	}
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", r.ID, err)
	}
	return &f, nil
}

// Fault says of a diverged run where its loss stopped being finite, and how to have it trained anew; of other runs nothing.
func (r *Run) Fault() string {
	f, err := r.Failure()
	if err != nil || r.Status() != Diverged {
		return ""
	}
	return fmt.Sprintf("diverged: loss %s at step %d, in epoch %d; as it would again: after 'stprune runs rm %s' it is trained anew", f.Loss, f.Step, f.Epoch, r.ID)
}

// Environment reads where the run was trained.
func (r *Run) Environment() (Environment, error) {
	var e Environment
	text, err := os.ReadFile(filepath.Join(r.Dir, environmentFile))
	if err == nil {
		err = json.Unmarshal(text, &e)
	}
	if err != nil {
		return e, fmt.Errorf("run %s: %w", r.ID, err)
	}
	return e, nil
}

// Status tells whether the run is finished, being trained, or waits to be resumed.
func (r *Run) Status() Status {
	exists := func(name string) bool {
		_, err := os.Stat(filepath.Join(r.Dir, name))
		return err == nil
	}
	if exists(resultFile) {
		return Finished
	}
	_, held := r.Claim()
	switch {
	case held:
		return Running
	case exists(failureFile):
		return Diverged
	}
	return Interrupted
}

var idForm = regexp.MustCompile(`^[0-9a-f]{16}$`)

// Get opens the run whose id begins with the given digits; they must fit exactly one.
func (s *Store) Get(id string) (*Run, error) {
	ids, err := s.ids()
	if err != nil {
		return nil, err
	}
	var fits []string
	for _, have := range ids {
		if id != "" && strings.HasPrefix(have, id) {
			fits = append(fits, have)
		}
	}
	switch len(fits) {
	case 0:
		return nil, fmt.Errorf("run %q in %s: %w; `stprune runs list` shows them", id, s.Dir, ErrNoRun)
	case 1:
		return Open(filepath.Join(s.Dir, fits[0]))
	}
	return nil, fmt.Errorf("run %q in %s: %d runs begin so; give more digits", id, s.Dir, len(fits))
}

func (s *Store) ids() ([]string, error) {
	entries, err := os.ReadDir(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	var ids []string
	for _, e := range entries {
		if e.IsDir() && idForm.MatchString(e.Name()) {
			ids = append(ids, e.Name())
		}
	}
	return ids, nil
}

// List opens all runs that fit every filter, oldest first. Filters are conditions such as "prune.rho<0.1", "name=first try" or
// "status=finished", see [ParseFilter].
func (s *Store) List(filters ...string) ([]*Run, error) {
	ids, err := s.ids()
	if err != nil {
		return nil, err
	}
	var all []*Run
	made := map[*Run]time.Time{}
	for _, id := range ids {
		info, err := os.Stat(filepath.Join(s.Dir, id, specFile))
		if errors.Is(err, fs.ErrNotExist) { // just being made, or removed
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("store: %w", err)
		}
		r, err := Open(filepath.Join(s.Dir, id))
		if err != nil {
			return nil, err
		}
		all, made[r] = append(all, r), info.ModTime()
	}
	slices.SortStableFunc(all, func(a, b *Run) int { return made[a].Compare(made[b]) })
	keys := Keys(all...)
	for _, text := range filters {
		f, err := ParseFilter(text, keys)
		if err != nil {
			return nil, err
		}
		var fitting []*Run
		for _, r := range all {
			fits, err := f.Fits(r)
			if err != nil {
				return nil, err
			}
			if fits {
				fitting = append(fitting, r)
			}
		}
		all = fitting
	}
	return all, nil
}

// Remove deletes a run. It is an error wrapping [ErrBusy] while a process trains it.
func (s *Store) Remove(id string) error {
	r, err := s.Get(id)
	if err != nil {
		return err
	}
	claim, err := s.claim(context.Background(), r.ID, false, nil)
	if err != nil {
		return fmt.Errorf("removing run %s: %w", r.ID, err)
	}
	defer claim.release()
	// Renamed first, so that a removal cut short leaves no half run behind.
	trash := filepath.Join(s.Dir, removed+r.ID)
	if err := errors.Join(os.RemoveAll(trash), os.Rename(r.Dir, trash), os.RemoveAll(trash)); err != nil {
		return fmt.Errorf("removing run %s: %w", r.ID, err)
	}
	return nil
}
