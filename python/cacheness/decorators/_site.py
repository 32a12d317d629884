"""The state of one decorated function: its name, its key, its counts."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, NoReturn

from .. import _core
from .._callables import look_through
from .._compute import Computing, warn
from ..errors import CacheConfigurationError, CacheError, CacheSerializationError
from ._binding import binder
from ._default import get_cache
from ._signature import COLLECTS, signatures
from ._target import functions, name_of
from ._types import CacheInfo

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..cache import Cache
    from ._options import Options
    from ._signature import Signatures


#: Replaces ``cache_key=`` in hints, because a call has no such option.
_OTHER_KEY = "name it in ignore=[…] of the decorator, or give key_func=…"


class Identity(NamedTuple):
    """The identity of a function in the process that has its source; it is kept when the function is pickled."""

    name: str
    #: The parameters of every key.
    constants: dict[str, Any]
    #: The code that entries are compared with.
    code: bytes | None = None


class Site(Computing):
    """A decorated function."""

    #: Set by :meth:`attach`.
    ATTACHED: ClassVar = frozenset(
        {"call_uncached", "cache_key", "cache_clear", "cache_info", "is_cached", "invalidate"}
    )

    def __init__(
        self, function: Callable[..., Any], options: Options, *, inline_only: bool, identity: Identity | None = None
    ) -> None:
        # Imports needed by the first call, or the first warning: at that time it may be impossible to open a file.
        from .. import _log  # noqa: F401
        from . import _reach  # noqa: F401

        self._target = look_through(function)
        self._consists_of = functions(function)
        if identity is None:
            identity = self._identify(options)
        self.constants = identity.constants
        collected = self._collected() if options.key_func is None else None
        calls = options.calls(inline_only=inline_only, collected=collected)
        if identity.code is not None:
            calls.set_code(identity.code)
        super().__init__(
            identity.name,
            calls,
            ignore_errors=options.ignore_errors is not False,
            condition=options.condition,
            verbose=options.verbose,
        )
        self._without_key = False
        self.function = function
        #: Names of the function's parameters, if known.
        self._parameters: tuple[str, ...] = ()
        self.options = options
        self.bind = self._binder()

    def _identify(self, options: Options) -> Identity:
        name = options.prefix
        track_code = options.track_code
        if name is None:
            name, unique = name_of(self._target, self._consists_of)
            # If names are not unique, other code is another function, unless its entries should be served anyway.
            track_code = track_code or not (unique or options.on_code_change != "recompute")
        constants: dict[str, Any] = {"__function__": name}
        if options.version is not None:
            constants["__version__"] = options.version
        if track_code:
            if not self._consists_of:
                raise CacheConfigurationError(
                    f"{name} has no code to track",
                    hint=None if options.track_code else "in an interactive session give key_prefix=…",
                )
            from ._code import code_hash

            constants["__code__"] = code_hash(*self._consists_of)
        return Identity(name, constants)

    def _collected(self) -> list[str]:
        """The names in the key under which arguments are collected."""
        try:
            found = signatures(self._target.function)
        except ValueError:
            return []
        both = [found.own, *([] if found.wrapped is None else [found.wrapped])]
        stars = [p for one in both for p in one.parameters.values() if p.kind in COLLECTS]
        return [f"{star}{p.name}" for p in stars for star in ("", "*", "**")]

    def note_code(self) -> None:
        """Hashes the function's code at its first call: by then everything that it reads is defined."""
        if self.calls.has_code:
            return
        from ._reach import code_of

        code = None
        if self._consists_of:
            try:
                code = code_of(self.function, frozenset(self.options.ignore))
            except Exception as error:  # noqa: BLE001 - any code may run, and the result matters more
                warn("%s: cannot detect changes of its code: %r", self.name, error)
        self.calls.set_code(code)

    def _binder(self) -> Callable[..., dict[str, Any]]:
        ignore = frozenset(self.options.ignore)
        if self.options.key_func is not None:
            bind: Callable[..., dict[str, Any]] = functools.partial(self._custom, self.options.key_func)
        else:
            target = self._target.function
            try:
                found = signatures(target)
                self._parameters = found.names
                bind = binder(target, self.constants, self.options.include_defaults, ignore)
            except ValueError as error:
                raise CacheConfigurationError(f"{self.name}: {error}", hint="give key_func=…") from None
            captured = {name for function in self._consists_of for name in function.__code__.co_freevars}
            self._refuse_unknown(ignore.difference(captured), found)
        bind = self._target.bind(bind)
        if any(function.__closure__ for function in self._consists_of):
            # Imported late: it imports the types of captured values, which most programs do not need.
            from ._captured import with_captured

            return with_captured(bind, self._consists_of, ignore)
        return bind

    def _refuse_unknown(self, ignore: frozenset[str], found: Signatures) -> None:
        if any(p.kind is p.VAR_KEYWORD for p in found.own.parameters.values()):
            return
        for name in ignore.difference(found.names):
            import difflib

            near = difflib.get_close_matches(name, found.names, n=1)
            raise CacheConfigurationError(
                f"ignore: {self.name} has no parameter {name!r}",
                hint=f"did you mean {near[0]!r}?" if near else f"it has {', '.join(found.names) or 'none'}",
            )

    def _custom(self, key_func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> dict[str, Any]:
        key = key_func(*args, **kwargs)
        if key is None or inspect.isawaitable(key):
            if inspect.iscoroutine(key):
                key.close()
            raise CacheConfigurationError(
                f"{self.name}: key_func returned {'None' if key is None else 'an awaitable'}",
                hint="return a value that identifies the result: text, numbers, tuples, a dictionary of arguments",
            )
        return {**self.constants, "arguments": key}

    def _refuse_without_object(self, args: tuple[Any, ...]) -> None:
        """Refuses a method's arguments without its object: for a bound method, Python does not pass the object on."""
        outer, _, name = str(getattr(self.function, "__qualname__", "")).rpartition(".")
        is_method = self._parameters[:1] == ("self",) and outer and not outer.endswith("<locals>")
        if not is_method or self._target.bound or not args:
            return
        kind = type(args[0])
        if not hasattr(kind, name) and all(base.__qualname__ != outer for base in kind.__mro__):
            raise TypeError(
                f"{self.name}: a {kind.__name__} is given as the object; call it on the class, with the object first: "
                f"{outer}.{name}.cache_key(…)"
            )

    def cache(self) -> Cache:
        """The cache of this call."""
        cache = self.options.cache_instance
        return get_cache() if cache is None else cache

    def no_key(self, error: CacheSerializationError) -> NoReturn:
        """Raises for an argument without a key: that is an error of the caller, not of the cache."""
        raise self._described(error) from error.__cause__

    def _described(self, error: CacheSerializationError) -> CacheSerializationError:
        hint = error.hint
        if hint is not None:
            hint = hint.replace("pass cache_key=…", _OTHER_KEY).replace("pass cache_key= instead", _OTHER_KEY)
            hint = hint.replace("pass cache_key=", _OTHER_KEY)
        return CacheSerializationError(f"{self.name}: {error.args[0]}", hint=hint)

    # Called if a call is not a simple hit. For a coroutine function, they return an awaitable.

    def missed_call(
        self, cache: Cache, found: _core.CallKey, args: tuple[Any, ...], kwargs: dict[str, Any] | None
    ) -> Any:
        """The result of a miss."""
        function = self.function
        if kwargs:
            return self.missed(cache, found, lambda: function(*args, **kwargs))
        return self.missed(cache, found, lambda: function(*args))

    def without_cache(self, error: Exception, args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> Any:
        """The result of a call without a cache."""
        if isinstance(error, CacheConfigurationError) or not isinstance(error, CacheError | OSError):
            raise error
        self.failed(error, "use the cache")
        return self.function(*args, **kwargs or {})

    def without_key(self, error: Exception, args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> Any:
        """The result of a call whose arguments have no key."""
        if not isinstance(error, CacheSerializationError):
            raise error
        if not self.options.ignore_errors:
            self.no_key(error)
        self.calls.note_failure()
        if not self._without_key:
            self._without_key = True
            warn("%s; called without the cache (logged once)", self._described(error))
        return self.function(*args, **kwargs or {})

    def log_hit(self, params: dict[str, Any]) -> None:
        """Logs a hit."""
        self.log_call(self.calls.key(self.cache(), params), "hit")

    def attach(self, wrapper: Any) -> None:
        """Gives the decorated function its methods; :func:`functools.wraps` copies them to wrappers."""
        wrapper.call_uncached = self.function
        wrapper.cache_key = self.cache_key
        wrapper.cache_clear = self.cache_clear
        wrapper.cache_info = self.cache_info
        wrapper.is_cached = self.is_cached
        wrapper.invalidate = self.invalidate

    def cache_key(self, /, *args: Any, **kwargs: Any) -> str:
        """The key of these arguments, whether the entry exists or not."""
        self._refuse_without_object(args)
        try:
            return self.calls.key(self.cache(), self.bind(*args, **kwargs)).key
        except CacheSerializationError as error:
            self.no_key(error)

    def cache_clear(self, /, *args: Any, **kwargs: Any) -> int:
        """Removes the entry of these arguments; without arguments, all of the function. Returns their number."""
        if not args and not kwargs:
            return _core.clear_function(self.cache(), self.name)
        return int(self.invalidate(*args, **kwargs))

    def invalidate(self, /, *args: Any, **kwargs: Any) -> bool:
        """Removes the entry of these arguments. Returns whether it existed."""
        self._refuse_without_object(args)
        try:
            return self.calls.invalidate(self.cache(), self.bind(*args, **kwargs))
        except CacheSerializationError as error:
            self.no_key(error)

    def is_cached(self, /, *args: Any, **kwargs: Any) -> bool:
        """Whether a call with these arguments would be a hit. Counts nothing."""
        self._refuse_without_object(args)
        self.note_code()
        try:
            return self.calls.is_cached(self.cache(), self.bind(*args, **kwargs))
        except CacheSerializationError as error:
            self.no_key(error)

    def cache_info(self) -> CacheInfo:
        """Counts since the function was decorated, in this process."""
        *counts, saved = self.calls.counts()
        return CacheInfo(counts, saved)
