package train

import (
	"errors"
	"strings"
	"testing"

	"github.com/stprune/workbench/stprune"
)

// refusing is a pruner that refuses what it observes from some call on.
type refusing struct {
	stprune.Pruner
	after int
}

func (r *refusing) Observe(ids []int32, stats stprune.Stats) error {
	if r.after--; r.after < 0 {
		return errors.New("refused")
	}
	return r.Pruner.Observe(ids, stats)
}

func TestRefusedObservationEndsTraining(t *testing.T) {
	for after, want := range map[int]string{0: "epoch 1, step 1: refused", 2: "epoch 1, step 3: refused", 6: "epoch 2, step 1: refused"} {
		tr := trainer(t, open(t, "go"), config(), false, func(units int) stprune.Pruner { return &refusing{full(units), after} })
		err := tr.Run(t.Context(), Events{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("after %d observations: error %v, want %q", after, err, want)
		}
	}
}
