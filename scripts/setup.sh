#!/usr/bin/env bash
# Prepares a checkout: a virtual environment with everything that the demo, the tests and the checks need, and the tools to
# build c-blosc2. Runs again only if its inputs changed. Needs Rust, Python ≥ 3.11, make and a C compiler.
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

stamp="$VENV/.cacheness-setup"
inputs=$(cat "$ROOT/scripts/setup.sh" "$ROOT/scripts/env.sh" "$ROOT/scripts/requirements-dev.txt" | cksum)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$inputs" ] && "$VENV/bin/python" -c '' 2>/dev/null; then exit 0; fi

command -v cargo >/dev/null 2>&1 || die "Rust is missing: install it with rustup (https://rustup.rs), then run make again."
command -v "${CC:-cc}" >/dev/null 2>&1 || die "A C compiler is missing: install gcc or clang (Debian: build-essential), then run make again."

# A name on the PATH may be a shim without an interpreter, so every candidate is run.
find_python() {
    local candidate
    for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11 python; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

if ! "$VENV/bin/python" -c 'import pip' >/dev/null 2>&1; then
    python=$(find_python) || die "Python 3.11 or newer with the venv module is missing (Debian: python3 and python3-venv); set PYTHON=/path/to/python to use another one."
    say "Creating .venv with $("$python" --version)"
    rm -rf "$VENV"
    "$python" -m venv "$VENV"
fi

say "Installing the Python packages of scripts/requirements-dev.txt into .venv"
"$VENV/bin/python" -m pip install ${quiet:+--quiet} --disable-pip-version-check --no-input -r "$ROOT/scripts/requirements-dev.txt"

missing=()
[ -n "${CMAKE:-}" ] || command -v cmake >/dev/null 2>&1 || missing+=(cmake)
system_libclang || missing+=(libclang)
if [ ${#missing[@]} -gt 0 ]; then
    say "Installing ${missing[*]} into .venv, to build c-blosc2"
    "$VENV/bin/python" -m pip install ${quiet:+--quiet} --disable-pip-version-check --no-input "${missing[@]}" ||
        die "c-blosc2 needs cmake and libclang, and no wheel of them fits this machine: install them (Debian: apt install cmake libclang-dev; Fedora: dnf install cmake clang-devel; macOS: brew install cmake llvm), then run make again."
    use_native_tools
fi

printf '%s\n' "$inputs" >"$stamp"
say "Set up."
