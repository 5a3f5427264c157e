package report

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/stprune/workbench/figures"
	"github.com/stprune/workbench/stprune/run"
)

// paths are absolute paths of at least two parts, and what stands before them.
var paths = regexp.MustCompile(`(^|[\s"'=:(\[,])(~?(?:/[^\s/"'()\[\],;]+){2,}/?)`)

// tidy makes one line of text from elsewhere, in which a path is only its last part: a report doesn't say where on a machine
// things were.
func tidy(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	return paths.ReplaceAllStringFunc(text, func(found string) string {
		at := strings.Index(found, "/")
		before := strings.TrimSuffix(found[:at], "~")
		last := path.Base(found[at:])
		if strings.HasSuffix(found, ":") {
			return before + strings.TrimSuffix(last, ":") + ":"
		}
		return before + last
	})
}

// tidyTOML is a file whose texts are tidy.
func tidyTOML(text []byte) ([]byte, error) {
	var all map[string]any
	if err := toml.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("study: %w", err)
	}
	changed := false
	var clean func(v any) any
	clean = func(v any) any {
		switch v := v.(type) {
		case string:
			changed = changed || tidy(v) != v
			return tidy(v)
		case []any:
			for i := range v {
				v[i] = clean(v[i])
			}
		case map[string]any:
			for key := range v {
				v[key] = clean(v[key])
			}
		}
		return v
	}
	clean(all)
	if !changed {
		return text, nil
	}
	return toml.Marshal(all)
}

// dataName is what a run's data sets are called, without the folders they were in.
func dataName(s run.Spec) string {
	var names []string
	for _, name := range append([]string{s.Data.Name}, s.Data.More...) {
		names = append(names, path.Base(name))
	}
	return strings.Join(names, " + ")
}

// slug is a name as part of a file's.
func slug(name string) string {
	clean := strings.Trim(regexp.MustCompile(`[^a-z0-9.]+`).ReplaceAllString(strings.ToLower(name), "-"), "-.")
	if len(clean) > 40 {
		clean = strings.Trim(clean[:40], "-.")
	}
	return clean
}

func percent(share float64) string { return fmt.Sprintf("%.6g %%", 100*share) }

// count writes a whole number with commas: 165,123.
func count(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// counted says how many things there are, as a range where there are several counts: "1 run", "3 to 6 seeds".
func counted(what string, counts ...int) string {
	low, high := slices.Min(counts), slices.Max(counts)
	switch {
	case low < high:
		return count(low) + " to " + count(high) + " " + what + "s"
	case low == 1:
		return "1 " + what
	}
	return count(low) + " " + what + "s"
}

// numbers lists seeds: "seeds 1 to 6", or "seeds 1, 2, 5".
func numbers(seeds []uint64) string {
	var texts []string
	inOrder := true
	for i, s := range seeds {
		texts = append(texts, fmt.Sprint(s))
		inOrder = inOrder && (i == 0 || s == seeds[i-1]+1)
	}
	switch {
	case len(seeds) == 0:
		return ""
	case len(seeds) == 1:
		return "seed " + texts[0]
	case inOrder && len(seeds) > 2:
		return "seeds " + texts[0] + " to " + texts[len(texts)-1]
	}
	return "seeds " + strings.Join(texts, ", ")
}

// duration writes seconds as people say them.
func duration(seconds float64) string {
	switch {
	case seconds < 100:
		return fmt.Sprintf("%.3g s", seconds)
	case seconds < 6000:
		return fmt.Sprintf("%.0f min", seconds/60)
	}
	return fmt.Sprintf("%.1f h", seconds/3600)
}

// without drops columns by name, and those without any text.
func without(t *figures.Table, names ...string) *figures.Table {
	drop := make([]bool, len(t.Columns))
	for j, name := range t.Columns {
		empty := j > 0
		for _, row := range t.Rows {
			empty = empty && row[j] == ""
		}
		drop[j] = empty
		for _, other := range names {
			drop[j] = drop[j] || name == other
		}
	}
	kept := func(cells []string) (left []string) {
		for j, c := range cells {
			if !drop[j] {
				left = append(left, c)
			}
		}
		return left
	}
	out := *t
	out.Columns, out.Rows = kept(t.Columns), nil
	for _, row := range t.Rows {
		out.Rows = append(out.Rows, kept(row))
	}
	return &out
}
