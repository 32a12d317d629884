"""User metadata as JSON: exactly back, and open to SQL."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from soak import times
from test_plain import VECTORS, evaluate, same, values

from cacheness import _core
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
    with pytest.raises(CacheSerializationError, match="nests too deep"):
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
