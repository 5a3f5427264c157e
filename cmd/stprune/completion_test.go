package main

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestComplete(t *testing.T) {
	waves(t)
	id := trained(t, "name=first try", "prune.method=full")
	for _, test := range []struct {
		line string // up to the cursor
		want string // some of the candidates
		not  string
	}{
		{"", "train runs data", completeWord},
		{"ru", "runs", "train"},
		{"runs ", "list gc rm", "train"},
		{"runs list --", "--sort --json --runs --help", "--plan"},
		{"runs show " + id[:3], id, ""},
		{"runs rm x " + id[:3], id, ""},
		{"runs show x ", "", id},
		{"runs --runs elsewhere show ", "", id},
		{"runs --runs=elsewhere show ", "", id},
		{"evaluate ", id, ""},
		{"runs list sta", "status=", "prune.rho="},
		{"runs list status=in", "status=interrupted", "status=finished"},
		{"runs list --sort -ma", "-mae -mape", "mae"},
		{"runs list --columns id,prune.rh", "id,prune.rho", "prune.rho"},
		{"train --set prune.r", "prune.rho=", "mae="},
		{"train --set prune.method=ran", "prune.method=random", ""},
		{"train --backend xla:c", "xla:cpu xla:cuda", "go"},
		{"train --backend=xla:c", "--backend=xla:cpu", "--backend=go"},
		{"train --preset stid-p", "stid-pems", ""},
		{"train --no-wait --preset stid-p", "stid-pems", ""}, // a flag without a value takes none
		{"methods st-", "st-prune", ""},
		{"naive w", "waves", ""},
		{"data show w", "waves", ""},
		{"runs export a --format ", "csv mlflow", ""},
		{"train sp", "", "spec.toml"}, // files are the shell's
		{"nonsense ", "", "train"},
	} {
		var got []string
		for _, c := range complete(parser(t).Model, strings.Split(test.line, " ")) {
			got = append(got, c.text)
		}
		for _, want := range strings.Fields(test.want) {
			if !slices.Contains(got, want) {
				t.Errorf("%q completes to %v, want %s", test.line, got, want)
			}
		}
		if test.not != "" && slices.Contains(got, test.not) || test.want == "" && len(got) > 0 {
			t.Errorf("%q completes to %v", test.line, got)
		}
	}
	says(t, output(t, 0, completeWord, "runs", "show", ""), id+"\tfirst try\n")
}

// Bash is everywhere; its script asks the program and gives what follows the last "=".
func TestBashCompletes(t *testing.T) {
	waves(t)
	dir := t.TempDir()
	t.Setenv("STPRUNE_RUNS", dir)
	script := output(t, 0, "completion", "bash") + `
COMP_LINE="stprune runs list prune.method=st-p"; COMP_POINT=${#COMP_LINE}
stprune() { ` + completeWith + `; }
_stprune 2>/dev/null
echo "${COMPREPLY[@]}"
`
	c := exec.Command("bash", "-c", script)
	c.Env = append(c.Environ(), asCommand+"=1", "COMMAND="+filepath.Clean(command().Path))
	out, err := c.Output()
	if err != nil || strings.TrimSpace(string(out)) != "st-prune" {
		t.Errorf("bash completes to %q, %v", out, err)
	}
	for shell := range completionScripts {
		says(t, output(t, 0, "completion", shell), completeWord, "stprune")
	}
}

const completeWith = `"$COMMAND" "$@"`
