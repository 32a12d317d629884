"""What the golden vectors of keys cover: values described for both languages, and expressions for Python alone."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import enum
import fractions
import functools
import json
import pathlib
import re
import struct
import typing
from typing import Any

EPOCH = datetime.datetime(1970, 1, 1)


def _float(value: float) -> dict[str, str]:
    return {"float": struct.pack(">d", value).hex()}


def _one(description: Any) -> list[Any]:
    return [["x", description]]


_INTS = [0, 1, -1, 127, 128, -128, -129, 255, 256, 2**31, -(2**31), 2**63 - 1, -(2**63), 2**63, 2**64 - 1, 2**64]
_INTS += [2**127 - 1, -(2**127), 2**128 - 1, -(2**200), 10**100]
_FLOATS = [0.0, -0.0, 1.0, 1.5, -2.25, 5e-324, 1.7976931348623157e308, float("inf"), float("-inf"), float("nan")]

DESCRIBED: list[tuple[str, list[Any]]] = [
    ("no parameters", []),
    ("model and fold", [["model", {"str": "xgboost"}], ["fold", {"int": "3"}]]),
    ("order of names", [["b", {"int": "1"}], ["a", {"int": "2"}], ["aa", {"int": "3"}], ["", {"int": "4"}]]),
    ("names of any kind", [["any name", {"none": None}], ["größe", {"bool": True}], ["x" * 200, {"bool": False}]]),
    ("none", _one({"none": None})),
    ("false", _one({"bool": False})),
    ("true", _one({"bool": True})),
    *((f"int {value}", _one({"int": str(value)})) for value in _INTS),
    *((f"float {value!r}", _one(_float(value))) for value in _FLOATS),
    ("complex", _one({"complex": [_float(1.5)["float"], _float(-0.0)["float"]]})),
    ("empty str", _one({"str": ""})),
    ("str 1", _one({"str": "1"})),
    ("str beyond the basic plane", _one({"str": "naïve 日本 🦀\u0000"})),
    ("str of 4096 bytes", _one({"str_repeat": ["a", 4096]})),
    ("str of 4097 bytes", _one({"str_repeat": ["a", 4097]})),
    ("str of 200000 bytes", _one({"str_repeat": ["é", 100000]})),
    ("empty bytes", _one({"bytes": ""})),
    ("bytes", _one({"bytes": "00ff10"})),
    ("bytes of 4097 bytes", _one({"bytes_repeat": ["ab", 4097]})),
    ("decimal 1.50", _one({"decimal": "1.50"})),
    ("decimal exponent", _one({"decimal": "-1E+10"})),
    ("decimal infinity", _one({"decimal": "Infinity"})),
    ("uuid", _one({"uuid": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"})),
    ("ellipsis", _one({"ellipsis": None})),
    ("datetime", _one({"datetime": "2024-02-29T12:34:56.789012"})),
    ("datetime before the epoch", _one({"datetime": "1969-12-31T23:59:59.999999"})),
    ("first datetime", _one({"datetime": "0001-01-01T00:00:00"})),
    ("last datetime", _one({"datetime": "9999-12-31T23:59:59.999999"})),
    ("datetime utc", _one({"datetime_zoned": ["2024-02-29T12:34:56.789012", 0, ""]})),
    ("datetime offset", _one({"datetime_zoned": ["2024-07-01T00:00:00", -9000000000, ""]})),
    ("datetime zone", _one({"datetime_zoned": ["2024-07-01T00:00:00", 7200000000, "Europe/Berlin"]})),
    ("date", _one({"date": "2024-02-29"})),
    ("date before the epoch", _one({"date": "1969-12-31"})),
    ("time", _one({"time": [45296789012, None]})),
    ("time with offset", _one({"time": [0, 3600000000]})),
    ("timedelta", _one({"timedelta": "90500000"})),
    ("negative timedelta", _one({"timedelta": "-1"})),
    ("longest timedelta", _one({"timedelta": "86399999999999999999"})),
    ("path by name", _one({"path_name": "no/such/file.csv"})),
    ("empty list", _one({"list": []})),
    ("list", _one({"list": [{"int": "1"}, {"str": "a"}, {"none": None}]})),
    ("list of 5000 ints", _one({"repeat": ["list", {"int": "70000"}, 5000]})),
    ("list of long lists", _one({"list": [{"repeat": ["list", {"int": "7"}, 9000]}, {"int": "1"}]})),
    ("tuple", _one({"tuple": [{"int": "1"}, {"str": "a"}, {"none": None}]})),
    ("nested tuples", _one({"tuple": [{"tuple": [{"tuple": []}]}, {"list": [{"tuple": [{"bool": True}]}]}]})),
    ("empty mapping", _one({"mapping": []})),
    (
        "mapping with keys of many types",
        _one(
            {
                "mapping": [
                    [{"str": "b"}, {"int": "1"}],
                    [{"str": "a"}, {"mapping": [[{"int": "2"}, {"none": None}], [{"int": "1"}, {"none": None}]]}],
                    [{"int": "-1"}, {"int": "2"}],
                    [{"tuple": [{"int": "1"}, {"int": "2"}]}, {"list": []}],
                    [{"none": None}, {"bool": False}],
                ]
            }
        ),
    ),
    ("set", _one({"set": [{"int": "300"}, {"int": "2"}, {"str": "a"}, {"int": "-5"}]})),
    ("frozenset", _one({"frozenset": [{"str": "b"}, {"str": "a"}]})),
    ("array", _one({"array": ["<f8", [3], struct.pack("<3d", 1, 2.5, -3).hex()]})),
    ("array of two dimensions", _one({"array": ["<i4", [2, 3], struct.pack("<6i", 1, 2, 3, 4, 5, 6).hex()]})),
    ("array without dimensions", _one({"array": ["|u1", [], "07"]})),
    ("array without items", _one({"array": ["<f4", [0, 5], ""]})),
    ("array of bool", _one({"array": ["|b1", [4], "01000001"]})),
    ("array big-endian", _one({"array": [">i2", [2], "00010002"]})),
    ("array of dates", _one({"array": ["<M8[D]", [1], struct.pack("<q", 19723).hex()]})),
    ("array of str", _one({"array": ["<U2", [2], "ab".encode("utf-32-le").hex() + "c\0".encode("utf-32-le").hex()]})),
    ("array scalar", _one({"scalar": ["<f8", struct.pack("<d", 2.5).hex()]})),
    ("function", _one({"reference": "json:dumps"})),
    ("class", _one({"reference": "collections:OrderedDict"})),
    ("builtin function", _one({"reference": "builtins:len"})),
    ("enum member", _one({"enum": ["keys_catalogue.Colour", "RED"]})),
    ("named", _one({"named": ["fractions.Fraction", {"tuple": [{"int": "1"}, {"int": "3"}]}]})),
    (
        "dataclass",
        _one(
            {
                "named": [
                    "keys_catalogue.Config",
                    {"mapping": [[{"str": "rate"}, _float(0.1)], [{"str": "on"}, {"bool": True}]]},
                ]
            }
        ),
    ),
]

EXPRESSIONS: list[tuple[str, str]] = [
    ("python Fraction", "fractions.Fraction(-1, 3)"),
    ("python range", "range(0, 10, 2)"),
    ("python slice", "slice(1, None)"),
    ("python bytearray", "bytearray(b'ab')"),
    ("python memoryview", "memoryview(b'ab')"),
    ("python pattern", "re.compile('a+', re.I)"),
    ("python partial", "functools.partial(json.dumps, 1, indent=2)"),
    ("python bound method", "'text'.upper"),
    ("python enum member", "Colour.RED"),
    ("python flags", "Access.READ | Access.WRITE"),
    ("python dataclass", "Config(0.1, True)"),
    ("python named tuple", "Point(1, 2)"),
    ("python OrderedDict", "collections.OrderedDict(b=1, a=2)"),
    ("python defaultdict", "collections.defaultdict(list, a=[1])"),
    ("python Counter", "collections.Counter('aab')"),
    ("python deque", "collections.deque([1, 2], 3)"),
    ("python subclass of int", "Level(3)"),
    ("python __cache_key__", "Keyed('a')"),
    ("python object", "Plain(1)"),
    ("python pure path", "pathlib.PurePosixPath('a/b')"),
    ("numpy scalar", "np.float32(1.5)"),
    ("numpy datetime scalar", "np.datetime64('2024-01-01T00:00', 'm')"),
    ("numpy Fortran order", "np.asfortranarray([[1., 2.], [3., 4.]])"),
    ("numpy strided", "np.arange(10)[::-3]"),
    ("numpy structured", "np.array([(1, 2.5)], dtype=[('a', '<i4'), ('b', '<f8', (2,))])"),
    ("numpy padded", "np.array([(1, 2.5)], dtype=np.dtype([('a', 'i1'), ('b', '<f8')], align=True))"),
    ("numpy objects", "np.array([1, 'a', None], dtype=object)"),
    ("numpy masked", "np.ma.array([1, 2, 3], mask=[0, 1, 0])"),
    ("numpy dtype", "np.dtype('<f4')"),
    ("numpy ufunc", "np.sin"),
    ("arrow ints", "pa.array([1, None, 3])"),
    ("arrow strings", "pa.array(['a', None, '', 'bcd'])"),
    ("arrow dictionary", "pa.array(['a', None, 'a']).dictionary_encode()"),
    ("arrow lists", "pa.array([[1, 2], None, [], [3]])"),
    ("arrow structs", "pa.array([{'a': 1, 'b': 'x'}, None, {'a': None, 'b': 'y'}])"),
    ("arrow maps", "pa.array([[('a', 1)], None], type=pa.map_(pa.string(), pa.int8()))"),
    ("arrow bools", "pa.array([True, False, None] * 5)"),
    ("arrow decimals", "pa.array([decimal.Decimal('1.50'), None])"),
    ("arrow timestamps", "pa.array([1, None], type=pa.timestamp('us', tz='Europe/Berlin'))"),
    ("arrow nulls", "pa.nulls(3)"),
    ("arrow table", "pa.table({'a': [1, 2], 'b': ['x', None]})"),
    ("polars frame", "pl.DataFrame({'a': [1, 2], 'b': ['x', None]})"),
    ("polars series", "pl.Series('s', ['a', 'b'], dtype=pl.Enum(['b', 'a']))"),
    ("pandas frame", "pd.DataFrame({'a': [1, 2], 'b': pd.array(['x', None], dtype='string')}, index=[5, 6])"),
    ("pandas series", "pd.Series([1.5, None], name='s')"),
    ("pandas categorical", "pd.Series(pd.Categorical([2, 1, 2]))"),
    ("pandas nullable", "pd.Series([1, None], dtype='Int64')"),
    ("pandas zone", "pd.Series(pd.to_datetime(['2024-01-01']).as_unit('us').tz_localize('Europe/Berlin'))"),
    ("pandas index", "pd.Index([1, 2], name='i')"),
    ("pandas MultiIndex", "pd.MultiIndex.from_product([[1, 2], [True]], names=['a', None])"),
    ("pandas Timestamp", "pd.Timestamp('2024-01-01T00:00:00.000000001', tz='UTC')"),
    ("pandas Timedelta", "pd.Timedelta(1, 'ns')"),
    ("pandas Period", "pd.Period('2024-01', 'M')"),
    ("pandas Interval", "pd.Interval(0, 1, 'left')"),
    ("numpy masked with a value to fill in", "np.ma.array([1, 2], mask=[0, 1], fill_value=7, hard_mask=True)"),
    (
        "pandas fixed zone",
        "pd.DatetimeIndex(['2024-01-01']).as_unit('us').tz_localize(datetime.timezone(datetime.timedelta(hours=1)))",
    ),
    ("pandas zone of its own", "pd.DatetimeIndex(['2024-01-01']).as_unit('us').tz_localize(Zone(1))"),
    ("pandas Timestamp in a zone of its own", "pd.Timestamp('2024-01-01', tz=Zone(1))"),
    ("pandas index with a frequency", "pd.date_range('2024-01-01', periods=3, freq='D', unit='us')"),
    (
        "pandas index with an offset",
        "pd.date_range('2024-01-01', periods=3, freq=pd.DateOffset(months=1, days=2), unit='us')",
    ),
    ("polars enum in a list", "pl.Series([['a']], dtype=pl.List(pl.Enum(['a', 'b'])))"),
    ("polars categories in a struct", "pl.Series([{'a': 'x'}], dtype=pl.Struct({'a': pl.Categorical}))"),
    ("polars 128-bit integers", "pl.Series([2**100, None], dtype=pl.Int128)"),
    ("python union", "int | str"),
    ("python optional", "typing.Optional[int]"),
    ("scipy csr", "sp.csr_array(([1.0, 2.0], ([0, 1], [1, 0])), shape=(2, 2))"),
    ("scipy dok", "sp.csr_matrix(([1, 2], ([0, 1], [1, 0])), shape=(2, 2)).todok()"),
    ("python dataclass with another attribute", "with_attributes(Config(0.1, True), coef_=2.5)"),
    ("python named tuple with another attribute", "with_attributes(Place(1, 2), unit='m')"),
    ("numpy dtype of subarrays", "np.dtype(('<i4', (2,)))"),
    ("arrow scalar of nanoseconds", "pa.scalar(1, pa.time64('ns'))"),
    ("arrow type", "pa.struct([('a', pa.int8()), ('b', pa.int8())])"),
    ("arrow type with a name that looks like two", "pa.struct([('a: int8, b', pa.int8())])"),
    (
        "pandas series without duplicate labels",
        "pd.Series([1.5], name='s').set_flags(allows_duplicate_labels=False)",
    ),
]


class Colour(enum.Enum):
    RED = 1


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Level(int):
    pass


class Keyed:
    def __init__(self, name: str) -> None:
        self.name = name
        self.unstable = object()

    def __cache_key__(self) -> object:
        return self.name


class Zone(datetime.tzinfo):
    def __init__(self, hours: int) -> None:
        self.hours = hours

    def utcoffset(self, _: object) -> datetime.timedelta:
        return datetime.timedelta(hours=self.hours)

    dst = utcoffset

    def tzname(self, _: object) -> str:
        return "Zone"

    def __reduce__(self) -> object:
        return Zone, (self.hours,)


class Plain:
    def __init__(self, value: object) -> None:
        self.value = value


@dataclasses.dataclass
class Config:
    rate: float
    on: bool


Point = collections.namedtuple("Point", "x y")


class Place(Point):
    pass


def with_attributes(value: Any, **attributes: object) -> Any:
    vars(value).update(attributes)
    return value


def evaluate(expression: str) -> Any:
    import decimal
    import zoneinfo

    import numpy as np
    import pandas as pd
    import polars as pl
    import pyarrow as pa
    import scipy.sparse as sp

    names = dict(globals(), decimal=decimal, zoneinfo=zoneinfo, np=np, pd=pd, pl=pl, pa=pa, sp=sp)
    return eval(expression, names)


def build(description: Any) -> Any:
    """The value that a description describes, as people write it in Python."""
    import decimal
    import importlib
    import uuid
    import zoneinfo

    ((kind, body),) = description.items()
    micro = datetime.timedelta(microseconds=1)
    match kind:
        case "none":
            return None
        case "bool":
            return body
        case "int":
            return int(body)
        case "float":
            return struct.unpack(">d", bytes.fromhex(body))[0]
        case "complex":
            return complex(*(struct.unpack(">d", bytes.fromhex(part))[0] for part in body))
        case "str":
            return body
        case "str_repeat":
            return body[0] * body[1]
        case "bytes":
            return bytes.fromhex(body)
        case "bytes_repeat":
            return bytes.fromhex(body[0]) * body[1]
        case "decimal":
            return decimal.Decimal(body)
        case "uuid":
            return uuid.UUID(body)
        case "ellipsis":
            return ...
        case "datetime":
            return datetime.datetime.fromisoformat(body)
        case "datetime_zoned":
            wall, offset, zone = body
            info = zoneinfo.ZoneInfo(zone) if zone else datetime.timezone(offset * micro)
            return datetime.datetime.fromisoformat(wall).replace(tzinfo=info)
        case "date":
            return datetime.date.fromisoformat(body)
        case "time":
            zone = None if body[1] is None else datetime.timezone(body[1] * micro)
            return (EPOCH + body[0] * micro).time().replace(tzinfo=zone)
        case "timedelta":
            return int(body) * micro
        case "path_name":
            return pathlib.Path(body)
        case "list" | "tuple" | "set" | "frozenset":
            return {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}[kind](map(build, body))
        case "repeat":
            return build({body[0]: [body[1]] * body[2]})
        case "mapping":
            return {build(key): build(value) for key, value in body}
        case "array":
            import numpy as np

            return np.frombuffer(bytes.fromhex(body[2]), dtype=body[0]).reshape(body[1])
        case "scalar":
            import numpy as np

            return np.frombuffer(bytes.fromhex(body[1]), dtype=body[0])[0]
        case "reference":
            module, name = body.split(":")
            return getattr(importlib.import_module(module), name)
        case "enum":
            return getattr(Colour, body[1])
        case "named" if body[0] == "fractions.Fraction":
            return fractions.Fraction(*build(body[1]))
        case "named":
            return Config(**build(body[1]))
    raise ValueError(f"no such kind of value: {kind}")


_USED_IN_EXPRESSIONS = (functools, json, re, typing)
