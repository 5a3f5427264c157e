package diagnose

import (
	"fmt"
	"math"
	"strings"

	"github.com/stprune/workbench/stprune/stats"
)

// Value is one number of a diagnosis, beside the one that it is compared with.
type Value struct {
	Topic   string   // kept, overlap, errors, gradient or gradient-path
	By      string   // what groups are by, such as the hour, or the method that is compared with
	Of      string   // what the number is, such as the MAE
	Group   string   // that it is of
	Value   float64  // of the run
	Against *float64 // of the other run; nil: it is compared with nothing
}

// Values are the MAE of each group.
func (e GroupErrors) Values() []Value {
	var all []Value
	for _, g := range []struct {
		by     string
		groups []GroupError
	}{
		{"all", []GroupError{e.All}}, {"hour", e.Hour}, {"horizon", e.Horizon}, {"node's error in the other run", e.NodeError},
		{"node's mean value", e.NodeLevel}, {"congestion", e.Congestion}, {"windows worst in the other run", e.Rare},
		{"worst windows of each run", e.Own}, {"windows worst in both runs together", e.Both},
	} {
		for _, x := range g.groups {
			all = append(all, Value{"errors", g.by, "MAE", x.Label, x.MAE, &x.Against})
		}
	}
	return all
}

// Values are the kept share and the weight of each group, beside those of another run unless against is nil.
func (s Shares) Values(against *Shares) []Value {
	all := []Value{{"kept", "all", "kept share", "all", s.Kept, nil}}
	var other Shares
	if against != nil {
		other, all[0].Against = *against, &against.Kept
	}
	for _, g := range []struct {
		by           string
		mine, theirs []Share
	}{
		{"hour", s.Hour, other.Hour}, {"weekday", s.Weekday, other.Weekday}, {"congestion", s.Congestion, other.Congestion},
		{"node's mean value", s.Node, other.Node},
	} {
		var weights []Value
		for i, x := range g.mine {
			kept := Value{"kept", g.by, "kept share", x.Label, x.Kept, nil}
			weight := Value{"kept", g.by, "weight", x.Label, x.Weight, nil}
			if against != nil && i < len(g.theirs) { // groups are of the data, so that both runs have the same
				kept.Against, weight.Against = &g.theirs[i].Kept, &g.theirs[i].Weight
			}
			all, weights = append(all, kept), append(weights, weight)
		}
		all = append(all, weights...)
	}
	return all
}

// OverlapValues are the Jaccard indices, beside what chance gives, and the units of the first set beside those of the second.
func OverlapValues(overlaps []Overlap) []Value {
	var all, units []Value
	for _, o := range overlaps {
		epoch := "any epoch"
		if o.Epoch > 0 {
			epoch = fmt.Sprintf("epoch %d", o.Epoch)
		}
		all = append(all, Value{"overlap", "epoch", "Jaccard", epoch, o.Jaccard, &o.Expected})
		b := float64(o.B)
		units = append(units, Value{"overlap", "epoch", "units", epoch, float64(o.A), &b})
	}
	return append(all, units...)
}

// Values are those of each method's draws, beside uniform samples. Run 1 is that of the first choice that was measured.
func (g Gradients) Values() []Value {
	var all []Value
	for i := 0; i+1 < len(g.Draws); i += 2 {
		mine, uniform := g.Draws[i], g.Draws[i+1]
		by := fmt.Sprintf("selections of run %d", i/2+1) // names may tell the seed
		for _, x := range []struct {
			of   string
			a, b float64
		}{
			{"cosine", mine.Cosine.Mean, uniform.Cosine.Mean}, {"size", mine.Size.Mean, uniform.Size.Mean}, {"error", mine.Error.Mean, uniform.Error.Mean},
			{"error of the mean", mine.MeanError, uniform.MeanError}, {"noise of the mean", mine.Noise, uniform.Noise}, {"bias", mine.Bias, uniform.Bias},
		} {
			all = append(all, Value{"gradient", by, "gradient", x.of, x.a, &x.b})
		}
	}
	return all
}

// PathValues are those of each epoch's selection, beside the means of the uniform samples.
func PathValues(points []PathPoint) []Value {
	var all []Value
	for _, x := range []struct {
		of   string
		from func(Draws) float64
	}{
		{"cosine", func(d Draws) float64 { return d.Cosine.Mean }}, {"size", func(d Draws) float64 { return d.Size.Mean }},
		{"error", func(d Draws) float64 { return d.Error.Mean }},
	} {
		for _, p := range points {
			uniform := x.from(p.Uniform)
			all = append(all, Value{"gradient-path", "epoch", x.of, fmt.Sprint("epoch ", p.Epoch), x.from(p.Kept), &uniform})
		}
	}
	return all
}

// Summary is a number over several pairs of runs, usually under the same seeds.
type Summary struct {
	Topic      string  `json:"topic"`
	By         string  `json:"by"`
	Of         string  `json:"of"`
	Group      string  `json:"group"`
	Pairs      int     `json:"pairs"` // that have the group
	Value      Mean    `json:"value"` // standard deviations are over pairs
	Comparison *Paired `json:"comparison,omitempty"`
}

// Paired compares a [Summary]'s number pair by pair.
type Paired struct {
	Against    Mean    `json:"against"`
	Difference Mean    `json:"difference"` // value − against
	Lower      int     `json:"lower"`      // pairs in which the value is the smaller one
	P          float64 `json:"p"`          // of [stats.SignFlip], not adjusted for the number of groups
}

// rounding is the share up to which a difference is one of summing up in another order, and counts as none.
const rounding = 1e-9

// Summarise takes the values of each pair of runs. Groups are the same where their labels are up to ": ", since the bounds of
// deciles may differ between runs; such a label is then cut there.
func Summarise(pairs [][]Value) ([]Summary, error) {
	type key struct{ topic, by, of, group string }
	var order []key
	found := map[key][]Value{}
	for _, values := range pairs {
		for _, v := range values {
			group, _, _ := strings.Cut(v.Group, ": ")
			k := key{v.Topic, v.By, v.Of, group}
			if found[k] == nil {
				order = append(order, k)
			}
			found[k] = append(found[k], v)
		}
	}
	var all []Summary
	for _, k := range order {
		s := Summary{Topic: k.topic, By: k.by, Of: k.of, Group: found[k][0].Group, Pairs: len(found[k])}
		var value, against, difference []float64
		lower := 0
		for _, v := range found[k] {
			if v.Group != s.Group {
				s.Group = k.group
			}
			value = append(value, v.Value)
			if v.Against == nil {
				continue
			}
			d := v.Value - *v.Against
			if math.Abs(d) <= rounding*math.Abs(*v.Against) {
				d = 0
			}
			against, difference = append(against, *v.Against), append(difference, d)
			if d < 0 {
				lower++
			}
		}
		s.Value = newMean(value)
		if len(difference) > 0 {
			p, err := stats.SignFlip(difference)
			if err != nil {
				return nil, fmt.Errorf("%s by %s, %s: %w", k.topic, k.by, s.Group, err)
			}
			s.Comparison = &Paired{newMean(against), newMean(difference), lower, p}
		}
		all = append(all, s)
	}
	return all, nil
}
