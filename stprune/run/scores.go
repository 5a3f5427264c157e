package run

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/stprune/workbench/stprune"
	"github.com/stprune/workbench/stprune/train"
)

// Scores say how hard the training units were, as measured by the training steps up to the end of an epoch.
type Scores struct {
	Windows Difficulty  // of every training window
	Nodes   *Difficulty // of every node; nil unless the unit is a pair
}

// Difficulty is measured where a window, or a node, was last visited; NaN where it never was. When the unit is a pair or
// a block, it is the mean over those visited in the last epoch that visited any of the window, or of the node. Units count 1/π times
// where the method gives their inclusion probability π.
type Difficulty struct {
	Level []float32 // masked mean absolute error, z-scored units
	// Complexity is s = m + λs·d + λt·t + λg·g (method section 2), with the run's λ if its method selects by them, else with
	// the defaults; so runs of different methods compare. The selection's memory β is not in it.
	Complexity []float32
	// Coherence is the sign coherence of the errors (see [stprune.Coherence]); nil in runs that were begun before it was recorded.
	Coherence []float32
	// Spatial is the spatial dispersion d of the complexity, as runs on all data have it, so that other λ can be replayed; nil in runs
	// of pruning methods, and in runs that were begun before it was recorded. With the default λ of these runs the temporal
	// dispersion is what the complexity has beyond level and spatial.
	Spatial []float32
	// Weight is Σ1/π over the units visited in this epoch; 0 where there were none. A mean over many windows by these weights
	// is a mean over all units, although the method prefers some.
	Weight []float32
}

// recorder follows what the training steps measure.
type recorder struct {
	lambda    [3]float32 // of spatial, temporal, rough
	perWindow int        // units per window
	windows   tally
	nodes     *tally
}

// The values of a tally.
const (
	tallyLevel = iota
	tallyComplexity
	tallyCoherence
	tallySpatial
	tallyValues
)

// tally holds last values, and the weighted sums of the epoch under way.
type tally struct {
	last, sum         [tallyValues][]float32
	weight, sumWeight []float32
}

func newTally(n int) tally {
	t := tally{weight: make([]float32, n), sumWeight: make([]float32, n)}
	for v := range t.last {
		t.last[v], t.sum[v] = make([]float32, n), make([]float32, n)
		for i := range n {
			t.last[v][i] = float32(math.NaN())
		}
	}
	return t
}

func newRecorder(s Spec, windows, perWindow int) *recorder {
	c := stprune.DefaultConfig()
	if s.Prune.Method == "st-prune" && s.Prune.Score == "complexity" {
		c = s.Prune.Config
	}
	r := &recorder{
		lambda:    [3]float32{float32(c.LambdaS), float32(c.LambdaT), float32(c.LambdaG)},
		perWindow: perWindow, windows: newTally(windows),
	}
	if perWindow > 1 && s.Train.Unit != train.Block {
		nodes := newTally(perWindow)
		r.nodes = &nodes
	}
	if s.Prune.Method != "full" { // whose scores alone can be replayed
		r.without(tallySpatial)
	}
	return r
}

// observe takes the statistics of a training step, and the units' inclusion probabilities; nil counts as 1.
func (r *recorder) observe(ids []int32, prob []float32, stats stprune.Stats) {
	for i, id := range ids {
		weight := float32(1)
		if prob != nil {
			weight = 1 / prob[i]
		}
		row := stats[i*stprune.NumStats : (i+1)*stprune.NumStats]
		var values [tallyValues]float32
		values[tallyLevel], values[tallyCoherence], values[tallySpatial] = row[stprune.Level], row[stprune.Coherence], row[stprune.Spatial]
		values[tallyComplexity] = row[stprune.Level] + r.lambda[0]*row[stprune.Spatial] + r.lambda[1]*row[stprune.Temporal] + r.lambda[2]*row[stprune.Rough]
		r.windows.add(int(id)/r.perWindow, weight, values)
		if r.nodes != nil {
			r.nodes.add(int(id)%r.perWindow, weight, values)
		}
	}
}

func (t *tally) add(i int, weight float32, values [tallyValues]float32) {
	for v, sum := range t.sum {
		if sum != nil {
			sum[i] += weight * values[v]
		}
	}
	t.sumWeight[i] += weight
}

// endEpoch makes the means of the epoch the last values.
func (r *recorder) endEpoch() {
	r.windows.endEpoch()
	if r.nodes != nil {
		r.nodes.endEpoch()
	}
}

func (t *tally) endEpoch() {
	for i, w := range t.sumWeight {
		if t.weight[i] = w; w <= 0 {
			continue
		}
		for v, sum := range t.sum {
			if sum != nil {
				t.last[v][i], sum[i] = sum[i]/w, 0
			}
		}
		t.sumWeight[i] = 0
	}
}

func (r *recorder) scores() Scores {
	s := Scores{Windows: r.windows.difficulty()}
	if r.nodes != nil {
		nodes := r.nodes.difficulty()
		s.Nodes = &nodes
	}
	return s
}

func (t *tally) difficulty() Difficulty {
	return Difficulty{
		Level: t.last[tallyLevel], Complexity: t.last[tallyComplexity], Coherence: t.last[tallyCoherence], Spatial: t.last[tallySpatial], Weight: t.weight,
	}
}

// tallies in the order in which they are saved.
func (r *recorder) tallies() []*tally {
	if r.nodes == nil {
		return []*tally{&r.windows}
	}
	return []*tally{&r.windows, r.nodes}
}

// columns in the order in which they are saved. Those of coherence and spatial come last, as they came later.
func (t *tally) columns() [][]float32 {
	all := [][]float32{t.last[tallyLevel], t.last[tallyComplexity], t.weight, t.sum[tallyLevel], t.sum[tallyComplexity], t.sumWeight}
	for _, v := range []int{tallyCoherence, tallySpatial} {
		if t.last[v] != nil {
			all = append(all, t.last[v], t.sum[v])
		}
	}
	return all
}

func (r *recorder) size() int {
	n := 0
	for _, t := range r.tallies() {
		n += 4 * len(t.columns()) * len(t.weight)
	}
	return n
}

// without leaves a value out.
func (r *recorder) without(value int) {
	for _, t := range r.tallies() {
		t.last[value], t.sum[value] = nil, nil
	}
}

// appendState saves the recorder exactly, also in the middle of an epoch.
func (r *recorder) appendState(b []byte) []byte {
	for _, t := range r.tallies() {
		for _, column := range t.columns() {
			for _, v := range column {
				b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
			}
		}
	}
	return b
}

// restore takes what appendState wrote, exactly. A run that was begun before spatial, or coherence, was recorded goes on without.
func (r *recorder) restore(b []byte) error {
	for _, later := range []int{tallySpatial, tallyCoherence} {
		if len(b) != r.size() {
			r.without(later)
		}
	}
	if len(b) != r.size() {
		return fmt.Errorf("%d bytes of scores; this run has %d", len(b), r.size())
	}
	for _, t := range r.tallies() {
		for _, column := range t.columns() {
			for i := range column {
				column[i] = math.Float32frombits(binary.LittleEndian.Uint32(b))
				b = b[4:]
			}
		}
	}
	return nil
}

// laterColumns are those that older runs lack, in the order in which they came.
var laterColumns = []func(*Difficulty) *[]float32{
	func(d *Difficulty) *[]float32 { return &d.Coherence },
	func(d *Difficulty) *[]float32 { return &d.Spatial },
}

// encodeScores writes the numbers of windows and of nodes (0: none), then level, complexity and weight of each, then the coherence of
// each, and spatial where there is one. An epoch's selection is written before them and refuses more than [maxWindows].
func encodeScores(s Scores) []byte {
	b := binary.AppendUvarint(nil, uint64(len(s.Windows.Level)))
	nodes := 0
	all := []*Difficulty{&s.Windows}
	if s.Nodes != nil {
		nodes = len(s.Nodes.Level)
		all = append(all, s.Nodes)
	}
	b = binary.AppendUvarint(b, uint64(nodes))
	for _, d := range all {
		b = appendColumn(appendColumn(appendColumn(b, d.Level), d.Complexity), d.Weight)
	}
	for _, of := range laterColumns {
		for _, d := range all {
			if column := *of(d); column != nil {
				b = appendColumn(b, column)
			}
		}
	}
	return b
}

func decodeScores(b []byte) (Scores, error) {
	var sizes [2]int
	for i := range sizes {
		v, n := binary.Uvarint(b)
		if n <= 0 || v > maxWindows {
			return Scores{}, fmt.Errorf("a length is missing or above %d", maxWindows)
		}
		sizes[i], b = int(v), b[n:]
	}
	var s Scores
	all := []*Difficulty{&s.Windows}
	if sizes[1] > 0 {
		s.Nodes = new(Difficulty)
		all = append(all, s.Nodes)
	}
	var err error
	for i, d := range all {
		for _, column := range []*[]float32{&d.Level, &d.Complexity, &d.Weight} {
			if *column, b, err = readColumn(b, sizes[i]); err != nil {
				return Scores{}, err
			}
		}
	}
	for _, of := range laterColumns {
		if len(b) == 0 {
			return s, nil
		}
		for i, d := range all {
			column := of(d)
			if *column, b, err = readColumn(b, sizes[i]); err != nil {
				return Scores{}, err
			}
		}
	}
	if len(b) != 0 {
		return Scores{}, fmt.Errorf("%d bytes follow its end", len(b))
	}
	return s, nil
}
