package datasets

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// downloadsFolder keeps what was downloaded until its data set is saved; it lies among the data sets, so that it is on the same disk.
const downloadsFolder = ".downloads"

// Get brings a public data set of the [Catalogue] into a folder of data sets ("" is the first of [Folders]): its files are
// downloaded, compared with the checksums of their publishers, imported and saved as folder/name. What is there already is
// opened. After a failure or cancellation the downloads stay, so that asking again goes on from there. For sets that no program
// can download the error is a [ByHandError], which says where to get them and how to import them.
//
// progress, if not nil, is told how far each file is.
func Get(ctx context.Context, name, folder string, progress Progress) (*Series, error) {
	if folder == "" {
		folder = Folders()[0]
	}
	if dir := filepath.Join(folder, name); filepath.IsLocal(name) && isDataset(dir) {
		return Open(dir)
	}
	var names []string
	for _, e := range Catalogue() {
		if e.Name == name {
			return newDownloader().dataset(ctx, e, folder, progress)
		}
		names = append(names, e.Name)
	}
	hint := "; there are " + strings.Join(names, ", ")
	if near := nearNames(name, names); len(near) > 0 {
		hint = "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return nil, fmt.Errorf("%w: no public data set %q%s", ErrNotFound, name, hint)
}

// dataset downloads, imports and saves an entry.
func (d *downloader) dataset(ctx context.Context, e Entry, folder string, progress Progress) (*Series, error) {
	if len(e.Files) == 0 {
		return nil, &ByHandError{e}
	}
	downloads := filepath.Join(folder, downloadsFolder, e.Name)
	for _, r := range e.Files {
		if err := d.get(ctx, downloads, r, progress); err != nil {
			if ctx.Err() == nil {
				err = fmt.Errorf("%w; ask again later, or bring the file to %s by other means and ask again", err, downloads)
			}
			return nil, err
		}
	}
	o, err := e.options(downloads)
	if err != nil {
		return nil, err
	}
	o.Progress = progress
	s, err := Import(ctx, filepath.Join(downloads, e.file), o)
	if err != nil {
		return nil, fmt.Errorf("importing %s: %w", e.Name, err)
	}
	if s.T != e.T || s.N != e.N {
		return nil, fmt.Errorf("%s has %d steps × %d nodes, but %d × %d were published; the publisher's file may have changed. To have it all the same:\n  %s",
			e.Name, s.T, s.N, e.T, e.N, e.ImportCommand(downloads))
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := Save(filepath.Join(folder, e.Name), s, Card{Licence: e.Licence, Source: e.Source}); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(downloads); err != nil {
		return nil, err
	}
	_ = os.Remove(filepath.Dir(downloads)) // it stays while there are others
	return s, nil
}

// options are what [Entry.ImportCommand] says on the command line.
func (e Entry) options(dir string) (ImportOptions, error) {
	o := ImportOptions{Name: e.Name, Unit: e.Unit, Step: e.Step, Key: e.key, Channel: e.channel}
	missing, err := strconv.ParseFloat(e.missing, 32)
	if err != nil {
		return o, fmt.Errorf("catalogue: %s: missing value %q", e.Name, e.missing)
	}
	o.Missing = float32(missing)
	if e.start != "" {
		if o.Start, err = ParseTime(e.start); err != nil {
			return o, fmt.Errorf("catalogue: %s: %w", e.Name, err)
		}
	}
	for _, f := range []struct {
		to   *string
		file string
	}{{&o.Graph, e.graph}, {&o.Coords, e.coords}, {&o.NodeIDs, e.nodes}} {
		if f.file == "" {
			continue
		}
		if !slices.ContainsFunc(e.Files, func(r Remote) bool { return r.Name == f.file }) {
			return o, fmt.Errorf("catalogue: %s: %s is not among its files", e.Name, f.file)
		}
		*f.to = filepath.Join(dir, f.file)
	}
	return o, nil
}
