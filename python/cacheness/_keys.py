"""Reduces objects other than builtins to parts that the encoder in Rust knows; called from Rust, never from user code.

:func:`reduce` returns the object's parts, built from the classes below. Everything inside them that is not one of these
classes is a user's value and is encoded like any other. The rules are in ``docs/formats/keys.md``.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import functools
import pathlib
import re
import sys
import types
import typing
import uuid
from collections.abc import Collection
from typing import Any

from cacheness._keys_parts import (
    HINT,
    ListParts,
    MapParts,
    Member,
    Named,
    Ref,
    TupleParts,
    Unencodable,
    around,
    attributes,
    class_name,
    computed,
    found_reference,
    hooked_name,
    noun,
    reference,
    stable_name,
    unencodable,
)

__all__ = ["reduce"]


def reduce(value: Any, introspect: bool) -> Any:
    """The parts of ``value``, whose type is not exactly a builtin one."""
    if isinstance(value, type):
        return reference(value)
    cls = type(value)
    hook = getattr(cls, "__cache_key__", None)
    if hook is not None:
        return Named(hooked_name(cls), hook(value))
    for root in dict.fromkeys(str(base.__module__).partition(".")[0] for base in cls.__mro__):
        if root in _PACKAGES:
            parts = _PACKAGES[root](value, cls)
            if parts is not None:
                return parts
    if isinstance(value, enum.Enum):
        return _enum_member(value, cls)
    parts = _callable(value, cls)
    if parts is not None:
        return parts
    parts = _standard(value, cls)
    if parts is not None:
        return parts
    parts = _subclass(value, cls)
    if parts is not None:
        return parts
    parts = _record(value, cls)
    if parts is not None:
        return parts
    return _introspected(value, cls, introspect)


def _numpy(value: Any, cls: type) -> Any:  # noqa: ARG001 - all reducers are called alike
    from cacheness import _keys_arrays

    return _keys_arrays.reduce(value)


def _tables(package: str) -> Any:
    def reducer(value: Any, cls: type) -> Any:
        from cacheness import _keys_tables, _libraries

        _libraries.check(package)
        return getattr(_keys_tables, package)(value, cls)

    return reducer


def _scipy(value: Any, cls: type) -> Any:
    from cacheness import _keys_sparse

    return _keys_sparse.reduce(value, cls)


# By the package of the value's class, or of one of its bases.
_PACKAGES = {
    "numpy": _numpy,
    "pandas": _tables("pandas"),
    "polars": _tables("polars"),
    "pyarrow": _tables("pyarrow"),
    "scipy": _scipy,
}


def _enum_member(value: enum.Enum, cls: type) -> Any:
    name = value.name
    if isinstance(name, str) and name in cls.__members__:  # type: ignore[attr-defined]
        return Member((class_name(cls), name))
    # A combination of flags has no name.
    return Named(class_name(cls), value.value)


def _callable(value: Any, cls: type) -> Any:
    if cls is types.FunctionType:
        return reference(value)
    if cls is types.ModuleType:
        return Ref(f"{value.__name__}:")
    if cls is types.MethodType:
        return Named("builtins.method", TupleParts((value.__func__, value.__self__)))
    if cls is types.BuiltinFunctionType:
        owner = value.__self__
        if owner is None or isinstance(owner, types.ModuleType):
            module = value.__module__ or getattr(owner, "__name__", None)
            stable_name(module, value.__qualname__, noun(value))
            return Ref(f"{module}:{value.__qualname__}")
        if isinstance(owner, type):
            return Ref(f"{owner.__module__}:{owner.__qualname__}.{value.__name__}")
        function = Ref(f"{type(owner).__module__}:{type(owner).__qualname__}.{value.__name__}")
        return Named("builtins.method", TupleParts((function, owner)))
    if cls in (types.MethodDescriptorType, types.WrapperDescriptorType, types.ClassMethodDescriptorType):
        return Ref(f"{value.__objclass__.__module__}:{value.__qualname__}")
    if cls is functools.partial:
        return Named("functools.partial", TupleParts((value.func, TupleParts(value.args), MapParts(value.keywords))))
    return None


#: ``int | None`` and ``Optional[int]``, which are equal.
_UNIONS = (types.UnionType, type(typing.Optional[int]))  # noqa: UP045 - the older of the two is meant


def _standard(value: Any, cls: type) -> Any:
    if cls is range:
        return Named("builtins.range", TupleParts((value.start, value.stop, value.step)))
    if cls is slice:
        return Named("builtins.slice", TupleParts((value.start, value.stop, value.step)))
    if cls is bytearray:
        return Named("builtins.bytearray", bytes(value))
    if cls is memoryview:
        if value.format == "B" and value.ndim == 1:
            return Named("builtins.memoryview", value.tobytes())
        return Named("builtins.memoryview", TupleParts((value.format, TupleParts(value.shape or ()), value.tobytes())))
    if cls is fractions.Fraction:
        return Named("fractions.Fraction", TupleParts((value.numerator, value.denominator)))
    if cls is re.Pattern:
        return Named("re.Pattern", TupleParts((value.pattern, value.flags)))
    if cls in _UNIONS:
        return Named("typing.Union", TupleParts(value.__args__))
    if cls is types.MappingProxyType:
        return Named("builtins.mappingproxy", dict(value))
    if cls is collections.OrderedDict:
        return Named(
            "collections.OrderedDict", ListParts(TupleParts(pair) for pair in collections.OrderedDict.items(value))
        )
    if cls is collections.defaultdict:
        return Named(
            "collections.defaultdict",
            TupleParts((MapParts(value), MapParts(default_factory=value.default_factory))),
        )
    return None


def _datetime_content(value: dt.datetime) -> dt.datetime:
    return dt.datetime(
        value.year,
        value.month,
        value.day,
        value.hour,
        value.minute,
        value.second,
        value.microsecond,
        value.tzinfo,
        fold=value.fold,
    )


def _time_content(value: dt.time) -> dt.time:
    return dt.time(value.hour, value.minute, value.second, value.microsecond, value.tzinfo, fold=value.fold)


# A datetime is a date, so it comes first.
_BASES: tuple[tuple[type, Any], ...] = (
    (str, str.__str__),
    (int, int.__index__),
    (float, float.__float__),
    (complex, lambda v: complex(v.real, v.imag)),
    (bytes, lambda v: bytes.__getitem__(v, slice(None))),
    (bytearray, lambda v: bytes(memoryview(v))),
    (list, lambda v: list(list.__iter__(v))),
    (tuple, lambda v: tuple(tuple.__iter__(v))),
    (dict, lambda v: dict(dict.items(v))),
    (set, lambda v: set(set.__iter__(v))),
    (frozenset, lambda v: frozenset(frozenset.__iter__(v))),
    (dt.datetime, _datetime_content),
    (dt.date, lambda v: dt.date(v.year, v.month, v.day)),
    (dt.time, _time_content),
    (dt.timedelta, lambda v: dt.timedelta(v.days, v.seconds, v.microseconds)),
    (decimal.Decimal, lambda v: decimal.Decimal(v.as_tuple())),
    (fractions.Fraction, lambda v: fractions.Fraction(v.numerator, v.denominator)),
    (uuid.UUID, lambda v: uuid.UUID(int=v.int)),
    (pathlib.Path, lambda v: pathlib.Path(str(v))),
    (pathlib.PurePath, lambda v: pathlib.PurePosixPath(v.as_posix())),
)


def _subclass(value: Any, cls: type) -> Any:
    if isinstance(value, tuple):
        fields = getattr(cls, "_fields", None)
        if isinstance(fields, tuple) and len(fields) == tuple.__len__(value):
            return _with_others(value, cls, tuple, MapParts(zip(fields, tuple.__iter__(value), strict=True)), ())
    if isinstance(value, collections.OrderedDict):
        pairs = ListParts(TupleParts(pair) for pair in collections.OrderedDict.items(value))
        return around(value, cls, collections.OrderedDict, pairs)
    if isinstance(value, collections.defaultdict):
        found = attributes(value, cls, collections.defaultdict)
        found["default_factory"] = value.default_factory
        return Named(class_name(cls), TupleParts((dict(dict.items(value)), found)))
    for base, content in _BASES:
        if isinstance(value, base):
            return around(value, cls, base, content(value))
    return None


def _with_others(value: Any, cls: type, base: type, fields: MapParts, known: Collection[str]) -> Named:
    """Fields by their names, and the object's other attributes, if any."""
    others = attributes(value, cls, base, computed(cls).union(known))
    return Named(class_name(cls), TupleParts((fields, others)) if others else fields)


def _record(value: Any, cls: type) -> Any:
    if dataclasses.is_dataclass(cls):
        names = [field.name for field in dataclasses.fields(value)]
        return _with_others(value, cls, object, MapParts((name, getattr(value, name)) for name in names), names)
    attrs_fields = getattr(cls, "__attrs_attrs__", None)
    if attrs_fields is not None:
        names = [field.name for field in attrs_fields]
        content = MapParts((name, getattr(value, name)) for name in names)
        # The hash that attrs stores differs between processes.
        return _with_others(value, cls, object, content, [*names, "_attrs_cached_hash"])
    pydantic = sys.modules.get("pydantic")
    if pydantic is not None and isinstance(value, getattr(pydantic, "BaseModel", ())):
        fields = MapParts((name, getattr(value, name)) for name in cls.model_fields)  # type: ignore[attr-defined]
        fields.update(getattr(value, "__pydantic_extra__", None) or {})
        fields.update(getattr(value, "__pydantic_private__", None) or {})
        return Named(class_name(cls), fields)
    return None


def _introspected(value: Any, cls: type, introspect: bool) -> Any:
    if not introspect:
        raise Unencodable(
            f"{noun(value)} has no encoding of its own",
            "give its class a __cache_key__() method, or set enable_object_introspection",
        )
    if cls is object:
        raise Unencodable("a bare object() cannot be distinguished from another", HINT)
    name = class_name(cls)
    try:
        reduced = value.__reduce_ex__(2)
    except Exception as error:
        raise unencodable(value) from error
    if isinstance(reduced, str):
        module = getattr(value, "__module__", None) or cls.__module__
        if getattr(value, "__module__", None):
            return found_reference(module, reduced, value)
        return Ref("{}:{}".format(*stable_name(module, reduced, noun(value))))
    if not isinstance(reduced, tuple) or not 2 <= len(reduced) <= 6:
        raise unencodable(value)
    function, arguments, state, items, pairs, setter = (*reduced, None, None, None, None)[:6]
    if setter is not None:
        raise unencodable(value)
    return Named(
        name,
        TupleParts(
            (
                function,
                TupleParts(arguments),
                _state(state, cls),
                None if items is None else ListParts(items),
                None if pairs is None else MapParts(pairs),
            )
        ),
    )


def _state(state: Any, cls: type) -> Any:
    if type(state) is dict:
        # The value of a cached_property follows from the other attributes, and exists only after its first use.
        return MapParts(
            (name, part)
            for name, part in state.items()
            if not (isinstance(name, str) and isinstance(getattr(cls, name, None), functools.cached_property))
        )
    if type(state) is tuple and len(state) == 2 and type(state[1]) is dict and isinstance(state[0], (dict, type(None))):
        return TupleParts((_state(state[0], cls), MapParts(state[1])))
    return state
