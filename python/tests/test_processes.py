"""Threads, fork, spawn."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from cacheness import Cache, cached, get_cache, reset_cache


def _work(cache: Cache, worker: int) -> None:
    for i in range(20):
        cache.put({"worker": worker, "i": i}, worker=worker, i=i)
        assert cache.get(worker=worker, i=i) == {"worker": worker, "i": i}
    big = np.full(400_000, float(worker))
    cache.put(big, worker=worker, big=True)
    found = cache.get(worker=worker, big=True)
    assert found is not None
    assert (found == worker).all()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_share_a_cache(tmp_path: Path, method: str) -> None:
    cache = Cache(tmp_path / "cache")
    cache.put("parent", x=0)
    # The pools of threads are started before the fork.
    _work(cache, 99)
    context = multiprocessing.get_context(method)
    workers = [context.Process(target=_work, args=(cache, n)) for n in range(4)]
    for worker in workers:
        worker.start()
    _work(cache, 98)
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    for worker in range(4):
        assert cache.get(worker=worker, i=19) == {"worker": worker, "i": 19}
    assert len(cache) == 1 + 6 * 21
    sizes = sum(e["file_size"] for e in cache.list_entries())
    assert cache.get_stats()["total_size_bytes"] == sizes


def test_a_child_goes_on_when_its_parent_has_closed(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    cache.put(1, x=1)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writer)
        os.read(reader, 1)
        status = 1
        try:
            for i in range(100):
                cache.put(i, child=i)
            cache.close()
            status = 0
        finally:
            os._exit(status)
    os.close(reader)
    cache.close()
    os.close(writer)
    assert os.waitpid(child, 0)[1] == 0
    with Cache(tmp_path / "cache") as cache:
        assert [cache.get(child=i) for i in range(100)] == list(range(100))
        assert cache.get(x=1) == 1


def test_threads_share_a_cache(cache: Cache) -> None:
    errors: list[BaseException] = []

    def run(worker: int) -> None:
        try:
            _work(cache, worker)
        except BaseException as error:
            errors.append(error)
            raise

    threads = [threading.Thread(target=run, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert len(cache) == 8 * 21


def _replace(directory: Path, rounds: int, ready: Connection) -> None:
    with Cache(directory) as cache:
        for i in range(rounds):
            assert ready.recv() == i
            cache.put(i, k=1)
            ready.send(i)


def test_entries_in_memory_follow_what_other_processes_write(tmp_path: Path) -> None:
    with Cache(tmp_path / "cache", memory_cache_stats=True) as cache:
        cache.put(-1, k=1)
        for _ in range(20):
            assert cache.get(k=1) == -1
        assert cache.get_stats()["memory_cache_hits"] > 0
        here, there = multiprocessing.get_context("spawn").Pipe()
        worker = multiprocessing.get_context("spawn").Process(target=_replace, args=(tmp_path / "cache", 50, there))
        worker.start()
        for i in range(50):
            here.send(i)
            assert here.recv() == i
            assert cache.get(k=1) == i
            assert cache.get(k=1) == i
        worker.join(60)
        assert worker.exitcode == 0


def test_a_forked_child_keeps_entries_of_its_own(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    for _ in range(20):
        cache.put("before", k=1)
        assert cache.get(k=1) == "before"
    child = os.fork()
    if child == 0:
        status = 1
        try:
            for i in range(20):
                cache.put(i, k=1)
                assert cache.get(k=1) == i
            cache.put("child", k=1)
            cache.close()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert cache.get(k=1) == "child"
    cache.close()


def test_a_child_forked_while_the_default_cache_is_opened(tmp_path: Path) -> None:
    @cached(key_prefix="square")
    def square(x: int) -> int:
        return x * x

    ended = threading.Event()

    def reopen() -> None:
        while not ended.is_set():
            reset_cache()
            get_cache()

    thread = threading.Thread(target=reopen)
    thread.start()
    try:
        for i in range(30):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    status = 0 if square(i) == i * i else 2
                finally:
                    os._exit(status)
            deadline = time.monotonic() + 60
            while (ended_child := os.waitpid(child, os.WNOHANG)) == (0, 0):
                if time.monotonic() > deadline:
                    os.kill(child, 9)
                time.sleep(0.01)
            assert ended_child == (child, 0)
    finally:
        ended.set()
        thread.join()


def test_reads_before_a_fork_are_counted_once(tmp_path: Path) -> None:
    with Cache(tmp_path) as cache:
        cache.put(1, x=1)
        for _ in range(3):
            assert cache.get(x=1) == 1
        child = os.fork()
        if child == 0:
            cache.get(x=1)
            cache.close()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    with Cache(tmp_path) as cache:
        assert cache.list_entries()[0]["access_count"] == 4
