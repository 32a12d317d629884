"""What one decorated function is: its name, its key, its counts."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, NoReturn

from .. import _core
from ..errors import CacheConfigurationError, CacheSerializationError
from ._binding import binder
from ._code import code_hash
from ._compute import Computing
from ._default import get_cache
from ._signature import signatures
from ._target import functions, look_through, name_of
from ._types import CacheInfo

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..cache import Cache
    from ._options import Options
    from ._signature import Signatures


class Site(Computing):
    """A decorated function."""

    def __init__(self, function: Callable[..., Any], options: Options, *, inline_only: bool) -> None:
        self._target = look_through(function)
        self._consists_of = functions(function)
        self._constants: dict[str, Any] = {}
        name = options.prefix
        track_code = options.track_code
        if name is None:
            name, unique = name_of(self._target, self._consists_of)
            track_code = track_code or not unique
        self._constants["__function__"] = name
        if options.version is not None:
            self._constants["__version__"] = options.version
        if track_code:
            if not self._consists_of:
                raise CacheConfigurationError(
                    f"{name} has no code to track",
                    hint=None if options.track_code else "in an interactive session give key_prefix=…",
                )
            self._constants["__code__"] = code_hash(*self._consists_of)
        calls = options.calls(inline_only=inline_only)
        super().__init__(name, calls, ignore_errors=options.ignore_errors, condition=options.condition)
        self.function = function
        #: Names of the function's parameters, where it says them.
        self._parameters: tuple[str, ...] = ()
        self.options = options
        self.bind = self._binder()

    def _binder(self) -> Callable[..., dict[str, Any]]:
        ignore = frozenset(self.options.ignore)
        if self.options.key_func is not None:
            bind: Callable[..., dict[str, Any]] = functools.partial(self._custom, self.options.key_func)
        else:
            target = self._target.function
            try:
                found = signatures(target)
                self._parameters = found.names
                bind = binder(target, self._constants, self.options.include_defaults, ignore)
            except ValueError as error:
                raise CacheConfigurationError(f"{self.name}: {error}", hint="give key_func=…") from None
            captured = {name for function in self._consists_of for name in function.__code__.co_freevars}
            self._refuse_unknown(ignore.difference(captured), found)
        bind = self._target.bind(bind)
        if any(function.__closure__ for function in self._consists_of):
            # It imports the types of what may be captured, which most programs have no use for.
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
                hint="return what identifies the result: text, numbers, tuples, a dictionary of arguments",
            )
        return {**self._constants, "arguments": key}

    def _refuse_without_object(self, args: tuple[Any, ...]) -> None:
        """Refuses a method's arguments without its object: of a bound method, Python hides the object from us."""
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
        self._refuse_without_object(args)
        try:
            return self.cache().cache_key(params=self.bind(*args, **kwargs))
        except CacheSerializationError as error:
            self.no_key(error)

    def cache_clear(self, /, *args: Any, **kwargs: Any) -> int:
        """Removes the entry of these arguments; without arguments, all entries of the function. Returns how many."""
        if not args and not kwargs:
            return _core.clear_function(self.cache(), self.name)
        self._refuse_without_object(args)
        try:
            return int(self.cache().invalidate(params=self.bind(*args, **kwargs)))
        except CacheSerializationError as error:
            self.no_key(error)

    def cache_info(self) -> CacheInfo:
        """Counts since the function was decorated, in this process."""
        return CacheInfo(*self.calls.counts())
