package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/stprune/workbench/figures"
	"github.com/stprune/workbench/stprune/accel"
	"github.com/stprune/workbench/stprune/bench"
	"github.com/stprune/workbench/stprune/method"
	runs "github.com/stprune/workbench/stprune/run"
)

// processStart is as near to it as a program can tell.
var processStart = time.Now()

// benchCmd measures speed.
type benchCmd struct {
	Step   benchStepCmd   `cmd:"" help:"Time training steps, evaluations or epochs of a backbone on made-up values."`
	Select benchSelectCmd `cmd:"" help:"Time one choice of each pruning method on made-up observations."`
	Limit  benchLimitCmd  `cmd:"" help:"Find the model and data sizes below which pruning stops paying."`
	Peers  benchPeersCmd  `cmd:"" help:"Time ours and PyTorch, or an older build of ours, in turn."`
}

type benchStepCmd struct {
	What    string        `default:"step" enum:"step,evaluate,epoch" help:"What to time: a training step, the evaluation of a batch, or an epoch of three steps and one evaluation."`
	Model   string        `default:"stid" help:"Backbone."`
	Nodes   int           `default:"307" help:"Nodes N."`
	Batch   int           `default:"64" help:"Units in a batch."`
	Micro   int           `name:"micro-batch" placeholder:"N" help:"Units that pass at once, see train.micro_batch. Default: all."`
	Unit    string        `default:"window" enum:"window,pair" help:"Unit of training: window or pair."`
	History int           `default:"12" help:"Input steps."`
	Horizon int           `default:"12" help:"Forecast steps."`
	PerDay  int           `default:"288" help:"Steps of a day."`
	Option  []string      `sep:"none" placeholder:"KEY=VALUE" help:"Option of the backbone, e.g. layers=2. May be repeated."`
	For     time.Duration `default:"5s" help:"Measure at least this long."`
	Backend string        `default:"auto" help:"Backend: auto, xla, xla:cpu, xla:cuda, go."`
	JSON    bool          `help:"Print JSON."`
}

func (c *benchStepCmd) Run(ctx context.Context) error {
	spec := runs.DefaultSpec() // reads options as a run's spec does
	for _, o := range c.Option {
		if err := spec.Set("model.options." + strings.TrimSpace(o)); err != nil {
			return err
		}
	}
	be, err := accel.Open(ctx, c.Backend, os.Stderr)
	if err != nil {
		return err
	}
	defer be.Close()
	r, err := bench.Step{
		What: c.What, Backbone: c.Model, Options: spec.Model.Options, Nodes: c.Nodes, Batch: c.Batch, MicroBatch: c.Micro, Unit: c.Unit,
		History: c.History, Horizon: c.Horizon, PerDay: c.PerDay, For: c.For, Began: processStart,
	}.Run(ctx, be)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(os.Stdout, r)
	}
	ms := func(d time.Duration) string { return fmt.Sprintf("%.1f ms", d.Seconds()*1e3) }
	fmt.Printf("%s, N = %d, batch of %d %ss, %d parameters, on %s\n", r.Backbone, r.Nodes, r.Batch, r.Unit, r.Parameters, r.Backend)
	fmt.Printf("%-8s %s median of %d (%s to %s), %.1f %% of it on the host\n", r.What, ms(r.Median), r.Steps, ms(r.Fastest), ms(r.Slowest), 100*r.Host)
	if r.GFLOPs > 0 {
		fmt.Printf("products %.1f GFLOP/s, %.0f %% of the %.1f of plain products\n", r.GFLOPs, 100*r.GFLOPs/r.Plain, r.Plain)
	}
	fmt.Printf("start    %.2f s from the start of the process to the end of the first one\n", r.First.Seconds())
	fmt.Printf("compile  %.1f s\nmemory   %d MB at most\n", r.Compile.Seconds(), r.PeakMemory>>20)
	return nil
}

type benchSelectCmd struct {
	Method     []string      `placeholder:"NAME" help:"Methods, separated by commas. Default: all."`
	Units      []int         `default:"1000,10000,100000,1000000" help:"Numbers n of units."`
	Rho        float64       `default:"0.1" help:"Retention."`
	Features   int           `default:"64" help:"Width of features."`
	Gradients  int           `default:"256" help:"Width of last-layer gradients."`
	Horizon    int           `default:"12" help:"Forecast and input steps."`
	Validation int           `default:"1000" help:"Validation windows."`
	Limit      time.Duration `default:"30s" help:"Give up choices that take longer, and larger ones of the same method."`
	JSON       bool          `help:"Print JSON, an object per choice."`
}

func (c *benchSelectCmd) Help() string {
	return `Seconds and bytes are those of one choice: training a scoring model, which static methods need first, is no part of them. Ten
million units are no problem for st-prune; choices that would take more than 4 GiB with the scoring model's measurements are refused, as in a run.`
}

func (c *benchSelectCmd) Run(ctx context.Context) error {
	names := c.Method
	if len(names) == 0 {
		names = method.Names()
	}
	slices.Sort(c.Units)
	t := figures.Table{Columns: []string{"method", "units", "kept", "seconds", "MB allocated", "MB of scoring"}}
	lines := json.NewEncoder(os.Stdout)
	var problems []string
	for _, name := range names {
		for _, n := range c.Units {
			r, err := bench.Select{
				Method: name, Units: n, Rho: c.Rho, Features: c.Features, Gradients: c.Gradients, Horizon: c.Horizon, Validation: c.Validation, Limit: c.Limit,
			}.Run(ctx)
			if err != nil {
				return err
			}
			if c.JSON {
				_ = lines.Encode(r) // a closed pipe ends the program anyway
			}
			if r.Problem != "" {
				problems = append(problems, fmt.Sprintf("%s, %d units: %s", name, n, r.Problem))
				break // larger ones don't fit either
			}
			mb := func(bytes uint64) string { return fmt.Sprintf("%.1f", float64(bytes)/1e6) }
			t.Rows = append(t.Rows, []string{name, fmt.Sprint(n), fmt.Sprint(r.Kept), fmt.Sprintf("%.3g", r.Seconds), mb(r.Allocated), mb(r.Probe)})
		}
	}
	if !c.JSON {
		fmt.Print(t.Text())
		for _, p := range problems {
			fmt.Println(p)
		}
	}
	return nil
}

type benchLimitCmd struct {
	Width         []int   `default:"5,16,32,64,100" help:"Widths of STID's identities: 5 makes about 5 thousand parameters, 100 a million."`
	Windows       []int   `default:"1000,6000,36000" help:"Numbers of training windows."`
	Nodes         int     `default:"20" help:"Nodes N."`
	Method        string  `default:"st-prune" help:"Pruning method."`
	Rho           float64 `default:"0.1" help:"Retention, in every epoch."`
	Unit          string  `default:"window" enum:"window,pair" help:"Unit of training: window or pair."`
	Epochs        int     `default:"3" help:"Epochs of each run."`
	ValidateEvery int     `default:"0" help:"Epochs from one validation to the next; 0 as a run does it, by visits."`
	Backend       string  `default:"auto" help:"Backend: auto, xla, xla:cpu, xla:cuda, go."`
	CSV           string  `type:"path" placeholder:"FILE" help:"Also write the numbers into this file."`
	JSON          bool    `help:"Print JSON, an object per pair of sizes."`
}

func (c *benchLimitCmd) Help() string {
	return `For each pair of sizes STID is trained on made-up values twice, on all units and pruned, and the seconds of the two runs are compared,
with everything counted but compiling. Overhead is the share of choosing in the pruned run. Pruning pays where at least half of the
visits saved are saved in seconds, in part where a tenth of the seconds are saved.`
}

func (c *benchLimitCmd) Run(ctx context.Context) error {
	be, err := accel.Open(ctx, c.Backend, os.Stderr)
	if err != nil {
		return err
	}
	defer be.Close()
	t := figures.Table{Columns: []string{
		"parameters", "windows", "full s", "pruned s", "steps", "choosing", "evaluation", "saving", "fewer visits", "faster", "overhead", "pruning",
	}}
	numbers := figures.Table{Columns: []string{"parameters", "windows", "unit", "rho", "epochs", "full_s", "pruned_s", "steps_s", "choosing_s", "evaluation_s", "saving_s",
		"host_s", "fewer_visits", "faster", "overhead", "pruning"}}
	lines := json.NewEncoder(os.Stdout)
	for _, width := range c.Width {
		for _, windows := range c.Windows {
			p, err := bench.Limit{
				Width: width, Windows: windows, Nodes: c.Nodes, Method: c.Method, Rho: c.Rho, Unit: c.Unit, Epochs: c.Epochs, ValidateEvery: c.ValidateEvery,
			}.Run(ctx, be)
			if err != nil {
				return err
			}
			row := []string{fmt.Sprint(p.Parameters), fmt.Sprint(p.Windows), c.Unit}
			for _, x := range []float64{c.Rho, float64(c.Epochs), p.Full.Total - p.Full.Compile, p.Pruned.Total - p.Pruned.Compile, p.Pruned.Steps,
				p.Pruned.Selection + p.Pruned.Scoring, p.Pruned.Evaluation, p.Pruned.Saving, p.Pruned.Host, p.Fewer, p.Faster, p.Overhead} {
				row = append(row, fmt.Sprintf("%.4g", x))
			}
			numbers.Rows = append(numbers.Rows, append(row, p.Verdict()))
			if c.JSON {
				_ = lines.Encode(p) // a closed pipe ends the program anyway
				continue
			}
			fmt.Fprintf(os.Stderr, "%d parameters, %d windows: %s\n", p.Parameters, p.Windows, p.Verdict())
			seconds := func(s float64) string { return fmt.Sprintf("%.2f", s) }
			t.Rows = append(t.Rows, []string{
				fmt.Sprint(p.Parameters), fmt.Sprint(p.Windows), seconds(p.Full.Total - p.Full.Compile), seconds(p.Pruned.Total - p.Pruned.Compile),
				seconds(p.Pruned.Steps), seconds(p.Pruned.Selection + p.Pruned.Scoring), seconds(p.Pruned.Evaluation), seconds(p.Pruned.Saving),
				fmt.Sprintf("%.1f×", p.Fewer), fmt.Sprintf("%.1f×", p.Faster), fmt.Sprintf("%.1f %%", 100*p.Overhead), p.Verdict(),
			})
		}
	}
	if !c.JSON {
		fmt.Print(t.Text())
	}
	if c.CSV == "" {
		return nil
	}
	if err := os.WriteFile(c.CSV, []byte(numbers.CSV()), 0o644); err != nil {
		return fmt.Errorf("--csv: %w", err)
	}
	return nil
}

// benchPeersCmd runs bench/peers.py.
type benchPeersCmd struct {
	Case    []string      `sep:"none" placeholder:"'MODEL N BATCH [STEPS]'" help:"What to measure: backbone, nodes, batch, and steps of history and horizon. May be repeated. Default: all backbones in several sizes."`
	What    []string      `placeholder:"step,evaluate,epoch" help:"What to time, as bench step's. Default: all three; with --against step."`
	Variant []string      `sep:"none" placeholder:"NAME=FLAGS" help:"Peer and its flags of bench/step.py, e.g. sdpa=--sdpa. May be repeated. Default: plain and tuned."`
	Against string        `placeholder:"PROGRAM" help:"An older build of ours instead of PyTorch. Fails where ours is slower by a tenth in every round, of three at least."`
	Repeat  int           `placeholder:"N" help:"Rounds of each case. Default: 2; with --against 3."`
	For     time.Duration `default:"2s" help:"Measure each at least this long."`
	Device  string        `default:"cpu" enum:"cpu,cuda" help:"Where both compute: cpu or cuda."`
	Option  []string      `sep:"none" placeholder:"KEY=VALUE" help:"Option of our backbones, e.g. attention=whole. May be repeated."`
	Micro   int           `name:"micro-batch" placeholder:"N" help:"Units that pass at once in ours, see train.micro_batch. Default: all."`
	Results string        `placeholder:"FOLDER" help:"Folder of the table of all numbers. Default: bench/results."`
}

func (c *benchPeersCmd) Help() string {
	return `Works in the repository's folder, with the Python that the variable PYTHON names, or bench/.venv/bin/python, which "make bench" sets up.
Only a quiet machine counts.`
}

// flags are those of bench/peers.py.
func (c *benchPeersCmd) flags(self string) []string {
	flags := []string{"--stprune", self, "--for", fmt.Sprint(c.For.Seconds()), "--device", c.Device}
	if c.Repeat != 0 {
		flags = append(flags, "--repeat", fmt.Sprint(c.Repeat))
	}
	for name, values := range map[string][]string{"--case": c.Case, "--variant": c.Variant, "--what": c.What} {
		for _, v := range values {
			flags = append(flags, name, v)
		}
	}
	ours := ""
	for _, o := range c.Option {
		ours += " --option '" + o + "'"
	}
	if c.Micro > 0 {
		ours += fmt.Sprintf(" --micro-batch %d", c.Micro)
	}
	for name, value := range map[string]string{"--against": c.Against, "--results": c.Results, "--ours": ours} {
		if value != "" {
			flags = append(flags, name+"="+value)
		}
	}
	return flags
}

func (c *benchPeersCmd) Run(ctx context.Context) error {
	script := filepath.Join("bench", "peers.py")
	if _, err := os.Stat(script); err != nil {
		return fmt.Errorf("bench peers: no %s here; run it in the folder of a clone of the repository", script)
	}
	python := cmp.Or(os.Getenv("PYTHON"), filepath.Join("bench", ".venv", "bin", "python"))
	if _, err := exec.LookPath(python); err != nil {
		return fmt.Errorf("bench peers: no %s; set it up by `make bench`, or PYTHON to a Python with what bench/requirements.txt lists", python)
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("bench peers: %w", err)
	}
	peers := exec.CommandContext(ctx, python, append([]string{script}, c.flags(self)...)...)
	peers.Stdout, peers.Stderr = os.Stdout, os.Stderr
	peers.Cancel = func() error { return peers.Process.Signal(os.Interrupt) }
	if err := peers.Run(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("bench peers: %s ended with %w", script, err)
	}
	return nil
}
