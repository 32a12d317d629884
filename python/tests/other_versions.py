"""Keys and values under one set of libraries, held against those under another; `scripts/versions.sh` runs both halves.

python other_versions.py write DIRECTORY      keeps each value of the catalogue, and something under each parameter
python other_versions.py read DIRECTORY       makes the same values with the libraries that are here, and compares
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import sys
from typing import TYPE_CHECKING, Any

import keys_catalogue
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

from cacheness import Cache
from cacheness.errors import CacheUnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterator

LIBRARIES = ("numpy", "pandas", "polars", "pyarrow", "scipy")

#: What is kept under one set of libraries and read under the other. A frame that leaves the type of text to pandas is
#: another value in pandas 3 than in pandas 2, so types are named (docs/formats/keys.md).
VALUES = [
    *(f"np.arange(12).astype('{kind}').reshape(3, 4)" for kind in ("i1", "<i8", ">u2", "f2", "f8", "c16", "?")),
    "np.array(['a', 'größe', ''])",
    "np.array([b'a', b'bc'])",
    "np.array(['2024-01-01', 'NaT'], dtype='datetime64[ns]')",
    "np.array([1, -1], dtype='timedelta64[ms]')",
    "np.array([(1, 2.5)], dtype=[('a', '<i4'), ('b', '<f8', (2,))])",
    "np.asfortranarray(np.arange(100_000.0).reshape(100, 1000))",
    "np.array(7)",
    "np.zeros((0, 3), dtype='f4')",
    "np.float32(1.5)",
    "np.datetime64('2024-01-01T00:00', 'm')",
    "np.ma.array([1, 2, 3], mask=[0, 1, 0], fill_value=7)",
    "np.array([1, 'a', None], dtype=object)",
    "{'scores': [0.5, 0.25], 'shape': (3, 4), 'array': np.arange(3.0)}",
    "pd.DataFrame({'i': [1, 2], 'f': [0.5, float('nan')], 'b': [True, False]})",
    "pd.DataFrame({'a': [1, 2]}, index=pd.Index(['x', 'y'], dtype=object, name='k'))",
    "pd.DataFrame({'s': pd.array(['x', None], dtype='string[python]'), 'n': pd.array([1, None], dtype='Int16')})",
    "pd.DataFrame({'o': pd.Series(['x', 'y'], dtype=object)})",
    "pd.DataFrame({'c': pd.Categorical([2, 1, 2], categories=[1, 2, 3], ordered=True)})",
    "pd.DataFrame({'t': pd.to_datetime(['2024-01-01', None]).astype('datetime64[ns]')})",
    "pd.DataFrame({'t': pd.to_datetime(['2024-01-01']).as_unit('us').tz_localize(zoneinfo.ZoneInfo('Europe/Berlin'))})",
    "pd.DataFrame({'d': pd.to_timedelta([1, 2], unit='s').astype('timedelta64[ns]')})",
    "pd.DataFrame({'p': pd.period_range('2024-01', periods=2, freq='M')})",
    "pd.DataFrame({'i': pd.arrays.IntervalArray.from_breaks([0, 1, 2])})",
    "pd.DataFrame({'x': [1.0, 2.0]}, index=pd.MultiIndex.from_product([[1], [True, False]], names=['a', None]))",
    "pd.DataFrame({'a': pd.array([1, None], dtype=pd.ArrowDtype(pa.int64()))})",
    "pd.DataFrame([[1, 2.5]], columns=pd.Index([1, 1]))",
    "pd.DataFrame({'x': range(1000)}, index=pd.RangeIndex(0, 5000, 5))",
    "pd.Series([1.5, None], name='s')",
    "pd.Series([1, 2], index=pd.date_range('2024-01-01', periods=2, freq='D').astype('datetime64[ns]'), name=3)",
    "pl.DataFrame({'i': [1, None], 'f': [0.5, float('nan')], 's': ['x', None], 'b': [True, None]})",
    "pl.DataFrame({'l': [[1, 2], []], 'r': [{'a': 1}, {'a': None}], 'd': [datetime.date(2024, 1, 1), None]})",
    "pl.DataFrame({'t': pl.Series([datetime.datetime(2024, 1, 1)]).dt.cast_time_unit('ms').dt.replace_time_zone('UTC')})",
    "pl.Series('e', ['a', 'b'], dtype=pl.Enum(['b', 'a']))",
    "pl.Series('c', ['a', 'b', 'a'], dtype=pl.Categorical)",
    "pl.Series('d', [decimal.Decimal('1.50'), None])",
    "pl.Series('b', [b'x', None])",
    "pl.Series('a', [[1, 2]], dtype=pl.Array(pl.Int8, 2))",
    "pa.table({'a': [1, 2], 'b': ['x', None]}, metadata={'k': 'v'})",
    "pa.table({'d': pa.array(['a', None, 'a']).dictionary_encode(), 'l': [[1], None, []]})",
    "pa.RecordBatch.from_pydict({'t': pa.array([1, None], pa.timestamp('us', 'UTC'))})",
]

#: A column of a type that pandas before 2.3 does not have; which pandas makes it unasked.
TEXT = "pd.DataFrame({'s': ['x', None]})"


def versions() -> dict[str, str]:
    """Of the libraries that are here."""
    return {name: importlib.metadata.version(name) for name in LIBRARIES}


def parameters() -> Iterator[tuple[str, Any]]:
    """All parameters whose keys are compared, by name."""
    for name, expression in keys_catalogue.EXPRESSIONS:
        yield name, keys_catalogue.evaluate(expression)
    for expression in VALUES:
        yield expression, keys_catalogue.evaluate(expression)


def assert_equal(back: Any, value: Any) -> None:
    """Equal, of the same type and dtype, missing values included."""
    assert type(back) is type(value), type(back)
    match value:
        case np.ma.MaskedArray():
            assert back.dtype == value.dtype
            assert back.fill_value == value.fill_value
            assert (back.mask == value.mask).all()
            assert (back.data == value.data).all()
        case np.ndarray() | np.generic():
            assert back.dtype == value.dtype
            assert back.shape == value.shape
            assert back.flags.f_contiguous == value.flags.f_contiguous
            np.testing.assert_array_equal(back, value)
        case pd.DataFrame():
            # Labels of text are objects in pandas 2; `equals` of an index calls them equal to those of pandas 3.
            assert back.columns.equals(value.columns)
            back.columns = value.columns
            pd.testing.assert_frame_equal(back, value, check_exact=True, check_freq=True)
        case pd.Series():
            pd.testing.assert_series_equal(back, value, check_exact=True, check_freq=True)
        case pl.DataFrame():
            assert back.schema == value.schema
            assert back.equals(value)
        case pl.Series():
            assert (back.name, back.dtype) == (value.name, value.dtype)
            assert back.equals(value)
        case pa.Table() | pa.RecordBatch():
            assert back.schema.equals(value.schema, check_metadata=True)
            assert back.equals(value)
        case dict():
            assert list(back) == list(value)
            for name, item in value.items():
                assert_equal(back[name], item)
        case _:
            assert back == value


def assert_text(cache: Cache, there: dict[str, str], here: dict[str, str]) -> None:
    """Text of a pandas that has a type for it comes back as that type, or is refused with a hint."""
    if there["pandas"] >= "3" and here["pandas"] < "2.3":
        try:
            cache.get(cache_key=TEXT)
        except CacheUnsupportedError as error:
            assert "the type str" in str(error)
            assert "pandas 2.3 or newer" in str(error)
        else:
            raise AssertionError("it was read")
    else:
        back = cache.get(cache_key=TEXT)
        assert (back["s"].dtype == object) == (there["pandas"] < "3"), back["s"].dtype
        assert back["s"][0] == "x"
        assert back["s"].isna().tolist() == [False, True]


@contextlib.contextmanager
def collecting(wrong: list[str], name: str) -> Iterator[None]:
    """Everything that goes wrong is said, not the first alone."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - see above
        wrong.append(f"{name}: {type(error).__name__}: {error}")


def report(wrong: list[str], what: str) -> None:
    """End the process if anything went wrong."""
    if wrong:
        sys.exit(f"{what}:\n" + "\n".join(wrong))


def write(directory: str) -> None:
    """Keep the values, and something under every parameter."""
    wrong: list[str] = []
    with Cache(directory) as cache:
        cache.put(versions(), cache_key="versions")
        cache.put(keys_catalogue.evaluate(TEXT), cache_key=TEXT)
        for expression in VALUES:
            with collecting(wrong, expression):
                cache.put(keys_catalogue.evaluate(expression), cache_key=expression)
        for name, value in parameters():
            with collecting(wrong, name):
                cache.put("found", params={"x": value})
    report(wrong, f"written with {versions()}")


def read(directory: str) -> None:
    """Find what is under each parameter, compare the values; says all that differ."""
    wrong: list[str] = []
    here, found = versions(), 0
    with Cache(directory) as cache:
        there = cache.get(cache_key="versions")
        for name, value in parameters():
            found += 1
            with collecting(wrong, name):
                assert cache.get(params={"x": value}) == "found", "another key"
        for expression in VALUES:
            with collecting(wrong, expression):
                assert_equal(cache.get(cache_key=expression), keys_catalogue.evaluate(expression))
        with collecting(wrong, TEXT):
            assert_text(cache, there, here)
    assert found == len(keys_catalogue.EXPRESSIONS) + len(VALUES)
    report(wrong, f"written with {there}, read with {here}")
    print(f"{found} keys and {len(VALUES)} values written with {there} are the same with {here}")


if __name__ == "__main__":
    {"write": write, "read": read}[sys.argv[1]](sys.argv[2])
