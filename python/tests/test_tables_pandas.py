"""pandas frames and series come back as they were, or are refused so that another format takes them."""

from __future__ import annotations

import datetime as dt
import decimal
import io
import zoneinfo

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal, assert_index_equal, assert_series_equal
from soak import times

from cacheness import _core
from cacheness.errors import CacheError

ARROW = '{"dataframe_format": "arrow"}'
FORMATS = [
    None,
    ARROW,
    '{"dataframe_format": "arrow", "parquet_compression": "none"}',
    '{"parquet_compression": "zstd"}',
]


#: In place of a missing value: there is none.
PRESENT = object()


def through(value, config=None):
    stored = _core.table_dumps(value, config)
    assert stored is not None, "it was refused"
    return _core.table_loads(*stored)


def assert_same_index(back, index):
    assert type(back) is type(index)
    assert_index_equal(back, index, exact=True, check_exact=True)
    assert list(back.names) == list(index.names)
    assert [type(name) for name in back.names] == [type(name) for name in index.names]
    if isinstance(index, pd.MultiIndex):
        for mine, theirs in zip(back.levels, index.levels, strict=True):
            assert_index_equal(mine, theirs, exact=True)
        for mine, theirs in zip(back.codes, index.codes, strict=True):
            assert list(mine) == list(theirs)
    elif index.dtype == object:
        assert [type(label) for label in back] == [type(label) for label in index]
    assert getattr(back, "freq", None) == getattr(index, "freq", None)


def assert_same(back, value):
    assert type(back) is type(value)
    if isinstance(value, pd.DataFrame):
        assert_frame_equal(back, value, check_exact=True, check_freq=True, check_flags=True, check_column_type=True)
        assert_same_index(back.columns, value.columns)
        columns = [(back.iloc[:, i], value.iloc[:, i]) for i in range(value.shape[1])]
    else:
        assert_series_equal(back, value, check_exact=True, check_freq=True, check_flags=True, check_index_type=True)
        assert type(back.name) is type(value.name)
        columns = [(back, value)]
    assert_same_index(back.index, value.index)
    assert back.attrs == value.attrs
    for mine, theirs in columns:
        assert mine.dtype == theirs.dtype and repr(mine.dtype) == repr(theirs.dtype)
        if isinstance(theirs.dtype, pd.CategoricalDtype):
            assert_same_index(mine.cat.categories, theirs.cat.categories)
            assert list(mine.cat.codes) == list(theirs.cat.codes)
        if isinstance(theirs.dtype, pd.DatetimeTZDtype):
            assert type(mine.dtype.tz) is type(theirs.dtype.tz)
        if theirs.dtype == object:
            assert [(type(item), str(item)) for item in mine] == [(type(item), str(item)) for item in theirs]


def mixed(rows=6):
    return pd.DataFrame(
        {
            "ints": np.arange(rows),
            "floats": np.resize([1.5, np.nan, -0.0, np.inf], rows),
            "texts": pd.Series(np.resize(np.array(["a", None, "é", ""], dtype=object), rows), dtype="str"),
            "flags": np.resize([True, False], rows),
            "days": pd.date_range("2020-02-27", periods=rows),
            "zoned": pd.date_range("2020-03-28 23:00", periods=rows, freq="h", tz="Europe/Berlin", unit="ns"),
            "grades": pd.Categorical.from_codes(np.resize([0, 2, -1], rows), ["low", "unused", "high"], ordered=True),
            "spans": pd.timedelta_range(0, periods=rows, freq="min"),
        }
    )


DTYPES = {
    **{
        name: st.integers(0, 100) for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
    },
    **{name: st.floats(width=32) for name in ("float32", "float64")},
    "float16": st.floats(width=16),
    "complex64": st.complex_numbers(width=64),
    "complex128": st.complex_numbers(),
    "bool": st.booleans(),
    **{f"datetime64[{u}]": st.integers(-(10**9), 10**9) | st.none() for u in ("s", "ms", "us", "ns")},
    **{f"timedelta64[{u}]": st.integers(-(10**9), 10**9) | st.none() for u in ("s", "ms", "us", "ns")},
    **{
        n: st.integers(0, 100) | st.none()
        for n in ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64")
    },
    **{n: st.floats(width=32, allow_nan=False) | st.none() for n in ("Float32", "Float64")},
    "boolean": st.booleans() | st.none(),
    **{
        n: st.text(max_size=20).filter(_plain := lambda s: s.isprintable()) | st.none()
        for n in ("str", "string[python]", "string[pyarrow]")
    },
    "category": st.sampled_from(["x", "y", "Ω"]) | st.none(),
    "category of ints": st.sampled_from([3, 1, 2]) | st.none(),
    "ordered with unused": st.sampled_from(["x", "y"]) | st.none(),
    "int64[pyarrow]": st.integers(-5, 5) | st.none(),
    "double[pyarrow]": st.floats(allow_nan=False) | st.none(),
    "string of arrow": st.text(max_size=5).filter(_plain) | st.none(),
    "list of arrow": st.lists(st.integers(0, 9), max_size=3) | st.none(),
    "decimal of arrow": st.decimals(0, 99, places=2) | st.none(),
    "dictionary of arrow": st.sampled_from(["x", "y"]) | st.none(),
    "Europe/Berlin": st.integers(0, 2 * 10**9) | st.none(),
    "+05:30": st.integers(0, 2 * 10**9) | st.none(),
    "UTC": st.integers(0, 2 * 10**9) | st.none(),
    "period[M]": st.integers(0, 600) | st.none(),
    "interval": st.integers(0, 9) | st.none(),
    "objects of str": st.text(max_size=5).filter(_plain) | st.none(),
    "objects of str or nan": st.text(max_size=5).filter(_plain) | st.just(float("nan")),
    "objects of bytes": st.binary(max_size=5) | st.none(),
    "objects of int": st.integers(-(2**63), 2**63 - 1) | st.none(),
    "objects of float": st.floats() | st.none(),
    "objects of bool": st.booleans() | st.none(),
    "objects of date": st.dates() | st.none(),
    "objects of time": st.times().map(lambda time: time.replace(fold=0)) | st.none(),
    "objects of Decimal": st.decimals(0, 99, places=3) | st.none(),
}
ARROW_TYPES = {
    "string of arrow": pa.string(),
    "list of arrow": pa.list_(pa.int32()),
    "decimal of arrow": pa.decimal128(10, 2),
    "dictionary of arrow": pa.dictionary(pa.int8(), pa.string()),
}


def column(dtype, items):
    if dtype.startswith("objects"):
        values = np.empty(len(items), dtype=object)
        values[:] = items
        return pd.Series(values, dtype=object)
    if dtype.startswith(("datetime64", "timedelta64")):
        kind, unit = dtype[:-1].split("[")
        return pd.Series(
            np.array([np.datetime64("NaT").astype("int64") if i is None else i for i in items], "int64").view(
                f"{kind}[{unit}]"
            )
        )
    if dtype in ("Europe/Berlin", "+05:30", "UTC"):
        zone = dt.timezone(dt.timedelta(hours=5, minutes=30)) if dtype == "+05:30" else dtype
        stamps = np.array([np.datetime64("NaT").astype("int64") if i is None else i * 1000 for i in items], "int64")
        return pd.Series(pd.DatetimeIndex(stamps.view("M8[ms]")).tz_localize("UTC").tz_convert(zone))
    if dtype == "category of ints":
        return pd.Series(pd.Categorical(items, categories=[3, 1, 2]))
    if dtype == "ordered with unused":
        return pd.Series(pd.Categorical(items, categories=["y", "unused", "x"], ordered=True))
    if dtype == "period[M]":
        return pd.Series(
            pd.array([pd.NaT if i is None else pd.Period(ordinal=i, freq="M") for i in items], dtype=dtype)
        )
    if dtype == "interval":
        return pd.Series(
            pd.arrays.IntervalArray.from_tuples(
                [np.nan if i is None else (i, i + 0.5) for i in items], closed="left", dtype="interval[float64, left]"
            )
        )
    if dtype in ARROW_TYPES:
        return pd.Series(pd.array(pa.array(items, ARROW_TYPES[dtype]), dtype=pd.ArrowDtype(ARROW_TYPES[dtype])))
    if dtype == "double[pyarrow]":
        return pd.Series(pd.array(pa.array(items, pa.float64()), dtype=pd.ArrowDtype(pa.float64())))
    return pd.Series(items, dtype=dtype)


@st.composite
def columns(draw, rows):
    dtype = draw(st.sampled_from(sorted(DTYPES)))
    return column(dtype, draw(st.lists(DTYPES[dtype], min_size=rows, max_size=rows)))


LABELS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=4)
    | st.floats(allow_nan=False)
    | st.binary(max_size=3)
    | st.dates()
    | st.tuples(st.integers(), st.text(max_size=2))
)


@st.composite
def indexes(draw, rows):
    kind = draw(st.sampled_from(["range", "column", "multi", "dates", "periods", "objects", "intervals", "spans"]))
    name = draw(LABELS)
    if kind == "range":
        start, step = draw(st.integers(-5, 5)), draw(st.sampled_from([1, -2, 7]))
        return pd.RangeIndex(start, start + rows * step, step, name=name)
    if kind == "dates":
        zone = draw(st.sampled_from([None, "UTC", "America/New_York"]))
        freq = draw(st.sampled_from(["h", "3D", "MS", "W-WED", "B"]))
        return pd.date_range("2020-01-01", periods=rows, freq=freq, tz=zone, name=name)
    if kind == "spans":
        return pd.timedelta_range(0, periods=rows, freq="90min", name=name)
    if kind == "periods":
        return pd.period_range("2020", periods=rows, freq=draw(st.sampled_from(["D", "M", "Q-FEB", "2h"])), name=name)
    if kind == "intervals":
        return pd.interval_range(0, rows, periods=rows, name=name) if rows else pd.RangeIndex(0)
    if kind == "objects":
        numbers = st.integers(-(2**63), 2**63 - 1)
        labels = draw(st.lists(numbers | st.text(max_size=3), min_size=rows, max_size=rows))
        return pd.Index(labels, dtype=object, name=name) if len({type(x) for x in labels}) < 2 else pd.RangeIndex(rows)
    values = draw(columns(rows))
    if kind == "column":
        try:
            return pd.Index(values.array if values.dtype != object else values, dtype=values.dtype, name=name)
        except (NotImplementedError, TypeError):
            return pd.RangeIndex(rows)  # pandas has no index of this dtype
    left = draw(st.lists(st.sampled_from(["b", "a", None]), min_size=rows, max_size=rows))
    right = draw(st.lists(st.integers(0, 3), min_size=rows, max_size=rows))
    return pd.MultiIndex.from_arrays([left, right], names=[name, None])


@st.composite
def frames(draw):
    rows = draw(st.integers(0, 8))
    parts = draw(st.lists(columns(rows), max_size=5))
    index = draw(indexes(rows))
    frame = pd.DataFrame({i: part.set_axis(index) for i, part in enumerate(parts)}, index=index)
    labels = draw(st.lists(LABELS, min_size=len(parts), max_size=len(parts)))
    kind = draw(st.sampled_from(["range", "labels", "texts", "multi", "dates"]))
    if kind == "labels":
        frame.columns = pd.Index(labels, dtype=object, name=draw(LABELS), tupleize_cols=False)
    elif kind == "texts":
        frame.columns = pd.Index([str(label) for label in labels], dtype="str", name=draw(LABELS))
    elif kind == "multi" and parts:
        frame.columns = pd.MultiIndex.from_arrays(
            [[i % 2 for i in range(len(parts))], list("abcde")[: len(parts)]], names=["k", None]
        )
    elif kind == "dates":
        frame.columns = pd.date_range("2020", periods=len(parts), freq="D", tz="UTC")
    frame.attrs = draw(st.dictionaries(st.text(max_size=3), LABELS | st.lists(LABELS, max_size=2), max_size=2))
    return frame


@settings(max_examples=times(150))
@given(frames(), st.sampled_from(FORMATS))
def test_frames_come_back(frame, config):
    assert_same(through(frame, config), frame)


@settings(max_examples=times(100))
@given(st.data(), st.integers(0, 8), st.sampled_from(FORMATS))
def test_series_come_back(data, rows, config):
    series = data.draw(columns(rows)).set_axis(data.draw(indexes(rows))).rename(data.draw(LABELS))
    assert_same(through(series, config), series)


@pytest.mark.parametrize("dtype", sorted(DTYPES))
@pytest.mark.parametrize("config", FORMATS)
def test_every_dtype_comes_back_without_rows(dtype, config):
    assert_same(through(column(dtype, []), config), column(dtype, []))


@pytest.mark.parametrize("config", FORMATS)
@pytest.mark.parametrize(
    "frame",
    [
        mixed(),
        mixed(0),
        mixed()[[]],
        pd.DataFrame(),
        pd.DataFrame(index=pd.date_range("2020", periods=3, freq="W", name="week")),
        pd.DataFrame(columns=["a", "b"]),
        pd.concat([mixed(), mixed()], axis=1),
        pd.concat([mixed(), mixed()]),
        mixed().set_index(["texts", "ints"]),
        mixed().set_index("grades"),
        mixed().iloc[::-2],
        pd.DataFrame(np.arange(12.0).reshape(4, 3)),
        pd.DataFrame(np.asfortranarray(np.arange(12).reshape(4, 3)), columns=["x", "x", "y"]),
        mixed().groupby(["grades", "flags"], observed=False)["ints"].agg(["sum", "mean"]),
        mixed().pivot_table(index="flags", columns=["grades", "texts"], values="floats", observed=True),
        pd.DataFrame({"cut": pd.cut(np.arange(10), 3), "q": pd.qcut(np.arange(10), 4, labels=False)}),
        pd.DataFrame({"a": pd.Categorical([pd.Timestamp("2020"), None]), "b": pd.Categorical([True, False])}),
        pd.DataFrame({"__index_level_0__": [1], None: [2]}, index=[5]),
        pd.DataFrame(
            {
                "Float64": pd.array([1.0, np.nan], dtype="Float64"),
                "mask": pd.arrays.FloatingArray(np.array([np.nan, 1.0]), np.array([False, True])),
            }
        ),
    ],
)
def test_shapes_of_frames_come_back(frame, config):
    assert_same(through(frame, config), frame)


def test_unordered_levels_of_a_multi_index_come_back():
    index = pd.MultiIndex.from_product([pd.Index(["z", "a"]), pd.Index([3, 1, 2])], names=["k", "n"])[1:4]
    frame = pd.DataFrame({"v": range(3)}, index=index)
    back = through(frame)
    assert_same(back, frame)
    assert_frame_equal(back.unstack(), frame.unstack())


@pytest.mark.parametrize("config", [None, ARROW])
@pytest.mark.parametrize("categories", [[f"user {i}" for i in range(30_000)], list(range(30_000, 0, -1))])
def test_many_categories_come_back(categories, config):
    series = pd.Series(pd.Categorical.from_codes([5, -1, 29_999, 0], categories))
    assert_same(through(series, config), series)


def test_more_rows_than_a_row_group_come_back():
    frame = pd.concat([mixed(100_000)] * 11, ignore_index=True)
    frame["nullable"] = pd.array(np.arange(len(frame)), dtype="Int64")
    frame.loc[7, "nullable"] = pd.NA
    back = through(frame)
    assert_frame_equal(back, frame, check_exact=True)
    assert back.dtypes.equals(frame.dtypes)


@pytest.mark.parametrize("config", FORMATS[:2])
@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, PRESENT])
@pytest.mark.parametrize("kind", ["text", "bytes", "mostly different", "different in the middle"])
def test_many_strings_as_objects_come_back(kind, missing, config):
    rows = 40_000
    match kind:
        case "text":
            items = [f"é{i % 7}" if i % 3 else "" for i in range(rows)]
        case "bytes":
            items = [b"\0%d" % (i % 5) for i in range(rows)]
        case "mostly different":
            items = [str(i) for i in range(rows)]
        case _:
            items = ["a" if i < rows // 2 else str(i) for i in range(rows)]
    values = np.empty(rows, dtype=object)
    values[:] = items
    if missing is not PRESENT:
        values[::11] = missing
        values[-1] = missing
    assert_same(through(pd.Series(values, dtype=object), config), pd.Series(values, dtype=object))


def test_flags_come_back():
    frame = mixed().set_flags(allows_duplicate_labels=False)
    assert through(frame).flags.allows_duplicate_labels is False


def test_nan_and_na_among_objects_stay_apart():
    values = pd.Series([1.5, float("nan"), pd.NA], dtype=object)
    back = through(values)
    assert back[0] == 1.5 and type(back[1]) is float and back[2] is pd.NA


@pytest.mark.parametrize(
    "zone",
    [dt.UTC, zoneinfo.ZoneInfo("UTC"), zoneinfo.ZoneInfo("Asia/Kolkata"), dt.timezone(-dt.timedelta(hours=3))],
)
def test_time_zones_come_back_as_the_same_kind(zone):
    series = pd.Series(pd.date_range("2020-10-25", periods=4, freq="h", tz=zone))
    back = through(series)
    assert_same(back, series)
    assert type(back.dt.tz) is type(series.dt.tz)


class Text(str):
    pass


@pytest.mark.parametrize(
    "items",
    [
        ["a", 1],
        ["a", None, float("nan")],
        [[1]],
        [{"a": 1}],
        [2**64],
        ["\ud800"],
        [Text("a")],
        [np.float64(1)],
        [True, 1],
        [1.5, 1],
        [pd.Timestamp("2020")],
        [decimal.Decimal("1.0"), decimal.Decimal("1.00")],
        [decimal.Decimal("-0.0")],
        [decimal.Decimal("NaN")],
        [dt.datetime(2020, 1, 1)],
        [None, pd.NaT],
        [object()],
    ],
)
def test_objects_that_arrow_would_change_are_refused(items):
    values = np.empty(len(items), dtype=object)
    values[:] = items
    assert _core.table_dumps(pd.Series(values, dtype=object)) is None


class Sub(pd.DataFrame):
    @property
    def _constructor(self):
        return Sub


@pytest.mark.parametrize(
    "value",
    [
        Sub({"a": [1]}),
        pd.Series(pd.arrays.SparseArray([0, 0, 1])),
        pd.DataFrame({"a": [1]}, index=pd.Index([("x", 1)], tupleize_cols=False)),
        pd.Series([1], name=frozenset([1])),
        pd.Timestamp("2020"),
        pd.Index([1, 2]),
        pd.Series(np.array([1.0]).astype(">f8")),
    ],
)
def test_what_is_no_plain_table_is_refused(value):
    assert _core.table_dumps(value) is None


def test_attributes_that_are_no_plain_data_are_refused():
    frame = mixed()
    frame.attrs = {"unit": object()}
    assert _core.table_dumps(frame) is None


@pytest.mark.parametrize("config", FORMATS)
def test_what_comes_back_can_be_written_to(config):
    frame, back = mixed(), through(mixed(), config)
    for target in (frame, back):
        target.iloc[0, 0] = 99
        target.loc[1, "floats"] = 7.5
        target.loc[2, "texts"] = "changed"
        target.loc[0, "grades"] = "high"
        target.loc[0, "days"] = pd.Timestamp("1999-01-01")
        target.loc[0, "flags"] = False
        target["floats"] += 1
        target["new"] = target["ints"] * 2
        target.iloc[:, 1] *= 3
    assert_same(back, frame)
    numbers = through(pd.Series([1.0, 2.0]), config)
    assert numbers.array.to_numpy().flags.writeable == pd.Series([1.0, 2.0]).array.to_numpy().flags.writeable
    numbers.values.sort() if numbers.values.flags.writeable else None
    again = through(mixed(), config)
    assert_same(again, mixed())


def test_two_reads_share_no_memory():
    meta, payload = _core.table_dumps(pd.DataFrame({"a": np.arange(1000)}))
    first, second = _core.table_loads(meta, payload), _core.table_loads(meta, payload)
    first.iloc[0, 0] = -1
    assert second.iloc[0, 0] == 0


def test_other_tools_open_the_file(tmp_path):
    frame = mixed().rename(columns={"ints": 7}).set_index("texts")
    meta, payload = _core.table_dumps(frame)
    assert (meta["storage_format"], meta["extension"], meta["compression"]) == ("parquet", "parquet", "lz4")
    assert (meta["handler"], meta["data_type"]) == ("pandas_dataframes", "dataframe")
    table = pq.read_table(io.BytesIO(payload))
    assert table.column_names == ["7", "floats", "flags", "days", "zoned", "grades", "spans", "texts"]
    assert table["grades"].to_pylist() == ["low", "high", None, "low", "high", None]
    assert table["texts"].to_pylist() == ["a", None, "é", "", "a", None]
    path = tmp_path / "table.parquet"
    path.write_bytes(payload)
    assert list(pd.read_parquet(path)["7"]) == list(range(6))
    assert pl.read_parquet(path)["zoned"].to_list()[0].utcoffset() == dt.timedelta(hours=1)
    _, payload = _core.table_dumps(frame, ARROW)
    assert pa.ipc.open_file(payload).read_all()["days"].to_pylist()[0] == dt.datetime(2020, 2, 27)
    assert pl.read_ipc(io.BytesIO(payload)).height == 6


def test_duplicate_and_strange_names_are_unique_in_the_file():
    frame = pd.DataFrame([[1, 2, 3, 4]], columns=["a", "a", "a_2", "a\0"])
    _, payload = _core.table_dumps(frame)
    names = pq.read_table(io.BytesIO(payload)).column_names
    assert len(set(names)) == 4
    assert_same(through(frame), frame)


@pytest.mark.parametrize("config", [None, ARROW])
def test_truncated_and_changed_files_are_errors(config):
    meta, payload = _core.table_dumps(mixed(), config)
    for length in range(0, len(payload), 97):
        with pytest.raises(CacheError):
            _core.table_loads(meta, payload[:length])
    for place in range(0, len(payload), 53):
        changed = bytearray(payload)
        changed[place] ^= 0x55
        try:
            _core.table_loads(meta, bytes(changed))
        except CacheError:
            continue


def test_a_description_that_does_not_fit_is_an_error():
    meta, payload = _core.table_dumps(pd.DataFrame({"a": [1]}))
    table = pq.read_table(io.BytesIO(payload))
    sink = io.BytesIO()
    metadata = {b"cacheness:table": table.schema.metadata[b"cacheness:table"].replace(b'"rows":1', b'"rows":2')}
    pq.write_table(table.replace_schema_metadata(metadata), sink)
    with pytest.raises(CacheError):
        _core.table_loads(meta, sink.getvalue())
    pq.write_table(
        table.replace_schema_metadata({b"cacheness:table": b'{"version":99,"package":"pandas"}'}), sink := io.BytesIO()
    )
    with pytest.raises(CacheError, match="newer release"):
        _core.table_loads(meta, sink.getvalue())
