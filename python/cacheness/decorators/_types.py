"""The types of decorated functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Concatenate, NamedTuple, ParamSpec, Protocol, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Self

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")
C = TypeVar("C")


class _Counts(NamedTuple):
    hits: int
    misses: int
    refreshes: int
    failures: int


class CacheInfo(_Counts):
    """Counts of the calls of one decorated function, in this process.

    A named tuple, which also accepts names in brackets.

    Attributes:
        hits: calls answered from the cache, including those that waited for another caller.
        misses: calls that computed.
        refreshes: background computations of stale values, or of values about to expire.
        failures: failures of the cache after which the call continued without it.
        seconds_saved: the total time that the results of the hits took to compute. Not an item of the tuple.
    """

    seconds_saved: float

    def __new__(cls, counts: Iterable[int], seconds_saved: float = 0.0) -> Self:
        made = super().__new__(cls, *counts)
        made.seconds_saved = seconds_saved
        return made

    def __getitem__(self, item: Any) -> Any:
        if isinstance(item, str):
            if item in (*self._fields, "seconds_saved"):
                return getattr(self, item)
            raise KeyError(item)
        return super().__getitem__(item)

    def __getnewargs__(self) -> Any:
        return tuple(self), self.seconds_saved

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}, seconds_saved={self.seconds_saved:.3g})"


class CachedFunction(Protocol[P, R_co]):
    """A decorated function: called like the original."""

    __name__: str
    __qualname__: str
    __wrapped__: Callable[..., Any]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """The result, from the cache or computed."""

    @overload
    def __get__(self, instance: None, owner: type, /) -> Self: ...
    @overload
    def __get__(
        self: CachedFunction[Concatenate[Any, Q], T], instance: object, owner: type | None = None, /
    ) -> Callable[Q, T]: ...

    def call_uncached(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """The result of the original; the cache is neither read nor written."""

    def cache_key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """The key of these arguments, whether the entry exists or not."""

    def cache_clear(self, *args: Any, **kwargs: Any) -> int:
        """Removes the entry of these arguments; without arguments, all entries of the function. Returns their number.

        Entries are found by the function's name in their parameters: this scans the whole cache, and needs the option
        ``store_cache_key_params``.
        """

    def cache_info(self) -> CacheInfo:
        """Counts since the function was decorated, in this process."""

    def is_cached(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Whether a call with these arguments would be a hit. Counts nothing."""

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Removes the entry of these arguments. Returns whether it existed."""


class CachedClassMethod(CachedFunction[P, R_co], Protocol[P, R_co]):
    """A decorated function whose first argument is a class; in a class body, a classmethod."""

    def __get__(  # type: ignore[override]
        self: CachedClassMethod[Concatenate[Any, Q], T], instance: object, owner: type | None = None, /
    ) -> CachedFunction[Q, T]:
        """Bound to the class."""


class Decorator(Protocol):
    """The result of a decorator with options."""

    @overload
    def __call__(self, function: classmethod[T, P, R], /) -> classmethod[T, P, R]: ...
    @overload
    def __call__(self, function: staticmethod[P, R], /) -> staticmethod[P, R]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(
        self, function: Callable[Concatenate[type[C], Q], R], /
    ) -> CachedClassMethod[Concatenate[type[C], Q], R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> CachedFunction[P, R]: ...
