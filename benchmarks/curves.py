"""The work behind the charts: the same put and get over sizes of values, and over numbers of entries."""

from __future__ import annotations

import os
import random

import values
from peers import Joblib, Peer, PickleFile
from workloads import Run, close_all, get_all, measure, put_all, verify

#: Bytes of an array; the smallest is twelve numbers.
SIZES = (100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000)
NUMBERS = (100, 1_000, 10_000, 100_000, 1_000_000)

#: A peer with a file per entry stops here: a directory of a million files says more about the file system.
MOST_FILES = 100_000


def by_size(run: Run) -> None:
    """Arrays from 100 B to 100 MB: rows ``<kind>: put at <bytes>`` in seconds."""
    sizes = [size for size in SIZES if not run.quick or size <= 10_000_000]
    for kind in ("smooth", "random"):
        stores = run.open_all()
        for size in sizes:
            batch = max(1, min(200, 5_000_000 // size))
            for repetition, store in run.rounds(stores, run.repetitions(5 if size < 100_000_000 else 3)):
                first = size * 1000 + repetition * batch
                items = [(key, values.floats(kind, size // 8, key % 1000)) for key in range(first, first + batch)]
                os.sync()
                seconds, _ = measure(lambda: put_all(store, items))
                run.add(f"{kind}: put at {size}", "s", store, seconds / batch)
                seconds, found = measure(lambda: get_all(store, items))
                run.add(f"{kind}: get at {size}", "s", store, seconds / batch)
                verify(store, found, items)
                del found
                if size >= 10_000_000:
                    for key, _ in items:
                        store.delete(key)
        close_all(stores)


def by_number(run: Run) -> None:
    """Small dictionaries in stores of 100 to a million entries: rows ``entries: put at <entries>`` in seconds.

    Puts are of new keys, gets of keys from all over the store.
    """
    stores = run.open_all()
    filled = dict.fromkeys((store.name for store in stores), 0)
    for number in NUMBERS:
        if run.quick and number > 10_000:
            continue
        taking_part = [store for store in stores if number <= MOST_FILES or not has_files(store)]
        for store in taking_part:
            put_all(store, [(key, values.small(key)) for key in range(filled[store.name], number)])
            filled[store.name] = number
        batch = min(500, number)
        for repetition, store in run.rounds(taking_part, run.repetitions(5)):
            first = filled[store.name]
            items = [(key, values.small(key)) for key in range(first, first + batch)]
            seconds, _ = measure(lambda: put_all(store, items))
            filled[store.name] += batch
            run.add(f"entries: put at {number}", "s", store, seconds / batch)
            chosen = random.Random(repetition).sample(range(number), batch)
            items = [(key, values.small(key)) for key in chosen]
            seconds, found = measure(lambda: get_all(store, items))
            run.add(f"entries: get at {number}", "s", store, seconds / batch)
            verify(store, found, items)
    close_all(stores)


def has_files(store: Peer) -> bool:
    """Whether each entry is a file of its own."""
    return isinstance(store, Joblib | PickleFile)
