"""What comes out of a cache has the key of what went in, so that the next step of a pipeline is found again."""

from __future__ import annotations

from typing import Any

import hypothesis
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import test_arrays_properties
import test_pickle_properties
import test_plain
import test_tables_pandas
import test_tables_polars
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from soak import times

from cacheness import Cache, CacheSerializationError, hash_value


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with Cache(tmp_path_factory.mktemp("keys"), enable_memory_cache=False) as cache:
        yield cache


@pytest.fixture(scope="module")
def arrow(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with Cache(tmp_path_factory.mktemp("arrow"), enable_memory_cache=False, dataframe_format="arrow") as cache:
        yield cache


def key_of(value: Any) -> str:
    try:
        return hash_value(value)
    except CacheSerializationError:
        hypothesis.reject()


def assert_key_comes_back(cache: Cache, value: Any) -> None:
    key = key_of(value)
    try:
        cache.put(value, cache_key="k")
    except CacheSerializationError:
        hypothesis.reject()
    assert hash_value(value) == key, "putting a value does not change it"
    back = cache.get(cache_key="k")
    assert hash_value(back) == key, f"{value!r} came back as {back!r}"


ZONES = st.sampled_from([None, "UTC", "Europe/Berlin"])
FREQUENCIES = st.sampled_from(["D", "2h", "-1D", "MS", "B", "W-WED", "QS-FEB", "17min", "YE"])


@st.composite
def stamps(draw: st.DrawFn, rows: int) -> pd.Index:
    """An index of moments or spans, with or without a frequency."""
    if draw(st.booleans()):
        unit = draw(st.sampled_from(["s", "us", "ns"]))
        index = pd.timedelta_range(0, periods=rows, freq=draw(st.sampled_from(["D", "2h", "-3min"])), unit=unit)
    else:
        index = pd.date_range("2020-03-28", periods=rows, freq=draw(FREQUENCIES), tz=draw(ZONES))
    if draw(st.booleans()):
        return index
    return index._with_freq(None) if draw(st.booleans()) else index.append(index[:0])


@st.composite
def regular(draw: st.DrawFn, rows: int) -> pd.Index:
    """An index, with all that pandas remembers of how it was made."""
    kind = draw(
        st.sampled_from(["stamps", "intervals", "periods", "categories", "range", "numbers", "multi", "reversed"])
    )
    if kind == "stamps":
        return draw(stamps(rows)).rename(draw(test_tables_pandas.LABELS))
    if kind == "intervals":
        closed = draw(st.sampled_from(["left", "right", "both", "neither"]))
        if draw(st.booleans()):
            return pd.IntervalIndex.from_breaks(draw(stamps(rows + 1)).sort_values(), closed=closed)
        if draw(st.booleans()):
            return pd.interval_range(0.5, periods=rows, closed=closed) if rows else pd.RangeIndex(0)
        freq = draw(st.sampled_from(["D", "MS", "W-WED", "2h"]))
        return pd.interval_range(
            pd.Timestamp("2020", tz=draw(ZONES)), periods=rows, freq=freq, closed=closed, name="when"
        )
    if kind == "periods":
        return pd.period_range("2020", periods=rows, freq=draw(st.sampled_from(["D", "M", "Q-FEB", "2h"])))
    if kind == "categories":
        return pd.CategoricalIndex(draw(regular(rows)), ordered=draw(st.booleans()))
    if kind == "multi":
        return pd.MultiIndex.from_arrays([draw(stamps(rows)), np.arange(rows)], names=[None, "n"])
    if kind == "reversed":
        return draw(stamps(rows))[::-1]
    if kind == "range":
        start, step = draw(st.integers(-5, 5)), draw(st.sampled_from([1, -2, 7]))
        return pd.RangeIndex(start, start + rows * step, step)
    return pd.Index(draw(st.lists(st.floats(width=32), min_size=rows, max_size=rows)), dtype="float32")


@st.composite
def indexed(draw: st.DrawFn) -> Any:
    """A series or a frame of such an index, with another one as its column or its labels."""
    rows = draw(st.integers(0, 5))
    index = draw(regular(rows))
    columns = draw(st.lists(regular(rows), max_size=3))
    series = [pd.Series(column, index=index) for column in columns if not isinstance(column, pd.MultiIndex)]
    if not series:
        return pd.Series(np.arange(rows), index=index, name=draw(test_tables_pandas.LABELS))
    if draw(st.booleans()):
        return series[0]
    frame = pd.concat(series, axis=1)
    labels = draw(regular(len(series)))
    frame.columns = labels
    return frame


SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]


@settings(max_examples=times(100), suppress_health_check=SLOW)
@given(indexed())
def test_of_pandas_indexes(shared: Cache, value: Any) -> None:
    assert_key_comes_back(shared, value)


@settings(max_examples=times(60), suppress_health_check=SLOW)
@given(indexed())
def test_of_pandas_indexes_as_arrow(arrow: Cache, value: Any) -> None:
    assert_key_comes_back(arrow, value)


@settings(max_examples=times(100), suppress_health_check=SLOW)
@given(test_tables_pandas.frames())
def test_of_frames(shared: Cache, value: Any) -> None:
    assert_key_comes_back(shared, value)


@settings(max_examples=times(60), suppress_health_check=SLOW)
@given(test_tables_pandas.frames())
def test_of_frames_as_arrow(arrow: Cache, value: Any) -> None:
    assert_key_comes_back(arrow, value)


@settings(max_examples=times(60), suppress_health_check=SLOW)
@given(test_tables_polars.frames() | test_tables_polars.series())
def test_of_polars(shared: Cache, value: Any) -> None:
    assert_key_comes_back(shared, value)


ARROW = {
    pa.int8(): st.integers(-128, 127),
    pa.float16(): st.floats(width=16).map(np.float16),
    pa.float64(): st.floats(),
    pa.string(): st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
    pa.large_binary(): st.binary(max_size=4),
    pa.bool_(): st.booleans(),
    pa.timestamp("ns", "Europe/Berlin"): st.integers(0, 10**18),
    pa.date64(): st.integers(0, 10**4).map(lambda days: days * 86_400_000),
    pa.decimal128(10, 2): st.decimals(0, 99, places=2),
    pa.list_(pa.int16()): st.lists(st.integers(0, 9) | st.none(), max_size=3),
    pa.list_(pa.int16(), 2): st.lists(st.integers(0, 9), min_size=2, max_size=2),
    pa.struct({"a": pa.int8(), "b": pa.string()}): st.fixed_dictionaries({"a": st.none() | st.integers(0, 9)}),
    pa.dictionary(pa.int8(), pa.string()): st.sampled_from(["x", "y"]),
    pa.month_day_nano_interval(): st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)),
    pa.null(): st.none(),
}


@settings(max_examples=times(100), suppress_health_check=SLOW)
@given(st.data(), st.integers(0, 5), st.booleans())
def test_of_arrow(shared: Cache, data: st.DataObject, rows: int, metadata: bool) -> None:
    columns = {}
    for i, arrow_type in enumerate(data.draw(st.lists(st.sampled_from(list(ARROW)), max_size=4))):
        items = st.lists(ARROW[arrow_type] | st.none(), min_size=rows, max_size=rows)
        columns[f"c{i}"] = pa.array(data.draw(items), arrow_type)
    table = pa.table(columns)
    if metadata:
        table = table.replace_schema_metadata({"b": "1", "a": "2", "cacheness:table": "x"})
    assert_key_comes_back(shared, table)
    if columns:
        assert_key_comes_back(shared, table.column(0))
        assert_key_comes_back(shared, table.column(0).combine_chunks())
        assert_key_comes_back(shared, table.slice(1))


@settings(max_examples=times(100), suppress_health_check=SLOW)
@given(test_arrays_properties.arrays())
def test_of_arrays(shared: Cache, value: Any) -> None:
    assert_key_comes_back(shared, value)


@settings(max_examples=times(60), suppress_health_check=SLOW)
@given(test_pickle_properties.masked | test_pickle_properties.arrays | test_pickle_properties.large)
def test_of_masked_and_empty_arrays(shared: Cache, value: Any) -> None:
    assert_key_comes_back(shared, value)
    for scalar in np.asarray(value).ravel()[:1]:
        assert_key_comes_back(shared, scalar)


@settings(max_examples=times(150), suppress_health_check=SLOW)
@given(test_plain.values)
def test_of_plain_values(shared: Cache, value: Any) -> None:
    assert_key_comes_back(shared, value)


@settings(max_examples=times(100), suppress_health_check=SLOW)
@given(test_pickle_properties.objects)
def test_of_pickles(shared: Cache, value: Any) -> None:
    assert_key_comes_back(shared, test_pickle_properties.Record("outer", value))
    assert_key_comes_back(shared, [value])


@pytest.mark.parametrize(
    "value",
    [
        pd.Series(range(3), index=pd.interval_range(pd.Timestamp("2020"), periods=3, freq="D")),
        pd.Series(pd.interval_range(pd.Timestamp("2020", tz="Europe/Berlin"), periods=3, freq="MS")),
        pd.Series(range(3), index=pd.interval_range(pd.Timedelta(0), periods=3, freq="h")),
        pd.DataFrame(np.ones((2, 3)), columns=pd.interval_range(pd.Timestamp("2020"), periods=3, freq="W")),
        pd.Series(
            pd.cut(pd.date_range("2020", periods=9, freq="D"), pd.date_range("2019-12-31", periods=4, freq="4D"))
        ),
        pd.Series(pd.Categorical(pd.date_range("2020", periods=3, freq="D"))),
        pd.Timestamp("2020", tz="Europe/Berlin"),
        pd.Period("2020", freq="M"),
        pd.date_range("2020", periods=3, freq="MS", name="day"),
        pd.interval_range(pd.Timestamp("2020"), periods=3, freq="D"),
        pd.MultiIndex.from_product([[1, 2], pd.date_range("2020", periods=2, freq="D")]),
        pd.array([1, None], dtype="Int8"),
        pl.Series("x", [1, None], dtype=pl.Int128),
        pa.scalar(5, pa.timestamp("ns")),
        {"index": pd.interval_range(pd.Timestamp("2020"), periods=3, freq="D")},
    ],
    ids=lambda value: type(value).__name__,
)
def test_of_what_pandas_and_others_make(shared: Cache, arrow: Cache, value: Any) -> None:
    key = hash_value(value)
    for cache in (shared, arrow):
        cache.put(value, cache_key="k")
        assert hash_value(cache.get(cache_key="k")) == key
