"""What no table handler brings back as it is: the next handler takes it, or put raises and says why."""

from __future__ import annotations

import io
import socket
import subprocess
import sys
import tempfile
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pandas.tseries.offsets import BusinessHour, CustomBusinessDay, DateOffset, Easter

from cacheness import Cache, CacheError, CacheSerializationError, _core

FREQUENCIES = [
    DateOffset(months=1),
    DateOffset(hours=1),
    Easter(),
    CustomBusinessDay(holidays=["2020-01-01"]),
    BusinessHour(start="10:00"),
]


def through(cache: Cache, value: Any) -> Any:
    cache.put(value, x=1)
    return cache.get(x=1)


def stored_as(cache: Cache) -> str:
    entry = cache.get_metadata(x=1)
    assert entry is not None
    return entry["storage_format"]


@pytest.mark.parametrize("freq", FREQUENCIES, ids=repr)
def test_frequencies_without_a_text(cache: Cache, freq: Any) -> None:
    index = pd.date_range("2020", periods=3, freq=freq)
    for value in (pd.Series(1.0, index=index), pd.DataFrame(np.zeros((1, 3)), columns=index)):
        back = through(cache, value)
        assert type(back) is type(value) and back.equals(value)
        labels = back.index if isinstance(back, pd.Series) else back.columns
        assert labels.freq == freq
        assert stored_as(cache) == "pickle"


def test_an_exception_of_a_library_is_a_refusal(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.DataFrame({"a": [1, 2]})

    def fails(*_: object) -> Any:
        raise RuntimeError("its own library fails")

    monkeypatch.setattr("cacheness._tables_pandas.describe", fails)
    assert through(cache, frame).equals(frame)
    assert stored_as(cache) == "pickle"


class PanicException(BaseException):  # the name that Polars has for it
    pass


def test_a_panic_of_a_library_is_a_refusal_and_an_interrupt_is_none(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised: list[BaseException] = [PanicException("at the disco"), KeyboardInterrupt(), MemoryError()]

    def fails(*_: object) -> Any:
        raise raised[0]

    monkeypatch.setattr("cacheness._tables_polars.describe", fails)
    assert through(cache, pl.DataFrame({"a": [1]})).equals(pl.DataFrame({"a": [1]}))
    for interrupt in raised[1:]:
        raised[0] = interrupt
        with pytest.raises(type(interrupt)):
            cache.put(pl.DataFrame({"a": [1]}), x=2)


def test_a_refusal_is_the_cause_where_no_other_handler_can(tmp_path: Path) -> None:
    with Cache(tmp_path / "c", allow_pickle=False) as cache:
        for value, why in (
            (pd.Series(1.0, index=pd.date_range("2020", periods=3, freq=Easter())), "frequency"),
            (pd.DataFrame({"a": [object()]}), "objects of"),
            (bad_text(), "not UTF-8"),
        ):
            with pytest.raises(CacheError) as info:
                cache.put(value, x=1)
            causes = [cause := info.value]
            while cause := cause.__cause__:  # type: ignore[assignment]
                causes.append(cause)
            assert any(type(cause).__name__ == "Unsupported" and why in str(cause) for cause in causes), causes


# ----- Arrow


def text_array(data: bytes, *offsets: int, arrow_type: Any = None) -> pa.Array:
    buffers = [None, pa.py_buffer(np.array(offsets, "i4").tobytes()), pa.py_buffer(data)]
    return pa.Array.from_buffers(arrow_type or pa.string(), len(offsets) - 1, buffers)


def bad_text() -> pa.Table:
    return pa.table({"a": text_array(b"\xff", 0, 1)})


@pytest.mark.parametrize(
    "array",
    [
        text_array(b"\xff", 0, 1),
        text_array("aü".encode(), 0, 2, 3),
        text_array(b"ab\xc3", 0, 1, 3),
        pa.ListArray.from_arrays([0, 1], text_array(b"\xff", 0, 1)),
        pa.StructArray.from_arrays([text_array(b"\xff", 0, 1)], ["s"]),
        pa.DictionaryArray.from_arrays(pa.array([0], pa.int8()), text_array(b"\xff", 0, 1)),
        text_array(b"\xff", 0, 1).cast(pa.large_string(), safe=False),
        pa.Array.from_buffers(pa.string_view(), 1, [None, pa.py_buffer(b"\1\0\0\0\xff" + bytes(11))]),
        pa.DictionaryArray.from_arrays(pa.array([5], pa.int8()), ["a"], safe=False),
    ],
    ids=["byte", "within", "end", "list", "struct", "dictionary", "large", "view", "index"],
)
def test_arrow_data_that_no_reader_takes_is_no_table(cache: Cache, array: pa.Array) -> None:
    assert _core.table_dumps(pa.table({"a": array})) is None
    cache.put(pa.table({"a": array}), x=1)
    back = cache.get(x=1).column("a").combine_chunks()
    assert back.type == array.type
    assert [b and b.to_pybytes()[:1] for b in back.buffers()] == [b and b.to_pybytes()[:1] for b in array.buffers()]


def test_parts_of_good_text_are_tables() -> None:
    words = pa.array(["ä", "öö", None, "", "üüü"] * 1000)
    assert _core.table_dumps(pa.table({"a": words.slice(1, 3), "b": [1, 2, 3]})) is not None
    # Only the rows that are there count.
    assert _core.table_dumps(pa.table({"a": text_array(b"\xffab", 0, 1, 2, 3).slice(1)})) is not None
    pieces = pa.chunked_array([words.slice(i, 7) for i in range(0, 700, 7)])
    assert _core.table_dumps(pa.table({"a": pieces})) is not None
    assert _core.table_dumps(pa.table({"a": pa.array([["a"], None, ["ü", None]] * 9).slice(2, 9)})) is not None


def test_what_put_takes_get_reads(cache: Cache) -> None:
    nothing = pa.array([None, None], pa.struct([("d", pa.dictionary(pa.int8(), pa.string()))]))
    runs = pa.ListArray.from_arrays([0, 2], pc.run_end_encode(pa.array([1, 1])))
    for value in (pa.table({"a": nothing}), nothing, runs, pa.table({"r": runs})):
        assert through(cache, value).equals(value)
        assert stored_as(cache) == "pickle"


def test_maps_with_sorted_keys(cache: Cache) -> None:
    kind = pa.map_(pa.string(), pa.field("value", pa.int8(), nullable=False), keys_sorted=True)
    array = pa.array([[("a", 1)], None], kind)
    for value in (array, pa.table({"m": array}), pa.array([[[("a", 1)]]], pa.list_(kind))):
        back = through(cache, value)
        assert back.equals(value)
        found = back.type if isinstance(back, pa.Array) else back.column(0).type
        assert (found.value_type if pa.types.is_list(found) else found).keys_sorted
    assert through(cache, [kind])[0].keys_sorted


def test_metadata_with_a_key_twice(cache: Cache) -> None:
    twice = pa.KeyValueMetadata([("k", "1"), ("k", "2")])
    fields = [
        pa.field("a", pa.int64(), metadata=twice),
        pa.field("s", pa.struct([pa.field("x", pa.int8(), metadata=twice)])),
    ]
    for schema in (
        pa.schema(fields[:1]),
        pa.schema([("a", pa.int64())], metadata=twice),
        pa.schema(fields[:1], metadata=twice),
        pa.schema(fields, metadata=twice),
        pa.schema(fields[1:]),
    ):
        value = schema.empty_table()
        back = through(cache, value)
        assert back.schema.equals(schema, check_metadata=True), schema
        assert through(cache, [schema])[0].equals(schema, check_metadata=True)


# ----- Polars


@pytest.mark.parametrize(
    "dtype",
    [
        pl.Array(pl.Int8, 0),
        pl.List(pl.Array(pl.Int8, 0)),
        pl.Struct({"a": pl.Array(pl.String, 0)}),
        pl.Array(pl.Array(pl.Int8, 0), 2),
    ],
    ids=str,
)
def test_arrays_of_width_0_are_refused(cache: Cache, dtype: Any) -> None:
    for values in ([], [None]):
        try:
            series = pl.Series("s", values, dtype=dtype)
        except pl.exceptions.ComputeError:
            continue  # some releases make none with nulls
        for value in (series, series.to_frame(), [series], {"a": series.to_frame()}):
            with pytest.raises(CacheSerializationError, match="arrays of width 0"):
                cache.put(value, x=1)


def test_nested_types_that_only_pickle_keeps(cache: Cache) -> None:
    for dtype in (pl.List(pl.Null), pl.Array(pl.Null, 2), pl.List(pl.Int128), pl.Struct({"a": pl.Null})):
        value = pl.Series("s", [None, None], dtype=dtype)
        back = through(cache, value)
        assert back.dtype == dtype and back.equals(value)


# ----- pandas


def test_long_ranges_as_levels_and_categories(tmp_path: Path) -> None:
    stacked = pd.DataFrame(np.zeros((30_000, 2))).stack()
    product = pd.Series(1.0, index=pd.MultiIndex.from_product([range(15_000), [0, 1]], names=["a", None]))
    codes = np.random.default_rng(1).integers(-1, 20_000, 20_000)
    categories = pd.Categorical.from_codes(codes, categories=pd.RangeIndex(5, 40_005, 2))
    with Cache(tmp_path / "c", allow_pickle=False) as cache:
        for value in (stacked, product, product.to_frame("v")):
            back = through(cache, value)
            assert back.equals(value)
            assert [type(level) for level in back.index.levels] == [type(level) for level in value.index.levels]
            assert back.index.names == value.index.names
            assert stored_as(cache) == "parquet"
        for value in (pd.Series(categories), pd.Series(1, index=pd.CategoricalIndex(categories))):
            back = through(cache, value)
            pd.testing.assert_series_equal(back, value)
        assert type(through(cache, pd.Series(categories)).cat.categories) is pd.RangeIndex


@pytest.mark.parametrize(
    "index",
    [
        pd.MultiIndex(levels=[[1, 1], ["a"]], codes=[[0, 1], [0, 0]], verify_integrity=False),
        pd.MultiIndex(levels=[["a"]], codes=[[0, -5]], verify_integrity=False),
    ],
    ids=["equal values in a level", "a code that leads nowhere"],
)
def test_levels_that_no_constructor_takes(cache: Cache, index: pd.MultiIndex) -> None:
    series = pd.Series([1.5, 2.5], index=index)
    back = through(cache, series)
    assert back.tolist() == [1.5, 2.5] and stored_as(cache) == "pickle"
    assert [list(level) for level in back.index.levels] == [list(level) for level in index.levels]
    assert [list(codes) for codes in back.index.codes] == [list(codes) for codes in index.codes]


@pytest.mark.parametrize(
    "label",
    [np.str_(""), np.str_("a\0"), np.str_("ü"), np.bytes_(b""), np.bytes_(b"\xff\0"), np.int8(3), np.longlong(3)],
    ids=repr,
)
def test_labels_of_numpy_come_back_exactly(cache: Cache, label: Any) -> None:
    marked = pd.Series([1.5])
    marked.attrs["key"] = {"label": label}
    for value, found in (
        (pd.Series([1.5], name=label), lambda back: back.name),
        (pd.DataFrame([[1.5]], columns=pd.Index([label], dtype=object)), lambda back: back.columns[0]),
        (pd.Series(pd.Categorical.from_codes([0], pd.Index([label], dtype=object))), lambda back: back[0]),
        (marked, lambda back: back.attrs["key"]["label"]),
    ):
        again = found(through(cache, value))
        assert type(again) is type(label)
        assert again.dtype == label.dtype and again.tobytes() == label.tobytes()
        if isinstance(label, str):
            assert str.__str__(again) == str.__str__(label)


def test_python_objects_in_polars_follow_the_rule_of_pickles(cache: Cache, tmp_path: Path) -> None:
    objects = pl.Series("o", [{"a": 1}, None, (1, 2)], dtype=pl.Object)
    frame = pl.DataFrame({"o": objects, "i": [1, 2, 3]})
    for value in (objects, objects.clear(), frame, frame.clear()):
        for wrapped, unwrap in ((value, lambda back: back), ([value], lambda back: back[0])):
            back = unwrap(through(cache, wrapped))
            assert type(back) is type(value) and stored_as(cache) == "pickle"
            if isinstance(value, pl.DataFrame):
                assert back.schema == value.schema and back.rows() == value.rows()
            else:
                assert (back.name, back.dtype, back.to_list()) == (value.name, pl.Object, value.to_list())
    with Cache(tmp_path / "plain", allow_pickle=False) as plain, pytest.raises(CacheError, match="allow_pickle"):
        plain.put(frame, x=1)


@pytest.mark.parametrize("dtype", ["pl.List(pl.Object)", "pl.Array(pl.Object, 2)", "pl.List(pl.List(pl.Object))"])
def test_python_objects_inside_of_other_types_end_no_process(dtype: str) -> None:
    program = (
        "import os, polars as pl\nfrom cacheness import Cache, CacheSerializationError\n"
        f"series = pl.Series('s', [None], dtype={dtype})\ncache = Cache(':memory:')\nrefused = 0\n"
        "for value in (series, series.to_frame(), [series]):\n"
        "    try:\n        cache.put(value, x=1)\n"
        "    except CacheSerializationError as error:\n        refused += 'inside other types' in str(error)\n"
        # Polars panics when it frees such a column.
        "print(refused, flush=True)\nos._exit(0)\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert (ran.returncode, ran.stdout) == (0, "3\n"), ran.stderr


# ----- NumPy, pickles and dill


class Holder:
    def __init__(self, value: Any) -> None:
        self.value = value


@pytest.mark.parametrize(
    "value",
    [np.str_("a\0"), np.bytes_(b"a\0"), np.str_("\0"), np.str_(""), np.longlong(3), np.ulonglong(2**64 - 1)],
    ids=repr,
)
def test_numpy_scalars_come_back_exactly(cache: Cache, value: Any) -> None:
    for wrapped, unwrap in (
        (value, lambda v: v),
        ([value], lambda v: v[0]),
        (Holder(value), lambda v: v.value),
        ([Holder({"a": value})], lambda v: v[0].value["a"]),
    ):
        back = unwrap(through(cache, wrapped))
        assert type(back) is type(value)
        assert back.tobytes() == value.tobytes() and back.dtype == value.dtype
        if isinstance(value, str):
            assert str.__str__(back) == str.__str__(value)


def test_numpy_scalars_need_no_pickle(tmp_path: Path) -> None:
    with (
        Cache(tmp_path / "plain", allow_pickle=False) as cache,
        Cache(tmp_path / "asked", allow_pickle=False, enable_arrow_tables=False) as asked,
    ):
        for value in (np.str_("a\0"), np.bytes_(b"a\0"), np.str_("\0")):
            for store in (cache, asked):
                back = through(store, value)
                assert type(back) is type(value) and back.tobytes() == value.tobytes()
                assert stored_as(store) == "msgpack"


@pytest.mark.parametrize(
    "fields",
    [[("x" * 500_000, "f8")], [("x" * 2_000_000, "f8")], [(("t" * 2_000_000, "x"), "f8")], [(f"field_{i}", "f8") for i in range(60_000)]],
    ids=["a long name", "a name that no header has room for", "a title as long", "many fields"],
)  # fmt: skip
@pytest.mark.parametrize("items", [3, 50_000])
def test_dtypes_with_long_descriptions(cache: Cache, fields: Any, items: int) -> None:
    array = np.ones(items if len(fields) == 1 else 3, dtype=fields)
    back = through(cache, array)
    assert back.dtype == array.dtype and back.dtype.fields == array.dtype.fields
    assert back.tobytes() == array.tobytes()


def test_a_fill_value_that_was_only_looked_at(cache: Cache) -> None:
    for array in (np.ma.array(["a", "b"], mask=[1, 0]), np.ma.array(np.arange(3, dtype=">i4"), mask=[1, 0, 0])):
        # From now on it is kept, with a type of its own.
        default = array.fill_value
        for wrapped, unwrap in ((array, lambda back: back), ([array], lambda back: back[0])):
            back = unwrap(through(cache, wrapped))
            assert back.dtype == array.dtype
            assert back.fill_value == default and type(back.fill_value) is type(default)


HANDLES = {
    "lock": threading.Lock,
    "reentrant lock": threading.RLock,
    "thread": threading.Thread,
    "event": threading.Event,
    "file": lambda: tempfile.TemporaryFile("w+"),  # noqa: SIM115 - the open file is the value
    "raw file": lambda: tempfile.TemporaryFile("w+b"),  # noqa: SIM115 - as above
    "named file": tempfile.NamedTemporaryFile,
    "weak reference": lambda: weakref.ref(Holder),
    "weak proxy": lambda: weakref.proxy(Holder),
    "weak dictionary": lambda: weakref.WeakValueDictionary({1: Holder}),
    "generator": lambda: (i for i in range(3)),
    "frame": sys._getframe,
    "socket": socket.socket,
    "process": lambda: subprocess.Popen([sys.executable, "-c", ""]),
}


@pytest.mark.parametrize("name", HANDLES)
def test_handles_are_refused(cache: Cache, name: str) -> None:
    handle = HANDLES[name]()
    for value in (handle, [handle], {"a": Holder(handle)}, lambda: handle):
        with pytest.raises(CacheSerializationError, match="cannot be"):
            cache.put(value, x=1)
    if name == "process":
        handle.wait()
    if hasattr(handle, "close"):
        handle.close()


def test_what_dill_does_keep(cache: Cache) -> None:
    class Local:
        number = 3

        def double(self) -> int:
            return 2 * self.number

    assert through(cache, Local()).double() == 6
    text = np.str_("a\0")
    assert str.__str__(through(cache, lambda: text)()) == "a\0"
    memory = io.BytesIO(b"abc")
    memory.read(1)
    assert through(cache, lambda: memory)().read() == b"bc"
    assert stored_as(cache) == "dill"
