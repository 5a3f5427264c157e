#!/usr/bin/env bash
# Seconds from the start of the process until the first training step begins and until it has ended, for each backbone: cold, when XLA
# has everything to compile, and warm, when it loads what a process before compiled. Prints CSV, the medians of several times. Only a
# quiet machine counts.
#
#   bench/start.sh [TIMES]     # default: 3
#
#   STPRUNE  our program; default bin/stprune
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
times=${1:-3}
stprune=${STPRUNE:-bin/stprune}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

start() { # CACHE MODEL NODES BATCH STEPS: of one process that keeps compiled programs in the folder CACHE
	STPRUNE_EXEC_CACHE=$1 "$stprune" bench step --backend xla:cpu --model "$2" --nodes "$3" --batch "$4" --history "$5" --horizon "$5" --for 1ms --json |
		python3 -c 'import json, sys; r = json.load(sys.stdin); print(r["ready_ns"] / 1e9, r["first_step_ns"] / 1e9)'
}
medians() { python3 -c 'import statistics, sys; print(*("%.2f" % statistics.median(map(float, c)) for c in zip(*map(str.split, sys.stdin))), sep=",")'; }

echo model,nodes,batch,steps,cold_begins_s,cold_ends_s,warm_begins_s,warm_ends_s
while read -r -a case; do
	cold=$(for i in $(seq "$times"); do start "$work/${case[0]}-$i" "${case[@]}"; done | medians)
	warm=$(for i in $(seq "$times"); do start "$work/${case[0]}-$i" "${case[@]}"; done | medians)
	(IFS=,; echo "${case[*]},$cold,$warm")
done <<'CASES'
stid 307 64 12
gwnet 67 64 12
staeformer 67 16 12
opencity 67 4 288
CASES
