"""A program that test_interrupt.py runs: a signal handler, finalizers and pickling use the cache that they interrupt.

usage: reentrant.py DIRECTORY SEED STEPS

Prints what is wrong, a line each, and ends with "done"; a lock that its own thread waits for ends it after two minutes,
with a traceback.
"""

from __future__ import annotations

import faulthandler
import random
import signal
import sys
from typing import Any

import numpy as np
import pandas as pd

from cacheness import Cache

KEYS = 20
NESTED = 3  # handlers within handlers


class Program:
    def __init__(self, cache: Cache, seed: int) -> None:
        self.cache = cache
        self.draw = random.Random(seed)
        self.nested = self.handled = self.finalized = 0

    def value(self, key: int) -> Any:
        """A value that says whose it is."""
        match self.draw.randrange(5):
            case 0:
                return {"key": key, "text": "x" * self.draw.randrange(100)}
            case 1:
                return np.full(self.draw.randrange(1, 50_000), float(key))
            case 2:
                return pd.DataFrame({"key": [key] * self.draw.randrange(1, 50), "text": "x"})
            case 3:
                return Pickled(key)
            case _:
                return bytes([key]) * self.draw.randrange(1, 200_000)

    def step(self) -> None:
        key = self.draw.randrange(KEYS)
        match self.draw.randrange(10):
            case 0 | 1 | 2 | 3:
                self.cache.put(self.value(key), key=key)
            case 4 | 5 | 6:
                found = self.cache.get(key=key)
                if found is not None and owner(found) != key:
                    print(f"key {key} has {found!r:.80}", flush=True)
            case 7:
                self.cache.list_entries()
            case 8:
                self.cache.invalidate(key=key)
            case _:
                # Not what the code that is interrupted may be just about to compute: a handler would wait for it.
                computed = {"computed": key, "nested": self.nested}
                if owner(self.cache.get_or_compute(lambda: self.value(key), **computed)) != key:
                    print(f"{computed} has another value", flush=True)

    def handle(self, *_: object) -> None:
        if self.nested < NESTED:
            self.nested += 1
            self.handled += 1
            try:
                self.step()
            finally:
                self.nested -= 1


def owner(value: Any) -> int:
    match value:
        case dict():
            return int(value["key"])
        case np.ndarray() | bytes():
            return int(value[0])
        case pd.DataFrame():
            return int(value["key"].iloc[0])
        case _:
            return int(value.key)


class Pickled:
    """Uses the cache while it is pickled."""

    def __init__(self, key: int) -> None:
        self.key = key

    def __reduce__(self) -> tuple[type, tuple[int]]:
        program.step()
        return (Pickled, (self.key,))


class Finalized:
    """Uses the cache when it is dropped. Not in a circle: Python 3.11 runs its collector in the middle of changing a context
    variable, and crashes where a finalizer changes one, as NumPy does to switch allocators.
    """

    def __del__(self) -> None:
        program.finalized += 1
        program.handle()


def main(steps: int) -> None:
    # What is imported with the first value of a kind is imported before: a handler that comes in the middle of an import
    # and imports the same is stopped by the import system.
    for value in (np.zeros(1), pd.DataFrame({"text": ["x"]}), Pickled(0)):
        program.cache.put(value, kind=type(value).__name__)
        program.cache.get(kind=type(value).__name__)
    signal.signal(signal.SIGALRM, program.handle)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    for _ in range(steps):
        Finalized()
        program.step()
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    if not program.handled or program.finalized < steps // 2:
        print(f"handled {program.handled} signals, finalized {program.finalized} objects", flush=True)
    program.cache.close()


if __name__ == "__main__":
    faulthandler.dump_traceback_later(120, exit=True)
    program = Program(Cache(sys.argv[1]), int(sys.argv[2]))
    main(int(sys.argv[3]))
    print("done", flush=True)
