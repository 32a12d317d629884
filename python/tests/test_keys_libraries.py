"""Keys of objects of NumPy, pandas and PyArrow that differ in what their texts and their Python values leave out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from cacheness import _core


def key(value: Any) -> bytes:
    return _core.encode_params({"x": value})


class Unit(pa.ExtensionType):
    """A type whose text does not say its parameter."""

    def __init__(self, parameter: int, storage: pa.DataType | None = None) -> None:
        self.parameter = parameter
        super().__init__(storage or pa.int64(), "tests.unit")

    def __arrow_ext_serialize__(self) -> bytes:
        return str(self.parameter).encode()

    @classmethod
    def __arrow_ext_deserialize__(cls, storage: pa.DataType, serialized: bytes) -> Unit:
        return cls(int(serialized), storage)


def _items(data_type: pa.DataType, *values: Any) -> list[pa.Scalar]:
    return [pa.array([value], data_type)[0] for value in values]


TIME = pa.time64("ns")
GROUPS = {
    "dtypes": [
        np.dtype(("i4", (2,))),
        np.dtype(("f4", (2,))),
        np.dtype(("i4", (2, 1))),
        np.dtype(("i4", (1, 2))),
        np.dtype(([("a", "i4")], (2,))),
        np.dtype(([("b", "i4")], (2,))),
        np.dtype("V8"),
        np.dtype([("a", ("i4", (2,)))]),
        np.dtype([("a", ("f4", (2,)))]),
        np.dtype([("a", "V8")]),
    ],
    "times": _items(TIME, 1, 2, None),
    "times in structs": _items(pa.struct([("a", TIME)]), {"a": 1}, {"a": 2}),
    "times in lists": _items(pa.list_(TIME), [1], [2], [1, 1], []),
    "names": [
        pa.struct([("a: int8, b", pa.int8())]),
        pa.struct([("a", pa.int8()), ("b", pa.int8())]),
        pa.list_(pa.struct([("a: int8, b", pa.int8())])),
        pa.list_(pa.struct([("a", pa.int8()), ("b", pa.int8())])),
    ],
    "zones": [pa.struct([("a", pa.timestamp("us", z)), ("b", pa.int8())]) for z in ("UTC", "UTC], b: int8")],
    "extension types": [
        Unit(1),
        Unit(2),
        Unit(1, pa.int8()),
        pa.list_(Unit(1)),
        pa.list_(Unit(2)),
        pa.dictionary(pa.int8(), Unit(1)),
        pa.dictionary(pa.int8(), Unit(2)),
    ],
    "labels": [
        made.set_flags(allows_duplicate_labels=allowed)
        for made in (pd.Series([1]), pd.DataFrame({"a": [1]}))
        for allowed in (True, False)
    ],
}


@pytest.mark.parametrize("group", GROUPS)
def test_different_objects_have_different_keys(group: str) -> None:
    values = GROUPS[group]
    assert len({key(value) for value in values}) == len(values)


def test_ordinary_types_are_keyed_by_their_text() -> None:
    types = [
        pa.timestamp("us", "+01:00"),
        pa.struct([("a b", pa.int8())]),
        pa.map_(pa.string(), pa.list_(pa.int8())),
        pa.decimal128(10, 2),
        pa.dictionary(pa.int8(), pa.string()),
    ]
    for data_type in types:
        assert _core.render_params(key(data_type))["x"] == {"arrow.DataType": str(data_type)}


def test_scalars_that_are_no_python_values() -> None:
    twice = pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"])[0]
    assert key(twice) == key(twice)
