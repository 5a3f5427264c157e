package lab

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReplay(t *testing.T) {
	_, err := small(t, func(l *Lab) {
		specs := tiny(append(l.FourWays("small", 0.2)[:1], Methods(Spec("small"), "random")...))
		random := specs[1]
		random.Prune.Rho = 0.2
		full, trained := l.Run(specs[0]), l.Run(random)

		top := Methods(random, "st-prune")[0]
		top.Name = "top"
		l.Fail(top.Set("prune.score=complexity", "prune.selector=top+rest", "prune.alpha=1", "prune.min_units=1"))
		other := top
		other.Name = "top, λ 0 and 9"
		l.Fail(other.Set("prune.lambda_s=0", "prune.lambda_t=9"))
		table := l.Replay(full, random, top, other)
		l.ShowTable(table)
		if len(table.Rows) != 3 || table.Rows[0][0] != "random" || table.Rows[2][0] != other.Name {
			t.Fatalf("rows %v", table.Rows)
		}
		number := func(row, column int) (v float64) {
			if _, err := fmt.Sscan(strings.TrimSuffix(table.Rows[row][column], " %"), &v); err != nil {
				t.Errorf("row %d, column %d: %q", row, column, table.Rows[row][column])
			}
			return v
		}
		const kept, effective, score, ever, repeated = 1, 2, 4, 5, 6
		for row := range table.Rows {
			if k := number(row, kept); math.Abs(k-20) > 1 {
				t.Errorf("%v keeps %v %%", table.Rows[row], k)
			}
		}
		switch {
		case !(number(1, score) > number(0, score)+0.1 && number(1, score) > number(2, score)):
			t.Errorf("by complexity the kept have not the highest: %v", table.Rows)
		case number(0, effective) != 100:
			t.Errorf("random choice has unequal weights: %v", table.Rows[0])
		case !(number(1, ever) < number(0, ever) && number(1, repeated) > number(0, repeated)):
			t.Errorf("the top is not repeated more than random choice: %v", table.Rows)
		}

		// Random choice uses no scores: what it would keep is what the run has kept.
		l.Show("week", l.KeptWeek(trained))
		l.Show("replay", l.ReplayWeek(full, random))
		if a, b := shownPicture(t, l, "week"), shownPicture(t, l, "replay"); a != b {
			t.Error("the replay of random choice has another week than its run")
		}
		l.Show("other", l.ReplayWeek(full, top))
		if a, b := shownPicture(t, l, "week"), shownPicture(t, l, "other"); a == b {
			t.Error("the top of the scores has the week of random choice")
		}

		for want, draw := range map[string]func(l *Lab){
			"prunes no epoch": func(l *Lab) { l.Replay(full, specs[0]) },
			"method full":     func(l *Lab) { l.Replay(trained, random) },
			"train.unit":      func(l *Lab) { l.ReplayWeek(full, Pairs(random, 3)) },
		} {
			endsCell(t, l, want, draw)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// shownPicture reads a figure that was shown.
func shownPicture(t *testing.T, l *Lab, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(l.Figures, name+".png"))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
