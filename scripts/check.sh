#!/usr/bin/env bash
# All static checks. Runs all of them, then lists those that failed.
# usage: scripts/check.sh [NAME...]      all by default; the names are in the list at the end
set -uo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$ROOT" || exit 1

# cargo-deny has no current package for all systems. It is compiled once, beside the build artefacts, and without
# optimisation, which halves the build time and costs a second per run.
CARGO_DENY_VERSION=0.20.2
ensure_cargo_deny() {
    cargo deny --version >/dev/null 2>&1 && return
    say "Compiling cargo-deny (once; some minutes)"
    CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=256 \
        CARGO_PROFILE_RELEASE_DEBUG=0 CARGO_PROFILE_RELEASE_STRIP=debuginfo \
        cargo install cargo-deny --version "$CARGO_DENY_VERSION" --locked --quiet \
        --root "$CACHENESS_TOOLS" --target-dir "$CACHENESS_TOOLS/build" &&
        rm -rf "$CACHENESS_TOOLS/build"
}

check_fmt() { cargo fmt --all --check; }
check_clippy() { cargo clippy --workspace --all-features --all-targets --locked --quiet -- -D warnings; }
check_deny() { ensure_cargo_deny && cargo deny --log-level error check licenses bans sources; }
# Known vulnerabilities. A finding fails. An unreachable database does not fail, but is reported at the end; with
# CACHENESS_ADVISORIES=required it fails.
check_advisories() {
    local status verdict=0
    ensure_cargo_deny || true
    [ -x "$VENV/bin/pip-audit" ] ||
        "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-input 'pip-audit>=2.9' || true
    for language in rust python; do
        status=0
        "$VENV/bin/python" scripts/advisories.py "$language" || status=$?
        case $status in
            0) ;;
            75) unchecked+=("advisories of $language packages"); [ "${CACHENESS_ADVISORIES:-}" != required ] || verdict=1 ;;
            *) verdict=1 ;;
        esac
    done
    return $verdict
}
check_features() { "$VENV/bin/python" scripts/features.py; }
check_docs() { RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --all-features --locked --quiet; }
check_ruff() { "$VENV/bin/ruff" check --quiet . && "$VENV/bin/ruff" format --check --quiet .; }
check_types() {
    "$VENV/bin/mypy" &&
        "$VENV/bin/mypy" --strict scripts/no_skips.py scripts/advisories.py scripts/features.py scripts/pictures.py scripts/try_wheel.py &&
        "$VENV/bin/mypy" benchmarks examples
}
# Compares the stubs with the module. stubtest imports it, so it is built first, with the profile of the tests.
check_stubs() {
    "$ROOT/scripts/build.sh" checked &&
        MYPYPATH=python "$VENV/bin/python" -m mypy.stubtest --mypy-config-file pyproject.toml \
            --allowlist scripts/stubtest_allow.txt cacheness
}

prepare || exit 1
names=("$@")
[ ${#names[@]} -gt 0 ] || names=(fmt ruff features deny advisories clippy docs types stubs)
failed=() unchecked=()
for name in "${names[@]}"; do
    say "check: $name"
    "check_$name" || failed+=("$name")
done
for what in "${unchecked[@]}"; do say "NOT CHECKED: $what, because the database cannot be reached"; done
if [ ${#failed[@]} -gt 0 ]; then die "Failed checks: ${failed[*]}"; fi
say "All checks passed: ${names[*]}${unchecked:+ (some could not run)}"
