package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kong"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/datasets/synth"
)

// dataCmd looks after data sets.
type dataCmd struct {
	Import dataImportCmd `cmd:"" help:"Turn a file of the field's formats into a data set."`
	List   dataListCmd   `cmd:"" help:"List the data sets that are here, and the public ones that can be had."`
	Show   dataShowCmd   `cmd:"" help:"Show one data set: its card, and what is odd about it."`
	Get    dataGetCmd    `cmd:"" help:"Download a public data set and import it, or say how to get it by hand."`
	Synth  dataSynthCmd  `cmd:"" help:"Make a data set: speeds in a synthetic city."`
	Verify dataVerifyCmd `cmd:"" help:"Compare the files of data sets with the checksums of their cards."`
}

// target is where a new data set goes.
type target struct {
	To      string `type:"path" placeholder:"FOLDER" help:"Folder of data sets; default: the first of STPRUNE_DATA, or the user's cache folder."`
	Replace bool   `help:"Write over a data set of this name."`
}

// dir is the folder of a new data set.
func (t target) dir(name string) (string, error) {
	if name == "" || strings.HasPrefix(name, ".") || strings.ContainsAny(name, `/\`) || len(name) > 200 {
		return "", fmt.Errorf("name %q; a data set's name is a plain file name", name)
	}
	dir := filepath.Join(t.folder(), name)
	if _, err := os.Stat(dir); err == nil && !t.Replace {
		return "", fmt.Errorf("%s exists; choose another --name, or --replace it", dir)
	}
	return dir, nil
}

func (t target) folder() string { return cmp.Or(t.To, datasets.Folders()[0]) }

type dataImportCmd struct {
	File string `arg:"" type:"path" help:"File, or folder of a format that has several files."`

	Name    string `required:"" help:"Name of the data set."`
	Step    step   `placeholder:"5m" help:"Time between two rows, e.g. 5m, 1h, 1d. Default: what the file says."`
	Missing number `default:"nan" placeholder:"NUMBER" help:"Number that marks missing measurements, e.g. 0 or -1; empty cells and NaN always do. nan: only they do."`
	Start   start  `placeholder:"TIME" help:"When the first row was measured, e.g. 2017-01-31 or '2017-01-31 15:04'; for files without time stamps."`
	Slots   int    `help:"Rows per day, for data that cover the same part of each day."`

	Graph   string `type:"path" placeholder:"FILE" help:"Graph: a matrix (.csv, .npy), an edge or distance list (.csv), adj_mx.pkl."`
	Coords  string `type:"path" placeholder:"FILE" help:"Coordinates: a .csv with node ids, latitudes and longitudes."`
	NodeIDs string `name:"node-ids" type:"path" placeholder:"FILE" help:"A node id per line, for files that name none."`
	Key     string `help:"Which array of an .npz or HDF5 file. Default: the only one, or data."`
	Channel int    `help:"Which channel of [time, node, channel] arrays, from 0."`

	Unit    string `help:"Unit of the values, e.g. mph."`
	Licence string `help:"Licence of the data."`
	Source  string `help:"Where the data come from."`
	Note    string `help:"Anything else for the card."`

	target
}

// step is a duration that may be given in days.
type step time.Duration

func (s *step) UnmarshalText(text []byte) error {
	word := string(text)
	if days, found := strings.CutSuffix(word, "d"); found {
		var n int
		if _, err := fmt.Sscanf(days+"\n", "%d\n", &n); err != nil || n < 1 || n > 366 {
			return fmt.Errorf("%q; a step looks like 5m, 1h or 1d", word)
		}
		*s = step(time.Duration(n) * 24 * time.Hour)
		return nil
	}
	d, err := time.ParseDuration(word)
	if err != nil || d <= 0 {
		return fmt.Errorf("%q; a step looks like 5m, 1h or 1d", word)
	}
	*s = step(d)
	return nil
}

// String writes 5m where [time.Duration.String] writes 5m0s, and 1d for a day.
func (s step) String() string {
	d := time.Duration(s)
	if day := 24 * time.Hour; d >= day && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// cardStep is the step of a card for people to read.
func cardStep(text string) string {
	if d, err := time.ParseDuration(text); err == nil {
		return step(d).String()
	}
	return text
}

// number is a finite number or nan. Unlike a plain float64 it may be negative without an equals sign: --missing -1.
type number float64

// Decode takes the next word whatever it begins with.
func (n *number) Decode(c *kong.DecodeContext) error {
	word := fmt.Sprint(c.Scan.Pop().Value)
	v, err := strconv.ParseFloat(word, 64)
	if err != nil || math.IsInf(v, 0) {
		return fmt.Errorf("%q; a number or nan is needed", word)
	}
	*n = number(v)
	return nil
}

// start is a wall-clock time.
type start time.Time

func (s *start) UnmarshalText(text []byte) error {
	t, err := datasets.ParseTime(string(text))
	*s = start(t)
	return err
}

// Validate finds wrong usage while the command line is parsed.
func (c *dataImportCmd) Validate() error {
	switch {
	case c.Channel < 0:
		return errors.New("--channel counts from 0")
	case c.Slots < 0:
		return errors.New("--slots must be above 0")
	}
	return nil
}

func (c *dataImportCmd) Run(ctx context.Context) error {
	dir, err := c.dir(c.Name)
	if err != nil {
		return err
	}
	show := newTransfer(os.Stderr, c.Name)
	var remarks []string
	s, err := datasets.Import(ctx, c.File, datasets.ImportOptions{
		Name: c.Name, Unit: c.Unit, Step: time.Duration(c.Step), Start: time.Time(c.Start), Slots: c.Slots, Missing: float32(c.Missing),
		Key: c.Key, Channel: c.Channel, Graph: c.Graph, Coords: c.Coords, NodeIDs: c.NodeIDs,
		Progress: show.progress, Remark: func(r string) { remarks = append(remarks, r) },
	})
	show.done()
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := datasets.Save(dir, s, datasets.Card{Licence: c.Licence, Source: c.Source, Note: c.Note}); err != nil {
		return err
	}
	return introduce(dir, remarks)
}

// introduce shows a data set that was just written.
func introduce(dir string, remarks []string) error {
	card, err := datasets.OpenCard(dir)
	if err != nil {
		return err
	}
	printCard(os.Stdout, dir, card)
	for _, r := range remarks {
		fmt.Println("note:", r)
	}
	return nil
}

func printCard(w io.Writer, dir string, c datasets.Card) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	defer t.Flush()
	line := func(key, format string, args ...any) {
		if text := oneLine(fmt.Sprintf(format, args...)); text != "" {
			fmt.Fprintf(t, "%s\t%s\n", key, text)
		}
	}
	from := c.Start.AsTime(time.UTC)
	line("name", "%s", c.Name)
	line("folder", "%s", dir)
	line("size", "%d steps × %d nodes", c.T, c.N)
	gaps := "no gap"
	if c.Gaps > 0 {
		gaps = fmt.Sprintf("gaps: %d", c.Gaps)
	}
	line("calendar", "from %s, a row each %s, %s", from.Format("2006-01-02 15:04"), cardStep(c.Step), gaps)
	if c.Slots > 0 {
		line("day", "%d rows", c.Slots)
	}
	line("unit", "%s", c.Unit)
	line("values", "mean %.7g, standard deviation %.7g", c.Mean, c.Std)
	if marked := float64(c.Missing); math.IsNaN(marked) {
		line("missing", "%.4g %%, as NaN", 100*c.MissingShare)
	} else {
		line("missing", "%.4g %%, as NaN or %g", 100*c.MissingShare, marked)
	}
	if c.Edges > 0 {
		line("graph", "edges: %d", c.Edges)
	} else {
		line("graph", "none")
	}
	line("licence", "%s", c.Licence)
	line("source", "%s", c.Source)
	line("note", "%s", c.Note)
	line("sha256", "%s", c.SHA256())
}

type dataListCmd struct {
	JSON bool `help:"Print JSON."`
}

// listedJSON is a data set, here or to be had, as the commands print it.
type listedJSON struct {
	Name    string         `json:"name"`
	Status  string         `json:"status"` // here, broken, get, by hand
	Dir     string         `json:"dir,omitempty"`
	Card    *datasets.Card `json:"card,omitempty"`
	Error   string         `json:"error,omitempty"`
	Public  *publicJSON    `json:"public,omitempty"`
	Remarks []string       `json:"remarks,omitempty"` // show only
}

// publicJSON is an entry of the catalogue.
type publicJSON struct {
	Title   string `json:"title"`
	T       int    `json:"steps"`
	N       int    `json:"nodes"`
	Step    string `json:"step"`
	Unit    string `json:"unit"`
	Licence string `json:"licence"`
	Source  string `json:"source"`
	Tried   bool   `json:"tried"`
	How     string `json:"how"`
}

func public(e datasets.Entry) *publicJSON {
	p := &publicJSON{Title: e.Title, T: e.T, N: e.N, Step: e.Step.String(), Unit: e.Unit, Licence: e.Licence, Source: e.Source, Tried: e.Tried,
		How: "stprune data get " + e.Name}
	if e.ByHand != "" {
		p.How = (&datasets.ByHandError{Entry: e}).Error()
	}
	return p
}

func (c *dataListCmd) Run() error {
	all, here := []listedJSON{}, map[string]bool{}
	for _, l := range datasets.List(nil) {
		d := listedJSON{Name: l.Name, Status: "here", Dir: l.Dir, Card: &l.Card}
		if l.Err != nil {
			d.Status, d.Error, d.Card = "broken", l.Err.Error(), nil
		}
		here[l.Name] = true
		all = append(all, d)
	}
	for _, e := range datasets.Catalogue() {
		if here[e.Name] {
			continue
		}
		d := listedJSON{Name: e.Name, Status: "get", Public: public(e)}
		if e.ByHand != "" {
			d.Status = "by hand"
		}
		all = append(all, d)
	}
	if c.JSON {
		return printJSON(os.Stdout, all)
	}
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "data set\tstatus\tsteps × nodes\tstep\tmissing\tedges\tunit\tlicence")
	for _, d := range all {
		switch {
		case d.Card != nil:
			fmt.Fprintf(t, "%s\there\t%d × %d\t%s\t%.3g %%\t%d\t%s\t%s\n", d.Name, d.Card.T, d.Card.N, cardStep(d.Card.Step), 100*d.Card.MissingShare, d.Card.Edges,
				oneLine(d.Card.Unit), oneLine(d.Card.Licence))
		case d.Public != nil:
			status := d.Status
			if !d.Public.Tried {
				status += ", untried"
			}
			fmt.Fprintf(t, "%s\t%s\t%d × %d\t%s\t\t\t%s\t%s\n", d.Name, status, d.Public.T, d.Public.N, cardStep(d.Public.Step), d.Public.Unit, d.Public.Licence)
		default:
			fmt.Fprintf(t, "%s\tbroken: %s\t\t\t\t\t\t\n", d.Name, oneLine(d.Error))
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Printf("\nhere: in %s\n", strings.Join(datasets.Folders(), ", "))
	fmt.Println("get: 'stprune data get NAME' downloads it; by hand: the same command says how")
	fmt.Println("untried: written after the source's documentation, not yet run against the source itself")
	return nil
}

type dataShowCmd struct {
	Name string `arg:"" help:"Name of a data set, or its folder."`
	JSON bool   `help:"Print JSON."`
}

func (c *dataShowCmd) Run() error {
	dir, err := datasets.Find(c.Name, nil)
	if err != nil {
		for _, e := range datasets.Catalogue() {
			if e.Name == c.Name {
				return c.showPublic(e)
			}
		}
		return err
	}
	s, err := datasets.Open(dir)
	if err != nil {
		return err
	}
	card, err := datasets.OpenCard(dir)
	if err != nil {
		return err
	}
	remarks := datasets.Remarks(s)
	if c.JSON {
		return printJSON(os.Stdout, listedJSON{Name: filepath.Base(dir), Status: "here", Dir: dir, Card: &card, Remarks: remarks})
	}
	return introduce(dir, remarks)
}

// showPublic shows a data set that isn't here yet.
func (c *dataShowCmd) showPublic(e datasets.Entry) error {
	p := public(e)
	if c.JSON {
		d := listedJSON{Name: e.Name, Status: "get", Public: p}
		if e.ByHand != "" {
			d.Status = "by hand"
		}
		return printJSON(os.Stdout, d)
	}
	fmt.Printf("%s: %s\n%d steps × %d nodes, a row each %s, %s\nlicence: %s\nsource:  %s\n\nIt is not here yet. ", e.Name, e.Title, e.T, e.N, step(e.Step), e.Unit, e.Licence, e.Source)
	if e.ByHand == "" {
		fmt.Printf("Get it with: %s\n", p.How)
	} else {
		fmt.Println(p.How)
	}
	if !e.Tried {
		fmt.Println("Untried: this follows the source's documentation; it was not yet run against the source itself.")
	}
	return nil
}

type dataGetCmd struct {
	Name string `arg:"" help:"Name of a public data set; 'stprune data list' lists them."`
	To   string `type:"path" placeholder:"FOLDER" help:"Folder of data sets; default: the first of STPRUNE_DATA, or the user's cache folder."`
}

func (c *dataGetCmd) Run(ctx context.Context) error {
	folder := target{To: c.To}.folder()
	show := newTransfer(os.Stderr, c.Name)
	_, err := datasets.Get(ctx, c.Name, folder, show.progress)
	show.done()
	if err != nil {
		return err
	}
	dir, err := datasets.Find(c.Name, []string{folder})
	if err != nil {
		return err
	}
	s, err := datasets.Open(dir, datasets.Unverified())
	if err != nil {
		return err
	}
	return introduce(dir, datasets.Remarks(s))
}

type dataSynthCmd struct {
	Name string `help:"Name of the data set. Default: city-NODES-seedSEED."`

	Nodes int    `default:"24" help:"Sensors."`
	Days  int    `default:"28" help:"Days."`
	Seed  uint64 `default:"1" help:"Equal settings and seeds give equal cities."`
	Step  step   `default:"5m" help:"Time between two rows, from 1m to 1h; divides a day."`
	Start start  `default:"2024-01-01" help:"First row."`
	Unit  string `default:"mph" enum:"mph,km/h" help:"Unit of the speeds: mph or km/h."`

	Demand    float64 `default:"1.2" help:"Utilisation that a quarter of the roads would exceed at the weekday peaks, above 0 and up to 3."`
	Incidents *number `placeholder:"NODES/8" help:"Expected incidents per weekday in the whole city; 0: none."`
	Wet       float64 `default:"0.15" help:"Share of days with rain; 0: none."`
	Noise     float64 `default:"0.8" help:"Standard deviation of a reading, mph; 0: none."`
	Dropout   float64 `default:"0.02" help:"Share of missing readings, at most 0.9; 0: none."`

	target
}

func (c *dataSynthCmd) Run(ctx context.Context) error {
	none := func(v float64) float64 { // a 0 that is asked for is none; in the configuration it is the default
		if v == 0 {
			return -1
		}
		return v
	}
	if c.Nodes < 1 || c.Days < 1 {
		return fmt.Errorf("--nodes %d, --days %d; both must be at least 1", c.Nodes, c.Days)
	}
	name := cmp.Or(c.Name, fmt.Sprintf("city-%d-seed%d", c.Nodes, c.Seed))
	dir, err := c.dir(name)
	if err != nil {
		return err
	}
	incidents := float64(c.Nodes) / 8
	if c.Incidents != nil {
		incidents = float64(*c.Incidents)
	}
	s, _, err := synth.CityContext(ctx, synth.Config{
		Nodes: c.Nodes, Days: c.Days, Seed: c.Seed, Step: time.Duration(c.Step), Start: time.Time(c.Start), Unit: c.Unit,
		Demand: none(c.Demand), Incidents: none(incidents), Wet: none(c.Wet), Noise: none(c.Noise), Dropout: none(c.Dropout),
	})
	if err != nil {
		return err
	}
	s.Name = name
	card := datasets.Card{
		Licence: "CC0 1.0", Source: "stprune data synth (cell-transmission model on a random road map)",
		Note: fmt.Sprintf("%d nodes, %d days, seed %d, demand %g, incidents %g, wet %g, noise %g, dropout %g", c.Nodes, c.Days, c.Seed, c.Demand, incidents, c.Wet, c.Noise, c.Dropout),
	}
	if err := datasets.Save(dir, s, card); err != nil {
		return err
	}
	return introduce(dir, nil)
}

type dataVerifyCmd struct {
	Names []string `arg:"" optional:"" name:"name" help:"Names of data sets, or their folders. Default: all that are here."`
	JSON  bool     `help:"Print JSON."`
}

// verifiedJSON is a data set that was verified; error is empty when every file is as its card says.
type verifiedJSON struct {
	Name  string `json:"name"`
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
}

func (c *dataVerifyCmd) Run(ctx context.Context) error {
	names := c.Names
	if len(names) == 0 {
		for _, l := range datasets.List(nil) {
			names = append(names, l.Name)
		}
	}
	if len(names) == 0 && !c.JSON {
		fmt.Println("no data set is in", strings.Join(datasets.Folders(), ", "))
	}
	var failed []error
	verified := []verifiedJSON{}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		dir, err := datasets.Find(name, nil)
		if err == nil {
			err = datasets.Verify(dir)
		}
		if err != nil {
			failed = append(failed, err)
			verified = append(verified, verifiedJSON{Name: name, Error: err.Error()})
			continue
		}
		verified = append(verified, verifiedJSON{Name: name, OK: true})
		if !c.JSON {
			fmt.Printf("%s: every file is as its card says\n", name)
		}
	}
	if c.JSON {
		failed = append(failed, printJSON(os.Stdout, verified))
	}
	return errors.Join(failed...)
}

// transfer shows how far files are read or downloaded: a moving bar on a terminal, elsewhere a line now and then.
type transfer struct {
	out   *os.File
	title string
	bar   *progressbar.ProgressBar
	file  string
	said  time.Time
}

func newTransfer(out *os.File, title string) *transfer {
	return &transfer{out: out, title: title, said: time.Now()}
}

func (t *transfer) progress(file string, done, total int64) {
	if !term.IsTerminal(int(t.out.Fd())) {
		if time.Since(t.said) >= 10*time.Second {
			t.said = time.Now()
			if total > 0 {
				fmt.Fprintf(t.out, "%s: %s, %d of %d MB\n", t.title, file, done/1e6, total/1e6)
			} else {
				fmt.Fprintf(t.out, "%s: %s, %d MB\n", t.title, file, done/1e6)
			}
		}
		return
	}
	if t.bar == nil || t.file != file {
		t.done()
		t.file = file
		t.bar = progressbar.NewOptions64(cmp.Or(total, -1), progressbar.OptionSetWriter(t.out), progressbar.OptionSetDescription(t.title+": "+file),
			progressbar.OptionShowBytes(true), progressbar.OptionSetWidth(24), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
	}
	_ = t.bar.Set64(done) // only drawing
}

// done takes the bar away.
func (t *transfer) done() {
	if t.bar != nil {
		_ = t.bar.Clear() // only drawing
		t.bar = nil
	}
}
