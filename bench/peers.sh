#!/usr/bin/env bash
# Measures training steps of ours and of the PyTorch peer in turn on this machine; see README.md. Flags are those of peers.py.
#
#   PYTHON   the Python with torch; default bench/.venv/bin/python
#   STPRUNE  our program; default bin/stprune, built if it is not there
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-bench/.venv/bin/python}
stprune=${STPRUNE:-bin/stprune}
command -v "$python" >/dev/null || { echo "peers.sh: no $python; make it as bench/README.md says, or set PYTHON" >&2; exit 1; }
[ -n "${STPRUNE:-}" ] || [ -x "$stprune" ] || make build >/dev/null
command -v "$stprune" >/dev/null || { echo "peers.sh: no $stprune; set STPRUNE to our program" >&2; exit 1; }
exec "$python" bench/peers.py --stprune "$stprune" "$@"
