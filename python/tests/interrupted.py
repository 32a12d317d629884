"""A program that test_interrupt.py runs: uses a cache while Ctrl-C comes at random, and goes on each time.

usage: interrupted.py DIRECTORY SEED INTERRUPTS

Prints what is wrong, a line each, and ends with "done".
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cacheness import Cache, cached

if TYPE_CHECKING:
    from collections.abc import Callable

KEYS = 30
KINDS = 6


def make(number: int) -> Any:
    match number % KINDS:
        case 0:
            return {"number": number, "text": "x" * (number % 50)}
        case 1:
            return np.arange(number % 200_000, dtype="f8")
        case 2:
            return pd.DataFrame({"a": range(number % 50), "b": [str(n) for n in range(number % 50)]})
        case 3:
            return number
        case 4:
            return ("tuple", number, [1.5] * (number % 100))
        case _:
            return b"y" * (number % 300_000)


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and np.array_equal(a, b)
    if isinstance(a, pd.DataFrame):
        return isinstance(b, pd.DataFrame) and a.equals(b)
    return type(a) is type(b) and bool(a == b)


class Model:
    """What each key may have: what was put last, and what was being put or removed when a Ctrl-C came."""

    def __init__(self) -> None:
        self.allowed: dict[int, list[Any]] = {key: [None] for key in range(KEYS)}

    def write(self, cache: Cache, key: int, value: Any) -> None:
        self.allowed[key].append(value)
        if value is None:
            cache.invalidate(k=key)
        else:
            cache.put(value, k=key)
        self.allowed[key] = [value]

    def check(self, cache: Cache, key: int) -> None:
        found = cache.get(k=key)
        if not any(equal(value, found) for value in self.allowed[key]):
            print(f"key {key} has {found!r:.80}, not one of {self.allowed[key]!r:.200}", flush=True)


def step(cache: Cache, twice: Callable[[int], np.ndarray], model: Model, draw: random.Random) -> None:
    key = draw.randrange(KEYS)
    match draw.randrange(12):
        case 0 | 1 | 2 | 3:
            model.write(cache, key, make(draw.randrange(10**6)))
        case 4:
            model.write(cache, key, None)
        case 5 | 6 | 7:
            model.check(cache, key)
        case 8:
            if not (twice(key) == 2 * key).all():
                print(f"twice({key}) has another value", flush=True)
        case 9:
            if cache.get_or_compute(lambda: key, z=key) != key:
                print(f"z={key} has another value", flush=True)
        case 10:
            cache.list_entries()
        case _:
            cache.get_stats()


def main(directory: str, seed: int, interrupts: int) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    draw, pauses = random.Random(seed), random.Random(seed + 1)
    model = Model()
    cache = Cache(directory)

    @cached(cache)
    def twice(number: int) -> np.ndarray:
        return np.full(1000, 2 * number)

    # How many have been sent, and how many the program has gone on from. One at a time: between the handler of one and the
    # next ``try`` no program can catch another.
    sent = gone_on = 0

    def interrupt() -> None:
        nonlocal sent
        for _ in range(interrupts):
            time.sleep(pauses.uniform(0.0005, 0.01))
            # One that came in a destructor is ignored by the interpreter, so this does not wait for long.
            patience = 1000
            while gone_on < sent and patience:
                patience -= 1
                time.sleep(0.001)
            sent += 1
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    begun = False
    while True:
        try:
            if not begun:
                begun = True
                thread.start()
            while thread.is_alive():
                gone_on = sent
                step(cache, twice, model, draw)
            time.sleep(0.1)  # the last one may still be on its way
            break
        except KeyboardInterrupt:
            continue
    for key in range(KEYS):
        model.check(cache, key)
    cache.close()
    with Cache(directory) as cache:
        for key in range(KEYS):
            model.check(cache, key)
    print("done", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
