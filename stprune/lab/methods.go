package lab

import (
	"fmt"
	"strings"

	"github.com/stprune/workbench/figures"
	"github.com/stprune/workbench/stprune/method"
)

// MethodTable lists the pruning methods: when each chooses, whether its epochs visit exactly the scheduled number of units, what it
// must be told besides the statistics of units it has visited, and its options with their defaults. Below are published methods that
// are not applicable, and why.
func MethodTable() *figures.Table {
	t := &figures.Table{Caption: "Pruning methods.", Columns: []string{"method", "kind", "exact", "needs", "options", "choice of 36,000", "of 1,000,000", "paper"}}
	for _, m := range method.All() {
		exact := "no"
		if m.Exact {
			exact = "yes"
		}
		var options []string
		for _, o := range m.Options {
			options = append(options, fmt.Sprint(o.Key, " ", o.Default))
		}
		took := map[int]string{}
		for _, c := range m.Measured() {
			took[c.Units] = c.String()
		}
		t.Rows = append(t.Rows, []string{m.Name, string(m.Kind), exact, strings.Join(m.Needs.Names(), ", "), strings.Join(options, ", "), took[36000], took[1000000], m.Paper})
	}
	for _, m := range method.NotApplicable() {
		t.Rows = append(t.Rows, []string{m.Name, "not applicable", "", "", "", "", "", m.Paper + ": " + m.Reason})
	}
	return t
}
