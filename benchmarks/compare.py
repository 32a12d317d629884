"""The same work through cacheness and its peers, interleaved in one run.

Prints Markdown tables of medians, of ratios and of the project's targets to standard output, progress to standard
error. Machines are noisy: what counts is the ratio to a peer in the same run, and a busy machine tells little.

Examples::

    python benchmarks/compare.py --quick
    python benchmarks/compare.py --only small decorator --json small.json
    python benchmarks/compare.py --entries 1000000 --markdown docs/performance.md
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

import report
from peers import PEERS
from workloads import WORKLOADS, Run


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description="Compare cacheness with its peers.",
        epilog="A run takes about ten minutes, a quick one about three.",
    )
    names = [peer.name for peer in PEERS]
    parser.add_argument("--quick", action="store_true", help="fewer repetitions and operations, for a first look")
    parser.add_argument("--only", nargs="+", choices=WORKLOADS, metavar="WORK", help=f"of: {', '.join(WORKLOADS)}")
    parser.add_argument("--peers", nargs="+", choices=names, metavar="PEER", help=f"of: {', '.join(names)}")
    parser.add_argument("--entries", type=int, default=0, help="also measure in a store of so many entries")
    parser.add_argument("--directory", type=Path, default=Path.cwd(), help="where to write; on the disk to measure")
    parser.add_argument("--json", type=Path, help="write every sample to this file")
    parser.add_argument("--markdown", type=Path, help="write the tables to this file, between its marks if it has them")
    args = parser.parse_args()
    if args.entries and args.entries < 20_000:
        parser.error("--entries: at least 20000, or there is nothing to see")
    return args


def main() -> int:
    """Run the chosen workloads and report them."""
    args = arguments()
    peers = tuple(peer for peer in PEERS if not args.peers or peer.name in args.peers)
    scratch = Path(tempfile.mkdtemp(prefix=".compare-", dir=args.directory))
    run = Run(scratch=scratch, peers=peers, quick=args.quick, entries=args.entries)
    described = report.machine(scratch)
    try:
        for name in args.only or WORKLOADS:
            start = time.perf_counter()
            print(f"{name} …", end=" ", file=sys.stderr, flush=True)
            WORKLOADS[name](run)
            print(f"{time.perf_counter() - start:.0f} s", file=sys.stderr)
    finally:
        # Not before: for minutes ext4 passes over inodes that were removed, one by one, whenever it makes a file.
        shutil.rmtree(scratch, ignore_errors=True)

    text = report.markdown(run.rows, run.units, [peer.name for peer in peers], described)
    print(text)
    if args.markdown:
        report.write_markdown(args.markdown, text)
    if args.json:
        samples = {"machine": described, "units": run.units, "samples": run.rows}
        args.json.write_text(json.dumps(samples, indent=1, ensure_ascii=False), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
