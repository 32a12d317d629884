"""A decorated function as an object: what it shows, answers and logs."""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cacheness import Cache, cache_async, cache_if, cached
from cacheness.errors import CacheConfigurationError


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    with Cache(tmp_path / "cache") as cache:
        yield cache


def _double(x: int, *, twice: bool = False) -> int:
    """Doubles."""
    return 4 * x if twice else 2 * x


class Model:
    """Has methods of all kinds."""

    def __init__(self, x: int) -> None:
        self.x = x


def test_a_function_says_that_it_is_cached_and_is_itself_otherwise(cache: Cache) -> None:
    f = cached(cache_instance=cache)(_double)
    assert repr(f) == f"<cached function _double in {str(cache.cache_dir)!r}>"
    assert repr(cached(_double)) == "<cached function _double in the default cache>"
    assert (f.__name__, f.__module__, f.__doc__, f.__wrapped__) == ("_double", __name__, "Doubles.", _double)
    assert inspect.signature(f) == inspect.signature(_double)
    assert inspect.isroutine(f) and callable(f) and not inspect.iscoroutinefunction(f)
    assert inspect.getsource(f) == inspect.getsource(_double)
    f.mine = 1
    assert f.mine == 1 and "mine" in vars(f)
    assert f == f and hash(f) == hash(f) and f != cached(cache_instance=cache)(_double)

    @cache_async(cache_instance=cache)
    async def waits(x: int) -> int:
        return x

    assert "cached function" in repr(waits)
    assert inspect.iscoroutinefunction(waits) and asyncio.iscoroutinefunction(waits)
    assert inspect.signature(waits) == inspect.signature(waits.__wrapped__)


def test_methods_bind_as_methods_do(cache: Cache) -> None:
    class Local(Model):
        @cached(cache_instance=cache, key_func=lambda self, y: (self.x, y))
        def fit(self, y: int) -> int:
            """Fits."""
            return self.x * y

        @cached(cache_instance=cache, key_func=lambda y: y)
        @staticmethod
        def static(y: int) -> int:
            return y

    model = Local(3)
    assert model.fit(2) == Local.fit(model, 2) == 6
    assert inspect.ismethod(model.fit) and model.fit.__self__ is model and model.fit.__func__ is Local.fit
    assert model.fit.__doc__ == "Fits." and model.fit == model.fit
    assert Local.fit.cache_info().hits == 1
    assert Local.static(1) == model.static(1) == 1
    assert (Local.fit.is_cached(model, 2), Local.fit.is_cached(model, 3)) == (True, False)
    assert Local.fit.invalidate(model, 2) is True
    assert Local.fit.is_cached(model, 2) is False


def test_a_function_goes_with_the_last_that_has_it(cache: Cache) -> None:
    def make() -> weakref.ref[Any]:
        @cached(cache_instance=cache)
        def f(x: int) -> int:
            return x + len(repr(f))

        assert f(1) == f(1)
        return weakref.ref(f)

    gone = make()
    gc.collect()
    assert gone() is None


def test_a_cache_decorates(cache: Cache) -> None:
    @cache.cached
    def bare(x: int) -> int:
        return x

    @cache.cached(ttl_seconds=60, ignore=["y"])
    def with_options(x: int, y: int = 0) -> int:
        return x

    @cache.memoize
    def memoized(x: int) -> int:
        return x

    @cache.memoize()
    async def waits(x: int) -> int:
        return x

    for function in (bare, with_options, memoized):
        assert function(1) == function(1) == 1
        assert function.cache_info() == (1, 1, 0, 0)
    assert asyncio.run(waits(1)) == 1
    assert with_options(1, y=2) == 1 and with_options.cache_info().misses == 1
    assert len(cache) == 4
    with pytest.raises(CacheConfigurationError, match="ttl"):
        cache.cached(tll_seconds=60)


@pytest.mark.parametrize("decorator", [cached, cached.for_api, cache_if, cache_async, Cache.cached, Cache.memoize])
def test_signatures_show_the_real_keywords(decorator: Callable[..., Any]) -> None:
    signature = inspect.signature(decorator)
    names = set(signature.parameters)
    wanted = {
        "ttl_seconds",
        "key_prefix",
        "key_func",
        "ignore",
        "version",
        "on_code_change",
        "verbose",
        "ignore_errors",
    }
    assert wanted <= names, wanted - names
    assert not {"codec", "options", "kwargs"} & names
    assert signature.parameters["on_code_change"].default == "recompute"


def test_whether_a_call_is_cached_and_away_with_it(cache: Cache) -> None:
    f = cached(cache_instance=cache)(_double)
    assert not f.is_cached(1)
    f(1)
    f(2)
    assert f.is_cached(1) and f.is_cached(x=1) and not f.is_cached(1, twice=True)
    assert f.invalidate(x=1) is True and f.invalidate(1) is False
    assert (f.is_cached(1), f.is_cached(2)) == (False, True)
    assert f.cache_info() == (0, 2, 0, 0)


def test_counts_by_name_and_the_seconds_that_were_saved(cache: Cache, tmp_path: Path) -> None:
    import time

    @cached(cache_instance=cache)
    def slow(x: int) -> int:
        time.sleep(0.05)
        return x

    slow(1)
    assert slow.cache_info()["seconds_saved"] == 0
    slow(1)
    slow(1)
    info = slow.cache_info()
    assert info == (2, 1, 0, 0)
    assert (info["hits"], info["misses"], info[0], info.hits, info[:2]) == (2, 1, 2, 2, (2, 1))
    assert info.seconds_saved == info["seconds_saved"] >= 0.1
    assert "seconds_saved=" in repr(info) and repr(info).startswith("CacheInfo(hits=2, misses=1")
    with pytest.raises(KeyError):
        info["hit"]
    # Another process, or another day: the time is kept beside the entry.
    with Cache(cache.cache_dir) as again:
        other = cached(cache_instance=again)(slow.__wrapped__)
        other(1)
        assert other.cache_info().seconds_saved >= 0.05


def test_calls_are_logged_where_that_is_wanted(cache: Cache, caplog: pytest.LogCaptureFixture) -> None:
    @cached(cache_instance=cache, verbose=True, key_prefix="flights.delays")
    def delays(origin: str, window: int = 3, data: Any = None) -> int:
        return window

    @cache_async(cache_instance=cache, verbose=True, key_prefix="waits")
    async def waits(x: int) -> Any:
        return b"x" * x

    @cached(cache_instance=cache)
    def silent(x: int) -> int:
        return x

    with caplog.at_level(logging.INFO, logger="cacheness"):
        delays("EWR")
        delays("EWR")
        delays("a\nb", data=np.arange(3.0))
        for size in (1, 1, 100_000, 100_000):
            asyncio.run(waits(size))
        silent(1)
        silent(1)
    messages = [record.getMessage() for record in caplog.records]
    assert messages[0].startswith('flights.delays(data=None, origin="EWR", window=3): computed in ')
    assert messages[1] == 'flights.delays(data=None, origin="EWR", window=3): hit'
    assert messages[2].startswith("flights.delays(data=array <f8 (3,) ") and "\n" not in messages[2]
    assert [message.rpartition(" in ")[0] or message for message in messages[3:]] == [
        "waits(x=1): computed",
        "waits(x=1): hit",
        "waits(x=100000): computed",
        "waits(x=100000): hit",
    ]


def test_entries_are_shown_as_calls(cache: Cache) -> None:
    f = cached(cache_instance=cache)(_double)
    f(1, twice=True)
    cache.put(1, model="xgboost", fold=3)
    cache.put(1, cache_key="daily/report\x1b")
    for detail in (True, False):
        shown = {entry["call"]: entry["function"] for entry in cache.list_entries(include_metadata=detail)}
        assert shown == {
            f"{__name__}._double(x=1, twice=True)": f"{__name__}._double",
            'fold=3, model="xgboost"': None,
            "daily/report\\u{1b}": None,
        }
    entry = cache.get_entry(f.cache_key(1, twice=True))
    assert entry is not None and entry["function"] == f"{__name__}._double"
    metadata = cache.get_metadata(model="xgboost", fold=3)
    assert metadata is not None and metadata["call"] == 'fold=3, model="xgboost"'
