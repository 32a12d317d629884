"""What :mod:`cacheness._keys` reduces objects to: structure that the encoder in Rust knows, and the error."""

from __future__ import annotations

from typing import Any


class Unencodable(Exception):
    """A value has no stable encoding: what it is, and what to do about it."""

    def __init__(self, sentence: str, hint: str | None = None) -> None:
        super().__init__(sentence, hint)


class TupleParts(tuple[Any, ...]):
    """A tuple that holds parts together; limits on the user's collections do not count it."""

    __slots__ = ()


class ListParts(list[Any]):
    """A list that holds parts together."""

    __slots__ = ()


class MapParts(dict[Any, Any]):
    """A mapping that holds parts together, such as fields and their values."""

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


HINT = "pass cache_key=…, leave it out of the parameters, or give its class a __cache_key__() method"

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
    "sqlite3.Connection": "a database connection",
}


def noun(value: Any) -> str:
    cls = type(value)
    name = f"{cls.__module__}.{cls.__qualname__}"
    return _NOUNS.get(name, f"an object of type {name}")


def unencodable(value: Any) -> Unencodable:
    return Unencodable(f"{noun(value)} has no stable encoding", HINT)


def stable_name(module: object, qualname: object, what: str) -> tuple[str, str]:
    if not isinstance(module, str) or not isinstance(qualname, str):
        raise Unencodable(f"{what} has no name that another process could find it by", HINT)
    if "<lambda>" in qualname:
        raise Unencodable(
            "a lambda has no stable name", "define a function at the top level of a module, or pass cache_key=…"
        )
    if "<locals>" in qualname:
        raise Unencodable(
            f"{qualname} is defined inside a function, so it has no stable name",
            "define it at the top level of a module, or pass cache_key=…",
        )
    return module, qualname


def class_name(cls: type) -> str:
    module, qualname = stable_name(cls.__module__, cls.__qualname__, f"class {cls!r}")
    return f"{module}.{qualname}"


def reference(value: Any) -> Ref:
    module, qualname = stable_name(
        getattr(value, "__module__", None), getattr(value, "__qualname__", None), noun(value)
    )
    return Ref(f"{module}:{qualname}")


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


def attributes(value: Any, cls: type, base: type) -> MapParts:
    """What an instance of a subclass of ``base`` has besides its content."""
    found = MapParts(getattr(value, "__dict__", None) or {})
    for name in _slots(cls, base):
        if hasattr(value, name):
            found[name] = getattr(value, name)
    return found


def around(value: Any, cls: type, base: type, content: Any) -> Named:
    """An instance of a subclass of ``base``: its content, and its attributes where it has some."""
    found = attributes(value, cls, base)
    return Named(class_name(cls), TupleParts((content, found)) if found else content)


def zone_name(zone: Any) -> Any:
    """The IANA name of a time zone, or ``None`` where it has none that everyone knows."""
    for attribute in ("key", "zone"):
        name = getattr(zone, attribute, None)
        if isinstance(name, str) and name:
            return "UTC" if name in ("Etc/UTC", "Z") else name
    return None
