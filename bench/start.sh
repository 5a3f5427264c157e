#!/usr/bin/env bash
# Seconds from the start of the process to the end of the first training step, for each backbone: cold, when XLA has everything to
# compile, and warm, when it loads what a process before compiled. Prints a table, the median of several times. Only a quiet machine counts.
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

first() { # CACHE MODEL NODES BATCH STEPS: of one process that keeps compiled programs in the folder CACHE
	STPRUNE_EXEC_CACHE=$1 "$stprune" bench step --backend xla:cpu --model "$2" --nodes "$3" --batch "$4" --history "$5" --horizon "$5" --for 1ms --json |
		python3 -c 'import json, sys; print(json.load(sys.stdin)["first_step_ns"] / 1e9)'
}
median() { sort -g | awk '{ v[NR] = $1 } END { printf "%.2f", (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'; }

printf '%-10s  %5s  %5s  %5s  %6s  %6s\n' model nodes batch steps 'cold s' 'warm s'
while read -r -a case; do
	cold=$(for i in $(seq "$times"); do first "$work/${case[0]}-$i" "${case[@]}"; done | median)
	warm=$(for i in $(seq "$times"); do first "$work/${case[0]}-$i" "${case[@]}"; done | median)
	printf '%-10s  %5d  %5d  %5d  %6s  %6s\n' "${case[@]}" "$cold" "$warm"
done <<'CASES'
stid 307 64 12
gwnet 67 64 12
staeformer 67 16 12
opencity 67 4 288
CASES
