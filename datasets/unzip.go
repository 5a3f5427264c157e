package datasets

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// ErrArchive is wrapped by the errors of archives that are refused.
var ErrArchive = errors.New("archive refused")

// unzipLimits keep an archive from filling the disk. What counts is what comes out, not what the archive says.
type unzipLimits struct {
	bytes int64 // of all files
	files int
	ratio int64 // of unpacked to packed bytes; text packs about 20:1, a bomb 1000:1 and more
}

var defaultUnzipLimits = unzipLimits{bytes: 64 << 30, files: 10_000, ratio: 200}

// unzip unpacks an archive into dir and returns the names of its files, slash-separated. Names that leave dir, links and
// special files, two files of one name, and more than the limits allow are refused; what was unpacked before stays in dir,
// which the caller removes.
func unzip(ctx context.Context, archive, dir string, limits unzipLimits) ([]string, error) {
	refuse := func(format string, args ...any) ([]string, error) {
		return nil, fmt.Errorf("%s: %w: %w", archive, ErrArchive, fmt.Errorf(format, args...))
	}
	z, err := zip.OpenReader(archive)
	if err != nil {
		return refuse("%w", err)
	}
	defer z.Close()
	if len(z.File) > limits.files {
		return refuse("%d files; at most %d are accepted", len(z.File), limits.files)
	}
	left := min(limits.bytes, max(1<<20, limits.ratio*size(archive)))
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	var names []string
	for _, f := range z.File {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		name := strings.TrimSuffix(f.Name, "/")
		if strings.Contains(name, `\`) || !filepath.IsLocal(name) || path.Clean(name) != name {
			return refuse("file name %q leaves the archive's folder", f.Name)
		}
		if f.FileInfo().IsDir() {
			continue
		}
		if !f.Mode().IsRegular() {
			return refuse("%q is %s; only plain files are accepted", f.Name, f.Mode().Type())
		}
		if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
			return nil, err
		}
		n, err := unzipFile(root, name, f, left)
		if err != nil {
			return refuse("%q: %w", f.Name, err)
		}
		left -= n
		names = append(names, name)
	}
	return names, nil
}

func unzipFile(root *os.Root, name string, f *zip.File, most int64) (int64, error) {
	in, err := f.Open()
	if err != nil {
		return 0, err
	}
	defer in.Close()
	out, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(out, io.LimitReader(in, most+1))
	if err = errors.Join(err, out.Close()); err != nil {
		return n, err
	}
	if n > most {
		return n, errors.New("it unpacks to more than its archive's size explains")
	}
	return n, nil
}
