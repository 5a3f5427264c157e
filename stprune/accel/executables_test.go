//go:build linux && cgo && !noxla

package accel_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gomlx/go-xla/pjrt"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/stprune"
	"github.com/stprune/workbench/stprune/accel"
	"github.com/stprune/workbench/stprune/accel/execcache"
	"github.com/stprune/workbench/stprune/optim"
	"github.com/stprune/workbench/stprune/train"
)

const folderVariable = "STPRUNE_EXEC_CACHE"

// program is what go-xla compiles and runs: on each of the devices, x [2] and y [3] are float32.
type program struct {
	name, code string
	devices    int
	donate     bool
	divided    bool // it says what all devices do together
}

var programs = []program{
	{"several outputs", `
module @several {
  func.func public @main(%x: tensor<2xf32>, %y: tensor<3xf32>) -> (tensor<3xf32>, tensor<f32>, tensor<2xf32>) {
    %0 = stablehlo.cosine %y : tensor<3xf32>
    %1 = stablehlo.constant dense<7.0> : tensor<f32>
    %2 = stablehlo.exponential %x : tensor<2xf32>
    return %0, %1, %2 : tensor<3xf32>, tensor<f32>, tensor<2xf32>
  }
}`, 1, false, false},
	{"aliased input", `
module @aliased {
  func.func public @main(%x: tensor<2xf32> {tf.aliasing_output = 0 : i32}, %y: tensor<3xf32>) -> (tensor<2xf32>, tensor<3xf32>) {
    %0 = stablehlo.multiply %x, %x : tensor<2xf32>
    %1 = stablehlo.tanh %y : tensor<3xf32>
    return %0, %1 : tensor<2xf32>, tensor<3xf32>
  }
}`, 1, true, false},
	{"two devices", `
module @replicated attributes {stablehlo.num_replicas = 2} {
  func.func public @main(%x: tensor<2xf32>, %y: tensor<3xf32>) -> (tensor<2xf32>, tensor<3xf32>) {
    %0, %1 = "stablehlo.all_reduce"(%x, %y) ({
      ^sum(%a: tensor<f32>, %b: tensor<f32>):
        %2 = stablehlo.add %a, %b : tensor<f32>
        "stablehlo.return"(%2) : (tensor<f32>) -> ()
    }) {replica_groups = dense<[[0, 1]]> : tensor<1x2xi64>} : (tensor<2xf32>, tensor<3xf32>) -> (tensor<2xf32>, tensor<3xf32>)
    return %0, %1 : tensor<2xf32>, tensor<3xf32>
  }
}`, 2, false, false},
	{"one program divided", `
module @divided attributes {stablehlo.num_replicas = 1, stablehlo.num_partitions = 2} {
  sdy.mesh @mesh = <["devices"=2]>
  func.func public @main(%x: tensor<4xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"devices"}]>}, %y: tensor<6xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"devices"}]>})
      -> (tensor<f32> {sdy.sharding = #sdy.sharding<@mesh, []>}, tensor<6xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"devices"}]>}) {
    %0 = stablehlo.constant dense<0.0> : tensor<f32>
    %1 = "stablehlo.reduce"(%x, %0) ({
      ^sum(%a: tensor<f32>, %b: tensor<f32>):
        %3 = stablehlo.add %a, %b : tensor<f32>
        "stablehlo.return"(%3) : (tensor<f32>) -> ()
    }) {dimensions = array<i64: 0>} : (tensor<4xf32>, tensor<f32>) -> tensor<f32>
    %2 = stablehlo.tanh %y : tensor<6xf32>
    return %1, %2 : tensor<f32>, tensor<6xf32>
  }
}`, 2, false, true},
}

// result is everything that can be seen of a program.
type result struct {
	Outputs  [][]float32
	Gone     []bool // donated inputs
	Name     string
	Portable bool
	Assigned []int
	Memory   pjrt.ExecutableMemoryUsageStats
}

// run compiles and runs a program on a backend's plugin.
func (p program) run(t *testing.T, b *accel.Backend) (r result) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	plugin, err := pjrt.GetPlugin(b.Plugin)
	check(err)
	client, err := plugin.NewClient(nil)
	check(err)
	defer client.Destroy()
	compile := client.Compile().WithStableHLO([]byte(p.code))
	if p.divided {
		compile = compile.WithShardy(p.devices)
	} else if p.devices > 1 {
		compile = compile.WithSPMD(p.devices)
	}
	executable, err := compile.Done()
	check(err)
	defer executable.Destroy()
	var inputs []*pjrt.Buffer
	for device := range p.devices {
		for _, size := range []int{2, 3} {
			values := make([]float32, size)
			for i := range values {
				values[i] = 0.1 + float32(i+10*device)
			}
			input, err := client.BufferFromHost().FromFlatDataWithDimensions(values, []int{size}).ToDeviceNum(device).Done()
			check(err)
			inputs = append(inputs, input)
		}
	}
	call := executable.Execute(inputs...).DonateNone()
	if p.donate {
		call = call.Donate(0)
	}
	outputs, err := call.Done()
	check(err)
	for _, output := range outputs {
		values, _, err := pjrt.BufferToArray[float32](output)
		check(err)
		r.Outputs = append(r.Outputs, values)
	}
	for _, input := range inputs {
		_, _, err := pjrt.BufferToArray[float32](input)
		r.Gone = append(r.Gone, err != nil)
	}
	r.Name, r.Portable, r.Memory = executable.Name, executable.IsPortable(), executable.OnDeviceMemoryUsageStats
	if _, _, r.Assigned, err = executable.GetDeviceAssignment(); err != nil {
		t.Fatal(err)
	}
	return r
}

func openCPU(t *testing.T, log *strings.Builder) *accel.Backend {
	t.Helper()
	b, err := accel.Open(t.Context(), "xla:cpu", log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func counts(t *testing.T, b *accel.Backend, loaded, compiled int64) {
	t.Helper()
	if l, c := b.Executables.Loaded(), b.Executables.Compiled(); l != loaded || c != compiled {
		t.Errorf("%d loaded and %d compiled, want %d and %d", l, c, loaded, compiled)
	}
}

// A loaded program must not be told from a compiled one.
func TestLoadedPrograms(t *testing.T) {
	t.Setenv(folderVariable, filepath.Join(t.TempDir(), "executables"))
	var log strings.Builder
	for _, p := range programs {
		t.Run(p.name, func(t *testing.T) {
			t.Setenv(folderVariable, "off")
			if b := openCPU(t, &log); b.Executables != nil {
				t.Error("there is a cache though it is off")
			}
			want := p.run(t, openCPU(t, &log))
			if len(want.Outputs) < 2 || want.Gone[0] != p.donate || (want.Memory.Aliases > 0) != p.donate || want.Portable != (p.devices == 1) {
				t.Fatalf("without a cache: %+v", want)
			}
			t.Setenv(folderVariable, filepath.Join(t.TempDir(), "executables"))
			b := openCPU(t, &log)
			for i, how := range []string{"compiled", "loaded"} {
				if got := p.run(t, b); !reflect.DeepEqual(got, want) {
					t.Errorf("%s: %+v, want %+v", how, got, want)
				}
				counts(t, b, int64(i), 1)
			}
		})
	}
	if log.Len() > 0 {
		t.Errorf("log %q", &log)
	}
}

// Backends may be opened and used at once.
func TestOpenAtOnce(t *testing.T) {
	t.Setenv(folderVariable, filepath.Join(t.TempDir(), "executables"))
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			b, err := accel.Open(t.Context(), "xla:cpu", nil)
			if err == nil {
				err = accel.Check(t.Context(), b)
			}
			if err == nil {
				err = b.Close()
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

// An executable that is whole but not the plugin's is compiled again.
func TestRefusedExecutable(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "executables")
	t.Setenv(folderVariable, folder)
	var log strings.Builder
	want := programs[0].run(t, openCPU(t, &log))
	files, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files %q (%v), want 1", files, err)
	}
	good, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	const lengthAt, header = 40, 80
	for name, payload := range map[string][]byte{"text": []byte("no executable"), "half": good[header : header+(len(good)-header)/2], "empty": nil} {
		hash := sha256.Sum256(payload)
		bad := binary.LittleEndian.AppendUint64(slices.Clone(good[:lengthAt]), uint64(len(payload)))
		if err := os.WriteFile(files[0], slices.Concat(bad, hash[:], payload), 0o600); err != nil {
			t.Fatal(err)
		}
		b := openCPU(t, &log)
		for i := range 2 {
			if got := programs[0].run(t, b); !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %+v, want %+v", name, got, want)
			}
			counts(t, b, int64(i), 1)
		}
	}
	if log.Len() > 0 {
		t.Errorf("log %q", &log)
	}
}

// Without a folder that can be used all works, and the log says so once.
func TestWithoutExecutables(t *testing.T) {
	public := filepath.Join(t.TempDir(), "public")
	if err := os.Mkdir(public, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(public, 0o777); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for folder, want := range map[string]string{"off": "", public: "others may write", file: "not a directory"} {
		t.Setenv(folderVariable, folder)
		var log strings.Builder
		b := openCPU(t, &log)
		if b.Executables != nil {
			t.Errorf("%s: there is a cache", folder)
		}
		if lines := strings.Count(log.String(), "\n"); lines != min(1, len(want)) || !strings.Contains(log.String(), want) {
			t.Errorf("%s: log %q, want %q", folder, &log, want)
		}
		programs[0].run(t, b)
	}
	gone := filepath.Join(t.TempDir(), "gone")
	t.Setenv(folderVariable, gone)
	var log strings.Builder
	b := openCPU(t, &log)
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		programs[0].run(t, b)
	}
	counts(t, b, 0, 2)
	if strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), gone) {
		t.Errorf("log %q, want one line with %s", &log, gone)
	}
}

// A program compiles without an option that the plugin doesn't know.
func TestRefusedOption(t *testing.T) {
	t.Setenv(folderVariable, filepath.Join(t.TempDir(), "executables"))
	var log strings.Builder
	b := openCPU(t, &log)
	want := programs[0].run(t, b)
	if err := execcache.Attach(b.Plugin, b.Executables, execcache.Override{Option: "xla_no_such_option", Value: "1"}); err != nil {
		t.Fatal(err)
	}
	if got := programs[0].run(t, b); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if log.Len() > 0 {
		t.Errorf("log %q", &log)
	}
}

// XLA computes STID's training step without YNNPACK, the other backbones' with it, and does what XLA_FLAGS says.
func TestPlainProducts(t *testing.T) {
	const option = "xla_cpu_experimental_ynn_fusion_type"
	for _, test := range []struct {
		flags, backbone string
		want            bool
	}{
		{"", "stid", false},
		{"", "staeformer", true},
		{" --" + option + "=LIBRARY_FUSION_TYPE_DOT", "stid", true},
		{" --" + option + "=", "staeformer", false},
	} {
		dumps := t.TempDir()
		child(t, test.backbone, folderVariable+"=off", "XLA_FLAGS=--xla_dump_to="+dumps+" --xla_dump_hlo_as_text"+test.flags)
		files, err := filepath.Glob(filepath.Join(dumps, "*train_step*after_optimizations.txt"))
		if err != nil || len(files) != 1 {
			t.Fatalf("programs %q (%v), want 1", files, err)
		}
		program, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		if got := bytes.Contains(program, []byte("__ynn_fusion")); got != test.want {
			t.Errorf("%s with flags %q: YNNPACK %v, want %v", test.backbone, test.flags, got, test.want)
		}
	}
}

// childVariable makes TestChild train, in a process of its own.
const childVariable = "STPRUNE_TEST_CHILD"

// TestChild prints what training the backbones that childVariable lists gives, and how many executables that took.
func TestChild(t *testing.T) {
	names := os.Getenv(childVariable)
	if names == "" {
		return
	}
	var log strings.Builder
	b := openCPU(t, &log)
	for _, name := range strings.Split(names, " ") {
		fmt.Println("RESULT", name, trainTiny(t, b, name))
	}
	if b.Executables == nil {
		fmt.Println("COUNTS off")
		return
	}
	fmt.Println("COUNTS", b.Executables.Loaded(), b.Executables.Compiled(), log.String())
}

var tiny = map[string]map[string]any{
	"stid":       {"embed_dim": 6, "node_dim": 5, "tod_dim": 4, "dow_dim": 3, "layers": 1},
	"gwnet":      {"residual": 4, "dilation": 4, "skip": 4, "end": 4, "node_dim": 3, "blocks": 1, "layers": 2},
	"staeformer": {"embed_dim": 4, "tod_dim": 2, "dow_dim": 2, "adaptive_dim": 4, "heads": 2, "ff_dim": 8, "layers": 1},
	"opencity":   {"patch": 2, "lap_dim": 2, "dim": 8, "depth": 1, "heads": 2},
}

// trainTiny trains three steps, with an evaluation, and returns the bits of what came out.
func trainTiny(t *testing.T, b *accel.Backend, name string) string {
	t.Helper()
	s := &datasets.Series{Name: "waves", T: 60, N: 5, Graph: &datasets.Graph{N: 5},
		Calendar: datasets.Calendar{Start: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), Step: time.Hour}}
	for n := range s.N {
		s.Nodes = append(s.Nodes, fmt.Sprint(n))
		s.Graph.Edges = append(s.Graph.Edges, datasets.Edge{From: int32(n), To: int32((n + 1) % s.N), Weight: 1})
	}
	for i := range s.T * s.N {
		s.Values = append(s.Values, float32(50+20*math.Sin(float64(i))))
	}
	w, err := datasets.Protocol{History: 6, Horizon: 2, Ratio: [3]float64{6, 2, 2}}.Apply(s)
	if err != nil {
		t.Fatal(err)
	}
	source := train.Source{Series: s, Windows: w}
	c := train.Config{Backbone: name, Options: tiny[name], Optim: optim.Default(), Schedule: optim.Schedule{Kind: "constant"},
		Unit: train.Window, Epochs: 1, EvalBatch: 8, ValidateEvery: 1, Seed: 1}
	c.Batch = (c.Units(source) + 2) / 3
	pruner, err := stprune.NewFull(c.Units(source))
	if err != nil {
		t.Fatal(err)
	}
	trainer, err := train.New(b.Backend, c, pruner, source)
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	hash := sha256.New()
	write := func(values any) {
		if err := binary.Write(hash, binary.LittleEndian, values); err != nil {
			t.Fatal(err)
		}
	}
	var bits []string
	err = trainer.Run(t.Context(), train.Events{
		Step: func(p train.Progress) { bits = append(bits, fmt.Sprintf("%x", math.Float64bits(p.Loss))) },
		Epoch: func(r train.EpochReport) error {
			bits = append(bits, fmt.Sprintf("%x", math.Float64bits(r.Validation.Pooled.MAE)))
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(bits) != 4 {
		t.Fatalf("%d steps and evaluations, want 3 and 1", len(bits))
	}
	parameters, err := trainer.Named()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		write(parameters[name])
	}
	return fmt.Sprintf("%s %x", strings.Join(bits, " "), hash.Sum(nil))
}

// child runs TestChild in a process of its own.
func child(t *testing.T, names string, environment ...string) (results, counts string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestChild$", "-test.v")
	command.Env = slices.Concat(os.Environ(), []string{childVariable + "=" + names}, environment)
	output, err := command.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v\n%s", names, err, output)
	}
	for line := range strings.Lines(string(output)) {
		if strings.HasPrefix(line, "RESULT") {
			results += line
		}
		if c, ok := strings.CutPrefix(line, "COUNTS "); ok {
			counts = strings.TrimSpace(c)
		}
	}
	return results, counts
}

// A second process must get the same bits without compiling anything.
func TestSecondProcess(t *testing.T) {
	const all = "stid gwnet staeformer opencity"
	folder := filepath.Join(t.TempDir(), "executables")
	inFolder := func(names string, environment ...string) (results, counts string) {
		return child(t, names, append(environment, folderVariable+"="+folder)...)
	}

	// Two at once, both with nothing in the cache at first.
	var both [2]string
	var group sync.WaitGroup
	for i := range both {
		group.Go(func() { both[i], _ = inFolder("stid") })
	}
	group.Wait()
	if both[0] != both[1] || both[0] == "" {
		t.Errorf("two processes at once got\n%s and\n%s", both[0], both[1])
	}

	cold, coldCounts := inFolder(all)
	warm, warmCounts := inFolder(all)
	if strings.Count(cold, "\n") != 4 || !strings.HasPrefix(cold, both[0]) || warm != cold {
		t.Errorf("first process:\n%ssecond process:\n%s", cold, warm)
	}
	var loaded, compiled int
	_, err := fmt.Sscan(coldCounts, &loaded, &compiled)
	if err != nil || loaded != 2 || compiled < 6 { // of STID the training step and the evaluation are there; the others have no fewer
		t.Errorf("loaded and compiled %s in the first process (%v), want 2 and at least 6", coldCounts, err)
	}
	if want := fmt.Sprint(loaded+compiled, 0); warmCounts != want {
		t.Errorf("loaded and compiled %s in the second process, want %s", warmCounts, want)
	}
	// Other flags make other executables.
	if _, other := inFolder("stid", "XLA_FLAGS=--xla_backend_optimization_level=0"); other != "0 2" {
		t.Errorf("loaded and compiled %s with other flags, want 0 2", other)
	}
	if _, other := inFolder("stid", "XLA_FLAGS=--xla_dump_to="+t.TempDir()); other != "off" {
		t.Errorf("loaded and compiled %s with a dump, want off", other)
	}
}
