"""The decorated function object: its repr, copying and pickling."""

from __future__ import annotations

import functools
import inspect
import sys
from typing import TYPE_CHECKING, Any

from .. import _core
from ._default import get_cache

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from ._site import Site


class Cached(_core.FunctionBase):
    """A function whose results are cached; see :data:`cacheness.cached`."""

    __slots__ = ("__dict__", "__weakref__")

    @classmethod
    def around(cls, site: Site, run: Callable[..., Any] | None = None) -> Self:
        """The decorated function of a site; ``run`` runs each call of a coroutine function."""
        instance = site.options.cache_instance
        cache = get_cache if instance is None else instance
        function = site.function
        made = cls(site, site.calls, site.bind, cache, run, site.options.verbose)
        functools.update_wrapper(made, function)
        if run is not None:
            _mark_coroutine_function(made, run)
        site.attach(made)
        return made

    def __repr__(self) -> str:
        name = getattr(self, "__qualname__", self._site.name)
        cache = self._site.options.cache_instance
        return f"<cached function {name} in {'the default cache' if cache is None else repr(cache.cache_dir)}>"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce_ex__(self, protocol: Any) -> Any:
        # Imported only when a function is pickled, which is rare.
        from ._travel import reduce

        return reduce(self, sys._getframe(1))


def _mark_coroutine_function(made: Any, run: Any) -> None:
    """Marks the function as a coroutine function for :mod:`inspect` and :mod:`asyncio`."""
    mark = getattr(inspect, "markcoroutinefunction", None)
    if mark is not None:
        mark(made)
        return
    # Before Python 3.12, any object with the attributes of a function is treated as one.
    made.__code__ = run.__code__
    made.__defaults__, made.__kwdefaults__ = None, None
    made.__dict__.setdefault("__annotations__", {})
