#!/usr/bin/env bash
# How long it takes to reach full data's accuracy, from the start of the process: PyTorch on all data and with InfoBatch, ours on all
# data and pruned, each with Adam and a cosine schedule, in several lengths, one after the other. A run reaches it whose test MAE is
# at most 1 % above that of PyTorch on all data in the most epochs. Only a quiet machine counts.
#
#   bench/headline.sh DATA [SEED [MODEL [EPOCHS]]]   # prints a table, and keeps its rows in bench/results as they come
#
#   DATA     the folder of a speed data set of 5-minute steps, such as pems-bay-67
#   SEED     default 1
#   MODEL    stid (default) or gwnet, which takes about 20 times as long
#   EPOCHS   of all data, a multiple of 4, default 20
#   PYTHON   the Python with torch; default bench/.venv/bin/python
#   STPRUNE  our program; default bin/stprune
set -euo pipefail
data=$(realpath "${1:?usage: bench/headline.sh DATA [SEED [MODEL [EPOCHS]]]}")
seed=${2:-1}
model=${3:-stid}
most=${4:-20}
few=$((most / 4))
case $model in # the rate on all data, and batch and rate of few visits, whose steps are more and larger
	stid) rate=2e-3 batch=16 faster=2e-3 ;;
	gwnet) rate=1e-3 batch=8 faster=2e-3 ;;
	*) echo "bench/headline.sh: model $model; stid and gwnet are known here" >&2; exit 2 ;;
esac
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-bench/.venv/bin/python}
stprune=${STPRUNE:-bin/stprune}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$stprune" doctor > "$work/doctor" || { echo "bench/headline.sh: $stprune can't compute with XLA:" >&2; cat "$work/doctor" >&2; exit 1; }
cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)
table=bench/results/$(date -u +%F-%H%M%S)-headline-$(tr 'A-Z' 'a-z' <<< "$cpu" | sed -E 's/[^a-z0-9]+/-/g; s/-$//').csv
echo "date,data,cpu,cores,revision,model,seed,who,run,seconds,test_mae" > "$table"
common=$(basename "$data"),$cpu,$(nproc),$(git describe --always --dirty 2>/dev/null || echo unknown),$model,$seed

measure() { # WHO RUN COMMAND…: the command prints JSON
	local who=$1 run=$2 begin seconds
	shift 2
	echo "$who, $run" >&2
	begin=$EPOCHREALTIME
	"$@" > "$work/out.json" 2> "$work/err" || { tail -5 "$work/err" >&2; exit 1; }
	seconds=$(awk "BEGIN { print $EPOCHREALTIME - $begin }")
	printf '%s,%s,%s,"%s",%.1f,%s\n' "$(date -u +%FT%T)" "$common" "$who" "$run" "$seconds" \
		"$("$python" -c 'import json, sys; print("%.4f" % json.load(sys.stdin)["test"]["mean"]["mae"])' < "$work/out.json")" | tee -a "$table" >&2
}
theirs() { # RUN EPOCHS [FLAG…]
	local run=$1 epochs=$2
	shift 2
	measure PyTorch "$run" "$python" bench/train.py "$data" --split 7 1 2 --model "$model" --epochs "$epochs" --lr "$rate" --weight-decay 0.0001 --clip 5 \
		--schedule cosine --floor 0.02 --eval-batch 256 --seed "$seed" --keep-memory --json "$@"
}
ours() { # RUN EPOCHS [SETTING…]
	local run=$1 epochs=$2 settings=()
	shift 2
	for s; do settings+=(--set "$s"); done
	measure stprune "$run" "$stprune" train --backend xla:cpu --runs "$work/runs" --json --set "data.name=$data" --set "data.split=[7,1,2]" --set model.backbone="$model" \
		--set train.epochs="$epochs" --set optim.lr="$rate" --set optim.weight_decay=1e-4 --set optim.clip=5 --set schedule.kind=cosine --set schedule.floor=0.02 \
		--set train.eval_batch=256 --set train.seed="$seed" "${settings[@]}"
}

theirs "all data, $most epochs" "$most"
ours "all data, $most epochs" "$most"
pruned=(prune.method=st-prune prune.warm_up=0 prune.delta=1 train.validate_every=5)
windows=("${pruned[@]}" train.batch=$batch optim.lr=$faster)
ours "ST-Prune, 25 % of windows, $most epochs, batch $batch" "$most" "${windows[@]}" prune.rho=0.25
if [ "$model" = gwnet ]; then
	ours "ST-Prune, 20 % of windows, $most epochs, batch $batch" "$most" "${windows[@]}" prune.rho=0.2
fi
ours "ST-Prune, 10 % of windows, $most epochs, batch $batch" "$most" "${windows[@]}" prune.rho=0.1
if [ "$model" = stid ]; then # forecasts every node from its own history, and so trains on pairs
	pairs=("${pruned[@]}" prune.rho=0.1 train.unit=pair)
	ours "ST-Prune, 10 % of pairs, $most epochs, batch 256" "$most" "${pairs[@]}" train.batch=256
	ours "ST-Prune, 10 % of pairs, $most epochs, batch 512" "$most" "${pairs[@]}" train.batch=512
	ours "ST-Prune, 10 % of pairs, $((most * 17 / 20)) epochs, batch 512" $((most * 17 / 20)) "${pairs[@]}" train.batch=512
fi
theirs "InfoBatch, $most epochs" "$most" --infobatch 0.5
ours "all data, $few epochs" "$few"
ours "all data, $few epochs, batch $batch" "$few" train.batch=$batch optim.lr=$faster

"$python" - "$table" <<'PYTHON'
import csv, sys
rows = list(csv.DictReader(open(sys.argv[1])))
first = rows[0]
goal, full = 1.01 * float(first["test_mae"]), float(first["seconds"])
print(f"time to reach full data's accuracy, {first['data']}, {first['model']}, seed {first['seed']}, {first['cores']} cores; to reach: {goal:.4f}\n")
print(f"{'':8}  {'':50}  {'seconds':>8}  {'test MAE':>8}  {'reached':>8}  {'faster':>8}")
for r in rows:
    reached = float(r["test_mae"]) <= goal
    print(f"{r['who']:8}  {r['run']:50}  {r['seconds']:>8}  {r['test_mae']:>8}  {'yes' if reached else 'no':>8}  {full / float(r['seconds']):7.1f}×")
print(f"\nkept in {sys.argv[1]}")
PYTHON
