"""The work of the comparison. Every function fills rows of a :class:`Run`; peers take turns within each repetition.

The page cache is warm throughout: what was written is read back at once. Each repetition uses fresh keys and fresh
values. What a get returned is compared with what was put, outside the timed region.
"""

from __future__ import annotations

import gc
import itertools
import multiprocessing
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Any

import values
from peers import Cacheness, Peer, SqliteRow


class WrongValueError(Exception):
    """A peer returned something else than what was put: its times mean nothing."""


@dataclass
class Run:
    """One run of the comparison: what to measure, where, and the samples by row and peer."""

    scratch: Path
    peers: tuple[type[Peer], ...]
    quick: bool = False
    entries: int = 0
    rows: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    _directories: int = 0

    def repetitions(self, full: int) -> int:
        """How often to repeat; quick runs repeat three times."""
        return min(3, full) if self.quick else full

    def add(self, row: str, unit: str, peer: Peer | type[Peer], sample: float) -> None:
        """Add a sample of a peer to a row."""
        self.units[row] = unit
        self.rows.setdefault(row, {}).setdefault(peer.name, []).append(sample)

    def directory(self) -> Path:
        """Return a directory that nobody used before."""
        self._directories += 1
        return self.scratch / str(self._directories)

    def open_all(self) -> list[Peer]:
        """Open every peer, each in a directory of its own."""
        return [peer(self.directory()) for peer in self.peers]

    def rounds(self, stores: list[Peer], repetitions: int) -> Iterator[tuple[int, Peer]]:
        """Yield repetitions and stores, in another order each time: what one leaves to the next (pages to write,
        memory) falls to all of them. The orders are the same in every run.
        """
        chance = random.Random(len(stores))
        for repetition in range(repetitions):
            for store in chance.sample(stores, len(stores)):
                yield repetition, store


def measure(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds that ``work`` took and its result; the garbage collector stays out of it."""
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter()
        result = work()
        return time.perf_counter() - start, result
    finally:
        gc.enable()


def put_all(store: Peer, items: list[tuple[int, Any]]) -> None:
    """Put every item; the loop costs all peers the same."""
    put = store.put
    for key, value in items:
        put(key, value)


def get_all(store: Peer, items: list[tuple[int, Any]]) -> list[Any]:
    """Get every item."""
    get = store.get
    return [get(key) for key, _ in items]


def verify(store: Peer, found: list[Any], items: list[tuple[int, Any]]) -> None:
    """Raise where something came back different."""
    for value, (key, stored) in zip(found, items, strict=True):
        if not values.equal(value, stored):
            raise WrongValueError(f"{store.name}: key {key} came back different")


def compute(key: int) -> dict[str, Any]:
    """The function behind the decorators: it costs next to nothing, so what remains is the cache."""
    return values.small(key)


def small(run: Run) -> None:
    """A small dictionary, put and got."""
    count = 200 if run.quick else 1000
    stores = run.open_all()
    for repetition, store in run.rounds(stores, run.repetitions(9)):
        items = [(key, values.small(key)) for key in range(repetition * count, (repetition + 1) * count)]
        seconds, _ = measure(lambda: put_all(store, items))
        run.add("small dict: put", "µs", store, seconds / count * 1e6)
        seconds, found = measure(lambda: get_all(store, items))
        run.add("small dict: get", "µs", store, seconds / count * 1e6)
        verify(store, found, items)
    close_all(stores)


def decorator(run: Run) -> None:
    """A decorated function, called with new arguments and then with the same again."""
    count = 200 if run.quick else 1000
    stores = run.open_all()
    functions = {store.name: store.memoize(compute) for store in stores}
    for repetition, store in run.rounds(stores, run.repetitions(9)):
        function = functions[store.name]
        if function is None:
            continue
        keys = range(repetition * count, (repetition + 1) * count)
        items = [(key, values.small(key)) for key in keys]
        for row in ("decorator: miss", "decorator: hit"):
            seconds, found = measure(lambda: [function(key) for key in keys])
            run.add(row, "µs", store, seconds / count * 1e6)
            verify(store, found, items)
    close_all(stores)


def opening(run: Run) -> None:
    """Open a store of 100 entries, get one, close."""
    items = [(key, values.small(key)) for key in range(100)]
    directories = {}
    for peer in run.peers:
        store = peer(run.directory())
        put_all(store, items)
        store.close()
        directories[peer.name] = store.directory

    def session(peer: type[Peer], key: int) -> Any:
        store = peer(directories[peer.name])
        value = store.get(key)
        store.close()
        return value

    for repetition in range(run.repetitions(15)):
        for peer in run.peers:
            seconds, value = measure(lambda: session(peer, repetition))
            run.add("open + get + close", "ms", peer, seconds * 1e3)
            if not values.equal(value, values.small(repetition)):
                raise WrongValueError(f"{peer.name}: came back different after reopening")


def listing(run: Run) -> None:
    """List 2,000 entries with their metadata."""
    stores = []
    for store in run.open_all():
        if all(store.put_with_metadata(key, values.small(key), values.metadata(key)) for key in range(2000)):
            stores.append(store)
        else:
            store.close()
    for _, store in run.rounds(stores, run.repetitions(9)):
        seconds, count = measure(store.list_with_metadata)
        run.add("list 2,000 entries with metadata", "ms", store, seconds * 1e3)
        if count != 2000:
            raise WrongValueError(f"{store.name}: listed {count} entries of 2,000")
    close_all(stores)


def large(run: Run, name: str, make: Callable[[int], Any], *, batch: int, repetitions: int) -> None:
    """Put and get values that ``make`` returns for a seed, ``batch`` at a time, and weigh them on the disk."""
    stores = run.open_all()
    for repetition, store in run.rounds(stores, run.repetitions(repetitions)):
        items = [(key, make(key)) for key in range(repetition * batch, (repetition + 1) * batch)]
        # Nobody waits for the disk because of what another has written.
        os.sync()
        seconds, _ = measure(lambda: put_all(store, items))
        run.add(f"{name}: put", "ms", store, seconds / batch * 1e3)
        seconds, found = measure(lambda: get_all(store, items))
        run.add(f"{name}: get", "ms", store, seconds / batch * 1e3)
        verify(store, found, items)
        del found
        if batch == 1:
            # Many of them would fill the disk. The others stay, as compare.py says.
            for key, _ in items:
                store.delete(key)
    close_all(stores)

    for peer in run.peers:
        store = peer(run.directory())
        store.put(0, make(0))
        store.close()
        size = sum(path.stat().st_blocks * 512 for path in store.directory.rglob("*") if path.is_file())
        run.add(f"{name}: on disk", "MB", peer, size / 1e6)


def arrays(run: Run) -> None:
    """NumPy arrays of 1 MB and 100 MB, compressible and not."""
    for megabytes, batch, repetitions in ((1, 10, 9), (100, 1, 7)):
        for kind in ("smooth", "random"):
            large(
                run,
                f"{megabytes} MB float64 {kind}",
                lambda seed, kind=kind, megabytes=megabytes: values.array(kind, megabytes, seed),  # type: ignore[misc]
                batch=batch,
                repetitions=repetitions,
            )


def mapped(run: Run) -> None:
    """Map an uncompressed 100 MB array instead of reading it; only cacheness has that."""
    if Cacheness not in run.peers:
        return
    from cacheness import Cache, CacheConfig, CacheMetadataConfig, CacheStorageConfig

    config = CacheConfig(
        storage=CacheStorageConfig(cache_dir=str(run.directory())),
        metadata=CacheMetadataConfig(verify_cache_integrity=False),
    )
    with Cache(config) as cache:
        array = values.array("random", 100, 0)
        cache.put(array, run=0)
        for _ in range(run.repetitions(9)):
            seconds, found = measure(lambda: cache.get(mmap_mode="r", run=0))
            run.add("100 MB float64 random: mapped, not verified", "ms", Cacheness, seconds * 1e3)
            if found.tobytes() != array.tobytes():
                raise WrongValueError("cacheness: the mapped array differs")


def pandas(run: Run) -> None:
    """Pandas tables of a million rows and eight mixed columns: strings in their own type, and strings as objects."""
    large(run, "pandas 1M × 8", values.pandas_table, batch=1, repetitions=5)
    large(run, "pandas 1M × 8, objects", values.pandas_objects, batch=1, repetitions=5)


def polars(run: Run) -> None:
    """A Polars table of a million rows and eight mixed columns."""
    large(run, "Polars 1M × 8", values.polars_table, batch=1, repetitions=5)


def argument(run: Run) -> None:
    """Derive the key of a call that has a 100 MB array among its arguments."""
    stores = run.open_all()
    for repetition, store in run.rounds(stores, run.repetitions(7)):
        array = values.array("random", 100, repetition)
        seconds, supported = measure(lambda: store.hash_argument(array))
        if supported:
            run.add("key of a 100 MB array", "ms", store, seconds * 1e3)
    close_all(stores)


def worker(
    peer: type[Peer], directory: Path, seed: int, operations: int, keys: int, barrier: Any, results: Any
) -> None:
    """One of several processes: nine gets of ten, one put of ten, on keys that all of them share."""
    chance = random.Random(seed)
    gets, puts, errors = [], [], []
    store = peer(directory)
    barrier.wait()
    for _ in range(operations):
        key = chance.randrange(keys)
        value = values.small(key)
        start = time.perf_counter()
        try:
            if chance.random() < 0.1:
                store.put(key, value)
                puts.append(time.perf_counter() - start)
                continue
            found = store.get(key)
            gets.append(time.perf_counter() - start)
            if not values.equal(found, value):
                errors.append(f"key {key} came back different")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a result of this benchmark
            errors.append(f"{type(error).__name__}: {error}")
    store.close()
    results.put((gets, puts, errors))


def processes(run: Run) -> None:
    """Four processes at once on one store, 90 % gets and 10 % puts."""
    operations, keys, count = (1000 if run.quick else 5000), 1000, 4
    context = multiprocessing.get_context("spawn")
    for _ in range(run.repetitions(3)):
        for peer in run.peers:
            if not peer.concurrent:
                continue
            store = peer(run.directory())
            put_all(store, [(key, values.small(key)) for key in range(keys)])
            store.close()
            barrier, results = context.Barrier(count), context.SimpleQueue()
            workers = [
                context.Process(target=worker, args=(peer, store.directory, seed, operations, keys, barrier, results))
                for seed in range(count)
            ]
            for process in workers:
                process.start()
            parts = [collect(workers, results) for _ in workers]
            for process in workers:
                process.join()
            gets, puts, errors = (list(itertools.chain.from_iterable(part)) for part in zip(*parts, strict=True))
            for error in sorted(set(errors))[:3]:
                print(f"  {peer.name}: {error}", file=sys.stderr)
            run.add("4 processes: get, median", "ms", peer, quantiles(gets, n=100)[49] * 1e3)
            run.add("4 processes: get, p99", "ms", peer, quantiles(gets, n=100)[98] * 1e3)
            run.add("4 processes: put, median", "ms", peer, quantiles(puts, n=100)[49] * 1e3)
            run.add("4 processes: put, p99", "ms", peer, quantiles(puts, n=100)[98] * 1e3)
            run.add("4 processes: errors", "errors", peer, len(errors))


def collect(workers: list[Any], results: Any) -> Any:
    """Take one result, or raise when a worker died without leaving one."""
    while results.empty():
        if any(process.exitcode not in (None, 0) for process in workers):
            for process in workers:
                process.terminate()
            raise RuntimeError("a worker process died: see its message above")
        time.sleep(0.01)
    return results.get()


def many(run: Run) -> None:
    """Small puts and gets in a store of 1,000 entries and again in one of ``--entries``, and opening the latter."""
    if not run.entries:
        return
    batch = 1000
    for peer in run.peers:
        if peer not in (Cacheness, SqliteRow):
            continue
        store = peer(run.directory())
        for row, filled in (("1,000 entries", 1000), ("many entries", run.entries)):
            start = 0 if filled == 1000 else 1000 + batch * run.repetitions(9)
            put_all(store, [(key, values.small(key)) for key in range(start, filled)])
            for repetition in range(run.repetitions(9)):
                # Keys that nobody has yet for the puts, keys from all over the store for the gets.
                base = filled + repetition * batch
                items = [(key, values.small(key)) for key in range(base, base + batch)]
                seconds, _ = measure(lambda: put_all(store, items))
                run.add(f"{row}: put", "µs", store, seconds / batch * 1e6)
                chance = random.Random(repetition)
                items = [(key, values.small(key)) for key in chance.sample(range(filled), min(batch, filled))]
                seconds, found = measure(lambda: get_all(store, items))
                run.add(f"{row}: get", "µs", store, seconds / len(items) * 1e6)
                verify(store, found, items)
        store.close()
        for repetition in range(run.repetitions(9)):
            seconds, _ = measure(lambda: reopen(peer, store.directory, repetition))
            run.add("many entries: open + get + close", "ms", peer, seconds * 1e3)


def full(run: Run) -> None:
    """Puts into a cache that is full, so that each makes room, of 1,000 entries and of ``--entries``; then a tenth of
    all entries is removed by its metadata.
    """
    if Cacheness not in run.peers:
        return
    from cacheness import Cache

    sizes = [("full cache of 1,000", 1000)]
    if run.entries:
        sizes.append(("full cache of many", run.entries))
    for row, entries in sizes:
        with Cache(run.directory(), max_entries=entries) as cache:
            for key in range(entries):
                cache.put(values.small(key), metadata={"group": key % 10}, run=key)
            # As many puts as there are between two evictions down to 90 %: some of them evict, most do not.
            batch = max(1000, entries // 10)
            for repetition in range(run.repetitions(3)):
                base = entries + repetition * batch
                items = [(key, values.small(key)) for key in range(base, base + batch)]
                seconds, _ = measure(lambda: [cache.put(value, run=key) for key, value in items])
                run.add(f"{row}: put", "µs", Cacheness, seconds / batch * 1e6)
            if entries == run.entries:
                seconds, removed = measure(lambda: cache.delete_matching(group=3))
                run.add("many entries: delete a tenth by metadata", "s", Cacheness, seconds)
                if not removed:
                    raise WrongValueError("cacheness: nothing was removed")


def reopen(peer: type[Peer], directory: Path, key: int) -> None:
    """Open, get, close."""
    store = peer(directory)
    store.get(key)
    store.close()


def close_all(stores: list[Peer]) -> None:
    """Close every store."""
    for store in stores:
        store.close()


WORKLOADS: dict[str, Callable[[Run], None]] = {
    "small": small,
    "decorator": decorator,
    "open": opening,
    "list": listing,
    "arrays": arrays,
    "mapped": mapped,
    "pandas": pandas,
    "polars": polars,
    "key": argument,
    "processes": processes,
    "many": many,
    "full": full,
}
