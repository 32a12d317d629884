"""The cache: typed values under keys derived from parameters, served until they expire."""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar, overload

from . import _core
from ._entries import Stats, card
from ._management import Management
from ._options import absolute, directory, refuse_copy, shown
from .config import CacheConfig
from .errors import CacheConfigurationError, CacheError
from .handlers import HandlerRegistry, default_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import timedelta
    from types import TracebackType
    from typing import Self

    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from ._entries import Entries
    from ._plot import Plot
    from ._report import Report
    from .storage.backends import MetadataBackend

T = TypeVar("T")

#: The number of entries that can be scanned without a noticeable delay.
_FEW_ENTRIES = 100_000

#: The default time to live of :meth:`Cache.for_api`, compared by identity: another object was given by the caller.
_SIX_HOURS = 21_600.0

__all__ = ["Cache", "UnifiedCache", "cacheness"]


class Cache(Management):
    """A cache of typed values in one directory, for many threads and processes.

    Keywords of :meth:`put`, :meth:`get` and the other methods are the parameters that identify an entry, except for
    these reserved ones: ``metadata``, ``tags``, ``custom_metadata``, ``description``, ``ttl_seconds``, ``cache_key``,
    ``params``, ``default``, ``mmap_mode``, ``strict_verification``. Pass a parameter with one of these names in
    ``params={…}``.

    A cache is also a mapping of keys and names to values: ``cache["name"] = value`` is ``put(value,
    cache_key="name")``, and all methods of ``collections.abc.MutableMapping`` exist. ``len(cache)`` also counts expired
    entries that have not been removed yet. A cache is equal only to itself.

    Args:
        config: a :class:`CacheConfig`, which the cache copies, or the directory.
        cache_dir: the directory, or ``":memory:"`` for a cache that ends with the process. Default: ``./cache``.
        clock: a clock for tests. Default: the system's clock.
        options: any field of the configuration's sections, by its name.

    Raises:
        CacheConfigurationError: an option does not exist or is invalid.
        NotAStoreError: the path is not a directory.
        CacheVersionError: a newer release wrote the directory.

    Example:
        >>> cache = Cache(":memory:")
        >>> cache.put({"accuracy": 0.95}, model="xgboost", fold=3)
        '…'
        >>> cache.get(model="xgboost", fold=3)
        {'accuracy': 0.95}
    """

    _config: CacheConfig
    _clock: _core.Clock | None
    handler_registry: HandlerRegistry

    def __init__(
        self,
        config: CacheConfig | str | os.PathLike[str] | None = None,
        *,
        cache_dir: str | os.PathLike[str] | None = None,
        clock: _core.Clock | None = None,
        **options: Any,
    ) -> None:
        if isinstance(config, str | os.PathLike):
            if cache_dir is not None:
                raise CacheConfigurationError("the directory is given twice, also as cache_dir")
            config, cache_dir = None, config
        if config is None:
            # Together: whether a directory is named decides about `CACHENESS_STORE`.
            if cache_dir is not None:
                options["cache_dir"] = directory("cache_dir", cache_dir)
            config, cache_dir = CacheConfig(**options), None
        elif not isinstance(config, CacheConfig):
            raise CacheConfigurationError(
                f"config is {shown(config)}", hint="give a CacheConfig or the path of a directory"
            )
        elif options:
            raise CacheConfigurationError(
                f"options beside a CacheConfig: {', '.join(options)}", hint="set them in its sections"
            )
        if clock is not None and not isinstance(clock, _core.Clock):
            raise CacheConfigurationError(f"clock is a {type(clock).__name__}", hint="give a cacheness.Clock")
        config = config._checked()
        if cache_dir is not None:
            config.storage.cache_dir = directory("cache_dir", cache_dir)
        self._config = config
        self._place = absolute(self.cache_dir)
        self._clock = clock
        self.handler_registry = _CacheRegistry(config, self)
        ready = config._to_open()
        self._plugged = ready._given_backends()
        self._open(
            self.cache_dir, ready._to_json(), self.handler_registry, config.storage.read_only, clock, *self._plugged
        )
        if config.storage.cleanup_on_init and not self.read_only:
            self.cleanup_expired()

    @classmethod
    def for_api(
        cls,
        cache_dir: str | os.PathLike[str] | None = None,
        ttl_seconds: float | timedelta | None = _SIX_HOURS,
        **options: Any,
    ) -> Self:
        """Opens a cache for responses of APIs: LZ4 compression, and a time to live of six hours.

        Args:
            cache_dir: the directory. Default: ``./cache``.
            ttl_seconds: the default time to live, also called ``default_ttl_seconds``; ``None`` for no limit.
            options: any field of the configuration's sections, by its name. A whole ``compression`` section replaces
                the LZ4 default.

        Raises:
            CacheConfigurationError: as for opening a cache; or the time to live is given twice.
        """
        if ttl_seconds is not _SIX_HOURS and "default_ttl_seconds" in options:
            raise CacheConfigurationError("ttl_seconds is given twice, also as default_ttl_seconds")
        options.setdefault("default_ttl_seconds", ttl_seconds)
        if "compression" not in options:
            options.setdefault("pickle_compression_codec", "lz4")
        return cls(cache_dir=cache_dir, **options)

    @property
    def config(self) -> CacheConfig:
        """A copy of the configuration that the cache was opened with; changing it does not affect the cache."""
        return self._config._checked()

    @property
    def cache_dir(self) -> str:
        """The directory."""
        return str(self._config.storage.cache_dir)

    def get_or_compute(
        self,
        function: Callable[[], T],
        /,
        *,
        ttl_seconds: float | timedelta | None = None,
        metadata: dict[str, Any] | None = None,
        tags: Iterable[str] | None = None,
        description: str | None = None,
        stale_ttl_seconds: float | timedelta | None = None,
        early_recompute: float | None = None,
        cache_key: str | None = None,
        params: dict[str, Any] | None = None,
        **parameters: Any,
    ) -> T:
        """Returns the value of these parameters; on a miss, stores and returns the result of ``function``.

        If several threads and processes miss the value at once, one computes it and the others wait. If ``function``
        raises, nothing is stored and each waiting caller computes for itself. If the computing process dies, or the
        call is interrupted, another caller takes over within 50 ms. Calls may be nested in any order.

        A cache opened with ``read_only=True`` serves its entries, also stale ones. On a miss each caller computes and
        returns the value without storing it, which is logged once. An entry that cannot be decoded is logged as a
        warning, recomputed and replaced.

        Args:
            function: computes the value; called without arguments.
            ttl_seconds: how long the value is served; ``None`` for the cache's default.
            metadata: plain data stored with the value.
            tags: a list of strings, kept in the field ``tags`` of the metadata.
            description: a sentence about the value, for listings.
            stale_ttl_seconds: how long after its expiry the value is still served, while one caller recomputes it in a
                thread.
            early_recompute: recomputes the value in a thread before it expires, with a probability that grows as expiry
                approaches and with the duration of the computation. 1 is a good choice; larger values recompute
                earlier.
            cache_key: a name to store the value under in place of parameters.
            params: parameters in a dictionary, including those with the name of a keyword.
            parameters: all other keywords are the parameters that identify the value.

        Raises:
            CacheError: as for :meth:`get` and :meth:`put`.
            Exception: any exception of ``function``.
        """
        from ._compute import get_or_compute

        value: T = get_or_compute(
            self,
            function,
            _core.CallSite(
                ttl_seconds=ttl_seconds,
                metadata=metadata,
                tags=tags,
                stale_ttl_seconds=stale_ttl_seconds,
                early_recompute=early_recompute,
            ),
            description,
            {**parameters, "cache_key": cache_key, "params": params, "description": description},
        )
        return value

    @property
    def handlers(self) -> HandlerRegistry:
        """The registry of the cache's handlers; an alias of ``handler_registry``."""
        return self.handler_registry

    @property
    def metadata_backend(self) -> MetadataBackend:
        """The metadata backend, as seen from outside; one that the program brought along is that object itself."""
        from .storage.backends._metadata import OpenedBackend

        if self._plugged[0] is not None:
            return self._plugged[0]

        return OpenedBackend(
            self.cache_dir,
            self.get_stats,
            self.get_entry,
            lambda: self.list_entries(include_metadata=True),
            self.invalidate_by_cache_key,
            self._sql_engine,
        )

    #: :data:`cacheness.cached`: the module of the decorators, which knows this class, puts it here.
    _decorator: ClassVar[Callable[..., Any]]

    def cached(self, function: Any = None, /, **options: Any) -> Any:
        """The decorator :data:`cacheness.cached` with this cache, bare (``@cache.cached``) or with options.

        Args:
            function: the function to decorate.
            options: those of :data:`cacheness.cached`.

        Raises:
            CacheConfigurationError: as for :data:`cacheness.cached`.
        """
        decorator = self._decorator(cache_instance=self, **options)
        return decorator if function is None else decorator(function)

    #: An alias, as in other libraries.
    memoize = cached

    def get_stats(self, *, dates: bool | None = None) -> dict[str, Any]:
        """Totals of the store, and hits and misses of this process since the cache was opened.

        Args:
            dates: whether to include the dates of the oldest and the newest entry, which scans all entries. ``None``:
                if there are at most 100,000 entries.

        Returns:
            ``total_entries``, ``total_size_mb``, ``total_size_bytes``, ``avg_entry_size_mb``, ``cache_hits``,
            ``cache_misses``, ``cache_puts``, ``cache_failures``, ``cache_evictions``, ``hit_rate``, ``backend_type``,
            ``blob_backend_type``, ``cache_dir``; ``oldest_entry_date`` and ``newest_entry_date`` (ISO 8601 in UTC, the
            times of their puts), if there are entries. A notebook shows a table.
        """
        stats = Stats(self._stats())
        entries = stats["total_entries"]
        stats["avg_entry_size_mb"] = stats["total_size_mb"] / entries if entries else 0.0
        stats["cache_dir"] = self.cache_dir
        if not self._config.metadata.memory_cache_stats:
            del stats["memory_cache_hits"]
        if entries <= _FEW_ENTRIES if dates is None else dates:
            created = self._created_range()
            if created is not None:
                stats["oldest_entry_date"], stats["newest_entry_date"] = created
        return stats

    @overload
    def list_entries(
        self,
        include_metadata: bool = False,
        *,
        where: dict[str, Any] | None = None,
        sort: str | Iterable[str] | None = None,
        limit: int | None = None,
        offset: int = 0,
        after: str | None = None,
        tag: str | None = None,
        as_: None = None,
    ) -> Entries: ...
    @overload
    def list_entries(
        self,
        include_metadata: bool = False,
        *,
        where: dict[str, Any] | None = None,
        sort: str | Iterable[str] | None = None,
        limit: int | None = None,
        offset: int = 0,
        after: str | None = None,
        tag: str | None = None,
        as_: Literal["pandas"],
    ) -> pd.DataFrame: ...
    @overload
    def list_entries(
        self,
        include_metadata: bool = False,
        *,
        where: dict[str, Any] | None = None,
        sort: str | Iterable[str] | None = None,
        limit: int | None = None,
        offset: int = 0,
        after: str | None = None,
        tag: str | None = None,
        as_: Literal["polars"],
    ) -> pl.DataFrame: ...
    @overload
    def list_entries(
        self,
        include_metadata: bool = False,
        *,
        where: dict[str, Any] | None = None,
        sort: str | Iterable[str] | None = None,
        limit: int | None = None,
        offset: int = 0,
        after: str | None = None,
        tag: str | None = None,
        as_: Literal["arrow"],
    ) -> pa.Table: ...
    def list_entries(
        self,
        include_metadata: bool = False,
        *,
        where: dict[str, Any] | None = None,
        sort: str | Iterable[str] | None = None,
        limit: int | None = None,
        offset: int = 0,
        after: str | None = None,
        tag: str | None = None,
        as_: Literal["pandas", "polars", "arrow"] | None = None,
    ) -> Any:
        """Lists entries, including expired ones, without their values: all, or those that a filter selects.

        Args:
            include_metadata: whether they also have the user's metadata.
            where: a filter, such as ``{"accuracy": {"$gte": 0.9}, "params.project": "fraud"}``
                (``docs/formats/filters.md``).
            sort: the field to sort by, ``"-field"`` for descending, or a list of them; by default the key.
            limit: at most this many entries.
            offset: this many entries are left out first.
            after: only entries whose key comes after this one: in the order of the keys, the last of the previous page.
            tag: only entries with this tag.
            as_: ``"pandas"`` or ``"polars"`` for a data frame, ``"arrow"`` for a PyArrow table.

        Returns:
            A list of dictionaries, which a notebook shows as a table. Each has among others ``cache_key``, ``function``
            (the name of the decorated function, or ``None``), ``call`` (the call of that function, or the parameters,
            or the name, in at most 200 characters), ``description`` (``""`` if none was given), ``data_type``,
            ``object_type``, ``storage_format``, ``file_size`` (bytes), ``access_count``, ``compute_seconds`` (how long
            a cached computation took; ``None`` for a value that was put), ``cache_key_params`` and
            ``compression_info`` (``codec``, ``format``, ``original_size`` and ``compressed_size`` in bytes, and their
            ``ratio``; ``None`` if a custom handler does not report them). Times are ISO 8601: ``created``,
            ``last_accessed`` and ``expires`` in UTC with the offset ``+00:00``; ``created_at``, ``accessed_at`` and
            ``expires_at`` in local time without an offset, to compare with ``datetime.now()``. With
            ``include_metadata`` also ``metadata``.

            A table has a typed column for each field, named as in the view ``entries`` (``docs/formats/views.md``),
            without second names: ``created_at``, ``accessed_at`` and ``expires_at`` are timestamps in UTC, to the
            microsecond. ``params`` is JSON. With ``include_metadata`` there are ``metadata`` as JSON, and
            ``metadata.NAME`` for each name whose values are scalars of one type: ``bool``, ``int`` of 64 bits,
            ``float`` (also beside integers that a float keeps), ``str``, ``datetime``, ``date``, ``timedelta``.

        Raises:
            CacheConfigurationError: ``as_`` is something else.
            CacheUnsupportedError: the package of ``as_`` is not installed.
            CacheError: the filter or the order is not valid; the error names the mistake.
            CacheMetadataError: the database cannot be read.
            CacheClosedError: the cache has been closed.
        """
        options: dict[str, Any] = {"where": where, "sort": sort, "limit": limit, "offset": offset, "after": after}
        options["tag"] = tag
        if as_ is None:
            return super().list_entries(include_metadata, **options)
        from ._frames import frame

        return frame(self, as_, options, include_metadata=include_metadata)

    def report(self, by: str | Iterable[str] = (), *, where: dict[str, Any] | None = None) -> Report:
        """What the cache holds: totals of all entries, and of the entries with each value of a field.

        Reads the entries in pages: the memory it takes depends on the number of different values, not of entries.

        Args:
            by: fields, as filters name them (``docs/formats/filters.md``): ``"model_type"`` or ``"config.depth"`` in
                the metadata, ``"params.project"``, ``"entry.storage_format"``. Totals by type (``entry.data_type``) are
                always there.
            where: a filter: only these entries count.

        Returns:
            A dictionary that prints as tables. ``entries``, ``bytes``, ``oldest`` and ``newest`` (ISO 8601 in UTC, the
            times of puts), ``expired``, ``pinned``, ``reads`` (of these entries since they were put),
            ``seconds_saved`` (reads times the duration of the computation, for results of functions); ``hits``,
            ``misses`` and ``hit_rate`` of this process since the cache was opened; ``cache_dir``, ``where``, ``time``.

            ``by`` has a list for each field: dictionaries with a ``value`` and its totals, the largest first. Entries
            without the field have the value ``None``. If the value is a list, the entry counts once for each different
            element, so that the groups together may have more than all entries. ``report.group(field, value)`` finds
            one. ``to_dict()`` returns a plain copy.

        Raises:
            CacheError: a field or the filter is not valid; the error names the mistake.
            CacheMetadataError: the database cannot be read.
            CacheClosedError: the cache has been closed.

        Example:
            >>> with Cache(":memory:") as cache:
            ...     for fold in range(3):
            ...         _ = cache.put(fold, fold=fold, metadata={"model": "ridge" if fold else "lasso"})
            ...     report = cache.report(by="model")
            >>> report["entries"], report.group("model", "ridge")["entries"]
            (3, 2)
        """
        from ._report import report

        return report(self, by, where)

    @property
    def plot(self) -> Plot:
        """Pictures of the cache: ``plot.sizes()``, ``plot.hits()``, ``plot.metric("accuracy", by="model")``.

        Each returns the Axes of Matplotlib, and takes ``ax=``. Needs Matplotlib: ``pip install 'cacheness[plot]'``.
        """
        from ._plot import Plot

        return Plot(self)

    def clear_all(self) -> int:
        """Removes all entries; an alias of :meth:`clear`."""
        return self.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return int(self._stats()["total_entries"])

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        name = type(self).__name__
        if not hasattr(self, "_config"):
            return f"<{name}, not opened>"
        if self.closed:
            return f"<{name} {self.cache_dir!r}, closed>"
        try:
            stats = self._stats()
        except CacheError as error:
            return f"<{name} {self.cache_dir!r}, {error}>"
        return (
            f"<{name} {self.cache_dir!r} ({stats['backend_type']}): {stats['total_entries']:,} entries, "
            f"{stats['total_size_mb']:.1f} MB, hit rate {stats['hit_rate']:.0%}>"
        )

    def _repr_html_(self) -> str:
        if self.closed:
            return card(repr(self), ())
        stats = self._stats()
        return card(
            f"{type(self).__name__} {self.cache_dir!r}",
            (
                ("entries", f"{stats['total_entries']:,}"),
                ("size", f"{stats['total_size_mb']:,.1f} MB"),
                ("hits", f"{stats['cache_hits']:,} of {stats['cache_hits'] + stats['cache_misses']:,}"),
                ("puts", f"{stats['cache_puts']:,}"),
                ("backend", f"{stats['backend_type']}, {stats['blob_backend_type']}"),
            ),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        config = self._config._checked()
        config.storage.cache_dir = self._place
        return (_reopen, (type(self), config, self._clock))


def _reopen(cls: type[Cache], config: CacheConfig, clock: _core.Clock | None) -> Cache:
    refuse_copy(cls, str(config.storage.cache_dir), config.metadata.database_url)
    return cls(config, clock=clock)


class _CacheRegistry(HandlerRegistry):
    """The registry of one cache, which tells the engine when it changes."""

    def __init__(self, config: CacheConfig, owner: _core.CacheBase | _core.StoreBase) -> None:
        self._owner: weakref.ref[_core.CacheBase | _core.StoreBase] | None = None
        self._compression = config.compression
        super().__init__(config.handlers, default_registry)
        # The cache owns this registry: a reference back would keep an unclosed cache alive until the garbage collector
        # runs.
        self._owner = weakref.ref(owner)

    def _changed(self) -> None:
        owner = None if self._owner is None else self._owner()
        if owner is not None:
            owner._set_handlers_changed(not self._is_plain())


#: Aliases of :class:`Cache` in the documentation.
UnifiedCache = Cache
cacheness = Cache
