"""From the arguments of a call to the parameters of its key.

``inspect.Signature.bind`` takes longer than reading a value from the cache. So a function with the same signature is
compiled once, which returns the parameters as a dictionary: Python itself then binds the arguments, and raises what the
decorated function would raise.
"""

from __future__ import annotations

import inspect
import keyword
from typing import TYPE_CHECKING, Any

from ._signature import COLLECTS, only_keywords, signatures

if TYPE_CHECKING:
    from collections.abc import Callable

_Kind = inspect.Parameter
#: The value of an empty collection of arguments.
_EMPTY: dict[str, Any] = {"*": (), "**": {}}


class _Absent:
    """Stands for an omitted argument that is omitted from the key too."""


def binder(
    function: Callable[..., Any],
    constants: dict[str, Any],
    include_defaults: bool,
    ignore: frozenset[str],
) -> Callable[..., dict[str, Any]]:
    """Compiles a function with the signature of ``function`` that returns ``constants`` with the named ``arguments``.

    Raises:
        ValueError: the function has no signature.
    """
    found = signatures(function)
    # If a collected argument is ignored as a whole, the names in it are not needed.
    if found.wrapped is None or any(p.name in ignore for p in found.own.parameters.values() if p.kind in COLLECTS):
        return _binder(function, found.own, constants, include_defaults, ignore)
    return _through_wrapper(function, found.own, found.wrapped, constants, include_defaults, ignore)


def _binder(
    function: Callable[..., Any],
    signature: inspect.Signature,
    constants: dict[str, Any],
    include_defaults: bool,
    ignore: frozenset[str],
) -> Callable[..., dict[str, Any]]:
    compiled = _compile(signature, constants, include_defaults, ignore)
    if compiled is None:
        return _slow(signature, constants, include_defaults, ignore)
    compiled.__name__ = getattr(function, "__name__", "function")
    compiled.__qualname__ = getattr(function, "__qualname__", compiled.__name__)
    return compiled


def _through_wrapper(
    function: Callable[..., Any],
    own: inspect.Signature,
    wrapped: inspect.Signature,
    constants: dict[str, Any],
    include_defaults: bool,
    ignore: frozenset[str],
) -> Callable[..., dict[str, Any]]:
    """For a wrapper that collects arguments, which get their names from the wrapped function.

    Defaults of ``wrapped`` are not filled in: the wrapper may fill in others. The defaults of omitted arguments are a
    separate part of the key, so that another default gives another key.
    """
    accept = _binder(function, own, {}, include_defaults, frozenset())
    name = _binder(function, wrapped, {}, False, frozenset())
    keywords = only_keywords(own)
    empty = {key: _EMPTY[star] for key, star in _stars(wrapped).items()} if include_defaults else {}
    defaults = _defaults(wrapped, own, keywords, ignore) if include_defaults else {}
    stars = _stars(own)
    collects = {key for key, star in _stars(wrapped).items() if star == "**"} | {f"**{key}" for key in stars}

    def named(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any] | None:
        try:
            given = {**empty, **name(*args, **kwargs)["arguments"]}
        except TypeError:
            return None
        # A parameter of the wrapper and one of the same name in the wrapped function are different.
        return given if keywords.isdisjoint(given) else None

    def bind(*args: Any, **kwargs: Any) -> dict[str, Any]:
        # Raises if the wrapper refuses the arguments.
        mine: dict[str, Any] = accept(*args, **kwargs)["arguments"]
        passed = {key: value for key, value in kwargs.items() if key not in keywords} if keywords else kwargs
        arguments = named(args, passed)
        if arguments is None:
            # Collected arguments have names that no parameter has.
            arguments = {key: value for key, value in mine.items() if key not in stars}
            arguments.update((star + key, mine.get(key, _EMPTY[star])) for key, star in stars.items())
        else:
            arguments.update((key, mine[key]) for key in keywords if key in mine)
        left_out = {key: value for key, value in defaults.items() if key not in arguments}
        params = {**constants, "arguments": _ignoring(arguments, collects, ignore) if ignore else arguments}
        if left_out:
            params["__defaults__"] = left_out
        return params

    return bind


def _stars(signature: inspect.Signature) -> dict[str, str]:
    """The parameters that collect arguments, and how they are written."""
    collecting = [p for p in signature.parameters.values() if p.kind in COLLECTS]
    return {p.name: "*" if p.kind is _Kind.VAR_POSITIONAL else "**" for p in collecting}


def _defaults(
    wrapped: inspect.Signature, own: inspect.Signature, keywords: frozenset[str], ignore: frozenset[str]
) -> dict[str, Any]:
    """The optional parameters with their defaults; the wrapper's own defaults take precedence."""
    return {
        p.name: p.default
        for signature in (wrapped, own)
        for p in signature.parameters.values()
        if p.default is not _Kind.empty and p.name not in ignore and p.name not in keywords
    }


def _ignoring(arguments: dict[str, Any], collects: set[str], ignore: frozenset[str]) -> dict[str, Any]:
    return {
        name: _without(value, ignore) if name in collects else value
        for name, value in arguments.items()
        if name not in ignore
    }


def _slow(
    signature: inspect.Signature, constants: dict[str, Any], include_defaults: bool, ignore: frozenset[str]
) -> Callable[..., dict[str, Any]]:
    def named(kind: object) -> list[str]:
        return [name for name, parameter in signature.parameters.items() if parameter.kind is kind]

    collects = named(_Kind.VAR_KEYWORD)
    # A function that collects keywords accepts these as keywords too; `Signature.bind` refuses that in Python 3.11.
    positional = named(_Kind.POSITIONAL_ONLY) if collects else []

    def bind(*args: Any, **kwargs: Any) -> dict[str, Any]:
        collected = {name: kwargs.pop(name) for name in positional if name in kwargs}
        bound = signature.bind(*args, **kwargs)
        if collected:
            bound.arguments[collects[0]] = bound.arguments.get(collects[0], {}) | collected
        if include_defaults:
            bound.apply_defaults()
        arguments = {name: value for name, value in bound.arguments.items() if name not in ignore}
        for name in collects:
            if name in arguments:
                arguments[name] = _without(arguments[name], ignore)
                if not (arguments[name] or include_defaults):
                    del arguments[name]
        return {**constants, "arguments": arguments}

    return bind


def _without(more: dict[str, Any], ignore: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in more.items() if name not in ignore}


def _compile(
    signature: inspect.Signature, constants: dict[str, Any], include_defaults: bool, ignore: frozenset[str]
) -> Callable[..., dict[str, Any]] | None:
    parameters = list(signature.parameters.values())
    if not all(p.name.isidentifier() and not keyword.iskeyword(p.name) for p in parameters):
        return None
    # Internal names that no parameter has.
    own = "_"
    while any(p.name.startswith(own) for p in parameters):
        own += "_"
    values: dict[str, Any] = {f"{own}absent": _Absent, f"{own}ignore": ignore, f"{own}without": _without}
    head: list[str] = []
    always: list[str] = []
    sometimes: list[str] = []
    former = None
    for i, parameter in enumerate(parameters):
        name = parameter.name
        if former is _Kind.POSITIONAL_ONLY and parameter.kind is not _Kind.POSITIONAL_ONLY:
            head.append("/")
        if parameter.kind is _Kind.KEYWORD_ONLY and former not in (_Kind.KEYWORD_ONLY, _Kind.VAR_POSITIONAL):
            head.append("*")
        former = parameter.kind
        star = "*" if parameter.kind is _Kind.VAR_POSITIONAL else "**" if parameter.kind is _Kind.VAR_KEYWORD else ""
        item = f"{name!r}: {name}"
        if star:
            head.append(star + name)
            if parameter.kind is _Kind.VAR_KEYWORD and ignore:
                item = f"{name!r}: {own}without({name}, {own}ignore)"
            left_out = f"if {name}: {own}arguments[{name!r}] = {name}"
        elif parameter.default is _Kind.empty:
            head.append(name)
            left_out = ""
        else:
            values[f"{own}default{i}"] = parameter.default if include_defaults else _Absent
            head.append(f"{name}={own}default{i}")
            left_out = f"if {name} is not {own}absent: {own}arguments[{name!r}] = {name}"
        if name in ignore:
            continue
        if include_defaults or not left_out:
            always.append(item)
        elif parameter.kind is _Kind.VAR_KEYWORD and ignore:
            sometimes += [f"{name} = {own}without({name}, {own}ignore)", left_out]
        else:
            sometimes.append(left_out)
    if former is _Kind.POSITIONAL_ONLY:
        head.append("/")
    fixed = []
    for i, (name, value) in enumerate(constants.items()):
        values[f"{own}constant{i}"] = value
        fixed.append(f"{name!r}: {own}constant{i}")
    fixed.append(f"'arguments': {own}arguments" if sometimes else f"'arguments': {{{', '.join(always)}}}")
    body = [f"{own}arguments = {{{', '.join(always)}}}", *sometimes] if sometimes else []
    lines = [
        f"def {own}make({', '.join(values)}):",
        f"    def {own}bind({', '.join(head)}):",
        *(f"        {line}" for line in body),
        f"        return {{{', '.join(fixed)}}}",
        f"    return {own}bind",
    ]
    names: dict[str, Any] = {}
    # The text contains only identifiers and string literals.
    exec("\n".join(lines), names)  # noqa: S102
    bind: Callable[..., dict[str, Any]] = names[f"{own}make"](**values)
    return bind
