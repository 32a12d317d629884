"""PyArrow tables, batches and arrays come back as they were; nothing is imported for nothing."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys

import pyarrow as pa
import pytest

from cacheness import Cache, _core

ARROW = '{"dataframe_format": "arrow"}'
FORMATS = [None, ARROW, '{"dataframe_format": "arrow", "parquet_compression": "none"}']


def through(value, config=None):
    stored = _core.table_dumps(value, config)
    assert stored is not None, "it was refused"
    return _core.table_loads(*stored)


def table():
    fields = [
        pa.field("i", pa.int64(), nullable=False, metadata={"unit": "m"}),
        pa.field("s", pa.string(), metadata={"b": "2", "a": "1"}),
        pa.field("d", pa.dictionary(pa.int8(), pa.string(), ordered=True)),
        pa.field("l", pa.list_(pa.field("item", pa.timestamp("ns", "Asia/Tokyo")))),
        pa.field("n", pa.struct([pa.field("x", pa.decimal128(5, 2)), pa.field("y", pa.time64("us"), nullable=False)])),
        pa.field("m", pa.map_(pa.string(), pa.int32())),
    ]
    columns = [
        pa.array([1, 2, 3]),
        pa.array(["a", None, ""]),
        pa.DictionaryArray.from_arrays(pa.array([2, None, 0], pa.int8()), ["x", "unused", "y"], ordered=True),
        pa.array([[0, None], None, []], fields[3].type),
        pa.array([{"x": None, "y": dt.time(1)}, None, {"x": None, "y": dt.time(2)}], fields[4].type),
        pa.array([[("k", 1)], None, []], fields[5].type),
    ]
    return pa.table(
        columns, schema=pa.schema(fields, metadata={b"z": b"\xff\0", b"cacheness:table": b"mine", b"a": b""})
    )


VALUES = [
    table(),
    table().slice(1, 1),
    table().slice(0, 0),
    table().select(["i", "s"]),
    table().select([]),
    pa.table({}),
    pa.table({"a": []}),
    pa.table([[1], [2]], names=["same", "same"]),
    pa.concat_tables([table(), table()]),
    table().to_batches()[0],
    pa.RecordBatch.from_pydict({"a": [1.5, None]}),
    pa.RecordBatch.from_arrays([], names=[]),
    pa.chunked_array([["a"], ["b", None]]),
    pa.array([1, 2, None]),
    pa.array([], pa.large_string()),
    pa.array([dt.timedelta(1)]),
    pa.DictionaryArray.from_arrays([0, 0], ["x", "unused"]),
    pa.array([(1, -2, 3), None], pa.month_day_nano_interval()),
    pa.RunEndEncodedArray.from_arrays([2, 5], ["a", None]),
    pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["a", "b"])]),
    pa.array([b"x", None], pa.binary_view()),
    pa.array([[1], None], pa.list_view(pa.int8())),
    pa.array(["{}"], pa.json_()),
    pa.array([b"0123456789abcdef"], pa.uuid()),
]


@pytest.mark.parametrize("config", FORMATS)
@pytest.mark.parametrize("value", VALUES, ids=lambda v: f"{type(v).__name__}-{getattr(v, 'type', '')}")
def test_arrow_objects_come_back(value, config):
    back = through(value, config)
    assert type(back) is type(value)
    if isinstance(value, pa.Table | pa.RecordBatch):
        assert back.schema.equals(value.schema, check_metadata=True)
        assert list((back.schema.metadata or {}).items()) == list((value.schema.metadata or {}).items())
        assert back.equals(value, check_metadata=True)
        assert back.num_rows == value.num_rows
    else:
        assert back.type == value.type
        assert back.equals(value)
    if hasattr(back, "validate"):
        back.validate(full=True)


_PAIR = [pa.field("a", pa.int64()), pa.field("b", pa.string())]
_UNIONS = [pa.sparse_union(_PAIR), pa.dense_union(_PAIR)]
_RARE = [
    *_UNIONS,
    *(pa.struct([("u", union)]) for union in _UNIONS),
    *(pa.list_(union) for union in _UNIONS),
    pa.dictionary(pa.int8(), pa.list_(pa.int8())),
    pa.dictionary(pa.int8(), pa.struct([("a", pa.int8())])),
    pa.run_end_encoded(pa.int16(), pa.dictionary(pa.int8(), pa.string())),
]


@pytest.mark.parametrize("data_type", _RARE, ids=str)
@pytest.mark.parametrize("config", [{}, {"dataframe_format": "arrow"}], ids=["parquet", "arrow"])
def test_nothing_of_a_rare_type_comes_back(tmp_path, data_type, config):
    empty = pa.nulls(0, data_type)
    with Cache(tmp_path / "cache", **config) as cache:
        for value in (empty, pa.record_batch([empty], names=["a"]), pa.table({"a": empty})):
            cache.put(value, x=1)
            back = cache.get(x=1)
            assert type(back) is type(value)
            assert back.equals(value)


def test_chunks_with_different_dictionaries_are_refused():
    chunks = [pa.DictionaryArray.from_arrays([0], [text]) for text in "ab"]
    assert _core.table_dumps(pa.table({"d": pa.chunked_array(chunks)})) is None


@pytest.mark.parametrize("value", [pa.scalar(1), pa.schema([]), pa.int8(), pa.py_buffer(b"")])
def test_what_is_no_table_is_refused(value):
    assert _core.table_dumps(value) is None


def test_a_table_keeps_its_format_names():
    meta, _ = _core.table_dumps(table().select(["i"]))
    assert (meta["handler"], meta["data_type"], meta["storage_format"]) == ("arrow_tables", "table", "parquet")
    meta, _ = _core.table_dumps(table())
    assert meta["storage_format"] == "arrow", "Parquet would lose the unused value of the dictionary"


def test_no_package_is_imported_for_plain_values():
    program = (
        "import sys; from cacheness import _core, _tables; "
        "assert _core.table_dumps([1]) is None and _core.table_dumps('x') is None; "
        "assert not {'pandas', 'polars', 'pyarrow', 'numpy'} & set(sys.modules), sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(("make", "missing"), [("pandas", "pyarrow"), ("pandas", "pandas"), ("polars", "polars")])
def test_a_missing_package_is_named(make, missing):
    program = f"""
import sys, pickle, {make}
from cacheness import _core
from cacheness.errors import CacheUnsupportedError
stored = _core.table_dumps({make}.DataFrame({{"a": [1, 2]}}))
ours = ("cacheness._tables_", "cacheness._pandas")
for name in [n for n in sys.modules if n.split(".")[0] == "{missing}" or n.startswith(ours)]:
    del sys.modules[name]
sys.modules["{missing}"] = None
try:
    _core.table_loads(*stored)
except CacheUnsupportedError as error:
    assert "{missing}" in str(error) and "pip install" in error.hint, error
else:
    raise SystemExit("no error")
"""
    subprocess.run([sys.executable, "-c", program], check=True)
