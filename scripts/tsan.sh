#!/usr/bin/env bash
# The tests of the core, the metadata and the crate under ThreadSanitizer, with a standard library built for it, which needs
# the nightly toolchain and its source (docs/durability.md, "Races and unsafe code"). C libraries are not instrumented:
# SQLite's accesses to its own memory are not checked, but its mutexes are seen. Excluded are tests that read a thread that
# the kernel has stopped, which the sanitizer does not know about, and one of a process with limited memory.
# usage: scripts/tsan.sh [FILTER]      a filter of nextest; TOOLCHAIN=nightly-2026-05-20 selects another toolchain
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

cd "$ROOT"
prepare
toolchain=${TOOLCHAIN:-nightly}
sysroot=$(rustc "+$toolchain" --print sysroot 2>/dev/null) && [ -d "$sysroot/lib/rustlib/src" ] ||
    die "A nightly toolchain with the source of the standard library is missing: rustup toolchain install $toolchain --component rust-src"
cargo nextest --version >/dev/null 2>&1 || die "cargo-nextest is missing: cargo install cargo-nextest --locked"
host=$(rustc -vV | sed -n 's/^host: //p')
# A separate directory beside the other artefacts: everything is instrumented.
export RUSTFLAGS="-Zsanitizer=thread" CARGO_TARGET_DIR="$CARGO_TARGET_DIR/tsan"
export CACHENESS_PYTHON="$VENV/bin/python"
# A child of several threads may fork; what it inherits of the sanitizer's own threads is gone.
export TSAN_OPTIONS="die_after_fork=0 halt_on_error=1${TSAN_OPTIONS:+ $TSAN_OPTIONS}"
cargo "+$toolchain" nextest run -Zbuild-std --package cacheness-core --package cacheness-sqlite --package cacheness \
    --locked --cargo-profile checked --target "$host" --features cacheness-sqlite/failpoints,cacheness-core/blosc2 \
    -E "${1:-not test(/^(faults|hazards|power|bombs)::/)}"
