"""Filters over a large store, beside plain SQLite on a copy of its database and beside filtering in Python.

Prints one Markdown table to standard output, progress to standard error. Every figure is the median of interleaved
repetitions; each query is also checked: all ways find the same keys.

Examples::

    python benchmarks/metadata.py
    python benchmarks/metadata.py --entries 100000 --repeat 9
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from cacheness import CacheConfig, cacheness

FIELDS = ("accuracy", "project", "epochs", "stage", "author", "loss", "dataset", "seed", "production", "config")
PROJECTS = 1_000

#: Name, filter, the same in SQL over the table, the same in Python.
QUERIES: list[tuple[str, dict[str, Any], str, Callable[[dict[str, Any]], bool]]] = [
    (
        "rare: 1 in 1,000",
        {"project": "project 7"},
        "json_extract(metadata, '$.project') = 'project 7'",
        lambda m: bool(m["project"] == "project 7"),
    ),
    (
        "common: 1 in 10",
        {"accuracy": {"$gte": 0.9}},
        "json_extract(metadata, '$.accuracy') >= 0.9",
        lambda m: bool(m["accuracy"] >= 0.9),
    ),
    (
        "two fields: 1 in 10,000",
        {"accuracy": {"$gte": 0.9}, "project": "project 7"},
        "json_extract(metadata, '$.accuracy') >= 0.9 AND json_extract(metadata, '$.project') = 'project 7'",
        lambda m: bool(m["accuracy"] >= 0.9 and m["project"] == "project 7"),
    ),
    (
        "nested: 1 in 50",
        {"config.depth": 7},
        "json_extract(metadata, '$.config.depth') = 7",
        lambda m: bool(m["config"]["depth"] == 7),
    ),
]


def sample(number: int, source: random.Random) -> dict[str, Any]:
    """The metadata of one entry: ten fields."""
    return {
        "accuracy": round(source.random(), 4),
        "project": f"project {source.randrange(PROJECTS)}",
        "epochs": source.randrange(100),
        "stage": source.choice(("dev", "test", "prod")),
        "author": f"author {source.randrange(50)}",
        "loss": source.random(),
        "dataset": f"s3://bucket/dataset-{number % 97}.parquet",
        "seed": number,
        "production": source.random() < 0.2,
        "config": {"depth": source.randrange(50), "rate": 0.1},
    }


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Milliseconds of a call, and its result."""
    start = time.perf_counter()
    result = work()
    return (time.perf_counter() - start) * 1e3, result


def say(text: str) -> None:
    """Print progress."""
    print(text, file=sys.stderr, flush=True)


def peak() -> int:
    """The peak of this process's memory in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def interleaved(ways: dict[str, Callable[[], Any]], repeat: int) -> dict[str, float]:
    """The median milliseconds of each way. All have to return the same."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    expected: Any = None
    for _ in range(repeat):
        for name, work in ways.items():
            spent, found = timed(work)
            times[name].append(spent)
            if expected is None:
                expected = found
            if found != expected:
                raise SystemExit(f"{name} finds something else: {str(found)[:200]} and {str(expected)[:200]}")
    return {name: statistics.median(spent) for name, spent in times.items()}


def main() -> int:
    """Fill a store, run the queries, print the table."""
    parser = argparse.ArgumentParser(description="Filters over a large store.")
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=5, help="repetitions of each query")
    parser.add_argument("--directory", type=Path, default=Path.cwd(), help="where to write; on the disk to measure")
    args = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix=".metadata-", dir=args.directory))
    try:
        run(scratch, args.entries, args.repeat)
    finally:
        shutil.rmtree(scratch)
    return 0


def run(scratch: Path, entries: int, repeat: int) -> None:
    """The benchmark in a directory of its own."""
    cache = cacheness(CacheConfig(cache_dir=scratch / "store", max_entries=None, max_cache_size_mb=None))
    source = random.Random(1)
    start = time.perf_counter()
    for number in range(entries):
        cache.put(number, n=number, metadata=sample(number, source))
    say(f"{entries:,} entries put in {time.perf_counter() - start:.0f} s")
    cache.close()
    copy = scratch / "copy.db"
    shutil.copyfile(scratch / "store" / "cache_metadata.db", copy)
    plain = sqlite3.connect(copy)
    version = plain.execute("SELECT sqlite_version()").fetchone()[0]
    in_python = [
        (key, json.loads(text))
        for key, text in plain.execute("SELECT cache_key, metadata FROM cache_entries ORDER BY cache_key")
    ]
    cache = cacheness(CacheConfig(cache_dir=scratch / "store", max_entries=None, max_cache_size_mb=None))
    columns = (
        "cache_key, created_at, accessed_at, expires_at, access_count, data_type, storage_format, file_size, "
        "description, metadata, params"
    )

    def listed(where: dict[str, Any]) -> list[str]:
        return [entry["cache_key"] for entry in cache.list_entries(include_metadata=True, where=where, limit=100)]

    def selected(condition: str) -> list[str]:
        sql = f"SELECT {columns} FROM cache_entries WHERE {condition} ORDER BY cache_key LIMIT 100"
        return [row[0] for row in plain.execute(sql).fetchall()]

    def counted(condition: str) -> int:
        return int(plain.execute(f"SELECT count(*) FROM cache_entries WHERE {condition}").fetchone()[0])

    def filtered(test: Callable[[dict[str, Any]], bool]) -> list[str]:
        return [key for key, metadata in in_python if test(metadata)][:100]

    print(f"{entries:,} entries with {len(FIELDS)} fields of metadata; milliseconds, medians of {repeat}; ")
    print(
        f"plain SQLite is Python's sqlite3 {version} on a copy, filtering in Python is over dictionaries in memory.\n"
    )
    print("| query | list 100 | SQLite | ratio | in Python | indexed | count | SQLite | ratio | indexed |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    rows = []
    before = peak()
    for name, where, condition, test in QUERIES:
        lists = interleaved(
            {
                "cacheness": partial(listed, where),
                "sqlite": partial(selected, condition),
                "python": partial(filtered, test),
            },
            repeat,
        )
        counts = interleaved(
            {
                "cacheness": partial(cache.count, where),
                "sqlite": partial(counted, condition),
            },
            repeat,
        )
        rows.append((name, where, lists, counts))
        say(f"{name}: {lists} {counts}")
    memory = peak() - before
    for field in ("accuracy", "project", "config.depth"):
        spent, _ = timed(partial(cache.create_index, field))
        say(f"index of {field}: {spent / 1e3:.1f} s")
    for name, where, lists, counts in rows:
        index = interleaved({"list": partial(listed, where)}, repeat)["list"]
        count = interleaved({"count": partial(cache.count, where)}, repeat)["count"]
        print(
            f"| {name} | {lists['cacheness']:.1f} | {lists['sqlite']:.1f} | {lists['cacheness'] / lists['sqlite']:.2f} "
            f"| {lists['python']:.1f} | {index:.1f} | {counts['cacheness']:.1f} | {counts['sqlite']:.1f} "
            f"| {counts['cacheness'] / counts['sqlite']:.2f} | {count:.1f} |"
        )
    print(f"\nThe searches without an index took {memory} MB of memory at their peak.")
    cache.close()


if __name__ == "__main__":
    sys.exit(main())
