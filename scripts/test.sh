#!/usr/bin/env bash
# All tests, in Rust and in Python. A test that cannot run fails; a skip never passes.
# usage: scripts/test.sh [rust|python]      both by default
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

what=${1:-all}
cd "$ROOT"
prepare
if [ -z "${CACHENESS_TEST_POSTGRES_URL:-}" ]; then
    exec "$VENV/bin/python" "$ROOT/scripts/postgres.py" "$ROOT/scripts/test.sh" "$@"
fi
"$ROOT/scripts/build.sh" checked

# The extension module is a library for an interpreter: its tests are the Python ones. Rust tests that compare both
# languages start the interpreter of .venv, where the package is installed.
export CACHENESS_PYTHON="$VENV/bin/python"

if [ "$what" = all ] || [ "$what" = rust ]; then
    selection=(--workspace --exclude cacheness-python --all-features --locked)
    say "Rust tests"
    if cargo nextest --version >/dev/null 2>&1; then
        cargo nextest run "${selection[@]}" --cargo-profile checked
    else
        cargo test "${selection[@]}" --profile checked --lib --bins --tests --examples
    fi
    say "Loom models"
    "$ROOT/scripts/loom.sh"
    say "Rust examples in the documentation"
    cargo test "${selection[@]}" --profile checked --doc --quiet
fi

if [ "$what" = all ] || [ "$what" = python ]; then
    say "Python tests"
    PYTHONPATH="$ROOT/scripts" "$VENV/bin/python" -m pytest -p no_skips
    say "Keys and values under the oldest supported libraries"
    "$ROOT/scripts/versions.sh"
fi

if [ "$what" = all ]; then
    "$ROOT/scripts/wheel.sh" checked
fi
