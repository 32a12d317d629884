"""The demo: a pipeline computes and stores, a second process finds, a third program in Rust reads.

``make demo`` builds everything and runs this. It needs no network: the data sets travel in packages.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import polars as pl

from cacheness import Cache
from summaries import bits

HERE = Path(__file__).resolve().parent


class DemoError(Exception):
    """Something that the demo promises did not hold."""


def headline(text: str) -> None:
    """Print the title of a part of the demo."""
    print(f"\n── {text} ".ljust(100, "─"), flush=True)


def table(rows: list[tuple[Any, ...]], titles: tuple[str, ...], right: tuple[int, ...] = ()) -> None:
    """Print rows in aligned columns; those in ``right`` are numbers and align to the right."""
    cells = [titles, *[tuple(str(cell) for cell in row) for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(titles))]
    for number, row in enumerate(cells):
        line = (
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  " + "  ".join(line).rstrip())
        if number == 0:
            print("  " + "  ".join("─" * width for width in widths))


def run_pipeline(store: Path, report: Path) -> dict[str, Any]:
    """Run the pipeline in a process of its own and return its report, with the time of the whole process."""
    start = time.perf_counter()
    command = [sys.executable, str(HERE / "flight_delays.py"), str(store), "--report", str(report)]
    if subprocess.run(command, check=False).returncode != 0:
        raise DemoError("the pipeline failed: see its messages above")
    result: dict[str, Any] = json.loads(report.read_text())
    return result | {"process_seconds": time.perf_counter() - start}


def compare_runs(first: dict[str, Any], second: dict[str, Any]) -> None:
    """Check that the second run found everything, equal to what the first one computed; print both side by side."""
    rows = []
    for cold, warm in zip(first["steps"], second["steps"], strict=True):
        if cold["hit"] or not warm["hit"]:
            raise DemoError(f"{cold['step']}: expected to compute it once and find it the second time")
        if (cold["kind"], cold["checksum"]) != (warm["kind"], warm["checksum"]):
            raise DemoError(f"{cold['step']}: what was found is not what was stored")
        rows.append(
            (
                cold["step"],
                cold["kind"],
                cold["size"],
                f"{cold['seconds'] * 1e3:,.1f}",
                f"{warm['seconds'] * 1e3:,.1f}",
            )
        )
    table(rows, ("step", "value", "size", "computed, ms", "found, ms"), right=(3, 4))


def list_with_command(store: Path) -> None:
    """Run ``cacheness ls`` on the store, as anyone could in a shell."""
    command = Path(sys.executable).with_name("cacheness")
    print(f"  $ cacheness ls {store}", flush=True)
    if subprocess.run([str(command), "ls", str(store)], check=False).returncode != 0:
        raise DemoError("`cacheness ls` failed")


def expected_by_rust(cache: Cache) -> dict[str, dict[str, Any]]:
    """Return what the Rust program should report, computed here from the same entries."""
    flights = cache.get(step="flights", year=2013)
    days = cache.get(step="days", year=2013)
    assert isinstance(days, pl.DataFrame)
    scores = cache.get(step="validate", model="boosting", fold=0)
    expected = {
        "flights": {"shape": list(flights.shape), "sum": float(flights["distance"].sum())},
        "days": {"shape": list(days.shape), "sum": float(days["flights"].sum())},
        "scores": {"shape": [len(scores)], "sum": scores["auc"]},
    }
    for name in ("features", "surface"):
        array = cache.get(step=name, year=2013)
        expected[name] = {"shape": list(array.shape), "checksum": bits(array)}
    late = cache.get(step="late", year=2013, minutes=15)
    expected["late"] = {"shape": list(late.shape), "sum": int(late.sum()), "checksum": bits(late)}
    return expected


def read_with_rust(reader: Path, store: Path, expected: dict[str, dict[str, Any]]) -> None:
    """Run the Rust program and hold what it read against ``expected``, bit for bit."""
    print(f"  $ read_demo {store}", flush=True)
    result = subprocess.run([str(reader), str(store)], check=False, stdout=subprocess.PIPE, text=True)
    if result.returncode != 0:
        raise DemoError("the Rust program failed: see its message above")
    found = {line["name"]: line for line in map(json.loads, result.stdout.splitlines())}
    if set(found) != {*expected, "model"}:
        raise DemoError(f"the Rust program read {sorted(found)}, expected {sorted(expected)} and a model")
    rows = []
    for name, wanted in expected.items():
        line = found[name]
        for field, value in wanted.items():
            if line[field] != value:
                raise DemoError(f"{name}: {field} is {value} in Python and {line[field]} in Rust")
        shape = "×".join(map(str, line["shape"]))
        rows.append((name, line["type"], shape, ", ".join(field for field in wanted), f"{line['ms']:,.1f}"))
    table(rows, ("entry", "read in Rust as", "size", "equal to Python", "ms"), right=(4,))
    print(
        f"\n  A fitted model is a pickle, signed by this store; Rust says so instead of guessing:\n"
        f"  {found['model']['error']}"
    )


def summarize(store: Path, cache: Cache, first: dict[str, Any], second: dict[str, Any]) -> None:
    """Print what the demo showed, in a few lines."""
    entries = cache.list_entries(include_metadata=True)
    models = [entry for entry in entries if "mean_auc" in (entry["metadata"] or {})]
    best = max(models, key=lambda entry: float(entry["metadata"]["mean_auc"]))
    kept = sum(entry["file_size"] for entry in entries) / 1e6
    formats: dict[str, int] = {}
    for entry in entries:
        formats[entry["storage_format"]] = formats.get(entry["storage_format"], 0) + 1
    saved = first["process_seconds"] - second["process_seconds"]
    table(
        [
            ("first run, a new process", f"{first['process_seconds']:.1f} s"),
            (
                "second run, a new process",
                f"{second['process_seconds']:.1f} s, every one of {len(second['steps'])} steps found",
            ),
            ("saved", f"{saved:.1f} s: {first['seconds'] / second['seconds']:.0f} times faster between open and close"),
            (
                "entries",
                f"{len(entries)}, {kept:.1f} MB ({', '.join(f'{n} {name}' for name, n in sorted(formats.items()))})",
            ),
            ("best model, by metadata", f"{best['metadata']['class']}, mean AUC {best['metadata']['mean_auc']}"),
            ("read by Rust", "tables, arrays and scores equal to Python's"),
            ("store", f"{store} (plain files: look inside)"),
        ],
        ("what", "result"),
    )


def main() -> int:
    """Run all parts; 0 where everything held."""
    parser = argparse.ArgumentParser(description="cacheness on real data, from Python and from Rust.")
    parser.add_argument("--reader", type=Path, required=True, help="the compiled Rust example read_demo")
    parser.add_argument("--store", type=Path, default=Path("demo_store"), help="directory of the cache; emptied first")
    args = parser.parse_args()

    # Only a directory that is a store is emptied: a typing error must not cost anything.
    if args.store.exists():
        if any(args.store.iterdir()) and not (args.store / "cacheness.toml").is_file():
            print(f"{args.store} is not a cacheness store: choose another directory with --store", file=sys.stderr)
            return 2
        shutil.rmtree(args.store)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            headline("1. A pipeline on 336,776 flights: everything is computed and stored")
            first = run_pipeline(args.store, Path(scratch, "first.json"))
            headline("2. The same program in a new process: everything is found")
            second = run_pipeline(args.store, Path(scratch, "second.json"))
            print()
            compare_runs(first, second)
        headline("3. What is in the store")
        list_with_command(args.store)
        with Cache(str(args.store)) as cache:
            headline("4. A Rust program reads what Python wrote")
            read_with_rust(args.reader, args.store, expected_by_rust(cache))
            headline("Summary")
            summarize(args.store, cache, first, second)
    except DemoError as failure:
        print(f"\nThe demo failed: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
