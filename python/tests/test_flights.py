"""Single flight: of all threads, processes and tasks that miss a value, one computes it."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cacheness import Cache, CacheError, Clock, cache_async, cached

if TYPE_CHECKING:
    from collections.abc import Callable

#: Long enough that all others arrive meanwhile.
WHILE = 0.3


def in_threads(count: int, call: Callable[[int], Any]) -> list[Any]:
    """What the calls returned or raised."""
    barrier = threading.Barrier(count)
    results: list[Any] = [None] * count

    def run(i: int) -> None:
        barrier.wait()
        try:
            results[i] = call(i)
        except Exception as error:  # noqa: BLE001 - it is what the test looks at
            results[i] = error

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "blocked for ever"
    return results


def test_threads_compute_once(cache: Cache) -> None:
    calls = []

    @cached(cache)
    def slow(x: int) -> int:
        calls.append(x)
        time.sleep(WHILE)
        return x

    assert in_threads(16, lambda i: slow(7)) == [7] * 16
    assert calls == [7]
    assert slow.cache_info() == (15, 1, 0, 0)
    assert in_threads(16, lambda i: slow(i % 2)) == [0, 1] * 8
    assert sorted(calls[1:]) == [0, 1]


def test_get_or_compute(cache: Cache) -> None:
    calls = []

    def compute() -> dict[str, int]:
        calls.append(1)
        time.sleep(WHILE)
        return {"a": 1}

    assert in_threads(8, lambda i: cache.get_or_compute(compute, step=1, metadata={"m": 1})) == [{"a": 1}] * 8
    assert calls == [1]
    assert cache.get_with_metadata(step=1) == ({"a": 1}, {"m": 1})
    assert cache.get_or_compute(lambda: None, cache_key="named", description="nothing") is None
    assert cache.get_or_compute(lambda: 1, cache_key="named") is None, "a stored None is a hit"
    entry = cache.get_metadata(cache_key="named")
    assert entry is not None
    assert entry["description"] == "nothing"
    assert cache.get_or_compute(lambda: 5, params={"function": 1}) == 5
    assert cache.get(function=1) == 5
    with pytest.raises(ZeroDivisionError):
        cache.get_or_compute(lambda: 1 // 0, x=1)
    assert not cache.exists(x=1)
    with pytest.raises(TypeError):
        cache.get_or_compute(lambda: 1)
    with pytest.raises(CacheError, match="cannot be called"):
        cache.get_or_compute(5, x=1)  # type: ignore[arg-type]
    with pytest.raises(CacheError, match="ttl_seconds"):
        cache.get_or_compute(lambda: 1, x=1, ttl_seconds=-1)

    async def coroutine() -> int:
        return 1

    with pytest.raises(CacheError, match="coroutine"):
        cache.get_or_compute(coroutine, x=1)
    cache.close()
    with pytest.raises(CacheError, match="closed"):
        cache.get_or_compute(compute, step=1)


def _count_and_sleep(directory: str, name: str) -> int:
    (Path(directory) / f"{name}-{os.getpid()}").touch()
    time.sleep(WHILE)
    return 42


def _in_process(directory: str, barrier: Any) -> None:
    with Cache(f"{directory}/cache") as cache:
        function = cached(cache, key_prefix="shared", ignore=["directory"])(_count_and_sleep)
        barrier.wait(60)
        assert function(directory, "computed") == 42


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_compute_once(tmp_path: Path, method: str) -> None:
    context = multiprocessing.get_context(method)
    barrier = context.Barrier(8)
    workers = [context.Process(target=_in_process, args=(str(tmp_path), barrier)) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    assert len(list(tmp_path.glob("computed-*"))) == 1


def test_coroutines_compute_once(tmp_path: Path) -> None:
    calls = []
    cache = Cache(tmp_path / "cache")

    @cache_async(cache)
    async def slow(x: int) -> list[int]:
        calls.append(x)
        await asyncio.sleep(WHILE)
        return [x]

    async def main() -> list[list[int]]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.001)

        ticking = asyncio.create_task(tick())
        results = await asyncio.gather(*(slow(3) for _ in range(100)))
        ticking.cancel()
        assert ticks > 20, "the loop went on"
        return results

    results = asyncio.run(main())
    assert results == [[3]] * 100
    assert len({id(result) for result in results}) == 100, "each has its own"
    assert calls == [3]
    # Loops in several threads.
    assert in_threads(4, lambda i: asyncio.run(_gather(slow, 4, 10))) == [[[4]] * 10] * 4
    assert calls == [3, 4]


async def _gather(function: Any, x: int, count: int) -> list[Any]:
    return await asyncio.gather(*(function(x) for _ in range(count)))


PROGRAM = """
import sys, time
from cacheness import Cache, cached
cache = Cache(sys.argv[1])

@cached(cache, key_prefix="shared")
def compute(x):
    print("computing", flush=True)
    time.sleep(600)

compute(1)
"""


def _owner(directory: Path) -> subprocess.Popen[str]:
    """A process that computes for ever."""
    owner = subprocess.Popen([sys.executable, "-c", PROGRAM, str(directory)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    assert owner.stdout.readline() == "computing\n"
    return owner


def test_the_death_of_the_computing_process(cache: Cache) -> None:
    owner = _owner(Path(cache.cache_dir))
    calls = []

    @cached(cache, key_prefix="shared")
    def compute(x: int) -> int:
        calls.append(time.monotonic())
        return x

    waiting = threading.Thread(target=lambda: in_threads(4, lambda i: compute(1)))
    waiting.start()
    time.sleep(WHILE)
    assert calls == []
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    died = time.monotonic()
    waiting.join(60)
    assert len(calls) == 1, "one of four takes over"
    # 50 ms are promised; the rest is for a busy machine.
    assert calls[0] - died < 10


def test_a_forked_child_does_not_hold_the_locks_of_its_parent(cache: Cache, tmp_path: Path) -> None:
    program = """
import os, sys, time
from cacheness import Cache, cached
cache = Cache(sys.argv[1])

@cached(cache, key_prefix="shared")
def compute(x):
    child = os.fork()
    if child == 0:
        time.sleep(600)
        os._exit(0)
    print(child, flush=True)
    time.sleep(600)

compute(1)
"""
    owner = subprocess.Popen([sys.executable, "-c", program, cache.cache_dir], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    child = int(owner.stdout.readline())
    try:
        owner.kill()
        owner.wait()
        function = cached(cache, key_prefix="shared")(lambda x: x)
        # It would wait for the child's ten minutes.
        assert in_threads(1, function) == [0]
        assert in_threads(1, lambda i: function(1)) == [1]
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_forked_child_computes_what_its_parent_computes(cache: Cache) -> None:
    @cached(cache)
    def compute(x: int, *, parent: int) -> int:
        if os.getpid() != parent:
            return x
        child = os.fork()
        if child == 0:
            status = 1
            try:
                # The parent waits for this child, so the child must not wait for the parent.
                status = 0 if compute(x, parent=parent) == x and compute(x + 1, parent=parent) == x + 1 else 1
            finally:
                os._exit(status)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    assert in_threads(1, lambda i: compute(5, parent=os.getpid())) == [0]


def test_nested_computations_in_two_processes_have_a_bound(tmp_path: Path) -> None:
    program = """
import sys, time
from pathlib import Path
from cacheness import Cache, cached
directory, mine, other = sys.argv[1:]
cache = Cache(directory + "/cache", flight_patience_seconds=0.5)
here = Path(directory)

@cached(cache, key_prefix="shared")
def compute(name):
    (here / name).touch()
    if name == mine:
        while not (here / other).exists():
            time.sleep(0.01)
        return compute(other) + 1
    return 0

print(compute(mine))
"""
    ones = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path), a, b], stdout=subprocess.PIPE, text=True)
        for a, b in [("a", "b"), ("b", "a")]
    ]
    assert [one.communicate(timeout=60)[0].strip().isdigit() for one in ones] == [True, True]


def test_nested_calls_and_recursion(cache: Cache) -> None:
    @cached(cache)
    def fib(n: int) -> int:
        return n if n < 2 else fib(n - 1) + fib(n - 2)

    assert in_threads(8, lambda i: fib(30)) == [832040] * 8
    # Threads that meet on the way down wait for each other, or compute where that would be a circle.
    assert fib.cache_info().misses == 31

    @cached(cache)
    def even(n: int) -> bool:
        return n == 0 or odd(n - 1)

    @cached(cache)
    def odd(n: int) -> bool:
        return n != 0 and even(n - 1)

    assert in_threads(8, lambda i: (even if i % 2 else odd)(21 + i % 3)) == [
        (21 + i % 3) % 2 == (0 if i % 2 else 1) for i in range(8)
    ]

    depth = 0

    @cached(cache)
    def itself() -> int:
        nonlocal depth
        depth += 1
        return 1 if depth > 2 else itself() + 1

    assert itself() == 3


def test_threads_that_nest_in_opposite_orders(cache: Cache) -> None:
    barrier = threading.Barrier(2, timeout=60)
    entered: set[str] = set()

    @cached(cache)
    def compute(name: str) -> str:
        if name not in entered:
            entered.add(name)
            barrier.wait()
            return name + compute("b" if name == "a" else "a")[0]
        return name

    assert sorted(in_threads(2, lambda i: compute("ab"[i]))) == ["ab", "ba"]


def test_tasks_that_nest_in_opposite_orders(cache: Cache) -> None:
    entered: set[str] = set()

    @cached(cache)
    async def compute(name: str) -> str:
        if name in entered:
            return name
        entered.add(name)
        while len(entered) < 2:
            await asyncio.sleep(0.001)
        return name + (await compute("b" if name == "a" else "a"))[0]

    @cached(cache)
    async def fib(n: int) -> int:
        return n if n < 2 else sum(await asyncio.gather(fib(n - 1), fib(n - 2)))

    async def main() -> tuple[list[str], int]:
        nested = await asyncio.wait_for(asyncio.gather(compute("a"), compute("b")), 60)
        return nested, await asyncio.wait_for(fib(20), 60)

    assert asyncio.run(main()) == (["ab", "ba"], 6765)
    assert fib.cache_info().misses == 21, "tasks that one computation has started share what they compute"


def test_an_exception_is_passed_on_and_those_who_waited_compute(cache: Cache) -> None:
    calls = []

    @cached(cache)
    def fails(x: int) -> int:
        calls.append(x)
        time.sleep(WHILE)
        raise RuntimeError(f"{x}: {len(calls)}")

    results = in_threads(4, lambda i: fails(1))
    assert all(isinstance(result, RuntimeError) for result in results)
    assert len(calls) == 4
    assert len(cache) == 0
    with pytest.raises(RuntimeError):
        fails(1)

    @cached(cache)
    async def fails_too() -> int:
        calls.append(0)
        await asyncio.sleep(WHILE)
        raise RuntimeError

    async def main() -> list[Any]:
        return await asyncio.gather(*(fails_too() for _ in range(4)), return_exceptions=True)

    calls.clear()
    assert [type(result) for result in asyncio.run(main())] == [RuntimeError] * 4
    assert len(calls) == 4


def test_interruptions_let_another_take_over(tmp_path: Path) -> None:
    program = """
import sys, threading, _thread, time
from cacheness import Cache, cached
cache = Cache(sys.argv[1])
calls = []

@cached(cache)
def compute():
    calls.append(1)
    if len(calls) == 1:
        waiting = [threading.Thread(target=lambda: results.append(compute())) for _ in range(4)]
        for one in waiting:
            one.start()
        threads.extend(waiting)
        time.sleep(0.3)
        _thread.interrupt_main()
        time.sleep(60)
    return len(calls)

results, threads = [], []
try:
    compute()
except KeyboardInterrupt:
    for one in threads:
        one.join(30)
    print(len(calls), results, compute())
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "cache")], check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "2 [2, 2, 2, 2] 2\n", done.stderr


def test_ctrl_c_while_waiting(cache: Cache) -> None:
    owner = _owner(Path(cache.cache_dir))
    program = PROGRAM.replace("compute(1)\n", "print('waiting', flush=True)\ncompute(1)\n")
    waiting = subprocess.Popen(
        [sys.executable, "-c", program, cache.cache_dir], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert waiting.stdout is not None
        assert waiting.stdout.readline() == "waiting\n"
        time.sleep(WHILE)
        waiting.send_signal(signal.SIGINT)
        output, errors = waiting.communicate(timeout=60)
        assert output == ""
        assert "KeyboardInterrupt" in errors
    finally:
        owner.kill()
        owner.wait()


def test_a_cancelled_task_lets_another_take_over(cache: Cache) -> None:
    calls = []

    @cached(cache)
    async def compute() -> int:
        calls.append(1)
        if len(calls) == 1:
            await asyncio.sleep(60)
        return len(calls)

    async def main() -> list[int]:
        first = asyncio.create_task(compute())
        await asyncio.sleep(0.05)
        others = [asyncio.create_task(compute()) for _ in range(4)]
        await asyncio.sleep(0.05)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        return await asyncio.wait_for(asyncio.gather(*others), 60)

    assert asyncio.run(main()) == [2, 2, 2, 2]
    assert len(calls) == 2


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_stale_result_is_served_while_one_computes(tmp_path: Path) -> None:
    clock = Clock(1e9)
    cache = Cache(tmp_path / "cache", clock=clock)
    calls = []
    go = threading.Event()

    @cached(cache, ttl_seconds=10, stale_ttl_seconds=60)
    def compute(x: int) -> int:
        calls.append(x)
        if len(calls) == 2:
            assert go.wait(60)
        return len(calls)

    assert compute(1) == 1
    clock.advance(11)
    assert in_threads(8, lambda i: compute(1)) == [1] * 8
    assert len(calls) == 2, "one computes, in the background"
    go.set()
    _wait_for(lambda: compute(1) == 2)
    info = compute.cache_info()
    assert (info.misses, info.refreshes) == (1, 1)
    clock.advance(71)
    assert compute(1) == 3, "too stale to be served"
    cache.close()


def test_a_failed_refresh_is_logged_and_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock(1e9)
    cache = Cache(tmp_path / "cache", clock=clock)
    calls = []

    @cached(cache, ttl_seconds=10, stale_ttl_seconds=60)
    def compute() -> int:
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("not today")
        return len(calls)

    assert compute() == 1
    clock.advance(11)
    with caplog.at_level(logging.WARNING, "cacheness"):
        assert compute() == 1
        _wait_for(lambda: "not today" in caplog.text)
    _wait_for(lambda: compute() == 3)


def test_stale_results_of_coroutines(tmp_path: Path) -> None:
    clock = Clock(1e9)
    cache = Cache(tmp_path / "cache", clock=clock)
    calls = []

    @cached(cache, ttl_seconds=10, stale_ttl_seconds=60)
    async def compute(size: int) -> bytes:
        calls.append(1)
        await asyncio.sleep(0.05)
        return os.urandom(size)

    async def main(size: int) -> None:
        calls.clear()
        first = await compute(size)
        clock.advance(11)
        assert await asyncio.gather(*(compute(size) for _ in range(10))) == [first] * 10
        while await compute(size) == first:
            await asyncio.sleep(0.01)
        assert len(calls) == 2

    for size in (10, 200_000):
        asyncio.run(asyncio.wait_for(main(size), 60))


def test_early_recomputation(tmp_path: Path) -> None:
    clock = Clock(1e9)
    cache = Cache(tmp_path / "cache", clock=clock)
    calls = []

    @cached(cache, ttl_seconds=100, early_recompute=1e9, metadata={"source": "api"})
    def eager() -> int:
        calls.append(1)
        time.sleep(0.01)
        return len(calls)

    @cached(cache, ttl_seconds=100, early_recompute=0)
    def never() -> int:
        return len(calls)

    assert eager() == 1
    [entry] = cache.list_entries(include_metadata=True)
    assert entry["metadata"] == {"source": "api"}
    assert entry["compute_seconds"] >= 0.01
    assert eager() == 1, "served, although it is due"
    _wait_for(lambda: eager() >= 2)
    assert eager.cache_info().misses == 1
    assert never() == never()
    assert never.cache_info() == (1, 1, 0, 0)


def test_the_time_of_a_computation_and_metadata_of_that_name(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")

    @cached(cache, ttl_seconds=100, early_recompute=1, metadata={"compute_seconds": "mine"})
    def computed() -> int:
        time.sleep(0.01)
        return 1

    computed()
    cache.put(2, cache_key="put")
    assert cache.get_or_compute(lambda: 3, cache_key="by hand") == 3
    entry = cache.get_metadata(cache_key=computed.cache_key())
    assert entry is not None
    assert entry["metadata"]["compute_seconds"] == "mine"
    assert entry["compute_seconds"] >= 0.01
    put, by_hand = cache.get_metadata(cache_key="put"), cache.get_metadata(cache_key="by hand")
    assert put is not None
    assert by_hand is not None
    assert put["compute_seconds"] is None
    assert by_hand["compute_seconds"] >= 0
    assert computed() == 1
