package run

import "testing"

// One name of a CPU may stand for machines of other vector instructions, which sum in another order.
func TestComputesAs(t *testing.T) {
	base := Environment{Go: "go1", OS: "linux/amd64", CPU: "EPYC", Vector: "AVX2", Cores: 2, Backend: "xla:cpu", Modules: map[string]string{"m": "v1"}}
	for name, c := range map[string]struct {
		change func(*Environment)
		want   bool
	}{
		"the same":                    {func(*Environment) {}, true},
		"other cores":                 {func(e *Environment) { e.Cores = 1 }, true},
		"other vectors":               {func(e *Environment) { e.Vector = "AVX-512" }, false},
		"from before they were noted": {func(e *Environment) { e.Vector = "" }, true},
		"another CPU":                 {func(e *Environment) { e.CPU = "Xeon" }, false},
		"another version":             {func(e *Environment) { e.Modules = map[string]string{"m": "v2"} }, false},
	} {
		other := base
		c.change(&other)
		if base.computesAs(other) != c.want || other.computesAs(base) != c.want {
			t.Errorf("%s: computes as the same: want %v", name, c.want)
		}
	}
	if got := base.Processor(); got != "EPYC, AVX2" {
		t.Errorf("the processor is %q", got)
	}
}
