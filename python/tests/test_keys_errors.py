"""What has no stable key says so, names the part, and says what to do."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from cacheness import _core
from cacheness.errors import CacheConfigurationError, CacheSerializationError


@dataclasses.dataclass
class Config:
    callbacks: list


def top_level() -> None: ...


def _closure() -> Any:
    def inner() -> None: ...

    return inner


def refused(value: Any, **config: Any) -> CacheSerializationError:
    with pytest.raises(CacheSerializationError) as info:
        _core.encode_params({"config": value}, config or None)
    assert str(info.value).startswith("params.config"), info.value
    return info.value


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (threading.Lock(), "params.config: a lock has no stable encoding"),
        (threading.RLock(), "params.config: a lock has no stable encoding"),
        (Config([1, 2, threading.Lock()]), "params.config.callbacks[2]: a lock has no stable encoding"),
        ({"a b": {7: (1, threading.Lock())}}, 'params.config["a b"][7][1]: a lock'),
        ({(1, threading.Lock()): 1}, "params.config (in a key)[1]: a lock"),
        (lambda: 1, "params.config: a lambda has no stable name"),
        (_closure(), "is defined inside a function"),
        (functools.partial(lambda: 1), "params.config: a lambda has no stable name"),
        ((i for i in ()), "params.config: a generator"),
        (pathlib.Path(os.devnull).open(), "params.config: an open file"),  # noqa: SIM115 - the open file is the value
        (object(), "params.config: a bare object()"),
        ("\ud800", "params.config: a string holds half of a surrogate pair"),
        ({"\udfff": 1}, "surrogate pair"),
        ({float("nan"): 1, float("nan") * 1: 2}, "two keys of a mapping encode alike"),
        (pathlib.Path("/dev/null"), "neither a file nor a directory"),
        (pl.LazyFrame({"a": [1]}), "LazyFrame"),
        (pl.col("a"), "Polars expression"),
        (pl.Series([object()]), "Python objects"),
        (pa.RecordBatchReader.from_batches(pa.schema([]), []), "read only once"),
        (
            pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])]),
            "params.config: an Arrow column of type",
        ),
        (np.array([1, threading.Lock()], dtype=object), "params.config[1]: a lock"),
        (type("Local", (), {"__qualname__": "f.<locals>.Local"})(), "is defined inside a function"),
    ],
    ids=lambda value: None if isinstance(value, str) else type(value).__name__,
)
def test_refused(value: Any, sentence: str) -> None:
    error = refused(value)
    assert sentence in str(error)


def test_hints_say_what_to_do() -> None:
    assert "cache_key=" in (refused(threading.Lock()).hint or "")
    assert "__cache_key__" in (refused(threading.Lock()).hint or "")
    assert "top level" in (refused(lambda: 1).hint or "")


def test_cycles() -> None:
    cycle: list[Any] = [1]
    cycle.append({"again": cycle})
    assert "params.config[1].again: a list contains itself" in str(refused(cycle))
    itself: dict[str, Any] = {}
    itself["me"] = itself
    assert "params.config.me: a dict contains itself" in str(refused(itself))
    array = np.array([None], dtype=object)
    array[0] = array
    assert "a ndarray contains itself" in str(refused(array))
    config = Config([])
    config.callbacks.append(config)
    assert "params.config.callbacks[0]: a Config contains itself" in str(refused(config))
    twice = [1]
    _core.encode_params({"config": [twice, twice]})


def test_depth_is_bounded_whatever_the_configuration_says() -> None:
    value: Any = 1
    for _ in range(100_000):
        value = [value]
    assert "nested more than 10 deep" in str(refused(value))
    assert "nested more than 256 deep" in str(refused(value, max_collection_depth=2**60))
    assert "nested more than 3 deep" in str(refused(((((1,),),),), max_tuple_recursive_length=3))
    while isinstance(value, list):
        value = value.pop()


def test_switches() -> None:
    off = {"enable_collections": False}
    for collection in ([1], (1,), {1: [1]}, {1}, frozenset({1}), [Config(1)]):
        assert _core.encode_params({"a": collection}, off) == _core.encode_params({"a": collection})
    # Objects are looked into where they are no members of a collection.
    inside = SimpleNamespace(x=SimpleNamespace(y=1))
    assert _core.encode_params({"a": inside}, off) == _core.encode_params({"a": inside})
    for collection in ([inside], (1, inside), {1: inside}):
        _core.encode_params({"a": collection})
        assert "no encoding of its own" in str(refused(collection, enable_collections=False))
    _core.encode_params({"a": Config(1), "b": range(3)}, {"enable_collections": False})  # type: ignore[arg-type]
    assert "no encoding of its own" in str(refused(threading.Event(), enable_object_introspection=False))
    _core.encode_params({"a": Config([])}, {"enable_object_introspection": False})
    with pytest.raises(CacheConfigurationError, match="max_depth"):
        _core.encode_params({}, {"max_depth": 3})


def test_names_are_strings() -> None:
    with pytest.raises(CacheSerializationError, match="name of type int"):
        _core.encode_params({1: 2})  # type: ignore[dict-item]


class Failing:
    def __cache_key__(self) -> object:
        raise RuntimeError("not today")


def test_errors_of_the_values_own_code_pass_unchanged() -> None:
    with pytest.raises(RuntimeError, match="not today") as info:
        _core.encode_params({"model": [Failing()]})
    assert info.value.__notes__ == ["while making a cache key of params.model[0]"]


class Shrinking:
    def __init__(self, victim: Any) -> None:
        self.victim = victim

    def __cache_key__(self) -> object:
        self.victim.clear()
        return 1


def test_collections_that_change_meanwhile() -> None:
    victim: list[Any] = []
    victim += [Shrinking(victim), 2, 3]
    with pytest.raises((CacheSerializationError, IndexError)):
        _core.encode_params({"x": victim})
    mapping: dict[str, Any] = {}
    mapping.update(a=Shrinking(mapping), b=2)
    assert _core.render_params(_core.encode_params({"x": mapping}))["x"]["b"] == 2


def test_hostile_encodings() -> None:
    for encoding in (b"", b"\x01", b"\x02\x00", b"\x01\x40\xff\xff\xff\xff\x0f", b"\x01" + b"\x40\x01" * 100_000):
        with pytest.raises(CacheSerializationError, match="at byte"):
            _core.render_params(encoding)


def test_large_contents_are_hashed_after_fork() -> None:
    """The threads that hash do not survive fork(): the child starts its own instead of waiting for them for ever."""
    program = (
        "import os, sys, warnings, numpy as np\n"
        "from cacheness import _core\n"
        "warnings.simplefilter('ignore')\n"
        "array = np.zeros(4_000_000)\n"
        "before = _core.cache_key({'a': array})\n"
        "for depth in range(3):\n"
        "    pid = os.fork()\n"
        "    if pid:\n"
        "        _, status = os.waitpid(pid, 0)\n"
        "        os._exit(os.waitstatus_to_exitcode(status))\n"
        "    assert _core.cache_key({'a': array}) == before\n"
        "os._exit(42)\n"
    )
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-c", program], timeout=120, env={**os.environ, "PYTHONPATH": path}, capture_output=True
    )
    assert done.returncode == 42, done.stderr.decode()
