#!/usr/bin/env bash
# One call on a machine with an NVIDIA GPU: sets up what is missing, compares with the references on the GPU, and measures training
# steps, evaluations and epochs of ours and of the PyTorch peer there, at the sizes of PEMS08 (170 nodes), SD (716) and GBA (2352).
# The numbers go to a dated CSV in results/, with the GPU's name. Flags are those of peers.py; `--what step --repeat 1` takes a
# sixth of the time.
#
# Untried on a GPU: there was none where this was written. DEVICE=cpu tries all of it but CUDA.
#
#   DEVICE  cuda (the default) or cpu
#   PYTHON  a Python with torch; default bench/.venv/bin/python, made if it is not there (5 GB)
#   CASES   lines MODEL NODES BATCH [STEPS]; STAEformer's attention takes memory with the square of the nodes, hence its batches
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

device=${DEVICE:-cuda}
case $device in
cuda) command -v nvidia-smi >/dev/null || { echo "gpu.sh: no nvidia-smi, so no NVIDIA driver here; DEVICE=cpu tries the script without" >&2; exit 1; } ;;
cpu) ;;
*) echo "gpu.sh: DEVICE=$device; want cuda or cpu" >&2; exit 1 ;;
esac

cases=()
while read -r line; do
	[ -z "$line" ] || cases+=(--case "$line")
done <<<"${CASES:-stid 170 64
stid 716 64
stid 2352 64
gwnet 170 64
gwnet 716 64
gwnet 2352 64
staeformer 170 16
staeformer 716 16
staeformer 2352 2
opencity 170 4 288
opencity 716 4 288
opencity 2352 4 288}"

[ -n "${PYTHON:-}" ] || make bench/.venv/installed
make build
bin/stprune setup "--$device"
bin/stprune doctor

failed=0
bin/stprune parity stprune/parity/testdata --backend "xla:$device" || failed=1
PYTHON=${PYTHON:-bench/.venv/bin/python} bin/stprune bench peers --device "$device" "${cases[@]}" "$@" || failed=1
exit $failed
