"""Backends that a program brings along: they keep the contract, work under the whole engine, and their mistakes are named."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cacheness import (
    BlobBackend,
    BlobInfo,
    BlobStore,
    Cache,
    CacheConfig,
    CacheConfigurationError,
    CacheError,
    CacheMetadataError,
    CacheStorageError,
    CacheTimeoutError,
    CacheUnavailableError,
    CacheUnsupportedError,
    FilesystemBlobBackend,
    InMemoryBlobBackend,
    MetadataBackend,
    cached,
    register_blob_backend,
    register_metadata_backend,
    unregister_blob_backend,
    unregister_metadata_backend,
)
from cacheness.testing import BlobBackendSuite, MetadataBackendSuite


class Entries(MetadataBackend):
    """The essential methods alone, over a dictionary of texts."""

    def __init__(self, kept: dict[str, str] | None = None) -> None:
        self.kept: dict[str, str] = {} if kept is None else kept
        self.closed = 0

    def get_entry(self, cache_key: str) -> dict[str, Any] | None:
        text = self.kept.get(cache_key)
        return None if text is None else json.loads(text)

    def put_entry(self, cache_key: str, entry_data: dict[str, Any]) -> None:
        self.kept[cache_key] = json.dumps(entry_data)

    def remove_entry(self, cache_key: str) -> bool:
        return self.kept.pop(cache_key, None) is not None

    def list_entries(self) -> list[dict[str, Any]]:
        return [json.loads(text) for text in list(self.kept.values())]

    def close(self) -> None:
        self.closed += 1


class Files(MetadataBackend):
    """A file for each entry; several objects and processes may use one directory."""

    is_remote = False

    def __init__(self, directory: str) -> None:
        self.directory = Path(directory)
        self.directory.mkdir(exist_ok=True)

    def _path(self, key: str) -> Path:
        return self.directory / (key.encode().hex()[-200:] + f"-{len(key)}.json")

    def lock(self) -> Any:
        import contextlib
        import fcntl

        @contextlib.contextmanager
        def locked() -> Iterator[None]:
            with (self.directory / "lock").open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield

        return locked()

    def get_entry(self, cache_key: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = json.loads(self._path(cache_key).read_text())
        except FileNotFoundError:
            return None
        return found

    def put_entry(self, cache_key: str, entry_data: dict[str, Any]) -> None:
        new = self.directory / f"new-{os.getpid()}-{threading.get_ident()}"
        new.write_text(json.dumps(entry_data))
        new.replace(self._path(cache_key))

    def remove_entry(self, cache_key: str) -> bool:
        try:
            self._path(cache_key).unlink()
        except FileNotFoundError:
            return False
        return True

    def list_entries(self) -> Iterator[dict[str, Any]]:
        for path in list(self.directory.glob("*.json")):
            try:
                yield json.loads(path.read_text())
            except FileNotFoundError:
                continue


class Blobs(BlobBackend):
    """The essential methods alone, over a dictionary."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.closed = 0

    def write_blob(self, blob_id: str, data: bytes) -> str:
        self.kept[f"mine:{blob_id}"] = data
        return f"mine:{blob_id}"

    def read_blob(self, blob_path: str) -> bytes:
        try:
            return self.kept[blob_path]
        except KeyError:
            raise FileNotFoundError(blob_path) from None

    def delete_blob(self, blob_path: str) -> bool:
        return self.kept.pop(blob_path, None) is not None

    def close(self) -> None:
        self.closed += 1


class Ranged(Blobs):
    """Reads parts, and lists."""

    reads: list[tuple[int, int]]

    def read_blob_range(self, blob_path: str, offset: int, size: int) -> bytes:
        self.__dict__.setdefault("reads", []).append((offset, size))
        return self.read_blob(blob_path)[offset : offset + size]

    def scan_blobs(self, after: str | None = None, limit: int = 1000) -> list[BlobInfo]:
        from datetime import datetime

        paths = sorted(path for path in self.kept if after is None or path > after)[:limit]
        return [BlobInfo(path, len(self.kept[path]), datetime.now(UTC)) for path in paths]


class OverFiles(BlobBackend):
    """Only the forms that take files."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def _path(self, name: str) -> Path:
        path = self.directory / name
        if path.parent != self.directory or not name or "\0" in name:
            raise ValueError(f"{name!r} is no name of this directory")
        return path

    def write_blob_from_file(self, blob_id: str, file_path: Path) -> str:
        self._path(blob_id).write_bytes(file_path.read_bytes())
        return blob_id

    def read_blob_to_file(self, blob_path: str, file_path: Path) -> None:
        file_path.write_bytes(self._path(blob_path).read_bytes())

    def delete_blob(self, blob_path: str) -> bool:
        path = self._path(blob_path)
        there = path.exists()
        path.unlink(missing_ok=True)
        return there


class TestEntries(MetadataBackendSuite):
    def make(self) -> MetadataBackend:
        return Entries()

    def reopen(self, backend: MetadataBackend) -> MetadataBackend | None:
        assert isinstance(backend, Entries)
        other = Entries(backend.kept)
        other.__dict__["_lock"] = backend.__dict__.setdefault("_lock", threading.RLock())
        return other


class TestFiles(MetadataBackendSuite):
    @pytest.fixture(autouse=True)
    def _directory(self, tmp_path: Path) -> None:
        self.directory = tmp_path / "entries"

    def make(self) -> MetadataBackend:
        return Files(str(self.directory))

    def reopen(self, backend: MetadataBackend) -> MetadataBackend | None:
        return Files(str(self.directory))


class TestBlobs(BlobBackendSuite):
    def make(self) -> BlobBackend:
        return Blobs()


class TestRanged(BlobBackendSuite):
    def make(self) -> BlobBackend:
        return Ranged()


class TestOverFiles(BlobBackendSuite):
    @pytest.fixture(autouse=True)
    def _directory(self, tmp_path: Path) -> None:
        self.directory = tmp_path / "blobs"
        self.directory.mkdir()

    def make(self) -> BlobBackend:
        return OverFiles(self.directory)


class TestFilesystem(BlobBackendSuite):
    """The backend of this release, by its Python methods."""

    @pytest.fixture(autouse=True)
    def _directory(self, tmp_path: Path) -> None:
        self.directory = tmp_path / "blobs"

    def make(self) -> BlobBackend:
        class Derived(FilesystemBlobBackend):
            pass

        return Derived(self.directory)


class TestMemory(BlobBackendSuite):
    def make(self) -> BlobBackend:
        class Derived(InMemoryBlobBackend):
            pass

        return Derived()


def test_a_suite_finds_mistakes() -> None:
    class Forgets(Entries):
        def remove_entry(self, cache_key: str) -> bool:
            return cache_key in self.kept

    class Backwards(Entries):
        def scan_entries(self, prefix: str = "", after: str | None = None, limit: int = 1000) -> list[dict[str, Any]]:
            return list(reversed(super().scan_entries(prefix, after, limit)))

    class Careless(Entries):
        def commit(self, changes: Any, expected: Any) -> bool:
            for key, entry in changes.items():
                self.remove_entry(key) if entry is None else self.put_entry(key, entry)
            return True

    for made, test in (
        (Forgets, "test_an_entry_is_replaced_and_removed"),
        (Backwards, "test_pages_are_in_the_order_of_the_keys"),
        (Careless, "test_a_commit_is_made_whole_or_not_at_all"),
    ):
        suite = MetadataBackendSuite()
        suite.make = made  # type: ignore[method-assign]
        with pytest.raises(AssertionError):
            getattr(suite, test)()
        with pytest.raises((AssertionError, CacheError)):
            suite.run()
    good = MetadataBackendSuite()
    good.make = Entries  # type: ignore[method-assign]
    assert "test_a_cache_agrees_with_a_model" in good.run()


@pytest.fixture
def names() -> Iterator[None]:
    register_metadata_backend("mine", Entries, "entries of mine")
    register_blob_backend("mine", Ranged)
    yield
    unregister_metadata_backend("mine")
    unregister_blob_backend("mine")


@pytest.mark.usefixtures("names")
@pytest.mark.parametrize(
    ("metadata", "blobs"),
    [("mine", "mine"), ("mine", "filesystem"), ("sqlite", "mine"), ("json", "mine"), (Entries, Blobs)],
)
def test_the_whole_interface_works(metadata: Any, blobs: Any, tmp_path: Path) -> None:
    chosen: dict[str, Any] = {
        "metadata_backend": metadata if isinstance(metadata, str) else metadata(),
        "blob_backend": blobs if isinstance(blobs, str) else blobs(),
    }
    array = np.arange(50_000).reshape(500, 100)
    with Cache(CacheConfig(cache_dir=tmp_path / "cache", array_format="npy", **chosen)) as cache:
        stats = cache.get_stats()
        assert stats["backend_type"] == (metadata if isinstance(metadata, str) else "mine")
        assert stats["blob_backend_type"] == (blobs if isinstance(blobs, str) else "Blobs")
        key = cache.put(array, name="array", metadata={"accuracy": 0.9}, tags=["t"], description="an array")
        cache.put({"a": [1, (2, 3)]}, name="plain")
        cache.put(os.urandom(9 << 20), name="large")
        assert (cache.get(name="array") == array).all()
        assert (cache.get_slice(np.s_[3:7, ::2], name="array") == array[3:7, ::2]).all()
        assert cache.get(name="plain") == {"a": [1, (2, 3)]}
        assert len(cache.get(name="large")) == 9 << 20
        assert [e["cache_key"] for e in cache.list_entries(where={"accuracy": {"$gte": 0.5}}, sort="-accuracy")] == [
            key
        ]
        assert [e["cache_key"] for e in cache.list_entries(tag="t")] == [key]
        assert cache.verify_integrity(name="array")["valid"]
        assert cache.touch(name="array") and cache.exists(name="array")
        cache.pin(name="array")
        assert cache.update_data(array + 1, name="array")
        assert (cache.get(name="array") == array + 1).all()
        assert cache.get_or_compute(lambda: 5, n=1) == cache.get_or_compute(lambda: 6, n=1) == 5

        calls = []

        @cached(cache_instance=cache)
        def double(x: int) -> int:
            calls.append(x)
            return 2 * x

        assert [double(2), double(2), double(3)] == [4, 4, 6] and calls == [2, 3]
        assert cache.delete_where(lambda entry: entry["description"] == "an array") == 1
        assert cache.get_stats()["total_entries"] == 5
        cache.rotate_signing_key()
        assert cache.get(name="plain") == {"a": [1, (2, 3)]}
        assert cache.invalidate(name="plain") and not cache.invalidate(name="plain")
        assert cache.clear() == 4
        for method in ("create_index", "search"):
            if metadata == "sqlite":
                break
            with pytest.raises(CacheUnsupportedError, match="has no"):
                getattr(cache, method)("accuracy")


def test_entries_are_evicted_and_expire(tmp_path: Path) -> None:
    entries, blobs = Entries(), Blobs()
    with Cache(CacheConfig(cache_dir=tmp_path, max_entries=20, metadata_backend=entries, blob_backend=blobs)) as cache:
        for n in range(60):
            cache.put(os.urandom(50_000), n=n)
        assert cache.get_stats()["total_entries"] <= 20
        assert cache.get(n=59) is not None and cache.get(n=0) is None
    assert (entries.closed, blobs.closed) == (1, 1)


def test_an_instance_is_the_one_in_use(tmp_path: Path) -> None:
    entries, blobs = Entries(), Blobs()
    with BlobStore(tmp_path / "store", entries, blob_backend=blobs) as store:
        assert store.backend is entries and store.metadata_backend is entries
        data = os.urandom(100_000)
        store.put(data, key="k")
        assert entries.get_entry("k")["file_size"] == len(next(iter(blobs.kept.values())))  # type: ignore[index]
    with BlobStore(tmp_path / "store", Entries(entries.kept), blob_backend=blobs) as store:
        assert store.get("k") == data
    for others in ({}, {"backend": "sqlite"}, {"blob_backend": Blobs()}, {"backend": Entries()}):
        with pytest.raises(CacheError, match=r"python:Entries|python:Blobs"):
            BlobStore(tmp_path / "store", **others)
    listed = subprocess.run(
        [sys.executable, "-m", "cacheness", "ls", str(tmp_path / "store")], capture_output=True, text=True, check=False
    )
    assert listed.returncode != 0
    assert "python:Entries" in listed.stderr and "the command has none" in listed.stderr, listed.stderr


def test_two_processes_share_entries(tmp_path: Path) -> None:
    program = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_plugins import Files
from cacheness import Cache, CacheConfig
with Cache(CacheConfig(cache_dir={str(tmp_path / "cache")!r}, metadata_backend=Files({str(tmp_path / "entries")!r}))) as cache:
    for n in range(40):
        cache.put([n, "x" * 20_000], n=n, worker=int(sys.argv[1]))
        cache.get_or_compute(lambda: open({str(tmp_path / "runs")!r}, "a").write("x") and n, shared=n)
"""
    workers = [subprocess.Popen([sys.executable, "-c", program, str(n)]) for n in range(3)]
    assert [worker.wait() for worker in workers] == [0, 0, 0]
    config = CacheConfig(cache_dir=tmp_path / "cache", metadata_backend=Files(str(tmp_path / "entries")))
    with Cache(config) as cache:
        assert cache.get_stats()["total_entries"] == 160
        assert cache.get(n=39, worker=2) == [39, "x" * 20_000]
        assert (tmp_path / "runs").read_text() == "x" * 40
        assert cache.verify_integrity()["valid"]


def test_what_is_missing_is_named_at_once() -> None:
    class Nothing(MetadataBackend):
        def get_entry(self, cache_key: str) -> None:
            return None

    class Unreadable(BlobBackend):
        def write_blob_stream(self, blob_id: str, stream: Any) -> str:
            return blob_id

    with pytest.raises(CacheConfigurationError, match="does not override put_entry, remove_entry, list_entries"):
        register_metadata_backend("nothing", Nothing)
    with pytest.raises(
        CacheConfigurationError, match="read_blob or read_blob_stream or read_blob_to_file, delete_blob"
    ):
        register_blob_backend("unreadable", Unreadable)
    with pytest.raises(
        CacheConfigurationError, match="is a Nothing, which lacks put_entry, remove_entry, list_entries"
    ):
        Cache(":memory:", metadata_backend=Nothing())
    with pytest.raises(CacheConfigurationError, match="blob_backend is a Unreadable, which lacks read_blob"):
        Cache(":memory:", blob_backend=Unreadable())


@pytest.mark.usefixtures("names")
def test_options_are_arguments_of_the_class(tmp_path: Path) -> None:
    kept: dict[str, str] = {}
    with Cache(CacheConfig(cache_dir=tmp_path, metadata_backend="mine", backend_options={"kept": kept})) as cache:
        cache.put(1, x=1)
        assert kept
    with pytest.raises(CacheConfigurationError, match="'mine': got an unexpected keyword argument 'colour'"):
        Cache(CacheConfig(cache_dir=tmp_path, metadata_backend="mine", backend_options={"colour": 1}))
    with pytest.raises(CacheConfigurationError, match="kept is given beside an instance of Entries"):
        Cache(CacheConfig(cache_dir=tmp_path, metadata_backend=Entries(), backend_options={"kept": kept}))
    with pytest.raises(CacheConfigurationError, match="database_url is given beside the metadata backend 'mine'"):
        Cache(CacheConfig(cache_dir=tmp_path, metadata_backend="mine", database_url="x.db"))
    for wrong in (5, object(), Blobs()):
        with pytest.raises(CacheConfigurationError):
            Cache(CacheConfig(cache_dir=tmp_path, metadata_backend=wrong))
    with pytest.raises(CacheUnsupportedError, match=r"'gcs', a blob backend that this release does not have"):
        Cache(CacheConfig(cache_dir=tmp_path, blob_backend="gcs"))


def test_payloads_on_a_server_need_entries_that_others_reach(tmp_path: Path) -> None:
    class Bucket(Blobs):
        is_remote = True

    with pytest.raises(CacheConfigurationError, match="'Bucket' keeps payloads on a server"):
        Cache(CacheConfig(cache_dir=tmp_path / "a", blob_backend=Bucket()))
    entries = Files(str(tmp_path / "entries"))
    with pytest.raises(CacheConfigurationError, match="metadata_backend 'Files' keeps the entries"):
        Cache(CacheConfig(cache_dir=tmp_path / "a", blob_backend=Bucket(), metadata_backend=entries))
    for more in ({"metadata_backend": Entries()}, {"allow_local_index": True}):
        with Cache(CacheConfig(cache_dir=tmp_path / next(iter(more)), blob_backend=Bucket(), **more)) as cache:
            cache.put(os.urandom(100_000), x=1)


class Failing(Entries):
    error: BaseException | None = None

    def get_entry(self, cache_key: str) -> dict[str, Any] | None:
        if self.error is not None:
            raise self.error
        return super().get_entry(cache_key)


class Interrupt(BaseException):
    pass


@pytest.mark.parametrize(
    ("raised", "kind", "retryable"),
    [
        (ValueError("no such luck"), CacheMetadataError, False),
        (ConnectionRefusedError("refused"), CacheUnavailableError, True),
        (TimeoutError("too late"), CacheTimeoutError, True),
        (CacheUnavailableError("away", "come back later", True), CacheUnavailableError, True),
        (CacheMetadataError("broken", retryable=True), CacheMetadataError, True),
        (OSError(28, "No space left on device"), CacheStorageError, False),
        (type("ConnectionError", (Exception,), {})("of a client"), CacheUnavailableError, True),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_errors_are_typed_and_have_their_cause(raised: Exception, kind: type[CacheError], retryable: bool) -> None:
    backend = Failing()
    with BlobStore(":memory:", backend, enable_memory_cache=False) as store:
        store.put(1, key="k")
        backend.error = raised
        for call in (lambda: store.get("k"), lambda: store.put(2, key="k"), lambda: store.delete("k")):
            with pytest.raises(kind, match=r"the metadata backend Failing cannot") as caught:
                call()
            assert caught.value.__cause__ is raised
            assert caught.value.retryable is retryable
            assert str(raised).partition("\n")[0] in str(caught.value)
        backend.error = None
        assert store.get("k") == 1


def test_what_is_no_error_comes_out_unchanged() -> None:
    backend = Failing()
    with BlobStore(":memory:", backend, enable_memory_cache=False) as store:
        store.put(1, key="k")
        for raised in (KeyboardInterrupt(), SystemExit(3), Interrupt()):
            backend.error = raised
            with pytest.raises(type(raised)) as caught:
                store.get("k")
            assert caught.value is raised
            backend.error = None


def test_wrong_results_are_named() -> None:
    class Wrong(Entries):
        answer: Any = None

        def get_entries(self, cache_keys: list[str]) -> Any:
            return super().get_entries(cache_keys) if self.answer is None else self.answer

    backend: Any = Wrong()
    with BlobStore(":memory:", backend, enable_memory_cache=False) as store:
        store.put(1, key="k")
        good = backend.get_entry("k")
        assert good is not None
        for answer in (5, [], [5], [{}], [{"cache_key": "k"}], [good | {"file_size": float("nan")}],
                       [good | {"created_at": object()}], [good | {"cache_key": "other"}], [good | {"file_size": -1}]):  # fmt: skip
            backend.answer = answer
            with pytest.raises(CacheMetadataError, match=r"Wrong"):
                store.get("k")
        backend.answer = [good | {"_id": object(), "my_own": 1}]
        assert store.get("k") == 1, "fields of the backend itself are not seen"


def test_wrong_blobs_are_refused() -> None:
    class Wrong(Blobs):
        path: Any = None
        data: Any = None

        def write_blob(self, blob_id: str, data: bytes) -> str:
            path = super().write_blob(blob_id, data)
            return path if self.path is None else self.path

        def read_blob(self, blob_path: str) -> bytes:
            return super().read_blob(blob_path) if self.data is None else self.data

    backend = Wrong()
    with BlobStore(":memory:", blob_backend=backend, inline_threshold_bytes=0) as store:
        for path in (5, "", "a\0b", b"bytes"):
            backend.path = path
            with pytest.raises(CacheStorageError, match=r"Wrong.write_blob returned"):
                store.put([1], key="k")
        backend.path = None
        store.put([1], key="k")
        for data in ("text", None.__class__, b"", b"too many bytes for a list of one", 5):
            backend.data = data
            with pytest.raises(CacheStorageError):
                store.get("k")
        backend.data = None
        assert store.get("k") == [1]
        backend.kept.clear()
        with pytest.raises(CacheStorageError):
            store.get("k")


def test_parts_are_read_without_the_rest(tmp_path: Path) -> None:
    backend = Ranged()
    array = np.arange(2_000_000).reshape(2000, 1000)
    with Cache(
        CacheConfig(cache_dir=tmp_path, blob_backend=backend, array_format="npy", enable_entry_signing=False)
    ) as cache:
        cache.put(array, x=1)
        assert (cache.get_slice(np.s_[100:102], x=1) == array[100:102]).all()
        assert 0 < sum(size for _, size in backend.reads) < array.nbytes
        assert (cache.get(x=1) == array).all()


def test_a_child_uses_the_backend_after_a_fork(tmp_path: Path) -> None:
    config = CacheConfig(cache_dir=tmp_path / "cache", metadata_backend=Files(str(tmp_path / "entries")))
    with Cache(config) as cache:
        cache.put(1, x=1)
        child = os.fork()
        if child == 0:
            ok = cache.get(x=1) == 1
            cache.put([2] * 10_000, x=2)
            os._exit(0 if ok else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert cache.get(x=2) == [2] * 10_000


def test_threads_use_a_backend_at_once(tmp_path: Path) -> None:
    with Cache(CacheConfig(cache_dir=tmp_path, metadata_backend=Entries(), blob_backend=Blobs())) as cache:
        failures = []

        def work(thread: int) -> None:
            try:
                for n in range(30):
                    cache.put([thread, n] * 5000, thread=thread, n=n)
                    assert cache.get(thread=thread, n=n) == [thread, n] * 5000
                    cache.put(n, shared=n % 3)
                    if n % 10 == 0 and thread == 0:
                        cache.rotate_signing_key()
            except BaseException as error:  # noqa: BLE001 - raised below
                failures.append(error)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert cache.get_stats()["total_entries"] == 123


def test_a_configuration_with_instances_is_copied_and_pickled() -> None:
    config = CacheConfig(cache_dir=":memory:", metadata_backend=Entries())
    assert type(pickle.loads(pickle.dumps(config)).metadata.backend) is Entries
    with Cache(config) as cache:
        assert cache.metadata_backend is config.metadata.backend
