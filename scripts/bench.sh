#!/usr/bin/env bash
# Compares cacheness with its peers; arguments go to benchmarks/compare.py. Then the Rust hot paths, by criterion.
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$ROOT"
prepare
"$ROOT/scripts/build.sh" release
"$VENV/bin/python" benchmarks/compare.py "$@"
if [ $# -eq 0 ]; then
    cargo bench --package cacheness --all-features --locked --benches
fi
