// Package export writes stored runs for other programs: tables as CSV and Parquet, TensorBoard's event files, and the files of
// MLflow's file store.
//
// What it writes depends on the runs alone (MLflow's also on where it is written), and is there as a whole or not at all.
package export

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stprune/workbench/stprune/run"
)

// Formats of an export. The first two are files, the others folders.
const (
	CSV         = "csv"
	Parquet     = "parquet"
	TensorBoard = "tensorboard"
	MLflow      = "mlflow"
)

// Formats lists them.
func Formats() []string { return []string{CSV, Parquet, TensorBoard, MLflow} }

// Options of [Write].
type Options struct {
	Format string // of [Formats]; default: what the path ends in, .csv or .parquet
	Epochs bool   // tables have a row an epoch instead of a row a run
	Force  bool   // replace what is there: a file, or a folder that an export wrote
}

// Check tells whether the options fit together and to the path.
func (o Options) Check(path string) error {
	_, err := o.format(path)
	return err
}

// format is the format that is asked for.
func (o Options) format(path string) (string, error) {
	format := o.Format
	if format == "" {
		format = strings.TrimPrefix(strings.ToLower(filepath.Ext(path)), ".")
		if format != CSV && format != Parquet {
			return "", fmt.Errorf("%s ends in neither .csv nor .parquet; name a format: %s", path, strings.Join(Formats(), ", "))
		}
	}
	if !slices.Contains(Formats(), format) {
		return "", fmt.Errorf("format %q; there are %s", format, strings.Join(Formats(), ", "))
	}
	if o.Epochs && format != CSV && format != Parquet {
		return "", fmt.Errorf("format %s has runs and epochs together; rows of epochs are for csv and parquet", format)
	}
	return format, nil
}

// Write exports runs, in their order, to a file or folder.
func Write(ctx context.Context, path string, runs []*run.Run, o Options) error {
	fail := func(err error) error { return fmt.Errorf("export: %w", err) }
	format, err := o.format(path)
	if err != nil {
		return fail(err)
	}
	path, err = filepath.Abs(path)
	if err != nil {
		return fail(err)
	}
	folder := format == TensorBoard || format == MLflow
	if err := mayWrite(path, folder, o.Force); err != nil { // before the work
		return fail(err)
	}
	files := map[string][]byte{}
	switch {
	case folder:
		add := tensorBoard
		if format == MLflow {
			add = mlflow
		}
		err = add(ctx, path, runs, files)
		files[marker] = []byte(format + "\n")
	default:
		var t *table
		if t, err = newTable(ctx, runs, o.Epochs); err == nil {
			encode := t.csv
			if format == Parquet {
				encode = t.parquet
			}
			files[""], err = encode()
		}
	}
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = place(path, files, o.Force)
	}
	if err != nil {
		return fail(err)
	}
	return nil
}

// marker is in every folder that an export wrote. No other folder is ever replaced.
const marker = ".stprune-export"

func mayWrite(path string, folder, force bool) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !force {
		return fmt.Errorf("%s exists; choose another name, or force replacing it", path)
	}
	if !folder && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no file; choose another name", path)
	}
	if folder {
		if _, err := os.Lstat(filepath.Join(path, marker)); err != nil || !info.IsDir() {
			return fmt.Errorf("%s was not written by an export and is not replaced; choose another name", path)
		}
	}
	return nil
}

// place puts a file (its name in files is empty) or a folder of files at path, as a whole.
func place(path string, files map[string][]byte, force bool) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*.partial")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	fresh, old := filepath.Join(temp, "new"), filepath.Join(temp, "old")
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := write(filepath.Join(fresh, name), files[name]); err != nil {
			return fmt.Errorf("%w; check the space and the rights there", err)
		}
	}
	_, single := files[""]
	if err := mayWrite(path, !single, force); err != nil { // somebody may have come first
		return err
	}
	had := false
	if !single {
		if err := os.Rename(path, old); err == nil {
			had = true
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := os.Rename(fresh, path); err != nil {
		if had {
			err = errors.Join(err, os.Rename(old, path))
		}
		return err
	}
	return nil
}

func write(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
