#!/usr/bin/env bash
# The tests of the crates that have unsafe code, under AddressSanitizer, whose run-time library comes with the stable
# toolchain (docs/durability.md, "Races and unsafe code"). C libraries are not instrumented: another compiler's instructions
# do not fit this run-time library. Their allocations are checked.
# usage: scripts/asan.sh [FILTER]      a filter of nextest; `test(arrays)`
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

cd "$ROOT"
prepare
cargo nextest --version >/dev/null 2>&1 || die "cargo-nextest is missing: cargo install cargo-nextest --locked"
host=$(rustc -vV | sed -n 's/^host: //p')
# A separate directory beside the other artefacts: everything is instrumented. The flag belongs to the nightly compiler.
export RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address -Cunsafe-allow-abi-mismatch=sanitizer"
export CARGO_TARGET_DIR="$CARGO_TARGET_DIR/asan"
export CFLAGS="-fno-sanitize=all${CFLAGS:+ $CFLAGS}"
# A forked child exits without releasing inherited memory, and a killed process releases nothing.
export ASAN_OPTIONS="detect_leaks=0${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
cargo nextest run --package cacheness-core --package cacheness-sqlite --locked --cargo-profile checked --target "$host" \
    --features cacheness-core/arrow,cacheness-core/ndarray,cacheness-core/blosc2,cacheness-sqlite/failpoints -E "${1:-all()}"
