"""The base of the configuration classes: checks of options and of the types of their values.

Whether an option exists is checked when it is given or assigned; the type of its value, when a cache is opened. All
other checks of values are in Rust.
"""

from __future__ import annotations

import functools
import math
import operator
import os
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from . import _sources
from ._secrets import masked, masked_text
from .errors import CacheConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import Field
    from typing import Self

S = TypeVar("S", bound="Options")

#: The sections of a configuration, filled in where they are defined.
SECTIONS: dict[str, type[Options]] = {}


class Options:
    """A section of the configuration.

    Implements the methods of dataclasses once: generating them for each class would take half the time of an import.
    """

    #: The options that were given when the section was created; all others are defaults, and contradict nothing. And
    #: the options that a file or the environment has set: the value of each, and its source.
    __slots__ = ("_given", "_sources")

    _given: frozenset[str]
    _sources: dict[str, tuple[Any, str]]
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    #: For each option the type that needs no check, and the converter of other values for the engine.
    _checks: ClassVar[dict[str, tuple[type | None, Callable[[str, Any], Any]]]] = {}
    #: Aliases of options.
    _aliases: ClassVar[dict[str, str]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = {
            name: _check_of(str(kind))
            for name, kind in cls.__annotations__.items()
            if kind != "KW_ONLY" and not str(kind).startswith("ClassVar")
        }
        cls._checks = {**cls._checks, **own}

    if not TYPE_CHECKING:  # with these, a type checker would accept any name

        def __setattr__(self, name: str, value: Any) -> None:
            # Every field passes here on creation.
            if name in self.__dataclass_fields__:
                self.__dict__[name] = value
            else:
                self._assign(name, value)

        def __getattr__(self, name: str) -> Any:
            return self._find(name)

    def _assign(self, name: str, value: Any) -> None:
        """Assigns to a name that is not a field."""
        self.__dict__[self._own(name)] = value

    def _find(self, name: str) -> Any:
        """The value of a name that is not a field."""
        own = self._aliases.get(name)
        if own is None or own not in self.__dict__:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
        return self.__dict__[own]

    @classmethod
    def _own(cls, name: str) -> str:
        """The name of the option; raises if it does not exist."""
        own = cls._aliases.get(name, name)
        if own in cls.__dataclass_fields__:
            return own
        raise unknown_option(name, cls._known(), f" of {cls.__name__}", home_of(name))

    @classmethod
    def _known(cls) -> list[str]:
        """The names to suggest for a misspelt option."""
        return list(cls.__dataclass_fields__)

    @classmethod
    def _sorted(cls, options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The options under their own names, and the options of other sections."""
        given: dict[str, Any] = {}
        for name, value in options.items():
            own = cls._own(name)
            if own in given:
                others = " or ".join(alias for alias, known in cls._aliases.items() if known == own)
                raise CacheConfigurationError(f"{own} is given twice, also as {others}")
            given[own] = value
        return given, {}

    @classmethod
    def _has(cls, name: str) -> bool:
        """Whether an option of this name exists."""
        return cls._aliases.get(name, name) in cls.__dataclass_fields__

    #: Those of a section that names a backend: the options with the backend and with its options, and their names.
    _backend: ClassVar[str] = ""
    _backend_options: ClassVar[str] = ""
    _of_backends: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def _section_name(cls) -> str:
        """The name of the section; empty for a whole configuration."""
        return next((name for name, section in SECTIONS.items() if issubclass(cls, section)), "")

    def _complete(self) -> None:
        """Sets what depends on several sections; only a whole configuration has that."""

    def _take(self, flat: dict[str, Any]) -> None:
        """Sets options of other sections; only a whole configuration accepts them."""

    def _is_said(self, name: str) -> bool:
        """Whether the value of an option differs from its default."""
        given: frozenset[str] = getattr(self, "_given", frozenset())
        return name in given or self._normal(name) != type(self)()._normal(name)

    def _normal(self, name: str) -> Any:
        """The value of an option in the form of the engine; unchanged if it cannot be converted."""
        value = self.__dict__[name]
        try:
            return self._checks[name][1](name, value)
        except (CacheConfigurationError, KeyError):
            return value

    def __delattr__(self, name: str) -> None:
        raise CacheConfigurationError(f"{name} cannot be deleted", hint="assign its default")

    def __repr__(self) -> str:
        shown = (f"{name}={masked(name, value)!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({', '.join(shown)})"

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        mine, others = vars(self), vars(other)
        # A path equals its text, and a timedelta its seconds.
        return mine == others or (
            mine.keys() == others.keys() and all(self._normal(name) == other._normal(name) for name in mine)
        )

    __hash__ = None  # type: ignore[assignment]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__

    def _copy(self) -> Self:
        """A shallow copy, which knows the same of its options."""
        copied = object.__new__(type(self))
        copied.__dict__.update(self.__dict__)
        for slot in ("_given", "_sources"):
            if hasattr(self, slot):
                object.__setattr__(copied, slot, getattr(self, slot))
        return copied

    def _checked(self) -> Self:
        """A deep copy with values of the right types.

        Raises:
            CacheConfigurationError: an option has a value of a wrong type, or does not exist.
        """
        copied = self._copy()
        values = copied.__dict__
        for name, (exact, check) in self._checks.items():
            value = values[name]
            if type(value) is not exact:
                values[name] = check(name, value)
        if len(values) > len(self._checks):
            for name in values:
                if name not in self._checks:
                    raise unknown_option(name, list(self._checks), f" of {type(self).__name__}", home_of(name))
        return copied

    def _check_made(self) -> None:
        """Refuses invalid values among the given options."""
        self._checked()


def strict(cls: type[S]) -> type[S]:
    """Decorates a dataclass: refuses an unknown keyword, and suggests the nearest option."""
    made = cls.__init__
    names = list(cls.__dataclass_fields__)

    @functools.wraps(made)
    def __init__(self: S, /, *args: Any, **options: Any) -> None:  # noqa: N807 - it is one
        flat: dict[str, Any] = {}
        if options:
            options, flat = cls._sorted(options)
        try:
            made(self, *args, **options)
        except CacheConfigurationError:
            raise
        except TypeError as error:
            raise CacheConfigurationError(str(error), hint="give options by their names") from None
        given = frozenset([*names[: len(args)], *options])
        _sources.apply(self, self._section_name(), given)
        if args or options or flat:
            object.__setattr__(self, "_given", given)
            self._take(flat)
            self._check_made()
        self._complete()

    cls.__init__ = __init__  # type: ignore[assignment, method-assign]
    return cls


def home_of(name: str) -> str | None:
    """The first section with an option of this name."""
    return next((section for section, cls in SECTIONS.items() if cls._has(name)), None)


def unknown_option(name: str, known: list[str], whose: str = "", home: str | None = None) -> CacheConfigurationError:
    """The error for an option that does not exist; it suggests the nearest one."""
    error = unknown_name("option", name, known, whose)
    if home is not None:
        error.hint = f"it is an option of the section {home!r}"
    return error


def unknown_name(what: str, name: str, known: list[str], where: str = "") -> CacheConfigurationError:
    """The error for an unknown name."""
    import difflib

    near = difflib.get_close_matches(name, known, n=1)
    if not near:
        # A part of a name: `ttl` of `default_ttl_seconds`.
        parts = set(name.lower().split("_"))
        near = sorted((one for one in known if parts <= set(one.split("_"))), key=len)
    hint = f"did you mean {near[0]!r}?" if near else f"the {what}s are {', '.join(sorted(set(known)))}"
    return CacheConfigurationError(f"unknown {what} {name!r}{where}", hint=hint)


def shown(value: Any) -> str:
    """A value as shown in an error message."""
    if value is None or isinstance(value, str | bytes | int | float):
        text = repr(masked_text(value) if isinstance(value, str) else value)
        return text if len(text) <= 80 else f"{text[:80]}…"
    return f"a {type(value).__name__}"


def directory(name: str, value: Any) -> str:
    """A path as text."""
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(path, str) or not path or "\0" in path:
        raise CacheConfigurationError(f"{name} is {shown(value)}", hint="give the path of a directory, or ':memory:'")
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        raise CacheConfigurationError(f"{name} is {path!r}, which is not a valid path") from None
    return path


def absolute(path: str) -> str:
    """An absolute path, which stays valid when the working directory changes."""
    # Keeps links; pathlib takes long to import.
    return path if path == ":memory:" else os.path.abspath(path)  # noqa: PTH100


def refuse_copy(kind: type, place: str, database_url: Any) -> None:
    """Refuses to unpickle or copy a store in memory: the result would be another store, without entries.

    Pickling is not refused, because keys of objects that hold a store are made from the content of the pickle.
    """
    # Without a directory, but with entries on a server, it is no store in memory.
    if place == ":memory:" and "://" not in str(database_url or ""):
        raise TypeError(
            f"a {kind.__name__} in memory belongs to its process: it cannot be copied or unpickled; "
            "open one in a directory to share it"
        )


def _check_of(annotation: str) -> tuple[type | None, Callable[[str, Any], Any]]:
    """The check for the type that an annotation says."""
    check: Callable[[str, Any], Any]
    exact: type | None
    kind = annotation.removesuffix(" | None")
    if kind == "bool":
        exact, check = bool, _switch
    elif kind == "int":
        exact, check = int, _count
    elif kind.startswith("float"):
        exact, check = None, _duration if "timedelta" in kind else _number
    elif "PathLike" in kind:
        exact, check = None, directory
    elif "Backend" in kind:
        exact, check = None, _backend
    elif kind.startswith(("Literal", "str")):
        exact, check = None, _text
    elif kind == "list[str]":
        exact, check = None, _names
    elif kind.startswith("dict"):
        exact, check = None, _mapping
    elif kind.startswith("Sequence"):
        exact, check = None, _handlers
    elif kind.endswith("Config"):
        exact, check = None, checked_section
    else:
        exact, check = None, _as_it_is
    return exact, (_or_none(check) if kind != annotation else check)


def _or_none(check: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    return lambda name, value: None if value is None else check(name, value)


def _as_it_is(name: str, value: Any) -> Any:  # noqa: ARG001 - as the others
    return value


def _is_bool(value: Any) -> bool:
    """Whether it is a bool of Python or NumPy, which both also treat as a number."""
    return isinstance(value, bool) or (type(value).__module__ == "numpy" and type(value).__name__ in ("bool", "bool_"))


def _switch(name: str, value: Any) -> bool:
    if _is_bool(value):
        return bool(value)
    raise CacheConfigurationError(f"{name} is {shown(value)}", hint="give True or False")


def _float(value: Any) -> float | None:
    """A number of any library as a float; ``None`` if it is not a number."""
    if _is_bool(value) or not (hasattr(value, "__float__") or hasattr(value, "__index__")):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _count(name: str, value: Any) -> int:
    if not _is_bool(value):
        try:
            return operator.index(value)
        except TypeError:
            number = _float(value)
            if number is not None and number.is_integer():
                return int(number)
    raise CacheConfigurationError(f"{name} is {shown(value)}", hint="give a whole number")


def _number(name: str, value: Any, hint: str = "give a number") -> float:
    number = value if type(value) is float else _float(value)
    if number is None or not math.isfinite(number):
        raise CacheConfigurationError(f"{name} is {shown(value)}", hint=hint)
    return number


def _duration(name: str, value: Any) -> float:
    if hasattr(value, "total_seconds"):
        value = value.total_seconds()
    return _number(name, value, "give a finite number of seconds or a timedelta")


def _text(name: str, value: Any) -> str:
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(text, str):
        raise CacheConfigurationError(f"{name} is {shown(value)}", hint="give a str")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise CacheConfigurationError(
                f"{name} holds half of a surrogate pair, which is not valid Unicode", hint="give another name"
            ) from None
    return text


def _list(name: str, value: Any, hint: str) -> list[Any]:
    if isinstance(value, str | bytes) or not hasattr(type(value), "__iter__"):
        raise CacheConfigurationError(f"{name} is {shown(value)}", hint=hint)
    return list(value)


def _names(name: str, value: Any) -> list[str]:
    return [_text(f"a name in {name}", member) for member in _list(name, value, "give a list of names")]


def _mapping(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise CacheConfigurationError(f"{name} is {shown(value)}", hint="give a dictionary of options by their names")
    return dict(value)


def _backend(name: str, value: Any) -> Any:
    if isinstance(value, type) or not hasattr(value, "_is_backend"):
        return _text(name, value)
    return value


def _handlers(name: str, value: Any) -> list[Any]:
    return _list(name, value, "give a list of handlers")


def checked_section(name: str, value: Any) -> Options:
    """A copy of a section."""
    expected = SECTIONS[name]
    if not isinstance(value, expected):
        raise CacheConfigurationError(f"{name} is {shown(value)}", hint=f"give a {expected.__name__}(…)")
    return value._checked()
