"""The parts to which :mod:`cacheness._keys` reduces objects, which the encoder in Rust knows, and the error."""

from __future__ import annotations

import datetime as dt
import functools
import sys
import types
from collections.abc import Collection
from typing import Any


class Unencodable(Exception):  # noqa: N818 - says what the value is
    """A value has no stable encoding. The error describes the value and has a hint."""

    def __init__(self, sentence: str, hint: str | None = None) -> None:
        super().__init__(sentence, hint)


class TupleParts(tuple[Any, ...]):
    """A tuple that groups parts; the limits on the user's collections do not count it."""

    __slots__ = ()


class ListParts(list[Any]):
    """A list that groups parts."""

    __slots__ = ()


class MapParts(dict[Any, Any]):
    """A mapping that groups parts, such as fields and their values."""

    __slots__ = ()


class Named:
    """A value with a type of its own."""

    __slots__ = ("name", "value")

    def __init__(self, name: str, value: Any) -> None:
        self.name = name
        self.value = value


class Ref(str):
    """``module:qualified.name`` of a class, function or module."""

    __slots__ = ()


class Member(tuple[Any, ...]):
    """Qualified class name and member name of an enumeration."""

    __slots__ = ()


class Scalar(tuple[Any, ...]):
    """Dtype string and bytes of an array item."""

    __slots__ = ()


class TypedArray(tuple[Any, ...]):
    """Dtype string, shape, and a contiguous array whose bytes are the items."""

    __slots__ = ()


class Text(list[Any]):
    """A column of strings and ``None``."""

    __slots__ = ()


class Column(tuple[Any, ...]):
    """One Arrow array or chunked array."""

    __slots__ = ()


class Table(tuple[Any, ...]):
    """One Arrow table."""

    __slots__ = ()


HINT = "pass cache_key=…, omit it from the parameters, or give its class a __cache_key__() method"

_NOUNS = {
    "_thread.lock": "a lock",
    "_thread.RLock": "a lock",
    "_io.TextIOWrapper": "an open file",
    "_io.BufferedReader": "an open file",
    "_io.BufferedWriter": "an open file",
    "_io.BufferedRandom": "an open file",
    "_io.FileIO": "an open file",
    "builtins.generator": "a generator",
    "builtins.async_generator": "a generator",
    "builtins.coroutine": "a coroutine",
    "builtins.frame": "a stack frame",
    "socket.socket": "a socket",
    "_thread._local": "a thread-local object",
    "threading.Thread": "a thread",
    "weakref.ReferenceType": "a weak reference",
    "weakref.ProxyType": "a weak reference",
    "weakref.CallableProxyType": "a weak reference",
    "sqlite3.Connection": "a database connection",
}


def noun(value: Any) -> str:
    cls = type(value)
    name = f"{cls.__module__}.{cls.__qualname__}"
    return _NOUNS.get(name, f"an object of type {name}")


#: Hints for values that are probably a mistake, as a parameter or as the stored value.
_MEANT = {
    "builtins.coroutine": "await it, or decorate the function with cache_async",
    "builtins.async_generator": "collect its items in a list first",
    "builtins.generator": "collect its items in a list first",
    "builtins.dict_keys": "pass a list: list(…)",
    "builtins.dict_values": "pass a list: list(…)",
    "builtins.dict_items": "pass a list: list(…)",
    "builtins.map": "pass a list: list(…)",
    "builtins.filter": "pass a list: list(…)",
    "builtins.zip": "pass a list: list(…)",
}


def meant(value: Any) -> str | None:
    """A hint for a value that is probably a mistake."""
    cls = type(value)
    return _MEANT.get(f"{cls.__module__}.{cls.__qualname__}")


def unencodable(value: Any) -> Unencodable:
    return Unencodable(f"{noun(value)} has no stable encoding", meant(value) or HINT)


def stable_name(module: object, qualname: object, what: str) -> tuple[str, str]:
    if not isinstance(module, str) or not isinstance(qualname, str):
        raise Unencodable(f"{what} cannot be found by name in another process", HINT)
    if "<lambda>" in qualname:
        raise Unencodable(
            "a lambda has no stable name", "define a function at the top level of a module, or pass cache_key=…"
        )
    if "<locals>" in qualname:
        raise Unencodable(
            f"{qualname} is defined inside a function, so it has no stable name",
            "define it at the top level of a module, or pass cache_key=…",
        )
    return _as_run(module), qualname


def _as_run(module: str) -> str:
    """The name of a module; a script has another name in processes that ``multiprocessing`` starts."""
    return "__main__" if module == "__mp_main__" else module


def class_name(cls: type) -> str:
    qualname = cls.__qualname__
    if isinstance(qualname, str) and "<locals>" in qualname and "<lambda>" not in qualname:
        raise Unencodable(
            f"{qualname} is defined inside a function, so it has no stable name",
            "give it a __cache_key__() method, define it at the top level of a module, or pass cache_key=…",
        )
    module, qualname = stable_name(cls.__module__, qualname, f"class {cls!r}")
    return f"{module}.{qualname}"


def hooked_name(cls: type) -> str:
    """The name of a class with a ``__cache_key__``, which also covers what a class inside a function depends on."""
    if isinstance(cls.__module__, str) and isinstance(cls.__qualname__, str):
        return f"{_as_run(cls.__module__)}.{cls.__qualname__}"
    return class_name(cls)


def reference(value: Any) -> Ref:
    """A class or function by its name, if another process can find it by that name."""
    return found_reference(getattr(value, "__module__", None), getattr(value, "__qualname__", None), value)


def found_reference(module: object, qualname: object, value: Any) -> Ref:
    """The name of ``value``, which must refer to this very object."""
    module, qualname = stable_name(module, qualname, noun(value))
    if not (_is_static(value) or _is_found(value, module, qualname)):
        raise Unencodable(
            f"{module}.{qualname} refers to another object than this {type(value).__name__}, so it has no stable name",
            "pass the object that the name refers to, define it at the top level of its module, or pass cache_key=…",
        )
    return Ref(f"{module}:{qualname}")


def _is_static(value: Any) -> bool:
    """Whether it is a class of the interpreter or of an extension module: it exists only once, importable or not."""
    return isinstance(value, type) and not value.__flags__ & _HEAP_TYPE


#: ``Py_TPFLAGS_HEAPTYPE``.
_HEAP_TYPE = 1 << 9


def _is_found(value: Any, module: str, qualname: str) -> bool:
    found: Any = sys.modules.get(module)
    for name in qualname.split("."):
        found = getattr(found, name, None)
    # The function of a class method is looked up as a method.
    return found is value or getattr(found, "__func__", None) is value


def _slots(cls: type, base: type) -> list[str]:
    """Names of the slots that ``cls`` has beyond ``base``."""
    names = []
    for klass in cls.__mro__:
        if issubclass(base, klass):
            continue
        slots = klass.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name in ("__dict__", "__weakref__"):
                continue
            private = name.startswith("__") and not name.endswith("__")
            names.append(f"_{klass.__name__.lstrip('_')}{name}" if private else name)
    return names


def attributes(value: Any, cls: type, base: type, besides: Collection[str] = ()) -> MapParts:
    """The attributes of an instance of a subclass of ``base``, without its content and the attributes named."""
    found = MapParts(getattr(value, "__dict__", None) or {})
    for name in besides:
        found.pop(name, None)
    for name in _slots(cls, base):
        # Reading a cached_property of attrs would compute it.
        if name not in besides and hasattr(value, name):
            found[name] = getattr(value, name)
    return found


def computed(cls: type) -> set[str]:
    """Names of attributes that follow from the others, and exist only after their first use."""
    names: set[str] = set()
    for klass in cls.__mro__:
        names.update(name for name, part in vars(klass).items() if isinstance(part, functools.cached_property))
        # In a class with slots, attrs replaces a cached_property by a slot and this method, which has them as a
        # default.
        method = vars(klass).get("__getattr__")
        if "__attrs_attrs__" in vars(klass) and isinstance(method, types.FunctionType):
            defaults = method.__defaults__ or ()
            if "cached_properties" in method.__code__.co_varnames and defaults and isinstance(defaults[0], dict):
                names.update(defaults[0])
    return names


def around(value: Any, cls: type, base: type, content: Any) -> Named:
    """An instance of a subclass of ``base``: its content, and its attributes if it has any."""
    found = attributes(value, cls, base)
    return Named(class_name(cls), TupleParts((content, found)) if found else content)


def zone_name(zone: Any) -> Any:
    """The IANA name of a time zone, or ``None`` if it has none."""
    if not any(base.__module__.partition(".")[0] in _ZONES for base in type(zone).__mro__):
        return None
    for attribute in ("key", "zone"):
        name = getattr(zone, attribute, None)
        if isinstance(name, str) and name:
            return "UTC" if name in ("Etc/UTC", "Z") else name
    return None


#: Packages whose zones are those of the tz database.
_ZONES = ("zoneinfo", "pytz", "backports")


def zone_parts(zone: Any) -> Any:
    """A time zone of a datetime: its name, ``"UTC"``, its fixed offset, or else the zone as an object."""
    name = zone_name(zone)
    if name is not None:
        return name
    if type(zone) is dt.timezone:
        return zone.utcoffset(None) or "UTC"
    return zone
