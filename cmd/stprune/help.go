package main

import (
	"strings"

	"github.com/alecthomas/kong"
)

// about is what `stprune --help` says beyond the list of commands.
const about = `Exit codes:

  0  success
  1  failure
  2  wrong usage: an unknown flag, a setting or a filter that makes no sense
  3  interrupted (Ctrl-C, SIGTERM): what was trained is saved and goes on when asked for again

Folders, where a flag does not say otherwise: STPRUNE_RUNS of runs (./runs), STPRUNE_DATA of data sets.`

// examples of each command, one a line; what follows # says what it is good for.
var examples = map[string]string{
	"demo":         "stprune demo --to demo",
	"train":        "stprune train spec.toml --set prune.rho=0.05\nstprune train --preset stid-pems --set data.name=mine --set prune.method=st-prune",
	"data import":  "stprune data import speed.csv --name mine --step 5m --missing 0 --graph distances.csv",
	"data list":    "stprune data list --json",
	"data show":    "stprune data show mine",
	"data get":     "stprune data get metr-la",
	"data synth":   "stprune data synth --nodes 24 --days 28 --seed 1",
	"data verify":  "stprune data verify mine",
	"evaluate":     "stprune evaluate 3fa9\nstprune evaluate 3fa9 --set data.name=other --part validation",
	"diagnose":     "stprune diagnose 3fa9 --against 81c0\nstprune diagnose 3fa9 --what kept --json\nstprune diagnose comparison.toml --against equal-visits --what errors,kept --csv tail.csv",
	"naive":        "stprune naive mine --set data.split=[7,1,2]",
	"compare":      "stprune compare comparison.toml --plan  # what is there, and what it will take\nstprune compare comparison.toml",
	"report":       "stprune report comparison.toml\nstprune report sweep.toml --out study --runs runs",
	"runs list":    "stprune runs list model=stid 'prune.rho<0.1' --sort mae\nstprune runs list status=finished --sort -mae --columns id,mae,prune.method,prune.rho\nstprune runs list --json data.name=mine",
	"runs show":    "stprune runs show 3fa9",
	"runs diff":    "stprune runs diff 3fa9 81c0",
	"runs export":  "stprune runs export runs.csv status=finished\nstprune runs export epochs.parquet --epochs\nstprune runs export events --format tensorboard  # tensorboard --logdir events\nstprune runs export mlruns --format mlflow --force",
	"runs weights": "stprune runs weights 3fa9 stid.npz",
	"runs du":      "stprune runs du data.name=mine",
	"runs gc":      "stprune runs gc --dry-run\nstprune runs gc data.name=mine",
	"runs rm":      "stprune runs rm 3fa9 81c0\nstprune runs rm data.name=mine 'mae>30'          # lists them\nstprune runs rm data.name=mine 'mae>30' --yes",
	"methods":      "stprune methods\nstprune methods st-prune",
	"presets":      "stprune presets\nstprune presets stid-pems > spec.toml",
	"parity":       "stprune parity arrays --all",
	"bench step":   "stprune bench step --model stid --nodes 307 --batch 64",
	"bench limit":  "stprune bench limit --width 5,32 --windows 1000,6000",
	"bench select": "stprune bench select --method st-prune,random --units 1000,10000",
	"bench peers":  "stprune bench peers --repeat 2 --variant sdpa=--sdpa\nstprune bench peers --against ../before/bin/stprune",
	"setup":        "stprune setup --cpu\nstprune setup --cpu --wheel plugin.whl  # without a network",
	"doctor":       "stprune doctor\nstprune doctor --json",
	"completion":   "echo 'source <(stprune completion bash)' >> ~/.bashrc\necho 'source <(stprune completion zsh)' >> ~/.zshrc\nstprune completion fish > ~/.config/fish/completions/stprune.fish",
	"sweep":        "stprune sweep sweep.toml --plan\nstprune sweep sweep.toml --workers auto",
}

// explain adds examples, and what only the whole program's help says.
func explain(k *kong.Kong) error {
	k.Model.Detail = about
	for _, n := range k.Model.Leaves(true) {
		if text := examples[n.Path()]; text != "" {
			n.Detail = strings.TrimSpace(n.Detail + "\n\nExamples:\n\n  " + strings.ReplaceAll(text, "\n", "\n  "))
		}
	}
	return nil
}
