#!/usr/bin/env bash
# Long runs of the tests of docs/durability.md: killed processes, power loss, failing system calls, a minute of load, a value
# above 4 GiB (10 GB of memory and 5 GB of disk), 5 GB to S3, a million entries, mounted file systems and, as root, breaking disks; inputs
# mutated with other seeds; the loom models; and in Python properties, models and interrupts.
# usage: scripts/soak.sh [TIMES]      20 by default: three quarters of an hour
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

export CACHENESS_SOAK=${1:-20}
cd "$ROOT"
prepare
"$ROOT/scripts/build.sh" checked
"$ROOT/scripts/loom.sh"
selection=(--workspace --exclude cacheness-python --all-features --locked)
modules=(kill power faults hazards huge mounts pages stress scale)
# They mount disks, which user namespaces do not allow.
if [ "$(id -u)" = 0 ]; then modules+=(disks); else say "Skipped: it/disks.rs, which needs root."; fi
if cargo nextest --version >/dev/null 2>&1; then
    # One at a time: each uses the whole machine.
    cargo nextest run "${selection[@]}" --cargo-profile checked --profile soak --test-threads 1 --run-ignored all \
        -E "test(/^($(IFS='|'; echo "${modules[*]}"))::/) | binary(migration) | binary(log) | binary(fork) | binary(processes) | package(cacheness-fuzz)"
else
    for module in "${modules[@]}"; do
        cargo test "${selection[@]}" --profile checked --test it "$module::" -- --test-threads 1 --include-ignored
    done
    cargo test "${selection[@]}" --profile checked --test migration --test log --test fork --test processes --test replay
fi
# Tests with random cases.
mapfile -t drawn < <(grep -l "hypothesis\|soak" python/tests/test_*.py)
PYTHONPATH="$ROOT/scripts" "$VENV/bin/python" -m pytest -p no_skips --timeout 7200 "${drawn[@]}"
