"""Decorated functions travel to other processes, with their options, their cache and their keys."""

from __future__ import annotations

import asyncio
import copy
import os
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import cloudpickle
import dill
import pytest
import travelling

from cacheness import Cache, cache_async, cache_if, cached

HERE = Path(__file__).parent


def _run(program: str, *arguments: str, directory: Path) -> str:
    environment = {**os.environ, "CACHENESS_TEST_CACHE": str(directory / "cache")}
    done = subprocess.run(
        [sys.executable, program, *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=directory,
        env=environment,
        timeout=180,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("way", ["joblib", "spawn", "dask"])
def test_from_a_script(way: str, tmp_path: Path) -> None:
    assert _run(str(HERE / "travelling.py"), way, directory=tmp_path) == "travelled"


@pytest.mark.parametrize("way", ["joblib", "spawn"])
def test_from_a_module(way: str, tmp_path: Path) -> None:
    program = f"""
        import sys
        sys.path.insert(0, {str(HERE)!r})
        import travelling

        if __name__ == "__main__":
            found = travelling.by_{way}()
            assert found[0] == found[2] and found[1] == found[3], found
            assert [key for *_, key in found[4:6]] == [travelling.scaled.cache_key(x) for x in (1, 2)]
            assert travelling.scaled(1) == found[0]
            print("travelled")
    """
    (tmp_path / "program.py").write_text(textwrap.dedent(program), encoding="utf-8")
    assert _run("program.py", directory=tmp_path) == "travelled"


CELL = """
SCALE = 3

@cached(cache_instance=cache)
def f(x, y=[1]):
    'Documented.'
    return helper(x)

def helper(x):
    return SCALE * x

def calls(x):
    return f(x)
"""
SENDER = """
import importlib, linecache, os, sys
from cacheness import Cache, cached

library = importlib.import_module(sys.argv[1])
cache = Cache("cache")
cell = os.environ["CELL"]
linecache.cache["<cell>"] = (len(cell), None, cell.splitlines(keepends=True), "<cell>")
exec(compile(cell, "<cell>", "exec"), globals())
assert f(1) == 3
options = {"recurse": True} if library.__name__ == "dill" else {}
sys.stdout.buffer.write(library.dumps((f, calls, f.cache_key(1), f._site.calls.code), **options))
"""


@pytest.mark.parametrize("library", [cloudpickle, dill])
def test_from_a_notebook(library: Any, tmp_path: Path) -> None:
    """What is of `__main__`, without a file, arrives where none of it is known, with the key that it had."""
    sender = subprocess.run(
        [sys.executable, "-c", SENDER, library.__name__],
        check=False,
        capture_output=True,
        cwd=tmp_path,
        env={**os.environ, "CELL": CELL},
        timeout=60,
    )
    assert sender.returncode == 0, sender.stderr.decode()
    f, calls, key, code = library.loads(sender.stdout)
    assert f.cache_key(1) == key
    assert f._site.calls.code == code
    assert (f(1), calls(1), f(2)) == (3, 3, 6)
    assert (f.cache_info().hits, f.cache_info().misses) == (2, 1)
    assert f.__doc__ == "Documented."


@pytest.mark.parametrize("function", [travelling.scaled, travelling.waits, travelling.Model.fit, travelling.calls])
@pytest.mark.parametrize("library", [pickle, cloudpickle, dill])
def test_a_function_of_a_module_is_itself_again(function: Any, library: Any) -> None:
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert library.loads(library.dumps(function, protocol=protocol)) is function
    assert copy.copy(function) is function
    assert copy.deepcopy([function])[0] is function


def test_a_module_that_is_to_be_taken_along_is(tmp_path: Path) -> None:
    cloudpickle.register_pickle_by_value(travelling)
    try:
        travelled = cloudpickle.loads(cloudpickle.dumps(travelling.scaled))
    finally:
        cloudpickle.unregister_pickle_by_value(travelling)
    assert travelled is not travelling.scaled
    assert travelled.cache_key(1) == travelling.scaled.cache_key(1)


def test_functions_inside_functions_take_their_options_along(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")

    def make(power: int, **options: Any) -> Any:
        @cached(cache_instance=cache, **options)
        def f(x: int, y: int = 0) -> int:
            return x**power

        return f

    square = make(2, ttl_seconds=60, ignore=["y"], key_prefix="square", on_code_change="warn", metadata={"a": 1})
    there = cloudpickle.loads(cloudpickle.dumps(square))
    assert there.cache_key(3, 4) == square.cache_key(3, 4) == there.cache_key(3)
    assert (there(3, 1), square(3, 2)) == (9, 9)
    assert square.cache_info() == (1, 0, 0, 0)
    (entry,) = cache.list_entries(include_metadata=True)
    assert entry["metadata"] == {"a": 1} and entry["expires_at"] is not None
    assert there._site.options.on_code_change == "warn"
    keyed = make(2, key_func=lambda x, y=0: (x, y))
    assert cloudpickle.loads(cloudpickle.dumps(keyed)).cache_key(1) == keyed.cache_key(1)
    conditional = cache_if(lambda result: result > 1, cache_instance=cache, key_prefix="if")(lambda x: x)
    there = cloudpickle.loads(cloudpickle.dumps(conditional))
    assert [there(1), there(1), there(2), there(2)] == [1, 1, 2, 2]
    assert there.cache_info() == (1, 3, 0, 0)

    @cache_async(cache_instance=cache)
    async def waits(x: int) -> int:
        return x + 1

    there = cloudpickle.loads(cloudpickle.dumps(waits))
    assert asyncio.run(there(1)) == asyncio.run(waits(1)) == 2
    assert waits.cache_info().hits == 1
    # Plain pickle cannot find them, and says so as it does of other functions.
    with pytest.raises((pickle.PicklingError, AttributeError), match="local"):
        pickle.dumps(square)


def test_functions_that_arrive_share_one_cache(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    f = cached(cache_instance=cache, key_prefix="f")(lambda x: x)
    g = cached(cache_instance=cache, key_prefix="g")(lambda x: x)
    arrived = [cloudpickle.loads(cloudpickle.dumps(one)) for one in (f, f, g)]
    caches = {id(one._site.options.cache_instance) for one in arrived}
    assert len(caches) == 1 and id(cache) not in caches


def test_the_default_cache_goes_along(tmp_path: Path) -> None:
    program = f"""
        import sys, cloudpickle
        from cacheness import Cache, cached, set_default_cache

        set_default_cache(Cache({str(tmp_path / "chosen")!r}))

        @cached
        def f(x):
            return x

        f(1)
        sys.stdout.buffer.write(cloudpickle.dumps(f))
    """
    (tmp_path / "program.py").write_text(textwrap.dedent(program), encoding="utf-8")
    sender = subprocess.run([sys.executable, "program.py"], check=True, capture_output=True, cwd=tmp_path, timeout=60)
    f = cloudpickle.loads(sender.stdout)
    assert f(1) == 1
    assert f.cache_info().hits == 1
