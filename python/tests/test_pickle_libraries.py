"""What NumPy and PyArrow would lose when they pickle: attributes of arrays, nanoseconds of scalars."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from cacheness import _dill

if TYPE_CHECKING:
    from cacheness import Cache


class InfoArray(np.ndarray):
    """The example of NumPy's manual."""

    def __new__(cls, items: Any, info: object = None) -> InfoArray:
        made = np.asarray(items).view(cls)
        made.info = info
        return made

    def __array_finalize__(self, source: object) -> None:
        self.info = getattr(source, "info", None)


class SlotArray(np.ndarray):
    __slots__ = ("info",)


class OwnArray(np.ndarray):
    """A class that pickles its attributes itself."""

    def __reduce__(self) -> Any:
        function, arguments, state = super().__reduce__()
        return function, arguments, (*state, self.info)

    def __setstate__(self, state: Any) -> None:
        *rest, self.info = state
        super().__setstate__(tuple(rest))


class Masked(np.ma.MaskedArray):
    pass


class Matrix(np.matrix):
    pass


def _informed(array: Any) -> Any:
    array.info = ["metres"]
    return array


def _masked() -> Any:
    return np.ma.array([1, 2, 3], mask=[0, 1, 0], hard_mask=True)


ARRAYS = {
    "subclass": lambda: InfoArray([1.0, 2.0], ["metres"]),
    "subclass of objects": lambda: InfoArray(np.array([1, None]), ["metres"]),
    "subclass, big-endian": lambda: InfoArray(np.arange(3, dtype=">i4"), ["metres"]),
    "slots": lambda: _informed(np.arange(3).view(SlotArray)),
    "its own": lambda: _informed(np.arange(3).view(OwnArray)),
    "masked": lambda: _informed(_masked()),
    "masked subclass": lambda: _informed(Masked([1, 2, 3], mask=[0, 1, 0])),
    "masked objects": lambda: _informed(np.ma.array([1, None], mask=[0, 1], dtype=object)),
    "matrix": lambda: _informed(np.matrix([[1, 2]])),
    "matrix, big-endian": lambda: _informed(np.matrix([[1, 2]], dtype=">i4")),
    "matrix subclass": lambda: _informed(np.matrix([[1, 2]]).view(Matrix)),
    "records": lambda: np.rec.array([(1, 2.0)], names="a,b"),
}


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("inside", [False, True], ids=["alone", "in a list"])
def test_attributes_of_arrays_come_back(cache: Cache, name: str, inside: bool) -> None:
    value = ARRAYS[name]()
    cache.put([value] if inside else value, x=1)
    back = cache.get(x=1)
    back = back[0] if inside else back
    assert type(back) is type(value)
    assert back.dtype == value.dtype
    assert back.tolist() == value.tolist()
    assert getattr(back, "info", None) == getattr(value, "info", None)
    if isinstance(value, np.ma.MaskedArray):
        assert back.hardmask == value.hardmask


def test_dill_keeps_them_as_well() -> None:
    import dill

    value = [InfoArray([1.0], "metres"), pa.scalar(1, pa.time64("ns"))]
    back = dill.loads(_dill.dumps(value))
    assert back[0].info == "metres"
    assert back[1].equals(value[1])


def test_a_mapped_array_is_an_array(cache: Cache) -> None:
    with tempfile.NamedTemporaryFile() as file:
        mapped = np.memmap(file.name, dtype="u1", mode="w+", shape=(3,))
        cache.put({"a": (mapped,)}, x=1)
        assert cache.get(x=1)["a"][0].tolist() == [0, 0, 0]


TIME = pa.time64("ns")
SCALARS = {
    "time": pa.scalar(123456789, TIME),
    "time in a list": pa.array([[1]], pa.list_(TIME))[0],
    "time in a struct": pa.array([{"a": 1}], pa.struct([("a", TIME)]))[0],
    "null": pa.scalar(None, TIME),
    "nothing": pa.scalar(None),
    "str": pa.scalar("a"),
    "dictionary": pa.array(["a"]).dictionary_encode()[0],
    "map": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int8()))[0],
    "extension": pa.ExtensionArray.from_storage(
        pa.fixed_shape_tensor(pa.int8(), [2]), pa.array([[1, 2]], pa.list_(pa.int8(), 2))
    )[0],
    "null of an extension": pa.ExtensionArray.from_storage(
        pa.fixed_shape_tensor(pa.int8(), [2]), pa.array([None], pa.list_(pa.int8(), 2))
    )[0],
    "run-end encoded": pa.RunEndEncodedArray.from_arrays([2], pa.array(["a"]))[0],
    "sparse union": pa.UnionArray.from_sparse(pa.array([1], pa.int8()), [pa.array([1]), pa.array(["a"])])[0],
    "dense union": pa.UnionArray.from_dense(
        pa.array([1], pa.int8()), pa.array([0], pa.int32()), [pa.array([1]), pa.array(["a"])]
    )[0],
}


@pytest.mark.parametrize("name", SCALARS)
@pytest.mark.parametrize("inside", [False, True], ids=["alone", "in a list"])
def test_arrow_scalars_come_back(cache: Cache, name: str, inside: bool) -> None:
    value = SCALARS[name]
    cache.put([value] if inside else value, x=1)
    back = cache.get(x=1)
    back = back[0] if inside else back
    assert type(back) is type(value)
    assert back.type == value.type
    assert back.equals(value)
