"""What one decorated function is: its name, its key, its options, its counts."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from typing import TYPE_CHECKING, Any, NoReturn

from .. import _core
from ..cache import Cache
from ..errors import CacheConfigurationError, CacheSerializationError
from ._binding import binder
from ._code import code_hash
from ._compute import Computing
from ._default import get_cache
from ._types import CacheInfo

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta


@dataclasses.dataclass(kw_only=True, repr=False, eq=False)
class Options:
    """What the decorators take. See :class:`~cacheness.decorators._cached.cached`."""

    cache_instance: Cache | None = None
    ttl_seconds: float | timedelta | None = None
    cache_key_prefix: str | None = None
    include_defaults: bool = True
    metadata: dict[str, Any] | None = None
    key_prefix: str | None = None
    ignore_errors: bool = True
    key_func: Callable[..., Any] | None = None
    ignore: tuple[str, ...] | list[str] | frozenset[str] | set[str] = ()
    version: Any = None
    track_code: bool = False
    stale_ttl_seconds: float | timedelta | None = None
    early_recompute: float | None = None
    condition: Callable[[Any], Any] | None = None
    codec: str | None = None

    def __post_init__(self) -> None:
        if self.cache_instance is not None and not isinstance(self.cache_instance, Cache):
            raise CacheConfigurationError(
                f"cache_instance is a {type(self.cache_instance).__name__}, not a Cache",
                hint="options of a decorator go by their names: @cached(ttl_seconds=60)",
            )
        if self.cache_key_prefix is not None and self.key_prefix is not None:
            raise CacheConfigurationError("cache_key_prefix and key_prefix are one option", hint="give one of them")
        prefix = self.prefix
        if prefix is not None and (not isinstance(prefix, str) or not prefix):
            raise CacheConfigurationError(f"key_prefix is {prefix!r}", hint="give a name that is not empty")
        if isinstance(self.ignore, str):
            raise CacheConfigurationError(
                f"ignore is the string {self.ignore!r}", hint=f"write ignore=[{self.ignore!r}]"
            )
        for name, function in (("key_func", self.key_func), ("condition", self.condition)):
            if function is None:
                continue
            if not callable(function):
                raise CacheConfigurationError(f"{name} is a {type(function).__name__}, which cannot be called")
            if inspect.iscoroutinefunction(function):
                raise CacheConfigurationError(f"{name} is a coroutine function", hint="it must return at once")
        if self.key_func is not None and (self.ignore or not self.include_defaults):
            raise CacheConfigurationError(
                "key_func beside ignore or include_defaults=False", hint="leave out in key_func what is not to count"
            )
        # What is wrong with the others is said where the decorator stands, before there is a function.
        self.calls(inline_only=False)

    def calls(self, *, inline_only: bool) -> _core.CallSite:
        """The options that the engine knows, and counts of a function's own."""
        return _core.CallSite(
            ttl_seconds=self.ttl_seconds,
            metadata=self.metadata,
            stale_ttl_seconds=self.stale_ttl_seconds,
            early_recompute=self.early_recompute,
            codec=self.codec,
            inline_only=inline_only,
        )

    @property
    def prefix(self) -> str | None:
        """What stands in the key in place of the function's name."""
        return self.cache_key_prefix if self.key_prefix is None else self.key_prefix


class Site(Computing):
    """A decorated function."""

    def __init__(self, function: Callable[..., Any], options: Options, *, inline_only: bool) -> None:
        _refuse_unsupported(function)
        calls = options.calls(inline_only=inline_only)
        name = options.prefix if options.prefix is not None else _name(function)
        super().__init__(name, calls, ignore_errors=options.ignore_errors, condition=options.condition)
        self.function = function
        self.options = options
        self.bind = self._binder()

    def _binder(self) -> Callable[..., dict[str, Any]]:
        options = self.options
        constants: dict[str, Any] = {"__function__": self.name}
        if options.version is not None:
            constants["__version__"] = options.version
        if options.track_code:
            if not hasattr(self.function, "__code__"):
                raise CacheConfigurationError(f"track_code: {self.name} has no code of its own")
            constants["__code__"] = code_hash(self.function)
        key_func = options.key_func
        if key_func is not None:
            return functools.partial(self._custom, key_func, constants)
        ignore = frozenset(options.ignore)
        try:
            parameters = inspect.signature(self.function).parameters
            bind = binder(self.function, constants, options.include_defaults, ignore)
        except ValueError as error:
            raise CacheConfigurationError(f"{self.name}: {error}", hint="give key_func=…") from None
        if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            for name in ignore.difference(parameters):
                import difflib

                near = difflib.get_close_matches(str(name), parameters, n=1)
                raise CacheConfigurationError(
                    f"ignore: {self.name} has no parameter {name!r}",
                    hint=f"did you mean {near[0]!r}?" if near else f"it has {', '.join(parameters) or 'none'}",
                )
        return bind

    def _custom(
        self, key_func: Callable[..., Any], constants: dict[str, Any], /, *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        key = key_func(*args, **kwargs)
        if key is None or inspect.isawaitable(key):
            if inspect.iscoroutine(key):
                key.close()
            raise CacheConfigurationError(
                f"{self.name}: key_func returned {'None' if key is None else 'an awaitable'}",
                hint="return what identifies the result: text, numbers, tuples, a dictionary of arguments",
            )
        return {**constants, "arguments": key}

    def cache(self) -> Cache:
        """The cache of this call."""
        cache = self.options.cache_instance
        return get_cache() if cache is None else cache

    def no_key(self, error: CacheSerializationError) -> NoReturn:
        """An argument without a key is an error of the caller, not of the cache."""
        raise CacheSerializationError(f"{self.name}: {error.args[0]}", hint=error.hint) from None

    def attach(self, wrapper: Any) -> None:
        """Gives the decorated function its methods."""
        wrapper.call_uncached = self.function
        wrapper.cache_key = self.cache_key
        wrapper.cache_clear = self.cache_clear
        wrapper.cache_info = self.cache_info

    def cache_key(self, /, *args: Any, **kwargs: Any) -> str:
        """The key of the entry that these arguments have, whether it is there or not."""
        try:
            return self.cache().cache_key(params=self.bind(*args, **kwargs))
        except CacheSerializationError as error:
            self.no_key(error)

    def cache_clear(self, /, *args: Any, **kwargs: Any) -> int:
        """Removes the entry of these arguments; without arguments, all entries of the function. Returns how many."""
        if not args and not kwargs:
            return _core.clear_function(self.cache(), self.name)
        try:
            return int(self.cache().invalidate(params=self.bind(*args, **kwargs)))
        except CacheSerializationError as error:
            self.no_key(error)

    def cache_info(self) -> CacheInfo:
        """Counts since the function was decorated, in this process."""
        return CacheInfo(*self.calls.counts())


def _name(function: Callable[..., Any]) -> str:
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    hint = "give key_prefix=…, a name that no other function has"
    if not isinstance(module, str) or not isinstance(name, str):
        raise CacheConfigurationError(f"{function!r} has no name to keep its results under", hint=hint)
    if name.endswith("<lambda>"):
        raise CacheConfigurationError("a lambda has no name of its own to keep its results under", hint=hint)
    return f"{module}.{name}"


def _refuse_unsupported(function: Any) -> None:
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
    for test, kind in [
        (inspect.isgeneratorfunction, "a generator"),
        (inspect.isasyncgenfunction, "an asynchronous generator"),
    ]:
        if test(function):
            raise CacheConfigurationError(
                f"{function.__qualname__} is {kind}, whose result cannot be kept", hint="return a list instead"
            )
