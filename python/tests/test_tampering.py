"""Whoever can write the directory, against what runs code: pickles, and handlers of one's own.

Everything here leaves a trace if it is decoded: `Bomb` in the environment, `Reader` in a list.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cacheness import BlobStore, Cache, CacheError, CacheHandler, CacheIntegrityError, CacheSignatureError
from cacheness.handlers import BUILTIN

TRACE = "CACHENESS_TEST_TRACE"


class Bomb:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> Any:
        return (exec, (f"import os; os.environ[{TRACE!r}] = 'exploded'",))


class Reader(CacheHandler):
    """A handler as people write them: what it reads is pickled."""

    def __init__(self) -> None:
        self.read: list[Path] = []

    @property
    def data_type(self) -> str:
        return "model"

    def can_handle(self, data: Any) -> bool:
        return isinstance(data, Bomb)

    def put(self, data: Any, file_path: Path, config: Any) -> dict[str, Any]:
        file_path.write_bytes(b"a model")
        return {"file_path": str(file_path)}

    def get(self, file_path: Path, metadata: dict[str, Any]) -> Any:
        self.read.append(file_path)
        return file_path.read_bytes()


@pytest.fixture(autouse=True)
def _no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TRACE, raising=False)


def _exploded() -> bool:
    return TRACE in os.environ


def _sql(directory: Path, sql: str, *parameters: Any) -> None:
    """Changes the database from another process, as an attacker does, while the store may be open."""
    script = (
        "import json, sqlite3, sys\n"
        "db = sqlite3.connect(sys.argv[1])\n"
        "values = [bytes.fromhex(v['hex']) if isinstance(v, dict) else v for v in json.loads(sys.argv[3])]\n"
        "assert db.execute(sys.argv[2], values).rowcount > 0\n"
        "db.commit()\n"
    )
    values = [{"hex": v.hex()} if isinstance(v, bytes) else v for v in parameters]
    command = [sys.executable, "-c", script, str(directory / "cache_metadata.db"), sql, json.dumps(values)]
    subprocess.run(command, check=True, timeout=60)


def _forge(directory: Path, handler: str, storage_format: str) -> None:
    """Puts a bomb in the place of whatever is there, with everything right that needs no key: another store made it."""
    columns = ("payload", "handler_meta", "file_size", "file_hash", "digest")
    donor = directory.with_name(f"{directory.name}-donor")
    with Cache(donor) as cache:
        cache.put(Bomb(), cache_key="k")
    db = sqlite3.connect(donor / "cache_metadata.db")
    values = db.execute(f"SELECT {', '.join(columns)} FROM cache_entries").fetchone()
    db.close()
    _sql(
        directory,
        f"UPDATE cache_entries SET ({', '.join(columns)}) = (?, ?, ?, ?, ?), handler = ?, storage_format = ?, "
        "compression = 'none', locator = NULL, signature = NULL",
        *values,
        handler,
        storage_format,
    )


PICKLES = [
    ("object_pickle", "pickle"),
    ("object_pickle", "dill"),
    ("object_pickle", "msgpack"),
    ("object_pickle", "bytes"),
    ("object_pickle", ""),
    ("plain_objects", "pickle"),
    ("numpy_arrays", "pickle"),
    ("pandas_dataframes", "dill"),
]


@pytest.mark.parametrize(("handler", "storage_format"), PICKLES)
@pytest.mark.parametrize("options", [{}, {"allow_pickle": False}, {"enable_entry_signing": False}], ids=str)
def test_no_two_names_make_a_pickle_of_something_unsigned(
    tmp_path: Path, handler: str, storage_format: str, options: dict[str, Any]
) -> None:
    with Cache(tmp_path) as cache:
        cache.put([1, 2], cache_key="k")
    _forge(tmp_path, handler, storage_format)
    with Cache(tmp_path, **options) as cache:
        for strict in (True, False):
            # A refusal that says why is as good as a miss.
            with contextlib.suppress(CacheError):
                assert cache.get(cache_key="k", strict_verification=strict) is None
        assert not _exploded()
    with BlobStore(tmp_path) as store, pytest.raises(CacheError):
        store.get("k")
    assert not _exploded()


@pytest.mark.parametrize("how", ["touch", "update_metadata", "rotate"])
def test_nothing_gives_a_forged_pickle_a_signature(tmp_path: Path, how: str) -> None:
    with Cache(tmp_path) as cache:
        cache.put([1, 2], cache_key="k")
    _forge(tmp_path, "object_pickle", "pickle")
    if how == "update_metadata":
        with BlobStore(tmp_path) as store:
            assert store.update_metadata("k", {"stage": "prod"})
    else:
        with Cache(tmp_path) as cache:
            if how == "touch":
                assert cache.touch(cache_key="k")
            else:
                assert cache.rotate_signing_key() == 0
    with BlobStore(tmp_path) as store, pytest.raises(CacheSignatureError):
        store.get("k")
    with Cache(tmp_path) as cache:
        assert cache.get(cache_key="k") is None
    assert not _exploded()


def test_a_forged_pickle_is_decoded_where_its_owner_has_asked_for_it(tmp_path: Path) -> None:
    with Cache(tmp_path) as cache:
        cache.put([1, 2], cache_key="k")
    _forge(tmp_path, "object_pickle", "pickle")
    with Cache(tmp_path, enable_entry_signing=False, trust_unsigned_pickles=True) as cache:
        cache.get(cache_key="k")
    assert _exploded(), "the forgeries of these tests are good ones"


def test_every_byte_of_a_pickle_is_bound(tmp_path: Path) -> None:
    with Cache(tmp_path) as cache:
        cache.put(Bomb(), cache_key="small")
        cache.put([Bomb(), os.urandom(100_000)], cache_key="large")
    db = sqlite3.connect(tmp_path / "cache_metadata.db")
    [payload] = db.execute("SELECT payload FROM cache_entries WHERE cache_key = 'small'").fetchone()
    write = "UPDATE cache_entries SET payload = ? WHERE cache_key = 'small'"
    for at in range(len(payload)):
        changed = bytearray(payload)
        changed[at] ^= 1 << at % 8
        db.execute(write, [bytes(changed)])
        db.commit()
        with BlobStore(tmp_path) as store, pytest.raises(CacheIntegrityError):
            store.get("small")
        assert not _exploded(), at
    db.execute(write, [payload])
    db.commit()
    db.close()

    [blob] = [path for path in (tmp_path / "blobs").rglob("*.pkl*") if path.is_file()]
    honest = blob.read_bytes()
    with BlobStore(tmp_path) as store, Cache(tmp_path) as cache:
        for at in [*range(60), *range(60, len(honest), 4999), len(honest) - 1]:
            changed = bytearray(honest)
            changed[at] ^= 1 << at % 8
            blob.write_bytes(changed)
            with pytest.raises(CacheIntegrityError):
                store.get("large")
            assert cache.get(cache_key="large") is None
            assert not _exploded(), at
        blob.write_bytes(honest)
        store.get("large")
    assert _exploded()


@pytest.mark.parametrize("change", ["signature = NULL", "signature = zeroblob(32)", "handler_meta = NULL"])
def test_a_handler_of_ones_own_sees_only_what_is_signed(tmp_path: Path, change: str) -> None:
    reader = Reader()
    with Cache(tmp_path) as cache:
        cache.handler_registry.register_handler(reader, priority=0)
        cache.put(Bomb(), cache_key="k")
        assert cache.get(cache_key="k") == b"a model"
        assert len(reader.read) == 1
        _sql(tmp_path, f"UPDATE cache_entries SET {change}")
        assert cache.get(cache_key="k") is None
        assert cache.get(cache_key="k", strict_verification=False) is None
        assert len(reader.read) == 1


def test_bytes_of_another_handler_are_not_shown_to_ones_own(tmp_path: Path) -> None:
    reader = Reader()
    with Cache(tmp_path) as cache:
        cache.handler_registry.register_handler(reader, priority=0)
        cache.put([1, 2], cache_key="k")
        _sql(tmp_path, "UPDATE cache_entries SET handler = 'model', signature = NULL")
        assert cache.get(cache_key="k") is None
        with BlobStore(tmp_path) as store:
            store.handler_registry.register_handler(reader, priority=0)
            with pytest.raises(CacheSignatureError, match="model"):
                store.get("k")
        assert reader.read == []


def test_what_runs_nothing_is_served_without_a_signature(tmp_path: Path) -> None:
    import numpy as np
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    values: list[Any] = [
        [1, 2],
        np.arange(3),
        pd.DataFrame({"x": [1, 2]}),
        pd.Series([1, 2], name="x"),
        pl.DataFrame({"x": [1, 2]}),
        pl.Series("x", [1, 2]),
        pa.table({"x": [1, 2]}),
    ]
    with Cache(tmp_path) as cache:
        for number, value in enumerate(values):
            cache.put(value, cache_key=str(number))
        entries = [cache.get_metadata(cache_key=str(number)) for number in range(len(values))]
        used = {entry["handler_used"] for entry in entries if entry}
        # The engine knows the names of all handlers of the package, but for the one of pickles.
        assert used == {*BUILTIN} - {"object_pickle"}
        _sql(tmp_path, "UPDATE cache_entries SET signature = NULL")
        for number, value in enumerate(values):
            found = cache.get(cache_key=str(number))
            assert type(found) is type(value), number


def test_a_changed_row_is_noticed_while_the_store_is_open(tmp_path: Path) -> None:
    with Cache(tmp_path) as cache, BlobStore(tmp_path) as store:
        cache.put([1, 2], cache_key="k", description="honest")
        assert cache.get(cache_key="k") == [1, 2]
        assert store.get("k") == [1, 2]
        _sql(tmp_path, "UPDATE cache_entries SET payload = ?, file_size = 1", b"\x02")
        assert cache.get(cache_key="k") is None
        with pytest.raises(CacheSignatureError):
            store.get("k")


NAMES = [
    "../../outside",
    "/etc/passwd",
    "a/../../b",
    "..",
    ".",
    "\u202egnp.exe",
    "\uff0e\uff0e\uff0f",
    "e\u0301",
    "\u00e9",
    "%2e%2e%2f",
    "'; DROP TABLE cache_entries; --",
    "\n\r\t\x1b[31m",
    "x" * 1024,
    "blobs/aa/aa-0123456789ab.msgpack",
]


def test_names_are_names_and_never_paths(tmp_path: Path) -> None:
    directory = tmp_path / "a" / "store"
    # Too large to travel inside their entries: each becomes a file.
    values = {name: os.urandom(50_000) for name in NAMES}
    with BlobStore(directory) as store, Cache(directory) as cache:
        for name, value in values.items():
            assert store.put(value, key=name) == name
        assert len([path for path in (directory / "blobs").rglob("*") if path.is_file()]) == len(NAMES)
        for name, value in values.items():
            assert store.get(name) == value
            assert cache.get(cache_key=name) == value
        assert sorted(store.list()) == sorted(NAMES)
        for name in NAMES:
            assert store.delete(name)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["store"]
    assert not [path for path in (directory / "blobs").rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", ["", "a\0b", "\0", "x" * 1025, "\ud800", "\u00e9" * 513])
def test_names_that_are_none_are_refused(tmp_path: Path, name: str) -> None:
    with BlobStore(tmp_path) as store, Cache(tmp_path) as cache:
        for use in (
            lambda: store.put(1, key=name) if name else store.get(name),
            lambda: store.get(name),
            lambda: cache.put(1, cache_key=name),
            lambda: cache.get(cache_key=name),
        ):
            with pytest.raises((CacheError, ValueError)):
                use()
        assert store.list() == []
