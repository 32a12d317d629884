#!/usr/bin/env bash
# Compares cacheness with its peers; passes arguments to benchmarks/compare.py. Without arguments, also runs the criterion
# benchmarks of the hot paths in Rust. Four subcommands run other measurements:
#   scripts/bench.sh criterion [ARGS]      the hot paths in Rust, against the stored medians
#   scripts/bench.sh instructions [ARGS]   instructions per operation, against the stored baseline (needs valgrind)
#   scripts/bench.sh metadata [ARGS]       filters over a million entries, and puts of typed metadata
#   scripts/bench.sh charts [ARGS]         the charts of docs/images
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$ROOT"
prepare
"$ROOT/scripts/build.sh" release

criterion() {
    # Not all features: each failpoint of the tests costs a load.
    cargo bench --package cacheness --package cacheness-sqlite --features cacheness/blosc2 --locked --benches
    "$VENV/bin/python" benchmarks/criterion.py "$@"
}

# Prints the path of the program to count instructions of.
hot_paths() {
    cargo bench --package cacheness --features cacheness/blosc2 --locked --bench hot_paths --no-run --message-format=json |
        "$VENV/bin/python" -c '
import json, sys
built = [json.loads(line) for line in sys.stdin]
print(*(unit["executable"] for unit in built if unit.get("executable") and unit["target"]["name"] == "hot_paths"))'
}

case "${1:-}" in
    criterion) criterion "${@:2}" ;;
    charts) "$VENV/bin/python" benchmarks/charts.py "${@:2}" ;;
    metadata) "$VENV/bin/python" benchmarks/metadata.py "${@:2}" ;;
    instructions)
        rust=$(hot_paths)
        "$VENV/bin/python" benchmarks/instructions.py --rust "$rust" "${@:2}"
        ;;
    *)
        "$VENV/bin/python" benchmarks/compare.py "$@"
        if [ $# -eq 0 ]; then criterion; fi
        ;;
esac
