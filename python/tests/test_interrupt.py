"""Ctrl-C and other signals in the middle of a put: nothing is torn, nothing is left behind, the next put works."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from soak import times

from cacheness import Cache
from cacheness.interfaces import CacheHandler

if TYPE_CHECKING:
    from collections.abc import Iterator


def _litter(directory: Path) -> list[str]:
    """Files that no entry names."""
    with Cache(directory, read_only=True) as cache:
        named = {entry["actual_path"] for entry in cache.list_entries()}
    files = {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}
    own = ("cache_metadata", "cache_signing_key", "flights.lock", "reserve", "cacheness.toml", "CACHEDIR", ".gitignore")
    return sorted(name for name in files - named if not name.startswith(own))


_WRITER = """
import signal, sys, numpy as np
from cacheness import Cache
signal.signal(signal.SIGINT, signal.default_int_handler)
values = [np.random.default_rng(i).random(4_000_000) for i in range(2)]
cache = Cache(sys.argv[1])
try:
    print("begun", flush=True)
    while True:
        for value in values:
            cache.put(value, cache_key="large")
            cache.put({"text": "x" * 2_000_000}, cache_key="plain")
except KeyboardInterrupt:
    value = cache.get(cache_key="large")
    print("whole" if value is None or any(np.array_equal(value, v) for v in values) else "torn", flush=True)
    cache.put(1, cache_key="after")
    cache.close()
"""


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.03, 0.1, 0.3])
def test_a_large_put_in_a_program(tmp_path: Path, delay: float) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "begun\n"
    time.sleep(delay)
    writer.send_signal(signal.SIGINT)
    out, errors = writer.communicate(timeout=60)
    assert (out, writer.returncode) == ("whole\n", 0), errors
    with Cache(tmp_path) as cache:
        assert cache.get(cache_key="after") == 1
        assert all(cache.get(cache_key=entry["cache_key"]) is not None for entry in cache.list_entries())
    assert _litter(tmp_path) == []


_FIRST_USE = """
import os, signal, sys, numpy as np, pandas as pd
from numpy.lib import NumpyVersion
from cacheness import Cache
signal.signal(signal.SIGINT, signal.default_int_handler)

class Interrupted(NumpyVersion):
    def __init__(self, version):
        signal.raise_signal(signal.SIGINT)
        super().__init__(version)

cache = Cache(sys.argv[1])
value = {"array": np.arange(3.0), "frame": pd.DataFrame({"a": ["x", "y"]}), "key": 1}[sys.argv[2]]
key = {"x": np.arange(3)} if sys.argv[2] == "key" else {"x": 1}
np.lib.NumpyVersion = Interrupted
try:
    cache.put(value, **key)
    cache.get(**key)
except KeyboardInterrupt:
    print("interrupted", flush=True)
np.lib.NumpyVersion = NumpyVersion
cache.put(value, **key)
print(np.array_equal(cache.get(**key), value), flush=True)
"""


@pytest.mark.parametrize("kind", ["array", "frame", "key"])
def test_while_the_c_functions_of_numpy_are_found(tmp_path: Path, kind: str) -> None:
    """They are found at the first use of an array, by Python code of NumPy's own."""
    ran = subprocess.run(
        [sys.executable, "-c", _FIRST_USE, str(tmp_path), kind], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ran.stdout, ran.stderr, ran.returncode) == ("interrupted\nTrue\n", "", 0)
    assert _litter(tmp_path) == []


class _Interrupts:
    """Its pickle is made as far as Ctrl-C."""

    def __reduce__(self) -> Any:
        raise KeyboardInterrupt


@pytest.mark.parametrize("before", [None, 1])
def test_while_a_value_is_pickled(tmp_path: Path, before: int | None) -> None:
    with Cache(tmp_path) as cache:
        if before is not None:
            cache.put(before, x=1)
        with pytest.raises(KeyboardInterrupt):
            cache.put([np.zeros(3_000_000), _Interrupts()], x=1)
        assert cache.get(x=1) == before
        cache.put(2, x=1)
        assert cache.get(x=1) == 2
    assert _litter(tmp_path) == []


class _Handler(CacheHandler):
    data_type = "interrupted"

    def can_handle(self, data: Any) -> bool:
        return isinstance(data, _Interrupts)

    def put(self, data: Any, file_path: Path, config: Any) -> dict[str, Any]:
        file_path.write_bytes(b"a part of it")
        raise KeyboardInterrupt

    def get(self, file_path: Path, metadata: dict[str, Any]) -> Any:
        raise NotImplementedError


def test_while_a_handler_writes(tmp_path: Path) -> None:
    with Cache(tmp_path, custom_handlers=[_Handler()]) as cache:
        cache.put(1, x=1)
        with pytest.raises(KeyboardInterrupt):
            cache.put(_Interrupts(), x=1)
        assert cache.get(x=1) == 1
    assert _litter(tmp_path) == []


@pytest.fixture(autouse=True)
def _default_signal() -> Iterator[None]:
    """What a test did to the handler does not outlive it."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_computation_that_is_interrupted_is_not_kept(tmp_path: Path) -> None:
    with Cache(tmp_path) as cache:

        def compute() -> np.ndarray:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            cache.get_or_compute(compute, x=1)
        assert cache.get(x=1) is None
        assert cache.get_or_compute(lambda: 5, x=1) == 5
    assert _litter(tmp_path) == []


@pytest.mark.parametrize("seed", range(times(4)))
def test_a_program_that_goes_on(tmp_path: Path, seed: int) -> None:
    """Two hundred times Ctrl-C, wherever it finds the program: a model of what was put agrees to the end."""
    _run("interrupted.py", tmp_path, seed, 200)


@pytest.mark.parametrize("seed", range(times(2)))
def test_a_cache_that_its_own_users_interrupt(tmp_path: Path, seed: int) -> None:
    """A thread that waited for a lock of its own would never end."""
    _run("reentrant.py", tmp_path, seed, 3000)


def _run(program: str, directory: Path, *arguments: int) -> None:
    command = [sys.executable, Path(__file__).with_name(program), directory, *map(str, arguments)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (ran.stdout, ran.stderr, ran.returncode) == ("done\n", "", 0)
    assert _litter(directory) == []
