"""The signature that a call is bound to, if the function has further decorators.

``inspect.signature`` follows ``__wrapped__`` and shows the wrapped function. But the call goes to the wrapper, which
may have its own parameters and defaults, and may fill in arguments. The wrapper's own signature therefore decides; the
names of the wrapped function are used only for arguments collected with ``*args`` and ``**kwargs``.
"""

from __future__ import annotations

import functools
import inspect
import types
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import _core

if TYPE_CHECKING:
    from collections.abc import Callable

_Kind = inspect.Parameter
COLLECTS = (_Kind.VAR_POSITIONAL, _Kind.VAR_KEYWORD)
#: A signature that accepts all arguments.
_ANYTHING = inspect.Signature([_Kind("args", _Kind.VAR_POSITIONAL), _Kind("kwargs", _Kind.VAR_KEYWORD)])
#: The maximum number of nested decorators; real programs have a handful.
DEEPEST = 100
_LRU_CACHE = type(functools.lru_cache(len))
_OURS = __name__.rpartition(".")[0]


class Signatures(NamedTuple):
    """The signature of a function, and that of the wrapped function for collected arguments."""

    own: inspect.Signature
    wrapped: inspect.Signature | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all parameters, those of the caller's view first."""
        return (*(self.wrapped.parameters if self.wrapped else ()), *self.own.parameters)


def is_ours(function: types.FunctionType) -> bool:
    """Whether a decorator of this package has created it."""
    return str(function.__globals__.get("__name__")).startswith(_OURS)


def signatures(function: Callable[..., Any], _deep: int = 0) -> Signatures:
    """The signatures of a function.

    Raises:
        ValueError: it has none.
    """
    while _passes_on(function) and _deep < DEEPEST:
        function = function.__wrapped__  # type: ignore[attr-defined]
        _deep += 1
    wrapped = getattr(function, "__wrapped__", None)
    if not callable(wrapped):
        return Signatures(inspect.signature(function, follow_wrapped=False))
    try:
        inner = signatures(wrapped, _deep + 1) if _deep < DEEPEST else None
    except (TypeError, ValueError):
        # Some functions written in C have none.
        inner = None
    shown = None
    if inner is not None:
        shown = inner.own if inner.wrapped is None or only_keywords(inner.own) else inner.wrapped
    own = _own(function, shown)
    return Signatures(own, shown if shown is not None and _fits(own, shown) else None)


def _passes_on(function: Any) -> bool:
    """Whether it is a wrapper that is known to pass on its arguments unchanged."""
    if not callable(getattr(function, "__wrapped__", None)):
        return False
    return isinstance(function, _LRU_CACHE | _core.FunctionBase)


def _own(function: Any, shown: inspect.Signature | None) -> inspect.Signature:
    """The signature of a wrapper itself."""
    if isinstance(function, types.FunctionType):
        # `functools.wraps` copies a `__signature__` with all other attributes. One that differs from that of the
        # wrapped function was set by hand, and is trusted.
        by_hand = function.__dict__.get("__signature__")
        if by_hand is not None and by_hand != shown and by_hand != _seen(function.__wrapped__):  # type: ignore[attr-defined]
            return inspect.signature(function, follow_wrapped=False)
        code = function.__code__
        bare = types.FunctionType(code, {}, code.co_name, function.__defaults__, function.__closure__)
        bare.__kwdefaults__ = function.__kwdefaults__
        return inspect.signature(bare)
    try:
        return inspect.signature(function, follow_wrapped=False)
    except (TypeError, ValueError):
        return _ANYTHING


def _seen(function: Any) -> inspect.Signature | None:
    """The result of ``inspect.signature``, which decorators set as ``__signature__``."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


def only_keywords(signature: inspect.Signature) -> frozenset[str]:
    """The names of keyword-only parameters."""
    return frozenset(name for name, p in signature.parameters.items() if p.kind is _Kind.KEYWORD_ONLY)


def _fits(own: inspect.Signature, wrapped: inspect.Signature) -> bool:
    """Whether arguments that a wrapper collects may get their names from the wrapped function.

    The wrapper's own leading parameters (``self``) must be leading parameters of the wrapped function too: otherwise
    all following arguments would be shifted.
    """
    mine = _positional(own)
    return any(p.kind in COLLECTS for p in own.parameters.values()) and mine == _positional(wrapped)[: len(mine)]


def _positional(signature: inspect.Signature) -> list[str]:
    kinds = (_Kind.POSITIONAL_ONLY, _Kind.POSITIONAL_OR_KEYWORD)
    return [name for name, p in signature.parameters.items() if p.kind in kinds]
