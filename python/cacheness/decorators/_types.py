"""The types of decorated functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Concatenate, NamedTuple, ParamSpec, Protocol, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")
C = TypeVar("C")


class CacheInfo(NamedTuple):
    """What became of the calls of one decorated function, in this process.

    Attributes:
        hits: calls that were answered from the cache, after waiting for another caller or not.
        misses: calls that computed.
        refreshes: computations beside calls that were answered, of values that were stale or near their end.
        failures: times that the cache failed and the call went on without it.
    """

    hits: int
    misses: int
    refreshes: int
    failures: int


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
        """The key of the entry that these arguments have, whether it is there or not."""

    def cache_clear(self, *args: Any, **kwargs: Any) -> int:
        """Removes the entry of these arguments; without arguments, all entries of the function. Returns how many.

        All entries are found by the name in their parameters: it walks over the whole cache, and needs the option
        ``store_cache_key_params``.
        """

    def cache_info(self) -> CacheInfo:
        """Counts since the function was decorated, in this process."""


class CachedClassMethod(CachedFunction[P, R_co], Protocol[P, R_co]):
    """A decorated function whose first argument is a class: in a class it is a classmethod."""

    def __get__(  # type: ignore[override]
        self: CachedClassMethod[Concatenate[Any, Q], T], instance: object, owner: type | None = None, /
    ) -> CachedFunction[Q, T]:
        """Bound to the class."""


class Decorator(Protocol):
    """What a decorator with options returns."""

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
