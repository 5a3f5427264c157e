package datasets

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// python2 is DCRNN's list as Python 2 writes it, without memo.
func python2() string {
	var data []byte
	for _, v := range []float32{1, 0.5, 0, 0, 1, 0, 0.25, 0, 1} {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	return "\x80\x02](](U\x01aU\x01bU\x01ce}(U\x01aK\x00U\x01bK\x01U\x01cK\x02u" +
		"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R" +
		"(K\x01K\x03K\x03\x86cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb" +
		"\x89U\x24" + string(data) + "tbe."
}

func TestReadPickle(t *testing.T) {
	abc := []string{"a", "b", "c"}
	paths := []string{writeText(t, "py2.pkl", python2())}
	for _, name := range []string{"adj-2", "adj-3", "adj-4", "adj-5", "matrix-4", "fortran-2", "fortran-5"} {
		paths = append(paths, filepath.Join("testdata", name+".pkl"))
	}
	want := []Edge{{0, 0, 1}, {0, 1, 0.5}, {1, 1, 1}, {2, 0, 0.25}, {2, 2, 1}}
	for _, path := range paths {
		g, err := ReadGraph(path, abc)
		if err != nil {
			t.Error(err)
			continue
		}
		near(t, path, g, want...)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		everyCut(t, whole, "cut.pkl", func(path string) error { _, err := ReadGraph(path, abc); return err })
		for i := range whole { // damage gives errors or other numbers, never a panic
			for _, b := range []byte{0, 0xff, whole[i] ^ 1, '.', '0'} {
				damaged := slices.Clone(whole)
				damaged[i] = b
				parsePickle(damaged)
			}
		}
	}
	g, err := ReadGraph(paths[0], []string{"c", "a"}) // a part of the city, in another order
	if err != nil {
		t.Fatal(err)
	}
	near(t, "part", g, Edge{0, 0, 1}, Edge{0, 1, 0.25}, Edge{1, 1, 1})
}

func TestReadPickleErrors(t *testing.T) {
	for _, c := range []struct{ name, text, says string }{
		{"os.system", "\x80\x02cos\nsystem\nU\x04trueq\x00\x85R.", "os.system"},
		{"posix.system", "\x80\x04\x8c\x05posix\x94\x8c\x06system\x94\x93\x8c\x04true\x85R.", "posix.system"},
		{"builtins.eval", "\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.", "builtins.eval"},
		{"eval of Python 2", "\x80\x02c__builtin__\neval\nU\x011\x85R.", "__builtin__.eval"},
		{"protocol 0", "cos\nsystem\n(S'true'\ntR.", "os.system"},
		{"INST", "\x80\x02(S'true'\nios\nsystem\n.", "os.system"},
		{"subprocess", "\x80\x04\x8c\x0asubprocess\x8c\x05Popen\x93)\x81.", "subprocess.Popen"},
		{"pandas", "\x80\x04\x8c\x11pandas.core.frame\x8c\x09DataFrame\x93)\x81}b.", "pandas.core.frame.DataFrame"},
		{"another NumPy function", "\x80\x02cnumpy\nload\n.", "numpy.load"},
		{"numpy.core impostor", "\x80\x02cnumpy.core.multiarray\n_reconstructor\n.", "_reconstructor"},
		{"extension", "\x80\x02\x82\x01.", "instruction 0x82"},
		{"persistent", "\x80\x02U\x01aQ.", "instruction"},
		{"OrderedDict", "\x80\x02ccollections\nOrderedDict\n)R.", "collections.OrderedDict"},
		{"old protocol", "(lp0\n.", "protocol 0 or 1"},
		{"number", "\x80\x02K\x01.", "neither"},
		{"three of something", "\x80\x02K\x01K\x02K\x03\x87.", "no list of ids"},
		{"list without dictionary", "\x80\x02](]]Ne.", "no dictionary"},
		{"no matrix", "\x80\x02](]}Ne.", "neither"},
		{"contradiction", strings.Replace(python2(), "U\x01bK\x01", "U\x01bK\x02", 1), "contradicts"},
		{"too little data", strings.Replace(python2(), "K\x03K\x03\x86", "K\x03K\x04\x86", 1), "[3 4]"},
		{"vast shape", strings.Replace(python2(), "K\x03K\x03\x86", "J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86", 1), "2147483647"},
		{"negative shape", strings.Replace(python2(), "K\x03K\x03\x86", "J\xfd\xff\xff\xffJ\xfd\xff\xff\xff\x86", 1), "-3"},
		{"vector", strings.Replace(python2(), "K\x03K\x03\x86", "K\x09\x85", 1), "[9]"},
		{"text", strings.Replace(python2(), "U\x02f4", "U\x02U1", 1), "U1"},
		{"itself", "\x80\x02]q\x00h\x00a)R.", "damaged"},
		{"empty stack", "\x80\x02.", "damaged"},
		{"memo", "\x80\x02h\x07.", "neither"},
		{"odd dictionary", "\x80\x02}(K\x01u.", "damaged"},
		{"class as a value", "\x80\x02cnumpy\nndarray\n.", "neither"},
	} {
		path := writeText(t, "g.pkl", c.text)
		_, err := ReadGraph(path, []string{"a", "b", "c"})
		if err == nil {
			t.Errorf("%s: no error", c.name)
			continue
		}
		for _, s := range []string{c.says, path, "adj.npy"} {
			if !strings.Contains(err.Error(), s) && (c.name != "vector" || s != "adj.npy") {
				t.Errorf("%s: %q is not in the error %v", c.name, s, err)
			}
		}
	}
	if _, err := ReadGraph(filepath.Join("testdata", "objects-4.pkl"), []string{"a", "b", "c"}); err == nil || !strings.Contains(err.Error(), "Python objects") {
		t.Errorf("objects: %v", err)
	}
}

// A pickle takes no more memory than a few times its length, and a constant.
func TestReadPickleMemory(t *testing.T) {
	const many = 1 << 20
	vast := "\xff\xff\xff\xff\xff\xff\xff\x7f"
	for name, text := range map[string]string{
		"vast bytes":     "\x80\x04\x8e" + vast + ".",
		"vast text":      "\x80\x04\x8d" + vast + ".",
		"vast bytearray": "\x80\x05\x96" + vast + ".",
		"vast frame":     "\x80\x04\x95" + vast + ".",
		"bytes of 4 GB":  "\x80\x02B\xff\xff\xff\xff.",
		"long integer":   "\x80\x02\x8b\x00\x00\x10\x00" + strings.Repeat("\xff", many) + ".",
		"many digits":    "\x80\x02L" + strings.Repeat("9", many) + "\n.",
		"lists":          "\x80\x02" + strings.Repeat("]", many) + ".",
		"marks":          "\x80\x02" + strings.Repeat("(", many) + ".",
		"dictionaries":   "\x80\x02" + strings.Repeat("}", many) + ".",
		"tuples":         "\x80\x02N" + strings.Repeat("\x85", many) + ".",
		"duplicates":     "\x80\x02N" + strings.Repeat("2", many) + ".",
		"memo":           "\x80\x04N" + strings.Repeat("\x94", many) + ".",
		"text again and again": "\x80\x02X\x00\x00\x10\x00" + strings.Repeat("x", many) + "q\x000" +
			strings.Repeat("c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R0", 1000) + ".",
	} {
		path := writeText(t, "g.pkl", text)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := ReadGraph(path, []string{"a"})
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%s: no error", name)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > uint64(8*len(text)+(1<<25)) {
			t.Errorf("%s: %d bytes taken for a file of %d", name, took, len(text))
		}
	}
}

func TestReadPickleReal(t *testing.T) {
	bay := header(t, shared(t, "datasets", "pems-bay-67", "speed.csv.gz"))[:20]
	want, err := ReadGraph(shared(t, "fixtures", "largest-rn_adj.npy"), bay)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"adj_mx.pkl", "adj_mx_py2.pkl", "basicts-adj_mx.pkl"} {
		got, err := ReadGraph(shared(t, "fixtures", name), bay)
		if err != nil {
			t.Error(err)
		} else if !slices.Equal(got.Edges, want.Edges) {
			t.Errorf("%s: edges %v; %v expected", name, got.Edges, want.Edges)
		}
	}
	ids, m, err := readPickle(shared(t, "fixtures", "adj_mx.pkl"))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(ids, bay) || ids[3] != "400174" || !slices.Equal(m.Shape, []int{20, 20}) {
		t.Errorf("ids %v, shape %v", ids, m.Shape)
	}
}
