"""The comparison as pictures: put and get by the size of a value, and by the number of entries.

Measures what it draws (`curves.py` has the work), or draws what a run has written down:

    python benchmarks/charts.py                             # some fifteen minutes; writes docs/images/*.png
    python benchmarks/charts.py --json charts.json          # keeps the samples as well
    python benchmarks/charts.py --draw charts.json          # draws them again

Every point is a median, the axes are logarithmic, and all peers did the same work in one run.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import median

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

import report
from curves import by_number, by_size
from peers import PEERS
from targets import OURS
from workloads import Run

IMAGES = Path(__file__).parent.parent / "docs" / "images"

#: One colour per peer, told apart by people who see few of them (Okabe and Ito); cacheness is the thick line.
COLOURS = {
    OURS: "#D55E00",
    "diskcache": "#0072B2",
    "joblib": "#009E73",
    "pickle file": "#CC79A7",
    "sqlite3 row": "#56B4E9",
    "LMDB": "#999999",
}

#: Samples by row and peer. A row is named `<chart>: <put or get> at <number>`.
Samples = Mapping[str, Mapping[str, list[float]]]


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Draw cacheness beside its peers.")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, up to 10 MB and 10,000 entries")
    parser.add_argument("--directory", type=Path, default=Path.cwd(), help="where to write; on the disk to measure")
    parser.add_argument("--json", type=Path, help="write every sample to this file")
    parser.add_argument("--draw", type=Path, metavar="JSON", help="draw the samples of this file instead of measuring")
    parser.add_argument("--images", type=Path, default=IMAGES, help="where the pictures go; default: docs/images")
    return parser.parse_args()


def measure(args: argparse.Namespace) -> tuple[Samples, dict[str, str]]:
    """Do the work of both charts."""
    scratch = Path(tempfile.mkdtemp(prefix=".charts-", dir=args.directory))
    run = Run(scratch=scratch, peers=PEERS, quick=args.quick)
    try:
        for work in (by_size, by_number):
            print(f"{work.__name__} …", file=sys.stderr)
            work(run)
        return run.rows, report.machine(scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def points(samples: Samples, chart: str, peer: str) -> tuple[list[float], list[float]]:
    """Return the numbers and the medians, in seconds, of one line."""
    found = {}
    for row, peers in samples.items():
        name, _, number = row.partition(" at ")
        if name == chart and peer in peers:
            found[float(number)] = median(peers[peer])
    return list(found), list(found.values())


def seconds(value: float, _: object = None) -> str:
    """Write a time as an axis does."""
    for unit, factor in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= factor:
            return f"{value / factor:g} {unit}"
    return f"{value / 1e-9:g} ns"


def size(value: float, _: object = None) -> str:
    """Write a number of bytes as an axis does."""
    for unit, factor in (("MB", 1e6), ("kB", 1e3)):
        if value >= factor:
            return f"{value / factor:g} {unit}"
    return f"{value:g} B"


def count(value: float, _: object = None) -> str:
    """Write a number of entries as an axis does."""
    return f"{value:,.0f}"


def draw(axes: Axes, samples: Samples, chart: str, title: str, label: str, ticks: FuncFormatter) -> None:
    """Draw the lines of all peers."""
    numbers: list[float] = []
    for peer, colour in COLOURS.items():
        x, y = points(samples, chart, peer)
        if x:
            ours = peer == OURS
            axes.plot(x, y, marker="o", markersize=3.5, color=colour, label=peer, linewidth=2.6 if ours else 1.3,
                      zorder=3 if ours else 2)  # fmt: skip
            numbers = max(numbers, x, key=len)
    axes.set(xscale="log", yscale="log", title=title, xlabel=label, xticks=numbers)
    axes.xaxis.set_major_formatter(ticks)
    axes.yaxis.set_major_formatter(FuncFormatter(seconds))
    # Where there are few decades, 2 and 5 have names too.
    axes.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
    low, high = axes.get_ylim()
    axes.yaxis.set_minor_formatter(FuncFormatter(seconds) if high < 100 * low else NullFormatter())
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(visible=True, which="major", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def picture(
    path: Path, samples: Samples, panels: list[tuple[str, str]], label: str, ticks: FuncFormatter, note: str
) -> None:
    """Draw panels beside each other, two in a row, and write them as a PNG."""
    rows = (len(panels) + 1) // 2
    figure, grid = plt.subplots(rows, 2, figsize=(9.6, 3.9 * rows), sharey="row", squeeze=False)
    for axes, (chart, title) in zip(grid.flat, panels, strict=True):
        draw(axes, samples, chart, title, label, ticks)
    handles, labels = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", ncols=len(labels), frameon=False)
    figure.text(0.01, 0.005, note, fontsize=7, color="#666666")
    figure.tight_layout(rect=(0, 0.02, 1, 1 - 0.075 / rows))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> int:
    """Measure or read, then draw."""
    args = arguments()
    if args.draw:
        kept = json.loads(args.draw.read_text(encoding="utf-8"))
        samples, machine = kept["samples"], kept["machine"]
    else:
        samples, machine = measure(args)
    if args.json:
        text = json.dumps({"machine": machine, "samples": samples}, indent=1, ensure_ascii=False)
        args.json.write_text(text, encoding="utf-8")
    where = ", ".join(machine[name] for name in ("processor", "memory", "file system"))
    note = f"{where}; {machine['date']}; medians, lower is better"
    by_kind = [
        (f"{kind}: {what}", f"{what}, {kind} float64") for kind in ("smooth", "random") for what in ("put", "get")
    ]
    picture(args.images / "by_size.png", samples, by_kind, "size of the array", FuncFormatter(size), note)
    by_entries = [("entries: put", "put, small dictionary"), ("entries: get", "get, small dictionary")]
    picture(args.images / "by_number.png", samples, by_entries, "entries in the store", FuncFormatter(count), note)
    return 0


if __name__ == "__main__":
    sys.exit(main())
