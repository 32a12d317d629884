#!/usr/bin/env bash
# Coverage-guided fuzzing of code that parses bytes from outside, with the stable compiler. Stops at the first finding and
# leaves its input in fuzz/artifacts: copy it to fuzz/corpus/TARGET, fix the code, and commit both.
# usage: scripts/fuzz.sh [SECONDS [TARGET...]]      600 seconds for each of all targets by default
#        scripts/fuzz.sh minimise [TARGET...]       keeps only the inputs of each corpus that add coverage
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

what=${1:-600}
shift || true
cd "$ROOT"
prepare
command -v "${CXX:-c++}" >/dev/null 2>&1 || die "libFuzzer needs a C++ compiler: install g++ or clang, then run it again."
targets=("$@")
[ ${#targets[@]} -gt 0 ] || for path in fuzz/fuzz_targets/*.rs; do targets+=("$(basename "$path" .rs)"); done

# The same versions as in the workspace. Everything is rebuilt, because everything is instrumented; with an explicit target,
# build scripts are not.
cp Cargo.lock fuzz/Cargo.lock
host=$(rustc -vV | sed -n 's/^host: //p')
export CARGO_TARGET_DIR="${CACHENESS_FUZZ_TARGET_DIR:-$CARGO_TARGET_DIR/fuzz}"
flags="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares"
say "Building the fuzz targets"
RUSTFLAGS="$flags" cargo build --manifest-path fuzz/Cargo.toml --release --target "$host" --quiet

for target in "${targets[@]}"; do
    binary="$CARGO_TARGET_DIR/$host/release/$target"
    [ -x "$binary" ] || die "fuzz target $target does not exist"
    corpus="$ROOT/fuzz/corpus/$target"
    mkdir -p "$ROOT/fuzz/artifacts" "$corpus"
    if [ "$what" = minimise ]; then
        smaller=$(mktemp -d)
        "$binary" -merge=1 -rss_limit_mb=2048 "$smaller" "$corpus" 2>/dev/null
        rm -rf "$corpus" && mv "$smaller" "$corpus" && chmod 755 "$corpus"
        continue
    fi
    say "Fuzzing $target for $what s"
    # New inputs go to a separate directory: the corpus in the repository grows by hand.
    found="$CARGO_TARGET_DIR/found/$target"
    mkdir -p "$found"
    "$binary" -max_total_time="$what" -rss_limit_mb=2048 -timeout=20 -max_len=65536 -print_final_stats=1 \
        -artifact_prefix="$ROOT/fuzz/artifacts/$target-" "$found" "$corpus"
done
