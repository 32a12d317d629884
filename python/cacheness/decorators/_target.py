"""The function behind bound methods, partials and callable objects, and the name of its results."""

from __future__ import annotations

import functools
import inspect
import sys
import types
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import CacheConfigurationError
from ._signature import DEEPEST, is_ours

if TYPE_CHECKING:
    from collections.abc import Callable

#: Names of a running script: started directly, by ``multiprocessing``, by ``runpy.run_path``.
MAIN = ("__main__", "__mp_main__", "<run_path>")


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


def refuse_unsupported(function: Any) -> None:
    """Refuses objects that cannot be decorated, or whose results cannot be stored."""
    if not callable(function):
        raise CacheConfigurationError(
            f"a {type(function).__name__} is decorated, which cannot be called",
            hint="put @property and similar decorators above the decorator of the cache"
            if hasattr(function, "__get__")
            else None,
        )
    if inspect.isclass(function):
        raise CacheConfigurationError(
            f"the class {function.__qualname__} is decorated", hint="decorate a function or classmethod that returns it"
        )
    runs = look_through(function).function
    for test, kind in [
        (inspect.isgeneratorfunction, "a generator"),
        (inspect.isasyncgenfunction, "an asynchronous generator"),
    ]:
        if test(runs):
            raise CacheConfigurationError(
                f"{runs.__qualname__} is {kind}, whose result cannot be stored", hint="return a list instead"
            )


def is_coroutine_function(function: Callable[..., Any]) -> bool:
    """Whether calling it returns a coroutine, also through bound methods, partials and callable objects."""
    if inspect.iscoroutinefunction(function):
        return True
    return type(function) is not types.FunctionType and inspect.iscoroutinefunction(look_through(function).function)


def functions(given: Callable[..., Any]) -> list[types.FunctionType]:
    """The functions behind ``given``: the underlying function, and all functions that it wraps.

    Wrapped functions are found by the ``__wrapped__`` that :func:`functools.wraps` sets. Wrappers of this package are
    not included.
    """
    found: list[types.FunctionType] = []
    wrappers: list[Any] = [given]
    for wrapper in wrappers:
        function = look_through(wrapper).function
        if isinstance(function, types.FunctionType) and function not in found:
            found.append(function)
        for one in (wrapper, function):
            wrapped = getattr(one, "__wrapped__", None)
            if callable(wrapped) and len(wrappers) < DEEPEST and all(wrapped is not known for known in wrappers):
                wrappers.append(wrapped)
    return [one for one in found if not is_ours(one)]


def name_of(target: Target, consists_of: list[types.FunctionType]) -> tuple[str, bool]:
    """The name for the results of a function, and whether it is unique.

    A function of a script has the same name as when the script is imported. In an interactive session the name is not
    unique.
    """
    function: Any = target.function
    owner = getattr(function, "__objclass__", function)
    module, name = getattr(owner, "__module__", None), getattr(function, "__qualname__", None)
    hint = "give key_prefix=…, a name that no other function has"
    if not isinstance(module, str) or not isinstance(name, str):
        raise CacheConfigurationError(f"{function!r} has no name for its results", hint=hint)
    if name.endswith("<lambda>"):
        raise CacheConfigurationError("a lambda has no name for its results", hint=hint)
    if module not in MAIN:
        return f"{module}.{name}", True
    script = _script(module, consists_of)
    return f"{script or '__main__'}.{name}", script is not None


def _script(module: str, consists_of: list[types.FunctionType]) -> str | None:
    """The module name of the running script; ``None`` in an interactive session."""
    own = next((one for one in consists_of if one.__globals__.get("__name__") == module), None)
    if own is None:
        names = vars(sys.modules[module]) if module in sys.modules else {}
    elif own.__code__.co_filename.startswith("<"):
        return None
    else:
        names = own.__globals__
    spec = getattr(names.get("__spec__"), "name", None)
    if isinstance(spec, str) and spec not in MAIN:
        return spec
    file = names.get("__file__")
    if not isinstance(file, str):
        return None
    from pathlib import Path

    path = Path(file)
    # A directory or an archive that runs as a script has the name given by `python -m`.
    return path.stem if path.stem != "__main__" else f"{path.absolute().parent.stem}.__main__"
