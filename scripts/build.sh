#!/usr/bin/env bash
# Builds the extension module and installs the package into .venv, in place: python/cacheness is imported as it stands.
# usage: scripts/build.sh [PROFILE]      `release` (default) is what users get, `checked` is what the tests run.
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

profile=${1:-release}
prepare
say "Building the extension module ($profile)"
mkdir -p "$CARGO_TARGET_DIR"
cd "$ROOT"
# Standard output is only pip talking; errors go to standard error.
VIRTUAL_ENV="$VENV" "$VENV/bin/maturin" develop --quiet --profile "$profile" --locked >/dev/null
