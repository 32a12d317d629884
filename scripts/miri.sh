#!/usr/bin/env bash
# The tests of what is `unsafe`, interpreted by Miri, which reports undefined behaviour (docs/durability.md, "Races and unsafe
# code"). Everything but the foreign calls is the code that is shipped.
# usage: scripts/miri.sh [FILTER...]      the names of tests, or parts of them; all that are listed below by default
#        CACHENESS_MIRI=nightly-2026-05-19 scripts/miri.sh      another toolchain than `nightly`
#        CACHENESS_MIRI_SEEDS=64 scripts/miri.sh                more orders of the threads
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

cd "$ROOT"
toolchain=${CACHENESS_MIRI:-nightly}
RUSTUP_AUTO_INSTALL=0 cargo "+$toolchain" miri --version >/dev/null 2>&1 ||
    die "Miri is missing: rustup toolchain install $toolchain --component miri --component rust-src"
prepare

# What Miri can run of the crates that have unsafe code. Left out is what it has no functions for: SQLite, c-blosc2, zstd and
# Python, `fork`, mapped files, locks of files, and opening directories.
tests=(
    process::tests               # a value for each process
    cast::tests native::small    # items as bytes, bytes as items; the arrays of ndarray made of them
    fork::                       # what a child leaves alone; operations and forks
    header::                     # the header of SQLite's index
    blocks::tests                # the memory of NumPy's arrays
    strings::tests               # columns of strings
)
# Work on all cores, and flights: what is unsafe there is in rayon and parking_lot. Less strict, because crossbeam-epoch makes
# pointers of integers and the threads of rayon never end. The other unit tests are of safe code, or take Miri minutes.
others=(parallel::tests flight::tests)
# These have a directory.
not_others=(handles_of another_process without_locks)

# What threads do at the same time, or one after the other: with several seeds.
threads=(process::tests fork::tests header:: blocks::tests::threads)

# Beside the other artefacts: everything is compiled for Miri.
export CARGO_TARGET_DIR="$CARGO_TARGET_DIR/miri"
# Tests are interpreted from their sources, those of the checkout that was here first: cargo does not notice another one.
mkdir -p "$CARGO_TARGET_DIR/miri"
find "$CARGO_TARGET_DIR/miri" -path '*/debug/deps/*' -type f ! -name '*.*' -delete
strict="-Zmiri-strict-provenance -Zmiri-symbolic-alignment-check"
more=${MIRIFLAGS:-}

# Takes flags of Miri and filters. All features that these crates need for each other, so that nothing is compiled twice.
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
# A test that has another name now must not be missed in silence.
all_are_there() {
    local name
    for name in "$@"; do
        grep -q "^test .*$name.* ok$" "$log" || die "No test is called $name any more"
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
run "$strict -Zmiri-many-seeds=0..${CACHENESS_MIRI_SEEDS:-16}" "${threads[@]}" >"$log" || { cat "$log"; die "Not in every order"; }
say "What threads do with rayon"
run "-Zmiri-tree-borrows -Zmiri-permissive-provenance -Zmiri-ignore-leaks" "${others[@]}" "${not_others[@]/#/--skip=}" |
    tee "$log"
all_are_there "${others[@]}"
say "Nothing is undefined"
