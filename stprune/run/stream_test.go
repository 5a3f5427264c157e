package run

import (
	"reflect"
	"testing"
)

// A run whose series is streamed is the run whose series is on the device: in id, epochs and results.
func TestStreamedRunIsTheSame(t *testing.T) {
	settings := []string{"train.unit=pair", "train.batch=64", "prune.method=st-prune", "train.epochs=3"}
	streamed := do(t, tiny(t, append(settings, "backend.stream=always")...), options(t.TempDir()))
	resident := do(t, tiny(t, append(settings, "backend.stream=never")...), options(t.TempDir()))
	if streamed.ID != resident.ID {
		t.Error("the id counts it")
	}
	got, gotEpochs := results(t, streamed)
	want, wantEpochs := results(t, resident)
	if !reflect.DeepEqual(got.Test, want.Test) || !reflect.DeepEqual(got.Validation, want.Validation) || got.Visits != want.Visits {
		t.Errorf("results differ: %+v and %+v", got.Test, want.Test)
	}
	for i, e := range wantEpochs {
		if gotEpochs[i].Loss != e.Loss {
			t.Errorf("epoch %d: losses %v and %v", e.Epoch, gotEpochs[i].Loss, e.Loss)
		}
	}
}
