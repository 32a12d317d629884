"""What is decorated: the function behind bound methods, partials and callable objects, and the name of its results."""

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

#: What a script is called while it runs: by itself, by a child of ``multiprocessing``, by ``runpy.run_path``.
MAIN = ("__main__", "__mp_main__", "<run_path>")


class Target(NamedTuple):
    """A function, and what is bound to it: positional and named arguments, those that are bound first first."""

    function: Callable[..., Any]
    bound: tuple[tuple[tuple[Any, ...], dict[str, Any]], ...] = ()

    def binding(self, /, *args: Any, **kwargs: Any) -> Target:
        """With more arguments."""
        return Target(self.function, (*self.bound, (args, kwargs)))

    def bind(self, other: Callable[..., Any]) -> Callable[..., Any]:
        """Binds to another function, with the same parameters, what is bound to this one."""
        for args, kwargs in self.bound:
            other = functools.partial(other, *args, **kwargs)
        return other


def look_through(given: Callable[..., Any]) -> Target:
    """What runs when ``given`` is called.

    A bound method is its function with the object, a callable object its ``__call__`` with the object, a partial its
    function with the arguments it has. What is written in C and has a name of its own is a function.
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
    """Refuses what cannot be decorated, or has no result that can be kept."""
    if not callable(function):
        raise CacheConfigurationError(
            f"a {type(function).__name__} is decorated, which cannot be called",
            hint="@property and its like stand above the decorator of a cache"
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
                f"{runs.__qualname__} is {kind}, whose result cannot be kept", hint="return a list instead"
            )


def is_coroutine_function(function: Callable[..., Any]) -> bool:
    """Whether calling it makes a coroutine, also through bound methods, partials and callable objects."""
    if inspect.iscoroutinefunction(function):
        return True
    return type(function) is not types.FunctionType and inspect.iscoroutinefunction(look_through(function).function)


def functions(given: Callable[..., Any]) -> list[types.FunctionType]:
    """The functions that ``given`` consists of: what it looks through to, and all that this wraps.

    What is wrapped is found by the ``__wrapped__`` that :func:`functools.wraps` leaves. Our own wrappers are not among
    the functions.
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
    """The name that the results of a function are kept under, and whether it belongs to no other function.

    A function of a script has the name that it has when the script is imported. In an interactive session the name may
    be anybody's.
    """
    function: Any = target.function
    owner = getattr(function, "__objclass__", function)
    module, name = getattr(owner, "__module__", None), getattr(function, "__qualname__", None)
    hint = "give key_prefix=…, a name that no other function has"
    if not isinstance(module, str) or not isinstance(name, str):
        raise CacheConfigurationError(f"{function!r} has no name to keep its results under", hint=hint)
    if name.endswith("<lambda>"):
        raise CacheConfigurationError("a lambda has no name of its own to keep its results under", hint=hint)
    if module not in MAIN:
        return f"{module}.{name}", True
    script = _script(module, consists_of)
    return f"{script or '__main__'}.{name}", script is not None


def _script(module: str, consists_of: list[types.FunctionType]) -> str | None:
    """The name that the running script has as a module; ``None`` in an interactive session."""
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
    # A directory or an archive that is run has the name that `python -m` gives it.
    return path.stem if path.stem != "__main__" else f"{path.absolute().parent.stem}.__main__"
