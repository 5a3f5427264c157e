package train

import (
	"strings"
	"testing"
)

func TestStepsBeyondTheLimitAreRefused(t *testing.T) {
	be := open(t, "go")
	for limit, refused := range map[int64]bool{0: false, 1 << 40: false, 10_000: true} {
		c := config()
		c.Epochs, c.MemoryLimit = 1, limit
		err := trainer(t, be, c, false, full).Run(t.Context(), Events{})
		if (err != nil) != refused {
			t.Errorf("limit %d: %v", limit, err)
		}
		if refused && err != nil && (!strings.Contains(err.Error(), "would take at least") || !strings.Contains(err.Error(), "train.batch")) {
			t.Errorf("limit %d: the error is %v", limit, err)
		}
	}
	if MachineMemory() < 1<<28 {
		t.Errorf("this machine has %d bytes", MachineMemory())
	}
}
