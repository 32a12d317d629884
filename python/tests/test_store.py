"""Artifacts under names."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from cacheness import (
    Cache,
    CacheConfig,
    CacheConfigurationError,
    CacheIntegrityError,
    CachePickleError,
    CacheStorageError,
    CompressionConfig,
)
from cacheness.interfaces import StorageHandler
from cacheness.storage import BlobStore


def blobs(directory: Path) -> list[Path]:
    return [p for p in (directory / "blobs").rglob("*") if p.is_file()] if (directory / "blobs").exists() else []


def test_the_reference(tmp_path: Path) -> None:
    with BlobStore(cache_dir=tmp_path / "models") as store:
        key = store.put({"weights": [1, 2]}, key="model_1", metadata={"version": "1.0", "accuracy": 0.95})
        assert key == "model_1"
        store.put([2], key="model_2", metadata={"version": "2.0"})
        store.put([3], key="other", metadata={"version": "1.0"})
        assert store.get("model_1") == {"weights": [1, 2]}
        assert store.get("nobody") is None
        assert store.get("nobody", "default") == "default"
        metadata = store.get_metadata("model_1")
        assert metadata is not None
        assert metadata["metadata"]["accuracy"] == 0.95
        assert store.get_metadata("nobody") is None
        assert store.list() == ["model_1", "model_2", "other"]
        assert store.list(prefix="model_") == ["model_1", "model_2"]
        assert store.list(metadata_filter={"version": "1.0"}) == ["model_1", "other"]
        assert store.list(prefix="model_", metadata_filter={"version": "1.0"}) == ["model_1"]
        assert store.update_metadata("model_1", {"stage": "prod"})
        assert not store.update_metadata("nobody", {"stage": "prod"})
        updated = store.get_metadata("model_1")
        assert updated is not None
        assert updated["metadata"] == {"version": "1.0", "accuracy": 0.95, "stage": "prod"}
        assert store.get("model_1") == {"weights": [1, 2]}
        assert store.exists("model_1")
        assert "model_1" in store
        assert store.delete("model_1")
        assert not store.delete("model_1")
        assert len(store) == 2
        assert "2 entries" in repr(store)
        assert store.clear() == 2
    first = BlobStore(tmp_path / "auto")
    keys = {first.put(1), first.put(1)}
    assert len(keys) == 2
    again = pickle.loads(pickle.dumps(first))
    assert set(again.list()) == keys


@pytest.mark.parametrize("compression", ["lz4", "zstd", "gzip", "blosclz", "none"])
def test_compression(tmp_path: Path, compression: str) -> None:
    with BlobStore(tmp_path, compression=compression, compression_level=4) as store:
        array = np.linspace(0, 1, 100_000)
        store.put(array, key="a")
        store.put("text " * 50_000, key="t")
        np.testing.assert_array_equal(store.get("a"), array)
        assert store.get("t") == "text " * 50_000
        size = sum(p.stat().st_size for p in blobs(tmp_path))
        assert (size > 1_000_000) == (compression == "none")
    with pytest.raises(CacheConfigurationError, match="unknown compression"):
        BlobStore(tmp_path, compression="lzma")


def test_content_that_is_read_as_another_value_has_another_key(tmp_path: Path) -> None:
    hard = np.ma.masked_array([1.0, 2.0], mask=[True, False], hard_mask=True)
    soft = np.ma.masked_array([1.0, 2.0], mask=[True, False])
    values = [np.array(1.0), np.float64(1.0), hard, soft, [1.0], (1.0,)]
    with BlobStore(tmp_path, content_addressable=True) as store:
        keys = [store.put(value) for value in values]
        assert len(set(keys)) == len(values)
        assert [store.put(value) for value in values] == keys
        for key, value in zip(keys, values, strict=True):
            assert type(store.get(key)) is type(value)
        assert store.get(keys[2]).hardmask
        assert not store.get(keys[3]).hardmask


def test_files_filed_by_content_are_spread(tmp_path: Path) -> None:
    with BlobStore(tmp_path, content_addressable=True) as store:
        for seed in range(64):
            store.put(np.random.default_rng(seed).bytes(40_000))
    assert len(list((tmp_path / "blobs").iterdir())) > 32


def test_content_addressing(tmp_path: Path) -> None:
    data = os.urandom(100_000)
    with BlobStore(tmp_path, content_addressable=True) as store:
        key = store.put(data)
        assert store.put(data) == key
        assert store.put(bytes(reversed(data))) != key
        store.put(data, key="named")
        assert len(blobs(tmp_path)) == 2
        assert store.delete(key)
        assert store.get("named") == data
        assert store.delete("named")
        assert len(blobs(tmp_path)) == 1
        small = store.put({"a": 1})
        assert store.get(small) == {"a": 1}


def test_strange_keys(tmp_path: Path) -> None:
    with BlobStore(tmp_path) as store:
        for key in ["../../etc/passwd", "/abs", "a\nb", "データ", "quote'\"", " ", "%", "a" * 1024]:
            store.put(os.urandom(50_000), key=key)
            assert store.exists(key)
        assert len(store.list()) == 8
        for key in ["", "a\0b", "a" * 1025]:
            with pytest.raises(CacheConfigurationError):
                store.put(1, key=key)
    assert len(blobs(tmp_path)) == 8


def test_a_store_is_pickled_with_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with BlobStore("store") as store, Cache("cache") as cache:
        store.put(1, key="x")
        cache.put(2, x=1)
        pickled = pickle.dumps((store, cache))
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        with pickle.loads(pickled)[0] as store_again, pickle.loads(pickled)[1] as cache_again:
            assert store_again.get("x") == 1
            assert cache_again.get(x=1) == 2
    assert not list((tmp_path / "elsewhere").iterdir())


def test_an_emptied_database_is_noticed(tmp_path: Path) -> None:
    with BlobStore(tmp_path) as store:
        store.put(np.random.default_rng(0).bytes(100_000), key="large")
    (tmp_path / "cache_metadata.db").write_bytes(b"")
    with pytest.raises(CacheIntegrityError, match=r"(?s)cache_metadata.db is empty.*remove it"):
        BlobStore(tmp_path)
    (tmp_path / "cache_metadata.db").unlink()
    with pytest.raises(CacheIntegrityError, match=r"(?s)cache_metadata.db is gone.*the directory blobs"):
        BlobStore(tmp_path)
    shutil.rmtree(tmp_path / "blobs")
    with BlobStore(tmp_path) as store:
        assert store.list() == []
        store.put(np.random.default_rng(0).bytes(100_000), key="large")
        store.clear()
    # Empty directories are no payloads.
    (tmp_path / "cache_metadata.db").unlink()
    BlobStore(tmp_path).close()


@pytest.mark.parametrize("backend", ["sqlite", "json"])
def test_a_manifest_that_was_removed_is_written_again(tmp_path: Path, backend: Any) -> None:
    with BlobStore(tmp_path, backend=backend) as store:
        store.put([1, 2], key="x")
    (tmp_path / "cacheness.toml").unlink()
    with BlobStore(tmp_path) as store:
        assert store.get("x") == [1, 2]
    assert backend in (tmp_path / "cacheness.toml").read_text()


def test_a_pipe_in_place_of_the_key_is_refused(tmp_path: Path) -> None:
    with BlobStore(tmp_path) as store:
        store.put(1, key="x")
    (tmp_path / "cache_signing_key.bin").unlink()
    os.mkfifo(tmp_path / "cache_signing_key.bin")
    with pytest.raises(CacheStorageError, match="not a regular file"):
        BlobStore(tmp_path)


def test_pickles_need_signatures_to_be_stored(tmp_path: Path) -> None:
    with Cache(tmp_path, enable_entry_signing=False) as cache:
        cache.put([1, 2], x=1)
        with pytest.raises(CachePickleError, match=r"(?s)signs nothing.*trust_unsigned_pickles"):
            cache.put(pytest, x=2)
        with pytest.raises(CachePickleError):
            cache.put({1: object}, x=2)
    with Cache(tmp_path, enable_entry_signing=False, trust_unsigned_pickles=True) as cache:
        cache.put({1: object}, x=2)
        assert cache.get(x=2) == {1: object}


def test_a_verified_slice_notices_damage_elsewhere(tmp_path: Path) -> None:
    array = np.random.default_rng(0).random((1000, 100))
    with BlobStore(tmp_path) as store, Cache(tmp_path / "cache") as cache:
        store.put(array, key="a")
        cache.put(array, x=1)
        assert np.array_equal(store.get_slice("a", np.s_[5:7], verify=True), array[5:7])
        assert np.array_equal(cache.get_slice(np.s_[5:7], x=1, verify=True), array[5:7])
        cache.put(array, params={"verify": 3})
        assert np.array_equal(cache.get_slice(np.s_[5], params={"verify": 3}), array[5])
        (blob,) = tmp_path.glob("blobs/*/*")
        damaged = bytearray(blob.read_bytes())
        damaged[-1000] ^= 1
        blob.chmod(0o600)
        blob.write_bytes(damaged)
        assert np.array_equal(store.get_slice("a", np.s_[5:7]), array[5:7])
        with pytest.raises(CacheIntegrityError):
            store.get_slice("a", np.s_[5:7], verify=True)


def test_a_handler_of_the_older_interface_is_given_the_configuration(tmp_path: Path) -> None:
    class Legacy(StorageHandler):
        def can_handle(self, data: object) -> bool:
            return isinstance(data, complex)

        def save(self, data: object, file_path: Path, config: CompressionConfig) -> None:
            file_path.write_text(f"{data} {config.parquet_compression}")

        def load(self, file_path: Path, config: CompressionConfig) -> object:
            value, codec = file_path.read_text().split()
            assert codec == config.parquet_compression == "zstd"
            return complex(value)

        def get_file_extension(self) -> str:
            return ".txt"

    config = CacheConfig(parquet_compression="zstd", enable_plain_objects=False, cache_dir=tmp_path)
    with BlobStore(config=config) as store:
        store.handler_registry.register_handler(Legacy(), 0, "complex_text")
        store.put(1 + 2j, key="x")
        assert store.get("x") == 1 + 2j


@pytest.mark.parametrize("mode", ["r", "c"])
def test_tables_are_mapped_in_both_modes(tmp_path: Path, mode: str) -> None:
    table = pa.table({"a": np.arange(50_000), "b": [f"row {i}" for i in range(50_000)]})
    with Cache(tmp_path, dataframe_format="arrow", parquet_compression="none") as cache:
        cache.put(table, x=1)
        before = (tmp_path / cache.list_entries()[0]["actual_path"]).read_bytes()
        assert cache.get(x=1, mmap_mode=mode).equals(table)
        assert (tmp_path / cache.list_entries()[0]["actual_path"]).read_bytes() == before


def test_equal_sets_have_one_key_by_content(tmp_path: Path) -> None:
    program = "import sys; from cacheness import BlobStore; s = BlobStore(sys.argv[1], content_addressable=True)\n"
    program += "print(s.put([{'a', 'b', 'c', 'd'}, frozenset({frozenset({'x', 'y'}), 'z', 1})]))"
    keys = set()
    for seed in range(4):
        environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
        command = [sys.executable, "-c", program, str(tmp_path)]
        keys.add(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip())
    assert len(keys) == 1
    with BlobStore(tmp_path) as store:
        assert store.get(keys.pop()) == [{"a", "b", "c", "d"}, frozenset({frozenset({"x", "y"}), "z", 1})]


_HOLDS_THE_DATABASE = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
database.execute("COMMIT")
"""


def test_an_update_that_waits_for_the_database_holds_nobody_up(tmp_path: Path) -> None:
    with BlobStore(tmp_path) as store:
        store.put(1, key="k")
        command = [sys.executable, "-c", _HOLDS_THE_DATABASE, tmp_path / "cache_metadata.db"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
            assert other.stdin is not None and other.stdout is not None
            assert other.stdout.readline() == "held\n"
            updated: list[bool] = []
            thread = threading.Thread(target=lambda: updated.append(store.update_metadata("k", {"a": 1})))
            thread.start()
            # If the update held the interpreter, this thread would go on only when the update had given up.
            time.sleep(0.2)
            assert thread.is_alive() and not updated
            other.stdin.write("\n")
            other.stdin.flush()
            thread.join()
        assert updated == [True]
