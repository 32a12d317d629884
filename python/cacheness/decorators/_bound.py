"""Classmethods: access through a class also binds the class in ``cache_key`` and similar methods.

A decorated function is a plain function, which Python binds fastest. A bound method finds ``cache_key`` and similar
methods in the function, without the object; for methods, call them on the class, with the object. A classmethod is
accessed through a descriptor anyway.
"""

from __future__ import annotations

import functools
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._types import CacheInfo


class ClassMethod(classmethod):  # type: ignore[type-arg]
    """A classmethod around a decorated function."""

    #: The last result: most calls are through one class.
    _latest: tuple[type | None, Any] = (None, None)

    def __get__(self, instance: Any, owner: type | None = None, /) -> Any:
        known, bound = self._latest
        if owner is None:
            owner = type(instance)
        if known is not owner:
            function = self.__func__
            bound = BoundToClass(function, owner)
            for name in functools.WRAPPER_ASSIGNMENTS:
                if hasattr(function, name):
                    setattr(bound, name, getattr(function, name))
            self._latest = owner, bound
        return bound


class BoundToClass(functools.partial):  # type: ignore[type-arg]
    """A decorated function with its class, like a bound method."""

    @property
    def __func__(self) -> Any:
        return self.func

    @property
    def __self__(self) -> Any:
        return self.args[0]

    @property
    def __wrapped__(self) -> Any:
        return types.MethodType(self.func.__wrapped__, self.args[0])  # type: ignore[attr-defined]

    def call_uncached(self, /, *args: Any, **kwargs: Any) -> Any:
        return self.func.call_uncached(*self.args, *args, **kwargs)  # type: ignore[attr-defined]

    def cache_key(self, /, *args: Any, **kwargs: Any) -> str:
        key: str = self.func.cache_key(*self.args, *args, **kwargs)  # type: ignore[attr-defined]
        return key

    def cache_clear(self, /, *args: Any, **kwargs: Any) -> int:
        # Without arguments: all entries of the function, of all classes.
        arguments = (*self.args, *args) if args or kwargs else ()
        removed: int = self.func.cache_clear(*arguments, **kwargs)  # type: ignore[attr-defined]
        return removed

    def is_cached(self, /, *args: Any, **kwargs: Any) -> bool:
        cached: bool = self.func.is_cached(*self.args, *args, **kwargs)  # type: ignore[attr-defined]
        return cached

    def invalidate(self, /, *args: Any, **kwargs: Any) -> bool:
        removed: bool = self.func.invalidate(*self.args, *args, **kwargs)  # type: ignore[attr-defined]
        return removed

    def cache_info(self) -> CacheInfo:
        info: CacheInfo = self.func.cache_info()  # type: ignore[attr-defined]
        return info

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BoundToClass):
            return NotImplemented
        return self.func is other.func and self.args == other.args

    def __hash__(self) -> int:
        return hash((self.func, self.args))

    def __reduce__(self) -> Any:
        return getattr, (self.__self__, self.func.__name__)

    def __repr__(self) -> str:
        return f"<bound method {self.func.__qualname__} of {self.__self__!r}>"
