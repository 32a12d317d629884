"""Polars frames and series come back as they were."""

from __future__ import annotations

import datetime as dt
import io
from decimal import Decimal

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal, assert_series_equal
from soak import times

from cacheness import _core
from cacheness.errors import CacheError, CacheSerializationError

ARROW = '{"dataframe_format": "arrow"}'
FORMATS = [
    None,
    ARROW,
    '{"dataframe_format": "arrow", "parquet_compression": "none"}',
    '{"parquet_compression": "zstd"}',
]


def through(value, config=None):
    stored = _core.table_dumps(value, config)
    assert stored is not None, "it was refused"
    return _core.table_loads(*stored)


def assert_same(back, value):
    assert type(back) is type(value)
    if isinstance(value, pl.Series):
        assert_series_equal(back, value, check_exact=True, check_names=True)
        back, value = back.to_frame(), value.to_frame()
    assert back.schema == value.schema
    assert back.columns == value.columns
    assert back.shape == value.shape
    assert_frame_equal(back, value, check_exact=True)
    for mine, theirs in zip(back, value, strict=True):
        assert repr(mine.to_list()) == repr(theirs.to_list())


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
DTYPES = {
    **{
        d: st.integers(0, 100)
        for d in (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64)
    },
    pl.Int128: st.integers(-(2**127), 2**127 - 1),
    pl.UInt128: st.integers(0, 2**128 - 1),
    pl.Float16: st.floats(width=16),
    pl.Float32: st.floats(width=32),
    pl.Float64: st.floats(),
    pl.Boolean: st.booleans(),
    pl.String: TEXTS,
    pl.Binary: st.binary(max_size=20),
    pl.Date: st.dates(),
    pl.Time: st.times(),
    pl.Null: st.none(),
    pl.Categorical: st.sampled_from(["x", "y", "a longer category"]),
    pl.Categorical(pl.Categories("mine", physical=pl.UInt8)): st.sampled_from(["x", "y"]),
    pl.Enum(["z", "unused", "a"]): st.sampled_from(["a", "z"]),
    pl.Decimal(10, 3): st.decimals(-999, 999, places=3),
    pl.Decimal(38, 0): st.integers(-(10**30), 10**30).map(Decimal),
    **{pl.Duration(u): st.timedeltas(dt.timedelta(-9), dt.timedelta(9)) for u in ("ms", "us", "ns")},
    **{pl.Datetime(u): st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1)) for u in ("ms", "us", "ns")},
    pl.Datetime("us", "Europe/Berlin"): st.datetimes(dt.datetime(1970, 1, 1), dt.datetime(2200, 1, 1)),
    pl.List(pl.Int64): st.lists(st.none() | st.integers(0, 9), max_size=3),
    pl.List(pl.List(pl.String)): st.lists(st.none() | st.lists(TEXTS, max_size=2), max_size=2),
    pl.List(pl.Categorical): st.lists(st.sampled_from(["x", "y"]), max_size=3),
    pl.Array(pl.Int8, 2): st.lists(st.integers(0, 9), min_size=2, max_size=2),
    pl.Array(pl.Float32, (2, 1)): st.lists(st.lists(st.just(1.5), min_size=1, max_size=1), min_size=2, max_size=2),
    pl.Struct({"a": pl.Int8, "b": pl.List(pl.Enum(["p", "q"]))}): st.fixed_dictionaries(
        {"a": st.none() | st.integers(0, 9), "b": st.none() | st.lists(st.sampled_from(["p", "q"]), max_size=2)}
    ),
}


def column(name, dtype, items):
    if dtype == pl.Datetime("us", "Europe/Berlin"):
        return (
            pl.Series(name, items, dtype=pl.Datetime("us"))
            .dt.replace_time_zone("UTC")
            .dt.convert_time_zone("Europe/Berlin")
        )
    return pl.Series(name, items, dtype=dtype)


@st.composite
def series(draw, rows=None):
    rows = draw(st.integers(0, 8)) if rows is None else rows
    dtype = draw(st.sampled_from(list(DTYPES)))
    items = draw(st.lists(st.none() | DTYPES[dtype], min_size=rows, max_size=rows))
    return column(draw(TEXTS), dtype, items)


@st.composite
def frames(draw):
    rows = draw(st.integers(0, 8))
    columns = draw(st.lists(series(rows), max_size=6, unique_by=lambda s: s.name))
    return pl.DataFrame(columns) if columns else pl.DataFrame(height=rows)


@settings(max_examples=times(200))
@given(frames(), st.sampled_from(FORMATS))
def test_frames_come_back(frame, config):
    assert_same(through(frame, config), frame)


@pytest.mark.parametrize("dtype", list(DTYPES), ids=str)
@settings(max_examples=times(8))
@given(st.data(), st.sampled_from(FORMATS))
def test_every_dtype_comes_back(dtype, data, config):
    items = data.draw(st.lists(st.none() | DTYPES[dtype], max_size=6))
    value = column("values", dtype, items)
    assert_same(through(value, config), value)


@pytest.mark.parametrize("config", FORMATS)
@pytest.mark.parametrize(
    "value",
    [
        pl.DataFrame(),
        pl.DataFrame(height=7),
        pl.DataFrame(schema={"a": pl.Int8, "": pl.String}),
        pl.Series("", [1, 2, 3]),
        pl.DataFrame({"a": range(10)})[2:5],
        pl.concat([pl.DataFrame({"a": ["x"]}), pl.DataFrame({"a": [None, "y"]})], rechunk=False),
        pl.DataFrame({"n": [None] * 3, "a": [1, 2, 3]}),
        pl.DataFrame(schema={"n": pl.Null, "l": pl.List(pl.Null)}),
        pl.DataFrame({"nul \0": [1], "\0": ["x"]}),
        pl.DataFrame({"e": pl.Series([], dtype=pl.Enum([]))}),
        pl.DataFrame({"s": pl.Series([{}, None], dtype=pl.Struct({}))}),
    ],
    ids=str,
)
def test_shapes_come_back(value, config):
    assert_same(through(value, config), value)


def test_categories_of_several_chunks_come_back():
    parts = [
        pl.DataFrame({"c": pl.Series([a, b], dtype=pl.Categorical)}) for a, b in (("x", "y"), ("z", None), ("y", "x"))
    ]
    for config in FORMATS:
        frame = pl.concat(parts, rechunk=False)
        assert_same(through(frame, config), frame)


def test_more_rows_than_a_row_group_come_back():
    frame = pl.select(
        pl.int_range(1_100_000).alias("i"),
        (pl.int_range(1_100_000) * 7919 % 1000).cast(pl.String).alias("s"),
        (pl.int_range(1_100_000) % 3 == 0).alias("b"),
        pl.from_epoch(pl.int_range(1_100_000) * 17).alias("t"),
        (pl.int_range(1_100_000) % 5).cast(pl.String).cast(pl.Categorical).alias("c"),
    ).with_columns(pl.when(pl.col("i") % 11 > 0).then(pl.col("i").sqrt()).alias("f"))
    back = through(frame)
    assert back.schema == frame.schema
    assert back.equals(frame)


def test_a_query_is_refused_with_a_sentence():
    with pytest.raises(CacheSerializationError, match=r"collect\(\)"):
        _core.table_dumps(pl.LazyFrame({"a": [1]}))


@pytest.mark.parametrize(
    "value",
    [
        pl.Series([object()], dtype=pl.Object),
        pl.DataFrame({"o": pl.Series([{"a": object()}], dtype=pl.Object)}),
        pl.DataFrame({"l": pl.Series([[2**100]], dtype=pl.List(pl.Int128))}),
        pl.Series([{"a\0": 1}]),
        pl.col("a"),
        pl.Int8,
    ],
    ids=repr,
)
def test_what_arrow_does_not_bring_back_is_refused(value):
    assert _core.table_dumps(value) is None


class Sub(pl.DataFrame):
    pass


def test_subclasses_are_refused():
    assert _core.table_dumps(Sub({"a": [1]})) is None


def test_other_tools_open_the_file():
    frame = pl.DataFrame({"i": [1, None], "c": pl.Series(["x", "y"], dtype=pl.Categorical), "s": ["a", None]})
    meta, payload = _core.table_dumps(frame)
    assert (meta["handler"], meta["data_type"], meta["storage_format"]) == ("polars_dataframes", "dataframe", "parquet")
    assert pq.read_table(io.BytesIO(payload)).to_pydict() == {"i": [1, None], "c": ["x", "y"], "s": ["a", None]}
    assert pl.read_parquet(payload)["i"].to_list() == [1, None]
    meta, payload = _core.table_dumps(frame, ARROW)
    assert meta["storage_format"] == "arrow"
    assert pa.ipc.open_file(payload).read_all()["s"].to_pylist() == ["a", None]
    assert pl.read_ipc(payload)["s"].to_list() == ["a", None]


@pytest.mark.parametrize("config", [None, ARROW])
def test_truncated_files_are_errors(config):
    meta, payload = _core.table_dumps(pl.DataFrame({"a": range(100), "s": [str(i) for i in range(100)]}), config)
    for length in range(0, len(payload), 31):
        with pytest.raises(CacheError):
            _core.table_loads(meta, payload[:length])
