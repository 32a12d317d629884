"""A fleet: processes on one PostgreSQL and one bucket of S3, of which some are killed and started again.

Each process looks values up nine times out of ten: those of a counted function, and those that it and others have put.
The tenth time it puts one. What it was told is in its journal, and every run of the function is a row in a table beside
the cache. When all have ended, the store is compared with both:

- The counted function has run once per key, not counting runs whose process was killed before its call returned. A
  process makes at most one of these.
- Every value that was acknowledged reads back: the last one that its writer was told of, or a later one whose put was
  cut off by a kill.
- No entry names an object that is not in the bucket.

Prints a Markdown table with a row for each number of processes. Without ``--server`` it starts the S3 server of the
tests (``cargo build --example s3_server``). PostgreSQL is the one in ``CACHENESS_TEST_POSTGRES_URL``;
``scripts/postgres.py python benchmarks/fleet.py`` starts one. Both take CPU of this machine too.

usage: python benchmarks/fleet.py [--workers 1,2,4,8] [--seconds N] [--kills-per-second N] [--seed N]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import boto3
import psycopg

from cacheness import Cache, CacheConfig, cached
from cacheness.config import CacheBlobConfig, CacheMetadataConfig, SecurityConfig

ROOT = Path(__file__).parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", Path.home() / ".cache/cacheness-build/target"))

#: The signal that no process can handle.
KILLED = -9


@dataclass(frozen=True)
class Bucket:
    """Where objects are."""

    endpoint: str
    name: str
    access_key: str
    secret_key: str = field(repr=False)
    prefix: str = "fleet/"

    def keys(self) -> set[str]:
        """The keys of all objects below the prefix."""
        client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
        )
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=self.prefix)
        return {found["Key"] for page in pages for found in page.get("Contents", [])}


@dataclass(frozen=True)
class Plan:
    """What a fleet works on."""

    postgres: str = field(repr=False)
    schema: str
    bucket: Bucket
    directory: str
    seed: int
    workers: int
    #: How many operations each worker makes; 0: until the file ``stop`` is there.
    operations: int = 0
    #: The keys of the counted function.
    computed: int = 200
    #: How long a run of it takes.
    compute_seconds: float = 0.01
    #: The keys that each worker puts.
    own: int = 20

    @property
    def stop(self) -> Path:
        """The file that ends all workers."""
        return Path(self.directory) / "stop"

    def journal(self, slot: int) -> Path:
        """What the worker ``slot`` was told."""
        return Path(self.directory) / f"journal-{slot}"

    @property
    def runs(self) -> str:
        """The table of the runs of the counted function."""
        return f'"{self.schema}".fleet_runs'

    def open(self, slot: int) -> Cache:
        """The cache as a worker on a machine of its own has it: a directory for each, and one signing key."""
        options = {"connection_url": self.postgres, "schema": self.schema}
        bucket = self.bucket
        return Cache(
            CacheConfig(
                cache_dir=str(Path(self.directory) / f"machine-{slot}"),
                metadata=CacheMetadataConfig(metadata_backend="postgresql", metadata_backend_options=options),
                blob=CacheBlobConfig(
                    backend="s3",
                    bucket=bucket.name,
                    prefix=bucket.prefix,
                    endpoint_url=bucket.endpoint,
                    access_key=bucket.access_key,
                    secret_key=bucket.secret_key,
                ),
                security=SecurityConfig(signing_key_file=str(Path(self.directory) / "signing_key.bin")),
            )
        )


def content(name: str, version: int) -> dict[str, Any]:
    """The value of a key. That of one key in four does not fit into its entry, and is an object."""
    chance = random.Random(f"{name} {version}")
    size = 60_000 if sum(name.encode()) % 4 == 0 else 300
    return {"name": name, "version": version, "bytes": chance.randbytes(size)}


def check_whole(value: Any, name: str) -> int:
    """The version of a value, none of whose bytes is another one's."""
    version = value["version"]
    assert value == content(name, version), f"{name}: the value of version {version} is torn"
    return int(version)


class Journal:
    """What a worker has begun and was told: one write for each line, so that no kill tears one."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def note(self, *words: object) -> None:
        """Appends a line."""
        os.write(self._file, (" ".join(map(str, words)) + "\n").encode())


@dataclass
class Told:
    """What the journal of a worker says."""

    #: The last version of each key that was acknowledged.
    acknowledged: dict[str, int] = field(default_factory=dict)
    #: Later versions whose put nobody saw end.
    open: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    last: Counter[str] = field(default_factory=Counter)
    #: Microseconds of each call, by its kind.
    times: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def read(cls, path: Path) -> Told:
        """Reads a journal, which need not be there."""
        told = cls()
        for line in path.read_text().splitlines() if path.exists() else []:
            match line.split():
                case ["begun", name, version]:
                    told.open[name].add(int(version))
                    told.last[name] = int(version)
                case ["acknowledged", name, version]:
                    told.acknowledged[name] = int(version)
                    told.open[name] = {other for other in told.open[name] if other > int(version)}
                case [kind, micros]:
                    told.times[kind].append(int(micros))
                case other:
                    raise ValueError(f"{path.name}: {other}")
        return told

    @property
    def operations(self) -> int:
        """The number of calls that returned."""
        return sum(map(len, self.times.values()))

    def allowed(self, name: str) -> set[int | None]:
        """The versions that a key may have."""
        return {self.acknowledged.get(name), *self.open[name]}


class Worker:
    """A process of the fleet. It works until it has made its operations, is stopped, or is killed."""

    #: The one of this process, for the counted function, whose key must be the same in all of them.
    this: Worker

    def __init__(self, plan: Plan, slot: int, incarnation: int) -> None:
        self.plan, self.slot, self.incarnation = plan, slot, incarnation
        self.beside = psycopg.connect(plan.postgres, autocommit=True)
        #: The runs whose calls have not returned yet.
        self.ran: list[int] = []
        Worker.this = self

    def work(self) -> None:
        """Makes the operations."""
        plan, slot = self.plan, self.slot
        told = Told.read(plan.journal(slot))
        journal = Journal(plan.journal(slot))
        chance = random.Random(f"{plan.seed} {slot} {self.incarnation}")
        made = told.operations
        with plan.open(slot) as cache:
            call = cached(cache_instance=cache)(counted)
            while not (plan.stop.exists() if plan.operations == 0 else made >= plan.operations):
                kind = chance.choices(["put", "computed", "own", "any"], [10, 40, 25, 25])[0]
                begun = time.perf_counter()
                if kind == "put":
                    name = f"own-{slot}-{chance.randrange(plan.own)}"
                    version = told.last[name] + 1
                    told.last[name] = version
                    value = content(name, version)
                    journal.note("begun", name, version)
                    begun = time.perf_counter()
                    cache.put(value, name=name)
                    micros = int((time.perf_counter() - begun) * 1e6)
                    journal.note("acknowledged", name, version)
                    told.acknowledged[name] = version
                    told.open[name].clear()
                elif kind == "computed":
                    number = min(int(chance.paretovariate(0.7)), plan.computed) - 1
                    value = call(number)
                    micros = int((time.perf_counter() - begun) * 1e6)
                    check_whole(value, f"computed-{number}")
                    while self.ran:
                        kind = "run"
                        self.beside.execute(f"UPDATE {plan.runs} SET returned = true WHERE id = %s", (self.ran.pop(),))
                else:
                    owner = slot if kind == "own" else chance.randrange(plan.workers)
                    name = f"own-{owner}-{chance.randrange(plan.own)}"
                    begun = time.perf_counter()
                    value = cache.get(name=name)
                    micros = int((time.perf_counter() - begun) * 1e6)
                    found = None if value is None else check_whole(value, name)
                    if owner == slot:
                        allowed = told.allowed(name)
                        assert found in allowed, f"{name} has version {found}, not {allowed}"
                    kind = "get"
                journal.note(kind, micros)
                made += 1
        self.beside.close()


def counted(number: int) -> dict[str, Any]:
    """A function whose runs are counted."""
    worker = Worker.this
    begun = worker.beside.execute(
        f"INSERT INTO {worker.plan.runs} (number, slot, incarnation) VALUES (%s, %s, %s) RETURNING id",
        (number, worker.slot, worker.incarnation),
    ).fetchone()
    assert begun is not None
    worker.ran.append(begun[0])
    time.sleep(worker.plan.compute_seconds)
    return content(f"computed-{number}", 0)


class Fleet:
    """Workers that run, are killed, and are started again."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        #: The slots and incarnations that were killed.
        self.killed: set[tuple[int, int]] = set()
        self._running: dict[int, tuple[int, subprocess.Popen[str]]] = {}

    def prepare(self) -> None:
        """Makes the tables, and the table of runs beside them."""
        plan = self.plan
        with plan.open(0) as cache:
            cache.put(0, prepared=True)
        with psycopg.connect(plan.postgres, autocommit=True) as connection:
            connection.execute(
                f"CREATE TABLE {plan.runs} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
                "number integer NOT NULL, slot integer NOT NULL, incarnation integer NOT NULL, "
                "returned boolean NOT NULL DEFAULT false)"
            )

    def _start(self, slot: int, incarnation: int) -> None:
        worker = subprocess.Popen([sys.executable, __file__, "--worker"], stdin=subprocess.PIPE, text=True)
        assert worker.stdin is not None
        # Not as arguments: these are for everybody to see.
        json.dump({"plan": asdict(self.plan), "slot": slot, "incarnation": incarnation}, worker.stdin)
        worker.stdin.close()
        self._running[slot] = (incarnation, worker)

    def _kill(self, slot: int) -> None:
        incarnation, worker = self._running[slot]
        worker.kill()
        if worker.wait() == KILLED:
            self.killed.add((slot, incarnation))
            self._start(slot, incarnation + 1)
        else:
            # It had just ended by itself.
            self._end(slot)

    def _end(self, slot: int) -> None:
        _, worker = self._running.pop(slot)
        assert worker.wait() == 0, f"worker {slot} failed"

    def _operations(self) -> int:
        lines = 0
        for slot in range(self.plan.workers):
            path = self.plan.journal(slot)
            text = path.read_bytes() if path.exists() else b""
            lines += text.count(b"\n") - text.count(b"begun") - text.count(b"acknowledged")
        return lines

    def run(self, kills: int, seconds: float = 0) -> None:
        """Lets the workers work, for so many seconds if they do not count operations.

        At ``kills`` moments, which the seed chooses, one of them is killed and started again.
        """
        plan = self.plan
        chance = random.Random(f"{plan.seed} kills")
        moments = sorted(chance.uniform(0.05, 0.9) for _ in range(kills))
        for slot in range(plan.workers):
            self._start(slot, 0)
        while self._operations() == 0:
            time.sleep(0.01)
        begun = time.monotonic()
        while self._running:
            if plan.operations:
                progress = self._operations() / (plan.workers * plan.operations)
            else:
                progress = (time.monotonic() - begun) / seconds
                if progress >= 1:
                    plan.stop.touch()
            while moments and moments[0] <= progress and self._running:
                moments.pop(0)
                self._kill(chance.choice(sorted(self._running)))
            for slot in [slot for slot, (_, worker) in self._running.items() if worker.poll() is not None]:
                self._end(slot)
            time.sleep(0.01)

    def end(self) -> None:
        """Ends the workers of a run that failed."""
        for _, worker in self._running.values():
            worker.kill()
            worker.wait()

    def check(self) -> dict[str, int]:
        """Compares the store with the journals and the runs; returns counts."""
        plan = self.plan
        with psycopg.connect(plan.postgres) as connection:
            rows = connection.execute(f"SELECT number, slot, incarnation, returned FROM {plan.runs}").fetchall()
        returned = Counter(number for number, _, _, done in rows if done)
        repeated = {number: count for number, count in returned.items() if count > 1}
        assert not repeated, f"the counted function returned more than once for {repeated}"
        cut_off = Counter((slot, incarnation) for _, slot, incarnation, done in rows if not done)
        assert all(count == 1 for count in cut_off.values()), f"a process leaves one run at most: {cut_off}"
        lived = set(cut_off) - self.killed
        assert not lived, f"processes that nobody killed ran the counted function without returning: {lived}"
        with plan.open(0) as cache:
            values = 0
            for slot in range(plan.workers):
                told = Told.read(plan.journal(slot))
                for name in (f"own-{slot}-{number}" for number in range(plan.own)):
                    value = cache.get(name=name)
                    version = None if value is None else check_whole(value, name)
                    assert version in told.allowed(name), f"{name} has version {version}, not {told.allowed(name)}"
                    values += version is not None
            named = {entry["s3_key"] for entry in cache.list_entries() if entry.get("s3_key")}
            entries = len(cache)
        objects = plan.bucket.keys()
        assert named <= objects, f"entries name objects that are missing: {sorted(named - objects)}"
        return {
            "values": values,
            "entries": entries,
            "objects": len(objects),
            "named": len(named),
            "runs": len(rows),
            "keys": len(returned),
            "cut off": len(cut_off),
            "kills": len(self.killed),
        }

    def times(self) -> dict[str, list[int]]:
        """Microseconds of all calls, by their kinds."""
        times: dict[str, list[int]] = defaultdict(list)
        for slot in range(self.plan.workers):
            for kind, some in Told.read(self.plan.journal(slot)).times.items():
                times[kind] += some
        return times


def percentiles(micros: list[int]) -> str:
    """The median and the 99th percentile in milliseconds."""
    if len(micros) < 2:
        return "–"
    return f"{statistics.median(micros) / 1e3:.2f} / {statistics.quantiles(micros, n=100)[98] / 1e3:.1f}"


def measure(bucket: list[str], workers: list[int], seconds: float, rate: float, seed: int) -> None:
    """Prints a row for each number of workers."""
    postgres = os.environ["CACHENESS_TEST_POSTGRES_URL"]
    print("| workers | operations/s | get, ms | computed: hit, ms | put, ms | kills | keys run | runs cut off |")
    print("|---|---|---|---|---|---|---|---|")
    for count in workers:
        schema = f"fleet_{os.getpid()}_{count}"
        with tempfile.TemporaryDirectory(prefix="cacheness-fleet-") as place:
            endpoint, name, access_key, secret_key = bucket
            plan = Plan(
                postgres, schema, Bucket(endpoint, name, access_key, secret_key, f"{schema}/"), place, seed, count
            )
            fleet = Fleet(plan)
            try:
                fleet.prepare()
                fleet.run(kills=round(rate * seconds), seconds=seconds)
                found, times = fleet.check(), fleet.times()
            finally:
                fleet.end()
                with psycopg.connect(postgres, autocommit=True) as connection:
                    connection.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')
        made = sum(map(len, times.values()))
        hits, gets, puts = (percentiles(times[kind]) for kind in ("computed", "get", "put"))
        print(
            f"| {count} | {made / seconds:.0f} | {gets} | {hits} | {puts} | {found['kills']} | {found['keys']} "
            f"| {found['cut off']} |",
            flush=True,
        )


def serve(profile: str) -> tuple[subprocess.Popen[str], IO[str]]:
    """Starts the S3 server of the tests."""
    built = TARGET / profile / "examples" / "s3_server"
    if not built.exists():
        sys.exit(f"{built} is not there: cargo build --workspace --exclude cacheness-python --example s3_server")
    server = subprocess.Popen([built], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    return server, server.stdout


def main() -> None:
    """Parses the arguments; works if this process is a worker."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--workers", default="1,2,4,8", help="numbers of processes, each a run")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--kills-per-second", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--server", nargs=4, metavar=("URL", "BUCKET", "ACCESS_KEY", "SECRET_KEY"))
    parser.add_argument("--profile", default="release", help="of the server that is started")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        task = json.load(sys.stdin)
        bucket = Bucket(**task["plan"].pop("bucket"))
        return Worker(Plan(bucket=bucket, **task["plan"]), task["slot"], task["incarnation"]).work()
    workers = [int(count) for count in given.workers.split(",")]
    if given.server:
        return measure(given.server, workers, given.seconds, given.kills_per_second, given.seed)
    server, output = serve(given.profile)
    try:
        measure(output.readline().split(), workers, given.seconds, given.kills_per_second, given.seed)
    finally:
        server.communicate()
    return None


if __name__ == "__main__":
    main()
