"""User metadata as JSON: exactly back, and open to SQL."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
import threading

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from soak import times
from test_plain import VECTORS, evaluate, same, values

from cacheness import Cache, _core
from cacheness.errors import CacheConfigurationError, CacheSerializationError

keys = st.one_of(st.text(), st.sampled_from(["$", "$$", "$tuple", "$$x", "value", "fold"]))


@settings(max_examples=times(300))
@given(st.dictionaries(keys, values, max_size=5))
def test_metadata_comes_back(metadata: dict[str, object]) -> None:
    text = _core.metadata_dumps(metadata)
    assert isinstance(json.loads(text), dict)
    assert same(metadata, _core.metadata_loads(text))


@pytest.mark.parametrize("vector", VECTORS["values"], ids=lambda v: v["name"])
def test_vectors(vector: dict[str, str]) -> None:
    value = evaluate(vector["python"])
    assert _core.metadata_dumps({"v": value}) == vector["metadata"]
    assert same({"v": value}, _core.metadata_loads(vector["metadata"]))


def test_sql_queries_it() -> None:
    metadata = {
        "experiment": "baseline",
        "fold": 3,
        "ratio": 0.1,
        "one": 1.0,
        "tags": ["a", "b"],
        "nested": {"deep": True},
        "accuracy": np.float64(0.93),
        "when": dt.datetime(2026, 11, 20),
        "$price": 5,
        "largest": 2**63 - 1,
        "nul": "a\0b",
    }
    connection = sqlite3.connect(":memory:")
    text = _core.metadata_dumps(metadata)
    paths = {
        "$.experiment": "baseline",
        "$.fold": 3,
        "$.ratio": 0.1,
        "$.one": 1.0,
        "$.tags[1]": "b",
        "$.nested.deep": 1,
        "$.accuracy.value": 0.93,
        '$.when."$datetime"': "2026-11-20T00:00:00",
        '$."$$price"': 5,
        "$.largest": 2**63 - 1,
    }
    for path, expected in paths.items():
        (found,) = connection.execute("SELECT json_extract(?, ?)", (text, path)).fetchone()
        assert same(found, expected), path
    # The database's own rendering means the same.
    (normalized,) = connection.execute("SELECT json(?)", (text,)).fetchone()
    assert same(_core.metadata_loads(normalized), metadata)
    connection.close()


def test_what_is_not_plain_is_named() -> None:
    with pytest.raises(CacheSerializationError, match=r"metadata\['a'\]\[1\]\['b'\] is a _thread\.lock"):
        _core.metadata_dumps({"a": [1, {"b": threading.Lock()}]})
    with pytest.raises(CacheSerializationError, match=r"metadata\['a'\] is a object"):
        _core.metadata_dumps({"a": object()})
    with pytest.raises(CacheConfigurationError, match="string"):
        _core.metadata_dumps({1: 2})
    cycle: dict[str, object] = {}
    cycle["self"] = cycle
    with pytest.raises(CacheSerializationError, match="is nested too deeply"):
        _core.metadata_dumps(cycle)


def test_nesting_ends_at_32_levels() -> None:
    def nested(levels: int) -> object:
        value: object = {1: None}
        for _ in range(levels - 1):
            value = {1: value}
        return value

    deepest = {"v": nested(31)}
    assert _core.metadata_loads(_core.metadata_dumps(deepest)) == deepest
    with pytest.raises(CacheSerializationError, match="32 levels"):
        _core.metadata_dumps({"v": nested(33)})


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"$tuple": []}', '{"a": {"$what": 1}}', '{"a": 1} x'])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(CacheSerializationError):
        _core.metadata_loads(text)


def test_json_of_other_tools_is_read() -> None:
    text = '{"a": 1, "b": [1.5, null, {"c": "\\ud83e\\udd80"}], "d": 12345678901234567890}'
    assert _core.metadata_loads(text) == {"a": 1, "b": [1.5, None, {"c": "🦀"}], "d": 12345678901234567890}


DTYPES = [
    *(np.dtype(text) for text in ("f8", ">f4", "i1", "?", "c16", "M8[ns]", "m8[25s]", "U5", "S3", "V4", "O", "q")),
    np.dtype([("a", "<i4"), ("b", "|S3", (2, 2))]),
    pd.Int64Dtype(),
    pd.BooleanDtype(),
    pd.Float32Dtype(),
    pd.StringDtype(),
    pd.StringDtype("python"),
    pd.StringDtype("pyarrow"),
    pd.StringDtype("python", na_value=np.nan),
    pd.DatetimeTZDtype("ns", "Europe/Berlin"),
    pd.DatetimeTZDtype("us", dt.UTC),
    pd.PeriodDtype("M"),
    pd.IntervalDtype("int64", "left"),
    pd.SparseDtype("float64"),
    pd.ArrowDtype(pa.timestamp("us", "UTC")),
    pd.ArrowDtype(pa.int32()),
    pd.CategoricalDtype(),
    pd.CategoricalDtype(["b", "a"]),
    pd.CategoricalDtype([3, 1, 2], ordered=True),
    pd.CategoricalDtype(pd.Index([3, 1], dtype="int8")),
    pd.CategoricalDtype(pd.Index(["x", None, 1.5], dtype=object).dropna()),
    pd.CategoricalDtype([(1, 2), (3, 4)]),
    pd.CategoricalDtype([]),
]


@pytest.mark.parametrize("dtype", DTYPES, ids=repr)
def test_dtypes_come_back_equal(dtype: object) -> None:
    back = _core.metadata_loads(_core.metadata_dumps({"v": dtype, "nested": [{"w": (dtype,)}]}))
    for found in (back["v"], back["nested"][0]["w"][0], _core.plain_loads(_core.plain_dumps(dtype))):
        assert found == dtype and type(found) is type(dtype) and repr(found) == repr(dtype)
        if isinstance(dtype, pd.CategoricalDtype) and dtype.categories is not None:
            assert found.categories.dtype == dtype.categories.dtype
            assert found.categories.equals(dtype.categories) and found.ordered == dtype.ordered


@pytest.mark.parametrize(
    "dtype",
    [
        np.dtype("f8", metadata={"unit": "m"}),
        np.dtype("g"),
        np.dtype([("a", "i1"), ("b", "i8")], align=True),
        pd.CategoricalDtype(pd.to_datetime(["2026-01-01"])),
    ],
    ids=repr,
)
def test_a_dtype_that_would_come_back_as_another_is_refused(dtype: object) -> None:
    with pytest.raises(CacheSerializationError, match=r"metadata\['v'\]"):
        _core.metadata_dumps({"v": dtype})


def test_dtypes_of_a_frame_are_metadata(cache: Cache) -> None:
    frame = pd.DataFrame({"a": [1.5], "b": ["x"], "c": pd.Categorical(["u"]), "d": pd.array([1], dtype="Int64")})
    frame["e"] = pd.to_datetime(["2026-01-01"]).tz_localize("Europe/Berlin")
    cache.put(frame, x=1, metadata={"data_types": frame.dtypes.to_dict()})
    found = cache.get_with_metadata(x=1)[1]["data_types"]
    assert found == frame.dtypes.to_dict()
    assert [type(dtype) for dtype in found.values()] == [type(dtype) for dtype in frame.dtypes]
