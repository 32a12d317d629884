"""Object columns of strings and bytes, which Rust converts: what is shared, what is missing, what is left to others."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from test_tables_pandas import ARROW, assert_same, through

from cacheness import _core
from cacheness.errors import CacheSerializationError

FORMATS = [None, ARROW, '{"parquet_compression": "none"}']


def objects(items):
    values = np.empty(len(items), dtype=object)
    values[:] = items
    return values


def column(items):
    return _core.TableColumn.from_texts(objects(items), pd.NA)


@pytest.mark.parametrize(
    ("items", "missing"),
    [
        (["a", "", "é", "\0", "\U0001f600" * 3, "x" * 10_000], None),
        (["a", None, "b", None], "None"),
        (["a", pd.NA, "b"], "NA"),
        ([float("nan"), "a", np.nan], "nan"),
    ],
)
def test_strings_and_one_kind_of_missing_values(items, missing):
    found, name = column(items)
    assert name == missing
    array = pa.chunked_array(found).combine_chunks()
    assert array.type == pa.large_string()
    array.validate(full=True)
    assert array.to_pylist() == [item if isinstance(item, str) else None for item in items]


class Text(str):
    """No exact string."""


@pytest.mark.parametrize(
    "items",
    [
        [],
        [None, None],
        [np.nan],
        ["a", 1],
        ["a", b"a"],
        ["a", None, np.nan],
        ["a", pd.NA, None],
        ["a", 1.5],
        ["a", np.float64("nan")],
        ["a", pd.NaT],
        ["a", Text("b")],
        ["a", np.str_("b")],
    ],
)
def test_what_else_there_is_among_strings_is_left_to_others(items):
    assert column(items) is None


def test_a_lone_surrogate_is_an_error_and_such_a_frame_is_refused():
    with pytest.raises(UnicodeEncodeError):
        column(["a", "\ud800"])
    assert _core.table_dumps(pd.Series(objects(["a", "\ud800"]), dtype=object)) is None


def test_items_with_gaps_between_them_come_back():
    block = objects([f"{i % 7}" for i in range(600)]).reshape(200, 3)
    assert _core.TableColumn.from_texts(block[:, 1], pd.NA) is None
    frame = pd.DataFrame(block, columns=["a", "b", "c"])
    assert_same(through(frame[["b", "a"]]), frame[["b", "a"]])
    backwards = pd.Series(block[::-1, 2], dtype=object)
    assert_same(through(backwards), backwards)


def test_items_that_were_never_set_are_none():
    values = np.empty(4, dtype=object)
    values[1] = "a"
    found, missing = _core.TableColumn.from_texts(values, pd.NA)
    assert (missing, pa.chunked_array(found).to_pylist()) == ("None", [None, "a", None, None])


def test_only_object_arrays_of_one_dimension_are_taken():
    for wrong in [np.arange(3), objects(["a", "b"]).reshape(1, 2), ["a"], None]:
        with pytest.raises(TypeError):
            _core.TableColumn.from_texts(wrong, pd.NA)


@pytest.mark.parametrize("config", FORMATS)
@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
@pytest.mark.parametrize("kind", [str, bytes])
def test_values_that_repeat_are_one_object(kind, missing, config):
    rows = 40_000
    texts = [f"text {i % 500}" for i in range(rows)]
    items = texts if kind is str else [text.encode() for text in texts]
    items[3] = items[rows - 1] = missing
    value = pd.Series(objects(items), dtype=object)
    back = through(value, config)
    assert_same(back, value)
    assert len({id(item) for item in back}) == 501
    assert back[3] is missing or (back[3] != back[3] and missing != missing)


@pytest.mark.parametrize("config", FORMATS)
def test_values_that_do_not_repeat_come_back(config):
    value = pd.Series(objects([f"text {i}" for i in range(120_000)]), dtype=object)
    assert_same(through(value, config), value)


@pytest.mark.parametrize("config", FORMATS)
def test_a_dictionary_that_was_given_up_comes_back(config):
    # The first rows repeat, the later ones fill the dictionary of the file.
    texts = [f"text {i % 100}" for i in range(60_000)] + [f"a text of its own, {i}" for i in range(90_000)]
    value = pd.Series(objects(texts), dtype=object, index=pd.Index(objects(texts[::-1]), dtype=object, name="i"))
    back = through(value, config)
    assert_same(back, value)


@pytest.mark.parametrize("config", FORMATS)
@pytest.mark.parametrize("storage", ["python", "pyarrow"])
def test_string_columns_are_not_concerned(storage, config):
    texts = pd.Series([f"text {i % 9}" for i in range(3000)], dtype=pd.StringDtype(storage))
    texts[5] = pd.NA
    frame = pd.DataFrame({"a": texts, "o": objects([f"{i % 3}" for i in range(3000)])})
    frame["o"] = frame["o"].astype(object)
    assert_same(through(frame, config), frame)
    nothing = pd.Series([pd.NA] * 4, dtype=pd.StringDtype(storage))
    assert_same(through(nothing, config), nothing)


def test_what_comes_back_is_an_array_like_any_other():
    texts = pa.chunked_array([pa.array(["a", "b"] * 50)])
    array = _core.TableColumn.from_arrow(texts).objects(None)
    assert array.flags.owndata and array.flags.writeable and array.flags.aligned
    array[0] = [1, 2]
    array.resize(150, refcheck=False)
    assert array[0] == [1, 2] and array[1] == "b"


def test_references_are_counted():
    text = "a text that nobody else has"
    value = pd.Series(objects([text] * 1000), dtype=object)
    before = sys.getrefcount(text)
    stored = _core.table_dumps(value)
    assert sys.getrefcount(text) == before
    missing = object()
    table = _core.TableColumn.from_arrow(pa.chunked_array([pa.array(["x", None, "x", None])]))
    before = sys.getrefcount(missing)
    found = table.objects(missing)
    assert sys.getrefcount(missing) == before + 2
    assert found[1] is missing and sys.getrefcount(found[0]) >= 1
    del found
    assert sys.getrefcount(missing) == before
    back = _core.table_loads(*stored)
    assert sys.getrefcount(back[0]) >= 1000


@pytest.mark.parametrize("kind", [str, bytes])
def test_dictionaries_of_the_file_are_used_for_columns_and_index(kind):
    # So few rows are not looked at for values that repeat: only the file can say so.
    texts = [f"{i % 3}" for i in range(300)]
    items = objects(texts if kind is str else [text.encode() for text in texts])
    frame = pd.DataFrame({"n": range(300), "o": pd.Series(items, dtype=object)})
    frame.index = pd.Index(items, dtype=object)
    back = through(frame)
    assert_same(back, frame)
    assert len({id(item) for item in back["o"]}) == len({id(item) for item in back.index}) == 3


def test_columns_of_other_types_have_no_objects():
    column = _core.TableColumn.from_arrow(pa.chunked_array([pa.array([1, 2, 3])]))
    assert column.objects(None) is None
    values, missing = column.numpy()
    assert (values.tolist(), missing) == ([1, 2, 3], None)


@pytest.mark.parametrize("text", [pa.string(), pa.large_string(), pa.binary(), pa.large_binary()])
def test_columns_in_pieces_and_dictionaries_of_others(text):
    plain = pa.chunked_array([pa.array(["a", None], text), pa.array([], text), pa.array(["b", "a"], text)])
    expected = plain.to_pylist()
    assert list(_core.TableColumn.from_arrow(plain).objects(None)) == expected
    encoded = plain.dictionary_encode()
    assert list(_core.TableColumn.from_arrow(encoded).objects(None)) == expected
    sliced = pa.chunked_array([chunk.slice(1) for chunk in encoded.chunks])
    assert list(_core.TableColumn.from_arrow(sliced).objects(None)) == sliced.to_pylist()
    null_inside = pa.DictionaryArray.from_arrays(pa.array([0, 1, None], pa.int32()), pa.array(["a", None], text))
    found = _core.TableColumn.from_arrow(pa.chunked_array([null_inside])).objects(pd.NA)
    assert found[1] is pd.NA and found[2] is pd.NA and found[0] == expected[0]


def test_a_description_that_lies_about_texts_is_an_error():
    frame = pd.DataFrame({"a": [1, 2, 3], "b": objects(["x", "y", "z"])}).astype({"b": object})
    meta, payload = _core.table_dumps(frame, '{"dataframe_format": "arrow", "parquet_compression": "none"}')
    lie = payload.replace(b'"of":"str","missing":null,"column":1', b'"of":"str","missing":null,"column":0')
    assert lie != payload
    with pytest.raises(CacheSerializationError, match="a column of strings has another type"):
        _core.table_loads(meta, lie)
