#!/usr/bin/env bash
# Trains each backbone on a data set by its preset, shortened and with a cosine schedule, first ours and then the PyTorch peer with the
# same settings, and prints validation curves and test errors. Both draw their windows anew in each epoch.
#
#   bench/accuracy.sh DATA [MODEL…]
#
#   DATA     the folder of a speed data set of 5-minute steps, such as pems-bay-67
#   PYTHON   the Python with torch; default bench/.venv/bin/python
#   STPRUNE  our program; default bin/stprune
set -euo pipefail
data=$(realpath "${1:?usage: bench/accuracy.sh DATA [MODEL…]}")
shift
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-bench/.venv/bin/python}
stprune=${STPRUNE:-bin/stprune}
[ $# -gt 0 ] || set -- stid gwnet staeformer opencity

compare() { # MODEL PRESET EPOCHS RHO BATCH RATE DECAY CLIP SPLIT HISTORY
	local model=$1 preset=$2 epochs=$3 rho=$4 batch=$5 rate=$6 decay=$7 clip=$8 split=$9 steps=${10}
	local method=random
	[ "$rho" != 1 ] || method=full
	echo "== $model: preset $preset, $epochs epochs of $rho of the windows, batch $batch, rate $rate, cosine to 5 %"
	"$stprune" train --backend xla:cpu --preset "$preset" --set "name=accuracy of $model" --set "data.name=$data" --set "data.split=[${split// /,}]" \
		--set train.epochs="$epochs" --set train.batch="$batch" --set train.eval_batch="$batch" --set optim.lr="$rate" \
		--set schedule.kind=cosine --set schedule.floor=0.05 --set prune.method=$method --set prune.rho="$rho" --set prune.warm_up=0 \
		--set prune.delta=1 2>&1 | sed 's/^/ours   /'
	# shellcheck disable=SC2086 # the split is three words
	"$python" bench/train.py "$data" --model "$model" --split $split --history "$steps" --horizon "$steps" --epochs "$epochs" --rho "$rho" \
		--batch "$batch" --eval-batch "$batch" --lr "$rate" --weight-decay "$decay" --clip "$clip" --schedule cosine --floor 0.05 \
		--lean --keep-memory "${options[@]}" 2>&1 | sed 's/^/theirs /'
}

for model; do
	options=()
	case $model in
	stid) compare stid stid-speed 5 1 32 0.002 0.0001 0 "7 1 2" 12 ;;
	gwnet) options=(--option channels=2) && compare gwnet gwnet-speed 4 0.25 64 0.001 0.0001 5 "7 1 2" 12 ;;
	staeformer) compare staeformer staeformer-pems-bay 2 0.1 16 0.001 0.0001 0 "7 1 2" 12 ;;
	opencity) options=(--option size=mini) && compare opencity opencity-mini 1 0.08 16 0.001 0 5 "8 1 1" 288 ;;
	*) echo "accuracy.sh: no model $model; there are stid, gwnet, staeformer, opencity" >&2 && exit 1 ;;
	esac
done
