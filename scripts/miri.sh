#!/usr/bin/env bash
# The tests of unsafe code, interpreted by Miri, which reports undefined behaviour (docs/durability.md, "Races and unsafe
# code"). Everything except foreign calls is the shipped code.
# usage: scripts/miri.sh [FILTER...]      names of tests, or parts of them; by default all listed below
#        CACHENESS_MIRI=nightly-2026-05-19 scripts/miri.sh      a toolchain other than `nightly`
#        CACHENESS_MIRI_SEEDS=64 scripts/miri.sh                more orders of the threads
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

cd "$ROOT"
toolchain=${CACHENESS_MIRI:-nightly}
RUSTUP_AUTO_INSTALL=0 cargo "+$toolchain" miri --version >/dev/null 2>&1 ||
    die "Miri is missing: rustup toolchain install $toolchain --component miri --component rust-src"
prepare

# The tests of crates with unsafe code that Miri can run. It does not support SQLite, c-blosc2, zstd and Python, `fork`,
# mapped files, file locks, and opening directories.
tests=(
    process::tests               # a value for each process
    cast::tests native::small    # items as bytes, bytes as items; the arrays of ndarray made of them
    fork::                       # what a child leaves alone; operations and forks
    header::                     # the header of SQLite's index
    blocks::tests                # the memory of NumPy's arrays
    strings::tests               # columns of strings
)
# Parallel work, and flights: their unsafe code is in rayon and parking_lot. Less strict, because crossbeam-epoch casts
# integers to pointers and the threads of rayon never end. The other unit tests cover safe code, or take Miri minutes.
others=(parallel::tests flight::tests)
# These use a directory.
not_others=(handles_of another_process without_locks)

# Tests with threads: run with several seeds.
threads=(process::tests fork::tests header:: blocks::tests::threads)

# A separate directory beside the other artefacts: everything is compiled for Miri.
export CARGO_TARGET_DIR="$CARGO_TARGET_DIR/miri"
# Miri interprets tests from the sources of the checkout that compiled first: cargo does not notice a change of checkout.
mkdir -p "$CARGO_TARGET_DIR/miri"
find "$CARGO_TARGET_DIR/miri" -path '*/debug/deps/*' -type f ! -name '*.*' -delete
strict="-Zmiri-strict-provenance -Zmiri-symbolic-alignment-check"
more=${MIRIFLAGS:-}

# Takes Miri flags and filters. Enables all features that these crates need for each other, so that nothing is compiled
# twice.
run() {
    local flags=$1
    shift
    MIRIFLAGS="$flags $more" cargo "+$toolchain" miri test --locked \
        --package cacheness-core --package cacheness-sqlite --package cacheness-python --lib --test arrays \
        --features cacheness-core/ndarray,cacheness-core/uuid -- "$@" 2>&1
}

if [ $# -gt 0 ]; then
    run "$strict" "$@"
    exit
fi
# Fails if a listed test was renamed.
all_are_there() {
    local name
    for name in "$@"; do
        grep -q "^test .*$name.* ok$" "$log" || die "Test $name does not exist any more"
    done
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT
say "Stacked borrows"
run "$strict" "${tests[@]}" | tee "$log"
all_are_there "${tests[@]}" "${threads[@]}"
say "Tree borrows"
run "$strict -Zmiri-tree-borrows" "${tests[@]}"
say "Threads"
run "$strict -Zmiri-many-seeds=0..${CACHENESS_MIRI_SEEDS:-16}" "${threads[@]}" >"$log" || { cat "$log"; die "A test with threads failed"; }
say "Threads with rayon"
run "-Zmiri-tree-borrows -Zmiri-permissive-provenance -Zmiri-ignore-leaks" "${others[@]}" "${not_others[@]/#/--skip=}" |
    tee "$log"
all_are_there "${others[@]}"
say "No undefined behaviour found"
