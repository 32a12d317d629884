"""``@cached``, ``@cached.for_api``, ``@cache_if``, ``@cache_async``."""

from __future__ import annotations

import dataclasses
import inspect
from typing import TYPE_CHECKING, Any, Concatenate, Literal, overload

from .._options import unknown_option
from ..cache import Cache
from ..errors import CacheConfigurationError
from . import _sync
from ._bound import ClassMethod
from ._options import Options
from ._target import is_coroutine_function, refuse_unsupported

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
            # asyncio takes longer to import than all the rest, and most programs have no use for it.
            from . import _async

            return _async.wrap(function, options)
        if coroutines_only:
            raise CacheConfigurationError(
                f"cache_async on {getattr(function, '__qualname__', function)!r}, which is no coroutine function",
                hint="@cached is for functions",
            )
        return _sync.wrap(function, options)

    # Each call of `decorate` returns what the overloads of the protocol say.
    return decorate


def _is_function(given: Any) -> bool:
    return isinstance(given, classmethod | staticmethod) or (callable(given) and not isinstance(given, Cache))


class _Cached:
    """Keeps a function's results under its qualified name and its arguments.

    ``@cached`` and ``@cached(…)`` both work, on functions, methods, classmethods, staticmethods and coroutine
    functions, and on what leads to one: a bound method is keyed as its function called with the object, a callable
    object as its ``__call__``, a :class:`functools.partial` as its function with the arguments it has. ``None`` is a
    result like any other. An exception of the function is passed on and nothing is kept.

    Variables of the function around are part of the key if they are plain and cannot be changed (``None``, numbers,
    text, dates, paths, enumeration members, classes and functions by their names, tuples of these) and the function
    itself does not assign them. A function of a script has the name it has when the script is imported; in an
    interactive session, where names mean nothing, the hash of ``track_code`` is part of its key unless it has a
    ``key_prefix``, or an ``on_code_change`` that serves what other code has computed.

    Of decorators between this one and the function the outermost counts, with its own signature and defaults. What it
    collects with ``*args`` and ``**kwargs`` is named as the function behind it names it, where it can be bound to that;
    defaults of that function are not taken for arguments, because the wrapper may fill in others.

    Of all threads, tasks and processes that miss a result at once, one computes it, and the others wait for it. If it
    fails, those who waited compute for themselves; if it dies or is interrupted, another takes over.

    Args:
        cache_instance: the cache; the default one (:func:`get_cache`) if none is given.
        ttl_seconds: how long results are served, in seconds or as a ``timedelta``; ``None`` for the cache's default.
        cache_key_prefix: stands in the key in place of the function's qualified name (also ``key_prefix``).
        include_defaults: whether arguments that are left out are part of the key, with their default values.
        metadata: goes with every result.
        ignore_errors: whether a failure of the cache, or of ``condition``, is logged once, and the function's result
            returned. An argument that cannot be part of a key raises unless this is ``True``: then the function is
            called without the cache, which is logged once. With ``False`` every failure raises.
        key_func: is called with the arguments, those of a method with the object first, and returns what stands in the
            key in their place: any value that can be a parameter. What it raises is passed on; ``None`` and what has no
            key raise.
        ignore: names of parameters, or of captured variables, that are not part of the key.
        version: part of the key; a new one makes all former results unreachable.
        on_code_change: what becomes of an entry that other code has computed: ``"recompute"`` computes it anew at the
            first call and replaces it, ``"warn"`` serves it and says so once, ``"ignore"`` serves it. See below.
        track_code: whether a hash of the function's code is part of the key, and of the code that
            :func:`functools.wraps` has put around it: then results of all versions are kept. It does not see comments,
            docstrings, formatting, the lines of decorators, nor what the function calls.
        verbose: whether each call is logged to the logger ``cacheness``: a hit, or the seconds it took to compute.
        stale_ttl_seconds: for so long after it has expired a result is served, while one caller computes it anew in the
            background (a thread, or a task of the event loop).
        early_recompute: computes a result anew in the background before it expires: the nearer the end and the longer
            it took to compute, the more probably. 1 is a good choice, more is earlier. How long it took is kept in the
            entry's metadata, under ``compute_seconds``.

    Beside each entry 16 bytes remember the code: the function's own, and that of the functions, methods and classes of
    its own package that it calls (of modules in its own directory, if it belongs to no package), with the constants,
    defaults and captured values that they read. Comments, docstrings and formatting do not count, nor does code of
    others. It is looked at once, at the first call in a process: a constant that is changed later does not count, nor
    does a variable that the code itself changes, the inside of an object that is no data class, or more than 16 MB of
    an array or table. What a function imports when it is called counts with its whole module. A function without
    source is known by its bytecode, which differs between versions of Python.

    The decorated function has ``cache_info()``, ``is_cached(…)``, ``cache_key(…)``, ``invalidate(…)``,
    ``cache_clear(…)``, ``call_uncached(…)`` and ``__wrapped__``. For a method they are called on the class, with the
    object: ``Model.fit.cache_key(model, 3)``. A classmethod below ``@cached`` has its class bound.

    Raises:
        CacheConfigurationError: an option makes no sense, or the function is one whose results cannot be kept: a
            generator, a lambda without ``key_prefix``, a class.
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
        """``cached`` for answers of APIs, bare or with options: served for six hours, compressed with LZ4.

        Args:
            ttl_seconds: how long results are served.
            ignore_errors: whether failures of the cache are logged, and the function's result returned; also where an
                argument cannot be part of a key.
            cache_instance: the cache; the default one if none is given.
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
    """``cached`` for results that a condition admits.

    Args:
        condition: is called with a result and says whether it is kept. If it raises, or returns something that is
            neither true nor false, the result is returned and not kept, and the error is logged once; with
            ``ignore_errors=False`` it is raised.
        cache_instance: the cache; the default one if none is given.
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
                f"cache_if with the condition {name} is called without a function to decorate",
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
    """``cached`` for coroutine functions only, bare or with options. The event loop never waits.

    ``@cached`` does the same with a coroutine function; this one refuses everything else. Arguments are hashed and
    small values read in place, everything slower happens in threads. Needs asyncio.

    Args:
        cache_instance: the cache; the default one if none is given.
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
    """The signature of a decorator, with the names of all options: what completion offers."""
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
    """The options that a decorator was given, and those that it sets itself."""
    known = [field.name for field in dataclasses.fields(Options) if field.name not in ("codec", "condition")]
    for name in given:
        if name not in known:
            raise unknown_option(name, known)
    return Options(**given, codec=codec, condition=condition)
