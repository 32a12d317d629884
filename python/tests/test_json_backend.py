"""Entries in one JSON file: the choice of the backend, processes that share the file, fork, and writers that are killed."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cacheness import Cache, CacheConfig, cacheness
from cacheness.config import CacheMetadataConfig
from cacheness.errors import (
    CacheConfigurationError,
    CacheMetadataError,
    CacheReadOnlyError,
    CacheVersionError,
    NotAStoreError,
)
from cacheness.storage import BlobStore


def _entries(directory: Path) -> dict[str, dict[str, object]]:
    document = json.loads((directory / "cache_metadata.json").read_text(encoding="utf-8"))
    return {entry["cache_key"]: entry for entry in document["entries"]}


def test_the_backend_is_chosen_once(tmp_path: Path) -> None:
    for name, make in {
        "a": lambda path: Cache(path, metadata_backend="json"),
        "b": lambda path: Cache(path, backend="json"),
        "c": lambda path: cacheness(CacheConfig(metadata=CacheMetadataConfig(backend="json")), cache_dir=path),
        "d": lambda path: cacheness(CacheConfig(metadata=CacheMetadataConfig(metadata_backend="json")), cache_dir=path),
    }.items():
        path = tmp_path / name
        with make(path) as cache:
            key = cache.put({"t": (1, None)}, model="ridge", metadata={"stage": "prod"}, description="ä")
            cache.put(b"x" * 100_000, big=True)
        assert sorted(p.name for p in path.iterdir() if "metadata" in p.name) == [
            "cache_metadata.json",
            "cache_metadata.lock",
        ]
        entry = _entries(path)[key]
        assert entry["metadata"] == {"stage": "prod"}
        assert entry["description"] == "ä"
        with Cache(path) as cache:
            assert cache.get_stats()["backend_type"] == "json"
            assert cache.get(model="ridge") == {"t": (1, None)}
            assert cache.get(big=True) == b"x" * 100_000
        with pytest.raises(CacheConfigurationError, match='has the metadata backend "json", not "sqlite"'):
            Cache(path, metadata_backend="sqlite")
    with pytest.raises(CacheConfigurationError, match="given twice"):
        Cache(tmp_path / "e", metadata_backend="json", backend="sqlite")
    with pytest.raises(CacheConfigurationError, match="needs a directory"):
        Cache(":memory:", metadata_backend="json")
    assert not (tmp_path / "e").exists()


def test_the_environment_gives_the_backend_of_a_new_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Cache(tmp_path / "before").close()
    monkeypatch.setenv("CACHENESS_BACKEND", "json")
    for name, backend in [("before", "sqlite"), ("new", "json")]:
        with Cache(tmp_path / name) as cache:
            assert cache.get_stats()["backend_type"] == backend
    with Cache(":memory:") as cache:
        assert cache.get_stats()["backend_type"] == "memory"
    monkeypatch.setenv("CACHENESS_BACKEND", "oracle")
    with pytest.raises(CacheConfigurationError, match="unknown metadata backend 'oracle', from CACHENESS_BACKEND"):
        Cache(tmp_path / "other")


def test_pins_and_places_are_kept(tmp_path: Path) -> None:
    with Cache(tmp_path / "cache", metadata_backend="json") as cache:
        keys = [cache.put(i, i=i) for i in range(6)]
        cache.pin(i=0)
        cache.put("again", i=1)
    entries = _entries(tmp_path / "cache")
    assert [key for key in keys if "pinned" in entries[key]] == keys[:1]
    with Cache(tmp_path / "cache", max_entries=5, eviction_policy="fifo") as cache:
        cache.put(6, i=6)
        assert cache.get(i=0) == 0
        assert cache.get(i=1) is None
        assert cache.get(i=6) == 6


def test_a_store_of_artifacts_in_json(tmp_path: Path) -> None:
    noise = random.Random(1).randbytes(100_000)
    with BlobStore(tmp_path / "store", backend="json", content_addressable=True) as store:
        first = store.put(noise)
        store.put(noise, key="modèle/ü", metadata={"n": 1})
        assert first != "modèle/ü"
    assert len({entry["locator"] for entry in _entries(tmp_path / "store").values()}) == 1
    with BlobStore(tmp_path / "store") as store:
        assert store.get("modèle/ü") == noise
        assert store.update_metadata("modèle/ü", {"m": 2.5})
        assert store.list(metadata_filter={"n": 1, "m": 2.5}) == ["modèle/ü"]
        assert store.delete(first)
        assert store.verify_integrity("modèle/ü")["valid"]
        assert store.rotate_signing_key() == 1
        assert store.get("modèle/ü") == noise


@pytest.mark.parametrize("backend", ["sqlite_memory", "memory"])
def test_backends_in_memory_write_nothing(tmp_path: Path, backend: str) -> None:
    with Cache(tmp_path / "cache", metadata_backend=backend) as cache:
        cache.put(b"x" * 100_000, x=1)
        assert cache.get(x=1) == b"x" * 100_000
    assert not (tmp_path / "cache").exists()
    with Cache(":memory:", backend=backend) as cache:
        cache.put(1, x=1)
        assert cache.get(x=1) == 1


def test_what_is_damaged_is_named_and_stays(tmp_path: Path) -> None:
    with Cache(tmp_path, metadata_backend="json") as cache:
        cache.put(1, x=1)
    file = tmp_path / "cache_metadata.json"
    whole = file.read_bytes()
    for content, error in [
        (whole[:-30], CacheMetadataError),
        (b"", CacheMetadataError),
        (b'{"name": "mine"}', NotAStoreError),
        (whole.replace(b'"format": 1', b'"format": 2'), CacheVersionError),
    ]:
        file.write_bytes(content)
        with pytest.raises(error, match=r"cache_metadata\.json|format 2"):
            Cache(tmp_path)
        assert file.read_bytes() == content
    file.write_bytes(whole)
    with Cache(tmp_path, read_only=True) as cache:
        assert cache.get(x=1) == 1
        with pytest.raises(CacheReadOnlyError):
            cache.put(2, x=1)


def _work(cache: Cache, worker: int) -> None:
    for i in range(15):
        cache.put({"worker": worker, "i": i}, worker=worker, i=i)
        assert cache.get(worker=worker, i=i) == {"worker": worker, "i": i}
        cache.put(f"{worker}:{i}" * 100, shared=True)
        shared = cache.get(shared=True)
        assert shared == shared[: len(shared) // 100] * 100


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_share_a_file(tmp_path: Path, method: str) -> None:
    cache = Cache(tmp_path / "cache", metadata_backend="json")
    _work(cache, 99)
    context = multiprocessing.get_context(method)
    workers = [context.Process(target=_work, args=(cache, n)) for n in range(4)]
    for worker in workers:
        worker.start()
    _work(cache, 98)
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    assert len(cache) == 1 + 6 * 15
    assert len(_entries(tmp_path / "cache")) == 1 + 6 * 15
    for worker in range(4):
        assert cache.get(worker=worker, i=14) == {"worker": worker, "i": 14}


def test_a_fork_while_other_threads_write(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", metadata_backend="json")
    stop = threading.Event()

    def write(thread: int) -> None:
        i = 0
        while not stop.is_set():
            cache.put(i, thread=thread, i=i % 20)
            cache.get(thread=thread, i=i % 20)
            i += 1

    threads = [threading.Thread(target=write, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    children = []
    for n in range(20):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                cache.put(n, child=n)
                status = 0 if cache.get(child=n) == n else 2
            finally:
                os._exit(status)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    stop.set()
    for thread in threads:
        thread.join()
    assert codes == [0] * 20
    assert [cache.get(child=n) for n in range(20)] == list(range(20))


_WRITER = """
import sys
from cacheness import Cache
cache = Cache(sys.argv[1], metadata_backend="json")
for value in range(int(sys.argv[2]), 10**9):
    cache.put({"value": value, "filler": "x" * (value % 7 * 3_000)}, slot=value % 20)
    print(value, flush=True)
"""


def test_nothing_acknowledged_is_lost_when_a_writer_is_killed(tmp_path: Path) -> None:
    directory = tmp_path / "cache"
    acknowledged: dict[int, int] = {}
    following = 0
    for round_ in range(8):
        command = [sys.executable, "-c", _WRITER, str(directory), str(following)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for _ in range(5 + round_ * 7):
                value = int(writer.stdout.readline())
                acknowledged[value % 20] = value
                following = value + 1
            writer.send_signal(signal.SIGKILL)
            for line in writer.stdout:
                value = int(line)
                acknowledged[value % 20] = value
                following = value + 1
        with Cache(directory) as cache:
            for slot, value in acknowledged.items():
                found = cache.get(slot=slot)
                # The one put that was not acknowledged may have happened.
                assert found["value"] in (value, following)
                assert found["filler"] == "x" * (found["value"] % 7 * 3_000)
                acknowledged[slot] = found["value"]
        following += 1
    assert len(acknowledged) == 20
