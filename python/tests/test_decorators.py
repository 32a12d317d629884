"""``@cached``."""

from __future__ import annotations

import asyncio
import datetime as dt
import inspect
import logging
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cacheness import (
    Cache,
    CacheConfigurationError,
    CacheSerializationError,
    cache_async,
    cache_if,
    cached,
    get_cache,
    reset_cache,
    set_default_cache,
)

CALLS: list[Any] = []


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    CALLS.clear()


@cached
def bare(x: int, y: int = 2) -> int | None:
    """Adds."""
    CALLS.append((x, y))
    return None if x == 0 else x + y


def test_bare(tmp_path: Path) -> None:
    assert bare(1) == 3
    assert bare(1, 2) == 3
    assert bare(y=2, x=1) == 3
    assert CALLS == [(1, 2)]
    assert bare(0) is None
    assert bare(0) is None
    assert CALLS == [(1, 2), (0, 2)]
    assert (bare.__name__, bare.__doc__) == ("bare", "Adds.")
    assert (tmp_path / "cache" / "cacheness.toml").exists()
    reset_cache()
    assert bare(1) == 3, "another cache of the same directory"
    assert len(CALLS) == 2


def test_options(cache: Cache) -> None:
    @cached(cache, ttl_seconds=60, cache_key_prefix="weather", metadata={"source": "api"}, include_defaults=False)
    def weather(city: str, units: str = "metric", *rest: int, **more: int) -> str:
        CALLS.append(city)
        return f"{city} {units} {rest} {more}"

    assert weather("London") == weather("London")
    assert weather("London", "imperial", 1, a=2) == "London imperial (1,) {'a': 2}"
    assert CALLS == ["London", "London"]
    entries = cache.list_entries(include_metadata=True)
    assert all(e["metadata"] == {"source": "api"} and e["expires_at"] for e in entries)
    assert {e["cache_key_params"]["__function__"] for e in entries} == {"weather"}
    assert weather.cache_key("London") in {e["cache_key"] for e in entries}
    assert weather.cache_clear("London") == 1
    weather("London")
    assert len(CALLS) == 3
    assert weather.cache_info() == (1, 3, 0, 0)
    assert weather.cache_info().misses == 3
    assert weather.call_uncached("London") == weather.__wrapped__("London")
    assert weather.cache_info() == (1, 3, 0, 0)


def test_clearing_all_entries_of_a_function(cache: Cache, tmp_path: Path) -> None:
    @cached(cache, key_prefix="one")
    def one(x: Any = 0) -> Any:
        return x

    @cached(cache, key_prefix="on")
    def other(x: Any = 0) -> Any:
        return x

    for x in (1, "one", ["one"], {"__function__": "one"}):
        one(x)
        other(x)
    cache.put("by hand", function="one")
    cache.put("a name", cache_key="one")
    assert one.cache_clear() == 4
    assert len(cache) == 6
    assert one.cache_clear() == 0
    assert other.cache_clear("one") == 1
    assert other.cache_clear("one") == 0
    with Cache(tmp_path / "without", store_cache_key_params=False) as without:
        function = cached(without)(one.__wrapped__)
        function(1)
        with pytest.raises(CacheConfigurationError, match="store_cache_key_params"):
            function.cache_clear()
        assert function.cache_clear(1) == 1


def test_conditions(cache: Cache, caplog: pytest.LogCaptureFixture) -> None:
    @cache_if(lambda result: result["status"] == "success", cache, ttl_seconds=3600)
    def call(status: str) -> dict[str, str]:
        CALLS.append(status)
        return {"status": status} if status != "odd" else {}

    for status in ("success", "failure"):
        assert call(status) == call(status) == {"status": status}
    assert CALLS == ["success", "failure", "failure"]
    with caplog.at_level(logging.WARNING, "cacheness"):
        assert call("odd") == call("odd") == {}
    assert caplog.text.count("KeyError") <= 1
    assert caplog.text.count("ask the condition") == 1, "said once"
    assert call.cache_info().failures == 2

    @cache_if(lambda result: np.array([True, False]), cache, ignore_errors=False)
    def strict() -> int:
        return 1

    with pytest.raises(ValueError, match="ambiguous"):
        strict()

    async def later(result: Any) -> bool:
        return True

    @cache_if(lambda result: later(result), cache, ignore_errors=False)
    def awaits() -> int:
        return 1

    with pytest.raises(CacheConfigurationError, match="awaitable"):
        awaits()
    for wrong in (later, 5, None):
        with pytest.raises(CacheConfigurationError):
            cache_if(wrong)  # type: ignore[arg-type]


def test_for_api(cache: Cache) -> None:
    @cached.for_api(cache_instance=cache)
    def fetch(user: int) -> dict[str, Any]:
        CALLS.append(user)
        return {"user": user, "text": "abc " * 5000}

    @cached.for_api(ttl_seconds=60, ignore_errors=False, cache_instance=cache)
    def generator(user: int) -> Any:
        return (i for i in range(user))

    assert fetch(1) == fetch(1)
    assert CALLS == [1]
    [entry] = cache.list_entries(include_metadata=True)
    assert entry["compression_codec"] == "lz4"
    lifetime = dt.datetime.fromisoformat(entry["expires_at"]) - dt.datetime.fromisoformat(entry["created_at"])
    assert abs(lifetime - dt.timedelta(hours=6)) < dt.timedelta(minutes=5)
    with pytest.raises(CacheSerializationError):
        generator(1)


def test_for_api_at_a_level_that_only_zstd_has(tmp_path: Path) -> None:
    with Cache(tmp_path, pickle_compression_level=15) as cache:

        @cached.for_api(cache_instance=cache, ignore_errors=False)
        def fetch() -> list[str]:
            CALLS.append(1)
            return ["text"] * 10_000

        assert fetch() == fetch()
        assert CALLS == [1]
        [entry] = cache.list_entries()
        assert entry["compression_codec"] == "lz4"


def test_coroutine_functions(cache: Cache) -> None:
    @cached
    async def bare_coroutine(x: int) -> int:
        """Adds one."""
        CALLS.append(x)
        return x + 1

    @cache_async(cache, ttl_seconds=60)
    async def fetch(x: int, *, size: int = 1) -> bytes:
        CALLS.append(x)
        return bytes([x]) * size

    assert inspect.iscoroutinefunction(bare_coroutine)
    assert bare_coroutine.__doc__ == "Adds one."
    assert asyncio.run(bare_coroutine(1)) == asyncio.run(bare_coroutine(1)) == 2
    assert asyncio.run(bare_coroutine.call_uncached(1)) == 2
    assert CALLS == [1, 1]
    CALLS.clear()
    for size in (1, 300_000):
        assert asyncio.run(fetch(2, size=size)) == asyncio.run(fetch(2, size=size)) == b"\2" * size
    assert CALLS == [2, 2]
    assert fetch.cache_info() == (2, 2, 0, 0)
    assert cache.exists(cache_key=fetch.cache_key(2))
    assert fetch.cache_clear() == 2
    with pytest.raises(CacheConfigurationError, match="not a coroutine function"):
        cache_async()(lambda x: x)
    cache.close()
    assert asyncio.run(fetch(3)) == b"\3", "logged"


def test_a_damaged_result_is_computed_again(cache: Cache, caplog: pytest.LogCaptureFixture) -> None:
    @cached(cache)
    def make(size: int) -> bytes:
        CALLS.append(size)
        return os.urandom(size)

    @cached(cache)
    async def make_async(size: int) -> bytes:
        CALLS.append(size)
        return os.urandom(size)

    for call in (make, lambda size: asyncio.run(make_async(size))):
        CALLS.clear()
        first = call(200_000)
        [path] = [e["actual_path"] for e in cache.list_entries() if e["actual_path"]]
        file = Path(cache.cache_dir, path)
        file.write_bytes(bytes(file.stat().st_size))
        with caplog.at_level(logging.WARNING, "cacheness"):
            second = call(200_000)
        assert first != second
        assert call(200_000) == second
        assert len(CALLS) == 2
        cache.clear()


def test_failures(cache: Cache, caplog: pytest.LogCaptureFixture) -> None:
    @cached(cache)
    def fails(x: int) -> int:
        CALLS.append(x)
        raise RuntimeError(str(x))

    for _ in range(2):
        with pytest.raises(RuntimeError, match="1"):
            fails(1)
    assert CALLS == [1, 1]
    assert len(cache) == 0

    @cached(cache)
    def generator(x: int) -> Any:
        return (i for i in range(x))

    with caplog.at_level(logging.WARNING, "cacheness"):
        assert list(generator(3)) == [0, 1, 2]
        assert list(generator(4)) == [0, 1, 2, 3]
    assert caplog.text.count("cannot store the result") == 1, "said once"

    @cached(cache, ignore_errors=False)
    def strict(x: int) -> Any:
        return (i for i in range(x))

    with pytest.raises(CacheSerializationError):
        strict(1)


def test_arguments_without_a_key_are_named(cache: Cache) -> None:
    @cached(cache)
    def function(x: Any) -> int:
        return 1

    with pytest.raises(CacheSerializationError, match=r"function: .*lock"):
        function(threading.Lock())


def test_what_cannot_be_kept_is_refused(cache: Cache) -> None:
    def generator() -> Any:
        yield 1

    async def asynchronous() -> Any:
        yield 1

    for function in (generator, asynchronous, 5, property(lambda self: 1), dict, lambda: 1):
        with pytest.raises(CacheConfigurationError):
            cached()(function)  # type: ignore[call-overload]
    # A built-in function without a signature.
    with pytest.raises(CacheConfigurationError, match="key_func"):
        cached(cache)(max)
    assert cached(cache, key_func=lambda *args: args)(max)(1, 3) == 3


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"ttl_seconds": -1}, "ttl_seconds is -1"),
        ({"ttl_seconds": float("nan")}, "ttl_seconds"),
        ({"stale_ttl_seconds": -1}, "ttl_seconds"),
        ({"early_recompute": -1}, "early_recompute"),
        ({"cache_key_prefix": ""}, "key_prefix"),
        ({"cache_key_prefix": "a", "key_prefix": "b"}, "the same option"),
        ({"ignore": "x"}, r"ignore=\['x'\]"),
        ({"ignore": ["z"]}, "no parameter 'z'"),
        ({"ignore": ["other"]}, "did you mean 'another'"),
        ({"key_func": 5}, "key_func"),
        ({"key_func": lambda x: x, "ignore": ["x"]}, "key_func"),
        ({"cache_instance": "a string"}, "cache_instance"),
        ({"tll_seconds": 1}, "did you mean 'ttl_seconds'"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], says: str) -> None:
    def function(x: int, another: int = 0) -> int:
        return x

    with pytest.raises(CacheConfigurationError, match=says):
        cached(**options)(function)


def test_the_default_cache(tmp_path: Path) -> None:
    with Cache(tmp_path / "mine") as mine:
        set_default_cache(mine)
        assert get_cache() is mine
        bare(5)
        assert len(mine) == 1
    reset_cache()
    assert get_cache() is not mine
