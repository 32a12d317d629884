"""The comparison as text: Markdown tables of medians and targets, and the machine that they were measured on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from targets import OURS, judge

PACKAGES = ("cacheness", "diskcache", "joblib", "lmdb", "numpy", "pandas", "polars", "pyarrow")
BEGIN, END = "<!-- compare.py: begin -->", "<!-- compare.py: end -->"

Rows = Mapping[str, Mapping[str, list[float]]]


def machine(directory: Path) -> dict[str, str]:
    """Describe what the comparison runs on: processor, memory, file system, versions."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "file system": _file_system(directory),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": ", ".join(f"{name} {version}" for name in PACKAGES if (version := _version(name))),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _file_system(directory: Path) -> str:
    """Name the file system; ``df`` knows it on Linux, elsewhere it stays unknown."""
    if sys.platform != "linux":
        return "unknown"
    command = ["df", "--output=fstype", str(directory)]
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return result.stdout.split()[-1]


def number(value: float) -> str:
    """Write a number with three significant digits, no exponent."""
    if value == 0:
        return "0"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def markdown(rows: Rows, units: Mapping[str, str], peers: list[str], described: Mapping[str, str]) -> str:
    """Return the medians beside each other with the ratio to cacheness in brackets, then the targets."""
    lines = ["Measured on:", ""]
    lines += [f"- {name}: {text}" for name, text in described.items()]
    lines += ["", "Medians. In brackets: how many times as long, or as large, as cacheness.", ""]
    lines += [_line(["work", "unit", *peers]), _line(["---", "---", *["---:"] * len(peers)])]
    for row, samples in rows.items():
        ours = median(samples[OURS]) if OURS in samples else None
        lines.append(_line([row, units[row], *[_cell(samples.get(peer), peer, ours) for peer in peers]]))
    verdicts = judge(rows)
    if verdicts:
        lines += ["", "Targets.", "", _line(["work", "target", "measured", ""]), _line(["---", "---", "---:", "---"])]
        lines += [
            _line([verdict.row, verdict.target, number(verdict.measured), "met" if verdict.met else "**not met**"])
            for verdict in verdicts
        ]
    return "\n".join(lines) + "\n"


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(samples: list[float] | None, peer: str, ours: float | None) -> str:
    if samples is None:
        return "–"
    value = median(samples)
    if peer == OURS:
        return f"**{number(value)}**"
    return f"{number(value)} ({number(value / ours)}×)" if ours else number(value)


def write_markdown(path: Path, text: str) -> None:
    """Write a page, or only what stands between its two marks, if it has them."""
    if path.is_file():
        page = path.read_text(encoding="utf-8")
        before, begin, rest = page.partition(BEGIN)
        _, end, after = rest.partition(END)
        if begin and end:
            text = f"{before}{BEGIN}\n\n{text}\n{END}{after}"
    path.write_text(text, encoding="utf-8")
