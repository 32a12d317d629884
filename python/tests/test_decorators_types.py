"""The types of decorated functions, as a type checker sees them."""

from __future__ import annotations

import re
from pathlib import Path

from mypy import api

PROGRAM = """
from collections.abc import Coroutine
from typing import Any, assert_type

from cacheness import Cache, CachedFunction, CacheInfo, cache_async, cache_if, cached

cache = Cache(":memory:")

@cached
def bare(x: int, *, y: str = "") -> float:
    return 1.0

@cached(cache, ttl_seconds=60, ignore=["y"], track_code=True)
def options(x: int, y: str = "") -> list[float]:
    return [1.0]

@cached.for_api(ttl_seconds=60)
def api(user: int) -> dict[str, int]:
    return {}

@cached.for_api
def bare_api(user: int) -> dict[str, int]:
    return {}

@cache_if(lambda result: result is not None)
def maybe(x: int) -> str | None:
    return None

@cache_async
async def bare_coroutine(x: int) -> bytes:
    return b""

@cached(cache)
async def coroutine(x: int) -> bytes:
    return b""

class Model:
    @cached
    def fit(self, steps: int) -> float:
        return 1.0

    @cached
    @classmethod
    def make(cls, depth: int) -> str:
        return ""

    @classmethod
    @cached
    def make_too(cls, depth: int) -> str:
        return ""

    @cached(key_prefix="help")
    @staticmethod
    def helper(x: int) -> int:
        return x

assert_type(bare(1, y="a"), float)
assert_type(options(1), list[float])
assert_type(api(1), dict[str, int])
assert_type(bare_api(1), dict[str, int])
assert_type(maybe(1), str | None)
assert_type(bare.cache_key(1, y="a"), str)
assert_type(bare.cache_info(), CacheInfo)
assert_type(bare.cache_info().hits, int)
assert_type(bare.cache_clear(), int)
assert_type(bare.call_uncached(1), float)
assert_type(Model().fit(3), float)
assert_type(Model.fit(Model(), 3), float)
assert_type(Model.fit.cache_key(Model(), 3), str)
assert_type(Model.make(1), str)
assert_type(Model.make_too(1), str)
assert_type(Model.make.cache_key(1), str)
assert_type(Model().make.call_uncached(1), str)
assert_type(Model.helper(1), int)
assert_type(cache.get_or_compute(lambda: 5, step=1), int)

async def main() -> None:
    assert_type(await bare_coroutine(1), bytes)
    assert_type(await coroutine(1), bytes)

bare("text")  # error
bare(1, z=1)  # error
options()  # error
api(user="me")  # error
bare_api(user="me")  # error
Model.make.cache_key("text")  # error
coroutine("text")  # error
Model().fit("text")  # error
Model.fit.cache_key(3)  # error
bare.cache_key("text")  # error
cache_if()  # error
"""


def test_types_are_preserved(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    output, problems, _ = api.run(
        ["--strict", "--no-error-summary", "--cache-dir", str(tmp_path / "mypy"), str(program)]
    )
    assert problems == ""
    expected = {n for n, line in enumerate(PROGRAM.splitlines(), 1) if line.endswith("# error")}
    found = {int(n) for n in re.findall(r"program\.py:(\d+): error", output)}
    assert found == expected, output
