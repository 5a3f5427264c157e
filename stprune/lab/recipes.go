package lab

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/datasets/synth"
	"github.com/stprune/workbench/stprune/optim"
	"github.com/stprune/workbench/stprune/run"
	"github.com/stprune/workbench/stprune/train"
)

// City is the data set "city": the synthetic city of [synth.Config]'s defaults (24 sensors, four weeks at 5 minutes); see [Lab.Synthetic].
func (l *Lab) City() *datasets.Series { return l.Synthetic("city", synth.Config{}) }

// Synthetic is the data set called name: a synthetic city, kept in the first data folder and made, within a second, when it is not
// there yet. With STPRUNE_CITY=small in the environment, as in the tests, cities are made with at most 6 sensors and 7 days.
func (l *Lab) Synthetic(name string, c synth.Config) *datasets.Series {
	if os.Getenv("STPRUNE_CITY") == "small" {
		c.Nodes, c.Days = min(6, cmp.Or(c.Nodes, 6)), min(7, cmp.Or(c.Days, 7))
	}
	if _, err := datasets.Find(name, l.Folders); err != nil {
		if !errors.Is(err, datasets.ErrNotFound) {
			l.Fail(err)
		}
		s, _, err := synth.CityContext(l.ctx, c)
		l.Fail(err)
		s.Name = name
		source := "synthetic city, default settings"
		if c != (synth.Config{}) {
			source = fmt.Sprintf("synthetic city, %+v", c)
		}
		l.Fail(datasets.Save(filepath.Join(l.Folders[0], name), s, datasets.Card{Licence: "CC0-1.0", Source: source}))
	}
	return l.Series(name)
}

// Spec is a STID run on a data set: full data, windows, 20 epochs, Adam from 2e-3 along a cosine over the planned steps.
// Change what differs with [run.Spec.Set] or in its fields.
func Spec(data string) run.Spec {
	s := run.DefaultSpec()
	s.Data.Name = data
	s.Optim.LR = 2e-3
	s.Schedule = optim.Schedule{Kind: "cosine", By: "step", Floor: 0.02, Milestones: []int{}}
	return s
}

// Pairs makes a spec train on (window, node) pairs, as many in a batch as 16 whole windows of that many nodes hold: few enough
// for many steps, enough to compute well (method section 11).
func Pairs(s run.Spec, nodes int) run.Spec {
	s.Train.Unit = train.Pair
	s.Train.Batch = 16 * nodes
	return s
}

// FourWays are the runs that say at once whether pruning pays on a data set: full data; full data with a quarter of the
// epochs, the control that counts; ST-Prune at retention rho by (window, node) pairs; and uniform random windows at the same
// retention and schedule.
func (l *Lab) FourWays(data string, rho float64) []run.Spec {
	full := Spec(data)
	full.Name = "full data"

	fewer := Spec(data)
	fewer.Name = "full data, fewer epochs"
	fewer.Train.Epochs = full.Train.Epochs / 4

	pruned := Pairs(Spec(data), l.Series(data).N)
	pruned.Name = fmt.Sprintf("ST-Prune %g %%, pairs", 100*rho)
	pruned.Prune.Method, pruned.Prune.Rho = "st-prune", rho

	random := Spec(data)
	random.Name = fmt.Sprintf("random %g %%, windows", 100*rho)
	random.Prune.Method, random.Prune.Rho = "random", rho
	return []run.Spec{full, fewer, pruned, random}
}

// Seeds is the spec under seeds 1 to n, for intervals and tests over seeds.
func (l *Lab) Seeds(s run.Spec, n int) []run.Spec {
	var all []run.Spec
	for seed := range n {
		s.Train.Seed = uint64(seed + 1)
		all = append(all, s)
	}
	return all
}

// Ratios is the spec at each retention ratio, which its name then tells.
func (l *Lab) Ratios(s run.Spec, rhos ...float64) []run.Spec {
	var all []run.Spec
	for _, rho := range rhos {
		other := s
		other.Name = strings.TrimSpace(s.Name + percent(rho))
		other.Prune.Rho = rho
		all = append(all, other)
	}
	return all
}

// percent is how names tell a retention ratio.
func percent(rho float64) string { return fmt.Sprintf(" %.6g %%", 100*rho) }
