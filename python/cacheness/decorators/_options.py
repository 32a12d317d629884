"""The options of the decorators, and their checks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .. import _core
from .._callables import is_coroutine_function
from ..cache import Cache
from ..errors import CacheConfigurationError, CacheError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta


@dataclasses.dataclass(kw_only=True, repr=False, eq=False)
class Options:
    """Options of the decorators. See :data:`~cacheness.decorators.cached`."""

    cache_instance: Cache | None = None
    ttl_seconds: float | timedelta | None = None
    cache_key_prefix: str | None = None
    include_defaults: bool = True
    metadata: dict[str, Any] | None = None
    tags: Iterable[str] | None = None
    key_prefix: str | None = None
    ignore_errors: bool | None = None
    key_func: Callable[..., Any] | None = None
    ignore: Iterable[str] = ()
    version: Any = None
    track_code: bool = False
    on_code_change: str = "recompute"
    verbose: bool = False
    stale_ttl_seconds: float | timedelta | None = None
    early_recompute: float | None = None
    condition: Callable[[Any], Any] | None = None
    codec: str | None = None

    def __post_init__(self) -> None:
        if self.cache_instance is not None and not isinstance(self.cache_instance, Cache):
            raise CacheConfigurationError(
                f"cache_instance is a {type(self.cache_instance).__name__}, not a Cache",
                hint="give options of a decorator by name: @cached(ttl_seconds=60)",
            )
        if self.cache_key_prefix is not None and self.key_prefix is not None:
            raise CacheConfigurationError("cache_key_prefix and key_prefix are the same option", hint="give only one")
        prefix = self.prefix
        if prefix is not None and (not isinstance(prefix, str) or not prefix):
            raise CacheConfigurationError(f"key_prefix is {prefix!r}", hint="give a name that is not empty")
        if isinstance(self.ignore, str):
            raise CacheConfigurationError(
                f"ignore is the string {self.ignore!r}", hint=f"write ignore=[{self.ignore!r}]"
            )
        names = list(self.ignore) if isinstance(self.ignore, Iterable) else [None]
        if not all(isinstance(name, str) for name in names):
            raise CacheConfigurationError(f"ignore is {self.ignore!r}", hint="give a list of names of parameters")
        self.ignore = frozenset(names)
        for option in ("ignore_errors", "include_defaults", "track_code", "verbose"):
            given = getattr(self, option)
            if not (isinstance(given, bool) or (given is None and option == "ignore_errors")):
                raise CacheConfigurationError(f"{option} is {given!r}", hint="give True or False")
        if not isinstance(self.on_code_change, str):
            raise CacheConfigurationError(
                f"on_code_change is {self.on_code_change!r}", hint='give "recompute", "warn" or "ignore"'
            )
        for option in ("ttl_seconds", "stale_ttl_seconds", "early_recompute"):
            if isinstance(getattr(self, option), bool):
                raise CacheConfigurationError(f"{option} is {getattr(self, option)!r}", hint="give a number")
        for name, function in (("key_func", self.key_func), ("condition", self.condition)):
            if function is None:
                continue
            if not callable(function):
                raise CacheConfigurationError(f"{name} is a {type(function).__name__}, which cannot be called")
            if is_coroutine_function(function):
                write = "key_func=…" if name == "key_func" else "@cache_if(…)"
                raise CacheConfigurationError(
                    f"{name} is a coroutine function", hint=f"write {write} with a function that returns at once"
                )
        if self.key_func is not None and (self.ignore or not self.include_defaults):
            raise CacheConfigurationError(
                "key_func beside ignore or include_defaults=False", hint="omit ignored arguments in key_func instead"
            )
        # The other options are checked when the decorator is created, before there is a function.
        try:
            self.calls(inline_only=False)
        except CacheError:
            raise
        except TypeError as error:
            raise CacheConfigurationError(str(error)) from None

    def calls(self, *, inline_only: bool, collected: list[str] | None = None) -> _core.CallSite:
        """The engine's options, and the function's own counts.

        ``collected`` names the parameters that collect arguments; ``None`` if the key is not derived from arguments.
        """
        return _core.CallSite(
            ttl_seconds=self.ttl_seconds,
            metadata=self.metadata,
            tags=self.tags,
            stale_ttl_seconds=self.stale_ttl_seconds,
            early_recompute=self.early_recompute,
            codec=self.codec,
            inline_only=inline_only,
            on_code_change=self.on_code_change,
            collected=collected,
        )

    def without_cache(self) -> Options:
        """The same options without the cache, which is pickled separately."""
        return dataclasses.replace(self, cache_instance=None)

    def with_cache(self, cache: Cache | None) -> Options:
        """The same options with a cache."""
        return dataclasses.replace(self, cache_instance=cache)

    @property
    def prefix(self) -> str | None:
        """The replacement of the function's name in the key."""
        return self.cache_key_prefix if self.key_prefix is None else self.key_prefix
