"""Pickling of decorated functions.

A function that can be found by its name is pickled by name, like every function: the other process imports the module.
A function that cloudpickle and similar libraries pickle by value (of a script or a notebook, or inside another
function) is pickled with its options, the directory of its cache, and its name and code, so that keys and entries stay
the same without the source.
"""

from __future__ import annotations

import contextlib
import pickle
import sys
import weakref
from typing import TYPE_CHECKING, Any

from .._callables import is_coroutine_function
from ..errors import CacheError
from ._default import get_cache
from ._site import Identity
from ._target import MAIN

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from ..cache import Cache
    from ._function import Cached
    from ._options import Options

#: The caches of functions that were unpickled by value: one for each configuration, for any number of functions.
_caches: weakref.WeakValueDictionary[str, Cache] = weakref.WeakValueDictionary()


def reduce(function: Cached, frame: FrameType) -> Any:
    """The reduction of a decorated function; ``frame`` is that of the calling pickler."""
    site = function._site
    module, name = function.__module__, str(vars(function)["__qualname__"])
    if _leads_to(module, name, function) and not _takes_along(module, frame):
        return name
    site.note_code()
    cache = site.options.cache_instance
    if cache is None:
        # If it cannot be opened, the function has no cache in this process either.
        with contextlib.suppress(CacheError, OSError):
            cache = get_cache()
    identity = Identity(site.name, dict(site.constants), site.calls.code)
    own = {key: value for key, value in vars(function).items() if key not in site.ATTACHED}
    return _rebuild, (site.function, site.options.without_cache(), _Place.of(cache), identity), own


def _leads_to(module: str, name: str, function: Any) -> bool:
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is function


def _takes_along(module: str, frame: FrameType) -> bool:
    """Whether the calling pickler pickles functions of the module by value: of scripts, and as configured."""
    pickler = frame.f_locals.get("self")
    kind = type(pickler)
    if not isinstance(pickler, pickle.Pickler | pickle._Pickler) or kind.__module__ in ("pickle", "_pickle"):
        return False
    if not any(base.__module__.rpartition(".")[2] in ("cloudpickle", "_dill") for base in kind.__mro__):
        return False
    if module in MAIN:
        return True
    for base in kind.__mro__:
        told = getattr(sys.modules.get(base.__module__), "list_registry_pickle_by_value", None)
        if told is not None:
            return any(module == name or module.startswith(f"{name}.") for name in told())
    return False


class _Place:
    """A pickled cache: after unpickling, functions with the same configuration share one."""

    def __init__(self, name: str, cache: Cache) -> None:
        self._name = name
        self._cache = cache

    @classmethod
    def of(cls, cache: Cache | None) -> _Place | None:
        if cache is None:
            return None
        config = cache.config._to_json()
        name = f"{type(cache).__module__}.{type(cache).__qualname__} {cache._place} {config}"
        return cls(name, cache)

    def __reduce__(self) -> Any:
        return _arrived, (self._name, *self._cache.__reduce__())


def _arrived(name: str, make: Callable[..., Cache], arguments: tuple[Any, ...]) -> Cache:
    known = _caches.get(name)
    if known is None or known.closed:
        known = _caches[name] = make(*arguments)
    return known


def _rebuild(function: Callable[..., Any], options: Options, cache: Cache | None, identity: Identity) -> Cached:
    options = options.with_cache(cache)
    if is_coroutine_function(function):
        from . import _async

        return _async.wrap(function, options, identity)
    from . import _sync

    return _sync.wrap(function, options, identity)
