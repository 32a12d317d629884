"""One operation of the Python API, done so many times: what `instructions.py` has a processor simulated for.

Example::

    python benchmarks/hot.py get 1000
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable

import numpy as np

import values
from cacheness import Cache, cached

#: What an operation does with a cache and the number of its turn.
Turn = Callable[[int], object]

#: Entries that are there before the first turn, and that gets take turns in.
ENTRIES = 100


def put(cache: Cache) -> Turn:
    """Put a small dictionary under a new key."""
    return lambda turn: cache.put(values.small(turn), new=turn)


def replace(cache: Cache) -> Turn:
    """Put a small dictionary under a key that has one."""
    return lambda turn: cache.put(values.small(turn), run=turn % ENTRIES)


def get(cache: Cache) -> Turn:
    """Get a small dictionary that is in memory, or in the database where the memory is switched off."""
    return lambda turn: cache.get(run=turn % ENTRIES)


def miss(cache: Cache) -> Turn:
    """Ask for what is not there."""
    return lambda turn: cache.get(absent=turn)


def hit(cache: Cache) -> Turn:
    """Call a decorated function whose result is there."""

    @cached(cache_instance=cache, key_prefix="hot")
    def function(number: int) -> dict[str, object]:
        return values.small(number)

    for number in range(ENTRIES):
        function(number)
    return lambda turn: function(turn % ENTRIES)


def listing(cache: Cache) -> Turn:
    """List all entries with their metadata."""
    for number in range(ENTRIES):
        cache.put(values.small(number), run=number, metadata=values.metadata(number))
    return lambda _: cache.list_entries(include_metadata=True)


def put_array(cache: Cache) -> Turn:
    """Put a random array of 1 MB under a key that has one."""
    array = values.array("random", 1, 0)
    return lambda _: cache.put(array, array=1)


def get_array(cache: Cache) -> Turn:
    """Get a random array of 1 MB."""
    cache.put(values.array("random", 1, 0), array=1)
    return lambda _: cache.get(array=1)


OPERATIONS: dict[str, Callable[[Cache], Turn]] = {
    "put": put,
    "replace": replace,
    "get": get,
    "get_from_database": get,
    "miss": miss,
    "hit": hit,
    "list_100": listing,
    "put_1MB": put_array,
    "get_1MB": get_array,
}


def main() -> None:
    """Do the named operation so many times."""
    name, turns = sys.argv[1], int(sys.argv[2])
    with (
        tempfile.TemporaryDirectory() as directory,
        Cache(directory, enable_memory_cache=name != "get_from_database") as cache,
    ):
        for number in range(ENTRIES):
            cache.put(values.small(number), run=number)
        turn = OPERATIONS[name](cache)
        for number in range(turns):
            turn(number)


if __name__ == "__main__":
    np.seterr(all="raise")
    main()
