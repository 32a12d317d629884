"""Pickles and dill: any nesting of objects, arrays and buffers comes back equal, of the same types, and the caller's own."""

from __future__ import annotations

import array
import collections
import dataclasses
import enum
import fractions
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cacheness import Cache

BIG = 40_000  # bytes; does not fit into the entry


class Colour(enum.Enum):
    RED = 1
    GREEN = "g"


@dataclasses.dataclass
class Record:
    name: str
    parts: Any


class Slotted:
    __slots__ = ("left", "right")

    def __init__(self, left: Any, right: Any) -> None:
        self.left = left
        self.right = right


class Stack(list):
    def __init__(self, items: Any = (), note: Any = None) -> None:
        super().__init__(items)
        self.note = note


Pair = collections.namedtuple("Pair", "a b")


def same(a: Any, b: Any) -> bool:
    """Whether two values are equal and of the same types all the way down; NaN is equal to itself."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ma.MaskedArray):
        parts = [
            (m.data, m.mask, np.ma.getmask(m) is np.ma.nomask, m.hardmask, np.asarray(m.fill_value, m.dtype))
            for m in (a, b)
        ]
        return same(*parts)
    if isinstance(a, np.ndarray):
        if a.dtype != b.dtype or a.shape != b.shape:
            return False
        return all(map(same, a.ravel(), b.ravel())) if a.dtype == object else a.tobytes() == b.tobytes()
    if isinstance(a, np.generic):
        return a.dtype == b.dtype and a.tobytes() == b.tobytes()
    if isinstance(a, Record):
        return same(vars(a), vars(b))
    if isinstance(a, Slotted):
        return same(a.left, b.left) and same(a.right, b.right)
    if isinstance(a, Stack) and not same(a.note, b.note):
        return False
    if isinstance(a, list | tuple | collections.deque):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return same(list(a.items()), list(b.items()))
    if isinstance(a, float):
        return a.hex() == b.hex()
    return bool(a == b)


dtypes = st.sampled_from(["f8", ">i4", "u1", "?", "c16", "M8[us]", "S3", "U2", "q"])
arrays = st.builds(
    lambda dtype, shape, order: np.ones(shape, dtype, order=order),
    dtypes,
    st.lists(st.integers(0, 3), max_size=3),
    st.sampled_from("CF"),
)
large = st.builds(
    lambda dtype, step: np.zeros(BIG, dtype)[::step], st.sampled_from(["f4", ">i8", ">U1"]), st.integers(1, 3)
)
masked = st.builds(
    lambda dtype, mask, hard, fill: np.ma.array(
        np.ones(3, dtype), mask=mask, hard_mask=hard, fill_value=np.zeros((), dtype)[()] if fill else None
    ),
    dtypes,
    st.sampled_from([[0, 1, 0], [0, 0, 0], np.ma.nomask]),
    st.booleans(),
    st.booleans(),
)
leaves = st.one_of(
    st.none(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.binary(max_size=5),
    st.sampled_from(Colour),
    st.fractions(),
    st.just(b"x" * BIG),
    st.builds(bytearray, st.binary(max_size=3)),
    st.builds(lambda items: array.array("d", items), st.lists(st.floats(allow_nan=False), max_size=3)),
    st.text(max_size=3).map(np.str_),
    st.binary(max_size=3).map(np.bytes_),
    st.integers(0, 100).map(np.longlong),
    arrays,
    large,
    masked,
    dtypes.map(lambda dtype: np.matrix(np.ones((2, 2), dtype))),
)
objects = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(Record, st.text(max_size=3), inner),
        st.builds(Slotted, inner, inner),
        st.builds(Stack, st.lists(inner, max_size=3), inner),
        st.builds(Pair, inner, inner),
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(collections.deque),
        st.dictionaries(st.text(max_size=3), inner, max_size=3).map(collections.OrderedDict),
        st.lists(inner, min_size=1, max_size=2).map(lambda items: np.array([*items, None], dtype=object)[:-1]),
    ),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with Cache(tmp_path_factory.mktemp("pickles"), enable_memory_cache=False) as cache:
        yield cache


def stored_as(cache: Cache) -> str:
    entry = cache.get_metadata(x=1)
    assert entry is not None
    return entry["storage_format"]


@given(value=objects)
def test_objects_come_back(shared: Cache, value: Any) -> None:
    shared.put(Record("outer", value), x=1)
    assert stored_as(shared) == "pickle"
    first, second = shared.get(x=1), shared.get(x=1)
    assert same(Record("outer", value), first)
    assert same(first, second)


def _closure(value: Any) -> Any:
    return lambda: value


@given(value=objects)
def test_what_only_dill_takes_comes_back(shared: Cache, value: Any) -> None:
    shared.put({"call": _closure(value), "value": value}, x=1)
    assert stored_as(shared) == "dill"
    back = shared.get(x=1)
    assert same(value, back["call"]())
    assert same(value, back["value"])
    # One object remains one.
    assert back["call"]() is back["value"] or isinstance(value, int | str | float | bytes | None)


@given(dtype=dtypes, sizes=st.lists(st.sampled_from([0, 1, 7, BIG]), min_size=1, max_size=4), fortran=st.booleans())
def test_buffers_out_of_band_are_the_callers_own(shared: Cache, dtype: str, sizes: list[int], fortran: bool) -> None:
    value = Record("buffers", [np.ones((size, 2), dtype, order="F" if fortran else "C") for size in sizes])
    value.parts.append(value.parts[0])
    shared.put(value, x=1)
    first, second = shared.get(x=1), shared.get(x=1)
    assert same(value, first)
    assert first.parts[-1] is first.parts[0]
    for part in first.parts:
        assert part.flags.writeable
        part[...] = np.zeros((), dtype)
    assert same(value, second)
    assert same(value, shared.get(x=1))


@given(depth=st.integers(1, 60), leaf=leaves)
def test_depth_and_cycles(shared: Cache, depth: int, leaf: Any) -> None:
    value: Any = Slotted(leaf, None)
    innermost = value
    for _ in range(depth):
        value = Slotted(leaf, value)
    innermost.right = value
    shared.put(value, x=1)
    back = shared.get(x=1)
    found = back
    for _ in range(depth + 1):
        assert same(found.left, leaf)
        found = found.right
    assert found is back


def test_values_without_pickle_are_left_alone(tmp_path: Path) -> None:
    """Reducers of the package are its own: pickle and copyreg of the process stay as they are."""
    import copyreg
    import pickle

    before = dict(copyreg.dispatch_table)
    with Cache(tmp_path / "c") as cache:
        cache.put(Record("a", np.str_("b\0")), x=1)
    assert copyreg.dispatch_table == before
    assert pickle.loads(pickle.dumps(fractions.Fraction(1, 3))) == fractions.Fraction(1, 3)
