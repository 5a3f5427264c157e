package datasets

import (
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// Remote is a file of a public data set.
type Remote struct {
	Name string // on disk
	URL  string
	// Checksum as its publisher gives it: "sha256:…", "md5:…", or "git:…", the object id of a file in a git repository. Empty
	// when none is published.
	Checksum string
}

// Progress is told how many bytes of a file are here; total is 0 while unknown.
type Progress func(file string, done, total int64)

// downloader fetches files over HTTP.
type downloader struct {
	client *http.Client
	most   int64         // bytes of one file
	tries  int           // in a row without a new byte
	pause  time.Duration // before the second try; doubles
	idle   time.Duration // without a byte after which a connection is given up
}

func newDownloader() *downloader {
	return &downloader{
		client: &http.Client{CheckRedirect: func(to *http.Request, via []*http.Request) error {
			if len(via) >= 10 {
				return errors.New("more than 10 redirects")
			}
			if via[0].URL.Scheme == "https" && to.URL.Scheme != "https" {
				return fmt.Errorf("redirected from https to %s", to.URL)
			}
			return nil
		}},
		most: 64 << 30, tries: 5, pause: time.Second, idle: time.Minute,
	}
}

// errPermanent marks what trying again won't mend.
var errPermanent = errors.New("download refused")

// get fetches r into dir/r.Name: after success the file is complete and its checksum right, otherwise it is absent. What has
// come stays in r.Name.partial, and the next get goes on from there if the server can and the file there is still the same.
func (d *downloader) get(ctx context.Context, dir string, r Remote, progress Progress) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	path := filepath.Join(dir, r.Name)
	lock := flock.New(path + ".lock")
	locked, err := lock.TryLock()
	if err != nil {
		return err
	}
	if !locked {
		return fmt.Errorf("%s is being downloaded by another process", path)
	}
	defer lock.Unlock() //nolint:errcheck // released with the process at the latest

	if _, err := os.Stat(path); err == nil {
		if err := verifyFile(path, r.Checksum); err == nil {
			return nil
		}
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	pause := d.pause
	for failures := 0; ; {
		before := size(path + ".partial")
		err := d.attempt(ctx, path, r, progress)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return fmt.Errorf("downloading %s: %w; ask again to go on from %d bytes", r.Name, ctx.Err(), size(path+".partial"))
		}
		if failures++; size(path+".partial") > before {
			failures, pause = 1, d.pause
		}
		if errors.Is(err, errPermanent) || errors.Is(err, fs.ErrPermission) || failures >= d.tries {
			return fmt.Errorf("downloading %s from %s: %w", r.Name, r.URL, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause *= 2
	}
	if err := verifyFile(path+".partial", r.Checksum); err != nil {
		return errors.Join(fmt.Errorf("downloading %s from %s: %w; the publisher's file may have changed", r.Name, r.URL, err), d.forget(path))
	}
	if err := os.Rename(path+".partial", path); err != nil {
		return err
	}
	return errors.Join(d.forget(path), syncFolder(dir))
}

// forget removes what a download left beside its file.
func (d *downloader) forget(path string) error {
	for _, end := range []string{".partial", ".validator"} {
		if err := os.Remove(path + end); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func size(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// attempt makes one request for what is missing of path.partial. It returns nil when the file is complete.
func (d *downloader) attempt(ctx context.Context, path string, r Remote, progress Progress) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	idle := time.AfterFunc(d.idle, cancel)
	defer idle.Stop()

	have := size(path + ".partial")
	validator, _ := os.ReadFile(path + ".validator")
	if len(validator) == 0 {
		have = 0 // nothing says that the rest would be of the same file
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL, nil)
	if err != nil {
		return errors.Join(errPermanent, err)
	}
	request.Header.Set("Accept-Encoding", "identity") // ranges and checksums are of the file itself
	if have > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
		request.Header.Set("If-Range", string(validator))
	}
	response, err := d.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()

	total := int64(0)
	switch response.StatusCode {
	case http.StatusOK: // from the start: the first request, no support for ranges, or the file has changed
		have, total = 0, max(0, response.ContentLength)
	case http.StatusPartialContent:
		from, all, ok := contentRange(response.Header.Get("Content-Range"))
		if !ok || from != have {
			return errors.Join(fmt.Errorf("asked for bytes from %d on, but got %q", have, response.Header.Get("Content-Range")), d.forget(path))
		}
		total = all
	case http.StatusRequestedRangeNotSatisfiable:
		if _, all, ok := contentRange(response.Header.Get("Content-Range")); ok && all == have {
			return nil
		}
		return errors.Join(errors.New("what is here is longer than the file"), d.forget(path))
	case http.StatusTooManyRequests, http.StatusRequestTimeout:
		return fmt.Errorf("the server answered %s", response.Status)
	default:
		if response.StatusCode >= 500 {
			return fmt.Errorf("the server answered %s", response.Status)
		}
		return fmt.Errorf("%w: the server answered %s", errPermanent, response.Status)
	}
	if total > d.most {
		return fmt.Errorf("%w: it has %d bytes; at most %d are accepted", errPermanent, total, d.most)
	}

	flags := os.O_CREATE | os.O_WRONLY
	if have == 0 {
		flags |= os.O_TRUNC
		// A weak ETag doesn't promise equal bytes.
		tag := response.Header.Get("ETag")
		if tag == "" || strings.HasPrefix(tag, "W/") {
			tag = response.Header.Get("Last-Modified")
		}
		if err := os.WriteFile(path+".validator", []byte(tag), 0o644); err != nil {
			return errors.Join(errPermanent, err)
		}
	}
	f, err := os.OpenFile(path+".partial", flags, 0o644)
	if err != nil {
		return errors.Join(errPermanent, err)
	}
	err = d.copy(ctx, f, response.Body, r.Name, have, total, idle, progress)
	return errors.Join(err, f.Close())
}

// copy appends the body to f.
func (d *downloader) copy(ctx context.Context, f *os.File, body io.Reader, name string, have, total int64, idle *time.Timer, progress Progress) error {
	if _, err := f.Seek(have, io.SeekStart); err != nil {
		return errors.Join(errPermanent, err)
	}
	buffer := make([]byte, 1<<17)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := body.Read(buffer)
		idle.Reset(d.idle)
		if n > 0 {
			if have += int64(n); have > d.most {
				return fmt.Errorf("%w: more than %d bytes", errPermanent, d.most)
			}
			if _, err := f.Write(buffer[:n]); err != nil {
				return errors.Join(errPermanent, err)
			}
			if progress != nil {
				progress(name, have, total)
			}
		}
		if errors.Is(err, io.EOF) {
			if total > 0 && have != total {
				return fmt.Errorf("the connection ended after %d of %d bytes", have, total)
			}
			if err := f.Sync(); err != nil {
				return errors.Join(errPermanent, err)
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// contentRange reads "bytes 5-9/10" and "bytes */10"; all is 0 when it is "*".
func contentRange(header string) (from, all int64, ok bool) {
	unit, rest, found := strings.Cut(header, " ")
	span, length, slash := strings.Cut(rest, "/")
	if !found || !slash || unit != "bytes" {
		return 0, 0, false
	}
	var err error
	if length != "*" {
		if all, err = strconv.ParseInt(length, 10, 64); err != nil || all < 0 {
			return 0, 0, false
		}
	}
	if span == "*" {
		return 0, all, true
	}
	first, _, dash := strings.Cut(span, "-")
	from, err = strconv.ParseInt(first, 10, 64)
	return from, all, dash && err == nil && from >= 0
}

// verifyFile compares a file with a checksum in the form of [Remote].Checksum.
func verifyFile(path, checksum string) error {
	if checksum == "" {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	kind, want, _ := strings.Cut(checksum, ":")
	var h hash.Hash
	switch kind {
	case "sha256":
		h = sha256.New()
	case "md5":
		h = md5.New()
	case "git":
		info, err := f.Stat()
		if err != nil {
			return err
		}
		h = sha1.New()
		fmt.Fprintf(h, "blob %d\x00", info.Size())
	default:
		return fmt.Errorf("checksum %q; sha256:…, md5:… or git:… is needed", checksum)
	}
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		return fmt.Errorf("%w: %s %s, but %s was published", ErrChecksum, kind, got, want)
	}
	return nil
}
