package export

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go"

	"github.com/stprune/workbench/stprune/loss"
	"github.com/stprune/workbench/stprune/run"
)

// table has named columns of one type each. A value is an int64, float64, bool, string or nil.
type table struct {
	columns []column
	rows    int
}

type column struct {
	name   string
	like   any // int64, float64, bool or string
	values []any
}

func newTable(ctx context.Context, runs []*run.Run, epochs bool) (*table, error) {
	if epochs {
		return epochTable(ctx, runs)
	}
	return runTable(ctx, runs)
}

// runTable has a row a run and all keys as columns, of options only those that a run has.
func runTable(ctx context.Context, runs []*run.Run) (*table, error) {
	keys := run.Keys(runs...)
	t := &table{}
	for _, k := range keys {
		t.columns = append(t.columns, column{name: k.Name, like: k.Like})
	}
	for _, r := range runs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		row, err := r.Row(keys...)
		if err != nil {
			return nil, err
		}
		t.add(row)
	}
	t.columns = slices.DeleteFunc(t.columns, func(c column) bool { return c.like == nil })
	t.settle()
	return t, nil
}

// epochKey is a column of epochs.
type epochKey struct {
	name string
	of   func(*run.Epoch) any
}

var epochKeys = slices.Concat([]epochKey{
	{"epoch", func(e *run.Epoch) any { return int64(e.Epoch) }},
	{"units", func(e *run.Epoch) any { return int64(e.Units) }},
	{"share", func(e *run.Epoch) any { return e.Share }},
	{"steps", func(e *run.Epoch) any { return int64(e.Steps) }},
	{"visits", func(e *run.Epoch) any { return e.Visits }},
	{"forwards", func(e *run.Epoch) any { return e.Forwards }},
	{"loss", func(e *run.Epoch) any { return e.Loss }},
	{"lr", func(e *run.Epoch) any { return e.LR }},
	{"best", func(e *run.Epoch) any { return e.Best }},
},
	validationKeys("validation.", func(m *loss.Metrics) loss.Errors { return m.Mean }),
	validationKeys("validation.pooled.", func(m *loss.Metrics) loss.Errors { return m.Pooled }),
	[]epochKey{
		{"selection.kept", func(e *run.Epoch) any { return int64(e.Selection.Kept) }},
		{"selection.effective_size", func(e *run.Epoch) any { return e.Selection.EffectiveSize }},
		{"selection.max_weight", func(e *run.Epoch) any { return e.Selection.MaxWeight }},
		{"selection.clipped", func(e *run.Epoch) any { return e.Selection.Clipped }},
		{"selection.score_cv", func(e *run.Epoch) any { return e.Selection.ScoreCV }},
		{"selection.unseen", func(e *run.Epoch) any { return int64(e.Selection.Unseen) }},
		{"seconds.loading", func(e *run.Epoch) any { return e.Seconds.Loading }},
		{"seconds.compile", func(e *run.Epoch) any { return e.Seconds.Compile }},
		{"seconds.steps", func(e *run.Epoch) any { return e.Seconds.Steps }},
		{"seconds.selection", func(e *run.Epoch) any { return e.Seconds.Selection }},
		{"seconds.scoring", func(e *run.Epoch) any { return e.Seconds.Scoring }},
		{"seconds.evaluation", func(e *run.Epoch) any { return e.Seconds.Evaluation }},
		{"seconds.saving", func(e *run.Epoch) any { return e.Seconds.Saving }},
		{"seconds.host", func(e *run.Epoch) any { return e.Seconds.Host }},
	})

// validationKeys are nil where an epoch was not validated.
func validationKeys(prefix string, of func(*loss.Metrics) loss.Errors) []epochKey {
	key := func(name string, pick func(loss.Errors) float64) epochKey {
		return epochKey{prefix + name, func(e *run.Epoch) any {
			if e.Validation == nil {
				return nil
			}
			return pick(of(e.Validation))
		}}
	}
	return []epochKey{
		key("mae", func(e loss.Errors) float64 { return e.MAE }),
		key("rmse", func(e loss.Errors) float64 { return e.RMSE }),
		key("mape", func(e loss.Errors) float64 { return e.MAPE }),
	}
}

// epochTable has a row an epoch; its first column is the run's id.
func epochTable(ctx context.Context, runs []*run.Run) (*table, error) {
	t := &table{columns: []column{{name: "run", like: ""}}}
	sample := &run.Epoch{Validation: &loss.Metrics{}}
	for _, k := range epochKeys {
		t.columns = append(t.columns, column{name: k.name, like: k.of(sample)})
	}
	for _, r := range runs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		epochs, err := r.Epochs()
		if err != nil {
			return nil, err
		}
		for i := range epochs {
			row := []any{r.ID}
			for _, k := range epochKeys {
				row = append(row, k.of(&epochs[i]))
			}
			t.add(row)
		}
	}
	t.settle()
	return t, nil
}

// add takes a row. A column's type widens to hold it: from int64 to float64, from different ones to text.
func (t *table) add(row []any) {
	for i, v := range row {
		c := &t.columns[i]
		c.values = append(c.values, v)
		if v == nil {
			continue
		}
		if _, ok := v.(string); !ok && !scalar(v) {
			v = ""
		}
		c.like = wider(c.like, v)
	}
	t.rows++
}

func scalar(v any) bool {
	switch v.(type) {
	case int64, float64, bool, string:
		return true
	}
	return false
}

func wider(a, b any) any {
	if a == nil || fmt.Sprintf("%T", a) == fmt.Sprintf("%T", b) {
		return b
	}
	_, f := a.(float64)
	_, i := a.(int64)
	_, g := b.(float64)
	_, j := b.(int64)
	if (f || i) && (g || j) {
		return float64(0)
	}
	return ""
}

// settle gives all values of a column its type.
func (t *table) settle() {
	for i := range t.columns {
		c := &t.columns[i]
		if !scalar(c.like) { // lists are text
			c.like = ""
		}
		for j, v := range c.values {
			switch c.like.(type) {
			case string:
				if v != nil {
					c.values[j] = run.Text(v)
				}
			case float64:
				if n, ok := v.(int64); ok {
					c.values[j] = float64(n)
				}
			}
		}
	}
}

func (t *table) csv() ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	var names []string
	for _, c := range t.columns {
		names = append(names, c.name)
	}
	lines := [][]string{names}
	for i := range t.rows {
		line := make([]string, len(t.columns))
		for j, c := range t.columns {
			line[j] = run.Text(c.values[i])
		}
		lines = append(lines, line)
	}
	err := w.WriteAll(lines)
	return b.Bytes(), err
}

// ordered is a group whose fields keep their order; [parquet.Group] sorts them by name.
type ordered struct {
	parquet.Group
	names []string
}

func (o ordered) Fields() []parquet.Field {
	byName := map[string]parquet.Field{}
	for _, f := range o.Group.Fields() {
		byName[f.Name()] = f
	}
	var fields []parquet.Field
	for _, name := range o.names {
		fields = append(fields, byName[name])
	}
	return fields
}

// parquet writes optional columns, compressed by Snappy, which every reader knows.
func (t *table) parquet() ([]byte, error) {
	group := ordered{Group: parquet.Group{}}
	for _, c := range t.columns {
		var node parquet.Node
		switch c.like.(type) {
		case int64:
			node = parquet.Int(64)
		case float64:
			node = parquet.Leaf(parquet.DoubleType)
		case bool:
			node = parquet.Leaf(parquet.BooleanType)
		default:
			node = parquet.String()
		}
		group.Group[c.name] = parquet.Optional(node)
		group.names = append(group.names, c.name)
	}
	if len(group.Group) != len(t.columns) {
		return nil, fmt.Errorf("two columns have one name: %s", strings.Join(slices.Sorted(maps.Keys(group.Group)), ", "))
	}
	var b bytes.Buffer
	w := parquet.NewWriter(&b, parquet.NewSchema("stprune", group), parquet.Compression(&parquet.Snappy), parquet.CreatedBy("stprune", "1", ""))
	for i := range t.rows {
		row := make(parquet.Row, len(t.columns))
		for j, c := range t.columns {
			row[j] = parquet.NullValue().Level(0, 0, j)
			if v := c.values[i]; v != nil {
				row[j] = parquet.ValueOf(v).Level(0, 1, j)
			}
		}
		if _, err := w.WriteRows([]parquet.Row{row}); err != nil {
			return nil, fmt.Errorf("parquet: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("parquet: %w", err)
	}
	return b.Bytes(), nil
}
