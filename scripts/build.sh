#!/usr/bin/env bash
# Builds the extension module and installs the package into .venv, in place: python/cacheness is imported directly.
# usage: scripts/build.sh [PROFILE]      `release` (default) as for users, `checked` for the tests: with overflow
#                                        checks, and with functions that only tests call.
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

profile=${1:-release}
prepare
say "Building the extension module ($profile)"
mkdir -p "$CARGO_TARGET_DIR"
cd "$ROOT"
# These features replace those in pyproject.toml.
features=pyo3/extension-module
[ "$profile" != checked ] || features+=,testing
# Standard output is only pip's; errors go to standard error.
VIRTUAL_ENV="$VENV" "$VENV/bin/maturin" develop ${quiet:+--quiet} --profile "$profile" --features "$features" --locked >/dev/null
