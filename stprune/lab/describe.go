package lab

import (
	"fmt"
	"time"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/figures"
)

// Describe says what is in a data set.
func (l *Lab) Describe(s *datasets.Series) *figures.Table {
	first, last := s.Calendar.Time(0), s.Calendar.Time(s.T-1)
	graph := "none"
	if s.Graph != nil {
		graph = fmt.Sprintf("%d edges", len(s.Graph.Edges))
	}
	t := &figures.Table{Caption: s.Name, Columns: []string{"data set", s.Name}, Rows: [][]string{
		{"nodes", fmt.Sprint(s.N)},
		{"steps", fmt.Sprintf("%d of %s", s.T, s.Calendar.Step)},
		{"from", first.Format(time.DateTime)},
		{"to", last.Format(time.DateTime)},
		{"gaps", fmt.Sprint(s.Calendar.Gaps())},
		{"unit", s.Unit},
		{"missing", fmt.Sprintf("%.2f %%", 100*s.MissingShare())},
		{"graph", graph},
	}}
	return t
}
