#!/usr/bin/env bash
# Builds the wheel into dist/ and tests it with Python only: a new environment, an empty HOME, a PATH without Rust, cmake or
# a compiler.
# usage: scripts/wheel.sh [PROFILE [EXTRA]]
#   PROFILE   `release` (default) as for users, `checked` for the tests
#   EXTRA     also installs the wheel's extra of this name (`dataframes`, `all`) and runs the README's Python blocks
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

profile=${1:-release}
extra=${2:-}
prepare
cd "$ROOT"
say "Building the wheel ($profile)"
rm -rf dist
"$VENV/bin/maturin" build ${quiet:+--quiet} --profile "$profile" --locked --out dist >/dev/null

home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
"$VENV/bin/python" -m venv "$home/venv"
alone() { (cd "$home" && env -i HOME="$home" PATH="$home/venv/bin" TMPDIR="${TMPDIR:-/tmp}" "$@"); }

wheel=$(echo "$ROOT"/dist/cacheness-*.whl)
say "Installing $(basename "$wheel") into a new environment"
if [ -n "$extra" ]; then
    "$home/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "$wheel[$extra]"
else
    # The wheel has no dependencies: a new one fails here.
    "$home/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-index "$wheel"
fi
cp "$ROOT/README.md" "$ROOT/scripts/try_wheel.py" "$home"
alone python try_wheel.py "$extra"
alone cacheness ls first_cache
key=$(alone cacheness ls --json first_cache | alone python -c 'import json, sys; print(json.loads(sys.stdin.readline())["cache_key"])')
alone cacheness info first_cache "$key" >/dev/null
say "The wheel works by itself."
