"""The medians of the last `cargo bench`, beside those that are kept in ``benchmarks/criterion.json``.

Criterion compares a run with the one before it on the same machine; this is for everyone else. Times of another machine
say little: the kept ones name theirs, and ``make bench`` prints both.

Examples::

    python benchmarks/criterion.py                # beside what is kept
    python benchmarks/criterion.py --save         # keep this run's
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import report

KEPT = Path(__file__).parent / "criterion.json"


def medians(target: Path) -> dict[str, float]:
    """Return the median in nanoseconds of each benchmark that criterion has written down, by its name."""
    found = {}
    for path in sorted(target.glob("criterion/**/new/estimates.json")):
        name = json.loads((path.parent / "benchmark.json").read_text(encoding="utf-8"))["full_id"]
        found[name] = json.loads(path.read_text(encoding="utf-8"))["median"]["point_estimate"]
    return found


def main() -> int:
    """Print, keep."""
    parser = argparse.ArgumentParser(description="Show the medians of the last `cargo bench` beside the kept ones.")
    parser.add_argument("--save", action="store_true", help=f"keep them in {KEPT.name}")
    parser.add_argument(
        "--target", type=Path, default=os.environ.get("CARGO_TARGET_DIR", "target"), help="build folder"
    )
    args = parser.parse_args()
    found = medians(args.target)
    if not found:
        raise SystemExit(f"{args.target}/criterion has no results: run `cargo bench --all-features` first")
    kept = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.is_file() else {"machine": {}, "nanoseconds": {}}
    machine = {name: text for name, text in report.machine(Path.cwd()).items() if name not in ("python", "packages")}
    print("Kept:", ", ".join(kept["machine"].values()) or "nothing")
    print("Now:", ", ".join(machine.values()), "\n")
    print("| benchmark | µs | kept | ratio |\n| --- | ---: | ---: | ---: |")
    for name, nanoseconds in found.items():
        before = kept["nanoseconds"].get(name)
        ratio = f"{nanoseconds / before:.2f}" if before else "–"
        was = report.number(before / 1e3) if before else "–"
        print(f"| {name} | {report.number(nanoseconds / 1e3)} | {was} | {ratio} |")
    if args.save:
        text = json.dumps({"machine": machine, "nanoseconds": found}, indent=1, ensure_ascii=False)
        KEPT.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
