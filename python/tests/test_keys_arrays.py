"""Keys of arrays and tables: content and type, whatever the layout."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cacheness import _core


def key(value: Any) -> bytes:
    return _core.encode_params({"x": value})


def shown(value: Any) -> Any:
    return _core.render_params(key(value))["x"]


def distinct(values: list[Any]) -> None:
    seen: dict[bytes, Any] = {}
    for value in values:
        encoding = key(value)
        assert encoding not in seen, f"{value!r} has the key of {seen[encoding]!r}"
        seen[encoding] = value


DTYPES = [
    "?",
    "i1",
    "u1",
    "i2",
    "<i4",
    ">i4",
    "i8",
    "u8",
    "f2",
    "f4",
    "f8",
    ">f8",
    "g",
    "F",
    "D",
    "G",
    "m8[ns]",
    "M8[D]",
    "M8[ns]",
    "S3",
    "U3",
    "V3",
]


@pytest.mark.parametrize("dtype", DTYPES)
def test_layout_does_not_matter(dtype: str) -> None:
    array = np.arange(24).astype("V3" if dtype == "V3" else dtype).reshape(2, 3, 4)
    expected = key(array)
    large = np.zeros((4, 5, 8), dtype=array.dtype)
    large[::2, 1:4, ::-2] = array
    for same in (np.asfortranarray(array), large[::2, 1:4, ::-2], array.copy().transpose(2, 0, 1).transpose(1, 2, 0)):
        assert key(same) == expected
    assert key(array.reshape(6, 4)) != expected
    changed = array.copy()
    changed[1, 2, 3] = changed[0, 0, 0]
    assert key(changed) != expected
    read_only = array.copy()
    read_only.flags.writeable = False
    assert key(read_only) == expected


def test_different_arrays_have_different_keys() -> None:
    distinct(
        [np.zeros(0, dtype=dtype) for dtype in DTYPES]
        + [np.zeros((0, n)) for n in range(1, 4)]
        + [np.zeros(()), np.zeros(1), np.float64(0), 0.0, np.float32(0), np.zeros((1, 1)), np.zeros(2), [0.0]]
        + [np.array([1, 2], dtype=object), np.array([1, 2.0], dtype=object), np.array(["ab"]), np.array(["ab"], "T")]
        + [np.ma.array([1, 2]), np.ma.array([1, 2], mask=[0, 1]), np.ma.array([1, 0], mask=[0, 1]).data]
        + [np.str_("a"), "a", np.bytes_(b"a"), b"a", np.bool_(True), True, np.int64(1), 1, np.datetime64(1, "s")]
        + [np.datetime64(1, "ms"), np.timedelta64(1, "s"), np.datetime64("NaT"), np.dtype("f8"), np.dtype("f4")]
        + [np.rec.array([(1, 2.0)]), np.array([(1, 2.0)], dtype="i8,f8"), np.float64, np.sin, np.cos]
    )


def test_the_constant_that_is_masked() -> None:
    assert _core.cache_key({"x": np.ma.masked}) == _core.cache_key({"x": np.ma.masked})
    assert _core.cache_key({"x": np.ma.masked}) != _core.cache_key({"x": np.ma.array(0.0, mask=True)})
    assert _core.render_params(_core.encode_params({"x": [np.ma.masked]})) == {"x": ["numpy.ma:masked"]}


def test_bytes_that_belong_to_no_item_do_not_matter() -> None:
    dtype = np.dtype([("a", "i1"), ("b", "f8"), ("c", [("d", "i1"), ("e", "i4")], (2,))], align=True)
    one, two = (np.frombuffer(bytearray([fill]) * dtype.itemsize * 3, dtype) for fill in (0, 255))
    for array in (one, two):
        array["a"], array["b"], array["c"] = 1, 2, 3
    assert one.tobytes() != two.tobytes()
    assert key(one) == key(two)
    assert key(one[0]) == key(two[0])
    two["c"]["e"][2, 1] = 4
    assert key(one) != key(two)

    extended, dirty = np.zeros(3, np.longdouble), np.zeros(3, np.longdouble)
    extended[:] = dirty[:] = np.longdouble(1) / 3
    if np.finfo(np.longdouble).nmant == 63:
        dirty.view(np.uint8).reshape(3, 16)[:, 10:] = 0xAA
    assert key(extended) == key(dirty)
    assert key(extended[0]) == key(dirty[0])
    dirty[2] = np.nextafter(dirty[2], np.longdouble(1))
    assert key(extended) != key(dirty)

    masked = [np.ma.array([1, hidden, 3], mask=[0, 1, 0]) for hidden in (2, -7)]
    assert key(masked[0]) == key(masked[1])
    assert key(np.ma.array([1, 2])) == key(np.ma.array([1, 2], mask=[0, 0]))


def test_memory_maps_are_arrays(tmp_path: Any) -> None:
    np.save(tmp_path / "a.npy", np.arange(5.0))
    assert key(np.load(tmp_path / "a.npy", mmap_mode="r")) == key(np.arange(5.0))


@given(hnp.arrays(hnp.scalar_dtypes(), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)))
def test_any_array(array: np.ndarray) -> None:
    assert key(array) == key(array.copy(order="F")) == key(array.copy(order="C"))
    _core.render_params(key(array))
    if array.size:
        assert key(array) != key(array.reshape(1, *array.shape))


def test_large_arrays_from_threads() -> None:
    from concurrent.futures import ThreadPoolExecutor

    arrays = [np.full(200_000 + i % 2, i % 3) for i in range(24)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(key, arrays)) == [key(array) for array in arrays]


# ----- pandas


def frames() -> dict[str, pd.DataFrame]:
    base = {"a": [1, 2, 3], "b": ["x", "y", None]}
    return {
        "base": pd.DataFrame(base),
        "index": pd.DataFrame(base, index=[5, 6, 7]),
        "index name": pd.DataFrame(base).rename_axis("i"),
        "columns name": pd.DataFrame(base).rename_axis("c", axis=1),
        "column": pd.DataFrame(base).rename(columns={"a": "A"}),
        "duplicate columns": pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"]),
        "order of columns": pd.DataFrame(base)[["b", "a"]],
        "float": pd.DataFrame(base).astype({"a": "float64"}),
        "int32": pd.DataFrame(base).astype({"a": "int32"}),
        "nullable": pd.DataFrame(base).astype({"a": "Int64"}),
        "nullable missing": pd.DataFrame({**base, "a": pd.array([1, None, 3], dtype="Int64")}),
        "nullable zero": pd.DataFrame({**base, "a": pd.array([1, 0, 3], dtype="Int64")}),
        "boolean": pd.DataFrame({"a": pd.array([True, None], dtype="boolean")}),
        "object": pd.DataFrame(base).astype({"b": object}),
        "string": pd.DataFrame(base).astype({"b": "string"}),
        "arrow": pd.DataFrame(base).astype({"a": "int64[pyarrow]"}),
        "category": pd.DataFrame(base).astype({"b": "category"}),
        "ordered": pd.DataFrame({"b": pd.Categorical(["x", "y"], ordered=True)}),
        "category of ints": pd.DataFrame({"b": pd.Categorical([1, 2])}),
        "unused category": pd.DataFrame({"b": pd.Categorical([1, 2], categories=[1, 2, 3])}),
        "zone": pd.DataFrame({"t": pd.to_datetime(["2024-01-01"]).tz_localize("Europe/Berlin")}),
        "other zone": pd.DataFrame({"t": pd.to_datetime(["2024-01-01"]).tz_localize("Europe/Paris")}),
        "no zone": pd.DataFrame({"t": pd.to_datetime(["2023-12-31 23:00"])}),
        "period": pd.DataFrame({"t": pd.period_range("2024-01", periods=2, freq="M")}),
        "period by day": pd.DataFrame({"t": pd.period_range("2024-01", periods=2, freq="D")}),
        "interval": pd.DataFrame({"t": pd.interval_range(0, 2)}),
        "interval closed": pd.DataFrame({"t": pd.interval_range(0, 2, closed="left")}),
        "sparse": pd.DataFrame({"t": pd.arrays.SparseArray([0, 1])}),
        "rows MultiIndex": pd.DataFrame({"v": [1, 2]}, index=pd.MultiIndex.from_tuples([(1, "a"), (2, "b")])),
        "columns MultiIndex": pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([(1, "a"), (2, "b")])),
        "empty": pd.DataFrame(),
        "rows only": pd.DataFrame(index=[1, 2]),
        "columns only": pd.DataFrame(columns=["a"]),
        "nested": pd.DataFrame({"a": [[1], {"b": 2}]}),
        "integer columns": pd.DataFrame([[1, 2]]),
    }


def test_different_frames_have_different_keys() -> None:
    distinct([*frames().values(), pd.Series([1, 2]), pd.Series([1, 2], name="a"), pd.Index([1, 2]), pd.array([1, 2])])
    attributed = pd.DataFrame({"a": [1]})
    before = key(attributed)
    attributed.attrs["source"] = "here"
    assert key(attributed) != before


@pytest.mark.parametrize("name", list(frames()))
def test_a_copy_of_a_frame_has_its_key(name: str) -> None:
    frame = frames()[name]
    assert key(frame.copy()) == key(frame)
    assert key(frame.iloc[::-1].iloc[::-1] if len(frame) and name != "period" else frame) == key(frame) or isinstance(
        frame.index, pd.RangeIndex
    )


def test_storage_of_strings_does_not_matter() -> None:
    values = ["a", None, "", "日本", "a longer string than others"]
    by_python = pd.Series(values, dtype=pd.StringDtype("python"))
    by_arrow = pd.Series(values, dtype=pd.StringDtype("pyarrow"))
    assert key(by_python) == key(by_arrow)
    assert key(by_python.iloc[::-1]) != key(by_python)


def test_scalars_of_pandas_to_the_nanosecond() -> None:
    distinct(
        [
            pd.Timestamp(2024, 1, 1),
            pd.Timestamp("2024-01-01T00:00:00.000000001"),
            pd.Timestamp("2024-01-01", tz="UTC"),
            pd.Timestamp("2024-01-01", tz="Europe/Berlin"),
            pd.Timestamp("2023-12-31T23:00", tz="UTC"),
            dt.datetime(2024, 1, 1),
            pd.Timedelta(1, "D"),
            pd.Timedelta(1, "ns"),
            dt.timedelta(1),
            pd.Period("2024", "Y"),
            pd.Period("2024-01", "M"),
            pd.Interval(0, 1),
            pd.Interval(0, 1, "both"),
            pd.NaT,
            pd.NA,
            None,
        ]
    )
    assert key(pd.Timestamp(2024, 1, 1)) == key(pd.Timestamp(2024, 1, 1).as_unit("s"))
    zones = [dt.UTC, zoneinfo.ZoneInfo("UTC"), "UTC"]
    assert len({key(pd.Timestamp("2024-01-01", tz=zone)) for zone in zones}) == 1


# ----- Polars, Arrow


def test_arrow_content_is_what_counts() -> None:
    table = pa.table({"a": [1, 2, None, 4], "b": ["x", None, "z", ""]})
    chunked = pa.concat_tables([table.slice(0, 1), table.slice(1, 2), table.slice(3)])
    assert chunked.column("a").num_chunks > 1
    assert key(table) == key(chunked) == key(table.combine_chunks().to_batches()[0])
    assert key(table) == key(table.replace_schema_metadata({"pandas": "…"}))
    assert key(pa.chunked_array([[1], [2]])) == key(pa.array([1, 2]))
    assert key(pa.array(["a"], pa.large_string())) == key(pa.array(["a"], pa.string_view())) == key(pa.array(["a"]))
    assert key(pa.array([1, 1, None]).dictionary_encode()) == key(
        pa.DictionaryArray.from_arrays(pa.array([1, 1, None]), pa.array([5, 1]))
    )
    encoded = pa.RunEndEncodedArray.from_arrays(pa.array([2, 3], pa.int32()), pa.array([1.5, None]))
    again = pa.RunEndEncodedArray.from_arrays(pa.array([1, 2, 9], pa.int32()), pa.array([1.5, 1.5, None]))
    assert key(encoded) == key(again.slice(0, 3))
    distinct(
        [
            table,
            table.rename_columns(["a", "c"]),
            table.select(["b", "a"]),
            table.slice(1),
            table.cast(pa.schema([("a", pa.int32()), ("b", pa.string())])),
            pa.table({}),
            pa.table({"a": pa.nulls(4)}),
            pa.array([1, 2]),
            pa.array([1, 2], pa.int32()),
            pa.array([1, None]),
            pa.array([1, 0]),
            pa.array([[1], [2]]),
            pa.array([[1, 2]]),
            pa.array([[1], [2]], pa.list_(pa.int64(), 1)),
            pa.array([{"a": 1}]),
            pa.array([{"b": 1}]),
            pa.scalar(1),
            pa.array([b"\0" * 16], pa.uuid()),
            pa.array([b"\0" * 16], pa.binary(16)),
            pa.int64(),
        ]
    )


def test_polars() -> None:
    frame = pl.DataFrame({"a": [1, None, 3], "b": ["x", "y", None]})
    assert key(frame) == key(pl.concat([frame[:1], frame[1:]], rechunk=False))
    distinct(
        [
            frame,
            frame.to_arrow(),
            frame.to_pandas(),
            frame[:2],
            frame.rename({"a": "A"}),
            frame.with_columns(pl.col("a").cast(pl.Int32)),
            frame.with_columns(pl.col("b").cast(pl.Categorical)),
            frame.with_columns(pl.col("b").cast(pl.Enum(["x", "y"]))),
            frame.with_columns(pl.col("b").cast(pl.Enum(["y", "x"]))),
            pl.DataFrame(),
            pl.Series([1, 2]),
            pl.Series("n", [1, 2]),
            pl.Series([[1], [2]]),
            pl.Series([1, 2], dtype=pl.Duration("us")),
            pl.Series([1, 2], dtype=pl.Time),
            pl.Series([None, None]),
            pl.Series([None, None], dtype=pl.Boolean),
            pl.Series([None, None, None]),
            pl.DataFrame({"a": [None]}),
        ]
    )
    assert "polars.DataFrame" in shown(frame)


ROWS = st.lists(st.one_of(st.none(), st.text(max_size=5)), max_size=20)


@given(ROWS, st.integers(1, 7))
def test_every_library_has_the_column_of_arrow(rows: list[str | None], size: int) -> None:
    column = shown(pa.array(rows, pa.string()))
    chunks = [pa.array(rows[i : i + size], pa.string()) for i in range(0, len(rows), size)]
    assert shown(pa.chunked_array(chunks, pa.string())) == column
    assert shown(pl.Series("s", rows, dtype=pl.String))["polars.Series"][1] == column
    by_python = pd.Series(rows, dtype=pd.StringDtype("python"))
    assert shown(by_python)["pandas.Series"][2] == ["string", column]
