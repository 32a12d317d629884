"""``@cached``, ``@cached.for_api``, ``@cache_if``, ``@cache_async``."""

from __future__ import annotations

import dataclasses
import inspect
from typing import TYPE_CHECKING, Any, Concatenate, Literal, overload

from .._callables import is_coroutine_function
from .._options import unknown_option
from ..cache import Cache
from ..errors import CacheConfigurationError
from . import _sync
from ._bound import ClassMethod
from ._options import Options
from ._target import refuse_unsupported

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from datetime import timedelta

    from ._types import C, CachedClassMethod, CachedFunction, Decorator, P, Q, R


def _decorator(options: Options, *, coroutines_only: bool = False) -> Decorator:
    def decorate(function: Any) -> Any:
        if isinstance(function, classmethod | staticmethod):
            around = ClassMethod if type(function) is classmethod else type(function)
            return around(decorate(function.__func__))
        refuse_unsupported(function)
        if is_coroutine_function(function):
            # asyncio takes longer to import than all the rest, and most programs do not use it.
            from . import _async

            return _async.wrap(function, options)
        if coroutines_only:
            raise CacheConfigurationError(
                f"cache_async on {getattr(function, '__qualname__', function)!r}, which is not a coroutine function",
                hint="use @cached for functions",
            )
        return _sync.wrap(function, options)

    # The overloads of the protocol state the result of each call of `decorate`.
    return decorate


def _is_function(given: Any) -> bool:
    return isinstance(given, classmethod | staticmethod) or (callable(given) and not isinstance(given, Cache))


class _Cached:
    """Caches a function's results under its qualified name and its arguments.

    ``@cached`` and ``@cached(…)`` both work, on functions, methods, classmethods, staticmethods and coroutine
    functions, and on other callables, with the key of the underlying function: for a bound method its function with the
    object, for a callable object its ``__call__``, for a :class:`functools.partial` its function with the bound
    arguments. ``None`` is a result like any other. Exceptions of the function pass through, and nothing is stored.

    Captured variables are part of the key if they are plain and immutable (``None``, numbers, text, dates, paths,
    enumeration members, classes and functions by their names, tuples of these) and the function itself does not assign
    them. A function of a script has the same name as when the script is imported. In an interactive session, where
    names are not unique, the hash of ``track_code`` is part of the key unless there is a ``key_prefix``, or an
    ``on_code_change`` that serves results of other code.

    Of the decorators between this one and the function, the outermost counts, with its own signature and defaults.
    Arguments that it collects with ``*args`` and ``**kwargs`` are bound to the names of the function behind it, if
    possible; defaults of that function are not filled in, because the wrapper may fill in others.

    If several threads, tasks and processes miss a result at once, one computes it and the others wait. If it fails,
    each waiting caller computes for itself; if it dies or is interrupted, another takes over.

    Args:
        cache_instance: the cache. Default: the default cache (:func:`get_cache`).
        ttl_seconds: how long results are served, in seconds or as a ``timedelta``; ``None`` for the cache's default.
        cache_key_prefix: replaces the function's qualified name in the key (also ``key_prefix``).
        include_defaults: whether omitted arguments are part of the key, with their default values.
        metadata: stored with every result.
        tags: a list of strings, kept in the field ``tags`` of the metadata of every result.
        ignore_errors: whether a failure of the cache, or of ``condition``, is logged once and the function's result
            returned. An argument that cannot be part of a key raises unless this is ``True``: then the function runs
            without the cache, which is logged once. With ``False`` every failure raises.
        key_func: called with the arguments (of a method with the object first); its result, any value that can be a
            parameter, replaces them in the key. Its exceptions pass through; ``None`` and values without a key raise.
        ignore: names of parameters, or of captured variables, that are not part of the key.
        version: part of the key; a new version makes all previous results unreachable.
        on_code_change: how to treat an entry that other code has computed: ``"recompute"`` recomputes and replaces it
            at the first call, ``"warn"`` serves it and warns once, ``"ignore"`` serves it. See below.
        track_code: whether a hash of the code of the function and of its :func:`functools.wraps` wrappers is part of
            the key, so that results of all versions are kept. Comments, docstrings, formatting, decorator lines and
            called functions do not count.
        verbose: whether each call is logged to the logger ``cacheness``: a hit, or the seconds of the computation.
        stale_ttl_seconds: how long after its expiry a result is still served, while one caller recomputes it in the
            background (a thread, or a task of the event loop).
        early_recompute: recomputes a result in the background before it expires, with a probability that grows as
            expiry approaches and with the duration of the computation. 1 is a good choice; larger values recompute
            earlier.

    Beside each entry, 16 bytes record the code: that of the function, and of the functions, methods and classes of its
    own package that it calls (of modules in its own directory, if it belongs to no package), with the constants,
    defaults and captured values that they read. Comments, docstrings, formatting and third-party code do not count. The
    code is hashed once, at the first call in a process. These do not count: a constant that changes later, a variable
    that the code itself changes, the contents of an object that is not a data class, and the items of arrays and tables
    above 16 MB. A module that a function imports when it is called counts as a whole. A function without source is
    hashed by its bytecode, which differs between versions of Python.

    The decorated function has ``cache_info()``, ``is_cached(…)``, ``cache_key(…)``, ``invalidate(…)``,
    ``cache_clear(…)``, ``call_uncached(…)`` and ``__wrapped__``. For a method, call them on the class, with the object:
    ``Model.fit.cache_key(model, 3)``. For a classmethod below ``@cached``, the class is bound.

    Raises:
        CacheConfigurationError: an option is invalid, or results of the function cannot be stored: a generator, a
            lambda without ``key_prefix``, a class.
    """

    @overload
    def __call__(self, cache_instance: classmethod[Any, P, R], /) -> classmethod[Any, P, R]: ...
    @overload
    def __call__(  # type: ignore[overload-overlap] # it is callable too
        self, cache_instance: staticmethod[P, R], /
    ) -> staticmethod[P, R]: ...
    @overload
    def __call__(
        self,
        cache_instance: Cache | None = None,
        ttl_seconds: float | timedelta | None = None,
        cache_key_prefix: str | None = None,
        include_defaults: bool = True,
        metadata: dict[str, Any] | None = None,
        *,
        tags: list[str] | tuple[str, ...] | set[str] | frozenset[str] | None = None,
        key_prefix: str | None = None,
        ignore_errors: bool | None = None,
        key_func: Callable[..., Any] | None = None,
        ignore: list[str] | tuple[str, ...] | set[str] | frozenset[str] = (),
        version: Any = None,
        track_code: bool = False,
        on_code_change: Literal["recompute", "warn", "ignore"] = "recompute",
        verbose: bool = False,
        stale_ttl_seconds: float | timedelta | None = None,
        early_recompute: float | None = None,
    ) -> Decorator: ...
    @overload
    def __call__(  # classmethods, as type checkers see them
        self, cache_instance: Callable[Concatenate[type[C], Q], R], /
    ) -> CachedClassMethod[Concatenate[type[C], Q], R]: ...
    @overload
    def __call__(self, cache_instance: Callable[P, R], /) -> CachedFunction[P, R]: ...
    def __call__(
        self,
        cache_instance: Any = None,
        ttl_seconds: float | timedelta | None = None,
        cache_key_prefix: str | None = None,
        include_defaults: bool = True,
        metadata: dict[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """See the class."""
        function = None
        if _is_function(cache_instance):
            function, cache_instance = cache_instance, None
        given = {
            "cache_instance": cache_instance,
            "ttl_seconds": ttl_seconds,
            "cache_key_prefix": cache_key_prefix,
            "include_defaults": include_defaults,
            "metadata": metadata,
        }
        decorator = _decorator(_options(given | options))
        return decorator if function is None else decorator(function)

    @overload
    @staticmethod
    def for_api(
        ttl_seconds: float | timedelta | None = 21600,
        ignore_errors: bool = True,
        cache_instance: Cache | None = None,
        **options: Any,
    ) -> Decorator: ...
    @overload
    @staticmethod
    def for_api(  # classmethods, as above
        ttl_seconds: Callable[Concatenate[type[C], Q], R], /
    ) -> CachedClassMethod[Concatenate[type[C], Q], R]: ...
    @overload
    @staticmethod
    def for_api(ttl_seconds: Callable[P, R], /) -> CachedFunction[P, R]: ...
    @staticmethod
    def for_api(
        ttl_seconds: Any = 21600,
        ignore_errors: bool = True,
        cache_instance: Cache | None = None,
        **options: Any,
    ) -> Any:
        """``cached`` for responses of APIs, bare or with options: served for six hours, compressed with LZ4.

        Args:
            ttl_seconds: how long results are served.
            ignore_errors: whether failures of the cache, and arguments that cannot be part of a key, are logged and the
                function's result returned.
            cache_instance: the cache. Default: the default cache.
            options: those of :data:`cached`.
        """
        function = None
        if _is_function(ttl_seconds):
            function, ttl_seconds = ttl_seconds, 21600
        given = {"ttl_seconds": ttl_seconds, "ignore_errors": ignore_errors, "cache_instance": cache_instance}
        decorator = _decorator(_options(given | options, codec="lz4"))
        return decorator if function is None else decorator(function)

    def __repr__(self) -> str:
        return "<decorator cacheness.cached>"

    @property
    def __signature__(self) -> inspect.Signature:
        return _with_options(type(self).__call__, bound=True)


cached = _Cached()


def cache_if(
    condition: Callable[[Any], Any],
    cache_instance: Cache | None = None,
    ttl_seconds: float | timedelta | None = None,
    **options: Any,
) -> Decorator:
    """``cached`` for results that satisfy a condition.

    Args:
        condition: called with a result; returns whether to store it. If it raises, or returns a value that is neither
            true nor false, the result is returned but not stored, and the error is logged once; with
            ``ignore_errors=False`` it is raised.
        cache_instance: the cache. Default: the default cache.
        ttl_seconds: how long results are served.
        options: those of :data:`cached`.
    """
    if condition is None:
        raise CacheConfigurationError("cache_if without a condition", hint="use @cached")
    given = {"cache_instance": cache_instance, "ttl_seconds": ttl_seconds}
    decorator = _decorator(_options(given | options, condition=condition))

    def decorate(*args: Any, **kwargs: Any) -> Any:
        if kwargs or len(args) != 1 or not _is_function(args[0]):
            name = getattr(condition, "__qualname__", repr(condition))
            raise CacheConfigurationError(
                f"cache_if with the condition {name} got no function to decorate",
                hint=f"if {name} is the function to decorate, write @cache_if(condition) above it",
            )
        return decorator(*args)

    return decorate


@overload
def cache_async(
    cache_instance: Callable[P, Coroutine[Any, Any, R]], /
) -> CachedFunction[P, Coroutine[Any, Any, R]]: ...
@overload
def cache_async(
    cache_instance: Cache | None = None, ttl_seconds: float | timedelta | None = None, **options: Any
) -> Decorator: ...
def cache_async(cache_instance: Any = None, ttl_seconds: float | timedelta | None = None, **options: Any) -> Any:
    """``cached`` for coroutine functions only, bare or with options. The event loop never blocks.

    ``@cached`` does the same with a coroutine function; this one refuses everything else. Arguments are hashed and
    small values read on the event loop; slower operations run in threads. Needs asyncio.

    Args:
        cache_instance: the cache. Default: the default cache.
        ttl_seconds: how long results are served.
        options: those of :data:`cached`.
    """
    function = None
    if _is_function(cache_instance):
        function, cache_instance = cache_instance, None
    decorator = _decorator(
        _options({"cache_instance": cache_instance, "ttl_seconds": ttl_seconds} | options), coroutines_only=True
    )
    return decorator if function is None else decorator(function)


def _with_options(function: Any, *, bound: bool = False) -> inspect.Signature:
    """The signature of a decorator, with the names of all options, for completion."""
    own = list(inspect.signature(function).parameters.values())[bound:]
    known = {parameter.name for parameter in own}
    shown = [parameter for parameter in own if parameter.kind is not parameter.VAR_KEYWORD]
    shown += [
        inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=field.type)
        for field in dataclasses.fields(Options)
        if field.name not in known and field.name not in ("codec", "condition")
    ]
    return inspect.Signature(shown)


for _function in (_Cached.for_api, cache_if, cache_async):
    vars(_function)["__signature__"] = _with_options(_function)
del _function
Cache._decorator = cached
Cache.cached.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [
        inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY),
        inspect.Parameter("function", inspect.Parameter.POSITIONAL_ONLY, default=None),
        *(
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for parameter in cached.__signature__.parameters.values()
            if parameter.name != "cache_instance"
        ),
    ]
)


def _options(
    given: dict[str, Any], *, codec: str | None = None, condition: Callable[[Any], Any] | None = None
) -> Options:
    """The options given to a decorator, and those that it sets itself."""
    known = [field.name for field in dataclasses.fields(Options) if field.name not in ("codec", "condition")]
    for name in given:
        if name not in known:
            raise unknown_option(name, known)
    return Options(**given, codec=codec, condition=condition)
