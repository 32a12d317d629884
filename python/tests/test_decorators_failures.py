"""What is wrong with values, handlers and caches is said, and does not cost a result."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from cacheness import (
    Cache,
    CacheClosedError,
    CacheConfigurationError,
    CacheError,
    CacheSerializationError,
    CacheUnsupportedError,
    cache_async,
    cache_if,
    cached,
    get_cache,
    reset_cache,
    set_default_cache,
)
from cacheness.interfaces import CacheHandler


class ApiError(Exception):
    """Its pickle can be written and not be read, as that of many exceptions."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Large(ApiError):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.content = bytes(300_000)


class Raises:
    """What its pickle raises when it is read."""

    def __init__(self, error: type[BaseException]) -> None:
        self.error = error

    def __setstate__(self, state: dict[str, Any]) -> None:
        raise state["error"]


@pytest.mark.parametrize("kind", [ApiError, Large])
def test_a_value_that_cannot_be_unpickled(cache: Cache, kind: type[ApiError], caplog: pytest.LogCaptureFixture) -> None:
    calls = []

    @cached.for_api(cache_instance=cache)
    def fetch(user: int) -> ApiError:
        calls.append(user)
        return kind(user, "not found")

    @cache_async(cache)
    async def fetch_later(user: int) -> ApiError:
        calls.append(user)
        return kind(user, "not found")

    for call, function in ((fetch, fetch), (lambda user: asyncio.run(fetch_later(user)), fetch_later)):
        calls.clear()
        caplog.clear()
        before = cache.get_stats()
        with caplog.at_level(logging.WARNING, "cacheness"):
            assert [call(7).code for _ in range(3)] == [7, 7, 7]
        assert calls == [7, 7, 7]
        assert function.cache_info()[::3] == (0, 2), "no hits, two failures"
        assert caplog.text.count("cannot read from the cache") == 1, "said once"
        key = function.cache_key(7)
        assert f"entry {key} cannot be unpickled: TypeError: " in caplog.text
        after = cache.get_stats()
        assert after["cache_hits"] == before["cache_hits"]
        assert after["cache_misses"] > before["cache_misses"] + 1
        for read in (
            lambda key: cache.get(cache_key=key),
            lambda key: cache.get_with_metadata(cache_key=key),
        ):
            with pytest.raises(CacheSerializationError, match=f"entry {key} cannot be unpickled") as raised:
                read(key)
            assert isinstance(raised.value.__cause__, TypeError)
        assert cache.get_batch([{"cache_key": key}]) == {key: None}
        assert cache.get_stats()["cache_hits"] == before["cache_hits"]
        assert cache.get_or_compute(lambda: 1, cache_key=key) == 1, "computed again, and replaced"
        assert cache.get(cache_key=key) == 1
        cache.invalidate(cache_key=key)

    strict = cached(cache, key_prefix=f"{__name__}.strict", ignore_errors=False)(fetch.__wrapped__)
    strict(1)
    with pytest.raises(CacheSerializationError):
        strict(1)


def test_what_reading_a_pickle_raises(cache: Cache) -> None:
    for error in (ValueError, RecursionError, OSError, CacheError):
        cache.put(Raises(error), x=1)
        with pytest.raises(CacheSerializationError, match=error.__name__) as raised:
            cache.get(x=1)
        assert type(raised.value.__cause__) is error
    cache.put(Raises(ImportError), x=1)
    with pytest.raises(CacheUnsupportedError, match=f"entry {cache.cache_key(x=1)}: the pickle needs"):
        cache.get(x=1)
    for passing in (KeyboardInterrupt, MemoryError):
        cache.put(Raises(passing), x=1)
        with pytest.raises(passing):
            cache.get(x=1)


class Thing:
    pass


class Handler(CacheHandler):
    data_type = "thing"

    def __init__(self, fails: str, error: type[BaseException] = ValueError) -> None:
        self.fails = fails
        self.error = error

    def _do(self, what: str) -> None:
        if what == self.fails:
            raise self.error("broken")

    def can_handle(self, data: Any) -> bool:
        self._do("can_handle")
        return isinstance(data, Thing)

    def put(self, data: Any, file_path: Path, config: Any) -> dict[str, Any]:
        file_path.write_bytes(b"1")
        self._do("put")
        return {"file_path": str(file_path)}

    def get(self, file_path: Path, metadata: dict[str, Any]) -> Any:
        self._do("get")
        return Thing()


@pytest.mark.parametrize("fails", ["can_handle", "put", "get"])
def test_a_handler_that_raises(tmp_path: Path, fails: str, caplog: pytest.LogCaptureFixture) -> None:
    with Cache(tmp_path / "cache", custom_handlers=[Handler(fails)]) as cache:
        function = cached(cache)(_thing)
        with caplog.at_level(logging.WARNING, "cacheness"):
            assert all(isinstance(function(), Thing) for _ in range(3))
        assert caplog.text.count(f"handler 'thing': {fails} raised ValueError") == 1, "said once"
        with pytest.raises(CacheSerializationError, match=f"handler 'thing': {fails} raised .*: broken") as raised:
            _put_and_get(cache)
        assert type(raised.value.__cause__) is ValueError
        assert cache.get_stats()["cache_hits"] == 0
        assert list((tmp_path / "cache").glob("tmp/*")) == []
    interrupted = Cache(tmp_path / "other", custom_handlers=[Handler(fails, KeyboardInterrupt)])
    with interrupted, pytest.raises(KeyboardInterrupt):
        _put_and_get(interrupted)


def _put_and_get(cache: Cache) -> None:
    cache.put(Thing(), x=1)
    cache.get(x=1)


def _thing() -> Thing:
    return Thing()


@cached
def _adds(x: int) -> int:
    return x + 1


@cached(ignore_errors=False)
def _strict(x: int) -> int:
    return x + 1


@cached
async def _adds_later(x: int) -> int:
    return x + 1


def test_a_default_cache_that_has_been_closed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Cache(tmp_path / "mine") as mine:
        set_default_cache(mine)
        assert _strict(1) == 2
    with caplog.at_level(logging.WARNING, "cacheness"):
        assert _adds(1) == _adds(1) == 2
        assert asyncio.run(_adds_later(1)) == 2
    said = f"the default cache at {str(tmp_path / 'mine')!r} has been closed"
    assert caplog.text.count(said) == 2, "once for each function"
    for call in (get_cache, lambda: _strict(1), lambda: _adds.cache_key(1), lambda: _adds.cache_clear(1)):
        with pytest.raises(CacheClosedError, match="the default cache at") as raised:
            call()
        assert "set_default_cache" in str(raised.value)
    assert not (tmp_path / "cache").exists()
    reset_cache()
    assert _strict(1) == 2
    assert (tmp_path / "cache").exists()
    # The one that was opened by itself is opened again.
    get_cache().close()
    assert _strict(1) == 2


@pytest.mark.parametrize("what", ["file", "newer", "removed"])
def test_a_default_cache_that_cannot_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    if what == "file":
        Path("cache").write_text("no store", encoding="utf-8")
    elif what == "newer":
        Cache("cache").close()
        marker = Path("cache/cacheness.toml")
        text = marker.read_text(encoding="utf-8")
        assert "format = 1" in text
        marker.write_text(text.replace("format = 1", "format = 99"), encoding="utf-8")
    else:
        (tmp_path / "gone").mkdir()
        monkeypatch.chdir(tmp_path / "gone")
        (tmp_path / "gone").rmdir()

    @cached
    def adds(x: int) -> int:
        return x + 1

    @cached
    async def adds_later(x: int) -> int:
        return x + 1

    @cached(ignore_errors=False)
    def strict(x: int) -> int:
        return x + 1

    with caplog.at_level(logging.WARNING, "cacheness"):
        assert adds(1) == adds(1) == 2
        assert asyncio.run(adds_later(1)) == 2
    assert caplog.text.count("cannot use the cache") == 2, "once for each function"
    assert adds.cache_info() == (0, 0, 0, 2)
    for call in (lambda: strict(1), get_cache, lambda: adds.cache_key(1)):
        with pytest.raises((CacheError, OSError)):
            call()
    monkeypatch.setenv("CACHENESS_MAX_SIZE_MB", "much")
    with pytest.raises(CacheConfigurationError, match="much"):
        adds(1)


def test_what_is_no_default_cache() -> None:
    for wrong in (5, "cache", Cache):
        with pytest.raises(CacheConfigurationError, match="not a Cache"):
            set_default_cache(wrong)  # type: ignore[arg-type]
    set_default_cache(None)


def test_decorators_without_parentheses(cache: Cache) -> None:
    set_default_cache(cache)

    @cached.for_api
    def fetch(user: int) -> dict[str, Any]:
        return {"user": user, "text": "abc " * 5000}

    assert fetch(1) == fetch(1)
    [entry] = cache.list_entries(include_metadata=True)
    assert entry["compression_codec"] == "lz4"
    assert entry["expires_at"]

    @cached.for_api
    async def fetch_later(user: int) -> int:
        return user

    assert asyncio.run(fetch_later(1)) == 1

    @cache_if
    def conditional(x: int = 0) -> int:
        return x

    for call in (lambda: conditional(5), lambda: conditional(), lambda: conditional(x=1)):
        with pytest.raises(CacheConfigurationError, match=r"write @cache_if\(condition\)"):
            call()
    with pytest.raises(CacheConfigurationError, match=r"write @cache_if"):

        @cache_if
        async def later(x: int) -> int:
            return x


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"ignore_errors": "no"}, "ignore_errors is 'no'"),
        ({"include_defaults": "no"}, "include_defaults is 'no'"),
        ({"track_code": "yes"}, "track_code is 'yes'"),
        ({"track_code": 1}, "track_code is 1"),
        ({"ttl_seconds": True}, "ttl_seconds is True"),
        ({"stale_ttl_seconds": False}, "stale_ttl_seconds is False"),
        ({"early_recompute": True}, "early_recompute is True"),
        ({"ttl_seconds": "60"}, "ttl_seconds must be a number"),
        ({"early_recompute": "much"}, "early_recompute must be a number"),
        ({"metadata": 5}, "metadata must be a dict"),
        ({"ignore": None}, "ignore is None"),
        ({"ignore": 5}, "ignore is 5"),
        ({"ignore": [5]}, r"ignore is \[5\]"),
        ({"codec": "lz4"}, "codec"),
        ({"condition": bool}, "condition"),
    ],
)
def test_options_of_the_wrong_type(options: dict[str, Any], says: str) -> None:
    with pytest.raises(CacheConfigurationError, match=says):
        cached(**options)
    for decorator in (cached.for_api, cache_async):
        with pytest.raises(CacheConfigurationError, match=says):
            decorator(**options)
    if "condition" not in options:
        with pytest.raises(CacheConfigurationError, match=says):
            cache_if(bool, **options)


def test_any_iterable_of_names_is_ignored(cache: Cache) -> None:
    for names in (["y"], ("y",), {"y"}, frozenset({"y"}), (name for name in "y")):

        @cached(cache, ignore=names, key_prefix="f")
        def f(x: int, y: int) -> int:
            return x

        assert f.cache_key(1, 2) == f.cache_key(1, 3)


def test_levels_are_those_of_the_codec(tmp_path: Path) -> None:
    with pytest.raises(CacheConfigurationError, match="pickle_compression_level is 19, with gzip"):
        Cache(tmp_path / "refused", pickle_compression_codec="gzip", pickle_compression_level=19)
    with Cache(tmp_path / "cache", pickle_compression_level=19) as cache:

        @cached.for_api(cache_instance=cache, key_prefix="levels", ignore_errors=False)
        def answer() -> str:
            return "x" * 100_000

        assert answer() == answer()
        assert answer.cache_info() == (1, 1, 0, 0)
        entry = cache.get_metadata(cache_key=answer.cache_key())
        assert entry is not None
        assert entry["compression_codec"] == "lz4"
