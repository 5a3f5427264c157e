package main

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

func parser(t *testing.T) *kong.Kong {
	t.Helper()
	var commands app
	p, err := kong.New(&commands, kong.Name("stprune"), kong.PostBuild(explain), kong.BindTo(t.Context(), (*context.Context)(nil)))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// words splits a line as a shell does: at spaces, with single quotes, up to a comment or a redirection.
func words(line string) (all []string) {
	for _, w := range strings.Fields(line) {
		if w == "#" || w == ">" {
			break
		}
		all = append(all, strings.Trim(w, "'"))
	}
	return all
}

// Every command has examples, its help shows them, and each is a line that the command takes.
func TestExamples(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"spec.toml":       "[data]\nname = 'mine'\n",
		"comparison.toml": "methods = ['random', 'st-prune']\nrho = [0.1]\nseeds = [1]\n[data]\nname = 'mine'\n",
		"sweep.toml":      "[data]\nname = 'mine'\n[grid]\n'train.seed' = [1, 2]\n",
		"plugin.whl":      "",
	} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range parser(t).Model.Leaves(true) {
		text := examples[n.Path()]
		if text == "" {
			t.Errorf("%s has no example", n.Path())
			continue
		}
		if n.Path() == "completion" { // its lines are for a shell
			continue
		}
		for line := range strings.SplitSeq(text, "\n") {
			given := words(line)
			if given[0] != "stprune" {
				t.Errorf("%q does not begin with stprune", line)
			}
			parsed, err := parser(t).Parse(given[1:])
			if err != nil {
				t.Errorf("%s: %v", line, err)
			} else if parsed.Selected().Path() != n.Path() {
				t.Errorf("%s is an example of %s, but calls %s", line, n.Path(), parsed.Selected().Path())
			}
		}
		if out := output(t, 0, append(strings.Fields(n.Path()), "--help")...); !strings.Contains(out, "Examples:") || !strings.Contains(out, strings.Split(text, "\n")[0]) {
			t.Errorf("%s --help says\n%s", n.Path(), out)
		}
	}
	says(t, output(t, 0, "--help"), "Exit codes:", "3  interrupted", "STPRUNE_RUNS")
}

func TestWrongUsageNamesHelp(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, "see 'stprune --help'"},
		{[]string{"runs"}, "see 'stprune runs --help'"},
		{[]string{"runs", "lst"}, `did you mean "list"`},
		{[]string{"runs", "list", "--jsn"}, "see 'stprune runs list --help'"},
		{[]string{"runs", "list", "--sort"}, "missing KEY"},
		{[]string{"runs", "diff", "3fa9"}, "two or more"},
		{[]string{"completion", "csh"}, "fish"},
	} {
		if out := output(t, exitUsage, test.args...); !strings.Contains(out, test.want) || strings.Contains(out, "goroutine") {
			t.Errorf("%v says\n%s\nwant %q", test.args, out, test.want)
		}
	}
}
