package run

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/stprune/workbench/stprune/loss"
	"github.com/stprune/workbench/stprune/method"
)

// Key names something known of a run: "id", "status", a setting such as "prune.rho", or a result such as "mae".
type Key struct {
	Name    string
	Setting bool   // of the spec
	Doc     string // of a result: what it is and its unit
	Like    any    // a value of its type, as [Run.Row] has them; nil for options, whose type the run's spec says
}

// resultKey is a key of what a run reached.
type resultKey struct {
	name, doc string
	of        func(*Result) any
}

// resultKeys are in the order in which tables and exports show them.
var resultKeys = slices.Concat(
	errorKeys("", "test error, mean of the horizons", func(r *Result) loss.Errors { return r.Test.Mean }),
	horizonKeys(3, 6, 12),
	errorKeys("pooled.", "test error over all entries", func(r *Result) loss.Errors { return r.Test.Pooled }),
	errorKeys("validation.", "validation error of the best epoch, mean of the horizons", func(r *Result) loss.Errors { return r.Validation.Mean }),
	[]resultKey{
		{"best_epoch", "epoch of the best validation, from 1", func(r *Result) any { return r.BestEpoch }},
		{"steps", "optimiser steps", func(r *Result) any { return r.Steps }},
		{"visits", "windows × nodes trained on", func(r *Result) any { return r.Visits }},
		{"full_epochs", "visits in epochs of all data", func(r *Result) any { return r.FullEpochs }},
		{"forwards", "windows × nodes passed forward only", func(r *Result) any { return r.Forwards }},
		{"scoring_visits", "windows × nodes that a scoring model was trained on", func(r *Result) any { return r.Scoring }},
		{"units", "training units", func(r *Result) any { return r.Units }},
		{"parameters", "trained values of the model", func(r *Result) any { return r.Parameters }},
		{"seconds", "wall-clock seconds of the whole run", func(r *Result) any { return r.Seconds.Total }},
		{"seconds.loading", "seconds of reading data and opening the backend", func(r *Result) any { return r.Seconds.Loading }},
		{"seconds.compile", "seconds of compiling", func(r *Result) any { return r.Seconds.Compile }},
		{"seconds.steps", "seconds of training steps", func(r *Result) any { return r.Seconds.Steps }},
		{"seconds.selection", "seconds of choosing units", func(r *Result) any { return r.Seconds.Selection }},
		{"seconds.scoring", "seconds of scoring beyond training", func(r *Result) any { return r.Seconds.Scoring }},
		{"seconds.evaluation", "seconds of validation and test", func(r *Result) any { return r.Seconds.Evaluation }},
		{"seconds.saving", "seconds of waiting for saving", func(r *Result) any { return r.Seconds.Saving }},
		{"seconds.host", "seconds of all else between steps", func(r *Result) any { return r.Seconds.Host }},
		{"peak_memory", "bytes of the process that finished the run; 0: unknown", func(r *Result) any { return r.PeakMemory }},
		{"data_hash", "hash of what the data sets hold", func(r *Result) any { return r.Data }},
	},
)

func errorKeys(prefix, doc string, of func(*Result) loss.Errors) []resultKey {
	return []resultKey{
		{prefix + "mae", doc + ", in the data's unit", func(r *Result) any { return of(r).MAE }},
		{prefix + "rmse", doc + ", in the data's unit", func(r *Result) any { return of(r).RMSE }},
		{prefix + "mape", doc + ", as a share: 0.05 is 5 %", func(r *Result) any { return of(r).MAPE }},
	}
}

// horizonKeys are "mae.3" and so on; shorter forecasts don't have them.
func horizonKeys(horizons ...int) []resultKey {
	var keys []resultKey
	for _, h := range horizons {
		for _, k := range errorKeys("", fmt.Sprintf("test error at horizon %d", h), func(r *Result) loss.Errors {
			e, err := r.Test.At(h)
			if err != nil {
				return loss.Errors{MAE: math.NaN(), RMSE: math.NaN(), MAPE: math.NaN()}
			}
			return e
		}) {
			k.name += fmt.Sprintf(".%d", h)
			keys = append(keys, k)
		}
	}
	return keys
}

// short names of the settings that tables of the spec are mostly about.
var short = map[string]string{
	"data": "data.name", "model": "model.backbone", "optim": "optim.name", "schedule": "schedule.kind",
	"method": "prune.method", "prune": "prune.method", "backend": "backend.name",
}

// Keys are all keys that there are, with the options that these runs set.
func Keys(runs ...*Run) []Key {
	keys := []Key{{Name: "id", Like: ""}, {Name: "status", Doc: "running, finished, interrupted or diverged", Like: ""}}
	options := map[string]map[string]bool{"model": {}, "prune": {}}
	for _, m := range method.All() {
		for _, o := range m.Options {
			options["prune"][o.Key] = true
		}
	}
	for _, r := range runs {
		for k := range r.Spec.Model.Options {
			options["model"][k] = true
		}
		for k := range r.Spec.Prune.Options {
			options["prune"][k] = true
		}
	}
	s := DefaultSpec()
	table := ""
	closeTable := func() {
		for _, k := range slices.Sorted(maps.Keys(options[table])) {
			keys = append(keys, Key{Name: table + ".options." + k, Setting: true})
		}
	}
	for _, f := range s.fields() {
		if name, _, _ := strings.Cut(f.key, "."); name != table {
			closeTable()
			table = name
		}
		keys = append(keys, Key{Name: f.key, Setting: true, Like: plain(f.value)})
	}
	closeTable()
	keys = append(keys, Key{Name: "epochs", Doc: "epochs completed", Like: int64(0)})
	for _, r := range resultKeys {
		keys = append(keys, Key{Name: r.name, Doc: r.doc, Like: plain(reflect.ValueOf(r.of(&Result{})))})
	}
	return keys
}

// FindKey finds a key by its name, or by a short one: "model" is model.backbone, "method" prune.method, and so on. That there is
// none is an error with the nearest ones.
func FindKey(name string, among []Key) (Key, error) {
	if full, ok := short[name]; ok {
		name = full
	}
	type candidate struct {
		name string
		far  int
	}
	var near []candidate
	for _, k := range among {
		if k.Name == name {
			return k, nil
		}
		near = append(near, candidate{k.Name, farApart(name, k.Name)})
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return cmp.Compare(a.far, b.far) })
	var names []string
	for _, c := range near {
		if len(names) < 3 && (len(names) == 0 || c.far <= near[0].far+1) {
			names = append(names, c.name)
		}
	}
	return Key{}, fmt.Errorf("unknown key %q; the nearest are %s", name, strings.Join(names, ", "))
}

// farApart is the distance of a name from a key. The key's last part counts as well: who asks for rho means prune.rho.
func farApart(name, key string) int {
	far := distance(name, key)
	if last := key[strings.LastIndexByte(key, '.')+1:]; !strings.Contains(name, ".") {
		far = min(far, distance(name, last))
	}
	return far
}

// distance is the number of letters to insert, remove, replace or swap with the next between two words.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		for j := range rows[i] {
			if i == 0 || j == 0 {
				rows[i][j] = i + j
				continue
			}
			replaced := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			rows[i][j] = min(replaced, rows[i-1][j]+1, rows[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}

// field is a setting of a spec: a place in it.
type field struct {
	key   string
	value reflect.Value
}

// fields are the settings without options, in the order of the TOML.
func (s *Spec) fields() []field {
	var all []field
	var walk func(prefix string, v reflect.Value)
	walk = func(prefix string, v reflect.Value) {
		for i := range v.NumField() {
			t, f := v.Type().Field(i), v.Field(i)
			name, _, _ := strings.Cut(t.Tag.Get("toml"), ",")
			switch {
			case t.Anonymous:
				walk(prefix, f)
			case !t.IsExported() || f.Kind() == reflect.Map:
			case f.Kind() == reflect.Struct:
				walk(prefix+name+".", f)
			default:
				all = append(all, field{prefix + name, f})
			}
		}
	}
	walk("", reflect.ValueOf(s).Elem())
	return all
}

// settings are the values in effect, by key, options included: those that the run's method, optimiser and schedule read.
func (s Spec) settings() map[string]any {
	same := s.meaning()
	free := []string{"name", "notes", "data.name", "data.more", "backend.stream"}
	tried, before := s.clone(), s.meaning()
	reads := map[string]bool{}
	for _, f := range tried.fields() {
		was := reflect.ValueOf(f.value.Interface())
		reads[f.key] = slices.Contains(free, f.key)
		for _, other := range others(f.value) {
			f.value.Set(other)
			reads[f.key] = reads[f.key] || !reflect.DeepEqual(tried.meaning(), before)
		}
		f.value.Set(was)
	}
	same.Name, same.Notes, same.Data.Name, same.Data.More, same.Data.Split = s.Name, s.Notes, s.Data.Name, s.Data.More, s.Data.Split
	same.Backend.Devices, same.Backend.Stream = s.Backend.Devices, s.Backend.Stream
	values := map[string]any{}
	for _, f := range same.fields() {
		if reads[f.key] {
			values[f.key] = plain(f.value)
		}
	}
	for table, options := range map[string]map[string]any{"model": same.Model.Options, "prune": same.Prune.Options} {
		for k, v := range options {
			values[table+".options."+k] = plain(reflect.ValueOf(v))
		}
	}
	return values
}

// others are values that a setting doesn't have, two of them where one might be what its zero stands for.
func others(v reflect.Value) []reflect.Value {
	var all []reflect.Value
	for i := 1; i <= 2; i++ {
		other := reflect.New(v.Type()).Elem()
		switch v.Kind() {
		case reflect.Int, reflect.Int64:
			other.SetInt(v.Int() + int64(i))
		case reflect.Uint64:
			other.SetUint(v.Uint() + uint64(i))
		case reflect.Float64:
			x := v.Float()
			if math.IsInf(x, 0) || math.IsNaN(x) {
				x = 0
			}
			other.SetFloat(x + float64(i))
		case reflect.Bool:
			other.SetBool(!v.Bool())
		case reflect.String:
			other.SetString(v.String() + strings.Repeat("?", i))
		case reflect.Slice:
			one := reflect.New(v.Type().Elem()).Elem()
			if one.Kind() == reflect.Float64 {
				one.SetFloat(float64(i))
			}
			other = reflect.Append(v.Slice3(0, v.Len(), v.Len()), one)
		}
		all = append(all, other)
	}
	return all
}

// plain is a setting as int64, float64, bool, string, or a slice.
func plain(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Int, reflect.Int64:
		return v.Int()
	case reflect.Uint64:
		return int64(v.Uint()) // Check bounds seeds
	case reflect.Float64:
		return v.Float()
	case reflect.Bool:
		return v.Bool()
	case reflect.String:
		return v.String()
	}
	return v.Interface()
}

// Row reads what these keys are in the run, each an int64, float64, bool, string or slice. It is nil for a setting that the run's
// method, optimiser and schedule don't read, and for a result that the run doesn't have, or not yet.
func (r *Run) Row(keys ...Key) ([]any, error) {
	var settings map[string]any
	var reached *Result
	row := make([]any, len(keys))
	for i, key := range keys {
		switch {
		case key.Setting:
			if settings == nil {
				settings = r.Spec.settings()
			}
			row[i] = settings[key.Name]
		case key.Name == "id":
			row[i] = r.ID
		case key.Name == "status":
			row[i] = string(r.Status())
		case key.Name == "epochs":
			epochs, err := r.Epochs()
			if err != nil {
				return nil, err
			}
			row[i] = int64(len(epochs))
		default:
			at := slices.IndexFunc(resultKeys, func(k resultKey) bool { return k.name == key.Name })
			if at < 0 {
				return nil, fmt.Errorf("run %s: unknown key %q", r.ID, key.Name)
			}
			if reached == nil {
				var err error
				if reached, err = r.Result(); errors.Is(err, ErrUnfinished) {
					reached = &Result{}
				} else if err != nil {
					return nil, err
				}
			}
			if reached.ID == "" {
				continue
			}
			row[i] = plain(reflect.ValueOf(resultKeys[at].of(reached)))
			if f, ok := row[i].(float64); ok && math.IsNaN(f) {
				row[i] = nil
			}
		}
	}
	return row, nil
}

// Text writes a value of [Run.Row] in the shortest exact way; lists are as in TOML, and nil is empty.
func Text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case bool, int64, string:
		return fmt.Sprint(v)
	case []toml.LocalDate:
		return "[" + strings.Trim(fmt.Sprint(v), "[]") + "]"
	}
	text, err := json.Marshal(v)
	if err != nil { // what TOML holds and JSON doesn't
		return fmt.Sprint(v)
	}
	return string(text)
}

// FilterError says what is wrong with a condition.
type FilterError struct {
	Filter string
	Err    error
}

func (e *FilterError) Error() string { return fmt.Sprintf("filter %q: %v", e.Filter, e.Err) }
func (e *FilterError) Unwrap() error { return e.Err }

// Filter is a condition on runs, such as prune.rho<0.1.
type Filter struct {
	key      Key
	operator string
	want     any
}

var filterForm = regexp.MustCompile(`^\s*([\w.-]+)\s*(!=|<=|>=|==|=|<|>)\s*(.*?)\s*$`)

// ParseFilter reads a condition: a key of [Keys], one of = != < <= > >=, and a value, which settings read as [Spec.Set] does. A key
// that a run has no value for, see [Run.Row], fits != alone. An error is a [*FilterError].
func ParseFilter(text string, keys []Key) (Filter, error) {
	fail := func(err error) (Filter, error) { return Filter{}, &FilterError{text, err} }
	parts := filterForm.FindStringSubmatch(text)
	if parts == nil {
		return fail(errors.New("want KEY=VALUE, or != < <= > >= for =, e.g. prune.rho<0.1"))
	}
	key, err := FindKey(parts[1], keys)
	if err != nil {
		return fail(err)
	}
	f := Filter{key: key, operator: parts[2]}
	if f.operator == "==" {
		f.operator = "="
	}
	switch value := parts[3]; {
	case key.Setting:
		s := DefaultSpec()
		if err := s.Set(key.Name + "=" + value); err != nil {
			return fail(err)
		}
		if f.want = s.at(key.Name); f.want == nil {
			return fail(errors.New("want a number, true, false or text"))
		}
	case key.Name == "status":
		all := []string{string(Running), string(Finished), string(Interrupted), string(Diverged)}
		if !slices.Contains(all, value) {
			return fail(fmt.Errorf("there are %s", strings.Join(all, ", ")))
		}
		f.want = value
	case key.Name == "id" || key.Name == "data_hash":
		f.want = value
	default:
		number, err := strconv.ParseFloat(value, 64)
		if err != nil || math.IsNaN(number) {
			return fail(fmt.Errorf("%s is a number", key.Name))
		}
		f.want = number
	}
	if _, ok := number(f.want); !ok && f.operator != "=" && f.operator != "!=" {
		return fail(fmt.Errorf("%s is no number; use = or !=", key.Name))
	}
	return f, nil
}

// at is the value of a setting as the spec has it.
func (s Spec) at(key string) any {
	for table, options := range map[string]map[string]any{"model.options.": s.Model.Options, "prune.options.": s.Prune.Options} {
		if name, ok := strings.CutPrefix(key, table); ok {
			if v := reflect.ValueOf(options[name]); v.IsValid() {
				return plain(v)
			}
			return nil
		}
	}
	for _, f := range s.fields() {
		if f.key == key {
			return plain(f.value)
		}
	}
	return nil
}

func number(v any) (float64, bool) {
	switch v := v.(type) {
	case int64:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

// Fits tells whether the run meets the condition.
func (f Filter) Fits(r *Run) (bool, error) {
	row, err := r.Row(f.key)
	if err != nil {
		return false, err
	}
	have := row[0]
	a, isNumber := number(have)
	b, wantsNumber := number(f.want)
	equal := isNumber && wantsNumber && a == b || reflect.DeepEqual(have, f.want)
	switch f.operator {
	case "=":
		return equal, nil
	case "!=":
		return !equal, nil
	}
	if !isNumber || !wantsNumber {
		return false, nil
	}
	switch f.operator {
	case "<":
		return a < b, nil
	case "<=":
		return a <= b, nil
	case ">":
		return a > b, nil
	}
	return a >= b, nil
}

// Sort orders runs by a key, upwards; those without it come last. Runs that are equal in it keep their order.
func Sort(runs []*Run, key Key, downwards bool) error {
	values := map[*Run]any{}
	for _, r := range runs {
		row, err := r.Row(key)
		if err != nil {
			return err
		}
		values[r] = row[0]
	}
	slices.SortStableFunc(runs, func(a, b *Run) int {
		x, y := values[a], values[b]
		if x == nil || y == nil {
			switch {
			case x == nil && y == nil:
				return 0
			case x == nil:
				return 1
			}
			return -1
		}
		c := 0
		n, isNumber := number(x)
		if m, both := number(y); both && isNumber {
			c = cmp.Compare(n, m)
		} else {
			c = cmp.Compare(Text(x), Text(y))
		}
		if downwards {
			return -c
		}
		return c
	})
	return nil
}
