#!/usr/bin/env bash
# The tests that kill processes and those that mutate inputs, many times over, with other seeds each time.
# usage: scripts/soak.sh [TIMES]      20 by default: about ten minutes
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

export CACHENESS_SOAK=${1:-20}
cd "$ROOT"
prepare
selection=(--workspace --exclude cacheness-python --all-features --locked)
if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run "${selection[@]}" --cargo-profile checked -E 'test(kill) | package(cacheness-fuzz)'
else
    cargo test "${selection[@]}" --profile checked --test it kill
    cargo test --package cacheness-fuzz --all-features --locked --profile checked --test replay
fi
