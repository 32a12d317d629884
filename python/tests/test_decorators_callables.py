"""Methods, partials, callable objects, closures and scripts: whose results are whose."""

from __future__ import annotations

import asyncio
import collections
import datetime as dt
import enum
import functools
import operator
import os
import pickle
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cacheness import Cache, CacheConfigurationError, CacheSerializationError, cache_async, cached


class Scale:
    def __init__(self, factor: Any) -> None:
        self.factor = factor

    def __call__(self, x: int) -> int:
        return self.factor * x  # type: ignore[no-any-return]

    def go(self, x: int, y: int = 0) -> int:
        return self.factor * x + y  # type: ignore[no-any-return]

    async def wait(self, x: int) -> int:
        return self.factor * x  # type: ignore[no-any-return]

    @cached
    def kept(self, x: int) -> int:
        return self.factor * x  # type: ignore[no-any-return]

    @classmethod
    def name(cls, x: int) -> str:
        return f"{cls.__name__}{x}"


class Larger(Scale):
    pass


class Shouts(str):
    __slots__ = ()

    def upper(self) -> str:
        return super().upper() + "!"


class Waits(Scale):
    async def __call__(self, x: int) -> int:  # type: ignore[override]
        return self.factor * x  # type: ignore[no-any-return]


def test_bound_methods_are_keyed_as_their_function_with_the_object(cache: Cache) -> None:
    two, three = cached(cache)(Scale(2).go), cached(cache)(Scale(3).go)
    assert (two(10), three(10)) == (20, 30)
    assert cached(cache)(Scale(2).go)(x=10, y=0) == 20
    assert len(cache) == 2
    decorated = cached(cache)(Scale.go)
    assert decorated(Scale(2), 10) == 20
    assert decorated.cache_info().hits == 1
    assert decorated.cache_key(Scale(2), 10) == two.cache_key(10)  # type: ignore[call-arg, arg-type]
    assert two.call_uncached(5) == 10
    assert two.cache_clear(10) == 1
    assert len(cache) == 1
    # The state is looked at when it is called.
    changing = Scale(4)
    bound = cached(cache)(changing.go)
    assert bound(1) == 4
    changing.factor = 5
    assert bound(1) == 5
    # Without a stable encoding it is refused, not kept under an address.
    with pytest.raises(CacheSerializationError, match=r"Scale\.go: .*object"):
        cached(cache)(Scale(object()).go)(1)
    # Without the object, if that is what is wanted.
    assert cached(cache, ignore=["self"])(Scale(threading.Lock()).go).cache_key(0)
    key_func = cached(cache, key_func=lambda scale, x: x)(Scale(7).go)
    assert key_func(3) == 21
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        two()  # type: ignore[call-arg]


def test_bound_methods_of_classes_and_of_c(cache: Cache) -> None:
    assert [cached(cache)(cls.name)(1) for cls in (Scale, Larger, Scale)] == ["Scale1", "Larger1", "Scale1"]
    assert len(cache) == 2
    assert [cached(cache)(text.upper)() for text in ("a", "b")] == ["A", "B"]
    assert [cached(cache)((n).__add__)(1) for n in (1, 2)] == [2, 3]
    assert [cached(cache)(cls.fromkeys)("a") for cls in (dict, collections.OrderedDict)] == [{"a": None}] * 2
    shouts = Shouts("a")
    assert (cached(cache)(shouts.upper)(), cached(cache)(super(Shouts, shouts).upper)()) == ("A!", "A")
    assert cached(cache)(Scale(2).kept)(3) == 6


def test_callable_objects_are_keyed_as_their_call(cache: Cache) -> None:
    assert [cached(cache, key_prefix="scale")(Scale(n))(1) for n in (1, 2, 1)] == [1, 2, 1]
    assert len(cache) == 2
    assert cached(cache)(Scale(3)).cache_key(1) == cached(cache)(Scale(3).__call__).cache_key(1)
    assert [cached(cache)(operator.itemgetter(n))("abc") for n in (0, 1)] == ["a", "b"]
    assert cached(cache)(functools.lru_cache(_add))(1, 2) == 3
    assert cached(cache)(functools.lru_cache(_add)).cache_key(1, 2) == cached(cache)(_add).cache_key(1, 2)


def _add(x: int, y: int) -> int:
    return x + y


def test_partials_are_keyed_as_their_function_with_the_arguments(cache: Cache) -> None:
    assert [cached(cache, key_prefix="pow")(functools.partial(pow, n))(3) for n in (2, 3)] == [8, 27]
    function = cached(cache)(_add)
    assert cached(cache)(functools.partial(_add, 1)).cache_key(2) == function.cache_key(1, 2)
    assert cached(cache)(functools.partial(_add, y=2)).cache_key(1) == function.cache_key(1, 2)
    assert cached(cache)(functools.partial(functools.partial(_add, 1), 2)).cache_key() == function.cache_key(1, 2)
    assert cached(cache)(functools.partial(Scale(2).go, y=1))(1) == 3
    assert cached(cache)(functools.partial(Scale.go, self=Scale(2)))(x=1, y=1) == 3
    assert cached(cache)(functools.partial(Scale(3).go, y=1))(1) == 4
    with pytest.raises(CacheConfigurationError, match="lambda"):
        cached(cache)(functools.partial(lambda x: x, 1))


def _generate(n: int) -> Any:
    yield n


async def _generate_later(n: int) -> Any:
    yield n


class Generates:
    def __call__(self) -> Any:
        yield 1


def test_coroutine_functions_and_generators_are_seen_through(cache: Cache) -> None:
    for given in (
        functools.partial(_generate, 1),
        functools.partial(_generate_later, 1),
        Generates(),
        Generates().__call__,
    ):
        with pytest.raises(CacheConfigurationError, match="whose result cannot be stored"):
            cached(cache, key_prefix="generates")(given)
    for given in (Waits(2), Scale(2).wait, functools.partial(Scale(2).wait), functools.partial(Waits(2))):
        function = cached(cache)(given)
        assert asyncio.run(function(3)) == asyncio.run(function(3)) == 6
        assert function.cache_info().hits >= 1
        assert asyncio.run(cache_async(cache)(given)(3)) == 6
        with pytest.raises(CacheConfigurationError, match="coroutine function"):
            cache.get_or_compute(functools.partial(given, 3), x=1)
        with pytest.raises(CacheConfigurationError, match="key_func is a coroutine function"):
            cached(cache, key_func=given)


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


def _closure(cache: Cache, n: Any, **options: Any) -> Any:
    @cached(cache, **options)
    def f(x: int) -> tuple[int, Any]:
        return x, n

    return f


def _logged(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        return function(*args)

    return wrapper


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 2),
        (1, True),
        (None, 0),
        ("a", b"a"),
        (1.5, 2.5j),
        (Colour.RED, Colour.BLUE),
        (dt.date(2020, 1, 1), dt.datetime(2020, 1, 1)),
        (dt.timedelta(1), dt.time(1)),
        (Path("a"), Path("b")),
        ((1, ("a", 2)), (1, ("a", 3))),
        (frozenset({1}), frozenset({2})),
        (np.float64(1), np.float64(2)),
        (np.int64(1), np.int64(2)),
        (range(3), range(0, 3, 2)),
        (slice(3), slice(4)),
        (..., None),
        (int, float),
        (len, sum),
        (os, dt),
        (Colour, Path),
        (_closure, _logged),
        ((int, "a"), (float, "a")),
    ],
)
def test_captured_plain_values_are_part_of_the_key(cache: Cache, one: Any, other: Any) -> None:
    for value in (one, other, one):
        assert _closure(cache, value)(10) == (10, value)
    assert len(cache) == 2
    assert _closure(cache, one).cache_key(10) != _closure(cache, other).cache_key(10)


def test_other_captured_objects_are_not(cache: Cache) -> None:
    expected = cache.cache_key(
        params={"__function__": f"{__name__}._closure.<locals>.f", "arguments": {"x": 10}},
    )

    class Local:
        pass

    for value in (
        [1],
        {"a": 1},
        ([1], 2),
        object(),
        Local,
        lambda: 1,
        _closure(cache, 1),
        _logged(_logged),
        slice([1]),
    ):
        assert _closure(cache, value).cache_key(10) == expected
    assert _closure(cache, 1, ignore=["n"]).cache_key(10) == expected
    counted = 0
    written = 0
    read = 1

    @cached(cache)
    def count(x: int) -> int:
        nonlocal counted
        counted += 1

        def inner() -> None:
            nonlocal written
            written += 1

        inner()
        return x + read

    assert count(1) == count(1) == 2
    assert (counted, written) == (1, 1)
    # The present value counts.
    read = 5
    assert count(1) == 6
    assert count.cache_info() == (1, 2, 0, 0)


def test_a_variable_without_a_value_yet(cache: Cache) -> None:
    @cached(cache)
    def f() -> int:
        return later

    key = f.cache_key()
    later = 1
    assert f() == 1
    assert f.cache_key() != key


def test_captured_values_behind_other_decorators(cache: Cache) -> None:
    def make(n: int) -> Any:
        @cached(cache)
        @_logged
        def f(x: int) -> int:
            return x + n

        return f

    assert (make(1)(10), make(2)(10)) == (11, 12)
    # Our own wrappers have variables too, which are nobody's concern.
    assert cached(cache)(cached(cache)(_add)).cache_key(1, 2) == cached(cache)(_add).cache_key(1, 2)


def test_tracked_code_behind_decorators_methods_and_partials(cache: Cache, tmp_path: Path) -> None:
    source = """
    import functools

    def logged(function):
        @functools.wraps(function)
        def wrapper(*args):
            return function(*args)
        return wrapper

    @logged
    @functools.lru_cache
    @logged
    def f(x):
        return x + {n}

    class A:
        def __call__(self, x):
            return x + {n}
        def go(self, x):
            return x + {n}
        def __cache_key__(self):
            return 1

    things = [f, A(), A().go, functools.partial(f, 1), functools.partial(A().go, 1)]
    """
    keys = []
    for n in (1, 2):
        path = tmp_path / f"module{n}.py"
        path.write_text(textwrap.dedent(source.format(n=n)), encoding="utf-8")
        names: dict[str, Any] = {"__name__": "module"}
        exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), names)
        functions = [
            cached(cache, key_prefix="f", track_code=True, key_func=lambda *args: 1)(f) for f in names["things"]
        ]
        keys.append([f.cache_key(*([1] if i < 3 else [])) for i, f in enumerate(functions)])
    assert all(one != other for one, other in zip(*keys, strict=True))


class Made:
    calls = 0

    @cached
    @classmethod
    def make(cls, x: int, y: int = 1) -> str:
        """Makes."""
        cls.calls += 1
        return f"{cls.__name__}{x}{y}"

    @cached
    @classmethod
    async def make_later(cls, x: int) -> str:
        return f"{cls.__name__}{x}"


class MadeToo(Made):
    @classmethod
    def make(cls, x: int, y: int = 1) -> str:  # type: ignore[override]
        return super().make(x, y) + "!"


def test_classmethods_bind_their_class() -> None:
    assert Made.make(1) == Made().make(1) == "Made11"
    assert MadeToo.make(1) == "MadeToo11!"
    assert (Made.calls, Made.make.cache_info().hits) == (1, 1)
    assert Made.make.cache_key(1) == Made.make.cache_key(x=1, y=1) == Made().make.cache_key(1)
    assert Made.make.call_uncached(2, y=3) == "Made23"
    assert Made.make.cache_clear(1) == 1
    assert Made.make.cache_clear(1) == 0
    assert Made.make.cache_clear() == 1, "of all classes"
    assert asyncio.run(Made.make_later(1)) == "Made1"
    assert asyncio.run(Made.make_later.call_uncached(1)) == "Made1"
    # As a bound method is.
    import inspect

    assert (Made.make.__name__, Made.make.__doc__, Made.make.__module__) == ("make", "Makes.", __name__)
    assert list(inspect.signature(Made.make).parameters) == ["x", "y"]
    assert inspect.iscoroutinefunction(Made.make_later)
    assert Made.make == Made.make != MadeToo.make
    assert Made.make.__wrapped__(4) == "Made41"
    assert pickle.loads(pickle.dumps(Made.make)) == Made.make
    assert "Made.make" in repr(Made.make)
    assert isinstance(Made.__dict__["make"], classmethod)


def _run(*arguments: str, cwd: Path, text: str | None = None) -> list[str]:
    done = subprocess.run([sys.executable, *arguments], cwd=cwd, input=text, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


LOAD = """
from cacheness import cached

@cached
def load():
    print("computed")
    return "{0}"

print(load(), load.cache_info().hits)
"""


def test_scripts_do_not_share_and_are_what_they_are_imported_as(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    for path in (tmp_path / "a.py", tmp_path / "b.py", package / "c.py", package / "__main__.py"):
        path.write_text(LOAD.format(path.stem), encoding="utf-8")
    for name in ("a", "b"):
        assert _run(f"{name}.py", cwd=tmp_path) == ["computed", name, "0"]
        assert _run(f"{name}.py", cwd=tmp_path) == [name, "1"]
        assert _run("-c", f"import {name}", cwd=tmp_path) == [name, "1"]
        assert _run("-m", name, cwd=tmp_path) == [name, "1"]
    assert _run("-m", "package.c", cwd=tmp_path) == ["computed", "c", "0"]
    assert _run("-c", "import package.c", cwd=tmp_path) == ["c", "1"]
    assert _run("-m", "package", cwd=tmp_path) == ["computed", "__main__", "0"]
    assert _run("package", cwd=tmp_path) == ["__main__", "1"]
    assert _run("-m", "cProfile", "-o", os.devnull, "a.py", cwd=tmp_path) == ["a", "1"]
    assert _run("-c", "import runpy; runpy.run_path('b.py')", cwd=tmp_path) == ["b", "1"]


def test_an_interactive_session_has_no_stable_name(tmp_path: Path) -> None:
    for text in ("one", "two"):
        assert _run("-c", LOAD.format(text), cwd=tmp_path) == ["computed", text, "0"]
        assert _run("-c", LOAD.format(text), cwd=tmp_path) == [text, "1"]
    assert _run(cwd=tmp_path, text=LOAD.format("three")) == ["computed", "three", "0"]
    prefixed = LOAD.replace("@cached", "@cached(key_prefix='load')")
    assert _run("-c", prefixed.format("four"), cwd=tmp_path) == ["computed", "four", "0"]
    # With a name of its own it is one function, whose code has changed.
    assert _run("-c", prefixed.format("five"), cwd=tmp_path) == ["computed", "five", "0"]
    ignoring = LOAD.replace("@cached", "@cached(key_prefix='load', on_code_change='ignore')")
    assert _run("-c", ignoring.format("six"), cwd=tmp_path) == ["five", "1"]


SPAWNS = """
import multiprocessing, sys
from cacheness import cached

@cached
def load(x):
    print("computed", flush=True)
    return x

def child():
    print(load.cache_key(1), load(1), flush=True)

if __name__ == "__main__":
    print(load.cache_key(1), load(1), flush=True)
    process = multiprocessing.get_context("spawn").Process(target=child)
    process.start()
    process.join()
    sys.exit(process.exitcode)
"""


@pytest.mark.parametrize("how", [["spawns.py"], ["-m", "spawns"]])
def test_spawned_children_agree_with_the_script(tmp_path: Path, how: list[str]) -> None:
    (tmp_path / "spawns.py").write_text(SPAWNS, encoding="utf-8")
    computed, key, value, other_key, other_value = _run(*how, cwd=tmp_path)
    assert (computed, key, value) == ("computed", other_key, other_value)
