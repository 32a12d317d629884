#!/usr/bin/env bash
# Loom models of the engine's own synchronisation: all orders in which the threads can run, up to each model's number of
# preemptions (docs/durability.md, "Races and unsafe code"): the modules `model` of cacheness-core.
# usage: scripts/loom.sh [MODEL...]      all by default; `flight`, `store::model::gets_meet_two_puts`
#        LOOM_MAX_PREEMPTIONS=5 scripts/loom.sh      more orders; LOOM_LOG=trace and LOOM_LOCATION=1 trace one
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

cd "$ROOT"
# A separate directory beside the other artefacts: the flag affects every crate.
export CARGO_TARGET_DIR="$CARGO_TARGET_DIR/loom" RUSTFLAGS="--cfg loom"
# Slightly optimised: that costs as much compile time as it saves in the models.
export CARGO_PROFILE_DEV_OPT_LEVEL=1
models=("$@")
[ ${#models[@]} -gt 0 ] || models=(model::)
for model in "${models[@]}"; do
    # Only models run under loom.
    cargo test --package cacheness-core --lib --locked ${quiet:+--quiet} "$model" -- --skip tests::
done
