package datasets

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// content is 200 kB of chance.
func content() []byte {
	b := make([]byte, 200_000)
	rand.NewChaCha8([32]byte{1}).Read(b) //nolint:errcheck // never fails
	return b
}

func sum256(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

func quick() *downloader {
	d := newDownloader()
	d.pause, d.idle = time.Millisecond, 2*time.Second
	return d
}

// origin serves content with an ETag and ranges; cut says after how many bytes of the body to break request number n, or −1.
type origin struct {
	body     []byte
	tag      string
	noRanges bool
	cut      func(n int) int
	requests atomic.Int32
	sent     atomic.Int64
}

type broken struct {
	http.ResponseWriter
	left int
	sent *atomic.Int64
}

func (w *broken) Write(p []byte) (int, error) {
	if w.left >= 0 && len(p) >= w.left {
		w.ResponseWriter.Write(p[:w.left]) //nolint:errcheck // the connection is about to break anyway
		w.sent.Add(int64(w.left))
		http.NewResponseController(w.ResponseWriter).Flush() //nolint:errcheck // see above
		panic(http.ErrAbortHandler)
	}
	if w.left > 0 {
		w.left -= len(p)
	}
	w.sent.Add(int64(len(p)))
	return w.ResponseWriter.Write(p)
}

func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := int(o.requests.Add(1))
	if o.tag != "" {
		w.Header().Set("ETag", o.tag)
	}
	left := -1
	if o.cut != nil {
		left = o.cut(n)
	}
	out := &broken{w, left, &o.sent}
	if o.noRanges {
		w.Header().Set("Content-Length", fmt.Sprint(len(o.body)))
		out.Write(o.body) //nolint:errcheck // the client's business
		return
	}
	http.ServeContent(out, r, "", time.Time{}, bytes.NewReader(o.body))
}

// expect checks that the file is right, or absent.
func expect(t *testing.T, dir string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(filepath.Join(dir, "f"))
	if want == nil {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the file is there (%d bytes), or %v", len(got), err)
		}
		return
	}
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %d bytes, error %v; %d bytes expected", len(got), err, len(want))
	}
}

func TestDownloadResumesWhereItWasCut(t *testing.T) {
	body := content()
	for i := range 20 {
		at := i * len(body) / 19
		if i == 19 {
			at = len(body) - 1
		}
		o := &origin{body: body, tag: `"v1"`, cut: func(n int) int {
			if n == 1 {
				return at
			}
			return -1
		}}
		server := httptest.NewServer(o)
		dir := t.TempDir()
		var last int64
		err := quick().get(t.Context(), dir, Remote{"f", server.URL, sum256(body)}, func(_ string, done, total int64) {
			if total != int64(len(body)) || done < last {
				t.Errorf("cut at %d: progress %d of %d after %d", at, done, total, last)
			}
			last = done
		})
		server.Close()
		if err != nil {
			t.Errorf("cut at %d: %v", at, err)
		}
		expect(t, dir, body)
		if o.requests.Load() != 2 || o.sent.Load() != int64(len(body)) {
			t.Errorf("cut at %d: %d requests sent %d bytes; two should send %d in all", at, o.requests.Load(), o.sent.Load(), len(body))
		}
		if entries, _ := os.ReadDir(dir); len(entries) != 2 { // the file and its lock
			t.Errorf("cut at %d: left over: %v", at, entries)
		}
	}
}

func TestDownload(t *testing.T) {
	body := content()
	other := append([]byte("changed"), body...)
	cutOnce := func(n int) int {
		if n == 1 {
			return 70_000
		}
		return -1
	}
	cases := []struct {
		name   string
		origin *origin
		sum    string
		want   []byte // nil: the file must be absent
		says   string // in the error
	}{
		{"plain", &origin{body: body, tag: `"v1"`}, sum256(body), body, ""},
		{"no checksum known", &origin{body: body, tag: `"v1"`}, "", body, ""},
		{"md5", &origin{body: body}, fmt.Sprintf("md5:%x", md5.Sum(body)), body, ""},
		{"git", &origin{body: body}, fmt.Sprintf("git:%x", sha1.Sum(append(fmt.Appendf(nil, "blob %d\x00", len(body)), body...))), body, ""},
		{"wrong hash", &origin{body: other, tag: `"v1"`}, sum256(body), nil, "wrong checksum"},
		{"unknown kind of hash", &origin{body: body}, "crc:1", nil, "crc:1"},
		{"no ranges, cut once", &origin{body: body, tag: `"v1"`, noRanges: true, cut: cutOnce}, sum256(body), body, ""},
		{"no validator, cut once", &origin{body: body, cut: cutOnce}, sum256(body), body, ""},
		{"weak validator, cut once", &origin{body: body, tag: `W/"v1"`, cut: cutOnce}, sum256(body), body, ""},
		{"always cut at once", &origin{body: body, tag: `"v1"`, cut: func(int) int { return 0 }}, sum256(body), nil, "EOF"},
		{"cut every 30 kB", &origin{body: body, tag: `"v1"`, cut: func(int) int { return 30_000 }}, sum256(body), body, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewServer(c.origin)
			defer server.Close()
			dir := t.TempDir()
			err := quick().get(t.Context(), dir, Remote{"f", server.URL, c.sum}, nil)
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v; %q expected", err, c.says)
			}
			expect(t, dir, c.want)
		})
	}
}

func TestDownloadOfAFileThatChanged(t *testing.T) {
	body := content()
	first := &origin{body: append([]byte("old"), body...), tag: `"v1"`, cut: func(int) int { return 60_000 }}
	server := httptest.NewServer(first)
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	if err := quick().get(ctx, dir, Remote{"f", server.URL, ""}, func(_ string, done, _ int64) {
		if done >= 50_000 {
			cancel()
		}
	}); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	server.Close()
	expect(t, dir, nil)
	if size(filepath.Join(dir, "f.partial")) == 0 {
		t.Fatal("nothing was kept to resume from")
	}
	server = httptest.NewServer(&origin{body: body, tag: `"v2"`})
	defer server.Close()
	if err := quick().get(t.Context(), dir, Remote{"f", server.URL, ""}, nil); err != nil {
		t.Fatal(err)
	}
	expect(t, dir, body)
}

func TestDownloadCancelledAndTakenUp(t *testing.T) {
	body := content()
	o := &origin{body: body, tag: `"v1"`}
	server := httptest.NewServer(o)
	defer server.Close()
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	r := Remote{"f", server.URL, sum256(body)}
	err := quick().get(ctx, dir, r, func(string, int64, int64) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v; context.Canceled expected", err)
	}
	expect(t, dir, nil)
	kept := size(filepath.Join(dir, "f.partial"))
	lowest := int64(-1)
	if err := quick().get(t.Context(), dir, r, func(_ string, done, _ int64) {
		if lowest < 0 {
			lowest = done
		}
	}); err != nil {
		t.Fatal(err)
	}
	expect(t, dir, body)
	if kept == 0 || lowest <= kept {
		t.Errorf("%d bytes were kept, but the download began at %d", kept, lowest)
	}
	before := o.requests.Load()
	if err := quick().get(t.Context(), dir, r, nil); err != nil || o.requests.Load() != before {
		t.Errorf("a file that is here was asked for again (%v)", err)
	}
}

func TestDownloadRedirectsAndRefusals(t *testing.T) {
	body := content()
	server := httptest.NewServer(&origin{body: body, tag: `"v1"`, cut: func(n int) int {
		if n == 1 {
			return 1000
		}
		return -1
	}})
	defer server.Close()
	answers := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, server.URL, http.StatusFound)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/busy":
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer answers.Close()
	secure := httptest.NewTLSServer(http.RedirectHandler(server.URL, http.StatusFound))
	defer secure.Close()
	dir := t.TempDir()
	if err := quick().get(t.Context(), dir, Remote{"f", answers.URL + "/moved", sum256(body)}, nil); err != nil {
		t.Error(err)
	}
	expect(t, dir, body)
	for url, says := range map[string]string{"/loop": "redirects", "/busy": "503", "/gone": "404"} {
		dir := t.TempDir()
		if err := quick().get(t.Context(), dir, Remote{"f", answers.URL + url, ""}, nil); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: error %v; %q expected", url, err, says)
		}
		expect(t, dir, nil)
	}
	d := quick()
	d.client.Transport = secure.Client().Transport
	if err := d.get(t.Context(), t.TempDir(), Remote{"f", secure.URL, ""}, nil); err == nil || !strings.Contains(err.Error(), "from https") {
		t.Errorf("downgrade to http: error %v", err)
	}
	d = quick()
	d.most = 1000
	dir = t.TempDir()
	if err := d.get(t.Context(), dir, Remote{"f", server.URL, ""}, nil); err == nil || !strings.Contains(err.Error(), "at most 1000") {
		t.Errorf("too large: error %v", err)
	}
	expect(t, dir, nil)
}

func TestDownloadGivesUpASilentServer(t *testing.T) {
	hang := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		w.WriteHeader(http.StatusOK)
		http.NewResponseController(w).Flush() //nolint:errcheck // nothing to do about it
		<-hang
	}))
	defer server.Close()
	defer close(hang)
	d := quick()
	d.idle, d.tries = 50*time.Millisecond, 2
	dir := t.TempDir()
	start := time.Now()
	if err := d.get(t.Context(), dir, Remote{"f", server.URL, ""}, nil); err == nil || time.Since(start) > 5*time.Second {
		t.Errorf("error %v after %s", err, time.Since(start))
	}
	expect(t, dir, nil)
}

// archive writes a zip file of the given members; a member's mode 0 means a plain file.
func archive(t *testing.T, members map[string][]byte, mode fs.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.zip")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	for name, b := range members {
		h := &zip.FileHeader{Name: name, Method: zip.Deflate}
		if mode != 0 {
			h.SetMode(mode)
		}
		w, err := z.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(z.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestUnzip(t *testing.T) {
	dir := t.TempDir()
	names, err := unzip(t.Context(), archive(t, map[string][]byte{"deep/er/x.csv": []byte("1,2\n")}, 0), dir, defaultUnzipLimits)
	if err != nil || len(names) != 1 || names[0] != "deep/er/x.csv" {
		t.Fatal(names, err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "deep/er/x.csv")); err != nil || string(b) != "1,2\n" {
		t.Error(string(b), err)
	}

	many := map[string][]byte{}
	for i := range 30 {
		many[fmt.Sprint(i)] = nil
	}
	cases := []struct {
		name   string
		file   string
		limits unzipLimits
	}{
		{"parent folder", archive(t, map[string][]byte{"../evil": nil}, 0), defaultUnzipLimits},
		{"parent folder inside", archive(t, map[string][]byte{"a/../../evil": nil}, 0), defaultUnzipLimits},
		{"absolute", archive(t, map[string][]byte{"/tmp/evil": nil}, 0), defaultUnzipLimits},
		{"backslashes", archive(t, map[string][]byte{`..\evil`: nil}, 0), defaultUnzipLimits},
		{"link", archive(t, map[string][]byte{"l": []byte("/etc/passwd")}, fs.ModeSymlink|0o777), defaultUnzipLimits},
		{"device", archive(t, map[string][]byte{"l": nil}, fs.ModeDevice|0o666), defaultUnzipLimits},
		{"bomb", archive(t, map[string][]byte{"zeros": make([]byte, 64<<20)}, 0), defaultUnzipLimits},
		{"larger than allowed", archive(t, map[string][]byte{"f": content()}, 0), unzipLimits{bytes: 1000, files: 9, ratio: 200}},
		{"many files", archive(t, many, 0), unzipLimits{bytes: 1 << 20, files: 29, ratio: 200}},
		{"no archive", filepath.Join(dir, "deep/er/x.csv"), defaultUnzipLimits},
	}
	for _, c := range cases {
		parent := t.TempDir()
		into := filepath.Join(parent, "into")
		if err := os.Mkdir(into, 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := unzip(t.Context(), c.file, into, c.limits); !errors.Is(err, ErrArchive) {
			t.Errorf("%s: error %v; %v expected", c.name, err, ErrArchive)
		}
		if entries, _ := os.ReadDir(parent); len(entries) != 1 {
			t.Errorf("%s: written outside: %v", c.name, entries)
		}
		var written int64
		filepath.WalkDir(into, func(path string, e fs.DirEntry, err error) error { //nolint:errcheck // never fails here
			if err == nil && !e.IsDir() {
				written += size(path)
			}
			return nil
		})
		if written > 16<<20 {
			t.Errorf("%s: %d bytes were written", c.name, written)
		}
	}
}
