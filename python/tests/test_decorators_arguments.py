"""Arguments that have no key, and calls whose cache fails while nothing can be opened any more."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import textwrap
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cacheness import Cache, cache_async, cache_if, cached, cacheness
from cacheness.errors import CacheConfigurationError, CacheSerializationError


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    with Cache(tmp_path / "cache") as cache:
        yield cache


class Broken:
    """Cannot be looked into."""

    def __getstate__(self) -> Any:
        raise ZeroDivisionError("of the author")


def test_with_ignore_errors_an_argument_without_a_key_runs_the_function(
    cache: Cache, caplog: pytest.LogCaptureFixture
) -> None:
    def f(x: Any) -> str:
        return type(x).__name__

    async def waits(x: Any) -> str:
        return type(x).__name__

    with caplog.at_level(logging.WARNING, logger="cacheness"):
        for decorated in (
            cached.for_api(ignore_errors=True, cache_instance=cache)(f),
            cached.for_api(cache_instance=cache)(f),
            cached(cache, ignore_errors=True)(f),
            cache_if(lambda result: True, cache, ignore_errors=True)(f),
        ):
            caplog.clear()
            assert [decorated(object()), decorated(threading.Lock()), decorated(1), decorated(1)] == [
                "object",
                "lock",
                "int",
                "int",
            ]
            (record,) = caplog.records
            assert "a bare object()" in record.getMessage() and "called without the cache" in record.getMessage()
            assert decorated.cache_info().failures == 2
        caplog.clear()
        decorated = cache_async(cache, ignore_errors=True)(waits)
        assert asyncio.run(decorated(object())) == asyncio.run(decorated(object())) == "object"
        assert len(caplog.records) == 1
    for options in ({}, {"ignore_errors": False}):
        with pytest.raises(CacheSerializationError, match="a bare object"):
            cached(cache, **options)(f)(object())  # type: ignore[arg-type]
    with pytest.raises(CacheSerializationError, match="a bare object"):
        cached.for_api(ignore_errors=False, cache_instance=cache)(f)(object())
    # What the arguments themselves raise, and arguments that do not fit, are no failures of the cache.
    with pytest.raises(TypeError, match="argument"):
        cached.for_api(cache_instance=cache)(f)(1, 2)
    with pytest.raises(CacheConfigurationError, match="ignore_errors"):
        cached(cache, ignore_errors=1)  # type: ignore[call-overload]


def test_what_the_author_raised_is_the_cause(cache: Cache) -> None:
    f = cached(cache, key_prefix="f")(lambda x: x)
    for call in (
        lambda: f(Broken()),
        lambda: f([Broken()]),
        lambda: cache.put(1, p=Broken()),
        lambda: f.cache_key(Broken()),
    ):
        with pytest.raises(CacheSerializationError, match="Broken has no stable encoding") as raised:
            call()
        cause = raised.value.__cause__
        assert isinstance(cause, ZeroDivisionError) and str(cause) == "of the author"


@pytest.mark.parametrize(
    "argument",
    [object(), lambda: 0, threading.Lock(), (n for n in ()), [[[[[[[[[[[1]]]]]]]]]]],
     type("Local", (), {"__qualname__": "f.<locals>.Local"})()],
    ids=lambda argument: type(argument).__name__,
)  # fmt: skip
def test_hints_name_options_of_the_decorator(cache: Cache, argument: Any) -> None:
    f = cached(cache, key_prefix="f")(lambda x: x)
    for call in (lambda: f(argument), lambda: f.cache_key(argument), lambda: f.is_cached(argument)):
        with pytest.raises(CacheSerializationError) as raised:
            call()
        hint = str(raised.value.hint)
        assert "cache_key=" not in hint
        if isinstance(argument, types.GeneratorType):
            assert hint == "collect its items in a list first"
        else:
            assert "ignore=" in hint and "key_func=" in hint
    with pytest.raises(CacheSerializationError) as raised:
        cache.put(1, x=argument)
    assert "cache_key=" in str(raised.value.hint) or isinstance(argument, types.GeneratorType)


def test_a_class_inside_a_function(cache: Cache) -> None:
    class Plain:
        x = 1

    class Keyed:
        def __init__(self, x: int) -> None:
            self.x = x

        def __cache_key__(self) -> int:
            return self.x

    with pytest.raises(CacheSerializationError, match="inside a function") as raised:
        cache.put(1, p=Plain())
    assert "__cache_key__()" in str(raised.value.hint)
    cache.put("one", p=Keyed(1))
    assert (cache.get(p=Keyed(1)), cache.get(p=Keyed(2))) == ("one", None)


@pytest.mark.parametrize("options", [{"enable_collections": False}, {"max_collection_depth": 1}])
def test_the_envelope_of_a_call_is_none_of_the_users_parameters(tmp_path: Path, options: dict[str, Any]) -> None:
    def f(x: Any, *args: Any, y: Any = None, **kwargs: Any) -> Any:
        return x, args, y, kwargs

    def g(x: Any) -> Any:
        return x

    scale = 2

    def captures(x: Any) -> Any:
        return x * scale

    with cacheness(tmp_path / "strict", **options) as strict, cacheness(tmp_path / "default") as default:
        for function, args, kwargs in [
            (f, ("x",), {}),
            (f, ("x", "a", "b"), {"y": 1, "z": 2}),
            (f, ([1], [2]), {"y": [3], "z": [4]}),
            (g, ([1, 2],), {}),
            (g, ({"a": 1},), {}),
            (captures, ("x",), {}),
        ]:
            decorated, usual = cached(strict)(function), cached(default)(function)
            assert decorated(*args, **kwargs) == decorated(*args, **kwargs) == function(*args, **kwargs)
            assert decorated.cache_info() == (1, 1, 0, 0)
            # The key is that of every other configuration, and that of the parameters written out.
            assert decorated.cache_key(*args, **kwargs) == usual.cache_key(*args, **kwargs)
            assert usual.cache_key(*args, **kwargs) == default.cache_key(params=usual._site.bind(*args, **kwargs))
    with cacheness(tmp_path / "strict", max_collection_depth=1) as strict:
        for args in (([[1]],), (1, [[1]])):
            with pytest.raises(CacheSerializationError, match="nested more than 1 deep"):
                cached(strict)(f)(*args)
        with pytest.raises(CacheSerializationError, match="nested more than 1 deep"):
            cached(strict, key_prefix="f", key_func=lambda x: [[x]])(g)(1)


def _run(program: str, directory: Path) -> subprocess.CompletedProcess[str]:
    (directory / "program.py").write_text(textwrap.dedent(program), encoding="utf-8")
    return subprocess.run(
        [sys.executable, "program.py"], check=False, capture_output=True, text=True, cwd=directory, timeout=60
    )


@pytest.mark.parametrize("decorator", ["cached(cache_instance=cache)", "cached", "cache.memoize"])
@pytest.mark.parametrize("warm", [False, True])
def test_a_result_is_returned_where_no_file_can_be_opened(tmp_path: Path, decorator: str, warm: bool) -> None:
    done = _run(
        f"""
        import os
        import resource
        from cacheness import Cache, cached, get_cache

        cache = Cache("cache")

        @{decorator}
        def f(x):
            return os.urandom(x)

        if {warm}:
            f(1), f(1)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        assert [len(f(size)) for size in (1, 200_000, 200_001, 200_000, 2)] == [1, 200_000, 200_001, 200_000, 2]
        assert f.cache_info().failures > 0
        print("returned")
        """,
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "returned\n"
    assert "logged once" in done.stderr and "Traceback" not in done.stderr, done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="platform: only root has privileges to drop")
def test_a_result_is_returned_where_the_user_has_changed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    done = _run(
        """
        import os
        from cacheness import Cache, cached

        cache = Cache("cache")

        @cached(cache_instance=cache)
        def f(x):
            return os.urandom(x)

        os.setgid(65534)
        os.setuid(65534)
        assert [len(f(size)) for size in (1, 200_000, 200_001)] == [1, 200_000, 200_001]
        print("returned")
        """,
        tmp_path,
    )
    assert (done.returncode, done.stdout) == (0, "returned\n"), done.stderr
