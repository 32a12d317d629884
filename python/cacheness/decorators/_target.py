"""The function behind bound methods, partials and callable objects, and the name of its results."""

from __future__ import annotations

import inspect
import sys
import types
from typing import TYPE_CHECKING, Any

from .._callables import Target, look_through
from ..errors import CacheConfigurationError
from ._signature import DEEPEST, is_ours

if TYPE_CHECKING:
    from collections.abc import Callable

#: Names of a running script: started directly, by ``multiprocessing``, by ``runpy.run_path``.
MAIN = ("__main__", "__mp_main__", "<run_path>")


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
