"""Filters: values of all classes against what the format says, documents of JSON against a MongoDB, and mistakes."""

from __future__ import annotations

import datetime as dt
import enum
import re
import uuid
from collections import OrderedDict
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import mongomock
import numpy as np
import pandas as pd
import pytest
from filters_reference import ORDERED, classed, compares, equals
from hypothesis import example, given, settings
from hypothesis import strategies as st
from soak import times

from cacheness import BlobStore, Cache, CacheConfigurationError, Clock, cached

#: One decides in SQL, where that can tell; the other one in the evaluator.
BACKENDS = ("sqlite_memory", "memory")

NUMBERS = [True, False, 0, 1, -1, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 2**64 + 1, 10**30, -(2**63)]
NUMBERS += [0.0, -0.0, 1.0, 0.5, float(2**53), float(2**63), float(2**64), 1e30, 5e-324, float("inf"), float("-inf")]
NUMBERS += [float("nan"), Decimal(1), Decimal("1.0"), Decimal("0.1"), Decimal("0.5"), Decimal("nan"), 0.1]
NUMBERS += [complex(1, 0), complex(1, 1)]
NUMBERS += [np.float64(0.5), np.float32(0.1), np.float32(0.5), np.int64(1), np.uint64(2**63), np.bool_(True)]
BERLIN = ZoneInfo("Europe/Berlin")
TIMES = [
    dt.date(2026, 11, 20),
    dt.date(1969, 12, 31),
    dt.datetime(2026, 11, 20),
    dt.datetime(2026, 11, 20, microsecond=1),
    dt.datetime(2026, 11, 20, tzinfo=dt.UTC),
    dt.datetime(2026, 11, 20, 1, tzinfo=dt.timezone(dt.timedelta(hours=1))),
    dt.datetime(2026, 11, 20, 1, tzinfo=BERLIN),
    dt.datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN),
    dt.datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=BERLIN),
    dt.time(1),
    dt.time(1, 0, 0, 1),
    dt.time(1, tzinfo=dt.UTC),
    dt.timedelta(hours=24),
    dt.timedelta(days=1),
    dt.timedelta(microseconds=-1),
]
OTHERS = [None, "", "1", "red", "Red", "é", "e\u0301", "\U0001f600", "\uffff", b"", b"1", bytearray(b"1"), b"\xff"]
OTHERS += [Path("a"), Path("b"), range(0, 3, 2), range(0, 4, 2), np.str_("red"), np.bytes_(b"1")]
OTHERS += [uuid.UUID(int=1), uuid.UUID(int=2**127), np.array([3, 4]), np.array([3.0, 4.0]), np.array([3, 4], np.int8)]
SCALARS = NUMBERS + TIMES + OTHERS
scalars = st.sampled_from(SCALARS)
hashable = st.sampled_from([*NUMBERS[:12], None, "a", "$b", "1"])
plain = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.sets(hashable, max_size=3)
        | st.sets(hashable, max_size=3).map(frozenset)
        | st.dictionaries(hashable, inner, max_size=3)
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def caches() -> Iterator[list[Cache]]:
    opened = [Cache(":memory:", metadata_backend=backend) for backend in BACKENDS]
    yield opened
    for cache in opened:
        cache.close()


@pytest.fixture(params=["sqlite", "json", "memory"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cache]:
    with Cache(tmp_path / "cache", metadata_backend=request.param) as cache:
        yield cache


def _found(cache: Cache, where: Any) -> list[Any]:
    """The parameter ``i`` of the entries that match."""
    return sorted(entry["cache_key_params"]["i"] for entry in cache.list_entries(where=where))


# ----- Values, against the format.


@settings(max_examples=times(300))
@given(plain, plain)
@example(1, True)
@example([1, (2,)], [1.0, (2,)])
@example({"a": 1, "b": None}, {"b": None, "a": 1.0})
@example({1, 2}, frozenset({2.0, 1}))
@example([Decimal(1), 2], 2.0)
@example([float("nan"), 1], Decimal("nan"))
@example(2**53 + 1, float(2**53))
@example(0.1, Decimal("0.1"))
@example({"$b": [None]}, {"$b": (None,)})
def test_what_is_equal(caches: list[Cache], stored: Any, wanted: Any) -> None:
    expected = int(equals(stored, wanted))
    for cache in caches:
        cache.clear()
        cache.put(0, metadata={"value": stored, "inner": {"value": [stored]}, "other": 1}, i=0)
        cache.put(1, metadata={"other": 1}, i=1)
        assert cache.count({"value": {"$eq": wanted}, "other": 1}) == expected + (wanted is None)
        assert cache.count({"value": {"$ne": wanted}}) == 2 - expected - (wanted is None)
        assert cache.count({"value": {"$in": ["something else", wanted]}}) == expected + (wanted is None)
        # The list of one element, and that element.
        inner = int(classed([stored]) == classed(wanted) or classed(stored) == classed(wanted))
        assert cache.count({"inner.value": {"$eq": wanted}}) == inner + (wanted is None)
        if not isinstance(wanted, dict):
            assert cache.count({"value": wanted}) == expected + (wanted is None)


@settings(max_examples=times(300))
@given(scalars | st.lists(scalars, max_size=3), scalars)
@example(2**53 + 1, float(2**53))
@example("\uffff", "\U0001f600")
@example(float("inf"), 10**30)
def test_what_is_greater(caches: list[Cache], stored: Any, wanted: Any) -> None:
    for cache in caches:
        cache.clear()
        cache.put(0, metadata={"value": stored}, i=0)
        for operator in ("$gt", "$gte", "$lt", "$lte"):
            if classed(wanted)[0] not in ORDERED:
                with pytest.raises(CacheConfigurationError, match="value"):
                    cache.count({"value": {operator: wanted}})
                continue
            holds = compares(stored, operator, wanted)
            assert cache.count({"value": {operator: wanted}}) == int(holds), operator
            assert cache.count({"value": {"$not": {operator: wanted}}}) == int(not holds), operator


def test_each_scalar_is_found_among_all(caches: list[Cache]) -> None:
    for cache in caches:
        cache.clear()
        for i, value in enumerate(SCALARS):
            cache.put(i, metadata={"value": value}, i=i)
        for wanted in SCALARS:
            assert _found(cache, {"value": wanted}) == [i for i, v in enumerate(SCALARS) if equals(v, wanted)], wanted
            if classed(wanted)[0] in ORDERED:
                expected = [i for i, value in enumerate(SCALARS) if compares(value, "$lt", wanted)]
                assert _found(cache, {"value": {"$lt": wanted}}) == expected, wanted


# ----- Documents of JSON, against a MongoDB. Excluded are the documented differences, and what the peer does not do as a
# MongoDB does: it takes true for 1 as Python does, `$gte: null` for `$ne`, and loses documents in which a dotted path
# leads to nothing if null or a negation is asked for.

numbers = st.integers(-3, 3) | st.sampled_from([0.5, 1.0, 2.5, -1.0, 2.0**53])
texts = st.sampled_from(["", "a", "b", "ab", "ba", "A", "ü", "a.b"])
atoms = st.none() | numbers | texts
documents = st.dictionaries(
    st.sampled_from("abc"),
    st.recursive(
        atoms,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xy"), inner, max_size=2),
        max_leaves=5,
    ),
    max_size=3,
)
paths = st.sampled_from(["a", "b", "c"])
dotted = st.sampled_from(["a.x", "a.y", "b.x.y", "a.0", "b.1", "a.0.x", "c.x.0"])
operand = numbers | texts


def _positive(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.one_of(
        st.builds(lambda value: {"$eq": value}, values | st.lists(values, min_size=1, max_size=2)),
        st.builds(lambda operator, value: {operator: value}, st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), operand),
        st.builds(lambda values: {"$in": values}, st.lists(values, max_size=3)),
        st.builds(lambda value: {"$regex": value}, st.sampled_from(["a", "^a", "b$", "^$", ".b", "[ü]"])),
        st.builds(lambda low, high: {"$gte": low, "$lt": high}, operand, operand),
    )


negative = st.one_of(
    st.builds(lambda value: {"$ne": value}, atoms),
    st.builds(lambda values: {"$nin": values}, st.lists(atoms, max_size=3)),
    st.builds(lambda condition: {"$not": condition}, _positive(atoms)),
)
filters = st.recursive(
    st.builds(lambda path, condition: {path: condition}, paths, _positive(atoms) | negative)
    | st.builds(lambda path, condition: {path: condition}, dotted, _positive(operand))
    | st.builds(lambda path, value: {path: {"$exists": value}}, paths, st.booleans())
    | st.builds(lambda path: {path: {"$exists": True}}, dotted)
    | st.builds(lambda path, value: {path: value}, paths, atoms),
    lambda inner: (
        st.builds(lambda parts: {"$and": parts}, st.lists(inner, min_size=1, max_size=3))
        | st.builds(lambda parts: {"$or": parts}, st.lists(inner, min_size=1, max_size=3))
        | st.builds(lambda part: {"$not": part}, inner)
    ),
    max_leaves=4,
)


def _as_mongo(where: dict[str, Any]) -> dict[str, Any]:
    """The filter in the peer's language, in which `$not` does not stand around a filter."""
    translated: dict[str, Any] = {}
    for name, value in where.items():
        if name in ("$and", "$or"):
            translated[name] = [_as_mongo(part) for part in value]
        elif name == "$not":
            translated["$nor"] = [_as_mongo(value)]
        else:
            translated[name] = value
    return translated


@settings(max_examples=times(400), deadline=None)
@given(st.lists(documents, min_size=1, max_size=6), st.lists(filters, min_size=1, max_size=6))
def test_a_mongodb_finds_the_same(caches: list[Cache], found: list[dict[str, Any]], wheres: list[Any]) -> None:
    collection = mongomock.MongoClient().db.documents
    collection.insert_many([{"_id": i, **document} for i, document in enumerate(found)])
    expected = [sorted(document["_id"] for document in collection.find(_as_mongo(where))) for where in wheres]
    for cache in caches:
        cache.clear()
        for i, document in enumerate(found):
            cache.put(i, metadata=document, i=i)
        for where, ids in zip(wheres, expected, strict=True):
            assert _found(cache, where) == ids, where
            assert cache.count(where) == len(ids)


# ----- Paths, places and operators.


def test_paths(cache: Cache) -> None:
    cache.put(0, i=0, metadata={"config": {"model": {"depth": 3}}, "runs": [{"loss": 0.5}, {"loss": 0.1}], "a.b": 1})
    cache.put(1, i=1, metadata={"config": {"model": {"depth": 5}}, "runs": [], "params": {"x": 1}, "$x": 2})
    cache.put(2, i=2, metadata={"config": [[{"model": 1}]], "runs": {"0": {"loss": 9}}, "entry": "mine", "0": "zero"})
    for where, found in (
        ({"config.model.depth": {"$gt": 3}}, [1]),
        ({"runs.0.loss": 0.5}, [0]),
        ({"runs.loss": 0.1}, [0]),
        ({"runs.1.loss": {"$exists": True}}, [0]),
        ({"runs.0.loss": 9}, [2]),
        ({"runs.2": None}, [0, 1, 2]),
        ({r"a\.b": 1}, [0]),
        ({"a.b": 1}, []),
        ({"metadata.params.x": 1}, [1]),
        ({"params.x": 1}, []),
        ({r"\$x": 2}, [1]),
        ({"entry": "mine"}, [2]),
        ({"0": "zero"}, [2]),
        ({"config.0.0.model": 1}, [2]),
        ({"params.i": {"$in": [0, 2]}}, [0, 2]),
    ):
        assert _found(cache, where) == found, where


def test_missing_and_null(cache: Cache) -> None:
    for i, metadata in enumerate(({"a": None}, {}, {"a": 0}, {"a": [None, 1]}, {"a": {"b": None}}, None)):
        cache.put(i, i=i, metadata=metadata)
    for where, found in (
        ({"a": None}, [0, 1, 3, 5]),
        ({"a": {"$exists": False}}, [1, 5]),
        ({"a": {"$exists": True}}, [0, 2, 3, 4]),
        ({"a": {"$ne": None}}, [2, 4]),
        ({"a": {"$in": [None, 0]}}, [0, 1, 2, 3, 5]),
        ({"a": {"$nin": [None]}}, [2, 4]),
        ({"a": {"$gte": None}}, [0, 1, 3, 5]),
        ({"a": {"$lt": None}}, []),
        ({"a.b": None}, [0, 1, 2, 3, 4, 5]),
        ({"a.b": {"$exists": True}}, [4]),
        ({"$not": {"a": 0}}, [0, 1, 3, 4, 5]),
        ({"a": {"$not": {"$gt": 0}}}, [0, 1, 2, 4, 5]),
    ):
        assert _found(cache, where) == found, where


def test_strings(cache: Cache) -> None:
    for i, name in enumerate(["fraud", "Fraud detection", "a.b", "übung\nfraud", ["x", "fraudulent"], 5, "50%_"]):
        cache.put(i, i=i, metadata={"name": name})
    for where, found in (
        ({"name": {"$regex": "^fraud"}}, [0, 4]),
        ({"name": {"$regex": "^FRAUD", "$options": "im"}}, [0, 1, 3, 4]),
        ({"name": re.compile("^FRAUD", re.IGNORECASE)}, [0, 1, 4]),
        ({"name": {"$not": {"$regex": "fraud"}}}, [1, 2, 5, 6]),
        ({"name": {"$contains": "."}}, [2]),
        ({"name": {"$contains": "%_"}}, [6]),
        ({"name": {"$contains": ""}}, [0, 1, 2, 3, 4, 6]),
        ({"name": {"$startswith": "ü"}}, [3]),
        ({"name": {"$startswith": "fraud"}}, [0, 4]),
        ({"name": {"$startswith": "Fraud"}, "params.i": {"$lt": 4}}, [1]),
    ):
        assert _found(cache, where) == found, where


def test_fields_of_the_entry(tmp_path: Path) -> None:
    clock = Clock(1_764_500_000)
    start = dt.datetime.fromtimestamp(1_764_500_000, dt.UTC)
    with Cache(tmp_path / "cache", clock=clock) as cache:

        @cached(cache_instance=cache)
        def square(x: int) -> int:
            return x * x

        square(3)
        cache.put(np.arange(10_000), i=1, description="numbers", ttl_seconds=60)
        clock.advance(3600)
        cache.put({"a": 1}, i=2)
        cache.pin(i=2)
        assert cache.get(i=2) == {"a": 1}
        for where, count in (
            ({"entry.data_type": "array"}, 1),
            ({"entry.data_type": {"$in": ["array", "plain"]}}, 3),
            ({"entry.function": {"$regex": "square$"}}, 1),
            ({"entry.function": None}, 2),
            ({"entry.description": {"$contains": "number"}}, 1),
            ({"entry.description": ""}, 2),
            ({"entry.expires_at": None}, 2),
            ({"entry.expires_at": {"$lt": start + dt.timedelta(minutes=2)}}, 1),
            ({"entry.created_at": {"$gt": start}}, 1),
            ({"entry.created": start}, 2),
            ({"entry.created_at": {"$lte": 1_764_500_000}}, 2),
            ({"entry.created_at": {"$lt": "2300-01-01T00:00Z"}}, 3),
            ({"entry.created_at": {"$lt": dt.date(2025, 1, 1)}}, 0),
            ({"entry.created_at": {"$lt": dt.datetime(2300, 1, 1)}}, 3),
            ({"entry.pinned": True}, 1),
            ({"entry.access_count": {"$gte": 1}}, 1),
            ({"entry.file_size": {"$gt": 100}, "entry.inline": False}, 0),
            ({"entry.cache_key": cache.cache_key(i=1)}, 1),
            ({"params.arguments.x": 3}, 1),
            ({}, 3),
        ):
            assert cache.count(where) == count == len(cache.list_entries(where=where)), where
        assert cache.count() == 3


# ----- Mistakes.

MISTAKES: list[tuple[Any, str]] = [
    ({"accuracy": {"$gtee": 1}}, r"\$gtee.*did you mean \$gte"),
    ({"accuracy": {"$size": 1}}, r"no operator \$size"),
    ({"$nor": [{"a": 1}]}, r"\$nor"),
    ({"accuracy": {"$gt": 1, "b": 2}}, "accuracy"),
    ({"accuracy": {"$gt": [1]}}, "accuracy.*list has no order"),
    ({"accuracy": {"$in": 1}}, r"\$in needs a list"),
    ({"accuracy": {"$exists": 1}}, r"\$exists"),
    ({"accuracy": {"$regex": "("}}, "no regular expression"),
    ({"accuracy": {"$regex": r"(a)\1"}}, "backreferences"),
    ({"accuracy": {"$regex": "a", "$options": "q"}}, "letter"),
    ({"accuracy": {"$options": "i"}}, r"\$regex beside"),
    ({"accuracy": {"$contains": 1}}, r"\$contains"),
    ({"$and": []}, r"\$and"),
    ({"$or": {"a": 1}}, r"\$or"),
    ({"$gt": 1}, "needs a field"),
    ({"entry.filesize": 1}, "did you mean entry.file_size"),
    ({"entry.created_at": "yesterday"}, "created_at.*no time"),
    ({"": 1}, "field"),
    ({"a..b": 1}, "field"),
    ({1: 2}, "named by a string"),
    ({"accuracy": object()}, "object is no value of a filter"),
    ({"accuracy": Fraction(1, 2)}, "Fraction"),
    ({"accuracy": pd.Series([1])}, "Series"),
    ({"accuracy": [pd.Series([1])]}, "Series"),
    ({"accuracy": re.compile(b"a")}, "Pattern"),
]


def _nested(depth: int) -> dict[str, Any]:
    where: dict[str, Any] = {"a": 1}
    for _ in range(depth):
        where = {"$not": where}
    return where


@pytest.mark.parametrize(("where", "message"), [*MISTAKES, (_nested(33), "nested"), (_nested(5000), "nested")])
def test_a_mistake_is_named_and_nothing_is_changed(cache: Cache, where: Any, message: str) -> None:
    cache.put(1, i=0, metadata={"accuracy": 0.95})
    with BlobStore(":memory:") as store:
        store.put(1, key="a", metadata={"accuracy": 0.95})
        for call in (
            cache.delete_matching,
            cache.touch_batch,
            cache.count,
            store.count,
            lambda where: cache.list_entries(where=where),
            lambda where: store.list(metadata_filter=where),
        ):
            with pytest.raises(CacheConfigurationError, match=re.compile(message, re.DOTALL)):
                call(where)
        assert len(store) == 1
    assert len(cache) == 1
    assert _nested(32) and cache.count(_nested(32)) == 0


def test_what_is_no_dictionary_is_no_filter(cache: Cache) -> None:
    cache.put(1, i=0)
    for wrong in (["a"], "accuracy > 1", 5, {"a"}):
        for call in (cache.delete_matching, cache.touch_batch, cache.count, lambda w: cache.list_entries(where=w)):
            with pytest.raises(TypeError, match="a filter is a dictionary"):
                call(wrong)
    for sort in (5, [5], {"a": 1}.values()):
        with pytest.raises(TypeError, match="sort is"):
            cache.list_entries(sort=sort)
    with pytest.raises(CacheConfigurationError, match="file_size"):
        cache.list_entries(sort="entry.filesize")
    assert len(cache) == 1


def test_an_empty_filter_deletes_nothing_by_accident(cache: Cache) -> None:
    for i in range(3):
        cache.put(i, i=i)
    for call in (lambda: cache.delete_matching({}), lambda: cache.touch_batch({}), lambda: cache.delete_matching()):
        with pytest.raises((CacheConfigurationError, TypeError)):
            call()
    assert len(cache) == 3
    assert cache.delete_matching({}, all=True) == 3
    cache.put(1, i=1)
    assert cache.delete_matching(all=True) == 1
    assert len(cache) == 0


class Color(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


def test_values_of_derived_classes_are_those_of_their_base(cache: Cache) -> None:
    cache.put(0, i=0, metadata={"color": "red", "level": 3, "config": {"a": 1}})
    cache.put(1, i=1, metadata={"color": "RED", "level": 2})
    for where in (
        {"color": Color.RED},
        {"level": {"$gte": Level.HIGH}},
        {"level": {"$in": [Level.HIGH]}},
        OrderedDict(config=OrderedDict(a=1)),
    ):
        assert _found(cache, where) == [0], where
    assert cache.delete_matching(color=Color.RED, level=Level.HIGH) == 1


def test_filters_delete_and_touch(cache: Cache) -> None:
    for i in range(10):
        cache.put(i, i=i, metadata={"accuracy": i / 10, "stage": "dev" if i % 2 else "prod"})
    assert cache.touch_batch({"accuracy": {"$gte": 0.5}}) == 5
    assert cache.delete_matching({"accuracy": {"$gte": 0.5}, "stage": "dev"}) == 3
    assert cache.delete_matching(accuracy={"$lt": 0.2}) == 2
    assert cache.delete_matching({"$or": [{"params.i": 2}, {"accuracy": 0.3}]}) == 2
    assert _found(cache, None) == [4, 6, 8]
    assert cache.delete_where({"params.i": {"$gt": 7}}) == 1
    assert _found(cache, None) == [4, 6]
    with pytest.raises(TypeError, match="not several"):
        cache.delete_matching({"a": 1}, b=2)
    with pytest.raises(TypeError, match="not both"):
        cache.touch_batch({"a": 1}, b=2)
