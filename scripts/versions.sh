#!/usr/bin/env bash
# Compares keys and values under the oldest libraries that the extras support with those under the newest: each set finds
# the other's entries under the same keys and reads the same values. The golden vectors, and tests that use nothing newer,
# run under the oldest. Needs the extension module (scripts/build.sh checked).
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$ROOT"

oldest="$VENV/oldest"
wanted=$(cksum <scripts/requirements-oldest.txt)
if [ "$(cat "$oldest/.cacheness-setup" 2>/dev/null)" != "$wanted" ]; then
    say "Installing the oldest supported libraries into $(basename "$VENV")/oldest"
    rm -rf "$oldest"
    "$VENV/bin/python" -m venv "$oldest"
    "$oldest/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --only-binary :all: \
        -r scripts/requirements-oldest.txt
    printf '%s\n' "$wanted" >"$oldest/.cacheness-setup"
fi

stores=$(mktemp -d)
trap 'rm -rf "$stores"' EXIT
export PYTHONPATH="$ROOT/python:$ROOT/python/tests:$ROOT/scripts"
for pair in "$VENV $oldest" "$oldest $VENV"; do
    read -r writer reader <<<"$pair"
    store=$(mktemp -d -p "$stores")
    "$writer/bin/python" python/tests/other_versions.py write "$store"
    "$reader/bin/python" python/tests/other_versions.py read "$store"
done
"$oldest/bin/python" -m pytest -q -p no_skips python/tests/test_keys_vectors.py python/tests/test_decorators_keys.py \
    python/tests/test_tables_texts.py python/tests/test_handlers.py
