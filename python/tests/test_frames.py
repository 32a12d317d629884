"""Listings as data frames and Arrow tables: the values are those of listings, and every column has a type."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from cacheness import Cache, Clock
from cacheness.errors import CacheConfigurationError, CacheError, CacheUnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ZONE = dt.timezone(dt.timedelta(hours=2))
WHEN = dt.datetime(2026, 3, 1, 12, 30, 0, 123456, tzinfo=ZONE)

#: Names of metadata, the values of three entries, and the type of the column.
TYPED: dict[str, tuple[tuple[Any, Any, Any], pa.DataType | None]] = {
    "count": ((1, np.int8(2), -(2**63)), pa.int64()),
    "score": ((0.5, float("nan"), np.float32(0.25)), pa.float64()),
    "mixed numbers": ((1, 0.5, 2**53), pa.float64()),
    "flag": ((True, False, np.True_), pa.bool_()),
    "text": (("a", "", "ä\0"), pa.string()),
    "when": ((WHEN, WHEN.astimezone(dt.UTC), dt.datetime(1, 1, 2, tzinfo=ZONE)), pa.timestamp("us", "UTC")),
    "wall": ((WHEN.replace(tzinfo=None), dt.datetime(1, 1, 1), dt.datetime.max), pa.timestamp("us")),
    "day": ((dt.date(2026, 1, 1), dt.date.min, dt.date.max), pa.date32()),
    "lasted": ((dt.timedelta(0), dt.timedelta(days=-1, microseconds=1), dt.timedelta(days=10_000)), pa.duration("us")),
    "too large": ((1, 2, 2**63), None),
    "not exact": ((2**53 + 1, 0.5, 1), None),
    "several types": ((1, "a", 1.5), None),
    "flag or number": ((True, 1, 2), None),
    "list": (([1], [2], [3]), None),
    "mapping": (({"a": 1}, {"a": 2}, {"a": 3}), None),
    "decimal": ((decimal.Decimal(1), decimal.Decimal(2), decimal.Decimal(3)), None),
    "nothing": ((None, None, None), None),
}


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Cache]:
    clock = Clock(1_700_000_000.000_001)
    with Cache(tmp_path / "cache", clock=clock, default_ttl_seconds=None) as cache:
        for number in range(3):
            clock.advance(1.25)
            metadata = {name: values[number] for name, (values, _) in TYPED.items()}
            cache.put(np.zeros(10_000 * number), number=number, x={"a": [1.5, "ü"]}, metadata=metadata, ttl_seconds=9)
        cache.put("a note", cache_key="note", description="words")
        cache.put("some", cache_key="some", metadata={"count": None})
        cache.get(cache_key="note")

        @cache.cached
        def slow(number: int) -> int:
            return number

        slow(3)
        yield cache


def rows(table: Any) -> list[dict[str, Any]]:
    """The rows of a table, as Python has their values."""
    if isinstance(table, pa.Table):
        return table.to_pylist()
    if isinstance(table, pl.DataFrame):
        return table.to_dicts()
    return pa.Table.from_pandas(table, preserve_index=False).to_pylist()


@pytest.mark.parametrize("form", ["pandas", "polars", "arrow"])
def test_values_are_those_of_listings_and_of_the_view(filled: Cache, form: Any) -> None:
    listed = filled.list_entries(include_metadata=True)
    view = {row["cache_key"]: row for row in filled.query_meta("SELECT * FROM entries")}
    found = rows(filled.list_entries(include_metadata=True, as_=form))
    assert len(found) == len(listed) == 6
    times = {"created_at": "created", "accessed_at": "last_accessed", "expires_at": "expires"}
    for row, entry in zip(found, listed, strict=True):
        for name, value in row.items():
            if name.startswith("metadata."):
                continue
            assert name in view[entry["cache_key"]]
            if name in times:
                expected = entry[times[name]]
                assert value == (expected and dt.datetime.fromisoformat(expected)), name
            else:
                assert value == view[entry["cache_key"]][name], name
        assert row["metadata"] is None or json.loads(row["metadata"]).keys() == entry["metadata"].keys()
        assert (row["params"] and json.loads(row["params"])) == entry["cache_key_params"]


@pytest.mark.parametrize("form", ["pandas", "polars", "arrow"])
def test_metadata_has_columns_where_there_is_one_type(filled: Cache, form: Any) -> None:
    table = filled.list_entries(
        include_metadata=True, sort="params.number", where={"flag": {"$exists": True}}, as_=form
    )
    names = set(table.column_names if form == "arrow" else table.columns)
    typed = {f"metadata.{name}" for name, (_, kind) in TYPED.items() if kind is not None}
    assert {name for name in names if name.startswith("metadata.")} == typed
    found = rows(table)
    for name, (values, kind) in TYPED.items():
        if kind is not None:
            plain = [value.item() if isinstance(value, np.generic) else value for value in values]
            expected = [str(pa.scalar(value, kind).as_py()) for value in plain]
            if form == "pandas":
                # Arrow takes NaN of pandas as a null.
                expected = ["None" if value == "nan" else value for value in expected]
            assert [str(row[f"metadata.{name}"]) for row in found] == expected, name


def test_types_of_columns(filled: Cache) -> None:
    fixed = {
        **dict.fromkeys(["cache_key", "function", "call", "description", "data_type", "object_type"], pa.string()),
        **dict.fromkeys(["handler_used", "storage_format", "compression_codec"], pa.string()),
        "file_size": pa.int64(),
        "inline": pa.bool_(),
        "actual_path": pa.string(),
        **dict.fromkeys(["created_at", "accessed_at", "expires_at"], pa.timestamp("us", "UTC")),
        "access_count": pa.int64(),
        "compute_seconds": pa.float64(),
        **dict.fromkeys(["file_hash", "entry_signature", "params"], pa.string()),
    }
    typed = {f"metadata.{name}": kind for name, (_, kind) in TYPED.items() if kind is not None}
    brief = filled.list_entries(as_="arrow")
    assert dict(zip(brief.schema.names, brief.schema.types, strict=True)) == fixed
    full = filled.list_entries(include_metadata=True, as_="arrow")
    assert dict(zip(full.schema.names, full.schema.types, strict=True)) == {**fixed, "metadata": pa.string(), **typed}
    polars = filled.list_entries(include_metadata=True, as_="polars")
    assert polars.schema == pl.from_arrow(full).schema  # type: ignore[union-attr]
    pandas = filled.list_entries(include_metadata=True, as_="pandas")
    kinds = {name: str(kind) for name, kind in pandas.dtypes.items()}
    assert kinds["created_at"] == kinds["metadata.when"] == "datetime64[us, UTC]"
    assert (kinds["file_size"], kinds["metadata.count"]) == ("int64", "Int64")
    assert (kinds["inline"], kinds["metadata.flag"], kinds["metadata.score"]) == ("bool", "boolean", "float64")
    assert pandas["compute_seconds"].count() == 1 and pandas["created_at"].is_monotonic_increasing is False
    # An empty listing has the same types.
    nothing = {"entry.cache_key": "other"}
    assert filled.list_entries(where=nothing, as_="arrow").schema == brief.schema
    assert filled.list_entries(where=nothing, as_="polars").schema == pl.from_arrow(brief).schema  # type: ignore[union-attr]
    empty = filled.list_entries(where=nothing, as_="pandas")
    assert empty.shape == (0, len(fixed))
    assert list(empty.dtypes) == list(filled.list_entries(as_="pandas").dtypes)


def test_pages_and_options(cache: Cache) -> None:
    for number in range(2300):
        cache.put(number, number=number, metadata={"half": number / 2})
    every = cache.list_entries(as_="pandas")
    assert list(every["cache_key"]) == [entry["cache_key"] for entry in cache.list_entries()]
    options: dict[str, Any] = {"where": {"half": {"$lt": 1000}}, "sort": "-half", "limit": 1500, "offset": 10}
    listed = cache.list_entries(True, **options)
    assert list(cache.list_entries(True, **options, as_="polars")["metadata.half"]) == [
        entry["metadata"]["half"] for entry in listed
    ]
    assert cache.list_entries(limit=0, as_="arrow").num_rows == 0
    after = every["cache_key"][1999]
    assert list(cache.list_entries(after=after, as_="pandas")["cache_key"]) == list(every["cache_key"][2000:])
    # What pandas selects is what the filter selects.
    frame = cache.list_entries(True, as_="pandas")
    where = {"half": {"$gte": 100, "$lt": 200.5}}
    expected = frame[(frame["metadata.half"] >= 100) & (frame["metadata.half"] < 200.5)]
    pd.testing.assert_frame_equal(cache.list_entries(True, where=where, as_="pandas"), expected.reset_index(drop=True))


def test_what_is_no_form(cache: Cache) -> None:
    with pytest.raises(CacheConfigurationError, match="as_ is 'excel'"):
        cache.list_entries(as_="excel")  # type: ignore[call-overload]
    with pytest.raises(CacheError, match=r"did you mean entry\.file_size"):
        cache.list_entries(where={"entry.filesize": 1}, as_="pandas")


def test_a_missing_library(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    for form, package in (("pandas", "pandas"), ("polars", "polars"), ("arrow", "pyarrow")):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(CacheUnsupportedError, match=rf"list_entries\(as_='{form}'\) needs {package}") as raised:
            cache.list_entries(as_=form)  # type: ignore[call-overload]
        assert "pip install" in str(raised.value.hint)
