"""Plain values: every value comes back equal and of the same type, or is not taken for plain."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import io
import json
import math
import pathlib
import struct
import subprocess
import sys
import types
import uuid
import zoneinfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_np
from soak import times

from cacheness import _core
from cacheness.errors import CacheSerializationError, CacheUnsupportedError

VECTORS = json.loads((pathlib.Path(__file__).parents[2] / "docs/formats/plain.vectors.json").read_text())
NAMES = {
    "np": np,
    "datetime": dt,
    "decimal": decimal,
    "pathlib": pathlib,
    "uuid": uuid,
    "zoneinfo": zoneinfo,
}


def same(a: object, b: object) -> bool:
    """Whether two values are equal and of the same types all the way down; NaN is equal to itself."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return struct.pack(">d", a) == struct.pack(">d", b)
    if isinstance(a, complex):
        return same(a.real, b.real) and same(a.imag, b.imag)
    if isinstance(a, np.ndarray):
        return (
            a.dtype == b.dtype
            and a.dtype.str == b.dtype.str
            and a.shape == b.shape
            and a.tobytes() == b.tobytes()
            and b.flags.writeable
        )
    if isinstance(a, np.generic):
        return a.dtype == b.dtype and a.tobytes() == b.tobytes()
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, set | frozenset):
        # Members that differ from themselves cannot be looked up.
        return len(a) == len(b) and sorted(map(canonical, a)) == sorted(map(canonical, b))
    if isinstance(a, dict):
        return len(a) == len(b) and all(map(same, a.items(), b.items()))
    if isinstance(a, dt.datetime | dt.time):
        zones = a.tzinfo is b.tzinfo or (
            type(a.tzinfo) is type(b.tzinfo) is dt.timezone and repr(a.tzinfo) == repr(b.tzinfo)
        )
        return zones and a.replace(tzinfo=None) == b.replace(tzinfo=None) and a.fold == b.fold
    if isinstance(a, decimal.Decimal):
        return a.as_tuple() == b.as_tuple()
    if isinstance(a, range):
        return (a.start, a.stop, a.step) == (b.start, b.stop, b.step)
    return a == b


def canonical(value: object) -> bytes:
    """An encoding in which the members of sets are sorted."""
    if isinstance(value, frozenset):
        return b"frozenset" + b"".join(sorted(map(canonical, value)))
    if isinstance(value, tuple):
        return b"tuple" + b"".join(map(canonical, value))
    encoding = _core.plain_dumps(value)
    assert encoding is not None
    return encoding


def check(value: object) -> None:
    encoding = _core.plain_dumps(value)
    assert encoding is not None, f"{value!r} is plain"
    back = _core.plain_loads(encoding)
    assert same(value, back), f"{value!r} came back as {back!r}"


def evaluate(expression: str) -> object:
    return eval(expression, dict(NAMES))


zones = st.one_of(
    st.none(),
    st.builds(
        dt.timezone,
        st.timedeltas(dt.timedelta(hours=-23, minutes=-59), dt.timedelta(hours=23, minutes=59)),
    ),
    st.builds(
        dt.timezone,
        st.timedeltas(dt.timedelta(hours=-23, minutes=-59), dt.timedelta(hours=23, minutes=59)),
        st.text(),
    ),
    st.sampled_from([dt.UTC]),
)
named_zones = st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu"]).map(zoneinfo.ZoneInfo)
dtypes = st.one_of(
    st_np.boolean_dtypes(),
    st_np.integer_dtypes(),
    st_np.unsigned_integer_dtypes(),
    st_np.floating_dtypes(sizes=(16, 32, 64)),
    st_np.complex_number_dtypes(sizes=(64, 128)),
    st_np.datetime64_dtypes(),
    st_np.timedelta64_dtypes(),
    st_np.byte_string_dtypes(max_len=5),
    st_np.unicode_string_dtypes(max_len=5),
)
arrays = st_np.arrays(
    st.one_of(dtypes, st_np.array_dtypes(subtype_strategy=dtypes, max_size=3)),
    st_np.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)
hashable_leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.integers(-300, 300),
    st.sampled_from(
        [s * (2**n + d) for n in (7, 8, 15, 16, 31, 32, 63, 64, 127, 2000) for d in (-1, 0, 1) for s in (1, -1)]
    ),
    st.floats(),
    st.complex_numbers(),
    st.text(),
    st.binary(max_size=300),
    st.datetimes(timezones=st.one_of(zones, named_zones), allow_imaginary=True),
    st.builds(lambda d, f: d.replace(fold=f), st.datetimes(), st.integers(0, 1)),
    st.dates(),
    st.builds(lambda t, f, z: t.replace(fold=f, tzinfo=z), st.times(), st.integers(0, 1), zones),
    st.timedeltas(),
    st.decimals(allow_nan=False),
    st.sampled_from([decimal.Decimal("NaN"), decimal.Decimal("-0E-7"), decimal.Decimal("Infinity")]),
    st.uuids(),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20).map(pathlib.Path),
    st.builds(range, st.integers(), st.integers(), st.integers().filter(bool)),
)
leaves = st.one_of(
    hashable_leaves,
    st.binary().map(bytearray),
    arrays,
    st.floats().map(np.float64),
    st.floats(width=32).map(np.float32),
    st.integers(-128, 127).map(np.int8),
    st.booleans().map(np.bool_),
)
hashables = st.recursive(
    hashable_leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(tuple),
        st.frozensets(inner, max_size=4),
    ),
    max_leaves=8,
)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=20),
        st.lists(inner, max_size=5).map(tuple),
        st.sets(hashables, max_size=5),
        st.frozensets(hashables, max_size=5),
        st.dictionaries(st.text(max_size=8), inner, max_size=20),
        st.dictionaries(hashables, inner, max_size=5),
    ),
    max_leaves=30,
)


@settings(max_examples=times(300))
@given(values)
def test_every_value_comes_back(value: object) -> None:
    check(value)


@settings(max_examples=times(300))
@given(arrays)
def test_arrays_come_back_in_their_order(array: np.ndarray) -> None:
    fortran = np.asfortranarray(array)
    for variant in (array, fortran, array.T, array[::-1] if array.ndim else array):
        back = _core.plain_loads(_core.plain_dumps(variant))
        assert same(variant, back)
        if variant.flags.f_contiguous or variant.flags.c_contiguous:
            assert back.flags.f_contiguous == variant.flags.f_contiguous
            assert back.flags.c_contiguous == variant.flags.c_contiguous


@pytest.mark.parametrize("vector", VECTORS["values"], ids=lambda v: v["name"])
def test_vectors(vector: dict[str, str]) -> None:
    value = evaluate(vector["python"])
    assert _core.plain_dumps(value).hex() == vector["hex"]
    assert same(value, _core.plain_loads(bytes.fromhex(vector["hex"])))


@pytest.mark.parametrize("vector", VECTORS["lenient"], ids=lambda v: v["name"])
def test_other_forms_are_read(vector: dict[str, str]) -> None:
    assert same(evaluate(vector["python"]), _core.plain_loads(bytes.fromhex(vector["hex"])))


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda v: v["name"])
def test_hostile_payloads_are_refused_with_their_offset(vector: dict[str, str]) -> None:
    with pytest.raises(CacheSerializationError, match="at byte"):
        _core.plain_loads(bytes.fromhex(vector["hex"]))


def test_no_truncation_of_a_vector_is_a_value() -> None:
    for vector in VECTORS["values"]:
        encoding = bytes.fromhex(vector["hex"])
        for length in range(len(encoding)):
            with pytest.raises(CacheSerializationError):
                _core.plain_loads(encoding[:length])


@settings(max_examples=times(500))
@given(st.binary(max_size=100))
def test_random_bytes_are_a_value_or_an_error(data: bytes) -> None:
    try:
        value = _core.plain_loads(data)
    except CacheSerializationError:
        return
    # What is read can be written.
    assert _core.plain_dumps(value) is not None


@settings(max_examples=times(300))
@given(values, st.data())
def test_damaged_payloads_are_a_value_or_an_error(value: object, data: st.DataObject) -> None:
    encoding = bytearray(_core.plain_dumps(value))
    encoding[data.draw(st.integers(0, len(encoding) - 1))] = data.draw(st.integers(0, 255))
    # Some bytes are content: another value is read then, which is as good as any.
    try:
        damaged = _core.plain_loads(bytes(encoding))
    except CacheSerializationError:
        return
    assert _core.plain_dumps(damaged) is not None


def test_python_finds_equal_members_of_different_types() -> None:
    # {1, 1.0} as a set of two, and {1: …, True: …} as a map of two.
    members = bytes.fromhex("9201cb3ff0000000000000")
    with pytest.raises(CacheSerializationError, match="equal members"):
        _core.plain_loads(b"\xc9" + len(members).to_bytes(4, "big") + b"\x03" + members)
    with pytest.raises(CacheSerializationError, match="duplicate key"):
        _core.plain_loads(bytes.fromhex("8201c0c3c0"))


class Text(str):
    pass


class Number(int):
    pass


class Color(enum.IntEnum):
    RED = 1


@dataclasses.dataclass
class Point:
    x: int


class Moment(dt.datetime):
    pass


class Zone(dt.tzinfo):
    def utcoffset(self, _: dt.datetime | None) -> dt.timedelta:
        return dt.timedelta(hours=1)


class Measure(np.float64):
    pass


def self_containing() -> list[object]:
    value: list[object] = []
    value.append({"self": value})
    return value


def nested(levels: int) -> list[object]:
    value: list[object] = []
    for _ in range(levels - 1):
        value = [value]
    return value


def zone_of_a_file() -> zoneinfo.ZoneInfo:
    """Tokyo by what it says, Berlin by its name."""
    counts = struct.pack(">6l", 0, 0, 0, 0, 1, 4)
    data = b"TZif" + bytes(16) + counts + struct.pack(">lbb", 9 * 3600, 0, 0) + b"JST\0"
    return zoneinfo.ZoneInfo.from_file(io.BytesIO(data), key="Europe/Berlin")


NOT_PLAIN = {
    "object": object(),
    "class": int,
    "function": len,
    "module": math,
    "ellipsis": ...,
    "slice": slice(1),
    "str subclass": Text("x"),
    "int subclass": Number(1),
    "enum": Color.RED,
    "dataclass": Point(1),
    "ordered dict": collections.OrderedDict(a=1),
    "default dict": collections.defaultdict(int),
    "mapping proxy": types.MappingProxyType({}),
    "named tuple": collections.namedtuple("N", "a")(1),
    "exception": ValueError("x"),
    "memoryview": memoryview(b"x"),
    "lone surrogate": "\ud800",
    "lone surrogate in a long str": "x" * 100_000 + "\udfff",
    "lone surrogate in a path": pathlib.Path("\udc80"),
    "datetime subclass": Moment(2026, 1, 1),
    "other tzinfo": dt.datetime(2026, 1, 1, tzinfo=Zone()),
    "zone of a file": dt.datetime(2026, 1, 1, tzinfo=zone_of_a_file()),
    "time in a zone": dt.time(1, tzinfo=zoneinfo.ZoneInfo("UTC")),
    "pure path": pathlib.PureWindowsPath("a"),
    "object array": np.array([None]),
    "record of objects": np.zeros(1, dtype=[("a", "O")]),
    "masked array": np.ma.masked_array([1, 2], [True, False]),
    "matrix": np.zeros((1, 1)).view(np.matrix),
    "record array": np.rec.array([(1,)], dtype=[("a", "i4")]),
    "record dtype": np.rec.array([(1,)], dtype=[("a", "i4")]).view(np.ndarray),
    "aligned dtype": np.zeros(1, dtype=np.dtype([("a", "i1"), ("b", "i4")], align=True)),
    "overlapping fields": np.zeros(1, np.dtype({"names": ["a", "b"], "formats": ["i4", "i2"], "offsets": [0, 0]})),
    "annotated dtype": np.zeros(1, dtype=np.dtype("i4", metadata={"unit": "m"})),
    "annotated field": np.zeros(1, dtype=[("a", np.dtype("i4", metadata={"unit": "m"}))]),
    "variable-width strings": np.array(["a"], dtype=np.dtypes.StringDType()),
    "long double": np.longdouble(1),
    "long double array": np.zeros(1, np.clongdouble),
    "numpy scalar subclass": Measure(1.0),
    "self-containing": self_containing(),
    "129 levels": nested(129),
}


@pytest.mark.parametrize("name", NOT_PLAIN)
def test_not_plain(name: str) -> None:
    value = NOT_PLAIN[name]
    assert _core.plain_dumps(value) is None
    assert _core.plain_dumps([1, {"key": (value,)}]) is None


@pytest.mark.parametrize("text", ["", "\0", "a\0", "a\0\0", "\0ü\0", "🦀\0"])
def test_numpy_strings_keep_their_nuls(text: str) -> None:
    for value, exact in ((np.str_(text), str.__str__), (np.bytes_(text.encode()), bytes.__len__)):
        back = _core.plain_loads(_core.plain_dumps([value]))[0]
        assert type(back) is type(value)
        assert exact(back) == exact(value) and back.tobytes() == value.tobytes() and back.dtype == value.dtype


def test_integer_types_of_c_that_have_one_size_stay_apart() -> None:
    for kind in (np.longlong, np.ulonglong, np.int64, np.uint64, np.int32, np.uint32):
        scalar, array = _core.plain_loads(_core.plain_dumps([kind(3), np.array([1, 2], kind)]))
        assert type(scalar) is kind and scalar == 3
        assert array.dtype.char == np.dtype(kind).char and array.tolist() == [1, 2]
    if np.dtype("i8").char != "q":
        assert _core.plain_dumps(np.longlong(3)) == b"\xc7\x0b\x0f\xa2<q\3" + bytes(7)
    swapped = np.array([1, 2], np.longlong).astype(np.dtype(np.longlong).newbyteorder())
    (back,) = _core.plain_loads(_core.plain_dumps((swapped,)))
    assert back.dtype.char == swapped.dtype.char and back.dtype.str == swapped.dtype.str and back.tolist() == [1, 2]


def test_nesting_ends_at_128_levels() -> None:
    check(nested(128))


def test_shared_objects_do_not_explode() -> None:
    value: object = [1]
    for _ in range(60):
        value = [value, value]
    assert _core.plain_dumps(value) is None
    assert _core.plain_dumps(["x" * 1_000_000] * 10_000) is None
    # A large value without sharing, or with harmless sharing, is plain.
    row = [1, 2]
    check([row, row, {"again": row}])
    check([[i] for i in range(600_000)])


def test_large_values() -> None:
    check("x" * 70_000)
    check("ü" * 70_000)
    check(bytes(70_000))
    check(list(range(70_000)))
    check({str(i): i for i in range(70_000)})
    check({"array": np.arange(1_000_000.0), "times": np.zeros(100_000, "M8[ns]")})
    check(np.asfortranarray(np.arange(1_000_000).reshape(1000, 1000)))
    check(10**5000)


def test_a_context_without_capitals_changes_nothing() -> None:
    with decimal.localcontext() as context:
        context.capitals = 0
        context.prec = 3
        check(decimal.Decimal("1.2345678E+30"))


def test_errors_are_ours_and_say_where() -> None:
    # A zone that the tz database does not have.
    name = b"Mars/Olympus"
    body = bytes(9) + b"\x91" + bytes([0xA0 | len(name)]) + name
    payload = b"\xc7" + bytes([len(body)]) + b"\x06" + body
    with pytest.raises(CacheUnsupportedError, match=r"Mars/Olympus.*at byte 0\nhint: .*tzdata"):
        _core.plain_loads(payload)


def test_what_comes_back_is_the_callers_own() -> None:
    encoding = _core.plain_dumps({"a": [1], "b": np.arange(3), "c": bytearray(b"x")})
    first, second = _core.plain_loads(encoding), _core.plain_loads(encoding)
    first["a"].append(2)
    first["b"][0] = 9
    first["c"].append(1)
    assert second["a"] == [1]
    assert second["b"][0] == 0
    assert second["c"] == b"x"


def test_structured_dtypes_with_padding_and_nesting() -> None:
    check(np.zeros(2, dtype=[("a", "<i4"), ("b", [("c", ">f8"), ("d", "S3")]), ("e", "<u2", (2, 2))]))
    check(np.zeros(2, dtype=[("a", "i1"), ("", "V3"), ("b", "<i4")]))
    check(np.zeros(2, dtype=[(("title", "a"), "<i4")]))
    check(np.zeros(1, dtype=[("a", "<i4")])[0])
    check(np.zeros((2, 3), dtype="V0"))
    check(np.str_(""))
    check(np.bytes_(b""))


def test_a_stopped_clock_is_not_mistaken() -> None:
    # Tests put a subclass in the place of datetime.datetime; plain values keep to the class itself.
    code = """
import datetime
real = datetime.datetime
class Stopped(real): pass
datetime.datetime = Stopped
from cacheness import _core
back = _core.plain_loads(_core.plain_dumps(real(2026, 1, 1)))
assert type(back) is real and back == real(2026, 1, 1)
assert _core.plain_dumps(Stopped(2026, 1, 1)) is None
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_numpy_is_not_imported_for_nothing() -> None:
    code = """
import sys
from cacheness import _core
before = set(sys.modules)
assert _core.plain_loads(_core.plain_dumps({"a": (1, 2.5)})) == {"a": (1, 2.5)}
assert _core.plain_dumps(object()) is None
assert not {"numpy", "decimal", "uuid", "pathlib", "zoneinfo"} & (set(sys.modules) - before)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
