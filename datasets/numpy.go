package datasets

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"
)

// readNPY reads a series from a .npy file of shape [T,N] or [T,N,C].
func readNPY(ctx context.Context, path string, o ImportOptions) (*table, error) {
	f, err := openCounted(path, o.Progress)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s, err := newArrayStream(bufio.NewReaderSize(f, 1<<18), f.total)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	t, err := channelTable(ctx, s, o.Channel, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// readNPZ reads a series from a .npz file: an array [T,N] or [T,N,C] (PEMS, LargeST), or the windows of DCRNN.
func readNPZ(ctx context.Context, path string, o ImportOptions) (*table, error) {
	z, err := openNPZ(path)
	if err != nil {
		return nil, err
	}
	defer z.Close()
	if o.Key == "" && z.has("x", "y") && !z.has("data") {
		t, err := windowsTable(ctx, []string{path}, o)
		if err != nil {
			return nil, err
		}
		t.Remarks = append(t.Remarks, "rebuilt from the windows of this file alone; to rebuild training, validation and test, import their folder")
		return t, nil
	}
	key, err := z.choose(o.Key)
	if err != nil {
		return nil, err
	}
	var t *table
	err = z.stream(key, func(s *arrayStream) (err error) {
		t, err = channelTable(ctx, s, o.Channel, z.progress(o.Progress))
		return err
	})
	if err != nil {
		return nil, err
	}
	return t, z.rescale(t, key, o)
}

// choose finds the array that was asked for, the only one, or data.
func (z *npz) choose(key string) (string, error) {
	switch {
	case key != "" && z.has(key):
		return key, nil
	case key != "":
		return "", fmt.Errorf("%s: no array %q; --key may be %s", z.path, key, strings.Join(z.names, ", "))
	case len(z.names) == 1:
		return z.names[0], nil
	case z.has("data"):
		return "data", nil
	case len(z.names) == 0:
		return "", fmt.Errorf("%s: there is no array in it", z.path)
	}
	return "", fmt.Errorf("%s: it has the arrays %s; say which one with --key", z.path, strings.Join(z.names, ", "))
}

// progress is told bytes of arrays, unpacked.
func (z *npz) progress(p Progress) func(done, total int64) {
	if p == nil {
		return nil
	}
	return func(done, total int64) { p(filepath.Base(z.path), done, total) }
}

// rescale undoes the normalisation of LargeST's files, which hold (x − mean) / std in channel 0, with mean and std beside it.
// Who names the key gets the array as it is.
func (z *npz) rescale(t *table, key string, o ImportOptions) error {
	if key != "data" || o.Channel != 0 || !z.has("mean", "std") {
		return nil
	}
	if o.Key != "" {
		t.Remarks = append(t.Remarks, "its values are normalised, with mean and std beside them in the file; to have raw units, leave --key out")
		return nil
	}
	var scale [2]float64
	for i, name := range []string{"mean", "std"} {
		a, err := z.array(name)
		if err != nil {
			return err
		}
		if len(a.values) != 1 {
			return fmt.Errorf("%s: array %s has shape %v; one number that undoes the normalisation of data is expected. Say --key data to take data as it is",
				z.path, name, a.Shape)
		}
		scale[i] = a.values[0]
	}
	mean, std := scale[0], scale[1]
	if math.IsNaN(mean) || math.IsInf(mean, 0) || !(std > 0) || math.IsInf(std, 0) {
		return fmt.Errorf("%s: data is normalised with mean %v and std %v, which can't be undone; get the file again", z.path, mean, std)
	}
	for i, v := range t.Values {
		t.Values[i] = float32(float64(v)*std + mean)
	}
	t.Remarks = append(t.Remarks, fmt.Sprintf("its values were normalised; they were multiplied by %g, and %g added", std, mean))
	return nil
}

// stretch is how many elements are read at once.
const stretch = 1 << 14

// channelTable takes one channel of an array [T,N,C], or all of an array [T,N], without ever holding the array.
func channelTable(ctx context.Context, s *arrayStream, channel int, progress func(done, total int64)) (*table, error) {
	shape := slices.Clone(s.shape)
	if len(shape) == 2 {
		shape = append(shape, 1)
	}
	if len(shape) != 3 || s.left == 0 {
		return nil, fmt.Errorf("its shape is %v; [time, node] or [time, node, channel] is needed", s.shape)
	}
	t := &table{T: shape[0], N: shape[1]}
	channels := shape[2]
	if channel < 0 || channel >= channels {
		return nil, fmt.Errorf("no channel %d in shape %v; --channel may be 0 to %d", channel, s.shape, channels-1)
	}
	total := s.left
	t.Values = make([]float32, t.T*t.N)
	buffer := make([]float64, min(stretch, total))
	for at := 0; ; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n, err := s.read(buffer)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if s.fortran { // channel after channel, node after node
			first := channel * t.T * t.N
			for i, v := range buffer[:n] {
				if k := at + i - first; k >= 0 && k < len(t.Values) {
					t.Values[k%t.T*t.N+k/t.T] = float32(v)
				}
			}
		} else {
			// The first element of this channel at or after at.
			for i := (channel - at%channels + channels) % channels; i < n; i += channels {
				t.Values[(at+i)/channels] = float32(buffer[i])
			}
		}
		at += n
		if progress != nil && (at/stretch%64 == 0 || at == total) {
			progress(int64(at)*int64(s.width), int64(total)*int64(s.width))
		}
	}
	if channels > 1 {
		t.Remarks = append(t.Remarks, fmt.Sprintf("channel %d of %d was taken", channel, channels))
	}
	return t, nil
}

// dcrnnParts finds the three files of windows in a folder, such as train.npz, val.npz and test.npz, or dcrnn-train.npz and so on.
func dcrnnParts(entries []string) []string {
	for _, name := range entries {
		prefix, found := strings.CutSuffix(name, "train.npz")
		if !found || prefix != "" && !strings.HasSuffix(prefix, "-") && !strings.HasSuffix(prefix, "_") {
			continue
		}
		parts := []string{name, prefix + "val.npz", prefix + "test.npz"}
		if slices.Contains(entries, parts[1]) && slices.Contains(entries, parts[2]) {
			return parts
		}
	}
	return nil
}

// readWindows rebuilds the series from DCRNN's three files in a folder.
func readWindows(ctx context.Context, dir string, o ImportOptions) (*table, error) {
	names, err := folderNames(dir)
	if err != nil {
		return nil, err
	}
	parts := dcrnnParts(names)
	if parts == nil {
		return nil, fmt.Errorf("%s: train.npz, val.npz and test.npz are needed", dir)
	}
	for i := range parts {
		parts[i] = filepath.Join(dir, parts[i])
	}
	return windowsTable(ctx, parts, o)
}

// windowsTable rebuilds the series that files of windows were cut from: x [S,H,N,C] and y [S,Q,N,C], of which sample s of all
// files together begins at row s. Windows overlap: wherever they do, their values must be equal.
func windowsTable(ctx context.Context, paths []string, o ImportOptions) (*table, error) {
	b := &windowBuilder{table: &table{}, channel: o.Channel}
	for _, path := range paths {
		if err := b.file(ctx, path, o); err != nil {
			return nil, err
		}
	}
	if b.guessed {
		b.Remarks = append(b.Remarks, "x_offsets and y_offsets are absent; the targets y were taken to follow the inputs x without a gap")
	}
	return b.table, nil
}

type windowBuilder struct {
	*table
	channel, channels int
	samples           int  // of the files before
	first             int  // least offset of x
	guessed           bool // there were no offsets
}

const maxOffset = 1 << 20 // steps between the first and the last row of a window

func (b *windowBuilder) file(ctx context.Context, path string, o ImportOptions) error {
	z, err := openNPZ(path)
	if err != nil {
		return err
	}
	defer z.Close()
	if !z.has("x", "y") {
		return fmt.Errorf("%s: it has the arrays %s; windows need x and y", path, strings.Join(z.names, ", "))
	}
	var samples [2]int
	var offsets [2][]int
	for i, name := range []string{"x", "y"} {
		// Offsets need the shape, which only the array itself says.
		if err := z.stream(name, func(s *arrayStream) error {
			if len(s.shape) != 4 || s.left == 0 || s.fortran {
				return fmt.Errorf("its shape is %v; windows [sample, step, node, channel] in C order are needed", s.shape)
			}
			samples[i] = s.shape[0]
			var err error
			if offsets[i], err = b.offsets(z, name, s.shape[1]); err != nil {
				return err
			}
			if i == 0 && b.samples == 0 {
				b.first, b.N, b.channels = slices.Min(offsets[0]), s.shape[2], s.shape[3]
			}
			if s.shape[2] != b.N || s.shape[3] != b.channels {
				return fmt.Errorf("its windows have %d nodes and %d channels, those before have %d and %d", s.shape[2], s.shape[3], b.N, b.channels)
			}
			if b.channel >= b.channels {
				return fmt.Errorf("no channel %d in shape %v; --channel may be 0 to %d", b.channel, s.shape, b.channels-1)
			}
			return b.windows(ctx, s, offsets[i], z.progress(o.Progress))
		}); err != nil {
			return err
		}
	}
	if samples[0] != samples[1] {
		return fmt.Errorf("%s: x has %d samples, y has %d; the file is damaged", path, samples[0], samples[1])
	}
	b.samples += samples[0]
	return nil
}

// offsets of the steps of x or y from the last input step.
func (b *windowBuilder) offsets(z *npz, name string, steps int) ([]int, error) {
	offsets := make([]int, steps)
	if !z.has(name + "_offsets") {
		b.guessed = true
		for i := range offsets {
			offsets[i] = i + 1
			if name == "x" {
				offsets[i] = i - steps + 1
			}
		}
		return offsets, nil
	}
	a, err := z.array(name + "_offsets")
	if err != nil {
		return nil, err
	}
	if len(a.values) != steps {
		return nil, fmt.Errorf("%d offsets for windows of %d steps; the file contradicts itself", len(a.values), steps)
	}
	for i, v := range a.values {
		if v != math.Trunc(v) || math.Abs(v) > maxOffset {
			return nil, fmt.Errorf("offset %v; whole numbers of steps are needed", v)
		}
		offsets[i] = int(v)
	}
	return offsets, nil
}

// windows puts the rows of all windows in place.
func (b *windowBuilder) windows(ctx context.Context, s *arrayStream, offsets []int, progress func(done, total int64)) error {
	row := make([]float64, b.N*b.channels)
	for sample := range s.shape[0] {
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, offset := range offsets {
			if _, err := s.read(row); err != nil {
				return err
			}
			if err := b.put(b.samples+sample+offset-b.first, row); err != nil {
				return fmt.Errorf("sample %d, offset %d: %w", sample, offset, err)
			}
		}
		if progress != nil && (sample%64 == 0 || sample == s.shape[0]-1) {
			total := int64(s.shape[0]) * int64(len(offsets)*len(row)*s.width)
			progress(total-int64(s.left)*int64(s.width), total)
		}
	}
	return nil
}

// put adds a row, or compares it with what another window has of it.
func (b *windowBuilder) put(at int, row []float64) error {
	if at < 0 || at > b.T {
		return fmt.Errorf("row %d doesn't join the %d rows of the windows before; the series can't be rebuilt from such offsets", at, b.T)
	}
	if at == b.T {
		for n := range b.N {
			b.Values = append(b.Values, float32(row[n*b.channels+b.channel]))
		}
		b.T++
		return nil
	}
	for n, was := range b.Values[at*b.N : (at+1)*b.N] {
		v := float32(row[n*b.channels+b.channel])
		if v != was && (v == v || was == was) {
			return fmt.Errorf("node %d has %v in row %d, but %v in another window of that row; the windows are not consecutive, or were changed after they were cut",
				n, v, at, was)
		}
	}
	return nil
}
