"""What a handle holds is released when it is closed, and when nobody has it any more.

Each test counts in a process of its own, with a limit of descriptors that a leak would reach.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import resource
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cacheness import BlobStore, Cache, CacheHandler, cached, cacheness
from cacheness.errors import CacheClosedError

_LIMIT = 128
_MIB = 1 << 20
_BACKENDS = ["sqlite", "json", "sqlite_memory", "memory"]
_ENDS = ["close", "with", "drop", "keep"]


def _alone(function: Callable[..., None], *args: object) -> None:
    """Runs a function of this file in a process of its own."""
    program = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        f"import test_resources\n"
        f"test_resources._limited(test_resources.{function.__name__}, {args!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _limited(function: Callable[..., None], args: tuple[object, ...]) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (_LIMIT, _LIMIT))
    function(*args)


def _descriptors() -> list[str]:
    found = []
    for path in list(Path("/proc/self/fd").iterdir()):
        # The listing's own is closed by now.
        with contextlib.suppress(OSError):
            found.append(str(path.readlink()))
    return sorted(found)


def _threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _double(n: int) -> int:
    return 2 * n


def _use_cache(cache: Cache, n: int) -> None:
    cache.put(n, small=n % 20)
    cache.put(os.urandom(60_000), large=n % 5)
    for _ in range(6):
        assert cache.get(small=n % 20) == n
    assert len(cache.get(large=n % 5)) == 60_000
    cache.invalidate(computed=n % 3)
    assert cache.get_or_compute(lambda: n, computed=n % 3) == n
    assert len(cache.list_entries()) > 2
    assert repr(cache)


def _use_store(store: BlobStore, n: int) -> None:
    store.put(n, key="small")
    store.put(os.urandom(60_000), key="large")
    assert store.get("small") == n
    assert len(store.get("large")) == 60_000
    assert sorted(store.list()) == ["large", "small"]


def _check(kind: str, place: str, backend: str, end: str, count: int) -> None:
    """Opens, uses and ends so many handles. Nothing waits for the collector of cycles."""

    def one(n: int) -> Cache | BlobStore:
        if kind == "cache":
            cache = Cache(place, backend=backend)
            _use_cache(cache, n)
            return cache
        store = BlobStore(place, backend=backend)  # type: ignore[arg-type]
        _use_store(store, n)
        return store

    kept = []

    def go(numbers: range) -> None:
        for n in numbers:
            handle = one(n)
            if end == "with":
                with handle:
                    pass
            elif end != "drop":
                handle.close()
            if end == "keep":
                kept.append(handle)

    go(range(5))
    gc.collect()
    gc.disable()
    descriptors, threads, memory = _descriptors(), _threads(), _resident()
    go(range(5, 5 + count))
    assert _descriptors() == descriptors
    assert _threads() == threads
    # What is kept closed is an object of Python with its configuration.
    assert _resident() - memory < (64 if end == "keep" else 24) * _MIB


@pytest.mark.parametrize("end", _ENDS)
@pytest.mark.parametrize("backend", _BACKENDS)
@pytest.mark.parametrize("kind", ["cache", "store"])
def test_handles_are_released(tmp_path: Path, kind: str, backend: str, end: str) -> None:
    _alone(_check, kind, str(tmp_path / "c"), backend, end, 150)


def _loop(place: str) -> None:
    for n in range(1100):
        with cacheness(place) as c:
            c.put(n, k=1)


def test_as_many_caches_as_one_likes(tmp_path: Path) -> None:
    _alone(_loop, str(tmp_path / "c"))


def _values_in_memory(kind: str, end: str) -> None:
    kept: list[Any] = []
    memory = 0
    for n in range(200):
        handle = Cache(":memory:") if kind == "cache" else BlobStore(":memory:")
        value = np.random.default_rng(n).random(100_000)
        if isinstance(handle, Cache):
            handle.put(value, x=1)
        else:
            handle.put(value, key="x")
        if end != "drop":
            handle.close()
        if end == "keep":
            kept.append(handle)
        del handle
        if n == 20:
            memory = _resident()
    assert _resident() - memory < 24 * _MIB


@pytest.mark.parametrize("end", ["close", "drop", "keep"])
@pytest.mark.parametrize("kind", ["cache", "store"])
def test_values_in_memory_are_freed(kind: str, end: str) -> None:
    _alone(_values_in_memory, kind, end)


class _Holds(CacheHandler):
    """A handler that refers to the cache which has it."""

    owner: Any = None

    @property
    def data_type(self) -> str:
        return "holds"

    def can_handle(self, data: Any) -> bool:
        return isinstance(data, _Value)

    def put(self, data: Any, file_path: Path, config: Any) -> dict[str, Any]:
        file_path.write_bytes(b"x")
        return {"storage_format": "holds"}

    def get(self, file_path: Path, metadata: dict[str, Any]) -> Any:
        return _Value()

    def get_file_extension(self, config: Any) -> str:
        return ".x"


class _Value:
    pass


class _Owner(Cache):
    """A cache that a function of its own refers to, and a value that failed to be read."""

    function: Any = None
    failure: Any = None


def _cycles(place: str) -> None:
    descriptors = _descriptors()
    for n in range(100):
        cache = _Owner(place)
        handler = _Holds()
        handler.owner = cache
        cache.handler_registry.register_handler(handler)
        cache.put(_Value(), x=n)
        assert isinstance(cache.get(x=n), _Value)
        cache.function = cached(cache_instance=cache)(_double)
        assert cache.function(1) == 2
        seen = weakref.ref(cache)
        handler.owner.failure = handler
        del cache, handler
        gc.collect()
        assert seen() is None
    assert _descriptors() == descriptors


def test_cycles_through_a_cache_are_collected(tmp_path: Path) -> None:
    _alone(_cycles, str(tmp_path / "c"))


def _failures(place: str) -> None:
    """An error that a lookup keeps refers to the frame that has the lookup."""
    cache = Cache(place)
    seen = []

    class Part:
        pass

    for _ in range(20):
        marker = Part()
        seen.append(weakref.ref(marker))

        @cached(cache_instance=cache, ignore_errors=False)
        def f(x: int) -> int:
            return x

        cache.close()
        try:
            f(1)
        except CacheClosedError as error:
            kept: Any = error
            kept.marker = marker
        del marker, kept, f
        cache = Cache(place)
    gc.collect()
    assert [ref() for ref in seen] == [None] * len(seen)


def test_errors_of_lookups_are_collected(tmp_path: Path) -> None:
    _alone(_failures, str(tmp_path / "c"))


def _values_survive(place: str) -> None:
    descriptors = _descriptors()
    array = np.arange(300_000.0)
    cache = Cache(place, array_format="npy")
    cache.put(array, x=1)
    cache.put(list(range(1000)), x=2)
    read, mapped, copied = cache.get(x=1), cache.get(x=1, mmap_mode="r"), cache.get(x=1, mmap_mode="c")
    listed = iter(cache.list_entries())
    cache.close()
    for value in (read, mapped, copied):
        assert np.array_equal(value, array)
    copied[0] = 5.0
    assert copied[0] == 5.0
    assert len(list(listed)) == 2
    with pytest.raises(CacheClosedError):
        cache.get(x=1)
    del read, mapped, copied, value
    assert _descriptors() == descriptors


def test_values_survive_their_cache(tmp_path: Path) -> None:
    _alone(_values_survive, str(tmp_path / "c"))


def _closing_inside(place: str) -> None:
    descriptors = _descriptors()
    for n in range(100):
        cache = Cache(place)

        def compute(cache: Cache = cache, n: int = n) -> int:
            cache.close()
            with Cache(place) as other:
                assert other.get_or_compute(lambda: n, y=n) == n
            return n

        with contextlib.suppress(CacheClosedError):
            assert cache.get_or_compute(compute, x=n) == n
        del cache, compute
    assert _descriptors() == descriptors


def test_a_computation_may_close_its_cache(tmp_path: Path) -> None:
    _alone(_closing_inside, str(tmp_path / "c"))


def _closing_beside(place: str) -> None:
    descriptors = _descriptors()
    for n in range(30):
        cache = Cache(place)
        failed: list[Exception] = []

        def work(cache: Cache = cache, failed: list[Exception] = failed) -> None:
            try:
                for i in range(100):
                    cache.put(os.urandom(40_000), i=i % 5)
                    cache.get(i=i % 5)
                    cache.get_or_compute(lambda i=i: i, computed=i)
            except CacheClosedError:
                pass
            except Exception as error:  # noqa: BLE001 - whatever it is, the main thread shows it
                failed.append(error)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        cache.get(i=n)
        if n % 2:
            cache.close()
        del cache, work
        for thread in threads:
            thread.join()
        assert not failed
        del threads, thread
    assert _descriptors() == descriptors


def test_threads_that_use_what_is_closed(tmp_path: Path) -> None:
    _alone(_closing_beside, str(tmp_path / "c"))


def _forks(place: str) -> None:
    cache = Cache(place)
    _use_cache(cache, 1)
    descriptors = _descriptors()
    for _ in range(5):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                _use_cache(cache, 2)
                cache.close()
                inherited = _descriptors()
                for n in range(50):
                    _use_cache(Cache(place), n)
                status = 0 if _descriptors() == inherited else 2
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        assert _descriptors() == descriptors
    _use_cache(cache, 3)


def test_forked_children_release_what_they_open(tmp_path: Path) -> None:
    _alone(_forks, str(tmp_path / "c"))


def _task(cache: Cache) -> int:
    resource.setrlimit(resource.RLIMIT_NOFILE, (_LIMIT, _LIMIT))
    cache.put(os.getpid(), pid=os.getpid())
    return len(_descriptors())


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_that_are_given_a_cache_with_each_task(tmp_path: Path, method: str) -> None:
    cache = Cache(tmp_path / "c")
    with multiprocessing.get_context(method).Pool(1) as pool:
        counts = [pool.apply(_task, (cache,)) for _ in range(100)]
    assert counts[-1] <= counts[2]
