"""Functions that travel to other processes; imported by tests, and run as a script, where they are of `__main__`."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from typing import Any

from cacheness import Cache, cache_async, cached

CACHE = Cache(os.environ.get("CACHENESS_TEST_CACHE") or tempfile.mkdtemp())
SCALE = 3


@cached(cache_instance=CACHE, version=2)
def scaled(x: int) -> tuple[int, int]:
    """Scales."""
    return SCALE * x, os.getpid()


def calls(x: int) -> tuple[int, int, str]:
    """Calls a cached function."""
    return (*scaled(x), scaled.cache_key(x))


@cache_async(cache_instance=CACHE)
async def waits(x: int) -> tuple[int, int]:
    """Waits."""
    await asyncio.sleep(0)
    return x, os.getpid()


class Model:
    """Has a cached method."""

    def __init__(self, x: int) -> None:
        self.x = x

    def __cache_key__(self) -> int:
        return self.x

    @cached(cache_instance=CACHE)
    def fit(self, y: int) -> tuple[int, int]:
        """Fits."""
        return self.x * y, os.getpid()


def by_joblib() -> list[Any]:
    """What loky's workers return."""
    import joblib

    parallel = joblib.Parallel(n_jobs=2, backend="loky")
    return [
        *parallel(joblib.delayed(scaled)(x) for x in (1, 2, 1, 2)),
        *parallel(joblib.delayed(calls)(x) for x in (1, 2)),
        *parallel(joblib.delayed(Model(2).fit)(x) for x in (1, 2, 1, 2)),
    ]


def by_spawn() -> list[Any]:
    """What processes of their own return."""
    import multiprocessing

    with multiprocessing.get_context("spawn").Pool(2) as pool:
        return [*pool.map(scaled, (1, 2, 1, 2)), *pool.map(calls, (1, 2)), *pool.map(Model(2).fit, (1, 2, 1, 2))]


def by_dask() -> list[Any]:
    """What Dask's worker processes return."""
    import dask.distributed

    with (
        dask.distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, processes=True
        ) as cluster,
        dask.distributed.Client(cluster) as client,
    ):
        futures = [client.submit(function, x, pure=False) for function in (scaled,) * 2 for x in (1, 2)]
        futures += [client.submit(calls, x, pure=False) for x in (1, 2)]
        futures += [client.submit(Model(2).fit, x, pure=False) for x in (1, 2, 1, 2)]
        return list(client.gather(futures))


if __name__ == "__main__":
    found = {"joblib": by_joblib, "spawn": by_spawn, "dask": by_dask}[sys.argv[1]]()
    here = os.getpid()
    assert [value for value, _ in found[:4]] == [3, 6, 3, 6], found
    assert found[0] == found[2] and found[1] == found[3], "each was computed once"
    assert [key for *_, key in found[4:6]] == [scaled.cache_key(1), scaled.cache_key(2)], "the key is the same there"
    assert [tuple(rest) for *rest, _ in found[4:6]] == found[:2]
    assert [value for value, _ in found[6:]] == [2, 4, 2, 4] and found[6] == found[8], found
    assert here not in {entry[1] for entry in found}
    # What was computed there is found here.
    assert scaled(1) == found[0] and scaled.cache_info().hits == 1, scaled.cache_info()
    assert Model(2).fit(1) == found[6]
    print("travelled")
