"""``@cached``."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

import pytest

from cacheness import (
    Cache,
    CacheConfigurationError,
    CacheSerializationError,
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
    assert weather.cache_key("London") in {e["cache_key"] for e in entries}  # type: ignore[attr-defined]
    assert weather.cache_clear("London")  # type: ignore[attr-defined]
    weather("London")
    assert len(CALLS) == 3


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


def test_what_cannot_be_kept_is_refused() -> None:
    def generator() -> Any:
        yield 1

    async def coroutine() -> int:
        return 1

    for function in (generator, coroutine, 5):
        with pytest.raises(CacheConfigurationError):
            cached()(function)  # type: ignore[arg-type]
    with pytest.raises(CacheConfigurationError):
        cached("a string")  # type: ignore[call-overload]


def test_the_default_cache(tmp_path: Path) -> None:
    with Cache(tmp_path / "mine") as mine:
        set_default_cache(mine)
        assert get_cache() is mine
        bare(5)
        assert len(mine) == 1
    reset_cache()
    assert get_cache() is not mine
