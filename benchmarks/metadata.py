"""Filters over a large store, beside plain SQLite on a copy of its database and beside filtering in Python; and puts of
typed metadata, beside the same inserts through SQLAlchemy.

Prints Markdown tables to standard output, progress to standard error. Every figure is the minimum of interleaved
repetitions, which disturbances by other programs change least; each query is also checked: all ways find the same keys.

Examples::

    python benchmarks/metadata.py
    python benchmarks/metadata.py --entries 100000 --repeat 9
    python benchmarks/metadata.py --entries 0 --writes 5000
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import random
import resource
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Engine, Float, Integer, MetaData, String, create_engine, event
from sqlalchemy.orm import DeclarativeBase, Session

from cacheness import CacheConfig, cacheness
from cacheness.custom_metadata import CustomMetadataBase, custom_metadata_model
from cacheness.metadata import Base

FIELDS = ("accuracy", "project", "epochs", "stage", "author", "loss", "dataset", "seed", "production", "config")
PROJECTS = 1_000

#: What is measured, in seconds: ``--cpu`` changes it.
CLOCK: Callable[[], float] = time.perf_counter

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
        "a range: 1 in 10",
        {"accuracy": {"$gte": 0.25, "$lt": 0.35}},
        "json_extract(metadata, '$.accuracy') >= 0.25 AND json_extract(metadata, '$.accuracy') < 0.35",
        lambda m: bool(0.25 <= m["accuracy"] < 0.35),
    ),
    (
        "nested: 1 in 50",
        {"config.depth": 7},
        "json_extract(metadata, '$.config.depth') = 7",
        lambda m: bool(m["config"]["depth"] == 7),
    ),
]

#: Name, filter, order, the same in SQL, the same in Python; each takes the first 100.
SORTED: list[tuple[str, dict[str, Any], str, str, Callable[[list[tuple[str, dict[str, Any]]]], list[str]]]] = [
    (
        "best of all",
        {},
        "-accuracy",
        "1 ORDER BY json_extract(metadata, '$.accuracy') DESC, cache_key",
        lambda all_of_them: [key for _, key in heapq.nsmallest(100, ((-m["accuracy"], key) for key, m in all_of_them))],
    ),
    (
        "best of 1 in 50",
        {"config.depth": 7},
        "-accuracy",
        "json_extract(metadata, '$.config.depth') = 7 ORDER BY json_extract(metadata, '$.accuracy') DESC, cache_key",
        lambda all_of_them: [
            key
            for _, key in heapq.nsmallest(
                100, ((-m["accuracy"], key) for key, m in all_of_them if m["config"]["depth"] == 7)
            )
        ],
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
    start = CLOCK()
    result = work()
    return (CLOCK() - start) * 1e3, result


def say(text: str) -> None:
    """Print progress."""
    print(text, file=sys.stderr, flush=True)


def peak() -> int:
    """The peak of this process's memory in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def interleaved(ways: dict[str, Callable[[], Any]], repeat: int) -> dict[str, float]:
    """The least milliseconds of each way. All have to return the same."""
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
    return {name: min(spent) for name, spent in times.items()}


def main() -> int:
    """Fill a store, run the queries, print the table."""
    parser = argparse.ArgumentParser(description="Filters over a large store.")
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=5, help="repetitions of each query")
    parser.add_argument("--writes", type=int, default=1_000, help="puts of typed metadata in each repetition")
    parser.add_argument("--directory", type=Path, default=Path.cwd(), help="where to write; on the disk to measure")
    parser.add_argument("--cpu", action="store_true", help="measure CPU time, if other programs keep the machine busy")
    args = parser.parse_args()
    if args.cpu:
        global CLOCK
        CLOCK = time.process_time
    scratch = Path(tempfile.mkdtemp(prefix=".metadata-", dir=args.directory))
    try:
        load = os.getloadavg()[0]
        print("Measured is CPU time.\n" if args.cpu else "Measured is elapsed time.\n")
        if args.entries:
            run(scratch, args.entries, args.repeat)
        print()
        writes(scratch, args.writes, args.repeat)
        print(f"\nThe load of the machine was {load:.1f} before and {os.getloadavg()[0]:.1f} after.")
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

    def in_order(where: dict[str, Any], sort: str) -> list[str]:
        found = cache.list_entries(include_metadata=True, where=where, sort=sort, limit=100)
        return [entry["cache_key"] for entry in found]

    def selected_in_order(condition: str) -> list[str]:
        sql = f"SELECT {columns} FROM cache_entries WHERE {condition} LIMIT 100"
        return [row[0] for row in plain.execute(sql).fetchall()]

    def filtered(test: Callable[[dict[str, Any]], bool]) -> list[str]:
        return [key for key, metadata in in_python if test(metadata)][:100]

    print(f"{entries:,} entries with {len(FIELDS)} fields of metadata; milliseconds, minima of {repeat};")
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
    orders = []
    for name, where, sort, condition, in_memory in SORTED:
        times = interleaved(
            {
                "cacheness": partial(in_order, where, sort),
                "sqlite": partial(selected_in_order, condition),
                "python": partial(in_memory, in_python),
            },
            repeat,
        )
        orders.append((name, where, sort, times))
        say(f"{name}: {times}")
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
    for name, where, sort, times in orders:
        index = interleaved({"list": partial(in_order, where, sort)}, repeat)["list"]
        print(
            f"| {name}, `sort={sort!r}` | {times['cacheness']:.1f} | {times['sqlite']:.1f} "
            f"| {times['cacheness'] / times['sqlite']:.2f} | {times['python']:.1f} | {index:.1f} | | | | |"
        )
    print(f"\nThe searches without an index took {memory} MB of memory at their peak.")
    cache.close()


@custom_metadata_model("benchmark_runs")
class Run(Base, CustomMetadataBase):
    """Typed metadata of an entry."""

    __tablename__ = "custom_benchmark_runs"

    run = Column(String(100), nullable=False, unique=True)
    accuracy = Column(Float, index=True)
    epochs = Column(Integer)


class Alone(DeclarativeBase):
    """Tables for SQLAlchemy alone."""

    metadata = MetaData()


class AloneRun(Alone):
    """The row of :class:`Run`, in a database of its own."""

    __tablename__ = "runs"

    id = Column(Integer, primary_key=True)
    cache_key = Column(String(16), nullable=False, index=True)
    run = Column(String(100), nullable=False, unique=True)
    accuracy = Column(Float, index=True)
    epochs = Column(Integer)


def opened(path: Path, settings: tuple[str, ...]) -> Engine:
    """SQLAlchemy's own pysqlite on a new file."""
    engine = create_engine(f"sqlite:///{path}")

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        for setting in settings:
            connection.execute(f"PRAGMA {setting}")

    Alone.metadata.create_all(engine)
    return engine


def writes(scratch: Path, number: int, repeat: int) -> None:
    """Puts with a row of typed metadata, beside inserts of the row alone."""
    cache = cacheness(CacheConfig(cache_dir=scratch / "typed", max_entries=None, max_cache_size_mb=None))
    engines = {
        "SQLAlchemy, a file with SQLite's defaults": opened(scratch / "defaults.db", ()),
        "SQLAlchemy, WAL and synchronous=NORMAL": opened(
            scratch / "wal.db", ("journal_mode = WAL", "synchronous = NORMAL")
        ),
    }
    names = ["put(custom_metadata=row)", "put alone", *engines]
    times: dict[str, list[float]] = {name: [] for name in names}

    def put(turn: int) -> None:
        for i in range(number):
            row = Run(run=f"run {turn} {i}", accuracy=i / number, epochs=i)
            cache.put(i, turn=turn, i=i, custom_metadata=row)

    def put_alone(turn: int) -> None:
        for i in range(number):
            cache.put(i, alone=turn, i=i)

    def insert(engine: Engine, turn: int) -> None:
        for i in range(number):
            with Session(engine) as session:
                key = f"{turn:08x}{i:08x}"
                session.add(AloneRun(cache_key=key, run=f"run {turn} {i}", accuracy=i / number, epochs=i))
                session.commit()

    # The first of each is not measured: it makes tables and compiles statements.
    for turn in range(repeat + 1):
        works = [partial(put, turn), partial(put_alone, turn)]
        works += [partial(insert, engine, turn) for engine in engines.values()]
        for name, work in zip(names, works, strict=True):
            spent, _ = timed(work)
            if turn:
                times[name].append(spent / number * 1e3)
    best = {name: min(spent) for name, spent in times.items()}
    print(f"Writing one row in a transaction of its own; microseconds, minima of {repeat} times {number:,} writes.\n")
    print("| write | µs | put with a row is |")
    print("|---|---:|---:|")
    for name, spent in best.items():
        print(f"| {name} | {spent:.0f} | {best[names[0]] / spent:.2f} × |")
    for engine in engines.values():
        engine.dispose()
    cache.close()


if __name__ == "__main__":
    sys.exit(main())
