#!/usr/bin/env bash
# What the engine synchronises by itself, in all orders in which its threads can run, as far as the number of preemptions
# that each model names (docs/durability.md, "Races and unsafe code"): the modules `model` of cacheness-core.
# usage: scripts/loom.sh [MODEL...]      all by default; `flight`, `store::model::gets_meet_two_puts`
#        LOOM_MAX_PREEMPTIONS=5 scripts/loom.sh      more orders; LOOM_LOG=trace and LOOM_LOCATION=1 say what happens in one
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

cd "$ROOT"
# Beside the other artefacts: the flag concerns every crate.
export CARGO_TARGET_DIR="$CARGO_TARGET_DIR/loom" RUSTFLAGS="--cfg loom"
# Optimised a little, which costs the compiler as much as it saves the models.
export CARGO_PROFILE_DEV_OPT_LEVEL=1
models=("$@")
[ ${#models[@]} -gt 0 ] || models=(model::)
for model in "${models[@]}"; do
    # Nothing but models runs under loom.
    cargo test --package cacheness-core --lib --locked ${quiet:+--quiet} "$model" -- --skip tests::
done
