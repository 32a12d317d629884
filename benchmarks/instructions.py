"""How many instructions and allocations an operation takes, in Rust and in Python: figures that a busy machine does not
change.

Each operation is done a few times and then some more times under valgrind's callgrind, which simulates the processor
and counts, and its dhat, which counts blocks of memory (in Python without the small objects of its own allocator). The
difference, by the number of operations between the two, is what one of them takes: starting, opening and closing drop
out. Counts include SQLite's and the interpreter's instructions, and none of the kernel's. The simulated processor has
no AVX-512, so hashing and decompressing take more of them than on a real one.

The counts are kept in ``benchmarks/instructions.json`` with what they were counted with. A run prints each beside the
kept one, and ``--save`` keeps its own. Two runs of one build differ by less than 0.1 % in Rust and by some percent in
Python; more is a change of the program, of a library, or of the compiler.

Examples::

    scripts/bench.sh instructions                                  # builds both programs first
    python benchmarks/instructions.py --only "Python: get" --save
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
KEPT = HERE / "instructions.json"

#: The same operations in both languages; what one turn of each costs decides how many there are.
TURNS = {
    "put": 500,
    "replace": 500,
    "get": 2000,
    "get_from_database": 500,
    "miss": 1000,
    "hit": 2000,
    "list_100": 20,
    "put_1MB": 10,
    "get_1MB": 10,
}


@dataclass(frozen=True)
class Tool:
    """What counts: a tool of valgrind and where it says how many."""

    arguments: tuple[str, ...]
    says: re.Pattern[str]


INSTRUCTIONS = Tool(("--tool=callgrind", "--callgrind-out-file=/dev/null"), re.compile(r"Collected : (\d+)"))
ALLOCATIONS = Tool(("--tool=dhat", "--dhat-out-file=/dev/null"), re.compile(r"Total: .* in ([\d,]+) blocks"))
TOOLS = {"instructions": INSTRUCTIONS, "allocations": ALLOCATIONS}


@dataclass(frozen=True)
class Program:
    """A program that does an operation a number of times: ``command NAME TURNS``."""

    language: str
    command: tuple[str, ...]

    def count(self, tool: Tool, operation: str, turns: int) -> int:
        """Return what a whole run takes."""
        # Addresses and hashes are the same in every run, and so is the order of everything that depends on them.
        fixed = ["setarch", platform.machine(), "-R"] if shutil.which("setarch") else []
        command = [*fixed, "valgrind", *tool.arguments, *self.command, operation, str(turns)]
        # Threads that wait count what they wait.
        single = dict.fromkeys(("RAYON_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")
        environment = {**os.environ, **single, "PYTHONHASHSEED": "0"}
        run = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
        counted = tool.says.search(run.stderr)
        if run.returncode or not counted:
            raise SystemExit(f"{' '.join(command)} failed:\n{run.stderr}")
        return int(counted[1].replace(",", ""))

    def per_operation(self, tool: Tool, operation: str) -> float:
        """Return what one operation takes."""
        turns = TURNS[operation]
        few = max(2, turns // 10)
        return (self.count(tool, operation, few + turns) - self.count(tool, operation, few)) / turns


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Count the instructions of the hot paths.")
    parser.add_argument("--rust", help="the program of crates/cacheness/benches/hot_paths.rs; without, Python alone")
    parser.add_argument("--only", nargs="+", metavar="ROW", help="rows as they are printed, such as 'Python: get'")
    parser.add_argument("--save", action="store_true", help=f"keep the counts in {KEPT.name}")
    return parser.parse_args()


def described() -> dict[str, str]:
    """What else decides the counts."""
    valgrind = subprocess.run(["valgrind", "--version"], check=True, capture_output=True, text=True).stdout.strip()
    rust = subprocess.run(["rustc", "--version"], check=True, capture_output=True, text=True).stdout.strip()
    return {"python": platform.python_version(), "rust": rust, "valgrind": valgrind, "machine": platform.machine()}


def main() -> int:
    """Count, print, keep."""
    args = arguments()
    if not shutil.which("valgrind"):
        raise SystemExit("valgrind is missing (Debian: apt install valgrind): it does the counting")
    programs = [Program("Python", (sys.executable, str(HERE / "hot.py")))]
    if args.rust:
        programs.append(Program("Rust", (args.rust,)))
    kept = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.is_file() else {"counted with": {}}
    rows = {f"{program.language}: {name}": (program, name) for program in programs for name in TURNS}
    unknown = set(args.only or ()) - set(rows)
    if unknown:
        raise SystemExit(f"no such row: {', '.join(sorted(unknown))}; there are: {', '.join(rows)}")

    machine = described()
    for name, was in kept["counted with"].items():
        if machine.get(name) != was:
            print(f"Kept counts were made with {name} {was}, this run has {machine.get(name)}.", file=sys.stderr)
    print("| operation | instructions | change | allocations | kept |\n| --- | ---: | ---: | ---: | ---: |")
    for row, (program, name) in rows.items():
        if args.only and row not in args.only:
            continue
        cells = [row]
        for what, tool in TOOLS.items():
            known: dict[str, int] = kept.setdefault(what, {})
            count, before = round(program.per_operation(tool, name)), known.get(row)
            change = "–" if before is None else f"{before:,}" if tool is ALLOCATIONS else f"{count / before - 1:+.1%}"
            cells += [f"{count:,}", change]
            if args.save:
                known[row] = count
        print(f"| {' | '.join(cells)} |", flush=True)
    if args.save:
        kept["counted with"] = machine
        KEPT.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
