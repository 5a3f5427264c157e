#!/usr/bin/env bash
# How time and memory grow with the number of nodes. Prints CSV; "| column -ts," makes a table of it.
#
#   bench/scale.sh steps [NODES…]     # training steps of STID; default: 307 716 2352 3834 8600
#   bench/scale.sh runs [NODES…]      # runs on synthetic cities of 35,040 steps, with the series on the device and streamed
#
#   STPRUNE  our program; default bin/stprune
#   WORK     folder of the cities and runs, kept; default: one that is removed
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
stprune=${STPRUNE:-bin/stprune}
what=${1:-}
shift || true
nodes=("$@")
[ $# -gt 0 ] || nodes=(307 716 2352 3834 8600)
if [ -z "${WORK:-}" ]; then
	WORK=$(mktemp -d)
	trap 'rm -rf "$WORK"' EXIT
fi
pick() { python3 -c 'import json, sys; r = json.load(sys.stdin); print('"$1"')'; }

case $what in
steps)
	echo nodes,batch,step_ms,ns_per_window_and_node,memory_mb
	for n in "${nodes[@]}"; do
		for batch in 16 64; do
			"$stprune" bench step --backend xla:cpu --nodes "$n" --batch "$batch" --json --for 10s |
				pick "'%d,%d,%.1f,%.1f,%d' % (r['nodes'], r['batch'], r['median_ns'] / 1e6, r['median_ns'] / r['nodes'] / r['batch'], r['peak_bytes'] >> 20)"
		done
	done
	;;
runs)
	# One epoch of a thousandth of the pairs of four fifths of the windows; its time is spent on evaluating the other windows, once.
	echo nodes,series,series_mb,memory_mb,loading_s,choosing_s,units,evaluated_ns_per_window_and_node,test_mae
	for n in "${nodes[@]}"; do
		[ -d "$WORK/data/city-$n" ] || STPRUNE_DATA=$WORK/data "$stprune" data synth --name "city-$n" --nodes "$n" --days 365 --step 15m > /dev/null
		for stream in always never; do
			STPRUNE_DATA=$WORK/data "$stprune" train --backend xla:cpu --runs "$WORK/runs-$stream" --json --set "data.name=city-$n" --set train.unit=pair \
				--set train.batch=1024 --set train.epochs=1 --set train.eval_batch=16 --set prune.method=st-prune --set prune.rho=0.001 --set 'data.split=[8,1,1]' \
				--set prune.warm_up=0 --set prune.delta=1 --set backend.stream="$stream" 2> "$WORK/log" |
				pick "'%d,%s,%.0f,%.0f,%.2f,%.2f,%d,%.1f,%.6f' % ($n, {'always': 'streamed', 'never': 'resident'}['$stream'], $n * 35040 * 4 / 1e6, r['peak_memory'] / 1e6, r['seconds']['loading'], r['seconds']['selection'], r['units'], r['seconds']['evaluation'] * 1e9 / ((35040 - 23) * $n - r['units']), r['test']['mean']['mae'])" ||
				{ tail -5 "$WORK/log" >&2; exit 1; }
		done
	done
	;;
*)
	echo "usage: bench/scale.sh steps|runs [NODES…]" >&2
	exit 2
	;;
esac
