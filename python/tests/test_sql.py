"""Queries in SQL over the metadata: what Python passes, what it gets back, and what stops a query."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import cacheness.errors as errors
from cacheness import BlobStore, Cache, CacheConfig, cached
from cacheness.config import CacheMetadataConfig

if TYPE_CHECKING:
    from pathlib import Path

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@pytest.fixture
def filled(cache: Cache) -> Cache:
    for fold in range(3):
        cache.put(np.zeros(10_000 * fold), model="ridge", fold=fold, metadata={"accuracy": 0.9 + fold / 100})
    cache.put("a note", cache_key="note", description="words", metadata={"tags": ["a", "b"]})
    cache.pin(cache_key="note")
    return cache


def test_every_field_is_that_of_a_listing(filled: Cache) -> None:
    filled.get(cache_key="note")
    listed = {entry["cache_key"]: entry for entry in filled.list_entries(include_metadata=True)}
    found = filled.query_meta("SELECT * FROM entries")
    assert {row["cache_key"] for row in found} == set(listed)
    utc = {"created_at": "created", "accessed_at": "last_accessed", "expires_at": "expires"}
    for row in found:
        entry = listed[row["cache_key"]]
        for name in set(row) - {"metadata", "params", "pinned"}:
            assert row[name] == entry[utc.get(name, name)], name
        assert json.loads(row["metadata"]) == entry["metadata"]
        assert (row["params"] and json.loads(row["params"])) == entry["cache_key_params"]
        assert row["pinned"] == (row["cache_key"] == "note")
        assert list(row)[-3:] == ["metadata", "params", "pinned"]
    assert filled.query_meta("SELECT access_count FROM entries WHERE cache_key = 'note'") == [{"access_count": 1}]


def test_the_query_of_the_reference(tmp_path: Path) -> None:
    sql = "SELECT cache_key, full_metadata FROM cache_entries WHERE json_extract(full_metadata, '$.custom_field') = 'value'"
    with Cache(tmp_path) as cache:
        key = cache.put(1, model="ridge", metadata={"custom_field": "value", "model": "mine"})
        assert cache.query_meta(sql) == [], "the option is off by default, and the column is null"
        assert cache.query_meta("SELECT DISTINCT full_metadata AS f FROM cache_entries") == [{"f": None}]
    for config in (
        CacheConfig(cache_dir=str(tmp_path), metadata=CacheMetadataConfig(store_full_metadata=True)),
        CacheConfig(cache_dir=str(tmp_path), store_full_metadata=True),
    ):
        with Cache(config) as cache:
            (row,) = cache.query_meta(sql)
            assert row["cache_key"] == key
            assert json.loads(row["full_metadata"]) == {"custom_field": "value", "model": "mine"}
            other = cache.put(2, model="lasso", fold=3)
            (row,) = cache.query_meta("SELECT full_metadata FROM cache_entries WHERE cache_key = ?", [other])
            assert json.loads(row["full_metadata"]) == {"model": "lasso", "fold": 3}
            cache.invalidate(other)


def test_parameters_that_are_not_kept(tmp_path: Path) -> None:
    with Cache(tmp_path, store_cache_key_params=False, store_full_metadata=True) as cache:
        cache.put(1, x=1, metadata={"y": 2})
        assert cache.query_meta("SELECT params, full_metadata, call = cache_key AS same FROM cache_entries") == [
            {"params": None, "full_metadata": '{"y":2}', "same": 1}
        ]


def test_a_call_of_a_function(cache: Cache) -> None:
    @cached(cache)
    def trips(origin: str) -> int:
        return len(origin)

    trips("EWR")
    (row,) = cache.query_meta("SELECT function, call, compute_seconds, params FROM entries")
    (entry,) = cache.list_entries()
    assert (row["function"], row["call"]) == (entry["function"], entry["call"])
    assert row["compute_seconds"] == entry["compute_seconds"] >= 0
    assert "EWR" in row["params"]


def test_parameters(cache: Cache) -> None:
    aware = dt.datetime(2026, 11, 20, 12, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    values = [
        None,
        True,
        -(2**63),
        0.5,
        "a\0ü",
        b"\0\xff",
        bytearray(b"x"),
        memoryview(b"y"),
        np.int64(3),
        np.float32(0.5),
    ]
    values += [np.bool_(True), np.str_("s"), aware, pd.Timestamp(aware)]
    names = [f"c{i}" for i in range(len(values))]
    (row,) = cache.query_meta("SELECT " + ", ".join(f"? AS {name}" for name in names), values)
    utc = "2026-11-20T10:00:00.000000+00:00"
    expected = [None, 1, -(2**63), 0.5, "a\0ü", b"\0\xff", b"x", b"y", 3, 0.5, 1, "s", utc, utc]
    assert list(row.values()) == expected
    assert [type(value) for value in row.values()] == [type(value) for value in expected]
    assert cache.query_meta("SELECT :a + @b AS c", {"a": 1, "b": 2, "unused": None}) == [{"c": 3}]
    assert cache.query_meta("SELECT ?2 AS a, ?1 AS b", ("x", "y")) == [{"a": "y", "b": "x"}]
    assert cache.query_meta("SELECT value FROM json_each(?)", (json.dumps([1, "b"]),)) == [{"value": 1}, {"value": "b"}]


@pytest.mark.parametrize(
    ("sql", "params", "said"),
    [
        ("SELECT ?", ([1],), "parameter 1 is a list"),
        ("SELECT ?, ?", (1, object()), "parameter 2 is a object"),
        ("SELECT :x", {"x": {"y": 1}}, "parameter :x is a dict"),
        ("SELECT ?", (2**63,), "more than 64 bits"),
        ("SELECT ?", (dt.datetime(2026, 1, 1),), "without a time zone"),
        ("SELECT ?", (dt.date(2026, 1, 1),), "parameter 1 is a date"),
        ("SELECT ?", (1j,), "parameter 1 is a complex"),
        ("SELECT ?", (np.zeros(1),), "parameter 1 is a ndarray"),
        ("SELECT ?", (np.datetime64("2026-01-01"),), "parameter 1 is a datetime64"),
        ("SELECT ?", "x", "params is a str"),
        ("SELECT ?", {1}, "params is a set"),
        ("SELECT ?", 1, "params is a int"),
        ("SELECT :x", {1: 2}, "name 1 of a parameter"),
        ("SELECT ?", (), "1 parameter, and no values"),
        ("SELECT :x", {}, "no value is given for :x"),
        ("SELECT ?", {"x": 1}, "has no name"),
        ("SELECT 1 AS a, 2 AS a", (), "several columns of the result are named 'a'"),
        ("SELECT cache_key FORM entries", (), "line 1, column 23"),
        ("DELETE FROM entries", (), "refused"),
        ("SELECT * FROM main.cache_entries", (), "reading main.cache_entries is refused"),
        ("SELECT 1; SELECT 2", (), "a second statement is refused"),
        ("", (), "there is no query"),
        (b"SELECT 1", (), "the query is a bytes"),
    ],
)
def test_what_is_wrong_is_named(filled: Cache, sql: Any, params: Any, said: str) -> None:
    with pytest.raises(errors.CacheConfigurationError, match=said) as raised:
        filled.query_meta(sql, params)
    assert raised.value.hint
    assert len(filled) == 4


@pytest.mark.parametrize("options", [{"as_": "dict"}, {"timeout": -1}, {"timeout": float("nan")}, {"timeout": "1"}])
def test_options_that_are_wrong(cache: Cache, options: dict[str, Any]) -> None:
    with pytest.raises(errors.CacheConfigurationError, match=next(iter(options))):
        cache.query_meta("SELECT 1", **options)


MIXED = """
    SELECT * FROM (SELECT 1 AS i, 1 AS big, 0.5 AS f, 1 AS "both", 'a' AS s, x'00' AS b, NULL AS n
    UNION ALL SELECT 2, 9007199254740993, NULL, 0.5, NULL, NULL, NULL UNION ALL SELECT 3, NULL, 1.5, 2, 'ü', x'', NULL)
"""


def test_pandas(cache: Cache) -> None:
    frame = cache.query_meta(MIXED, as_="pandas")
    assert list(frame.columns) == ["i", "big", "f", "both", "s", "b", "n"]
    assert frame["i"].dtype == "int64" and frame["big"].dtype == "Int64" and frame["f"].dtype == "float64"
    assert frame["big"].tolist()[:2] == [1, 2**53 + 1] and frame["big"].isna().tolist() == [False, False, True]
    assert frame["both"].tolist() == [1, 0.5, 2] and frame["b"].tolist() == [b"\0", None, b""]
    assert frame["s"].tolist()[0] == "a" and frame["n"].isna().all()
    empty = cache.query_meta("SELECT cache_key, file_size FROM entries", as_="pandas")
    assert list(empty.columns) == ["cache_key", "file_size"] and len(empty) == 0
    twice = cache.query_meta("SELECT 1 AS a, 'x' AS a", as_="pandas")
    assert list(twice.columns) == ["a", "a"] and twice.iloc[0].tolist() == [1, "x"]


def test_polars(cache: Cache) -> None:
    frame = cache.query_meta(MIXED, as_="polars")
    kinds = {
        "i": pl.Int64,
        "big": pl.Int64,
        "f": pl.Float64,
        "both": pl.Float64,
        "s": pl.String,
        "b": pl.Binary,
        "n": pl.Null,
    }
    assert dict(frame.schema) == kinds
    assert frame["big"].to_list() == [1, 2**53 + 1, None] and frame["both"].to_list() == [1.0, 0.5, 2.0]
    assert cache.query_meta("SELECT cache_key FROM entries", as_="polars").shape == (0, 1)
    with pytest.raises(errors.CacheConfigurationError, match="named 'a'"):
        cache.query_meta("SELECT 1 AS a, 2 AS a", as_="polars")


def test_arrow(cache: Cache) -> None:
    table = cache.query_meta(MIXED, as_="arrow")
    assert isinstance(table, pa.Table)
    assert [str(kind) for kind in table.schema.types] == [
        "int64",
        "int64",
        "double",
        "double",
        "string",
        "binary",
        "null",
    ]
    assert table.column("s").to_pylist() == ["a", None, "ü"]
    many = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000) SELECT i, hex(i) AS h FROM n"
    )
    table = cache.query_meta(many, as_="arrow")
    assert table.num_rows == 200_000 and table.column("i").num_chunks > 1
    assert pa.compute.sum(table.column("i")).as_py() == 200_000 * 200_001 // 2
    with pytest.raises(errors.CacheConfigurationError, match="the column a has values of several types"):
        cache.query_meta("SELECT 1 AS a UNION ALL SELECT 'x'", as_="arrow")
    with pytest.raises(errors.CacheConfigurationError, match="9007199254740993, which none of them is"):
        cache.query_meta("SELECT 9007199254740993 AS a UNION ALL SELECT 0.5", as_="arrow")


def test_a_missing_library(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    for form, package in (("pandas", "pandas"), ("polars", "polars"), ("arrow", "pyarrow")):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(errors.CacheUnsupportedError, match=f"needs {package}") as raised:
            cache.query_meta("SELECT 1", as_=form)  # type: ignore[call-overload]
        assert "pip install" in str(raised.value.hint)


def test_a_limit_of_time(cache: Cache) -> None:
    for timeout in (0.05, dt.timedelta(milliseconds=50), 0):
        with pytest.raises(errors.CacheTimeoutError) as raised:
            cache.query_meta(ENDLESS, timeout=timeout)
        assert isinstance(raised.value, TimeoutError) and not raised.value.retryable
    assert cache.query_meta("SELECT 1 AS one", timeout=float("inf")) == [{"one": 1}]


_INTERRUPTED = """
import os, signal, sys, threading
from cacheness import Cache
signal.signal(signal.SIGINT, signal.default_int_handler)
cache = Cache(sys.argv[1])
cache.put(1, x=1)
threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    cache.query_meta(sys.argv[2])
except KeyboardInterrupt:
    print("interrupted", cache.query_meta("SELECT count(*) AS n FROM entries"))
    cache.put(2, x=1)
    cache.close()
"""


def test_ctrl_c(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED, str(tmp_path), ENDLESS], capture_output=True, text=True, timeout=60
    )
    assert (ran.stdout, ran.stderr, ran.returncode) == ("interrupted [{'n': 1}]\n", "", 0)


def test_other_threads_and_forks_go_on(cache: Cache) -> None:
    cache.put(1, x=1)
    ended: list[type[BaseException]] = []

    def ask() -> None:
        try:
            cache.query_meta(ENDLESS, timeout=3)
        except errors.CacheTimeoutError as error:
            ended.append(type(error))

    thread = threading.Thread(target=ask)
    thread.start()
    cache.put(2, x=2)
    for _ in range(3):
        child = os.fork()
        if child == 0:
            right = cache.query_meta("SELECT count(*) AS n FROM entries") == [{"n": 2}]
            os._exit(0 if right else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    thread.join()
    assert ended == [errors.CacheTimeoutError]


def test_backends_without_sql_and_closed_stores(tmp_path: Path) -> None:
    with Cache(tmp_path / "json", backend="json") as cache:
        cache.put(1, x=1)
        with pytest.raises(errors.CacheUnsupportedError, match="json does not answer queries in SQL") as raised:
            cache.query_meta("SELECT 1")
        assert "sqlite" in str(raised.value.hint)
    with pytest.raises(errors.CacheClosedError):
        cache.query_meta("SELECT 1")
    with Cache(":memory:", backend="sqlite_memory") as cache:
        cache.put(1, x=1)
        assert cache.query_meta("SELECT count(*) AS n FROM entries") == [{"n": 1}]
        cache.put(2, x=2)
        assert cache.query_meta("SELECT count(*) AS n FROM entries") == [{"n": 2}]


def test_a_read_only_cache(tmp_path: Path) -> None:
    with Cache(tmp_path) as cache:
        cache.put(1, x=1)
    database = tmp_path / "cache_metadata.db"
    before = database.read_bytes()
    with Cache(tmp_path, read_only=True) as cache:
        assert cache.query_meta("SELECT json_extract(params, '$.x') AS x FROM entries") == [{"x": 1}]
    assert database.read_bytes() == before


def test_a_store(tmp_path: Path) -> None:
    with BlobStore(tmp_path) as store:
        store.put([1, 2], key="scores", metadata={"accuracy": 0.95})
        store.put([3], key="others", metadata={"accuracy": 0.5})
        sql = "SELECT cache_key, pinned FROM entries WHERE metadata ->> 'accuracy' > :least"
        assert store.query_meta(sql, {"least": 0.9}) == [{"cache_key": "scores", "pinned": 1}]
        assert store.query_meta(sql, {"least": 0}, as_="polars").height == 2
        with pytest.raises(errors.CacheTimeoutError):
            store.query_meta(ENDLESS, timeout=0.01)
    with pytest.raises(errors.CacheClosedError):
        store.query_meta("SELECT 1")


def test_expired_entries_are_rows_too(cache: Cache) -> None:
    cache.put(1, cache_key="short", ttl_seconds=0)
    cache.put(1, cache_key="long", ttl_seconds=1000)
    now = dt.datetime.now(dt.UTC)
    served = cache.query_meta("SELECT cache_key FROM entries WHERE expires > ?", (now,))
    assert served == [{"cache_key": "long"}]
    assert len(cache.query_meta("SELECT cache_key FROM entries")) == 2
