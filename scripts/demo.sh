#!/usr/bin/env bash
# Builds the release profile, then runs the demo (examples/demo.py) on a new store.
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$ROOT"
prepare
"$ROOT/scripts/build.sh" release
say "Building the Rust program that reads what Python wrote"
cargo build ${quiet:+--quiet} --release --locked --package read_demo
exec "$VENV/bin/python" examples/demo.py --reader "$CARGO_TARGET_DIR/release/read_demo" "$@"
