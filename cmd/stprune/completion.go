package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/stprune/workbench/datasets"
	"github.com/stprune/workbench/stprune/method"
	"github.com/stprune/workbench/stprune/presets"
	runs "github.com/stprune/workbench/stprune/run"
)

// completionCmd prints a script that lets a shell ask this program how a word may go on.
type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// completeWord is the hidden command that the scripts call, with the words of the line up to the cursor. It prints a candidate and
// its description a line, with a tab between.
const completeWord = "__complete"

var completionScripts = map[string]string{
	// Bash splits words at "=" as well, and replaces only what follows the last of these.
	"bash": `_stprune() {
	local line=${COMP_LINE:0:COMP_POINT} words cur IFS
	read -ra words <<<"$line"
	[[ $line == *[[:space:]] ]] && words+=("")
	cur=${words[-1]}
	IFS=$'\n'
	COMPREPLY=($("${words[0]}" ` + completeWord + ` "${words[@]:1}" 2>/dev/null | cut -f1))
	[[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace
	[[ $cur == *=* ]] && COMPREPLY=("${COMPREPLY[@]#"${cur%"${cur##*=}"}"}")
}
complete -o default -F _stprune stprune
`,
	"zsh": `#compdef stprune
_stprune() {
	local -a lines values descriptions
	lines=("${(@f)$("${words[1]}" ` + completeWord + ` "${(@)words[2,CURRENT]}" 2>/dev/null)}")
	if [[ -z ${lines[1]} ]]; then
		_files
		return
	fi
	values=("${(@)lines%%$'\t'*}")
	descriptions=("${(@)lines//$'\t'/  -- }")
	if [[ ${#values} == 1 && ${values[1]} == *= ]]; then
		compadd -S '' -d descriptions -- "${(@)values}"
	else
		compadd -l -d descriptions -- "${(@)values}"
	fi
}
compdef _stprune stprune
`,
	"fish": `function __stprune
	set -l words (commandline -opc) (commandline -ct)
	$words[1] ` + completeWord + ` $words[2..-1] 2>/dev/null
end
complete -c stprune -f -n 'test (count (__stprune)) -gt 0' -a '(__stprune)'
`,
}

func (c *completionCmd) Help() string {
	return "Commands, flags, settings, ids of runs and names of data sets, methods and presets are completed. The line goes into the shell's start-up file."
}

func (c *completionCmd) Run() error {
	_, err := os.Stdout.WriteString(completionScripts[c.Shell])
	return err
}

// candidate is how a word may go on.
type candidate struct{ text, about string }

// complete says how the last of the words may go on. Where it knows nothing, the shell offers files.
func complete(app *kong.Application, words []string) []candidate {
	if len(words) == 0 {
		return nil
	}
	node, last := app.Node, words[len(words)-1]
	dir := os.Getenv("STPRUNE_RUNS")
	var pending *kong.Flag // waits for its value
	onlyArguments, arguments := false, 0
	for _, word := range words[:len(words)-1] {
		switch {
		case pending != nil:
			if pending.Name == "runs" {
				dir = word
			}
			pending = nil
		case onlyArguments:
			arguments++
		case word == "--":
			onlyArguments = true
		case strings.HasPrefix(word, "-"):
			name, value, given := strings.Cut(strings.TrimLeft(word, "-"), "=")
			if given && name == "runs" {
				dir = value
			}
			if f := flag(node, name); f != nil && !f.IsBool() && !given {
				pending = f
			}
		default:
			at := slices.IndexFunc(node.Children, func(n *kong.Node) bool { return n.Name == word })
			switch {
			case at >= 0:
				node = node.Children[at]
			case len(node.Children) > 0:
				return nil // no such command
			default:
				arguments++
			}
		}
	}
	var all []candidate
	prefix := ""
	switch name, _, given := strings.Cut(last, "="); {
	case pending != nil:
		all = valuesOf(node, pending.Value, dir, last)
	case strings.HasPrefix(last, "--") && given && !onlyArguments:
		if f := flag(node, name[2:]); f != nil {
			prefix = name + "="
			all = valuesOf(node, f.Value, dir, last[len(prefix):])
		}
	case strings.HasPrefix(last, "-") && !onlyArguments:
		for _, group := range node.AllFlags(true) {
			for _, f := range group {
				all = append(all, candidate{"--" + f.Name, f.Help})
			}
		}
	case len(node.Children) > 0:
		for _, n := range node.Children {
			if !n.Hidden {
				all = append(all, candidate{n.Name, n.Help})
			}
		}
	case len(node.Positional) > 0:
		argument := node.Positional[min(arguments, len(node.Positional)-1)]
		if arguments < len(node.Positional) || argument.IsCumulative() {
			all = valuesOf(node, argument, dir, last)
		}
	}
	var fitting []candidate
	for _, c := range all {
		if c.text = prefix + c.text; strings.HasPrefix(c.text, last) {
			fitting = append(fitting, c)
		}
	}
	return fitting
}

// flag finds a flag of a command or of those above it.
func flag(node *kong.Node, name string) *kong.Flag {
	for _, group := range node.AllFlags(false) {
		for _, f := range group {
			if f.Name == name {
				return f
			}
		}
	}
	return nil
}

// valuesOf are what an argument or a flag's value can be, by what it is called.
func valuesOf(node *kong.Node, v *kong.Value, dir, begun string) (all []candidate) {
	add := func(texts ...string) {
		for _, text := range texts {
			all = append(all, candidate{text: text})
		}
	}
	keys := func() []runs.Key {
		found, err := runs.NewStore(dir).List()
		if err != nil { // then without the options of its runs
			return runs.Keys()
		}
		return runs.Keys(found...)
	}
	if v.Enum != "" {
		add(v.EnumSlice()...)
		return all
	}
	of := v.Name
	if of == "name" { // of what, the command says
		of = node.Name
		if node.Parent != nil && node.Parent.Name == "data" {
			of = "data"
		}
	}
	switch of {
	case "backend":
		add("auto", "xla", "xla:cpu", "xla:cuda", "go")
	case "method", "methods":
		add(method.Names()...)
	case "preset", "presets":
		for _, p := range presets.List() {
			all = append(all, candidate{p.Name, p.Title})
		}
	case "data":
		for _, l := range datasets.List(nil) {
			add(l.Name)
		}
	case "id", "run", "against":
		found, err := runs.NewStore(dir).List()
		if err != nil {
			return nil
		}
		for _, r := range found {
			all = append(all, candidate{r.ID, cmp.Or(oneLine(r.Spec.Name), oneLine(r.Spec.Data.Name+" "+r.Spec.Prune.Method))})
		}
	case "sort":
		for _, k := range keys() {
			all = append(all, candidate{k.Name, k.Doc}, candidate{"-" + k.Name, k.Doc})
		}
	case "columns":
		before := begun[:strings.LastIndexByte(begun, ',')+1]
		for _, k := range keys() {
			all = append(all, candidate{before + k.Name, k.Doc})
		}
	case "set", "filters":
		key, _, given := strings.Cut(begun, "=")
		var values []string
		switch key {
		case "status":
			values = []string{string(runs.Running), string(runs.Finished), string(runs.Interrupted), string(runs.Diverged)}
		case "prune.method", "method":
			values = method.Names()
		}
		for _, value := range values {
			if given {
				add(key + "=" + value)
			}
		}
		if given {
			return all
		}
		for _, k := range keys() {
			if k.Setting || of == "filters" {
				all = append(all, candidate{k.Name + "=", k.Doc})
			}
		}
	}
	return all
}

// printCandidates writes them for the scripts.
func printCandidates(all []candidate) {
	for _, c := range all {
		line := c.text
		if c.about != "" {
			line += "\t" + oneLine(c.about)
		}
		fmt.Println(line)
	}
}
