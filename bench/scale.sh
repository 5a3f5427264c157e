#!/usr/bin/env bash
# How time and memory grow with the number of nodes. Prints a table.
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
	printf '%-6s  %-5s  %9s  %24s  %9s\n' nodes batch 'step ms' 'ns a window and node' 'memory MB'
	for n in "${nodes[@]}"; do
		for batch in 16 64; do
			"$stprune" bench step --backend xla:cpu --nodes "$n" --batch "$batch" --json --for 10s |
				pick "'%-6d  %-5d  %9.1f  %24.1f  %9d' % (r['nodes'], r['batch'], r['median_ns'] / 1e6, r['median_ns'] / r['nodes'] / r['batch'], r['peak_bytes'] >> 20)"
		done
	done
	;;
runs)
	# One epoch of a thousandth of the pairs, whose time is spent on the evaluation of all windows.
	# Windows that are not trained on are validated or tested, once.
	printf '%-6s  %-8s  %9s  %9s  %9s  %9s  %24s  %9s\n' nodes series 'series MB' 'memory MB' 'loading s' 'choosing s' 'ns a window and node' 'test MAE'
	for n in "${nodes[@]}"; do
		[ -d "$WORK/data/city-$n" ] || STPRUNE_DATA=$WORK/data "$stprune" data synth --name "city-$n" --nodes "$n" --days 365 --step 15m > /dev/null
		for stream in always never; do
			STPRUNE_DATA=$WORK/data "$stprune" train --backend xla:cpu --runs "$WORK/runs-$stream" --json --set "data.name=city-$n" --set train.unit=pair \
				--set train.batch=1024 --set train.epochs=1 --set train.eval_batch=16 --set prune.method=st-prune --set prune.rho=0.001 \
				--set prune.warm_up=0 --set prune.delta=1 --set backend.stream="$stream" 2> "$WORK/log" |
				pick "'%-6d  %-8s  %9.0f  %9.0f  %9.2f  %9.2f  %24.1f  %9.4f' % ($n, {'always': 'streamed', 'never': 'resident'}['$stream'], $n * 35040 * 4 / 1e6, r['peak_memory'] / 1e6, r['seconds']['loading'], r['seconds']['selection'], r['seconds']['evaluation'] * 1e9 / ((35040 - 23) * $n - r['units']), r['test']['mean']['mae'])" ||
				{ tail -5 "$WORK/log" >&2; exit 1; }
		done
	done
	;;
*)
	echo "usage: bench/scale.sh steps|runs [NODES…]" >&2
	exit 2
	;;
esac
