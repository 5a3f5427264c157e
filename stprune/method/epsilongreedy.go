package method

import (
	"math"
	"math/rand/v2"

	"github.com/stprune/workbench/stprune"
)

var epsilonGreedy = Method{
	Name: "epsilon-greedy", Kind: Dynamic,
	Paper:   "Raju, Daruwalla and Lipasti, arXiv 2111.12621; code sodabori/dataset_pruning@55a2292",
	Rule:    "the (1−ε)k units with the highest running loss and εk others drawn uniformly, each with weight 1; chosen anew every 10 epochs",
	Cost:    "O(n) time, 8 bytes a unit",
	Differs: "losses come from the training steps, not from forward passes of all units before each choice; a first visit sets the running loss instead of moving it from 1; units never visited come first; epochs of a choice count from the end of the warm-up; where the retention rises, units are chosen anew",
	Exact:   true,
	Options: []Option{
		{Key: "epsilon", Default: 0.1, Low: 0, High: 1, Doc: "share of the kept units that is drawn uniformly from the others"},
		optionAlpha, optionEvery,
	},
	New: func(s Setup) (stprune.Pruner, error) { return newGreedy("epsilon-greedy", s, s.float("epsilon")) },
}

// Options that UCB has too.
var (
	optionAlpha = Option{Key: "alpha", Default: 0.8, Low: 0, High: 1, Doc: "share of the new loss in the running loss"}
	optionEvery = Option{Key: "every", Default: 10, Low: 1, High: math.MaxInt32, Doc: "epochs until units are chosen anew"}
)

// greedy keeps what looks hardest, for several epochs.
type greedy struct {
	losses
	choose stprune.Selector
	first  int // first epoch after the warm-up
	every  int

	// last [n] is the epoch, counted from 1, in which a unit was visited last; 0 before its first visit. It holds the choice
	// between the epochs in which units are chosen anew, and is told from the scheduled number of visits. nil if every is 1.
	last []float32
	now  int // the latest epoch in last, and how many units were visited in it
	seen int

	// UCB only, see its score.
	confidence float32
	variance   []float32 // [n] running square of the deviation from the running loss
}

func newGreedy(name string, s Setup, epsilon float64) (*greedy, error) {
	l, err := newLosses(name, s, 1-s.float("alpha"))
	if err != nil {
		return nil, err
	}
	p := &greedy{losses: l, choose: stprune.Config{Selector: "top+rest", Alpha: 1 - epsilon}.Draw(), first: s.Config.WarmUp, every: s.int("every")}
	if p.every > 1 {
		p.last = p.column(0)
	}
	return p, nil
}

func (p *greedy) Observe(ids []int32, stats stprune.Stats) error {
	if err := stprune.CheckObservation(p.Units(), ids, stats); err != nil {
		return err
	}
	for j, id := range ids {
		loss := stats[j*stprune.NumStats+stprune.Level]
		if old := p.loss[id]; p.variance != nil && old != unseen {
			d := loss - old
			p.variance[id] = min(math.MaxFloat32, p.beta*p.variance[id]+(1-p.beta)*d*d)
		}
		p.remember(id, loss)
		if p.last != nil {
			if p.seen == p.Keep(p.now-1) {
				p.now, p.seen = p.now+1, 0
			}
			p.last[id] = float32(p.now)
			p.seen++
		}
	}
	return nil
}

func (p *greedy) Plan(epoch int) (stprune.Selection, error) {
	return p.plan(epoch, func(r *rand.Rand, k int) stprune.Selection {
		ids := p.held(epoch, k)
		if ids == nil {
			ids, _ = p.choose(r, p.score(), k)
		}
		return selected(p.Units(), ids, nil, nil)
	})
}

func (p *greedy) score() []float32 {
	if p.variance == nil {
		return p.compared()
	}
	return p.upperBound()
}

// held is the choice of the epoch before, where it still stands.
func (p *greedy) held(epoch, k int) []int32 {
	if p.last == nil || (epoch-p.first)%p.every == 0 {
		return nil
	}
	ids := make([]int32, 0, k)
	for i, e := range p.last {
		if int(e) == epoch { // epochs in last count from 1
			ids = append(ids, int32(i))
		}
	}
	if len(ids) != k {
		return nil
	}
	return ids
}

func (p *greedy) UnmarshalBinary(data []byte) error {
	if err := p.losses.UnmarshalBinary(data); err != nil {
		return err
	}
	p.now, p.seen = 0, 0
	for _, e := range p.last {
		switch {
		case int(e) > p.now:
			p.now, p.seen = int(e), 1
		case e > 0 && int(e) == p.now:
			p.seen++
		}
	}
	return nil
}
