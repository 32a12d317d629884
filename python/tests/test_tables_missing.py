"""Missing numbers: other tools find them where pandas says they are, and each comes back as it was, to the bit."""

from __future__ import annotations

import io
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal
from soak import times

from cacheness import Cache, _core

ARROW = '{"dataframe_format": "arrow"}'
MAPPED = '{"dataframe_format": "arrow", "parquet_compression": "none"}'
FORMATS = [None, '{"parquet_compression": "zstd"}', ARROW, MAPPED]

#: Bits of NaN: what `numpy.nan` is, its negative (which 0/0 gives on x86), a signalling one and one with a payload.
NANS = {
    "float16": [0x7E00, 0xFE00, 0x7C01, 0x7E37],
    "float32": [0x7FC00000, 0xFFC00000, 0x7F800001, 0x7FC00037],
    "float64": [0x7FF8000000000000, 0xFFF8000000000000, 0x7FF0000000000001, 0x7FF8000000000037],
}
PATTERNS = {"usual": [0], "negative": [1], "signalling": [2], "two": [0, 1], "two unusual": [1, 3], "all": [0, 1, 2, 3]}


def floats(dtype, pattern, rows=40):
    values = np.resize(np.array([1.5, -0.0, np.inf, -np.inf, 0.0, 2.25, -3.0], dtype), rows)
    bits = values.view(f"u{values.itemsize}")
    bits[::3] = np.resize(np.array([NANS[dtype][i] for i in PATTERNS[pattern]], bits.dtype), len(bits[::3]))
    return values


def stored(value, config=None):
    found = _core.table_dumps(value, config)
    assert found is not None, "it was refused"
    return found


def read(meta, payload):
    """The file, as PyArrow reads it."""
    if meta["storage_format"] == "parquet":
        return pq.read_table(io.BytesIO(payload))
    return pa.ipc.open_file(payload).read_all()


def bits_of(values):
    array = np.ascontiguousarray(np.asarray(values))
    return array.view(f"u{array.itemsize}").tolist()


@pytest.mark.parametrize("config", FORMATS)
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("dtype", NANS)
def test_every_nan_comes_back_to_the_bit_and_is_null_to_others(dtype, pattern, config):
    values = floats(dtype, pattern)
    # There is no index of 16-bit floats.
    index = pd.Index(floats("float32" if dtype == "float16" else dtype, pattern)[::-1], name="k")
    frame = pd.DataFrame({"x": values, "i": np.arange(len(values))}, index=index)
    meta, payload = stored(frame, config)
    back = _core.table_loads(meta, payload)
    assert_frame_equal(back, frame, check_exact=True)
    assert bits_of(back["x"]) == bits_of(frame["x"])
    assert bits_of(back.index) == bits_of(frame.index)
    back["x"] = back["x"] + 1
    table, truth = read(meta, payload), pa.Table.from_pandas(frame)
    assert table["x"].equals(truth["x"]) and table["k"].equals(truth["k"])
    polars = pl.read_parquet(io.BytesIO(payload)) if meta["storage_format"] == "parquet" else pl.from_arrow(table)
    assert polars["x"].null_count() == frame["x"].isna().sum() == 14
    assert polars["x"].cast(pl.Float64).is_nan().sum() == 0


@pytest.mark.parametrize("dtype", NANS)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_series_come_back_to_the_bit(dtype, pattern):
    series = pd.Series(floats(dtype, pattern), name="s")
    meta, payload = stored(series)
    assert bits_of(_core.table_loads(meta, payload)) == bits_of(series)
    assert read(meta, payload)["s"].null_count == 14


@pytest.mark.parametrize("pattern", PATTERNS)
def test_duckdb_computes_what_pandas_computes(tmp_path: Path, pattern):
    frame = pd.DataFrame({"carrier": list("AABBB"), "delay": [1.0, 0.0, 2.0, 0.0, 4.0]})
    values = frame["delay"].to_numpy(copy=True)
    values.view("u8")[[1, 3]] = np.resize(np.array([NANS["float64"][i] for i in PATTERNS[pattern]], "u8"), 2)
    frame["delay"] = values
    with Cache(tmp_path / "cache", inline_threshold_bytes=0) as cache:
        cache.put(frame, cache_key="delays")
        (path,) = (tmp_path / "cache" / "blobs").rglob("*.parquet")
        ask = f"select carrier, count(delay), avg(delay), sum(delay) from '{path}' group by carrier order by carrier"
        grouped = frame.groupby("carrier")["delay"]
        wanted = pd.DataFrame({"n": grouped.count(), "mean": grouped.mean(), "sum": grouped.sum()})
        assert duckdb.sql(ask).fetchall() == list(wanted.itertuples(name=None))
        frame.to_parquet(tmp_path / "by_pandas.parquet")
        assert duckdb.sql(ask.replace(str(path), str(tmp_path / "by_pandas.parquet"))).fetchall() == list(
            wanted.itertuples(name=None)
        )
        assert duckdb.sql(f"select count(*) from '{path}' where delay is null").fetchall() == [(2,)]
        means = pl.read_parquet(path).group_by("carrier").agg(pl.col("delay").mean()).sort("carrier")["delay"]
        assert means.to_list() == wanted["mean"].tolist()
        assert bits_of(cache.get(cache_key="delays")["delay"]) == bits_of(values)


@pytest.mark.parametrize("config", FORMATS)
def test_types_that_tell_nan_from_missing_keep_both(config):
    frame = pd.DataFrame(
        {
            "Float64": pd.arrays.FloatingArray(np.array([np.nan, 1.0, 2.0]), np.array([False, True, False])),
            "Float32": pd.arrays.FloatingArray(np.array([np.nan, 1, 2], "f4"), np.array([False, True, False])),
            "arrow": pd.array(pa.array([float("nan"), None, 2.0]), dtype=pd.ArrowDtype(pa.float64())),
        }
    )
    meta, payload = stored(frame, config)
    back = _core.table_loads(meta, payload)
    for name in ("Float64", "Float32"):
        assert back[name].array._mask.tolist() == [False, True, False]
        assert np.isnan(back[name].array._data[0])
    assert back["arrow"].array.__arrow_array__().is_null().to_pylist() == [False, True, False]
    table = read(meta, payload)
    for name in frame:
        assert table[name].is_null().to_pylist() == [False, True, False]
        assert np.isnan(table[name][0].as_py())


@pytest.mark.parametrize("config", FORMATS)
def test_polars_and_arrow_keep_nan_and_null_apart(config):
    for value in (
        pl.DataFrame({"x": [1.5, None, float("nan")]}),
        pl.Series("x", [1.5, None, float("nan")]),
        pa.table({"x": [1.5, None, float("nan")]}),
    ):
        meta, payload = stored(value, config)
        column = read(meta, payload)["x"]
        assert column.is_null().to_pylist() == [False, True, False] and np.isnan(column[2].as_py())
        back = _core.table_loads(meta, payload)
        assert back.equals(value) or isinstance(value, pa.Table)
        if isinstance(value, pa.Table):
            assert back["x"].is_null().to_pylist() == [False, True, False]


def unusual(bits=0xFFF8000000000000):
    return np.array([bits], "u8").view("f8").item()


@pytest.mark.parametrize("config", FORMATS)
@pytest.mark.parametrize(
    "items",
    [
        [1.5, float("nan")],
        [1.5, unusual()],
        [1.5, unusual(), float("nan")],
        [float("nan"), float("nan")],
        [1.5, None, float("nan")],
        [1.5, None, unusual(), None, float("nan")],
        [pd.NA, 1.5, float("nan"), unusual()],
        [None, float("nan")],
        [1.5, None],
        [1.5, -0.0],
    ],
    ids=str,
)
def test_numbers_as_objects(items, config):
    values = np.empty(len(items), dtype=object)
    values[:] = items
    series = pd.Series(values, dtype=object, name="x")
    meta, payload = stored(series, config)
    column = read(meta, payload)["x"]
    assert column.is_null().to_pylist() == series.isna().tolist()
    back = _core.table_loads(meta, payload)
    assert [type(item) for item in back] == [type(item) for item in items]
    number = [(i, item) for i, item in enumerate(items) if type(item) is float]
    assert bits_of([back[i] for i, _ in number]) == bits_of([item for _, item in number])


@pytest.mark.parametrize("config", FORMATS)
@pytest.mark.parametrize("patterns", [(0, 0), (1, 1), (0, 1), (2, 3)])
def test_missing_intervals(patterns, config):
    ends = np.array([0.0, 1.0, 2.0, 3.0])
    ends.view("u8")[1] = NANS["float64"][patterns[0]]
    ends.view("u8")[3] = NANS["float64"][patterns[1]]
    series = pd.Series(pd.arrays.IntervalArray.from_arrays(ends, ends.copy(), closed="both"), name="x")
    assert series.isna().sum() == 2
    meta, payload = stored(series, config)
    back = _core.table_loads(meta, payload)
    pd.testing.assert_series_equal(back, series, check_exact=True)
    for side in ("left", "right"):
        assert bits_of(getattr(back.array, side)) == bits_of(getattr(series.array, side))
    if len(set(patterns)) == 1:
        assert read(meta, payload)["x"].is_null().to_pylist() == series.isna().tolist()


@pytest.mark.parametrize("dtype", ["datetime64[s]", "datetime64[ns, UTC]", "timedelta64[ms]"])
def test_missing_intervals_of_times(dtype):
    starts = pd.Series([1, None, 3], dtype="Int64").astype("float").astype("Int64")
    starts = pd.Index([pd.NaT if item is pd.NA else item for item in starts]).astype(dtype)
    series = pd.Series(pd.arrays.IntervalArray.from_arrays(starts, starts + pd.Timedelta(1, "s")), name="x")
    meta, payload = stored(series)
    pd.testing.assert_series_equal(_core.table_loads(meta, payload), series)
    assert read(meta, payload)["x"].is_null().to_pylist() == [False, True, False]


@settings(max_examples=times(60))
@given(
    bits=st.lists(
        st.lists(st.integers(0, 2**64 - 1) | st.sampled_from(NANS["float64"]), min_size=5, max_size=5), max_size=4
    ),
    half=st.lists(st.integers(0, 2**16 - 1), min_size=5, max_size=5),
    config=st.sampled_from(FORMATS),
)
def test_any_bits_come_back(bits, half, config):
    frame = pd.DataFrame({f"c{i}": np.array(column, "u8").view("f8") for i, column in enumerate(bits)})
    frame["half"] = np.array(half, "u2").view("f2")
    frame["__nan_half__"] = frame["half"]
    meta, payload = stored(frame, config)
    back = _core.table_loads(meta, payload)
    assert list(back) == list(frame)
    table = read(meta, payload)
    for name in frame:
        assert bits_of(back[name]) == bits_of(frame[name])
        assert table[name].is_null().to_pylist() == frame[name].isna().tolist()


@pytest.mark.parametrize("dtype", NANS)
def test_files_whose_nan_are_no_nulls_are_still_read(dtype):
    """As they were written before, and as Arrow data of other programs may be."""
    values = floats(dtype, "all")
    frame = pd.DataFrame({"x": values})
    meta, payload = stored(frame)
    table = read(meta, payload)
    place = table.column_names.index("x")
    table = table.set_column(place, pa.field("x", table["x"].type, nullable=False), [pa.array(values)])
    description = table.schema.metadata[b"cacheness:table"].decode()
    assert '"nans":1' in description
    description = description.replace(',"nans":1', "").encode()
    table = table.drop_columns("__nan_x__").replace_schema_metadata({b"cacheness:table": description})
    sink = io.BytesIO()
    pq.write_table(table, sink)
    assert bits_of(_core.table_loads(meta, sink.getvalue())["x"]) == bits_of(values)


def test_a_frame_without_nan_has_no_nulls():
    _, payload = stored(pd.DataFrame({"x": np.arange(5.0), "h": np.arange(5, dtype="f2")}))
    schema = pq.read_schema(io.BytesIO(payload))
    assert not any(field.nullable for field in schema) and len(schema) == 2
