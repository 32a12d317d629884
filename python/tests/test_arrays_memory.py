"""Arrays come in memory that is kept when they are freed: each is still its owner's alone."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from cacheness import Cache

#: Items of 8 bytes: 8 MB in huge pages, and 1 MB.
SIZES = [1_000_000, 125_000]
sizes = pytest.mark.parametrize("items", SIZES)


@pytest.fixture
def cache(tmp_path: Path):
    with Cache(str(tmp_path)) as cache:
        yield cache


def put(cache: Cache, count: int, items: int) -> list[np.ndarray]:
    arrays = [np.random.default_rng(seed).random(items + seed) for seed in range(count)]
    for seed, array in enumerate(arrays):
        cache.put(array, seed=seed)
    return arrays


@sizes
def test_arrays_own_their_memory_and_share_none(cache: Cache, items: int) -> None:
    stored = put(cache, 3, items)
    for _ in range(3):
        found = [cache.get(seed=seed) for seed in range(3)]
        for array in found:
            assert array.flags.owndata and array.flags.writeable and array.base is None
        found[0][:] = 0
        assert not any(np.shares_memory(found[a], found[b]) for a, b in [(0, 1), (0, 2), (1, 2)])
        assert np.array_equal(found[1], stored[1]) and np.array_equal(found[2], stored[2])
        del found, array


@sizes
def test_freed_memory_serves_the_next_array(cache: Cache, items: int) -> None:
    stored = put(cache, 2, items)
    found = cache.get(seed=0)
    place = found.ctypes.data
    del found
    found = cache.get(seed=1)
    assert found.ctypes.data == place
    assert np.array_equal(found, stored[1])


@sizes
def test_arrays_can_be_resized(cache: Cache, items: int) -> None:
    stored = put(cache, 1, items)[0]
    for length in (10, items // 2, 3 * items, 5 * SIZES[0], items):
        found = cache.get(seed=0)
        found.resize(length, refcheck=False)
        kept = min(length, items)
        assert np.array_equal(found[:kept], stored[:kept])
        assert not found[kept:].any()


def test_sizes_in_any_order(cache: Cache) -> None:
    counts = [600_000, 40_000_000, 530_000, 8_000_000, 524_287, 524_288, 20_000_000, 600_001]
    counts += [32_767, 32_768, 32_769, 520_000, 523_000, 100_000, 100_001, 50_000]
    stored = {size: np.arange(size, dtype=np.float64)[::-1].copy() for size in counts}
    for size, array in stored.items():
        cache.put(array, size=size)
    for size in counts + counts[::-1]:
        assert np.array_equal(cache.get(size=size), stored[size])


@sizes
def test_threads(cache: Cache, items: int) -> None:
    stored = put(cache, 4, items)
    wrong: list[int] = []

    def work(seed: int) -> None:
        for _ in range(20):
            found = cache.get(seed=seed)
            if not np.array_equal(found, stored[seed]):
                wrong.append(seed)
            found[:] = -1.0

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@sizes
def test_memory_after_a_fork(cache: Cache, items: int) -> None:
    stored = put(cache, 2, items)
    found = cache.get(seed=0)
    child = os.fork()
    if child == 0:
        right = np.array_equal(found, stored[0])
        found[:] = 1.0
        del found
        right = right and np.array_equal(cache.get(seed=1), stored[1])
        os._exit(0 if right else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert np.array_equal(found, stored[0])


def test_little_memory_is_kept(cache: Cache) -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    put(cache, 1, SIZES[1])
    found = [cache.get(seed=0) for _ in range(400)]
    held = resident()
    del found
    # Of 400 MB, 16 MiB are kept.
    assert held - resident() > 350_000_000
