"""What runs when an object is called: the function behind bound methods, partials and callable objects."""

from __future__ import annotations

import functools
import inspect
import types
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Target", "is_coroutine_function", "look_through"]


class Target(NamedTuple):
    """A function, and the positional and named arguments bound to it, in the order of binding."""

    function: Callable[..., Any]
    bound: tuple[tuple[tuple[Any, ...], dict[str, Any]], ...] = ()

    def binding(self, /, *args: Any, **kwargs: Any) -> Target:
        """With more arguments."""
        return Target(self.function, (*self.bound, (args, kwargs)))

    def bind(self, other: Callable[..., Any]) -> Callable[..., Any]:
        """Binds the same arguments to another function with the same parameters."""
        for args, kwargs in self.bound:
            other = functools.partial(other, *args, **kwargs)
        return other


def look_through(given: Callable[..., Any]) -> Target:
    """The function that runs when ``given`` is called, with its bound arguments.

    For a bound method, its function with the object; for a callable object, its ``__call__`` with the object; for a
    partial, its function with the bound arguments. A named callable written in C counts as a function.
    """
    kind = type(given)
    if kind is types.FunctionType or isinstance(given, type):
        return Target(given)
    if isinstance(given, types.MethodType):
        return look_through(given.__func__).binding(given.__self__)
    if isinstance(given, functools.partial):
        return look_through(given.func).binding(*given.args, **given.keywords)
    if isinstance(given, types.BuiltinMethodType | types.MethodWrapperType):
        return _bound_in_c(given)
    call = next((base.__dict__["__call__"] for base in kind.__mro__ if "__call__" in base.__dict__), None)
    if call is None:
        return Target(given)
    if isinstance(call, types.WrapperDescriptorType):
        return Target(given) if isinstance(getattr(given, "__qualname__", None), str) else Target(call).binding(given)
    return look_through(call.__get__(given, kind) if hasattr(call, "__get__") else call)


def _bound_in_c(given: Any) -> Target:
    owner = given.__self__
    if owner is None or isinstance(owner, types.ModuleType):
        return Target(given)
    for base in (owner if isinstance(owner, type) else type(owner)).__mro__:
        unbound = base.__dict__.get(given.__name__)
        if isinstance(
            unbound, types.MethodDescriptorType | types.ClassMethodDescriptorType | types.WrapperDescriptorType
        ):
            return Target(unbound).binding(owner)
    return Target(given)


def is_coroutine_function(function: Callable[..., Any]) -> bool:
    """Whether calling it returns a coroutine, also through bound methods, partials and callable objects."""
    if inspect.iscoroutinefunction(function):
        return True
    return type(function) is not types.FunctionType and inspect.iscoroutinefunction(look_through(function).function)
